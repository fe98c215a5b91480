//! Which entry leaves where those that were read are spared: a hand goes over the rows in their order, passes over entries
//! with a mark, and takes the mark away. At the end of its turn it begins anew at the oldest. Nothing is written for it.

use super::{
    order::{Hand, OrderRow},
    request::Registration,
    transaction::Transaction,
};
use crate::{error::Result, store::generation::GenerationId};

/// So many entries are passed over for one that leaves.
const MOST_PASSED: usize = 64;

/// The number of rows that are read ahead.
const AHEAD: usize = 8;

/// A row that leaves.
struct Unread {
    row: OrderRow,
    /// Those that are passed over for it.
    passed: Vec<OrderRow>,
    /// As it stands after that.
    hand: Hand,
}

impl Transaction<'_> {
    /// The row of a generation that leaves. `None` where nothing is spared.
    fn unread(&self, id: GenerationId) -> Result<Option<Unread>> {
        let Some(found) = self.ledger.get(id) else { return Ok(None) };
        let Some(marks) = found.memo.as_deref().and_then(Registration::used_marks) else { return Ok(None) };
        let (number, mut hand) = (found.row.number, found.account.hand);
        let (mut passed, mut is_new_turn) = (Vec::new(), false);
        loop {
            let ahead = self.index.rows(number, Some(hand.passed), AHEAD)?;
            let rows = ahead.iter().filter_map(|(key, value)| OrderRow::decode(key, value));
            let rows: Vec<OrderRow> = rows.filter(|row| row.sequence <= hand.end).collect();
            if rows.is_empty() {
                if std::mem::replace(&mut is_new_turn, true) {
                    // All were read: the oldest leaves, and the others have to be read again.
                    let oldest = passed.first().copied();
                    return Ok(oldest.map(|row| Unread { row, passed, hand: Hand::default() }));
                }
                // Without the newest row: the others leave for that one.
                hand = Hand { passed: 0, end: self.ledger.last_sequence().saturating_sub(1) };
                passed.clear();
                continue;
            }
            for row in rows {
                hand.passed = row.sequence;
                if !marks.is_marked(&row.digest) || passed.len() >= MOST_PASSED {
                    return Ok(Some(Unread { row, passed, hand }));
                }
                passed.push(row);
            }
        }
    }

    /// The row of a generation that leaves where those that were read are spared, else `None`.
    pub(super) fn spared(&self, id: GenerationId) -> Result<Option<OrderRow>> {
        Ok(self.unread(id)?.map(|unread| unread.row))
    }

    /// An entry leaves: the hand has passed the entries before it, and their marks are gone.
    pub(super) fn pass_over(&mut self, id: GenerationId, row: &OrderRow) -> Result<()> {
        let Some(unread) = self.unread(id)?.filter(|unread| unread.row == *row) else { return Ok(()) };
        if let Some(marks) = self.ledger.get(id).and_then(|found| found.memo.as_deref()?.used_marks()) {
            unread.passed.iter().chain([&unread.row]).for_each(|row| marks.clear(&row.digest));
        }
        self.ledger.account(id, |account| account.hand = unread.hand);
        Ok(())
    }
}
