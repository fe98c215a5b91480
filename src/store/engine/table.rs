//! The tables of an engine: ordered maps of bytes.

use std::{
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use super::guard::Guard;
use crate::{error::Result, testing::Operation};

/// An ordered map of bytes.
pub(crate) struct Table {
    tree: sled::Tree,
    /// That of the engine.
    guard: Arc<Guard>,
}

/// Bytes that the engine handed out. They stay valid when the engine is gone.
pub(crate) type Bytes = sled::IVec;

pub(crate) type Row = (Bytes, Bytes);

impl Table {
    pub(super) fn open(guard: &Arc<Guard>, db: &sled::Db, name: &str) -> Result<Self> {
        let tree = guard.call(Operation::Read, || db.open_tree(name))?;
        Ok(Self { tree, guard: Arc::clone(guard) })
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.guard.call(Operation::Read, || self.tree.get(key))
    }

    pub(crate) fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.guard.change(Operation::Write, || self.tree.insert(key, value).map(drop))
    }

    pub(crate) fn remove(&self, key: &[u8]) -> Result<()> {
        self.guard.change(Operation::Remove, || self.tree.remove(key).map(drop))
    }

    /// At most `limit` rows whose keys begin with `prefix`, in the order of their keys, behind the key `after`.
    pub(crate) fn rows(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>> {
        let begin = after.map_or(Included(prefix), Excluded);
        self.guard.call(Operation::Scan, || {
            let rows = self.tree.range::<&[u8], _>((begin, Unbounded)).take(limit);
            let mut found = Vec::new();
            for row in rows {
                let (key, value) = row?;
                if !key.starts_with(prefix) {
                    break;
                }
                found.push((key, value));
            }
            Ok(found)
        })
    }
}
