//! The state that all handles of one memo share, and the path of a computed value to the disk.

use std::{
    any::Any,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    aging::Aging,
    content::{self, Content},
    retries::Retries,
    variant_list::{HasVariants, list_of, newer_unwritten_list, unwritten_list},
};
use crate::{
    clock::{Expiry, Lifetime},
    codec::{Codec, RoundTrip},
    effect_log::{EffectLog, EffectTypes},
    error::{Error, ErrorKind, Result},
    flight::{Claim, Outcome, flight, fresh_owner},
    key::Digest,
    memory::CachedValue,
    observe::{Event, Observers},
    remote::ServerMemo,
    stats::{Counters, Reason},
    store::{
        Bounds, Durability, Entry, Finished, FoundVariants, INLINE, KeepInMemory, OfVariant, Partition,
        PayloadWriter, PendingValue, Refused, Session, Store, Unsent,
    },
    variants::Variants,
};

/// Decides whether a computed value is stored.
pub(crate) type CacheIf<V> = Arc<dyn Fn(&V) -> bool + Send + Sync>;

/// What is known of an entry that was given away to be stored.
pub(super) struct About {
    pub(super) digest: Digest,
    pub(super) replaces: bool,
    pub(super) ttl: Option<Duration>,
    pub(super) compute_time: Duration,
    /// Of a value that comes from a server.
    pub(super) age: Option<Duration>,
}

impl About {
    pub(super) fn of(entry: &Entry) -> Self {
        let Entry { digest, replaces, ttl, compute_time, age, .. } = *entry;
        Self { digest, replaces, ttl, compute_time, age }
    }
}

/// Shared by all handles of one memo.
pub(crate) struct MemoInner<V: 'static> {
    pub(crate) partition: Partition,
    pub(crate) codec: Arc<dyn Codec<V>>,
    /// Checks that values can be read back unchanged.
    pub(crate) round_trip: RoundTrip,
    pub(crate) bounds: Bounds,
    /// This memo's share of the memory tier in bytes. Zero turns it off; `None` is all of it.
    pub(crate) memory: Option<u64>,
    pub(crate) durability: Durability,
    /// Whether the heads of keys are stored and told.
    pub(crate) keeps_keys: bool,
    pub(crate) cache_if: Option<CacheIf<V>>,
    /// The effects that the memo declares.
    pub(crate) effects: Option<Arc<EffectTypes>>,
    pub(crate) aging: Aging,
    /// Its values on the server that several machines share.
    pub(crate) server: Option<ServerMemo>,
    /// Those of `bounds`.
    pub(crate) expiry: Expiry,
    pub(crate) retries: Retries,
    pub(crate) has_variants: HasVariants,
    pub(crate) counters: Arc<Counters>,
    pub(crate) observers: Arc<Observers>,
    pub(crate) name: Arc<str>,
    /// Name, key type and value type, in front of the message of every error.
    pub(crate) place: Arc<str>,
    /// Whether each call computes, and nothing is read.
    pub(crate) is_disabled: bool,
    /// Whether an event reported a value larger than `max_bytes`.
    pub(crate) reported_oversize: AtomicBool,
    /// Last, so that the other fields are dropped before the store may close.
    pub(crate) store: Store,
}

/// The error of user code of this name that panicked.
pub(super) fn panicked(what: &str, panic: Box<dyn Any + Send>) -> Error {
    Error::panicked(&format!("the `{what}` of a key or value"), panic)
}

impl<V: 'static> MemoInner<V> {
    pub(crate) fn record_miss(&self, reason: Reason) {
        self.counters.miss(reason);
        self.notify(&Event::Miss { memo: &self.name, reason });
    }

    /// Runs user code. A panic in it is a failure of the cache, not of the call.
    pub(crate) fn guarded<T>(&self, what: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let guarded = catch_unwind(AssertUnwindSafe(call));
        guarded
            .unwrap_or_else(|panic| Err(panicked(what, panic)))
            .map_err(|error| error.with_context(&self.place))
    }

    /// Counts, keeps and reports a failure.
    pub(crate) fn record_failure(&self, error: &Error) {
        let error = error.clone().with_context(&self.place);
        self.counters.failed(&error);
        if error.kind() != ErrorKind::Oversize || !self.reported_oversize.swap(true, Relaxed) {
            self.notify(&Event::Failed { memo: Some(&self.name), error: &error });
        }
    }
}

