//! `kill -9` at random moments: while opening, while two threads change everything, while closing.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use memolith::{Memo, Store, StoreBuilder};

use crate::{
    child::{self, Child, say, seed, wait_for_release},
    harness::Claim,
    history::{BOUND, History, KEYS},
    values::{Rolls, Values, is_blob, value, version_of},
};

pub const CLAIMS: &[Claim] = &[
    ("soak::a_kill_at_any_moment_costs_nothing_that_was_acknowledged", survives),
    ("soak::a_kill_while_the_index_is_copied_costs_nothing_that_was_acknowledged", survives_copies),
];

/// The number of operations of each thread, before the store is closed.
const OPERATIONS: u64 = 300;

pub fn play() {
    play_in(Store::builder());
}

/// Every flush starts a copy of the index.
pub fn play_copying() {
    play_in(Store::builder().compacted_when(0, 0));
}

fn play_in(options: StoreBuilder) {
    say("opening");
    let store = ticking(|| options.open(child::directory()).unwrap());
    let memo = bounded(&store);
    say("opened");
    thread::scope(|scope| {
        for thread in 0..2 {
            let memo = &memo;
            scope.spawn(move || work(thread, memo));
        }
    });
    say("closing");
    ticking(|| close_twice(&store));
    say("closed");
    wait_for_release();
}

/// Closes from two threads at once.
fn close_twice(store: &Store) {
    thread::scope(|scope| {
        let other = scope.spawn(|| store.close());
        store.close().and(other.join().unwrap()).unwrap();
    });
}

fn bounded(store: &Store) -> Values {
    Memo::builder("values").max_entries(BOUND as u64).open(store).unwrap()
}

/// Writes lines all the while, so that a kill can be aimed by counting lines.
fn ticking<T>(action: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                say("tick");
            }
        });
        let came_to = action();
        done.store(true, Ordering::Release);
        came_to
    })
}

/// Every other key is this thread's own, so it knows the order of the changes of that key.
fn work(thread: u32, memo: &Values) {
    let mut rolls = Rolls(seed() ^ u64::from(thread));
    for count in 0..OPERATIONS {
        let key = rolls.below(u64::from(KEYS) / 2) as u32 * 2 + thread;
        let version = seed() << 32 | count << 1 | u64::from(thread);
        match rolls.below(100) {
            0 if thread == 0 => {
                say("begin 0 clear");
                memo.clear().unwrap();
                say("end 0");
            }
            ..20 => {
                say(&format!("begin {thread} remove {key}"));
                memo.remove(&key).unwrap();
                say(&format!("end {thread}"));
            }
            20..45 => {
                say(&format!("begin {thread} compute {key} {version}"));
                let found = memo.get_or_insert_with(&key, || value(key, version));
                say(&format!("end {thread} {}", version_of(key, &found)));
            }
            _ => {
                say(&format!("begin {thread} insert {key} {version}"));
                memo.insert(&key, &value(key, version)).unwrap();
                say(&format!("end {thread}"));
            }
        }
    }
}

/// A number of lines after a word of the child.
struct Moment(&'static str, u64);

impl Moment {
    fn by_chance(rolls: &mut Rolls) -> Self {
        match rolls.below(6) {
            0 => Self("opening", rolls.below(1_000)),
            1 => Self("closing", rolls.below(3_000)),
            _ => Self("opened", rolls.below(1_200)),
        }
    }
}

/// B117, B126
fn survives() {
    survives_as("soak", if is_long() { 1_000 } else { 25 });
}

fn survives_copies() {
    survives_as("soak with copies", if is_long() { 1_000 } else { 25 });
}

fn is_long() -> bool {
    std::env::var_os("MEMOLITH_SOAK").is_some()
}

fn survives_as(role: &str, rounds: u64) {
    let (mut rolls, mut required, mut looks) = (Rolls(1), 0, 0);
    let mut bench = (tempfile::tempdir().unwrap(), History::new());
    for round in 1..=rounds {
        let (directory, history) = &mut bench;
        live_and_be_killed(role, directory.path(), round, history, &Moment::by_chance(&mut rolls));
        // Some stores are opened and killed again before the look.
        if rolls.below(3) > 0 {
            looks += 1;
            required += look(directory.path(), history);
            // The store is closed, and so known for sure. The next process fills a new index from the payload files,
            // and may be killed meanwhile.
            if rolls.below(5) == 0 {
                fs::remove_file(directory.path().join("MANIFEST")).unwrap();
                history.lose_index();
            }
        }
        if rolls.below(12) == 0 {
            bench = (tempfile::tempdir().unwrap(), History::new());
        }
    }
    assert!(required > looks * 5, "too few entries had to be there: {required} entries at {looks} looks");
}

fn live_and_be_killed(role: &str, directory: &Path, seed: u64, history: &mut History, moment: &Moment) {
    let mut child = Child::play(role, directory, seed);
    let mut left = None;
    while let Some(line) = child.line() {
        history.tell(&line);
        if line == moment.0 {
            left = Some(moment.1);
        }
        left = left.map(|left| left.saturating_sub(1));
        if left == Some(0) || line == "closed" {
            break;
        }
    }
    child.kill();
    while let Some(line) = child.line() {
        history.tell(&line);
    }
    history.kill();
}

/// The number of entries that were there and had to be.
fn look(directory: &Path, history: &mut History) -> usize {
    let store = Store::open(directory).unwrap();
    let memo = bounded(&store);
    assert!(memo.len().unwrap() <= BOUND, "{} entries", memo.len().unwrap());
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    let (mut required, mut blobs) = (0, 0);
    for key in 0..KEYS {
        let found = memo.get(&key).unwrap().map(|found| version_of(key, &found));
        required += usize::from(history.check(key, found));
        blobs += usize::from(found.is_some_and(|version| is_blob(key, version)));
    }
    store.sweep().unwrap();
    assert_eq!(blob_files(directory), blobs);
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    store.close().unwrap();
    assert_eq!(blob_files(directory), blobs);
    assert_tidy(directory);
    required
}

fn blob_files(directory: &Path) -> usize {
    let folders = fs::read_dir(directory.join("blobs")).unwrap().flatten();
    folders.map(|folder| fs::read_dir(folder.path()).unwrap().count()).sum()
}

/// No file is left of the operations under way.
#[track_caller]
fn assert_tidy(directory: &Path) {
    assert_eq!(fs::read_dir(directory.join("trash")).unwrap().count(), 0);
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let snapshots = names.iter().filter(|name| name.starts_with("snapshot-")).count();
    assert!(snapshots <= 1, "{names:?}");
    names.retain(|name| !name.starts_with("snapshot-"));
    assert!(names.len() == 6 && names[4].starts_with("index-"), "{names:?}");
    names.remove(4);
    assert_eq!(names, ["EPOCHS", "LOCK", "MANIFEST", "blobs", "trash"]);
}
