//! Payloads that a codec handed out before all of their bytes were verified. The janitor verifies the rest, once a
//! process and file.
//!
//! The result is kept with the seal, which all later readers of the file share: a payload that passed is not verified
//! again, and one that did not is damage at the next look. Nothing of it enters the memory tier before it passed.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    checksum::{BLOCK, BlockChecksums},
    codec::Payload,
    error::Error,
    store::{blob, janitor::Janitor},
    sync::{Mutex, lock},
};

/// Beyond this number the seals of payloads that passed are forgotten, and those payloads verified once more when they are
/// read again. A seal takes 16 B for each MiB.
const KEPT: usize = 4_096;

/// This number of payloads may wait: each holds a map. Beyond it the caller verifies.
const WAITING: usize = 64;

#[derive(Default)]
pub(crate) struct Unverified {
    /// By file. A file's name is never given twice, so a seal outlives its file without harm.
    seals: Mutex<HashMap<PathBuf, Arc<BlockChecksums>>>,
    /// A clone for each payload that the janitor has not come to yet.
    waiting: Arc<()>,
}

impl Unverified {
    /// The seal of a file that was handed out before.
    pub(crate) fn seal(&self, file: &Path) -> Option<Arc<BlockChecksums>> {
        lock(&self.seals).get(file).cloned()
    }

    /// Has the rest of a payload verified, unless that was asked for before. `tell` is called with damage.
    pub(crate) fn verify_later(
        &self,
        janitor: &Arc<Janitor>,
        file: &Path,
        payload: &Payload,
        tell: impl FnOnce(Error) + Send + 'static,
    ) {
        if !self.is_new(file, payload) {
            return;
        }
        let (file, payload, cleaner) = (file.to_owned(), payload.clone(), Arc::clone(janitor));
        let waiting = Arc::clone(&self.waiting);
        if Arc::strong_count(&waiting) > WAITING + 1 {
            return verify(&cleaner, &file, &payload, tell);
        }
        janitor.run(move || {
            drop(waiting);
            verify(&cleaner, &file, &payload, tell);
        });
    }

    fn is_new(&self, file: &Path, payload: &Payload) -> bool {
        let Some(seal) = payload.checksums() else { return false };
        let mut seals = lock(&self.seals);
        if seals.contains_key(file) {
            return false;
        }
        if seals.len() >= KEPT {
            seals.retain(|_, seal| seal.is_damaged());
        }
        seals.insert(file.to_owned(), Arc::clone(seal));
        true
    }
}

/// Verifies a payload block by block, until the store is closed.
fn verify(janitor: &Janitor, file: &Path, payload: &Payload, tell: impl FnOnce(Error)) {
    for begin in (0..payload.size()).step_by(BLOCK) {
        if janitor.is_ended() {
            return;
        }
        if !payload.verify(begin..(begin + BLOCK).min(payload.size())) {
            return tell(blob::damaged(file, "its payload"));
        }
    }
    // Every block passed: this only notes it.
    payload.verify_all();
}
