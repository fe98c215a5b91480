//! The wait graph: which caller waits for which seat.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    task::Waker,
};

use super::{
    seat::Seat,
    verdict::{Outcome, Verdict},
};

/// Who calls: a thread, or whatever else waits for one seat at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Caller(pub(super) u64);

/// Waiters to wake after the unlock.
#[must_use]
#[derive(Default)]
pub(super) struct Wakes(Vec<Waker>);

impl Wakes {
    pub(super) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }

    pub(super) fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What a waiter finds when it looks.
pub(super) enum News {
    Called(Verdict),
    /// Another leads now: the wait counts anew.
    Successor,
    Nothing,
}

enum Wait {
    /// In the line of the seat's leader. `anew`: the leader changed since the waiter last looked.
    Waiting { seat: Seat, waker: Waker, anew: bool },
    /// Out of the line, and not aware of it yet.
    Called(Verdict),
}

/// The edges of the graph. Who was called waits no more, whether it is awake or not.
pub(super) struct Waits(BTreeMap<Caller, Wait>);

impl Waits {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn enter(&mut self, caller: Caller, seat: Seat, waker: Waker) {
        self.0.insert(caller, Wait::Waiting { seat, waker, anew: false });
    }

    /// The seat that is no longer waited for.
    pub(super) fn leave(&mut self, caller: Caller) -> Option<Seat> {
        match self.0.remove(&caller)? {
            Wait::Waiting { seat, .. } => Some(seat),
            Wait::Called(_) => None,
        }
    }

    pub(super) fn seat_of(&self, caller: Caller) -> Option<&Seat> {
        match self.0.get(&caller)? {
            Wait::Waiting { seat, .. } => Some(seat),
            Wait::Called(_) => None,
        }
    }

    pub(super) fn look(&mut self, caller: Caller) -> News {
        if let Some(Wait::Waiting { anew, .. }) = self.0.get_mut(&caller) {
            return if mem::take(anew) { News::Successor } else { News::Nothing };
        }
        News::Called(match self.0.remove(&caller) {
            Some(Wait::Called(verdict)) => verdict.unless_revoked(),
            // Never entered. To look again is always right.
            _ => Verdict::Look(Outcome::Revoked),
        })
    }

    pub(super) fn call(&mut self, waiter: Caller, verdict: Verdict) -> Wakes {
        Wakes(self.summon(waiter, verdict).into_iter().collect())
    }

    pub(super) fn call_all(
        &mut self,
        waiters: VecDeque<Caller>,
        mut verdict: impl FnMut() -> Verdict,
    ) -> Wakes {
        Wakes(waiters.into_iter().filter_map(|waiter| self.summon(waiter, verdict())).collect())
    }

    fn summon(&mut self, waiter: Caller, verdict: Verdict) -> Option<Waker> {
        match self.0.insert(waiter, Wait::Called(verdict))? {
            Wait::Waiting { waker, .. } => Some(waker),
            Wait::Called(_) => None,
        }
    }

    /// Wakes the rest of a line, so that each counts its wait for the new leader from now.
    pub(super) fn announce(&mut self, waiters: &VecDeque<Caller>) -> Wakes {
        let mut wakes = Wakes::default();
        for waiter in waiters {
            if let Some(Wait::Waiting { waker, anew, .. }) = self.0.get_mut(waiter) {
                *anew = true;
                wakes.0.push(waker.clone());
            }
        }
        wakes
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
