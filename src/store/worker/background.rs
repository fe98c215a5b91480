//! Work that the worker does in stretches between two rounds of requests: counting after an unclean end, making room for a
//! lowered bound, sweeping, looking for orphans, deleting dead rows, compacting.

use std::collections::{BTreeMap, VecDeque};

use super::{
    compaction::Compaction,
    orphans::Search,
    request::{Acknowledgement, Reply, Swept},
    transaction::Transaction,
};
use crate::{
    error::{Error, Result},
    store::generation::{GenerationId, IndexRow, Number, Tally},
};

/// The number of dead rows that are deleted in one stretch: about a millisecond and a half.
const DEAD: usize = 64;

/// Beyond this number of deleted rows the rest of a dead number is left to a compaction: to delete a row takes 13 us.
const WORTH_DELETING: u32 = 10_000;

/// Everything that is to be done.
#[derive(Default)]
pub(super) struct Background {
    /// Memos whose bound is to hold, or the store; and the callers that wait for it.
    room: VecDeque<(Option<String>, Option<Reply<()>>)>,
    /// Whether entries and orphans left by an unclean end are still to be looked after.
    is_recovering: bool,
    /// Whether a recovery failed and is to be tried again after the next flush.
    retries_recovery: bool,
    /// Of a recovery.
    orphans: Option<Search>,
    sweeps: VecDeque<Sweep>,
    /// The rows that were deleted of each dead number.
    deleted: BTreeMap<Number, u32>,
    pub(super) compaction: Option<Compaction>,
    /// Callers that wait for the end of a compaction.
    pub(super) after_compaction: Vec<Acknowledgement>,
}

/// One sweep that a caller waits for.
pub(super) struct Sweep {
    reply: Reply<Swept>,
    /// Generations whose expired entries are to leave.
    generations: VecDeque<GenerationId>,
    /// The last row that was looked at in the first of these.
    seen: Option<u64>,
    expired: Tally,
    retired: Tally,
    orphans: Option<Search>,
}

/// What a stretch leaves to the worker.
pub(super) enum Ended {
    Nothing,
    /// A sweep came to its end: it is acknowledged after a flush and a compaction.
    Swept(Reply<Swept>, Swept),
}

impl Background {
    pub(super) fn is_idle(&self, row: &IndexRow) -> bool {
        self.is_calm() && self.compaction.is_none() && !self.has_dead(row)
    }

    /// Whether there is nothing to do but a compaction, which leaves dead rows out by itself.
    pub(super) fn has_only_a_compaction(&self) -> bool {
        self.compaction.is_some() && self.is_calm()
    }

    fn is_calm(&self) -> bool {
        self.room.is_empty() && !self.is_recovering && self.sweeps.is_empty()
    }

    /// Whether an unclean end left something that was not looked after to its end.
    pub(super) fn is_unrecovered(&self) -> bool {
        self.is_recovering || self.retries_recovery
    }

    /// Begins a recovery anew that failed for a reason that may have passed.
    pub(super) fn retry_recovery(&mut self) {
        if self.retries_recovery {
            self.recover();
        }
    }

    /// Begins to look after what an unclean end left.
    pub(super) fn recover(&mut self) {
        (self.is_recovering, self.orphans, self.retries_recovery) = (true, None, false);
    }

    pub(super) fn make_room(&mut self, name: Option<String>, reply: Option<Reply<()>>) {
        self.room.push_back((name, reply));
    }

    pub(super) fn sweep(&mut self, reply: Reply<Swept>) {
        let (generations, seen) = (VecDeque::new(), None);
        let (expired, retired) = (Tally::default(), Tally::default());
        self.sweeps.push_back(Sweep { reply, generations, seen, expired, retired, orphans: None });
    }

    /// Whether some dead number has rows that are worth deleting.
    fn has_dead(&self, row: &IndexRow) -> bool {
        row.dead.iter().any(|number| self.is_worth_deleting(*number))
    }

    fn is_worth_deleting(&self, number: Number) -> bool {
        self.deleted.get(&number).is_none_or(|deleted| *deleted < WORTH_DELETING)
    }

