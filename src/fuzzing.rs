//! The readers of files and records, for fuzz targets. Each returns the encoding of the parts that it read. No part of the
//! public interface.

use serde::Serialize;

use crate::{
    effect_log::EffectLog,
    error::Result,
    key::{self, Digest},
    record::Record,
    store::{CatalogRow, Head, Manifest, Number, OrderRow, Snapshot, TableId},
    variants::Variants,
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

/// The variant list of a key.
#[must_use]
pub fn variants(bytes: &[u8]) -> Option<Vec<u8>> {
    Variants::decode(bytes).map(|list| list.encode())
}

/// The effects behind a value.
#[must_use]
pub fn effects(bytes: &[u8]) -> Option<Vec<u8>> {
    EffectLog::of_trailer(bytes).map(|log| log.trailer())
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

/// Table, key and value.
pub type TableRow = (u8, Vec<u8>, Vec<u8>);

/// All rows of a snapshot.
#[must_use]
pub fn snapshot(bytes: &[u8]) -> Option<Vec<TableRow>> {
    let snapshot = Snapshot::of_bytes(bytes)?;
    let mut rows = Vec::new();
    for table in TableId::ALL {
        let found = snapshot.rows(table, &[], None, usize::MAX).ok()?;
        rows.extend(found.into_iter().map(|(key, value)| (table as u8, key.to_vec(), value.to_vec())));
    }
    Some(rows)
}

/// The value of a row of a snapshot.
#[must_use]
pub fn snapshot_row(bytes: &[u8], table: u8, key: &[u8]) -> Option<Vec<u8>> {
    let table = TableId::ALL.into_iter().find(|known| *known as u8 == table)?;
    Snapshot::of_bytes(bytes)?.get(table, key).ok()?.map(|value| value.to_vec())
}

/// A call of a guest, without its number.
#[must_use]
pub fn call(bytes: &[u8]) -> Option<Vec<u8>> {
    crate::store::read_call(bytes)
}

/// An answer of a host, without its number.
#[must_use]
pub fn answer(bytes: &[u8]) -> Option<Vec<u8>> {
    crate::store::read_answer(bytes)
}

/// The whole canonical encoding of a key.
///
/// # Errors
///
/// If the key cannot be serialized.
pub fn key<K: Serialize + ?Sized>(key: &K) -> Result<Vec<u8>> {
    key::encoding(key)
}
