//! What a store holds: its generations and their accounts, under the one writer lock.
//!
//! A *generation* is one memo by name, version, codec and shape of the value. Generations of one name live side by
//! side, so that two binaries of two versions do not wipe each other at every start; the one that was used last is the
//! current one, the others are retired and leave first.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use crate::{
    clock::Timestamp,
    codec::Shape,
    error::Result,
    key,
    record::Fields,
    store::order::{Account, Tally},
};

/// A generation that nobody used for this long leaves at the next open of its memo.
pub(crate) const RETIREMENT: Duration = Duration::from_secs(24 * 60 * 60);

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

/// One row of the table `memos`: which generations there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CatalogRow {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) last_used: Timestamp,
    /// Of the last run; another one today puts the expiries out of order. All ones = none.
    pub(crate) ttl_millis: u64,
}

impl CatalogRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 + self.name.len());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&self.last_used.0.to_le_bytes());
        bytes.extend_from_slice(&self.ttl_millis.to_le_bytes());
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let version = fields.number()?;
        let last_used = Timestamp(fields.number()?);
        let ttl_millis = fields.number()?;
        let name = String::from_utf8(fields.0.to_vec()).ok()?;
        Some(Self { name, version, last_used, ttl_millis })
    }
}

/// What a memo may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) ttl: Option<Duration>,
    pub(crate) max_entries: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
}

impl Bounds {
    pub(crate) fn ttl_millis(&self) -> u64 {
        self.ttl.map_or(u64::MAX, |ttl| Timestamp(0).after(ttl).0)
    }
}

/// One generation on disk.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) row: CatalogRow,
    pub(crate) account: Account,
    /// Of the memo that has it open: the owner of its entries in memory and of its flights.
    pub(crate) owner: Option<u64>,
}

/// So much is worked off in less than a second.
const LONGEST_JOURNAL: usize = 50_000;

/// Everything that the writer lock guards.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next_sequence: u64,
    pub(crate) generations: BTreeMap<GenerationId, Generation>,
    /// Of the memos that were opened by this process, by name.
    pub(crate) bounds: HashMap<String, Bounds>,
    /// What left the index since a copy of it was begun; `None` while none is made, and when it was too much.
    pub(crate) journal: Option<Vec<Gone>>,
}

/// What left the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The row of that sequence, with its record if that had not been replaced.
    Row(GenerationId, u64),
    /// Everything of a generation.
    All(GenerationId),
}

impl Ledger {
    pub(crate) fn starting_at(next_sequence: u64) -> Self {
        Self { next_sequence, ..Self::default() }
    }

    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence
    }

    /// What is put from here on comes behind an entry of that sequence.
    pub(crate) fn go_on_behind(&mut self, sequence: u64) {
        self.next_sequence = self.next_sequence.max(sequence);
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The row of that sequence is gone.
    pub(crate) fn removed(&mut self, id: GenerationId, sequence: u64, size: u64) {
        self.note(Gone::Row(id, sequence));
        if let Some(generation) = self.generations.get_mut(&id) {
            generation.account.removed(sequence, size);
        }
    }

    /// Beyond a length the journal ends, and with it the copy: working it off would hold up everybody.
    pub(crate) fn note(&mut self, gone: Gone) {
        if self.journal.as_ref().is_some_and(|journal| journal.len() >= LONGEST_JOURNAL) {
            self.journal = None;
        }
        if let Some(journal) = &mut self.journal {
            journal.push(gone);
        }
    }

    pub(crate) fn bounds_of(&self, name: &str) -> Bounds {
        self.bounds.get(name).copied().unwrap_or_default()
    }

    /// Of that name, or all.
    pub(crate) fn of_name<'a>(
        &'a self,
        name: Option<&'a str>,
    ) -> impl Iterator<Item = (GenerationId, &'a Generation)> + 'a {
        let wanted = move |generation: &Generation| name.is_none_or(|name| generation.row.name == name);
        self.generations
            .iter()
            .filter(move |(_, generation)| wanted(generation))
            .map(|(id, found)| (*id, found))
    }

    /// Whether another generation of the same name took its place.
    pub(crate) fn is_retired(&self, id: GenerationId) -> bool {
        let Some(generation) = self.generations.get(&id) else { return false };
        let newer = |other: &Generation| {
            (other.owner.is_some(), other.row.last_used)
                > (generation.owner.is_some(), generation.row.last_used)
        };
        generation.owner.is_none() && self.of_name(Some(&generation.row.name)).any(|(_, other)| newer(other))
    }

    pub(crate) fn retired(&self, name: Option<&str>) -> Vec<GenerationId> {
        self.of_name(name).map(|(id, _)| id).filter(|id| self.is_retired(*id)).collect()
    }

    /// Of all generations of a name, or of the store; `None` while one of them is being counted.
    pub(crate) fn tally(&self, name: Option<&str>) -> Option<Tally> {
        self.of_name(name).try_fold(Tally::default(), |mut sum, (_, generation)| {
            sum.add(generation.account.tally()?);
            Some(sum)
        })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.generations.values().map(|generation| generation.row.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(name: &str, last_used: u64, owner: Option<u64>) -> Generation {
        let row = CatalogRow {
            name: name.into(),
            version: 1,
            last_used: Timestamp(last_used),
            ttl_millis: u64::MAX,
        };
        Generation { row, account: Account::new(Some(Tally { entries: 1, bytes: 10 }), false), owner }
    }

    #[test]
    fn a_generation_is_retired_when_another_of_its_name_is_in_use_or_was_used_later() {
        let mut ledger = Ledger::default();
        let [old, current, other, live] = [1, 2, 3, 4].map(|byte| GenerationId([byte; 16]));
        ledger.generations.insert(old, generation("frames", 1, None));
        ledger.generations.insert(current, generation("frames", 2, None));
        ledger.generations.insert(other, generation("models", 1, None));
        assert_eq!(ledger.retired(None), [old]);
        ledger.generations.insert(live, generation("frames", 0, Some(7)));
        assert_eq!(ledger.retired(Some("frames")), [old, current]);
        assert_eq!(ledger.tally(Some("frames")), Some(Tally { entries: 3, bytes: 30 }));
        assert_eq!(ledger.names(), ["frames", "models"]);
    }

    #[test]
    fn a_catalog_row_survives_its_bytes() {
        let row = CatalogRow { name: "frames".into(), version: 2, last_used: Timestamp(3), ttl_millis: 4 };
        assert_eq!(CatalogRow::decode(&row.encode()), Some(row.clone()));
        assert_eq!(CatalogRow::decode(&row.encode()[..23]), None);
    }
}
