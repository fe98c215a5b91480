//! Memory with a disk below it.

use std::convert::Infallible;

use foyer::{
    BlockEngineConfig, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCacheEntry,
    HybridCachePolicy, PsyncIoEngineConfig,
};
use tokio::runtime::Runtime;

use super::Cache;
use crate::{
    Result,
    task::{FRAME, Phase, Task},
    value::Value,
};

const MEBIBYTE: usize = 1 << 20;

pub(crate) struct Foyer<V: Value> {
    runtime: Runtime,
    cache: HybridCache<String, V>,
}

impl<V: Value> Cache<V> for Foyer<V> {
    type Handed = HybridCacheEntry<String, V>;

    /// By the size of its device. Entries leave in whole blocks.
    const IS_BOUNDED: bool = true;

    fn open(task: &Task) -> Result<Self> {
        if task.bytes >= FRAME {
            return Err("a value must fit into a block and the write buffer, 16 MiB each by default".into());
        }
        // For churn, the live values and the one block that is kept clean.
        let (capacity, block) = match task.phase {
            Phase::Churn => (9 * MEBIBYTE, MEBIBYTE),
            _ => (1024 * MEBIBYTE, 16 * MEBIBYTE),
        };
        let device = FsDeviceBuilder::new(&task.directory).with_capacity(capacity).build()?;
        let runtime = Runtime::new()?;
        let cache = runtime.block_on(
            HybridCacheBuilder::new()
                .with_policy(HybridCachePolicy::WriteOnInsertion)
                .memory(256 * MEBIBYTE)
                .with_weighter(|_, value: &V| value.weight())
                .storage()
                .with_io_engine_config(PsyncIoEngineConfig::new())
                .with_engine_config(BlockEngineConfig::new(device).with_block_size(block))
                .build(),
        )?;
        Ok(Self { runtime, cache })
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<Self::Handed> {
        // A fetch must not borrow. So the value is made before the fetch, but only after a lookup.
        if let Some(entry) = self.runtime.block_on(self.cache.get(key))? {
            return Ok(entry);
        }
        let value = compute();
        let fetch = || async move { Ok::<V, Infallible>(value) };
        Ok(self.runtime.block_on(self.cache.get_or_fetch(key, fetch))?)
    }

    fn close(self) -> Result<()> {
        Ok(self.runtime.block_on(self.cache.close())?)
    }
}
