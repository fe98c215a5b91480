//! Generations: one memo by name, version, codec and shape of the value, and the keys of its rows.
//!
//! Generations of one name live side by side, so that two binaries of two versions do not wipe each other at every
//! start. On disk a generation has a *number*, which stands in front of its keys. A clear gives it a new number: rows of
//! a number that no generation has are dead, and are deleted later.

use std::{fmt, time::Duration};

use crate::{
    clock::{Expiry, Timestamp},
    codec::Shape,
    error::Result,
    key,
    key::Digest,
    record::Fields,
    stats::Stats,
    store::blob,
};

/// Name, version, codec and shape, digested.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GenerationId(pub(crate) [u8; 16]);

impl GenerationId {
    pub(crate) fn of(name: &str, version: u64, codec: &str, shape: &Shape) -> Result<Self> {
        let digest = key::digest(&("memolith generation", name, version, codec, shape.as_bytes()))?;
        Ok(Self(*digest.as_bytes().first_chunk().unwrap_or(&[0; 16])))
    }
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Stands in front of the keys of a generation. Given once in the life of an index, and never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Number(pub(crate) u32);

impl Number {
    /// What all keys of this number begin with, in both tables.
    pub(crate) fn prefix(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// The number that a key begins with.
    pub(crate) fn of_key(key: &[u8]) -> Option<Self> {
        key.first_chunk().map(|prefix| Self(u32::from_be_bytes(*prefix)))
    }

    /// Under which a record stands: the number and the first half of the digest. The checksum of the record knows the other
    /// half.
    pub(crate) fn record_key(self, digest: &Digest) -> [u8; 20] {
        let mut key = [0; 20];
        let bytes = self.prefix().into_iter().chain(*digest.as_bytes());
        key.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
        key
    }

    /// Under which an order row stands. Big-endian, so that the rows are in the order of insertion.
    pub(crate) fn order_key(self, sequence: u64) -> [u8; 12] {
        let mut key = [0; 12];
        let bytes = self.prefix().into_iter().chain(sequence.to_be_bytes());
        key.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
        key
    }

    /// The sequence in the key of an order row. Of a key that is too short, the lowest that stands behind it.
    pub(crate) fn sequence_of_order_key(key: &[u8]) -> u64 {
        let mut sequence = [0; 8];
        sequence.iter_mut().zip(key.iter().skip(4)).for_each(|(to, byte)| *to = *byte);
        u64::from_be_bytes(sequence)
    }
}

/// What a memo may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) ttl: Option<Duration>,
    /// How long entries are kept after that, stale.
    pub(crate) stale_for: Duration,
    pub(crate) max_entries: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    /// Whether entries that were read are passed over.
    pub(crate) spares_used: bool,
}

impl Bounds {
    /// Whether entries may have to leave for others.
    pub(crate) fn is_bounded(&self) -> bool {
        self.max_entries.is_some() || self.max_bytes.is_some()
    }

    /// Those that hold for two memos of one name. Entries count as expired when they are of use to neither.
    pub(crate) fn tightest(self, other: Self) -> Self {
        let least = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        Self {
            ttl: self.ttl.zip(other.ttl).map(|(one, other)| one.max(other)),
            stale_for: self.stale_for.max(other.stale_for),
            max_entries: least(self.max_entries, other.max_entries),
            max_bytes: least(self.max_bytes, other.max_bytes),
            spares_used: self.spares_used || other.spares_used,
        }
    }

    pub(crate) fn expiry(&self) -> Expiry {
        Expiry::new(self.ttl, self.stale_for)
    }

    pub(crate) fn ttl_millis(&self) -> u64 {
        self.ttl.map_or(u64::MAX, |ttl| Timestamp(0).after(ttl).0)
    }

    pub(crate) fn stale_millis(&self) -> u64 {
        Timestamp(0).after(self.stale_for).0
    }
}

/// What an entry takes in the index beside its record: the key of that, its row, and the key of the row.
const BESIDE_RECORD: u64 = 20 + 56 + 12;

/// The largest record that holds its payload. A larger entry has a payload file, and a record of about `FILED`.
const INLINE: u64 = 54 + 1_024 + blob::INLINE as u64;
const FILED: u64 = 54 + 16 + 64;

/// The number of entries and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// What they take in the index. Those that have payload files are estimated.
    pub(crate) indexed: u64,
}

impl Tally {
    /// One entry.
    pub(crate) fn one(bytes: u64) -> Self {
        Self::of(bytes, false)
    }

    /// One entry, or one variant list, which lies in its record at any length.
    pub(crate) fn of(bytes: u64, is_list: bool) -> Self {
        let record = if bytes > INLINE && !is_list { FILED } else { bytes };
        Self { entries: u64::from(!is_list), bytes, indexed: BESIDE_RECORD + record }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.entries = self.entries.saturating_add(other.entries);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.indexed = self.indexed.saturating_add(other.indexed);
    }

    pub(crate) fn subtract(&mut self, other: Self) {
        self.entries = self.entries.saturating_sub(other.entries);
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.indexed = self.indexed.saturating_sub(other.indexed);
    }

    pub(crate) fn is_within(&self, other: Self) -> bool {
        self.entries <= other.entries && self.bytes <= other.bytes
    }

    pub(crate) fn exceeds(&self, max_entries: Option<u64>, max_bytes: Option<u64>) -> bool {
        max_entries.is_some_and(|bound| self.entries > bound)
            || max_bytes.is_some_and(|bound| self.bytes > bound)
    }
}

