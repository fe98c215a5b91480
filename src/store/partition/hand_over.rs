//! Hand-overs: encoded values that a caller gives to the worker.

use std::{sync::Arc, time::Duration};

use super::{Entry, Partition, Refused, Unsent, bring_home::bring_home, closed, send::send, variant};
use crate::{
    clock::Lifetime,
    error::{Error, Result},
    flight::{Claim, Outcome, flight},
    key::Digest,
    memory::CachedValue,
    store::{
        blob::{self, Finished},
        forgetting::Forgetting,
        pending::PendingValue,
        worker::{Computed, Directory, Put, Rejected, Request},
    },
    variants::Variants,
};

/// A caller whose computation took longer than this waits until the entry survives the process: about a hundred flushes
/// of 0.14 ms.
pub(crate) const WORTH_A_FLUSH: Duration = Duration::from_millis(15);

/// How long a caller waits for room in a full queue. The worker makes room in some 15 us, so that callers who compute in less
/// are slowed down to its pace. A longer wait means that the disk is slow.
const ROOM_TIMEOUT: Duration = Duration::from_secs(1);

/// From this length of a payload file on its caller unlinks what it took the place of: little beside the writing of it, and
/// the janitor may fall behind.
const LARGE: u64 = 128 << 10;

impl Entry {
    /// A value from a server is there still if this process ends.
    pub(crate) fn is_worth_a_flush(&self) -> bool {
        self.compute_time > WORTH_A_FLUSH && self.age.is_none()
    }
}

/// A computed value that was sent to the worker.
#[must_use = "its caller may have to wait for the disk"]
pub(crate) struct Sent {
    outcome: Outcome,
    /// The reply of the worker, for a caller that waits until the value survives the process.
    written: Option<oneshot::Receiver<Result<()>>>,
    is_large: bool,
}

impl Sent {
    fn at_once(outcome: Outcome) -> Self {
        Self { outcome, written: None, is_large: false }
    }

    /// Whether [`Partition::complete`] waits for the disk.
    pub(crate) fn is_awaited(&self) -> bool {
        self.written.is_some()
    }
}

impl Partition {
    /// Whether a small value can be [sent](Self::send) at this moment without waiting.
    pub(crate) fn has_room(&self) -> bool {
        self.directory.as_ref().is_some_and(|directory| directory.has_room())
    }

    /// Hands a computed value to the worker, and tells the waiters that it is there. Waits for the disk only where the
    /// computation took long. A value whose claim was revoked is not handed over.
    pub(crate) fn hand_over(
        &self,
        entry: Entry,
        payload: Finished,
        limit: u64,
        claim: Claim<'static>,
    ) -> Result<Outcome, Refused> {
        let sent = self.send(entry, payload, limit, claim, Some(ROOM_TIMEOUT))?;
        self.complete(sent).map_err(Refused::Unwritten)
    }

    /// The second half of [`hand_over`](Self::hand_over): waits for the disk.
    ///
    /// # Errors
    ///
    /// The entry could not be written, or not in time. It is kept in memory.
    pub(crate) fn complete(&self, sent: Sent) -> Result<Outcome> {
        let Sent { outcome, written, is_large } = sent;
        let Some(directory) = &self.directory else { return Ok(outcome) };
        let written = written.map_or(Ok(()), |written| {
            let written = directory.wait(&written, directory.tuning.reply_timeout);
            self.session.settle();
            written
        });
        if is_large {
            directory.janitor.empty_trash();
        }
        written.map(|()| outcome)
    }

