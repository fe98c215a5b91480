//! The only room that knows sled: its calls, its files, its failures. It imports nothing of the store. For a store in
//! memory it has tables of the standard library's maps, behind the same guard.
//!
//! sled's behaviour in failures was measured before this room was written. Each measure answers one finding:
//!
//! * It panics inside `open` on damaged files (60 of 100 single flipped bits), so every call runs under
//!   `catch_unwind` ([`guard`]). In 130 caught panics three threads leaked, and other databases were unharmed.
//! * Its own flusher thread can hang a `drop` for ever: it runs without one, and the store's worker flushes.
//! * A drop returns before its worker threads are done (1 of 1,000): `close` waits for the lock on the file itself,
//!   the proof that nothing writes any more.
//! * It serves stale and removed records when a bit flips in the log behind its last snapshot, and none in 720 flips
//!   when that snapshot is current. A bare open and drop makes it so: [`settle`].
//! * Its directory cannot be moved while it runs: it writes by path.
//! * A flush waits for ever when its seven threads could not be started: [`Engine::open`] tries that first.

mod files;
mod guard;
mod presence;
mod table;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

pub(crate) use self::{
    files::{fingerprint, is_there, length, restrict},
    guard::Health,
    table::{Bytes, Row, Table, TableId},
};
use self::{guard::Guard, presence::Presence};
use crate::{
    clock::is_before_1970,
    error::{Error, ErrorKind, Result},
    fork::Private,
    testing::{Faults, Operation},
};

/// What sled may keep of its pages in memory. Its own default is 1 GiB.
const PAGE_CACHE: u64 = 64 << 20;

/// The number of threads that sled starts once a process, and never again when that failed.
const THREADS: usize = 7;

/// One open database, or three tables in memory.
pub(crate) struct Engine {
    /// `None` in memory.
    database: Option<Box<Database>>,
    /// Number of a generation and digest to record.
    pub(crate) records: Table,
    /// Number of a generation and sequence to row.
    pub(crate) order: Table,
    /// Generation to catalog row.
    pub(crate) catalog: Table,
    guard: Arc<Guard>,
}

struct Database {
    /// The log, as sled has it open. Before the database.
    _private: Vec<Private>,
    /// Keeps the database open; the tables are handles into it.
    db: sled::Db,
    /// The log. sled goes on writing to it without an error when it is deleted.
    log: PathBuf,
}

impl Engine {
    /// Opens the database in `directory`, which is made when there is none.
    pub(crate) fn open(directory: &Path, faults: &Faults) -> Result<Self> {
        Self::open_knowing(directory, faults, Arc::default())
    }

    /// Opens a database that will have the same records, as every change is applied to both.
    pub(crate) fn open_copy(&self, directory: &Path, faults: &Faults) -> Result<Self> {
        Self::open_knowing(directory, faults, self.records.presence().cloned().unwrap_or_default())
    }

    fn open_knowing(directory: &Path, faults: &Faults, presence: Arc<Presence>) -> Result<Self> {
        check_clock()?;
        try_threads()?;
        // One that was dropped a moment ago, after a failure or at a close that failed, may not have released it yet.
        if directory.join(files::LOG).exists() {
            // This is no damage, so no reason to give the index up: it is tried again later.
            files::await_release(directory).map_err(|error| error.with_kind(ErrorKind::Io))?;
        }
        files::discard_unfinished(directory);
        let guard = Arc::new(Guard::new(faults));
        let db = guard.call(Operation::Open, || config(directory).open())?;
        let tables = ["records", "order", "catalog"].map(|name| Table::open(&guard, &db, name));
        match tables {
            [Ok(records), Ok(order), Ok(catalog)] => {
                let (private, log) = (files::open_logs(directory), directory.join(files::LOG));
                let database = Some(Box::new(Database { _private: private, db, log }));
                Ok(Self { database, records: records.knowing(presence), order, catalog, guard })
            }
            tables => {
                let failed = tables.into_iter().find_map(Result::err);
                let _ = guard.release(db);
                Err(failed.unwrap_or_else(|| Error::new(ErrorKind::Engine, "the index could not be opened")))
            }
        }
    }

    /// Empty tables in memory. They end with the engine.
    pub(crate) fn in_memory(faults: &Faults) -> Result<Self> {
        let guard = Arc::new(Guard::new(faults));
        guard.call(Operation::Open, || Ok(()))?;
        let [records, order, catalog] = std::array::from_fn(|_| Table::in_memory(&guard));
        Ok(Self { database: None, records, order, catalog, guard })
    }

    pub(crate) fn table(&self, table: TableId) -> &Table {
        match table {
            TableId::Catalog => &self.catalog,
            TableId::Records => &self.records,
            TableId::Order => &self.order,
        }
    }

    /// Records whose keys begin so were never there. From here on it is known which are there.
    pub(crate) fn begin_records(&self, prefix: [u8; 4]) {
        if let Some(presence) = self.records.presence() {
            presence.begin(prefix);
        }
    }

