//! memolith over an engine that panics or hangs, at each of its calls and in its own threads.
//!
//! Each cell of the table is a process of its own, because sled's threads belong to the process. Four threads call before,
//! during and after the fault, then the next process looks. The claims:
//!
//! - No value is wrong, and none is older than an acknowledged change of its key.
//! - Memory serves.
//! - No call takes longer than [`BOUND`], except on a thread that itself hangs in a read.
//! - Acknowledged entries are there for the next process; [`Acknowledged`] says which.
//! - The store keeps values again when the fault is gone. Where a thread of sled died, it may not: then its close is an error
//!   within the bound, its directory stays locked until the process ends, and the next process works.

mod caller;

use std::{
    env, fs,
    fs::File,
    path::Path,
    process::{Command, ExitCode, ExitStatus},
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use memolith::{Memo, Store, StoreBuilder, testing::ManualClock};
use sled::fault::{self, Fault};

use crate::caller::{Acknowledged, Caller, Calls};

/// Where a fault is planted: calls of sled, then its own threads and files.
#[rustfmt::skip]
const PLACES: [&str; 12] = [
    "open", "open_tree", "get", "insert", "remove", "next", "flush", "drop", "job", "write_to_log", "pread", "pwrite",
];

/// How long a call waits for a worker that makes no progress, and for another caller.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A call may wait for another caller, then 1 s for room in the queue, then for the worker. The last second is for one of
/// two busy processors.
const BOUND: Duration = Duration::from_secs(1 + 1 + 1 + 1);

/// How long each thread calls while the fault is there. Before it and after it an eighth of that.
const SPELL: Duration = Duration::from_secs(1);

/// The limit for a store to keep values again after the fault.
const RECOVERY: Duration = Duration::from_secs(5);

/// One more than the bound of the memo, so that entries leave.
const KEYS: u64 = 1_001;

#[derive(Clone, Copy)]
struct Cell {
    place: &'static str,
    fault: Fault,
    is_once: bool,
}

impl Cell {
    fn all() -> impl Iterator<Item = Self> {
        let of = |place| {
            [(Fault::Panic, true), (Fault::Panic, false), (Fault::Hang, true), (Fault::Hang, false)]
                .map(|(fault, is_once)| Self { place, fault, is_once })
        };
        PLACES.into_iter().flat_map(of)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["meet", number, path] => meet(Cell::all().nth(number.parse().unwrap()).unwrap(), Path::new(path)),
        ["locked", path] => {
            let opened = Store::builder().lock_timeout(Duration::ZERO).open(path);
            assert!(opened.is_err_and(|error| error.is_in_use()), "the directory is free");
        }
        ["look", path] => look(Path::new(path)),
        _ => return table(),
    }
    ExitCode::SUCCESS
}

fn table() -> ExitCode {
    println!(
        "| place | fault | times | met | longest call | calls that hung | back after | owed to the next process |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut outcome = ExitCode::SUCCESS;
    for (number, cell) in Cell::all().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let log = directory.path().join("log");
        let met = run(&["meet", &number.to_string(), path.to_str().unwrap()], &log);
        let looked = run(&["look", path.to_str().unwrap()], &log);
        let times = if cell.is_once { "once" } else { "for ever" };
        let row = fs::read_to_string(log.with_extension("out")).unwrap();
        println!("| `{}` | {:?} | {times} | {}", cell.place, cell.fault, row.replace('\n', " "));
        if ![&met, &looked].iter().all(|status| status.is_some_and(|status| status.success())) {
            println!("FAILED {met:?} {looked:?}\n{}", fs::read_to_string(&log).unwrap());
            outcome = ExitCode::FAILURE;
        }
    }
    outcome
}

/// `None` when it did not end.
fn run(arguments: &[&str], log: &Path) -> Option<ExitStatus> {
    let append = |path: &Path| File::options().append(true).create(true).open(path).unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(arguments).stdout(append(&log.with_extension("out"))).stderr(append(log));
    let mut child = command.env("RUST_BACKTRACE", "0").spawn().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// A store with short timeouts. It copies no index, so a new number of the index shows a loss.
fn options(clock: &ManualClock) -> StoreBuilder {
    let options = Store::builder().memory(1 << 20).clock(clock).max_wait(TIMEOUT);
    options.reply_timeout(TIMEOUT).open_timeout(TIMEOUT).compacted_when(u64::MAX, 1)
}

/// Key and version, over and over: 900 B lie in the index, 6,000 B in a payload file.
fn value(key: u64, version: u64) -> Vec<u8> {
    let length = if is_large(key) { 6_000 } else { 900 };
    [key.to_le_bytes(), version.to_le_bytes()].as_flattened().iter().copied().cycle().take(length).collect()
}

fn is_large(key: u64) -> bool {
    key.is_multiple_of(3)
}

/// The memo that four threads share. It has a bound.
fn shared(store: &Store) -> Memo<u64, Vec<u8>> {
    Memo::builder("shared").max_entries(KEYS - 1).open(store).unwrap()
}

/// The memo in which each thread has keys of its own. It has no bound, so nothing leaves.
fn own(store: &Store) -> Memo<u64, Vec<u8>> {
    Memo::builder("own").open(store).unwrap()
}

/// The number of the newest index.
fn index(path: &Path) -> u64 {
    let names = fs::read_dir(path).into_iter().flatten().flatten().map(|folder| folder.file_name());
    names.filter_map(|name| name.to_str()?.strip_prefix("index-")?.parse().ok()).max().unwrap_or_default()
}

fn meet(cell: Cell, path: &Path) {
    let clock = ManualClock::new();
    let store = Store::builder().clock(&clock).open(path).unwrap();
    for key in 0..KEYS {
        shared(&store).insert(&key, &value(key, 0)).unwrap();
    }
    store.close().unwrap();
    drop(store);

    let store = options(&clock).open(path).unwrap();
    let warm: Memo<u64, u64> = Memo::builder("warm").memory(1 << 20).open(&store).unwrap();
    warm.insert(&1, &1).unwrap();
    assert_eq!(warm.get(&1).unwrap(), Some(1));
    let mut calls = Calls::default();
    let mut memory_serves = || {
        assert_eq!(calls.time(|| warm.get_or_insert_with(&1, || panic!("it is not in memory"))), 1);
    };
    let mut callers: Vec<_> = (0..4).map(|number| Caller::new(number, &store, &clock, path)).collect();
    call(&mut callers, SPELL / 8, &mut memory_serves);
    fault::plant(cell.place, cell.fault, if cell.is_once { 1 } else { u64::MAX });
    call(&mut callers, SPELL, &mut memory_serves);
    let back = remembers_again(&store, &clock);
    call(&mut callers, SPELL / 8, &mut memory_serves);
    close(&store, path, back);
    let all = || callers.iter().map(|caller| &caller.calls).chain([&calls]);
    let longest = all().map(|calls| calls.longest).max().unwrap();
    let hung: u64 = all().map(|calls| calls.hung).sum();
    let back = back.map_or("never".to_owned(), |back| format!("{back:.1?}"));
    println!("{} | {longest:.1?} | {hung} | {back} |", fault::struck());
    Acknowledged::save_all(callers.iter().flat_map(|caller| caller.acknowledged.values().copied()), path);
    assert!(fault::struck() > 0, "the fault was not met");
    assert!(longest < BOUND, "a call took {longest:?}");
}

/// All callers call, and memory serves meanwhile. Then the fault is removed.
fn call(callers: &mut [Caller], spell: Duration, mut memory_serves: impl FnMut()) {
    thread::scope(|scope| {
        let begun = Instant::now();
        let calling: Vec<_> =
            callers.iter_mut().map(|caller| scope.spawn(move || caller.call_for(spell))).collect();
        // A thread that hangs in a read does so until the fault is gone. The others have ended by then.
        while begun.elapsed() < spell + BOUND && !calling.iter().all(ScopedJoinHandle::is_finished) {
            memory_serves();
            thread::sleep(Duration::from_millis(5));
        }
        fault::heal();
    });
}

/// The time until an entry is acknowledged again. The clock is moved, so that pauses end.
fn remembers_again(store: &Store, clock: &ManualClock) -> Option<Duration> {
    let (memo, healed) = (shared(store), Instant::now());
    while memo.insert(&u64::MAX, &value(u64::MAX, 0)).is_err() {
        if healed.elapsed() > RECOVERY {
            assert!(fault::killed() > 0, "it does not remember again: {:?}", store.last_failure());
            return None;
        }
        clock.advance(Duration::from_secs(1));
        thread::sleep(Duration::from_millis(10));
    }
    Some(healed.elapsed())
}

fn close(store: &Store, path: &Path, back: Option<Duration>) {
    let begun = Instant::now();
    let closed = store.close();
    assert!(begun.elapsed() < BOUND, "the close took {:?}", begun.elapsed());
    if back.is_none() {
        assert!(closed.is_err(), "it was closed without its worker");
        let other = Command::new(env::current_exe().unwrap()).arg("locked").arg(path).status();
        assert!(other.unwrap().success());
    }
}

/// The next process.
fn look(path: &Path) {
    let store = Store::open(path).unwrap();
    let (shared, own) = (shared(&store), own(&store));
    for key in 0..KEYS {
        assert_eq!(shared.get_or_insert_with(&key, || value(key, 0)), value(key, 0));
    }
    let acknowledged = Acknowledged::load_all(path);
    for known in &acknowledged {
        known.check(own.get(&known.key).unwrap().as_deref(), index(path));
    }
    own.insert(&u64::MAX, &value(u64::MAX, 0)).unwrap();
    let owed = acknowledged.iter().filter(|known| known.is_owed(index(path))).count();
    println!("{owed} |");
    assert!(owed > 0, "nothing was acknowledged");
    store.close().unwrap();
}
