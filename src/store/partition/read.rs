//! Reads of a memo's entries, on the thread of the caller: values on their way to the index, records, payload files.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{Contained, Found, FoundVariants, Item, Partition, RefreshTurn};
use crate::{
    clock::{Expiry, Lifetime},
    codec::Payload,
    context::Caller,
    error::{Error, ErrorKind, Result},
    flight::{Claim, RemoteClaim},
    key::Digest,
    record::{BlobId, Body, Record},
    stats::Reason,
    store::{
        blob::{self, Expected, Finished},
        engine::{Bytes, Engine},
        generation::Number,
        worker::{Directory, LookedUp, Query, Request, Wants},
    },
};

/// What another process found, and the lead of the key if it granted that.
type FoundElsewhere = (Found, Option<Box<dyn RemoteClaim>>);

/// What was found for another process.
pub(crate) enum FoundRecord {
    Record(Bytes),
    Missing(Reason),
    /// The worker has to apply first what was handed over before.
    NotYet,
}

impl Partition {
    /// Whether hand-overs of this thread may push out the entry of a key: it made the last one, of another key, a bound
    /// holds, and the worker has not applied it. A look that began then and found something waits for the worker, and looks
    /// again.
    pub(crate) fn may_leave(&self, digest: &Digest) -> bool {
        let Some(directory) = &self.directory else { return false };
        let key = self.memo.flight_key(digest);
        self.memo.hand_overs.may_push_out(&key) || directory.hand_overs.may_push_out(&key)
    }

    /// The same for a look whose key is not known yet: whether some entry may be pushed out.
    pub(crate) fn may_push_out(&self) -> bool {
        let of_directory = |directory: &Arc<Directory>| {
            self.memo.hand_overs.may_push_out_any() || directory.hand_overs.may_push_out_any()
        };
        self.directory.as_ref().is_some_and(of_directory)
    }

    /// The entry of `digest`, if it is of use under today's `expiry` and whole. A value that was handed over and is not in the
    /// index yet is found too.
    pub(crate) fn read(&self, digest: &Digest, expiry: Expiry) -> Result<Found> {
        let Some(directory) = &self.directory else { return Ok(Found::Missing(Reason::Absent)) };
        let may_leave = self.may_leave(digest);
        let found = self.look(directory, digest, expiry)?;
        if may_leave && matches!(found, Found::Item(_)) {
            directory.catch_up();
            return self.look(directory, digest, expiry);
        }
        Ok(found)
    }

    /// The entry of `digest`, if it is of use and its payload is no longer than `most`. `None` also where another process hosts the
    /// store. A longer payload is not touched.
    pub(crate) fn read_small(&self, digest: &Digest, expiry: Expiry, most: u64) -> Result<Option<Item>> {
        let Some(directory) = self.directory.as_ref().filter(|_| !self.is_guest()) else { return Ok(None) };
        let found = match directory.pending.get(&self.memo.flight_key(digest)) {
            // The worker may hold a payload file that is on its way.
            Some(value) if matches!(value.payload, Finished::Blob(_)) => return Ok(None),
            Some(_) => self.pending(directory, digest, expiry)?,
            None => {
                let engine = directory.running()?;
                let bytes = record(directory, &engine, self.memo.number(), digest)?;
                let is_small = |bytes: &Bytes| {
                    Record::decode(bytes, digest).is_none_or(|record| record.payload_size() <= most)
                };
                let Some(bytes) = bytes.filter(is_small) else { return Ok(None) };
                self.follow(directory, digest, expiry, bytes)?
            }
        };
        Ok(match found {
            Some(Found::Item(item)) if item.payload.size() as u64 <= most => Some(item),
            _ => None,
        })
    }

    /// Whether a look on disk would find no payload longer than `most`, and none whose file is being made.
    pub(crate) fn is_small(&self, digest: &Digest, most: u64) -> bool {
        let Some(directory) = &self.directory else { return true };
        if let Some(value) = directory.pending.get(&self.memo.flight_key(digest)) {
            return match &value.payload {
                Finished::Inline(payload) => payload.len() as u64 <= most,
                Finished::Variants(_) => true,
                Finished::Blob(_) => false,
            };
        }
        let found =
            directory.running().and_then(|engine| record(directory, &engine, self.memo.number(), digest));
        let Ok(Some(bytes)) = found else { return true };
        Record::decode(&bytes, digest).is_none_or(|record| record.payload_size() <= most)
    }

