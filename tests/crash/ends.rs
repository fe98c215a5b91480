//! Ends of a program that run no destructor of a `static`.

use std::{
    env,
    path::Path,
    process::{self, Command, Stdio},
    sync::{LazyLock, mpsc},
    thread,
};

use memolith::{Memo, Store};

use crate::{
    child::{self, Child, say},
    harness::Claim,
    values::{self, Values, is_blob, value},
};

pub const CLAIMS: &[Claim] = &[
    ("ends::a_static_store_keeps_everything_when_main_returns", main_returns),
    ("ends::a_static_store_keeps_everything_when_the_program_exits", program_exits),
    ("ends::a_static_store_keeps_everything_when_main_panics", main_panics),
    ("ends::an_exit_while_another_thread_writes_ends_and_the_next_open_works", exit_is_not_held_up),
    ("ends::a_temporary_store_in_a_static_is_removed_at_the_end", temporary_goes),
    ("ends::a_store_by_a_relative_path_stays_where_it_was_opened", relative_stays),
];

/// The number of quick results that a short program computes.
const RESULTS: u32 = 400;

static STORE: LazyLock<Store> = LazyLock::new(|| Store::open(child::directory()).unwrap());
static VALUES: LazyLock<Values> = LazyLock::new(|| Memo::builder("values").open(&STORE).unwrap());

/// The short program, as a user would write it. Its end comes after it.
pub fn remember() {
    for key in 0..RESULTS {
        VALUES.get_or_insert_with(&key, || value(key, 0));
    }
}

pub fn exit() {
    remember();
    process::exit(0);
}

pub fn panic() {
    remember();
    panic!("at the end of main");
}

pub fn exit_while_busy() {
    let (begun, writes) = mpsc::channel();
    thread::spawn(move || {
        for key in 0.. {
            VALUES.insert(&(key % RESULTS), &value(key % RESULTS, key.into())).unwrap();
            let _ = begun.send(());
        }
    });
    writes.iter().take(50).for_each(drop);
    process::exit(0);
}

pub fn temporary() {
    static TEMPORARY: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());
    let memo: Values = Memo::builder("values").open(&TEMPORARY).unwrap();
    memo.insert(&0, &value(0, 0)).unwrap();
    say(TEMPORARY.path().unwrap().to_str().unwrap());
    std::mem::forget(memo);
}

/// Opens by a relative path, changes the directory, works on.
pub fn relative() {
    let store = Store::open("here/cache").unwrap();
    let memo: Values = Memo::builder("values").open(&store).unwrap();
    env::set_current_dir(env::temp_dir()).unwrap();
    (0..20).for_each(|key| drop(memo.get_or_insert_with(&key, || value(key, 0))));
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    store.close().unwrap();
}

/// B123
fn main_returns() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _) = Child::play("return", directory.path(), 0).end();
    assert_eq!(status.code(), Some(0));
    assert_all_remembered(directory.path(), RESULTS);
}

fn program_exits() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _) = Child::play("exit", directory.path(), 0).end();
    assert_eq!(status.code(), Some(0));
    assert_all_remembered(directory.path(), RESULTS);
}

fn main_panics() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    let child = Child::spawn(command.stderr(Stdio::piped()), "panic", directory.path());
    let (status, words) = child.end();
    assert!(status.code() == Some(101) && words.contains("at the end of main"), "{status}: {words}");
    assert_all_remembered(directory.path(), RESULTS);
}

#[track_caller]
fn assert_all_remembered(directory: &Path, results: u32) {
    let (store, memo) = values::open(directory);
    assert_eq!(memo.len().unwrap(), results as usize);
    for key in 0..results {
        let found = memo.get_or_insert_with(&key, || panic!("{key} was lost"));
        assert!(found == value(key, 0), "{key}");
    }
    assert!((0..results).any(|key| is_blob(key, 0)) && memo.stats().hits.disk == u64::from(results));
    assert!(memo.last_failure().is_none() && store.last_failure().is_none(), "{:?}", memo.last_failure());
}

fn exit_is_not_held_up() {
    for _ in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        let child = Child::spawn(command.stderr(Stdio::null()), "exit while busy", directory.path());
        let (status, _) = child.end();
        assert_eq!(status.code(), Some(0), "{status}");
        let (_store, memo) = values::open(directory.path());
        assert!(memo.len().unwrap() >= 49, "{} of 50 acknowledged", memo.len().unwrap());
        for key in 0..RESULTS {
            let _whole = memo.get(&key).unwrap().map(|found| values::version_of(key, &found));
        }
    }
}

fn temporary_goes() {
    let mut child = Child::play("temporary", Path::new(""), 0);
    let path = child.line().unwrap();
    let (status, _) = child.end();
    assert!(status.success() && path.contains("memolith-"), "{status}: {path}");
    assert!(!Path::new(&path).exists(), "{path} was left behind");
}

fn relative_stays() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    let (status, _) = Child::spawn(command.current_dir(directory.path()), "relative", Path::new("")).end();
    assert_eq!(status.code(), Some(0));
    assert_all_remembered(&directory.path().join("here/cache"), 20);
}
