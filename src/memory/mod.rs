//! The memory tier: decoded values of all memos of a store, under one budget in bytes. It affects the speed, never a
//! result: a reader checks the lifetime, and a removal from disk also removes here.
//!
//! # Why not an existing crate
//!
//! The contract is *one* budget, and one value may take nearly all of it. `quick_cache` 0.7 splits its weight over
//! shards and refuses a value that does not fit into one. Measured with 256 MiB on two cores and room for 10,000 entries
//! (8 shards), the largest value that it keeps is 31.0 MiB. With a single shard it is 256.0 MiB, behind a single lock. It
//! has no check under the lock, which promise 6 needs, and no shares of the budget for single memos.
//!
//! # Locking
//!
//! Entries are found by their digest, and those that were hit also by their encoded key, in [`by_key`]. A hit takes the lock
//! of one of 64 shards of either table, and no other lock. Admissions and removals also take the locks of the order of
//! eviction, [`sieve`], and of the row in `by_key`, one after the other and always inside the lock of the shard of the digest.
//! No thread holds the locks of two such shards. So the three agree whenever the lock of the shard is free. All shards share one order, because few large values are the important
//! case: with an order for each shard, the digests would decide which of five values of 50 MiB is evicted. Only admissions,
//! removals and the first hit after an admission pay for the shared lock.
//!
//! No value is dropped here. Removed values are returned, because their `Drop` is user code and may call the cache.
//!
//! # Performance
//!
//! Measured on two busy cores with 10,000 entries of 100 B: a look-up by digest with the clone of the value takes 30 ns, and
//! 60 ns with two threads; an admission with an eviction 0.3 us, and 0.6 to 1.0 us with two threads. One value that replaces 100,000
//! entries takes 40 ms.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
    mem,
    sync::Arc,
};

pub(crate) use self::{by_key::EncodedKey, cached_value::CachedValue};
use self::{
    by_key::KeyTable,
    cached_value::OVERHEAD,
    sieve::{EvictionCandidate, Sieve, SieveRow},
};
use crate::{
    key::{Digest, MemoKey},
    sync::{Mutex, lock},
};

mod by_key;
mod cached_value;
mod sieve;
#[cfg(test)]
mod tests;

/// Enough that two threads seldom use one shard. A power of two.
const SHARDS: usize = 64;

/// Maximum number of candidates in a row that get a second chance because they were hit. If all 1,000,000 entries were
/// hit, an admission takes 35 us with this bound, and 392 ms without. With Zipf-distributed keys (0.9, room for a tenth)
/// 64.4 % of the lookups hit with it, 64.7 % without, and 51.0 % in plain insertion order.
const MAX_SECOND_CHANCES: usize = 64;

/// The result of an admission.
#[derive(Debug)]
#[must_use = "evicted values must be dropped outside every lock"]
pub(crate) enum Admission {
    /// The value was admitted. The evicted values and the replaced one must be dropped outside every lock.
    Kept(Vec<Arc<CachedValue>>),
    /// The value alone exceeds the budget or the share of its owner. An earlier value of the key stays.
    Oversize,
    /// The claim of the value was revoked. An earlier value of the key stays.
    Stale,
}

/// Decoded values by owner and digest, bounded by one budget.
pub(crate) struct Memory {
    /// In bytes. Never changes.
    budget: u64,
    /// Each entry is in the shard of its key, with the stamp of its row in `sieve`.
    shards: [Shard; SHARDS],
    by_key: KeyTable,
    /// Has one row for each entry of the shards. Locked inside the lock of a shard, or alone.
    sieve: Mutex<Sieve<MemoryKey>>,
}

/// Each has a cache line of its own, against false sharing.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<ShardEntries>);

type ShardEntries = HashMap<MemoryKey, ShardEntry, BuildHasherDefault<PrefixHasher>>;

/// An entry of a shard.
struct ShardEntry {
    value: Arc<CachedValue>,
    /// Stamp of the entry's row in the sieve.
    stamp: u64,
    /// That of its row in `by_key`, if it has one.
    key_hash: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MemoryKey {
    /// Number of the memo. Two memos may have equal digests.
    owner: u64,
    digest: Digest,
}

impl Memory {
    /// An empty tier. With a budget of 0 it stays empty.
    pub(crate) fn new(budget_bytes: u64) -> Self {
        Self {
            budget: budget_bytes,
            shards: std::array::from_fn(|_| Shard::default()),
            by_key: KeyTable::new(),
            sieve: Mutex::new(Sieve::new(budget_bytes)),
        }
    }

    /// Whether a value of `size` encoded bytes fits, of an owner whose share is `cap`. Called first, so that no value is
    /// decoded or cloned in vain.
    pub(crate) fn fits(&self, size: u64, cap: Option<u64>) -> bool {
        size.saturating_add(OVERHEAD) <= self.budget.min(cap.unwrap_or(u64::MAX))
    }

