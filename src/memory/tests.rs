//! Claims about the whole tier. Claims about the order of eviction are in `sieve.rs`.

use std::{
    sync::{
        Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    clock::{Lifetime, Timestamp},
    key,
};

const SIZE: u64 = 712;
/// The charge of an entry of `SIZE`.
const CHARGE: u64 = SIZE + OVERHEAD;

fn digest(number: u8) -> Digest {
    Digest::from_bytes([number; 32])
}

fn cached(key: u8, value: impl Send + Sync + 'static, size: u64) -> Arc<CachedValue> {
    CachedValue::new(&digest(key), value, Lifetime::starting(Timestamp(1)), Duration::ZERO, size, None)
}

fn room_for(entries: u64) -> Memory {
    Memory::new(entries * CHARGE)
}

/// The keys that were evicted for the value, which must be admitted.
#[track_caller]
fn keep(
    memory: &Memory,
    owner: u64,
    key: u8,
    value: impl Send + Sync + 'static,
    cap: Option<u64>,
) -> Vec<Arc<CachedValue>> {
    match memory.admit(owner, &cached(key, value, SIZE), cap, || true) {
        Admission::Kept(victims) => victims,
        other => panic!("{other:?}"),
    }
}

fn got(memory: &Memory, owner: u64, key: u8) -> Option<u32> {
    memory.get(owner, &digest(key)).map(|cached| *cached.value().unwrap())
}

/// The encoding of a key, as a memo makes it.
fn encoded(key: u8) -> MemoKey {
    let mut encoded = MemoKey::default();
    key::compact(&key, &mut encoded).unwrap();
    encoded
}

/// Makes the entry of a key known by its encoding, and returns the values that had to leave.
fn name(memory: &Memory, owner: u64, key: u8, cap: Option<u64>) -> Vec<Arc<CachedValue>> {
    let value = memory.get(owner, &digest(key)).unwrap();
    memory.note_key(owner, &memory.key(owner, &encoded(key)).unwrap(), &value, cap)
}

fn got_by_key(memory: &Memory, owner: u64, key: u8) -> Option<u32> {
    let found = memory.get_by_key(&memory.key(owner, &encoded(key)).unwrap());
    found.map(|cached| *cached.value().unwrap())
}

/// The charge of the encoding of a key.
fn key_charge() -> u64 {
    Memory::new(0).key(0, &encoded(0)).unwrap().charge()
}

/// Every invariant that can be read off a tier at rest.
#[track_caller]
fn check(memory: &Memory) {
    let entries: Vec<u64> =
        memory.shards.iter().flat_map(|shard| charges(&lock(&shard.0), |_| true)).collect();
    assert_eq!(memory.used(), entries.iter().sum::<u64>());
    assert_eq!(memory.len(), entries.len());
    assert!(memory.used() <= memory.budget);
    let keys = |shard: &Shard| lock(&shard.0).values().filter(|entry| entry.key_hash.is_some()).count();
    assert_eq!(memory.by_key.len(), memory.shards.iter().map(keys).sum::<usize>());
}

/// All keys of the tests are short.
fn charges(entries: &ShardEntries, of: impl Fn(u64) -> bool) -> Vec<u64> {
    let charge = |entry: &ShardEntry| entry.value.charge() + entry.key_hash.map_or(0, |_| key_charge());
    entries.iter().filter(|(key, _)| of(key.owner)).map(|(_, entry)| charge(entry)).collect()
}

fn used_by(memory: &Memory, owner: u64) -> u64 {
    let of_owner = |shard: &Shard| charges(&lock(&shard.0), |of| of == owner).into_iter().sum::<u64>();
    memory.shards.iter().map(of_owner).sum()
}

#[test]
fn owners_share_digests_but_no_values() {
    let memory = room_for(10);
    assert!(keep(&memory, 1, 5, 10_u32, None).is_empty());
    assert!(keep(&memory, 2, 5, 20_u32, None).is_empty());
    assert_eq!((got(&memory, 1, 5), got(&memory, 2, 5), got(&memory, 3, 5)), (Some(10), Some(20), None));
    assert!(memory.get(1, &digest(5)).unwrap().value::<u64>().is_none(), "another type is not the value");
}

#[test]
fn one_value_may_take_the_whole_budget_and_no_byte_more() {
    let memory = Memory::new(1 << 30);
    let whole = (1 << 30) - OVERHEAD;
    keep(&memory, 1, 1, 0_u32, None);
    let Admission::Kept(victims) = memory.admit(1, &cached(2, 7_u32, whole), None, || true) else { panic!() };
    assert_eq!((victims.len(), memory.used(), got(&memory, 1, 2)), (1, 1 << 30, Some(7)));

    let offered = memory.admit(1, &cached(3, 8_u32, whole + 1), None, || panic!("nothing to ask"));
    assert!(matches!(offered, Admission::Oversize));
    let absurd = memory.admit(1, &cached(3, 8_u32, u64::MAX), None, || true);
    assert!(matches!(absurd, Admission::Oversize));
    assert_eq!((got(&memory, 1, 2), memory.len()), (Some(7), 1), "a value that does not fit evicts nothing");
}

#[test]
fn without_budget_or_part_nothing_is_kept() {
    let admit = |memory: &Memory, cap| memory.admit(1, &cached(1, 1_u32, 0), cap, || true);
    assert!(matches!(admit(&Memory::new(0), None), Admission::Oversize));
    assert!(matches!(admit(&Memory::new(u64::MAX), Some(0)), Admission::Oversize));
    assert!(matches!(admit(&Memory::new(u64::MAX), Some(OVERHEAD)), Admission::Kept(_)));
}

#[test]
fn a_replaced_value_is_handed_over_and_counted_out() {
    let memory = room_for(2);
    keep(&memory, 1, 1, 10_u32, Some(CHARGE));
    let replaced = keep(&memory, 1, 1, 11_u32, Some(CHARGE));
    assert_eq!(replaced[0].value(), Some(&10_u32));
    assert_eq!((replaced.len(), memory.used(), got(&memory, 1, 1)), (1, CHARGE, Some(11)));
}

#[test]
fn a_hit_spares_an_entry_and_the_newcomer_never_pays_for_itself() {
    let memory = room_for(3);
    for key in 0..3_u8 {
        keep(&memory, 1, key, u32::from(key), None);
    }
    assert_eq!((got(&memory, 1, 0), got(&memory, 1, 2)), (Some(0), Some(2)));
    let victims = keep(&memory, 1, 3, 3_u32, None);
    assert_eq!(victims[0].value(), Some(&1_u32), "the oldest that was not hit");
    assert_eq!((victims.len(), memory.len()), (1, 3));
}

#[test]
fn mercy_ends_where_every_entry_was_hit() {
    let memory = room_for(200);
    for key in 0..200 {
        keep(&memory, 1, key, u32::from(key), None);
        got(&memory, 1, key);
    }
    let victims = keep(&memory, 1, 200, 200_u32, None);
    assert_eq!(victims[0].value(), Some(&(MAX_SECOND_CHANCES as u32)));
    check(&memory);
}

#[test]
fn a_candidate_that_was_replaced_in_the_meantime_stays() {
    let memory = room_for(2);
    keep(&memory, 1, 1, 10_u32, None);
    let candidate = EvictionCandidate { key: MemoryKey { owner: 1, digest: digest(1) }, stamp: 1 };
    keep(&memory, 1, 1, 11_u32, None);
    assert!(memory.evict(candidate, false).is_none());
    assert_eq!(got(&memory, 1, 1), Some(11));
}

#[test]
fn a_part_costs_only_its_owner() {
    let memory = room_for(10);
    keep(&memory, 1, 1, 1_u32, None);
    keep(&memory, 2, 1, 21_u32, Some(2 * CHARGE));
    keep(&memory, 2, 2, 22_u32, Some(2 * CHARGE));
    got(&memory, 2, 1);
    let victims = keep(&memory, 2, 3, 23_u32, Some(2 * CHARGE));
    assert_eq!(victims[0].value(), Some(&21_u32), "its oldest insertion");
    assert_eq!((victims.len(), memory.len(), used_by(&memory, 2)), (1, 3, 2 * CHARGE));
}

#[test]
fn a_value_is_found_by_its_key_from_its_first_hit_to_its_end() {
    let memory = room_for(10);
    keep(&memory, 1, 5, 10_u32, None);
    keep(&memory, 2, 5, 20_u32, None);
    assert_eq!(got_by_key(&memory, 1, 5), None, "nobody has shown the key");
    assert!(name(&memory, 1, 5, None).is_empty() && name(&memory, 2, 5, None).is_empty());
    assert!(name(&memory, 1, 5, None).is_empty(), "a second time");
    assert_eq!((got_by_key(&memory, 1, 5), got_by_key(&memory, 2, 5)), (Some(10), Some(20)));
    assert_eq!((got_by_key(&memory, 1, 6), memory.used()), (None, 2 * (CHARGE + key_charge())));
    let replaced = keep(&memory, 1, 5, 11_u32, None);
    assert_eq!((replaced.len(), got_by_key(&memory, 1, 5), got(&memory, 1, 5)), (1, None, Some(11)));
    check(&memory);
    drop(name(&memory, 1, 5, None));
    drop(memory.remove(1, &digest(5)));
    assert_eq!((got_by_key(&memory, 1, 5), got_by_key(&memory, 2, 5)), (None, Some(20)));
    drop(memory.remove_owner(2));
    assert_eq!((got_by_key(&memory, 2, 5), memory.by_key.len(), memory.used()), (None, 0, 0));
}

#[test]
fn the_key_of_a_value_that_has_left_is_not_noted() {
    let memory = room_for(10);
    keep(&memory, 1, 5, 10_u32, None);
    let old = memory.get(1, &digest(5)).unwrap();
    keep(&memory, 1, 5, 11_u32, None);
    let encoded = encoded(5);
    let key = memory.key(1, &encoded).unwrap();
    assert!(memory.note_key(1, &key, &old, None).is_empty());
    assert_eq!(got_by_key(&memory, 1, 5), None, "another value has its place");
    drop(memory.clear());
    assert!(memory.note_key(1, &key, &old, None).is_empty());
    check(&memory);
}

#[test]
fn keys_are_told_apart_by_their_bytes_and_not_by_their_hash() {
    let memory = room_for(10);
    let encoded = [encoded(1), encoded(2), encoded(3)];
    let hash = memory.key(1, &encoded[0]).unwrap();
    for (key, encoded) in (1_u8..).zip(&encoded) {
        keep(&memory, 1, key, u32::from(key), None);
        let value = memory.get(1, &digest(key)).unwrap();
        drop(memory.note_key(1, &memory.key(1, encoded).unwrap().with_hash_of(&hash), &value, None));
    }
    let found = |key: &MemoKey| {
        let cached = memory.get_by_key(&memory.key(1, key).unwrap().with_hash_of(&hash))?;
        cached.value::<u32>().copied()
    };
    assert_eq!(encoded.each_ref().map(found), [Some(1), Some(2), Some(3)]);
    drop(memory.remove(1, &digest(1)));
    assert_eq!(encoded.each_ref().map(found), [None, Some(2), Some(3)], "the row of one of them is removed");
}

#[test]
fn a_long_key_has_no_encoding_and_the_longest_short_one_has() {
    let memory = room_for(1);
    // A text takes three bytes more: the format, the tag and the length.
    for (length, is_short) in [(0, true), (125, true), (126, false), (1 << 20, false)] {
        let mut encoded = MemoKey::default();
        key::compact(&"k".repeat(length), &mut encoded).unwrap();
        assert_eq!(memory.key(1, &encoded).is_some(), is_short, "{length}");
    }
}

#[test]
fn others_leave_for_a_key() {
    let memory = room_for(3);
    for key in 1..=3 {
        assert!(keep(&memory, 1, key, u32::from(key), None).is_empty());
    }
    let victims = name(&memory, 1, 3, None);
    assert_eq!(victims.iter().map(|victim| victim.value()).collect::<Vec<_>>(), [Some(&1_u32)]);
    check(&memory);
    let tight = Memory::new(CHARGE);
    keep(&tight, 1, 1, 1_u32, None);
    assert!(name(&tight, 1, 1, None).is_empty());
    assert_eq!(got_by_key(&tight, 1, 1), None, "there is no room for the key at all");
    check(&tight);
}

#[test]
fn a_removal_wins_over_a_key_that_is_noted_meanwhile() {
    let memory = room_for(100);
    for round in 0..rounds(1_000) {
        let key = (round % 64) as u8;
        keep(&memory, 1, key, round, None);
        thread::scope(|scope| {
            scope.spawn(|| {
                if let Some(value) = memory.get(1, &digest(key)) {
                    drop(memory.note_key(1, &memory.key(1, &encoded(key)).unwrap(), &value, None));
                }
            });
            scope.spawn(|| {
                if round % 2 == 0 {
                    drop(memory.remove(1, &digest(key)));
                } else {
                    drop(memory.remove_owner(1));
                }
                assert_eq!(got_by_key(&memory, 1, key), None);
            });
        });
        assert_eq!(got_by_key(&memory, 1, key), None);
    }
    check(&memory);
}

#[test]
fn a_revoked_claim_is_not_let_in() {
    let memory = room_for(2);
    keep(&memory, 1, 1, 10_u32, None);
    assert!(matches!(memory.admit(1, &cached(1, 11_u32, SIZE), None, || false), Admission::Stale));
    assert_eq!((got(&memory, 1, 1), memory.used()), (Some(10), CHARGE), "nothing was touched");
}

#[test]
fn a_claim_is_looked_at_under_the_lock_of_the_shard() {
    let memory = room_for(2);
    let key = MemoryKey { owner: 1, digest: digest(1) };
    let is_current = || memory.shard(&key).try_lock().is_err();
    assert!(matches!(memory.admit(1, &cached(1, 1_u32, SIZE), None, is_current), Admission::Kept(_)));
    assert!(memory.shard(&key).try_lock().is_ok());
}

/// miri takes a thousand times as long.
fn rounds(many: u32) -> u32 {
    if cfg!(miri) { many.min(40) } else { many }
}

#[test]
fn a_removal_after_a_revocation_wins_every_race() {
    let memory = room_for(100);
    for round in 0..rounds(1_000) {
        let key = (round % 64) as u8;
        let revoked = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| drop(memory.admit(1, &cached(key, round, SIZE), None, || !revoked.load(SeqCst))));
            scope.spawn(|| {
                revoked.store(true, SeqCst);
                if round % 2 == 0 {
                    drop(memory.remove(1, &digest(key)));
                } else {
                    drop(memory.remove_owner(1));
                }
            });
        });
        assert!(memory.get(1, &digest(key)).is_none());
    }
    check(&memory);
}

