//! Store: one directory, and everything that is remembered in it.
//!
//! * **Purpose.** Many memos, one index, one lock, one budget of memory, one bound on bytes.
//! * **Flow.** [`Store`] and [`StoreBuilder`] are the doors; `core` is what their handles share; `shelf` is what a memo
//!   sees; `writer` and `eviction` are the changes, `ledger` and `order` the accounts they keep; `engine` and `blob` are
//!   where the bytes go; `compaction` gives their space back; `lifecycle` opens and closes, `opening` finds the index,
//!   `service` is the engine that runs or rests, `silence` one that does not answer, which `watch` sees and `aside` does not
//!   wait for; `manifest` says how it was left, `maintenance` is the thread, `flushes` who waits for it, `registry` all
//!   stores of the process.
//! * **Locking.** LOCK keeps other processes out, the registry other handles of this one. In the process: the writer
//!   lock, then the flight table, then a shard of the memory tier. No code of the user runs under any of them.
//! * **Compatibility.** MANIFEST and every record and blob head name their format. A store of another format is an
//!   error that says so and is left alone; a record of another format is a miss.
//! * **Filesystems.** Renames within the directory must be atomic. Nothing is promised on network file systems.
//! * **Time.** Wall clock on disk, monotonic in waits; see `clock`.

mod aside;
mod blob;
mod builder;
mod catalog;
mod chores;
mod compaction;
mod core;
mod engine;
mod eviction;
mod flushes;
mod handle;
mod ledger;
mod lifecycle;
mod maintenance;
mod manifest;
mod opening;
mod order;
mod patience;
mod rebuild;
mod registry;
mod service;
mod shelf;
mod silence;
mod turnstile;
mod unverified;
mod watch;
mod writer;

use std::{
    collections::HashMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

pub use self::builder::StoreBuilder;
pub(crate) use self::{
    blob::Finished,
    core::Core,
    engine::Calls,
    handle::{Handle, LiveMemo},
    ledger::{Bounds, CatalogRow, GenerationId},
    shelf::{Found, Item, Shelf},
    writer::{Entry, Leaving},
};
#[cfg(feature = "testing")]
pub(crate) use self::{blob::Head, manifest::Manifest, order::OrderRow};
use crate::{
    error::{Error, Result},
    flight,
    stats::Stats,
};

/// One directory in which the results of any number of memos are remembered.
///
/// Cheap to clone; every clone and every memo keeps the store open. The same directory opened twice in a process is the
/// same store; another process has to wait (see [`StoreBuilder::lock_timeout`]) and then gets an error of
/// [`is_in_use`](Error::is_in_use).
///
/// The store is closed by [`close`](Self::close), by dropping the last handle, or at the end of the program, for a store
/// in a `static` too. A program that is killed loses what was computed in the last 200 ms and took less than 15 ms;
/// everything else is found at the next start.
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

/// What [`Store::sweep`] took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Entries whose time to live was over.
    pub expired: u64,
    /// Entries of retired generations: of versions, shapes or codecs that another took the place of.
    pub retired: u64,
    /// Payload files that no entry meant.
    pub orphaned: u64,
    /// What all of these weighed, in bytes.
    pub bytes: u64,
}

impl Store {
    /// Opens the store in the directory `path`, which is made if there is none.
    ///
    /// # Errors
    ///
    /// [`is_in_use`](Error::is_in_use) when another process holds it for longer than a second; [`is_config`](Error::is_config)
    /// when `path` is a file, holds a store of another format, or a symbolic link stands in place of one of the store's own
    /// files; [`is_io`](Error::is_io) when the directory cannot be made or locked. Damage is no error: what was damaged is
    /// computed again.
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

