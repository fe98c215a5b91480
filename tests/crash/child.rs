//! A child process of this binary, which plays a role: the side of the parent and the side of the child.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{self, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

const ROLE: &str = "MEMOLITH_ROLE";
const DIRECTORY: &str = "MEMOLITH_DIRECTORY";
pub const SEED: &str = "MEMOLITH_SEED";

/// Each role takes less time, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The side of the parent. A child that is dropped is killed.
pub struct Child {
    process: process::Child,
    lines: BufReader<ChildStdout>,
}

impl Child {
    pub fn play(role: &str, directory: &Path, seed: u64) -> Self {
        Self::spawn(Command::new(env::current_exe().unwrap()).env(SEED, seed.to_string()), role, directory)
    }

    /// Plays under another umask, which is a property of the process.
    pub fn play_under(umask: &str, role: &str, directory: &Path) -> Self {
        let mut shell = Command::new("sh");
        let script = format!("umask {umask} && exec \"$0\"");
        Self::spawn(shell.arg("-c").arg(script).arg(env::current_exe().unwrap()), role, directory)
    }

    pub fn spawn(command: &mut Command, role: &str, directory: &Path) -> Self {
        // A backtrace takes longer than a tick, and after a tick everything is flushed anyway.
        let command = command.env(ROLE, role).env(DIRECTORY, directory).env("RUST_BACKTRACE", "0");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// The next whole line of its output; `None` at the end.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.strip_suffix('\n').map(str::to_owned)
    }

    #[track_caller]
    pub fn expect(&mut self, words: &str) {
        assert_eq!(self.line().as_deref(), Some(words));
    }

    /// SIGKILL, while it still runs.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        let status = self.process.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it had ended by itself: {status}");
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Writes a line to it.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.process.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdin.flush()).unwrap();
    }

    /// Lets it go on after [`wait_for_release`].
    pub fn release(&mut self) {
        drop(self.process.stdin.take());
    }

    /// Its exit status, with its stderr if that is piped.
    pub fn end(mut self) -> (ExitStatus, String) {
        self.release();
        let status = self.process.wait().unwrap();
        let mut words = String::new();
        if let Some(mut stderr) = self.process.stderr.take() {
            stderr.read_to_string(&mut words).unwrap();
        }
        (status, words)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The role of this process, if it is a child.
pub fn role() -> Option<String> {
    env::var(ROLE).ok()
}

pub fn directory() -> PathBuf {
    env::var_os(DIRECTORY).unwrap().into()
}

/// Deletes the folder of a store that is open: its threads may make a file while it is emptied.
pub fn delete_in_use(folder: &Path) {
    while let Err(cause) = fs::remove_dir_all(folder) {
        assert_eq!(cause.kind(), io::ErrorKind::DirectoryNotEmpty, "{cause}");
    }
}

pub fn seed() -> u64 {
    env::var(SEED).unwrap().parse().unwrap()
}

/// Writes one line to the parent, and returns when the line is written.
pub fn say(words: &str) {
    let mut out = io::stdout().lock();
    // The parent may be gone.
    let _ = out.write_all(format!("{words}\n").as_bytes()).and_then(|()| out.flush());
}

pub fn wait_for_release() {
    let _ = io::stdin().read_to_end(&mut Vec::new());
}

/// A child that hangs is a failure, and must not outlive its parent.
pub fn watch() {
    let begin = Instant::now();
    thread::spawn(move || {
        while let Some(left) = PATIENCE.checked_sub(begin.elapsed()) {
            thread::park_timeout(left);
        }
        eprintln!("the child hangs");
        process::abort();
    });
}
