//! The one-sided model, for a store that fails. It does not know which values are remembered, only which may be. The
//! store may return only one of those, and none is left after an acknowledged removal.

use std::{collections::HashMap, time::Duration};

use super::{
    operations::{Answer, Operation, Setup, Slot, Value},
    reference::Entry,
};
use crate::vocabulary::*;

/// By memo, version and key.
type Id = (usize, u64, u8);

pub struct Suspicion {
    setup: Setup,
    now: Duration,
    /// Every value that was offered for a key, and not removed for sure.
    possible: HashMap<Id, Vec<Entry>>,
}

impl Suspicion {
    pub fn new(setup: Setup) -> Self {
        Self { setup, now: 100 * DAY, possible: HashMap::new() }
    }

    /// Checks the answer of the store against the possible ones.
    #[track_caller]
    pub fn judge(&mut self, operation: &Operation, serial: u64, answer: Answer) {
        match (operation, answer) {
            (Operation::Compute(slot, large), Answer::Value { value, computed: true }) => {
                assert_eq!(value, Value { serial, large: *large }, "the closure's own answer did not arrive");
                self.offer(*slot, value);
            }
            (
                Operation::Compute(slot, _) | Operation::Fail(slot) | Operation::Panic(slot),
                Answer::Value { value, computed: false },
            )
            | (Operation::Get(slot), Answer::Found(Some(value))) => self.check(*slot, value),
            (Operation::Insert(slot, large), Answer::Done) => {
                self.possible.remove(&self.id(*slot));
                self.offer(*slot, Value { serial, large: *large });
            }
            (Operation::Insert(slot, large), Answer::Refused) => {
                self.offer(*slot, Value { serial, large: *large });
            }
            (Operation::Remove(slot), Answer::Was(was)) => {
                assert!(!was || self.may_contain(*slot), "it found an entry that cannot have been there");
                self.possible.remove(&self.id(*slot));
            }
            (Operation::Clear(memo), Answer::Done) => {
                let cleared = (*memo, self.setup.memos[*memo].version);
                self.possible.retain(|(memo, version, _), _| (*memo, *version) != cleared);
            }
            (Operation::ClearStore, Answer::Done) => self.possible.clear(),
            (Operation::Advance(by), _) => self.now += *by,
            (Operation::SetBack(by), _) => self.now -= *by,
            (Operation::Reopen(setup), _) => self.setup = setup.unwrap_or(self.setup),
            (Operation::Fail(_) | Operation::Panic(_), Answer::Thrown)
            | (Operation::Get(_), Answer::Found(None) | Answer::Refused)
            | (Operation::Sweep, Answer::Swept { .. } | Answer::Refused)
            | (Operation::Remove(_) | Operation::Clear(_) | Operation::ClearStore, Answer::Refused)
            | (Operation::Plant(..) | Operation::Heal, Answer::Done) => {}
            (operation, answer) => panic!("{operation:?} was answered by {answer:?}"),
        }
    }

    pub fn may_contain(&self, slot: Slot) -> bool {
        self.possible(slot).next().is_some()
    }

    #[track_caller]
    pub fn check(&self, slot: Slot, value: Value) {
        assert!(
            self.possible(slot).any(|entry| entry.value == value),
            "{value:?} is wrong, stale or resurrected: {:?}",
            self.possible.get(&self.id(slot))
        );
    }

    fn possible(&self, slot: Slot) -> impl Iterator<Item = &Entry> {
        let (now, ttl) = (self.now, self.setup.memos[slot.memo].ttl);
        let offered = self.possible.get(&self.id(slot)).into_iter().flatten();
        offered.filter(move |entry| !entry.is_over(now, ttl))
    }

    fn offer(&mut self, slot: Slot, value: Value) {
        let entry = Entry { value, created: self.now };
        self.possible.entry(self.id(slot)).or_default().push(entry);
    }

    fn id(&self, slot: Slot) -> Id {
        (slot.memo, self.setup.memos[slot.memo].version, slot.key)
    }
}
