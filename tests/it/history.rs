//! Promise 6 under load. Threads call, remove, clear and insert over few keys, while a bound evicts. Every value
//! carries the tick at which its computation began. Each answer is checked against the history of changes.

#![allow(clippy::indexing_slicing, reason = "keys and ticks are drawn within bounds")]

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    thread,
};

use memolith::{Memo, Store};

use crate::{threads::watched, vocabulary::*};

const THREADS: usize = 4;
const KEYS: usize = 3;

/// A value: its tick, and padding where the value must have a file of its own.
type Value = Vec<u64>;

pub struct History {
    /// The order of all events.
    ticks: AtomicU64,
    /// By key: the tick before the latest change that has returned.
    floors: Vec<AtomicU64>,
    /// By the tick of a value: the latest tick at which its origin may count. A computation counts at its tick. An
    /// insert counts until it has returned, because it may take effect as late as that.
    latest: Vec<AtomicU64>,
    /// The number of calls that were answered with a value of another call.
    shared: AtomicUsize,
}

impl History {
    /// For a number of keys and ticks.
    pub fn new(keys: usize, ticks: usize) -> Self {
        let latest = (0..ticks).map(|_| AtomicU64::new(u64::MAX)).collect();
        let floors = (0..keys).map(|_| AtomicU64::new(0)).collect();
        Self { ticks: AtomicU64::new(1), floors, latest, shared: AtomicUsize::default() }
    }

    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, SeqCst)
    }

    /// A computation begins: its tick.
    pub fn begin(&self) -> u64 {
        let tick = self.tick();
        self.latest[tick as usize].store(tick, SeqCst);
        tick
    }

    /// A call of the key begins. Its answer must not be from before the returned tick.
    pub fn floor(&self, key: usize) -> u64 {
        self.floors[key].load(SeqCst)
    }

    /// A change that makes earlier values of some keys invalid.
    pub fn change(&self, keys: impl Iterator<Item = usize>, change: impl FnOnce(u64)) {
        let before = self.tick();
        change(before);
        for key in keys {
            self.floors[key].fetch_max(before, SeqCst);
        }
    }

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

    /// Inserts the value of the tick.
    pub fn insert(&self, key: usize, insert: impl FnOnce(u64)) {
        self.change([key].into_iter(), |tick| {
            insert(tick);
            self.latest[tick as usize].store(self.tick(), SeqCst);
        });
    }

    /// Whether a value of the tick may be the answer to a call that began at the floor.
    #[track_caller]
    pub fn check(&self, key: usize, tick: u64, floor: u64) {
        let latest = self.latest[tick as usize].load(SeqCst);
        assert!(latest >= floor, "key {key}: a value of {tick} (until {latest}) after a change of {floor}");
    }
}

/// Random numbers that are the same in each run.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
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
