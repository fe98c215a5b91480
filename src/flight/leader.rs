//! The one that computes a key, and those that ask for it.

use std::{mem, sync::Arc, time::Duration};

use super::{graph::Line, pulse::Pulse, verdict::ClaimState};
use crate::context::{Caller, Context};

/// One that asks for a key.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) caller: Caller,
    /// The computations that the call belongs to: they are held up while it waits.
    pub(crate) context: Context,
    /// That of a task.
    pub(crate) pulse: Option<Arc<Pulse>>,
}

impl Asker {
    /// One that is no part of a computation.
    pub(crate) fn of(caller: Caller) -> Self {
        Self { caller, context: Context::default(), pulse: None }
    }

    /// The code of this thread.
    pub(crate) fn thread() -> Self {
        Self { caller: Caller::of_thread(), context: Context::current(), pulse: None }
    }

    /// The code of a task, which has a pulse.
    pub(crate) fn task(pulse: Arc<Pulse>) -> Self {
        Self { caller: Caller::fresh(), context: Context::current(), pulse: Some(pulse) }
    }

    /// Itself, and the computations that are held up while it waits.
    pub(super) fn callers(&self) -> impl Iterator<Item = Caller> {
        [self.caller].into_iter().chain(self.context.callers())
    }
}

pub(super) struct Leader {
    pub(super) claim: ClaimState,
    /// The one that computes. A claim that lies in a variable is its own caller.
    pub(super) caller: Caller,
    /// The computations around that of a task.
    pub(super) context: Context,
    /// Of the task that computes, or of those that compute for a claim in a variable.
    pub(super) pulses: Vec<Arc<Pulse>>,
    /// The thread that took a claim into a variable: its own calls do not wait for it. `None` for a call with a closure.
    pub(super) taker: Option<Caller>,
    /// How many threads and tasks compute for a claim in a variable at this moment.
    pub(super) runs: u32,
    /// Whether the claim lies in a variable now: nothing tells whether its holder goes on.
    pub(super) is_at_rest: bool,
    /// Whether the computation waits for a thread. A caller with no stale value to have takes it over.
    pub(super) is_queued: bool,
    /// Whether a stale value is there that callers may have meanwhile.
    pub(super) is_refreshing: bool,
    /// Number of leaders in a row that failed before this one. Less than the table allows.
    pub(super) failures: u32,
    /// Each waits for this key in [`Waits`].
    pub(super) waiters: Line,
}

impl Leader {
    pub(super) fn new(caller: Caller, context: Context, pulse: Option<Arc<Pulse>>) -> Self {
        Self {
            claim: ClaimState::new(),
            caller,
            context,
            pulses: pulse.into_iter().collect(),
            taker: None,
            runs: 0,
            is_at_rest: false,
            is_queued: false,
            is_refreshing: false,
            failures: 0,
            waiters: Line::new(),
        }
    }

    /// The threads without which the claim does not get on, beside the caller itself: one that took it, and those that poll.
    pub(super) fn threads(&self) -> impl Iterator<Item = Caller> {
        self.taker.into_iter().chain(self.pulses.iter().map(|pulse| pulse.polled_by()))
    }

    /// Whether it needs a thread that is held up, because a computation of that thread waits. A task of an executor that this
    /// computation runs goes on all the same.
    pub(super) fn needs(&self, thread: Caller) -> bool {
        self.threads().any(|needed| needed == thread) && self.context.callers().all(|around| around != thread)
    }

    /// Whether no task goes on that computes, and no thread computes.
    pub(super) fn is_stalled(&self) -> bool {
        let is_of_tasks = !self.pulses.is_empty() && self.runs as usize <= self.pulses.len();
        is_of_tasks && self.pulses.iter().all(|pulse| pulse.is_stalled())
    }

    /// Returns the claim of the former leader.
    pub(super) fn hand_to(
        &mut self,
        successor: Caller,
        context: Context,
        pulse: Option<Arc<Pulse>>,
    ) -> ClaimState {
        let waiters = mem::take(&mut self.waiters);
        let next = Self { failures: self.failures, waiters, ..Self::new(successor, context, pulse) };
        mem::replace(self, next).claim
    }
}

/// For how long a waiter may wait.
pub(super) struct Awaited {
    /// How often the key came into other hands since the wait began.
    pub(super) changes: u32,
    /// Whether the claim lies in a variable.
    pub(super) is_at_rest: bool,
    /// How often the waiter has to look whether the task that computes is stalled.
    pub(super) interval: Option<Duration>,
}
