//! A partition: the entries of one memo's generation. Reads happen here, on the thread of the caller; changes are sent to
//! the worker.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    clock::Lifetime,
    codec::Payload,
    error::{Error, ErrorKind, Result},
    flight::{Claim, Outcome},
    key::Digest,
    record::{BlobId, Body, Record},
    stats::{Reason, Usage},
    store::{
        blob::{self, Draft, Expected, Finished},
        engine::{Bytes, Engine},
        forgetting::Forgetting,
        generation::{Bounds, Number, Tally},
        pending::PendingValue,
        session::Session,
        worker::{Directory, Put, Registration, Rejected, Request},
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

pub(crate) struct Partition {
    session: Arc<Session>,
    /// `None` in a store without a directory.
    directory: Option<Arc<Directory>>,
    memo: Arc<Registration>,
}

/// What a look at the disk came to.
pub(crate) enum Found {
    Item(Item),
    Missing(Reason),
    /// There was something, but not the bytes that had been written.
    Damaged(Error),
}

/// One entry that was read back whole.
pub(crate) struct Item {
    /// Verified as far as it is looked at.
    pub(crate) payload: Payload,
    /// The file that it lies in, when it has one of its own.
    pub(crate) file: Option<PathBuf>,
    pub(crate) lifetime: Lifetime,
    pub(crate) compute_time: Duration,
}

impl Item {
    /// The damage that showed when the payload was looked at.
    pub(crate) fn damage(&self) -> Option<Error> {
        let path = self.file.as_deref().unwrap_or(Path::new(""));
        self.payload.is_damaged().then(|| blob::damaged(path, "its payload"))
    }
}

/// What is put beside its payload.
pub(crate) struct Entry {
    pub(crate) digest: Digest,
    pub(crate) key_head: Vec<u8>,
    /// Counted from the moment when it is put.
    pub(crate) ttl: Option<Duration>,
    pub(crate) compute_time: Duration,
}

/// Why a computed value was not handed over.
pub(crate) enum Refused {
    /// The queue had no room in time.
    Full(Claim<'static>),
    Failed(Error, Claim<'static>),
    /// It was handed over, and its entry could not be written, or not in time. It is kept in memory.
    Unwritten(Error),
}

impl Partition {
    pub(super) fn new(
        session: Arc<Session>,
        directory: Option<Arc<Directory>>,
        memo: Arc<Registration>,
    ) -> Self {
        Self { session, directory, memo }
    }

    pub(crate) fn owner(&self) -> u64 {
        self.memo.owner
    }

    /// The memo as the worker knows it.
    pub(crate) fn memo(&self) -> &Registration {
        &self.memo
    }

    /// Whether a look finds the state after the hand-overs of this thread, if it made the last one, and as far as it matters:
    /// where a bound holds, one of them may push out the entry that was just found. If not, waits until they were applied.
    pub(crate) fn is_settled(&self) -> bool {
        let Some(directory) = &self.directory else { return true };
        if !self.memo.hand_overs.has_own() && !directory.hand_overs.has_own() {
            return true;
        }
        directory.catch_up();
        false
    }

    /// The entry of `digest`, if it is fresh under today's `ttl` and whole. A value that was handed over and is not in the
    /// index yet is found too.
    pub(crate) fn read(&self, digest: &Digest, ttl: Option<Duration>) -> Result<Found> {
        let Some(directory) = &self.directory else { return Ok(Found::Missing(Reason::Absent)) };
        if let Some(found) = self.pending(directory, digest, ttl)? {
            return Ok(found);
        }
        let found = self.in_index(directory, digest, ttl)?;
        if matches!(found, Found::Item(_)) && !self.is_settled() {
            return self.in_index(directory, digest, ttl);
        }
        Ok(found)
    }

    fn in_index(&self, directory: &Directory, digest: &Digest, ttl: Option<Duration>) -> Result<Found> {
        let engine = directory.reader()?;
        let number = self.memo.number();
        for _ in 0..2 {
            let Some(bytes) = record(directory, &engine, number, digest)? else {
                return self.missing(directory, &engine, digest);
            };
            if let Some(found) = self.follow(directory, digest, ttl, bytes)? {
                return Ok(found);
            }
            // A payload file that is gone may have been replaced between the two reads.
        }
        drop(engine);
        self.ask_worker(directory, digest, ttl)
    }

    /// What a value that is on its way to the index comes to.
    fn pending(
        &self,
        directory: &Directory,
        digest: &Digest,
        ttl: Option<Duration>,
    ) -> Result<Option<Found>> {
        let Some(value) = directory.pending.get(&self.memo.seat(digest)) else { return Ok(None) };
        let (lifetime, compute_time) = (value.lifetime, value.compute_time);
        if lifetime.is_over(self.session.clock.now(), ttl) {
            return Ok(Some(Found::Missing(Reason::Expired)));
        }
        let payload = value.payload.payload()?;
        Ok(Some(Found::Item(Item { payload, file: None, lifetime, compute_time })))
    }

    /// The worker replaces a payload file by hiding the old one first and naming the new one later. Its own look falls
    /// between two changes: a file is missing when the same record leads to it at two of them.
    fn ask_worker(&self, directory: &Directory, digest: &Digest, ttl: Option<Duration>) -> Result<Found> {
        let mut before: Option<Bytes> = None;
        loop {
            let (memo, digest) = (Arc::clone(&self.memo), *digest);
            let Some(bytes) = directory.ask(|reply| Request::Read { memo, digest, reply })? else {
                return Ok(Found::Missing(Reason::Absent));
            };
            if before.is_some_and(|before| *before == *bytes) {
                let error = Error::new(ErrorKind::Corrupt, "the payload file of an entry is missing");
                return Ok(Found::Damaged(error));
            }
            before = Some(bytes.clone());
            if let Some(found) = self.follow(directory, &digest, ttl, bytes)? {
                return Ok(found);
            }
        }
    }

    /// What a record leads to. `None` when its payload file is gone.
    fn follow(
        &self,
        directory: &Directory,
        digest: &Digest,
        ttl: Option<Duration>,
        bytes: Bytes,
    ) -> Result<Option<Found>> {
        let Some(record) = Record::decode(&bytes, digest) else {
            return Ok(Some(Found::Damaged(Error::new(
                ErrorKind::Corrupt,
                "the record of an entry is damaged",
            ))));
        };
        if record.lifetime.is_over(self.session.clock.now(), ttl) {
            return Ok(Some(Found::Missing(Reason::Expired)));
        }
        let (lifetime, compute_time) = (record.lifetime, record.compute_time);
        let item = |payload, file| Ok(Some(Found::Item(Item { payload, file, lifetime, compute_time })));
        match record.body {
            Body::Inline(_) => {
                let range = record.inline_range(bytes.len());
                item(Payload::new(bytes, range), None)
            }
            Body::Blob { id, length } => match self.blob(directory, digest, record.sequence, id, length) {
                Ok(Some((payload, file))) => item(payload, Some(file)),
                Ok(None) => Ok(None),
                Err(error) if error.is_corrupt() => Ok(Some(Found::Damaged(error))),
                Err(error) => Err(error),
            },
        }
    }

    /// A payload and the file that it lies in. `None` when that is gone.
    fn blob(
        &self,
        directory: &Directory,
        digest: &Digest,
        sequence: u64,
        id: BlobId,
        length: u64,
    ) -> Result<Option<(Payload, PathBuf)>> {
        let expected = Expected { generation: self.memo.generation.0, digest: *digest, sequence, length };
        for path in directory.places(&format!("blobs/{}/{id}", self.memo.generation)) {
            let known = directory.unverified.seal(&path);
            if let Some(payload) = blob::read(&path, &expected, known, &directory.tuning.faults)? {
                return Ok(Some((payload, path)));
            }
        }
        Ok(None)
    }

    /// Absent, or outdated when another generation of the memo has it.
    fn missing(&self, directory: &Directory, engine: &Arc<Engine>, digest: &Digest) -> Result<Found> {
        for sibling in self.memo.siblings().iter() {
            if record(directory, engine, *sibling, digest)?.is_some() {
                return Ok(Found::Missing(Reason::Outdated));
            }
        }
        Ok(Found::Missing(Reason::Absent))
    }

    /// Whether there is a fresh entry. Its payload is not looked at.
    pub(crate) fn contains(&self, digest: &Digest, ttl: Option<Duration>) -> Result<bool> {
        let Some(directory) = &self.directory else { return Ok(false) };
        let now = self.session.clock.now();
        if let Some(value) = directory.pending.get(&self.memo.seat(digest)) {
            return Ok(!value.lifetime.is_over(now, ttl));
        }
        let look = || record(directory, &directory.reader()?, self.memo.number(), digest);
        let mut bytes = look()?;
        if bytes.is_some() && !self.is_settled() {
            bytes = look()?;
        }
        let record = bytes.as_deref().and_then(|bytes| Record::decode(bytes, digest));
        Ok(record.is_some_and(|record| !record.lifetime.is_over(now, ttl)))
    }

    /// The folder in which a payload file is begun.
    ///
    /// # Errors
    ///
    /// Why nothing can be stored now.
    pub(crate) fn room(&self) -> Result<PathBuf> {
        let directory = self.directory()?;
        directory.check_writable()?;
        Ok(directory.trash())
    }

    fn directory(&self) -> Result<&Arc<Directory>> {
        self.directory.as_ref().ok_or_else(no_directory)
    }

    /// A payload to be encoded into. Without a room it stays in memory.
    pub(crate) fn draft<'a>(&'a self, room: Option<&'a Path>, limit: u64, key_head: &'a [u8]) -> Draft<'a> {
        let faults = self.directory.as_ref().map(|directory| directory.tuning.faults.clone());
        Draft::new(room, limit, &self.memo.memo, key_head, faults.unwrap_or_default())
    }

    /// The largest payload that can be stored at all.
    pub(crate) fn limit(&self, bounds: &Bounds) -> u64 {
        let of_store = self.session.max_bytes.unwrap_or(u64::MAX);
        bounds.max_bytes.unwrap_or(u64::MAX).min(of_store)
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
        let seat = self.memo.seat(&entry.digest);
        let (is_slow, is_large) = (entry.compute_time > WORTH_A_FLUSH, is_large(&payload));
        let value = self.value(&entry, payload);
        if !directory.pending.publish(seat, &value, claim.token()) {
            claim.complete(Outcome::Revoked);
            return Ok(Outcome::Revoked);
        }
        self.forget_over(&entry);
        let (reply, written) = is_slow.then(oneshot::channel).unzip();
        let put = self.put(entry, value, Some(claim.detach()), reply);
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
        let (seat, value) = (self.memo.seat(&put.digest), Arc::clone(&put.value));
        let counts = [&self.memo.hand_overs, &directory.hand_overs];
        for hand_overs in counts {
            hand_overs.begin();
        }
        let put = Request::Put(put);
        let queued = if is_urgent { directory.send(put) } else { directory.hand_over(put) };
        if queued.is_err() {
            directory.pending.take(seat, &value);
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
        let lifetime = Lifetime::starting(self.session.clock.now(), entry.ttl);
        Arc::new(PendingValue { payload, lifetime, compute_time: entry.compute_time })
    }

    fn put(
        &self,
        entry: Entry,
        value: Arc<PendingValue>,
        claim: Option<Claim<'static>>,
        reply: Option<oneshot::Sender<Result<()>>>,
    ) -> Put {
        let Entry { digest, key_head, ttl, .. } = entry;
        Put { memo: Arc::clone(&self.memo), digest, key_head, ttl, value, claim, reply }
    }

    /// Whether the index, or a value on its way there, was fresh.
    pub(crate) fn remove(&self, digest: &Digest, ttl: Option<Duration>) -> Result<bool> {
        let Some(directory) = &self.directory else {
            self.in_memory().forget_key(self.owner(), digest);
            self.session.settle();
            return Ok(false);
        };
        let is_pending = matches!(self.pending(directory, digest, ttl), Ok(Some(Found::Item(_))));
        let (memo, digest) = (Arc::clone(&self.memo), *digest);
        let removed = directory.ask(|reply| Request::Remove { memo, digest, reply });
        self.session.settle();
        removed.map(|was_fresh| was_fresh || is_pending)
    }

    pub(crate) fn clear(&self) -> Result<()> {
        let Some(directory) = &self.directory else {
            self.in_memory().forget_owner(self.owner());
            self.session.settle();
            return Ok(());
        };
        let memo = Arc::clone(&self.memo);
        let cleared = directory.ask(|reply| Request::Clear { memo, reply });
        self.session.settle();
        cleared
    }

    fn in_memory(&self) -> Forgetting<'_> {
        Forgetting { pending: None, session: &self.session }
    }

    /// Fresh entries and their bytes, within the bounds also when an unclean end left them uncounted.
    pub(crate) fn count(&self) -> Result<Tally> {
        let Some(directory) = &self.directory else { return Ok(Tally::default()) };
        count(directory, &self.session, Some(&self.memo))
    }

    /// The same, and the size of the memo's payload files.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let Tally { entries, bytes, .. } = self.count()?;
        let files = self
            .directory
            .as_ref()
            .map(|directory| directory.join(format!("blobs/{}", self.memo.generation)));
        let disk_bytes = files.map_or(Ok(0), |files| blob::disk_size(&files))?;
        Ok(Usage { entries, bytes, disk_bytes })
    }

    /// Waits until everything that was handed over so far was applied, and its events told.
    pub(crate) fn catch_up(&self) {
        if let Some(directory) = &self.directory {
            directory.catch_up();
        }
        self.session.settle();
    }

    pub(crate) fn flush(&self) -> Result<()> {
        flush(self.directory.as_ref(), &self.session)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.session.is_closed() || self.directory.as_ref().is_some_and(|directory| directory.is_closed())
    }

    /// Has the rest of a payload verified by the janitor.
    pub(crate) fn verify_later(&self, item: &Item, tell: impl FnOnce(Error) + Send + 'static) {
        if let (Some(file), Some(directory)) = (&item.file, &self.directory) {
            directory.unverified.verify_later(&directory.janitor, file, &item.payload, tell);
        }
    }

    /// The memo was dropped: its entries in memory and its claims have no owner any more.
    pub(crate) fn release(&self) {
        if self.session.is_inherited() {
            return;
        }
        self.session.release(self.session.memory.remove_owner(self.owner()));
        if let Some(directory) = &self.directory {
            let _ = directory.send(Request::Disown { memo: Arc::clone(&self.memo) });
        }
    }
}

fn is_large(payload: &Finished) -> bool {
    payload.file_bytes() >= LARGE
}

fn record(
    directory: &Directory,
    engine: &Arc<Engine>,
    number: Number,
    digest: &Digest,
) -> Result<Option<Bytes>> {
    directory.observe(engine, engine.records.get(&number.record_key(digest)))
}

/// Makes everything that was acknowledged survive the process.
pub(super) fn flush(directory: Option<&Arc<Directory>>, session: &Session) -> Result<()> {
    session.check_origin()?;
    let Some(directory) = directory else { return Ok(()) };
    let flushed = directory.ask(|reply| Request::Flush { reply });
    session.settle();
    flushed
}

/// Fresh entries of a memo's generation, or of the whole store, and their bytes.
pub(super) fn count(
    directory: &Directory,
    session: &Session,
    memo: Option<&Arc<Registration>>,
) -> Result<Tally> {
    session.check_origin()?;
    let memo = memo.cloned();
    let counted = directory.ask(|reply| Request::Count { memo, reply });
    session.settle();
    counted
}

fn no_directory() -> Error {
    Error::new(ErrorKind::Closed, "the store has no directory, results are kept in memory only")
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed: open it again")
}
