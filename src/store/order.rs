//! Insertion order: which digest is the oldest, how many there are, and which have expired. Policy without locks.
//!
//! A row (`sequence, big-endian -> digest, size, lifetime`) is a hint, the record is the truth: a row whose record is
//! gone or bears another sequence is skipped and dropped. Rows are written before their record and removed after it,
//! so that no record is ever without a row (240 rounds of kill -9).

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use crate::{
    clock::{Lifetime, Timestamp},
    key::Digest,
    record::Fields,
};

/// One insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderRow {
    pub(crate) sequence: u64,
    pub(crate) digest: Digest,
    /// What the entry weighs: record and blob.
    pub(crate) size: u64,
    pub(crate) lifetime: Lifetime,
}

impl OrderRow {
    /// Big-endian, so that the table is in the order of insertion.
    pub(crate) fn key(sequence: u64) -> [u8; 8] {
        sequence.to_be_bytes()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(56);
        bytes.extend_from_slice(self.digest.as_bytes());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.lifetime.created.0.to_le_bytes());
        bytes.extend_from_slice(&self.lifetime.expires.0.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let sequence = u64::from_be_bytes(key.try_into().ok()?);
        let mut fields = Fields(value);
        let digest = Digest::from_bytes(fields.array()?);
        let size = fields.number()?;
        let lifetime =
            Lifetime { created: Timestamp(fields.number()?), expires: Timestamp(fields.number()?) };
        fields.0.is_empty().then_some(Self { sequence, digest, size, lifetime })
    }
}

/// How many entries there are and what they weigh, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.entries = self.entries.saturating_add(other.entries);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    pub(crate) fn subtract(&mut self, size: u64) {
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }

    pub(crate) fn exceeds(&self, max_entries: Option<u64>, max_bytes: Option<u64>) -> bool {
        max_entries.is_some_and(|bound| self.entries > bound)
            || max_bytes.is_some_and(|bound| self.bytes > bound)
    }
}

/// The account of one generation: what it holds and in which order that expires.
#[derive(Debug, Default)]
pub(crate) struct Account {
    tally: Tally,
    /// While a recount after an unclean end goes on: the last sequence that it has seen. What lies behind it is
    /// counted when the recount gets there.
    counted_to: Option<u64>,
    /// The furthest expiry among the rows that the recount has seen.
    counted_expiry: Timestamp,
    /// The furthest expiry that was put. A younger entry that expires before it is out of order.
    latest_expiry: Timestamp,
    /// Whether an entry may expire before an older one: the ttl was changed between runs, or the clock set back.
    pub(crate) unordered: bool,
    /// Every expiring row by its expiry, built by one walk when an unordered account must evict. It may name rows
    /// that are gone.
    by_expiry: Option<BinaryHeap<Reverse<(Timestamp, u64)>>>,
}

impl Account {
    /// What a clean close wrote down, or `None` when the rows must be counted.
    pub(crate) fn new(tally: Option<Tally>, unordered: bool) -> Self {
        Self {
            tally: tally.unwrap_or_default(),
            counted_to: tally.is_none().then_some(0),
            unordered,
            ..Self::default()
        }
    }

    /// What an earlier run put last: what expires before it is out of order.
    pub(crate) fn expires_at_latest(&mut self, expires: Timestamp) {
        self.latest_expiry = self.latest_expiry.max(expires);
    }

