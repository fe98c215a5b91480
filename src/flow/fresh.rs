//! The shortest ways to a hit, for calls without terms of their own: a fresh value in memory, or in the index itself. Everything
//! else is left to the general way, which moves more about.

use std::time::Duration;

use super::MemoInner;
use crate::{
    clock::Lifetime,
    key::{Digest, MemoKey},
    memory::CachedValue,
    observe::Event,
    stats::Tier,
    store::FreshRecord,
};

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// A fresh value in memory that was hit before, which is a hit of a call without terms of its own. Most calls end here:
    /// it takes no digest of the key.
    #[inline]
    pub(crate) fn fresh_by_key(
        &self,
        key: &MemoKey,
        accepts: impl FnOnce(&CachedValue) -> bool,
    ) -> Option<V> {
        // Asked before the look: an entry that a hand-over of this thread pushes out meanwhile is not found.
        if !self.looks_in_memory() || self.partition.may_push_out() {
            return None;
        }
        let memory = &self.session().memory;
        let cached = memory.get_by_key(&memory.key(self.partition.owner(), key)?)?;
        let is_current = self.partition.is_current(&cached.digest, cached.noted);
        let value = if is_current && accepts(&cached) { self.take_fresh(&cached) } else { None };
        // It may have been evicted in the meantime, so this may be the last `Arc`.
        self.session().release_one(cached);
        value
    }

    /// The same by the digest of a key. From then on the value is found by the key.
    pub(crate) fn fresh_in_memory(
        &self,
        digest: &Digest,
        key: &MemoKey,
        accepts: impl FnOnce(&CachedValue) -> bool,
    ) -> Option<V> {
        if !self.looks_in_memory() {
            return None;
        }
        let cached = self.cached(digest)?;
        let value = if accepts(&cached) { self.take_fresh(&cached) } else { None };
        let memory = &self.session().memory;
        if value.is_some()
            && let Some(key) = memory.key(self.partition.owner(), key)
        {
            self.session().release(memory.note_key(self.partition.owner(), &key, &cached, self.memory));
        }
        self.session().release_one(cached);
        value
    }

    #[inline]
    fn looks_in_memory(&self) -> bool {
        self.has_memory() && !self.is_disabled && !self.partition.is_closed()
    }

    /// A fresh value that lies in the index itself, in a memo without memory: there, a read helps no other caller.
    pub(crate) fn fresh_on_disk(&self, digest: &Digest) -> Option<V> {
        if self.has_memory() || self.effects.is_some() || self.partition.is_closed() {
            return None;
        }
        let FreshRecord { payload, lifetime, compute_time } =
            self.partition.read_fresh(digest, self.expiry(digest))?;
        let mut value = None;
        let decode = || self.codec.decode(&payload).map(|decoded| value = Some(decoded));
        self.guarded("Deserialize", decode).ok()?;
        self.count_fresh(digest, Tier::Disk, lifetime, compute_time);
        value
    }

    /// Counts a hit on a value that is fresh, and returns a copy of it.
    #[inline]
    fn take_fresh(&self, cached: &CachedValue) -> Option<V> {
        let CachedValue { lifetime, compute_time, .. } = *cached;
        let (clock, expiry) = (&self.session().clock, self.expiry(&cached.digest));
        let is_fresh = clock.is_fresh(lifetime, expiry);
        // A value of another type is that of a memo with effects, or a list of variants.
        let value = if is_fresh { self.copy_of(cached.value::<V>()) } else { None };
        if value.is_some() {
            self.count_fresh(&cached.digest, Tier::Memory, lifetime, compute_time);
        }
        value
    }

    #[inline]
    fn count_fresh(&self, digest: &Digest, tier: Tier, lifetime: Lifetime, compute_time: Duration) {
        self.partition.mark_used(digest);
        self.counters.hit(tier, compute_time);
        if self.session().observers.hears_hits(&self.observers) {
            self.tell_fresh(tier, lifetime, compute_time);
        }
    }

    #[cold]
    fn tell_fresh(&self, tier: Tier, lifetime: Lifetime, saved: Duration) {
        let age = self.session().clock.now().since(lifetime.created);
        self.notify(&Event::Hit { memo: &self.name, tier, saved, is_stale: false, age });
    }
}
