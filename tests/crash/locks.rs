//! A store that one process has to itself: others get an error, or wait.

use std::{
    env, fs,
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use memolith::{Memo, Store};

use crate::{
    child::{Child, directory, say, seed, wait_for_release},
    harness::Claim,
    values::{self, Values, value},
};

pub const CLAIMS: &[Claim] = &[
    ("locks::a_second_process_is_told_which_store_is_in_use_and_what_to_do", second_is_told),
    ("locks::a_second_process_waits_until_the_first_closes", second_waits),
    ("locks::processes_that_wait_for_each_other_get_their_turns", turns_come),
    ("locks::a_process_that_was_killed_blocks_nobody", killed_blocks_nobody),
    ("locks::open_or_temporary_works_beside_another_process_and_says_why", temporary_works),
    ("locks::a_store_that_finds_no_directory_at_all_remembers_in_memory_and_says_why", memory_works),
    ("locks::a_store_in_memory_writes_no_file", no_file),
];

/// Keeps the store open until it is released, then closes it.
pub fn hold() {
    let store = Store::builder().exclusive(true).open(directory()).unwrap();
    let memo: Values = Memo::builder("values").max_entries(50).open(&store).unwrap();
    memo.insert(&0, &value(0, 0)).unwrap();
    say("held");
    wait_for_release();
    store.close().unwrap();
}

/// Below a file nothing can be made, and there is no temporary directory either.
pub fn nowhere() {
    let store = Store::open_or_temporary(directory());
    assert!(
        store.path().is_none() && store.last_failure().unwrap().error.is_io(),
        "{:?}",
        store.last_failure()
    );
    let memo: Values = Memo::builder("values").max_entries(2).open(&store).unwrap();
    for key in 0..3 {
        assert_eq!(memo.get_or_insert_with(&key, || value(key, 0)), value(key, 0));
        assert_eq!(memo.get_or_insert_with(&key, || panic!("it is in memory")), value(key, 0));
    }
    memo.insert(&9, &value(9, 0)).unwrap();
    assert_eq!((memo.len().unwrap(), memo.get(&9).unwrap()), (2, Some(value(9, 0))));
    assert!(memo.remove(&9).unwrap());
    assert_eq!((memo.get(&9).unwrap(), memo.get(&0).unwrap()), (None, None));
    memo.clear().unwrap();
    assert_eq!(memo.get(&1).unwrap(), None);
    assert_eq!(memo.get_or_insert_with(&1, || value(1, 1)), value(1, 1));
    store.flush().unwrap();
    store.sweep().unwrap();
    store.close().unwrap();
    say("done");
}

/// Its working directory, its home and its temporary directory are one empty folder.
pub fn in_memory() {
    let files = || fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = files();
    let store = Store::builder().max_bytes(30 << 20).in_memory().unwrap();
    let memo: Memo<u32, Vec<u8>> = Memo::builder("values").max_entries(3).open(&store).unwrap();
    for (key, length) in (0..).zip([1, 5_000, 10 << 20, 1 << 20]) {
        assert_eq!(memo.get_or_insert_with(&key, || vec![7; length]).len(), length);
        memo.insert(&(key + 10), &vec![8; length]).unwrap();
    }
    store.flush().unwrap();
    assert_eq!(memo.len().unwrap(), 3);
    memo.remove(&13).unwrap();
    assert_eq!(files(), before, "files are open");
    store.sweep().unwrap();
    memo.clear().unwrap();
    store.close().unwrap();
    say("done");
}

/// Waits until the store is free, and leaves an entry of its own.
pub fn take_a_turn() {
    let store = Store::builder().lock_timeout(Duration::from_secs(50)).open(directory()).unwrap();
    let memo: Values = Memo::builder("values").open(&store).unwrap();
    let key = seed() as u32;
    for round in 0..20 {
        memo.insert(&key, &value(key, round)).unwrap();
    }
    store.close().unwrap();
    say("had its turn");
}

fn holder(directory: &Path) -> Child {
    let mut child = Child::play("hold", directory, 0);
    child.expect("held");
    child
}

/// B130
fn second_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let _holder = holder(directory.path());
    let (wait, begin) = (Duration::from_millis(60), Instant::now());
    let error = Store::builder().lock_timeout(wait).open(directory.path()).unwrap_err();
    assert!(error.is_in_use() && begin.elapsed() >= wait, "{error}");
    let path = directory.path().canonicalize().unwrap().display().to_string();
    for word in [path.as_str(), "60ms", "lock_timeout", "open_or_temporary"] {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

fn second_waits() {
    let directory = tempfile::tempdir().unwrap();
    let mut holder = holder(directory.path());
    let path = directory.path().to_owned();
    let (about_to, begun) = mpsc::channel();
    let second = thread::spawn(move || {
        let error = Store::builder().lock_timeout(Duration::ZERO).open(&path).unwrap_err();
        assert!(error.is_in_use(), "{error}");
        about_to.send(()).unwrap();
        Store::builder().lock_timeout(Duration::from_secs(30)).open(&path).unwrap()
    });
    begun.recv().unwrap();
    holder.release();
    let store = second.join().unwrap();
    let memo: Values = Memo::builder("values").open(&store).unwrap();
    assert_eq!(memo.get(&0).unwrap(), Some(value(0, 0)));
    assert!(holder.end().0.success());
}

fn turns_come() {
    let directory = tempfile::tempdir().unwrap();
    let mut holder = holder(directory.path());
    let others: Vec<Child> = (1..6).map(|key| Child::play("take a turn", directory.path(), key)).collect();
    holder.release();
    for mut other in others {
        other.expect("had its turn");
        assert!(other.end().0.success());
    }
    let (store, memo) = values::open(directory.path());
    for key in 1..6 {
        assert_eq!(memo.get(&key).unwrap(), Some(value(key, 19)), "{key}");
    }
    assert!(memo.len().unwrap() == 6 && store.last_failure().is_none(), "{:?}", store.last_failure());
}

fn killed_blocks_nobody() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        holder(directory.path()).kill();
        let store = Store::builder().lock_timeout(Duration::ZERO).open(directory.path()).unwrap();
        let memo: Values = Memo::builder("values").open(&store).unwrap();
        assert_eq!(memo.get(&0).unwrap(), Some(value(0, 0)));
    }
}

