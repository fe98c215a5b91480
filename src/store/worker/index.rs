//! The tables that a change is applied to: those of the running engine, and those of its copy while there is one.
//!
//! During a compaction every change goes to both, so the copy needs no journal. A change of the copy that fails costs the
//! copy, never the change.
//!
//! The first change has MANIFEST say that the store is open: a run that changes nothing leaves the directory as it found it,
//! however it ends. The rows that changed since the last snapshot are noted, so that a close can append them to it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    error::{Error, Result},
    key::Digest,
    store::{
        engine::{Bytes, Engine, Row, TableId},
        epochs::Epochs,
        generation::{CatalogRow, GenerationId, IndexRow, Number},
        manifest::{self, Closed, Manifest},
        snapshot::RowKey,
        worker::order::OrderRow,
    },
};

/// So many changed rows are noted at most, which takes some 600 kB. A snapshot is written whole after more.
const NOTED: usize = 1 << 14;

pub(super) struct Index {
    pub(super) engine: Arc<Engine>,
    /// Of the folder `index-<n>`.
    pub(super) number: u64,
    /// A copy that is being filled.
    copy: Option<Copy>,
    /// How the store was left, while MANIFEST says so. `None` after the first change, and in memory.
    left: RefCell<Option<Left>>,
    /// `None` when not all changes since the last snapshot are known.
    since_snapshot: RefCell<Option<SinceSnapshot>>,
}

struct Left {
    directory: PathBuf,
    closed: Closed,
    /// By which processes that read the closed store learn that it is open.
    epochs: Option<Arc<Epochs>>,
}

/// The changes since a snapshot.
#[derive(Clone)]
pub(super) struct SinceSnapshot {
    pub(super) snapshot: manifest::Snapshot,
    /// The rows that were changed, at most [`NOTED`].
    pub(super) changed: BTreeSet<RowKey>,
}

struct Copy {
    engine: Arc<Engine>,
    /// Whether a change of it failed: then it is given up.
    failed: Cell<bool>,
}

impl Index {
    pub(super) fn new(engine: Arc<Engine>, number: u64) -> Self {
        Self { engine, number, copy: None, left: RefCell::default(), since_snapshot: RefCell::default() }
    }

    /// The index of a store that MANIFEST says was closed.
    pub(super) fn of_closed(
        engine: Arc<Engine>,
        number: u64,
        directory: &Path,
        closed: &Closed,
        epochs: Option<Arc<Epochs>>,
    ) -> Self {
        let since = closed.snapshot.map(|snapshot| SinceSnapshot { snapshot, changed: BTreeSet::new() });
        let left = Left { directory: directory.to_owned(), closed: closed.clone(), epochs };
        let (left, since_snapshot) = (RefCell::new(Some(left)), RefCell::new(since));
        Self { left, since_snapshot, ..Self::new(engine, number) }
    }

    /// A copy of an index, which MANIFEST names in its place.
    pub(super) fn taking_over(engine: Arc<Engine>, number: u64, from: &Self) -> Self {
        Self { since_snapshot: RefCell::new(from.since_snapshot.take()), ..Self::new(engine, number) }
    }

    /// What MANIFEST says, if that is how the store was closed.
    pub(super) fn left(&self) -> Option<Closed> {
        self.left.borrow().as_ref().map(|left| left.closed.clone())
    }

    pub(super) fn since_snapshot(&self) -> Option<SinceSnapshot> {
        self.since_snapshot.borrow().clone()
    }

    /// Has no process open this index again, which is damaged. Its snapshot is kept if no change was made since.
    pub(super) fn condemn(&self, directory: &Path) {
        let closed = self.left.take().map(|left| left.closed).filter(|closed| closed.snapshot.is_some());
        let written = closed.is_some_and(|closed| {
            // No index has no files.
            let closed = Some(Closed { files: BTreeMap::new(), ..closed });
            Manifest { index: self.number, closed }.write(directory).is_ok()
        });
        if !written {
            let _ = Manifest::remove(directory);
        }
    }

    /// Applies every change to `engine` too, from here on.
    pub(super) fn begin_copy(&mut self, engine: Arc<Engine>) {
        self.copy = Some(Copy { engine, failed: Cell::new(false) });
    }

