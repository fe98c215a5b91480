//! Who keeps the journal. The process that hosts a directory does, for its guests too; one that reads a closed store reads the file
//! again before it writes.

use std::sync::atomic::Ordering;

use super::{
    journal::{self, Found, Journal, Told},
    position::Position,
    retries::Waiting,
    server::RedisServer,
    stream::LocalChange,
};
use crate::{
    error::{Error, ErrorKind, Result},
    remote::{Operation, Outcome},
    sync::lock,
};

impl RedisServer {
    /// Reads the journal, unless this process keeps it.
    pub(super) fn take_over_journal(&self) {
        let mut keeps = lock(&self.keeps_journal);
        if !*keeps {
            self.read_journal();
            *keeps = true;
        }
    }

    /// Another process keeps the journal from here on.
    pub(super) fn leave_journal(&self) {
        let mut keeps = lock(&self.keeps_journal);
        if std::mem::replace(&mut *keeps, false) {
            let mut journal = lock(&self.journal);
            journal.position = None;
            journal.told.clear();
            *lock(&self.read_at) = None;
        }
    }

    fn read_journal(&self) {
        let Some(folder) = &self.folder else { return };
        match journal::read(folder, &self.namespace) {
            Found::Nothing => {}
            Found::Damaged => {
                let message = "the file `REMOTE-…` of the store is damaged: its entries are forgotten, because other machines \
                               may have changed any of them";
                self.failed(&Error::new(ErrorKind::Corrupt, message));
                if let Err(error) = self.apply(vec![LocalChange::Forget { memo: None }.into()]) {
                    self.failed(&error);
                }
                self.is_dirty.store(true, Ordering::Release);
            }
            Found::Journal(found) => self.merge(found),
        }
    }

    fn merge(&self, found: Journal) {
        let Journal { directory, position, waiting, told, memos, .. } = found;
        self.retries.take_over(waiting);
        let mut own = lock(&self.journal);
        own.memos.extend(memos);
        own.directory = directory;
        own.position = own.position.take().or(position);
        for told in told {
            if !own.told.iter().any(|known| known.position == told.position) {
                own.told.push(told);
            }
        }
    }

    /// Writes the journal down, if it has changed. A store in memory has none, and one that is closed does not touch it any more.
    pub(super) fn write_journal(&self) {
        let mut keeps = lock(&self.keeps_journal);
        if self.is_closed.load(Ordering::Acquire) {
            return;
        }
        self.write(&mut keeps);
    }

    /// The last time. What this process told was made here too by now.
    pub(super) fn close_journal(&self) {
        let mut keeps = lock(&self.keeps_journal);
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        {
            let mut journal = lock(&self.journal);
            while let Some(position) = &journal.position
                && let Some(next) = next_own(position, &journal.told)
            {
                journal.position = Some(next);
            }
        }
        self.write(&mut keeps);
    }

    fn write(&self, keeps: &mut bool) {
        let Some(folder) = &self.folder else { return };
        if self.is_served.load(Ordering::Acquire) || !self.is_dirty.swap(false, Ordering::AcqRel) {
            return;
        }
        if !*keeps || self.local.get().is_none_or(|local| !local.is_host()) {
            self.read_journal();
            *keeps = true;
        }
        let mut journal = lock(&self.journal);
        journal.namespace.clone_from(&self.namespace);
        journal.waiting = self.retries.all();
        let written = journal::write(folder, &journal);
        drop(journal);
        if let Err(cause) = written {
            self.is_dirty.store(true, Ordering::Release);
            self.failed(&Error::io(journal::path(folder, &self.namespace).display(), cause));
        }
    }

    /// Gives the changes that wait here to the process that keeps the journal.
    pub(super) fn hand_over_retries(&self) {
        let waiting = self.retries.all();
        if waiting.is_empty() {
            return;
        }
        let bytes = postcard::to_stdvec(&waiting).unwrap_or_default();
        if matches!(self.ask_host(&Operation::Late(&bytes)), Some(Ok(Outcome::Done(true)))) {
            for waiting in &waiting {
                self.retries.done(waiting);
            }
        }
    }

    /// Takes changes of another process of this directory.
    pub(super) fn take_late(&self, bytes: &[u8]) -> Result<Outcome> {
        let waiting: Vec<Waiting> = postcard::from_bytes(bytes).map_err(|_| self.unexpected())?;
        self.take_over_journal();
        self.retries.take_over(waiting);
        self.is_dirty.store(true, Ordering::Release);
        self.write_journal();
        if self.is_closed.load(Ordering::Acquire) { Err(self.unexpected()) } else { Ok(Outcome::Done(true)) }
    }
}

/// The next message of the stream, if this store sent it.
fn next_own(position: &Position, told: &[Told]) -> Option<Position> {
    let next = told
        .iter()
        .find(|told| position.is_followed_by(&told.position) && position.is_before(&told.position));
    next.map(|told| told.position.clone())
}
