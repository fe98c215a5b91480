//! Making room: which entries leave, and the walks over the rows that say so. Runs under the writer lock.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    error::Result,
    store::{
        core::Core,
        engine::{Calls, Tables},
        ledger::GenerationId,
        order::{OrderRow, Rank, Tally},
        writer::{Left, Place, Writer},
    },
    sync::thread,
};

/// How many rows are walked in one stretch: about a millisecond under the lock.
const STRETCH: usize = 1_000;

/// How many entries leave under one lock: about 5 ms.
const LEAVING: u64 = 256;

/// How many rows are read ahead when the oldest must leave: 0.2 us each, where finding the first one takes 2 us.
const AHEAD: usize = 64;

impl Core {
    /// Takes out what is over the bounds of a memo, or of the store. Writers get their turn in between.
    pub(crate) fn make_room(&self, name: Option<&str>) -> Result<()> {
        loop {
            let mut writer = self.writer_by(Calls::Here)?;
            let made = writer.evict(name, None);
            writer.finish();
            if made? {
                return Ok(());
            }
            thread::yield_now();
        }
    }

    /// Counts the rest of a memo that an unclean end left uncounted, and makes the room that could not be made so far.
    pub(crate) fn recount(&self, name: &str) -> Result<()> {
        let generations: Vec<GenerationId> = {
            let writer = self.writer_by(Calls::Here)?;
            if writer.ledger.tally(Some(name)).is_some() {
                return Ok(());
            }
            writer.ledger.of_name(Some(name)).map(|(id, _)| id).collect()
        };
        for id in generations {
            while self.writer_by(Calls::Here)?.recount(id)? {}
        }
        self.make_room(Some(name))
    }
}

/// The key of the last row that a walk has seen.
pub(crate) type Seen = Option<[u8; 8]>;

