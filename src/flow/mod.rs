//! The flow of one call: memory, flight, disk, closure.
//!
//! A failure here is counted, kept and reported, and the call computes. Only the methods without a closure, in `direct`,
//! return a [`Result`].

mod computation;
mod direct;
mod inner;
mod pending_call;

use std::{sync::Arc, time::Duration};

pub(crate) use self::{
    computation::Computation,
    inner::{CacheIf, MemoInner, memory_writer},
    pending_call::PendingCall,
};
use crate::{
    codec::Payload,
    error::{Error, ErrorKind, Result},
    flight::{Claim, FlightKey, Outcome, Turn, flight},
    key::Digest,
    memory::CachedValue,
    observe::Event,
    stats::{Reason, Tier},
    store::{Found, Item},
};

/// The result of a lookup.
pub(crate) enum Lookup<V> {
    Hit(V),
    /// The caller computes, under its claim. Without one the value is not stored.
    Compute(Option<(Digest, Claim<'static>)>),
}

/// A value that was found, and its tier and compute time.
struct Hit<V> {
    value: V,
    tier: Tier,
    compute_time: Duration,
}

type HitOrMiss<V> = Result<Hit<V>, Reason>;

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// Finds the value, or has the caller compute it.
    pub(crate) fn look_up(&self, digest: &Digest) -> Lookup<V> {
        if self.partition.is_closed() {
            self.record_failure(&Error::new(ErrorKind::Closed, "the store is closed: open it again"));
            self.record_miss(Reason::Absent);
            return Lookup::Compute(None);
        }
        match self.in_memory(digest) {
            Some(hit) => Lookup::Hit(self.record_hit(hit)),
            None if self.has_memory() => self.lead_or_wait(digest),
            // Without a memory tier, a read helps no other caller: it needs no claim.
            None => match self.peek_disk(digest) {
                Some(hit) => Lookup::Hit(self.record_hit(hit)),
                None => self.lead_or_wait(digest),
            },
        }
    }

    /// Claims the key. The leader looks the value up once more and computes it; the waiters then look it up again.
    fn lead_or_wait(&self, digest: &Digest) -> Lookup<V> {
        // A caller that waited for a computation counts as a miss, although it finds the value.
        let mut waited = false;
        loop {
            self.partition.await_guests();
            match self.claim(digest) {
                Turn::Lead(mut claim) => match self.find_or_lead(digest, &mut claim) {
                    Some(Ok(hit)) => {
                        claim.complete(Outcome::Found);
                        return Lookup::Hit(self.count_lookup(hit, waited));
                    }
                    Some(Err(reason)) => {
                        self.record_miss(reason);
                        return Lookup::Compute(Some((*digest, claim)));
                    }
                    // This process hosts the store by now. A guest may have led the key all the time.
                    None => claim.complete(Outcome::Revoked),
                },
                Turn::Recheck(outcome) => {
                    waited |= outcome != Outcome::Found;
                    if let Some(hit) = self.recheck(digest, outcome) {
                        return Lookup::Hit(self.count_lookup(hit, waited));
                    }
                }
                Turn::Alone(claim, _) => {
                    self.record_miss(Reason::Absent);
                    return Lookup::Compute(Some((*digest, claim)));
                }
            }
        }
    }

    /// Claims the key. Where another process hosts the store, a caller that leads another key waits there and not here, so that
    /// cycles through several processes are seen.
    fn claim(&self, digest: &Digest) -> Turn<'static> {
        let (flight_key, words) = (self.flight_key(digest), self.partition.words(digest));
        let mut turn = if words.is_some() && flight().waits_as_leader(&flight_key) {
            Turn::Lead(flight().register_reader(flight_key))
        } else {
            flight().claim(flight_key, self.session().max_wait)
        };
        if let Turn::Lead(claim) | Turn::Alone(claim, _) = &mut turn {
            // It may have waited long.
            claim.note(self.partition.words(digest));
        }
        turn
    }

    /// The value, or the reason to compute it. `None`: the call begins anew.
    fn find_or_lead(&self, digest: &Digest, claim: &mut Claim<'static>) -> Option<HitOrMiss<V>> {
        if let Some(hit) = self.in_memory(digest) {
            return Some(Ok(hit));
        }
        match self.partition.read_or_lead(digest, self.bounds.ttl, claim) {
            Ok(found) => found.map(|found| self.take(digest, found, claim)),
            Err(error) => {
                self.record_failure(&error);
                Some(Err(Reason::Absent))
            }
        }
    }

    /// Looks the value up after another caller finished. A computed value is on disk and not in memory: with a memory tier,
    /// one of the waiters claims the key again and reads the value for all.
    fn recheck(&self, digest: &Digest, outcome: Outcome) -> Option<Hit<V>> {
        if outcome == Outcome::Stored && self.has_memory() {
            return self.in_memory(digest);
        }
        let mut claim = flight().register_reader(self.flight_key(digest));
        claim.note(self.partition.words(digest));
        self.find(digest, &claim).ok()
    }

    fn find(&self, digest: &Digest, claim: &Claim<'_>) -> HitOrMiss<V> {
        self.in_memory(digest).map_or_else(|| self.on_disk(digest, claim), Ok)
    }

