//! Shelf: one memo's generation on disk. Reads without any lock of ours; writes go through the [`Writer`].

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    checksum::BLOCK,
    clock::Lifetime,
    codec::Payload,
    error::{Error, Kind, Result},
    flight::Claim,
    key::Digest,
    record::{BlobId, Body, Record},
    stats::Reason,
    store::{
        blob::{self, Draft, Expected, Finished},
        core::Core,
        engine::{Bytes, Calls, Engine},
        ledger::{Bounds, GenerationId},
        order::Tally,
        writer::{Entry, Place, Writer},
    },
};

/// An entry whose computation took longer than this is flushed before its value is handed over: about a hundred
/// flushes of 0.14 ms.
const WORTH_A_FLUSH: Duration = Duration::from_millis(15);

pub(crate) struct Shelf {
    core: Arc<Core>,
    generation: GenerationId,
    memo: Arc<str>,
    /// Unique in the process: whose entries in memory, whose flights.
    owner: u64,
}

/// What a look at the disk came to.
pub(crate) enum Found {
    Item(Item),
    Missing(Reason),
    /// There was something, but not what had been written.
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
        self.payload.is_broken().then(|| blob::damaged(path, "its payload"))
    }
}

impl Shelf {
    pub(super) fn new(core: Arc<Core>, generation: GenerationId, memo: Arc<str>, owner: u64) -> Self {
        Self { core, generation, memo, owner }
    }

    pub(crate) fn owner(&self) -> u64 {
        self.owner
    }

