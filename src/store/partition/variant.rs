//! Variants: values that were computed from tracked inputs. Each stands under a digest of its own, and the record of the key is
//! the list of them.
//!
//! * A variant is added under a lock of the directory, from the list as it is then to the moment when value and list are in the
//!   queue. So no list in the queue lacks a variant of one before it.
//! * Value and list are one request, judged by one claim on the *key*: a change of the key revokes it. The claim of the computation
//!   is on the key too, or on a variant; then a guard is on the key.
//! * A list that takes the place of an older one revokes nothing and raises no word of EPOCHS: it names what the older one does. A
//!   reader of the older one reads the list again before it computes.
//! * A new list has a new salt, so the values of a list that was removed are not found by it.

use std::{sync::Arc, time::Duration};

use super::{Found, FoundVariants, Partition, Refused, closed, read::record, send::send};
use crate::{
    clock::{Expiry, Lifetime, Timestamp},
    error::{Error, Result},
    flight::{Claim, FlightKey, Outcome, Wakers, Words, flight},
    key::Digest,
    memory::CachedValue,
    record::{Body, Record},
    store::{
        blob::{Finished, random_id},
        pending::PendingValue,
        worker::{Computed, Directory, ListPut, OfVariant, Put, Registration, Reply, Request},
    },
    sync::lock,
    variants::{Added, Variants},
};

/// A list in the memory tier.
#[derive(Clone)]
pub(crate) struct CachedList {
    pub(crate) list: Arc<Variants>,
    /// Whether it is on disk, or on its way there.
    pub(crate) is_written: bool,
}

/// The outcome of a publication. The lock is released by then: what is dropped here may run foreign code.
pub(super) struct Publication {
    /// Revoked, if a change of the key came in between.
    outcome: Outcome,
    wakers: Wakers,
    /// A claim at its end, with its outcome.
    ended: Option<(Claim<'static>, Outcome)>,
    /// The worker has ended.
    unsent: Option<Box<Request>>,
    /// For a value that is not wanted any more.
    reply: Option<Reply<()>>,
}

impl Publication {
    /// Ends the claims, and wakes the waiters.
    ///
    /// # Errors
    ///
    /// The store is closed.
    pub(super) fn finish(self) -> Result<Outcome, Refused> {
        let Self { outcome, wakers, ended, unsent, reply } = self;
        wakers.wake();
        if let Some((claim, outcome)) = ended {
            claim.complete(outcome);
        }
        if let Some(reply) = reply {
            drop(reply.send(Ok(())));
        }
        if unsent.is_some() {
            return Err(Refused::Unwritten(closed()));
        }
        Ok(outcome)
    }

    fn revoked(claim: Claim<'static>, reply: Option<Reply<()>>) -> Self {
        let ended = Some((claim, Outcome::Revoked));
        Self { outcome: Outcome::Revoked, wakers: Wakers::default(), ended, unsent: None, reply }
    }
}

impl Partition {
    /// The variant list of a key, in the process that hosts the store. Other processes ask by [`read`](Self::read).
    fn list(directory: &Directory, memo: &Registration, key: &Digest) -> Result<Option<FoundVariants>> {
        if let Some(value) = directory.pending.get(&memo.flight_key(key)) {
            let Finished::Variants(bytes) = &value.payload else { return Ok(None) };
            return Ok(FoundVariants::of(bytes, value.lifetime));
        }
        let engine = directory.running()?;
        let bytes = record(directory, &engine, memo.number(), key)?;
        let record = bytes.as_deref().and_then(|bytes| Record::decode(bytes, key));
        Ok(record.and_then(|record| match record.body {
            Body::Variants(bytes) => FoundVariants::of(bytes, record.lifetime),
            Body::Inline(_) | Body::Blob { .. } => None,
        }))
    }

    /// The variant list of a key as it is now. `None` if the key has none, or a value of its own.
    pub(crate) fn variants(&self, key: &Digest) -> Result<Option<FoundVariants>> {
        let found = self.read(key, Expiry::ANY_AGE)?;
        Ok(if let Found::Variants(found) = found { Some(*found) } else { None })
    }
}

impl FoundVariants {
    /// `None` for bytes that are no list.
    pub(crate) fn of(bytes: &[u8], lifetime: Lifetime) -> Option<Self> {
        Some(Self { list: Arc::new(Variants::decode(bytes)?), lifetime, size: bytes.len() as u64 })
    }