#[test]
fn clearing_an_owner_leaves_the_others_and_clearing_all_leaves_nothing() {
    let memory = room_for(200);
    for key in 0..90 {
        keep(&memory, 1, key, 1_u32, Some(u64::MAX));
        keep(&memory, 2, key, 2_u32, None);
    }
    assert_eq!(memory.remove_owner(1).len(), 90);
    assert_eq!((got(&memory, 1, 7), got(&memory, 2, 7), memory.len()), (None, Some(2), 90));
    check(&memory);
    assert_eq!(memory.clear().len(), 90);
    assert_eq!((memory.len(), memory.used()), (0, 0));
}

#[test]
fn churn_of_one_key_leaves_nothing_behind() {
    let memory = room_for(4);
    let value = cached(1, 1_u32, SIZE);
    for round in 0..rounds(1_000_000) {
        let cap = Some(2 * CHARGE);
        assert!(matches!(memory.admit(1, &value, cap, || true), Admission::Kept(_)));
        if round % 3 != 0 {
            drop(memory.remove(1, &digest(1)));
        }
    }
    drop(memory.remove(1, &digest(1)));
    let slots: usize = memory.shards.iter().map(|shard| lock(&shard.0).capacity()).sum();
    assert!(slots < 16, "{slots} slots for one key");
    assert_eq!((memory.len(), memory.used(), lock(&memory.sieve).rows_and_parts()), (0, 0, (0, 0)));
    assert_eq!(Arc::strong_count(&value), 1);
}

