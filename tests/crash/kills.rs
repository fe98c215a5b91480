//! A change that was acknowledged before `kill -9` is there after it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use memolith::{Memo, Store, future};

use crate::{
    child::{self, Child, say, seed, wait_for_release},
    harness::Claim,
    values::{self, Values, value, version_of},
};

pub const CLAIMS: &[Claim] = &[
    ("kills::an_acknowledged_removal_stays_removed", removal_stays),
    ("kills::an_acknowledged_overwrite_stays_overwritten", overwrite_stays),
    ("kills::an_acknowledged_clear_stays_empty", clear_stays),
    ("kills::what_was_flushed_is_there", flushed_is_there),
    ("kills::a_bound_that_is_new_after_a_kill_holds_at_once", new_bound_holds),
    ("kills::what_was_counted_after_a_kill_is_known_to_the_next_clear", counted_then_cleared),
    ("kills::a_value_that_took_over_15_ms_is_there_once_it_was_handed_over", slow_value_is_there),
    ("kills::what_was_answered_to_one_of_many_tasks_is_there", answered_values_are_there),
];

const ROUNDS: u64 = 20;
const KEYS: u32 = 12;
const MANY: u32 = 3_000;

/// Each role opens a store that was closed, does one thing, and says so.
pub fn remove() {
    let (_store, memo) = values::open(&child::directory());
    for key in 0..KEYS {
        // Every other time the entry is in the memory tier as well.
        assert!(seed().is_multiple_of(2) || memo.get(&key).unwrap().is_some());
        assert!(memo.remove(&key).unwrap());
    }
    acknowledge();
}

pub fn overwrite() {
    let (_store, memo) = values::open(&child::directory());
    for key in 0..KEYS {
        memo.insert(&key, &value(key, seed() + 1)).unwrap();
    }
    acknowledge();
}

pub fn clear() {
    let (store, memo) = values::open(&child::directory());
    match seed() % 3 {
        0 => memo.clear().unwrap(),
        1 => store.clear().unwrap(),
        _ => assert!(store.remove_memo("values").unwrap()),
    }
    acknowledge();
}

/// Many entries, and no bound.
pub fn fill_up() {
    let (store, memo) = values::open(&child::directory());
    for key in 0..MANY {
        memo.get_or_insert_with(&key, || value(key, 1));
    }
    store.flush().unwrap();
    acknowledge();
}

pub fn flush() {
    let (store, memo) = values::open(&child::directory());
    for key in 0..KEYS {
        memo.get_or_insert_with(&key, || value(key, seed()));
    }
    let flushed = if seed().is_multiple_of(2) { memo.flush() } else { store.flush() };
    flushed.unwrap();
    acknowledge();
}

/// Over 15 ms of real time, without a sleep.
pub fn compute_slowly() {
    let (_store, memo) = values::open(&child::directory());
    let key = seed() as u32;
    memo.get_or_insert_with(&key, || {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(16) {
            std::hint::spin_loop();
        }
        value(key, 0)
    });
    acknowledge();
}

/// One task with 128 calls of 20 ms at a time, as a link checker. It says the key of each answer.
pub fn compute_in_tasks() {
    let (_store, memo) = values::open(&child::directory());
    let memo: future::Memo<u32, Vec<u8>> = memo.into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let calls = (0..MANY).map(|key| {
        let memo = &memo;
        async move {
            let compute = || async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                value(key, 0)
            };
            memo.get_or_insert_with(&key, compute).await;
            key
        }
    });
    let answers = stream::iter(calls).buffer_unordered(128);
    runtime.block_on(answers.for_each(async |key| say(&key.to_string())));
    wait_for_release();
}

fn acknowledge() {
    say("done");
    wait_for_release();
}

