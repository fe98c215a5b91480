//! What is claimed, and its hash.

use std::{
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::atomic::{AtomicU64, Ordering},
};

/// What there is one leader for: one key of one memo or pool.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Unique in the process.
    pub(crate) owner: u64,
    /// Uniform: its first bytes are the hash.
    pub(crate) digest: [u8; 32],
}

/// The number of a memo or of a type in a pool: one that no other has in this process.
pub(crate) fn fresh_owner() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Hash for Seat {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let prefix = self.digest.first_chunk().map_or(0, |prefix| u64::from_le_bytes(*prefix));
        // The golden ratio spreads owners, so that one key in many memos is not one bucket.
        state.write_u64(prefix ^ self.owner.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

pub(super) type SeatHasher = BuildHasherDefault<PrefixHasher>;

/// Takes the number a [`Seat`] gives it for the hash: digests need no second one.
#[derive(Default)]
pub(super) struct PrefixHasher(u64);

impl Hasher for PrefixHasher {
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
