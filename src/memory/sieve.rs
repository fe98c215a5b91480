//! The order of eviction: the SIEVE algorithm. A policy without locks, which has no values and is not called at hits, but for
//! the first one of an entry, which adds the charge of its key.
//!
//! Every entry has a stamp from a counter, so rows sorted by stamp are in insertion order. The hand of SIEVE walks them
//! from old to new, and then starts again. The caller keeps a candidate that was hit since the hand last passed it, and
//! evicts it otherwise. A kept entry keeps its place, so new entries without hits are evicted before older ones with hits.
//! A row is removed together with its entry, so no stale rows accumulate.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    ops::Bound::{Excluded, Unbounded},
};

/// The entries of a tier in insertion order, and their sizes.
#[derive(Debug)]
pub(super) struct Sieve<K> {
    /// Maximum of `used` after an admission.
    budget: u64,
    /// The sum of the charges in `rows`.
    used: u64,
    /// One row for each entry, by its stamp.
    rows: BTreeMap<u64, SieveRow<K>>,
    /// The stamp of the last candidate. The next candidate is the first row after it.
    hand: u64,
    /// The stamp that was given last. No stamp is given twice.
    last_stamp: u64,
    /// The owners with a share of their own and at least one entry.
    parts: HashMap<u64, OwnerPart>,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct SieveRow<K> {
    /// The caller finds the entry by it.
    pub(super) key: K,
    /// Part of the budget that the entry uses.
    pub(super) charge: u64,
    /// The owner, if it has a share of its own.
    pub(super) part: Option<u64>,
}

/// The entries of an owner with a share of its own.
#[derive(Debug, Default)]
struct OwnerPart {
    /// The sum of the charges of `stamps`.
    used: u64,
    /// The owner's rows, the oldest first.
    stamps: BTreeSet<u64>,
}

/// The next entry to evict, unless the caller has removed it or gives it a second chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EvictionCandidate<K> {
    pub(super) key: K,
    pub(super) stamp: u64,
}

