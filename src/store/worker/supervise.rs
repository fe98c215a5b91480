//! The engine of a worker: opened, watched for failures, taken out of service, closed.
//!
//! A close goes from a running engine back to files that hold still: it flushes, compacts if that is worth it and quick,
//! writes the snapshot, drops the engine, settles the files if anything was written, and writes "closed" into MANIFEST. A run
//! that changed nothing writes nothing. Anything that fails on the way
//! leaves the store as after a crash. A close in memory only drops the engine.

use std::{fs, sync::Arc, time::Duration};

use super::{
    Recovery, TICK, Worker,
    compaction::numbers,
    directory::{Directory, Place, closed},
    open::{Opened, Opening},
    request::Reply,
    snapshots::update_snapshot,
    state::stalled,
    transaction::Transaction,
};
use crate::{
    clock::Deadline,
    error::{Error, ErrorKind, Result},
    store::{
        engine::{self, Engine},
        manifest::{self, Closed, Manifest},
        snapshot,
    },
    sync::thread,
    testing::Operation,
};

/// How long a close may be held up by a compaction and a snapshot together. A longer compaction is left to the next run. The
/// end of a program waits for 2 s at most.
const EXTRAS: Duration = Duration::from_secs(1);

/// How long a close waits for readers that are in the engine.
const READERS: Duration = Duration::from_secs(5);

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
        let Some(index) = self.index.take_if(|index| !is_running(index)) else { return };
        let error = running.err().unwrap_or_else(stalled);
        self.abandon_jobs(&error);
        if index.engine.is_dirty() {
            // Changes of this round are acknowledged by the flush of no other index.
            let lost = Err(error.clone());
            for acknowledge in std::mem::take(&mut self.acknowledgements) {
                acknowledge(&lost);
            }
            self.lost.get_or_insert(error);
        }
        self.flush_due = None;
        if self.directory.slot.is_corrupt()
            && let Some(place) = self.place_in_charge()
        {
            index.condemn(&place.path);
        }
        self.directory.janitor.retire(index.engine, |engine| drop(engine.release()));
    }

    /// The place, while it is ours: it may have been deleted.
    pub(super) fn place_in_charge(&self) -> Option<&Place> {
        let lock_file = self.lock_file.as_ref()?;
        self.directory.place.as_ref().filter(|place| lock_file.is_of(&place.path))
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
                    self.jobs.recovery = Recovery::Due;
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
        self.abandon_jobs(&closed());
        self.acknowledge();
        self.retire_failed();
        self.directory.slot.closed();
        let closed = if self.index.is_some() {
            self.close_index()
        } else {
            // Changes that no flush had covered went with their engine.
            self.lost.take().map_or(Ok(()), Err)
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

    fn close_index(&mut self) -> Result<()> {
        let directory = Arc::clone(&self.directory);
        let is_unrecovered = self.jobs.recovery != Recovery::Done || self.ledger.uncounted().is_some();
        self.write_down()?;
        let deadline = Deadline::after(EXTRAS);
        self.compact_quickly(deadline);
        let snapshot = if is_unrecovered { None } else { self.write_snapshot(deadline) };
        let Some(index) = self.index.take() else { return Ok(()) };
        let (number, was_written, left) = (index.number, index.engine.was_written(), index.left());
        let engine = unshared(&directory, index.engine)?;
        let Some(place) = &directory.place else { return engine.release() };
        let folder = place.index(number);
        engine.close(&folder)?;
        directory.made_progress();
        if directory.is_temporary() {
            return Ok(());
        }
        if was_written {
            directory.tuning.faults.check(Operation::Settle)?;
            engine::settle(&folder)?;
        }
        engine::restrict(&folder);
        let files = engine::fingerprint(&folder)?;
        let (sequence, unrecovered) = (self.ledger.sequence(), is_unrecovered);
        let closed = Some(Closed { sequence, unrecovered, snapshot, files });
        if closed != left {
            Manifest { index: number, closed }.write(&place.path)?;
        }
        snapshot::remove_others(&place.path, snapshot.map(|kept| kept.number));
        for old in numbers(&place.path).into_iter().filter(|old| *old != number) {
            let _ = fs::remove_dir_all(place.index(old));
        }
        Ok(())
    }

    /// What MANIFEST is to name. A snapshot that cannot be written costs nothing but itself.
    fn write_snapshot(&self, deadline: Deadline) -> Option<manifest::Snapshot> {
        let index = self.index.as_ref()?;
        if let Some(left) = index.left().filter(|left| !left.unrecovered) {
            return left.snapshot;
        }
        let written = update_snapshot(&self.directory, &self.session, index, &self.ledger, deadline);
        written.inspect_err(|error| self.session.note_failed(error)).ok()?
    }

    /// The use of each memo and the accounts, flushed.
    fn write_down(&mut self) -> Result<()> {
        let Some(index) = &self.index else { return Ok(()) };
        let (directory, session) = (&*self.directory, &*self.session);
        let mut transaction = Transaction { directory, session, index, ledger: &mut self.ledger };
        // The use of a memo is lost with an engine that does not work, and of no use then.
        let _ = transaction.touch_all();
        let written = transaction
            .write_accounts()
            .and_then(|()| transaction.write_totals())
            .and_then(|()| index.engine.flush());
        if written.is_err()
            && let Some(index) = self.index.take()
        {
            // A reader may hold it still, and must not be the one that drops it.
            self.directory.janitor.retire(index.engine, |engine| drop(engine.release()));
        }
        written
    }

    /// Copies the index if that is worth it and quick. A copy that fails costs the copy only.
    fn compact_quickly(&mut self, deadline: Deadline) {
        let was_written = self.index.as_ref().is_some_and(|index| index.engine.was_written());
        let is_due = self.worth_a_copy().is_some_and(|length| self.growth.may_copy_again(length));
        if !was_written || !is_due || self.directory.is_temporary() {
            return;
        }
        let copied = self.copy_index(|worker| {
            worker.directory.made_progress();
            deadline.remaining().map(drop).ok_or_else(stalled)
        });
        if let Err(error) = copied
            && deadline.remaining().is_some()
        {
            self.session.note_failed(&error);
        }
    }
}

/// The engine, when no reader uses it any more.
fn unshared(directory: &Directory, engine: Arc<Engine>) -> Result<Engine> {
    let deadline = Deadline::after(READERS);
    let mut shared = engine;
    loop {
        match Arc::try_unwrap(shared) {
            Ok(engine) => return Ok(engine),
            Err(engine) => shared = engine,
        }
        if deadline.remaining().is_none() {
            directory.janitor.retire(shared, |engine| drop(engine.release()));
            let message = "a read did not end in time: the store was left as after a crash";
            return Err(Error::new(ErrorKind::Engine, message));
        }
        directory.made_progress();
        thread::sleep(Duration::from_micros(200));
    }
}
