//! The ledger: the generations of a store, their accounts, and the sums over a memo and over the store.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    fronts::Fronts,
    order::{Account, OrderRow},
    request::{Adopter, Registration},
};
use crate::{
    clock::{Expiry, Timestamp},
    stats::Stats,
    store::{
        generation::{Bounds, CatalogRow, GenerationId, IndexRow, Number, Tally},
        scope::name_of,
        session::Session,
    },
};

/// One generation on disk.
pub(super) struct Generation {
    pub(super) row: CatalogRow,
    pub(super) account: Account,
    /// The memo, while it is open.
    pub(super) memo: Option<Arc<Registration>>,
    /// Those of each that has it open, in this process or as a guest. Empty unless there is a `memo`.
    pub(super) adopted: Vec<(Adopter, Bounds)>,
}

#[derive(Default)]
pub(super) struct Ledger {
    /// The sequence that was given last.
    sequence: u64,
    /// As it stands in the catalog.
    pub(super) index_row: IndexRow,
    /// The counters of earlier runs, once an index was opened.
    earlier: Option<Stats>,
    generations: BTreeMap<GenerationId, Generation>,
    /// The generations of each memo; no list is empty.
    by_name: HashMap<String, Vec<GenerationId>>,
    /// The sum over all generations that are counted.
    total: Tally,
    /// The generations that a recount has not counted to their end.
    uncounted: BTreeSet<GenerationId>,
    /// Those that another generation of their memo took the place of.
    retired: BTreeSet<GenerationId>,
    pub(super) fronts: Fronts,
}

impl Ledger {
    /// Behind all sequences of an index that was opened.
    pub(super) fn starting_at(sequence: u64, index_row: IndexRow) -> Self {
        Self { sequence, earlier: Some(index_row.totals.clone()), index_row, ..Self::default() }
    }

    /// The counters of all runs, this one's among them.
    pub(super) fn totals(&self, session: &Session) -> Stats {
        let mut totals = self.earlier.clone().unwrap_or_default();
        totals.add(&session.stats());
        totals
    }

    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(super) fn last_sequence(&self) -> u64 {
        self.sequence
    }

