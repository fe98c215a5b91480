//! The writer: every change of what a store holds, one at a time.
//!
//! Two writers do not scale in sled (15 us a put with one thread, 22 us each with two), and a bound on the whole store
//! needs one account: so there is one lock a store, not one a memo. Payloads are encoded and written before it is
//! taken, flushes happen after it was given back.
//!
//! The order of steps is what survives a crash at any point:
//!
//! * *put*: the old blob out of sight, the row, the blob's name, the record, the old row.
//! * *evict, remove*: the blob out of sight, the record, the row.
//! * *clear*: the folder of blobs out of sight, the tables.
//!
//! And what keeps readers from undoing it: after the record changed or went, the claims of the key are revoked and the
//! memory tier forgets it, still under the lock. Whoever read before the change can no longer publish, whoever claims
//! after it reads the new state.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Lifetime,
    error::{Error, Result},
    flight::{Claim, Seat, flight},
    key::Digest,
    memory::Held,
    observe::Event,
    record::{BlobId, Body, Record},
    store::{
        blob::{self, Finished, Head},
        core::Core,
        engine::{Calls, Tables},
        ledger::{GenerationId, Gone, Ledger},
        order::{Account, OrderRow, Tally},
        turnstile::Inside,
    },
};

/// The writer lock, held.
pub(crate) struct Writer<'a> {
    pub(super) core: &'a Core,
    /// How it calls the engine.
    pub(super) calls: Calls,
    pub(super) ledger: Inside<'a, Ledger>,
    /// Gathered under the lock, dropped and told after it.
    pub(super) leaving: Leaving,
}

/// What must happen after the lock was given back.
#[derive(Default)]
pub(crate) struct Leaving {
    /// Values out of the memory tier: their drop is code of the user.
    pub(crate) values: Vec<Arc<Held>>,
    /// What each memo lost.
    pub(crate) left: Vec<(String, Left)>,
    /// Trouble that concerns no single call.
    pub(crate) errors: Vec<Error>,
}

/// How many entries of a memo left, and why.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Left {
    /// Because of a bound, fresh or not.
    pub(crate) for_room: u64,
    pub(crate) fresh: u64,
    pub(crate) expired: u64,
}

impl Left {
    pub(super) fn one(fresh: bool, for_room: bool) -> Self {
        Self { for_room: u64::from(for_room), fresh: u64::from(fresh), expired: u64::from(!fresh) }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.for_room += other.for_room;
        self.fresh += other.fresh;
        self.expired += other.expired;
    }

    /// As they are told.
    pub(crate) fn events(self, memo: &str) -> impl Iterator<Item = Event<'_>> {
        let evicted = (self.fresh > 0).then_some(Event::Evicted { memo, entries: self.fresh });
        let expired = (self.expired > 0).then_some(Event::Expired { memo, entries: self.expired });
        evicted.into_iter().chain(expired)
    }
}

/// Which generation, and who owns its entries in memory and in flight.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) generation: GenerationId,
    pub(crate) memo: &'a str,
    pub(crate) owner: Option<u64>,
}

/// What is put beside its payload.
pub(crate) struct Entry<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) key_head: &'a [u8],
    /// Counted from when it is put.
    pub(crate) ttl: Option<Duration>,
    pub(crate) compute_time: Duration,
}

impl Core {
    /// Waits for the writer lock, but not for ever. What it asks of the engine is not waited for for ever either.
    pub(crate) fn writer(&self) -> Result<Writer<'_>> {
        self.writer_by(Calls::Aside)
    }

    /// For what is made of very many calls, or must be quick.
    pub(crate) fn writer_by(&self, calls: Calls) -> Result<Writer<'_>> {
        // Before the lock: bringing the engine back takes it too.
        let _ = self.awake();
        Ok(Writer { core: self, calls, ledger: self.ledger()?, leaving: Leaving::default() })
    }
}

