//! Which entries of a memo were read lately: a bit for each, found by the digest.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::key::Digest;

/// 32 KiB. Beyond some 100,000 entries many share a bit with one that was read, and are spared for it.
const WORDS: usize = 4_096;

pub(crate) struct UsedMarks(Box<[AtomicU64]>);

impl Default for UsedMarks {
    fn default() -> Self {
        Self((0..WORDS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl UsedMarks {
    fn place(&self, digest: &Digest) -> Option<(&AtomicU64, u64)> {
        let [.., a, b, c] = *digest.as_bytes();
        let place = u32::from_le_bytes([a, b, c, 0]) as usize;
        Some((self.0.get(place / 64 % WORDS)?, 1 << (place % 64)))
    }

    /// The entry was read. Most marks are there already, and are only looked at.
    pub(crate) fn mark(&self, digest: &Digest) {
        if let Some((word, bit)) = self.place(digest)
            && word.load(Relaxed) & bit == 0
        {
            word.fetch_or(bit, Relaxed);
        }
    }

    pub(super) fn is_marked(&self, digest: &Digest) -> bool {
        self.place(digest).is_some_and(|(word, bit)| word.load(Relaxed) & bit != 0)
    }

    pub(super) fn clear(&self, digest: &Digest) {
        if let Some((word, bit)) = self.place(digest) {
            word.fetch_and(!bit, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_that_of_its_digest_until_it_is_cleared() {
        let marks = UsedMarks::default();
        let digests = [[1; 32], [2; 32], [255; 32]].map(Digest::from_bytes);
        let [first, second, third] = digests;
        marks.mark(&first);
        marks.mark(&third);
        assert_eq!(digests.map(|digest| marks.is_marked(&digest)), [true, false, true]);
        marks.clear(&first);
        marks.clear(&second);
        assert_eq!(digests.map(|digest| marks.is_marked(&digest)), [false, false, true]);
    }
}