    pub(super) fn end_copy(&mut self) {
        self.copy = None;
    }

    /// Whether the copy lacks a change.
    pub(super) fn has_copy_failed(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.failed.get())
    }

    pub(super) fn record(&self, number: Number, digest: &Digest) -> Result<Option<Bytes>> {
        self.engine.records.get(&number.record_key(digest))
    }

    pub(super) fn insert_record(&self, number: Number, digest: &Digest, record: &[u8]) -> Result<()> {
        self.insert(TableId::Records, &number.record_key(digest), record)
    }

    pub(super) fn remove_record(&self, number: Number, digest: &Digest) -> Result<()> {
        self.remove(TableId::Records, &number.record_key(digest))
    }

    pub(super) fn row(&self, number: Number, sequence: u64) -> Result<Option<OrderRow>> {
        let key = number.order_key(sequence);
        let value = self.engine.order.get(&key)?;
        Ok(value.and_then(|value| OrderRow::decode(&key, &value)))
    }

    pub(super) fn insert_row(&self, number: Number, row: &OrderRow) -> Result<()> {
        self.insert(TableId::Order, &number.order_key(row.sequence), &row.encode())
    }

    pub(super) fn remove_row(&self, number: Number, sequence: u64) -> Result<()> {
        self.remove(TableId::Order, &number.order_key(sequence))
    }

    /// The rows of a generation behind a sequence, in the order of insertion, with their keys.
    pub(super) fn rows(&self, number: Number, after: Option<u64>, limit: usize) -> Result<Vec<Row>> {
        let after = after.map(|sequence| number.order_key(sequence));
        self.engine.order.rows(&number.prefix(), after.as_ref().map(<[u8; 12]>::as_slice), limit)
    }

    pub(super) fn write_catalog(&self, id: GenerationId, row: &CatalogRow) -> Result<()> {
        self.insert(TableId::Catalog, &id.0, &row.encode())
    }

    pub(super) fn remove_from_catalog(&self, id: GenerationId) -> Result<()> {
        self.remove(TableId::Catalog, &id.0)
    }

    pub(super) fn write_index_row(&self, row: &IndexRow) -> Result<()> {
        self.insert(TableId::Catalog, IndexRow::KEY, &row.encode())
    }

    fn insert(&self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.begin_change()?;
        self.note(table, key);
        self.engine.table(table).insert(key, value)?;
        self.to_copy(|copy| copy.table(table).insert(key, value));
        Ok(())
    }

    pub(super) fn remove(&self, table: TableId, key: &[u8]) -> Result<()> {
        self.note(table, key);
        self.remove_dead(table, key)
    }

    /// Removes a row of a number that no generation has: it counts for no snapshot.
    pub(super) fn remove_dead(&self, table: TableId, key: &[u8]) -> Result<()> {
        self.begin_change()?;
        self.engine.table(table).remove(key)?;
        self.to_copy(|copy| copy.table(table).remove(key));
        Ok(())
    }

    /// MANIFEST says that the store is open before the first change is made, and then EPOCHS: who reads the snapshot looks there
    /// after each look.
    fn begin_change(&self) -> Result<()> {
        let Some(left) = self.left.take() else { return Ok(()) };
        let opened = Manifest::open(self.number).write(&left.directory).and_then(|()| match &left.epochs {
            Some(epochs) => epochs.raise_snapshot().map_err(|cause| Error::io("EPOCHS", cause)),
            None => Ok(()),
        });
        match opened {
            Err(error) if left.directory.is_dir() => {
                self.left.replace(Some(left));
                Err(error)
            }
            // The next flush finds that the directory was deleted.
            _ => Ok(()),
        }
    }

    /// Notes that a row changes.
    fn note(&self, table: TableId, key: &[u8]) {
        self.since_snapshot.borrow_mut().take_if(|since| {
            since.changed.insert(RowKey::new(table, key));
            since.changed.len() > NOTED
        });
    }

    fn to_copy(&self, change: impl FnOnce(&Engine) -> Result<()>) {
        if let Some(copy) = &self.copy
            && !copy.failed.get()
            && change(&copy.engine).is_err()
        {
            copy.failed.set(true);
        }
    }
}
