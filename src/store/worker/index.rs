//! The tables that a change is applied to: those of the running engine, and those of its copy while there is one.
//!
//! During a compaction every change goes to both, so the copy needs no journal. A change of the copy that fails costs the
//! copy, never the change.

use std::{cell::Cell, sync::Arc};

use crate::{
    error::Result,
    key::Digest,
    store::{
        engine::{Bytes, Engine, Row, Table},
        generation::{CatalogRow, GenerationId, IndexRow, Number},
        worker::order::OrderRow,
    },
};

pub(super) struct Index {
    pub(super) engine: Arc<Engine>,
    /// Of the folder `index-<n>`.
    pub(super) number: u64,
    /// A copy that is being filled.
    copy: Option<Copy>,
}

struct Copy {
    engine: Arc<Engine>,
    /// Whether a change of it failed: then it is given up.
    failed: Cell<bool>,
}

impl Index {
    pub(super) fn new(engine: Arc<Engine>, number: u64) -> Self {
        Self { engine, number, copy: None }
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
        self.insert(|engine| &engine.records, &number.record_key(digest), record)
    }

    pub(super) fn remove_record(&self, number: Number, digest: &Digest) -> Result<()> {
        self.remove(|engine| &engine.records, &number.record_key(digest))
    }

    pub(super) fn row(&self, number: Number, sequence: u64) -> Result<Option<OrderRow>> {
        let key = number.order_key(sequence);
        let value = self.engine.order.get(&key)?;
        Ok(value.and_then(|value| OrderRow::decode(&key, &value)))
    }

    pub(super) fn insert_row(&self, number: Number, row: &OrderRow) -> Result<()> {
        self.insert(|engine| &engine.order, &number.order_key(row.sequence), &row.encode())
    }

    pub(super) fn remove_row(&self, number: Number, sequence: u64) -> Result<()> {
        self.remove(|engine| &engine.order, &number.order_key(sequence))
    }

    /// The rows of a generation behind a sequence, in the order of insertion, with their keys.
    pub(super) fn rows(&self, number: Number, after: Option<u64>, limit: usize) -> Result<Vec<Row>> {
        let after = after.map(|sequence| number.order_key(sequence));
        self.engine.order.rows(&number.prefix(), after.as_ref().map(<[u8; 12]>::as_slice), limit)
    }

    pub(super) fn write_catalog(&self, id: GenerationId, row: &CatalogRow) -> Result<()> {
        self.insert(|engine| &engine.catalog, &id.0, &row.encode())
    }

    pub(super) fn remove_from_catalog(&self, id: GenerationId) -> Result<()> {
        self.remove(|engine| &engine.catalog, &id.0)
    }

    pub(super) fn write_index_row(&self, row: &IndexRow) -> Result<()> {
        self.insert(|engine| &engine.catalog, IndexRow::KEY, &row.encode())
    }

    fn insert(&self, table: impl Fn(&Engine) -> &Table, key: &[u8], value: &[u8]) -> Result<()> {
        table(&self.engine).insert(key, value)?;
        self.to_copy(|copy| table(copy).insert(key, value));
        Ok(())
    }

    pub(super) fn remove(&self, table: impl Fn(&Engine) -> &Table, key: &[u8]) -> Result<()> {
        table(&self.engine).remove(key)?;
        self.to_copy(|copy| table(copy).remove(key));
        Ok(())
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