/// A user's value whose `Drop` calls back.
struct Caller(Weak<Memory>);

impl Drop for Caller {
    fn drop(&mut self) {
        let Some(memory) = self.0.upgrade() else { return };
        for key in 0..=u8::MAX {
            memory.get(1, &digest(key));
        }
        drop(memory.admit(9, &cached(0, 1_u32, 0), None, || true));
        drop((memory.remove(9, &digest(0)), memory.remove_owner(9)));
    }
}

#[test]
fn a_value_may_call_back_as_it_is_dropped() {
    let memory = Arc::new(room_for(8));
    let caller = || Caller(Arc::downgrade(&memory));
    for key in 0..if cfg!(miri) { 10 } else { 100 } {
        drop(keep(&memory, 1, key, caller(), Some(4 * CHARGE)));
    }
    drop(keep(&memory, 1, 99, caller(), Some(4 * CHARGE)));
    drop(memory.admit(1, &cached(98, caller(), u64::MAX), None, || true));
    drop(memory.admit(1, &cached(98, caller(), SIZE), None, || false));
    drop(memory.remove(1, &digest(99)));
    drop(memory.remove_owner(1));
    keep(&memory, 2, 1, caller(), None);
    drop(memory.clear());
    check(&memory);
}

#[test]
fn threads_that_admit_and_remove_at_once_leave_the_books_in_order() {
    let memory = room_for(20);
    thread::scope(|scope| {
        for owner in 0..4_u64 {
            let memory = &memory;
            let cap = (owner % 2 == 0).then_some(6 * CHARGE);
            scope.spawn(move || {
                for round in 0..rounds(5_000) {
                    let key = (round * 7 % 61) as u8;
                    drop(keep(memory, owner, key, round, cap));
                    let other = (owner + 1) % 4;
                    if let Some(value) = memory.get(other, &digest(key)) {
                        let encoded = encoded(key);
                        let encoded = memory.key(other, &encoded).unwrap();
                        let cap = (other % 2 == 0).then_some(6 * CHARGE);
                        drop(memory.note_key(other, &encoded, &value, cap));
                        memory.get_by_key(&encoded);
                    }
                    drop(memory.remove((owner + 1) % 4, &digest(key / 2)));
                }
            });
        }
    });
    check(&memory);
    assert!(used_by(&memory, 0).max(used_by(&memory, 2)) <= 6 * CHARGE);
}

