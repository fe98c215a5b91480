//! The only room that names sled: every call fenced (`pulse`), and made aside where its caller must not hang in it.
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

mod pulse;
mod table;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread,
    time::Duration,
};

use self::pulse::Pulse;
pub(crate) use self::{
    pulse::{Calls, Health, Manner, unanswered},
    table::{Bytes, Table, Tables},
};
use crate::{
    clock::Deadline,
    error::{Error, Kind, Result},
    store::ledger::GenerationId,
    sync::lock,
    testing::Operation,
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
    shelves: RwLock<Shelves>,
    /// Tables that were dropped, which a reader may still hold: the last one to let go of a tree of sled flushes.
    dropped: Mutex<Vec<Arc<Tables>>>,
    /// The log. sled goes on writing to it without an error when it is deleted.
    log: PathBuf,
    pulse: Arc<Pulse>,
}

/// The tables of every generation that was asked for: opening one walks sled's meta page.
#[derive(Default)]
struct Shelves {
    open: BTreeMap<GenerationId, Arc<Tables>>,
    /// How often tables were dropped. What was opened meanwhile may be of before it.
    drops: u64,
}

impl Engine {
    /// Opens the database in `directory`, unless it is not wanted any more.
    pub(crate) fn open(directory: &Path, manner: &Manner, is_wanted: impl Fn() -> bool) -> Result<Self> {
        // One that was dropped a moment ago, after a failure or at a close that failed, may not have let go yet.
        if directory.join("db").exists() {
            // No damage, so no reason to give the index up: it is tried again later.
            await_release(directory, is_wanted).map_err(|error| error.with_kind(Kind::Io))?;
        }
        discard_unfinished(directory);
        let pulse = Arc::new(Pulse::new(manner));
        let db = pulse.fenced(Operation::Open, || config(directory).open())?;
        match Table::open(&pulse, &db, "memos", Calls::Here) {
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
    pub(crate) fn tables(&self, generation: GenerationId, calls: Calls) -> Result<Arc<Tables>> {
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = shelves.open.get(&generation) {
            return Ok(Arc::clone(tables).by(calls));
        }
        let drops = shelves.drops;
        drop(shelves);
        // Under no lock: readers of other tables must not hang in it too.
        let table = |name: &str| Table::open(&self.pulse, &self.db, name, calls);
        let [records, order] = table_names(generation);
        let tables = Tables::new([table(&records)?, table(&order)?]);
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        if shelves.drops != drops {
            // They may be the dropped ones: good for this call, but not to be kept.
            lock(&self.dropped).push(Arc::clone(&tables));
            return Ok(tables.by(calls));
        }
        let tables = Arc::clone(shelves.open.entry(generation).or_insert(tables));
        Ok(tables.by(calls))
    }

    /// Drops the tables of a generation: 19 ms for 100,000 entries, where clearing them takes 1.3 s and grows the file.
    /// Readers that still hold them find nothing.
    pub(crate) fn drop_tables(&self, generation: GenerationId, calls: Calls) -> Result<()> {
        self.shelve(generation);
        let dropped = table_names(generation).into_iter().try_for_each(|name| self.drop_table(name, calls));
        // Somebody may have opened them in between.
        self.shelve(generation);
        dropped
    }

    fn drop_table(&self, name: String, calls: Calls) -> Result<()> {
        self.pulse.change(|| match self.pulse.way(calls) {
            Calls::Here => self.pulse.fenced(Operation::Remove, || self.db.drop_tree(name).map(drop)),
            Calls::Aside => {
                let db = self.db.clone();
                self.pulse.aside(Operation::Remove, move || db.drop_tree(name).map(drop))
            }
        })
    }

    /// Nobody else is given these tables from here on.
    fn shelve(&self, generation: GenerationId) {
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        shelves.drops += 1;
        lock(&self.dropped).extend(shelves.open.remove(&generation));
    }

    pub(crate) fn health(&self) -> Health {
        self.pulse.health()
    }

    /// It is in service from here on.
    pub(crate) fn serve(&self) {
        self.pulse.serve();
    }

    /// Whether a call was given up.
    pub(crate) fn is_silent(&self) -> bool {
        self.pulse.is_silent()
    }

    /// A call to it did not answer in time.
    pub(crate) fn fall_silent(&self) {
        self.pulse.fall_silent();
    }

    /// All calls came back.
    pub(crate) fn answer(&self) {
        self.pulse.answer();
    }

    /// Whether calls are under way that nobody waits for any more, perhaps.
    pub(crate) fn has_guests(&self) -> bool {
        self.pulse.has_guests()
    }

    /// By which the watch knows it.
    pub(crate) fn number(&self) -> usize {
        self.pulse.number()
    }

    /// Whether there is a change that no flush has covered yet; one that is under way has not.
    pub(crate) fn is_dirty(&self) -> bool {
        self.pulse.changes().1
    }

    /// Whether something was written since `open`: then the files want settling.
    pub(crate) fn was_written(&self) -> bool {
        self.pulse.changes().0 > 0
    }

    /// Hands every change so far to the operating system: it survives the process from here on, not a power loss.
    pub(crate) fn flush(&self) -> Result<()> {
        let (covered, dirty) = self.pulse.changes();
        if dirty {
            self.pulse.staying(|pulse| pulse.fenced(Operation::Flush, || self.db.flush()))?;
            if matches!(self.log.try_exists(), Ok(false)) {
                return Err(self
                    .pulse
                    .failed(Error::new(Kind::Engine, "the index was deleted while it was in use")));
            }
            self.pulse.flushed(covered);
        }
        Ok(())
    }

    /// Lets go of the dropped tables that nobody reads any more. Where nobody writes: sled flushes in a drop until there is
    /// nothing to flush.
    pub(crate) fn forget_dropped(&self) -> Result<()> {
        let dropped = std::mem::take(&mut *lock(&self.dropped));
        let (free, in_use): (Vec<_>, _) =
            dropped.into_iter().partition(|tables| Arc::strong_count(tables) == 1);
        lock(&self.dropped).extend::<Vec<_>>(in_use);
        if free.is_empty() {
            return Ok(());
        }
        self.pulse.aside(Operation::Flush, move || {
            drop(free);
            Ok(())
        })
    }

    /// Drops a database that failed, without its last panic reaching anybody.
    pub(crate) fn bury(self) -> Result<()> {
        Arc::clone(&self.pulse).let_go(self)
    }

    /// Drops the database and waits until nobody writes to `directory` any more.
    pub(crate) fn close(self, directory: &Path) -> Result<()> {
        self.bury()?;
        await_release(directory, || true)
    }
}

fn table_names(generation: GenerationId) -> [String; 2] {
    [format!("records/{generation}"), format!("order/{generation}")]
}

/// Makes sled's snapshot current, so that the next open replays nothing and flips in the log cannot bring back what
/// was overwritten or removed.
pub(crate) fn settle(directory: &Path) -> Result<()> {
    Pulse::default().fenced(Operation::Open, || config(directory).open().map(drop))?;
    await_release(directory, || true)
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

fn await_release(directory: &Path, is_wanted: impl Fn() -> bool) -> Result<()> {
    let path = directory.join("db");
    let file = File::open(&path).map_err(|cause| Error::io(path.display(), cause))?;
    let deadline = Deadline::after(LINGER);
    loop {
        if !is_wanted() {
            return Err(Error::new(Kind::Closed, "the store was closed meanwhile"));
        }
        if file.try_lock().is_ok() {
            return Ok(());
        }
        if deadline.remaining().is_none() {
            return Err(Error::new(Kind::Engine, "the storage engine did not let go of its file in 5 s"));
        }
        thread::sleep(Duration::from_millis(1));
    }
}
