//! Which generation of a store loses its next entry, found without a look at every generation. Policy without locks.
//!
//! The oldest entry of each generation is its *front*. Two heaps hold the fronts, by sequence and by expiry. Entries of
//! the heaps are hints: the front of a generation that changed since is pushed again, and the old hint is skipped.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
};

use crate::{clock::Timestamp, store::generation::GenerationId};

#[derive(Debug, Default)]
pub(super) struct Fronts {
    /// Generations whose front may have changed.
    changed: BTreeSet<GenerationId>,
    /// Every generation that has entries and did not change since: sequence and expiry of its front.
    known: HashMap<GenerationId, (u64, Timestamp)>,
    by_sequence: BinaryHeap<Reverse<(u64, GenerationId)>>,
    by_expiry: BinaryHeap<Reverse<(Timestamp, GenerationId)>>,
    /// Generations in which expired entries may stand behind the front: each is asked for itself.
    mixed: BTreeSet<GenerationId>,
    /// The latest time at which a victim was looked for. A clock that was set back makes generations mixed.
    latest: Timestamp,
}

impl Fronts {
    /// The front of a generation may have changed.
    pub(super) fn mark(&mut self, id: GenerationId) {
        self.changed.insert(id);
    }

    pub(super) fn forget(&mut self, id: GenerationId) {
        self.changed.remove(&id);
        self.known.remove(&id);
        self.mixed.remove(&id);
    }

    /// A generation whose front is to be looked up and [`set`](Self::set).
    pub(super) fn next_changed(&mut self) -> Option<GenerationId> {
        self.changed.pop_first()
    }

    /// Whether every front must be looked up again, as the clock was set back.
    pub(super) fn is_set_back(&mut self, now: Timestamp) -> bool {
        let is_set_back = self.latest.is_ahead_of(now);
        self.latest = now;
        is_set_back
    }

    /// Notes the front of a generation: sequence and expiry of its oldest entry, or that it has none.
    pub(super) fn set(&mut self, id: GenerationId, front: Option<(u64, Timestamp)>, is_mixed: bool) {
        if is_mixed {
            self.mixed.insert(id);
        } else {
            self.mixed.remove(&id);
        }
        let Some((sequence, expiry)) = front else {
            self.known.remove(&id);
            return;
        };
        if self.known.insert(id, (sequence, expiry)) != Some((sequence, expiry)) {
            self.by_sequence.push(Reverse((sequence, id)));
            self.by_expiry.push(Reverse((expiry, id)));
        }
        if self.by_sequence.len() > 2 * self.known.len() + 1_024 {
            self.rebuild();
        }
    }

    /// The generation with the oldest front.
    pub(super) fn oldest(&mut self) -> Option<GenerationId> {
        while let Some(Reverse((sequence, id))) = self.by_sequence.peek().copied() {
            if self.known.get(&id).is_some_and(|known| known.0 == sequence) {
                return Some(id);
            }
            self.by_sequence.pop();
        }
        None
    }

    /// A generation whose front has expired.
    pub(super) fn expired(&mut self, now: Timestamp) -> Option<GenerationId> {
        while let Some(Reverse((expiry, id))) = self.by_expiry.peek().copied() {
            if self.known.get(&id).is_some_and(|known| known.1 == expiry) {
                return (expiry <= now).then_some(id);
            }
            self.by_expiry.pop();
        }
        None
    }

    pub(super) fn mixed(&self) -> impl Iterator<Item = GenerationId> {
        self.mixed.iter().copied()
    }

    /// The sequence of the front of a generation.
    pub(super) fn sequence_of(&self, id: GenerationId) -> Option<u64> {
        self.known.get(&id).map(|known| known.0)
    }

    /// Mostly hints of fronts that are gone.
    fn rebuild(&mut self) {
        self.by_sequence = self.known.iter().map(|(id, front)| Reverse((front.0, *id))).collect();
        self.by_expiry = self.known.iter().map(|(id, front)| Reverse((front.1, *id))).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> GenerationId {
        GenerationId([byte; 16])
    }

    #[test]
    fn the_oldest_front_is_found_and_an_old_hint_is_skipped() {
        let mut fronts = Fronts::default();
        fronts.set(id(1), Some((10, Timestamp(100))), false);
        fronts.set(id(2), Some((20, Timestamp(50))), false);
        assert_eq!(fronts.oldest(), Some(id(1)));
        fronts.set(id(1), Some((30, Timestamp(200))), false);
        assert_eq!(fronts.oldest(), Some(id(2)));
        fronts.set(id(2), None, false);
        assert_eq!(fronts.oldest(), Some(id(1)));
        fronts.forget(id(1));
        assert_eq!(fronts.oldest(), None);
    }

    #[test]
    fn an_expired_front_is_found_at_its_time() {
        let mut fronts = Fronts::default();
        fronts.set(id(1), Some((10, Timestamp(100))), false);
        fronts.set(id(2), Some((20, Timestamp(50))), false);
        assert_eq!([49, 50].map(|now| fronts.expired(Timestamp(now))), [None, Some(id(2))]);
        fronts.set(id(2), Some((40, Timestamp::NEVER)), false);
        assert_eq!([99, 100].map(|now| fronts.expired(Timestamp(now))), [None, Some(id(1))]);
    }

    #[test]
    fn hints_of_many_changes_do_not_pile_up() {
        let mut fronts = Fronts::default();
        for sequence in 0..100_000 {
            fronts.set(id(1), Some((sequence, Timestamp(sequence))), false);
        }
        assert!(fronts.by_sequence.len() < 2_000 && fronts.by_expiry.len() < 2_000);
        assert_eq!(fronts.sequence_of(id(1)), Some(99_999));
    }

    #[test]
    fn a_clock_that_is_set_back_is_noticed_once() {
        let mut fronts = Fronts::default();
        assert!(!fronts.is_set_back(Timestamp(1_000_000)));
        assert!(fronts.is_set_back(Timestamp(1_000)) && !fronts.is_set_back(Timestamp(1_001)));
    }
}
