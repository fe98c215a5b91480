//! Rows and their keys, and the entries of the block table.

use std::ops::Range;

use crate::{
    record::Fields,
    store::engine::{Bytes, TableId},
};

/// The longest key of a table.
const KEY: usize = 22;

/// The bytes of an entry of the block table.
pub(super) const ENTRY: usize = 48;

/// The length that stands for a row that is gone.
const GONE: u32 = u32::MAX;

/// Table and key of a row. Ordered as the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey {
    pub(crate) table: TableId,
    /// The key, then zeros: of two keys that differ in zeros only, the shorter one is the lower.
    bytes: [u8; KEY],
    length: u8,
}

impl RowKey {
    /// A longer key than any row has is cut.
    pub(crate) fn new(table: TableId, key: &[u8]) -> Self {
        let mut bytes = [0; KEY];
        bytes.iter_mut().zip(key).for_each(|(to, byte)| *to = *byte);
        Self { table, bytes, length: key.len().min(KEY) as u8 }
    }

    /// Whether a key fits.
    pub(crate) fn fits(key: &[u8]) -> bool {
        key.len() <= KEY
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    pub(super) fn to_bytes(self) -> Bytes {
        self.key().into()
    }
}

fn table_of(byte: u8) -> Option<TableId> {
    TableId::ALL.into_iter().find(|table| *table as u8 == byte)
}

/// The bytes that a row takes.
pub(super) fn row_length(key: &RowKey, value: Option<&[u8]>) -> usize {
    6 + key.key().len() + value.map_or(0, <[u8]>::len)
}

/// Appends a row, or that a row is gone. `None` if the value is too long.
pub(super) fn put_row(bytes: &mut Vec<u8>, key: &RowKey, value: Option<&[u8]>) -> Option<()> {
    let length = match value {
        Some(value) => u32::try_from(value.len()).ok().filter(|length| *length != GONE)?,
        None => GONE,
    };
    bytes.extend_from_slice(&[key.table as u8, key.length]);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(key.key());
    bytes.extend_from_slice(value.unwrap_or_default());
    Some(())
}

/// Takes a row from the front. `None` for bytes that are none. The value is `None` for a row that is gone.
pub(super) fn take_row<'a>(fields: &mut Fields<'a>) -> Option<(RowKey, Option<&'a [u8]>)> {
    let table = table_of(fields.byte()?)?;
    let key_length = usize::from(fields.byte()?);
    let length = u32::from_le_bytes(fields.array()?);
    let key = fields.slice(key_length).filter(|key| RowKey::fits(key))?;
    let value = if length == GONE { None } else { Some(fields.slice(length as usize)?) };
    Some((RowKey::new(table, key), value))
}

/// An entry of the block table.
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) checksum: u64,
    pub(super) length: u32,
    pub(super) first: RowKey,
}

impl Entry {
    pub(super) fn put(&self, table: &mut Vec<u8>) {
        table.extend_from_slice(&self.offset.to_le_bytes());
        table.extend_from_slice(&self.checksum.to_le_bytes());
        table.extend_from_slice(&self.length.to_le_bytes());
        table.extend_from_slice(&[self.first.table as u8, self.first.length, 0, 0, 0, 0]);
        table.extend_from_slice(&self.first.bytes);
    }

    pub(super) fn read(entry: &[u8]) -> Option<Self> {
        let mut fields = Fields(entry);
        let (offset, checksum) = (fields.number()?, fields.number()?);
        let length = u32::from_le_bytes(fields.array()?);
        let [table, key_length, ..] = fields.array::<6>()?;
        let bytes = fields.array::<KEY>()?;
        let key = bytes.get(..usize::from(key_length))?;
        Some(Self { offset, checksum, length, first: RowKey::new(table_of(table)?, key) })
    }

    /// The place of the block, if it lies within `bounds`.
    pub(super) fn range(&self, bounds: &Range<usize>) -> Option<Range<usize>> {
        let begin = usize::try_from(self.offset).ok()?;
        let end = begin.checked_add(self.length as usize)?;
        (bounds.start <= begin && end <= bounds.end).then_some(begin..end)
    }
}
