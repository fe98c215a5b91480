//! The store, as its guests use it.

use std::{sync::Arc, task::Waker, time::Duration};

use crate::{
    clock::Deadline,
    error::Error,
    store::{session::Session, worker::Directory},
};

pub(super) struct Host {
    pub(super) directory: Arc<Directory>,
    pub(super) session: Arc<Session>,
    /// Wakes the thread that serves.
    pub(super) waker: Waker,
    /// The guests of an earlier host that have not said yet what they lead.
    expected: u64,
    /// What the worker had done when it was last looked at, and until when it must do more while an answer is owed.
    progress: (u64, Deadline),
}

impl Host {
    pub(super) fn new(
        directory: &Arc<Directory>,
        session: &Arc<Session>,
        waker: Waker,
        expected: u64,
    ) -> Self {
        Self {
            directory: Arc::clone(directory),
            session: Arc::clone(session),
            waker,
            expected,
            progress: (0, Deadline::after(Duration::ZERO)),
        }
    }

    /// How long leads are held back still.
    pub(super) fn grace(&self) -> Option<Duration> {
        if self.directory.sharing.may_lead() { None } else { Some(Duration::from_millis(5)) }
    }

    pub(super) fn count_guests(&self, guests: u64) {
        if let Some(Err(cause)) = self.directory.sharing.epochs().map(|epochs| epochs.set_guests(guests)) {
            self.session.note_failed(&Error::io("EPOCHS", cause));
        }
    }

    /// Why the answers that the worker owes are given up, if it makes no progress.
    pub(super) fn give_up(&mut self, owes: bool) -> Option<Error> {
        let now = self.directory.progress();
        if !owes || self.progress.0 != now {
            self.progress = (now, Deadline::after(self.directory.tuning.reply_timeout));
            return None;
        }
        self.progress.1.remaining().is_none().then(|| self.directory.give_up())
    }

    pub(super) fn has_declared(&mut self) {
        self.expected = self.expected.saturating_sub(1);
        if self.expected == 0 {
            self.directory.sharing.all_are_there();
        }
    }
}
