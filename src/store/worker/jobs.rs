//! Jobs: work that takes longer than a request. A job is cut into stretches of about a millisecond. Between two stretches the
//! worker breathes: it takes a round of requests and carries it out. Jobs never nest: a request that needs a job leaves it to
//! the loop of the worker.
//!
//! A close, or the loss of the engine, ends a job with an error at the next breath. What a job keeps from one stretch to the
//! next is asked of the ledger again when it is used.

use std::sync::Arc;

use super::{
    Job, Recovery, Worker,
    compaction::Compaction,
    orphans::FILES,
    rebuild,
    request::{Reply, Swept},
    state::stalled,
    transaction::Transaction,
};
use crate::{
    error::{Error, ErrorKind, Result},
    store::generation::{Number, Tally},
};

/// The number of stretches for the rows of a dead number on disk. The rest is left to a compaction: to delete a row takes
/// 13 us.
const WORTH_DELETING: usize = 160;

impl Worker {
    /// The job that is due first. None is while no engine is in service.
    pub(super) fn next_job(&self) -> Option<Job> {
        let jobs = &self.jobs;
        let dead = self.ledger.index_row.dead.iter().find(|number| !jobs.left_dead.contains(number));
        match &self.index {
            None => None,
            Some(_) if jobs.recovery == Recovery::Due => Some(Job::Recover),
            Some(_) if !jobs.sweeps.is_empty() => Some(Job::Sweep),
            Some(_) if jobs.wants_copy => Some(Job::Compact),
            Some(_) => dead.map(|number| Job::DeleteDead(*number)),
        }
    }

    pub(super) fn work_on(&mut self, job: Job) {
        self.jobs.interruption = None;
        if self.engine().is_err() {
            return;
        }
        match job {
            Job::Recover => match self.recover() {
                Ok(()) => self.jobs.recovery = Recovery::Done,
                // The reason may have passed at the next flush.
                Err(_) if self.jobs.interruption.is_none() => self.jobs.recovery = Recovery::Failed,
                Err(_) => {}
            },
            Job::Sweep => {
                if let Some(reply) = self.jobs.sweeps.pop_front() {
                    let swept = self.sweep();
                    self.reply_after_compaction(reply, swept);
                }
            }
            Job::Compact => self.compact(),
            Job::DeleteDead(number) => self.delete_dead(number),
        }
    }

