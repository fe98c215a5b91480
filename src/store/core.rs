//! What all handles of one store share: the engine in its slot, the writer lock, the memory tier, and what waits to be
//! unlinked.
//!
//! Lock order: the writer lock, then the flight table, then a shard of the memory tier. The slot and the rubbish are
//! leaves. No code of the user runs under any of them.

use std::{
    collections::HashMap,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::{Clock, Stopwatch},
    error::{Error, Kind, Result},
    memory::{Held, Memory},
    observe::{Audience, Event, Observers},
    stats::{Counters, Stats},
    store::{
        blob,
        compaction::Growth,
        engine::{Engine, Manner},
        ledger::{GenerationId, Ledger},
        maintenance::Maintenance,
        order::Tally,
        service::Slot,
        turnstile::{Inside, Turnstile},
        unverified::Unverified,
        writer::Leaving,
    },
    sync::lock,
    temporary::Temporary,
};

pub(crate) struct Core {
    /// Canonical; `None` for a store that found no directory at all and lives in memory.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) clock: Clock,
    pub(crate) memory: Memory,
    pub(crate) audience: Audience,
    /// Failures of the store as a whole, and what dropped memos counted.
    pub(crate) counters: Counters,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_wait: Duration,
    /// How the engine is called, and for how long it is waited for.
    pub(super) manner: Manner,
    pub(crate) maintenance: Maintenance,
    pub(super) growth: Growth,
    /// The counters of every memo that is or was open, by name.
    pub(crate) memo_counters: Mutex<HashMap<String, Arc<Counters>>>,
    pub(super) slot: RwLock<Slot>,
    /// The writer lock.
    pub(super) ledger: Turnstile<Ledger>,
    /// The number of the live index.
    pub(super) index: AtomicU64,
    /// Whether accounts and blobs still want looking after, because that failed.
    pub(super) unrecovered: AtomicBool,
    pub(super) recoveries: Recoveries,
    /// Whether the live index must not be opened again.
    pub(super) condemned: AtomicBool,
    /// Held while one thread tries to bring the engine back.
    pub(super) reviving: Mutex<()>,
    /// Engines out of service that others may still be in: dropped by the tidying thread, when nobody is.
    pub(super) leaving: Mutex<Vec<Arc<Engine>>>,
    /// An engine that hangs while it is dropped: since when, and whether it has come to its end.
    pub(super) burial: Mutex<Option<(Stopwatch, Arc<AtomicBool>)>>,
    /// How often the engine failed since a flush last succeeded.
    pub(super) strikes: AtomicU32,
    /// How many engines ran so far: what was written to one is not made to stay by the flush of another.
    pub(super) engines: AtomicU64,
    pub(super) unverified: Unverified,
    /// Retired files and folders that wait to be unlinked.
    rubbish: Mutex<Vec<PathBuf>>,
    /// Failures that are counted, and not told yet: they came up under a lock.
    untold: Mutex<Vec<Error>>,
    closed: AtomicBool,
    /// Held for as long as the store lives.
    pub(super) lock_file: Mutex<Option<File>>,
    /// The directory of a temporary store, removed when it is closed.
    pub(super) temporary: Mutex<Option<Temporary>>,
}

/// How often accounts and blobs were to be looked after, and how far that was done: a close that comes in between leaves
/// word of it, or an orphan of today could come back for a newer value when the index is lost one day.
#[derive(Default)]
pub(super) struct Recoveries {
    ordered: AtomicU64,
    done: AtomicU64,
}

impl Recoveries {
    pub(super) fn ordered(&self) -> u64 {
        self.ordered.load(Ordering::Acquire)
    }

    /// All that had been ordered by then.
    pub(super) fn done(&self, ordered: u64) {
        self.done.fetch_max(ordered, Ordering::AcqRel);
    }

    pub(super) fn are_done(&self) -> bool {
        self.done.load(Ordering::Acquire) >= self.ordered()
    }
}

/// What a store is opened with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) memory: u64,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_wait: Duration,
    pub(crate) observers: Observers,
    pub(crate) clock: Clock,
    pub(crate) manner: Manner,
    /// Only ever set by tests: see [`Growth`].
    pub(crate) compacted_when: Option<(u64, u64)>,
}

