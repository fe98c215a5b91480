//! Pending values: computed, encoded, handed over to the worker, and not in the index yet.
//!
//! Reads look here between memory and disk. Four rules keep the order of changes (tried over all interleavings of
//! hand-overs, a change and looks, in `interleavings`):
//!
//! * A value is published under the lock of its shard, where its claim is asked whether it was revoked.
//! * A value whose claim was revoked is not found, though it may be there for a moment more: a reader that claims after the
//!   revocation would keep it in memory.
//! * A change revokes the claims of its key first, and removes the pending value of that key then, if it is one of those: a
//!   value that was published in between was computed after the change.
//! * The worker takes a value out after its record is in, and only if it is still the same hand-over.
//!
//! A value that its user inserts without waiting is published over all others, which revokes their claims. So does a
//! computed value that takes the place of one that was there, under its own claim.

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
    flight::{BuildKeyHasher, Claim, FlightKey, Token, Wakers, flight},
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

/// With the claim under which it was computed.
type Published = (Arc<PendingValue>, Token);

type Shard = HashMap<FlightKey, Published, BuildKeyHasher>;

pub(crate) struct Pending {
    /// By the first byte of the digest.
    shards: [Mutex<Shard>; SHARDS],
    /// The number of values in all shards: most looks find it zero and take no lock.
    count: AtomicUsize,
}

impl Default for Pending {
    fn default() -> Self {
        Self { shards: array::from_fn(|_| Mutex::default()), count: AtomicUsize::new(0) }
    }
}

impl Pending {
    /// Publishes a value, in place of an earlier one of the key, unless its claim was revoked.
    pub(crate) fn publish(&self, flight_key: FlightKey, value: &Arc<PendingValue>, claim: Token) -> bool {
        let mut shard = lock(self.shard(&flight_key));
        if !claim.is_current() {
            return false;
        }
        self.put(&mut shard, flight_key, value, claim);
        true
    }

    /// The same for a value that takes the place of another one: every other claim of the key is revoked, so that no reader of
    /// the other value keeps it in memory.
    pub(crate) fn publish_instead(
        &self,
        flight_key: FlightKey,
        value: &Arc<PendingValue>,
        claim: &Claim<'_>,
    ) -> bool {
        let wakers = self.publish_instead_unwoken(flight_key, value, claim);
        wakers.map(Wakers::wake).is_some()
    }

    /// The same under a lock: the caller wakes the waiters after it. `None` if the claim was revoked.
    pub(crate) fn publish_instead_unwoken(
        &self,
        flight_key: FlightKey,
        value: &Arc<PendingValue>,
        claim: &Claim<'_>,
    ) -> Option<Wakers> {
        let mut shard = lock(self.shard(&flight_key));
        if !claim.is_current() {
            return None;
        }
        self.put(&mut shard, flight_key, value, claim.token());
        Some(flight().revoke_unwoken(&flight_key, Some(claim)))
    }

    fn put(&self, shard: &mut Shard, flight_key: FlightKey, value: &Arc<PendingValue>, claim: Token) {
        // A look that finds zero began before this returned.
        if shard.insert(flight_key, (Arc::clone(value), claim)).is_none() {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Publishes a value that its user brought, and revokes every other claim of the key: no earlier computation of the key is
    /// published over it, and no reader keeps an older value in memory. It stands before the revocation and under one lock
    /// with it, so a caller that claims the key after that finds it. Returns the claim of the value.
    pub(crate) fn publish_over(&self, flight_key: FlightKey, value: &Arc<PendingValue>) -> Claim<'static> {
        let mut shard = lock(self.shard(&flight_key));
        let claim = flight().register_reader(flight_key);
        self.put(&mut shard, flight_key, value, claim.token());
        let wakers = flight().revoke_unwoken(&flight_key, Some(&claim));
        drop(shard);
        wakers.wake();
        claim
    }

    pub(crate) fn get(&self, flight_key: &FlightKey) -> Option<Arc<PendingValue>> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let shard = lock(self.shard(flight_key));
        shard.get(flight_key).filter(|(_, claim)| claim.is_current()).map(|(value, _)| Arc::clone(value))
    }

    /// Whether a value of the key is on its way.
    pub(crate) fn has(&self, flight_key: &FlightKey) -> bool {
        self.get(flight_key).is_some()
    }

