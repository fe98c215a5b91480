//! The order of insertion: which entry is the oldest, how many there are, and which have expired. Policy without locks.
//!
//! A row (`number, sequence -> digest, size, lifetime`) is a hint, and the record is the truth: a row whose record is gone
//! or bears another sequence is skipped and dropped. Rows are written before their record and removed after it, so that
//! no record is ever without a row (240 rounds of kill -9).

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use crate::{
    clock::{Expiry, Lifetime, Timestamp},
    key::Digest,
    record::Fields,
    store::generation::Tally,
};

/// Behind the row of a variant list.
const LIST: u8 = 1;

/// One insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderRow {
    pub(crate) sequence: u64,
    pub(crate) digest: Digest,
    /// What the entry weighs: record and blob.
    pub(crate) size: u64,
    pub(crate) lifetime: Lifetime,
    /// Whether it is a variant list, which counts by its bytes only.
    pub(crate) is_list: bool,
}

impl OrderRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(57);
        bytes.extend_from_slice(self.digest.as_bytes());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.lifetime.created.0.to_le_bytes());
        bytes.extend_from_slice(&self.lifetime.expires.0.to_le_bytes());
        bytes.extend_from_slice(if self.is_list { &[LIST] } else { &[] });
        bytes
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let (_number, sequence) = key.split_first_chunk::<4>()?;
        let sequence = u64::from_be_bytes(sequence.try_into().ok()?);
        let mut fields = Fields(value);
        let digest = Digest::from_bytes(fields.array()?);
        let size = fields.number()?;
        let lifetime =
            Lifetime { created: Timestamp(fields.number()?), expires: Timestamp(fields.number()?) };
        let is_list = match fields.0 {
            [] => false,
            [LIST] => true,
            _ => return None,
        };
        Some(Self { sequence, digest, size, lifetime, is_list })
    }

    /// What it counts.
    pub(super) fn tally(&self) -> Tally {
        Tally::of(self.size, self.is_list)
    }
}

/// Where the hand of a generation stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hand {
    /// The sequence that it passed last.
    pub(super) passed: u64,
    /// The latest sequence at the beginning of its turn, which ends there: entries that came since wait for the next turn.
    pub(super) end: u64,
}

/// The account of one generation: its entries, and whether they expire in the order of insertion.
#[derive(Debug, Default)]
pub(crate) struct Account {
    tally: Tally,
    /// While a recount after an unclean end goes on: the last sequence that it has seen. Rows behind it are counted when
    /// the recount gets there.
    counted_to: Option<u64>,
    /// The latest creation among the rows that the recount has seen.
    counted: Timestamp,
    /// That among the rows that were put, and among all rows that were there before if the recount did not have to see them.
    put: Timestamp,
    /// Whether an entry may be over before an older one: it has an expiry of its own, or the clock was set back.
    pub(crate) unordered: bool,
    /// Built by one walk when an account that may hold expired rows behind live ones must evict.
    queue: Option<Queue>,
    /// The first rows of the generation, in their order and without a gap; empty when they are not known.
    front: VecDeque<OrderRow>,
    /// For entries that are spared.
    pub(super) hand: Hand,
}

/// Whether an entry may be over before one that was put before it, the latest of which was created at `latest`.
fn is_out_of_order(lifetime: Lifetime, latest: Timestamp) -> bool {
    lifetime.created < latest || lifetime.expires != Timestamp::NEVER
}

/// Which rows are over first. It may name rows that are gone.
#[derive(Debug, Default)]
struct Queue {
    /// Every row that expires, the soonest on top.
    by_expiry: BinaryHeap<Reverse<(Timestamp, u64)>>,
    /// Every row, the one on top that was made last, or furthest in the future.
    by_creation: BinaryHeap<(Timestamp, u64)>,
    /// The rows that are there.
    count: usize,
}

impl Queue {
    fn push(&mut self, sequence: u64, lifetime: Lifetime) {
        self.count += 1;
        self.by_creation.push((lifetime.created, sequence));
        if lifetime.expires != Timestamp::NEVER {
            self.by_expiry.push(Reverse((lifetime.expires, sequence)));
        }
    }

    fn expired(&self, now: Timestamp) -> Option<u64> {
        self.by_expiry
            .peek()
            .filter(|Reverse((expires, _))| *expires <= now)
            .map(|Reverse((_, sequence))| *sequence)
    }

    fn ahead(&self, now: Timestamp) -> Option<u64> {
        self.by_creation.peek().filter(|(created, _)| created.is_ahead_of(now)).map(|(_, sequence)| *sequence)
    }
}

