//! Store: one directory, and everything that is remembered in it.
//!
//! * **Purpose.** Many memos, one index, one lock, one budget of memory, one bound on bytes.
//! * **Flow.** [`Store`] and [`StoreBuilder`] are the face; `session` is what their handles share in memory, `partition` one
//!   memo's generation: reads happen there, and changes go as requests to the `worker`, the one thread that changes
//!   things. `pending` holds values on their way, `blob` payload files, `engine` the index; the `janitor` does what no
//!   call waits for; `manifest` says how the store was left, `registry` knows all stores of the process.
//! * **Locking.** LOCK is held by one process, which serves the others (`process`); the registry knows all handles of this one. Data that changes belongs to
//!   the worker and needs no lock. Locks that callers and worker share (flight, memory, pending, queue, engine slot) are
//!   held for table steps only, and no code of the user runs under any of them.
//! * **Compatibility.** MANIFEST and every record and payload file name their format. A store of another format is an
//!   error that says so and is left alone; a record of another format is a miss.
//! * **Filesystems.** Renames within the directory must be atomic. Nothing is promised on network file systems.
//! * **Time.** Wall clock on disk, monotonic in waits; see `clock`.

mod blob;
mod builder;
mod engine;
mod entries;
mod epochs;
mod forgetting;
mod generation;
mod handle;
#[cfg(test)]
mod interleavings;
mod janitor;
mod lock;
mod manifest;
mod overlay;
mod partition;
mod pending;
#[cfg(unix)]
mod process;
mod registry;
#[cfg(feature = "redis")]
mod remote;
mod reports;
mod scope;
mod session;
mod snapshot;
mod tags;
mod unverified;
mod worker;

use std::{
    collections::HashMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex},
};

#[cfg(all(feature = "testing", unix))]
pub(crate) use self::process::{read_answer, read_call};
#[cfg(feature = "testing")]
pub(crate) use self::{
    blob::Head, engine::TableId, generation::Number, manifest::Manifest, snapshot::Snapshot, worker::OrderRow,
};
pub(crate) use self::{
    blob::{Finished, INLINE, PayloadWriter},
    generation::{Bounds, CatalogRow, GenerationId},
    handle::LiveMemo,
    partition::{
        CachedList, Contained, Entry, Found, FoundVariants, FreshRecord, Item, Partition, RefreshTurn,
        Refused, Unsent, WORTH_A_FLUSH,
    },
    pending::PendingValue,
    scope::scoped_name,
    session::Session,
    worker::{KeepInMemory, OfVariant, Registration},
};
pub use self::{
    builder::StoreBuilder,
    entries::{Entries, EntryInfo},
    partition::Durability,
    worker::{Role, Swept},
};
use self::{
    forgetting::Forgetting,
    handle::Handle,
    worker::{Adopter, OpenMemo, Request},
};
use crate::{
    error::{ErrorKind, Result},
    remote::{Change, Operation, Server},
    sync::lock,
};

