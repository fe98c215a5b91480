//! Changes: each applied by the worker, in an order of steps that survives a crash at any point.
//!
//! * *put*: the old payload file out of sight, the row, the payload file's name, the record, the old row.
//! * *evict, remove*: the payload file out of sight, the record, the row.
//! * *clear*: the folder of payload files out of sight, the catalog row with another number.
//!
//! After the record changed or went, the claims of the key are revoked, and memory tier and pending values forget it: here
//! where an entry leaves for room, else by the worker. A reader that looked before the change can no longer publish, and a reader that claims after it finds the new state.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{
    directory::{Directory, Place},
    index::Index,
    ledger::Ledger,
    order::OrderRow,
    request::{ListPut, Put, Registration, Replaced, record_size},
};
use crate::{
    clock::{Lifetime, Timestamp},
    error::{Error, ErrorKind, Result},
    key::Digest,
    record::{BlobId, Body, Record},
    store::{
        blob::{self, Finished, Head},
        forgetting::Forgetting,
        generation::{GenerationId, IndexRow, Number, Tally},
        pending::PendingValue,
        session::{Left, Session, Untold},
    },
    variants::Variants,
};

/// So many sequences are given between two changes of the limit in the catalog.
pub(super) const SEQUENCE_STEP: u64 = 1 << 20;

/// Hand-overs that are this close to each other count as made at the same time.
const HAND_OVER: Duration = Duration::from_secs(1);

/// Everything that a change is applied to.
pub(super) struct Transaction<'a> {
    pub(super) directory: &'a Directory,
    pub(super) session: &'a Session,
    pub(super) index: &'a Index,
    pub(super) ledger: &'a mut Ledger,
}

/// An entry to be put in.
struct NewEntry<'a> {
    digest: &'a Digest,
    key_head: &'a [u8],
    value: &'a PendingValue,
    /// Whether a list names it.
    is_variant: bool,
}

/// The generation that a change concerns.
#[derive(Clone)]
pub(super) struct Scope {
    pub(super) generation: GenerationId,
    pub(super) number: Number,
    /// The name of its memo.
    pub(super) name: Arc<str>,
    /// Of the memo that has it open: the owner of its entries in memory and of its claims.
    pub(super) owner: Option<u64>,
}

