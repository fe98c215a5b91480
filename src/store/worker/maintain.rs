//! The worker between two rounds: one stretch of the work in the background at a time.

use super::{
    Worker,
    background::{AFTER_SWEEP, Ended},
    compaction::{Compaction, Step},
    index::Index,
    request::{Reply, Swept},
    transaction::Transaction,
};
use crate::error::{Error, ErrorKind, Result};

impl Worker {
    pub(super) fn maintain(&mut self) {
        if self.background.has_only_a_compaction() {
            self.step_compaction();
        } else if self.engine().is_ok()
            && let Some(index) = &self.index
        {
            let (directory, session) = (&*self.directory, &*self.session);
            let mut transaction = Transaction { directory, session, index, ledger: &mut self.ledger };
            let outcome = self.background.step(&mut transaction);
            match self.observe(outcome) {
                Ok(Ended::Swept(reply, swept)) => self.finish_sweep(reply, swept),
                Ok(Ended::Nothing) => {}
                Err(error) => {
                    self.session.note_failed(&error);
                    self.background.fail(&error);
                }
            }
        }
        self.directory.made_progress();
    }

    /// Takes up what waited for a flush that succeeded.
    pub(super) fn after_flush(&mut self) {
        self.background.retry_recovery();
        if self.background.compaction.is_none()
            && let Some(index) = &self.index
        {
            self.background.compaction = self.growth.begin_when_due(&self.directory, index, &self.ledger);
        }
    }

    /// Has the bound of a memo, or of the store, hold before the reply. During a recount it holds when that is done.
    pub(super) fn make_room(&mut self, name: Option<String>, reply: Reply<()>) {
        if self.ledger.tally(name.as_deref()).is_some() && self.index.is_some() {
            self.background.make_room(name, Some(reply));
        } else {
            drop(reply.send(Ok(())));
        }
    }

    pub(super) fn sweep(&mut self, reply: Reply<Swept>) {
        match self.engine() {
            Ok(_) => self.background.sweep(reply),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn finish_sweep(&mut self, reply: Reply<Swept>, swept: Swept) {
        self.compact(AFTER_SWEEP);
        self.reply_after_compaction(reply, Ok(swept));
    }

    /// Begins a compaction if that seems worth it, and no copy is under way.
    pub(super) fn compact(&mut self, from: u64) {
        if self.background.compaction.as_ref().is_none_or(Compaction::is_weighing)
            && let Some(index) = &self.index
        {
            self.background.compaction = self.growth.begin(&self.directory, index, &self.ledger, from);
        }
    }

    /// Replies when the compaction that is under way has ended, if there is one, and after a flush.
    pub(super) fn reply_after_compaction<T: Send + 'static>(&mut self, reply: Reply<T>, outcome: Result<T>) {
        self.reply_after_flush(reply, outcome);
        if self.background.compaction.is_some() {
            self.background.after_compaction.extend(self.acknowledgements.pop());
        }
    }

    fn step_compaction(&mut self) {
        let Some(index) = &mut self.index else { return };
        let Some(mut compaction) = self.background.compaction.take() else { return };
        match compaction.step(&self.growth, &self.directory, index, &mut self.ledger) {
            Ok(Step::More) => {
                self.background.compaction = Some(compaction);
                return;
            }
            Ok(Step::Copied) => self.take_over(compaction),
            Ok(Step::Declined) => self.decline(compaction),
            Err(error) => {
                self.decline(compaction);
                // The copy failed, or the index: its health tells.
                let error = self.observe(Err::<(), _>(error)).err();
                if let Some(error) = error {
                    self.session.note_failed(&error);
                }
            }
        }
        self.acknowledgements.append(&mut self.background.after_compaction);
        self.acknowledge();
    }

    /// It is not tried again before there is more to be gained.
    fn decline(&mut self, compaction: Compaction) {
        self.growth.decline(&compaction);
        if let Some(index) = &mut self.index {
            compaction.give_up(&self.directory, index);
        }
    }

    fn take_over(&mut self, compaction: Compaction) {
        self.growth.decline(&compaction);
        let is_in_charge = self.is_in_charge();
        let Some(index) = &mut self.index else { return };
        let taken_over = if is_in_charge {
            compaction.take_over(&self.directory, index, &mut self.ledger)
        } else {
            compaction.give_up(&self.directory, index);
            Err(Error::new(ErrorKind::Io, "the directory of the store is not there any more"))
        };
        match taken_over {
            Ok(()) => {
                self.last_number = index.number;
                self.directory.slot.opened(&index.engine);
                self.growth.succeeded();
                self.background.forget_deleted();
            }
            Err(error) => self.session.note_failed(&error),
        }
    }

    /// Ends the work in the background, as its engine goes out of service.
    pub(super) fn abandon_background(&mut self, error: &Error, index: &mut Index) {
        if let Some(compaction) = self.background.compaction.take() {
            compaction.give_up(&self.directory, index);
        }
        self.acknowledgements.append(&mut self.background.after_compaction);
        self.background.fail(error);
    }
}
