//! Which generation of a store loses its next entry, found without a look at every generation. Policy without locks.
//!
//! The oldest entry of each generation is its *front*. Two sets hold the fronts, by sequence and by expiry.

use std::collections::{BTreeSet, HashMap};

use crate::{clock::Timestamp, store::generation::GenerationId};

#[derive(Debug, Default)]
pub(super) struct Fronts {
    /// Generations whose front may have changed.
    changed: BTreeSet<GenerationId>,
    /// Every generation that has entries and did not change since: sequence and expiry of its front.
    known: HashMap<GenerationId, (u64, Timestamp)>,
    /// The fronts of these, as in `known`.
    by_sequence: BTreeSet<(u64, GenerationId)>,
    by_expiry: BTreeSet<(Timestamp, GenerationId)>,
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
        self.set(id, None, false);
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
        if let Some((sequence, expiry)) = self.known.remove(&id) {
            self.by_sequence.remove(&(sequence, id));
            self.by_expiry.remove(&(expiry, id));
        }
        if let Some((sequence, expiry)) = front {
            self.known.insert(id, (sequence, expiry));
            self.by_sequence.insert((sequence, id));
            self.by_expiry.insert((expiry, id));
        }
    }

    /// The generation with the oldest front.
    pub(super) fn oldest(&self) -> Option<GenerationId> {
        self.by_sequence.first().map(|(_, id)| *id)
    }

    /// A generation whose front has expired.
    pub(super) fn expired(&self, now: Timestamp) -> Option<GenerationId> {
        self.by_expiry.first().filter(|(expiry, _)| *expiry <= now).map(|(_, id)| *id)
    }

    pub(super) fn mixed(&self) -> impl Iterator<Item = GenerationId> {
        self.mixed.iter().copied()
    }

    /// The sequence of the front of a generation.
    pub(super) fn sequence_of(&self, id: GenerationId) -> Option<u64> {
        self.known.get(&id).map(|known| known.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> GenerationId {
        GenerationId([byte; 16])
    }

    #[test]
    fn the_oldest_front_is_found_and_not_one_from_before() {
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
    fn fronts_that_changed_do_not_pile_up() {
        let mut fronts = Fronts::default();
        for sequence in 0..100 {
            fronts.set(id(1), Some((sequence, Timestamp(sequence))), false);
        }
        assert_eq!((fronts.by_sequence.len(), fronts.by_expiry.len()), (1, 1));
        assert_eq!(fronts.sequence_of(id(1)), Some(99));
    }

    #[test]
    fn a_clock_that_is_set_back_is_noticed_once() {
        let mut fronts = Fronts::default();
        assert!(!fronts.is_set_back(Timestamp(1_000_000)));
        assert!(fronts.is_set_back(Timestamp(1_000)) && !fronts.is_set_back(Timestamp(1_001)));
    }
}