impl Transaction<'_> {
    /// `None` for a generation that the ledger does not know.
    pub(super) fn scope(&self, id: GenerationId) -> Option<Scope> {
        let found = self.ledger.get(id)?;
        let (name, owner) = match &found.memo {
            Some(memo) => (Arc::clone(&memo.memo), Some(memo.owner)),
            None => (found.row.name.as_str().into(), None),
        };
        Some(Scope { generation: id, number: found.row.number, name, owner })
    }

    pub(super) fn scope_of(memo: &Registration) -> Scope {
        let (name, owner) = (Arc::clone(&memo.memo), Some(memo.owner));
        Scope { generation: memo.generation, number: memo.number(), name, owner }
    }

    /// Puts an entry in and makes room for it, and the list that names it. While the oldest entries cannot leave, nothing comes in.
    pub(super) fn put(&mut self, put: &Put) -> Result<Replaced> {
        let scope = Self::scope_of(&put.memo);
        if scope.number == Number::default() {
            return Err(Error::new(ErrorKind::Engine, "the index does not know the memo yet"));
        }
        let before = [Some(&*scope.name), None].map(|name| (name, self.ledger.tally(name)));
        before.iter().try_for_each(|(name, before)| self.evict(*name, *before).map(drop))?;
        let Put { digest, key_head, value, .. } = put;
        let entry = NewEntry { digest, key_head, value, is_variant: put.list.is_some() };
        let mut replaced = Replaced { value: self.replace(&scope, &entry)?, list: false };
        if let Some(ListPut { key, value }) = put.list.as_deref() {
            let list = NewEntry { digest: key, key_head: &[], value, is_variant: false };
            replaced.list = self.replace(&scope, &list)?;
        }
        self.directory.evicted.forget(scope.number, digest);
        before.iter().try_for_each(|(name, before)| self.evict(*name, *before).map(drop))?;
        Ok(replaced)
    }

    /// Whether it took the place of another one.
    fn replace(&mut self, scope: &Scope, entry: &NewEntry<'_>) -> Result<bool> {
        let NewEntry { digest, key_head, value, .. } = *entry;
        let before = self.index.record(scope.number, digest)?;
        let old = before.as_deref().and_then(|bytes| Record::decode(bytes, digest));
        if let Some(old) = &old {
            self.hide_blob(scope, &old.body)?;
        }
        let sequence = self.next_sequence()?;
        let lifetime = self.lifetime(scope.generation, value.lifetime);
        let id = blob_id(&value.payload);
        let (body, blob_size) = match &value.payload {
            Finished::Inline(payload) => (Body::Inline(payload), 0),
            Finished::Blob(blob) => (Body::Blob { id, length: blob.length }, blob.size()),
            Finished::Variants(list) => (Body::Variants(list), 0),
        };
        let record = Record { sequence, lifetime, compute_time: value.compute_time, key_head, body };
        let bytes = record.encode(digest);
        let size = bytes.len() as u64 + blob_size;
        let is_list = matches!(body, Body::Variants(_));
        let row = OrderRow { sequence, digest: *digest, size, lifetime, is_list };
        self.index.insert_row(scope.number, &row)?;
        self.ledger.added(scope.generation, &row);
        if let (Finished::Blob(blob), Some(place)) = (&value.payload, &self.directory.place)
            && let Err(error) = name_blob(place, blob, scope, entry, &row, id)
        {
            // A row that leads nowhere counts, and in time would push out an entry that is there.
            let _ = self.drop_row(scope, sequence, row.tally());
            return Err(error);
        }
        if let Some(old) = &old {
            self.drop_variants(scope, digest, &old.body, Some(&body))?;
        }
        // If this fails, the record may be there or not: a row too many is better than one too few.
        self.index.insert_record(scope.number, digest, &bytes)?;
        if let (Some(old), Some(before)) = (old, &before) {
            self.drop_row(scope, old.sequence, record_tally(&old, before.len(), &scope.name))?;
            // A list takes the place of one that it contains: nothing that was read by the old one is wrong.
            return Ok(!(is_list && matches!(old.body, Body::Variants(_))));
        }
        Ok(before.is_some())
    }

    /// That of the hand-over. Callers that hand over at the same time may do so in another order than that of their
    /// times: entries are made in the order of their sequences all the same, so that they expire in that order.
    fn lifetime(&self, id: GenerationId, lifetime: Lifetime) -> Lifetime {
        let latest = self.ledger.get(id).map(|found| found.account.latest()).unwrap_or_default();
        let created = lifetime.created;
        if created < latest && latest.since(created) <= HAND_OVER {
            return Lifetime { created: latest, ..lifetime };
        }
        lifetime
    }

    fn next_sequence(&mut self) -> Result<u64> {
        let sequence = self.ledger.next_sequence();
        if sequence > self.ledger.index_row.sequence_limit {
            let sequence_limit = sequence + SEQUENCE_STEP;
            self.write_index_row(IndexRow { sequence_limit, ..self.ledger.index_row.clone() })?;
        }
        Ok(sequence)
    }

    /// The counters so far are written with it.
    pub(super) fn write_index_row(&mut self, row: IndexRow) -> Result<()> {
        let row = IndexRow { totals: self.ledger.totals(self.session), ..row };
        self.index.write_index_row(&row)?;
        self.ledger.index_row = row;
        Ok(())
    }

    /// Writes the counters down, unless nothing else was written: a run that only reads leaves the files alone.
    pub(super) fn write_totals(&mut self) -> Result<()> {
        if !self.index.engine.was_written() {
            return Ok(());
        }
        self.write_index_row(self.ledger.index_row.clone())
    }

    /// The old payload file leaves before anything newer is published, so that no rebuild can bring it back.
    fn hide_blob(&self, scope: &Scope, body: &Body<'_>) -> Result<()> {
        if let (Body::Blob { id, .. }, Some(place)) = (body, &self.directory.place) {
            let path = place.blobs_of(scope.generation).join(id.to_string());
            self.directory.janitor.queue_unlink(blob::move_to_trash(&path, place.trash())?);
        }
        Ok(())
    }

    pub(super) fn drop_row(&mut self, scope: &Scope, sequence: u64, tally: Tally) -> Result<()> {
        self.index.remove_row(scope.number, sequence)?;
        self.ledger.removed(scope.generation, sequence, tally);
        Ok(())
    }

    /// The values of variants leave with the list that names them, unless the new one names them too. Nothing leads to them any
    /// more, in any process.
    fn drop_variants(
        &mut self,
        scope: &Scope,
        key: &Digest,
        old: &Body<'_>,
        new: Option<&Body<'_>>,
    ) -> Result<()> {
        let Some(old) = variants(old) else { return Ok(()) };
        let kept: HashSet<Digest> =
            new.and_then(variants).iter().flat_map(|list| list.digests(key)).collect();
        for digest in old.digests(key).filter(|digest| !kept.contains(digest)) {
            self.take(scope, &digest, None)?;
            let memory = Forgetting { pending: None, session: self.session };
            memory.forget(scope.owner, &digest);
        }
        Ok(())
    }

    /// Whether the entry was fresh.
    pub(super) fn remove(&mut self, memo: &Registration, digest: &Digest) -> Result<bool> {
        let scope = Self::scope_of(memo);
        let is_fresh = self.is_fresh(&scope, digest)?;
        self.directory.evicted.forget(scope.number, digest);
        self.take(&scope, digest, None)?;
        Ok(is_fresh)
    }

    /// Whether the entry is gone: it stays if it was created at `unless_since` or later.
    pub(super) fn remove_of(
        &mut self,
        generation: GenerationId,
        digest: &Digest,
        unless_since: Option<Timestamp>,
    ) -> Result<bool> {
        let Some(scope) = self.scope(generation).filter(|scope| scope.number != Number::default()) else {
            return Ok(true);
        };
        if let Some(since) = unless_since {
            let bytes = self.index.record(scope.number, digest)?;
            let record = bytes.as_deref().and_then(|bytes| Record::decode(bytes, digest));
            if record.is_some_and(|record| record.lifetime.created >= since) {
                return Ok(false);
            }
        }
        self.directory.evicted.forget(scope.number, digest);
        self.take(&scope, digest, None)?;
        Ok(true)
    }

    fn is_fresh(&self, scope: &Scope, digest: &Digest) -> Result<bool> {
        let bytes = self.index.record(scope.number, digest)?;
        let record = bytes.as_deref().and_then(|bytes| Record::decode(bytes, digest));
        let lifetime = record.map(|record| record.lifetime);
        let expiry = self.ledger.expiry_of(scope.generation).without_stale();
        Ok(lifetime.is_some_and(|lifetime| !lifetime.is_over(self.session.clock.now(), expiry)))
    }

    /// Takes the record of `digest` out with its row; only the one that `row` means, if a row is given.
    pub(super) fn take(&mut self, scope: &Scope, digest: &Digest, row: Option<&OrderRow>) -> Result<bool> {
        let Some(bytes) = self.index.record(scope.number, digest)? else { return Ok(false) };
        let record = Record::decode(&bytes, digest);
        if let (Some(row), Some(record)) = (row, &record)
            && row.sequence != record.sequence
        {
            return Ok(false);
        }
        if let Some(record) = &record {
            self.hide_blob(scope, &record.body)?;
        }
        if let Some(record) = &record {
            self.drop_variants(scope, digest, &record.body, None)?;
        }
        self.index.remove_record(scope.number, digest)?;
        match (row, &record) {
            (Some(row), _) => self.drop_row(scope, row.sequence, row.tally())?,
            (None, Some(record)) => {
                self.drop_row(scope, record.sequence, record_tally(record, bytes.len(), &scope.name))?;
            }
            // Which row was its own is not known. It is found to lead nowhere when its turn comes.
            (None, None) => {}
        }
        Ok(true)
    }

    /// Counts an entry that left, for its memo and for the observers.
    pub(super) fn count_left(&self, name: &Arc<str>, left: Left) {
        self.session.counters_of(name).evicted(left.for_room);
        self.session.note(Untold::Left(Arc::clone(name), left));
    }
}

