//! A real store under the same operations, and the state of its directory.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::LazyLock,
};

use memolith::{Memo, Store};

use super::{
    operations::{Answer, KEYS, MEMOS, MemoSetup, Operation, Setup, Slot, Value},
    reference::{Counts, Weights},
};
use crate::vocabulary::*;

type Numbers = Memo<u8, Vec<u8>>;

/// Where the store of a subject lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Disk,
    Memory,
}

pub struct Subject {
    pub bench: Bench,
    pub place: Place,
    setup: Setup,
    open: Option<Open>,
    /// Whether a fault is planted.
    pub failing: bool,
}

struct Open {
    memos: [Numbers; MEMOS],
    /// Last, so that it is closed when this is dropped.
    store: Store,
}

impl Subject {
    pub fn new(place: Place, setup: Setup) -> Self {
        let bench = Bench::new();
        let open = Open::new(&bench, place, setup).unwrap();
        Self { bench, place, setup, open: Some(open), failing: false }
    }

    pub fn memo(&self, memo: usize) -> &Numbers {
        &self.open.as_ref().unwrap().memos[memo]
    }

    pub fn store(&self) -> &Store {
        &self.open.as_ref().unwrap().store
    }

    pub fn perform(&mut self, operation: &Operation, serial: u64) -> Answer {
        match *operation {
            Operation::Compute(slot, large) => self.compute(slot, || Ok(Value { serial, large }.bytes())),
            Operation::Fail(slot) => self.compute(slot, || Err(())),
            Operation::Panic(slot) => self.panic(slot),
            Operation::Get(slot) => answer(self.memo(slot.memo).get(&slot.key), |found| {
                Answer::Found(found.map(|v| Value::read(&v)))
            }),
            Operation::Insert(slot, large) => {
                answer(self.memo(slot.memo).insert(&slot.key, &Value { serial, large }.bytes()), |()| {
                    Answer::Done
                })
            }
            Operation::Remove(slot) => answer(self.memo(slot.memo).remove(&slot.key), Answer::Was),
            Operation::Clear(memo) => answer(self.memo(memo).clear(), |()| Answer::Done),
            Operation::ClearStore => answer(self.store().clear(), |()| Answer::Done),
            Operation::Sweep => answer(self.store().sweep(), |swept| Answer::Swept {
                expired: swept.expired,
                retired: swept.retired,
                orphaned: swept.orphaned,
                bytes: swept.bytes,
            }),
            _ => {
                self.change(operation);
                Answer::Done
            }
        }
    }

    fn change(&mut self, operation: &Operation) {
        match *operation {
            Operation::Advance(by) => self.bench.clock.advance(by),
            Operation::SetBack(by) => self.bench.clock.set_back(by),
            Operation::Reopen(setup) => self.reopen(setup.unwrap_or(self.setup)),
            Operation::Plant(door, fault) => {
                self.bench.faults.plant(door, fault);
                self.failing = true;
            }
            _ => {
                self.bench.faults.heal();
                self.failing = false;
            }
        }
    }

    fn compute(&self, slot: Slot, compute: impl FnOnce() -> Result<Vec<u8>, ()>) -> Answer {
        let mut computed = false;
        let value = self.memo(slot.memo).get_or_try_insert_with(&slot.key, || {
            computed = true;
            compute()
        });
        match value {
            Ok(value) => Answer::Value { value: Value::read(&value), computed },
            Err(()) => Answer::Thrown,
        }
    }