    /// One stretch of a job, and a breath.
    fn stretch<T>(&mut self, work: impl FnOnce(&mut Transaction<'_>) -> Result<T>) -> Result<T> {
        let done = self.change(work).inspect_err(|error| self.session.note_failed(error))?;
        self.breathe()?;
        Ok(done)
    }

    /// The requests that came meanwhile.
    fn breathe(&mut self) -> Result<()> {
        self.directory.made_progress();
        self.round(false, false);
        self.engine()?;
        self.jobs.interruption.clone().map_or(Ok(()), Err)
    }

    /// Looks after what an unclean end left: entries are counted, the bounds applied, and orphans retired.
    fn recover(&mut self) -> Result<()> {
        while let Some(id) = self.ledger.uncounted() {
            self.stretch(|transaction| transaction.recount(id))?;
        }
        // Nothing left while some were not counted.
        for name in self.ledger.names().into_iter().map(Some).chain([None]) {
            while !self.stretch(|transaction| transaction.evict(name.as_deref(), None))? {}
        }
        self.retire_orphans().map(drop)
    }

    fn sweep(&mut self) -> Result<Swept> {
        let (mut expired, mut retired) = (Tally::default(), Tally::default());
        while let Some(id) = self.ledger.retired().first().copied() {
            retired.add(self.stretch(|transaction| transaction.drop_generation(id))?);
        }
        for id in self.ledger.ids() {
            let mut seen = None;
            loop {
                seen = self.stretch(|transaction| transaction.sweep(id, seen, &mut expired))?;
                if seen.is_none() {
                    break;
                }
            }
        }
        let orphaned = self.retire_orphans()?;
        Ok(Swept {
            expired: expired.entries,
            retired: retired.entries,
            orphaned: orphaned.entries,
            bytes: retired.bytes + expired.bytes + orphaned.bytes,
        })
    }

    fn retire_orphans(&mut self) -> Result<Tally> {
        let (mut retired, directory) = (Tally::default(), Arc::clone(&self.directory));
        let Some(place) = &directory.place else { return Ok(retired) };
        let mut files = self.stretch(|_| rebuild::blobs(&place.blobs()))?;
        loop {
            let found: Vec<_> = files.by_ref().take(FILES).collect();
            if found.is_empty() {
                return Ok(retired);
            }
            retired.add(self.stretch(|transaction| transaction.retire_orphans(place, found))?);
        }
    }

    fn delete_dead(&mut self, number: Number) {
        self.jobs.left_dead.insert(number);
        // In memory there is no compaction.
        let stretches = if self.directory.place.is_some() { WORTH_DELETING } else { usize::MAX };
        for _ in 0..stretches {
            if !matches!(self.stretch(|transaction| transaction.delete_dead(number)), Ok(true)) {
                return;
            }
        }
    }

    /// The length of the index, if it is worth a copy.
    pub(super) fn worth_a_copy(&self) -> Option<u64> {
        let index = self.index.as_ref()?;
        let place = self.directory.place.as_ref()?;
        self.growth.worth_a_copy(place, index, &self.ledger)
    }

    /// Copies the index if that is still worth it, and has the callers that wait for it acknowledged.
    fn compact(&mut self) {
        if let Some(length) = self.worth_a_copy() {
            match self.copy_index(Self::breathe) {
                Ok(()) => self.growth.failed_at = 0,
                Err(_) if self.jobs.interruption.is_some() => {}
                Err(error) => {
                    self.growth.failed_at = length;
                    self.session.note_failed(&error);
                    // The copy failed, or the index: its health tells.
                    let _ = self.observe(Err::<(), _>(error));
                }
            }
        }
        self.jobs.wants_copy = false;
        self.acknowledgements.append(&mut self.jobs.after_copy);
    }

    /// A smaller copy takes the place of the index. `pause` is called before each stretch, and may end it with an error.
    pub(super) fn copy_index(&mut self, pause: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let directory = Arc::clone(&self.directory);
        let (Some(place), Some(index)) = (&directory.place, &mut self.index) else { return Err(stalled()) };
        let copy = Compaction::begin(&directory, place, index, &self.ledger)?;
        let filled = self.fill(&copy, pause);
        let Some(index) = self.index.as_mut().filter(|_| filled.is_ok()) else {
            copy.give_up(&directory, self.index.as_mut());
            return filled;
        };
        copy.take_over(&directory, place, index, &mut self.ledger)?;
        self.last_number = index.number;
        self.directory.slot.opened(&index.engine);
        self.jobs.left_dead.clear();
        Ok(())
    }

    fn fill(&mut self, copy: &Compaction, mut pause: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let mut seen = None;
        loop {
            pause(self)?;
            let Some(index) = &self.index else { return Err(stalled()) };
            seen = copy.stretch(index, &mut self.ledger, seen.as_deref())?;
            if seen.is_none() {
                break;
            }
        }
        if self.place_in_charge().is_some() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Io, "the directory of the store is not there any more"))
    }

    /// Replies after a flush, and after the compaction that is worth it now.
    pub(super) fn reply_after_compaction<T: Send + 'static>(&mut self, reply: Reply<T>, outcome: Result<T>) {
        let is_wanted = outcome.is_ok() && self.worth_a_copy().is_some();
        self.reply_after_flush(reply, outcome);
        if is_wanted {
            self.jobs.wants_copy = true;
            self.jobs.after_copy.extend(self.acknowledgements.pop());
        }
    }

    /// Takes up what waited for a flush that succeeded.
    pub(super) fn after_flush(&mut self) {
        if self.jobs.recovery == Recovery::Failed {
            self.jobs.recovery = Recovery::Due;
        }
        self.jobs.wants_copy |= self.worth_a_copy().is_some_and(|length| self.growth.may_copy_again(length));
    }

    /// Has the bound of a memo, or of the store, hold before the reply. During a recount it holds when that is done.
    pub(super) fn make_room(&mut self, name: Option<String>, reply: Reply<()>) {
        if self.index.is_none() {
            return drop(reply.send(Ok(())));
        }
        match self.change(|transaction| transaction.evict(name.as_deref(), None)) {
            Ok(false) => self.jobs.room.push_back((name, reply)),
            made => drop(reply.send(made.map(drop))),
        }
    }

    /// Ends all jobs. The one that is under way ends at its next breath.
    pub(super) fn abandon_jobs(&mut self, error: &Error) {
        self.jobs.interruption = Some(error.clone());
        self.acknowledgements.append(&mut self.jobs.after_copy);
        self.jobs.wants_copy = false;
        self.jobs.left_dead.clear();
        for (_, reply) in self.jobs.room.drain(..) {
            let _ = reply.send(Err(error.clone()));
        }
        for reply in self.jobs.sweeps.drain(..) {
            let _ = reply.send(Err(error.clone()));
        }
    }
}
