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
    collections::BTreeMap,
    fs::{self, File},
    io,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    clock::Deadline,
    error::{Error, Kind, Result},
    store::ledger::GenerationId,
    sync::lock,
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
    /// Which generations there are.
    catalog: Table,
    /// The tables of every generation that was asked for: opening one walks sled's meta page.
    shelves: RwLock<BTreeMap<GenerationId, Arc<Tables>>>,
    /// Tables that were dropped, which a reader may still hold: the last one to let go of a tree of sled flushes.
    dropped: Mutex<Vec<Arc<Tables>>>,
    /// The log. sled goes on writing to it without an error when it is deleted.
    log: PathBuf,
    pulse: Arc<Pulse>,
}

/// The two tables of one generation.
pub(crate) struct Tables {
    /// Digest to record.
    pub(crate) records: Table,
    /// Sequence to row.
    pub(crate) order: Table,
}

/// What the calls of one engine came to.
#[derive(Default)]
struct Pulse {
    /// How many changes were made, or tried.
    changes: AtomicU64,
    /// How many of these a flush has covered.
    flushed: AtomicU64,
    /// The worst that happened: see [`Health`].
    health: AtomicU8,
    faults: Faults,
}

/// How an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    Sound,
    /// The operating system refused something. sled's errors are sticky: it wants to be opened again.
    Refused,
    /// Damaged, or it panicked: one bad page makes up to 205 keys fail for ever.
    Damaged,
}

impl Engine {
    pub(crate) fn open(directory: &Path, faults: &Faults) -> Result<Self> {
        // One that was dropped a moment ago, after a failure or at a close that failed, may not have let go yet.
        if directory.join("db").exists() {
            // No damage, so no reason to give the index up: it is tried again later.
            await_release(directory).map_err(|error| error.with_kind(Kind::Io))?;
        }
        discard_unfinished(directory);
        let pulse = Arc::new(Pulse { faults: faults.clone(), ..Pulse::default() });
        let db = pulse.fenced(Operation::Open, || config(directory).open())?;
        match pulse.table(&db, "memos") {
            Ok(catalog) => {
                let (shelves, dropped, log) = (RwLock::default(), Mutex::default(), directory.join("db"));
                Ok(Self { db, catalog, shelves, dropped, log, pulse })
            }
            Err(error) => {
                let _ = pulse.let_go(db);
                Err(error)
            }
        }
    }

    pub(crate) fn catalog(&self) -> &Table {
        &self.catalog
    }

    /// The tables of a generation, made when there are none.
    pub(crate) fn tables(&self, generation: GenerationId) -> Result<Arc<Tables>> {
        if let Some(tables) = self.shelves.read().unwrap_or_else(PoisonError::into_inner).get(&generation) {
            return Ok(Arc::clone(tables));
        }
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = shelves.get(&generation) {
            return Ok(Arc::clone(tables));
        }
        let [records, order] = table_names(generation);
        let tables = Arc::new(Tables {
            records: self.pulse.table(&self.db, &records)?,
            order: self.pulse.table(&self.db, &order)?,
        });
        shelves.insert(generation, Arc::clone(&tables));
        Ok(tables)
    }

    /// Drops the tables of a generation: 19 ms for 100,000 entries, where clearing them takes 1.3 s and grows the file.
    /// Readers that still hold them find nothing.
    pub(crate) fn drop_tables(&self, generation: GenerationId) -> Result<()> {
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        lock(&self.dropped).extend(shelves.remove(&generation));
        table_names(generation).iter().try_for_each(|name| {
            self.pulse.change(Operation::Remove, || self.db.drop_tree(name)).map(drop)
        })?;
        drop(shelves);
        self.forget_dropped();
        Ok(())
    }

    pub(crate) fn health(&self) -> Health {
        self.pulse.health()
    }

    /// Whether there is a change that no flush has covered yet; one that is under way has not.
    pub(crate) fn is_dirty(&self) -> bool {
        self.pulse.flushed.load(Ordering::Acquire) < self.pulse.changes.load(Ordering::Acquire)
    }

    /// Whether something was written since `open`: then the files want settling.
    pub(crate) fn was_written(&self) -> bool {
        self.pulse.changes.load(Ordering::Acquire) > 0
    }

