//! Deltas: the rows that changed since a snapshot, appended to it.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
};

use super::{
    block::{RowKey, put_row, row_length, take_row},
    files,
    writer::too_long,
};
use crate::{
    checksum::checksum,
    error::{Error, ErrorKind, Result},
    record::Fields,
    store::manifest,
};

const MAGIC: [u8; 2] = *b"MD";
const FORMAT: u8 = 1;

/// The bytes before the first row.
const HEAD: usize = 24;

/// The bytes of the checksum at the end.
const CHECKSUM: usize = 8;

/// Rows that changed, in their order.
pub(crate) struct Delta {
    /// Room for the head, then the rows.
    bytes: Vec<u8>,
    rows: u32,
}

impl Delta {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; HEAD], rows: 0 }
    }

    /// The bytes that it takes in the file.
    pub(crate) fn length(&self) -> u64 {
        (self.bytes.len() + CHECKSUM) as u64
    }

    /// Adds a row behind all earlier ones; `None` when it is gone.
    pub(crate) fn push(&mut self, key: &RowKey, value: Option<&[u8]>) -> Result<()> {
        self.bytes.reserve(row_length(key, value));
        put_row(&mut self.bytes, key, value).ok_or_else(too_long)?;
        self.rows = self.rows.checked_add(1).ok_or_else(too_long)?;
        Ok(())
    }

    /// Appends it to the snapshot that MANIFEST named, and returns what MANIFEST is to name.
    pub(crate) fn append(self, directory: &Path, named: &manifest::Snapshot) -> Result<manifest::Snapshot> {
        let (length, path) = (self.length(), files::path(directory, named.number));
        let bytes = self.seal(named.checksum);
        let append = || -> io::Result<()> {
            let mut file = File::options().append(true).open(&path)?;
            if file.metadata()?.len() != named.length {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not as it was left"));
            }
            file.write_all(&bytes)
        };
        append().map_err(|cause| Error::io(path.display(), cause))?;
        let checksum = last_number(&bytes);
        Ok(manifest::Snapshot { number: named.number, length: named.length + length, checksum })
    }

    fn seal(mut self, before: u64) -> Vec<u8> {
        let length = self.length();
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(&MAGIC);
        head.extend_from_slice(&[FORMAT, 0]);
        head.extend_from_slice(&self.rows.to_le_bytes());
        head.extend_from_slice(&length.to_le_bytes());
        head.extend_from_slice(&before.to_le_bytes());
        self.bytes.iter_mut().zip(head).for_each(|(to, byte)| *to = byte);
        let sum = checksum(&self.bytes);
        self.bytes.extend_from_slice(&sum.to_le_bytes());
        self.bytes
    }
}

fn last_number(bytes: &[u8]) -> u64 {
    bytes.last_chunk().map_or(0, |last| u64::from_le_bytes(*last))
}

/// A delta at the front of `bytes`, behind a part with the checksum `before`: its length and its own checksum. Each row is
/// handed to `row` with the place of its value.
pub(super) fn read(
    bytes: &[u8],
    before: u64,
    mut row: impl FnMut(RowKey, Option<std::ops::Range<usize>>),
) -> Result<(usize, u64)> {
    let found = whole(bytes, before).ok_or_else(damaged)?;
    let mut fields = Fields(bytes.get(HEAD..found.length - CHECKSUM).unwrap_or_default());
    let end = found.length - CHECKSUM;
    for _ in 0..found.rows {
        let (key, value) = take_row(&mut fields).ok_or_else(damaged)?;
        let behind = end - fields.0.len();
        row(key, value.map(|value| behind - value.len()..behind));
    }
    if fields.0.is_empty() { Ok((found.length, found.checksum)) } else { Err(damaged()) }
}

struct Found {
    /// With head and checksum.
    length: usize,
    rows: u32,
    checksum: u64,
}

fn whole(bytes: &[u8], before: u64) -> Option<Found> {
    let mut fields = Fields(bytes);
    let magic: [u8; 2] = fields.array()?;
    let version: [u8; 2] = fields.array()?;
    let rows = u32::from_le_bytes(fields.array()?);
    let length = usize::try_from(fields.number()?).ok()?;
    let is_behind = fields.number()? == before;
    if magic != MAGIC || version != [FORMAT, 0] || !is_behind || length < HEAD + CHECKSUM {
        return None;
    }
    let (content, sum) = bytes.get(..length)?.split_last_chunk::<CHECKSUM>()?;
    let sum = u64::from_le_bytes(*sum);
    (checksum(content) == sum).then_some(Found { length, rows, checksum: sum })
}

pub(super) fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "the snapshot of the store is damaged")
}
