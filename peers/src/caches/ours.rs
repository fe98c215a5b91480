//! memolith, once with a value for each caller and once with one for all.

use std::sync::Arc;

use memolith::{Memo, Store};

use super::Cache;
use crate::{
    Result,
    task::{Phase, Task},
    value::Value,
};

/// The store that is closed at the end, and the memo that is called until then.
pub(crate) struct Opened<V: 'static> {
    store: Store,
    memo: Memo<str, V>,
}

impl<V> Opened<V>
where
    V: serde::Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static,
{
    fn new(task: &Task, memory: u64) -> Result<Self> {
        let store = Store::builder().memory(memory).open(&task.directory)?;
        let mut options = Memo::builder("readings");
        if task.phase == Phase::Churn {
            options = options.max_entries(task.live as u64);
        }
        let memo = options.open(&store)?;
        Ok(Self { store, memo })
    }

    fn close(self) -> Result<()> {
        let failure = self.memo.last_failure();
        self.store.close()?;
        failure.map_or(Ok(()), |failure| Err(failure.into()))
    }
}

pub(crate) struct Own<V: 'static>(Opened<V>);

impl<V: Value> Cache<V> for Own<V> {
    type Handed = V;

    const IS_BOUNDED: bool = true;

    fn open(task: &Task) -> Result<Self> {
        Opened::new(task, 256 << 20).map(Self)
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<V> {
        Ok(self.0.memo.get_or_insert_with(key, compute))
    }

    fn close(self) -> Result<()> {
        self.0.close()
    }
}

pub(crate) struct Shared<V: 'static>(Opened<Arc<V>>);

impl<V: Value> Cache<V> for Shared<V> {
    type Handed = Arc<V>;

    const IS_BOUNDED: bool = true;

    fn open(task: &Task) -> Result<Self> {
        Opened::new(task, 4 << 30).map(Self)
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<Arc<V>> {
        Ok(self.0.memo.get_or_insert_with(key, || Arc::new(compute())))
    }

    fn close(self) -> Result<()> {
        self.0.close()
    }
}
