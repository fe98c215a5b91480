//! The bytes of a stored value, and their checksums.

use std::{
    fmt,
    ops::{Deref, Range},
    sync::Arc,
};

use crate::checksum::{BlockChecksums, ReadAhead};

/// The bytes of one stored value.
///
/// The payload owns its bytes (a large one is a memory-mapped file), and clones share them. A codec may keep a clone in the
/// value, and return views instead of copies. The bytes never change, and are freed with the last clone. They have no
/// alignment, except that the address of a mapped file is a multiple of 64.
///
/// At the first access, all bytes of a file are compared with their checksums, at the speed of memory, and on two threads
/// if there are many. If the file is damaged, the payload is an empty slice. Whatever the codec returns for it, the memo
/// counts the entry as damaged and computes.
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
    /// Keeps the bytes alive. One allocation, shared by the clones.
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    /// Place of the payload in the owner's bytes, never outside of them.
    range: Range<usize>,
    /// Bytes at the end of the range that do not belong to the value. The checksums cover them too.
    trailer: usize,
    /// `None` if the bytes are verified already.
    checksums: Option<Arc<BlockChecksums>>,
}

impl Payload {
    /// A payload of verified bytes. A range beyond the owner's bytes is cut to them.
    pub(crate) fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static, range: Range<usize>) -> Self {
        let end = range.end.min(owner.as_ref().len());
        Self { range: range.start.min(end)..end, trailer: 0, owner: Arc::new(owner), checksums: None }
    }

    /// A payload of bytes that are verified at the first access.
    pub(crate) fn with_checksums(
        owner: impl AsRef<[u8]> + Send + Sync + 'static,
        range: Range<usize>,
        checksums: Arc<BlockChecksums>,
    ) -> Self {
        Self { checksums: Some(checksums), ..Self::new(owner, range) }
    }

    /// Number of bytes. It verifies nothing.
    pub(crate) fn size(&self) -> usize {
        self.range.len().saturating_sub(self.trailer)
    }

    /// The same payload without its last bytes, and these. `length` computes from the last 8 bytes how many they are. `None` if
    /// they are damaged, or fewer.
    pub(crate) fn split_trailer(
        &self,
        length: impl FnOnce(usize, [u8; 8]) -> Option<usize>,
    ) -> Option<(Self, &[u8])> {
        let size = self.size();
        let last = |count: usize| {
            let from = size.checked_sub(count)?;
            if self.verify(from..size) { self.unverified().get(from..) } else { None }
        };
        let trailer = length(size, *last(8)?.first_chunk()?)?;
        let bytes = last(trailer)?;
        Some((Self { trailer: self.trailer + trailer, ..self.clone() }, bytes))
    }

    /// With the trailer.
    fn whole(&self) -> &[u8] {
        (*self.owner).as_ref().get(self.range.clone()).unwrap_or_default()
    }

    /// The bytes, unverified. The caller verifies the bytes that it uses first.
    pub(crate) fn unverified(&self) -> &[u8] {
        self.whole().get(..self.size()).unwrap_or_default()
    }

    /// The checksums, if the bytes were not verified when they were read.
    pub(crate) fn checksums(&self) -> Option<&Arc<BlockChecksums>> {
        self.checksums.as_ref()
    }

    /// Whether damaged bytes were found.
    pub(crate) fn is_damaged(&self) -> bool {
        self.checksums.as_ref().is_some_and(|checksums| checksums.is_damaged())
    }

    /// Whether the codec leaves the rest to be verified after the call.
    pub(crate) fn is_deferred(&self) -> bool {
        self.checksums.as_ref().is_some_and(|checksums| checksums.is_deferred())
    }

    /// Whether all bytes are verified.
    pub(crate) fn is_verified(&self) -> bool {
        self.checksums.as_ref().is_none_or(|checksums| checksums.is_verified())
    }

    /// Verifies a part. `false` if it is damaged.
    pub(crate) fn verify(&self, part: Range<usize>) -> bool {
        self.checksums.as_ref().is_none_or(|checksums| checksums.verify(self.whole(), part))
    }

    /// The end of the verified part around `position`.
    pub(crate) fn verified_until(&self, position: usize) -> usize {
        let size = self.size();
        self.checksums.as_ref().map_or(size, |checksums| checksums.verified_until(position).min(size))
    }

    /// Runs `work`, which reads from front to back, and may start a thread that verifies ahead of it.
    pub(crate) fn scope<'env, T>(
        &'env self,
        work: impl for<'scope> FnOnce(ReadAhead<'scope, 'env>) -> T,
    ) -> T {
        match &self.checksums {
            Some(checksums) => checksums.scope(self.whole(), work),
            None => work(ReadAhead::none()),
        }
    }

    /// Verifies all bytes.
    pub(crate) fn verify_all(&self) -> bool {
        self.checksums.as_ref().is_none_or(|checksums| checksums.verify_all(self.whole()))
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
        assert!(!whole.is_verified(), "not before the first access");
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