impl<V: 'static> MemoInner<V> {
    /// The content of a payload with these effects.
    pub(super) fn trailer(&self, effects: &EffectLog) -> Vec<u8> {
        if self.effects.is_some() { effects.trailer() } else { Vec::new() }
    }
}

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// Stores a computed value, and completes its claim. If the disk fails, the value is kept in memory.
    pub(super) fn keep(&self, entry: Entry, content: Content<'_, V>, claim: Claim<'static>) {
        let about = About::of(&entry);
        let stored = self.store_computed(entry, content, claim);
        self.finish_keeping(&about, stored, content);
    }

    /// Counts a value that was sent to the worker.
    pub(super) fn finish_sending(&self, stored: Result<Outcome>) {
        match stored {
            Ok(Outcome::Stored) => self.counters.inserted(),
            Ok(_) => {}
            Err(error) => self.record_failure(&error),
        }
    }

    /// Counts a value that was stored, and keeps another one in memory.
    pub(super) fn finish_keeping(
        &self,
        about: &About,
        stored: Result<Outcome, Refused>,
        content: Content<'_, V>,
    ) {
        let About { digest, replaces, .. } = *about;
        match stored {
            Ok(_) if about.age.is_some() => {}
            Ok(outcome) => self.finish_sending(Ok(outcome)),
            Err(Refused::Unwritten(error)) => self.finish_sending(Err(error)),
            Err(Refused::Full(unsent)) => {
                self.counters.overflowed();
                self.revoke_readers(&digest, replaces, &unsent.claim);
                let outcome = self.keep_in_memory(about, content, &unsent);
                unsent.claim.complete(outcome);
            }
            Err(Refused::Failed(error, unsent)) => {
                self.record_failure(&error);
                let is_hopeless = matches!(
                    error.kind(),
                    ErrorKind::Oversize | ErrorKind::Encode | ErrorKind::Panic | ErrorKind::Key
                );
                let outcome = if is_hopeless {
                    Outcome::Unstored
                } else {
                    self.revoke_readers(&digest, replaces, &unsent.claim);
                    self.keep_in_memory(about, content, &unsent)
                };
                unsent.claim.complete(outcome);
            }
        }
    }

    /// A value takes the place of another one in memory: no reader of the other one may put it back.
    pub(super) fn revoke_readers(&self, digest: &Digest, replaces: bool, claim: &Claim<'_>) {
        if replaces {
            flight().revoke(&self.flight_key(digest), Some(claim));
        }
    }

    /// Encodes a value that lies beside its record, without touching the disk. `None` if it is larger, or cannot be stored.
    pub(super) fn encode_small(&self, content: Content<'_, V>, compute_time: Duration) -> Option<Finished> {
        self.partition.room().ok()?;
        let draft = self.partition.draft(None, INLINE as u64, &[]);
        self.encode_into(draft, content, compute_time).ok()
    }

    fn store_computed(
        &self,
        mut entry: Entry,
        content: Content<'_, V>,
        claim: Claim<'static>,
    ) -> Result<Outcome, Refused> {
        let limit = self.partition.limit(&self.bounds);
        match self.encode(content, limit, &entry.key_head, entry.compute_time) {
            Ok(payload) => {
                self.publish(&mut entry, &payload);
                self.partition.hand_over(entry, payload, limit, claim)
            }
            Err(error) => Err(Refused::Failed(error, Unsent { claim, variant: entry.variant.take() })),
        }
    }

    /// Encodes on this thread, and a large value directly into its file. It fails for a value that cannot be read back
    /// unchanged.
    pub(super) fn encode(
        &self,
        content: Content<'_, V>,
        limit: u64,
        key_head: &[u8],
        compute_time: Duration,
    ) -> Result<Finished> {
        let room = self.partition.room()?;
        let draft = self.partition.draft(room, limit, key_head);
        self.encode_into(draft, content, compute_time)
    }

    fn encode_into(
        &self,
        mut draft: PayloadWriter<'_>,
        content: Content<'_, V>,
        compute_time: Duration,
    ) -> Result<Finished> {
        let Content { value, trailer } = content;
        let mut tee = self.round_trip.tee(&mut draft);
        let encoded = self.guarded("Serialize", || self.codec.encode(value, &mut tee));
        let prefix = tee.into_prefix();
        encoded.map_err(|error| draft.failure().unwrap_or(error))?;
        let check = || self.round_trip.check(&*self.codec, value, prefix, compute_time);
        self.guarded("Serialize` or `Deserialize", check)?;
        // `finish` has the failure.
        let _ = draft.write_all(trailer);
        draft.finish()
    }

    pub(super) fn keep_in_memory(&self, about: &About, content: Content<'_, V>, unsent: &Unsent) -> Outcome {
        let About { digest, ttl, compute_time, age, .. } = *about;
        let draft = self.partition.draft(None, self.session().memory.largest(self.memory), &[]);
        let payload = match self.encode_into(draft, content, compute_time) {
            Ok(payload) => payload,
            // A value that is too large for memory is no failure.
            Err(error) if error.kind() == ErrorKind::Oversize => return Outcome::Unstored,
            Err(error) => {
                self.record_failure(&error);
                return Outcome::Unstored;
            }
        };
        let created = self.session().clock.now().before(age.unwrap_or_default());
        let lifetime = ttl.map_or_else(|| Lifetime::starting(created), |ttl| Lifetime::lasting(created, ttl));
        let value = PendingValue { payload, lifetime, compute_time };
        let variant = unsent.variant.as_deref();
        if variant.is_some() {
            self.has_variants.note();
        }
        let is_kept = (self.partition.keep_in_memory)(&digest, &value, variant, &unsent.claim);
        if is_kept { Outcome::Stored } else { Outcome::Unstored }
    }
}