/// The list in the record of a key that has variants.
fn variants(body: &Body<'_>) -> Option<Variants> {
    if let Body::Variants(list) = body { Variants::decode(list) } else { None }
}

/// What the entry of a record counts.
fn record_tally(record: &Record<'_>, length: usize, memo: &str) -> Tally {
    Tally::of(record_size(record, length, memo), matches!(record.body, Body::Variants(_)))
}

/// A random name, where one is needed.
fn blob_id(payload: &Finished) -> BlobId {
    match payload {
        Finished::Inline(_) | Finished::Variants(_) => BlobId([0; 16]),
        Finished::Blob(_) => blob::random_id(),
    }
}

fn name_blob(
    place: &Place,
    blob: &blob::Blob,
    scope: &Scope,
    entry: &NewEntry<'_>,
    row: &OrderRow,
    id: BlobId,
) -> Result<()> {
    let head = Head {
        generation: scope.generation.0,
        digest: row.digest,
        sequence: row.sequence,
        lifetime: row.lifetime,
        compute_time: entry.value.compute_time,
        length: blob.length,
        table_checksum: blob.table_checksum,
        memo: scope.name.to_string(),
        key_head: entry.key_head.to_vec(),
        is_variant: entry.is_variant,
    };
    blob.publish(&head, &place.blobs_of(scope.generation), id)
}
