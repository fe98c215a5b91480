//! The resources of a pool by name. A hit touches nothing else.

use std::{
    array,
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use super::{
    name::{BuildNameHasher, Name},
    release::Resource,
};

/// Enough that hits on two resources seldom use one lock. Hits on one resource share a read lock. A power of two.
const SHARDS: usize = 16;

/// When a resource was put in and when it expires, both counted from when the pool was made.
#[derive(Clone, Copy)]
pub(super) struct ResourceLifetime {
    pub(super) since: Duration,
    /// `None` if the resource never expires.
    pub(super) until: Option<Duration>,
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

/// Each has a cache line of its own, against false sharing.
#[derive(Default)]
#[repr(align(64))]
struct PoolShard(RwLock<HashMap<Name, Slot, BuildNameHasher>>);

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
        let shard = self.shard(name).0.read().unwrap_or_else(PoisonError::into_inner);
        shard.get(name).map(read)
    }

    pub(super) fn insert(&self, name: Name, slot: Slot) -> Option<Slot> {
        self.shard(&name).0.write().unwrap_or_else(PoisonError::into_inner).insert(name, slot)
    }

    pub(super) fn remove(&self, name: &Name) -> Option<Slot> {
        self.shard(name).0.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    #[expect(clippy::indexing_slicing, reason = "a remainder of the length")]
    fn shard(&self, name: &Name) -> &PoolShard {
        &self.0[usize::from(name.shard()) % SHARDS]
    }
}
