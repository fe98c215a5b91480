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

/// The variant list of a key, and the effects behind a value.
pub fn variants(data: &[u8]) {
    for bytes in [data.to_vec(), [&b"MV\x01"[..], data].concat()] {
        if let Some(again) = fuzzing::variants(&bytes) {
            assert_eq!(again, bytes);
        }
    }
    for bytes in [data.to_vec(), [data, &(data.len() as u64).to_le_bytes()].concat()] {
        if let Some(again) = fuzzing::effects(&bytes) {
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
    let (key, value) = data.split_at(data.len().min(12));
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
    for text in [text.to_string(), with_sum(&text), with_sum(&format!("memolith 7\n{text}"))] {
        if let Some(again) = fuzzing::manifest(&text) {
            assert_eq!(fuzzing::manifest(&again), Some(again.clone()), "{text:?} was read as {again:?}");
        }
    }
}

/// A call of a guest, or an answer of a host. Numbers may be written in several ways; one that was read is written in one way.
pub fn message(data: &[u8]) {
    for read in [fuzzing::call, fuzzing::answer] {
        if let Some(again) = read(data) {
            assert_eq!(read(&again), Some(again.clone()), "{data:?} was read as {again:?}");
        }
    }
}

/// As a file, as the only block of one, and as the rows of its only delta. Rows in their order are found by their keys.
pub fn snapshot(data: &[u8]) {
    let row_of_key = |key: &[u8]| [&[1, key.len() as u8, 0, 0, 0, 0][..], key].concat();
    let without_blocks = snapshot_file(None);
    let delta = [&1u32.to_le_bytes()[..], &(data.len() as u64 + 32).to_le_bytes()].concat();
    let delta = forged(&[&b"MD\x01\x00"[..], &delta, &without_blocks[32..40]].concat(), data);
    let files = [
        data.to_vec(),
        snapshot_file(Some(data)),
        snapshot_file(Some(&[&row_of_key(b"")[..], data].concat())),
        [without_blocks, delta].concat(),
    ];
    for file in files {
        let Some(rows) = fuzzing::snapshot(&file) else { continue };
        let keys = || rows.iter().map(|(table, key, _)| (table, key));
        if keys().zip(keys().skip(1)).all(|(one, next)| one < next) {
            for (table, key, value) in &rows {
                assert_eq!(fuzzing::snapshot_row(&file, *table, key).as_ref(), Some(value), "{file:?}");
            }
        }
    }
}

/// A snapshot with right checksums.
fn snapshot_file(block: Option<&[u8]>) -> Vec<u8> {
    let bytes = block.unwrap_or_default();
    let mut table = Vec::new();
    if block.is_some() {
        let mut first = bytes.get(6..).unwrap_or_default().to_vec();
        first.truncate(usize::from(bytes.get(1).copied().unwrap_or_default()));
        first.resize(22, 0);
        table.extend(40u64.to_le_bytes());
        table.extend(fuzzing::checksum(bytes).to_le_bytes());
        table.extend((bytes.len() as u32).to_le_bytes());
        table.extend([bytes.first(), bytes.get(1)].map(|byte| byte.copied().unwrap_or_default()));
        table.extend([0; 4]);
        table.extend(first);
    }
    let numbers = [1, 40 + bytes.len() as u64, fuzzing::checksum(&table)].map(u64::to_le_bytes).concat();
    let head = [&b"MS\x01\x00"[..], &u32::from(block.is_some()).to_le_bytes(), &numbers].concat();
    [forged(&head, &[]), bytes.to_vec(), table].concat()
}
