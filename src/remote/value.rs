//! The bytes of one value on the server, behind the 32 bytes of its epochs and the 8 of the time at which it was stored there.
//!
//! ```text
//! offset  size
//!      0     8  the lifetime that it was stored with, in milliseconds
//!      8     8  its compute time, in milliseconds
//!     16     1  format, 1
//!     17     1  flags: bit 0 = the record is compressed (LZ4)
//!     18     4  length of the record, as it is on disk
//!     22     n  the record, or its compressed bytes
//!    end     8  XXH3 of everything before it, xor the seal
//! ```
//!
//! The seal is made of namespace, generation and digest, so the bytes are of no use under any other key. Scripts on the server
//! read the first two numbers. Every number is little-endian.

use std::time::Duration;

use super::operation::Target;
use crate::{checksum::checksum, record::Fields};

const FORMAT: u8 = 1;
const COMPRESSED: u8 = 1;
const CHECKSUM: usize = 8;
const HEADER: usize = 22;

/// Shorter records are not worth the time.
const COMPRESSED_FROM: usize = 1 << 10;

pub(super) fn seal(namespace: &str, target: &Target<'_>) -> u64 {
    let (words, _) = target.digest.as_chunks::<8>();
    let digest = words.iter().fold(0, |folded, word| folded ^ u64::from_le_bytes(*word));
    checksum(namespace.as_bytes()) ^ checksum(&target.generation).rotate_left(1) ^ digest
}

pub(super) fn encode(seal: u64, lasts: u64, compute_time: Duration, record: &[u8]) -> Vec<u8> {
    let compressed = (record.len() >= COMPRESSED_FROM).then(|| compress(record));
    let (flags, content) = match &compressed {
        Some(compressed) if compressed.len() < record.len() => (COMPRESSED, &**compressed),
        _ => (0, record),
    };
    let mut bytes = Vec::with_capacity(HEADER + content.len() + CHECKSUM);
    bytes.extend_from_slice(&lasts.to_le_bytes());
    let took = u64::try_from(compute_time.as_millis()).unwrap_or(u64::MAX);
    bytes.extend_from_slice(&took.to_le_bytes());
    bytes.extend_from_slice(&[FORMAT, flags]);
    bytes.extend_from_slice(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(content);
    let sum = checksum(&bytes) ^ seal;
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// The record; `None` for bytes that `encode` did not make for this seal, and for a record that is longer than `most`.
pub(super) fn decode(seal: u64, bytes: &[u8], most: u64) -> Option<Vec<u8>> {
    let (content, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
    if checksum(content) ^ seal != u64::from_le_bytes(*sum) {
        return None;
    }
    let mut fields = Fields(content);
    let (_lasts, _took) = (fields.number()?, fields.number()?);
    let (format, flags) = (fields.byte()?, fields.byte()?);
    let length = u32::from_le_bytes(fields.array()?);
    if format != FORMAT || u64::from(length) > most {
        return None;
    }
    match flags {
        0 if fields.0.len() == length as usize => Some(fields.0.to_vec()),
        COMPRESSED => decompress(fields.0, length as usize),
        _ => None,
    }
}

#[cfg(feature = "redis")]
fn compress(record: &[u8]) -> Vec<u8> {
    lz4_flex::block::compress(record)
}

#[cfg(feature = "redis")]
fn decompress(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    // LZ4 makes at most 255 bytes of one: a longer length is no reason to reserve that much.
    if length > bytes.len().saturating_mul(255) {
        return None;
    }
    lz4_flex::block::decompress(bytes, length).ok().filter(|record| record.len() == length)
}

// Without the feature no server is ever asked.
#[cfg(not(feature = "redis"))]
fn compress(record: &[u8]) -> Vec<u8> {
    record.to_vec()
}

#[cfg(not(feature = "redis"))]
fn decompress(_bytes: &[u8], _length: usize) -> Option<Vec<u8>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target<'static> = Target { memo: "m", generation: [7; 16], digest: [9; 32] };

    fn sealed() -> u64 {
        seal("shop", &TARGET)
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for length in [0, 1, 200, 1_023, 1_024, 100_000] {
            let record: Vec<u8> = (0..length).map(|at: u32| (at / 7) as u8).collect();
            let bytes = encode(sealed(), 60_000, Duration::from_millis(5), &record);
            assert_eq!(decode(sealed(), &bytes, 1 << 20).as_ref(), Some(&record), "{length}");
        }
    }

    #[test]
    fn a_long_record_is_compressed_when_that_helps() {
        let repeated = encode(sealed(), 0, Duration::ZERO, &[1; 10_000]);
        assert!(repeated.len() < 1_000);
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(10_000)
        .collect();
        assert_eq!(encode(sealed(), 0, Duration::ZERO, &noise).len(), HEADER + noise.len() + CHECKSUM);
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_refused() {
        for record in [vec![3_u8; 40], vec![3; 2_000]] {
            let whole = encode(sealed(), 1, Duration::ZERO, &record);
            for bit in 0..whole.len() * 8 {
                let mut bytes = whole.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(sealed(), &bytes, 1 << 20), None, "bit {bit}");
            }
            for length in 0..whole.len() {
                assert_eq!(decode(sealed(), &whole[..length], 1 << 20), None, "cut to {length}");
            }
        }
    }

    #[test]
    fn the_bytes_are_of_no_use_under_another_key_generation_or_namespace() {
        let bytes = encode(sealed(), 1, Duration::ZERO, b"record");
        let mut digest = TARGET.digest;
        digest[31] ^= 1;
        let others = [
            seal("shop", &Target { digest, ..TARGET }),
            seal("shop", &Target { generation: [8; 16], ..TARGET }),
            seal("shop2", &TARGET),
        ];
        for other in others {
            assert_eq!(decode(other, &bytes, 1 << 20), None);
        }
    }

    /// Bytes with a right checksum, made by another program.
    #[test]
    fn a_record_that_claims_to_be_long_reserves_nothing() {
        for length in [u32::MAX, 1 << 30, (1 << 20) + 1] {
            let mut bytes = encode(sealed(), 1, Duration::ZERO, &[1; 4_000]);
            bytes.truncate(bytes.len() - CHECKSUM);
            bytes.splice(18..22, length.to_le_bytes());
            let sum = checksum(&bytes) ^ sealed();
            bytes.extend_from_slice(&sum.to_le_bytes());
            assert_eq!(decode(sealed(), &bytes, 1 << 20), None);
            assert_eq!(decode(sealed(), &bytes, u64::MAX), None);
        }
    }
}
