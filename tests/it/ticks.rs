//! The history of calls and changes: whether an answer may be the one to a call.

#![allow(clippy::indexing_slicing, reason = "keys and ticks are drawn within bounds")]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

pub struct History {
    /// The order of all events.
    ticks: AtomicU64,
    /// By key: the tick before the latest change that has returned.
    floors: Vec<AtomicU64>,
    /// By the tick of a value: the latest tick at which its origin may count. A computation counts at its tick. An
    /// insert counts until it has returned, because it may take effect as late as that.
    latest: Vec<AtomicU64>,
    /// The number of calls that were answered with a value of another call.
    pub shared: AtomicUsize,
}

impl History {
    /// For a number of keys and ticks.
    pub fn new(keys: usize, ticks: usize) -> Self {
        let latest = (0..ticks).map(|_| AtomicU64::new(u64::MAX)).collect();
        let floors = (0..keys).map(|_| AtomicU64::new(0)).collect();
        Self { ticks: AtomicU64::new(1), floors, latest, shared: AtomicUsize::default() }
    }

    /// That of the next event.
    pub fn tick(&self) -> u64 {
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
        self.changed(keys, before);
    }

    /// A change that began at the tick has returned.
    pub fn changed(&self, keys: impl Iterator<Item = usize>, before: u64) {
        for key in keys {
            self.floors[key].fetch_max(before, SeqCst);
        }
    }

    /// The insert of the value of a tick has returned.
    pub fn inserted(&self, key: usize, tick: u64) {
        self.latest[tick as usize].store(self.tick(), SeqCst);
        self.changed([key].into_iter(), tick);
    }

    /// Inserts the value of the tick.
    pub fn insert(&self, key: usize, insert: impl FnOnce(u64)) {
        let tick = self.tick();
        insert(tick);
        self.inserted(key, tick);
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
