//! SHA-256: the digests of keys and of variants, and the fingerprints of inputs.

use sha2::{Digest as _, Sha256};

/// Takes bytes in pieces. The hash depends on their sequence, not on the pieces.
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    #[inline]
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
