//! Compaction: sled gives no space back, so an index that holds little is copied into the next number.
//!
//! The copy is made while calls go on. Most of it needs no lock: rows are walked in the order of insertion, and what is
//! put meanwhile stands behind them. What is taken out meanwhile is noted in the ledger's *journal*, and taken out of
//! the copy too. The rest follows under the writer lock in short stretches, and so does the change-over: flush the copy,
//! MANIFEST, swap the engine. Until MANIFEST names the new number the old index is the store, from then on the new one
//! is, and each is whole at that moment; whoever is still reading in the old one finds what was there when its call
//! began.
//!
//! A fresh copy takes 1.9 to 2.6 times what lives in it, and steady churn 3.3 to 12 times: below ten times there would be
//! one compaction after another for little. A record takes 11 to 18 us.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use crate::{
    clock::Deadline,
    error::{Error, Kind, Result},
    record::Record,
    store::{
        blob,
        core::Core,
        engine::{Calls, Engine, Tables},
        eviction::Seen,
        ledger::{GenerationId, Gone, Ledger},
        lifecycle::{alone, close_to_others, index_name, unused_index},
        manifest::Manifest,
        order::OrderRow,
        patience::Patience,
        turnstile::Turnstile,
    },
    sync::{lock, thread},
    testing::Operation,
};

/// An index of this length may be worth a copy.
pub(super) const LARGE: u64 = 32 << 20;

/// Likewise after everything was cleared: there is nothing to copy.
pub(super) const EMPTIED: u64 = 2 << 20;

/// How many times the length of what lives in it an index must have.
const TIMES: u64 = 10;

/// A small index of which next to nothing lives is worth a copy as well, which is made in no time: one value that is
/// overwritten 10,000 times leaves 2 MiB of log behind 200 bytes.
const SMALL: u64 = 1 << 20;
const MANY_TIMES: u64 = 100;

/// An entry without a key head and a payload: the record, the row, and their keys.
const LEAST: u64 = 54 + 32 + 56 + 8;

/// The largest record that holds its payload. What weighs more has a payload file, and a record of about `FILED`.
const INLINE: u64 = 54 + 1_024 + blob::INLINE as u64;
const FILED: u64 = 54 + 16 + 64;

/// How many rows are copied in one go: about 4 ms, under the writer lock at the end.
const STRETCH: usize = 256;

/// How long a close may be held up by a copy. A longer one is left to the next run.
const AT_CLOSE: Duration = Duration::from_secs(1);

/// When an index is worth a copy, and what was found when that was asked last.
pub(super) struct Growth {
    /// From which length on, and how many times what lives in it: [`LARGE`] and [`TIMES`], [`SMALL`] and [`MANY_TIMES`],
    /// unless a test sets them.
    rules: [(u64, u64); 2],
    /// Held while a copy is made.
    copying: Turnstile<()>,
    /// The length and the entries of an index that was looked at and found not to be worth it.
    declined: Mutex<(u64, u64)>,
}

impl Growth {
    pub(super) fn new(rule: Option<(u64, u64)>, patience: Patience) -> Self {
        Self {
            rules: rule.map_or([(LARGE, TIMES), (SMALL, MANY_TIMES)], |rule| [rule; 2]),
            copying: Turnstile::new(patience),
            declined: Mutex::default(),
        }
    }

    /// Whether an index deserves a closer look than this.
    fn suspects(&self, length: u64, entries: u64, from: u64) -> bool {
        self.is_due(length, entries.saturating_mul(LEAST), from)
    }

    fn is_due(&self, length: u64, live: u64, from: u64) -> bool {
        let is_by =
            |(large, times): &(u64, u64)| length > from.min(*large) && length > times.saturating_mul(live);
        self.rules.iter().any(is_by)
    }

    /// Whether enough has changed since a closer look.
    fn has_changed(&self, length: u64, entries: u64) -> bool {
        let (declined, held) = *lock(&self.declined);
        length > declined + declined / 4 || entries < held / 2
    }
}

/// Whether the tidying thread should look at the index: asked after every flush, so by lengths and counts alone.
pub(super) fn is_due(core: &Core) -> bool {
    let length = length(core);
    // A writer who is at work will be followed by a flush.
    let Some(ledger) = core.ledger.try_enter() else { return false };
    let Some(held) = ledger.tally(None) else { return false };
    core.growth.suspects(length, held.entries, LARGE) && core.growth.has_changed(length, held.entries)
}