impl Account {
    /// Of a generation without entries.
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    /// As a clean close wrote it down.
    pub(crate) fn known(tally: Tally, unordered: bool, latest: Timestamp) -> Self {
        Self { tally, put: latest, unordered, ..Self::default() }
    }

    /// Of rows that must be counted.
    pub(crate) fn unknown() -> Self {
        Self { counted_to: Some(0), ..Self::default() }
    }

    /// The latest time at which an entry was created.
    pub(crate) fn latest(&self) -> Timestamp {
        self.put.max(self.counted)
    }

    /// Whether there is no entry, as far as is known.
    pub(crate) fn is_empty(&self) -> bool {
        // A variant list is no entry, and takes space.
        self.tally().is_some_and(|tally| tally.entries == 0 && tally.bytes == 0)
    }

    /// `None` while the recount goes on.
    pub(crate) fn tally(&self) -> Option<Tally> {
        self.counted_to.is_none().then_some(self.tally)
    }

    pub(crate) fn counted_to(&self) -> Option<u64> {
        self.counted_to
    }

    /// A stretch of rows behind `counted_to`, in order, and the last sequence that was looked at; without one the recount
    /// has come to its end.
    pub(crate) fn count(&mut self, rows: &[OrderRow], seen: Option<u64>) {
        self.counted_to = seen;
        for row in rows {
            self.tally.add(row.tally());
            self.unordered |= is_out_of_order(row.lifetime, self.counted);
            self.counted = self.counted.max(row.lifetime.created);
        }
    }

    /// A row was put, under the rules of today.
    pub(crate) fn added(&mut self, row: &OrderRow, expiry: Expiry) {
        if self.counted_to.is_none() {
            self.tally.add(row.tally());
        }
        if self.front.back().is_some_and(|last| row.sequence < last.sequence) {
            self.front.clear();
        }
        self.unordered |= is_out_of_order(row.lifetime, self.latest());
        self.put = self.put.max(row.lifetime.created);
        if let Some(queue) = &mut self.queue {
            queue.push(row.sequence, Lifetime { expires: row.lifetime.expires_at(expiry), ..row.lifetime });
            // Mostly rows that are gone: walking over the remaining ones is cheaper than keeping them.
            if queue.by_creation.len() > 2 * queue.count + 1_024 {
                self.queue = None;
            }
        }
    }

    pub(crate) fn removed(&mut self, sequence: u64, tally: Tally) {
        if self.counted_to.is_none_or(|counted| sequence <= counted) {
            self.tally.subtract(tally);
        }
        if let Some(queue) = &mut self.queue {
            queue.count = queue.count.saturating_sub(1);
        }
        if let Ok(place) = self.front.binary_search_by_key(&sequence, |row| row.sequence) {
            self.front.remove(place);
        }
        if self.is_empty() {
            self.unordered = false;
            self.queue = None;
        }
    }

    /// The oldest row, if it is known without a look at the table.
    pub(crate) fn oldest(&self) -> Option<OrderRow> {
        self.front.front().copied()
    }

    /// The first rows of the table, in order.
    pub(crate) fn set_front(&mut self, rows: Vec<OrderRow>) {
        self.front = rows.into();
    }

    /// Whether rows may be over that are not in front: they are out of order, or the clock was set back behind some.
    pub(crate) fn is_mixed(&self, now: Timestamp) -> bool {
        self.unordered || self.latest().is_ahead_of(now)
    }

    /// Whether the rows must be walked before `over` can be asked.
    pub(crate) fn wants_queue(&self, now: Timestamp) -> bool {
        self.is_mixed(now) && self.queue.is_none()
    }

    /// All rows, with their expiries under the ttl of today.
    pub(crate) fn set_queue(&mut self, rows: impl Iterator<Item = (u64, Lifetime)>) {
        let mut queue = Queue::default();
        rows.for_each(|(sequence, lifetime)| queue.push(sequence, lifetime));
        self.queue = Some(queue);
    }

    /// The ttl of today is another one.
    pub(crate) fn drop_queue(&mut self) {
        self.queue = None;
    }

    /// The sequence of a row that is stale or over though older ones may be fresh. It stays until it is dropped.
    pub(crate) fn over(&self, now: Timestamp) -> Option<u64> {
        let queue = self.queue.as_ref()?;
        queue.expired(now).or_else(|| queue.ahead(now))
    }

