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

use super::{directory::Directory, index::Index, ledger::Ledger, order::OrderRow};
use crate::{
    error::{Error, ErrorKind, Result},
    record::Record,
    store::{
        blob,
        engine::{self, Bytes, Engine},
        generation::{IndexRow, Number},
        manifest::Manifest,
    },
    testing::Operation,
};

/// An index of this length may be worth a copy.
pub(super) const LARGE: u64 = 32 << 20;

/// Likewise after everything was cleared: there is nothing to copy.
pub(super) const EMPTIED: u64 = 2 << 20;

/// How many times the length of its live bytes an index must have.
const TIMES: u64 = 10;

/// A small index of which next to nothing lives is worth a copy as well, which takes no time: one value that is
/// overwritten 10,000 times leaves 2 MiB of log behind 200 bytes.
const SMALL: u64 = 1 << 20;
const MANY_TIMES: u64 = 100;

/// An entry without a key head and a payload: the record, the row, and their keys.
const LEAST: u64 = 54 + 20 + 56 + 12;

/// The largest record that holds its payload. A larger entry has a payload file, and a record of about `FILED`.
const INLINE: u64 = 54 + 1_024 + blob::INLINE as u64;
const FILED: u64 = 54 + 16 + 64;

/// The number of rows that are copied, or weighed, in one stretch: about a millisecond.
const COPIED: usize = 64;
const WEIGHED: usize = 1_000;

/// When an index is worth a copy, and what was found when that was asked last.
pub(super) struct Growth {
    /// From which length on, and how many times its live bytes: [`LARGE`] and [`TIMES`], [`SMALL`] and [`MANY_TIMES`],
    /// unless a test sets them.
    rules: [(u64, u64); 2],
    /// The length and the entries of an index that was weighed and found not to be worth it.
    declined: (u64, u64),
}

impl Growth {
    pub(super) fn new(rule: Option<(u64, u64)>) -> Self {
        Self { rules: rule.map_or([(LARGE, TIMES), (SMALL, MANY_TIMES)], |rule| [rule; 2]), declined: (0, 0) }
    }

    /// Whether an index deserves to be weighed.
    fn suspects(&self, length: u64, entries: u64, from: u64) -> bool {
        self.is_due(length, entries.saturating_mul(LEAST), from)
    }

    fn is_due(&self, length: u64, live: u64, from: u64) -> bool {
        let is_by =
            |(large, times): &(u64, u64)| length > from.min(*large) && length > times.saturating_mul(live);
        self.rules.iter().any(is_by)
    }

    /// Whether enough has changed since it was weighed.
    fn has_changed(&self, length: u64, entries: u64) -> bool {
        let (declined, held) = self.declined;
        length > declined + declined / 4 || entries < held / 2
    }

    /// A compaction of an index that is longer than `from` and that seems worth it by its length and its count.
    pub(super) fn begin(
        &self,
        directory: &Directory,
        index: &Index,
        ledger: &Ledger,
        from: u64,
    ) -> Option<Compaction> {
        let length = engine::length(&folder(directory, index.number));
        let entries = ledger.tally(None)?.entries;
        let is_due = self.suspects(length, entries, from);
        is_due.then(|| Compaction {
            stage: Stage::Weighing { live: 0 },
            seen: None,
            from,
            before: (length, entries),
        })
    }

    /// The same after a flush, if enough has changed.
    pub(super) fn begin_when_due(
        &self,
        directory: &Directory,
        index: &Index,
        ledger: &Ledger,
    ) -> Option<Compaction> {
        let compaction = self.begin(directory, index, ledger, LARGE)?;
        self.has_changed(compaction.before.0, compaction.before.1).then_some(compaction)
    }

    /// It was not worth it, or failed: it is not tried again before there is more to be gained.
    pub(super) fn decline(&mut self, compaction: &Compaction) {
        self.declined = compaction.before;
    }

    pub(super) fn succeeded(&mut self) {
        self.declined = (0, 0);
    }
}

pub(super) fn folder(directory: &Directory, number: u64) -> PathBuf {
    directory.join(format!("index-{number}"))
}

/// One compaction, which goes on from stretch to stretch.
pub(super) struct Compaction {
    stage: Stage,
    /// The key of the last row that was looked at.
    seen: Option<Vec<u8>>,
    /// The index is worth it from this length on.
    from: u64,
    /// Length and entries of the index when it began.
    before: (u64, u64),
}

enum Stage {
    /// The live bytes are summed.
    Weighing {
        live: u64,
    },
    Copying(Target),
}

/// The next index while it is being filled.
struct Target {
    engine: Arc<Engine>,
    number: u64,
    /// The numbers whose rows are not in it, as they were dead when it began.
    dead: Vec<Number>,
}

/// What a stretch came to.
pub(super) enum Step {
    More,
    /// The index is not worth a copy.
    Declined,
    /// Every row is in the copy.
    Copied,
}

