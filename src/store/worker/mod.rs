//! The worker: one thread a store, which owns everything that changes. It takes requests from the queue in rounds, applies
//! them in their order, flushes once for all that asked for it, and replies. Between rounds it works in stretches on
//! things that take long.
//!
//! It never runs code of the user, never waits for a claim, and never waits for the janitor or a caller. A caller that
//! does not get its reply in time gives up the wait, never the change: the ledger is always true.

mod catalog;
mod changes;
mod compaction;
mod directory;
mod elsewhere;
mod evicted;
mod eviction;
mod fronts;
mod hand_overs;
mod index;
mod jobs;
mod ledger;
mod machines;
mod open;
mod order;
mod orphans;
mod queue;
mod rebuild;
mod request;
mod sharing;
mod snapshots;
mod sparing;
mod state;
mod supervise;
mod transaction;
mod used;

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

pub(crate) use self::order::OrderRow;
use self::request::Acknowledgement;
use self::{compaction::Growth, index::Index, ledger::Ledger};
pub(crate) use self::{
    directory::{Directory, Place, Tuning, closed},
    elsewhere::{Elsewhere, LookedUp, OpenMemo, Query, Stretch, Wants},
    open::{foreign_file, is_ours, prepare},
    queue::{Door, Rejected},
    request::{Adopter, Computed, KeepInMemory, ListPut, OfVariant, Put, Registration, Reply, Request},
    state::pause,
};
pub use self::{request::Swept, sharing::Role};
use crate::{
    clock::Deadline,
    error::{Error, ErrorKind, Result},
    store::{generation::Number, lock::LockFile, scope::names_of, session::Session},
    sync::thread,
};

/// Computed values that no caller waits for are flushed this long after the first of them.
const TICK: Duration = Duration::from_millis(200);

pub(super) struct Worker {
    directory: Arc<Directory>,
    session: Arc<Session>,
    /// LOCK, held for as long as the worker lives; `None` in memory.
    lock_file: Option<LockFile>,
    ledger: Ledger,
    /// What changes are applied to. `None` while no engine is in service.
    index: Option<Index>,
    /// The number of the last index.
    last_number: u64,
    jobs: Jobs,
    growth: Growth,
    acknowledgements: Vec<Acknowledgement>,
    /// When changes are to be flushed that no caller waits for.
    flush_due: Option<Deadline>,
    /// Why changes were lost that no flush had covered. The next flush that a caller asks for says so.
    lost: Option<Error>,
    /// A close was asked for: nothing is taken from the queue any more.
    closing: Option<Reply<()>>,
}

/// Work for between two rounds.
#[derive(Default)]
struct Jobs {
    /// Memos whose bound is to hold, or the store, and the callers that wait for it. A round ends with a stretch for the first.
    room: VecDeque<(Option<String>, Reply<()>)>,
    recovery: Recovery,
    /// Callers that wait for a sweep each.
    sweeps: VecDeque<Reply<Swept>>,
    /// Whether the index was worth a copy when that was asked last.
    wants_copy: bool,
    /// Of callers that wait for that copy.
    after_copy: Vec<Acknowledgement>,
    /// Dead numbers of which no more rows are deleted.
    left_dead: BTreeSet<Number>,
    /// Why the job that is under way must end. Of an earlier job while none is.
    interruption: Option<Error>,
}

/// Whether all was looked after that an unclean end left.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Recovery {
    #[default]
    Done,
    Due,
    /// It is due after the next flush.
    Failed,
}

#[derive(Clone, Copy)]
enum Job {
    Recover,
    Sweep,
    Compact,
    DeleteDead(Number),
}

/// Starts the worker of a directory, which opens the index first.
///
/// # Errors
///
/// When no thread can be started.
pub(super) fn start(
    directory: &Arc<Directory>,
    session: &Arc<Session>,
    lock_file: Option<LockFile>,
) -> io::Result<oneshot::Receiver<Result<()>>> {
    let worker = Worker {
        directory: Arc::clone(directory),
        session: Arc::clone(session),
        lock_file,
        ledger: Ledger::default(),
        index: None,
        last_number: 0,
        jobs: Jobs::default(),
        growth: Growth::new(directory.tuning.compacted_when),
        acknowledgements: Vec::new(),
        flush_due: None,
        lost: None,
        closing: None,
    };
    let (reply, opened) = oneshot::channel();
    thread::Builder::new().name("memolith".into()).spawn(move || worker.run(reply))?;
    Ok(opened)
}

