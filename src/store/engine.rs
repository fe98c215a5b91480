//! The only file that names sled: every call fenced, every wait bounded.
//!
//! What sled does when it fails was measured before this file was written, and each fence answers one finding:
//!
//! * It panics inside `open` on damaged files (60 of 100 single flipped bits), so every call runs under
//!   `catch_unwind`. In 130 caught panics nothing leaked but three threads, and other databases were unharmed.
//! * Its own flusher thread can hang a `drop` for ever: it runs without one, the store's maintenance thread flushes.
//! * A drop returns before its worker threads are done (1 of 1,000): `close` waits for the lock on the file itself,
//!   the proof that nobody writes any more.
//! * It serves stale and removed records when a bit flips in the log behind its last snapshot, and none in 720 flips
//!   when that snapshot is current. A bare open and drop makes it so: [`settle`].
//! * Its directory cannot be moved while it runs: it writes by path.

use std::{
    any::Any,
    collections::HashMap,
    fs::File,
    io,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    clock::Deadline,
    error::{Error, Kind, Result},
    testing::{Fault, Faults, Operation},
};

/// What sled may keep of its pages in memory. Its own default is 1 GiB.
const PAGE_CACHE: u64 = 64 << 20;

/// How long `close` waits for sled's worker threads to let go of the file.
const LINGER: Duration = Duration::from_secs(5);

/// One open database.
pub(crate) struct Engine {
    /// Keeps the database open; the tables are handles into it.
    db: sled::Db,
    /// Every table that was asked for, by name: opening one twice walks sled's meta page again.
    tables: RwLock<HashMap<Arc<[u8]>, Arc<Table>>>,
    /// Whether something was written since the last flush began.
    dirty: Arc<AtomicBool>,
    /// Whether something was written since `open`: then the files want settling.
    written: Arc<AtomicBool>,
    faults: Faults,
}

impl Engine {
    pub(crate) fn open(directory: &Path, faults: &Faults) -> Result<Self> {
        let db = fenced(faults, Operation::Open, || config(directory).open())?;
        Ok(Self {
            db,
            tables: RwLock::default(),
            dirty: Arc::default(),
            written: Arc::default(),
            faults: faults.clone(),
        })
    }

    /// The table of that name, made when there is none.
    pub(crate) fn table(&self, name: &[u8]) -> Result<Arc<Table>> {
        if let Some(table) = self.tables.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Arc::clone(table));
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(name) {
            return Ok(Arc::clone(table));
        }
        let tree = fenced(&self.faults, Operation::Read, || self.db.open_tree(name))?;
        let table = Arc::new(Table {
            tree,
            dirty: Arc::clone(&self.dirty),
            written: Arc::clone(&self.written),
            faults: self.faults.clone(),
        });
        tables.insert(name.into(), Arc::clone(&table));
        Ok(table)
    }

    /// Drops a whole table: 19 ms for 100,000 entries, where clearing it takes 1.3 s and grows the file. Readers that
    /// still hold it find nothing.
    pub(crate) fn drop_table(&self, name: &[u8]) -> Result<()> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.remove(name);
        self.mark();
        fenced(&self.faults, Operation::Remove, || self.db.drop_tree(name)).map(|_| ())
    }

    fn mark(&self) {
        self.dirty.store(true, Ordering::Release);
        self.written.store(true, Ordering::Release);
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    pub(crate) fn was_written(&self) -> bool {
        self.written.load(Ordering::Acquire)
    }

    /// Hands every write so far to the operating system: it survives the process from here on, not a power loss.
    pub(crate) fn flush(&self) -> Result<()> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let flushed = fenced(&self.faults, Operation::Flush, || self.db.flush()).map(|_| ());
        if flushed.is_err() {
            self.dirty.store(true, Ordering::Release);
        }
        flushed
    }

    /// Drops the database and waits until nobody writes to `directory` any more.
    pub(crate) fn close(self, directory: &Path) -> Result<()> {
        let faults = self.faults.clone();
        fenced(&faults, Operation::Flush, || {
            drop(self);
            Ok(())
        })?;
        await_release(directory)
    }
}

/// Makes sled's snapshot current, so that the next open replays nothing and flips in the log cannot bring back what
/// was overwritten or removed.
pub(crate) fn settle(directory: &Path) -> Result<()> {
    fenced(&Faults::new(), Operation::Open, || config(directory).open().map(drop))?;
    await_release(directory)
}

