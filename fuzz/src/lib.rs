//! The properties that hold for any bytes: nothing panics, and an accepted input is the same when it is written
//! again.
//!
//! Most data on disk ends with a checksum, which random bytes never match. So each property is also tried on bytes
//! with the right checksum added.

#![allow(missing_docs, clippy::missing_panics_doc, clippy::unwrap_used, reason = "assertions only")]

mod codecs;
mod oracle;

use memolith::fuzzing;

pub use codecs::{CODECS, codec};
pub use oracle::key;

/// `front`, the data, and the checksum of both.
fn forged(front: &[u8], data: &[u8]) -> Vec<u8> {
    let content = [front, data].concat();
    let sum = fuzzing::checksum(&content).to_le_bytes();
    [&content[..], &sum].concat()
}

pub fn record(data: &[u8]) {
    for bytes in [data.to_vec(), forged(&[], data), forged(b"MR\x03", data)] {
        if let Some(again) = fuzzing::record(&bytes) {
            assert_eq!(again, bytes);
        }
    }
}

/// A forged head has its own length.
pub fn blob_head(data: &[u8]) {
    let length = (8 + data.len() + 8) as u32;
    let front = [&b"MB\x02\x00"[..], &length.to_le_bytes()].concat();
    for bytes in [data.to_vec(), forged(&[], data), forged(&front, data)] {
        if let Some(again) = fuzzing::blob_head(&bytes) {
            assert!(bytes.starts_with(&again), "{bytes:?} was read as {again:?}");
        }
    }
}

/// The rows of the order, and of the catalog.
pub fn rows(data: &[u8]) {
    let (key, value) = data.split_at(data.len().min(8));
    if let Some(again) = fuzzing::order_row(key, value) {
        assert_eq!(again, (key.to_vec(), value.to_vec()));
    }
    if let Some(again) = fuzzing::catalog_row(data) {
        assert_eq!(again, data);
    }
}

/// Numbers of a MANIFEST may be written in two ways. A number that was read is written in one way.
pub fn manifest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let with_sum = |text: &str| format!("{text}check {:016x}\n", fuzzing::checksum(text.as_bytes()));
    for text in [text.to_string(), with_sum(&text), with_sum(&format!("memolith 4\n{text}"))] {
        if let Some(again) = fuzzing::manifest(&text) {
            assert_eq!(fuzzing::manifest(&again), Some(again.clone()), "{text:?} was read as {again:?}");
        }
    }
}
