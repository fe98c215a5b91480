//! Promise 6 under load. Threads call, remove, clear and insert over few keys, while a bound evicts. Every value
//! carries the tick at which its computation began. Each answer is checked against the history of changes.

#![allow(clippy::indexing_slicing, reason = "values have a first element")]

use std::{sync::atomic::Ordering::SeqCst, thread};

use memolith::{Memo, Store};

pub use crate::ticks::{Dice, History};
use crate::{threads::watched, vocabulary::*};

const THREADS: usize = 4;
const KEYS: usize = 3;

/// A value: its tick, and padding where the value must have a file of its own.
type Value = Vec<u64>;

impl History {
    fn call(&self, memo: &Memo<usize, Value>, key: usize, length: usize) {
        let floor = self.floor(key);
        let mut computed = false;
        let value = memo.get_or_insert_with(&key, || {
            computed = true;
            vec![self.begin(); length]
        });
        self.shared.fetch_add(usize::from(!computed), SeqCst);
        self.check(key, value[0], floor);
    }

    fn get(&self, memo: &Memo<usize, Value>, key: usize) {
        let floor = self.floor(key);
        if let Some(value) = memo.get(&key).unwrap() {
            self.check(key, value[0], floor);
        }
    }
}

fn work(
    history: &History,
    store: &Store,
    memo: &Memo<usize, Value>,
    mut dice: Dice,
    operations: usize,
    length: usize,
) {
    for _ in 0..operations {
        let key = dice.below(KEYS as u64) as usize;
        match dice.below(100) {
            0..4 => history.change([key].into_iter(), |_| _ = memo.remove(&key).unwrap()),
            4..6 => history.change(0..KEYS, |_| memo.clear().unwrap()),
            6 => history.change(0..KEYS, |_| store.clear().unwrap()),
            7 => history.change(0..KEYS, |_| _ = store.remove_memo(memo.name()).unwrap()),
            8..12 => history.insert(key, |tick| memo.insert(&key, &vec![tick; length]).unwrap()),
            12..24 => history.get(memo, key),
            _ => history.call(memo, key, length),
        }
    }
}

fn under_load(store: impl FnOnce(&Bench) -> Store, operations: usize, length: usize) {
    let bench = Bench::new();
    let store = store(&bench);
    let memo: Memo<usize, Value> = Memo::builder("values").max_entries(2).open(&store).unwrap();
    let history = History::new(KEYS, operations * THREADS * 4);
    thread::scope(|scope| {
        for seed in 0..THREADS as u64 {
            let (history, store, memo) = (&history, &store, &memo);
            scope.spawn(move || work(history, store, memo, Dice(seed), operations, length));
        }
    });
    assert!(memo.len().unwrap() <= 2);
    let stats = memo.stats();
    assert!(stats.evictions > 0 && stats.inserts > 0 && history.shared.into_inner() > 0, "{stats}");
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
}

#[test]
fn no_call_sees_what_was_changed_before_it_began_with_memory() {
    watched(|| under_load(Bench::store, 1_500, 1));
}

#[test]
fn no_call_sees_what_was_changed_before_it_began_without_memory() {
    watched(|| under_load(Bench::diskful, 1_500, 1));
}

#[test]
fn no_call_sees_what_was_changed_before_it_began_in_files_of_their_own() {
    watched(|| under_load(Bench::store, 500, 1_000));
    watched(|| under_load(Bench::diskful, 500, 1_000));
}
