//! Compaction: sled gives no space back, so an index that holds little is copied into the next number.
//!
//! The worker copies a stretch of rows between two rounds of requests, and applies every change to both indexes
//! meanwhile. Rows are walked in the order of their keys: a row that is put behind the walk is copied once more, one that
//! is put before it stands in the copy already, and one that is removed is removed from both. Rows of dead numbers are
//! left out. At the end the copy is flushed, MANIFEST names it, and it takes the place of the old engine. Until MANIFEST
//! names the new number the old index is the store, from then on the new one is, and each is whole at that moment.
//!
//! A fresh copy takes 1.9 to 2.6 times its live bytes, and steady churn 3.3 to 12 times: below ten times there would be
//! one compaction after another for little. A record takes 11 to 18 us.

#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    directory::{Directory, Place},
    index::Index,
    ledger::Ledger,
    order::OrderRow,
};
use crate::{
    error::{Error, ErrorKind, Result},
    record::Record,
    store::{
        blob,
        engine::{self, Bytes, Engine, TableId},
        generation::{IndexRow, Number},
        manifest::Manifest,
    },
    testing::Operation,
};

/// An index of this length may be worth a copy.
const LARGE: u64 = 32 << 20;

/// How many times the length of its live bytes it must have.
const TIMES: u64 = 10;

/// A small index of which next to nothing lives is worth a copy as well, which takes no time: one value that is
/// overwritten 10,000 times leaves 2 MiB of log behind 200 bytes.
const SMALL: u64 = 1 << 20;
const MANY_TIMES: u64 = 100;

/// The number of rows that are copied in one stretch: about a millisecond.
const COPIED: usize = 64;

/// When an index is worth a copy.
pub(super) struct Growth {
    /// From which length on, and how many times its live bytes: [`LARGE`] and [`TIMES`], [`SMALL`] and [`MANY_TIMES`],
    /// unless a test sets them.
    rules: [(u64, u64); 2],
    /// The length of an index whose copy failed; 0 when the last one succeeded.
    pub(super) failed_at: u64,
}

impl Growth {
    pub(super) fn new(rule: Option<(u64, u64)>) -> Self {
        Self { rules: rule.map_or([(LARGE, TIMES), (SMALL, MANY_TIMES)], |rule| [rule; 2]), failed_at: 0 }
    }

    /// The length of an index that is worth a copy. None is while entries are being counted.
    pub(super) fn worth_a_copy(&self, place: &Place, index: &Index, ledger: &Ledger) -> Option<u64> {
        let length = engine::length(&place.index(index.number));
        let live = ledger.tally(None)?.indexed;
        let is_by = |(large, times): &(u64, u64)| length > *large && length > times.saturating_mul(live);
        self.rules.iter().any(is_by).then_some(length)
    }

    /// Whether an index of that length is copied after a flush: after a copy that failed, not before there is more to be
    /// gained.
    pub(super) fn may_copy_again(&self, length: u64) -> bool {
        length > self.failed_at + self.failed_at / 4
    }
}

/// The next index while it is being filled.
pub(super) struct Compaction {
    engine: Arc<Engine>,
    number: u64,
    folder: PathBuf,
    /// The numbers whose rows are not in it, as they were dead when it began.
    dead: Vec<Number>,
}

impl Compaction {
    /// Begins a copy, to which every change is applied from here on.
    pub(super) fn begin(
        directory: &Directory,
        place: &Place,
        index: &mut Index,
        ledger: &Ledger,
    ) -> Result<Self> {
        let number = unused_number(&place.path, index.number);
        let folder = place.index(number);
        blob::make_new_folder(&folder)?;
        let copy = index.engine.open_copy(&folder, &directory.tuning.faults);
        let engine = copy.map(Arc::new).inspect_err(|_| {
            let _ = fs::remove_dir_all(&folder);
        })?;
        engine::restrict(&folder);
        let target = Self { engine, number, folder, dead: ledger.index_row.dead.clone() };
        index.begin_copy(Arc::clone(&target.engine));
        match target.copy_catalog(ledger) {
            Ok(()) => Ok(target),
            Err(error) => {
                target.give_up(directory, Some(index));
                Err(error)
            }
        }
    }