    /// The first half of [`hand_over`](Self::hand_over): other callers find the value then. It waits for room in the queue, unless
    /// the caller has just seen that there is some.
    pub(crate) fn send(
        &self,
        mut entry: Entry,
        payload: Finished,
        limit: u64,
        claim: Claim<'static>,
        room_timeout: Option<Duration>,
    ) -> Result<Sent, Refused> {
        let directory = match self
            .directory()
            .and_then(|directory| self.fits(&entry, &payload, limit).map(|()| directory))
        {
            Ok(directory) => directory,
            Err(error) => {
                return Err(Refused::Failed(error, Unsent { claim, variant: entry.variant.take() }));
            }
        };
        if self.is_guest() {
            return self.send_to_host(directory, entry, payload, claim).map(Sent::at_once);
        }
        // From here on this process hosts the store. Before, changes did not revoke the claim.
        if entry.variant.is_none() && !self.is_current(&entry.digest, claim.noted()) {
            claim.complete(Outcome::Revoked);
            return Ok(Sent::at_once(Outcome::Revoked));
        }
        let reserved =
            room_timeout.map_or(Ok(()), |timeout| directory.reserve(payload.file_bytes(), timeout));
        match reserved {
            Ok(()) => {}
            Err(Rejected::Full) => {
                return Err(Refused::Full(Unsent { claim, variant: entry.variant.take() }));
            }
            Err(Rejected::Ended) => {
                return Err(Refused::Failed(closed(), Unsent { claim, variant: entry.variant.take() }));
            }
        }
        // Other processes have what was there in memory until the worker has replaced it.
        let is_awaited = entry.is_worth_a_flush() || (entry.replaces && directory.sharing.has_guests());
        let is_large = is_large(&payload);
        let (reply, written) = is_awaited.then(oneshot::channel).unzip();
        match self.publish(directory, entry, payload, claim, reply, true)? {
            Outcome::Stored => Ok(Sent { outcome: Outcome::Stored, written, is_large }),
            other => Ok(Sent::at_once(other)),
        }
    }

    /// Publishes a value that was computed, and sends it to the worker, which makes it survive the process before it replies. On the
    /// thread of a caller, if it `is_here`, code of the user may run.
    fn publish(
        &self,
        directory: &Directory,
        entry: Entry,
        payload: Finished,
        claim: Claim<'static>,
        reply: Option<oneshot::Sender<Result<()>>>,
        is_here: bool,
    ) -> Result<Outcome, Refused> {
        if entry.variant.is_some() {
            return self.publish_variant(directory, entry, payload, claim, reply, is_here);
        }
        let flight_key = self.memo.flight_key(&entry.digest);
        let value = self.value(&entry, payload);
        let is_published = if entry.replaces {
            directory.pending.publish_instead(flight_key, &value, &claim)
        } else {
            directory.pending.publish(flight_key, &value, claim.token())
        };
        if !is_published {
            claim.complete(Outcome::Revoked);
            return Ok(Outcome::Revoked);
        }
        let over = self.forget_replaced(&entry);
        if is_here {
            self.session.release(over);
        } else {
            self.session.leave(over);
        }
        let is_slow = reply.is_some();
        let computed = self.computed(claim.detach(), entry.replaces);
        let put = self.put(entry, value, Some(computed), reply);
        send(directory, put, is_slow).map(|()| Outcome::Stored).map_err(|_| Refused::Unwritten(closed()))
    }

    /// The same for a value that was computed from tracked inputs.
    fn publish_variant(
        &self,
        directory: &Directory,
        entry: Entry,
        payload: Finished,
        claim: Claim<'static>,
        reply: Option<oneshot::Sender<Result<()>>>,
        is_here: bool,
    ) -> Result<Outcome, Refused> {
        let (sought, owner) = (entry.digest, self.owner());
        let value = self.value(&entry, payload);
        let computed = self.computed(claim, entry.replaces);
        let put = self.put(entry, value, Some(computed), reply);
        let key = put.digest;
        // No reader of an older value or list can put that back. The inputs may have changed during the computation.
        let mut over = Vec::new();
        let forget = |digest| {
            let stale = [digest, sought, key];
            over.extend(stale.iter().filter_map(|digest| self.session.memory.remove(owner, digest)));
        };
        let publication = match variant::publish(directory, put, self.bounds.expiry(), forget) {
            Ok(publication) => publication,
            Err((error, put)) => return Err(refused(*put, error)),
        };
        let outcome = publication.finish()?;
        if is_here {
            self.session.release(over);
        } else {
            self.session.leave(over);
        }
        Ok(outcome)
    }

