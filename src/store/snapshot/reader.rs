//! Reading a snapshot: its head, its block table and its deltas are verified at the open, its blocks when they are first
//! needed.

use std::{
    cmp::Ordering,
    fs::File,
    ops::Range,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use super::{
    block::{ENTRY, Entry, RowKey, take_row},
    delta::{self, damaged},
    files,
    writer::{FORMAT, HEAD, MAGIC},
};
use crate::{
    checksum::checksum,
    error::{Error, Result},
    record::Fields,
    store::{
        blob::{self, Contents},
        engine::{Bytes, Row, TableId},
        manifest,
    },
};

/// The snapshot that a MANIFEST names.
pub(crate) struct Snapshot {
    /// The whole file, read or mapped.
    contents: Contents,
    head: Head,
    /// Which blocks are verified.
    verified: Box<[AtomicBool]>,
    /// The rows of all deltas, in the order of their keys; of each key the last one. The place of a value in the file;
    /// `None` when the row is gone.
    changes: Vec<(RowKey, Option<Range<usize>>)>,
}

/// What the head says, verified.
struct Head {
    /// The blocks.
    blocks: Range<usize>,
    /// The block table. A whole number of entries.
    table: Range<usize>,
    records: u64,
    checksum: u64,
}

impl Snapshot {
    /// Opens the snapshot that the MANIFEST of `directory` names.
    ///
    /// # Errors
    ///
    /// Of the kind io when the file cannot be read, corrupt when it is not as it was left.
    pub(crate) fn open(directory: &Path, named: &manifest::Snapshot) -> Result<Self> {
        let path = files::path(directory, named.number);
        let failed = |cause| Error::io(path.display(), cause);
        let file = File::open(&path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() != named.length {
            return Err(damaged());
        }
        Self::of(blob::contents(&file).map_err(failed)?, named)
    }

    /// A snapshot of these bytes, whichever MANIFEST names it.
    #[cfg(feature = "testing")]
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let sums = [bytes.get(32..40)?, bytes.last_chunk::<8>()?].map(|sum| sum.try_into().ok());
        sums.into_iter().flatten().map(u64::from_le_bytes).find_map(|checksum| {
            let named = manifest::Snapshot { number: 0, length: bytes.len() as u64, checksum };
            Self::of(bytes.to_vec().into(), &named).ok()
        })
    }

    pub(super) fn of(contents: Contents, named: &manifest::Snapshot) -> Result<Self> {
        let bytes = contents.as_ref();
        let head = head(bytes).ok_or_else(damaged)?;
        let (mut changes, mut end, mut last) = (Vec::new(), head.table.end, head.checksum);
        while end < bytes.len() {
            let rest = bytes.get(end..).unwrap_or_default();
            let note = |key, value: Option<Range<usize>>| {
                changes.push((key, value.map(|value| end + value.start..end + value.end)));
            };
            let (length, checksum) = delta::read(rest, last, note)?;
            (end, last) = (end + length, checksum);
        }
        if (end as u64, last) != (named.length, named.checksum) {
            return Err(damaged());
        }
        let verified = (0..head.table.len() / ENTRY).map(|_| AtomicBool::new(false)).collect();
        Ok(Self { head, verified, changes: latest(changes), contents })
    }

    /// The length of the part before the deltas.
    pub(crate) fn base(&self) -> u64 {
        self.head.table.end as u64
    }

    /// The number of records in that part.
    pub(crate) fn entries(&self) -> u64 {
        self.head.records
    }

    /// The record under a key of the table `records`.
    pub(crate) fn record(&self, key: &[u8; 20]) -> Result<Option<Bytes>> {
        self.get(TableId::Records, key)
    }

    /// All rows of the catalog, that of the index among them.
    pub(crate) fn catalog(&self) -> Result<Vec<Row>> {
        self.rows(TableId::Catalog, &[], None, usize::MAX)
    }

    /// At most `limit` records with their keys, in the order of the keys, behind the key `after`.
    #[cfg_attr(not(test), expect(dead_code, reason = "for processes that read without LOCK"))]
    pub(crate) fn records(&self, after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>> {
        self.rows(TableId::Records, &[], after, limit)
    }

    /// The value under a key. A copy: the largest one has some 5 KiB.
    pub(crate) fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Bytes>> {
        if !RowKey::fits(key) {
            return Ok(None);
        }
        let key = RowKey::new(table, key);
        if let Ok(place) = self.changes.binary_search_by_key(&key, |(key, _)| *key) {
            return Ok(self.changed(place).map(Bytes::from));
        }
        let mut walk = self.walk(&key);
        while let Some((found, value)) = walk.next()? {
            match found.cmp(&key) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some(value.into())),
                Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// At most `limit` rows whose keys begin with `prefix`, in the order of their keys, behind the key `after`: as of the
    /// table of an engine.
    pub(crate) fn rows(
        &self,
        table: TableId,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>> {
        let from = RowKey::new(table, after.unwrap_or(prefix));
        let is_before = |key: &RowKey| if after.is_some() { *key <= from } else { *key < from };
        let mut walk = self.walk(&from);
        let mut base = walk.next()?;
        while base.is_some_and(|(key, _)| is_before(&key)) {
            base = walk.next()?;
        }
        let mut changed = self.changes.partition_point(|(key, _)| is_before(key));
        let mut rows = Vec::new();
        while rows.len() < limit {
            let change = self.changes.get(changed).map(|(key, _)| *key);
            let is_changed = match (base, change) {
                (Some((key, _)), Some(change)) => change <= key,
                (None, None) => break,
                (base, _) => base.is_none(),
            };
            let (key, value) = match (is_changed, base, change) {
                (true, _, Some(key)) => (key, self.changed(changed)),
                (false, Some((key, value)), _) => (key, Some(value)),
                _ => break,
            };
            if key.table != table || !key.key().starts_with(prefix) {
                break;
            }
            rows.extend(value.map(|value| (key.to_bytes(), Bytes::from(value))));
            changed += usize::from(is_changed);
            if base.is_some_and(|(passed, _)| passed == key) {
                base = walk.next()?;
            }
        }
        Ok(rows)
    }

    /// The value of a change; `None` when the row is gone.
    fn changed(&self, place: usize) -> Option<&[u8]> {
        let (_, value) = self.changes.get(place)?;
        self.contents.as_ref().get(value.clone()?)
    }

    fn entry(&self, number: usize) -> Option<Entry> {
        let begin = self.head.table.start.checked_add(number.checked_mul(ENTRY)?)?;
        Entry::read(self.contents.as_ref().get(begin..begin.checked_add(ENTRY)?)?)
    }

    /// The rows of the block that may hold `key`, and of all behind it.
    fn walk(&self, key: &RowKey) -> Walk<'_> {
        let (mut low, mut high) = (0, self.verified.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.entry(middle).is_some_and(|entry| entry.first <= *key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Walk { snapshot: self, block: low.saturating_sub(1), rows: Fields(&[]) }
    }

    /// The bytes of a block, verified.
    fn block(&self, number: usize) -> Result<&[u8]> {
        let is_verified = self.verified.get(number).ok_or_else(damaged)?;
        let entry = self.entry(number).ok_or_else(damaged)?;
        let range = entry.range(&self.head.blocks).ok_or_else(damaged)?;
        let bytes = self.contents.as_ref().get(range).ok_or_else(damaged)?;
        if !is_verified.load(Relaxed) {
            if checksum(bytes) != entry.checksum {
                return Err(damaged());
            }
            is_verified.store(true, Relaxed);
        }
        Ok(bytes)
    }
}

/// The rows of some blocks, in their order.
struct Walk<'a> {
    snapshot: &'a Snapshot,
    /// The next block.
    block: usize,
    /// The rest of the block before it.
    rows: Fields<'a>,
}

impl<'a> Walk<'a> {
    fn next(&mut self) -> Result<Option<(RowKey, &'a [u8])>> {
        while self.rows.0.is_empty() {
            if self.block >= self.snapshot.verified.len() {
                return Ok(None);
            }
            self.rows = Fields(self.snapshot.block(self.block)?);
            self.block += 1;
        }
        let Some((key, Some(value))) = take_row(&mut self.rows) else { return Err(damaged()) };
        Ok(Some((key, value)))
    }
}

fn head(bytes: &[u8]) -> Option<Head> {
    let mut fields = Fields(bytes);
    let magic: [u8; 2] = fields.array()?;
    let version: [u8; 2] = fields.array()?;
    let blocks = u32::from_le_bytes(fields.array()?) as usize;
    let records = fields.number()?;
    let begin = usize::try_from(fields.number()?).ok()?;
    let (table_checksum, sum) = (fields.number()?, fields.number()?);
    let table = begin..begin.checked_add(blocks.checked_mul(ENTRY)?)?;
    let is_whole = checksum(bytes.get(..HEAD - 8)?) == sum && magic == MAGIC && version == [FORMAT, 0];
    if !is_whole || begin < HEAD || checksum(bytes.get(table.clone())?) != table_checksum {
        return None;
    }
    Some(Head { blocks: HEAD..begin, table, records, checksum: sum })
}

/// In the order of the keys, of each the last one.
fn latest(mut changes: Vec<(RowKey, Option<Range<usize>>)>) -> Vec<(RowKey, Option<Range<usize>>)> {
    // Stable: the changes of one key stay in the order of their deltas.
    changes.sort_by_key(|(key, _)| *key);
    changes.reverse();
    changes.dedup_by_key(|(key, _)| *key);
    changes.reverse();
    changes
}
