//! The wait graph: which caller waits for which key.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    task::Waker,
};

use super::{
    key::FlightKey,
    pulse::Pulse,
    verdict::{Outcome, Verdict},
};
use crate::{
    context::{Caller, Context},
    sync::contained,
};

/// Wakers to call once the table is unlocked.
#[derive(Default)]
#[must_use = "waiters sleep until they are woken"]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    /// Wakers are foreign code: a panic of one keeps no other waiter asleep.
    pub(crate) fn wake(self) {
        self.0.into_iter().for_each(|waker| contained(|| waker.wake()));
    }

    pub(super) fn of(waker: Option<Waker>) -> Self {
        Self(waker.into_iter().collect())
    }

    pub(crate) fn and(mut self, more: Self) -> Self {
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
    Pending,
}

/// The place of a waiter in the queue of a key.
pub(super) type Ticket = u64;

/// The waiters of one key in the order of arrival.
pub(super) type Line = BTreeMap<Ticket, Caller>;

/// A caller in the queue of a key's leader.
struct Queued {
    key: FlightKey,
    ticket: Ticket,
    /// `None` from a wake to the next poll.
    waker: Option<Waker>,
    /// How often the key has come into other hands since the wait began: the timeout starts again with each time.
    changes: u32,
    /// The computations that are held up, beside the caller itself.
    context: Context,
    /// That of a task.
    pulse: Option<Arc<Pulse>>,
}

enum Wait {
    Queued(Queued),
    /// Out of the queue, and not polled since.
    Ready(Verdict),
}

/// The edges of the graph, by waiter. A waiter with a verdict is no edge, even before it wakes.
pub(super) struct Waits {
    by_caller: BTreeMap<Caller, Wait>,
    /// Each computation beside the waits within it.
    within: BTreeSet<(Caller, Caller)>,
    /// That of the next waiter.
    next: Ticket,
}

impl Waits {
    pub(super) const fn new() -> Self {
        Self { by_caller: BTreeMap::new(), within: BTreeSet::new(), next: 0 }
    }

    pub(super) fn enqueue(
        &mut self,
        caller: Caller,
        context: Context,
        key: FlightKey,
        waker: Option<Waker>,
        pulse: Option<Arc<Pulse>>,
    ) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        self.within.extend(context.callers().map(|computation| (computation, caller)));
        self.by_caller
            .insert(caller, Wait::Queued(Queued { key, ticket, waker, changes: 0, context, pulse }));
        ticket
    }

    /// Takes a waiter without a verdict out. The key that it waited for, its place in the queue and its waker.
    pub(super) fn dequeue(&mut self, caller: Caller) -> Option<(FlightKey, Ticket, Option<Waker>)> {
        self.queued(caller)?;
        let Wait::Queued(queued) = self.by_caller.remove(&caller)? else { return None };
        self.forget(caller, &queued.context);
        Some((queued.key, queued.ticket, queued.waker))
    }

    fn forget(&mut self, caller: Caller, context: &Context) {
        for computation in context.callers() {
            self.within.remove(&(computation, caller));
        }
    }

    fn queued(&self, caller: Caller) -> Option<&Queued> {
        match self.by_caller.get(&caller)? {
            Wait::Queued(queued) => Some(queued),
            Wait::Ready(_) => None,
        }
    }

    pub(super) fn key_of(&self, caller: Caller) -> Option<&FlightKey> {
        self.queued(caller).map(|queued| &queued.key)
    }

    pub(super) fn ticket_of(&self, caller: Caller) -> Option<Ticket> {
        self.queued(caller).map(|queued| queued.ticket)
    }

    /// The computations around a queued caller, and its pulse if it is a task.
    pub(super) fn task_of(&self, caller: Caller) -> (Context, Option<Arc<Pulse>>) {
        self.queued(caller).map(|queued| (queued.context.clone(), queued.pulse.clone())).unwrap_or_default()
    }

    /// The keys that calls within a computation wait for.
    pub(super) fn keys_within(&self, computation: Caller) -> impl Iterator<Item = &FlightKey> {
        let waits = self.within.range((computation, Caller(0))..=(computation, Caller(u64::MAX)));
        waits.filter_map(|(_, wait)| self.key_of(*wait))
    }

    /// Replaces the waker of a caller that waits on by the offered one, and offers the replaced one: it is dropped where no lock is
    /// held.
    pub(super) fn poll(&mut self, caller: Caller, waker: &mut Option<Waker>) -> WaitState {
        if let Some(Wait::Queued(queued)) = self.by_caller.get_mut(&caller) {
            mem::swap(&mut queued.waker, waker);
            return WaitState::Pending;
        }
        WaitState::Ready(match self.by_caller.remove(&caller) {
            Some(Wait::Ready(verdict)) => verdict.unless_revoked(),
            // The caller was never queued. A second lookup is always correct.
            _ => Verdict::Recheck(Outcome::Revoked),
        })
    }

    /// How often the key of a queued caller has come into other hands since its wait began.
    pub(super) fn changes(&self, caller: Caller) -> u32 {
        self.queued(caller).map_or(0, |queued| queued.changes)
    }

    pub(super) fn make_ready(&mut self, waiter: Caller, verdict: Verdict) -> Wakers {
        Wakers(self.set_ready(waiter, verdict).into_iter().collect())
    }

    pub(super) fn make_all_ready(&mut self, waiters: Line, mut verdict: impl FnMut() -> Verdict) -> Wakers {
        Wakers(waiters.into_values().filter_map(|waiter| self.set_ready(waiter, verdict())).collect())
    }

    fn set_ready(&mut self, waiter: Caller, verdict: Verdict) -> Option<Waker> {
        match self.by_caller.insert(waiter, Wait::Ready(verdict))? {
            Wait::Queued(queued) => {
                self.forget(waiter, &queued.context);
                queued.waker
            }
            Wait::Ready(_) => None,
        }
    }

    /// Tells queued waiters that their key is in other hands, so that their timeouts start again.
    pub(super) fn announce_leader(&mut self, waiters: &Line) -> Wakers {
        let mut wakers = Wakers::default();
        for waiter in waiters.values() {
            if let Some(Wait::Queued(queued)) = self.by_caller.get_mut(waiter) {
                queued.changes += 1;
                wakers.0.extend(queued.waker.take());
            }
        }
        wakers
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_caller.is_empty() && self.within.is_empty()
    }
}
