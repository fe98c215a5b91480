//! `StoreBuilder`: the options of a store, their checks, and the open itself.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    error::{Error, Kind, Result},
    observe::{Event, Observers},
    store::{
        Handle, Store,
        core::{Core, Settings},
        engine::Manner,
        lifecycle,
        maintenance::Maintenance,
        manifest,
        patience::Patience,
        registry::{self, Admitted},
    },
    sync::lock,
    temporary::Temporary,
    testing::Faults,
};

const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const MEMORY: u64 = 256 << 20;
const MAX_WAIT: Duration = Duration::from_secs(5 * 60);

/// How long an open waits for its index; after that the store goes on without, until it is there.
const OPENING: Duration = Duration::from_secs(60);

/// The options of a [`Store`], set before it is opened.
///
/// # Examples
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// use memolith::{Store, observe::Event};
///
/// let store = Store::builder()
///     .max_bytes(4 << 30)
///     .observer(|event| {
///         if let Event::Failed { error, .. } = event {
///             eprintln!("the cache: {error}");
///         }
///     })
///     .open(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `open`"]
pub struct StoreBuilder {
    lock_timeout: Option<Duration>,
    asked: Asked,
    observers: Observers,
    clock: Clock,
    faults: Faults,
    patience: Option<Duration>,
    opening: Option<Duration>,
    compacted_when: Option<(u64, u64)>,
}

/// What was set, as opposed to left at its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    memory: Option<u64>,
    max_bytes: Option<u64>,
    max_wait: Option<Duration>,
    engine_timeout: Option<Duration>,
}

impl StoreBuilder {
    /// How long to wait for another process that has the store open; one second unless set. Zero tries once.
    pub fn lock_timeout(mut self, wait: Duration) -> Self {
        self.lock_timeout = Some(wait);
        self
    }

    /// How much may be kept in memory, in bytes of encoded values, by all memos together; 256 MiB unless set.
    ///
    /// A hit from memory costs a tenth of one from disk. Zero turns the memory tier off. A value larger than this is read
    /// from disk at each hit, and counted in [`Stats::too_large_for_memory`](crate::Stats::too_large_for_memory).
    pub fn memory(mut self, bytes: u64) -> Self {
        self.asked.memory = Some(bytes);
        self
    }