    /// Entries that are put from here on come behind one of that sequence.
    pub(super) fn go_on_behind(&mut self, sequence: u64) {
        self.sequence = self.sequence.max(sequence);
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn get(&self, id: GenerationId) -> Option<&Generation> {
        self.generations.get(&id)
    }

    /// Of the memo that has a generation open.
    pub(super) fn owner_of(&self, id: GenerationId) -> Option<u64> {
        Some(self.get(id)?.memo.as_ref()?.owner)
    }

    pub(super) fn insert(&mut self, id: GenerationId, generation: Generation) {
        self.remove(id);
        match generation.account.tally() {
            Some(tally) => self.total.add(tally),
            None => drop(self.uncounted.insert(id)),
        }
        let name = generation.row.name.clone();
        self.by_name.entry(name.clone()).or_default().push(id);
        self.generations.insert(id, generation);
        self.fronts.mark(id);
        self.find_retired(&name);
    }

    pub(super) fn remove(&mut self, id: GenerationId) -> Option<Generation> {
        let generation = self.generations.remove(&id)?;
        if let Some(tally) = generation.account.tally() {
            self.total.subtract(tally);
        }
        self.uncounted.remove(&id);
        self.retired.remove(&id);
        self.fronts.forget(id);
        if let Some(ids) = self.by_name.get_mut(&generation.row.name) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_name.remove(&generation.row.name);
            }
        }
        self.find_retired(&generation.row.name);
        Some(generation)
    }

    pub(super) fn ids(&self) -> Vec<GenerationId> {
        self.generations.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (GenerationId, &Generation)> {
        self.generations.iter().map(|(id, generation)| (*id, generation))
    }

    /// The generations of a memo.
    pub(super) fn of_name(&self, name: &str) -> Vec<GenerationId> {
        self.by_name.get(name).cloned().unwrap_or_default()
    }

    /// The names of all memos with their scopes, in alphabetical order.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.by_name.keys().cloned().collect();
        names.sort();
        names
    }

    /// Those of one memo: one for each scope.
    pub(super) fn names_of_memo(&self, name: &str) -> Vec<String> {
        self.by_name.keys().filter(|scoped| name_of(scoped) == name).cloned().collect()
    }

    /// Changes the row or the memo of a generation.
    pub(super) fn change(&mut self, id: GenerationId, change: impl FnOnce(&mut Generation)) {
        let Some(generation) = self.generations.get_mut(&id) else { return };
        change(generation);
        let name = generation.row.name.clone();
        self.fronts.mark(id);
        self.find_retired(&name);
    }

    /// Changes what an account knows beside its sum.
    pub(super) fn account(&mut self, id: GenerationId, change: impl FnOnce(&mut Account)) {
        if let Some(generation) = self.generations.get_mut(&id) {
            change(&mut generation.account);
        }
    }

    /// A row was put.
    pub(super) fn added(&mut self, id: GenerationId, row: &OrderRow) {
        let expiry = self.expiry_of(id);
        let Some(generation) = self.generations.get_mut(&id) else { return };
        if generation.account.is_empty() {
            self.fronts.mark(id);
        }
        let was_mixed = generation.account.unordered;
        generation.account.added(row, expiry);
        if generation.account.unordered && !was_mixed {
            self.fronts.mark(id);
        }
        if generation.account.tally().is_some() {
            self.total.add(row.tally());
        }
    }

    /// The row of that sequence is gone.
    pub(super) fn removed(&mut self, id: GenerationId, sequence: u64, tally: Tally) {
        let Some(generation) = self.generations.get_mut(&id) else { return };
        generation.account.removed(sequence, tally);
        if generation.account.tally().is_some() {
            self.total.subtract(tally);
        }
        if self.fronts.sequence_of(id).is_none_or(|front| front >= sequence) {
            self.fronts.mark(id);
        }
    }

    /// The same where only the number of the generation is known.
    pub(super) fn removed_of(&mut self, number: Number, sequence: u64, tally: Tally) {
        let found = self.generations.iter().find(|(_, generation)| generation.row.number == number);
        if let Some(id) = found.map(|(id, _)| *id) {
            self.removed(id, sequence, tally);
        }
    }

    /// A stretch of rows of a recount, and the last sequence that was looked at. Without one the recount ends.
    pub(super) fn count(&mut self, id: GenerationId, rows: &[OrderRow], seen: Option<u64>) {
        let Some(generation) = self.generations.get_mut(&id) else { return };
        let was_counted = generation.account.tally().is_some();
        generation.account.count(rows, seen);
        if let Some(tally) = generation.account.tally()
            && !was_counted
        {
            self.total.add(tally);
            self.uncounted.remove(&id);
            self.fronts.mark(id);
        }
    }

    /// Every entry of a generation is gone, and it has another number.
    pub(super) fn cleared(&mut self, id: GenerationId, number: Number) {
        let Some(generation) = self.generations.get_mut(&id) else { return };
        if let Some(tally) = generation.account.tally() {
            self.total.subtract(tally);
        }
        self.uncounted.remove(&id);
        generation.account = Account::empty();
        generation.row.number = number;
        self.fronts.mark(id);
    }

    /// Of all generations of a memo, or of the store. `None` while one of them is being counted.
    pub(super) fn tally(&self, name: Option<&str>) -> Option<Tally> {
        let Some(name) = name else { return self.uncounted.is_empty().then_some(self.total) };
        let ids = self.by_name.get(name).into_iter().flatten();
        ids.filter_map(|id| self.generations.get(id)).try_fold(Tally::default(), |mut sum, generation| {
            sum.add(generation.account.tally()?);
            Some(sum)
        })
    }

    pub(super) fn uncounted(&self) -> Option<GenerationId> {
        self.uncounted.first().copied()
    }

    pub(super) fn is_retired(&self, id: GenerationId) -> bool {
        self.retired.contains(&id)
    }

    pub(super) fn retired(&self) -> &BTreeSet<GenerationId> {
        &self.retired
    }

    fn find_retired(&mut self, name: &str) {
        let ids = self.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        let rank = |id: &GenerationId| {
            let generation = self.generations.get(id)?;
            Some((generation.memo.is_some(), generation.row.last_used))
        };
        let newest = ids.iter().filter_map(rank).max();
        for id in ids {
            if rank(id).is_some_and(|(is_open, _)| is_open) || rank(id) == newest {
                self.retired.remove(id);
            } else {
                self.retired.insert(*id);
            }
        }
    }

    /// The tightest bounds of those that have a generation of the memo open.
    pub(super) fn bounds_of(&self, name: &str) -> Bounds {
        let ids = self.by_name.get(name).into_iter().flatten();
        let open = ids.filter_map(|id| self.generations.get(id)).flat_map(|generation| &generation.adopted);
        open.map(|(_, bounds)| *bounds).reduce(Bounds::tightest).unwrap_or_default()
    }

    /// How entries of a generation expire: as today if it is open, else as in the last run that had it open.
    pub(super) fn expiry_of(&self, id: GenerationId) -> Expiry {
        let Some(Generation { row, adopted, .. }) = self.generations.get(&id) else {
            return Expiry::default();
        };
        let open = adopted.iter().map(|(_, bounds)| bounds.expiry());
        open.reduce(Expiry::or).unwrap_or_else(|| row.expiry())
    }

    /// The catalog row of a generation with what a close writes down.
    pub(super) fn closing_row(generation: &Generation) -> CatalogRow {
        let account = &generation.account;
        CatalogRow {
            tally: account.tally().unwrap_or_default(),
            unordered: account.unordered,
            latest: account.latest(),
            ..generation.row.clone()
        }
    }

    /// A memo is opened. While no engine is in service, the next index that is opened takes it up.
    pub(super) fn adopt(&mut self, memo: &Arc<Registration>, row: &CatalogRow, bounds: (Adopter, Bounds)) {
        let id = memo.generation;
        if self.get(id).is_none() {
            let (account, adopted) = (Account::empty(), Vec::new());
            self.insert(id, Generation { row: row.clone(), account, memo: None, adopted });
        }
        let ttl = self.expiry_of(id).ttl;
        self.change(id, |found| {
            found.memo = Some(Arc::clone(memo));
            found.adopted.retain(|(adopter, _)| *adopter != bounds.0);
            found.adopted.push(bounds);
            if bounds.1.spares_used {
                memo.mark_used();
            }
        });
        self.expire_by(id, ttl);
    }

    /// A memo was dropped. Whether it was the last that had its generation open.
    pub(super) fn disown(&mut self, memo: &Registration, adopter: Adopter) -> bool {
        let (mut was_last, ttl) = (false, self.expiry_of(memo.generation).ttl);
        self.change(memo.generation, |found| {
            if let Some(place) = found.adopted.iter().position(|(other, _)| *other == adopter) {
                found.adopted.swap_remove(place);
                was_last = found.adopted.is_empty();
            }
            found.memo.take_if(|_| found.adopted.is_empty());
        });
        self.expire_by(memo.generation, ttl);
        was_last
    }

    /// The rows of a generation stand in another order if its ttl is not the one from before.
    fn expire_by(&mut self, id: GenerationId, before: u64) {
        if self.expiry_of(id).ttl != before {
            self.account(id, Account::drop_queue);
        }
    }

    /// The owners of the open generations of a memo.
    pub(super) fn owners_of(&self, name: &str) -> Vec<u64> {
        let ids = self.by_name.get(name).into_iter().flatten();
        let open = ids.filter_map(|id| self.generations.get(id)?.memo.as_ref());
        open.map(|memo| memo.owner).collect()
    }

    /// The open memos and the bounds of an earlier ledger, whose index is gone.
    pub(super) fn take_over(&mut self, before: Self) {
        // The row of the index may count this run already.
        self.earlier = before.earlier.or(self.earlier.take());
        self.go_on_behind(before.sequence);
        for (id, open) in before.generations.into_iter().filter(|(_, generation)| generation.memo.is_some()) {
            if let Some(found) = self.generations.get_mut(&id) {
                (found.memo, found.adopted) = (open.memo, open.adopted);
                let name = found.row.name.clone();
                self.find_retired(&name);
            } else {
                let row = CatalogRow { number: Number::default(), ..open.row };
                self.insert(id, Generation { row, account: Account::empty(), ..open });
            }
        }
    }

    /// The generations of a memo that were used last before `limit`, and that are retired.
    pub(super) fn retired_before(&self, name: &str, limit: Timestamp) -> Vec<GenerationId> {
        let is_old = |id: &GenerationId| {
            self.is_retired(*id) && self.get(*id).is_some_and(|found| found.row.last_used <= limit)
        };
        self.of_name(name).into_iter().filter(is_old).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(name: &str, last_used: u64) -> Generation {
        let row = CatalogRow {
            name: name.into(),
            version: 1,
            last_used: Timestamp(last_used),
            ttl_millis: u64::MAX,
            stale_millis: 0,
            number: Number(1),
            tally: Tally::default(),
            unordered: false,
            latest: Timestamp(0),
        };
        let account = Account::known(Tally::one(10), false, Timestamp(0));
        Generation { row, account, memo: None, adopted: Vec::new() }
    }

    fn tens(entries: u64) -> Tally {
        (0..entries).fold(Tally::default(), |mut sum, _| {
            sum.add(Tally::one(10));
            sum
        })
    }

    fn memo(id: GenerationId) -> Arc<Registration> {
        Arc::new(Registration::new("frames".into(), "".into(), id, 7, Arc::default()))
    }

    #[test]
    fn a_generation_is_retired_when_another_of_its_name_is_open_or_was_used_later() {
        let mut ledger = Ledger::default();
        let [old, current, other, live] = [1, 2, 3, 4].map(|byte| GenerationId([byte; 16]));
        ledger.insert(old, generation("frames", 1));
        ledger.insert(current, generation("frames", 2));
        ledger.insert(other, generation("models", 1));
        assert_eq!(ledger.retired().iter().copied().collect::<Vec<_>>(), [old]);
        ledger.insert(live, Generation { memo: Some(memo(live)), ..generation("frames", 0) });
        assert_eq!(ledger.retired().iter().copied().collect::<Vec<_>>(), [old, current]);
        assert_eq!(ledger.tally(Some("frames")), Some(tens(3)));
        assert_eq!(ledger.names(), ["frames", "models"]);
        ledger.remove(live);
        ledger.remove(current);
        assert!(ledger.retired().is_empty());
        assert_eq!(ledger.tally(None), Some(tens(2)));
    }

    #[test]
    fn the_sum_of_the_store_is_that_of_its_generations_and_unknown_during_a_recount() {
        let mut ledger = Ledger::default();
        let [known, unknown] = [1, 2].map(|byte| GenerationId([byte; 16]));
        ledger.insert(known, generation("frames", 1));
        ledger.insert(unknown, Generation { account: Account::unknown(), ..generation("models", 1) });
        assert_eq!((ledger.tally(None), ledger.uncounted()), (None, Some(unknown)));
        ledger.count(unknown, &[], None);
        assert_eq!(ledger.tally(None), Some(tens(1)));
        ledger.cleared(known, Number(9));
        assert_eq!(ledger.tally(None), Some(Tally::default()));
        assert_eq!(ledger.get(known).map(|found| found.row.number), Some(Number(9)));
    }
}