impl Worker {
    fn run(mut self, reply: Reply<()>) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.live(reply))) {
            self.end_after_panic(
                Error::panicked("the worker of the store", panic).with_kind(ErrorKind::Engine),
            );
        }
    }

    fn live(&mut self, reply: Reply<()>) {
        let opened = self.open();
        // A refusal of the operating system may pass. Anything else must be known at once.
        let is_hopeless = opened.as_ref().is_err_and(|error| !error.is_io());
        if is_hopeless {
            self.end(Ok(()));
        }
        let _ = reply.send(opened);
        if !is_hopeless {
            self.work();
        }
    }

    fn work(&mut self) {
        let mut was_busy = false;
        loop {
            let is_idle = self.jobs.room.is_empty() && self.next_job().is_none();
            was_busy = self.round(is_idle, was_busy);
            if let Some(job) = self.next_job().filter(|_| self.closing.is_none()) {
                self.work_on(job);
                self.acknowledge();
                self.leave_to_janitor();
                self.directory.made_progress();
            }
            if let Some(reply) = self.closing.take() {
                return self.close(reply);
            }
        }
    }

    /// Takes a round of requests, carries it out and replies. Whether there were any.
    fn round(&mut self, waits: bool, dozes: bool) -> bool {
        let round = self.directory.queue.take(waits, dozes, self.flush_due);
        let was_busy = !round.is_empty();
        self.carry_out(round);
        self.acknowledge();
        if let Some((name, reply)) = self.jobs.room.pop_front() {
            self.make_room(name, reply);
        }
        self.leave_to_janitor();
        was_busy
    }

    /// Carries out the requests of a round. A close ends it: later requests are refused.
    fn carry_out(&mut self, round: Vec<Request>) {
        for request in round {
            if let Request::Close { reply } = request {
                self.jobs.interruption = Some(directory::closed());
                self.closing = Some(reply);
                return;
            }
            self.serve(request);
            self.directory.made_progress();
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Put(put) => self.put(put),
            Request::Remove { memo, digest, reply } => self.remove(&memo, &digest, reply),
            Request::Clear { memo, reply } => self.clear_of(memo.generation, Some(memo.owner), reply),
            Request::RemoveOf { generation, digest, unless_since, reply } => {
                self.remove_of(generation, &digest, unless_since, reply);
            }
            Request::ClearOf { generation, reply } => {
                let owner = self.ledger.owner_of(generation);
                self.clear_of(generation, owner, reply);
            }
            Request::Forget { name, reply } => self.forget(name, reply),
            Request::Adopt { memo, row, bounds, adopter, reply } => {
                self.adopt(&memo, &row, (adopter, bounds), reply);
            }
            Request::Disown { memo, adopter } => self.disown(&memo, adopter),
            Request::Read { memo, digest, reply } => {
                let record = self.change(|transaction| transaction.index.record(memo.number(), &digest));
                drop(reply.send(record));
            }
            Request::Count { memo, reply } => {
                drop(reply.send(self.change(|transaction| transaction.count(memo.as_deref()))));
            }
            Request::Totals { reply } => drop(reply.send(Ok(self.ledger.totals(&self.session)))),
            Request::Names { reply } => drop(reply.send(Ok(names_of(self.ledger.names().iter())))),
            Request::Flush { reply } => {
                let running = self.engine().map(drop);
                let kept = self.lost.take().map_or(running, Err);
                self.reply_after_flush(reply, kept);
            }
            Request::Barrier { reply } => {
                // A caller may have found that the pause of the engine is over.
                let _ = self.engine();
                drop(reply.send(Ok(())));
            }
            Request::Sweep { reply } => match self.engine() {
                Ok(_) => self.jobs.sweeps.push_back(reply),
                Err(error) => drop(reply.send(Err(error))),
            },
            Request::MakeRoom { name, reply } => self.make_room(name, reply),
            // Taken by `carry_out`.
            Request::Close { reply } => drop(reply),
        }
    }

    fn reply_after_flush<T: Send + 'static>(&mut self, reply: Reply<T>, outcome: Result<T>) {
        self.acknowledgements.push(Box::new(move |flushed| {
            let outcome = outcome.and_then(|value| flushed.clone().map(|()| value));
            drop(reply.send(outcome));
        }));
    }

    /// Flushes for the callers that wait, or when the tick is due, and replies.
    fn acknowledge(&mut self) {
        let is_due = self.flush_due.is_some_and(|due| due.remaining().is_none());
        let acknowledgements = std::mem::take(&mut self.acknowledgements);
        if acknowledgements.is_empty() && !is_due {
            return;
        }
        let flushed = self.flush();
        for acknowledge in acknowledgements {
            acknowledge(&flushed);
        }
        self.directory.made_progress();
    }

    fn flush(&mut self) -> Result<()> {
        self.flush_due = None;
        let Some(index) = &self.index else { return self.directory.slot.reader().map(drop) };
        let flushed = index.engine.flush();
        if let Err(error) = &flushed {
            self.session.note_failed(error);
        }
        self.observe(flushed)?;
        self.directory.slot.flushed();
        self.after_flush();
        Ok(())
    }

    /// Values to drop and events to tell run code of the user.
    fn leave_to_janitor(&self) {
        if self.session.has_leftover() {
            let session = Arc::clone(&self.session);
            self.directory.janitor.run(move || session.settle());
        }
    }
}
