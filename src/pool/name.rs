//! What a resource is found by.

use std::{
    any::TypeId,
    collections::hash_map::RandomState,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher},
    sync::LazyLock,
};

use crate::key::Compact;

/// The type and the key: two types never meet, whatever their keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    /// Of the other two, by a hash that nobody outside can foresee. Taken once, and not under a lock.
    hash: u64,
    pub(super) kind: TypeId,
    pub(super) key: Compact,
}

impl Name {
    pub(super) fn new<T: 'static>(key: Compact) -> Self {
        static RANDOM: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let kind = TypeId::of::<T>();
        Self { hash: RANDOM.hash_one((kind, key)), kind, key }
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
pub(super) struct Hashed(u64);

pub(super) type NameHasher = BuildHasherDefault<Hashed>;

impl Hasher for Hashed {
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