    /// How much all memos together may hold on disk, in bytes of payloads, key heads and headers; no bound unless set.
    ///
    /// Expired entries leave first, then those of retired generations, then the oldest insertions of any memo. The files
    /// take more: see [`Store::size_on_disk`].
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.asked.max_bytes = Some(bytes);
        self
    }

    /// How long a caller waits for another one that computes the same key before it computes too; five minutes unless
    /// set.
    ///
    /// It only matters for a computation that hangs, or that waits (by a channel, or a join of rayon) for work which
    /// waits for the same key: such a wait cannot be seen. Re-entry and cycles of keys are seen and never wait.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.asked.max_wait = Some(wait);
        self
    }

    /// Makes every call of the storage engine on another thread, and gives it up when it takes longer than `wait` (counted in
    /// steps of 100 ms): the caller goes on as if there were no disk, and so does everybody else until the engine answers.
    ///
    /// Without it the same holds, after 5 s, for all that writes what must stay (a value that took over 15 ms to compute,
    /// [`insert`](crate::Memo::insert), [`remove`](crate::Memo::remove), [`clear`](crate::Memo::clear), a flush), and for
    /// everybody else when a call has not answered for 5 s. But what is read from the index, what was quickly computed, and
    /// what counts or sweeps is read and written on the thread of its caller, who stays in that call for as long as it takes: to
    /// be handed over costs 4 to 18 us, and a hit from disk takes 1 to 2 us in all.
    ///
    /// Set it where the disk itself may stop answering, and a computation is better than a late answer. Values over 4 KiB have
    /// files of their own: these are read and written on the thread of the caller in any case. An index that is being opened
    /// is waited for for a minute.
    pub fn engine_timeout(mut self, wait: Duration) -> Self {
        self.asked.engine_timeout = Some(wait);
        self
    }

    /// Calls `observe` with everything that the cache does: hits, misses, computations, evictions, failures.
    ///
    /// It runs on the thread of the call that caused it, never under a lock, and may use the cache itself: what it causes
    /// is told to nobody. If it panics, the panic is contained and counted in [`Failures::panic`](crate::stats::Failures::panic). Set more than once, all
    /// are called, in their order. One that owns a handle of the store keeps it open until the end of the program. See
    /// [`observe`](crate::observe).
    pub fn observer(mut self, observe: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.observers.push(Arc::new(observe));
        self
    }

    #[doc(hidden)]
    #[cfg(feature = "testing")]
    pub fn clock(mut self, clock: &crate::testing::ManualClock) -> Self {
        self.clock = Clock::manual(clock.clone());
        self
    }

    #[doc(hidden)]
    #[cfg(feature = "testing")]
    pub fn faults(mut self, faults: &Faults) -> Self {
        self.faults = faults.clone();
        self
    }

    #[doc(hidden)]
    #[cfg(feature = "testing")]
    pub fn patience(mut self, wait: Duration) -> Self {
        self.patience = Some(wait);
        self
    }

    #[doc(hidden)]
    #[cfg(feature = "testing")]
    pub fn opening(mut self, wait: Duration) -> Self {
        self.opening = Some(wait);
        self
    }

    #[doc(hidden)]
    #[cfg(feature = "testing")]
    pub fn compacted_when(mut self, over: u64, times: u64) -> Self {
        self.compacted_when = Some((over, times));
        self
    }

    /// Opens the store in the directory `path`, which is made if there is none.
    ///
    /// # Errors
    ///
    /// As [`Store::open`]; [`is_config`](Error::is_config) also when this process has the store open with an option that was
    /// set differently, or a bound is zero.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        self.check()?;
        let directory = lifecycle::prepare(path.as_ref())?;
        match registry::admit(&directory)? {
            Admitted::Open(handle) => self.join(handle),
            Admitted::Ours => self.open_ours(&directory),
        }
    }

    /// As [`Store::open_or_temporary`], with these options.
    #[must_use]
    pub fn open_or_temporary(self, path: impl AsRef<Path>) -> Store {
        self.clone().open(path).unwrap_or_else(|why| self.instead(&why))
    }

    /// A store in place of one that was not to be had, which says why.
    pub(crate) fn instead(self, why: &Error) -> Store {
        let store = self.clone().temporary().unwrap_or_else(|_| self.in_memory());
        store.core().failed(why);
        store
    }

    /// As [`Store::temporary`], with these options.
    ///
    /// # Errors
    ///
    /// [`is_io`](Error::is_io) when no temporary directory can be made.
    pub fn temporary(self) -> Result<Store> {
        self.check()?;
        let temporary = Temporary::new()?;
        let store = self.open(temporary.path())?;
        *lock(&store.core().temporary) = Some(temporary);
        Ok(store)
    }

    fn check(&self) -> Result<()> {
        if self.asked.max_bytes == Some(0) {
            let message = "`max_bytes` of a store is 0: nothing could be stored; leave it out for no bound";
            return Err(Error::new(Kind::Config, message));
        }
        Ok(())
    }

    /// The store is open: nothing may be set otherwise.
    fn join(self, handle: Arc<Handle>) -> Result<Store> {
        let Asked { memory, max_bytes, max_wait, engine_timeout } = handle.asked;
        let differs = |asked: bool, what: &str| asked.then(|| what.to_owned());
        let differing = differs(self.asked.memory.is_some() && self.asked.memory != memory, "memory")
            .or(differs(self.asked.max_bytes.is_some() && self.asked.max_bytes != max_bytes, "max_bytes"))
            .or(differs(self.asked.max_wait.is_some() && self.asked.max_wait != max_wait, "max_wait"))
            .or(differs(
                self.asked.engine_timeout.is_some() && self.asked.engine_timeout != engine_timeout,
                "engine_timeout",
            ))
            .or(differs(!self.observers.is_empty(), "observer"));
        match differing {
            None => Ok(Store { handle }),
            Some(what) => {
                let message = format!(
                    "this process has the store open with another `{what}`: set it where it is opened first, or leave it out"
                );
                Err(Error::new(Kind::Config, message))
            }
        }
    }

    fn open_ours(self, directory: &Path) -> Result<Store> {
        let core = Arc::new(Core::new(Some(directory.to_owned()), &self.settings()));
        let started = self.start(&core, directory);
        if let Err(error) = started {
            // The directory is free again before others may come to it.
            lock(&core.lock_file).take();
            registry::forget(directory);
            core.tell_noted();
            return Err(error);
        }
        let store = self.handle(core);
        registry::opened(directory, &store.handle);
        // From here on code of the user may run: an observer may open the store itself.
        let core = store.core();
        core.tell_noted();
        // The bound may be lower than that of the last run.
        if let Err(error) = core.make_room(None) {
            core.failed(&error);
        }
        Ok(store)
    }

    fn start(&self, core: &Arc<Core>, directory: &Path) -> Result<()> {
        let lock_file = manifest::lock(directory, self.lock_timeout.unwrap_or(LOCK_TIMEOUT))?;
        *lock(&core.lock_file) = Some(lock_file);
        // What may pass is waited for; what will not, the caller must know now.
        core.start().or_else(|error| if error.is_io() { Ok(()) } else { Err(error) })?;
        Maintenance::start(core);
        Ok(())
    }

    pub(crate) fn in_memory(self) -> Store {
        let core = Arc::new(Core::new(None, &self.settings()));
        self.handle(core)
    }

    fn handle(self, core: Arc<Core>) -> Store {
        Store { handle: Arc::new(Handle { core, asked: self.asked, live: super::Mutex::default() }) }
    }

    fn settings(&self) -> Settings {
        Settings {
            memory: self.asked.memory.unwrap_or(MEMORY),
            max_bytes: self.asked.max_bytes,
            max_wait: self.asked.max_wait.unwrap_or(MAX_WAIT),
            observers: self.observers.clone(),
            clock: self.clock.clone(),
            manner: self.manner(),
            compacted_when: self.compacted_when,
        }
    }

    fn manner(&self) -> Manner {
        let wait = self.asked.engine_timeout.or(self.patience);
        Manner {
            patience: wait.map(Patience::of).unwrap_or_default(),
            opening: Patience::of(self.opening.unwrap_or(OPENING)),
            aside: self.asked.engine_timeout.is_some(),
            faults: self.faults.clone(),
        }
    }
}