/// One directory in which the results of any number of memos are remembered. A memo costs one row of its index, so
/// thousands of memos in one store are cheap.
///
/// A store has two threads: one makes every change of the directory, one does work that no call waits for; and a third one while
/// other processes use it through this one. Reads are made on the threads of their callers, and last as long as the disk does. A
/// process that finds all it asks for in a closed store has none of these threads. Where no thread can be started the store keeps
/// values in its memory tier only, and [`last_failure`](Self::last_failure) says so.
///
/// A store [in memory](Self::in_memory) has no directory and writes no file, for tests and sandboxes.
///
/// Cheap to clone; every clone and every memo keeps the store open. The same directory opened twice in a process is the
/// same store.
///
/// Any number of processes of one user may have the same directory open at the same time, on Unix: see [`role`](Self::role).
/// Elsewhere, on file systems without sockets, and beside a process that opened it
/// [exclusively](StoreBuilder::exclusive), another process waits (see [`StoreBuilder::lock_timeout`]) and then gets an error of
/// [`is_in_use`](crate::Error::is_in_use). Each process has its own counters, observers and memory tier; an eviction is told to the
/// observers of the host. The tightest of the bounds holds under which processes have a memo open; each reader judges
/// entries by its own ttl.
///
/// A process that is forked without `exec` from one that has a store open computes at each call, for a pool too; methods without
/// a closure return an error of the kind [`Closed`](crate::ErrorKind::Closed). It opens no store with a directory:
/// [`open_or_temporary`](Self::open_or_temporary) gives it one [in memory](Self::in_memory). Its parent loses nothing. A process that was
/// forked before the first store was opened opens its own.
///
/// A store whose directory cannot be written is opened for reading: see [`is_read_only`](Self::is_read_only).
///
/// On Unix the first open of a store with a directory sets a handler for SIGXFSZ that does nothing, unless the program has set
/// one, or ignores the signal: a write beyond the limit on the size of files (`ulimit -f`) is then an error, as on a full disk, for
/// the whole process. Without it the signal would end the program.
///
/// The store is closed by [`close`](Self::close), by dropping the last handle, or at the end of the program, for a store
/// in a `static` too. A program that is killed loses values that were computed in the last 200 ms and took up to 15 ms;
/// everything else is found at the next start. [`flush`](Self::flush) keeps these too.
///
/// # Examples
///
/// ```
/// use memolith::{Memo, Store};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("cache");
/// let store = Store::open(&path)?;
/// let lengths: Memo<str, usize> = Memo::builder("lengths").open(&store)?;
/// assert_eq!(lengths.get_or_insert_with("memolith", || "memolith".len()), 8);
/// store.close()?;
///
/// let store = Store::open(&path)?; // the next start of the program
/// let lengths: Memo<str, usize> = Memo::builder("lengths").open(&store)?;
/// assert_eq!(lengths.get_or_insert_with("memolith", || unreachable!("it is on disk")), 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