    /// Hands every change so far to the operating system: it survives the process from here on, not a power loss.
    pub(crate) fn flush(&self) -> Result<()> {
        let covered = self.pulse.changes.load(Ordering::Acquire);
        if self.is_dirty() {
            self.pulse.fenced(Operation::Flush, || self.db.flush())?;
            if matches!(self.log.try_exists(), Ok(false)) {
                return Err(self
                    .pulse
                    .failed(Error::new(Kind::Engine, "the index was deleted while it was in use")));
            }
            self.pulse.flushed.fetch_max(covered, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Lets go of the tables that nobody reads any more. Where nobody writes: sled flushes in a drop until there is nothing
    /// to flush.
    fn forget_dropped(&self) {
        let dropped = std::mem::take(&mut *lock(&self.dropped));
        let (free, in_use): (Vec<_>, _) =
            dropped.into_iter().partition(|tables| Arc::strong_count(tables) == 1);
        lock(&self.dropped).extend::<Vec<_>>(in_use);
        let _ = self.pulse.let_go(free);
    }

    /// Drops a database that failed, without its last panic reaching anybody.
    pub(crate) fn bury(self) -> Result<()> {
        Arc::clone(&self.pulse).let_go(self)
    }

    /// Drops the database and waits until nobody writes to `directory` any more.
    pub(crate) fn close(self, directory: &Path) -> Result<()> {
        self.bury()?;
        await_release(directory)
    }
}

fn table_names(generation: GenerationId) -> [String; 2] {
    [format!("records/{generation}"), format!("order/{generation}")]
}

impl Pulse {
    fn table(self: &Arc<Self>, db: &sled::Db, name: &str) -> Result<Table> {
        let tree = self.fenced(Operation::Read, || db.open_tree(name))?;
        Ok(Table { tree, pulse: Arc::clone(self) })
    }

    fn health(&self) -> Health {
        match self.health.load(Ordering::Acquire) {
            0 => Health::Sound,
            1 => Health::Refused,
            _ => Health::Damaged,
        }
    }

    /// A call that changes something.
    fn change<T>(&self, operation: Operation, call: impl FnOnce() -> sled::Result<T>) -> Result<T> {
        let changed = self.fenced(operation, call);
        // Not before: a flush that begins in between would claim to have covered it.
        self.changes.fetch_add(1, Ordering::AcqRel);
        changed
    }

    /// Drops what is sled's, or holds it: it flushes, and may panic.
    fn let_go<T>(&self, held: T) -> Result<()> {
        self.fenced(Operation::Flush, || {
            drop(held);
            Ok(())
        })
    }

    /// Runs one call of the engine so that neither its errors nor its panics reach further than an [`Error`].
    fn fenced<T>(&self, operation: Operation, call: impl FnOnce() -> sled::Result<T>) -> Result<T> {
        let struck = self.faults.strike(operation);
        let fenced = catch_unwind(AssertUnwindSafe(|| match struck {
            None => call().map_err(|error| translate(operation, error)),
            Some(fault) => Err(injected(operation, fault)),
        }));
        fenced.unwrap_or_else(|panic| Err(panicked(panic))).map_err(|error| self.failed(error))
    }

    /// Takes note of an error.
    fn failed(&self, error: Error) -> Error {
        let health = match error.kind() {
            Kind::Closed => Health::Sound,
            Kind::Io => Health::Refused,
            _ => Health::Damaged,
        };
        self.health.fetch_max(health as u8, Ordering::AcqRel);
        error
    }
}

/// Makes sled's snapshot current, so that the next open replays nothing and flips in the log cannot bring back what
/// was overwritten or removed.
pub(crate) fn settle(directory: &Path) -> Result<()> {
    Pulse::default().fenced(Operation::Open, || config(directory).open().map(drop))?;
    await_release(directory)
}

/// A snapshot that never got its name, because the process was killed while it was written: sled would take it for its
/// newest one, and the whole index for damaged. The one before it and the log are whole.
fn discard_unfinished(directory: &Path) {
    for file in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            let _ = fs::remove_file(file.path());
        }
    }
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

fn panicked(panic: Box<dyn Any + Send>) -> Error {
    Error::panicked("the storage engine", panic).with_kind(Kind::Engine)
}

#[expect(clippy::panic, reason = "a planted panic is one")]
fn injected(operation: Operation, fault: Fault) -> Error {
    match fault {
        Fault::Panic => panic!("planted in {operation:?}"),
        Fault::Corrupt => translate(operation, sled::Error::Corruption { at: None, bt: () }),
        Fault::NoSpace | Fault::Hang => {
            translate(operation, sled::Error::Io(io::ErrorKind::StorageFull.into()))
        }
    }
}

fn translate(operation: Operation, error: sled::Error) -> Error {
    match error {
        sled::Error::Io(cause) if is_lost(operation, &cause) => {
            Error::new(Kind::Corrupt, format!("the index is damaged: {cause}"))
        }
        sled::Error::Io(cause) => Error::io("the index", cause),
        sled::Error::CollectionNotFound(_) => Error::new(Kind::Closed, "the table was dropped"),
        sled::Error::Corruption { .. } => Error::new(Kind::Corrupt, "the index is damaged"),
        // A flipped bit in sled's own head reads as a database of another version, or as a bug of sled.
        other => Error::new(Kind::Corrupt, format!("the index is damaged: {other}")),
    }
}

/// Whether what was to be read is not there any more: it will not be when it is tried again.
fn is_lost(operation: Operation, cause: &io::Error) -> bool {
    /// The device cannot read it; of the systems that name it, all call it 5.
    const EIO: i32 = 5;
    matches!(operation, Operation::Open | Operation::Read | Operation::Scan)
        && (matches!(cause.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
            || cfg!(unix) && cause.raw_os_error() == Some(EIO))
}

/// An ordered map of bytes.
pub(crate) struct Table {
    tree: sled::Tree,
    /// That of the [`Engine`].
    pulse: Arc<Pulse>,
}

pub(crate) type Row = (Bytes, Bytes);

impl Table {
    /// Nothing in a table that was dropped meanwhile.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let found = self.pulse.fenced(Operation::Read, || self.tree.get(key));
        found.map(|found| found.map(Bytes)).or_else(|error| match error.kind() {
            Kind::Closed => Ok(None),
            _ => Err(error),
        })
    }

    pub(crate) fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.pulse.change(Operation::Write, || self.tree.insert(key, value)).map(drop)
    }

    pub(crate) fn remove(&self, key: &[u8]) -> Result<()> {
        self.pulse.change(Operation::Remove, || self.tree.remove(key)).map(drop)
    }

    pub(crate) fn last(&self) -> Result<Option<Row>> {
        let row = self.pulse.fenced(Operation::Scan, || self.tree.last())?;
        Ok(row.map(|(key, value)| (Bytes(key), Bytes(value))))
    }

    /// At most `limit` rows behind `after`, in the order of their keys.
    pub(crate) fn rows(&self, after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.pulse.fenced(Operation::Scan, || {
            let rows = self.tree.range::<&[u8], _>((after.map_or(Unbounded, Excluded), Unbounded));
            rows.take(limit).map(|row| row.map(|(key, value)| (Bytes(key), Bytes(value)))).collect()
        })
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
