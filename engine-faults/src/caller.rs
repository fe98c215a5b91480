//! One thread that calls during the fault, and notes the acknowledgements.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use memolith::{Memo, Store, testing::ManualClock};
use sled::fault;

use crate::{KEYS, index, is_large, options, own, shared, value};

/// The acknowledged state of a key.
///
/// An entry is *owed* when its insert returned `Ok`, or when a flush after its computation did without a failure in
/// between, and no other change of its key has begun since. A large entry must be there. A small entry must be there
/// unless its index was lost. The number of the index shows that loss, because small values lie in the index.
#[derive(Clone, Copy)]
pub struct Acknowledged {
    pub key: u64,
    /// Older versions must not be seen any more.
    oldest: u64,
    /// The number of the index in which an owed entry is; 0 when nothing is owed.
    index: u64,
}

impl Acknowledged {
    /// Whether the entry must be there, now that the newest index is number `index`.
    pub fn is_owed(&self, index: u64) -> bool {
        self.index > 0 && (is_large(self.key) || self.index == index)
    }

    pub fn check(&self, found: Option<&[u8]>, index: u64) {
        let Self { key, oldest, .. } = *self;
        let Some(found) = found else {
            return assert!(
                !self.is_owed(index),
                "{oldest} of {key} was acknowledged in {}, not in {index}",
                self.index
            );
        };
        let version = u64::from_le_bytes(found[8..16].try_into().unwrap());
        assert_eq!(found, value(key, version), "a wrong value");
        assert!(version >= oldest, "{version} of {key} came back after {oldest}");
    }

    pub fn save_all(all: impl Iterator<Item = Self>, path: &Path) {
        let lines = all.map(|Self { key, oldest, index }| format!("{key} {oldest} {index}\n"));
        fs::write(path.with_extension("acknowledged"), lines.collect::<String>()).unwrap();
    }

    pub fn load_all(path: &Path) -> Vec<Self> {
        let lines = fs::read_to_string(path.with_extension("acknowledged")).unwrap();
        let numbers: Vec<u64> = lines.split_whitespace().map(|number| number.parse().unwrap()).collect();
        numbers.as_chunks().0.iter().map(|&[key, oldest, index]| Self { key, oldest, index }).collect()
    }
}

/// The calls of one thread.
#[derive(Default)]
pub struct Calls {
    /// The longest call that did not itself hang in the engine.
    pub longest: Duration,
    /// The number of calls that did.
    pub hung: u64,
}

impl Calls {
    pub fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let outcome = call();
        if fault::hung_here() {
            self.hung += 1;
        } else {
            self.longest = self.longest.max(begun.elapsed());
        }
        outcome
    }
}

pub struct Caller<'a> {
    number: u64,
    store: &'a Store,
    clock: &'a ManualClock,
    path: &'a Path,
    shared: Memo<u64, Vec<u8>>,
    own: Memo<u64, Vec<u8>>,
    turn: u64,
    pub calls: Calls,
    pub acknowledged: BTreeMap<u64, Acknowledged>,
}

impl<'a> Caller<'a> {
    pub fn new(number: u64, store: &'a Store, clock: &'a ManualClock, path: &'a Path) -> Self {
        let (shared, own) = (shared(store), own(store));
        let (calls, mut acknowledged) = (Calls::default(), BTreeMap::new());
        // Some keys that no later call changes.
        for key in (number + 1) * 1_000_000 + 8..(number + 1) * 1_000_000 + 16 {
            own.insert(&key, &value(key, 0)).unwrap();
            acknowledged.insert(key, Acknowledged { key, oldest: 0, index: index(path) });
        }
        Self { number, store, clock, path, shared, own, turn: 0, calls, acknowledged }
    }

    pub fn call_for(&mut self, spell: Duration) {
        let begun = Instant::now();
        if self.number == 0 {
            self.open_another();
        }
        while begun.elapsed() < spell {
            self.turn += 1;
            self.call(self.turn);
        }
        self.computed_values_are_kept_in_memory();
    }