impl<K: Copy> Sieve<K> {
    pub(super) fn new(budget: u64) -> Self {
        Self { budget, used: 0, rows: BTreeMap::new(), hand: 0, last_stamp: 0, parts: HashMap::new() }
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    #[cfg(test)]
    pub(super) fn rows_and_parts(&self) -> (usize, usize) {
        (self.rows.len(), self.parts.len())
    }

    /// Adds an entry as the newest, and returns its stamp.
    pub(super) fn admit(&mut self, row: SieveRow<K>) -> u64 {
        self.last_stamp += 1;
        let stamp = self.last_stamp;
        self.used += row.charge;
        if let Some(owner) = row.part {
            let part = self.parts.entry(owner).or_default();
            part.used += row.charge;
            part.stamps.insert(stamp);
        }
        self.rows.insert(stamp, row);
        stamp
    }

    /// Charges an entry anew. It keeps its place.
    pub(super) fn charge(&mut self, stamp: u64, charge: u64) {
        let Some(row) = self.rows.get_mut(&stamp) else { return };
        let before = mem::replace(&mut row.charge, charge);
        self.used = self.used - before + charge;
        if let Some(part) = row.part.and_then(|owner| self.parts.get_mut(&owner)) {
            part.used = part.used - before + charge;
        }
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, stamp: u64) {
        let Some(row) = self.rows.remove(&stamp) else { return };
        self.used -= row.charge;
        if let Some(owner) = row.part {
            self.remove_from_part(owner, stamp, row.charge);
        }
    }

    fn remove_from_part(&mut self, owner: u64, stamp: u64, charge: u64) {
        let Some(part) = self.parts.get_mut(&owner) else { return };
        part.used -= charge;
        part.stamps.remove(&stamp);
        if part.stamps.is_empty() {
            self.parts.remove(&owner);
        }
    }

    /// If the budget is exceeded, moves the hand to the next entry other than `spared`.
    pub(super) fn over_budget(&mut self, spared: u64) -> Option<EvictionCandidate<K>> {
        if self.used <= self.budget {
            return None;
        }
        let ahead = self.rows.range((Excluded(self.hand), Unbounded));
        let (stamp, row) = ahead.chain(&self.rows).find(|(stamp, _)| **stamp != spared)?;
        self.hand = *stamp;
        Some(EvictionCandidate { key: row.key, stamp: *stamp })
    }

    /// If the entries of `owner` exceed `cap`, returns its oldest entry other than `spared`.
    pub(super) fn over_part(&self, owner: u64, cap: u64, spared: u64) -> Option<EvictionCandidate<K>> {
        let part = self.parts.get(&owner).filter(|part| part.used > cap)?;
        let stamp = *part.stamps.iter().find(|stamp| **stamp != spared)?;
        self.rows.get(&stamp).map(|row| EvictionCandidate { key: row.key, stamp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: char, part: Option<u64>) -> SieveRow<char> {
        SieveRow { key, charge: 10, part }
    }

    /// Spares the keys of `hit` once each, and evicts until the budget holds.
    fn evicted(sieve: &mut Sieve<char>, newest: u64, hit: &str) -> String {
        let (mut hit, mut gone) = (hit.to_owned(), String::new());
        while let Some(candidate) = sieve.over_budget(newest) {
            if let Some(at) = hit.find(candidate.key) {
                hit.remove(at);
                continue;
            }
            sieve.remove(candidate.stamp);
            gone.push(candidate.key);
        }
        gone
    }

    #[test]
    fn without_hits_the_oldest_leaves_first() {
        let mut sieve = Sieve::new(30);
        let mut gone = String::new();
        for key in "abcdef".chars() {
            let newest = sieve.admit(row(key, None));
            gone += &evicted(&mut sieve, newest, "");
        }
        assert_eq!(gone, "abc");
    }

    #[test]
    fn what_was_hit_is_spared_and_keeps_its_place() {
        let mut sieve = Sieve::new(30);
        for key in "abc".chars() {
            sieve.admit(row(key, None));
        }
        let d = sieve.admit(row('d', None));
        assert_eq!(evicted(&mut sieve, d, "ab"), "c");
        let e = sieve.admit(row('e', None));
        assert_eq!(evicted(&mut sieve, e, ""), "d", "the hand goes on to the newcomer");
        let f = sieve.admit(row('f', None));
        assert_eq!(evicted(&mut sieve, f, ""), "e");
        let g = sieve.admit(row('g', None));
        assert_eq!(evicted(&mut sieve, g, "f"), "a", "and starts over with the oldest");
    }

    #[test]
    fn the_newest_is_never_its_own_victim() {
        let mut sieve = Sieve::new(10);
        sieve.admit(row('a', None));
        let b = sieve.admit(row('b', None));
        assert_eq!(evicted(&mut sieve, b, "a"), "a");
        assert_eq!((sieve.used(), sieve.len()), (10, 1));
    }

    #[test]
    fn a_part_gives_up_its_own_oldest_and_leaves_nothing_behind() {
        let mut sieve = Sieve::new(1000);
        let stamps = [('a', Some(7)), ('x', None), ('b', Some(7)), ('y', Some(8))]
            .map(|(key, part)| sieve.admit(row(key, part)));
        assert_eq!(sieve.over_part(7, 20, 0), None);
        let oldest = sieve.over_part(7, 19, 0).unwrap();
        assert_eq!((oldest.key, oldest.stamp), ('a', stamps[0]));
        sieve.remove(oldest.stamp);
        assert_eq!(sieve.over_part(7, 19, 0), None);
        for stamp in stamps {
            sieve.remove(stamp);
            sieve.remove(stamp);
        }
        assert_eq!((sieve.used(), sieve.len(), sieve.parts.len()), (0, 0, 0));
    }
}
