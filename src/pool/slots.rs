//! The resources of a pool by name. A hit touches nothing else.

use std::{
    array,
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    name::{BuildNameHasher, Name},
    resource::Resource,
};

/// Enough that hits on two resources seldom use one lock. Hits on one resource share a read lock. A power of two.
const SHARDS: usize = 16;

/// When a resource was put in and when it expires, both counted from when the pool was made, and how long it took to build.
#[derive(Clone, Copy)]
pub(super) struct ResourceLifetime {
    pub(super) since: Duration,
    /// `None` if the resource never expires.
    pub(super) until: Option<Duration>,
    /// How long its builder ran.
    pub(super) took: Duration,
}

impl ResourceLifetime {
    /// Whether the resource has expired, or is older than the `ttl` of the call. It is expired from the exact end on. `now`
    /// is called only if there is an end or a `ttl`.
    #[inline]
    pub(super) fn is_over(&self, ttl: Option<Duration>, now: impl FnOnce() -> Duration) -> bool {
        if self.until.is_none() && ttl.is_none() {
            return false;
        }
        let now = now();
        self.until.is_some_and(|until| now >= until)
            || ttl.is_some_and(|ttl| now.saturating_sub(self.since) >= ttl)
    }
}

#[derive(Clone)]
pub(super) struct Slot {
    pub(super) resource: Resource,
    pub(super) lifetime: ResourceLifetime,
    /// Place in the order of insertion. Never used twice, so it distinguishes a resource from a later one of the same name.
    pub(super) place: u64,
}

/// Each has a cache line of its own, against false sharing. The line holds its counters too: a hit has locked it already.
#[derive(Default)]
#[repr(align(64))]
struct PoolShard {
    slots: RwLock<HashMap<Name, Slot, BuildNameHasher>>,
    hits: AtomicU64,
    /// Nanoseconds; wraps after 584 years.
    saved: AtomicU64,
}

/// Read under the lock of a shard. Changed only under the lock of the [`order`](super::order), so that both always hold the
/// same resources.
pub(super) struct Slots([PoolShard; SHARDS]);

impl Slots {
    pub(super) fn new() -> Self {
        Self(array::from_fn(|_| PoolShard::default()))
    }

    /// Applies `read` to the slot. It runs under the lock of a shard, so it must not drop a resource or call user code.
    #[inline]
    pub(super) fn read<R>(&self, name: &Name, read: impl FnOnce(&Slot) -> R) -> Option<R> {
        let shard = self.shard(name).slots.read().unwrap_or_else(PoisonError::into_inner);
        shard.get(name).map(read)
    }

    /// Counts a hit on a resource, and the time that its builder took.
    #[inline]
    pub(super) fn count_hit(&self, name: &Name, saved: Duration) {
        let shard = self.shard(name);
        shard.hits.fetch_add(1, Relaxed);
        shard.saved.fetch_add(saved.as_nanos() as u64, Relaxed);
    }

    /// The number of hits, and the time that they saved.
    pub(super) fn hits(&self) -> (u64, Duration) {
        let sum = |counter: fn(&PoolShard) -> &AtomicU64| {
            self.0.iter().map(|shard| counter(shard).load(Relaxed)).fold(0, u64::wrapping_add)
        };
        (sum(|shard| &shard.hits), Duration::from_nanos(sum(|shard| &shard.saved)))
    }

    pub(super) fn insert(&self, name: Name, slot: Slot) -> Option<Slot> {
        self.shard(&name).slots.write().unwrap_or_else(PoisonError::into_inner).insert(name, slot)
    }

    pub(super) fn remove(&self, name: &Name) -> Option<Slot> {
        self.shard(name).slots.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    #[expect(clippy::indexing_slicing, reason = "a remainder of the length")]
    fn shard(&self, name: &Name) -> &PoolShard {
        &self.0[usize::from(name.shard()) % SHARDS]
    }
}