    /// No record whose key begins so is asked for any more.
    pub(crate) fn end_records(&self, prefix: [u8; 4]) {
        if let Some(presence) = self.records.presence() {
            presence.end(prefix);
        }
    }

    pub(crate) fn health(&self) -> Health {
        self.guard.health()
    }

    /// Whether there is a change that no flush has covered yet.
    pub(crate) fn is_dirty(&self) -> bool {
        self.guard.dirty.load(Ordering::Acquire)
    }

    /// Whether something was written since `open`: then the files must be settled.
    pub(crate) fn was_written(&self) -> bool {
        self.guard.written.load(Ordering::Acquire)
    }

    /// Hands every change so far to the operating system. It survives the process from here on, not a power loss. In memory
    /// there is nothing to do.
    pub(crate) fn flush(&self) -> Result<()> {
        if !self.guard.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let database = self.database.as_deref();
        let flush = || database.map_or(Ok(0), |database| database.db.flush());
        let flushed = self.guard.call(Operation::Flush, flush).and_then(|_| {
            let is_deleted = |database: &Database| matches!(database.log.try_exists(), Ok(false));
            if !database.is_some_and(is_deleted) {
                return Ok(());
            }
            let error = Error::new(ErrorKind::Engine, "the index was deleted while it was in use");
            Err(self.guard.failed(error))
        });
        flushed.inspect_err(|_| self.guard.dirty.store(true, Ordering::Release))
    }

    /// Drops the database without waiting. A panic in the drop becomes an error.
    pub(crate) fn release(self) -> Result<()> {
        Arc::clone(&self.guard).release(self)
    }

    /// Drops the database and waits until nothing writes to `directory` any more.
    pub(crate) fn close(self, directory: &Path) -> Result<()> {
        self.release()?;
        files::await_release(directory)
    }
}

/// Makes sled's snapshot current, so that the next open replays nothing and flips in the log cannot bring back
/// overwritten or removed entries.
pub(crate) fn settle(directory: &Path) -> Result<()> {
    check_clock()?;
    Guard::default().call(Operation::Open, || config(directory).open().map(drop))?;
    files::await_release(directory)
}

/// sled panics at each open while the clock stands before 1970. That is no damage: the index is opened when it is set right.
fn check_clock() -> Result<()> {
    if is_before_1970() {
        let message =
            "the clock of this machine stands before 1970, where the storage engine does not open: set it";
        return Err(Error::new(ErrorKind::Io, message));
    }
    Ok(())
}

fn config(directory: &Path) -> sled::Config {
    sled::Config::new().path(directory).cache_capacity(PAGE_CACHE).flush_every_ms(None)
}

/// Whether as many threads can be started as sled needs: it starts them once a process, and every flush of the process
/// waits for ever when none of them came to life.
fn try_threads() -> Result<()> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if STARTED.load(Ordering::Acquire) {
        return Ok(());
    }
    let gate = RwLock::new(());
    let started = thread::scope(|scope| {
        // Held until all are there: each waits for it.
        let closed = gate.write();
        let started = (0..THREADS).try_for_each(|_| {
            let wait = || drop(gate.read());
            thread::Builder::new().name("memolith-try".into()).spawn_scoped(scope, wait).map(drop)
        });
        drop(closed);
        started
    });
    started.map_err(|cause| Error::io("starting the threads of the storage engine", cause))?;
    STARTED.store(true, Ordering::Release);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use super::*;

    /// Each file with its bytes.
    fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for path in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            if path.is_dir() {
                found.extend(files(&path));
            } else {
                found.insert(path.clone(), fs::read(path).unwrap());
            }
        }
        found
    }

    /// The store relies on it: MANIFEST goes on saying that it was closed until the first change.
    #[test]
    fn an_open_that_changes_nothing_leaves_the_bytes_of_settled_files_as_they_are() {
        for rows in [0u32, 10, 3_000] {
            let directory = tempfile::tempdir().unwrap();
            let engine = Engine::open(directory.path(), &Faults::default()).unwrap();
            for row in 0..rows {
                engine.records.insert(&row.to_be_bytes(), &[7; 300]).unwrap();
                engine.order.insert(&row.to_be_bytes(), &[8; 60]).unwrap();
            }
            for row in (0..rows).step_by(3) {
                engine.records.remove(&row.to_be_bytes()).unwrap();
            }
            engine.close(directory.path()).unwrap();
            settle(directory.path()).unwrap();
            let before = files(directory.path());
            for _ in 0..3 {
                let engine = Engine::open(directory.path(), &Faults::default()).unwrap();
                let found = engine.records.rows(&[], None, usize::MAX).unwrap();
                assert_eq!(found.len() as u32, rows - rows.div_ceil(3));
                assert!(files(directory.path()) == before, "{rows} rows: the open changed bytes");
                engine.flush().unwrap();
                engine.close(directory.path()).unwrap();
                assert!(files(directory.path()) == before, "{rows} rows: the drop changed bytes");
            }
        }
    }
}
