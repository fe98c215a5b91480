//! A thread waits for its verdict parked, until the table's waker unparks it.

use std::{
    sync::Arc,
    task::{Wake, Waker},
    time::Duration,
};

use super::{
    graph::WaitState,
    key::FlightKey,
    leader::{Asker, Awaited},
    table::Table,
    verdict::Verdict,
};
use crate::{
    clock::Deadline,
    context::{Caller, Context},
    sync::{Mutex, lock, thread},
};

/// The holder of a claim may have forgotten it: nothing tells that it goes on.
const LONGEST_REST: Duration = Duration::from_secs(30);

struct Unparker(thread::Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker of this thread. A late wake is a spurious unpark for the next user of `park` on this thread, and every user of
/// `park` has to expect those.
pub(super) fn unparker() -> Waker {
    Arc::new(Unparker(thread::current())).into()
}

/// How long one caller waits for one leader.
pub(super) struct Patience {
    max_wait: Duration,
    deadline: Deadline,
    /// As in [`Awaited`], at the last look.
    changes: Option<u32>,
}

impl Patience {
    pub(super) fn new(max_wait: Duration) -> Self {
        Self { max_wait, deadline: Deadline::after(max_wait), changes: None }
    }

    /// The time until the next look; `None` when the caller has waited for too long. The time starts again with each leader, and
    /// for a claim that lies in a variable it is [`LONGEST_REST`] at most.
    pub(super) fn left(&mut self, awaited: &Awaited) -> Option<Duration> {
        if self.changes != Some(awaited.changes) {
            self.changes = Some(awaited.changes);
            let longest = if awaited.is_at_rest { LONGEST_REST } else { Duration::MAX };
            self.deadline = Deadline::after(self.max_wait.min(longest));
        }
        let left = self.deadline.remaining()?;
        Some(left.min(awaited.interval.unwrap_or(Duration::MAX)))
    }
}

/// Claims the key, and parks a caller that is queued until the table has a verdict. The verdict is written before the waker is
/// called, and read under the same lock. So no wake is lost, and a spurious wake only polls once more.
pub(super) fn claim(
    table: &Mutex<Table>,
    key: FlightKey,
    caller: Caller,
    accepts_stale: bool,
    max_wait: Duration,
) -> Verdict {
    if let Some(claim) = lock(table).claim_free(key, caller, &Context::default(), None) {
        return Verdict::Lead(claim);
    }
    let asker = Asker::thread();
    if let Some(verdict) = lock(table).claim(key, &asker, accepts_stale, &mut None) {
        return verdict;
    }
    let (unparker, mut patience) = (unparker(), Patience::new(max_wait));
    loop {
        let (mut waker, mut left) = (Some(unparker.clone()), None);
        let (state, wakers) = lock(table).poll(caller, &mut waker, |awaited| {
            left = patience.left(awaited);
            left.is_none()
        });
        wakers.wake();
        match state {
            WaitState::Ready(verdict) => return verdict,
            WaitState::Pending => thread::park_timeout(left.unwrap_or_default()),
        }
    }
}