    /// Opens the store at `path`, or a [`temporary`](Self::temporary) one when that is not to be had, or one that lives in
    /// memory when not even that is. Never fails; why `path` was not to be had is in [`last_failure`](Self::last_failure).
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("a file");
    /// # std::fs::write(&path, "not a directory")?;
    /// let store = memolith::Store::open_or_temporary(&path);
    /// assert!(store.last_failure().is_some_and(|failure| failure.is_config()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn open_or_temporary(path: impl AsRef<Path>) -> Self {
        Self::builder().open_or_temporary(path)
    }

    /// Opens a store in a new temporary directory, which is removed when the store is closed.
    ///
    /// The directory of a process that was killed is removed by a later process of the same user, at its first temporary store.
    ///
    /// # Errors
    ///
    /// [`is_io`](Error::is_io) when no temporary directory can be made.
    ///
    /// ```
    /// let store = memolith::Store::temporary()?;
    /// assert!(store.memos().is_empty());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn temporary() -> Result<Self> {
        Self::builder().temporary()
    }

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

    /// Forgets every entry of every memo, on disk and in memory. Files in the directory that are not the store's stay.
    ///
    /// A call that starts after this returned computes anew; a computation that is under way hands its value to its own
    /// caller and stores nothing.
    ///
    /// # Errors
    ///
    /// [`is_io`](Error::is_io) and alike when the disk refuses. The memory is cleared all the same, unless another
    /// writer has been stuck in the storage engine for 5 s: then nothing was changed.
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
        let mut writer = self.core().writer()?;
        let engine = self.core().engine_number();
        let names = writer.ledger().names();
        let cleared = names.iter().map(|name| writer.forget(name)).fold(Ok(()), Result::and);
        writer.finish();
        cleared?;
        self.core().flush_engine(engine)?;
        chores::compact(self.core(), compaction::EMPTIED);
        Ok(())
    }

    /// Takes away what is of no use any more: expired entries, generations of another version or shape of their memo,
    /// payload files that a crash left behind.
    ///
    /// Reading never deletes, so what expired takes space until a bound, or this, takes it away. An index over 32 MiB of
    /// which less than a tenth is in use, or over 1 MiB of which less than a hundredth is, is copied into a smaller one, while other calls go on.
    ///
    /// # Errors
    ///
    /// As [`clear`](Self::clear). What was taken away before the error stays away.
    ///
    /// ```
    /// let swept = memolith::Store::temporary()?.sweep()?;
    /// assert_eq!((swept.expired, swept.bytes), (0, 0));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn sweep(&self) -> Result<Swept> {
        let core = self.core();
        if core.directory.is_none() {
            return Ok(Swept::default());
        }
        let retired = chores::drop_retired(core, None)?;
        let expired = chores::drop_expired(core)?;
        let orphaned = chores::retire_orphans(core)?;
        core.unlink_rubbish();
        core.flush()?;
        chores::compact(core, compaction::LARGE);
        let bytes = retired.bytes + expired.bytes + orphaned.bytes;
        Ok(Swept { expired: expired.entries, retired: retired.entries, orphaned: orphaned.entries, bytes })
    }

    /// Makes everything that was stored so far survive the end of this process, however it ends (not a loss of power).
    ///
    /// There is seldom a need: `insert`, `remove`, `clear` and what took over 15 ms to compute are flushed before they
    /// return, the rest every 200 ms.
    ///
    /// # Errors
    ///
    /// As [`clear`](Self::clear); of [`is_io`](Error::is_io)'s kind also when the engine does not answer within 5 s.
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// store.flush()?;
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.core().flush()
    }

    /// Closes the store for all its handles: flushes, lets go of the directory, and leaves the files so that the next
    /// open is quick and sure of them. Closing again does nothing.
    ///
    /// Memos of a closed store go on working as the plain functions would: they compute at each call.
    ///
    /// # Errors
    ///
    /// When the last writes could not be made to stay; the next open then finds the store as after a crash.
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// store.close()?;
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        self.handle.close()
    }

    /// The names of the memos that have entries, or had, in this store, in alphabetical order.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<u8, u8> = Memo::builder("numbers").open(&store)?;
    /// assert_eq!(store.memos(), ["numbers"]);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn memos(&self) -> Vec<String> {
        self.core().ledger().map_or_else(|_| Vec::new(), |ledger| ledger.names())
    }

    /// Forgets every entry of the memo `name`, of all its versions, open or not. Whether there was such a memo.
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
        let mut writer = self.core().writer()?;
        let engine = self.core().engine_number();
        let known = writer.ledger().of_name(Some(name)).next().is_some();
        let forgotten = writer.forget(name);
        writer.finish();
        forgotten?;
        self.core().flush_engine(engine)?;
        Ok(known)
    }

    /// What the store's files take, in bytes, by their lengths. For small values that is 3 to 12 times what the bounds
    /// count: the index is a log.
    ///
    /// # Errors
    ///
    /// [`is_io`](Error::is_io) when the directory cannot be read.
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// assert!(store.size_on_disk()? > 0);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn size_on_disk(&self) -> Result<u64> {
        let Some(directory) = &self.core().directory else { return Ok(0) };
        let ours = fs::read_dir(directory).map_err(|cause| Error::io(directory.display(), cause))?;
        Ok(ours
            .flatten()
            .map(|file| file.path())
            .filter(|path| lifecycle::is_ours(path))
            .map(|path| size(&path))
            .sum())
    }

    /// The sum over all memos of this store, since it was opened.
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// assert_eq!(store.stats().hits.total(), 0);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.core().stats();
        let held = self.core().count_all();
        (stats.entries, stats.bytes) = (held.entries, held.bytes);
        stats
    }

    /// The last trouble of the store as a whole, for example why it could not be opened. That of a memo is in
    /// [`Memo::last_failure`](crate::Memo::last_failure).
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// assert!(store.last_failure().is_none());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn last_failure(&self) -> Option<Error> {
        self.core().counters.last_failure()
    }

    /// The directory, with symbolic links resolved; `None` for a store that lives in memory.
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// assert!(store.path().is_some_and(|path| path.is_dir()));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.core().directory.as_deref()
    }

    /// The bounds may be lower than those of the last run.
    pub(crate) fn make_room(&self, name: &str) {
        if let Err(error) = self.core().make_room(Some(name)) {
            self.core().failed(&error);
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.handle.core
    }

    pub(crate) fn live(&self) -> &Mutex<HashMap<String, LiveMemo>> {
        &self.handle.live
    }

    /// The shelf of a generation, for one memo at a time, and what left to make it so: to be settled outside every lock.
    pub(crate) fn shelf(
        &self,
        generation: GenerationId,
        row: &CatalogRow,
        bounds: Bounds,
    ) -> Result<(Shelf, Leaving)> {
        let owner = flight::fresh_owner();
        let name: Arc<str> = row.name.as_str().into();
        let core = self.core();
        let mut writer = core.writer()?;
        if let Err(error) = writer.adopt(generation, row, owner, bounds) {
            writer.leaving.errors.push(error);
        }
        Ok((Shelf::new(Arc::clone(core), generation, name, owner), writer.release()))
    }

    /// The shelf of a memo that keeps nothing: the ledger does not know it.
    pub(crate) fn shelf_apart(&self, generation: GenerationId, name: &str) -> Shelf {
        Shelf::new(Arc::clone(self.core()), generation, name.into(), flight::fresh_owner())
    }
}

fn size(path: &PathBuf) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            fs::read_dir(path).into_iter().flatten().flatten().map(|file| size(&file.path())).sum()
        }
        Ok(found) => found.len(),
        Err(_) => 0,
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path()).finish_non_exhaustive()
    }
}