    fn look(&self, directory: &Directory, digest: &Digest, expiry: Expiry) -> Result<Found> {
        let asker = (Caller::of_thread(), self.session.max_wait);
        if directory.sharing.host().is_some()
            && let Some((found, _)) = self.look_elsewhere(directory, digest, asker, expiry, Wants::Record)?
        {
            return Ok(found);
        }
        match self.pending(directory, digest, expiry)? {
            Some(found) => Ok(found),
            None => self.in_index(directory, digest, expiry),
        }
    }

    /// As [`read`](Self::read), and if there is nothing the lead of the key is asked for, where another process hosts the store.
    /// The record of the sequence `refused` is of no use to the caller. `None` when this process took the store over meanwhile:
    /// the call begins anew.
    pub(crate) fn read_or_lead(
        &self,
        digest: &Digest,
        expiry: Expiry,
        claim: &mut Claim<'static>,
        refused: Option<u64>,
    ) -> Result<Option<Found>> {
        let Some(directory) = self.directory.as_ref().filter(|_| self.is_guest()) else {
            return self.read(digest, expiry).map(Some);
        };
        let wants = refused.map_or(Wants::RecordOrLead, Wants::Replacement);
        let max_wait = if claim.has_taken_over() { Duration::ZERO } else { self.session.max_wait };
        let asker = (claim.caller(), max_wait);
        let looked_up = self.look_elsewhere(directory, digest, asker, expiry, wants)?;
        Ok(looked_up.map(|(found, lead)| {
            if let Some(lead) = lead {
                claim.attach(lead);
            }
            found
        }))
    }

    /// Asks for the right to refresh a key whose record is stale, where another process hosts the store. In the host the claim is
    /// that right.
    pub(crate) fn lead_refresh(
        &self,
        digest: &Digest,
        expiry: Expiry,
        claim: &mut Claim<'static>,
        stale: u64,
    ) -> Result<RefreshTurn> {
        let Some(directory) = &self.directory else { return Ok(RefreshTurn::Lead) };
        let Some(host) = directory.sharing.host() else {
            // Words were noted while it was not the host.
            return Ok(if claim.noted().is_none() { RefreshTurn::Lead } else { RefreshTurn::Here });
        };
        let (wants, max_wait) = (Wants::Refresh(stale), self.session.max_wait);
        match host.look_up(&Query {
            memo: &self.memo,
            digest,
            caller: claim.caller(),
            expiry,
            wants,
            max_wait,
        })? {
            LookedUp::Lead(_, lead) => {
                claim.attach(lead);
                Ok(RefreshTurn::Lead)
            }
            LookedUp::Led | LookedUp::Missing(_) => Ok(RefreshTurn::Led),
            LookedUp::Here => Ok(RefreshTurn::Here),
            LookedUp::Record(bytes) => {
                let found = self.follow(directory, digest, expiry, bytes)?;
                Ok(found.map_or(RefreshTurn::Led, RefreshTurn::Newer))
            }
        }
    }

    /// Looks a key up in the process that hosts the store. `None` when that is this one by now.
    fn look_elsewhere(
        &self,
        directory: &Directory,
        digest: &Digest,
        (caller, max_wait): (Caller, Duration),
        expiry: Expiry,
        mut wants: Wants,
    ) -> Result<Option<FoundElsewhere>> {
        let mut gone = None;
        loop {
            let Some(host) = directory.sharing.host() else { return Ok(None) };
            let query = Query { memo: &self.memo, digest, caller, expiry, wants, max_wait };
            let bytes = match host.look_up(&query)? {
                LookedUp::Record(bytes) => bytes,
                LookedUp::Missing(reason) => return Ok(Some((Found::Missing(reason), None))),
                LookedUp::Lead(reason, lead) => return Ok(Some((Found::Missing(reason), Some(lead)))),
                LookedUp::Here | LookedUp::Led => return Ok(None),
            };
            let sequence = Record::decode(&bytes, digest).map(|record| record.sequence);
            let found = match self.follow(directory, digest, expiry, bytes)? {
                Some(found @ (Found::Item(_) | Found::Variants(_))) => return Ok(Some((found, None))),
                // Damaged, or over for this process alone: it knows of its jitter.
                Some(useless) => useless,
                // The entry was replaced or left between the answer and the look at its payload file.
                None if gone != Some(sequence) => {
                    gone = Some(sequence);
                    continue;
                }
                None => Found::Damaged(missing_payload()),
            };
            match (sequence, wants) {
                (Some(sequence), Wants::RecordOrLead | Wants::Replacement(_)) => {
                    wants = Wants::Replacement(sequence);
                }
                _ => return Ok(Some((found, None))),
            }
        }
    }

