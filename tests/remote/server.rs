//! Real servers on loopback, started from the path.

use std::{
    env, fs,
    io::{self, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Once,
    time::{Duration, Instant},
};

use redis::{Connection, FromRedisValue};
use tempfile::TempDir;

/// The servers that are tried, by the names of their programs.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// Nothing here takes longer.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|program| program.is_file())
}

/// The programs that are installed. Says once which are left out, and fails where all must be there.
pub(crate) fn programs() -> Vec<PathBuf> {
    static SAID: Once = Once::new();
    let found: Vec<PathBuf> = PROGRAMS.iter().filter_map(|program| on_path(program)).collect();
    SAID.call_once(|| {
        for missing in PROGRAMS.iter().filter(|program| on_path(program).is_none()) {
            // Not captured, as what is printed is.
            let _ = writeln!(io::stderr(), "left out: every test with {missing}, which is not on the path");
        }
    });
    assert!(
        env::var_os("MEMOLITH_NEEDS_SERVERS").is_none() || found.len() == PROGRAMS.len(),
        "a server is missing: {found:?}"
    );
    found
}

/// Runs a test with each server that is installed.
pub(crate) fn with_each(test: impl Fn(&Server)) {
    for program in programs() {
        test(&Server::start(program, &[]));
    }
}

/// The same with the first of them.
pub(crate) fn with_one(test: impl FnOnce(Server)) {
    if let Some(program) = programs().into_iter().next() {
        test(Server::start(program, &[]));
    }
}

/// Polls a condition, with a watchdog.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < WATCHDOG, "{what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

pub(crate) struct Server {
    program: PathBuf,
    arguments: Vec<String>,
    pub(crate) port: u16,
    child: Option<Child>,
    folder: TempDir,
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    pub(crate) fn start(program: PathBuf, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { program, arguments, port: free_port(), child: None, folder };
        server.run();
        server
    }

    /// Starts it, on the same port if it was killed before.
    pub(crate) fn run(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new(&self.program)
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(["--dir", self.folder.path().to_str().unwrap()])
            .args(&self.arguments)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        wait_until("the server answers", || self.try_raw().is_some());
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// It accepts connections and answers nothing.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    fn try_raw(&self) -> Option<Connection> {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(1)).ok()?;
        match redis::cmd("PING").query::<String>(&mut connection) {
            Ok(_) => Some(connection),
            Err(error) if error.code() == Some("NOAUTH") => Some(connection),
            Err(_) => None,
        }
    }

    /// A connection of the test's own.
    pub(crate) fn raw(&self) -> Connection {
        self.try_raw().unwrap()
    }

    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut self.raw()).unwrap()
    }

    pub(crate) fn keys(&self, pattern: &str) -> Vec<String> {
        self.command(&["KEYS", pattern])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}