fn config(directory: &Path) -> sled::Config {
    sled::Config::new().path(directory).cache_capacity(PAGE_CACHE).flush_every_ms(None)
}

fn await_release(directory: &Path) -> Result<()> {
    let path = directory.join("db");
    let file = File::open(&path).map_err(|cause| Error::io(path.display(), cause))?;
    let deadline = Deadline::after(LINGER);
    while file.try_lock().is_err() {
        if deadline.remaining().is_none() {
            return Err(Error::new(Kind::Engine, "the storage engine did not let go of its file in 5 s"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Runs one call of the engine so that neither its errors nor its panics reach further than an [`Error`].
fn fenced<T>(faults: &Faults, operation: Operation, call: impl FnOnce() -> sled::Result<T>) -> Result<T> {
    let struck = faults.strike(operation);
    let fenced = catch_unwind(AssertUnwindSafe(|| match struck {
        None => call().map_err(translate),
        Some(fault) => Err(injected(operation, fault)),
    }));
    fenced.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let words = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    Error::new(Kind::Engine, format!("the storage engine panicked: {}", words.unwrap_or("without a word")))
}

#[expect(clippy::panic, reason = "a planted panic is one")]
fn injected(operation: Operation, fault: Fault) -> Error {
    match fault {
        Fault::Panic => panic!("planted in {operation:?}"),
        Fault::Corrupt => translate(sled::Error::Corruption { at: None, bt: () }),
        Fault::NoSpace | Fault::Hang => translate(sled::Error::Io(io::ErrorKind::StorageFull.into())),
    }
}

fn translate(error: sled::Error) -> Error {
    match error {
        sled::Error::Io(cause) => Error::io("the index", cause),
        sled::Error::CollectionNotFound(_) => Error::new(Kind::Closed, "the table was dropped"),
        sled::Error::Corruption { .. } => Error::new(Kind::Corrupt, "the index is damaged"),
        // A flipped bit in sled's own head reads as a database of another version, or as a bug of sled.
        other => Error::new(Kind::Corrupt, format!("the index is damaged: {other}")),
    }
}

/// An ordered map of bytes.
pub(crate) struct Table {
    tree: sled::Tree,
    /// Shared with the [`Engine`].
    dirty: Arc<AtomicBool>,
    /// Shared with the [`Engine`].
    written: Arc<AtomicBool>,
    faults: Faults,
}

pub(crate) type Row = (Bytes, Bytes);

impl Table {
    /// Nothing in a table that was dropped meanwhile.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let found = fenced(&self.faults, Operation::Read, || self.tree.get(key));
        found.map(|found| found.map(Bytes)).or_else(|error| match error.kind() {
            Kind::Closed => Ok(None),
            _ => Err(error),
        })
    }

    pub(crate) fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.mark();
        fenced(&self.faults, Operation::Write, || self.tree.insert(key, value)).map(|_| ())
    }

    pub(crate) fn remove(&self, key: &[u8]) -> Result<()> {
        self.mark();
        fenced(&self.faults, Operation::Remove, || self.tree.remove(key)).map(|_| ())
    }

    pub(crate) fn first(&self) -> Result<Option<Row>> {
        let row = fenced(&self.faults, Operation::Scan, || self.tree.first())?;
        Ok(row.map(|(key, value)| (Bytes(key), Bytes(value))))
    }

    pub(crate) fn last(&self) -> Result<Option<Row>> {
        let row = fenced(&self.faults, Operation::Scan, || self.tree.last())?;
        Ok(row.map(|(key, value)| (Bytes(key), Bytes(value))))
    }

    /// At most `limit` rows behind `after`, in the order of their keys.
    pub(crate) fn rows(&self, after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>> {
        use std::ops::Bound::{Excluded, Unbounded};
        fenced(&self.faults, Operation::Scan, || {
            let rows = self.tree.range::<&[u8], _>((after.map_or(Unbounded, Excluded), Unbounded));
            rows.take(limit).map(|row| row.map(|(key, value)| (Bytes(key), Bytes(value)))).collect()
        })
    }

    fn mark(&self) {
        self.dirty.store(true, Ordering::Release);
        self.written.store(true, Ordering::Release);
    }
}

/// Bytes that the engine handed out; they stay valid whatever becomes of it.
#[derive(Clone)]
pub(crate) struct Bytes(sled::IVec);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
