//! The flow of one call: memory, flight, disk, and only then the closure.
//!
//! Everything that can go wrong here ends in a computation: failures are counted, kept and told, never returned. The
//! four methods that return a [`Result`] are those that have no closure to fall back on.

mod begun;
mod computation;
mod direct;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

pub(crate) use self::{begun::Begun, computation::Computation};
use crate::{
    clock::Lifetime,
    codec::{Codec, Payload, RoundTrip},
    error::{Error, Kind, Result},
    flight::{Claim, Outcome, Seat, Turn, flight},
    key::Digest,
    memory::Held,
    observe::{Event, Observers, Span},
    stats::{Counters, Reason, Tier},
    store::{
        Bounds, Draft, Entry, Finished, Found, Item, KeepInMemory, Partition, PendingValue, Refused, Session,
        Store,
    },
};

/// Decides whether a computed value is worth keeping.
pub(crate) type CacheIf<V> = Arc<dyn Fn(&V) -> bool + Send + Sync>;

/// What all handles of one memo share.
pub(crate) struct Inner<V: 'static> {
    pub(crate) partition: Partition,
    pub(crate) codec: Arc<dyn Codec<V>>,
    /// Whether its values come back as they are.
    pub(crate) round_trip: RoundTrip,
    pub(crate) bounds: Bounds,
    /// This memo's part of the memory tier; zero turns it off.
    pub(crate) memory: Option<u64>,
    pub(crate) cache_if: Option<CacheIf<V>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) observers: Arc<Observers>,
    pub(crate) name: Arc<str>,
    /// Name, key type and value type, for the front of every error.
    pub(crate) place: Arc<str>,
    /// Whether a value over `max_bytes` was told already.
    pub(crate) told_oversize: AtomicBool,
    /// Last, so that everything above is let go before the store may close.
    pub(crate) store: Store,
}

