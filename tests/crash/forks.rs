//! A process that has a store open is forked, and the child goes on without an exec.

use std::{
    ffi::c_int,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use memolith::{Memo, ResourcePool, Stats, Store};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::{
    child::{self, Child, say, wait_for_release},
    harness::Claim,
    values::{self, Values, value},
};

pub const CLAIMS: &[Claim] = &[
    ("forks::a_child_computes_and_ends_and_its_parent_loses_nothing", children_compute),
    ("forks::a_child_that_lives_on_keeps_no_store_of_a_killed_parent_locked", child_holds_no_lock),
    ("forks::a_store_of_a_process_that_was_forked_before_its_first_store_works", forked_first),
    ("forks::a_child_of_a_process_with_a_store_in_memory_computes_and_opens_its_own", forked_in_memory),
];

// SAFETY: the signatures are those of POSIX. Between `fork` and its end a child calls only functions that the
// standard library allows there, as the tests show.
#[expect(unsafe_code, reason = "std has no fork")]
unsafe extern "C" {
    safe fn fork() -> c_int;
    safe fn alarm(seconds: u32) -> u32;
}

/// The limit of a child, in seconds. A child that hangs is ended by a signal.
const LIMIT: u32 = 30;

const CHILDREN: u32 = 40;
const KEYS: u32 = 60;

/// Runs `child` in a forked process, which ends as its `main` would.
fn in_a_child(name: &str, child: impl FnOnce()) {
    let process = fork();
    if process == 0 {
        alarm(LIMIT);
        child();
    }
    end_or_await(process, name);
}

/// In the child: ends it. In the parent: waits for the end.
fn end_or_await(child: c_int, name: &str) {
    let Some(child) = Pid::from_raw(child) else { process::exit(0) };
    let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0), "{name}: {status:?}");
}

fn children_compute() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Child::play("fork", directory.path(), 0);
    child.expect("whole");
    let (status, _) = child.end();
    assert!(status.success(), "{status}");
    let (store, memo) = values::open(directory.path());
    for key in 0..KEYS {
        assert_eq!(memo.get(&key).unwrap(), Some(value(key, 1)), "{key}");
    }
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
}

/// Three threads take every lock now and then while the process is forked.
pub fn play() {
    let (store, memo) = values::open(&child::directory());
    let pool = ResourcePool::new();
    (0..KEYS).for_each(|key| memo.insert(&key, &value(key, 1)).unwrap());
    let ended = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..3)
        .map(|number| {
            let (memo, pool, store, ended) = (memo.clone(), pool.clone(), store.clone(), Arc::clone(&ended));
            thread::spawn(move || keep_busy(number, &memo, &pool, &store, &ended))
        })
        .collect();
    for number in 0..CHILDREN {
        let (memo, store) = (memo.clone(), store.clone());
        in_a_child(&format!("child {number}"), || go_on(number, memo, &pool, store));
    }
    forked_in_a_closure(&memo, &pool);
    ended.store(true, Ordering::Release);
    for thread in busy {
        thread.join().unwrap();
    }
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    for key in 0..KEYS {
        assert_eq!(memo.get(&key).unwrap(), Some(value(key, 1)), "{key}");
    }
    store.close().unwrap();
    say("whole");
}

fn keep_busy(number: u32, memo: &Values, pool: &ResourcePool, store: &Store, ended: &AtomicBool) {
    let other: Values = Memo::builder("others").max_entries(50).open(store).unwrap();
    for turn in 0_u32.. {
        if ended.load(Ordering::Acquire) {
            return;
        }
        let key = turn % KEYS;
        assert_eq!(memo.get_or_insert_with(&key, || unreachable!("{key} was inserted")), value(key, 1));
        let version = u64::from(turn) * 3 + u64::from(number);
        other.insert(&key, &value(key, version)).unwrap();
        other.remove(&(key + 1)).unwrap();
        pool.get_or_insert_with(&(turn % 7), || turn);
        pool.remove::<u32>(&(turn % 5));
        let _ = (store.stats(), memo.last_failure());
    }
}

