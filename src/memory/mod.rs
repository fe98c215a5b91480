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
//! A hit takes the lock of one of 64 shards and no other lock. Admissions and removals also take the lock of the order of
//! eviction, [`sieve`], always inside the lock of the shard. No thread holds the locks of two shards. So shard and sieve
//! agree whenever the lock of the shard is free. All shards share one order, because few large values are the important
//! case: with an order for each shard, the digests would decide which of five values of 50 MiB is evicted. Only admissions
//! and removals pay for the shared lock, and each of them comes with a read or write of the disk.
//!
//! No value is dropped here. Removed values are returned, because their `Drop` is user code and may call the cache.
//!
//! # Performance
//!
//! Measured on two busy cores with 10,000 entries of 100 B: a hit with the clone of the value takes 30 ns, and 60 ns with
//! two threads; an admission with an eviction 0.3 us, and 0.6 to 1.0 us with two threads. One value that replaces 100,000
//! entries takes 40 ms.

use std::{
    any::Any,
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
    mem,
    sync::Arc,
    time::Duration,
};

use self::sieve::{EvictionCandidate, Sieve, SieveRow};
use crate::{
    clock::Lifetime,
    flight::Words,
    key::Digest,
    sync::{Mutex, lock},
};

mod sieve;
#[cfg(test)]
mod tests;

/// Bytes of an entry beside its encoded value. Measured with an empty value: 290 to 380 B, depending on the load of the
/// tables; about a third each for the table of the shard, the row of the sieve and the header of [`CachedValue`].
const OVERHEAD: u64 = 336;

/// Enough that two threads seldom use one shard. A power of two.
const SHARDS: usize = 64;

/// Maximum number of candidates in a row that get a second chance because they were hit. If all 1,000,000 entries were
/// hit, an admission takes 35 us with this bound, and 392 ms without. With Zipf-distributed keys (0.9, room for a tenth)
/// 64.4 % of the lookups hit with it, 64.7 % without, and 51.0 % in plain insertion order.
const MAX_SECOND_CHANCES: usize = 64;

/// A value in memory, with fields of its record on disk.
pub(crate) struct CachedValue<V: ?Sized = dyn Any + Send + Sync> {
    /// Not checked in this room: the reader checks whether the value has expired.
    pub(crate) lifetime: Lifetime,
    pub(crate) compute_time: Duration,
    /// Size of the encoded value in bytes.
    pub(crate) size: u64,
    /// The words of EPOCHS before it was read, if another process hosted the store then. The reader compares them.
    pub(crate) noted: Option<Words>,
    /// Last, and possibly unsized, so that value and header are one allocation.
    value: V,
}

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
    /// Whether the entry was hit since the hand of the sieve last passed it.
    hit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MemoryKey {
    /// Number of the memo. Two memos may have equal digests.
    owner: u64,
    digest: Digest,
}

impl CachedValue {
    /// `size` is the size of the encoded value in bytes.
    pub(crate) fn new<V>(
        value: V,
        lifetime: Lifetime,
        compute_time: Duration,
        size: u64,
        noted: Option<Words>,
    ) -> Arc<Self>
    where
        V: Send + Sync + 'static,
    {
        Arc::new(CachedValue { lifetime, compute_time, size, noted, value })
    }

    /// The value, if it is a `V`. The caller clones it while it holds no lock.
    pub(crate) fn value<V: 'static>(&self) -> Option<&V> {
        self.value.downcast_ref()
    }

    fn charge(&self) -> u64 {
        self.size.saturating_add(OVERHEAD)
    }
}

impl fmt::Debug for CachedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedValue")
            .field("lifetime", &self.lifetime)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty tier. With a budget of 0 it stays empty.
    pub(crate) fn new(budget_bytes: u64) -> Self {
        Self {
            budget: budget_bytes,
            shards: std::array::from_fn(|_| Shard::default()),
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
        let mut entries = lock(self.shard(&key));
        let entry = entries.get_mut(&key)?;
        entry.hit = true;
        Some(Arc::clone(&entry.value))
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
        digest: &Digest,
        value: &Arc<CachedValue>,
        cap: Option<u64>,
        is_current: impl FnOnce() -> bool,
    ) -> Admission {
        if !self.fits(value.size, cap) {
            return Admission::Oversize;
        }
        let row = SieveRow {
            key: MemoryKey { owner, digest: *digest },
            charge: value.charge(),
            part: cap.map(|_| owner),
        };
        let Some((stamp, replaced)) = self.insert(row, value, is_current) else { return Admission::Stale };
        let mut victims = Vec::from_iter(replaced);
        if let Some(cap) = cap {
            self.evict_over_part(owner, cap, &mut victims);
        }
        self.evict_over_budget(stamp, &mut victims);
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
        let mut sieve = lock(&self.sieve);
        let stamp = sieve.admit(row);
        let replaced = entries.insert(row.key, ShardEntry { value: Arc::clone(value), stamp, hit: false });
        if let Some(entry) = &replaced {
            sieve.remove(entry.stamp);
        }
        Some((stamp, replaced.map(|entry| entry.value)))
    }

    fn evict_over_part(&self, owner: u64, cap: u64, victims: &mut Vec<Arc<CachedValue>>) {
        let oldest = || lock(&self.sieve).over_part(owner, cap);
        while let Some(candidate) = oldest() {
            victims.extend(self.evict(candidate, false));
        }
    }

    fn evict_over_budget(&self, newest: u64, victims: &mut Vec<Arc<CachedValue>>) {
        let next = || lock(&self.sieve).over_budget(newest);
        let mut spared = 0;
        while let Some(candidate) = next() {
            let victim = self.evict(candidate, spared < MAX_SECOND_CHANCES);
            spared = if victim.is_some() { 0 } else { spared + 1 };
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
        let Entry::Occupied(mut entry) = entries.entry(candidate.key) else { return None };
        if entry.get().stamp != candidate.stamp || (second_chance && mem::take(&mut entry.get_mut().hit)) {
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
    fn remove_rows<'a>(&self, entries: impl IntoIterator<Item = &'a ShardEntry>) {
        let mut sieve = lock(&self.sieve);
        for entry in entries {
            sieve.remove(entry.stamp);
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
