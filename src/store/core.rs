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
        Arc, Mutex, PoisonError, RwLock, TryLockError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    clock::{Clock, Stopwatch},
    error::{Error, Kind, Result},
    memory::{Held, Memory},
    observe::{Audience, Event, Observers},
    stats::{Counters, Stats},
    store::{
        blob,
        compaction::Growth,
        engine::{Engine, Health},
        ledger::{GenerationId, Ledger},
        lifecycle,
        maintenance::Maintenance,
        order::Tally,
        turnstile::{Inside, Turnstile},
        unverified::Unverified,
        writer::Leaving,
    },
    sync::lock,
    testing::Faults,
};

/// The first pause after the engine failed; it doubles up to [`LONGEST_REST`].
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

pub(crate) struct Core {
    /// Canonical; `None` for a store that found no directory at all and lives in memory.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) memory: Memory,
    pub(crate) audience: Audience,
    /// Failures of the store as a whole, and what dropped memos counted.
    pub(crate) counters: Counters,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_wait: Duration,
    pub(crate) maintenance: Maintenance,
    pub(super) growth: Growth,
    /// The counters of every memo that is or was open, by name.
    pub(crate) memo_counters: Mutex<HashMap<String, Arc<Counters>>>,
    slot: RwLock<Slot>,
    /// The writer lock.
    pub(super) ledger: Turnstile<Ledger>,
    /// The number of the live index.
    pub(super) index: AtomicU64,
    /// Whether accounts and blobs still want looking after, because that failed.
    pub(super) unrecovered: AtomicBool,
    /// Whether the live index must not be opened again.
    pub(super) condemned: AtomicBool,
    /// Held while one thread tries to bring the engine back.
    pub(super) reviving: Mutex<()>,
    /// Engines out of service that others may still be in: dropped by the tidying thread, when nobody is.
    leaving: Mutex<Vec<Arc<Engine>>>,
    /// How often the engine failed since a flush last succeeded.
    strikes: AtomicU32,
    /// How many engines ran so far: what was written to one is not made to stay by the flush of another.
    engines: AtomicU64,
    pub(super) unverified: Unverified,
    /// Retired files and folders that wait to be unlinked.
    rubbish: Mutex<Vec<PathBuf>>,
    closed: AtomicBool,
    /// Held for as long as the store lives.
    pub(super) lock_file: Mutex<Option<File>>,
    /// The directory of a temporary store, removed when it is closed.
    pub(super) temporary: Mutex<Option<TempDir>>,
}

/// Where the engine is when it runs.
enum Slot {
    Running(Arc<Engine>),
    Resting(Rest),
    Closed,
}

/// Why the engine is out of service, and when it is tried again.
struct Rest {
    error: Error,
    since: Stopwatch,
    pause: Duration,
}

