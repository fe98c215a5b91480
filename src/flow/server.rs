//! The server that several machines share, in a call: after the local store, and before the closure.
//!
//! The caller leads its key in this process, and in its directory, so one caller of a machine asks. A value that is found is kept in
//! the local store. Where another machine computes, the caller waits for that. A change goes to the server first: a call between
//! the two would fetch the old value and keep it.

use std::{
    hash::{BuildHasher, RandomState},
    io::Write as _,
    time::Duration,
};

use super::{
    Hit, MemoInner,
    content::Content,
    inner::About,
    lead::{Lead, Old},
    place::Place,
    terms::{Standing, Terms, ThreadTerms},
};
use crate::{
    clock::{Deadline, Expiry, Lifetime},
    codec::Payload,
    error::{Error, ErrorKind, Result},
    flight::{Claim, Outcome},
    key::Digest,
    record::{Body, Record},
    remote::{Fetched, ServerMemo, Turn},
    stats::{Reason, Tier},
    store::{Entry, Finished, Item, Refused, Unsent},
};

/// The first and the longest wait between two looks at a computation of another machine. Its end is told by a message, which may
/// be lost.
const FIRST_POLL: Duration = Duration::from_millis(20);
const LONGEST_POLL: Duration = Duration::from_millis(200);

/// What the server gave to a caller that leads its key here.
pub(super) enum FromServer<V> {
    Hit(Hit<V>),
    Compute(Box<Lead<V>>, Reason),
}

