//! Finds the place of a call: compares the variants of its key with the inputs of today.

use std::sync::Arc;

use super::{
    MemoInner,
    place::Place,
    variant_list::{list_of, newer_unwritten_list, unwritten_list},
};
use crate::{
    clock::{Freshness, Lifetime},
    flight::{Claim, flight},
    key::Digest,
    memory::CachedValue,
    store::FoundVariants,
    variants::Variants,
};

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// The place by the list that is in memory. Without a memory tier it is read from disk.
    pub(super) fn place(&self, key: &Digest) -> Place {
        if !self.has_variants.is_set() {
            return Place::of_key(key);
        }
        let list = if self.has_memory() { self.list_in_memory(key) } else { self.list_on_disk(key) };
        list.map_or_else(|| Place::of_key(key), |list| Place::by(key, &list))
    }

    pub(super) fn list_in_memory(&self, key: &Digest) -> Option<Arc<Variants>> {
        let list = self.cached_list(key, list_of)?;
        self.partition.mark_used(key);
        Some(list)
    }

    fn cached_list(
        &self,
        key: &Digest,
        list_of: impl FnOnce(&CachedValue) -> Option<Arc<Variants>>,
    ) -> Option<Arc<Variants>> {
        let cached = self.cached(key)?;
        let list = list_of(&cached).filter(|_| !self.is_over(&cached.lifetime, key));
        self.session().release([cached]);
        list
    }

    pub(super) fn list_on_disk(&self, key: &Digest) -> Option<Arc<Variants>> {
        let found = self.partition.variants(key).ok()??;
        Some(found.list)
    }

    fn is_over(&self, lifetime: &Lifetime, key: &Digest) -> bool {
        lifetime.freshness(self.session().clock.now(), self.expiry(key)) == Freshness::Over
    }

    /// A list was read: it is kept in memory under a claim on the key, unless a newer one is there that could not be written.
    pub(super) fn keep_list(&self, key: &Digest, found: &FoundVariants, claim: &Claim<'_>) -> Arc<Variants> {
        self.has_variants.note();
        self.partition.mark_used(key);
        if let Some(newer) = self.cached_list(key, |cached| newer_unwritten_list(cached, found)) {
            return newer;
        }
        let cached = found.cached(key, true, claim.noted());
        if self.session().memory.fits(cached.size, self.memory) {
            let is_current = || claim.is_current() && self.partition.is_current(key, claim.noted());
            self.session().admit(self.partition.owner(), cached, self.memory, is_current);
        }
        Arc::clone(&found.list)
    }

    /// The leader of a variant is about to compute: a claim on the key, which a change of the key revokes. `Err` is the place where
    /// the call begins anew, if the list leads there by now.
    pub(super) fn guard(&self, place: &Place) -> Result<Option<Claim<'static>>, Place> {
        if !place.is_variant() {
            return Ok(None);
        }
        let key = place.key();
        let guard = self.guard_of(key);
        let list = match self.partition.variants(key) {
            Ok(Some(found)) => Some(self.keep_list(key, &found, &guard)),
            // A list that could not be written is in memory only. Another one that is there was evicted.
            Ok(None) => self.cached_list(key, unwritten_list),
            Err(error) => {
                self.record_failure(&error);
                return Ok(Some(guard));
            }
        };
        let now = list.map_or_else(|| Place::of_key(key), |list| Place::by(key, &list));
        if now.digest == place.digest { Ok(Some(guard)) } else { Err(now) }
    }

    /// A claim on a key that leads nothing.
    pub(super) fn guard_of(&self, key: &Digest) -> Claim<'static> {
        let mut guard = flight().register_reader(self.flight_key(key));
        guard.note(self.partition.words(key));
        guard
    }
}
