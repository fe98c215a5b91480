//! The mounted part of the store, and stand-ins for the rest: payloads in memory, a memory tier behind one lock, a
//! disk behind one lock, a janitor that works at once.

#[path = "../../src/store/forgetting.rs"]
mod forgetting;
#[path = "../../src/store/pending.rs"]
pub(crate) mod pending;
#[path = "engine.rs"]
pub(crate) mod worker;

pub(crate) mod blob {
    pub(crate) enum Finished {
        Inline(Vec<u8>),
        Blob(()),
    }
}

pub(crate) mod generation {
    #[derive(Clone, Copy)]
    pub(crate) struct Bounds;

    pub(crate) type GenerationId = u64;
    pub(crate) struct CatalogRow;
}

pub(crate) mod session {
    use std::{collections::HashMap, sync::Arc};

    use crate::{
        error::Error,
        key::Digest,
        sync::{Mutex, lock},
    };

    #[derive(Default)]
    pub(crate) struct Session {
        pub(crate) memory: Memory,
    }

    pub(crate) enum Untold {
        MemoFailed(Arc<str>, Error),
    }

    impl Session {
        pub(crate) fn leave(&self, _: impl IntoIterator<Item = u64>) {}

        pub(crate) fn note(&self, _: Untold) {}
    }

    /// Its lock is that of a shard.
    #[derive(Default)]
    pub(crate) struct Memory(Mutex<HashMap<(u64, Digest), u64>>);

    impl Memory {
        pub(crate) fn get(&self, owner: u64, digest: &Digest) -> Option<u64> {
            lock(&self.0).get(&(owner, *digest)).copied()
        }

        pub(crate) fn admit(
            &self,
            owner: u64,
            digest: &Digest,
            value: u64,
            still: impl FnOnce() -> bool,
        ) -> bool {
            let mut values = lock(&self.0);
            let still = still();
            if still {
                values.insert((owner, *digest), value);
            }
            still
        }

        pub(crate) fn remove(&self, owner: u64, digest: &Digest) -> Option<u64> {
            lock(&self.0).remove(&(owner, *digest))
        }

        pub(crate) fn remove_owner(&self, owner: u64) -> Vec<u64> {
            lock(&self.0).extract_if(|(other, _), _| *other == owner).map(|(_, value)| value).collect()
        }
    }
}