    /// The record of a key for another process, which follows it to its payload and judges it. One of a value that is on its
    /// way to the index has no sequence. Nothing here waits for the worker.
    pub(crate) fn find_record(&self, digest: &Digest, expiry: Expiry) -> Result<FoundRecord> {
        let Some(directory) = &self.directory else { return Ok(FoundRecord::Missing(Reason::Absent)) };
        if self.may_leave(digest) {
            return Ok(FoundRecord::NotYet);
        }
        let is_over = |lifetime: Lifetime| lifetime.is_over(self.session.clock.now(), expiry);
        if let Some(value) = directory.pending.get(&self.memo.flight_key(digest)) {
            return Ok(match &value.payload {
                _ if is_over(value.lifetime) => FoundRecord::Missing(Reason::Expired),
                Finished::Inline(payload) | Finished::Variants(payload) => {
                    let (lifetime, compute_time) = (value.lifetime, value.compute_time);
                    let is_list = matches!(value.payload, Finished::Variants(_));
                    let body = if is_list { Body::Variants(payload) } else { Body::Inline(payload) };
                    let record = Record { sequence: 0, lifetime, compute_time, key_head: &[], body };
                    FoundRecord::Record(record.encode(digest).into())
                }
                // Its file has no name yet.
                Finished::Blob(_) => FoundRecord::NotYet,
            });
        }
        let engine = directory.running()?;
        let Some(bytes) = record(directory, &engine, self.memo.number(), digest)? else {
            return self.missing(directory, &engine, digest).map(|found| match found {
                Found::Missing(reason) => FoundRecord::Missing(reason),
                _ => FoundRecord::Missing(Reason::Absent),
            });
        };
        let lifetime = Record::decode(&bytes, digest).map(|record| record.lifetime);
        Ok(if lifetime.is_some_and(is_over) {
            FoundRecord::Missing(Reason::Expired)
        } else {
            FoundRecord::Record(bytes)
        })
    }

    fn in_index(&self, directory: &Directory, digest: &Digest, expiry: Expiry) -> Result<Found> {
        let engine = directory.reader()?;
        let number = self.memo.number();
        for _ in 0..2 {
            let Some(bytes) = record(directory, &engine, number, digest)? else {
                return self.missing(directory, &engine, digest);
            };
            if let Some(found) = self.follow(directory, digest, expiry, bytes)? {
                return Ok(found);
            }
            // A payload file that is gone may have been replaced between the two reads.
        }
        drop(engine);
        self.ask_worker(directory, digest, expiry)
    }

    /// The outcome for a value that is on its way to the index.
    pub(super) fn pending(
        &self,
        directory: &Directory,
        digest: &Digest,
        expiry: Expiry,
    ) -> Result<Option<Found>> {
        let Some(value) = directory.pending.get(&self.memo.flight_key(digest)) else { return Ok(None) };
        let (lifetime, compute_time) = (value.lifetime, value.compute_time);
        let now = self.session.clock.now();
        if lifetime.is_over(now, expiry) {
            return Ok(Some(Found::Missing(Reason::Expired)));
        }
        if let Finished::Variants(list) = &value.payload {
            return Ok(Some(found_variants(list, lifetime)));
        }
        let payload = value.payload.payload()?;
        Ok(Some(Found::Item(Item { payload, file: None, lifetime, compute_time, sequence: 0, now })))
    }

    /// The worker replaces a payload file by hiding the old one first and naming the new one later. Its own look falls
    /// between two changes: a file is missing when the same record leads to it at two of them.
    fn ask_worker(&self, directory: &Directory, digest: &Digest, expiry: Expiry) -> Result<Found> {
        let mut before: Option<Bytes> = None;
        loop {
            let (memo, digest) = (Arc::clone(&self.memo), *digest);
            let Some(bytes) = directory.ask(|reply| Request::Read { memo, digest, reply })? else {
                return Ok(Found::Missing(Reason::Absent));
            };
            if before.is_some_and(|before| *before == *bytes) {
                return Ok(Found::Damaged(missing_payload()));
            }
            before = Some(bytes.clone());
            if let Some(found) = self.follow(directory, &digest, expiry, bytes)? {
                return Ok(found);
            }
        }
    }

