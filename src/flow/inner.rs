//! The state that all handles of one memo share, and the path of a computed value to the disk.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{aging::Aging, retries::Retries};
use crate::{
    clock::{Expiry, Lifetime},
    codec::{Codec, RoundTrip},
    error::{Error, ErrorKind, Result},
    flight::{Claim, Outcome, flight},
    key::Digest,
    memory::CachedValue,
    observe::{Event, Observers},
    stats::{Counters, Reason},
    store::{
        Bounds, Durability, Entry, Finished, INLINE, KeepInMemory, Partition, PayloadWriter, PendingValue,
        Refused, Session, Store,
    },
};

/// Decides whether a computed value is stored.
pub(crate) type CacheIf<V> = Arc<dyn Fn(&V) -> bool + Send + Sync>;

/// What is known of an entry that was given away to be stored.
pub(super) struct About {
    digest: Digest,
    replaces: bool,
    ttl: Option<Duration>,
    compute_time: Duration,
}

impl About {
    pub(super) fn of(entry: &Entry) -> Self {
        let Entry { digest, replaces, ttl, compute_time, .. } = *entry;
        Self { digest, replaces, ttl, compute_time }
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
    pub(crate) aging: Aging,
    /// Those of `bounds`.
    pub(crate) expiry: Expiry,
    pub(crate) retries: Retries,
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

impl<V: 'static> MemoInner<V> {
    pub(crate) fn record_miss(&self, reason: Reason) {
        self.counters.miss(reason);
        self.notify(&Event::Miss { memo: &self.name, reason });
    }

    /// Runs user code. A panic in it is a failure of the cache, not of the call.
    pub(crate) fn guarded<T>(&self, what: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let guarded = catch_unwind(AssertUnwindSafe(call));
        guarded
            .unwrap_or_else(|panic| Err(Error::panicked(&format!("the `{what}` of a key or value"), panic)))
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

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// Stores a computed value, and completes its claim. If the disk fails, the value is kept in memory.
    pub(super) fn keep(&self, entry: Entry, value: &V, claim: Claim<'static>) {
        let about = About::of(&entry);
        let stored = self.store_computed(entry, value, claim);
        self.finish_keeping(&about, stored, value);
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
    pub(super) fn finish_keeping(&self, about: &About, stored: Result<Outcome, Refused>, value: &V) {
        let About { digest, replaces, ttl, compute_time } = *about;
        match stored {
            Ok(outcome) => self.finish_sending(Ok(outcome)),
            Err(Refused::Unwritten(error)) => self.finish_sending(Err(error)),
            Err(Refused::Full(claim)) => {
                self.counters.overflowed();
                self.revoke_readers(&digest, replaces, &claim);
                let outcome = self.keep_in_memory(&digest, ttl, compute_time, value, &claim);
                claim.complete(outcome);
            }
            Err(Refused::Failed(error, claim)) => {
                self.record_failure(&error);
                let is_hopeless = matches!(
                    error.kind(),
                    ErrorKind::Oversize | ErrorKind::Encode | ErrorKind::Panic | ErrorKind::Key
                );
                let outcome = if is_hopeless {
                    Outcome::Unstored
                } else {
                    self.revoke_readers(&digest, replaces, &claim);
                    self.keep_in_memory(&digest, ttl, compute_time, value, &claim)
                };
                claim.complete(outcome);
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
    pub(super) fn encode_small(&self, value: &V, compute_time: Duration) -> Option<Finished> {
        self.partition.room().ok()?;
        let draft = self.partition.draft(None, INLINE as u64, &[]);
        self.encode_into(draft, value, compute_time).ok()
    }

    fn store_computed(&self, entry: Entry, value: &V, claim: Claim<'static>) -> Result<Outcome, Refused> {
        let limit = self.partition.limit(&self.bounds);
        match self.encode(value, limit, &entry.key_head, entry.compute_time) {
            Ok(payload) => self.partition.hand_over(entry, payload, limit, claim),
            Err(error) => Err(Refused::Failed(error, claim)),
        }
    }

    /// Encodes on this thread, and a large value directly into its file. It fails for a value that cannot be read back
    /// unchanged.
    pub(super) fn encode(
        &self,
        value: &V,
        limit: u64,
        key_head: &[u8],
        compute_time: Duration,
    ) -> Result<Finished> {
        let room = self.partition.room()?;
        let draft = self.partition.draft(room.as_deref(), limit, key_head);
        self.encode_into(draft, value, compute_time)
    }

    fn encode_into(
        &self,
        mut draft: PayloadWriter<'_>,
        value: &V,
        compute_time: Duration,
    ) -> Result<Finished> {
        let mut tee = self.round_trip.tee(&mut draft);
        let encoded = self.guarded("Serialize", || self.codec.encode(value, &mut tee));
        let prefix = tee.into_prefix();
        encoded.map_err(|error| draft.failure().unwrap_or(error))?;
        let check = || self.round_trip.check(&*self.codec, value, prefix, compute_time);
        self.guarded("Serialize` or `Deserialize", check)?;
        draft.finish()
    }

    pub(super) fn keep_in_memory(
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
            // A value that is too large for memory is no failure.
            Err(error) if error.kind() == ErrorKind::Oversize => return Outcome::Unstored,
            Err(error) => {
                self.record_failure(&error);
                return Outcome::Unstored;
            }
        };
        let now = self.session().clock.now();
        let lifetime = ttl.map_or_else(|| Lifetime::starting(now), |ttl| Lifetime::lasting(now, ttl));
        let value = PendingValue { payload, lifetime, compute_time };
        let is_kept = (self.partition.keep_in_memory)(digest, &value, claim);
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
) -> KeepInMemory {
    let (session, codec) = (Arc::clone(session), Arc::clone(codec));
    Arc::new(move |digest, value, claim| {
        let Ok(payload) = value.payload.payload() else { return false };
        let size = payload.size() as u64;
        if !session.memory.fits(size, memory) {
            return false;
        }
        let decoded = catch_unwind(AssertUnwindSafe(|| codec.decode(&payload)));
        let Ok(Ok(decoded)) = decoded else { return false };
        let cached = CachedValue::new(decoded, value.lifetime, value.compute_time, size, claim.noted());
        session.admit(owner, digest, cached, memory, || claim.is_current())
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