impl Writer<'_> {
    /// Gives the lock back, then does what must not happen under it.
    pub(crate) fn finish(self) {
        let core = self.core;
        core.settle(self.release());
    }

    /// Gives the lock back; what must not happen under it is left to the caller, who holds another.
    pub(crate) fn release(self) -> Leaving {
        let Self { core, calls: _, ledger, leaving } = self;
        // Under the lock: whoever finds them gone finds them counted.
        leaving.left.iter().for_each(|(memo, left)| core.counters_of(memo).evicted(left.for_room));
        drop(ledger);
        core.maintenance.stir();
        leaving
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Runs calls to the tables of a generation, and minds what they say of the engine.
    pub(super) fn with_tables<T>(
        &mut self,
        generation: GenerationId,
        call: impl FnOnce(&mut Self, &Tables) -> Result<T>,
    ) -> Result<T> {
        let engine = self.core.engine()?;
        let outcome = engine.tables(generation, self.calls).and_then(|tables| call(self, &tables));
        self.core.minded(&engine, outcome)
    }

    /// Puts an entry in, unless `claim` was revoked since it began: then what was computed is no longer wanted.
    pub(crate) fn put(
        &mut self,
        place: Place<'_>,
        entry: &Entry<'_>,
        payload: Finished,
        claim: Option<&Claim<'_>>,
    ) -> Result<bool> {
        if claim.is_some_and(|claim| !claim.is_current()) {
            return Ok(false);
        }
        self.with_tables(place.generation, |writer, tables| {
            let put = writer.replace(tables, place, entry, payload);
            writer.publish(place.owner, entry.digest, claim);
            put
        })?;
        Ok(true)
    }

    fn replace(
        &mut self,
        tables: &Tables,
        place: Place<'_>,
        entry: &Entry<'_>,
        payload: Finished,
    ) -> Result<()> {
        let before = tables.records.get(entry.digest.as_bytes())?;
        let old = before.as_deref().and_then(Record::decode);
        if let Some(old) = &old {
            self.hide_blob(place, &old.body)?;
        }
        let sequence = self.ledger.next_sequence();
        // Under the lock: entries are made in the order of their sequences.
        let lifetime = Lifetime::starting(self.core.clock.now(), entry.ttl);
        let record = |body| Record {
            sequence,
            lifetime,
            compute_time: entry.compute_time,
            key_head: entry.key_head,
            body,
        };
        let id = blob::random_id();
        let (bytes, extra) = match &payload {
            Finished::Inline(payload) => (record(Body::Inline(payload)).encode(), 0),
            Finished::Blob(blob) => (record(Body::Blob { id, length: blob.length }).encode(), blob.size()),
        };
        let size = bytes.len() as u64 + extra;
        let row = OrderRow { sequence, digest: *entry.digest, size, lifetime };
        tables.order.insert(&OrderRow::key(sequence), &row.encode())?;
        self.account(place.generation, |account| account.added(&row));
        let named = match payload {
            Finished::Blob(blob) => self.name_blob(blob, place, entry, &row, id),
            Finished::Inline(_) => Ok(()),
        };
        if named.is_err() {
            // A row that leads nowhere counts, and in time would push out an entry that is there.
            let _ = self.drop_row(tables, place, sequence, size);
        }
        named?;
        // If this fails, whether the record is there nobody knows: then a row too many is better than one too few.
        tables.records.insert(entry.digest.as_bytes(), &bytes)?;
        if let Some(old) = old {
            self.drop_row(tables, place, old.sequence, record_size(&old, before.as_deref(), place.memo))?;
        }
        Ok(())
    }

    fn name_blob(
        &self,
        blob: blob::Blob,
        place: Place<'_>,
        entry: &Entry<'_>,
        row: &OrderRow,
        id: BlobId,
    ) -> Result<()> {
        let head = Head {
            generation: place.generation.0,
            digest: *entry.digest,
            sequence: row.sequence,
            lifetime: row.lifetime,
            compute_time: entry.compute_time,
            length: blob.length,
            table_checksum: blob.table_checksum,
            memo: place.memo.to_owned(),
            key_head: entry.key_head.to_vec(),
        };
        let folder = self.core.path(&format!("blobs/{}", place.generation)).unwrap_or_default();
        blob.publish(&head, &folder, id)
    }

    /// The old blob leaves before anything newer is published, so that no rebuild can bring it back.
    fn hide_blob(&self, place: Place<'_>, body: &Body<'_>) -> Result<()> {
        if let (Body::Blob { id, .. }, Some(trash)) = (body, self.core.trash())
            && let Some(path) = self.core.path(&format!("blobs/{}/{id}", place.generation))
        {
            self.core.discard(blob::retire(&path, &trash)?);
        }
        Ok(())
    }

    pub(super) fn drop_row(
        &mut self,
        tables: &Tables,
        place: Place<'_>,
        sequence: u64,
        size: u64,
    ) -> Result<()> {
        tables.order.remove(&OrderRow::key(sequence))?;
        self.ledger.removed(place.generation, sequence, size);
        Ok(())
    }

    pub(super) fn account(&mut self, generation: GenerationId, change: impl FnOnce(&mut Account)) {
        if let Some(generation) = self.ledger.generations.get_mut(&generation) {
            change(&mut generation.account);
        }
    }

    /// From here on nobody can hand out or keep what the key meant before.
    pub(super) fn publish(&mut self, owner: Option<u64>, digest: &Digest, claim: Option<&Claim<'_>>) {
        let Some(owner) = owner else { return };
        flight().revoke(&Seat { owner, digest: *digest.as_bytes() }, claim);
        self.leaving.values.extend(self.core.memory.remove(owner, digest));
    }

    /// Whether there was a record. The memory tier forgets the key whatever happens on disk.
    pub(crate) fn remove(&mut self, place: Place<'_>, digest: &Digest) -> Result<bool> {
        if self.core.directory.is_none() {
            self.publish(place.owner, digest, None);
            return Ok(false);
        }
        let removed =
            self.with_tables(place.generation, |writer, tables| writer.take(tables, place, digest, None));
        self.publish(place.owner, digest, None);
        removed
    }

    /// Takes the record of `digest` out with its row; only the one that `row` means, if a row is given.
    pub(super) fn take(
        &mut self,
        tables: &Tables,
        place: Place<'_>,
        digest: &Digest,
        row: Option<&OrderRow>,
    ) -> Result<bool> {
        let Some(bytes) = tables.records.get(digest.as_bytes())? else { return Ok(false) };
        let record = Record::decode(&bytes);
        if let (Some(row), Some(record)) = (row, &record)
            && row.sequence != record.sequence
        {
            return Ok(false);
        }
        if let Some(record) = &record {
            self.hide_blob(place, &record.body)?;
        }
        tables.records.remove(digest.as_bytes())?;
        match (row, &record) {
            (Some(row), _) => self.drop_row(tables, place, row.sequence, row.size)?,
            (None, Some(record)) => {
                self.drop_row(tables, place, record.sequence, record_size(record, Some(&bytes), place.memo))?;
            }
            // Its row is found to lead nowhere when its turn comes. Which one that is nobody knows.
            (None, None) => self.ledger.note(Gone::All(place.generation)),
        }
        Ok(true)
    }

    /// Empties a generation: one rename and two dropped tables, at any size.
    pub(crate) fn clear(&mut self, generation: GenerationId) -> Result<Tally> {
        let owner = self.ledger.generations.get(&generation).and_then(|found| found.owner);
        let cleared = self.drop_tables(generation);
        if let Some(owner) = owner {
            flight().revoke_owner(owner);
            self.leaving.values.extend(self.core.memory.remove_owner(owner));
        }
        let tally = cleared?;
        self.account(generation, |account| *account = Account::new(Some(Tally::default()), false));
        Ok(tally)
    }

    fn drop_tables(&mut self, generation: GenerationId) -> Result<Tally> {
        if self.core.directory.is_none() {
            return Ok(Tally::default());
        }
        let engine = self.core.engine()?;
        // First: a clear that fails half way counts as one.
        self.ledger.note(Gone::All(generation));
        if let (Some(folder), Some(trash)) =
            (self.core.path(&format!("blobs/{generation}")), self.core.trash())
        {
            self.core.discard(blob::retire_folder(&folder, &trash)?);
        }
        self.core.minded(&engine, engine.drop_tables(generation, self.calls))?;
        // It is cleared, whatever becomes of what is left of it.
        let _ = self.core.minded(&engine, engine.forget_dropped());
        let found = self.ledger.generations.get(&generation);
        Ok(found.and_then(|found| found.account.tally()).unwrap_or_default())
    }

    /// Whether the record that a blob claims to belong to means this very blob.
    pub(crate) fn owns_blob(&mut self, head: &Head, id: BlobId) -> Result<bool> {
        let generation = GenerationId(head.generation);
        if !self.ledger.generations.contains_key(&generation) {
            return Ok(false);
        }
        let bytes = self.with_tables(generation, |_, tables| tables.records.get(head.digest.as_bytes()))?;
        let record = bytes.as_deref().and_then(Record::decode);
        Ok(record.is_some_and(|record| matches!(record.body, Body::Blob { id: named, .. } if named == id)))
    }
}

/// What an entry weighs: its record, and its blob.
fn record_size(record: &Record<'_>, bytes: Option<&[u8]>, memo: &str) -> u64 {
    let blob = match record.body {
        Body::Inline(_) => 0,
        Body::Blob { length, .. } => blob::size(memo, record.key_head, length),
    };
    bytes.map_or(0, <[u8]>::len) as u64 + blob
}
