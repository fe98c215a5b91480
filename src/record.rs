//! The record of one entry on disk, and its encoding.
//!
//! ```text
//! offset  size
//!      0     2  magic "MR"
//!      2     1  format, 3
//!      3     1  flags: bit 0 = the payload lies in a blob, bit 1 = it is the variant list of the key (`variants`); the rest is
//!               spare and zero
//!      4     8  sequence, one counter a store
//!     12     8  created_at, milliseconds since the epoch, UTC
//!     20     8  expires_at, likewise; all ones = never
//!     28     8  compute time, nanoseconds
//!     36     8  length of the payload
//!     44     2  length k of the key's head, at most 1,024
//!     46     k  the head of the key, self-describing
//!   46+k     n  the payload; or the 16 bytes of the blob's id
//!    end     8  XXH3 of everything before it, xor the four words of the digest
//! ```
//!
//! The key under which a record stands holds half of the digest: sled keeps keys of up to 22 bytes in its nodes, and longer
//! ones in an allocation each. Reads take 17 to 20 % less by that, writes 25 %. The checksum knows the whole digest, so a
//! record is of no use to any other key.
//!
//! Every number is little-endian. `docs/design.md` draws it; golden bytes pin it.

use std::{fmt, ops::Range, time::Duration};

use crate::{
    checksum::checksum,
    clock::{Lifetime, Timestamp},
    key::Digest,
};

const MAGIC: [u8; 2] = *b"MR";
const FORMAT: u8 = 3;
const IN_BLOB: u8 = 1;
const VARIANTS: u8 = 2;
const FIXED: usize = 46;
/// The bytes of the checksum at the end.
const CHECKSUM: usize = 8;