#[derive(Clone, Debug)]
enum Operation {
    Admit { owner: u64, key: u8, size: u64, is_current: bool },
    Get { owner: u64, key: u8 },
    NoteKey { owner: u64, key: u8 },
    Remove { owner: u64, key: u8 },
    RemoveOwner { owner: u64 },
    Clear,
}

/// The part of owner 0 has no bound of its own.
fn cap(owner: u64) -> Option<u64> {
    [None, Some(0), Some(3_000), Some(9_000)][owner as usize]
}

fn operation() -> impl Strategy<Value = Operation> {
    let place = || (0..4_u64, 0..12_u8);
    prop_oneof![
        20 => (place(), 0..4_000_u64, prop::bool::weighted(0.9))
            .prop_map(|((owner, key), size, is_current)| Operation::Admit { owner, key, size, is_current }),
        10 => place().prop_map(|(owner, key)| Operation::Get { owner, key }),
        10 => place().prop_map(|(owner, key)| Operation::NoteKey { owner, key }),
        5 => place().prop_map(|(owner, key)| Operation::Remove { owner, key }),
        1 => (0..4_u64).prop_map(|owner| Operation::RemoveOwner { owner }),
        1 => Just(Operation::Clear),
    ]
}

/// A map from which only the values are removed that the tier reports as evicted.
#[derive(Default)]
struct Model(HashMap<(u64, u8), Arc<CachedValue>>);