    /// What memory has of a key whose variant goes to the process that hosts the store.
    fn forget_variant(&self, entry: &Entry) -> Vec<Arc<CachedValue>> {
        let list =
            entry.variant.as_ref().and_then(|variant| self.session.memory.remove(self.owner(), &variant.key));
        list.into_iter().chain(self.forget_replaced(entry)).collect()
    }

    /// Takes over a value from a guest, under a claim of this process if the guest computed it. There must be room. The worker
    /// replies when it survives this process.
    pub(crate) fn accept(
        &self,
        entry: Entry,
        payload: Finished,
        claim: Option<Claim<'static>>,
        reply: Option<oneshot::Sender<Result<()>>>,
    ) -> Result<Outcome> {
        let directory = self.directory()?;
        self.fits(&entry, &payload, self.limit(&self.bounds))?;
        directory.check_running()?;
        let Some(claim) = claim else {
            let value = self.value(&entry, payload);
            let put = self.put(entry, value, None, reply);
            return directory.send(Request::Put(put)).map(|()| Outcome::Stored).map_err(|_| closed());
        };
        match self.publish(directory, entry, payload, claim, reply, false) {
            Ok(outcome) => Ok(outcome),
            Err(Refused::Failed(error, _) | Refused::Unwritten(error)) => Err(error),
            Err(Refused::Full(_)) => Err(closed()),
        }
    }

    /// The same where another process hosts the store: a value that is sent there is found by every look-up that is sent after it.
    fn send_to_host(
        &self,
        directory: &Directory,
        entry: Entry,
        payload: Finished,
        claim: Claim<'static>,
    ) -> Result<Outcome, Refused> {
        if entry.replaces {
            // The host does the same with its own.
            flight().revoke(&self.memo.flight_key(&entry.digest), Some(&claim));
        }
        let over = self.forget_variant(&entry);
        self.session.release(over);
        // Other processes find what it replaces until it has arrived.
        let is_awaited = entry.is_worth_a_flush() || entry.replaces;
        let value = self.value(&entry, payload);
        let (reply, written) = is_awaited.then(oneshot::channel).unzip();
        let computed = self.computed(claim, entry.replaces);
        let put = self.put(entry, value, Some(computed), reply);
        match directory.sharing.host() {
            Some(host) => drop(host.carry_out(Request::Put(put))),
            // This process took the place of the host in this moment.
            None => bring_home(directory, put),
        }
        let written =
            written.map_or(Ok(()), |written| directory.wait(&written, directory.tuning.reply_timeout));
        written.map(|()| Outcome::Stored).map_err(Refused::Unwritten)
    }

    /// Hands over an entry that its user brought, if there is room; else it is inserted as by [`insert`](Self::insert).
    pub(crate) fn insert_soon(&self, entry: Entry, payload: Finished, limit: u64) -> Result<()> {
        let directory = self.directory()?;
        self.fits(&entry, &payload, limit)?;
        directory.check_writable()?;
        if self.is_guest() {
            // The host keeps the order of changes.
            return self.insert(entry, payload, limit);
        }
        match directory.reserve(payload.file_bytes(), ROOM_TIMEOUT) {
            Ok(()) => {}
            Err(Rejected::Full) => return self.insert(entry, payload, limit),
            Err(Rejected::Ended) => return Err(closed()),
        }
        let (digest, is_large) = (entry.digest, is_large(&payload));
        let value = self.value(&entry, payload);
        let claim = directory.pending.publish_over(self.memo.flight_key(&digest), &value);
        if directory.sharing.has_guests() {
            // They have the older value in memory. The worker raises the word once more when the index has it.
            directory.sharing.raise_key(&self.session, &digest);
        }
        // After that no reader of an older value can put it back.
        self.session.release(self.session.memory.remove(self.owner(), &digest));
        let put = self.put(entry, value, Some(self.computed(claim.detach(), true)), None);
        if send(directory, put, false).is_err() {
            return Err(closed());
        }
        if is_large {
            directory.janitor.empty_trash();
        }
        Ok(())
    }

