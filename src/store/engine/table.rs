//! The tables of an engine: ordered maps of bytes.

use std::{
    ops::{
        Bound::{Excluded, Unbounded},
        Deref,
    },
    sync::Arc,
};

use super::pulse::{Calls, Pulse};
use crate::{
    error::{Kind, Result},
    testing::Operation,
};

/// The two tables of one generation.
pub(crate) struct Tables {
    /// Digest to record.
    pub(crate) records: Table,
    /// Sequence to row.
    pub(crate) order: Table,
    /// Those that they are another view of, which are not let go of before.
    _of: Option<Arc<Self>>,
}

impl Tables {
    pub(super) fn new([records, order]: [Table; 2]) -> Arc<Self> {
        Arc::new(Self { records, order, _of: None })
    }

    /// The same tables, asked in another way.
    pub(crate) fn by(self: Arc<Self>, calls: Calls) -> Arc<Self> {
        if self.records.calls == calls {
            return self;
        }
        let (records, order) = (self.records.by(calls), self.order.by(calls));
        Arc::new(Self { records, order, _of: Some(self) })
    }
}

/// An ordered map of bytes.
pub(crate) struct Table {
    tree: sled::Tree,
    /// That of the engine.
    pulse: Arc<Pulse>,
    calls: Calls,
}

pub(crate) type Row = (Bytes, Bytes);

impl Table {
    pub(super) fn open(pulse: &Arc<Pulse>, db: &sled::Db, name: &str, calls: Calls) -> Result<Self> {
        let tree = match pulse.way(calls) {
            Calls::Here => pulse.fenced(Operation::Read, || db.open_tree(name))?,
            Calls::Aside => {
                let (db, name) = (db.clone(), name.to_owned());
                pulse.aside(Operation::Read, move || db.open_tree(name))?
            }
        };
        Ok(Self { tree, pulse: Arc::clone(pulse), calls: Calls::Here })
    }

    /// The same table, asked in another way.
    pub(crate) fn by(&self, calls: Calls) -> Self {
        Self { tree: self.tree.clone(), pulse: Arc::clone(&self.pulse), calls }
    }

    /// Nothing in a table that was dropped meanwhile.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let found = self.ask(Operation::Read, [key], |tree, [key]| tree.get(key));
        found.map(|found| found.map(Bytes)).or_else(|error| match error.kind() {
            Kind::Closed => Ok(None),
            _ => Err(error),
        })
    }

    pub(crate) fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.pulse.change(|| {
            self.ask(Operation::Write, [key, value], |tree, [key, value]| tree.insert(key, value).map(drop))
        })
    }

    pub(crate) fn remove(&self, key: &[u8]) -> Result<()> {
        self.pulse.change(|| self.ask(Operation::Remove, [key], |tree, [key]| tree.remove(key).map(drop)))
    }

    pub(crate) fn last(&self) -> Result<Option<Row>> {
        let row = self.ask(Operation::Scan, [], |tree, []| tree.last())?;
        Ok(row.map(|(key, value)| (Bytes(key), Bytes(value))))
    }

    /// At most `limit` rows behind `after`, in the order of their keys.
    pub(crate) fn rows(&self, after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>> {
        // No key is empty: every key is behind that.
        self.ask(Operation::Scan, [after.unwrap_or_default()], move |tree, [after]| {
            let rows = tree.range::<&[u8], _>((Excluded(after), Unbounded));
            rows.take(limit).map(|row| row.map(|(key, value)| (Bytes(key), Bytes(value)))).collect()
        })
    }

    /// Makes one call, on this thread or on another.
    fn ask<const N: usize, T: Send + 'static>(
        &self,
        operation: Operation,
        arguments: [&[u8]; N],
        call: impl FnOnce(&sled::Tree, [&[u8]; N]) -> sled::Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.pulse.way(self.calls) {
            Calls::Here => self.pulse.fenced(operation, || call(&self.tree, arguments)),
            Calls::Aside => {
                let (tree, arguments) = (self.tree.clone(), arguments.map(Box::<[u8]>::from));
                self.pulse
                    .aside(operation, move || call(&tree, arguments.each_ref().map(|argument| &**argument)))
            }
        }
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
