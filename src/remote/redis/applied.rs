//! The last changes that were made, so that an insert sees one that was made at the same time.

use std::collections::VecDeque;

use super::stream::LocalChange;
use crate::remote::Target;

/// Changes that are known to have been made or applied.
const MAX_APPLIED: usize = 4_096;

/// The changes of this process, and those of others that it applied.
#[derive(Default)]
pub(super) struct Applied {
    pub(super) count: u64,
    recent: VecDeque<LocalChange>,
}

impl Applied {
    pub(super) fn note(&mut self, change: &LocalChange) {
        self.count += 1;
        self.recent.push_back(change.clone());
        if self.recent.len() > MAX_APPLIED {
            self.recent.pop_front();
        }
    }

    /// How many behind the first `since` concern an entry.
    pub(super) fn concerning(&self, target: &Target<'_>, since: u64) -> u64 {
        match self.count.checked_sub(since) {
            Some(behind) if behind <= self.recent.len() as u64 => {
                let behind = self.recent.iter().rev().take(behind as usize);
                behind.filter(|change| change.concerns(target)).count() as u64
            }
            // Of those that are not known any more each one may.
            _ => u64::MAX,
        }
    }
}