    /// The value that a record leads to. `None` when its payload file is gone.
    fn follow(
        &self,
        directory: &Directory,
        digest: &Digest,
        expiry: Expiry,
        bytes: Bytes,
    ) -> Result<Option<Found>> {
        let Some(record) = Record::decode(&bytes, digest) else {
            return Ok(Some(Found::Damaged(Error::new(
                ErrorKind::Corrupt,
                "the record of an entry is damaged",
            ))));
        };
        let now = self.session.clock.now();
        if record.lifetime.is_over(now, expiry) {
            return Ok(Some(Found::Missing(Reason::Expired)));
        }
        let Record { sequence, lifetime, compute_time, .. } = record;
        let item = |payload, file| {
            Ok(Some(Found::Item(Item { payload, file, lifetime, compute_time, sequence, now })))
        };
        match record.body {
            Body::Inline(_) => {
                let range = Record::inline_range(record.key_head, bytes.len());
                item(Payload::new(bytes, range), None)
            }
            Body::Variants(list) => Ok(Some(found_variants(list, lifetime))),
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
        let places = directory.place.iter().flat_map(|place| place.blob(self.memo.generation, id));
        for path in places {
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
    pub(crate) fn contains(&self, digest: &Digest, expiry: Expiry) -> Result<Contained> {
        let Some(directory) = &self.directory else { return Ok(Contained::No) };
        let may_leave = self.may_leave(digest);
        let is_there = self.has_fresh(directory, digest, expiry)?;
        if may_leave && is_there != Contained::No {
            directory.catch_up();
            return self.has_fresh(directory, digest, expiry);
        }
        Ok(is_there)
    }

    fn has_fresh(&self, directory: &Directory, digest: &Digest, expiry: Expiry) -> Result<Contained> {
        let judge =
            |lifetime: Lifetime, is_list: bool| match lifetime.is_over(self.session.clock.now(), expiry) {
                true => Contained::No,
                false if is_list => Contained::Variants,
                false => Contained::Yes,
            };
        let judge_record =
            |record: Record<'_>| judge(record.lifetime, matches!(record.body, Body::Variants(_)));
        if let Some(host) = directory.sharing.host() {
            let max_wait = self.session.max_wait;
            let (caller, wants) = (Caller::of_thread(), Wants::Record);
            let query = Query { memo: &self.memo, digest, caller, expiry, wants, max_wait };
            match host.look_up(&query)? {
                LookedUp::Record(bytes) => {
                    let record = Record::decode(&bytes, digest);
                    return Ok(record.map_or(Contained::Yes, judge_record));
                }
                LookedUp::Missing(_) | LookedUp::Lead(..) | LookedUp::Led => return Ok(Contained::No),
                LookedUp::Here => {}
            }
        }
        if let Some(value) = directory.pending.get(&self.memo.flight_key(digest)) {
            return Ok(judge(value.lifetime, matches!(value.payload, Finished::Variants(_))));
        }
        let bytes = record(directory, &directory.reader()?, self.memo.number(), digest)?;
        let record = bytes.as_deref().and_then(|bytes| Record::decode(bytes, digest));
        Ok(record.map_or(Contained::No, judge_record))
    }

    /// Has the rest of a payload verified by the janitor.
    pub(crate) fn verify_later(&self, item: &Item, tell: impl FnOnce(Error) + Send + 'static) {
        if let (Some(file), Some(directory)) = (&item.file, &self.directory) {
            directory.unverified.verify_later(&directory.janitor, file, &item.payload, tell);
        }
    }
}

/// The list of a key's variants.
fn found_variants(list: &[u8], lifetime: Lifetime) -> Found {
    let damaged = || Error::new(ErrorKind::Corrupt, "the variant list of a key is damaged");
    let found = FoundVariants::of(list, lifetime);
    found.map_or_else(|| Found::Damaged(damaged()), |found| Found::Variants(Box::new(found)))
}

pub(super) fn record(
    directory: &Directory,
    engine: &Arc<Engine>,
    number: Number,
    digest: &Digest,
) -> Result<Option<Bytes>> {
    directory.observe(engine, engine.records.get(&number.record_key(digest)))
}

fn missing_payload() -> Error {
    Error::new(ErrorKind::Corrupt, "the payload file of an entry is missing")
}
