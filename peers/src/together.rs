//! Four processes at once that ask one cache on disk for the same values: how often they are computed, and how long all of it takes.
//!
//! ```text
//! cargo run --release -p memolith-peers -- together
//! ```

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Result,
    caches::Cache,
    run::{directory, program},
    task::{Found, PEERS, Peer, Phase, Task},
    value::Value,
};

const PROCESSES: usize = 4;
const KEYS: usize = 20;
const BYTES: usize = 200;
const COMPUTING: Duration = Duration::from_millis(20);
const ROUNDS: usize = 3;

/// Caches on disk.
const NAMES: [&str; 8] =
    ["memolith", "cached, disk", "foyer", "cacache", "redb", "Streamlit", "joblib", "diskcache"];

/// Is made when all processes are ready.
const START: &str = "start";

/// Prints one row for each peer.
pub(crate) fn measure() -> Result<()> {
    fs::create_dir_all(directory())?;
    println!("| | computations of {KEYS} keys by {PROCESSES} processes | time | |");
    println!("|---|---|---|---|");
    for peer in PEERS.iter().filter(|peer| NAMES.contains(&peer.name)) {
        let rounds: Vec<Round> = (0..ROUNDS).map(|_| round(peer)).collect::<Result<_>>()?;
        let mut times: Vec<Duration> = rounds.iter().map(|round| round.took).collect();
        times.sort();
        let most = rounds.iter().map(|round| round.computed).max().unwrap_or_default();
        let refused = rounds.into_iter().find_map(|round| round.refused).unwrap_or_default();
        let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
        println!("| {} | {most} | {median:.0?} | {refused} |", peer.name);
    }
    Ok(())
}

#[derive(Default)]
struct Round {
    computed: usize,
    took: Duration,
    /// What a process said that could not take part.
    refused: Option<String>,
}

fn round(peer: &Peer) -> Result<Round> {
    let folder = tempfile::tempdir_in(directory())?;
    let children: Vec<Child> = (0..PROCESSES)
        .map(|process| {
            let task = Task {
                peer: peer.name.to_owned(),
                phase: Phase::Together,
                bytes: BYTES,
                calls: KEYS,
                passes: 0,
                live: 0,
                process,
                directory: folder.path().to_owned(),
            };
            Ok(program(peer, &task)?.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?)
        })
        .collect::<Result<_>>()?;
    let is_ready = |process: usize| folder.path().join(ready(process)).exists();
    let deadline = Instant::now() + Duration::from_secs(60);
    // One that was refused is not ready, and has ended.
    while !(0..PROCESSES).all(is_ready) && Instant::now() < deadline && !has_ended(&children) {
        thread::yield_now();
    }
    fs::write(folder.path().join(START), "")?;
    let begun = Instant::now();
    let mut round = Round::default();
    for child in children {
        let output = child.wait_with_output()?;
        let answer = String::from_utf8_lossy(&output.stdout);
        let found: Found = serde_json::from_str(answer.lines().last().unwrap_or_default())
            .unwrap_or_else(|_| Found::refused(format!("it ended with {}", output.status)));
        round.computed += found.computed.unwrap_or_default();
        round.refused = round.refused.or(found.refused);
    }
    round.took = begun.elapsed();
    Ok(round)
}

fn has_ended(children: &[Child]) -> bool {
    children.iter().any(|child| Path::new(&format!("/proc/{}/exe", child.id())).read_link().is_err())
}

fn ready(process: usize) -> String {
    format!("ready-{process}")
}

/// One of the processes. Each begins with another key.
pub(crate) fn take_part<V: Value, C: Cache<V>>(task: &Task) -> Result<Found> {
    let folder = task.directory.join("cache");
    fs::create_dir_all(&folder)?;
    let of_cache = Task { peer: task.peer.clone(), phase: Phase::First, directory: folder, ..*task };
    // A cache that refuses a second process does so here.
    let cache = C::open(&of_cache)?;
    fs::write(task.directory.join(ready(task.process)), "")?;
    while !task.directory.join(START).exists() {
        thread::yield_now();
    }
    let computed = AtomicUsize::new(0);
    for turn in 0..task.calls {
        let number = (turn + task.process * task.calls / PROCESSES) % task.calls;
        drop(cache.call(&format!("key {number}"), || {
            computed.fetch_add(1, SeqCst);
            thread::sleep(COMPUTING);
            V::sample(task.bytes, number)
        })?);
    }
    cache.close()?;
    Ok(Found { computed: Some(computed.into_inner()), ..Found::default() })
}