    fn count_lookup(&self, hit: Hit<V>, waited: bool) -> V {
        if !waited {
            return self.record_hit(hit);
        }
        self.record_miss(Reason::Absent);
        hit.value
    }

    fn record_hit(&self, hit: Hit<V>) -> V {
        self.counters.hit(hit.tier, hit.compute_time);
        self.notify(&Event::Hit { memo: &self.name, tier: hit.tier, saved: hit.compute_time });
        hit.value
    }

    fn in_memory(&self, digest: &Digest) -> Option<Hit<V>> {
        if !self.has_memory() {
            return None;
        }
        let cached = self.cached(digest)?;
        let fresh = !cached.lifetime.is_over(self.session().clock.now(), self.bounds.ttl);
        let value = if fresh { self.copy_of(cached.value::<V>()) } else { None };
        let compute_time = cached.compute_time;
        // It may have been evicted in the meantime, so this may be the last `Arc`.
        self.session().release([cached]);
        Some(Hit { value: value?, tier: Tier::Memory, compute_time })
    }

    /// The value in the memory tier, once the queued values of this thread are written.
    fn cached(&self, digest: &Digest) -> Option<Arc<CachedValue>> {
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

    fn copy_of(&self, value: Option<&V>) -> Option<V> {
        self.guarded("Clone", || Ok(value.cloned())).unwrap_or_else(|error| {
            self.record_failure(&error);
            None
        })
    }

    /// Reads from disk. An error is counted, and is a miss.
    fn on_disk(&self, digest: &Digest, claim: &Claim<'_>) -> HitOrMiss<V> {
        self.read(digest, claim).unwrap_or_else(|error| {
            self.record_failure(&error);
            Err(Reason::Absent)
        })
    }

    /// Reads from disk without a claim. An error is not counted, because the leader reads again.
    fn peek_disk(&self, digest: &Digest) -> Option<Hit<V>> {
        let Found::Item(item) = self.partition.read(digest, self.bounds.ttl).ok()? else { return None };
        let value = self.decode(&item).ok()?;
        self.verify_later(&item);
        Some(Hit { value, tier: Tier::Disk, compute_time: item.compute_time })
    }

    /// Reads from disk and keeps a copy in memory.
    fn read(&self, digest: &Digest, claim: &Claim<'_>) -> Result<HitOrMiss<V>> {
        let found = self.partition.read(digest, self.bounds.ttl)?;
        Ok(self.take(digest, found, claim))
    }

    /// Decodes what was found on disk, and keeps a copy in memory.
    fn take(&self, digest: &Digest, found: Found, claim: &Claim<'_>) -> HitOrMiss<V> {
        let item = match found {
            Found::Item(item) => item,
            Found::Missing(reason) => return Err(reason),
            Found::Damaged(error) => return self.damaged(&error),
        };
        let value = match self.decode(&item) {
            Ok(value) => value,
            Err(error) => return self.damaged(&error),
        };
        if item.payload.is_verified() {
            self.promote(digest, &item, &value, claim);
        } else {
            self.verify_later(&item);
        }
        Ok(Hit { value, tier: Tier::Disk, compute_time: item.compute_time })
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

    fn damaged(&self, error: &Error) -> HitOrMiss<V> {
        self.record_failure(error);
        Err(Reason::Damaged)
    }

    /// Puts a copy of a decoded value into memory, unless its claim was revoked.
    fn promote(&self, digest: &Digest, item: &Item, value: &V, claim: &Claim<'_>) {
        let size = item.payload.size() as u64;
        if !self.has_memory() {
            return;
        }
        if !self.session().memory.fits(size, self.memory) {
            return self.too_large(size);
        }
        if let Some(copy) = self.copy_of(Some(value)) {
            let noted = claim.noted();
            let cached = CachedValue::new(copy, item.lifetime, item.compute_time, size, noted);
            let is_current = || claim.is_current() && self.partition.is_current(digest, noted);
            self.session().admit(self.partition.owner(), digest, cached, self.memory, is_current);
        }
    }

    fn too_large(&self, bytes: u64) {
        if self.counters.too_large() {
            self.notify(&Event::TooLargeForMemory { memo: &self.name, bytes });
        }
    }

    fn has_memory(&self) -> bool {
        self.session().memory.fits(0, self.memory)
    }

    /// Decodes the value of an item. It is an error if the payload is damaged.
    fn decode(&self, item: &Item) -> Result<V> {
        let decoded = self.decode_payload(&item.payload);
        // A codec may keep bytes that it did not read. Unless it deferred this, they are verified now.
        if decoded.is_ok() && !item.payload.is_deferred() {
            item.payload.verify_all();
        }
        item.damage().map_or(decoded, |damage| Err(damage.with_context(&self.place)))
    }

    fn decode_payload(&self, payload: &Payload) -> Result<V> {
        self.guarded("Deserialize", || self.codec.decode(payload)).map_err(|error| match error.kind() {
            ErrorKind::Panic => error,
            _ => error.with_kind(ErrorKind::Decode),
        })
    }

    fn flight_key(&self, digest: &Digest) -> FlightKey {
        FlightKey { owner: self.partition.owner(), digest: *digest.as_bytes() }
    }
}
