//! What a resource is found by.

use std::{
    any::TypeId,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher},
    sync::LazyLock,
};

use foldhash::fast::RandomState;
use serde::Serialize;

use crate::{
    error::Result,
    key::{self, Compact},
};

/// The type and the key: two types never meet, whatever their keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    /// Of the other two, by a hash that is seeded anew in each process. Taken once, and not under a lock.
    hash: u64,
    pub(super) kind: TypeId,
    pub(super) key: Compact,
}

impl Name {
    /// The name of no resource, until its key is [written](Self::write).
    #[inline]
    pub(super) fn of<T: 'static>() -> Self {
        Self { hash: 0, kind: TypeId::of::<T>(), key: Compact::default() }
    }

    #[inline]
    pub(super) fn write(&mut self, key: &(impl Serialize + ?Sized)) -> Result<()> {
        static RANDOM: LazyLock<RandomState> = LazyLock::new(RandomState::default);
        key::compact(key, &mut self.key)?;
        self.hash = RANDOM.hash_one((self.kind, &self.key));
        Ok(())
    }

    /// Uniform, and apart from what a table makes of the hash.
    pub(super) fn shard(&self) -> u8 {
        (self.hash >> 40) as u8
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Takes the number a [`Name`] gives it for the hash.
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