impl Compaction {
    /// Whether the copy was not begun: what was weighed so far may be gone by now.
    pub(super) fn is_weighing(&self) -> bool {
        matches!(self.stage, Stage::Weighing { .. })
    }

    /// One more stretch.
    pub(super) fn step(
        &mut self,
        growth: &Growth,
        directory: &Directory,
        index: &mut Index,
        ledger: &mut Ledger,
    ) -> Result<Step> {
        match &mut self.stage {
            Stage::Weighing { live } => {
                let rows = weigh(index, ledger, self.seen.as_deref())?;
                *live += rows.live;
                if rows.last.is_some() {
                    self.seen = rows.last;
                    return Ok(Step::More);
                }
                let length = engine::length(&folder(directory, index.number));
                if !growth.is_due(length, *live, self.from) {
                    return Ok(Step::Declined);
                }
                self.stage = Stage::Copying(Target::begin(directory, index, ledger)?);
                self.seen = None;
                Ok(Step::More)
            }
            Stage::Copying(target) => {
                if index.has_copy_failed() {
                    return Err(Error::new(ErrorKind::Engine, "the copy of the index could not be written"));
                }
                self.seen = target.copy(index, ledger, self.seen.as_deref())?;
                Ok(if self.seen.is_some() { Step::More } else { Step::Copied })
            }
        }
    }

    /// MANIFEST names the copy, which takes the place of the index. The old folder is removed by the janitor, and so not
    /// before.
    pub(super) fn take_over(
        self,
        directory: &Directory,
        index: &mut Index,
        ledger: &mut Ledger,
    ) -> Result<()> {
        let Stage::Copying(target) = self.stage else {
            return Err(Error::new(ErrorKind::Engine, "the copy of the index was not begun"));
        };
        let sealed = target.seal(directory, index, ledger).and_then(|row| {
            Manifest::open(target.number).write(&directory.path)?;
            Ok(row)
        });
        match sealed {
            Ok(row) => {
                ledger.index_row = row;
                let new = Index::new(target.engine, target.number);
                let old = std::mem::replace(index, new);
                retire(directory, old.engine, old.number);
                Ok(())
            }
            Err(error) => {
                target.give_up(directory, index);
                Err(error)
            }
        }
    }

    /// The copy, if there is one, is dropped and its folder removed.
    pub(super) fn give_up(self, directory: &Directory, index: &mut Index) {
        if let Stage::Copying(target) = self.stage {
            target.give_up(directory, index);
        }
    }
}

/// Some rows of the order table, weighed.
struct Weighed {
    live: u64,
    last: Option<Vec<u8>>,
}

fn weigh(index: &Index, ledger: &Ledger, seen: Option<&[u8]>) -> Result<Weighed> {
    let weight = |row: &OrderRow| LEAST - 54 + if row.size > INLINE { FILED } else { row.size };
    let rows = index.engine.order.rows(&[], seen, WEIGHED)?;
    let is_live =
        |key: &[u8]| Number::of_key(key).is_some_and(|number| !ledger.index_row.dead.contains(&number));
    let live = rows.iter().filter(|(key, _)| is_live(key));
    let live = live.filter_map(|(key, value)| OrderRow::decode(key, value)).map(|row| weight(&row)).sum();
    Ok(Weighed { live, last: rows.last().map(|(key, _)| key.to_vec()) })
}

impl Target {
    /// Begins a copy, to which every change is applied from here on.
    fn begin(directory: &Directory, index: &mut Index, ledger: &Ledger) -> Result<Self> {
        let number = unused_number(&directory.path, index.number);
        let folder = folder(directory, number);
        blob::make_new_folder(&folder)?;
        let engine = Engine::open(&folder, &directory.tuning.faults).map(Arc::new).inspect_err(|_| {
            let _ = fs::remove_dir_all(&folder);
        })?;
        engine::restrict(&folder);
        let target = Self { engine, number, dead: ledger.index_row.dead.clone() };
        index.begin_copy(Arc::clone(&target.engine));
        match target.copy_catalog(ledger) {
            Ok(()) => Ok(target),
            Err(error) => {
                target.give_up(directory, index);
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
    fn copy(&self, index: &Index, ledger: &mut Ledger, seen: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
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
                index.remove_order_key(key)?;
                ledger.removed_of(number, row.sequence, row.size);
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
            return Err(Error::new(ErrorKind::Engine, "the copy of the index could not be written"));
        }
        directory.tuning.faults.check(Operation::Compact)?;
        Ok(row)
    }

    fn give_up(self, directory: &Directory, index: &mut Index) {
        index.end_copy();
        self.retire(directory);
    }

    /// The janitor drops the engine and removes its folder.
    fn retire(self, directory: &Directory) {
        retire(directory, self.engine, self.number);
    }
}

/// Has the janitor drop an engine that MANIFEST does not name, and remove its folder.
fn retire(directory: &Directory, engine: Arc<Engine>, number: u64) {
    let folder = folder(directory, number);
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
