//! Payloads that a codec handed out before all of their bytes were verified: verified by the tidying thread, once a
//! process and file.
//!
//! What is found is kept with the seal, which all who read the file from then on share: a payload that passed is not
//! verified again, and one that did not is damage at the next look. Nothing of it enters the memory tier before it passed.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    checksum::{BLOCK, Seal},
    codec::Payload,
    error::Error,
    store::{blob, core::Core},
    sync::{Mutex, lock},
};

/// Beyond this the seals of payloads that passed are forgotten, and those verified once more when they are read again. A
/// seal takes 16 B for each MiB.
const KEPT: usize = 4_096;

/// So many may wait: each holds a map. Beyond it the caller verifies.
const WAITING: usize = 64;

#[derive(Default)]
pub(crate) struct Unverified {
    /// By file. A file's name is never given twice, so a seal outlives its file without harm.
    seals: Mutex<HashMap<PathBuf, Arc<Seal>>>,
    /// What the tidying thread has not come to yet.
    waiting: Mutex<Vec<Waiting>>,
}

struct Waiting {
    file: PathBuf,
    payload: Payload,
    tell: Tell,
}

/// Counts and tells the damage that was found.
type Tell = Box<dyn FnOnce(&Core, Error) + Send>;

impl Unverified {
    /// The seal of a file that was handed out before.
    pub(crate) fn seal(&self, file: &Path) -> Option<Arc<Seal>> {
        lock(&self.seals).get(file).cloned()
    }
}

impl Core {
    /// Has the rest of a payload verified, unless that was asked for before.
    pub(crate) fn verify_later(
        &self,
        file: &Path,
        payload: &Payload,
        tell: impl FnOnce(&Self, Error) + Send + 'static,
    ) {
        let Some(seal) = payload.seal() else { return };
        let mut seals = lock(&self.unverified.seals);
        if seals.contains_key(file) {
            return;
        }
        if seals.len() >= KEPT {
            seals.retain(|_, seal| seal.is_broken());
        }
        seals.insert(file.to_owned(), Arc::clone(seal));
        drop(seals);
        let this = Waiting { file: file.to_owned(), payload: payload.clone(), tell: Box::new(tell) };
        let mut waiting = lock(&self.unverified.waiting);
        if waiting.len() < WAITING && self.maintenance.verify() {
            waiting.push(this);
        } else {
            drop(waiting);
            self.verify_one(this);
        }
    }

    /// Verifies what waits, on one thread and a block at a time: nobody waits for it but the close.
    pub(super) fn verify_waiting(&self) {
        // Not in the head of a loop: the lock would be held throughout, also while the observer is told.
        let waiting = std::mem::take(&mut *lock(&self.unverified.waiting));
        for this in waiting {
            self.verify_one(this);
        }
    }

    fn verify_one(&self, Waiting { file, payload, tell }: Waiting) {
        for begin in (0..payload.size()).step_by(BLOCK) {
            if self.maintenance.is_closing() {
                return;
            }
            if !payload.verify(begin..(begin + BLOCK).min(payload.size())) {
                return tell(self, blob::damaged(&file, "its payload"));
            }
        }
        // Each block passed, so this is a look at them and no more.
        payload.verify_all();
    }
}
