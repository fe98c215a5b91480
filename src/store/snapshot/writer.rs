//! Writing a whole snapshot, from rows in their order.

use std::{
    io::{self, BufWriter, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use tempfile::NamedTempFile;

use super::{
    block::{Entry, RowKey, put_row},
    files,
};
use crate::{
    checksum::checksum,
    error::{Error, ErrorKind, Result},
    store::{engine::TableId, manifest},
};

pub(super) const MAGIC: [u8; 2] = *b"MS";
pub(super) const FORMAT: u8 = 1;

/// The bytes before the first block.
pub(super) const HEAD: usize = 40;

/// A block ends with the row that brings it to this length.
pub(super) const BLOCK: usize = 8 << 10;

/// A snapshot that is being written. It holds one block and the block table in memory.
pub(crate) struct Writer {
    file: BufWriter<NamedTempFile>,
    /// The rows of the last block. Shorter than [`BLOCK`].
    block: Vec<u8>,
    /// The key of the first of them; `None` while there is none.
    first: Option<RowKey>,
    /// The key of the last row.
    last: Option<RowKey>,
    /// The block table so far.
    table: Vec<u8>,
    /// The number of its entries.
    blocks: u32,
    /// Where the next block begins.
    offset: u64,
    /// The number of rows of the table `records`.
    records: u64,
}

impl Writer {
    /// Begins a draft in `directory`.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        let begin = || -> io::Result<_> {
            let draft = tempfile::Builder::new().prefix(files::DRAFT).tempfile_in(directory)?;
            let mut file = BufWriter::with_capacity(1 << 18, draft);
            file.write_all(&[0; HEAD])?;
            Ok(file)
        };
        let file = begin().map_err(|cause| Error::io(directory.display(), cause))?;
        let (block, offset) = (Vec::with_capacity(2 * BLOCK), HEAD as u64);
        Ok(Self { file, block, first: None, last: None, table: Vec::new(), blocks: 0, offset, records: 0 })
    }

    /// Appends a row. It must come behind all earlier ones.
    pub(crate) fn push(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        let row = RowKey::new(table, key);
        if !RowKey::fits(key) || self.last.is_some_and(|last| last >= row) {
            return Err(Error::new(ErrorKind::Corrupt, "the rows of the index are not in their order"));
        }
        put_row(&mut self.block, &row, Some(value)).ok_or_else(too_long)?;
        self.first.get_or_insert(row);
        self.last = Some(row);
        self.records += u64::from(table == TableId::Records);
        if self.block.len() >= BLOCK { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> Result<()> {
        let Some(first) = self.first.take() else { return Ok(()) };
        let length = u32::try_from(self.block.len()).map_err(|_| too_long())?;
        Entry { offset: self.offset, checksum: checksum(&self.block), length, first }.put(&mut self.table);
        self.blocks = self.blocks.checked_add(1).ok_or_else(too_long)?;
        self.offset += u64::from(length);
        let written = self.file.write_all(&self.block);
        self.block.clear();
        written.map_err(|cause| Error::io("the snapshot of the store", cause))
    }

    /// The file gets its name.
    pub(crate) fn finish(mut self, directory: &Path, number: u64) -> Result<manifest::Snapshot> {
        self.end_block()?;
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(&MAGIC);
        head.extend_from_slice(&[FORMAT, 0]);
        head.extend_from_slice(&self.blocks.to_le_bytes());
        for number in [self.records, self.offset, checksum(&self.table)] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        let sum = checksum(&head);
        head.extend_from_slice(&sum.to_le_bytes());
        let length = self.offset + self.table.len() as u64;
        let path = files::path(directory, number);
        let name = move || -> io::Result<()> {
            self.file.write_all(&self.table)?;
            let mut file = self.file.into_inner()?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&head)?;
            file.persist_noclobber(&path)?;
            Ok(())
        };
        name().map_err(|cause| Error::io("the snapshot of the store", cause))?;
        Ok(manifest::Snapshot { number, length, checksum: sum })
    }
}

pub(super) fn too_long() -> Error {
    Error::new(ErrorKind::Config, "the index is too large for a snapshot")
}