/// One row of the catalog: a generation, and what a clean close knew of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CatalogRow {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) last_used: Timestamp,
    /// Of the last run that opened it. All ones = none.
    pub(crate) ttl_millis: u64,
    /// Likewise: how long it kept entries after that.
    pub(crate) stale_millis: u64,
    pub(crate) number: Number,
    /// True only when MANIFEST says that the store was closed.
    pub(crate) tally: Tally,
    /// Whether an entry may expire before an older one. True only after a close, as the tally.
    pub(crate) unordered: bool,
    /// The latest time at which an entry was created. True only after a close, as the tally.
    pub(crate) latest: Timestamp,
}

impl CatalogRow {
    pub(crate) fn expiry(&self) -> Expiry {
        Expiry { ttl: self.ttl_millis, stale_for: self.stale_millis, early: 0 }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(69 + self.name.len());
        for number in [self.version, self.last_used.0, self.ttl_millis, self.stale_millis] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.number.0.to_le_bytes());
        let Tally { entries, bytes: size, indexed } = self.tally;
        for number in [entries, size, indexed, self.latest.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.push(u8::from(self.unordered));
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let version = fields.number()?;
        let last_used = Timestamp(fields.number()?);
        let ttl_millis = fields.number()?;
        let stale_millis = fields.number()?;
        let number = Number(u32::from_le_bytes(fields.array()?));
        let tally = Tally { entries: fields.number()?, bytes: fields.number()?, indexed: fields.number()? };
        let latest = Timestamp(fields.number()?);
        let unordered = match fields.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let name = String::from_utf8(fields.0.to_vec()).ok()?;
        Some(Self { name, version, last_used, ttl_millis, stale_millis, number, tally, unordered, latest })
    }
}

/// The row of the catalog that belongs to no generation: what the index must remember beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IndexRow {
    /// The number that was given last.
    pub(crate) last_number: u32,
    /// No sequence beyond this one was given yet. Raised in steps, so that an unclean end knows where to go on.
    pub(crate) sequence_limit: u64,
    /// The counters of all runs, as far as they were written down.
    pub(crate) totals: Stats,
    /// Numbers that were given up, and whose rows may still be there.
    pub(crate) dead: Vec<Number>,
}

impl IndexRow {
    /// Shorter than every generation, so it is none.
    pub(crate) const KEY: &'static [u8] = b"index";

    pub(crate) fn encode(&self) -> Vec<u8> {
        let totals = self.totals.to_numbers();
        let mut bytes = Vec::with_capacity(12 + 8 * totals.len() + 4 * self.dead.len());
        bytes.extend_from_slice(&self.last_number.to_le_bytes());
        bytes.extend_from_slice(&self.sequence_limit.to_le_bytes());
        for number in totals {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        self.dead.iter().for_each(|number| bytes.extend_from_slice(&number.0.to_le_bytes()));
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let last_number = u32::from_le_bytes(fields.array()?);
        let sequence_limit = fields.number()?;
        let mut totals = Stats::default().to_numbers();
        for number in &mut totals {
            *number = fields.number()?;
        }
        let totals = Stats::from_numbers(totals);
        let mut dead = Vec::with_capacity(fields.0.len() / 4);
        while !fields.0.is_empty() {
            dead.push(Number(u32::from_le_bytes(fields.array()?)));
        }
        Some(Self { last_number, sequence_limit, totals, dead })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> CatalogRow {
        CatalogRow {
            name: "frames".into(),
            version: 2,
            last_used: Timestamp(3),
            ttl_millis: 4,
            stale_millis: 9,
            number: Number(5),
            tally: Tally { entries: 6, bytes: 7, indexed: 10 },
            unordered: true,
            latest: Timestamp(8),
        }
    }

    #[test]
    fn a_catalog_row_survives_its_bytes_and_a_cut_one_is_refused() {
        assert_eq!(CatalogRow::decode(&row().encode()), Some(row()));
        assert_eq!(CatalogRow::decode(&row().encode()[..68]), None);
    }

    #[test]
    fn the_bytes_of_a_catalog_row_are_golden() {
        let golden: Vec<u8> = [2_u64, 3, 4, 9].iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut golden = [golden, vec![5, 0, 0, 0]].concat();
        golden.extend([6_u64, 7, 10, 8].iter().flat_map(|number| number.to_le_bytes()));
        golden.push(1);
        golden.extend(b"frames");
        assert_eq!(row().encode(), golden);
    }

    #[test]
    fn an_index_row_survives_its_bytes_and_a_cut_one_is_refused() {
        let numbers = Stats::default().to_numbers();
        let totals = Stats::from_numbers(std::array::from_fn::<_, 31, _>(|at| at as u64));
        assert_eq!(totals.to_numbers().len(), numbers.len());
        assert!(totals.to_numbers().iter().copied().eq(0..31));
        let row = IndexRow { last_number: 3, sequence_limit: 9, totals, dead: vec![Number(1), Number(2)] };
        assert_eq!(IndexRow::decode(&row.encode()), Some(row.clone()));
        assert_eq!(IndexRow::decode(&row.encode()[..261]), None);
        assert_ne!(IndexRow::KEY.len(), size_of::<GenerationId>());
    }

    #[test]
    fn keys_of_one_number_stand_together_and_in_the_order_of_insertion() {
        let number = Number(7);
        assert!(number.order_key(255) < number.order_key(256));
        assert!(number.order_key(u64::MAX) < Number(8).order_key(0));
        let digest = Digest::from_bytes([9; 32]);
        assert_eq!(Number::of_key(&number.record_key(&digest)), Some(number));
        assert_eq!(Number::sequence_of_order_key(&number.order_key(256)), 256);
        assert_eq!(Number::sequence_of_order_key(&number.prefix()), 0);
        assert_eq!(number.record_key(&digest)[4..], [9; 16]);
    }
}