    /// Takes the value out of memory that `entry` takes the place of. One whose time was over may not stay either: a clock that
    /// is set back would make it fresh again.
    #[must_use = "the values must be dropped where code of the user may run"]
    fn forget_replaced(&self, entry: &Entry) -> Vec<Arc<CachedValue>> {
        let (memory, owner) = (&self.session.memory, self.owner());
        let Some(old) = memory.get(owner, &entry.digest) else { return Vec::new() };
        let expiry = self.bounds.expiry().without_stale();
        let is_over = entry.replaces || old.lifetime.is_over(self.session.clock.now(), expiry);
        let removed = if is_over { memory.remove(owner, &entry.digest) } else { None };
        removed.into_iter().chain([old]).collect()
    }

    /// Puts an entry in that its user brought. It survives the process when this returns.
    pub(crate) fn insert(&self, entry: Entry, payload: Finished, limit: u64) -> Result<()> {
        let directory = self.directory()?;
        self.fits(&entry, &payload, limit)?;
        let is_large = is_large(&payload);
        let _ = directory.reserve(payload.file_bytes(), directory.tuning.reply_timeout);
        let value = self.value(&entry, payload);
        let digest = entry.digest;
        let inserted = directory.ask(|reply| Request::Put(self.put(entry, value, None, Some(reply))));
        self.forget_own(&digest);
        if is_large {
            directory.janitor.empty_trash();
        }
        self.session.settle();
        inserted
    }

    /// A guest forgets what it has of a key in memory, and what it reads or computes at this moment: the host forgets only its
    /// own. (The words of EPOCHS would tell, but not without them.)
    pub(super) fn forget_own(&self, digest: &Digest) {
        if self.is_guest() {
            Forgetting { pending: None, session: &self.session }.forget_key(self.owner(), digest);
        }
    }

    fn fits(&self, entry: &Entry, payload: &Finished, limit: u64) -> Result<()> {
        // A list of one variant has to fit beside the value.
        let list = entry.variant.as_ref().map_or(0, |variant| Variants::of(&variant.readings).weight());
        if payload.weight(&self.memo.memo, &entry.key_head).saturating_add(list) > limit {
            return Err(blob::oversize(limit));
        }
        Ok(())
    }

    fn value(&self, entry: &Entry, payload: Finished) -> Arc<PendingValue> {
        let now = self.session.clock.now().before(entry.age.unwrap_or_default());
        let lifetime = entry.ttl.map_or_else(|| Lifetime::starting(now), |ttl| Lifetime::lasting(now, ttl));
        Arc::new(PendingValue { payload, lifetime, compute_time: entry.compute_time })
    }

    fn put(
        &self,
        entry: Entry,
        value: Arc<PendingValue>,
        computed: Option<Computed>,
        reply: Option<oneshot::Sender<Result<()>>>,
    ) -> Put {
        let Entry { digest, key_head, variant, age, .. } = entry;
        let digest = variant.as_ref().map_or(digest, |variant| variant.key);
        let (memo, list) = (Arc::clone(&self.memo), None);
        Put { memo, digest, key_head, value, age, computed, list, reply, variant }
    }

    fn computed(&self, claim: Claim<'static>, replaces: bool) -> Computed {
        Computed { claim, keep_in_memory: Arc::clone(&self.keep_in_memory), replaces }
    }
}

/// A value that was not handed over.
fn refused(put: Put, error: Error) -> Refused {
    let Put { computed, variant, .. } = put;
    match computed {
        Some(Computed { claim, .. }) => Refused::Failed(error, Unsent { claim, variant }),
        None => Refused::Unwritten(error),
    }
}

fn is_large(payload: &Finished) -> bool {
    payload.file_bytes() >= LARGE
}
