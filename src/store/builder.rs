//! `StoreBuilder`: the options of a store, their checks, and the open itself.

use std::{fs, path::Path, sync::Arc, time::Duration};

#[cfg(unix)]
use crate::store::process::{self, Unjoined};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    observe::{Event, Observers, Warning},
    remote::Server,
    store::{
        Store,
        handle::{Asked, Handle},
        lock,
        manifest::Manifest,
        overlay,
        registry::{self, Admitted},
        session::{Session, Settings, Untold},
        tags,
        worker::{self, Directory, Place, Tuning},
    },
    temporary::Temporary,
};
#[cfg(feature = "redis")]
use crate::{remote::Redis, store::remote};

const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const MEMORY: u64 = 256 << 20;
const MAX_WAIT: Duration = Duration::from_secs(5 * 60);

const MAX_STALL: Duration = Duration::from_secs(1);

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
    exclusive: bool,
    asked: Asked,
    observers: Observers,
    #[cfg(feature = "redis")]
    redis: Option<Redis>,
    clock: Clock,
    tuning: Tuning,
}

impl Store {
    /// The options of a store.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path();
    /// use std::time::Duration;
    ///
    /// let store = memolith::Store::builder()
    ///     .lock_timeout(Duration::from_secs(10))
    ///     .memory(64 << 20)
    ///     .max_bytes(10 << 30)
    ///     .open(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> StoreBuilder {
        StoreBuilder::default()
    }
}

impl StoreBuilder {
    /// How long to wait for another process that has the store open and serves no others; one second unless set. Zero tries
    /// once.
    pub fn lock_timeout(mut self, wait: Duration) -> Self {
        self.lock_timeout = Some(wait);
        self
    }

    /// Whether other processes are kept out while this one has the store open; `false` unless set. They then wait for
    /// [`lock_timeout`](Self::lock_timeout), and get an error of the kind [`InUse`](ErrorKind::InUse).
    ///
    /// Without it any number of processes use one directory at the same time: see [`Store::role`].
    pub fn exclusive(mut self, exclusive: bool) -> Self {
        self.exclusive = exclusive;
        self
    }

    /// How much may be kept in memory, in bytes of encoded values and keys, by all memos together; 256 MiB unless set.
    /// An entry counts some 400 bytes more.
    ///
    /// A hit from memory costs a fifth of one from disk, or less. Zero turns the memory tier off. A value larger than this is read
    /// from disk at each hit, and counted in [`Stats::too_large_for_memory`](crate::Stats::too_large_for_memory).
    pub fn memory(mut self, bytes: u64) -> Self {
        self.asked.memory = Some(bytes);
        self
    }

    /// How much all memos together may hold on disk, or [in memory](Store::in_memory), in bytes of payloads, key heads and
    /// headers; no bound unless set.
    ///
    /// Expired entries leave first, then those of retired generations, then the oldest insertions of any memo. An entry
    /// leaves when the new one is written, shortly after its call returned: see
    /// [`MemoBuilder::max_entries`](crate::MemoBuilder::max_entries). The files take more: see
    /// [`Usage::disk_bytes`](crate::Usage::disk_bytes).
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

    /// How long other callers of this process wait for a *task* that computes their key and does not go on: it was woken, and is
    /// not polled. Then one of them computes too; one second unless set. Callers of other processes do the same if this one hosts
    /// the store, and wait for [`max_wait`](Self::max_wait) else.
    ///
    /// It matters for a future that was polled and is neither polled further nor dropped, and for a runtime that is busy with
    /// blocking work. A task that waits for its own input or output was not woken: it has the time of
    /// [`max_wait`](Self::max_wait). See [`future`](crate::future).
    pub fn max_stall(mut self, stall: Duration) -> Self {
        self.asked.max_stall = Some(stall);
        self
    }

    /// Calls `observe` with everything that the cache does: hits, misses, computations, evictions, failures.
    ///
    /// It runs on the thread of the call that caused it; events of values that were handed over (entries that left,
    /// failures) are told on the thread of a later call, or on a thread of the store. It never runs under a lock, and may
    /// use the cache itself: events that it causes are not told. If it panics, the panic is contained and counted in
    /// [`Failures::panic`](crate::stats::Failures::panic). Set more than once, all are called, in their order. One that
    /// owns a handle of the store keeps it open until the end of the program. See [`observe`](crate::observe).
    pub fn observer(mut self, observe: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.observers.push(Arc::new(observe));
        self
    }