impl Writer<'_> {
    /// Makes room until the entries of `name`, or of the whole store, are within the bounds. Expired entries leave
    /// first, then those of retired generations, then the oldest insertion. Nothing leaves while a recount goes on: it
    /// evicts when it ends.
    ///
    /// Whether it is done. Else so many have left that the lock had better be given back; a put goes on until there is
    /// no more than there was `before` it, so that no put takes a memo further over its bound.
    pub(crate) fn evict(&mut self, name: Option<&str>, before: Option<Tally>) -> Result<bool> {
        let (max_entries, max_bytes) = match name {
            None => (None, self.core.max_bytes),
            Some(name) => {
                let bounds = self.ledger.bounds_of(name);
                (bounds.max_entries, bounds.max_bytes)
            }
        };
        if max_entries.is_none() && max_bytes.is_none() {
            return Ok(true);
        }
        let mut left = 0;
        while let Some(tally) = self.ledger.tally(name).filter(|tally| tally.exceeds(max_entries, max_bytes))
        {
            if left >= LEAVING && before.is_none_or(|before| tally.is_within(before)) {
                return Ok(false);
            }
            let Some((generation, row)) = self.next_to_leave(name)? else { break };
            self.expel(generation, &row, true)?;
            left += 1;
        }
        Ok(true)
    }

    fn next_to_leave(&mut self, name: Option<&str>) -> Result<Option<(GenerationId, OrderRow)>> {
        let now = self.core.clock.now();
        let generations: Vec<GenerationId> = self.ledger.of_name(name).map(|(id, _)| id).collect();
        let mut first: Option<(Rank, GenerationId, OrderRow)> = None;
        for id in generations {
            let Some(row) = self.with_tables(id, |writer, tables| writer.front(tables, id, now))? else {
                continue;
            };
            let rank = Rank::of(&row, self.ledger.is_retired(id), now, self.ttl_of(id));
            if first.as_ref().is_none_or(|(best, _, _)| rank < *best) {
                first = Some((rank, id, row));
            }
        }
        Ok(first.map(|(_, id, row)| (id, row)))
    }

    /// Today's ttl of a live generation.
    fn ttl_of(&self, id: GenerationId) -> Option<Duration> {
        let generation = self.ledger.generations.get(&id)?;
        generation.owner.and_then(|_| self.ledger.bounds_of(&generation.row.name).ttl)
    }

    /// The row of a generation that leaves first: an expired one if there is any, else the oldest.
    fn front(&mut self, tables: &Tables, id: GenerationId, now: Timestamp) -> Result<Option<OrderRow>> {
        if self.ledger.generations.get(&id).is_some_and(|found| found.account.wants_queue(now)) {
            self.load_queue(tables, id)?;
        }
        while let Some(sequence) = self.ledger.generations.get(&id).and_then(|found| found.account.over(now))
        {
            let key = OrderRow::key(sequence);
            if let Some(row) = tables.order.get(&key)?.and_then(|value| OrderRow::decode(&key, &value)) {
                return Ok(Some(row));
            }
            self.account(id, |account| account.drop_over(now));
        }
        self.oldest(tables, id)
    }

    fn oldest(&mut self, tables: &Tables, id: GenerationId) -> Result<Option<OrderRow>> {
        let known = self.ledger.generations.get(&id).and_then(|found| found.account.oldest());
        if known.is_some() {
            return Ok(known);
        }
        loop {
            let ahead = tables.order.rows(None, AHEAD)?;
            let mut front = Vec::with_capacity(ahead.len());
            for (key, value) in &ahead {
                match OrderRow::decode(key, value) {
                    Some(row) => front.push(row),
                    None => tables.order.remove(key)?,
                }
            }
            let oldest = front.first().copied();
            if oldest.is_some() || ahead.is_empty() {
                self.account(id, |account| account.set_front(front));
                return Ok(oldest);
            }
        }
    }

    fn load_queue(&mut self, tables: &Tables, id: GenerationId) -> Result<()> {
        let ttl = self.ttl_of(id);
        let mut queue = Vec::new();
        let mut seen = None;
        loop {
            let rows = stretch(tables, seen)?;
            let Some(last) = rows.last() else { break };
            seen = Some(OrderRow::key(last.sequence));
            queue.extend(rows.iter().map(|row| (row.sequence, row.lifetime.under(ttl))));
        }
        self.account(id, |account| account.set_queue(queue.into_iter()));
        Ok(())
    }

    /// Takes the entry of a row out, and the row. A row whose record is gone or is a newer one only goes itself.
    fn expel(&mut self, id: GenerationId, row: &OrderRow, for_room: bool) -> Result<bool> {
        let Some((name, owner)) =
            self.ledger.generations.get(&id).map(|found| (found.row.name.clone(), found.owner))
        else {
            return Ok(false);
        };
        let fresh = !row.lifetime.is_over(self.core.clock.now(), self.ttl_of(id));
        let place = Place { generation: id, memo: &name, owner };
        let expelled = self.with_tables(id, |writer, tables| {
            let expelled = writer.take(tables, place, &row.digest, Some(row))?;
            if !expelled {
                writer.drop_row(tables, place, row.sequence, row.size)?;
            }
            Ok(expelled)
        })?;
        if expelled && fresh {
            // Nobody who read it may put it into memory any more.
            self.publish(owner, &row.digest, None);
        } else if expelled && let Some(owner) = owner {
            // Its computation may be under way: that one is wanted.
            self.leaving.values.extend(self.core.memory.remove(owner, &row.digest));
        }
        if expelled {
            self.count_left(name, Left::one(fresh, for_room));
        }
        Ok(expelled)
    }

    fn count_left(&mut self, name: String, one: Left) {
        match self.leaving.left.iter_mut().find(|(memo, _)| *memo == name) {
            Some((_, left)) => left.add(one),
            None => self.leaving.left.push((name, one)),
        }
    }

    /// Takes out what has expired in one stretch of a generation behind `seen`; where that ended, if there is more.
    pub(crate) fn sweep(&mut self, id: GenerationId, seen: Seen, swept: &mut Tally) -> Result<Seen> {
        let rows = self.with_tables(id, |_, tables| stretch(tables, seen))?;
        let (now, ttl) = (self.core.clock.now(), self.ttl_of(id));
        for row in rows.iter().filter(|row| row.lifetime.is_over(now, ttl)) {
            if self.expel(id, row, false)? {
                swept.add(Tally { entries: 1, bytes: row.size });
            }
        }
        Ok(rows.last().map(|row| OrderRow::key(row.sequence)))
    }

    /// Counts one more stretch of a generation whose account an unclean end lost. Whether there is more.
    pub(crate) fn recount(&mut self, id: GenerationId) -> Result<bool> {
        let Some(counted) = self.ledger.generations.get(&id).and_then(|found| found.account.counted_to())
        else {
            return Ok(false);
        };
        let rows = self.with_tables(id, |_, tables| stretch(tables, Some(OrderRow::key(counted))))?;
        self.account(id, |account| account.count(&rows));
        Ok(!rows.is_empty())
    }

    /// How many rows of a generation are live now. Walks over the expired ones, all of which are at the front unless
    /// the account is out of order.
    pub(crate) fn count_live(&mut self, id: GenerationId) -> Result<Tally> {
        while self.recount(id)? {}
        let Some(found) = self.ledger.generations.get(&id) else { return Ok(Tally::default()) };
        let (now, ttl) = (self.core.clock.now(), self.ttl_of(id));
        let (tally, mixed) = (found.account.tally().unwrap_or_default(), found.account.is_mixed(now));
        self.with_tables(id, |_, tables| {
            count_live(tables, tally, |row| row.lifetime.is_over(now, ttl), mixed)
        })
    }
}

fn count_live(
    tables: &Tables,
    mut tally: Tally,
    is_over: impl Fn(&OrderRow) -> bool,
    mixed: bool,
) -> Result<Tally> {
    let mut seen = None;
    loop {
        let rows = stretch(tables, seen)?;
        let Some(last) = rows.last() else { return Ok(tally) };
        seen = Some(OrderRow::key(last.sequence));
        for row in &rows {
            if is_over(row) {
                tally.subtract(row.size);
            } else if !mixed {
                return Ok(tally);
            }
        }
    }
}

/// The next rows behind `seen`; none at the end.
fn stretch(tables: &Tables, seen: Seen) -> Result<Vec<OrderRow>> {
    let rows = tables.order.rows(seen.as_ref().map(<[u8; 8]>::as_slice), STRETCH)?;
    Ok(rows.iter().filter_map(|(key, value)| OrderRow::decode(key, value)).collect())
}