/// Of the log, which is next to all there is.
fn length(core: &Core) -> u64 {
    let Some(directory) = &core.directory else { return 0 };
    fs::metadata(core.index_directory(directory).join("db")).map_or(0, |found| found.len())
}

/// Copies the index if it is longer than `from` and ten times what lives in it; after another thread that just does,
/// unless that takes it over 5 s.
pub(super) fn compact(core: &Core, from: u64) -> Result<()> {
    match core.growth.copying.enter() {
        Ok(_one) => compact_alone(core, from),
        Err(_) => Ok(()),
    }
}

/// Likewise if it still is due when it is this thread's turn.
pub(super) fn compact_when_due(core: &Core) -> Result<()> {
    match core.growth.copying.enter() {
        Ok(_one) if is_due(core) => compact_alone(core, LARGE),
        _ => Ok(()),
    }
}

fn compact_alone(core: &Core, from: u64) -> Result<()> {
    // An engine that rests is another one when it comes back.
    let Ok(engine) = core.engine() else { return Ok(()) };
    // One that rests is waited for until nobody is in it.
    let must_end = || core.maintenance.is_closing() || !core.is_running(&engine);
    let worth_it = is_worth_it(core, &engine, from, &must_end);
    if !core.minded(&engine, worth_it)? {
        return Ok(());
    }
    let before = {
        let mut ledger = core.ledger()?;
        ledger.journal = Some(Vec::new());
        (length(core), ledger.tally(None).map_or(0, |held| held.entries))
    };
    let copied = Copy::begin(core, &engine).and_then(|copy| copy.take_over(&engine));
    if let Ok(mut ledger) = core.ledger() {
        ledger.journal = None;
    }
    let copied = core.minded(&engine, copied);
    // What failed is not tried again before there is more to be gained.
    let (length, entries) = if matches!(copied, Ok(Some(_))) { (0, 0) } else { before };
    *lock(&core.growth.declined) = (length, entries);
    let Some(folder) = copied? else { return Ok(()) };
    alone(core, engine)?.close(&folder)?;
    // What cannot be removed now is at the next close.
    let _ = fs::remove_dir_all(folder);
    Ok(())
}

/// A look that `must_end` before its end does not say so.
fn is_worth_it(core: &Core, engine: &Engine, from: u64, must_end: &dyn Fn() -> bool) -> Result<bool> {
    let length = length(core);
    let Some(held) = core.ledger()?.tally(None) else { return Ok(false) };
    if !core.growth.suspects(length, held.entries, from) {
        return Ok(false);
    }
    let Some(live) = live_bytes(core, engine, must_end)? else { return Ok(false) };
    let worth_it = core.growth.is_due(length, live, from);
    if !worth_it {
        *lock(&core.growth.declined) = (length, held.entries);
    }
    Ok(worth_it)
}

/// The tables of every generation. Under the lock: one that is dropped meanwhile would be made again.
fn tables(core: &Core, engine: &Engine) -> Result<Vec<(GenerationId, Arc<Tables>)>> {
    let ledger = core.ledger()?;
    ledger.generations.keys().map(|id| Ok((*id, engine.tables(*id, Calls::Here)?))).collect()
}

/// What the entries take in the index, by their rows. `None` when the look had to end.
fn live_bytes(core: &Core, engine: &Engine, must_end: &dyn Fn() -> bool) -> Result<Option<u64>> {
    let weight = |row: &OrderRow| LEAST - 54 + if row.size > INLINE { FILED } else { row.size };
    let mut bytes = 0;
    for (_, tables) in tables(core, engine)? {
        let mut seen = None;
        while let Some(stretch) = stretch(&tables, seen)? {
            if must_end() {
                return Ok(None);
            }
            bytes += stretch.rows.iter().map(weight).sum::<u64>();
            seen = stretch.last;
        }
    }
    Ok(Some(bytes))
}

/// Some rows in the order of insertion, and the key of the last.
struct Stretch {
    rows: Vec<OrderRow>,
    last: Seen,
}