    /// As it stands in the memory tier.
    pub(crate) fn cached(&self, key: &Digest, is_written: bool, noted: Option<Words>) -> Arc<CachedValue> {
        let list = CachedList { list: Arc::clone(&self.list), is_written };
        CachedValue::new(key, list, self.lifetime, Duration::ZERO, self.size, noted)
    }
}

/// Adds a value to the variants of its key, and sends both to the worker. There must be room. `expiry` is that of the memo.
///
/// `forget` is called with the digest of the variant before both are sent: the memory tier forgets what they take the place of.
/// After that a value that cannot be written is kept there.
///
/// # Errors
///
/// The list cannot be read. The value is given back.
pub(super) fn publish(
    directory: &Directory,
    mut put: Put,
    expiry: Expiry,
    forget: impl FnOnce(Digest),
) -> Result<Publication, (Error, Box<Put>)> {
    let key = put.digest;
    let memo = Arc::clone(&put.memo);
    let adding = lock(&directory.adding_variant);
    let found = match Partition::list(directory, &memo, &key) {
        Ok(found) => found,
        Err(error) => {
            drop(adding);
            return Err((error, Box::new(put)));
        }
    };
    let (Some(computed), Some(variant)) = (put.computed.take(), put.variant.take()) else {
        drop(adding);
        return Err((closed(), Box::new(put)));
    };
    let Computed { claim, keep_in_memory, replaces } = computed;
    let OfVariant { readings, guard, .. } = *variant;
    let judge = guard.as_ref().unwrap_or(&claim);
    if !judge.is_current() || !directory.sharing.is_current(&memo, &key, judge.noted()) {
        drop(adding);
        return Ok(Publication::revoked(claim, put.reply));
    }
    let lifetime = lifetime(put.value.lifetime, found.as_ref(), expiry);
    let mut list = found.map_or_else(|| Variants::new(salt()), |found| (*found.list).clone());
    let Added { digest, .. } = list.add(&key, &readings);
    let payload = Finished::Variants(list.encode());
    let list = Arc::new(PendingValue { payload, lifetime, compute_time: Duration::ZERO });
    // A value of the variant is replaced by the value, and one of the key's own by the list.
    let of_value =
        ToPublish { key: memo.flight_key(&digest), value: &put.value, replaces: replaces && guard.is_some() };
    let of_list =
        ToPublish { key: memo.flight_key(&key), value: &list, replaces: replaces && guard.is_none() };
    let Some(mut wakers) = publish_both(directory, &of_value, &of_list, judge, &claim) else {
        drop(adding);
        return Ok(Publication::revoked(claim, put.reply));
    };
    let (judge, lead) = if let Some(guard) = guard {
        (guard, Some((claim, Outcome::Stored)))
    } else {
        let (claim, waiting) = claim.detach_unwoken();
        wakers = wakers.and(waiting);
        (claim, None)
    };
    put.digest = digest;
    put.computed = Some(Computed { claim: judge, keep_in_memory, replaces });
    put.list = Some(Box::new(ListPut { key, value: list }));
    let is_urgent = put.reply.is_some();
    forget(digest);
    let unsent = send(directory, put, is_urgent).err();
    drop(adding);
    Ok(Publication { outcome: Outcome::Stored, wakers, ended: lead, unsent, reply: None })
}

/// A value, or a list.
struct ToPublish<'a> {
    key: FlightKey,
    value: &'a Arc<PendingValue>,
    /// Whether it takes the place of a value that was there.
    replaces: bool,
}

/// The value first: a list that is found leads to it. `None` if the claim was revoked.
fn publish_both(
    directory: &Directory,
    value: &ToPublish<'_>,
    list: &ToPublish<'_>,
    judge: &Claim<'_>,
    lead: &Claim<'_>,
) -> Option<Wakers> {
    let pending = &directory.pending;
    let publish = |ToPublish { key, value, replaces }: &ToPublish<'_>| {
        if !pending.publish(*key, value, judge.token()) {
            return None;
        }
        // No reader of the other value keeps it in memory. The lead goes on: its waiters find the new one.
        Some(if *replaces { flight().revoke_unwoken(key, Some(lead)) } else { Wakers::default() })
    };
    let of_value = publish(value)?;
    // A revocation that comes between the two hides the value.
    Some(of_value.and(publish(list).unwrap_or_default()))
}

/// A list lasts as long as the values that it names: by the ttl of the memo, unless one of them has a ttl of its own.
fn lifetime(value: Lifetime, found: Option<&FoundVariants>, expiry: Expiry) -> Lifetime {
    let before = found.map(|found| found.lifetime);
    if value.own_ttl().is_none() && before.and_then(|before| before.own_ttl()).is_none() {
        return Lifetime::starting(value.created);
    }
    let ends = [Some(value), before].into_iter().flatten().map(|lifetime| lifetime.fresh_until(expiry));
    let end = ends.max().unwrap_or(Timestamp::NEVER);
    Lifetime::lasting(value.created, end.since(value.created))
}

fn salt() -> u64 {
    random_id().0.first_chunk().map_or(0, |half| u64::from_le_bytes(*half))
}
