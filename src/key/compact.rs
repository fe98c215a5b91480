//! Keys that are used only in memory. Only long ones are digested.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::Serialize;

use super::{
    canonical::{encode, unserializable},
    sink::{Digest, DigestHasher, EncodeError, ForKeys, KeyHead, Sink},
    text::KeyText,
};
use crate::error::Result;

/// The form of the keys of a pool. Enough for a text of 29 bytes.
pub(crate) type PoolKey = Compact<4>;

/// The form of the keys of a memo. Enough for a text of 125 bytes.
pub(crate) type MemoKey = Compact<16>;

/// The canonical encoding of a key of at most `WORDS` words, or the digest of a longer one. Two are equal if and only if
/// their keys are.
///
/// If every key were digested, a hit would take 60 ns more. It is written in place and not returned: words that were just
/// written are slow to copy, and returning them through `catch_unwind` took 15 ns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compact<const WORDS: usize> {
    /// Little-endian, with zeros after the encoding. Written as words because they are read as words: bytes that are stored
    /// one by one must leave the CPU's store buffer before they can be loaded as a word.
    words: [u64; WORDS],
    /// Length of the encoding in bytes, or `DIGESTED` if it was too long.
    length: u64,
}

/// No length of a short encoding.
const DIGESTED: u64 = u64::MAX;

impl Hash for PoolKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_words(&self.words, state);
    }
}

/// Two words at a time: a folded multiplication takes as many.
#[inline]
pub(crate) fn hash_words<H: Hasher>(words: &[u64], state: &mut H) {
    let (pairs, rest) = words.as_chunks();
    for [low, high] in pairs {
        state.write_u128(u128::from(*low) | u128::from(*high) << 64);
    }
    if let [last] = rest {
        state.write_u64(*last);
    }
}

/// Without the key, which may hold secrets.
impl<const WORDS: usize> fmt::Debug for Compact<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compact").finish_non_exhaustive()
    }
}

impl<const WORDS: usize> Default for Compact<WORDS> {
    #[inline]
    fn default() -> Self {
        Self { words: [0; WORDS], length: 0 }
    }
}

impl<const WORDS: usize> Compact<WORDS> {
    const WORDS: usize = WORDS;

    /// Maximum length in bytes of an encoding that is kept.
    const SHORT: usize = WORDS * 8;

    /// The words of a short encoding, with zeros behind it. No two encodings have equal words, because none is the beginning
    /// of another one.
    #[inline]
    pub(crate) fn words(&self) -> Option<&[u64]> {
        self.words.get(..(self.length as usize).div_ceil(8))
    }

    fn digested(digest: Digest) -> Self {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(digest.as_bytes().as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Self { words, length: DIGESTED }
    }

    /// The encoding of a short key. Empty for a long one, because no encoding is as long as `DIGESTED`.
    fn with_bytes<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        let words = self.words.map(u64::to_le_bytes);
        read(words.as_flattened().get(..self.length as usize).unwrap_or_default())
    }

    /// The key as text. `None` for a long key.
    pub(crate) fn with_text<R>(&self, read: impl FnOnce(Option<KeyText<'_>>) -> R) -> R {
        self.with_bytes(|bytes| read(KeyText::of(bytes)))
    }

    /// The encoding of a short key. Empty for a long one.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }

    /// The [`digest`](super::digest) of the key.
    pub(crate) fn digest(&self) -> Digest {
        let words = self.words.map(u64::to_le_bytes);
        let bytes = words.as_flattened();
        match bytes.first_chunk() {
            Some(digest) if self.length == DIGESTED => Digest::from_bytes(*digest),
            _ => digest_of(bytes.get(..self.length as usize).unwrap_or(bytes)).finish(),
        }
    }
}

/// Writes the compact form of the key into an empty one.
///
/// It fails if the `Serialize` of the key fails. A panic of it unwinds, and the caller contains it.
#[inline]
pub(crate) fn compact<K: Serialize + ?Sized, const WORDS: usize>(
    key: &K,
    compact: &mut Compact<WORDS>,
) -> Result<()> {
    let mut brief = Brief { compact, long: None };
    encode(key, &mut brief).map_err(unserializable)?;
    if let Some(hasher) = brief.long {
        *compact = Compact::digested(hasher.finish());
    }
    Ok(())
}

/// The same, and the [`head`](super::head) of a long key. That of a short one is its encoding.
pub(crate) fn compact_and_head<K: Serialize + ?Sized>(
    key: &K,
    compact: &mut MemoKey,
    head: &mut Vec<u8>,
) -> Result<()> {
    let mut sink = BriefHead { brief: Brief { compact, long: None }, head: None };
    encode(key, &mut sink).map_err(unserializable)?;
    if let Some(hasher) = sink.brief.long {
        *sink.brief.compact = Compact::digested(hasher.finish());
    }
    *head = sink.head.map(KeyHead::into_bytes).unwrap_or_default();
    Ok(())
}

/// Both in one run of the serializer.
struct BriefHead<'a> {
    brief: Brief<'a, { MemoKey::WORDS }>,
    /// `Some` once the encoding is too long to be kept.
    head: Option<KeyHead>,
}