    fn place(&self) -> Place<'_> {
        Place { generation: self.generation, memo: &self.memo, owner: Some(self.owner) }
    }

    /// The entry of `digest`, if it is fresh under today's `ttl` and whole.
    pub(crate) fn read(&self, digest: &Digest, ttl: Option<Duration>) -> Result<Found> {
        let Some(bytes) = self.record(digest, Calls::Here)? else { return self.missing(digest) };
        if let Some(found) = self.follow(digest, ttl, bytes)? {
            return Ok(found);
        }
        // A blob that is gone may have been replaced between the two reads.
        let again = self.record(digest, Calls::Here)?;
        let Some(bytes) = again else { return Ok(Found::Missing(Reason::Absent)) };
        if let Some(found) = self.follow(digest, ttl, bytes)? {
            return Ok(found);
        }
        // Who replaces it hides the old blob first, and names the new one a while after: under the writer lock nobody is in
        // between.
        let _nobody_writes = self.core.ledger()?;
        let bytes = self.record_in(&self.core.engine()?, digest, Calls::Aside)?;
        let Some(bytes) = bytes else { return Ok(Found::Missing(Reason::Absent)) };
        let gone = || Found::Damaged(Error::new(Kind::Corrupt, "the payload file of an entry is missing"));
        Ok(self.follow(digest, ttl, bytes)?.unwrap_or_else(gone))
    }

    /// What a record leads to. `None` when its payload file is gone.
    fn follow(&self, digest: &Digest, ttl: Option<Duration>, bytes: Bytes) -> Result<Option<Found>> {
        let Some(record) = Record::decode(&bytes) else {
            return Ok(Some(Found::Damaged(Error::new(Kind::Corrupt, "the record of an entry is damaged"))));
        };
        if record.lifetime.is_over(self.core.clock.now(), ttl) {
            return Ok(Some(Found::Missing(Reason::Expired)));
        }
        let (lifetime, compute_time) = (record.lifetime, record.compute_time);
        let item = |payload, file| Ok(Some(Found::Item(Item { payload, file, lifetime, compute_time })));
        match record.body {
            Body::Inline(_) => {
                let range = record.inline_range(bytes.len());
                item(Payload::new(bytes, range), None)
            }
            Body::Blob { id, length } => match self.blob(digest, record.sequence, id, length) {
                Ok(Some((payload, file))) => item(payload, Some(file)),
                Ok(None) => Ok(None),
                Err(error) if error.is_corrupt() => Ok(Some(Found::Damaged(error))),
                Err(error) => Err(error),
            },
        }
    }

    /// Whether there is a fresh record. Its payload is not looked at.
    pub(crate) fn contains(&self, digest: &Digest, ttl: Option<Duration>, calls: Calls) -> Result<bool> {
        let bytes = self.record(digest, calls)?;
        let record = bytes.as_deref().and_then(Record::decode);
        Ok(record.is_some_and(|record| !record.lifetime.is_over(self.core.clock.now(), ttl)))
    }

    fn record(&self, digest: &Digest, calls: Calls) -> Result<Option<Bytes>> {
        if self.core.directory.is_none() {
            return Ok(None);
        }
        self.record_in(&self.core.awake()?, digest, calls)
    }

    fn record_in(&self, engine: &Arc<Engine>, digest: &Digest, calls: Calls) -> Result<Option<Bytes>> {
        let tables = engine.tables(self.generation, calls);
        let read = tables.and_then(|tables| tables.records.get(digest.as_bytes()));
        self.core.minded(engine, read)
    }

    /// A payload and the file that it lies in. `None` when that is gone.
    fn blob(
        &self,
        digest: &Digest,
        sequence: u64,
        id: BlobId,
        length: u64,
    ) -> Result<Option<(Payload, PathBuf)>> {
        let Some(path) = self.core.path(&format!("blobs/{}/{id}", self.generation)) else { return Ok(None) };
        let expected = Expected { generation: self.generation.0, digest: *digest, sequence, length };
        let known = self.core.unverified.seal(&path);
        let read = blob::read(&path, &expected, known, &self.core.manner.faults)?;
        Ok(read.map(|payload| (payload, path)))
    }

    /// Absent, or outdated when another generation of the memo has it.
    fn missing(&self, digest: &Digest) -> Result<Found> {
        let ledger = self.core.ledger()?;
        let others: Vec<GenerationId> =
            ledger.of_name(Some(&self.memo)).map(|(id, _)| id).filter(|id| *id != self.generation).collect();
        if others.is_empty() {
            return Ok(Found::Missing(Reason::Absent));
        }
        let engine = self.core.engine()?;
        for other in others {
            // Under the lock: a generation that is dropped meanwhile would be made again.
            let tables = engine.tables(other, Calls::Aside);
            let read = tables.and_then(|tables| tables.records.get(digest.as_bytes()));
            if self.core.minded(&engine, read)?.is_some() {
                return Ok(Found::Missing(Reason::Outdated));
            }
        }
        Ok(Found::Missing(Reason::Absent))
    }

    /// A payload to be encoded into, for `put`.
    pub(crate) fn draft<'a>(&'a self, room: Option<&'a Path>, limit: u64, key_head: &'a [u8]) -> Draft<'a> {
        Draft::new(room, limit, &self.memo, key_head, &self.core.manner.faults)
    }

    /// The largest payload that can be stored at all.
    pub(crate) fn limit(&self, bounds: &Bounds) -> u64 {
        let of_store = self.core.max_bytes.unwrap_or(u64::MAX);
        bounds.max_bytes.unwrap_or(u64::MAX).min(of_store)
    }

    /// Puts an entry in and makes room for it. `false` when `claim` was revoked: then nothing was changed. What took
    /// long to compute is flushed, and so is what `flushed` asks for.
    pub(crate) fn put(
        &self,
        entry: &Entry<'_>,
        payload: Finished,
        bounds: &Bounds,
        claim: Option<&Claim<'_>>,
        flushed: bool,
    ) -> Result<bool> {
        let limit = self.limit(bounds);
        if payload.weight(&self.memo, entry.key_head) > limit {
            return Err(blob::oversize(limit));
        }
        let flushed = flushed || entry.compute_time > WORTH_A_FLUSH;
        // To be handed over is little beside a flush, and much beside a put without one.
        let calls = if flushed { Calls::Aside } else { Calls::Here };
        let is_large = matches!(&payload, Finished::Blob(blob) if blob.length >= BLOCK as u64);
        let (engine, put) = self.write(calls, |writer, place| {
            let before = [Some(place.memo), None].map(|name| (name, writer.ledger().tally(name)));
            for (name, before) in before {
                // Of what could not be made room for before there is no more to come.
                writer.evict(name, before)?;
            }
            let put = writer.put(place, entry, payload, claim)?;
            for (name, before) in before.into_iter().filter(|_| put) {
                writer.evict(name, before)?;
            }
            Ok(put)
        })?;
        if put && flushed {
            self.core.flush_engine(engine)?;
        }
        if put && is_large {
            // What it took the place of: little beside the writing of it, and nothing waits for the tidying thread that
            // takes as much room again.
            self.core.unlink_rubbish();
        }
        Ok(put)
    }

    pub(crate) fn remove(&self, digest: &Digest) -> Result<bool> {
        let (engine, removed) = self.write(Calls::Aside, |writer, place| writer.remove(place, digest))?;
        self.core.flush_engine(engine)?;
        Ok(removed)
    }

    pub(crate) fn clear(&self) -> Result<()> {
        let (engine, _) = self.write(Calls::Aside, |writer, place| writer.clear(place.generation))?;
        self.core.flush_engine(engine)
    }

    /// Live entries and their bytes, within the bounds also when an unclean end left them uncounted.
    pub(crate) fn count(&self) -> Result<Tally> {
        self.core.recount(&self.memo)?;
        self.write(Calls::Aside, |writer, place| writer.count_live(place.generation)).map(|(_, tally)| tally)
    }

    /// What came of a change, and the number of the engine that it was made in.
    fn write<T>(
        &self,
        calls: Calls,
        change: impl FnOnce(&mut Writer<'_>, Place<'_>) -> Result<T>,
    ) -> Result<(u64, T)> {
        let mut writer = self.core.writer_by(calls)?;
        // Under the lock, where no engine takes the place of another.
        let engine = self.core.engine_number();
        let changed = change(&mut writer, self.place());
        writer.finish();
        changed.map(|changed| (engine, changed))
    }

    /// The memo was dropped: nobody owns its entries in memory and its flights any more.
    pub(crate) fn release(&self) {
        let Ok(mut writer) = self.core.writer() else { return };
        // That it was in use is only ever of use to an engine that works.
        let _ = writer.disown(self.generation, self.owner);
        writer.finish();
    }
}