    /// The row of the sequence that `over` gave is gone.
    pub(crate) fn drop_over(&mut self, now: Timestamp) {
        if let Some(queue) = &mut self.queue {
            if queue.expired(now).is_some() {
                queue.by_expiry.pop();
            } else {
                queue.by_creation.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::generation::Number;

    fn row(sequence: u64, expires: u64) -> OrderRow {
        let lifetime = Lifetime { created: Timestamp(0), expires: Timestamp(expires) };
        OrderRow { sequence, digest: Digest::from_bytes([7; 32]), size: 10, lifetime, is_list: false }
    }

    #[test]
    fn a_row_survives_its_bytes_and_a_cut_one_is_refused() {
        let (row, key) = (row(5, 99), Number(3).order_key(5));
        let bytes = row.encode();
        assert_eq!(OrderRow::decode(&key, &bytes), Some(row));
        let list = OrderRow { is_list: true, ..row };
        assert_eq!(OrderRow::decode(&key, &list.encode()), Some(list));
        assert_eq!(OrderRow::decode(&key, &[&bytes[..], &[2]].concat()), None);
        assert_eq!(list.tally(), Tally { entries: 0, ..row.tally() });
        assert_eq!(OrderRow::decode(&key, &bytes[1..]), None);
        assert_eq!(OrderRow::decode(b"short", &bytes), None);
    }

    #[test]
    fn a_recount_counts_each_row_once_whatever_happens_meanwhile() {
        let mut account = Account::unknown();
        account.count(&[row(1, 0), row(2, 0)], Some(2));
        account.removed(1, Tally::one(10)); // behind the recount: subtracted
        account.removed(3, Tally::one(10)); // ahead of it: it will not be seen
        account.added(&row(9, 0), Expiry::default()); // ahead of it: it will be seen
        assert_eq!(account.tally(), None);
        account.count(&[row(4, 0), row(9, 0)], Some(9));
        account.count(&[], None);
        let mut three = Tally::one(10);
        (1..3).for_each(|_| three.add(Tally::one(10)));
        assert_eq!(account.tally(), Some(three));
    }

    #[test]
    fn an_entry_with_an_expiry_of_its_own_makes_the_account_unordered() {
        let mut account = Account::empty();
        account.added(&row(1, u64::MAX), Expiry::default());
        account.added(&row(2, u64::MAX), Expiry::default());
        assert!(!account.unordered);
        account.added(&row(3, 150), Expiry::default());
        assert!(account.wants_queue(Timestamp(0)));
        account.set_queue(
            [row(1, 100), row(2, 200), row(3, 150)].iter().map(|row| (row.sequence, row.lifetime)),
        );
        let over = [99, 150].map(|now| account.over(Timestamp(now)));
        assert_eq!(over, [None, Some(1)]);
        account.drop_over(Timestamp(150));
        assert_eq!(account.over(Timestamp(150)), Some(3));
        account.drop_over(Timestamp(150));
        assert_eq!(account.over(Timestamp(150)), None);
    }

    #[test]
    fn an_entry_from_the_future_is_over_while_the_clock_is_behind() {
        let ahead = Lifetime { created: Timestamp(90_000), expires: Timestamp::NEVER };
        let mut account = Account::empty();
        account.added(&row(1, u64::MAX), Expiry::default());
        account.added(&OrderRow { lifetime: ahead, ..row(2, 0) }, Expiry::default());
        assert!(account.is_mixed(Timestamp(29_999)) && !account.is_mixed(Timestamp(30_000)));
        account.set_queue([(1, row(1, u64::MAX).lifetime), (2, ahead)].into_iter());
        assert_eq!([29_999, 30_000].map(|now| account.over(Timestamp(now))), [Some(2), None]);
    }

    #[test]
    fn the_oldest_row_is_known_until_an_older_one_comes() {
        let mut account = Account::known(Tally { entries: 5, ..Tally::one(50) }, false, Timestamp(0));
        let oldest = |account: &Account| account.oldest().map(|row| row.sequence);
        account.set_front(vec![row(3, 0), row(5, 0), row(8, 0)]);
        account.removed(5, Tally::one(10));
        account.removed(4, Tally::one(10));
        assert_eq!(oldest(&account), Some(3));
        account.removed(3, Tally::one(10));
        account.added(&row(9, 0), Expiry::default());
        assert_eq!(oldest(&account), Some(8));
        account.added(&row(7, 0), Expiry::default());
        assert_eq!(oldest(&account), None, "the table is asked again");
    }
}
