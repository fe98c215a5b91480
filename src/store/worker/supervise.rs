//! The engine of a worker: opened, watched for failures, taken out of service, closed.

use std::sync::Arc;

use super::{
    TICK, Worker, close,
    open::{Opened, Opening},
    request::Reply,
    state::stalled,
    transaction::Transaction,
};
use crate::{
    clock::Deadline,
    error::{Error, Result},
    store::{engine::Engine, manifest::Manifest},
};

impl Worker {
    /// Runs a change against the engine in service, if need be one that is opened now. If it fails, the health of the
    /// engine decides what becomes of that.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Transaction<'_>) -> Result<T>) -> Result<T> {
        self.engine()?;
        let Some(index) = &self.index else { return Err(stalled()) };
        let (directory, session) = (&*self.directory, &*self.session);
        let outcome = change(&mut Transaction { directory, session, index, ledger: &mut self.ledger });
        self.observe(outcome)
    }

    /// Passes on the outcome of calls to the engine, and takes it out of service if it failed.
    pub(super) fn observe<T>(&mut self, outcome: Result<T>) -> Result<T> {
        let Some(index) = &self.index else { return outcome };
        if index.engine.is_dirty() && self.flush_due.is_none() {
            self.flush_due = Some(Deadline::after(TICK));
        }
        if let Err(error) = &outcome {
            self.directory.slot.failed(&index.engine, error, &self.session.clock);
            self.retire_failed();
        }
        outcome
    }

    /// The engine in service, if need be one that is opened now.
    pub(super) fn engine(&mut self) -> Result<Arc<Engine>> {
        // A reader may have found that it fails.
        self.retire_failed();
        if self.directory.slot.wants_reopen() {
            let _ = self.open();
        }
        self.directory.slot.reader()
    }

    /// Lets go of an engine that is out of service.
    fn retire_failed(&mut self) {
        let running = self.directory.slot.reader();
        let is_running =
            |index: &super::Index| running.as_ref().is_ok_and(|running| Arc::ptr_eq(running, &index.engine));
        let Some(mut index) = self.index.take_if(|index| !is_running(index)) else { return };
        let error = running.err().unwrap_or_else(stalled);
        self.abandon_background(&error, &mut index);
        if index.engine.is_dirty() {
            // Changes of this round are acknowledged by the flush of no other index.
            let lost = Err(error.clone());
            for acknowledge in std::mem::take(&mut self.acknowledgements) {
                acknowledge(&lost);
            }
            self.lost.get_or_insert(error);
        }
        self.flush_due = None;
        if self.directory.slot.is_corrupt() && self.is_in_charge() {
            // No other process may open it either.
            let _ = Manifest::remove(&self.directory.path);
        }
        self.directory.janitor.retire(index.engine, |engine| drop(engine.release()));
    }

    /// Whether the directory is still ours: it may have been deleted.
    pub(super) fn is_in_charge(&self) -> bool {
        self.lock_file.as_ref().is_some_and(|file| file.is_of(&self.directory.path))
    }

    /// Opens an index, and notes why it could not.
    pub(super) fn open(&mut self) -> Result<()> {
        let mut opening = Opening {
            directory: &self.directory,
            session: &self.session,
            lock_file: &mut self.lock_file,
            last_number: self.last_number,
            is_corrupt: self.directory.slot.is_corrupt(),
        };
        match opening.open(&mut self.ledger) {
            Ok(Opened { index, ledger, is_unclean }) => {
                self.ledger = ledger;
                self.last_number = index.number;
                self.directory.slot.opened(&index.engine);
                self.index = Some(index);
                if is_unclean {
                    self.background.recover();
                }
                Ok(())
            }
            Err(error) => {
                self.session.note_failed(&error);
                self.directory.slot.not_opened(&error, &self.session.clock);
                Err(error)
            }
        }
    }

    pub(super) fn close(&mut self, reply: Reply<()>) {
        self.acknowledge();
        self.retire_failed();
        let is_unrecovered = self.background.is_unrecovered() || self.ledger.uncounted().is_some();
        self.directory.slot.closed();
        let closed = match self.index.take() {
            Some(mut index) => {
                self.abandon_background(&super::directory::closed(), &mut index);
                let ledger = std::mem::take(&mut self.ledger);
                let (directory, session) = (&self.directory, &self.session);
                close::close(directory, session, index, ledger, &self.growth, is_unrecovered)
            }
            // Changes that no flush had covered went with their engine.
            None => self.lost.take().map_or(Ok(()), Err),
        };
        if let Err(error) = &closed {
            self.session.note_failed(error);
        }
        self.end(closed.clone());
        let _ = reply.send(closed);
    }

    /// The worker panicked, which only a defect of this crate can cause: the store is left as after a crash. LOCK is let go
    /// when the engine has let go of its files.
    pub(super) fn end_after_panic(&mut self, error: Error) {
        self.session.note_failed(&error);
        if let Some(index) = self.index.take() {
            let lock_file = self.lock_file.take();
            self.directory.janitor.retire(index.engine, move |engine| {
                drop(engine.release());
                drop(lock_file);
            });
        }
        self.end(Err(error));
    }

    /// The directory is free, and nothing is done any more.
    pub(super) fn end(&mut self, closed: Result<()>) {
        self.directory.slot.closed();
        self.directory.queue.end();
        self.directory.pending.clear();
        self.lock_file = None;
        self.directory.end(closed);
        self.directory.janitor.end();
    }
}