impl Core {
    /// Nothing runs yet: [`lifecycle`] starts it.
    pub(super) fn new(directory: Option<PathBuf>, settings: &Settings) -> Self {
        Self {
            directory,
            clock: settings.clock.clone(),
            manner: settings.manner.clone(),
            memory: Memory::new(settings.memory),
            audience: Audience::new(settings.observers.clone()),
            counters: Counters::default(),
            max_bytes: settings.max_bytes,
            max_wait: settings.max_wait,
            maintenance: Maintenance::default(),
            growth: Growth::new(settings.compacted_when, settings.manner.leave()),
            memo_counters: Mutex::default(),
            slot: RwLock::new(Slot::Closed),
            ledger: Turnstile::new(settings.manner.leave()),
            index: AtomicU64::new(0),
            unrecovered: AtomicBool::new(false),
            recoveries: Recoveries::default(),
            condemned: AtomicBool::new(false),
            reviving: Mutex::new(()),
            leaving: Mutex::default(),
            burial: Mutex::default(),
            strikes: AtomicU32::new(0),
            engines: AtomicU64::new(0),
            unverified: Unverified::default(),
            rubbish: Mutex::default(),
            untold: Mutex::default(),
            closed: AtomicBool::new(false),
            lock_file: Mutex::new(None),
            temporary: Mutex::new(None),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn mark_closed(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// The ledger, under the writer lock.
    pub(super) fn ledger(&self) -> Result<Inside<'_, Ledger>> {
        self.ledger.enter()
    }

    pub(super) fn closed_error(&self) -> Error {
        let message = match &self.directory {
            Some(directory) => format!("the store at {} is closed: open it again", directory.display()),
            None => "the store has no directory, results are kept in memory only".into(),
        };
        Error::new(Kind::Closed, message)
    }

    /// Accounts and blobs want looking after: after an unclean end, or a new index.
    pub(super) fn recover(&self) {
        self.recoveries.ordered.fetch_add(1, Ordering::AcqRel);
        self.maintenance.recover();
    }

    /// A place in the store's directory.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join(name))
    }

    pub(crate) fn trash(&self) -> Option<PathBuf> {
        self.path("trash")
    }

    /// Hands a retired file or folder to the maintenance thread.
    pub(crate) fn discard(&self, retired: Option<PathBuf>) {
        if let Some(retired) = retired {
            lock(&self.rubbish).push(retired);
            self.maintenance.unlink();
        }
    }

    /// Unlinks what was retired and has not been unlinked yet.
    pub(crate) fn unlink_rubbish(&self) {
        let rubbish = std::mem::take(&mut *lock(&self.rubbish));
        for retired in rubbish {
            blob::unlink(&retired);
        }
    }

    /// Tells the observers of the memo, and those of the store. One that panics is counted, and not told of that.
    pub(crate) fn tell(&self, of_memo: Option<&Observers>, event: &Event<'_>) {
        self.audience.tell(of_memo, event).iter().for_each(|panic| self.counters.failed(panic));
    }

    /// Counts, keeps and tells a failure of the store as a whole.
    pub(crate) fn failed(&self, error: &Error) {
        self.note(error);
        self.tell_noted();
    }

    /// The same where a lock is held, or others wait: it is told later.
    pub(crate) fn note(&self, error: &Error) {
        self.counters.failed(error);
        lock(&self.untold).push(error.clone());
    }

    /// Tells what was noted.
    pub(crate) fn tell_noted(&self) {
        let untold = std::mem::take(&mut *lock(&self.untold));
        for error in &untold {
            self.tell(None, &Event::Failed { memo: None, error });
        }
    }

    /// Drops what left the memory tier and tells what was evicted: after the writer lock was given back.
    pub(crate) fn settle(&self, leaving: Leaving) {
        for (memo, left) in &leaving.left {
            let observers = self.audience.of_memo(memo);
            left.events(memo).for_each(|event| self.tell(observers.as_deref(), &event));
        }
        leaving.errors.iter().for_each(|error| self.failed(error));
        self.release(leaving.values);
    }

    /// Drops values out of the memory tier, one by one: a panic in the drop of one is no concern of this call, nor of the
    /// next value.
    pub(crate) fn release(&self, values: impl IntoIterator<Item = Arc<Held>>) {
        for value in values {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
                self.failed(&Error::panicked("the `Drop` of a value that left the memory", panic));
            }
        }
    }

    pub(crate) fn counters_of(&self, name: &str) -> Arc<Counters> {
        let mut counters = lock(&self.memo_counters);
        if let Some(counters) = counters.get(name) {
            return Arc::clone(counters);
        }
        Arc::clone(counters.entry(name.to_owned()).or_default())
    }

    /// Of the store and of every memo that it had open.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.counters.snapshot();
        lock(&self.memo_counters).values().for_each(|counters| stats.add(&counters.snapshot()));
        stats
    }

    /// Live entries of every generation, and their bytes; nothing of those that cannot be read.
    pub(crate) fn count_all(&self) -> Tally {
        // In stretches first, where an unclean end left something uncounted: others write meanwhile.
        let names = self.ledger().map_or_else(|_| Vec::new(), |ledger| ledger.names());
        for name in names {
            let _ = self.recount(&name);
        }
        let Ok(mut writer) = self.writer() else { return Tally::default() };
        let generations: Vec<GenerationId> = writer.ledger().of_name(None).map(|(id, _)| id).collect();
        let mut held = Tally::default();
        for id in generations {
            held.add(writer.count_live(id).unwrap_or_default());
        }
        writer.finish();
        held
    }

    /// Which engine runs, by its number.
    pub(crate) fn engine_number(&self) -> u64 {
        self.engines.load(Ordering::Acquire)
    }

    /// Makes what was written to the engine of that number survive the process.
    pub(crate) fn flush_engine(&self, number: u64) -> Result<()> {
        self.flush()?;
        if self.directory.is_some() && self.engine_number() != number {
            return Err(Error::new(
                Kind::Engine,
                "the storage engine failed before it had written everything",
            ));
        }
        Ok(())
    }

    /// Makes everything that was acknowledged survive the process.
    pub(crate) fn flush(&self) -> Result<()> {
        if self.directory.is_none() {
            return Ok(());
        }
        let engine = self.engine()?;
        if engine.is_dirty() {
            // A close waits until nobody holds the engine, and whoever waits for a flush may wait for the close.
            drop(engine);
            return self.maintenance.flush(self);
        }
        Ok(())
    }

    /// The flush itself, on the thread of the caller.
    pub(super) fn flush_now(&self) -> Result<()> {
        self.flush_engine_now(&self.engine()?)
    }

    pub(super) fn flush_engine_now(&self, engine: &Arc<Engine>) -> Result<()> {
        self.minded(engine, engine.flush())?;
        self.strikes.store(0, Ordering::Release);
        Ok(())
    }

    /// The folder of the live index.
    pub(super) fn index_directory(&self, directory: &Path) -> PathBuf {
        directory.join(format!("index-{}", self.index.load(Ordering::Acquire)))
    }
}
