//! A closed store, read without LOCK, without the storage engine and without a thread: from the snapshot that the last host left.

use std::{collections::HashMap, path::Path};

use crate::{
    clock::Expiry,
    clock::Timestamp,
    key::Digest,
    record::Record,
    stats::Reason,
    store::{
        engine::Bytes,
        epochs::Epochs,
        generation::{Bounds, CatalogRow, GenerationId, IndexRow, Tally},
        manifest::{Found, Manifest},
        snapshot::Snapshot,
        worker::{Query, Registration, Wants},
    },
};

pub(super) struct ClosedStore {
    snapshot: Snapshot,
    /// The word of EPOCHS that a host raises before its first change.
    word: u64,
    generations: HashMap<GenerationId, CatalogRow>,
}

impl ClosedStore {
    /// `None` when the store is not closed, or has no snapshot, or a damaged one: then a host has to look at it.
    pub(super) fn open(path: &Path, epochs: &Epochs) -> Option<Self> {
        let word = epochs.snapshot();
        let Ok(Found::Whole(Manifest { closed: Some(closed), .. })) = Manifest::read(path) else {
            return None;
        };
        if closed.unrecovered {
            return None;
        }
        let snapshot = Snapshot::open(path, &closed.snapshot?).ok()?;
        let rows = snapshot.catalog().ok()?;
        let rows = rows.iter().filter(|(key, _)| **key != *IndexRow::KEY);
        let row = |key: &Bytes, value: &Bytes| {
            Some((GenerationId(<[u8; 16]>::try_from(&**key).ok()?), CatalogRow::decode(value)?))
        };
        let generations = rows.map(|(key, value)| row(key, value)).collect::<Option<_>>()?;
        let store = Self { snapshot, word, generations };
        store.is_current(epochs).then_some(store)
    }

    /// Whether no host has changed anything since. To be asked after a look.
    pub(super) fn is_current(&self, epochs: &Epochs) -> bool {
        epochs.snapshot() == self.word
    }

    /// The record of a key, or why there is none of use. `None` when a host has to look: for damage, or for a lead.
    pub(super) fn find(&self, query: &Query<'_>, now: Timestamp) -> Option<Result<Bytes, Reason>> {
        let found = self.look(query.memo, query.digest, query.expiry, now)?;
        match (&found, query.wants) {
            (_, Wants::Replacement(_) | Wants::Refresh(_)) | (Err(_), Wants::RecordOrLead) => None,
            _ => Some(found),
        }
    }

    fn look(
        &self,
        memo: &Registration,
        digest: &Digest,
        expiry: Expiry,
        now: Timestamp,
    ) -> Option<Result<Bytes, Reason>> {
        let own = self.generations.get(&memo.generation);
        let Some(bytes) =
            own.map_or(Ok(None), |row| self.snapshot.record(&row.number.record_key(digest))).ok()?
        else {
            let siblings = self
                .generations
                .iter()
                .filter(|(id, row)| **id != memo.generation && *row.name == *memo.memo);
            let mut elsewhere = siblings.map(|(_, row)| self.snapshot.record(&row.number.record_key(digest)));
            let is_outdated = elsewhere.any(|found| matches!(found, Ok(Some(_))));
            return Some(Err(if is_outdated { Reason::Outdated } else { Reason::Absent }));
        };
        let record = Record::decode(&bytes, digest)?;
        Some(if record.lifetime.is_over(now, expiry) { Err(Reason::Expired) } else { Ok(bytes) })
    }

    /// The names of all memos with their scopes.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.generations.values().map(|row| &row.name)
    }

    /// Whether a memo, or without a name the whole store, is within its bounds.
    pub(super) fn is_within(&self, name: Option<&str>, bounds: &Bounds) -> bool {
        let of_memo = self.generations.values().filter(|row| name.is_none_or(|name| *row.name == *name));
        let mut sum = Tally::default();
        of_memo.for_each(|row| sum.add(row.tally));
        !sum.exceeds(bounds.max_entries, bounds.max_bytes)
    }
}