    fn call(&mut self, turn: u64) {
        let key = if turn.is_multiple_of(3) { self.number * 1_000_000 + turn } else { turn * 37 % KEYS };
        match turn % 16 {
            0 => _ = self.calls.time(|| self.shared.insert(&key, &value(key, 0))),
            1 => _ = self.calls.time(|| self.shared.remove(&key)),
            2..=4 => self.change_own(turn),
            5 => self.look_at_own(turn),
            6 if turn.is_multiple_of(5) => self.compute_and_flush(turn),
            7 if turn % 50 == 7 => _ = self.calls.time(|| self.store.sweep()),
            8 if turn % 100 == 8 => self.clear(),
            // Some take long enough for a flush.
            kind => self.compute(key, kind == 10 && turn < 800),
        }
    }

    fn compute(&mut self, key: u64, is_slow: bool) {
        let compute = || {
            self.clock.advance(Duration::from_millis(if is_slow { 16 } else { 0 }));
            value(key, 0)
        };
        let found = self.calls.time(|| self.shared.get_or_insert_with(&key, compute));
        assert_eq!(found, value(key, 0), "a wrong value");
    }

    fn own_key(&self, turn: u64) -> u64 {
        (self.number + 1) * 1_000_000 + turn % 8
    }

    fn change_own(&mut self, turn: u64) {
        let (key, before) = (self.own_key(turn), index(self.path));
        let changed = if turn.is_multiple_of(5) {
            self.calls.time(|| self.own.remove(&key)).map(|_| 0)
        } else {
            self.calls.time(|| self.own.insert(&key, &value(key, turn))).map(|()| self.owed(key, before))
        };
        let known = self.acknowledged.entry(key).or_insert(Acknowledged { key, oldest: 0, index: 0 });
        known.index = *changed.as_ref().unwrap_or(&0);
        if changed.is_ok() {
            known.oldest = turn;
        }
    }

    /// A value that is computed, then a flush, under a key that has no other change.
    fn compute_and_flush(&mut self, turn: u64) {
        let failures = || {
            let stats = self.own.stats();
            stats.failures.total() + stats.overflowed
        };
        let (key, before) = (self.own_key(0) + turn, index(self.path));
        let failed = self.calls.time(failures);
        let found = self.calls.time(|| self.own.get_or_insert_with(&key, || value(key, 0)));
        assert_eq!(found, value(key, 0), "a wrong value");
        let is_flushed = self.calls.time(|| self.store.flush()).is_ok();
        let is_whole = is_flushed && self.calls.time(failures) == failed;
        let index = if is_whole { self.owed(key, before) } else { 0 };
        self.acknowledged.insert(key, Acknowledged { key, oldest: 0, index });
    }

    /// The index in which an acknowledged entry is owed. For a small entry it is known when there was only one index
    /// during the call.
    fn owed(&self, key: u64, before: u64) -> u64 {
        if is_large(key) || index(self.path) == before { before } else { 0 }
    }

    fn look_at_own(&mut self, turn: u64) {
        let key = self.own_key(turn / 16);
        let found = self.calls.time(|| self.own.get(&key));
        if let (Ok(found), Some(known)) = (found, self.acknowledged.get(&key)) {
            known.check(found.as_deref(), index(self.path));
        }
    }

    fn clear(&mut self) {
        if let Ok(memo) = self.calls.time(|| Memo::<u64, u64>::builder("cleared").open(self.store)) {
            assert_eq!(self.calls.time(|| memo.get_or_insert_with(&7, || 7)), 7);
            let _ = self.calls.time(|| memo.clear());
            self.calls.time(|| drop(memo));
        }
    }

    fn open_another(&mut self) {
        let path = self.path.with_extension(self.turn.to_string());
        if let Ok(store) = self.calls.time(|| options(self.clock).open(path)) {
            if let Ok(memo) = self.calls.time(|| Memo::<u64, u64>::builder("other").open(&store)) {
                assert_eq!(self.calls.time(|| memo.get_or_insert_with(&7, || 7)), 7);
            }
            self.calls.time(|| drop(store));
        }
    }

    /// Under any fault of the engine, a computed value is found by one of the next calls: the first may be lost with
    /// its index.
    fn computed_values_are_kept_in_memory(&mut self) {
        let key = u64::MAX - 4 * self.turn - self.number;
        let is_found = || {
            let mut is_found = true;
            self.own.get_or_insert_with(&key, || {
                is_found = false;
                value(key, 0)
            });
            is_found
        };
        assert!((0..10).any(|_| self.calls.time(is_found)), "a computed value is not kept in memory");
    }
}
