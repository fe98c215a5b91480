//! The tables of an engine: ordered maps of bytes, in a database or in memory.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
    sync::{Arc, PoisonError, RwLock},
};

use super::{guard::Guard, presence::Presence};
use crate::{error::Result, testing::Operation};

/// An ordered map of bytes.
pub(crate) struct Table {
    rows: Rows,
    /// Of the records on disk.
    presence: Option<Arc<Presence>>,
    /// That of the engine.
    guard: Arc<Guard>,
}

enum Rows {
    OnDisk(sled::Tree),
    /// Locked for one step of one row, or of one stretch of rows.
    InMemory(RwLock<BTreeMap<Bytes, Bytes>>),
}

/// Names a table of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TableId {
    Catalog,
    Records,
    Order,
}

impl TableId {
    pub(crate) const ALL: [Self; 3] = [Self::Catalog, Self::Records, Self::Order];
}

/// Bytes that the engine handed out. They stay valid when the engine is gone.
pub(crate) type Bytes = sled::IVec;

pub(crate) type Row = (Bytes, Bytes);

impl Table {
    pub(super) fn open(guard: &Arc<Guard>, db: &sled::Db, name: &str) -> Result<Self> {
        let tree = guard.call(Operation::Read, || db.open_tree(name))?;
        Ok(Self { rows: Rows::OnDisk(tree), presence: None, guard: Arc::clone(guard) })
    }

    pub(super) fn in_memory(guard: &Arc<Guard>) -> Self {
        Self { rows: Rows::InMemory(RwLock::default()), presence: None, guard: Arc::clone(guard) }
    }

    /// The same table, which knows of absent keys.
    pub(super) fn knowing(self, presence: Arc<Presence>) -> Self {
        Self { presence: Some(presence), ..self }
    }

    pub(super) fn presence(&self) -> Option<&Arc<Presence>> {
        self.presence.as_ref()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let presence = self.presence.as_ref();
        let is_known_absent = || presence.is_some_and(|presence| presence.lacks(key));
        self.guard.call(Operation::Read, || if is_known_absent() { Ok(None) } else { self.rows.get(key) })
    }

    /// The same for a key that is likely to be there: to ask first takes a tenth of the look.
    pub(crate) fn get_likely(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.guard.call(Operation::Read, || self.rows.get(key))
    }

    pub(crate) fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        if let Some(presence) = &self.presence {
            presence.note(key);
        }
        self.guard.change(Operation::Write, || match &self.rows {
            Rows::OnDisk(tree) => tree.insert(key, value).map(drop),
            Rows::InMemory(map) => {
                let (key, value) = (key.into(), value.into());
                let old = map.write().unwrap_or_else(PoisonError::into_inner).insert(key, value);
                drop(old);
                Ok(())
            }
        })
    }

    pub(crate) fn remove(&self, key: &[u8]) -> Result<()> {
        self.guard.change(Operation::Remove, || match &self.rows {
            Rows::OnDisk(tree) => tree.remove(key).map(drop),
            Rows::InMemory(map) => {
                let old = map.write().unwrap_or_else(PoisonError::into_inner).remove(key);
                drop(old);
                Ok(())
            }
        })?;
        if let Some(presence) = &self.presence {
            presence.forget(key);
        }
        Ok(())
    }

    /// At most `limit` rows whose keys begin with `prefix`, in the order of their keys, behind the key `after`.
    pub(crate) fn rows(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>> {
        let range = (after.map_or(Included(prefix), Excluded), Unbounded);
        self.guard.call(Operation::Scan, || match &self.rows {
            Rows::OnDisk(tree) => first_rows(tree.range::<&[u8], _>(range), prefix, limit),
            Rows::InMemory(map) => {
                let map = map.read().unwrap_or_else(PoisonError::into_inner);
                let rows = map.range::<[u8], _>(range).map(|(key, value)| Ok((key.clone(), value.clone())));
                first_rows(rows, prefix, limit)
            }
        })
    }
}

impl Rows {
    fn get(&self, key: &[u8]) -> sled::Result<Option<Bytes>> {
        match self {
            Self::OnDisk(tree) => tree.get(key),
            Self::InMemory(map) => Ok(map.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()),
        }
    }
}

fn first_rows(
    rows: impl Iterator<Item = sled::Result<Row>>,
    prefix: &[u8],
    limit: usize,
) -> sled::Result<Vec<Row>> {
    let begins = |row: &sled::Result<Row>| row.as_ref().map_or(true, |(key, _)| key.starts_with(prefix));
    rows.take(limit).take_while(begins).collect()
}