/// All calls that a child may make.
fn go_on(number: u32, memo: Values, pool: &ResourcePool, store: Store) {
    for key in 0..3 {
        assert_eq!(memo.get_or_insert_with(&key, || value(key, 7)), value(key, 7), "it computes");
        let failed: Result<Vec<u8>, &str> = memo.get_or_try_insert_with(&key, || Err("its own words"));
        assert_eq!(failed, Err("its own words"));
    }
    let outcomes = [
        memo.get(&1).map(drop),
        memo.insert(&1, &value(1, 7)),
        memo.remove(&1).map(drop),
        memo.contains_key(&1).map(drop),
        memo.clear(),
        memo.flush(),
        store.clear(),
        store.flush(),
        store.sweep().map(drop),
        store.remove_memo("values").map(drop),
        memo.len().map(drop),
        memo.usage().map(drop),
        store.usage().map(drop),
        store.memos().map(drop),
        Memo::<u32, u32>::builder("new").open(&store).map(drop),
        Store::open(child::directory().join("another")).map(drop),
        Store::temporary().map(drop),
    ];
    for outcome in outcomes {
        assert!(outcome.unwrap_err().to_string().contains("forked"));
    }
    assert!(memo.last_failure().is_some() && store.last_failure().is_some());
    assert_eq!((memo.stats(), store.stats()), (Stats::default(), Stats::default()));
    assert_eq!(*pool.get_or_insert_with("one", || number), number);
    assert!(pool.get::<u32>("one").is_none() && !pool.remove::<u32>("one") && pool.is_empty());
    pool.clear();
    let memory = Store::open_or_temporary(child::directory().join("another"));
    let own: Memo<u32, u32> = Memo::builder("own").open(&memory).unwrap();
    assert_eq!(own.get_or_insert_with(&1, || number), number);
    assert_eq!(own.get_or_insert_with(&1, || unreachable!("it is in memory")), number);
    own.insert(&2, &number).unwrap();
    assert_eq!((memory.path(), own.len().unwrap()), (None, 2));
    let own = ResourcePool::new();
    own.get_or_insert_with("one", || 1);
    assert_eq!(own.len(), 1);
    match number % 3 {
        0 => drop((memo, store)),
        1 => assert!(store.close().is_err()),
        _ => {}
    }
}

/// The child returns from the closure, with the value, into the call that its parent made.
fn forked_in_a_closure(memo: &Values, pool: &ResourcePool) {
    let fork = || {
        let child = fork();
        if child == 0 {
            alarm(LIMIT);
        }
        child
    };
    let (mut child, key) = (-1, KEYS + 1);
    let found = memo.get_or_insert_with(&key, || {
        child = fork();
        value(key, 1)
    });
    assert_eq!(found, value(key, 1));
    end_or_await(child, "of a closure");
    pool.get_or_insert_with("forked", || child = fork());
    end_or_await(child, "of a builder");
    let failed = memo.get_or_try_insert_with(&(key + 1), || {
        child = fork();
        Err("its own words")
    });
    assert_eq!(failed, Err("its own words"));
    end_or_await(child, "of a closure that fails");
    assert_eq!(memo.get(&key).unwrap(), Some(value(key, 1)));
}

fn child_holds_no_lock() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Child::play("fork and wait", directory.path(), 0);
    child.expect("forked");
    child.kill();
    let store = Store::builder().lock_timeout(Duration::ZERO).open(directory.path()).unwrap();
    let memo: Values = Memo::builder("values").open(&store).unwrap();
    assert_eq!(memo.get(&0).unwrap(), Some(value(0, 1)), "{:?}", store.last_failure());
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    store.close().unwrap();
    child.release();
    child.expect("lived on");
}

/// The child of this process lives until the test releases it.
pub fn fork_and_wait() {
    let (_store, memo) = values::open(&child::directory());
    memo.insert(&0, &value(0, 1)).unwrap();
    if fork() == 0 {
        alarm(LIMIT);
        say("forked");
        wait_for_release();
        say("lived on");
        process::exit(0);
    }
    wait_for_release();
}

fn forked_first() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Child::play("fork first", directory.path(), 0);
    child.expect("whole");
    assert!(child.end().0.success());
}

fn forked_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Child::play("fork in memory", directory.path(), 0);
    child.expect("whole");
    assert!(child.end().0.success());
}

/// No storage engine was started, so the child may start one.
pub fn fork_in_memory() {
    let store = Store::in_memory();
    let memo: Values = Memo::builder("values").open(&store).unwrap();
    memo.insert(&1, &value(1, 1)).unwrap();
    in_a_child("of a process with a store in memory", || {
        assert_eq!(memo.get_or_insert_with(&1, || value(1, 7)), value(1, 7), "it computes");
        assert!(memo.insert(&1, &value(1, 7)).unwrap_err().to_string().contains("forked"));
        let (_store, on_disk) = values::open(&child::directory());
        let own: Values = Memo::builder("values").open(&Store::in_memory()).unwrap();
        for memo in [on_disk, own] {
            memo.insert(&2, &value(2, 1)).unwrap();
            assert_eq!((memo.get(&2).unwrap(), memo.len().unwrap()), (Some(value(2, 1)), 1));
        }
    });
    assert_eq!(memo.get(&1).unwrap(), Some(value(1, 1)));
    say("whole");
}

/// Like a program that moves itself into the background.
pub fn fork_first() {
    in_a_child("before the first store", || {
        let (store, memo) = values::open(&child::directory());
        assert_eq!(memo.get_or_insert_with(&1, || value(1, 1)), value(1, 1));
        store.flush().unwrap();
    });
    let (_store, memo) = values::open(&child::directory());
    assert_eq!(memo.get(&1).unwrap(), Some(value(1, 1)));
    say("whole");
}