    fn panic(&self, slot: Slot) -> Answer {
        let call = || self.memo(slot.memo).get_or_insert_with(&slot.key, || resume_unwind(Box::new("mine")));
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(value) => Answer::Value { value: Value::read(&value), computed: false },
            Err(panic) => {
                assert_eq!(panic.downcast_ref(), Some(&"mine"), "another panic than the closure's came out");
                Answer::Thrown
            }
        }
    }

    fn reopen(&mut self, setup: Setup) {
        self.setup = setup;
        self.open = None;
        if !self.failing {
            assert_eq!(files(&self.bench.path().join("trash")), 0, "a close leaves no trash behind");
        }
        let open = Open::new(&self.bench, self.place, setup).or_else(|_| {
            self.change(&Operation::Heal);
            Open::new(&self.bench, self.place, setup)
        });
        self.open = Some(open.unwrap());
    }

    pub fn counts(&self, memo: usize) -> Counts {
        let stats = self.memo(memo).stats();
        assert_eq!(stats.failures.total(), stats.failures.oversize, "{:?}", self.memo(memo).last_failure());
        Counts {
            hits: stats.hits.total(),
            misses: stats.misses.total(),
            inserts: stats.inserts,
            evictions: stats.evictions,
        }
    }

    /// Checks the number of files under `blobs/`. In memory there is not even a directory.
    #[track_caller]
    pub fn assert_files(&self, expected: usize) {
        match self.place {
            Place::Disk => {
                assert_eq!(files(&self.bench.path().join("blobs")), expected, "files under blobs/");
            }
            Place::Memory => assert!(!self.bench.path().exists()),
        }
    }

    /// The large values that the store still has.
    pub fn large_values(&self) -> usize {
        let slots = (0..MEMOS).flat_map(|memo| (0..KEYS).map(move |key| (memo, key)));
        slots
            .filter(|(memo, key)| matches!(self.memo(*memo).get(key), Ok(Some(value)) if value.len() > 8))
            .count()
    }

    /// The files on disk are within every bound.
    #[track_caller]
    pub fn assert_bounded(&self) {
        let bounded = |bytes: u64, bound: Option<u64>| assert!(bound.is_none_or(|bound| bytes <= bound));
        for (memo, setup) in self.setup.memos.iter().enumerate() {
            let usage = self.memo(memo).usage().unwrap();
            bounded(usage.bytes, setup.max_bytes);
            bounded(usage.entries, setup.max_entries);
        }
        bounded(self.store().usage().unwrap().bytes, self.setup.max_bytes);
    }
}

impl Open {
    fn new(bench: &Bench, place: Place, setup: Setup) -> memolith::Result<Self> {
        let mut options = bench.options().memory(setup.memory);
        if let Some(bytes) = setup.max_bytes {
            options = options.max_bytes(bytes);
        }
        let store = match place {
            Place::Disk => options.open(bench.path())?,
            Place::Memory => options.in_memory()?,
        };
        let [first, second] = setup.memos;
        let memos = [open("a", &store, first)?, open("b", &store, second)?];
        Ok(Self { memos, store })
    }
}

fn open(name: &str, store: &Store, setup: MemoSetup) -> memolith::Result<Numbers> {
    let mut options = Memo::builder(name).version(setup.version);
    if let Some(ttl) = setup.ttl {
        options = options.ttl(ttl);
    }
    if let Some(entries) = setup.max_entries {
        options = options.max_entries(entries);
    }
    if let Some(bytes) = setup.max_bytes {
        options = options.max_bytes(bytes);
    }
    options.open(store)
}

fn answer<T>(outcome: memolith::Result<T>, told: impl FnOnce(T) -> Answer) -> Answer {
    outcome.map_or(Answer::Refused, told)
}

fn files(path: &Path) -> usize {
    let inside = fs::read_dir(path).into_iter().flatten().flatten().map(|file| file.path());
    inside.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

/// The weight of an entry, by the account of a store in either place.
static WEIGHTS: LazyLock<[Weights; 2]> = LazyLock::new(|| {
    let bench = Bench::new();
    [bench.store(), bench.options().in_memory().unwrap()].map(|store| weights(&store))
});

pub fn weights_in(place: Place) -> Weights {
    WEIGHTS[place as usize]
}

fn weights(store: &Store) -> Weights {
    let weight = |large| {
        let memo = open("a", store, MemoSetup::default()).unwrap();
        memo.clear().unwrap();
        memo.insert(&0, &Value { serial: 0, large }.bytes()).unwrap();
        memo.usage().unwrap().bytes
    };
    Weights { small: weight(false), large: weight(true) }
}