/// What a look came to.
pub(crate) enum Lookup<'a, V: 'static> {
    Hit(V),
    Compute(Computation<'a, V>),
}

/// A value, where it was, and what computing it took.
struct Sighting<V> {
    value: V,
    tier: Tier,
    compute_time: Duration,
}

type Look<V> = Result<Sighting<V>, Reason>;

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    /// Finds the value, or leaves the caller with the duty to compute it.
    pub(crate) fn look_up(&self, digest: &Digest) -> Lookup<'_, V> {
        if self.partition.is_closed() {
            self.failed(&Error::new(Kind::Closed, "the store is closed: open it again"));
            return Lookup::Compute(self.compute_alone());
        }
        match self.in_memory(digest) {
            Some(seen) => Lookup::Hit(self.hit(seen)),
            None if self.remembers() => self.take_off(digest),
            // Nothing would be promoted, so nobody waits for anybody's read.
            None => match self.glance(digest) {
                Some(seen) => Lookup::Hit(self.hit(seen)),
                None => self.take_off(digest),
            },
        }
    }

    /// Claims the key: the leader looks once more and computes, the others wait and look again.
    fn take_off(&self, digest: &Digest) -> Lookup<'_, V> {
        // Whoever waited for a computation missed, even if the value is there when it is woken.
        let mut waited = false;
        loop {
            match flight().claim(self.seat(digest), self.session().max_wait) {
                Turn::Lead(claim) => match self.find(digest, &claim) {
                    Ok(seen) => {
                        claim.settle(Outcome::Found);
                        return Lookup::Hit(self.found(seen, waited));
                    }
                    Err(reason) => return Lookup::Compute(self.compute(Some((*digest, claim)), reason)),
                },
                Turn::Look(outcome) => {
                    waited |= outcome != Outcome::Found;
                    if let Some(seen) = self.look_again(digest, outcome) {
                        return Lookup::Hit(self.found(seen, waited));
                    }
                }
                Turn::Alone(claim, _) => {
                    return Lookup::Compute(self.compute(Some((*digest, claim)), Reason::Absent));
                }
            }
        }
    }

    /// After another caller finished. What it computed is on disk and not in memory: one of those who waited reads it for
    /// all, unless nothing would be kept of that.
    fn look_again(&self, digest: &Digest, outcome: Outcome) -> Option<Sighting<V>> {
        if outcome == Outcome::Stored && self.remembers() {
            return self.in_memory(digest);
        }
        let claim = flight().attend(self.seat(digest));
        self.find(digest, &claim).ok()
    }

    fn find(&self, digest: &Digest, claim: &Claim<'_>) -> Look<V> {
        self.in_memory(digest).map_or_else(|| self.on_disk(digest, claim), Ok)
    }

    fn found(&self, seen: Sighting<V>, waited: bool) -> V {
        if !waited {
            return self.hit(seen);
        }
        self.missed(Reason::Absent);
        seen.value
    }

    fn hit(&self, seen: Sighting<V>) -> V {
        self.counters.hit(seen.tier, seen.compute_time);
        self.tell(&Event::Hit { memo: &self.name, tier: seen.tier, saved: seen.compute_time });
        seen.value
    }

    fn missed(&self, reason: Reason) {
        self.counters.miss(reason);
        self.tell(&Event::Miss { memo: &self.name, reason });
    }

    /// Where there is nothing to look up or store by.
    pub(crate) fn compute_alone(&self) -> Computation<'_, V> {
        self.compute(None, Reason::Absent)
    }

    fn compute(&self, claim: Option<(Digest, Claim<'static>)>, reason: Reason) -> Computation<'_, V> {
        self.missed(reason);
        self.tell(&Event::ComputingBegan { memo: &self.name });
        let (span, stopwatch) = (Span::of_computing(&self.name), self.session().clock.stopwatch());
        Computation { memo: self, claim, span, stopwatch, done: false }
    }

    fn in_memory(&self, digest: &Digest) -> Option<Sighting<V>> {
        if !self.remembers() {
            return None;
        }
        let held = self.held(digest)?;
        let fresh = !held.lifetime.is_over(self.session().clock.now(), self.bounds.ttl);
        let value = if fresh { self.copy_of(held.value::<V>()) } else { None };
        let compute_time = held.compute_time;
        // It may have left the memory meanwhile.
        self.session().release([held]);
        Some(Sighting { value: value?, tier: Tier::Memory, compute_time })
    }

    /// What the memory tier holds after all hand-overs of this thread.
    fn held(&self, digest: &Digest) -> Option<Arc<Held>> {
        let held = self.session().memory.get(self.partition.owner(), digest)?;
        if self.partition.is_settled() {
            return Some(held);
        }
        self.session().release([held]);
        self.session().memory.get(self.partition.owner(), digest)
    }

    fn copy_of(&self, value: Option<&V>) -> Option<V> {
        self.guarded("Clone", || Ok(value.cloned())).unwrap_or_else(|error| {
            self.failed(&error);
            None
        })
    }

    /// Reads from disk; what the disk fails by is counted and makes it a miss.
    fn on_disk(&self, digest: &Digest, claim: &Claim<'_>) -> Look<V> {
        self.read(digest, claim).unwrap_or_else(|error| {
            self.failed(&error);
            Err(Reason::Absent)
        })
    }

    /// Reads from disk without a claim. What it fails by is not counted: the leader looks again.
    fn glance(&self, digest: &Digest) -> Option<Sighting<V>> {
        let Found::Item(item) = self.partition.read(digest, self.bounds.ttl).ok()? else { return None };
        let value = self.decode(&item).ok()?;
        self.verify_later(&item);
        Some(Sighting { value, tier: Tier::Disk, compute_time: item.compute_time })
    }

    /// Reads from disk and keeps a copy in memory.
    fn read(&self, digest: &Digest, claim: &Claim<'_>) -> Result<Look<V>> {
        let item = match self.partition.read(digest, self.bounds.ttl)? {
            Found::Item(item) => item,
            Found::Missing(reason) => return Ok(Err(reason)),
            Found::Damaged(error) => return Ok(self.damaged(&error)),
        };
        let value = match self.decode(&item) {
            Ok(value) => value,
            Err(error) => return Ok(self.damaged(&error)),
        };
        if item.payload.is_whole() {
            self.promote(digest, &item, &value, claim);
        } else {
            self.verify_later(&item);
        }
        Ok(Ok(Sighting { value, tier: Tier::Disk, compute_time: item.compute_time }))
    }

    /// What the codec handed out without looking at it is verified after the call.
    fn verify_later(&self, item: &Item) {
        if item.payload.is_whole() {
            return;
        }
        let (counters, observers) = (Arc::clone(&self.counters), Arc::clone(&self.observers));
        let (name, place) = (Arc::clone(&self.name), Arc::clone(&self.place));
        let session = Arc::clone(self.store.session());
        self.partition.verify_later(item, move |error| {
            let error = error.at(&place);
            counters.failed(&error);
            session.tell(Some(&observers), &Event::Failed { memo: Some(&name), error: &error });
        });
    }

    fn damaged(&self, error: &Error) -> Look<V> {
        self.failed(error);
        Err(Reason::Damaged)
    }

    /// A copy of a value that was decoded goes into memory, unless the claim it was read under was revoked.
    fn promote(&self, digest: &Digest, item: &Item, value: &V, claim: &Claim<'_>) {
        let size = item.payload.size() as u64;
        if !self.remembers() {
            return;
        }
        if !self.session().memory.fits(size, self.memory) {
            return self.too_large(size);
        }
        if let Some(copy) = self.copy_of(Some(value)) {
            let held = Held::new(copy, item.lifetime, item.compute_time, size);
            self.session().admit(self.partition.owner(), digest, held, self.memory, || claim.is_current());
        }
    }

    fn too_large(&self, bytes: u64) {
        if self.counters.too_large() {
            self.tell(&Event::TooLargeForMemory { memo: &self.name, bytes });
        }
    }

    fn remembers(&self) -> bool {
        self.session().memory.fits(0, self.memory)
    }

    /// The value of an item, and nothing when its payload turned out to be damaged.
    fn decode(&self, item: &Item) -> Result<V> {
        let decoded = self.decode_payload(&item.payload);
        // A codec that kept the bytes without a look hands them out only if they are whole.
        if decoded.is_ok() && !item.payload.may_wait() {
            item.payload.verify_all();
        }
        item.damage().map_or(decoded, |damage| Err(damage.at(&self.place)))
    }

    fn decode_payload(&self, payload: &Payload) -> Result<V> {
        self.guarded("Deserialize", || self.codec.decode(payload)).map_err(|error| match error.kind() {
            Kind::Panic => error,
            _ => error.with_kind(Kind::Decode),
        })
    }

    /// Runs code of the user's types so that a panic in it is a failure of the cache, not of the call.
    pub(crate) fn guarded<T>(&self, what: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let guarded = catch_unwind(AssertUnwindSafe(call));
        guarded
            .unwrap_or_else(|panic| Err(Error::panicked(&format!("the `{what}` of a key or value"), panic)))
            .map_err(|error| error.at(&self.place))
    }

    /// Counts, keeps and tells what went wrong.
    pub(crate) fn failed(&self, error: &Error) {
        let error = error.clone().at(&self.place);
        self.counters.failed(&error);
        if error.kind() != Kind::Oversize || !self.told_oversize.swap(true, Relaxed) {
            self.tell(&Event::Failed { memo: Some(&self.name), error: &error });
        }
    }

    fn seat(&self, digest: &Digest) -> Seat {
        Seat { owner: self.partition.owner(), digest: *digest.as_bytes() }
    }

    /// Stores a computed value, and tells the waiters what came of it. With a disk that refuses it is kept in memory.
    fn keep(&self, entry: Entry, value: &V, claim: Claim<'static>) {
        let digest = entry.digest;
        let (ttl, compute_time) = (entry.ttl, entry.compute_time);
        match self.store_computed(entry, value, claim) {
            Ok(Outcome::Stored) => self.counters.inserted(),
            Ok(_) => {}
            Err(Refused::Unwritten(error)) => self.failed(&error),
            Err(Refused::Full(claim)) => {
                self.counters.overflowed();
                let outcome = self.keep_in_memory(&digest, ttl, compute_time, value, &claim);
                claim.settle(outcome);
            }
            Err(Refused::Failed(error, claim)) => {
                self.failed(&error);
                let is_hopeless =
                    matches!(error.kind(), Kind::Oversize | Kind::Encode | Kind::Panic | Kind::Key);
                let outcome = if is_hopeless {
                    Outcome::Unstored
                } else {
                    self.keep_in_memory(&digest, ttl, compute_time, value, &claim)
                };
                claim.settle(outcome);
            }
        }
    }

    fn store_computed(&self, entry: Entry, value: &V, claim: Claim<'static>) -> Result<Outcome, Refused> {
        let limit = self.partition.limit(&self.bounds);
        match self.encode(value, limit, &entry.key_head, entry.compute_time) {
            Ok(payload) => self.partition.hand_over(entry, payload, limit, claim),
            Err(error) => Err(Refused::Failed(error, claim)),
        }
    }

    /// Encodes on this thread, a large value straight into its file. A value that would not come back is refused.
    fn encode(&self, value: &V, limit: u64, key_head: &[u8], compute_time: Duration) -> Result<Finished> {
        let room = self.partition.room()?;
        let draft = self.partition.draft(Some(&room), limit, key_head);
        self.encode_into(draft, value, compute_time)
    }

    fn encode_into(&self, mut draft: Draft<'_>, value: &V, compute_time: Duration) -> Result<Finished> {
        let mut copy = self.round_trip.copy(&mut draft);
        let encoded = self.guarded("Serialize", || self.codec.encode(value, &mut copy));
        let seen = copy.seen();
        encoded.map_err(|error| draft.failure().unwrap_or(error))?;
        let check = || self.round_trip.check(&*self.codec, value, seen, compute_time);
        self.guarded("Serialize` or `Deserialize", check)?;
        draft.finish()
    }

    fn keep_in_memory(
        &self,
        digest: &Digest,
        ttl: Option<Duration>,
        compute_time: Duration,
        value: &V,
        claim: &Claim<'_>,
    ) -> Outcome {
        let draft = self.partition.draft(None, self.session().memory.largest(self.memory), &[]);
        let payload = match self.encode_into(draft, value, compute_time) {
            Ok(payload) => payload,
            // That it is too large for the memory is no trouble.
            Err(error) if error.kind() == Kind::Oversize => return Outcome::Unstored,
            Err(error) => {
                self.failed(&error);
                return Outcome::Unstored;
            }
        };
        let lifetime = Lifetime::starting(self.session().clock.now(), ttl);
        let value = PendingValue { payload, lifetime, compute_time };
        let is_kept = (self.partition.memo().keep_in_memory)(digest, &value, claim);
        if is_kept { Outcome::Stored } else { Outcome::Unstored }
    }
}

/// Takes encoded values of a memo into the memory tier. A value in memory was decoded from its bytes, here as everywhere.
pub(crate) fn keeper<V: Clone + Send + Sync + 'static>(
    session: &Arc<Session>,
    codec: &Arc<dyn Codec<V>>,
    memory: Option<u64>,
    owner: u64,
) -> KeepInMemory {
    let (session, codec) = (Arc::clone(session), Arc::clone(codec));
    Box::new(move |digest, value, claim| {
        let Ok(payload) = value.payload.payload() else { return false };
        let size = payload.size() as u64;
        if !session.memory.fits(size, memory) {
            return false;
        }
        let decoded = catch_unwind(AssertUnwindSafe(|| codec.decode(&payload)));
        let Ok(Ok(decoded)) = decoded else { return false };
        let held = Held::new(decoded, value.lifetime, value.compute_time, size);
        session.admit(owner, digest, held, memory, || claim.is_current())
    })
}

impl<V: 'static> Inner<V> {
    pub(crate) fn session(&self) -> &Session {
        self.store.session()
    }

    fn tell(&self, event: &Event<'_>) {
        self.session().tell(Some(&self.observers), event);
    }
}

impl<V: 'static> Drop for Inner<V> {
    fn drop(&mut self) {
        self.partition.release();
    }
}
