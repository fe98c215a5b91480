//! The bytes of a stored value, and what vouches for them.

use std::{
    fmt,
    ops::{Deref, Range},
    sync::Arc,
};

use crate::checksum::{BlockChecksums, ReadAhead};

/// The bytes of one stored value.
///
/// It owns them (on disk a large payload is a mapped file), and clones share them: a codec may keep a clone
/// within the value and hand out views instead of copies. They never change, and are freed with the last
/// clone. Their address is not aligned to anything, except that a mapped file's is a multiple of 64.
///
/// The bytes of a file are compared with their checksums when they are first looked at: all of them, at the
/// speed of memory, on two threads when they are many. Of a file that was damaged there is nothing to see but
/// an empty slice, and whatever the codec makes of that, the memo counts the entry as damaged and computes.
///
/// # Examples
///
/// ```
/// use memolith::codec::Payload;
///
/// let payload = Payload::from(b"17,34,51".to_vec());
/// let view = payload.clone();
/// assert_eq!(view.split(|byte| *byte == b',').count(), 3);
/// ```
#[derive(Clone)]
pub struct Payload {
    /// Keeps the bytes alive; one allocation, shared by the clones.
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    /// Where the payload lies in the owner's bytes. Reading outside of them gives nothing.
    range: Range<usize>,
    /// The checksums of bytes that were not verified when they were fetched; without one they are to be trusted.
    checksums: Option<Arc<BlockChecksums>>,
}

impl Payload {
    /// Of bytes that can be trusted. A range that leaves the owner's bytes is cut to them.
    pub(crate) fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static, range: Range<usize>) -> Self {
        let end = range.end.min(owner.as_ref().len());
        Self { range: range.start.min(end)..end, owner: Arc::new(owner), checksums: None }
    }

    /// Of bytes that nobody has verified yet.
    pub(crate) fn with_checksums(
        owner: impl AsRef<[u8]> + Send + Sync + 'static,
        range: Range<usize>,
        checksums: Arc<BlockChecksums>,
    ) -> Self {
        Self { checksums: Some(checksums), ..Self::new(owner, range) }
    }

    /// How many bytes there are, without looking at them.
    pub(crate) fn size(&self) -> usize {
        self.range.len()
    }

    /// The bytes as they are. Whoever reads them has the checksums verify them first, and makes nothing of them otherwise.
    pub(crate) fn unverified(&self) -> &[u8] {
        (*self.owner).as_ref().get(self.range.clone()).unwrap_or_default()
    }

    /// What the bytes are to be verified by; nothing when they can be trusted.
    pub(crate) fn checksums(&self) -> Option<&Arc<BlockChecksums>> {
        self.checksums.as_ref()
    }

    /// Whether bytes were found that are not those that were written.
    pub(crate) fn is_damaged(&self) -> bool {
        self.checksums.as_ref().is_some_and(|checksums| checksums.is_damaged())
    }

    /// Whether the codec asked to have the rest verified after the call.
    pub(crate) fn is_deferred(&self) -> bool {
        self.checksums.as_ref().is_some_and(|checksums| checksums.is_deferred())
    }

    /// Whether nothing is left to be verified.
    pub(crate) fn is_verified(&self) -> bool {
        self.checksums.as_ref().is_none_or(|checksums| checksums.is_verified())
    }

    /// Verifies a part. `false` when it is not what was written.
    pub(crate) fn verify(&self, part: Range<usize>) -> bool {
        self.checksums.as_ref().is_none_or(|checksums| checksums.verify(self.unverified(), part))
    }

    /// Where the verified part that holds `position`, if there is one, comes to an end.
    pub(crate) fn verified_until(&self, position: usize) -> usize {
        let size = self.size();
        self.checksums.as_ref().map_or(size, |checksums| checksums.verified_until(position).min(size))
    }

    /// Runs `work`, which reads from front to back and may have another thread verify what comes next.
    pub(crate) fn scope<'env, T>(
        &'env self,
        work: impl for<'scope> FnOnce(ReadAhead<'scope, 'env>) -> T,
    ) -> T {
        match &self.checksums {
            Some(checksums) => checksums.scope(self.unverified(), work),
            None => work(ReadAhead::none()),
        }
    }

    /// Verifies everything.
    pub(crate) fn verify_all(&self) -> bool {
        self.checksums.as_ref().is_none_or(|checksums| checksums.verify_all(self.unverified()))
    }
}

impl Deref for Payload {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        if self.verify_all() { self.unverified() } else { &[] }
    }
}

impl AsRef<[u8]> for Payload {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// For tests of a codec.
impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self::new(bytes, range)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::BlockTable;

    #[test]
    fn a_payload_is_its_range_of_the_owner() {
        let payload = Payload::new(vec![1_u8, 2, 3, 4], 1..3);
        assert_eq!(&payload[..], [2, 3]);
        assert_eq!(format!("{payload:?}"), "Payload(2 bytes)");
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "the point")]
    fn a_range_outside_of_the_owner_is_cut_and_never_a_panic() {
        assert_eq!(&Payload::new([1_u8, 2, 3], 1..9)[..], [2, 3]);
        for range in [3..3, 7..9, 2..1, 9..1, usize::MAX..usize::MAX, usize::MAX..0] {
            assert!(Payload::new([1_u8, 2, 3], range).is_empty());
        }
    }

    #[test]
    fn a_clone_keeps_the_bytes_when_the_first_is_gone() {
        let payload = Payload::from(b"bytes".to_vec());
        let (address, view) = (payload.as_ptr(), payload.clone());
        drop(payload);
        assert_eq!((&view[..], view.as_ptr()), (&b"bytes"[..], address));
    }

    #[test]
    fn bytes_that_are_not_those_that_were_sealed_are_never_seen() {
        let checksums = || Arc::new(BlockChecksums::new(&table_of(b"bytes"), 5).unwrap());
        let whole = Payload::with_checksums(b"bytes".to_vec(), 0..5, checksums());
        assert!(!whole.is_verified(), "not before somebody looks");
        assert!(&whole[..] == b"bytes" && whole.is_verified() && !whole.is_damaged());
        let flipped = Payload::with_checksums(b"bytez".to_vec(), 0..5, checksums());
        let view = flipped.clone();
        assert!(flipped.is_empty() && flipped.is_damaged() && view.is_damaged() && view.is_empty());
    }

    fn table_of(bytes: &[u8]) -> Vec<u8> {
        let mut table = BlockTable::new();
        table.update(bytes);
        table.finish().0
    }
}
