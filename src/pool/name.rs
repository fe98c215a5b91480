//! The identity of a resource.

use std::{
    any::TypeId,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher},
    sync::LazyLock,
};

use foldhash::fast::RandomState;
use serde::Serialize;

use crate::{
    error::Result,
    key::{self, PoolKey},
};

/// The type and the key of a resource.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    /// Hash of `kind` and `key`, with a random seed for each process. Computed once, outside of every lock.
    hash: u64,
    pub(super) kind: TypeId,
    pub(super) key: PoolKey,
}

impl Name {
    /// Identifies no resource until its key is [written](Self::write).
    #[inline]
    pub(super) fn of<T: 'static>() -> Self {
        Self { hash: 0, kind: TypeId::of::<T>(), key: PoolKey::default() }
    }

    #[inline]
    pub(super) fn write(&mut self, key: &(impl Serialize + ?Sized)) -> Result<()> {
        static RANDOM: LazyLock<RandomState> = LazyLock::new(RandomState::default);
        key::compact(key, &mut self.key)?;
        self.hash = RANDOM.hash_one((self.kind, &self.key));
        Ok(())
    }

    /// Uniform, and from other bits of the hash than the tables of the shards use.
    pub(super) fn shard(&self) -> u8 {
        (self.hash >> 40) as u8
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Uses the number that a [`Name`] writes as the hash.
#[derive(Default)]
pub(super) struct NameHasher(u64);

pub(super) type BuildNameHasher = BuildHasherDefault<NameHasher>;

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