    /// Takes a value out whose record is in, unless another one was handed over for the key.
    pub(crate) fn take(&self, flight_key: FlightKey, value: &Arc<PendingValue>) {
        let mut shard = lock(self.shard(&flight_key));
        if let Entry::Occupied(entry) = shard.entry(flight_key)
            && Arc::ptr_eq(&entry.get().0, value)
        {
            entry.remove();
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// A change of the key forgets its pending value. The claims of the key were revoked before.
    pub(crate) fn remove(&self, flight_key: &FlightKey) {
        let mut shard = lock(self.shard(flight_key));
        if shard.get(flight_key).is_some_and(|(_, claim)| !claim.is_current()) {
            shard.remove(flight_key);
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The same for all keys of an owner.
    pub(crate) fn remove_owner(&self, owner: u64) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            let before = shard.len();
            shard.retain(|flight_key, (_, claim)| flight_key.owner != owner || claim.is_current());
            self.count.fetch_sub(before - shard.len(), Ordering::SeqCst);
        }
    }

    /// The store is closed.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let values = std::mem::take(&mut *lock(shard));
            self.count.fetch_sub(values.len(), Ordering::SeqCst);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    fn shard(&self, flight_key: &FlightKey) -> &Mutex<Shard> {
        let [first, ..] = &self.shards;
        let [byte, ..] = flight_key.digest;
        self.shards.get(usize::from(byte) % SHARDS).unwrap_or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flight::{flight, fresh_owner},
        sync::{explore, thread},
    };

    fn value() -> Arc<PendingValue> {
        let payload = Finished::Inline(vec![1]);
        Arc::new(PendingValue { payload, lifetime: Lifetime::default(), compute_time: Duration::ZERO })
    }

    fn flight_key() -> FlightKey {
        FlightKey { owner: fresh_owner(), digest: [7; 32] }
    }

    #[test]
    fn a_value_is_found_until_it_is_taken_by_its_own_hand_over() {
        explore(|| {
            let (pending, flight_key, first, second) = (Pending::default(), flight_key(), value(), value());
            let claim = flight().register_reader(flight_key);
            assert!(
                pending.publish(flight_key, &first, claim.token())
                    && pending.publish(flight_key, &second, claim.token())
            );
            pending.take(flight_key, &first);
            assert!(pending.get(&flight_key).is_some_and(|found| Arc::ptr_eq(&found, &second)));
            pending.take(flight_key, &second);
            assert!(pending.get(&flight_key).is_none());
            assert_eq!(pending.count.load(Ordering::SeqCst), 0);
        });
    }

    #[test]
    fn a_value_whose_claim_was_revoked_is_not_published() {
        explore(|| {
            let (pending, flight_key) = (Pending::default(), flight_key());
            let claim = flight().register_reader(flight_key);
            flight().revoke(&flight_key, None);
            assert!(!pending.publish(flight_key, &value(), claim.token()));
            assert!(pending.get(&flight_key).is_none());
        });
    }

    #[test]
    fn a_value_that_is_published_over_others_is_found_whatever_a_computation_does_meanwhile() {
        explore(|| {
            let (pending, flight_key, brought) = (Arc::new(Pending::default()), flight_key(), value());
            let computation = thread::spawn({
                let pending = Arc::clone(&pending);
                move || {
                    let claim = flight().register_reader(flight_key);
                    let is_absent = pending.get(&flight_key).is_none();
                    (is_absent && pending.publish(flight_key, &value(), claim.token()), claim.detach())
                }
            });
            let claim = pending.publish_over(flight_key, &brought);
            let found = || pending.get(&flight_key).is_some_and(|found| Arc::ptr_eq(&found, &brought));
            assert!(claim.is_current() && found());
            let (was_published, its_claim) = computation.join().unwrap();
            assert!(found(), "published: {was_published}");
            assert!(!was_published || !its_claim.is_current(), "the worker would put its value");
        });
    }

    #[test]
    fn a_change_removes_values_from_before_it_and_none_from_after_it() {
        explore(|| {
            let (pending, flight_key) = (Pending::default(), flight_key());
            let before = flight().register_reader(flight_key);
            assert!(pending.publish(flight_key, &value(), before.token()));
            flight().revoke(&flight_key, None);
            assert!(pending.get(&flight_key).is_none(), "not even before it is removed");
            pending.remove(&flight_key);
            assert_eq!(pending.count.load(Ordering::SeqCst), 0);
            // Between the revocation and the removal of a second change.
            let after = flight().register_reader(flight_key);
            assert!(pending.publish(flight_key, &value(), after.token()));
            pending.remove(&flight_key);
            pending.remove_owner(flight_key.owner);
            assert!(pending.get(&flight_key).is_some());
        });
    }

    #[test]
    fn an_owner_takes_its_own_values_along_and_no_others() {
        explore(|| {
            let (pending, own, other) = (Pending::default(), flight_key(), flight_key());
            let claims = [own, other].map(|flight_key| flight().register_reader(flight_key));
            for (flight_key, claim) in [own, other].into_iter().zip(&claims) {
                assert!(pending.publish(flight_key, &value(), claim.token()));
                flight().revoke_owner(flight_key.owner);
            }
            pending.remove_owner(own.owner);
            assert_eq!(pending.count.load(Ordering::SeqCst), 1);
            pending.clear();
            assert_eq!(pending.count.load(Ordering::SeqCst), 0);
        });
    }
}