/// The random name of one payload file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BlobId(pub(crate) [u8; 16]);

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// The value of the index for one digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) sequence: u64,
    pub(crate) lifetime: Lifetime,
    pub(crate) compute_time: Duration,
    pub(crate) key_head: &'a [u8],
    pub(crate) body: Body<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    Inline(&'a [u8]),
    Blob {
        id: BlobId,
        length: u64,
    },
    /// No value: the list of the variants of the key, each of which has a record of its own.
    Variants(&'a [u8]),
}

impl<'a> Record<'a> {
    /// In bytes.
    pub(crate) fn payload_size(&self) -> u64 {
        match &self.body {
            Body::Inline(payload) | Body::Variants(payload) => payload.len() as u64,
            Body::Blob { length, .. } => *length,
        }
    }

    pub(crate) fn encode(&self, digest: &Digest) -> Vec<u8> {
        let (flags, length, tail): (u8, u64, &[u8]) = match &self.body {
            Body::Inline(payload) => (0, payload.len() as u64, payload),
            Body::Blob { id, length } => (IN_BLOB, *length, &id.0),
            Body::Variants(list) => (VARIANTS, list.len() as u64, list),
        };
        let mut bytes = Vec::with_capacity(FIXED + self.key_head.len() + tail.len() + CHECKSUM);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[FORMAT, flags]);
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        put_lifetime(&mut bytes, self.lifetime, self.compute_time);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&(self.key_head.len() as u16).to_le_bytes());
        bytes.extend_from_slice(self.key_head);
        bytes.extend_from_slice(tail);
        let sum = checksum(&bytes) ^ folded(digest);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Returns `None` unless `encode` wrote the bytes for this digest: for a wrong magic, format, flag, length or checksum.
    pub(crate) fn decode(bytes: &'a [u8], digest: &Digest) -> Option<Self> {
        let (content, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
        if checksum(content) ^ folded(digest) != u64::from_le_bytes(*sum) {
            return None;
        }
        let mut fields = Fields(content);
        if fields.array()? != MAGIC || fields.byte()? != FORMAT {
            return None;
        }
        let flags = fields.byte()?;
        let sequence = fields.number()?;
        let (lifetime, compute_time) = fields.lifetime()?;
        let length = fields.number()?;
        let head_length = u16::from_le_bytes(fields.array()?);
        let key_head = fields.slice(usize::from(head_length))?;
        let body = match (flags, fields.0) {
            (0, payload) if payload.len() as u64 == length => Body::Inline(payload),
            (VARIANTS, list) if list.len() as u64 == length => Body::Variants(list),
            (IN_BLOB, id) => Body::Blob { id: BlobId(id.try_into().ok()?), length },
            _ => return None,
        };
        Some(Self { sequence, lifetime, compute_time, key_head, body })
    }

    /// Length in bytes of a record whose payload or blob id takes `tail` bytes.
    pub(crate) fn weight(key_head: &[u8], tail: usize) -> u64 {
        (FIXED + key_head.len() + tail + CHECKSUM) as u64
    }

    /// The place of an inline payload in the bytes of the record.
    pub(crate) fn inline_range(key_head: &[u8], record_length: usize) -> Range<usize> {
        FIXED + key_head.len()..record_length.saturating_sub(CHECKSUM)
    }
}

/// The four words of a digest in one.
fn folded(digest: &Digest) -> u64 {
    let (words, _) = digest.as_bytes().as_chunks::<8>();
    words.iter().fold(0, |folded, word| folded ^ u64::from_le_bytes(*word))
}

pub(crate) fn put_lifetime(bytes: &mut Vec<u8>, lifetime: Lifetime, compute_time: Duration) {
    bytes.extend_from_slice(&lifetime.created.0.to_le_bytes());
    bytes.extend_from_slice(&lifetime.expires.0.to_le_bytes());
    let nanos = u64::try_from(compute_time.as_nanos()).unwrap_or(u64::MAX);
    bytes.extend_from_slice(&nanos.to_le_bytes());
}

/// Reads bytes field by field. A read past the end is `None`.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    pub(crate) fn lifetime(&mut self) -> Option<(Lifetime, Duration)> {
        let created = Timestamp(self.number()?);
        let expires = Timestamp(self.number()?);
        Some((Lifetime { created, expires }, Duration::from_nanos(self.number()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: Digest = Digest::from_bytes(*b"a digest, which has 32 bytes....");

    fn record(body: Body<'_>) -> Record<'_> {
        Record {
            sequence: 7,
            lifetime: Lifetime { created: Timestamp(1_767_225_600_000), expires: Timestamp::NEVER },
            compute_time: Duration::from_millis(5),
            key_head: b"key",
            body,
        }
    }

    #[expect(clippy::format_collect, reason = "a few bytes")]
    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_bytes_of_an_inline_record_are_golden() {
        let golden = concat!(
            "4d52",
            "03",
            "00",
            "0700000000000000",
            "00a8da769b010000",
            "ffffffffffffffff",
            "404b4c0000000000",
            "0500000000000000",
            "0300",
            "6b6579",
            "68656c6c6f",
        );
        let bytes = record(Body::Inline(b"hello")).encode(&DIGEST);
        let (content, sum) = bytes.split_at(bytes.len() - 8);
        assert_eq!(hex(content), golden);
        assert_eq!(hex(sum), "60c98f0fada4db37");
    }

    #[test]
    fn the_bytes_of_a_blob_record_are_golden() {
        let golden = concat!(
            "4d52",
            "03",
            "01",
            "0700000000000000",
            "00a8da769b010000",
            "ffffffffffffffff",
            "404b4c0000000000",
            "0000100000000000",
            "0300",
            "6b6579",
            "abababababababababababababababab",
        );
        let bytes = record(Body::Blob { id: BlobId([0xab; 16]), length: 1 << 20 }).encode(&DIGEST);
        let (content, sum) = bytes.split_at(bytes.len() - 8);
        assert_eq!(hex(content), golden);
        assert_eq!(hex(sum), "42b07864c950d0cd");
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for body in [
            Body::Inline(b""),
            Body::Inline(b"hello"),
            Body::Blob { id: BlobId([9; 16]), length: 1 << 40 },
            Body::Variants(b"list"),
        ] {
            let bytes = record(body).encode(&DIGEST);
            let decoded = Record::decode(&bytes, &DIGEST).unwrap();
            assert!(decoded == record(body));
            if let Body::Inline(payload) = body {
                assert_eq!(&bytes[Record::inline_range(decoded.key_head, bytes.len())], payload);
            }
        }
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_refused() {
        let whole = record(Body::Inline(b"hello")).encode(&DIGEST);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&bytes, &DIGEST).is_none(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(Record::decode(&whole[..length], &DIGEST).is_none(), "cut to {length}");
        }
    }

    #[test]
    fn a_record_of_another_key_is_refused() {
        let bytes = record(Body::Inline(b"hello")).encode(&DIGEST);
        for bit in 0..256 {
            let mut other = *DIGEST.as_bytes();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&bytes, &Digest::from_bytes(other)).is_none(), "bit {bit}");
        }
    }
}