fn temporary_works() {
    let directory = tempfile::tempdir().unwrap();
    let holder = holder(directory.path());
    let store = Store::builder().lock_timeout(Duration::ZERO).open_or_temporary(directory.path());
    assert!(
        store.last_failure().is_some_and(|failure| failure.error.is_in_use()),
        "{:?}",
        store.last_failure()
    );
    let elsewhere = store.path().unwrap().to_owned();
    assert_ne!(elsewhere, directory.path().canonicalize().unwrap());
    let memo: Values = Memo::builder("values").open(&store).unwrap();
    assert_eq!(memo.get_or_insert_with(&0, || value(0, 7)), value(0, 7));
    assert_eq!(memo.get_or_insert_with(&0, || panic!("it was remembered")), value(0, 7));
    drop((memo, store));
    assert!(!elsewhere.exists());
    assert!(holder.end().0.success());
    let (_store, memo) = values::open(directory.path());
    assert_eq!(memo.get(&0).unwrap(), Some(value(0, 0)), "the first process had its store to itself");
}

fn no_file() {
    let bench = tempfile::tempdir().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    for variable in ["TMPDIR", "HOME", "XDG_CACHE_HOME"] {
        command.env(variable, bench.path());
    }
    let mut child = Child::spawn(command.current_dir(&bench), "in memory", bench.path());
    child.expect("done");
    assert!(child.end().0.success());
    assert_eq!(fs::read_dir(&bench).unwrap().count(), 0);
}

fn memory_works() {
    let bench = tempfile::tempdir().unwrap();
    let file = bench.path().join("file");
    fs::write(&file, "of the user").unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    let mut child = Child::spawn(command.env("TMPDIR", file.join("below")), "nowhere", &file.join("store"));
    child.expect("done");
    assert!(child.end().0.success());
}
