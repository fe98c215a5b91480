//! One machine: a directory, and a store in it that shares values through a server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use memolith::{Memo, Store, StoreBuilder, remote::Redis};
use tempfile::TempDir;

use crate::server::{Server, wait_until};

pub(crate) struct Machine {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    pub(crate) memo: Memo<str, String>,
    pub(crate) computed: Arc<AtomicUsize>,
}

pub(crate) fn redis(url: &str) -> Redis {
    Redis::open(url).unwrap().namespace("shop").lease(Duration::from_secs(1))
}

impl Machine {
    pub(crate) fn new(server: &Server) -> Self {
        Self::at(&server.url())
    }

    pub(crate) fn at(url: &str) -> Self {
        Self::with(redis(url), |builder| builder)
    }

    pub(crate) fn with(redis: Redis, options: impl FnOnce(StoreBuilder) -> StoreBuilder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = options(Store::builder().remote(redis)).open(folder.path().join("cache")).unwrap();
        let memo = Memo::builder("names").open(&store).unwrap();
        Self { folder, store, memo, computed: Arc::default() }
    }

    /// The machine comes back after its program ended.
    pub(crate) fn again(self, url: &str) -> Self {
        let Self { folder, store, memo, computed } = self;
        drop(memo);
        store.close().unwrap();
        drop(store);
        let store = Store::builder().remote(redis(url)).open(folder.path().join("cache")).unwrap();
        let memo = Memo::builder("names").open(&store).unwrap();
        Self { folder, store, memo, computed }
    }

    pub(crate) fn get(&self, key: &str, computes: &str) -> String {
        self.memo.get_or_insert_with(key, || {
            self.computed.fetch_add(1, SeqCst);
            computes.to_owned()
        })
    }

    pub(crate) fn computed(&self) -> usize {
        self.computed.load(SeqCst)
    }

    /// Waits until a change of another machine has come here.
    pub(crate) fn wait_for(&self, key: &str, value: Option<&str>) {
        wait_until(&format!("{key} becomes {value:?}"), || self.memo.get(key).unwrap().as_deref() == value);
    }

    pub(crate) fn no_failures(&self) {
        assert_eq!(
            self.store.stats().failures.total(),
            0,
            "{:?} {:?}",
            self.store.last_failure(),
            self.memo.last_failure()
        );
    }
}
