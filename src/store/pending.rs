//! Pending values: computed, encoded, handed over to the worker, and not in the index yet.
//!
//! Reads look here between memory and disk. Three rules keep the order of changes (tried over all interleavings of a
//! hand-over, a removal and a look, in `tests/shuttle`):
//!
//! * A value is published under the lock of its shard, where its claim is asked whether it was revoked.
//! * A change revokes the claims of its key first, and removes the pending value of that key then.
//! * The worker takes a value out after its record is in, and only if it is still the same hand-over.

use std::{
    array,
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::Lifetime,
    flight::Seat,
    store::blob::Finished,
    sync::{Mutex, lock},
};

const SHARDS: usize = 16;

/// One value on its way to the index.
pub(crate) struct PendingValue {
    pub(crate) payload: Finished,
    /// From the moment of the hand-over.
    pub(crate) lifetime: Lifetime,
    pub(crate) compute_time: Duration,
}

pub(crate) struct Pending {
    /// By the first byte of the digest.
    shards: [Mutex<HashMap<Seat, Arc<PendingValue>>>; SHARDS],
    /// The number of values in all shards: most looks find it zero and take no lock.
    count: AtomicUsize,
}

impl Default for Pending {
    fn default() -> Self {
        Self { shards: array::from_fn(|_| Mutex::default()), count: AtomicUsize::new(0) }
    }
}

impl Pending {
    /// Publishes a value, in place of an earlier one of the key, unless `still` says that its claim was revoked.
    pub(crate) fn publish(
        &self,
        seat: Seat,
        value: &Arc<PendingValue>,
        still: impl FnOnce() -> bool,
    ) -> bool {
        let mut shard = lock(self.shard(&seat));
        if !still() {
            return false;
        }
        // A look that finds zero began before this returned.
        if shard.insert(seat, Arc::clone(value)).is_none() {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        true
    }

    pub(crate) fn get(&self, seat: &Seat) -> Option<Arc<PendingValue>> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        lock(self.shard(seat)).get(seat).cloned()
    }

    /// Takes a value out whose record is in, unless another one was handed over for the key.
    pub(crate) fn take(&self, seat: Seat, value: &Arc<PendingValue>) {
        let mut shard = lock(self.shard(&seat));
        if let Entry::Occupied(entry) = shard.entry(seat)
            && Arc::ptr_eq(entry.get(), value)
        {
            entry.remove();
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// A change of the key forgets its pending value. The claims of the key were revoked before.
    pub(crate) fn remove(&self, seat: &Seat) {
        if lock(self.shard(seat)).remove(seat).is_some() {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The same for all keys of an owner.
    pub(crate) fn remove_owner(&self, owner: u64) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            let before = shard.len();
            shard.retain(|seat, _| seat.owner != owner);
            self.count.fetch_sub(before - shard.len(), Ordering::SeqCst);
        }
    }

    fn shard(&self, seat: &Seat) -> &Mutex<HashMap<Seat, Arc<PendingValue>>> {
        let [first, ..] = &self.shards;
        let [byte, ..] = seat.digest;
        self.shards.get(usize::from(byte) % SHARDS).unwrap_or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value() -> Arc<PendingValue> {
        let payload = Finished::Inline(vec![1]);
        Arc::new(PendingValue {
            payload,
            lifetime: Lifetime::default(),
            compute_time: Duration::ZERO,
        })
    }

    const SEAT: Seat = Seat { owner: 1, digest: [7; 32] };

    #[test]
    fn a_value_is_found_until_it_is_taken_by_its_own_hand_over() {
        let (pending, first, second) = (Pending::default(), value(), value());
        assert!(pending.publish(SEAT, &first, || true) && pending.publish(SEAT, &second, || true));
        pending.take(SEAT, &first);
        assert!(pending.get(&SEAT).is_some_and(|found| Arc::ptr_eq(&found, &second)));
        pending.take(SEAT, &second);
        assert!(pending.get(&SEAT).is_none());
        assert_eq!(pending.count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_value_whose_claim_was_revoked_is_not_published() {
        let pending = Pending::default();
        assert!(!pending.publish(SEAT, &value(), || false));
        assert!(pending.get(&SEAT).is_none());
    }

    #[test]
    fn an_owner_takes_its_own_values_along_and_no_others() {
        let pending = Pending::default();
        let other = Seat { owner: 2, ..SEAT };
        assert!(pending.publish(SEAT, &value(), || true) && pending.publish(other, &value(), || true));
        pending.remove_owner(1);
        assert!(pending.get(&SEAT).is_none() && pending.get(&other).is_some());
        pending.remove(&other);
        assert_eq!(pending.count.load(Ordering::SeqCst), 0);
    }
}