    /// Shares the values of all memos with the stores of other machines through a server: see [`remote`](crate::remote).
    ///
    /// A memo that is [`local_only`](crate::MemoBuilder::local_only), and what is computed from tracked
    /// [inputs](crate::inputs), stays on its machine. A server that does not answer is no error: it is told to the observers,
    /// kept in [`Store::last_failure`], and the store works without it until it answers.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path();
    /// use memolith::{Store, remote::Redis};
    ///
    /// let redis = Redis::open("redis://cache.internal:6379/0")?.namespace("shop");
    /// let store = Store::builder().remote(redis).open(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "redis")]
    pub fn remote(mut self, redis: Redis) -> Self {
        self.redis = Some(redis);
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
    pub fn faults(mut self, faults: &crate::testing::Faults) -> Self {
        self.tuning.faults = faults.clone();
        self
    }

    /// How long calls wait for a worker that makes no progress.
    #[doc(hidden)]
    #[cfg(feature = "testing")]
    pub fn reply_timeout(mut self, wait: Duration) -> Self {
        self.tuning.reply_timeout = wait;
        self.tuning.close_timeout = wait;
        self
    }

    #[doc(hidden)]
    #[cfg(feature = "testing")]
    pub fn open_timeout(mut self, wait: Duration) -> Self {
        self.tuning.open_timeout = wait;
        self
    }

    #[doc(hidden)]
    #[cfg(feature = "testing")]
    pub fn compacted_when(mut self, over: u64, times: u64) -> Self {
        self.tuning.compacted_when = Some((over, times));
        self
    }

    /// Opens the store in the directory `path`, which is made if there is none.
    ///
    /// # Errors
    ///
    /// As [`Store::open`]; [`Config`](crate::ErrorKind::Config) also if this process has the store open with an option
    /// that was set differently, or if a bound is zero.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        self.open_in(path.as_ref(), None)
    }

    /// `temporary` removes the directory when the store is closed.
    fn open_in(self, path: &Path, temporary: Option<Temporary>) -> Result<Store> {
        self.check()?;
        registry::check_origin()?;
        let is_new = fs::symlink_metadata(path).is_err();
        let directory = worker::prepare(path)?;
        if is_new {
            tags::write(&directory);
        }
        match registry::admit(&directory)? {
            Admitted::Open(handle) => self.join(handle),
            Admitted::Ours => {
                let overlay = if temporary.is_some() { Ok(None) } else { overlay::over(&directory) };
                let opened = overlay.and_then(|overlay| match overlay {
                    Some(folder) => {
                        let path = folder.path().to_owned();
                        self.start_in(Some(Place::new(path, Some(directory.clone()))), Some(folder))
                    }
                    None => self.start_in(Some(Place::new(directory.clone(), None)), temporary),
                });
                opened.inspect_err(|_| registry::forget(&directory))
            }
        }
    }

    /// As [`Store::open_or_temporary`], with these options.
    #[must_use]
    pub fn open_or_temporary(self, path: impl AsRef<Path>) -> Store {
        self.clone().open(path).unwrap_or_else(|why| self.instead(&why))
    }

    /// A store in place of one that could not be opened, which says why.
    pub(crate) fn instead(self, why: &Error) -> Store {
        let store = self.clone().temporary().or_else(|_| self.clone().in_memory());
        let store = store.unwrap_or_else(|_| self.without_worker());
        store.session().failed(why);
        store
    }

    /// As [`Store::temporary`], with these options.
    ///
    /// # Errors
    ///
    /// As [`Store::temporary`]; [`Config`](crate::ErrorKind::Config) also if a bound is zero.
    pub fn temporary(self) -> Result<Store> {
        self.check()?;
        registry::check_origin()?;
        let temporary = Temporary::new()?;
        let path = temporary.path().to_owned();
        self.open_in(&path, Some(temporary))
    }