/// A value that was fetched.
struct Found<V> {
    hit: Hit<V>,
    /// `None` for one that is stale: another machine computes the next one.
    payload: Option<Payload>,
}

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// Asks the server for the value, or for the right to compute it. Trouble is a miss.
    pub(super) fn ask_server(
        &self,
        mut lead: Box<Lead<V>>,
        reason: Reason,
        terms: &Terms<impl Fn(&V) -> bool>,
    ) -> FromServer<V> {
        let Some(server) = self.server_of(&lead.place) else { return FromServer::Compute(lead, reason) };
        match self.seek_on_server(server, &mut lead, terms) {
            Ok(Some(Found { hit, payload })) => {
                let Lead { place, claim, old, .. } = *lead;
                match payload {
                    Some(payload) => self.keep_fetched(&place.digest, &hit, &payload, old.is_there(), claim),
                    None => claim.complete(Outcome::Found),
                }
                FromServer::Hit(hit)
            }
            Ok(None) => FromServer::Compute(lead, reason),
            Err(error) => {
                self.record_failure(&error);
                FromServer::Compute(lead, reason)
            }
        }
    }

    /// The same for a refresh behind a call. `None` if another machine has the value, or computes it.
    pub(super) fn ask_server_behind(&self, lead: Box<Lead<V>>) -> Option<Box<Lead<V>>> {
        // A value that is due is computed anew.
        let terms = ThreadTerms { is_loading: true, ..ThreadTerms::default() };
        match self.ask_server(lead, Reason::Expired, &terms) {
            FromServer::Hit(_) => None,
            FromServer::Compute(lead, _) => Some(lead),
        }
    }

    /// What is computed from tracked inputs stays on its machine.
    fn server_of(&self, place: &Place) -> Option<&ServerMemo> {
        self.server.as_ref().filter(|_| !place.is_variant() && !self.has_variants.is_set())
    }

    fn seek_on_server(
        &self,
        server: &ServerMemo,
        lead: &mut Lead<V>,
        terms: &Terms<impl Fn(&V) -> bool>,
    ) -> Result<Option<Found<V>>> {
        let digest = lead.place.digest;
        if let Some(found) = self.good(&digest, server.find(&digest)?, lead, terms) {
            return Ok(Some(found));
        }
        let deadline = Deadline::after(self.session().max_wait);
        let mut poll = FIRST_POLL;
        loop {
            match server.lead(&digest)? {
                Turn::Lead(lease, fetched) => {
                    if let Some(found) = self.good(&digest, fetched, lead, terms) {
                        lease.release();
                        return Ok(Some(found));
                    }
                    lead.lease = Some(Box::new(lease));
                    return Ok(None);
                }
                Turn::Led(fetched) => {
                    if let Some(found) = self.good(&digest, fetched, lead, terms) {
                        return Ok(Some(found));
                    }
                    if let Old::Stale(stale) = &lead.old {
                        return Ok(self.copy_of_hit(stale).map(|hit| Found { hit, payload: None }));
                    }
                    let Some(left) = deadline.remaining() else { return Ok(None) };
                    server.wait(&digest, jittered(poll).min(left));
                    poll = (poll * 2).min(LONGEST_POLL);
                }
                Turn::Alone => return Ok(None),
            }
        }
    }

    /// A fetched value that the call may have. A stale one is noted beside the lead.
    fn good(
        &self,
        digest: &Digest,
        fetched: Option<Fetched>,
        lead: &mut Lead<V>,
        terms: &Terms<impl Fn(&V) -> bool>,
    ) -> Option<Found<V>> {
        let (hit, payload) = self.opened(digest, fetched?, self.expiry(digest), terms)?;
        match hit.standing {
            Standing::Good => return Some(Found { hit, payload: Some(payload) }),
            Standing::Stale if matches!(lead.old, Old::Nothing) => lead.old = Old::Stale(hit),
            Standing::Stale | Standing::Due | Standing::Refused(_) => {}
        }
        None
    }

    /// Decodes a fetched value. Its age counts from now: the clocks of the machines may differ.
    fn opened(
        &self,
        digest: &Digest,
        fetched: Fetched,
        expiry: Expiry,
        terms: &Terms<impl Fn(&V) -> bool>,
    ) -> Option<(Hit<V>, Payload)> {
        let Fetched { record: bytes, age } = fetched;
        let record = Record::decode(&bytes, digest);
        let Some(Record { lifetime, compute_time, key_head, body: Body::Inline(_), .. }) = record else {
            let message = "a value on the server is damaged: it is computed anew";
            self.record_failure(&Error::new(ErrorKind::Corrupt, message));
            return None;
        };
        let now = self.session().clock.now();
        let created = now.before(age);
        let own_ttl = lifetime.own_ttl();
        let lifetime =
            own_ttl.map_or_else(|| Lifetime::starting(created), |ttl| Lifetime::lasting(created, ttl));
        if lifetime.is_over(now, expiry) {
            return None;
        }
        let range = Record::inline_range(key_head, bytes.len());
        let payload = Payload::new(bytes, range);
        let item = Item { payload, file: None, lifetime, compute_time, sequence: 0, now };
        let decoded = self.decode(&item).map_err(|error| self.record_failure(&error)).ok()?;
        let hit = self.hit(&item, decoded, expiry, terms)?;
        Some((Hit { tier: Tier::Server, ..hit }, item.payload))
    }

    /// Keeps a fetched value in the local store, and wakes the waiters.
    fn keep_fetched(
        &self,
        digest: &Digest,
        hit: &Hit<V>,
        payload: &Payload,
        replaces: bool,
        claim: Claim<'static>,
    ) {
        self.retries.forget(digest);
        let entry = Entry {
            digest: *digest,
            key_head: Vec::new(),
            ttl: hit.lifetime.own_ttl(),
            replaces,
            compute_time: hit.compute_time,
            age: Some(hit.age()),
            lease: None,
            variant: None,
        };
        let (about, limit) = (About::of(&entry), self.partition.limit(&self.bounds));
        let stored = match self.written(payload, limit) {
            Ok(payload) => self.partition.hand_over(entry, payload, limit, claim),
            Err(error) => Err(Refused::Failed(error, Unsent { claim, variant: None })),
        };
        let trailer = hit.effects.as_ref().map(|effects| self.trailer(effects)).unwrap_or_default();
        self.finish_keeping(&about, stored, Content { value: &hit.value, trailer: &trailer });
    }

    fn written(&self, payload: &Payload, limit: u64) -> Result<Finished> {
        let room = self.partition.room()?;
        let mut draft = self.partition.draft(room, limit, &[]);
        // `finish` has the failure.
        let _ = draft.write_all(payload);
        draft.finish()
    }

    /// Stores a computed value on the server, if the caller has the lease and the value is not too large. It is stored in the
    /// local store whatever comes of that: its claim tells whether it may.
    pub(super) fn publish(&self, entry: &mut Entry, payload: &Finished) {
        let Some(lease) = entry.lease.take() else { return };
        let Some(record) = self
            .record_of(entry.digest, entry.ttl, entry.compute_time, payload, |length| lease.takes(length))
        else {
            return lease.release();
        };
        // A lease that was lost is no failure: a change came, or the server has forgotten it.
        if let Err(error) = lease.publish(self.lasts(entry.ttl), entry.compute_time, &record) {
            self.record_failure(&error);
        }
    }

    /// A value as it goes to the server; `None` for one that does not go there.
    fn record_of(
        &self,
        digest: Digest,
        ttl: Option<Duration>,
        compute_time: Duration,
        payload: &Finished,
        takes: impl FnOnce(u64) -> bool,
    ) -> Option<Vec<u8>> {
        let length = payload.file_bytes().max(payload.length() as u64);
        if !takes(length) {
            return None;
        }
        let payload = payload.payload().map_err(|error| self.record_failure(&error)).ok()?;
        let now = self.session().clock.now();
        let lifetime = ttl.map_or_else(|| Lifetime::starting(now), |ttl| Lifetime::lasting(now, ttl));
        let body = Body::Inline(&payload);
        let record = Record { sequence: 0, lifetime, compute_time, key_head: &[], body };
        Some(record.encode(&digest))
    }

    /// For how long the server keeps a value: until it is over for this memo.
    fn lasts(&self, ttl: Option<Duration>) -> Option<Duration> {
        let ttl = ttl.or(self.bounds.ttl)?;
        Some(ttl.saturating_add(self.bounds.stale_for))
    }

    /// A value on the server, for a call without a closure. Trouble is a miss.
    pub(super) fn get_from_server(&self, place: &Place) -> Option<Hit<V>> {
        let server = self.server_of(place)?;
        let digest = &place.digest;
        let claim = self.guard_of(digest);
        let fetched = server.find(digest).map_err(|error| self.record_failure(&error)).ok()??;
        let expiry = self.expiry(digest).without_stale();
        let (hit, payload) = self.opened(digest, fetched, expiry, &ThreadTerms::default())?;
        self.keep_fetched(digest, &hit, &payload, false, claim);
        Some(hit)
    }

    /// Inserts a value on the server before it is inserted here. What [`settle_with_server`](Self::settle_with_server) needs.
    pub(super) fn insert_on_server(&self, digest: &Digest, payload: &Finished) -> Result<Option<u64>> {
        let Some(server) = &self.server else { return Ok(None) };
        let takes = |length| server.takes(length) && !self.has_variants.is_set();
        let record = self.record_of(*digest, None, Duration::ZERO, payload, takes);
        let since = server.applied();
        server.insert(digest, self.lasts(None), record.as_deref())?;
        Ok(Some(since))
    }

    /// If a change of another machine came in between, the local value may be the older one: the next call asks the server.
    pub(super) fn settle_with_server(&self, digest: &Digest, told: &Result<Option<u64>>) {
        if let (Some(server), Ok(Some(since))) = (&self.server, told)
            && server.is_changed_since(digest, *since)
        {
            let _ = self.partition.remove(digest, self.expiry(digest));
        }
    }

    pub(super) fn remove_on_server(&self, digest: &Digest) -> Result<bool> {
        self.server.as_ref().map_or(Ok(false), |server| server.remove(digest))
    }

    pub(super) fn clear_on_server(&self) -> Result<()> {
        self.server.as_ref().map_or(Ok(()), ServerMemo::clear)
    }
}

/// Between half of it and all of it: machines that wait for the same computation ask at different times.
fn jittered(poll: Duration) -> Duration {
    let random = (RandomState::new().hash_one(0_u8) % 1_024) as u32;
    poll / 2 + poll * random / 2_048
}
