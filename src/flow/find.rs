//! Finds a value in memory and on disk, and keeps a copy of what came from disk in memory.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    MemoInner,
    content::{self, Decoded},
    inner::panicked,
    place::{HitInputs, Place},
    terms::{Standing, Terms},
};
use crate::{
    clock::{Expiry, Lifetime, Timestamp},
    codec::Payload,
    context::note_stale,
    effect_log::EffectLog,
    error::{ErrorKind, Result},
    flight::Claim,
    key::Digest,
    memory::CachedValue,
    observe::Event,
    stats::{Reason, Tier},
    store::{Found, Item},
    variants::Variants,
};

/// A value that was found.
pub(crate) struct Hit<V> {
    pub(crate) value: V,
    pub(crate) tier: Tier,
    pub(crate) lifetime: Lifetime,
    /// When it was found.
    pub(super) now: Timestamp,
    pub(crate) compute_time: Duration,
    /// Those of its computation, in a memo that declares some.
    pub(super) effects: Option<Arc<EffectLog>>,
    /// `None` for a value that was computed without any.
    pub(super) inputs: Option<HitInputs>,
    pub(super) standing: Standing,
    /// That of its record; 0 where it is not known.
    pub(super) sequence: u64,
}

impl<V> Hit<V> {
    /// At the moment when it was found.
    pub(crate) fn age(&self) -> Duration {
        self.now.since(self.lifetime.created)
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.standing == Standing::Stale
    }

    /// Whether the caller may have it at all.
    pub(super) fn is_of_use(&self) -> bool {
        !matches!(self.standing, Standing::Refused(_))
    }

    /// It goes to a caller: the computation of that one has read a stale value then.
    pub(super) fn hand_out(&self) {
        if self.is_stale() {
            note_stale();
        }
    }

    /// It was found at that place: its inputs go with it.
    pub(super) fn at(self, place: &Place) -> Self {
        Self { inputs: place.inputs(), ..self }
    }

    /// Whether the caller may have it without a computation.
    pub(super) fn is_good(&self) -> bool {
        self.standing == Standing::Good
    }
}

/// Why no value was found.
pub(super) enum Miss {
    Of(Reason),
    /// The key has variants: the call goes on by their list.
    Variants(Arc<Variants>),
}