/// The rows behind `seen`; `None` at the end, and of a generation that was cleared meanwhile.
fn stretch(tables: &Tables, seen: Seen) -> Result<Option<Stretch>> {
    let found = match tables.order.rows(seen.as_ref().map(<[u8; 8]>::as_slice), STRETCH) {
        Err(error) if error.kind() == Kind::Closed => return Ok(None),
        found => found?,
    };
    let Some(last) = found.last().and_then(|(key, _)| key.first_chunk().copied()) else { return Ok(None) };
    let rows = found.iter().filter_map(|(key, value)| OrderRow::decode(key, value)).collect();
    Ok(Some(Stretch { rows, last: Some(last) }))
}

/// Before a close: the engine of a copy, if one was worth it and could be made in a second. Nobody else is in the store.
pub(super) fn before_close(core: &Core, engine: &Engine) -> Result<Option<Engine>> {
    let deadline = Deadline::after(AT_CLOSE);
    if !is_worth_it(core, engine, LARGE, &|| deadline.remaining().is_none())? {
        return Ok(None);
    }
    let mut copy = Copy::begin(core, engine)?;
    let copied = core.ledger().and_then(|mut ledger| copy.copy_all(&mut ledger, deadline));
    if !matches!(copied, Ok(true)) {
        copy.give_up();
        return copied.map(|_| None);
    }
    core.index.store(copy.number, Ordering::Release);
    alone(core, copy.to).map(Some)
}

/// The next index while it is being filled.
struct Copy<'a> {
    core: &'a Core,
    from: &'a Engine,
    to: Arc<Engine>,
    number: u64,
    folder: PathBuf,
    /// The last row of each generation that was looked at.
    seen: BTreeMap<GenerationId, Seen>,
    /// Whether MANIFEST names it.
    named: bool,
    /// Rows whose record was not there or was another one: gone, or just being written.
    doubtful: Vec<(GenerationId, OrderRow)>,
}

impl<'a> Copy<'a> {
    fn begin(core: &'a Core, from: &'a Engine) -> Result<Self> {
        let directory = core.directory.as_deref().unwrap_or(Path::new(""));
        let number = unused_index(core, directory);
        let folder = directory.join(index_name(number));
        // One that is there already is the index of an engine that was brought back just now.
        blob::make_new_folder(&folder)?;
        let to = Engine::open(&folder, &core.manner, || true).map(Arc::new).inspect_err(|_| {
            let _ = fs::remove_dir_all(&folder);
        })?;
        close_to_others(&folder);
        Ok(Self { core, from, to, number, folder, seen: BTreeMap::new(), named: false, doubtful: Vec::new() })
    }

    /// Copies all there is and takes the place of the old index, whose folder is returned. `None` when the store is
    /// closed, or its engine failed, before that.
    fn take_over(mut self, from: &Arc<Engine>) -> Result<Option<PathBuf>> {
        let old = self.core.directory.as_deref().map(|directory| self.core.index_directory(directory));
        match self.copy_most(from).and_then(|()| self.finish(from)) {
            Ok(true) => Ok(old),
            other => {
                self.give_up();
                other.map(|_| None)
            }
        }
    }

    /// Under the writer lock throughout. Whether there was time for it.
    fn copy_all(&mut self, ledger: &mut Ledger, deadline: Deadline) -> Result<bool> {
        while !self.catch_up(ledger, Vec::new())? {
            if deadline.remaining().is_none() {
                return Ok(false);
            }
        }
        self.seal(ledger).map(|()| true)
    }

    /// Without a lock, as far as there were rows when it began: it must not run after those who write.
    fn copy_most(&mut self, from: &Arc<Engine>) -> Result<()> {
        let end = OrderRow::key(self.core.ledger()?.sequence());
        for (id, tables) in tables(self.core, self.from)? {
            let is_behind = |seen: Option<&Seen>| seen.copied().flatten().is_none_or(|last| last < end);
            while is_behind(self.seen.get(&id))
                && !self.core.maintenance.is_closing()
                && self.core.is_running(from)
                && self.copy_stretch(id, &tables)?
            {}
        }
        if self.core.manner.faults.strike(Operation::Compact).is_some() {
            return Err(Error::io("a planted fault", io::ErrorKind::StorageFull.into()));
        }
        self.to.flush()
    }

    /// Under the writer lock, a stretch at a time; in the last one the copy takes over.
    fn finish(&mut self, from: &Arc<Engine>) -> Result<bool> {
        // Neither a close nor another engine may come in between.
        let _reviving = lock(&self.core.reviving);
        loop {
            if self.core.is_closed() || self.core.maintenance.is_closing() || !self.core.is_running(from) {
                return Ok(false);
            }
            let mut ledger = self.core.ledger()?;
            // None: the ledger was loaded anew with another engine.
            let Some(journal) = ledger.journal.replace(Vec::new()) else { return Ok(false) };
            if self.catch_up(&mut ledger, journal)? {
                self.seal(&ledger)?;
                return self.swap(from);
            }
            drop(ledger);
            thread::yield_now();
        }
    }