    /// Whether nothing was ever put, as far as is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.tally().is_some_and(|tally| tally.entries == 0)
    }

    /// `None` while the recount goes on.
    pub(crate) fn tally(&self) -> Option<Tally> {
        self.counted_to.is_none().then_some(self.tally)
    }

    pub(crate) fn counted_to(&self) -> Option<u64> {
        self.counted_to
    }

    /// A stretch of rows behind `counted_to`, in order; an empty one ends the recount.
    pub(crate) fn count(&mut self, rows: &[OrderRow]) {
        self.counted_to = rows.last().map(|row| row.sequence);
        for row in rows {
            self.tally.add(Tally { entries: 1, bytes: row.size });
            self.unordered |= row.lifetime.expires < self.counted_expiry;
            self.counted_expiry = self.counted_expiry.max(row.lifetime.expires);
        }
    }

    pub(crate) fn added(&mut self, row: &OrderRow) {
        if self.counted_to.is_none() {
            self.tally.add(Tally { entries: 1, bytes: row.size });
        }
        let expires = row.lifetime.expires;
        self.unordered |= expires < self.latest_expiry;
        self.latest_expiry = self.latest_expiry.max(expires);
        if let Some(heap) = self.by_expiry.as_mut().filter(|_| expires != Timestamp::NEVER) {
            heap.push(Reverse((expires, row.sequence)));
            // Mostly rows that are gone: walking over those that are left is cheaper than keeping them.
            if heap.len() as u64 > 2 * self.tally.entries + 1_024 {
                self.by_expiry = None;
            }
        }
    }

    pub(crate) fn removed(&mut self, sequence: u64, size: u64) {
        if self.counted_to.is_none_or(|counted| sequence <= counted) {
            self.tally.subtract(size);
        }
    }

    /// Whether the expiring rows must be walked before `expired` can be asked.
    pub(crate) fn wants_expiries(&self) -> bool {
        self.unordered && self.by_expiry.is_none()
    }

    pub(crate) fn set_expiries(&mut self, rows: impl Iterator<Item = (Timestamp, u64)>) {
        self.by_expiry =
            Some(rows.filter(|(expires, _)| *expires != Timestamp::NEVER).map(Reverse).collect());
    }

    /// The sequence of a row that has expired though older ones may live. It stays until it is dropped.
    pub(crate) fn expired(&self, now: Timestamp) -> Option<u64> {
        let Reverse((expires, sequence)) = *self.by_expiry.as_ref()?.peek()?;
        (expires <= now).then_some(sequence)
    }

    /// The row of the sequence that `expired` gave is gone.
    pub(crate) fn drop_expired(&mut self) {
        self.by_expiry.as_mut().map(BinaryHeap::pop);
    }
}

/// Which entry leaves first: an expired one, then one of a retired generation, then the oldest insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    live: bool,
    current: bool,
    sequence: u64,
}

impl Rank {
    pub(crate) fn of(row: &OrderRow, retired: bool, now: Timestamp, ttl: Option<Duration>) -> Self {
        Self { live: !row.lifetime.is_over(now, ttl), current: !retired, sequence: row.sequence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(sequence: u64, expires: u64) -> OrderRow {
        let lifetime = Lifetime { created: Timestamp(0), expires: Timestamp(expires) };
        OrderRow { sequence, digest: Digest::from_bytes([7; 32]), size: 10, lifetime }
    }

    #[test]
    fn a_row_survives_its_bytes_and_a_cut_one_is_refused() {
        let row = row(5, 99);
        let bytes = row.encode();
        assert_eq!(OrderRow::decode(&OrderRow::key(5), &bytes), Some(row));
        assert_eq!(OrderRow::decode(&OrderRow::key(5), &bytes[1..]), None);
        assert_eq!(OrderRow::decode(b"short", &bytes), None);
    }

    #[test]
    fn a_recount_counts_each_row_once_whatever_happens_meanwhile() {
        let mut account = Account::new(None, false);
        account.count(&[row(1, 0), row(2, 0)]);
        account.removed(1, 10); // behind the recount: subtracted
        account.removed(3, 10); // ahead of it: it will not be seen
        account.added(&row(9, 0)); // ahead of it: it will be seen
        assert_eq!(account.tally(), None);
        account.count(&[row(4, 0), row(9, 0)]);
        account.count(&[]);
        assert_eq!(account.tally(), Some(Tally { entries: 3, bytes: 30 }));
    }

    #[test]
    fn an_entry_that_expires_before_an_older_one_makes_the_account_unordered() {
        let mut account = Account::new(Some(Tally::default()), false);
        account.added(&row(1, 100));
        account.added(&row(2, 200));
        assert!(!account.unordered);
        account.added(&row(3, 150));
        assert!(account.wants_expiries());
        account.set_expiries([(Timestamp(100), 1), (Timestamp(200), 2), (Timestamp(150), 3)].into_iter());
        assert_eq!(account.expired(Timestamp(99)), None);
        assert_eq!(account.expired(Timestamp(150)), Some(1));
        account.drop_expired();
        assert_eq!(account.expired(Timestamp(150)), Some(3));
        account.drop_expired();
        assert_eq!(account.expired(Timestamp(150)), None);
    }

    #[test]
    fn the_expired_leave_before_the_retired_and_those_before_the_oldest() {
        let now = Timestamp(50);
        let oldest = Rank::of(&row(1, 100), false, now, None);
        let retired = Rank::of(&row(2, 100), true, now, None);
        let expired = Rank::of(&row(3, 50), false, now, None);
        assert!(expired < retired && retired < oldest);
    }
}
