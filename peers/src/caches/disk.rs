//! Caches and databases on disk.

use std::{collections::HashMap, fs, path::PathBuf, sync::Mutex};

use cached::ConcurrentCached;
use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::Cache;
use crate::{Result, task::Task, value::Value};

/// Nothing between the value and a file: the reference.
pub(crate) struct Files<V> {
    directory: PathBuf,
    /// The values that this process wrote. The hits are clones of them.
    written: Mutex<HashMap<String, V>>,
}

impl<V> Files<V> {
    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(key.replace('/', "-"))
    }
}

impl<V: Value> Cache<V> for Files<V> {
    /// `None` after a write, which keeps the value itself, so that it costs no clone.
    type Handed = Option<V>;

    fn open(task: &Task) -> Result<Self> {
        Ok(Self { directory: task.directory.clone(), written: Mutex::default() })
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<Option<V>> {
        let mut written = self.written.lock().map_err(|_| "poisoned")?;
        if let Some(value) = written.get(key) {
            return Ok(Some(value.clone()));
        }
        let path = self.path(key);
        if path.exists() {
            return Ok(Some(V::read(&path)?));
        }
        let value = compute();
        value.write(&path)?;
        written.insert(key.to_owned(), value);
        Ok(None)
    }

    fn remove(&self, key: &str) -> Result<()> {
        if let Ok(mut written) = self.written.lock() {
            written.remove(key);
        }
        Ok(fs::remove_file(self.path(key))?)
    }
}

pub(crate) struct Cached<V, const DURABLE: bool>(cached::RedbCache<String, V>);

impl<V: Value, const DURABLE: bool> Cache<V> for Cached<V, DURABLE> {
    type Handed = V;

    fn open(task: &Task) -> Result<Self> {
        let builder = cached::RedbCache::builder("readings").disk_dir(&task.directory);
        Ok(Self(builder.durable(DURABLE).build()?))
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<V> {
        Ok(self.0.cache_get_or_set_with(key.to_owned(), compute)?)
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.0.cache_delete(&key.to_owned())?;
        Ok(())
    }

    fn close(self) -> Result<()> {
        if !DURABLE {
            self.0.flush()?;
        }
        Ok(())
    }
}

pub(crate) struct Cacache(PathBuf);

impl<V: Value> Cache<V> for Cacache {
    type Handed = V;

    fn open(task: &Task) -> Result<Self> {
        Ok(Self(task.directory.clone()))
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<V> {
        match cacache::read_sync(&self.0, key) {
            Ok(bytes) => Ok(postcard::from_bytes(&bytes)?),
            Err(cacache::Error::EntryNotFound(..)) => {
                let value = compute();
                cacache::write_sync(&self.0, key, postcard::to_stdvec(&value)?)?;
                Ok(value)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the content too. A removal by the key alone leaves the content on disk.
    fn remove(&self, key: &str) -> Result<()> {
        let entry = cacache::metadata_sync(&self.0, key)?.ok_or("no entry")?;
        cacache::remove_hash_sync(&self.0, &entry.integrity)?;
        Ok(cacache::remove_sync(&self.0, key)?)
    }
}

pub(crate) struct Redb(Database);

const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("readings");

impl Redb {
    fn change(&self, durability: Durability, key: &str, bytes: Option<&[u8]>) -> Result<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(durability)?;
        {
            let mut table = transaction.open_table(TABLE)?;
            match bytes {
                Some(bytes) => drop(table.insert(key, bytes)?),
                None => drop(table.remove(key)?),
            }
        }
        Ok(transaction.commit()?)
    }
}

impl<V: Value> Cache<V> for Redb {
    type Handed = V;

    fn open(task: &Task) -> Result<Self> {
        let database = Self(Database::create(task.directory.join("readings.redb"))?);
        database.change(Durability::Immediate, "no such key", None)?;
        Ok(database)
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<V> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        if let Some(bytes) = table.get(key)? {
            return Ok(postcard::from_bytes(bytes.value())?);
        }
        let value = compute();
        self.change(Durability::None, key, Some(&postcard::to_stdvec(&value)?))?;
        Ok(value)
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.change(Durability::None, key, None)
    }

    fn close(self) -> Result<()> {
        self.change(Durability::Immediate, "no such key", None)
    }
}

pub(crate) struct Sled(sled::Db);

impl<V: Value> Cache<V> for Sled {
    type Handed = V;

    fn open(task: &Task) -> Result<Self> {
        Ok(Self(sled::open(&task.directory)?))
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<V> {
        if let Some(bytes) = self.0.get(key)? {
            return Ok(postcard::from_bytes(&bytes)?);
        }
        let value = compute();
        self.0.insert(key, postcard::to_stdvec(&value)?)?;
        Ok(value)
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.0.remove(key)?;
        Ok(())
    }

    fn close(self) -> Result<()> {
        self.0.flush()?;
        Ok(())
    }
}
