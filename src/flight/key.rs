//! The key of a claim, and its hash.

use std::{
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::atomic::{AtomicU64, Ordering},
};

/// One key of one memo or pool. It has at most one leader.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlightKey {
    /// Number of the memo or of the type in a pool, unique in the process.
    pub(crate) owner: u64,
    /// Uniformly distributed, so that its first bytes can serve as the hash.
    pub(crate) digest: [u8; 32],
}

/// A new number for a memo or for a type in a pool, unique in this process.
pub(crate) fn fresh_owner() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Hash for FlightKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let prefix = self.digest.first_chunk().map_or(0, |prefix| u64::from_le_bytes(*prefix));
        // The golden ratio spreads the owners: one digest in many memos falls into many buckets.
        state.write_u64(prefix ^ self.owner.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

pub(crate) type BuildKeyHasher = BuildHasherDefault<KeyHasher>;

/// Uses the number that a [`FlightKey`] writes as the hash, because digests are uniform.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, prefix: u64) {
        self.0 ^= prefix;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
