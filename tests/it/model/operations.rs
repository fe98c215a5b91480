//! The operations on a store, their possible answers, and the random choice of both.

use std::time::Duration;

use memolith::testing::{Fault, Operation as Door};
use proptest::{collection, option, prelude::*, sample::select};

use crate::vocabulary::*;

pub const MEMOS: usize = 2;
pub const KEYS: u8 = 6;

/// A memo, and a key in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub memo: usize,
    pub key: u8,
}

#[derive(Clone, Debug)]
pub enum Operation {
    /// A closure that returns a value, a large one or a small one.
    Compute(Slot, bool),
    /// A closure that returns an error.
    Fail(Slot),
    /// A closure that panics.
    Panic(Slot),
    Get(Slot),
    Insert(Slot, bool),
    Remove(Slot),
    Clear(usize),
    ClearStore,
    Sweep,
    Advance(Duration),
    SetBack(Duration),
    /// Dropped and opened again, as it was or with other options.
    Reopen(Option<Setup>),
    Plant(Door, Fault),
    Heal,
}

/// The options of a store and of its two memos.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub memory: u64,
    pub max_bytes: Option<u64>,
    pub memos: [MemoSetup; MEMOS],
}

#[derive(Clone, Copy, Debug, Default)]
pub struct MemoSetup {
    pub ttl: Option<Duration>,
    pub max_entries: Option<u64>,
    pub max_bytes: Option<u64>,
    pub version: u64,
}

/// The outcome of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A value, and whether the closure ran for it.
    Value {
        value: Value,
        computed: bool,
    },
    /// The error, or the panic, of the closure itself.
    Thrown,
    Found(Option<Value>),
    Was(bool),
    Done,
    Swept {
        expired: u64,
        retired: u64,
        orphaned: u64,
        bytes: u64,
    },
    /// The cache reports a failure.
    Refused,
}

/// No two computations have the same serial, so a stale value is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    pub serial: u64,
    /// Over 4 KiB: it lies in a file of its own.
    pub large: bool,
}

impl Value {
    pub fn bytes(self) -> Vec<u8> {
        let length = if self.large { 5_000 } else { 8 };
        self.serial.to_le_bytes().into_iter().cycle().take(length).collect()
    }

    #[track_caller]
    pub fn read(bytes: &[u8]) -> Self {
        let serial = u64::from_le_bytes(*bytes.first_chunk().unwrap());
        let value = Self { serial, large: bytes.len() > 8 };
        assert_eq!(bytes, value.bytes(), "it was never computed like this");
        value
    }
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub setup: Setup,
    pub operations: Vec<Operation>,
}

/// Sequences in which nothing fails.
pub fn faultless() -> impl Strategy<Value = Scenario> {
    scenario(harmless().boxed())
}

/// The same for one store, which is never opened again.
pub fn faultless_in_one_run() -> impl Strategy<Value = Scenario> {
    let in_one_run = |operation| match operation {
        Operation::Reopen(_) => Operation::Sweep,
        other => other,
    };
    scenario(harmless().prop_map(in_one_run).boxed())
}

/// Sequences in which the disk is full now and then.
pub fn with_a_full_disk() -> impl Strategy<Value = Scenario> {
    let doors = select(vec![Door::Write, Door::Read, Door::Flush, Door::BlobWrite]);
    scenario(faulty(doors.prop_map(|door| Operation::Plant(door, Fault::NoSpace)).boxed()))
}

/// Sequences in which any operation of the engine fails in any way.
pub fn with_a_broken_engine() -> impl Strategy<Value = Scenario> {
    let doors = select(vec![
        Door::Open,
        Door::Read,
        Door::Write,
        Door::Remove,
        Door::Scan,
        Door::Flush,
        Door::BlobWrite,
        Door::BlobRead,
    ]);
    let faults = select(vec![Fault::NoSpace, Fault::Corrupt, Fault::Panic]);
    scenario(faulty((doors, faults).prop_map(|(door, fault)| Operation::Plant(door, fault)).boxed()))
}

fn scenario(operation: BoxedStrategy<Operation>) -> impl Strategy<Value = Scenario> {
    (setup(), collection::vec(operation, 1..120))
        .prop_map(|(setup, operations)| Scenario { setup, operations })
}

fn faulty(plant: BoxedStrategy<Operation>) -> BoxedStrategy<Operation> {
    prop_oneof![12 => harmless(), 1 => plant, 1 => Just(Operation::Heal)].boxed()
}

fn harmless() -> impl Strategy<Value = Operation> {
    let seconds = |seconds: &[u64]| select(seconds.to_vec()).prop_map(Duration::from_secs);
    prop_oneof![
        24 => (slot(), any::<bool>()).prop_map(|(slot, large)| Operation::Compute(slot, large)),
        3 => slot().prop_map(Operation::Fail),
        3 => slot().prop_map(Operation::Panic),
        8 => slot().prop_map(Operation::Get),
        8 => (slot(), any::<bool>()).prop_map(|(slot, large)| Operation::Insert(slot, large)),
        5 => slot().prop_map(Operation::Remove),
        1 => (0..MEMOS).prop_map(Operation::Clear),
        1 => Just(Operation::ClearStore),
        2 => Just(Operation::Sweep),
        8 => seconds(&[1, 5, 45, 600, 5 * 3600, 30 * 3600]).prop_map(Operation::Advance),
        4 => seconds(&[5, 45, 60, 61, 7200]).prop_map(Operation::SetBack),
        3 => option::of(setup()).prop_map(Operation::Reopen),
    ]
}

fn slot() -> impl Strategy<Value = Slot> {
    (0..MEMOS, 0..KEYS).prop_map(|(memo, key)| Slot { memo, key })
}

fn setup() -> impl Strategy<Value = Setup> {
    let memory = select(vec![0, 2_000, 1 << 20]);
    let max_bytes = select(vec![None, None, Some(11_000), Some(20_000)]);
    (memory, max_bytes, [memo_setup(), memo_setup()]).prop_map(|(memory, max_bytes, memos)| Setup {
        memory,
        max_bytes,
        memos,
    })
}

fn memo_setup() -> impl Strategy<Value = MemoSetup> {
    let ttl = select(vec![None, None, Some(10 * SECOND), Some(2 * MINUTE), Some(10 * HOUR)]);
    let max_entries = select(vec![None, None, Some(1), Some(2), Some(4)]);
    let max_bytes = select(vec![None, None, None, Some(300), Some(6_000), Some(16_000)]);
    (ttl, max_entries, max_bytes, 1..3u64).prop_map(|(ttl, max_entries, max_bytes, version)| MemoSetup {
        ttl,
        max_entries,
        max_bytes,
        version,
    })
}