    fn copy_catalog(&self, ledger: &Ledger) -> Result<()> {
        for (id, generation) in ledger.iter() {
            self.engine.catalog.insert(&id.0, &generation.row.encode())?;
        }
        self.engine.catalog.insert(IndexRow::KEY, &ledger.index_row.encode())
    }

    /// Copies some rows behind `seen` with their records. The key of the last one; `None` at the end.
    pub(super) fn stretch(
        &self,
        index: &Index,
        ledger: &mut Ledger,
        seen: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>> {
        if index.has_copy_failed() {
            return Err(unwritten());
        }
        let rows = index.engine.order.rows(&[], seen, COPIED)?;
        for (key, value) in &rows {
            let Some(number) = Number::of_key(key) else { continue };
            if ledger.index_row.dead.contains(&number) {
                // The rest of a dead number is skipped at once.
                return Ok(Some(number.order_key(u64::MAX).to_vec()));
            }
            let Some(row) = OrderRow::decode(key, value) else { continue };
            let record = index.record(number, &row.digest)?;
            let is_its_own = |bytes: &Bytes| {
                Record::decode(bytes, &row.digest).is_some_and(|record| record.sequence == row.sequence)
            };
            if let Some(record) = record.filter(is_its_own) {
                self.engine.order.insert(key, value)?;
                self.engine.records.insert(&number.record_key(&row.digest), &record)?;
            } else {
                // It leads nowhere, and would be counted for ever.
                index.remove(TableId::Order, key)?;
                ledger.removed_of(number, row.sequence, row.tally());
            }
        }
        Ok(rows.last().map(|(key, _)| key.to_vec()))
    }

    /// The copy is whole and survives the process. The index row that it has.
    fn seal(&self, directory: &Directory, index: &Index, ledger: &Ledger) -> Result<IndexRow> {
        let mut row = ledger.index_row.clone();
        row.dead.retain(|number| !self.dead.contains(number));
        self.engine.catalog.insert(IndexRow::KEY, &row.encode())?;
        self.engine.flush()?;
        if index.has_copy_failed() {
            return Err(unwritten());
        }
        directory.tuning.faults.check(Operation::Compact)?;
        Ok(row)
    }

    /// MANIFEST names the copy, which takes the place of the index. The old folder is removed by the janitor, and so not
    /// before.
    pub(super) fn take_over(
        self,
        directory: &Directory,
        place: &Place,
        index: &mut Index,
        ledger: &mut Ledger,
    ) -> Result<()> {
        let sealed = self.seal(directory, index, ledger).and_then(|row| {
            Manifest::open(self.number).write(&place.path)?;
            Ok(row)
        });
        match sealed {
            Ok(row) => {
                ledger.index_row = row;
                let new = Index::taking_over(self.engine, self.number, index);
                let old = std::mem::replace(index, new);
                retire(directory, old.engine, place.index(old.number));
                Ok(())
            }
            Err(error) => {
                self.give_up(directory, Some(index));
                Err(error)
            }
        }
    }

    /// The copy is dropped and its folder removed.
    pub(super) fn give_up(self, directory: &Directory, index: Option<&mut Index>) {
        if let Some(index) = index {
            index.end_copy();
        }
        retire(directory, self.engine, self.folder);
    }
}

fn unwritten() -> Error {
    Error::new(ErrorKind::Engine, "the copy of the index could not be written")
}

/// Has the janitor drop an engine that MANIFEST does not name, and remove its folder.
fn retire(directory: &Directory, engine: Arc<Engine>, folder: PathBuf) {
    directory.janitor.retire(engine, move |engine| {
        // A folder that cannot be removed now is at the next close.
        if engine.close(&folder).is_ok() {
            let _ = fs::remove_dir_all(folder);
        }
    });
}

/// A number that was never used.
pub(super) fn unused_number(directory: &Path, used: u64) -> u64 {
    numbers(directory).into_iter().max().unwrap_or(0).max(used) + 1
}

/// The numbers of all index folders.
pub(super) fn numbers(directory: &Path) -> Vec<u64> {
    let number = |name: &str| name.strip_prefix("index-")?.parse().ok();
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| number(file.file_name().to_str()?)).collect()
}
