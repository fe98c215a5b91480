//! What a pool holds, by name: all that a hit touches.

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

/// So that hits on two resources seldom share a lock; hits on one resource share it without waiting. A power of two.
const SHARDS: usize = 16;

/// When a resource was put in and until when it may be handed out, since the pool was made.
#[derive(Clone, Copy)]
pub(super) struct ResourceLifetime {
    pub(super) since: Duration,
    /// `None`: for ever.
    pub(super) until: Option<Duration>,
}

impl ResourceLifetime {
    /// At the boundary itself it is over; for a caller with a `ttl` of its own maybe earlier. The time is only asked when
    /// it matters.
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
    /// Its place in the order of insertion: never used twice, so it tells a resource from its successors.
    pub(super) place: u64,
}

/// On a cache line of its own, so that neighbours do not slow each other down.
#[derive(Default)]
#[repr(align(64))]
struct PoolShard(RwLock<HashMap<Name, Slot, BuildNameHasher>>);

/// Changed only by who holds the lock of the [`order`](super::order), which is what keeps the two the same; read by
/// anybody.
pub(super) struct Slots([PoolShard; SHARDS]);

impl Slots {
    pub(super) fn new() -> Self {
        Self(array::from_fn(|_| PoolShard::default()))
    }

    /// What `read` makes of the slot. It drops nothing and calls nobody: it runs under the lock of a shard.
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
