//! The wait graph: which caller waits for which key.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    task::Waker,
};

use super::{
    key::FlightKey,
    verdict::{Outcome, Verdict},
};

/// A thread, or another context that waits for at most one key at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Caller(pub(super) u64);

impl Caller {
    /// By which another process knows it.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// Wakers to call once the table is unlocked.
#[derive(Default)]
#[must_use = "waiters sleep until they are woken"]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    pub(crate) fn wake(self) {
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

/// The state that a waiter polls.
pub(super) enum WaitState {
    Ready(Verdict),
    /// The key has a new leader, so the timeout starts again.
    LeaderChanged,
    Pending,
}

enum Wait {
    /// In the queue of the key's leader. `leader_changed` is set between a change of the leader and the next poll.
    Queued { key: FlightKey, waker: Waker, leader_changed: bool },
    /// Out of the queue, and not polled since.
    Ready(Verdict),
}

/// The edges of the graph, by waiter. A waiter with a verdict is no edge, even before it wakes.
pub(super) struct Waits(BTreeMap<Caller, Wait>);

impl Waits {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn enqueue(&mut self, caller: Caller, key: FlightKey, waker: Waker) {
        self.0.insert(caller, Wait::Queued { key, waker, leader_changed: false });
    }

    /// The key that the caller waited for.
    pub(super) fn dequeue(&mut self, caller: Caller) -> Option<FlightKey> {
        match self.0.remove(&caller)? {
            Wait::Queued { key, .. } => Some(key),
            Wait::Ready(_) => None,
        }
    }

    /// How many callers wait, or have a verdict that they did not take.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn key_of(&self, caller: Caller) -> Option<&FlightKey> {
        match self.0.get(&caller)? {
            Wait::Queued { key, .. } => Some(key),
            Wait::Ready(_) => None,
        }
    }

    pub(super) fn poll(&mut self, caller: Caller) -> WaitState {
        if let Some(Wait::Queued { leader_changed, .. }) = self.0.get_mut(&caller) {
            return if mem::take(leader_changed) { WaitState::LeaderChanged } else { WaitState::Pending };
        }
        WaitState::Ready(match self.0.remove(&caller) {
            Some(Wait::Ready(verdict)) => verdict.unless_revoked(),
            // The caller was never queued. A second lookup is always correct.
            _ => Verdict::Recheck(Outcome::Revoked),
        })
    }

    pub(super) fn make_ready(&mut self, waiter: Caller, verdict: Verdict) -> Wakers {
        Wakers(self.set_ready(waiter, verdict).into_iter().collect())
    }

    pub(super) fn make_all_ready(
        &mut self,
        waiters: VecDeque<Caller>,
        mut verdict: impl FnMut() -> Verdict,
    ) -> Wakers {
        Wakers(waiters.into_iter().filter_map(|waiter| self.set_ready(waiter, verdict())).collect())
    }

    fn set_ready(&mut self, waiter: Caller, verdict: Verdict) -> Option<Waker> {
        match self.0.insert(waiter, Wait::Ready(verdict))? {
            Wait::Queued { waker, .. } => Some(waker),
            Wait::Ready(_) => None,
        }
    }

    /// Tells queued waiters about a new leader, so that their timeouts start again.
    pub(super) fn announce_leader(&mut self, waiters: &VecDeque<Caller>) -> Wakers {
        let mut wakers = Wakers::default();
        for waiter in waiters {
            if let Some(Wait::Queued { waker, leader_changed, .. }) = self.0.get_mut(waiter) {
                *leader_changed = true;
                wakers.0.push(waker.clone());
            }
        }
        wakers
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