    /// The largest value that fits.
    pub(crate) fn largest(&self, cap: Option<u64>) -> u64 {
        self.budget.min(cap.unwrap_or(u64::MAX)).saturating_sub(OVERHEAD)
    }

    pub(crate) fn get(&self, owner: u64, digest: &Digest) -> Option<Arc<CachedValue>> {
        let key = MemoryKey { owner, digest: *digest };
        let entries = lock(self.shard(&key));
        let value = &entries.get(&key)?.value;
        value.note_hit();
        Some(Arc::clone(value))
    }

    /// By which an entry is found without its digest. `None` for a long key.
    #[inline]
    pub(crate) fn key<'a>(&self, owner: u64, key: &'a MemoKey) -> Option<EncodedKey<'a>> {
        self.by_key.key(owner, key)
    }

    /// The value of the key, if it was hit before by one who had the [key](Self::note_key).
    #[inline]
    pub(crate) fn get_by_key(&self, key: &EncodedKey<'_>) -> Option<Arc<CachedValue>> {
        self.by_key.get(key)
    }

    /// From now on the entry of this value is found by its key too, if it is still there. The key is charged, so others may have
    /// to leave for it.
    #[must_use = "evicted values must be dropped outside every lock"]
    pub(crate) fn note_key(
        &self,
        owner: u64,
        key: &EncodedKey<'_>,
        value: &Arc<CachedValue>,
        cap: Option<u64>,
    ) -> Vec<Arc<CachedValue>> {
        let charge = value.charge().saturating_add(key.charge());
        if charge > self.budget.min(cap.unwrap_or(u64::MAX)) {
            return Vec::new();
        }
        let place = MemoryKey { owner, digest: value.digest };
        let stamp = {
            let mut entries = lock(self.shard(&place));
            let entry = entries.get_mut(&place);
            let Some(entry) = entry.filter(|entry| Arc::ptr_eq(&entry.value, value)) else {
                return Vec::new();
            };
            if entry.key_hash.is_some() {
                return Vec::new();
            }
            entry.key_hash = Some(self.by_key.insert(key, value));
            lock(&self.sieve).charge(entry.stamp, charge);
            entry.stamp
        };
        let mut victims = Vec::new();
        self.make_room(owner, cap, stamp, &mut victims);
        victims
    }

    /// Admits a value in place of an earlier value of its key, and evicts until the budget is met. With a `cap`, it first
    /// evicts the oldest entries of this owner until its share is met. An owner always has the same `cap`.
    ///
    /// `is_current` tells whether the claim of the value is current. It is called under the lock of the shard, directly
    /// before the insertion. So a removal that first revokes the claim and then removes the key from this tier always
    /// wins. `is_current` takes no lock.
    pub(crate) fn admit(
        &self,
        owner: u64,
        value: &Arc<CachedValue>,
        cap: Option<u64>,
        is_current: impl FnOnce() -> bool,
    ) -> Admission {
        if !self.fits(value.size, cap) {
            return Admission::Oversize;
        }
        let row = SieveRow {
            key: MemoryKey { owner, digest: value.digest },
            charge: value.charge(),
            part: cap.map(|_| owner),
        };
        let Some((stamp, replaced)) = self.insert(row, value, is_current) else { return Admission::Stale };
        let mut victims = Vec::from_iter(replaced);
        self.make_room(owner, cap, stamp, &mut victims);
        Admission::Kept(victims)
    }

    /// Removes the value of the key, and returns it.
    #[must_use = "removed values must be dropped outside every lock"]
    pub(crate) fn remove(&self, owner: u64, digest: &Digest) -> Option<Arc<CachedValue>> {
        let key = MemoryKey { owner, digest: *digest };
        let mut entries = lock(self.shard(&key));
        let entry = entries.remove(&key)?;
        self.remove_rows([&entry]);
        Some(entry.value)
    }

    /// Removes the values of the owner, and returns them. It walks the shards instead of the sieve, because an admission in
    /// progress may have passed its check and not have a row yet.
    #[must_use = "removed values must be dropped outside every lock"]
    pub(crate) fn remove_owner(&self, owner: u64) -> Vec<Arc<CachedValue>> {
        self.drain(|entries| {
            entries.extract_if(|key, _| key.owner == owner).map(|(_, entry)| entry).collect()
        })
    }

    /// Removes all values, and returns them.
    #[must_use = "removed values must be dropped outside every lock"]
    pub(crate) fn clear(&self) -> Vec<Arc<CachedValue>> {
        self.drain(|entries| mem::take(entries).into_values().collect())
    }

    /// Part of the budget that is in use.
    pub(crate) fn used(&self) -> u64 {
        lock(&self.sieve).used()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.sieve).len()
    }

    /// Returns the stamp of the new entry and the replaced value, or `None` if the claim was revoked.
    fn insert(
        &self,
        row: SieveRow<MemoryKey>,
        value: &Arc<CachedValue>,
        is_current: impl FnOnce() -> bool,
    ) -> Option<(u64, Option<Arc<CachedValue>>)> {
        let mut entries = lock(self.shard(&row.key));
        if !is_current() {
            return None;
        }
        if let Some(old) = entries.get(&row.key) {
            self.remove_key(old);
        }
        // At no time do both count.
        let mut sieve = lock(&self.sieve);
        let stamp = sieve.admit(row);
        let entry = ShardEntry { value: Arc::clone(value), stamp, key_hash: None };
        let replaced = entries.insert(row.key, entry);
        if let Some(entry) = &replaced {
            sieve.remove(entry.stamp);
        }
        Some((stamp, replaced.map(|entry| entry.value)))
    }

    /// Evicts until share and budget are met, but not the entry with this stamp.
    fn make_room(&self, owner: u64, cap: Option<u64>, stamp: u64, victims: &mut Vec<Arc<CachedValue>>) {
        if let Some(cap) = cap {
            self.evict_over_part(owner, cap, stamp, victims);
        }
        self.evict_over_budget(stamp, victims);
    }

    fn evict_over_part(&self, owner: u64, cap: u64, spared: u64, victims: &mut Vec<Arc<CachedValue>>) {
        let oldest = || lock(&self.sieve).over_part(owner, cap, spared);
        while let Some(candidate) = oldest() {
            victims.extend(self.evict(candidate, false));
        }
    }

    fn evict_over_budget(&self, spared: u64, victims: &mut Vec<Arc<CachedValue>>) {
        let next = || lock(&self.sieve).over_budget(spared);
        let mut chances = 0;
        while let Some(candidate) = next() {
            let victim = self.evict(candidate, chances < MAX_SECOND_CHANCES);
            chances = if victim.is_some() { 0 } else { chances + 1 };
            victims.extend(victim);
        }
    }

    /// Removes the candidate, unless it was removed or replaced in the meantime. With `second_chance`, an entry that was
    /// hit stays.
    fn evict(
        &self,
        candidate: EvictionCandidate<MemoryKey>,
        second_chance: bool,
    ) -> Option<Arc<CachedValue>> {
        let mut entries = lock(self.shard(&candidate.key));
        let Entry::Occupied(entry) = entries.entry(candidate.key) else { return None };
        if entry.get().stamp != candidate.stamp || (second_chance && entry.get().value.take_hit()) {
            return None;
        }
        let entry = entry.remove();
        self.remove_rows([&entry]);
        Some(entry.value)
    }

    /// Removes from each shard in turn the entries that `take` takes out.
    fn drain(&self, take: impl Fn(&mut ShardEntries) -> Vec<ShardEntry>) -> Vec<Arc<CachedValue>> {
        let drain_shard = |Shard(shard): &Shard| {
            let mut entries = lock(shard);
            let taken = take(&mut entries);
            self.remove_rows(&taken);
            taken
        };
        self.shards.iter().flat_map(drain_shard).map(|entry| entry.value).collect()
    }

    /// Removes the rows of entries that were removed from their shard. The lock of the shard is still held.
    fn remove_rows<'a>(&self, entries: impl IntoIterator<Item = &'a ShardEntry> + Clone) {
        entries.clone().into_iter().for_each(|entry| self.remove_key(entry));
        let mut sieve = lock(&self.sieve);
        for entry in entries {
            sieve.remove(entry.stamp);
        }
    }

    fn remove_key(&self, entry: &ShardEntry) {
        if let Some(hash) = entry.key_hash {
            self.by_key.remove(hash, &entry.value);
        }
    }

    fn shard(&self, key: &MemoryKey) -> &Mutex<ShardEntries> {
        // The hash table of the shard uses the low bits and the top seven, so the shard is chosen by others.
        let place = (key.prefix() >> 40) as usize % SHARDS;
        let [first, ..] = &self.shards;
        &self.shards.get(place).unwrap_or(first).0
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("budget", &self.budget)
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

impl MemoryKey {
    /// The hash. Digests are uniform, so another hash function would only cost time.
    fn prefix(&self) -> u64 {
        let prefix = self.digest.as_bytes().first_chunk().copied().map_or(0, u64::from_le_bytes);
        prefix ^ self.owner
    }
}

impl Hash for MemoryKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.prefix());
    }
}

/// Uses the number that a [`MemoryKey`] writes as the hash.
#[derive(Default)]
struct PrefixHasher(u64);

impl Hasher for PrefixHasher {
    fn write_u64(&mut self, prefix: u64) {
        self.0 = prefix;
    }

    /// No key writes bytes. The result is still a valid hash.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
