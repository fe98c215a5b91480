//! The lookup of one call: a value, or the right to compute it.

use std::sync::Arc;

use super::{
    MemoInner,
    find::{Hit, HitOrMiss, Miss},
    lead::{Lead, Old},
    place::Place,
    server::FromServer,
    terms::{Standing, Terms},
};
use crate::{
    error::{Error, ErrorKind},
    flight::{Asker, Claim, Outcome, Turn, flight},
    key::Digest,
    stats::Reason,
    store::RefreshTurn,
    variants::Variants,
};

/// The result of a lookup.
pub(crate) enum Lookup<V> {
    Hit(Hit<V>),
    /// The caller has the value, and it is to be computed on another thread.
    Behind(Hit<V>, Box<Lead<V>>),
    /// The caller computes. Without a lead the value is not stored.
    Compute(Option<Box<Lead<V>>>),
}

/// The waits of one call for the computations of others.
#[derive(Clone, Copy, Default)]
pub(super) struct Waits {
    /// How many ended. A computation that ended the first one may have begun before the call.
    ended: u32,
    /// Whether a stale value was promised and not found.
    found_no_stale: bool,
}

impl Waits {
    pub(super) fn accept_stale(self) -> bool {
        !self.found_no_stale
    }
}

/// What the leader of a key found.
enum Sought<V> {
    Hit(Hit<V>),
    Compute(Reason, Old<V>),
    /// This process hosts the store by now: the call begins anew.
    Anew,
    /// The key has variants: the call goes on by their list.
    Variants(Arc<Variants>),
}

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// Finds the value, or has the caller compute it.
    pub(crate) fn look_up(&self, key: &Digest, terms: &Terms<impl Fn(&V) -> bool>) -> Lookup<V> {
        let place = self.place(key);
        let first = self.look_first(&place, terms, Asker::thread);
        first.unwrap_or_else(|| self.lead_or_wait(place, terms))
    }

    /// The first look, which waits for no other caller. `None`: the place is to be claimed.
    pub(super) fn look_first(
        &self,
        place: &Place,
        terms: &Terms<impl Fn(&V) -> bool>,
        asker: impl FnOnce() -> Asker,
    ) -> Option<Lookup<V>> {
        if self.partition.is_closed() {
            self.record_failure(&Error::new(ErrorKind::Closed, "the store is closed: open it again"));
            self.record_miss(Reason::Absent);
            return Some(Lookup::Compute(None));
        }
        let digest = &place.digest;
        let cached = self.in_memory(digest, terms).filter(Hit::is_of_use);
        let hit = match cached {
            // Without a memory tier, a read helps no other caller: it needs no claim.
            None if !self.has_memory() => self.peek_disk(digest, terms).filter(Hit::is_of_use),
            cached => cached,
        }?;
        let hit = hit.at(place);
        if hit.is_good() { Some(self.have(hit)) } else { self.refresh_or_have(place, terms, hit, &asker()) }
    }

    #[inline]
    pub(super) fn have(&self, hit: Hit<V>) -> Lookup<V> {
        self.record_hit(&hit);
        Lookup::Hit(hit)
    }

    /// Has the caller refresh a value that is there, or hands that out where another caller does it. `None`: the key is to be
    /// claimed.
    pub(super) fn refresh_or_have(
        &self,
        place: &Place,
        terms: &Terms<impl Fn(&V) -> bool>,
        hit: Hit<V>,
        asker: &Asker,
    ) -> Option<Lookup<V>> {
        let digest = &place.digest;
        if self.waits_for_retry(digest) || !self.partition.may_lead() {
            return Some(self.have(hit));
        }
        let Some(mut claim) = flight().claim_free(self.flight_key(digest), asker) else {
            return Some(self.have(hit));
        };
        claim.note(self.partition.words(digest));
        self.as_leader(place, terms, claim, false).ok()
    }

    /// Claims the key. The leader looks the value up once more and computes it; the waiters then look it up again.
    fn lead_or_wait(&self, mut place: Place, terms: &Terms<impl Fn(&V) -> bool>) -> Lookup<V> {
        let mut waits = Waits::default();
        loop {
            self.partition.await_guests();
            let turn = self.claim(&place.digest, waits.accept_stale());
            match self.take_turn(&place, terms, turn, &mut waits) {
                Ok(lookup) => return lookup,
                Err(next) => place = next,
            }
        }
    }

    /// A caller that waits for no other one any more looks the value up. `Err`: it claims that place.
    pub(super) fn take_turn(
        &self,
        place: &Place,
        terms: &Terms<impl Fn(&V) -> bool>,
        turn: Turn<'static>,
        waits: &mut Waits,
    ) -> Result<Lookup<V>, Place> {
        match turn {
            Turn::Lead(claim) => self.as_leader(place, terms, claim, waits.ended > 0),
            Turn::Recheck(outcome) => match self.recheck(place, terms, outcome, waits) {
                Ok(hit) => Ok(Lookup::Hit(self.count_lookup(hit.at(place), waits.ended > 0))),
                Err(None) => Err(self.place(place.key())),
                Err(Some(list)) => Err(Place::by(place.key(), &list)),
            },
            Turn::Alone(claim, _) => {
                self.record_miss(Reason::Absent);
                let old = if terms.may_refuse() { Old::Refused } else { Old::Nothing };
                let guard = place.is_variant().then(|| self.guard_of(place.key()));
                let place = place.clone();
                Ok(Lookup::Compute(Some(Box::new(Lead { place, claim, old, guard, lease: None }))))
            }
        }
    }

    /// The value, or the lead. `Err`: the call goes on at that place.
    fn as_leader(
        &self,
        place: &Place,
        terms: &Terms<impl Fn(&V) -> bool>,
        mut claim: Claim<'static>,
        waited: bool,
    ) -> Result<Lookup<V>, Place> {
        match self.seek(&place.digest, terms, &mut claim) {
            Sought::Hit(hit) => {
                claim.complete(Outcome::Found);
                Ok(Lookup::Hit(self.count_lookup(hit.at(place), waited)))
            }
            Sought::Compute(reason, old) => {
                let guard = match self.guard(place) {
                    Ok(guard) => guard,
                    Err(next) => {
                        claim.complete(Outcome::Revoked);
                        return Err(next);
                    }
                };
                let old = if let Old::Stale(hit) = old { Old::Stale(hit.at(place)) } else { old };
                // Other callers have the value that is there, unless they refuse it too.
                if old.is_there() {
                    claim.announce_refresh();
                }
                let behind = match &old {
                    Old::Stale(hit) if terms.is_loading => self.copy_of_hit(hit),
                    _ => None,
                };
                let lead = Box::new(Lead { place: place.clone(), claim, old, guard, lease: None });
                if let Some(hit) = behind {
                    self.record_hit(&hit);
                    return Ok(Lookup::Behind(hit, lead));
                }
                let (lead, reason) = match self.ask_server(lead, reason, terms) {
                    FromServer::Hit(hit) => return Ok(Lookup::Hit(self.count_lookup(hit, waited))),
                    FromServer::Compute(lead, reason) => (lead, reason),
                };
                self.record_miss_at(place, reason);
                Ok(Lookup::Compute(Some(lead)))
            }
            // A guest may have led the key all the time.
            Sought::Anew => {
                claim.complete(Outcome::Revoked);
                Err(self.place(place.key()))
            }
            Sought::Variants(list) => {
                claim.complete(Outcome::Found);
                Err(Place::by(place.key(), &list))
            }
        }
    }

    /// Claims the key. Where another process hosts the store, a caller that leads another key waits there and not here, so that
    /// cycles through several processes are seen.
    fn claim(&self, digest: &Digest, accepts_stale: bool) -> Turn<'static> {
        let (flight_key, words) = (self.flight_key(digest), self.partition.words(digest));
        let mut turn = if words.is_some() && flight().waits_as_leader(&flight_key) {
            Turn::Lead(flight().register_reader(flight_key))
        } else {
            flight().claim_or_stale(flight_key, self.session().max_wait, accepts_stale)
        };
        turn.note(|| self.partition.words(digest));
        turn
    }

    /// Looks for the value once more, as the leader of its key.
    fn seek(
        &self,
        digest: &Digest,
        terms: &Terms<impl Fn(&V) -> bool>,
        claim: &mut Claim<'static>,
    ) -> Sought<V> {
        let cached = self.in_memory(digest, terms);
        let cached = match cached {
            Some(hit) if hit.is_good() => return Sought::Hit(hit),
            other => other.filter(Hit::is_of_use),
        };
        let mut refused: Option<(u64, Reason)> = None;
        loop {
            let hit = match self.read_or_lead(digest, terms, claim, refused.map(|(sequence, _)| sequence)) {
                None => return Sought::Anew,
                Some(Ok(hit)) => self.newer_of(hit, cached.as_ref()),
                Some(Err(Miss::Variants(list))) => return Sought::Variants(list),
                Some(Err(Miss::Of(reason))) => {
                    // A value that could not be written is in memory only.
                    let stale = cached.as_ref().and_then(|hit| self.copy_of_hit(hit));
                    return match (stale, refused) {
                        (Some(hit), _) if self.waits_for_retry(digest) => Sought::Hit(hit),
                        (Some(hit), _) => Sought::Compute(Reason::Expired, Old::Stale(hit)),
                        (None, Some((_, refusal))) => Sought::Compute(refusal, Old::Refused),
                        (None, None) => self
                            .seek_unwritten(digest, terms)
                            .unwrap_or(Sought::Compute(reason, Old::Nothing)),
                    };
                }
            };
            match hit.standing {
                Standing::Good => return Sought::Hit(hit),
                Standing::Stale | Standing::Due => return self.seek_refresh(digest, terms, claim, hit),
                // Where another process hosts the store, the lead is there.
                Standing::Refused(reason) if self.partition.is_guest() => {
                    refused = Some((hit.sequence, reason));
                }
                Standing::Refused(reason) => return Sought::Compute(reason, Old::Refused),
            }
        }
    }

    /// A value that was pending at the first look at memory, and could not be written: it is in memory by now.
    fn seek_unwritten(&self, digest: &Digest, terms: &Terms<impl Fn(&V) -> bool>) -> Option<Sought<V>> {
        if let Some(hit) = self.in_memory(digest, terms).filter(Hit::is_good) {
            return Some(Sought::Hit(hit));
        }
        let list = if self.has_variants.is_set() { self.list_in_memory(digest) } else { None };
        list.map(Sought::Variants)
    }

    /// `None`: the call begins anew.
    fn read_or_lead(
        &self,
        digest: &Digest,
        terms: &Terms<impl Fn(&V) -> bool>,
        claim: &mut Claim<'static>,
        refused: Option<u64>,
    ) -> Option<HitOrMiss<V>> {
        let expiry = self.expiry(digest);
        match self.partition.read_or_lead(digest, expiry, claim, refused) {
            Ok(found) => found.map(|found| self.take(digest, found, expiry, claim, terms)),
            Err(error) => {
                self.record_failure(&error);
                Some(Err(Miss::Of(Reason::Absent)))
            }
        }
    }

    /// Whether the leader is to refresh a stale value. Where another process hosts the store, that one grants it.
    fn seek_refresh(
        &self,
        digest: &Digest,
        terms: &Terms<impl Fn(&V) -> bool>,
        claim: &mut Claim<'static>,
        hit: Hit<V>,
    ) -> Sought<V> {
        if self.waits_for_retry(digest) {
            return Sought::Hit(hit);
        }
        let expiry = self.expiry(digest);
        match self.partition.lead_refresh(digest, expiry, claim, hit.sequence) {
            Ok(RefreshTurn::Lead) => Sought::Compute(Reason::Expired, Old::Stale(hit)),
            Ok(RefreshTurn::Led) => Sought::Hit(hit),
            Ok(RefreshTurn::Here) => Sought::Anew,
            Ok(RefreshTurn::Newer(found)) => match self.take(digest, found, expiry, claim, terms) {
                Ok(newer) if newer.is_of_use() => Sought::Hit(newer),
                _ => Sought::Hit(hit),
            },
            Err(error) => {
                self.record_failure(&error);
                Sought::Compute(Reason::Expired, Old::Stale(hit))
            }
        }
    }

    /// Whether the last refresh of the key failed a short while ago.
    fn waits_for_retry(&self, digest: &Digest) -> bool {
        self.retries.is_waiting(digest, self.session().clock.now(), self.aging.retry_after)
    }

    /// Looks the value up after another caller finished, or found a stale value. A computed value is on disk and not in memory:
    /// with a memory tier, one of the waiters claims the key again and reads the value for all.
    ///
    /// `Err`: it claims the key again, by the list of its variants if it has some.
    fn recheck(
        &self,
        place: &Place,
        terms: &Terms<impl Fn(&V) -> bool>,
        outcome: Outcome,
        waits: &mut Waits,
    ) -> Result<Hit<V>, Option<Arc<Variants>>> {
        let digest = &place.digest;
        if !matches!(outcome, Outcome::Found | Outcome::Stale) {
            waits.ended += 1;
        }
        let is_read_for_all = self.bounds.stale_for.is_zero() && !terms.may_refuse();
        let hit = if outcome == Outcome::Stored && self.has_memory() && is_read_for_all {
            self.in_memory(digest, terms).ok_or(None)
        } else {
            let mut claim = flight().register_reader(self.flight_key(digest));
            claim.note(self.partition.words(digest));
            self.find(digest, &claim, terms).map_err(|miss| match miss {
                Miss::Variants(list) => Some(list),
                Miss::Of(_) => None,
            })
        };
        let is_of_use = |hit: &Hit<V>| match hit.standing {
            Standing::Good | Standing::Due => true,
            Standing::Stale => outcome != Outcome::Revoked && outcome != Outcome::Unstored,
            Standing::Refused(Reason::Expired) => {
                outcome == Outcome::Stored && waits.ended > 1 && began_after(hit, terms)
            }
            Standing::Refused(_) => false,
        };
        let found = hit.and_then(|hit| if is_of_use(&hit) { Ok(hit) } else { Err(None) });
        waits.found_no_stale |= outcome == Outcome::Stale && found.is_err();
        found
    }

    /// Counts a miss, and names the input that made it.
    pub(super) fn record_miss_at(&self, place: &Place, reason: Reason) {
        let reason = place.reason(reason);
        if let (Reason::Changed, Some(input)) = (reason, place.changed())
            && self.keeps_keys
        {
            self.counters.changed(input.to_string());
        }
        self.record_miss(reason);
    }

    /// A caller that waited for a computation counts as a miss, although it finds the value.
    fn count_lookup(&self, hit: Hit<V>, waited: bool) -> Hit<V> {
        if waited {
            self.record_miss(Reason::Absent);
            hit.hand_out();
        } else {
            self.record_hit(&hit);
        }
        hit
    }
}

/// Whether the computation of a value began after the call that asks for it. Times are in milliseconds.
fn began_after<V>(hit: &Hit<V>, terms: &Terms<impl Fn(&V) -> bool>) -> bool {
    let took = hit.compute_time.saturating_sub(std::time::Duration::from_millis(1));
    hit.lifetime.created.since(terms.began) >= took && hit.lifetime.created >= terms.began
}