pub(super) type HitOrMiss<V> = Result<Hit<V>, Miss>;

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// The value in memory unless it is over.
    pub(super) fn in_memory(&self, digest: &Digest, terms: &Terms<impl Fn(&V) -> bool>) -> Option<Hit<V>> {
        self.in_memory_under(digest, self.expiry(digest), terms)
    }

    pub(super) fn in_memory_under(
        &self,
        digest: &Digest,
        expiry: Expiry,
        terms: &Terms<impl Fn(&V) -> bool>,
    ) -> Option<Hit<V>> {
        if !self.has_memory() {
            return None;
        }
        let cached = self.cached(digest)?;
        let now = self.session().clock.now();
        let standing = self.standing(terms, &cached.lifetime, now, expiry);
        let copy = if standing.is_none() { None } else { self.copy_of_cached(&cached) };
        self.partition.mark_used(digest);
        let (lifetime, compute_time) = (cached.lifetime, cached.compute_time);
        // It may have been evicted in the meantime, so this may be the last `Arc`.
        self.session().release([cached]);
        let (Decoded { value, effects }, standing) = (copy?, standing?);
        let standing = self.judge(terms, &lifetime, now, standing, &value);
        Some(Hit {
            value,
            tier: Tier::Memory,
            lifetime,
            now,
            compute_time,
            effects,
            inputs: None,
            standing,
            sequence: 0,
        })
    }

    /// The value in the memory tier, once the queued values of this thread are written.
    pub(super) fn cached(&self, digest: &Digest) -> Option<Arc<CachedValue>> {
        let may_leave = self.partition.may_leave(digest);
        let mut cached = self.session().memory.get(self.partition.owner(), digest)?;
        if may_leave {
            self.session().release([cached]);
            self.partition.catch_up();
            cached = self.session().memory.get(self.partition.owner(), digest)?;
        }
        if self.partition.is_current(digest, cached.noted) {
            return Some(cached);
        }
        // Another process changed the entry since.
        self.session().release([cached]);
        None
    }

    /// What was found on disk, or a value in memory that was stored later and could not be written.
    pub(super) fn newer_of(&self, found: Hit<V>, cached: Option<&Hit<V>>) -> Hit<V> {
        let later = |cached: &&Hit<V>| cached.lifetime.created > found.lifetime.created && !found.is_good();
        cached.filter(later).and_then(|cached| self.copy_of_hit(cached)).unwrap_or(found)
    }

    /// `None` if the `Clone` of the value panics.
    pub(super) fn copy_of_hit(&self, hit: &Hit<V>) -> Option<Hit<V>> {
        let Hit { tier, lifetime, now, compute_time, standing, sequence, .. } = *hit;
        let (value, effects) = (self.copy_of(Some(&hit.value))?, hit.effects.clone());
        let inputs = hit.inputs.clone();
        Some(Hit { value, tier, lifetime, now, compute_time, effects, inputs, standing, sequence })
    }

    #[inline]
    pub(super) fn copy_of(&self, value: Option<&V>) -> Option<V> {
        let mut copy = None;
        match catch_unwind(AssertUnwindSafe(|| copy = value.cloned())) {
            Ok(()) => copy,
            Err(panic) => self.report_panic("Clone", panic),
        }
    }

    #[cold]
    fn report_panic(&self, what: &str, panic: Box<dyn Any + Send>) -> Option<V> {
        self.record_failure(&panicked(what, panic));
        None
    }

    /// In memory, if it is good there, else from disk. An error is counted, and is a miss.
    pub(super) fn find(
        &self,
        digest: &Digest,
        claim: &Claim<'_>,
        terms: &Terms<impl Fn(&V) -> bool>,
    ) -> HitOrMiss<V> {
        let cached = match self.in_memory(digest, terms) {
            Some(hit) if hit.is_good() => return Ok(hit),
            other => other.filter(Hit::is_of_use),
        };
        let read = self.read(digest, self.expiry(digest), claim, terms).unwrap_or_else(|error| {
            self.record_failure(&error);
            Err(Miss::Of(Reason::Absent))
        });
        match (read, cached) {
            (Ok(hit), cached) => Ok(self.newer_of(hit, cached.as_ref())),
            // A value that could not be written is in memory only.
            (Err(reason), cached) => cached.ok_or(reason),
        }
    }

    /// Reads a value from disk without a claim, and does not keep it. An error is not counted, because the leader reads again.
    pub(super) fn peek_disk(&self, digest: &Digest, terms: &Terms<impl Fn(&V) -> bool>) -> Option<Hit<V>> {
        let expiry = self.expiry(digest);
        let Found::Item(item) = self.partition.read(digest, expiry).ok()? else { return None };
        self.open(digest, &item, expiry, terms, None)
    }

    /// Decodes what was found on disk. It keeps a copy in memory under a claim only.
    pub(super) fn open(
        &self,
        digest: &Digest,
        item: &Item,
        expiry: Expiry,
        terms: &Terms<impl Fn(&V) -> bool>,
        claim: Option<&Claim<'_>>,
    ) -> Option<Hit<V>> {
        let decoded = self.decode(item).ok()?;
        self.partition.mark_used(digest);
        match claim {
            Some(claim) if item.payload.is_verified() => self.promote(digest, item, &decoded, claim),
            _ => self.verify_later(item),
        }
        self.hit(item, decoded, expiry, terms)
    }

    /// Reads from disk and keeps a copy in memory.
    pub(super) fn read(
        &self,
        digest: &Digest,
        expiry: Expiry,
        claim: &Claim<'_>,
        terms: &Terms<impl Fn(&V) -> bool>,
    ) -> Result<HitOrMiss<V>> {
        let found = self.partition.read(digest, expiry)?;
        Ok(self.take(digest, found, expiry, claim, terms))
    }

    /// Decodes what was found on disk, and keeps a copy in memory.
    pub(super) fn take(
        &self,
        digest: &Digest,
        found: Found,
        expiry: Expiry,
        claim: &Claim<'_>,
        terms: &Terms<impl Fn(&V) -> bool>,
    ) -> HitOrMiss<V> {
        let item = match found {
            Found::Item(item) => item,
            Found::Variants(found) => return Err(Miss::Variants(self.keep_list(digest, &found, claim))),
            Found::Missing(reason) => return Err(Miss::Of(reason)),
            Found::Damaged(error) => {
                self.record_failure(&error);
                return Err(Miss::Of(Reason::Damaged));
            }
        };
        let decoded = self.decode(&item).map_err(|error| {
            self.record_failure(&error);
            Miss::Of(Reason::Damaged)
        })?;
        self.partition.mark_used(digest);
        if item.payload.is_verified() {
            self.promote(digest, &item, &decoded, claim);
        } else {
            self.verify_later(&item);
        }
        self.hit(&item, decoded, expiry, terms).ok_or(Miss::Of(Reason::Expired))
    }

    pub(super) fn hit(
        &self,
        item: &Item,
        decoded: Decoded<V>,
        expiry: Expiry,
        terms: &Terms<impl Fn(&V) -> bool>,
    ) -> Option<Hit<V>> {
        let Item { lifetime, compute_time, sequence, now, .. } = *item;
        let standing = self.standing(terms, &lifetime, now, expiry)?;
        let Decoded { value, effects } = decoded;
        let standing = self.judge(terms, &lifetime, now, standing, &value);
        let (tier, inputs) = (Tier::Disk, None);
        Some(Hit { value, tier, lifetime, now, compute_time, effects, inputs, standing, sequence })
    }

    /// Counts and tells a hit.
    #[inline]
    pub(super) fn record_hit(&self, hit: &Hit<V>) {
        self.counters.hit(hit.tier, hit.compute_time);
        if hit.is_stale() {
            self.counters.stale_hit(hit.age());
            note_stale();
        }
        if self.session().observers.hears_hits(&self.observers) {
            let (tier, saved, is_stale, age) = (hit.tier, hit.compute_time, hit.is_stale(), hit.age());
            self.notify(&Event::Hit { memo: &self.name, tier, saved, is_stale, age });
        }
    }

    /// Has the bytes that the codec did not verify verified after the call.
    fn verify_later(&self, item: &Item) {
        if item.payload.is_verified() {
            return;
        }
        let (counters, observers) = (Arc::clone(&self.counters), Arc::clone(&self.observers));
        let (name, place) = (Arc::clone(&self.name), Arc::clone(&self.place));
        let session = Arc::clone(self.store.session());
        self.partition.verify_later(item, move |error| {
            let error = error.with_context(&place);
            counters.failed(&error);
            session.tell(Some(&observers), &Event::Failed { memo: Some(&name), error: &error });
        });
    }

    /// Puts a copy of a decoded value into memory, unless its claim was revoked.
    fn promote(&self, digest: &Digest, item: &Item, decoded: &Decoded<V>, claim: &Claim<'_>) {
        let size = item.payload.size() as u64;
        if !self.has_memory() {
            return;
        }
        if !self.session().memory.fits(size, self.memory) {
            return self.too_large(size);
        }
        if self.has_newer(digest, item.lifetime) {
            return;
        }
        if let Some(value) = self.copy_of(Some(&decoded.value)) {
            let noted = claim.noted();
            let copy = Decoded { value, effects: decoded.effects.clone() };
            let cached = copy.cached(digest, item.lifetime, item.compute_time, size, noted);
            let is_current = || claim.is_current() && self.partition.is_current(digest, noted);
            self.session().admit(self.partition.owner(), cached, self.memory, is_current);
        }
    }

    /// Whether memory has a value that was stored later: it could not be written, or it is not in the index yet.
    pub(super) fn has_newer(&self, digest: &Digest, lifetime: Lifetime) -> bool {
        let cached = self.session().memory.get(self.partition.owner(), digest);
        let (now, expiry) = (self.session().clock.now(), self.expiry(digest));
        let is_newer = cached.as_ref().is_some_and(|cached| {
            cached.lifetime.created > lifetime.created && !cached.lifetime.is_over(now, expiry)
        });
        self.session().release(cached);
        is_newer
    }

    fn too_large(&self, bytes: u64) {
        if self.counters.too_large() {
            self.notify(&Event::TooLargeForMemory { memo: &self.name, bytes });
        }
    }

    pub(super) fn has_memory(&self) -> bool {
        self.session().memory.fits(0, self.memory)
    }

    /// Decodes the value of an item. It is an error if the payload is damaged.
    pub(super) fn decode(&self, item: &Item) -> Result<Decoded<V>> {
        let decoded = self.decode_payload(&item.payload);
        // A codec may keep bytes that it did not read. Unless it deferred this, they are verified now.
        if decoded.is_ok() && !item.payload.is_deferred() {
            item.payload.verify_all();
        }
        item.damage().map_or(decoded, |damage| Err(damage.with_context(&self.place)))
    }

    fn decode_payload(&self, payload: &Payload) -> Result<Decoded<V>> {
        let decode = || content::decode(&*self.codec, payload, self.effects.is_some());
        self.guarded("Deserialize", decode).map_err(|error| match error.kind() {
            ErrorKind::Panic => error,
            _ => error.with_kind(ErrorKind::Decode),
        })
    }
}
