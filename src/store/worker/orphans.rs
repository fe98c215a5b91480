//! Orphans: payload files that no record means. A crash leaves one between a file's name and its record, and an index that
//! was given up leaves those that only it knew. Only the worker judges them: no change is under way while it does.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{directory::Place, transaction::Transaction};
use crate::{
    error::Result,
    record::{BlobId, Body, Record},
    store::{
        blob::{self, Head},
        generation::{GenerationId, Tally},
    },
};

/// The number of files that are looked at in one stretch: about half a millisecond.
pub(super) const FILES: usize = 64;

impl Transaction<'_> {
    /// Moves the files out of sight that no record means.
    pub(super) fn retire_orphans(
        &mut self,
        place: &Place,
        files: Vec<Result<(PathBuf, BlobId)>>,
    ) -> Result<Tally> {
        let mut retired = Tally::default();
        for found in files {
            let (path, id) = found?;
            if let Some(bytes) = self.retire_orphan(place, &path, id)? {
                retired.add(Tally::one(bytes));
            }
        }
        Ok(retired)
    }

    /// The size of the file, if it was one.
    fn retire_orphan(&mut self, place: &Place, path: &Path, id: BlobId) -> Result<Option<u64>> {
        let is_known = match Head::read(path) {
            Ok(head) => self.owns_blob(&head, id)?,
            Err(error) if error.is_corrupt() => false,
            // It is gone meanwhile, or not readable: it is not judged.
            Err(_) => true,
        };
        if is_known {
            return Ok(None);
        }
        let size = fs::metadata(path).map_or(0, |found| found.len());
        match blob::move_to_trash(path, place.trash()) {
            Ok(retired) => {
                self.directory.janitor.queue_unlink(retired);
                Ok(Some(size))
            }
            // It is in no one's way: the others are looked at all the same.
            Err(error) => {
                self.session.note_failed(&error);
                Ok(None)
            }
        }
    }

    /// Whether the record of the key that a payload file names means this very file.
    fn owns_blob(&self, head: &Head, id: BlobId) -> Result<bool> {
        let Some(found) = self.ledger.get(GenerationId(head.generation)) else { return Ok(false) };
        let bytes = self.index.record(found.row.number, &head.digest)?;
        let record = bytes.as_deref().and_then(|bytes| Record::decode(bytes, &head.digest));
        Ok(record.is_some_and(|record| matches!(record.body, Body::Blob { id: named, .. } if named == id)))
    }
}