/// The run that counts makes no change. The next run goes by the account that it wrote.
fn counted_then_cleared() {
    let directory = tempfile::tempdir().unwrap();
    kill_when_done("flush", directory.path(), 1);
    let (store, memo) = values::open(directory.path());
    assert_eq!(memo.len().unwrap(), KEYS as usize);
    store.close().unwrap();
    drop(memo);
    let (store, memo) = values::open(directory.path());
    assert_eq!(memo.len().unwrap(), KEYS as usize);
    memo.clear().unwrap();
    store.close().unwrap();
    drop(memo);
    let (_store, memo) = values::open(directory.path());
    (0..KEYS).for_each(|key| assert_eq!(memo.get(&key).unwrap(), None));
}

fn kill_when_done(role: &str, directory: &Path, seed: u64) {
    let mut child = Child::play(role, directory, seed);
    child.expect("done");
    child.kill();
}

/// The store before the child: closed, with every key at the version `round`.
fn fill(directory: &Path, round: u64) {
    let (store, memo) = values::open(directory);
    (0..KEYS).for_each(|key| memo.insert(&key, &value(key, round)).unwrap());
    store.close().unwrap();
}

fn each_round(role: &str, after: impl Fn(u64, &Store, &Values)) {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        fill(directory.path(), round);
        kill_when_done(role, directory.path(), round);
        let (store, memo) = values::open(directory.path());
        after(round, &store, &memo);
        store.close().unwrap();
    }
}

#[track_caller]
fn assert_empty(memo: &Values) {
    (0..KEYS).for_each(|key| assert_eq!(memo.get(&key).unwrap(), None, "{key} came back"));
    assert!(memo.is_empty().unwrap() && memo.stats().failures.total() == 0, "{}", memo.stats());
}

/// B100, B122
fn removal_stays() {
    each_round("remove", |_, _, memo| assert_empty(memo));
}

/// B122
fn overwrite_stays() {
    each_round("overwrite", |round, _, memo| {
        for key in 0..KEYS {
            let found = memo.get_or_insert_with(&key, || panic!("{key} was lost"));
            assert_eq!(version_of(key, &found), round + 1, "{key}");
        }
        assert_eq!(memo.len().unwrap(), KEYS as usize);
    });
}

/// B95, B96, B101
fn clear_stays() {
    each_round("clear", |_, store, memo| {
        assert_empty(memo);
        assert_eq!(store.usage().unwrap().entries, 0);
    });
}

fn flushed_is_there() {
    for seed in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        kill_when_done("flush", directory.path(), seed);
        let (_store, memo) = values::open(directory.path());
        for key in 0..KEYS {
            let found = memo.get_or_insert_with(&key, || panic!("{key} was lost"));
            assert_eq!(version_of(key, &found), seed);
        }
    }
}

/// B91
fn new_bound_holds() {
    let directory = tempfile::tempdir().unwrap();
    kill_when_done("fill up", directory.path(), 0);
    let store = Store::open(directory.path()).unwrap();
    let memo: Values = Memo::builder("values").max_entries(10).open(&store).unwrap();
    assert_eq!((memo.len().unwrap(), memo.stats().evictions), (10, u64::from(MANY) - 10));
    let left: Vec<u32> = (0..MANY).filter(|key| memo.get(key).unwrap().is_some()).collect();
    assert_eq!(left, (MANY - 10..MANY).collect::<Vec<_>>(), "the oldest leave");
}

fn slow_value_is_there() {
    let directory = tempfile::tempdir().unwrap();
    for key in 0..10 {
        kill_when_done("compute slowly", directory.path(), key.into());
        let store = Store::open(directory.path()).unwrap();
        let memo: Values = Memo::builder("values").open(&store).unwrap();
        for key in 0..=key {
            let found = memo.get_or_insert_with(&key, || panic!("{key} was lost"));
            assert_eq!(version_of(key, &found), 0);
        }
    }
}

/// Killed in the middle.
fn answered_values_are_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Child::play("compute in tasks", directory.path(), 0);
    let answered: Vec<u32> = (0..1_000).map(|_| child.line().unwrap().parse().unwrap()).collect();
    child.kill();
    let (_store, memo) = values::open(directory.path());
    for key in answered {
        let found = memo.get_or_insert_with(&key, || panic!("{key} was lost"));
        assert_eq!(version_of(key, &found), 0);
    }
}