impl Store {
    /// Opens the store in the directory `path`, which is made if there is none. A directory that this makes gets the
    /// files `CACHEDIR.TAG`, which tells backup programs to leave it out, and `.gitignore`. Neither is written again.
    ///
    /// # Errors
    ///
    /// - [`InUse`](crate::ErrorKind::InUse) if another process holds it for longer than a second and serves no others (it opened
    ///   it exclusively, is of another user or version, or does not answer), or a store of this process is still closing
    ///   after 15 s.
    /// - [`Config`](crate::ErrorKind::Config) if `path` is a file, holds a store of another format, or a symbolic link
    ///   stands in place of one of the store's own files.
    /// - [`Io`](crate::ErrorKind::Io) if the directory cannot be made or locked.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt) or [`Engine`](crate::ErrorKind::Engine) if not even a new index can be
    ///   begun.
    /// - [`Closed`](crate::ErrorKind::Closed) in a process that was forked from one with an open store.
    ///
    /// Damage is no error: damaged entries are computed again. An index that takes longer than a minute to open is in
    /// service later; values are kept in memory until then.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("cache");
    /// let store = memolith::Store::open(&path)?;
    /// assert_eq!(store.path(), Some(path.canonicalize()?.as_path()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(path)
    }

    /// Opens the store at `path`, or a [`temporary`](Self::temporary) one when that fails, or one [in memory](Self::in_memory)
    /// when that fails too. Never fails; the reason is in [`last_failure`](Self::last_failure).
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("a file");
    /// # std::fs::write(&path, "not a directory")?;
    /// let store = memolith::Store::open_or_temporary(&path);
    /// assert!(store.last_failure().is_some_and(|failure| failure.error.is_config()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn open_or_temporary(path: impl AsRef<Path>) -> Self {
        Self::builder().open_or_temporary(path)
    }

    /// Opens a store in a new temporary directory, which is removed when the store is closed.
    ///
    /// The directory of a process that was killed is removed by a later process of the same user, at its first temporary
    /// store.
    ///
    /// # Errors
    ///
    /// - [`Io`](crate::ErrorKind::Io) if no temporary directory can be made.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt), [`Engine`](crate::ErrorKind::Engine) or
    ///   [`Closed`](crate::ErrorKind::Closed) as [`open`](Self::open).
    ///
    /// ```
    /// let store = memolith::Store::temporary()?;
    /// assert!(store.memos()?.is_empty());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn temporary() -> Result<Self> {
        Self::builder().temporary()
    }

    /// A new store in memory: it has no directory and writes no file. Everything is gone when it is closed.
    ///
    /// For tests and sandboxes, and where nothing may stay behind. It keeps every promise of a store but survival: `ttl`,
    /// [`max_entries`](crate::MemoBuilder::max_entries) and `max_bytes` hold, calls of one key at the same time compute once,
    /// `insert`, `len`, `usage`, `entries` and `sweep` work. It has two threads of its own, as every store. Two of them share
    /// nothing. A value must be serializable here too: it is encoded, and a value out of the store was decoded.
    ///
    /// Without a bound it grows with every entry: set `max_bytes`, of the store or of a memo, to bound the encoded values. An
    /// entry takes some 350 bytes more than it counts. Beside the encoded values, up to 256 MiB of decoded ones are kept for
    /// quick hits: see [`StoreBuilder::memory`].
    /// [`size_on_disk`](Self::size_on_disk) is 0, and [`path`](Self::path) is `None`. A process forked from this one computes at
    /// each call, and may make a store in memory of its own.
    ///
    /// It never fails. Where no thread can be started, values are kept in the memory tier only, and
    /// [`last_failure`](Self::last_failure) says so. For options see [`StoreBuilder::in_memory`].
    ///
    /// ```
    /// use memolith::{Memo, Store};
    ///
    /// let store = Store::in_memory();
    /// let squares: Memo<u64, u64> = Memo::builder("squares").max_entries(2).open(&store)?;
    /// for number in [1, 2, 3] {
    ///     squares.get_or_insert_with(&number, || number * number);
    /// }
    /// assert_eq!((squares.get(&1)?, squares.get(&3)?), (None, Some(9)));
    /// assert_eq!((squares.len()?, store.size_on_disk()?), (2, 0));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn in_memory() -> Self {
        // The defaults are valid, and an engine in memory opens.
        Self::builder().in_memory().unwrap_or_else(|_| Self::builder().without_worker())
    }

    /// Forgets every entry of every memo, on disk and in memory. Files in the directory that are not the store's stay.
    ///
    /// A call that starts after this returned computes anew; a computation that is under way hands its value to its own
    /// caller and stores nothing.
    ///
    /// # Errors
    ///
    /// - [`Io`](crate::ErrorKind::Io), [`Corrupt`](crate::ErrorKind::Corrupt) or [`Engine`](crate::ErrorKind::Engine)
    ///   if the disk refuses. The memory is then cleared, and values may still be on disk.
    /// - [`Engine`](crate::ErrorKind::Engine) also if the storage engine makes no progress for 5 s: everything is
    ///   forgotten when it goes on. Until then further calls fail at once and change nothing.
    /// - [`Closed`](crate::ErrorKind::Closed) if the store is closed.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// let store = Store::temporary()?;
    /// let memo: Memo<u8, u8> = Memo::builder("numbers").open(&store)?;
    /// memo.insert(&1, &10)?;
    /// store.clear()?;
    /// assert_eq!(memo.get(&1)?, None);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        self.forget(None).map(drop)
    }

    /// Takes away everything that is of no use any more: expired entries, generations of another version or shape of
    /// their memo, payload files that a crash left behind.
    ///
    /// Reading never deletes, so expired entries take space until a bound, or this, takes them away. An index over 32 MiB
    /// of which less than a tenth is in use, or over 1 MiB of which less than a hundredth is, is copied into a smaller
    /// one, while other calls go on.
    ///
    /// # Errors
    ///
    /// - [`Io`](crate::ErrorKind::Io), [`Corrupt`](crate::ErrorKind::Corrupt) or [`Engine`](crate::ErrorKind::Engine)
    ///   if the disk refuses.
    /// - [`Engine`](crate::ErrorKind::Engine) also if the storage engine makes no progress for 5 s.
    /// - [`Closed`](crate::ErrorKind::Closed) if the store is closed.
    ///
    /// Entries that were taken away before the error stay away.
    ///
    /// ```
    /// let swept = memolith::Store::temporary()?.sweep()?;
    /// assert_eq!((swept.expired, swept.bytes), (0, 0));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn sweep(&self) -> Result<Swept> {
        self.session().check_origin()?;
        let Some(directory) = &self.handle.directory else { return Ok(Swept::default()) };
        let swept = directory.ask(|reply| Request::Sweep { reply });
        self.session().settle();
        directory.janitor.catch_up();
        swept
    }

    /// Waits until every value that was handed over before is written, and makes everything that was stored so far
    /// survive the end of this process, however it ends (not a loss of power). Entries that had to leave for these values
    /// are gone when this returns, for every thread.
    ///
    /// There is seldom a need: `insert`, `remove`, `clear` and calls that computed for over 15 ms return when their
    /// change is flushed, and other computed values are flushed after 200 ms. A value that was handed over and could not
    /// be written is no error here: it is in [`Memo::last_failure`](crate::Memo::last_failure).
    ///
    /// # Errors
    ///
    /// - [`Io`](crate::ErrorKind::Io), [`Corrupt`](crate::ErrorKind::Corrupt) or [`Engine`](crate::ErrorKind::Engine)
    ///   if the disk refuses: the last changes may be lost at the end of the process. Once also if the index failed
    ///   since the last flush, and values that no flush had covered were lost with it: this is the error of the index.
    /// - [`Engine`](crate::ErrorKind::Engine) also if the storage engine makes no progress for 5 s: the flush may still
    ///   happen later. Flush again to know.
    /// - [`Closed`](crate::ErrorKind::Closed) if the store is closed.
    ///
    /// ```
    /// use memolith::{Memo, Store};
    ///
    /// let store = Store::temporary()?;
    /// let squares: Memo<u64, u64> = Memo::builder("squares").open(&store)?;
    /// for number in 0..100 {
    ///     squares.get_or_insert_with(&number, || number * number);
    /// }
    /// store.flush()?; // a `kill -9` from here on loses none of them
    /// assert_eq!(squares.len()?, 100);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        partition::flush(self.handle.directory.as_ref(), self.session())
    }

    /// Closes the store for all its handles: flushes, lets go of the directory, and leaves the files so that the next
    /// open is quick and sure of them. Closing again does nothing.
    ///
    /// Memos of a closed store go on working as the plain functions would: they compute at each call.
    ///
    /// # Errors
    ///
    /// - [`Io`](crate::ErrorKind::Io), [`Corrupt`](crate::ErrorKind::Corrupt) or [`Engine`](crate::ErrorKind::Engine)
    ///   if the last writes could not be made to stay, or a read did not end in 5 s. The next open then finds the store
    ///   as after a crash.
    /// - [`Engine`](crate::ErrorKind::Engine) also if the storage engine makes no progress for 12 s: the directory
    ///   stays in use until it goes on, or until the process ends.
    /// - [`Closed`](crate::ErrorKind::Closed) in a process that was forked from the one that opened the store.
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// store.close()?;
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        self.handle.close()
    }

    /// The names of the memos that have entries, or had, in this store, in alphabetical order. A memo with several scopes is
    /// named once.
    ///
    /// # Errors
    ///
    /// - [`Closed`](crate::ErrorKind::Closed) if the store is closed.
    /// - [`Engine`](crate::ErrorKind::Engine) if the storage engine makes no progress for 5 s.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<u8, u8> = Memo::builder("numbers").open(&store)?;
    /// assert_eq!(store.memos()?, ["numbers"]);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn memos(&self) -> Result<Vec<String>> {
        self.session().check_origin()?;
        let Some(directory) = &self.handle.directory else {
            return Ok(scope::names_of(lock(self.live()).keys()));
        };
        directory.ask(|reply| Request::Names { reply })
    }

    /// Forgets every entry of the memo `name`, of all its versions and scopes, open or not. Whether there was such a memo.
    ///
    /// # Errors
    ///
    /// As [`clear`](Self::clear).
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// assert!(!store.remove_memo("never heard of")?);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn remove_memo(&self, name: &str) -> Result<bool> {
        self.forget(Some(name))
    }

    /// Forgets every entry of one memo, or of all. Whether there was one.
    fn forget(&self, name: Option<&str>) -> Result<bool> {
        self.session().check_origin()?;
        let told = self.handle.server.as_ref().map_or(Ok(()), |server| {
            let forget = Operation::Change(Change::Forget { memo: name });
            server.carry_out(&forget).map(drop)
        });
        let forgotten = match &self.handle.directory {
            None => Ok(self.forget_in_memory(name)),
            Some(directory) => {
                let name = name.map(str::to_owned);
                let forgotten = directory.ask(|reply| Request::Forget { name, reply });
                directory.janitor.catch_up();
                forgotten
            }
        };
        self.session().settle();
        forgotten.and_then(|was_there| told.map(|()| was_there))
    }

    /// The same in a store without a worker.
    fn forget_in_memory(&self, name: Option<&str>) -> bool {
        let live = lock(self.live());
        let concerned =
            live.iter().filter(|(known, _)| name.is_none_or(|name| scope::name_of(known) == name));
        let owners: Vec<u64> = concerned.map(|(_, memo)| memo.owner).collect();
        drop(live);
        let forgetting = Forgetting { pending: None, session: self.session() };
        for owner in &owners {
            forgetting.forget_owner(*owner);
        }
        !owners.is_empty()
    }

    /// Has the bound of a memo, or of the store, hold, which may be lower than that of the last run.
    pub(crate) fn make_room(&self, memo: Option<&str>) {
        if let Some(directory) = &self.handle.directory {
            let name = memo.map(str::to_owned);
            match directory.ask(|reply| Request::MakeRoom { name, reply }) {
                // An observer may have closed it.
                Err(error) if error.kind() != ErrorKind::Closed => self.session().note_failed(&error),
                _ => {}
            }
        }
        self.session().settle();
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.handle.session
    }

    /// The server that the store shares with other machines.
    pub(crate) fn server(&self) -> Option<&Arc<dyn Server>> {
        self.handle.server.as_ref()
    }

    pub(crate) fn live(&self) -> &Mutex<HashMap<String, LiveMemo>> {
        &self.handle.live
    }

    /// The generation of a memo that is opened, as all know it that have it open.
    pub(crate) fn register(
        &self,
        generation: GenerationId,
        new: impl FnOnce() -> Registration,
    ) -> Arc<Registration> {
        match &self.handle.directory {
            Some(directory) => directory.register(generation, new),
            None => Arc::new(new()),
        }
    }

    /// The partition of a memo that is opened. Trouble with the disk is counted: the memo works in memory then.
    pub(crate) fn partition(
        &self,
        memo: Arc<Registration>,
        keep_in_memory: KeepInMemory,
        row: CatalogRow,
        bounds: Bounds,
    ) -> Partition {
        let adopter = Adopter::fresh();
        if bounds.is_bounded() {
            memo.hand_overs.expect_bound();
        }
        if let Some(directory) = &self.handle.directory {
            let memo = Arc::clone(&memo);
            let open = OpenMemo { memo: Arc::clone(&memo), row: row.clone(), bounds, adopter };
            directory.sharing.note_open(open);
            if let Err(error) =
                directory.ask_surely(|reply| Request::Adopt { memo, row, bounds, adopter, reply })
            {
                self.session().note_failed(&error);
            }
        }
        Partition {
            session: Arc::clone(self.session()),
            directory: self.handle.directory.clone(),
            memo,
            keep_in_memory,
            bounds,
            adopter,
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path()).finish_non_exhaustive()
    }
}
