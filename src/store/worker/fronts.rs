//! Which generation of a store loses its next entry, found without a look at every generation. Policy without locks.
//!
//! The oldest entry of each generation is its *front*. Three sets hold the fronts: by sequence, by the end of their
//! freshness, and by the end of their use.

use std::collections::{BTreeSet, HashMap};

use crate::{clock::Timestamp, store::generation::GenerationId};

/// The oldest entry of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Front {
    pub(super) sequence: u64,
    /// The end of its freshness.
    pub(super) stale_at: Timestamp,
    /// The time from which on it is of no use.
    pub(super) over_at: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Fronts {
    /// Generations whose front may have changed.
    changed: BTreeSet<GenerationId>,
    /// Every generation that has entries and did not change since, with its front.
    known: HashMap<GenerationId, Front>,
    /// The fronts of these, as in `known`.
    by_sequence: BTreeSet<(u64, GenerationId)>,
    by_stale_at: BTreeSet<(Timestamp, GenerationId)>,
    by_over_at: BTreeSet<(Timestamp, GenerationId)>,
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

    /// Notes the front of a generation, or that it has no entry.
    pub(super) fn set(&mut self, id: GenerationId, front: Option<Front>, is_mixed: bool) {
        if is_mixed {
            self.mixed.insert(id);
        } else {
            self.mixed.remove(&id);
        }
        if let Some(front) = self.known.remove(&id) {
            self.by_sequence.remove(&(front.sequence, id));
            self.by_stale_at.remove(&(front.stale_at, id));
            self.by_over_at.remove(&(front.over_at, id));
        }
        if let Some(front) = front {
            self.known.insert(id, front);
            self.by_sequence.insert((front.sequence, id));
            self.by_stale_at.insert((front.stale_at, id));
            self.by_over_at.insert((front.over_at, id));
        }
    }

    /// The generation with the oldest front.
    pub(super) fn oldest(&self) -> Option<GenerationId> {
        self.by_sequence.first().map(|(_, id)| *id)
    }

    /// A generation whose front is of no use any more.
    pub(super) fn over(&self, now: Timestamp) -> Option<GenerationId> {
        self.by_over_at.first().filter(|(time, _)| *time <= now).map(|(_, id)| *id)
    }

    /// A generation whose front is not fresh any more.
    pub(super) fn stale(&self, now: Timestamp) -> Option<GenerationId> {
        self.by_stale_at.first().filter(|(time, _)| *time <= now).map(|(_, id)| *id)
    }

    pub(super) fn mixed(&self) -> impl Iterator<Item = GenerationId> {
        self.mixed.iter().copied()
    }

    /// The sequence of the front of a generation.
    pub(super) fn sequence_of(&self, id: GenerationId) -> Option<u64> {
        self.known.get(&id).map(|front| front.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> GenerationId {
        GenerationId([byte; 16])
    }

    /// One that is never kept stale.
    fn front(sequence: u64, expires: Timestamp) -> Front {
        Front { sequence, stale_at: expires, over_at: expires }
    }

    #[test]
    fn the_oldest_front_is_found_and_not_one_from_before() {
        let mut fronts = Fronts::default();
        fronts.set(id(1), Some(front(10, Timestamp(100))), false);
        fronts.set(id(2), Some(front(20, Timestamp(50))), false);
        assert_eq!(fronts.oldest(), Some(id(1)));
        fronts.set(id(1), Some(front(30, Timestamp(200))), false);
        assert_eq!(fronts.oldest(), Some(id(2)));
        fronts.set(id(2), None, false);
        assert_eq!(fronts.oldest(), Some(id(1)));
        fronts.forget(id(1));
        assert_eq!(fronts.oldest(), None);
    }

    #[test]
    fn an_expired_front_is_found_at_its_time() {
        let mut fronts = Fronts::default();
        fronts.set(id(1), Some(front(10, Timestamp(100))), false);
        fronts.set(id(2), Some(front(20, Timestamp(50))), false);
        assert_eq!([49, 50].map(|now| fronts.over(Timestamp(now))), [None, Some(id(2))]);
        fronts.set(id(2), Some(front(40, Timestamp::NEVER)), false);
        assert_eq!([99, 100].map(|now| fronts.over(Timestamp(now))), [None, Some(id(1))]);
    }

    #[test]
    fn a_stale_front_is_found_before_it_is_over() {
        let mut fronts = Fronts::default();
        let kept = Front { sequence: 10, stale_at: Timestamp(50), over_at: Timestamp(80) };
        fronts.set(id(1), Some(kept), false);
        assert_eq!([49, 50].map(|now| fronts.stale(Timestamp(now))), [None, Some(id(1))]);
        assert_eq!([79, 80].map(|now| fronts.over(Timestamp(now))), [None, Some(id(1))]);
    }

    #[test]
    fn fronts_that_changed_do_not_pile_up() {
        let mut fronts = Fronts::default();
        for sequence in 0..100 {
            fronts.set(id(1), Some(front(sequence, Timestamp(sequence))), false);
        }
        assert_eq!((fronts.by_sequence.len(), fronts.by_stale_at.len(), fronts.by_over_at.len()), (1, 1, 1));
        assert_eq!(fronts.sequence_of(id(1)), Some(99));
    }

    #[test]
    fn a_clock_that_is_set_back_is_noticed_once() {
        let mut fronts = Fronts::default();
        assert!(!fronts.is_set_back(Timestamp(1_000_000)));
        assert!(fronts.is_set_back(Timestamp(1_000)) && !fronts.is_set_back(Timestamp(1_001)));
    }
}