impl Sink for BriefHead<'_> {
    type Rules = ForKeys;

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if !self.brief.has_room(bytes.len()) {
            let (brief, head) = (&self.brief, &mut self.head);
            let head = head.get_or_insert_with(|| {
                let mut head = KeyHead::with_room();
                // It is shorter than a head.
                let _ = brief.compact.with_bytes(|written| head.write(written));
                head
            });
            // A head that is full takes no more.
            let _ = head.write(bytes);
        }
        self.brief.write(bytes)
    }
}

/// Keeps a short encoding, and digests a longer one.
struct Brief<'a, const WORDS: usize> {
    /// Its length never exceeds the size of its words.
    compact: &'a mut Compact<WORDS>,
    /// `Some` once the encoding is too long.
    long: Option<DigestHasher>,
}

impl<const WORDS: usize> Sink for Brief<'_, WORDS> {
    type Rules = ForKeys;

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if !self.has_room(bytes.len()) {
            return self.spill(bytes);
        }
        let (chunks, rest) = bytes.as_chunks();
        for chunk in chunks {
            self.push(u64::from_le_bytes(*chunk), 8);
        }
        self.push(word(rest), rest.len());
        Ok(())
    }
}

impl<const WORDS: usize> Brief<'_, WORDS> {
    #[inline]
    fn has_room(&self, length: usize) -> bool {
        self.long.is_none() && self.compact.length as usize + length <= Compact::<WORDS>::SHORT
    }

    /// Appends the lower `length` bytes of a word, at most 8. The upper bytes are zero, and there is room.
    #[inline]
    fn push(&mut self, word: u64, length: usize) {
        let Compact { words, length: written } = &mut *self.compact;
        let (place, shift) = (*written as usize / 8, *written as u32 % 8 * 8);
        if let Some(first) = words.get_mut(place) {
            *first |= word << shift;
        }
        if let Some(second) = words.get_mut(place + 1) {
            *second = word.unbounded_shr(64 - shift);
        }
        *written += length as u64;
    }

    #[cold]
    fn spill(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let compact = &*self.compact;
        self.long.get_or_insert_with(|| compact.with_bytes(digest_of)).write(bytes)
    }
}

/// A word of fewer than 8 bytes, with zeros above them.
#[inline]
pub(super) fn word(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // The two halves overlap in equal bytes.
        let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
        return first | last << (8 * (bytes.len() - 4));
    }
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn digest_of(bytes: &[u8]) -> DigestHasher {
    let mut hasher = DigestHasher::new();
    hasher.update(bytes);
    hasher
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::digest;

    const SHORT: usize = PoolKey::SHORT;

    fn compact<K: Serialize + ?Sized>(key: &K) -> PoolKey {
        let mut compact = PoolKey::default();
        super::compact(key, &mut compact).unwrap();
        compact
    }

    #[test]
    fn the_digest_of_a_compact_key_is_that_of_the_key() {
        for length in 0..100 {
            let key = "x".repeat(length);
            let compact = compact(&key);
            assert_eq!(compact.digest(), digest(&key).unwrap());
            assert_eq!(compact.length != DIGESTED, length + 3 <= SHORT, "{length}");
        }
    }

    #[test]
    fn it_does_not_matter_how_an_encoding_falls_into_words() {
        // A tuple of n bytes, two bytes each, and a text: its pieces are written at every place in a word.
        for count in 0..12 {
            for length in 0..24 {
                let key = (vec![0xa5_u8; count], "z".repeat(length), u64::MAX);
                assert_eq!(compact(&key).digest(), digest(&key).unwrap(), "{count} {length}");
            }
        }
    }

    #[test]
    fn compact_keys_are_equal_when_the_keys_are() {
        let keys = ["", "\0", "\0\0", "a", "a\0", &"a".repeat(SHORT), &"a".repeat(SHORT + 1)];
        for (one, key) in keys.iter().enumerate() {
            for (other, same) in keys.iter().enumerate() {
                let equal = compact(key) == compact(&same.to_string());
                assert_eq!(equal, one == other, "{key:?} {same:?}");
            }
        }
    }

    #[test]
    fn the_head_of_a_compact_key_is_that_of_the_key() {
        for length in [0, 1, 124, 125, 126, 127, 200, 1_020, 1_021, 1_022, 5_000] {
            // In pieces, and as a whole.
            for key in [vec!["x".repeat(length)], vec!["y".to_owned(); length / 4]] {
                let (mut compact, mut head) = (MemoKey::default(), vec![7]);
                compact_and_head(&key, &mut compact, &mut head).unwrap();
                assert_eq!(compact.digest(), digest(&key).unwrap(), "{length}");
                let head = if compact.words().is_some() { compact.bytes() } else { head };
                assert_eq!(head, crate::key::head(&key), "{length}");
            }
        }
    }
}
