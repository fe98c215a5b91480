//! The catalog: which generations there are, who has them open, and which have had their day. Runs under the writer lock.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    error::Result,
    store::{
        ledger::{Bounds, CatalogRow, Generation, GenerationId, RETIREMENT},
        order::{Account, Tally},
        writer::Writer,
    },
};

/// The catalog is told that a generation is in use when it last was so this long ago: a run that only reads leaves the
/// files alone.
const FRESH: Duration = Duration::from_secs(60 * 60);

impl Writer<'_> {
    /// Takes a generation into the ledger for the memo that opens it, and lets those leave that nobody used for a day.
    /// The memory of it works even when the disk does not.
    pub(crate) fn adopt(
        &mut self,
        generation: GenerationId,
        row: &CatalogRow,
        owner: u64,
        bounds: Bounds,
    ) -> Result<()> {
        let name = row.name.clone();
        self.ledger.bounds.insert(name.clone(), bounds);
        let account = Account::new(Some(Tally::default()), false);
        let found = self.ledger.generations.entry(generation).or_insert_with(|| Generation {
            row: CatalogRow { last_used: Timestamp::default(), ..row.clone() },
            account,
            owner: None,
        });
        found.owner = Some(owner);
        found.account.drop_queue();
        found.account.unordered |= found.row.ttl_millis != row.ttl_millis && !found.account.is_empty();
        let known = found.row.clone();
        // Which of two was used last must be known however short ago that was.
        let others = self.ledger.of_name(Some(&name)).filter(|(id, _)| *id != generation);
        let behind = others.map(|(_, other)| other.row.last_used).max() >= Some(known.last_used);
        if behind || known.last_used.after(FRESH) <= row.last_used || known.ttl_millis != row.ttl_millis {
            self.write_catalog(generation, row)?;
        }
        for retired in self.ledger.retired(Some(&name)) {
            let last_used = self.ledger.generations.get(&retired).map(|found| found.row.last_used);
            if last_used.is_some_and(|last_used| last_used.after(RETIREMENT) <= row.last_used) {
                self.drop_generation(retired)?;
            }
        }
        Ok(())
    }

    /// The memo of `owner` lets go of its generation, which counts as used until now.
    pub(crate) fn disown(&mut self, generation: GenerationId, owner: u64) -> Result<()> {
        self.leaving.values.extend(self.core.memory.remove_owner(owner));
        match self.ledger.generations.get_mut(&generation).filter(|found| found.owner == Some(owner)) {
            Some(found) => {
                found.owner = None;
                found.account.drop_queue();
            }
            None => return Ok(()),
        }
        self.touch(generation)
    }

    /// Writes down that every open generation was in use until now.
    pub(crate) fn touch_all(&mut self) -> Result<()> {
        let owned: Vec<GenerationId> =
            self.ledger.of_name(None).filter(|(_, found)| found.owner.is_some()).map(|(id, _)| id).collect();
        owned.into_iter().try_for_each(|id| self.touch(id))
    }

    fn touch(&mut self, generation: GenerationId) -> Result<()> {
        let now = self.core.clock.now();
        let Some(found) = self.ledger.generations.get_mut(&generation) else { return Ok(()) };
        if found.row.last_used.after(FRESH) > now {
            return Ok(());
        }
        let row = CatalogRow { last_used: now, ..found.row.clone() };
        self.write_catalog(generation, &row)
    }

    fn write_catalog(&mut self, generation: GenerationId, row: &CatalogRow) -> Result<()> {
        if let Some(found) = self.ledger.generations.get_mut(&generation) {
            found.row = row.clone();
        }
        if self.core.directory.is_none() {
            return Ok(());
        }
        let write = || {
            let engine = self.core.engine()?;
            self.core.minded(&engine, engine.catalog().by(self.calls).insert(&generation.0, &row.encode()))
        };
        let written = write();
        // An engine that is opened anew is told of every memo that is open; one that is back as it was is not.
        if written.is_err() && !self.core.falls_behind() { write() } else { written }
    }

    /// Clears every generation of a memo; those that no memo has open leave the catalog too. All of them are tried.
    pub(crate) fn forget(&mut self, name: &str) -> Result<()> {
        let generations: Vec<(GenerationId, bool)> =
            self.ledger.of_name(Some(name)).map(|(id, found)| (id, found.owner.is_some())).collect();
        let mut forgotten = Ok(());
        for (id, open) in generations {
            let one = if open { self.clear(id).map(|_| ()) } else { self.drop_generation(id).map(|_| ()) };
            forgotten = forgotten.and(one);
        }
        forgotten
    }

    /// Takes a generation that no memo has open off the disk and out of the catalog.
    pub(crate) fn drop_generation(&mut self, generation: GenerationId) -> Result<Tally> {
        let tally = self.clear(generation)?;
        let engine = self.core.engine()?;
        self.core.minded(&engine, engine.catalog().by(self.calls).remove(&generation.0))?;
        self.ledger.generations.remove(&generation);
        Ok(tally)
    }
}
