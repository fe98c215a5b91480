//! Hand-overs: encoded values that a caller gives to the worker.

use std::{sync::Arc, time::Duration};

use super::{Entry, Partition, Refused, closed};
use crate::{
    clock::Lifetime,
    error::Result,
    flight::{Claim, Outcome},
    store::{
        blob::{self, Finished},
        pending::PendingValue,
        worker::{Computed, Directory, Put, Rejected, Request},
    },
};

/// A caller whose computation took longer than this waits until the entry survives the process: about a hundred flushes
/// of 0.14 ms.
const WORTH_A_FLUSH: Duration = Duration::from_millis(15);

/// How long a caller waits for room in a full queue. The worker makes room in some 15 us, so that callers who compute in less
/// are slowed down to its pace. A longer wait means that the disk is slow.
const ROOM_TIMEOUT: Duration = Duration::from_secs(1);

/// From this length of a payload file on its caller unlinks what it took the place of: little beside the writing of it, and
/// the janitor may fall behind.
const LARGE: u64 = 128 << 10;

impl Partition {
    /// Hands a computed value to the worker, and tells the waiters that it is there. Waits for the disk only where the
    /// computation took long. A value whose claim was revoked is not handed over.
    pub(crate) fn hand_over(
        &self,
        entry: Entry,
        payload: Finished,
        limit: u64,
        claim: Claim<'static>,
    ) -> Result<Outcome, Refused> {
        let directory = match self
            .directory()
            .and_then(|directory| self.fits(&entry, &payload, limit).map(|()| directory))
        {
            Ok(directory) => directory,
            Err(error) => return Err(Refused::Failed(error, claim)),
        };
        match directory.reserve(payload.file_bytes(), ROOM_TIMEOUT) {
            Ok(()) => {}
            Err(Rejected::Full) => return Err(Refused::Full(claim)),
            Err(Rejected::Ended) => return Err(Refused::Failed(closed(), claim)),
        }
        let flight_key = self.memo.flight_key(&entry.digest);
        let (is_slow, is_large) = (entry.compute_time > WORTH_A_FLUSH, is_large(&payload));
        let value = self.value(&entry, payload);
        if !directory.pending.publish(flight_key, &value, claim.token()) {
            claim.complete(Outcome::Revoked);
            return Ok(Outcome::Revoked);
        }
        self.forget_over(&entry);
        let (reply, written) = is_slow.then(oneshot::channel).unzip();
        let put = self.put(entry, value, Some(self.computed(claim.detach())), reply);
        if !self.send(directory, put, is_slow) {
            return Err(Refused::Unwritten(closed()));
        }
        let written = written.map_or(Ok(()), |written| {
            let written = directory.wait(&written, directory.tuning.reply_timeout);
            self.session.settle();
            written
        });
        if is_large {
            directory.janitor.empty_trash();
        }
        written.map(|()| Outcome::Stored).map_err(Refused::Unwritten)
    }

    /// Hands over an entry that its user brought, if there is room; else it is inserted as by [`insert`](Self::insert).
    pub(crate) fn insert_soon(&self, entry: Entry, payload: Finished, limit: u64) -> Result<()> {
        let directory = self.directory()?;
        self.fits(&entry, &payload, limit)?;
        directory.check_writable()?;
        match directory.reserve(payload.file_bytes(), ROOM_TIMEOUT) {
            Ok(()) => {}
            Err(Rejected::Full) => return self.insert(entry, payload, limit),
            Err(Rejected::Ended) => return Err(closed()),
        }
        let (digest, is_large) = (entry.digest, is_large(&payload));
        let value = self.value(&entry, payload);
        let claim = directory.pending.publish_over(self.memo.flight_key(&digest), &value);
        // After that no reader of an older value can put it back.
        self.session.release(self.session.memory.remove(self.owner(), &digest));
        let put = self.put(entry, value, Some(self.computed(claim.detach())), None);
        if !self.send(directory, put, false) {
            return Err(closed());
        }
        if is_large {
            directory.janitor.empty_trash();
        }
        Ok(())
    }

    /// Takes a value out of memory whose time was over when `entry` was computed in its place: a clock that is set back would
    /// make it fresh again.
    fn forget_over(&self, entry: &Entry) {
        let (memory, owner) = (&self.session.memory, self.owner());
        let Some(old) = memory.get(owner, &entry.digest) else { return };
        let is_over = old.lifetime.is_over(self.session.clock.now(), entry.ttl);
        self.session.release([old]);
        if is_over {
            self.session.release(memory.remove(owner, &entry.digest));
        }
    }

    /// Sends a value that was published. A worker that ended has emptied the pending values, maybe before this one came:
    /// nothing else takes it out. Whether it was sent.
    fn send(&self, directory: &Directory, put: Put, is_urgent: bool) -> bool {
        let (flight_key, value) = (self.memo.flight_key(&put.digest), Arc::clone(&put.value));
        let counts = [&self.memo.hand_overs, &directory.hand_overs];
        for hand_overs in counts {
            hand_overs.begin(&flight_key);
        }
        let put = Request::Put(put);
        let queued = if is_urgent { directory.send(put) } else { directory.hand_over(put) };
        if queued.is_err() {
            directory.pending.take(flight_key, &value);
            for hand_overs in counts {
                hand_overs.end();
            }
        }
        queued.is_ok()
    }

    /// Puts an entry in that its user brought. It survives the process when this returns.
    pub(crate) fn insert(&self, entry: Entry, payload: Finished, limit: u64) -> Result<()> {
        let directory = self.directory()?;
        self.fits(&entry, &payload, limit)?;
        let is_large = is_large(&payload);
        let _ = directory.reserve(payload.file_bytes(), directory.tuning.reply_timeout);
        let value = self.value(&entry, payload);
        let inserted = directory.ask(|reply| Request::Put(self.put(entry, value, None, Some(reply))));
        if is_large {
            directory.janitor.empty_trash();
        }
        self.session.settle();
        inserted
    }

    fn fits(&self, entry: &Entry, payload: &Finished, limit: u64) -> Result<()> {
        if payload.weight(&self.memo.memo, &entry.key_head) > limit {
            return Err(blob::oversize(limit));
        }
        Ok(())
    }

    fn value(&self, entry: &Entry, payload: Finished) -> Arc<PendingValue> {
        let lifetime = Lifetime::starting(self.session.clock.now());
        Arc::new(PendingValue { payload, lifetime, compute_time: entry.compute_time })
    }

    fn put(
        &self,
        entry: Entry,
        value: Arc<PendingValue>,
        computed: Option<Computed>,
        reply: Option<oneshot::Sender<Result<()>>>,
    ) -> Put {
        let Entry { digest, key_head, .. } = entry;
        Put { memo: Arc::clone(&self.memo), digest, key_head, value, computed, reply }
    }

    fn computed(&self, claim: Claim<'static>) -> Computed {
        Computed { claim, keep_in_memory: Arc::clone(&self.keep_in_memory) }
    }
}

fn is_large(payload: &Finished) -> bool {
    payload.file_bytes() >= LARGE
}