impl Model {
    /// Removes the evicted values, each of which must be there.
    fn left(&mut self, gone: &[Arc<CachedValue>]) {
        for gone in gone {
            let before = self.0.len();
            self.0.retain(|_, cached| !Arc::ptr_eq(cached, gone));
            assert_eq!(self.0.len() + 1, before);
        }
    }

    fn admit(&mut self, memory: &Memory, owner: u64, key: u8, size: u64, is_current: bool) {
        let cached = cached(key, key, size);
        match memory.admit(owner, &cached, cap(owner), || is_current) {
            Admission::Kept(victims) => {
                assert!(is_current);
                self.left(&victims);
                assert!(
                    self.0.insert((owner, key), cached).is_none(),
                    "the replaced one is among the victims"
                );
            }
            Admission::Oversize => assert!(!memory.fits(size, cap(owner))),
            Admission::Stale => assert!(!is_current),
        }
    }

    fn remove(&mut self, gone: &[Arc<CachedValue>], which: impl Fn(u64, u8) -> bool) {
        self.left(gone);
        assert!(!self.0.keys().any(|(owner, key)| which(*owner, *key)));
    }

    fn apply(&mut self, memory: &Memory, operation: &Operation) {
        match *operation {
            Operation::Admit { owner, key, size, is_current } => {
                self.admit(memory, owner, key, size, is_current);
            }
            Operation::Get { owner, key } => {
                let (found, expected) = (memory.get(owner, &digest(key)), self.0.get(&(owner, key)));
                assert_eq!(found.as_ref().map(Arc::as_ptr), expected.map(Arc::as_ptr));
                let by_key = memory.get_by_key(&memory.key(owner, &encoded(key)).unwrap());
                assert!(by_key.is_none_or(|by_key| Arc::ptr_eq(&by_key, expected.unwrap())));
            }
            Operation::NoteKey { owner, key } => {
                if self.0.contains_key(&(owner, key)) {
                    let victims = name(memory, owner, key, cap(owner));
                    self.left(&victims);
                }
            }
            Operation::Remove { owner, key } => {
                let gone = Vec::from_iter(memory.remove(owner, &digest(key)));
                self.remove(&gone, |of, at| (of, at) == (owner, key));
            }
            Operation::RemoveOwner { owner } => self.remove(&memory.remove_owner(owner), |of, _| of == owner),
            Operation::Clear => self.remove(&memory.clear(), |_, _| true),
        }
    }
}

proptest! {
    #[test]
    fn any_operations_keep_budget_parts_and_books(operations in vec(operation(), 1..200)) {
        let (memory, mut model) = (Memory::new(20_000), Model::default());
        for operation in &operations {
            model.apply(&memory, operation);
            check(&memory);
            prop_assert_eq!(memory.len(), model.0.len());
            for owner in 0..4 {
                prop_assert!(used_by(&memory, owner) <= cap(owner).unwrap_or(u64::MAX));
            }
        }
    }
}