    /// One stretch of all but a compaction.
    pub(super) fn step(&mut self, transaction: &mut Transaction<'_>) -> Result<Ended> {
        if let Some(id) = transaction.ledger.uncounted() {
            return self.recount(transaction, id);
        }
        if let Some((name, _)) = self.room.front() {
            // After an error `fail` replies.
            if transaction.evict(name.as_deref(), None)?
                && let Some((_, Some(reply))) = self.room.pop_front()
            {
                drop(reply.send(Ok(())));
            }
            return Ok(Ended::Nothing);
        }
        if self.is_recovering {
            return self.search(transaction);
        }
        if let Some(sweep) = self.sweeps.front_mut() {
            if sweep.step(transaction)? {
                return Ok(Ended::Nothing);
            }
            return Ok(self.sweeps.pop_front().map_or(Ended::Nothing, Sweep::end));
        }
        self.delete_dead(transaction)?;
        Ok(Ended::Nothing)
    }

    fn recount(&mut self, transaction: &mut Transaction<'_>, id: GenerationId) -> Result<Ended> {
        transaction.recount(id)?;
        if let Some(found) = transaction.ledger.get(id)
            && found.account.tally().is_some()
        {
            // Nothing left while it was not counted.
            let name = found.row.name.clone();
            self.make_room(Some(name), None);
            self.make_room(None, None);
        }
        Ok(Ended::Nothing)
    }

    fn search(&mut self, transaction: &mut Transaction<'_>) -> Result<Ended> {
        let mut search = match self.orphans.take() {
            Some(search) => search,
            None => Search::begin(&transaction.directory.join("blobs"))?,
        };
        if search.step(transaction)? {
            self.orphans = Some(search);
        } else {
            self.is_recovering = false;
        }
        Ok(Ended::Nothing)
    }

    /// Deletes some rows of a number that was given up.
    fn delete_dead(&mut self, transaction: &mut Transaction<'_>) -> Result<()> {
        let dead = transaction.ledger.index_row.dead.clone();
        let Some(number) = dead.into_iter().find(|number| self.is_worth_deleting(*number)) else {
            return Ok(());
        };
        let index = transaction.index;
        let rows = index.rows(number, None, DEAD)?;
        rows.iter().try_for_each(|(key, _)| index.remove(|engine| &engine.order, key))?;
        let records = index.engine.records.rows(&number.prefix(), None, DEAD)?;
        records.iter().try_for_each(|(key, _)| index.remove(|engine| &engine.records, key))?;
        *self.deleted.entry(number).or_default() += DEAD as u32;
        if rows.is_empty() && records.is_empty() {
            self.deleted.remove(&number);
            let mut row = transaction.ledger.index_row.clone();
            row.dead.retain(|other| *other != number);
            transaction.write_index_row(row)?;
        }
        Ok(())
    }

    /// A new index has other dead numbers.
    pub(super) fn forget_deleted(&mut self) {
        self.deleted.clear();
    }

    /// Something failed: callers that wait get the error, and a recovery is tried again later.
    pub(super) fn fail(&mut self, error: &Error) {
        for (_, reply) in self.room.drain(..) {
            if let Some(reply) = reply {
                drop(reply.send(Err(error.clone())));
            }
        }
        for sweep in self.sweeps.drain(..) {
            let _ = sweep.reply.send(Err(error.clone()));
        }
        self.retries_recovery |= std::mem::take(&mut self.is_recovering);
        self.orphans = None;
        self.deleted.clear();
    }
}

impl Sweep {
    /// One stretch. Whether there is more.
    fn step(&mut self, transaction: &mut Transaction<'_>) -> Result<bool> {
        if let Some(search) = &mut self.orphans {
            return search.step(transaction);
        }
        if self.generations.is_empty() && self.seen.is_none() {
            for id in transaction.ledger.retired().clone() {
                self.retired.add(transaction.drop_generation(id)?);
            }
            self.generations.extend(transaction.ledger.ids());
        }
        if let Some(id) = self.generations.front().copied() {
            self.seen = transaction.sweep(id, self.seen, &mut self.expired)?;
            if self.seen.is_none() {
                self.generations.pop_front();
            }
        }
        if self.generations.is_empty() {
            self.orphans = Some(Search::begin(&transaction.directory.join("blobs"))?);
        }
        Ok(true)
    }

    fn end(self) -> Ended {
        let orphaned = self.orphans.map(|search| search.retired).unwrap_or_default();
        let bytes = self.retired.bytes + self.expired.bytes + orphaned.bytes;
        let swept = Swept {
            expired: self.expired.entries,
            retired: self.retired.entries,
            orphaned: orphaned.entries,
            bytes,
        };
        Ended::Swept(self.reply, swept)
    }
}
