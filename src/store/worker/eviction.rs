//! Making room: which entries leave, and the walks over the rows that say so.

use super::{
    fronts::Front, ledger::Ledger, order::OrderRow, request::Registration, transaction::Transaction,
};
use crate::{
    clock::{Freshness, Lifetime, Timestamp},
    error::Result,
    record::Record,
    store::{
        engine::TableId,
        forgetting::{self, Forgetting},
        generation::{GenerationId, Number, Tally},
        session::Left,
    },
};

/// The number of rows that are walked in one stretch: about half a millisecond.
pub(super) const STRETCH: usize = 500;

/// The number of entries that leave in one stretch: about 2 ms.
const LEAVING: u64 = 128;

/// The number of rows that are read ahead when the oldest must leave: 0.2 us each, where finding the first takes 2 us.
const AHEAD: usize = 64;

/// Some rows of a generation.
#[derive(Default)]
pub(super) struct Stretch {
    /// Those that can be read.
    pub(super) rows: Vec<OrderRow>,
    /// The sequence of the last row, read or not; `None` at the end.
    pub(super) last: Option<u64>,
}

impl Transaction<'_> {
    /// Makes room until the entries of `name`, or of the whole store, are within the bounds. Expired entries leave
    /// first, then stale ones, then those of retired generations, then the oldest insertion. Nothing leaves while a recount goes on: its
    /// end is followed by an eviction.
    ///
    /// `false` when there is more to do, after so many entries that other requests should have their turn. With
    /// `before` it goes on until there are no more than before, so that no put takes a memo further over its bound.
    pub(super) fn evict(&mut self, name: Option<&str>, before: Option<Tally>) -> Result<bool> {
        let (max_entries, max_bytes) = match name {
            None => (None, self.session.max_bytes),
            Some(name) => {
                let bounds = self.ledger.bounds_of(name);
                (bounds.max_entries, bounds.max_bytes)
            }
        };
        if max_entries.is_none() && max_bytes.is_none() {
            return Ok(true);
        }
        let mut left = 0;
        while let Some(tally) = self.ledger.tally(name).filter(|tally| tally.exceeds(max_entries, max_bytes))
        {
            if left >= LEAVING && before.is_none_or(|before| tally.is_within(before)) {
                return Ok(false);
            }
            let Some((generation, row)) = self.next_to_leave(name)? else { break };
            self.pass_over(generation, &row)?;
            self.expel(generation, &row, true)?;
            left += 1;
        }
        Ok(true)
    }

    fn next_to_leave(&mut self, name: Option<&str>) -> Result<Option<(GenerationId, OrderRow)>> {
        let now = self.session.clock.now();
        let candidates = match name {
            Some(name) => self.ledger.of_name(name),
            None => self.candidates_of_store(now)?,
        };
        let mut fronts = Vec::with_capacity(candidates.len());
        for id in candidates {
            fronts.extend(self.front(id, now)?.map(|row| (id, row)));
        }
        Ok(fronts.into_iter().min_by_key(|(id, row)| {
            let freshness = row.lifetime.freshness(now, self.ledger.expiry_of(*id));
            (freshness, !self.ledger.is_retired(*id), row.sequence)
        }))
    }

    /// Few generations, one of which holds the next entry of the whole store to leave.
    fn candidates_of_store(&mut self, now: Timestamp) -> Result<Vec<GenerationId>> {
        if self.ledger.fronts.is_set_back(now) {
            self.ledger.ids().into_iter().for_each(|id| self.ledger.fronts.mark(id));
        }
        while let Some(id) = self.ledger.fronts.next_changed() {
            let is_mixed = self.ledger.get(id).is_some_and(|found| found.account.is_mixed(now));
            let front = self.oldest(id)?;
            let expiry = self.ledger.expiry_of(id);
            let front = front.map(|row| Front {
                sequence: row.sequence,
                stale_at: row.lifetime.expires_at(expiry),
                over_at: row.lifetime.over_at(expiry),
            });
            self.ledger.fronts.set(id, front, is_mixed);
        }
        let fronts = &self.ledger.fronts;
        let mut candidates: Vec<GenerationId> =
            fronts.over(now).into_iter().chain(fronts.stale(now)).collect();
        candidates.extend(fronts.oldest());
        candidates.extend(fronts.mixed());
        let oldest_retired =
            self.ledger.retired().iter().filter_map(|id| Some((fronts.sequence_of(*id)?, *id)));
        candidates.extend(oldest_retired.min().map(|(_, id)| id));
        Ok(candidates)
    }

    /// The row of a generation that leaves first: the one that expired first if there is any, else the oldest.
    fn front(&mut self, id: GenerationId, now: Timestamp) -> Result<Option<OrderRow>> {
        let Some(found) = self.ledger.get(id) else { return Ok(None) };
        let number = found.row.number;
        if found.account.wants_queue(now) {
            self.load_queue(id)?;
        }
        while let Some(sequence) = self.ledger.get(id).and_then(|found| found.account.over(now)) {
            if let Some(row) = self.index.row(number, sequence)? {
                return Ok(Some(row));
            }
            self.ledger.account(id, |account| account.drop_over(now));
        }
        let oldest = self.oldest(id)?;
        let expiry = self.ledger.expiry_of(id);
        match oldest {
            Some(row) if row.lifetime.freshness(now, expiry) == Freshness::Fresh => {
                Ok(self.spared(id)?.or(oldest))
            }
            _ => Ok(oldest),
        }
    }

    fn oldest(&mut self, id: GenerationId) -> Result<Option<OrderRow>> {
        let Some(found) = self.ledger.get(id) else { return Ok(None) };
        if let Some(known) = found.account.oldest() {
            return Ok(Some(known));
        }
        if found.account.is_empty() {
            return Ok(None);
        }
        let number = found.row.number;
        loop {
            let ahead = self.index.rows(number, None, AHEAD)?;
            let mut front = Vec::with_capacity(ahead.len());
            for (key, value) in &ahead {
                match OrderRow::decode(key, value) {
                    Some(row) => front.push(row),
                    None => self.index.remove(TableId::Order, key)?,
                }
            }
            let oldest = front.first().copied();
            if oldest.is_some() || ahead.is_empty() {
                self.ledger.account(id, |account| account.set_front(front));
                return Ok(oldest);
            }
        }
    }

    fn load_queue(&mut self, id: GenerationId) -> Result<()> {
        let expiry = self.ledger.expiry_of(id);
        let mut queue = Vec::new();
        let mut seen = None;
        loop {
            let stretch = self.stretch(id, seen)?;
            let Some(last) = stretch.last else { break };
            seen = Some(last);
            queue.extend(stretch.rows.iter().map(|row| {
                (row.sequence, Lifetime { expires: row.lifetime.expires_at(expiry), ..row.lifetime })
            }));
            self.directory.made_progress();
        }
        self.ledger.account(id, |account| account.set_queue(queue.into_iter()));
        Ok(())
    }

    /// The next rows of a generation behind the sequence `seen`.
    pub(super) fn stretch(&self, id: GenerationId, seen: Option<u64>) -> Result<Stretch> {
        let Some(found) = self.ledger.get(id) else { return Ok(Stretch::default()) };
        let found = self.index.rows(found.row.number, seen, STRETCH)?;
        let rows = found.iter().filter_map(|(key, value)| OrderRow::decode(key, value)).collect();
        Ok(Stretch { rows, last: found.last().map(|(key, _)| Number::sequence_of_order_key(key)) })
    }

    /// Takes the entry of a row out, and the row. A row whose record is gone or is a newer one goes alone.
    fn expel(&mut self, id: GenerationId, row: &OrderRow, for_room: bool) -> Result<bool> {
        let Some(scope) = self.scope(id) else { return Ok(false) };
        let freshness = row.lifetime.freshness(self.session.clock.now(), self.ledger.expiry_of(id));
        let expelled = self.take(&scope, &row.digest, Some(row))?;
        if !expelled {
            self.drop_row(&scope, row.sequence, row.tally())?;
            return Ok(false);
        }
        let memory = Forgetting { pending: Some(&self.directory.pending), session: self.session };
        // A list only leads to values, and the values of a computation are not those of a list.
        if freshness == Freshness::Fresh && !row.is_list {
            // A reader that found it may not put it into memory any more.
            forgetting::revoke(scope.owner, &row.digest);
            memory.forget_pending(scope.owner, &row.digest);
        }
        // The claims on a stale or expired entry stay: a computation of its successor may be under way, and that one is wanted.
        memory.forget(scope.owner, &row.digest);
        if for_room && freshness != Freshness::Over {
            self.directory.evicted.note(scope.number, &row.digest);
        }
        if !row.is_list {
            self.count_left(&scope.name, Left::one(freshness != Freshness::Over, for_room));
        }
        Ok(true)
    }

    /// Takes out expired entries in one stretch of a generation behind `seen`. Where it ended, if there is more.
    pub(super) fn sweep(
        &mut self,
        id: GenerationId,
        seen: Option<u64>,
        swept: &mut Tally,
    ) -> Result<Option<u64>> {
        let Stretch { rows, last } = self.stretch(id, seen)?;
        let (now, expiry) = (self.session.clock.now(), self.ledger.expiry_of(id));
        for row in rows.iter().filter(|row| row.lifetime.is_over(now, expiry)) {
            if self.expel(id, row, false)? {
                swept.add(row.tally());
            }
        }
        Ok(last)
    }

    /// Counts one more stretch of a generation whose account an unclean end lost. Rows without their record go: a write that
    /// failed half way leaves one, and so does a crash.
    pub(super) fn recount(&mut self, id: GenerationId) -> Result<()> {
        let Some(found) = self.ledger.get(id) else { return Ok(()) };
        let (number, Some(counted)) = (found.row.number, found.account.counted_to()) else { return Ok(()) };
        let Stretch { rows, last } = self.stretch(id, Some(counted))?;
        let mut whole = Vec::with_capacity(rows.len());
        for row in rows {
            let bytes = self.index.record(number, &row.digest)?;
            let record = bytes.as_deref().map(|bytes| Record::decode(bytes, &row.digest));
            match record {
                // A damaged record is found when it is read.
                Some(record) if record.is_none_or(|record| record.sequence == row.sequence) => {
                    whole.push(row);
                }
                _ => self.index.remove_row(number, row.sequence)?,
            }
        }
        self.ledger.count(id, &whole, last);
        Ok(())
    }

    /// Counts the fresh entries of a memo's generation, or of all, also when an unclean end left them uncounted.
    pub(super) fn count(&mut self, memo: Option<&Registration>) -> Result<Tally> {
        let ids = memo.map_or_else(|| self.ledger.ids(), |memo| self.ledger.of_name(&memo.memo));
        let is_uncounted = |ledger: &Ledger, id: &GenerationId| {
            ledger.get(*id).is_some_and(|found| found.account.counted_to().is_some())
        };
        for id in &ids {
            while is_uncounted(self.ledger, id) {
                self.recount(*id)?;
                self.directory.made_progress();
            }
        }
        let names = match memo {
            Some(memo) => vec![Some(memo.memo.to_string())],
            None => self.ledger.names().into_iter().map(Some).chain([None]).collect(),
        };
        // A job may have counted them a moment ago, and not have come to the bounds yet. Entries that cannot leave are counted.
        for name in names {
            while matches!(self.evict(name.as_deref(), None), Ok(false)) {
                self.directory.made_progress();
            }
        }
        let ids = ids.into_iter().filter(|id| memo.is_none_or(|memo| memo.generation == *id));
        ids.collect::<Vec<_>>().into_iter().try_fold(Tally::default(), |mut sum, id| {
            sum.add(self.count_fresh(id)?);
            Ok(sum)
        })
    }

    /// All entries but the expired and the stale ones, which are at the front unless the account is mixed.
    fn count_fresh(&self, id: GenerationId) -> Result<Tally> {
        let Some(found) = self.ledger.get(id) else { return Ok(Tally::default()) };
        let (now, expiry) = (self.session.clock.now(), self.ledger.expiry_of(id).without_stale());
        let (mut tally, is_mixed) = (found.account.tally().unwrap_or_default(), found.account.is_mixed(now));
        let mut seen = None;
        loop {
            let Stretch { rows, last } = self.stretch(id, seen)?;
            let Some(last) = last else { return Ok(tally) };
            seen = Some(last);
            for row in &rows {
                if row.lifetime.is_over(now, expiry) {
                    tally.subtract(row.tally());
                } else if !is_mixed {
                    return Ok(tally);
                }
            }
            self.directory.made_progress();
        }
    }
}