/// Returns a function that puts encoded values of a memo into the memory tier. It decodes them: every value in memory was
/// decoded from its bytes.
pub(crate) fn memory_writer<V: Clone + Send + Sync + 'static>(
    session: &Arc<Session>,
    codec: &Arc<dyn Codec<V>>,
    memory: Option<u64>,
    owner: u64,
    has_effects: bool,
) -> KeepInMemory {
    let (session, codec) = (Arc::clone(session), Arc::clone(codec));
    Arc::new(move |digest, value, variant, claim| {
        let admit = |cached: Arc<CachedValue>, claim: &Claim<'_>| {
            session.admit(owner, cached, memory, || claim.is_current())
        };
        if let Finished::Variants(bytes) = &value.payload {
            let Some(list) = FoundVariants::of(bytes, value.lifetime) else { return false };
            let known = session.memory.get(owner, digest);
            let has_newer = known.as_ref().is_some_and(|known| newer_unwritten_list(known, &list).is_some());
            session.release(known);
            return has_newer || admit(list.cached(digest, false, claim.noted()), claim);
        }
        let Ok(payload) = value.payload.payload() else { return false };
        let size = payload.size() as u64;
        if !session.memory.fits(size, memory) {
            return false;
        }
        let decoded = catch_unwind(AssertUnwindSafe(|| content::decode(&*codec, &payload, has_effects)));
        let Ok(Ok(decoded)) = decoded else { return false };
        let Some(OfVariant { key, readings, guard }) = variant else {
            let cached = decoded.cached(digest, value.lifetime, value.compute_time, size, claim.noted());
            return admit(cached, claim);
        };
        let claim = guard.as_ref().unwrap_or(claim);
        let noted = claim.noted();
        let known = session.memory.get(owner, key);
        // Another process does not tell of changes of this list's values, so in a guest it has no others than these.
        let is_own = known.as_ref().is_some_and(|known| {
            known.noted == noted && (noted.is_none() || unwritten_list(known).is_some())
        });
        let list = known.as_ref().filter(|_| is_own).and_then(|known| list_of(known));
        session.release(known);
        let mut list = list.map_or_else(|| Variants::new(fresh_owner()), |list| (*list).clone());
        let digest = list.add(key, readings).digest;
        let size_of_list = list.encode().len() as u64;
        let list = FoundVariants { list: Arc::new(list), lifetime: value.lifetime, size: size_of_list };
        let cached = decoded.cached(&digest, value.lifetime, value.compute_time, size, None);
        admit(cached, claim) && admit(list.cached(key, false, noted), claim)
    })
}

impl<V: 'static> MemoInner<V> {
    pub(crate) fn session(&self) -> &Session {
        self.store.session()
    }

    pub(crate) fn notify(&self, event: &Event<'_>) {
        self.session().tell(Some(&self.observers), event);
    }
}

impl<V: 'static> Drop for MemoInner<V> {
    fn drop(&mut self) {
        self.partition.release();
    }
}
