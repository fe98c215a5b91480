//! Caches that end with the process.

use std::convert::Infallible;

use super::Cache;
use crate::{Result, task::Task, value::Value};

/// More than there are keys.
const ENTRIES: usize = 10_000;

pub(crate) struct Moka<V>(moka::sync::Cache<String, V>);

impl<V: Value> Cache<V> for Moka<V> {
    type Handed = V;

    const PERSISTS: bool = false;

    fn open(_: &Task) -> Result<Self> {
        Ok(Self(moka::sync::Cache::new(ENTRIES as u64)))
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<V> {
        Ok(self.0.get_with_by_ref(key, compute))
    }
}

pub(crate) struct QuickCache<V>(quick_cache::sync::Cache<String, V>);

impl<V: Value> Cache<V> for QuickCache<V> {
    type Handed = V;

    const PERSISTS: bool = false;

    fn open(_: &Task) -> Result<Self> {
        Ok(Self(quick_cache::sync::Cache::new(ENTRIES)))
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<V> {
        Ok(self.0.get_or_insert_with(key, || Ok::<V, Infallible>(compute()))?)
    }
}
