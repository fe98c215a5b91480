//! Caches that are called in tasks. Each call is a run of the runtime, whose cost is in the figures of all of them.

use cached::ConcurrentCachedAsync;
use memolith::{Memo, Store, future};
use tokio::runtime::{Builder, Runtime};

use super::Cache;
use crate::{
    Result,
    task::{Phase, Task},
    value::Value,
};

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().build()?)
}

pub(crate) struct Memolith<V: 'static> {
    runtime: Runtime,
    store: Store,
    memo: future::Memo<str, V>,
}

impl<V: Value> Cache<V> for Memolith<V> {
    type Handed = V;

    const IS_BOUNDED: bool = true;

    fn open(task: &Task) -> Result<Self> {
        let store = Store::builder().memory(256 << 20).open(&task.directory)?;
        let mut options = Memo::builder("readings");
        if task.phase == Phase::Churn {
            options = options.max_entries(task.live as u64);
        }
        let memo = options.open(&store)?.into();
        Ok(Self { runtime: runtime()?, store, memo })
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<V> {
        Ok(self.runtime.block_on(self.memo.get_or_insert_with(key, || async { compute() })))
    }

    fn close(self) -> Result<()> {
        let failure = self.memo.blocking().last_failure();
        self.store.close()?;
        failure.map_or(Ok(()), |failure| Err(failure.into()))
    }
}

pub(crate) struct Moka<V> {
    runtime: Runtime,
    cache: moka::future::Cache<String, V>,
}

impl<V: Value> Cache<V> for Moka<V> {
    type Handed = V;

    const PERSISTS: bool = false;

    fn open(_: &Task) -> Result<Self> {
        Ok(Self { runtime: runtime()?, cache: moka::future::Cache::new(10_000) })
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<V> {
        Ok(self.runtime.block_on(self.cache.get_with_by_ref(key, async { compute() })))
    }
}

pub(crate) struct Cached<V> {
    runtime: Runtime,
    cache: cached::RedbCache<String, V>,
}

impl<V: Value> Cache<V> for Cached<V> {
    type Handed = V;

    fn open(task: &Task) -> Result<Self> {
        let cache = cached::RedbCache::builder("readings").disk_dir(&task.directory).build()?;
        // It runs its transactions on the threads of the runtime for blocking work.
        Ok(Self { runtime: Runtime::new()?, cache })
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<V> {
        let key = key.to_owned();
        self.runtime.block_on(async {
            if let Some(value) = self.cache.async_cache_get(&key).await? {
                return Ok(value);
            }
            let value = compute();
            self.cache.async_cache_set(key, value.clone()).await?;
            Ok(value)
        })
    }
}
