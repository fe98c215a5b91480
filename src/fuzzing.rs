//! The readers of files and records, for fuzz targets. Each returns the encoding of the parts that it read. No part of the
//! public interface.

use serde::Serialize;

use crate::{
    error::Result,
    key::{self, Digest},
    record::Record,
    store::{CatalogRow, Head, Manifest, Number, OrderRow},
};

/// The checksum that belongs after the bytes.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    crate::checksum::checksum(bytes)
}

/// A record of the index.
#[must_use]
pub fn record(bytes: &[u8]) -> Option<Vec<u8>> {
    let digest = Digest::from_bytes([0; 32]);
    Record::decode(bytes, &digest).map(|record| record.encode(&digest))
}

/// The head of a payload file, without the payload.
#[must_use]
pub fn blob_head(bytes: &[u8]) -> Option<Vec<u8>> {
    Head::decode(bytes).map(|(head, _)| head.encode())
}

/// Key and value of a row of the order.
#[must_use]
pub fn order_row(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let row = OrderRow::decode(key, value)?;
    Some((Number::of_key(key)?.order_key(row.sequence).to_vec(), row.encode()))
}

/// A row of the catalog.
#[must_use]
pub fn catalog_row(bytes: &[u8]) -> Option<Vec<u8>> {
    CatalogRow::decode(bytes).map(|row| row.encode())
}

/// A MANIFEST of this format.
#[must_use]
pub fn manifest(text: &str) -> Option<String> {
    Manifest::decode(text).ok()?.map(|manifest| manifest.encode())
}

/// The whole canonical encoding of a key.
///
/// # Errors
///
/// If the key cannot be serialized.
pub fn key<K: Serialize + ?Sized>(key: &K) -> Result<Vec<u8>> {
    key::encoding(key)
}