    /// Copies one more stretch. Whether there was none left: then the copy is as the index is.
    fn catch_up(&mut self, ledger: &mut Ledger, journal: Vec<Gone>) -> Result<bool> {
        for (id, row) in std::mem::take(&mut self.doubtful) {
            let tables = self.from.tables(id, Calls::Here)?;
            let key = OrderRow::key(row.sequence);
            // One that went since it was read was counted out by whoever took it.
            if !self.copy_row(id, &tables, &row)? && tables.order.get(&key)?.is_some() {
                // It leads nowhere, and would be counted for ever.
                tables.order.remove(&key)?;
                ledger.removed(id, row.sequence, row.size);
            }
        }
        for gone in journal {
            self.take_out(gone)?;
        }
        for id in ledger.generations.keys() {
            let tables = self.from.tables(*id, Calls::Here)?;
            if self.copy_stretch(*id, &tables)? {
                return Ok(false);
            }
        }
        Ok(self.doubtful.is_empty())
    }

    /// Whether there may be more.
    fn copy_stretch(&mut self, id: GenerationId, tables: &Tables) -> Result<bool> {
        let Some(stretch) = stretch(tables, self.seen.get(&id).copied().flatten())? else { return Ok(false) };
        for row in stretch.rows {
            if !self.copy_row(id, tables, &row)? {
                self.doubtful.push((id, row));
            }
        }
        self.seen.insert(id, stretch.last);
        Ok(true)
    }

    /// Whether the row leads to its record.
    fn copy_row(&self, id: GenerationId, tables: &Tables, row: &OrderRow) -> Result<bool> {
        let Some(record) = tables.records.get(row.digest.as_bytes())? else { return Ok(false) };
        if Record::decode(&record).is_none_or(|record| record.sequence != row.sequence) {
            return Ok(false);
        }
        let into = self.to.tables(id, Calls::Here)?;
        into.order.insert(&OrderRow::key(row.sequence), &row.encode())?;
        into.records.insert(row.digest.as_bytes(), &record)?;
        Ok(true)
    }

    /// What was taken out of the index after it had been copied, perhaps.
    fn take_out(&mut self, gone: Gone) -> Result<()> {
        let (id, sequence) = match gone {
            Gone::Row(id, sequence) => (id, sequence),
            Gone::All(id) => {
                self.seen.remove(&id);
                self.doubtful.retain(|(other, _)| *other != id);
                self.to.drop_tables(id, Calls::Here)?;
                return self.to.forget_dropped();
            }
        };
        let (tables, key) = (self.to.tables(id, Calls::Here)?, OrderRow::key(sequence));
        let Some(row) = tables.order.get(&key)?.and_then(|value| OrderRow::decode(&key, &value)) else {
            return Ok(());
        };
        let record = tables.records.get(row.digest.as_bytes())?;
        if record.as_deref().and_then(Record::decode).is_some_and(|record| record.sequence == sequence) {
            tables.records.remove(row.digest.as_bytes())?;
        }
        tables.order.remove(&key)
    }

    /// The copy is whole and survives the process.
    fn seal(&self, ledger: &Ledger) -> Result<()> {
        for (id, generation) in &ledger.generations {
            self.to.catalog().insert(&id.0, &generation.row.encode())?;
        }
        self.to.flush()
    }

    /// From MANIFEST on the copy is the index, also for the next engine if this one fails just now.
    fn swap(&mut self, from: &Arc<Engine>) -> Result<bool> {
        let directory = self.core.directory.as_deref().unwrap_or(Path::new(""));
        self.core.in_charge(|| {
            Manifest::open(self.number).write(directory)?;
            self.core.index.store(self.number, Ordering::Release);
            Ok(())
        })?;
        self.named = true;
        Ok(self.core.relieve(from, &self.to))
    }

    /// The folder goes, unless MANIFEST names it.
    fn give_up(self) {
        let let_go = alone(self.core, self.to).and_then(|engine| engine.close(&self.folder));
        if let_go.is_ok() && !self.named {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