    /// As [`Store::in_memory`], with these options.
    ///
    /// [`max_bytes`](Self::max_bytes) bounds the encoded values in memory. [`memory`](Self::memory) bounds the decoded values,
    /// which are kept beside them for quick hits; [`lock_timeout`](Self::lock_timeout) has no effect.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if a bound is zero.
    ///
    /// ```
    /// let store = memolith::Store::builder().max_bytes(64 << 20).memory(0).in_memory()?;
    /// assert!(store.path().is_none());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn in_memory(self) -> Result<Store> {
        self.check()?;
        self.start_in(None, None)
    }

    fn check(&self) -> Result<()> {
        if self.asked.max_bytes == Some(0) {
            let message = "`max_bytes` of a store is 0: nothing could be stored; leave it out for no bound";
            return Err(Error::new(ErrorKind::Config, message));
        }
        #[cfg(feature = "redis")]
        self.redis.as_ref().map_or(Ok(()), Redis::check)?;
        Ok(())
    }

    /// The store is open: nothing may be set otherwise.
    fn join(self, handle: Arc<Handle>) -> Result<Store> {
        let Asked { memory, max_bytes, max_wait, max_stall } = handle.asked;
        let differs = |asked: bool, what: &str| asked.then(|| what.to_owned());
        let differing = differs(self.asked.memory.is_some() && self.asked.memory != memory, "memory")
            .or(differs(self.asked.max_bytes.is_some() && self.asked.max_bytes != max_bytes, "max_bytes"))
            .or(differs(self.asked.max_wait.is_some() && self.asked.max_wait != max_wait, "max_wait"))
            .or(differs(self.asked.max_stall.is_some() && self.asked.max_stall != max_stall, "max_stall"))
            .or(differs(!self.observers.is_empty(), "observer"));
        #[cfg(feature = "redis")]
        let differing = differing.or_else(|| {
            let is_other = self
                .redis
                .as_ref()
                .is_some_and(|asked| handle.redis.as_ref().is_none_or(|redis| !redis.is_same(asked)));
            differs(is_other, "remote")
        });
        match differing {
            None => Ok(Store { handle }),
            Some(what) => {
                let message = format!(
                    "this process has the store open with another `{what}`: set it where it is opened first, or leave it out"
                );
                Err(Error::new(ErrorKind::Config, message))
            }
        }
    }

    /// A store that nothing else has open: in a directory that was admitted, or in memory.
    fn start_in(self, place: Option<Place>, temporary: Option<Temporary>) -> Result<Store> {
        let session = Arc::new(Session::new(&self.settings()));
        let foreign = place.as_ref().filter(|_| temporary.is_none()).and_then(|Place { path, .. }| {
            Some(Warning::foreign_files(path.clone(), worker::foreign_file(path)?))
        });
        let warnings = foreign.into_iter().chain(Warning::of_panics());
        warnings.for_each(|warning| session.note(Untold::Warned(warning)));
        let (clock, tuning) = (self.clock.clone(), self.tuning.clone());
        let directory = Arc::new(Directory::new(place, clock, tuning, temporary));
        if self.asked.max_bytes.is_some() {
            directory.hand_overs.expect_bound();
        }
        let started = self.start(&directory, &session);
        if !matches!(started, Ok(true)) {
            if let Some(home) = directory.home() {
                registry::forget(home);
            }
            session.settle();
            return started.map(|_| self.handle(session, None));
        }
        #[cfg(feature = "redis")]
        let server = self.redis.as_ref().and_then(|redis| remote::start(redis, &directory, &session));
        #[cfg(not(feature = "redis"))]
        let server = None;
        let store = self.handle_with(session, Some(Arc::clone(&directory)), server);
        registry::opened(&directory, &store.handle);
        // From here on code of the user may run: an observer may open the store itself.
        store.session().settle();
        // The bound may be lower than that of the last run.
        store.make_room(None);
        Ok(store)
    }

    /// Takes the directory and starts its threads, or joins the process that has it. `false` when no thread is to be had: then the
    /// store has none.
    fn start(&self, directory: &Arc<Directory>, session: &Arc<Session>) -> Result<bool> {
        let lock_timeout = self.lock_timeout.unwrap_or(LOCK_TIMEOUT);
        #[cfg(unix)]
        if !self.exclusive && directory.may_be_shared() {
            return match process::join(directory, session, lock_timeout) {
                Ok(()) => Ok(true),
                Err(Unjoined::NoThread(cause)) => {
                    directory.janitor.end();
                    session.note_failed(&Error::io("starting the threads of the store", cause));
                    Ok(false)
                }
                Err(Unjoined::Failed(error)) => {
                    directory.janitor.end();
                    Err(error)
                }
            };
        }
        let lock = |place: &Place| lock::lock(&place.path, lock_timeout);
        let lock_file = directory.place.as_ref().map(lock).transpose()?;
        if directory.may_be_shared()
            && let Some(home) = directory.home()
        {
            // A store of another format is left alone.
            Manifest::read(home)?;
            // A process that was a guest before may have values in memory.
            directory.sharing.raise_in_file(session, home);
            directory.sharing.take_guests();
        }
        let started = directory.janitor.start().and_then(|()| worker::start(directory, session, lock_file));
        match started {
            Ok(opened) => {
                // A refusal of the operating system may pass. Anything else must be known at once.
                let opened = directory.wait_for_open(&opened, false);
                opened.or_else(|error| if error.is_io() { Ok(()) } else { Err(error) })?;
                Ok(true)
            }
            Err(cause) => {
                directory.janitor.end();
                session.note_failed(&Error::io("starting the threads of the store", cause));
                Ok(false)
            }
        }
    }

    /// A store that has the memory tier only, and stores nothing: for a process that can start no thread, and for a function
    /// that cannot be cached.
    pub(crate) fn without_worker(self) -> Store {
        let session = Arc::new(Session::new(&self.settings()));
        self.handle(session, None)
    }

    fn handle(self, session: Arc<Session>, directory: Option<Arc<Directory>>) -> Store {
        self.handle_with(session, directory, None)
    }

    fn handle_with(
        self,
        session: Arc<Session>,
        directory: Option<Arc<Directory>>,
        server: Option<Arc<dyn Server>>,
    ) -> Store {
        let handle = Handle {
            session,
            directory,
            asked: self.asked,
            server,
            #[cfg(feature = "redis")]
            redis: self.redis,
            live: super::Mutex::default(),
        };
        Store { handle: Arc::new(handle) }
    }

    fn settings(&self) -> Settings {
        Settings {
            memory: self.asked.memory.unwrap_or(MEMORY),
            max_bytes: self.asked.max_bytes,
            max_wait: self.asked.max_wait.unwrap_or(MAX_WAIT),
            max_stall: self.asked.max_stall.unwrap_or(MAX_STALL),
            observers: self.observers.clone(),
            clock: self.clock.clone(),
        }
    }
}
