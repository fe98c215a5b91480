//! The children: their order, their limits, and their files on disk.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Result,
    results::{self, Line, Measure, figure},
    task::{CHURN, Found, PEERS, Peer, Phase, SIZES, Size, Task},
};

/// In bytes. A child that takes more is ended: the figures of a machine that is out of memory say nothing.
const MEMORY: u64 = 8 << 30;

const PATIENCE: Duration = Duration::from_secs(180);

/// The chosen cells. Each of the three is everything without its option.
#[derive(Default)]
pub(crate) struct Choice {
    sizes: Option<Vec<String>>,
    peers: Option<Vec<String>>,
    rounds: Option<usize>,
}

impl Choice {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut choice = Self::default();
        for option in arguments.chunks(2) {
            let names = |list: &String| Some(list.split(',').map(comparable).collect());
            match option {
                [name, list] if name == "--sizes" => choice.sizes = names(list),
                [name, list] if name == "--peers" => choice.peers = names(list),
                [name, number] if name == "--rounds" => choice.rounds = Some(number.parse()?),
                _ => return Err(format!("no option of the form {}", option.join(" ")).into()),
            }
        }
        Ok(choice)
    }
}

/// `--sizes 10Mrows --peers cacheddisk` is accepted too.
fn comparable(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

fn is_chosen(list: Option<&Vec<String>>, name: &str) -> bool {
    list.is_none_or(|list| list.contains(&comparable(name)))
}

/// Round by round, so that each peer has its turn before any has its second.
pub(crate) fn measure(choice: &Choice) -> Result<()> {
    fs::create_dir_all(directory())?;
    for size in SIZES.iter().chain([&CHURN]).filter(|size| is_chosen(choice.sizes.as_ref(), size.name)) {
        for round in 1..=choice.rounds.unwrap_or(size.rounds) {
            for peer in turns(size).filter(|peer| is_chosen(choice.peers.as_ref(), peer.name)) {
                eprintln!("{}, round {round}: {}", size.name, peer.name);
                let directory = tempfile::tempdir_in(directory())?;
                results::append(&cells(peer, size, directory.path())?)?;
            }
        }
    }
    Ok(())
}

/// All peers. Each round begins with another one, because the first one finds the disk as its predecessor left it.
fn turns(size: &Size) -> impl Iterator<Item = &'static Peer> {
    let first = results::rounds(size.name).unwrap_or_default();
    PEERS.iter().cycle().skip(first % PEERS.len()).take(PEERS.len())
}

fn cells(peer: &Peer, size: &Size, directory: &Path) -> Result<Vec<Line>> {
    let ask = |phase| child(peer, &Task::new(peer.name, phase, size, directory.to_owned()));
    let line =
        |measure, figure| Line { peer: peer.name.to_owned(), size: size.name.to_owned(), measure, figure };
    if size.name == CHURN.name {
        let found = ask(Phase::Churn)?;
        let on_disk = found.refused.is_none().then(|| disk_use(directory)).transpose()?;
        return Ok(vec![line(Measure::Disk, figure(on_disk.map(|bytes| bytes as f64), &found))]);
    }
    let first = ask(Phase::First)?;
    let again = if first.refused.is_some() { first.clone() } else { ask(Phase::Again)? };
    let peak = |found: &Found| figure(found.peak.map(|bytes| bytes as f64), found);
    Ok(vec![
        line(Measure::Miss, figure(first.miss, &first)),
        line(Measure::Hit, figure(first.hit, &first)),
        line(Measure::Peak, peak(&first)),
        line(Measure::Again, figure(again.hit, &again)),
        line(Measure::PeakAgain, peak(&again)),
    ])
}

/// The answer of the child. A failure, or a child over its limits, is an answer too.
fn child(peer: &Peer, task: &Task) -> Result<Found> {
    let mut child = match program(peer, task)?.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Found::refused(format!("it could not be started: {error}"))),
    };
    if let Some(reason) = overstep(&mut child)? {
        child.kill()?;
        child.wait()?;
        return Ok(Found::refused(reason));
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    let answer = text.lines().last().unwrap_or_default();
    Ok(serde_json::from_str(answer)
        .unwrap_or_else(|_| Found::refused(format!("it ended with {}", output.status))))
}

pub(crate) fn program(peer: &Peer, task: &Task) -> Result<Command> {
    let mut command = if peer.is_python { python() } else { Command::new(env::current_exe()?) };
    let arguments = [if peer.is_python { "" } else { "cell" }.to_owned(), serde_json::to_string(task)?];
    command.args(arguments.iter().filter(|argument| !argument.is_empty()));
    Ok(command)
}

/// Waits for the end. `Some` with the reason when the child must be killed. The output of a child fits into a pipe.
fn overstep(child: &mut Child) -> Result<Option<String>> {
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if resident(child.id()).is_some_and(|bytes| bytes > MEMORY) {
            return Ok(Some(format!("more than {} GiB of memory", MEMORY >> 30)));
        }
        if began.elapsed() > PATIENCE {
            return Ok(Some(format!("not done within {} s", PATIENCE.as_secs())));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(None)
}

fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// The space that files take, not their lengths.
fn disk_use(path: &Path) -> Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.blocks() * 512);
    }
    fs::read_dir(path)?.map(|entry| disk_use(&entry?.path())).sum()
}

/// Python with the packages of `python/requirements.txt`, in an environment of their own.
pub(crate) fn python() -> Command {
    let mut command = Command::new(directory().join("python/bin/python"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/cell.py"));
    command
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder of all files: on the disk of the project, because the temporary folder may be in memory.
pub(crate) fn directory() -> PathBuf {
    root().join("target/peers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_peers_are_chosen_by_their_letters() {
        let words = ["--sizes", "10Mrows", "--peers", "moka,Cached-disk"].map(str::to_owned);
        let choice = Choice::parse(&words).unwrap();
        assert!(
            is_chosen(choice.sizes.as_ref(), "10 M rows") && !is_chosen(choice.sizes.as_ref(), "50 M rows")
        );
        assert!(
            is_chosen(choice.peers.as_ref(), "cached, disk") && !is_chosen(choice.peers.as_ref(), "foyer")
        );
        assert!(Choice::parse(&["--sizes".to_owned()]).is_err());
    }
}
