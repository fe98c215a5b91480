//! A key that lives only in memory: a short one stands for itself, and only a long one is digested.

use std::hash::{Hash, Hasher};

use serde::Serialize;

use super::{
    canonical::{encode, unserializable},
    sink::{Digest, DigestHasher, EncodeError, ForKeys, Sink},
};
use crate::error::Result;

/// In bytes. Enough for a text of 29.
const SHORT: usize = 32;

/// The canonical encoding of a key, if it is short, else its digest: two are equal when the keys are.
///
/// With the digest of every key a hit of a pool takes 60 ns more. It is written in place and not handed back: words that
/// were just written are slow to copy, and copying them through the fence of the caller took 15 ns.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Compact {
    /// Little-endian; zeros behind the encoding. Written as words because they are read as words: what is stored byte by
    /// byte must leave the store buffer before it can be loaded eight at a time.
    words: [u64; SHORT / 8],
    /// Of the encoding, in bytes; `DIGESTED` if it was too long.
    length: u64,
}

/// No length of a short encoding.
const DIGESTED: u64 = u64::MAX;

impl Hash for Compact {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [first, second, third, fourth] = self.words.map(u128::from);
        state.write_u128(first | second << 64);
        state.write_u128(third | fourth << 64);
    }
}

impl Compact {
    fn digested(digest: Digest) -> Self {
        let mut words = [0; SHORT / 8];
        for (word, bytes) in words.iter_mut().zip(digest.as_bytes().as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Self { words, length: DIGESTED }
    }

    /// What [`digest`](super::digest) gives for the key.
    pub(crate) fn digest(&self) -> Digest {
        let words = self.words.map(u64::to_le_bytes);
        let bytes = words.as_flattened();
        match bytes.first_chunk() {
            Some(digest) if self.length == DIGESTED => Digest::from_bytes(*digest),
            _ => digest_of(bytes.get(..self.length as usize).unwrap_or(bytes)).finish(),
        }
    }
}

/// Puts the compact form of the key in the place of an empty one.
///
/// An error is the `Serialize` of the key giving up. Its panic unwinds: the caller has the fence.
#[inline]
pub(crate) fn compact<K: Serialize + ?Sized>(key: &K, compact: &mut Compact) -> Result<()> {
    let mut brief = Brief { compact, long: None };
    encode(key, &mut brief).map_err(unserializable)?;
    if let Some(hasher) = brief.long {
        *compact = Compact::digested(hasher.finish());
    }
    Ok(())
}

/// Keeps an encoding as long as it is short, and digests it from then on.
struct Brief<'a> {
    /// Its length is never more than there are bytes in its words.
    compact: &'a mut Compact,
    /// `Some` once the encoding was too long.
    long: Option<DigestHasher>,
}

impl Sink for Brief<'_> {
    type Rules = ForKeys;

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if self.long.is_some() || self.compact.length as usize + bytes.len() > SHORT {
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

impl Brief<'_> {
    /// Writes the lower `length` bytes, of at most 8 that are zero above. There is room for them.
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
        let words = self.compact.words.map(u64::to_le_bytes);
        let written = words.as_flattened().get(..self.compact.length as usize).unwrap_or_default();
        self.long.get_or_insert_with(|| digest_of(written)).write(bytes)
    }
}

/// Fewer than 8 bytes, with zeros above.
#[inline]
pub(super) fn word(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // The two overlap in what both of them know.
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

    fn compact<K: Serialize + ?Sized>(key: &K) -> Compact {
        let mut compact = Compact::default();
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
}
