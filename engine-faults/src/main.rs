//! What becomes of memolith when the engine below it panics or hangs, at each of its calls and in its own threads.
//!
//! Each cell of the table is a process of its own, so that what sled keeps for a whole process is whole again: four threads
//! call while the fault is there; every value is right, the memory serves, and under `engine_timeout` no call takes long. When
//! the fault is gone the store remembers again, and the next process finds what was acknowledged then.

use std::{
    env,
    fs::File,
    process::{Child, Command, ExitCode, ExitStatus},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use memolith::{Memo, Store, StoreBuilder, testing::ManualClock};
use sled::fault::{self, Fault};

/// Where a fault is planted: calls of sled, then what it does on its own threads, and in its files.
const SITES: [&str; 13] = [
    "open",
    "open_tree",
    "drop_tree",
    "get",
    "insert",
    "remove",
    "next",
    "flush",
    "drop",
    "job",
    "write_to_log",
    "pread",
    "pwrite",
];

/// The engine is waited for for this long: a tenth of what it is otherwise.
const PATIENCE: Duration = Duration::from_millis(500);

/// What no call may take under `engine_timeout`: several calls of the engine that are given up one after the other.
const LONG: Duration = Duration::from_secs(3);

/// How long each thread calls.
const SPELL: Duration = Duration::from_secs(2);

/// One more than the bound of the memo, so that entries leave.
const KEYS: u64 = 1_001;

#[derive(Clone, Copy)]
struct Cell {
    site: &'static str,
    fault: Fault,
    /// Once, or for ever.
    once: bool,
    /// Whether every call of the engine is made aside.
    aside: bool,
}

impl Cell {
    fn all() -> impl Iterator<Item = Self> {
        SITES.into_iter().flat_map(|site| {
            (0..8).map(move |bits| Self {
                site,
                fault: if bits & 4 == 0 { Fault::Panic } else { Fault::Hang },
                once: bits & 2 == 0,
                aside: bits & 1 == 0,
            })
        })
    }

    fn options(self, clock: &ManualClock) -> StoreBuilder {
        let options = Store::builder().memory(1 << 20).clock(clock).opening(PATIENCE);
        if self.aside { options.engine_timeout(PATIENCE) } else { options.patience(PATIENCE) }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["meet", number, path] => meet(Cell::all().nth(number.parse().unwrap()).unwrap(), path),
        ["look", path] => look(path),
        _ => return table(),
    }
    ExitCode::SUCCESS
}

fn table() -> ExitCode {
    println!(
        "| place | fault | times | calls | met | longest | back after | then |\n|---|---|---|---|---|---|---|---|"
    );
    let mut failed = false;
    for (number, cell) in Cell::all().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let log = directory.path().join("log");
        let met = run(&["meet", &number.to_string(), path.to_str().unwrap()], &log);
        let looked = run(&["look", path.to_str().unwrap()], &log);
        let says = std::fs::read_to_string(log.with_extension("out")).unwrap_or_default();
        let (times, calls) =
            (if cell.once { "once" } else { "for ever" }, if cell.aside { "aside" } else { "here" });
        println!("| `{}` | {:?} | {times} | {calls} | {}", cell.site, cell.fault, says.replace('\n', " "));
        if !met.is_some_and(|status| status.success()) || !looked.is_some_and(|status| status.success()) {
            failed = true;
            println!("FAILED {met:?} {looked:?}\n{}", std::fs::read_to_string(&log).unwrap_or_default());
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// `None` when it did not end.
fn run(arguments: &[&str], log: &std::path::Path) -> Option<ExitStatus> {
    let append = |path: &std::path::Path| File::options().append(true).create(true).open(path).unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(arguments)
        .stdout(append(&log.with_extension("out")))
        .stderr(append(log))
        .env("RUST_BACKTRACE", "0");
    let mut child: Child = command.spawn().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(90) {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

fn value(key: u64) -> Vec<u8> {
    vec![key as u8; 900]
}

fn open(store: &Store) -> Memo<u64, Vec<u8>> {
    Memo::builder("values").max_entries(KEYS - 1).open(store).unwrap()
}

fn meet(cell: Cell, path: &str) {
    let store = Store::open(path).unwrap();
    let memo = open(&store);
    for key in 0..KEYS {
        assert_eq!(memo.get_or_insert_with(&key, || value(key)), value(key));
    }
    store.close().unwrap();

    let clock = ManualClock::new();
    let store = cell.options(&clock).open(path).unwrap();
    let memo = open(&store);
    fault::plant(cell.site, cell.fault, if cell.once { 1 } else { u64::MAX });
    let longest = thread::scope(|scope| {
        if !cell.aside {
            // Who is in a call on his own thread stays in it until it comes back.
            scope.spawn(|| {
                thread::sleep(2 * SPELL);
                fault::heal();
            });
        }
        let calls = |number| call_for_a_while(cell, number, &store, &memo, &clock, path);
        let callers: Vec<_> = (0..4).map(|number| scope.spawn(move || calls(number))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).max().unwrap()
    });
    assert!(!cell.aside || longest < LONG, "a call took {longest:?}");
    // Without the disk, or with it.
    memo.get_or_insert_with(&77, || value(77));
    assert_eq!(memo.get_or_insert_with(&77, || unreachable!("it is in memory")), value(77));
    let met = fault::struck();

    fault::heal();
    let healed = Instant::now();
    while memo.insert(&u64::MAX, &value(7)).is_err() {
        assert!(
            healed.elapsed() < Duration::from_secs(60),
            "it does not remember again: {:?}",
            store.last_failure()
        );
        if healed.elapsed() > PATIENCE {
            // A rest has its end, and an engine that never comes back is given up.
            clock.advance(Duration::from_secs(10));
        }
        thread::sleep(Duration::from_millis(10));
    }
    println!("{met} | {longest:.1?} | {:.1?} |", healed.elapsed());
    let _ = store.close();
}

/// The longest call that has a closure.
fn call_for_a_while(
    cell: Cell,
    number: u64,
    store: &Store,
    memo: &Memo<u64, Vec<u8>>,
    clock: &ManualClock,
    path: &str,
) -> Duration {
    static SLOW: AtomicUsize = AtomicUsize::new(0);
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    let mut turn = number * 1_000_000;
    while begun.elapsed() < SPELL {
        turn += 1;
        let key = if turn.is_multiple_of(3) { turn } else { turn * 37 % KEYS };
        match turn % 16 {
            0 => _ = memo.insert(&key, &value(key)),
            1 => _ = memo.remove(&key),
            2 if turn % 10 == 0 => _ = store.flush(),
            3 if turn % 50 == 0 => _ = store.sweep(),
            4 if turn % 100 == 0 => {
                if let Ok(other) = Memo::<u64, u64>::builder("other").open(store) {
                    assert_eq!(other.get_or_insert_with(&turn, || turn), turn);
                    let _ = other.clear();
                }
            }
            5 if number == 0 && turn % 1_000 == 5 => {
                let second = cell.options(clock).open(format!("{path}-{turn}"));
                if let Ok(other) = second.and_then(|store| Memo::<u64, u64>::builder("other").open(&store)) {
                    assert_eq!(other.get_or_insert_with(&turn, || turn), turn);
                }
            }
            _ => {
                let called = Instant::now();
                let found = memo.get_or_insert_with(&key, || {
                    // Some are worth a flush; the clock must not come to where an engine is given up.
                    if turn % 16 == 6 && SLOW.fetch_add(1, Ordering::Relaxed) < 200 {
                        clock.advance(Duration::from_millis(16));
                    }
                    value(key)
                });
                longest = longest.max(called.elapsed());
                assert_eq!(found, value(key));
            }
        }
    }
    longest
}

/// As the next process.
fn look(path: &str) {
    let store = Store::open(path).unwrap();
    let memo = open(&store);
    let mut hits = 0;
    for key in 0..KEYS {
        hits += u64::from(memo.get(&key).unwrap().inspect(|found| assert_eq!(*found, value(key))).is_some());
    }
    assert_eq!(memo.get(&u64::MAX).unwrap(), Some(value(7)), "it was acknowledged");
    assert_eq!(memo.get_or_insert_with(&KEYS, || value(KEYS)), value(KEYS));
    store.close().unwrap();
    println!("{hits} of {KEYS} were there |");
}
