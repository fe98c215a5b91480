//! The catalog: which generations there are, which memo has each open, and which have had their day.

use std::time::Duration;

use super::{ledger::Ledger, transaction::Transaction};
use crate::{
    clock::Timestamp,
    error::Result,
    store::{
        blob,
        engine::TableId,
        generation::{CatalogRow, GenerationId, IndexRow, Number, Tally},
    },
};

/// A generation that no memo used for this long leaves at the next open of its memo.
pub(super) const RETIREMENT: Duration = Duration::from_secs(24 * 60 * 60);

/// A use is written down when the last one that was is this long ago: a run that only reads leaves the files alone.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// The number of dead rows that are deleted in one stretch: about a millisecond and a half.
const DEAD: usize = 64;

impl Transaction<'_> {
    /// Writes down that a memo opened a generation, and removes generations of the memo that were not used for a day.
    pub(super) fn adopted(&mut self, id: GenerationId, row: &CatalogRow) -> Result<()> {
        let written = self.write_use(id, row);
        self.publish_numbers(&row.name);
        written?;
        let limit = Timestamp(row.last_used.0.saturating_sub(RETIREMENT.as_millis() as u64));
        for retired in self.ledger.retired_before(&row.name, limit) {
            self.drop_generation(retired)?;
        }
        Ok(())
    }

    /// Writes the row of a generation that is opened, if that says anything new.
    fn write_use(&mut self, id: GenerationId, row: &CatalogRow) -> Result<()> {
        let Some(known) = self.ledger.get(id).map(|found| found.row.clone()) else { return Ok(()) };
        // Which of two generations was used last must be known however short ago that was.
        let others = self.ledger.of_name(&row.name).into_iter().filter(|other| *other != id);
        let latest = others.filter_map(|other| self.ledger.get(other)).map(|other| other.row.last_used).max();
        let is_behind = latest >= Some(known.last_used);
        let is_new = known.number == Number::default();
        if is_new
            || is_behind
            || known.last_used.after(FRESH) <= row.last_used
            || (known.ttl_millis, known.stale_millis) != (row.ttl_millis, row.stale_millis)
        {
            let number = if is_new { self.next_number()? } else { known.number };
            self.write_catalog(id, CatalogRow { number, ..row.clone() })?;
        }
        Ok(())
    }

    /// A number that was never given. It stands in the index row before it stands anywhere else.
    fn next_number(&mut self) -> Result<Number> {
        let last_number = self.ledger.index_row.last_number + 1;
        self.write_index_row(IndexRow { last_number, ..self.ledger.index_row.clone() })?;
        self.index.engine.begin_records(Number(last_number).prefix());
        Ok(Number(last_number))
    }

    pub(super) fn write_catalog(&mut self, id: GenerationId, row: CatalogRow) -> Result<()> {
        self.index.write_catalog(id, &row)?;
        self.ledger.change(id, |found| found.row = row);
        Ok(())
    }

    /// Gives a number to every open generation that has none yet, and tells the open memos their numbers.
    pub(super) fn number_open_generations(&mut self) -> Result<()> {
        for name in self.ledger.names() {
            for id in self.ledger.of_name(&name) {
                let Some(found) = self.ledger.get(id) else { continue };
                let (row, is_open) = (found.row.clone(), found.memo.is_some());
                if is_open && row.number == Number::default() {
                    let number = self.next_number()?;
                    self.write_catalog(id, CatalogRow { number, ..row })?;
                }
            }
            self.publish_numbers(&name);
        }
        Ok(())
    }

    /// Tells the open memo of that name its number, and those of its siblings.
    fn publish_numbers(&self, name: &str) {
        let ids = self.ledger.of_name(name);
        let number = |id: &GenerationId| self.ledger.get(*id).map(|found| found.row.number);
        for id in &ids {
            let Some(memo) = self.ledger.get(*id).and_then(|found| found.memo.clone()) else { continue };
            let siblings = ids.iter().filter(|other| *other != id).filter_map(number);
            memo.set_siblings(siblings.collect());
            memo.set_number(number(id).unwrap_or_default());
        }
    }

    /// The same for every open generation.
    pub(super) fn touch_all(&mut self) -> Result<()> {
        let open: Vec<GenerationId> =
            self.ledger.iter().filter(|(_, found)| found.memo.is_some()).map(|(id, _)| id).collect();
        open.into_iter().try_for_each(|id| self.touch(id))
    }

    /// Writes down that a generation was in use until now.
    pub(super) fn touch(&mut self, id: GenerationId) -> Result<()> {
        let now = self.session.clock.now();
        let Some(row) = self.ledger.get(id).map(|found| found.row.clone()) else { return Ok(()) };
        if row.last_used.after(FRESH) > now {
            return Ok(());
        }
        self.write_catalog(id, CatalogRow { last_used: now, ..row })
    }

    /// Empties a generation: one rename and one catalog row, at any size.
    pub(super) fn clear(&mut self, id: GenerationId) -> Result<()> {
        self.hide_folder(id)?;
        let Some(found) = self.ledger.get(id).filter(|found| !found.account.is_empty()) else {
            return Ok(());
        };
        let row = found.row.clone();
        self.mark_dead(row.number, |last_number| last_number + 1)?;
        let number = Number(self.ledger.index_row.last_number);
        self.index.engine.begin_records(number.prefix());
        self.index.write_catalog(id, &CatalogRow { number, ..row.clone() })?;
        self.ledger.cleared(id, number);
        self.index.engine.end_records(row.number.prefix());
        self.publish_numbers(&row.name);
        Ok(())
    }

    /// The payload files of a generation go out of sight.
    fn hide_folder(&self, id: GenerationId) -> Result<()> {
        if let Some(place) = &self.directory.place {
            self.directory
                .janitor
                .queue_unlink(blob::move_folder_to_trash(&place.blobs_of(id), place.trash())?);
        }
        Ok(())
    }

    /// Notes that the rows of a number are dead.
    fn mark_dead(&mut self, number: Number, last_number: impl FnOnce(u32) -> u32) -> Result<()> {
        let mut row = self.ledger.index_row.clone();
        row.last_number = last_number(row.last_number);
        if number != Number::default() {
            row.dead.push(number);
        }
        self.write_index_row(row)
    }

    /// Clears every generation of a memo. Generations that no memo has open leave the catalog too. All of them are tried.
    pub(super) fn forget(&mut self, name: &str) -> Result<()> {
        let mut forgotten = Ok(());
        for id in self.ledger.of_name(name) {
            let is_open = self.ledger.get(id).is_some_and(|found| found.memo.is_some());
            let one = if is_open { self.clear(id) } else { self.drop_generation(id).map(drop) };
            forgotten = forgotten.and(one);
        }
        forgotten
    }

    /// Takes a generation that no memo has open off the disk and out of the catalog.
    pub(super) fn drop_generation(&mut self, id: GenerationId) -> Result<Tally> {
        let Some(scope) = self.scope(id) else { return Ok(Tally::default()) };
        self.hide_folder(id)?;
        if self.ledger.get(id).is_some_and(|found| !found.account.is_empty()) {
            self.mark_dead(scope.number, |last_number| last_number)?;
        }
        self.index.remove_from_catalog(id)?;
        self.index.engine.end_records(scope.number.prefix());
        let dropped = self.ledger.remove(id);
        self.publish_numbers(&scope.name);
        Ok(dropped.and_then(|dropped| dropped.account.tally()).unwrap_or_default())
    }

    /// Deletes some rows of a number that was given up. Whether there are more.
    pub(super) fn delete_dead(&mut self, number: Number) -> Result<bool> {
        let rows = self.index.rows(number, None, DEAD)?;
        rows.iter().try_for_each(|(key, _)| self.index.remove_dead(TableId::Order, key))?;
        let records = self.index.engine.records.rows(&number.prefix(), None, DEAD)?;
        records.iter().try_for_each(|(key, _)| self.index.remove_dead(TableId::Records, key))?;
        if !rows.is_empty() || !records.is_empty() {
            return Ok(true);
        }
        let mut row = self.ledger.index_row.clone();
        row.dead.retain(|other| *other != number);
        self.write_index_row(row)?;
        Ok(false)
    }

    /// Writes down the accounts that are not as their rows have them: they changed, or were counted after an unclean end
    /// by a run that wrote nothing else. The next open takes the rows for true.
    pub(super) fn write_accounts(&mut self) -> Result<()> {
        for id in self.ledger.ids() {
            let Some(generation) = self.ledger.get(id) else { continue };
            let row = Ledger::closing_row(generation);
            if row != generation.row {
                self.write_catalog(id, row)?;
            }
        }
        Ok(())
    }
}