/// 1 s, doubling with every failure up to 60 s. A condemned index is replaced without a pause at first: nothing has to
/// pass before a new one works.
fn pause(strikes: u32, condemned: bool) -> Duration {
    match strikes.checked_sub(u32::from(condemned)) {
        None => Duration::ZERO,
        Some(doublings) => (FIRST_REST * 2_u32.pow(doublings.min(6))).min(LONGEST_REST),
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
    pub(crate) faults: Faults,
    /// Only ever set by tests: see [`Growth`].
    pub(crate) compacted_when: Option<(u64, u64)>,
}

impl Core {
    /// Nothing runs yet: [`lifecycle`] starts it.
    pub(super) fn new(directory: Option<PathBuf>, settings: &Settings) -> Self {
        Self {
            directory,
            clock: settings.clock.clone(),
            faults: settings.faults.clone(),
            memory: Memory::new(settings.memory),
            audience: Audience::new(settings.observers.clone()),
            counters: Counters::default(),
            max_bytes: settings.max_bytes,
            max_wait: settings.max_wait,
            maintenance: Maintenance::default(),
            growth: Growth::new(settings.compacted_when),
            memo_counters: Mutex::default(),
            slot: RwLock::new(Slot::Closed),
            ledger: Turnstile::default(),
            index: AtomicU64::new(0),
            unrecovered: AtomicBool::new(false),
            condemned: AtomicBool::new(false),
            reviving: Mutex::new(()),
            leaving: Mutex::default(),
            strikes: AtomicU32::new(0),
            engines: AtomicU64::new(0),
            unverified: Unverified::default(),
            rubbish: Mutex::default(),
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

    /// The engine, if it is in service.
    pub(crate) fn engine(&self) -> Result<Arc<Engine>> {
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Running(engine) => Ok(Arc::clone(engine)),
            Slot::Resting(rest) => Err(rest.error.clone()),
            Slot::Closed => Err(self.closed_error()),
        }
    }

    /// The engine, brought back when its rest is over. Not to be called under the writer lock.
    pub(crate) fn awake(&self) -> Result<Arc<Engine>> {
        let running = self.engine();
        if running.is_err() && self.rest_is_over() {
            self.revive();
            return self.engine();
        }
        running
    }

    fn rest_is_over(&self) -> bool {
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Resting(rest) => rest.since.elapsed() >= rest.pause,
            _ => false,
        }
    }

    fn revive(&self) {
        let _one = match self.reviving.try_lock() {
            Ok(one) => one,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if !self.rest_is_over() || self.is_closed() {
            return;
        }
        match lifecycle::start(self) {
            Ok(true) => self.maintenance.recover(),
            Ok(false) => {}
            Err(error) => self.rest(&error),
        }
    }

    pub(super) fn run(&self, engine: Engine) {
        self.engines.fetch_add(1, Ordering::AcqRel);
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = Slot::Running(Arc::new(engine));
    }

    /// The ledger, under the writer lock.
    pub(super) fn ledger(&self) -> Result<Inside<'_, Ledger>> {
        self.ledger.enter()
    }

    pub(super) fn is_running(&self, engine: &Arc<Engine>) -> bool {
        self.engine().is_ok_and(|running| Arc::ptr_eq(&running, engine))
    }

    /// Puts an engine that holds the same in the place of `engine`, unless that is out of service by now. It counts as
    /// the same one: what was written to the old one is in it, and stays. MANIFEST names the new one already: whatever
    /// was held against the index was of the old one.
    pub(super) fn relieve(&self, engine: &Arc<Engine>, by: &Arc<Engine>) -> bool {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        self.condemned.store(false, Ordering::Release);
        let is_running = matches!(&*slot, Slot::Running(running) if Arc::ptr_eq(running, engine));
        if is_running {
            *slot = Slot::Running(Arc::clone(by));
        }
        is_running
    }

    /// Takes the engine out of its slot for good.
    pub(super) fn stop(&self) -> Option<Arc<Engine>> {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *slot, Slot::Closed) {
            Slot::Running(engine) => Some(engine),
            _ => None,
        }
    }

    /// Takes `engine` out of service for a while, the longer the more often it failed, unless another one runs by now.
    /// Whether it was in service.
    fn dismiss(&self, engine: &Arc<Engine>, error: &Error, damaged: bool) -> bool {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        if !matches!(&*slot, Slot::Running(running) if Arc::ptr_eq(running, engine)) {
            return false;
        }
        self.condemned.fetch_or(damaged, Ordering::AcqRel);
        *slot = self.resting(error);
        drop(slot);
        lock(&self.leaving).push(Arc::clone(engine));
        self.maintenance.unlink();
        true
    }

    /// Puts off the next attempt to bring an engine up, after one that failed.
    pub(super) fn rest(&self, error: &Error) {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        if !self.is_closed() {
            *slot = self.resting(error);
        }
    }

    fn resting(&self, error: &Error) -> Slot {
        let strikes = self.strikes.fetch_add(1, Ordering::AcqRel);
        let pause = pause(strikes, self.condemned.load(Ordering::Acquire));
        Slot::Resting(Rest { error: error.clone(), since: self.clock.stopwatch(), pause })
    }

    /// Drops the engines that are out of service. One that somebody never comes back from is leaked.
    pub(super) fn bury_engines(&self) {
        let leaving = std::mem::take(&mut *lock(&self.leaving));
        for engine in leaving {
            // That it could not write its last is known: that is why it is here.
            let _ = lifecycle::alone(engine).and_then(Engine::bury);
        }
    }

    /// Passes on the outcome of calls to `engine`. When one failed, its health decides what becomes of it: after a
    /// refusal of the operating system it is opened again later, a damaged index never.
    pub(crate) fn minded<T>(&self, engine: &Arc<Engine>, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| {
            let health = engine.health();
            if health != Health::Sound {
                self.dismiss(engine, error, health == Health::Damaged);
            }
        })
    }

    /// An engine that does not answer is left where it is: leaked, so that nobody waits for it any more.
    pub(super) fn condemn(&self, engine: &Weak<Engine>, error: &Error) {
        if let Some(engine) = engine.upgrade()
            && self.dismiss(&engine, error, true)
        {
            std::mem::forget(engine);
        }
        self.failed(error);
    }

    fn closed_error(&self) -> Error {
        let message = match &self.directory {
            Some(directory) => format!("the store at {} is closed: open it again", directory.display()),
            None => "the store has no directory, results are kept in memory only".into(),
        };
        Error::new(Kind::Closed, message)
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
        self.counters.failed(error);
        self.tell(None, &Event::Failed { memo: None, error });
    }

    /// Drops what left the memory tier and tells what was evicted: after the writer lock was given back.
    pub(crate) fn settle(&self, leaving: Leaving) {
        for (memo, left) in &leaving.left {
            self.counters_of(memo).evicted(left.for_room);
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
                self.failed(&Error::panicked("the `Drop` of a value that left the memory", panic.as_ref()));
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
            // Weak: a close waits until nobody holds the engine, and whoever waits for a flush may wait for the close.
            let engine = Arc::downgrade(&engine);
            return self.maintenance.flush(self, &engine);
        }
        Ok(())
    }

    /// The flush itself, on the thread of the caller.
    pub(super) fn flush_now(&self) -> Result<()> {
        let engine = self.engine()?;
        self.minded(&engine, engine.flush())?;
        self.strikes.store(0, Ordering::Release);
        Ok(())
    }

    /// The folder of the live index.
    pub(super) fn index_directory(&self, directory: &Path) -> PathBuf {
        directory.join(format!("index-{}", self.index.load(Ordering::Acquire)))
    }
}
