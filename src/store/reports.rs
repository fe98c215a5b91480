//! What a store tells of itself.

use std::{fs, path::Path};

use super::{
    Store, blob,
    generation::Tally,
    partition, tags,
    worker::{self, Request, Role},
};
use crate::{
    error::{Error, ErrorKind, Result},
    stats::{Failure, LastFailure, Stats, Usage},
};

impl Store {
    /// The size of the store's own files, in bytes, by their lengths; 0 [in memory](Self::in_memory). For small
    /// values that is 3 to 12 times the bytes that the bounds count, because the index is a log. It asks no thread of
    /// the store, so it works while the storage engine does not, and after a close. See [`usage`](Self::usage) for the
    /// other numbers.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) if the directory, or a file in it, cannot be looked at.
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// assert!(store.size_on_disk()? > 0);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn size_on_disk(&self) -> Result<u64> {
        let Some(directory) = self.path() else { return Ok(0) };
        let failed = |cause| Error::io(directory.display(), cause);
        let mut size = 0;
        for file in fs::read_dir(directory).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            if worker::is_ours(&path) || tags::is_tag(&path) {
                size += blob::disk_size(&path)?;
            }
        }
        Ok(size)
    }

    /// The number of fresh entries of all memos, their bytes, and the size of the store's files. Queued values are
    /// written and counted first. [In memory](Self::in_memory) [`disk_bytes`](Usage::disk_bytes) is 0.
    ///
    /// # Errors
    ///
    /// - [`Closed`](crate::ErrorKind::Closed) if the store is closed.
    /// - [`Io`](crate::ErrorKind::Io), [`Corrupt`](crate::ErrorKind::Corrupt) or [`Engine`](crate::ErrorKind::Engine)
    ///   if the entries or the files cannot be counted. [`Engine`](crate::ErrorKind::Engine) also if the storage engine
    ///   makes no progress for 5 s.
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// let usage = store.usage()?;
    /// assert_eq!((usage.entries, usage.bytes), (0, 0));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn usage(&self) -> Result<Usage> {
        self.session().check_origin()?;
        let Some(directory) = &self.handle.directory else { return Ok(Usage::default()) };
        let Tally { entries, bytes, .. } = partition::count(directory, self.session(), None)?;
        Ok(Usage { entries, bytes, disk_bytes: self.size_on_disk()? })
    }

    /// The sum of the counters of all memos of this store, since it was opened. It waits for nothing.
    /// In a process that was forked from the one that opened the store all are 0.
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// assert_eq!(store.stats().hits.total(), 0);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        if self.session().is_inherited() {
            return Stats::default();
        }
        self.session().stats()
    }

    /// The sum of the counters of all memos over all runs, this one among them: what the store has saved in its life.
    ///
    /// They are written down when the store is closed, and only in a run that changed something in it: a run that only
    /// reads leaves the files alone, and one that is killed loses its counters. A lost index, and an older format, begin at
    /// 0.
    ///
    /// # Errors
    ///
    /// - [`Closed`](crate::ErrorKind::Closed) if the store is closed.
    /// - [`Engine`](crate::ErrorKind::Engine) if the storage engine makes no progress for 5 s.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("cache");
    /// use memolith::{Memo, Store};
    ///
    /// for _run in 0..3 {
    ///     let store = Store::open(&path)?;
    ///     let memo: Memo<u8, u8> = Memo::builder("numbers").open(&store)?;
    ///     memo.insert(&1, &10)?;
    ///     memo.get(&1)?;
    ///     store.close()?;
    /// }
    /// let totals = Store::open(&path)?.total_stats()?;
    /// assert_eq!((totals.inserts, totals.hits.total()), (3, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn total_stats(&self) -> Result<Stats> {
        self.session().check_origin()?;
        match &self.handle.directory {
            Some(directory) => directory.ask(|reply| Request::Totals { reply }),
            None => Ok(self.session().stats()),
        }
    }

    /// The last failure of the store as a whole that no call returned, with its time, for example why it could not be
    /// opened; `None` if there was none since the last [`take_last_failure`](Self::take_last_failure). Failures of a
    /// memo are in [`Memo::last_failure`](crate::Memo::last_failure).
    ///
    /// It waits until all queued values are written, at most 5 s without progress.
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// assert!(store.last_failure().is_none());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn last_failure(&self) -> Option<Failure> {
        self.failure(LastFailure::get)
    }

    /// As [`last_failure`](Self::last_failure), and forgets it: the next look finds only later failures. The
    /// counters in [`stats`](Self::stats) stay.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("a file");
    /// # std::fs::write(&path, "not a directory")?;
    /// let store = memolith::Store::open_or_temporary(&path);
    /// if let Some(failure) = store.take_last_failure() {
    ///     eprintln!("nothing is kept over a restart: {failure}");
    /// }
    /// assert!(store.last_failure().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_last_failure(&self) -> Option<Failure> {
        self.failure(LastFailure::take)
    }

    fn failure(&self, read: fn(&LastFailure) -> Option<Failure>) -> Option<Failure> {
        let session = self.session();
        if let Err(inherited) = session.check_origin() {
            return Some(Failure::now(inherited, &session.clock));
        }
        if let Some(directory) = &self.handle.directory {
            directory.catch_up();
        }
        session.settle();
        read(&session.counters.last_failure)
    }

    /// The directory, with symbolic links resolved; `None` for a store [in memory](Self::in_memory).
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// assert!(store.path().is_some_and(|path| path.is_dir()));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.handle.directory.as_ref().and_then(|directory| directory.home())
    }

    /// Whether the directory cannot be written, for example on a read-only mount. Its entries are read then. New entries and
    /// removals are kept in a temporary directory beside a copy of its index, until the store is closed.
    ///
    /// ```
    /// # let store = memolith::Store::temporary()?;
    /// assert!(!store.is_read_only());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.handle.directory.as_ref().is_some_and(|directory| directory.is_overlay())
    }

    /// The part of this process among those that use the directory at this moment.
    ///
    /// Any number of processes may use one directory at the same time, with the same promises: one of them hosts it and makes
    /// the changes, the others are its guests, and ask it over a socket in the directory. When the host ends, however it ends,
    /// a guest takes its place, as soon as one has something to change. No process is started for that.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// use memolith::{Role, Store};
    ///
    /// let store = Store::open(directory.path().join("cache"))?;
    /// assert!(matches!(store.role(), Role::Host));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn role(&self) -> Role {
        if let Err(inherited) = self.session().check_origin() {
            return Role::Alone(inherited);
        }
        match &self.handle.directory {
            None => Role::Alone(Error::new(ErrorKind::Closed, "the store has no threads")),
            Some(directory) => directory.sharing.role(),
        }
    }
}
