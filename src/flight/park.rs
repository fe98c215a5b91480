//! A thread waits for its verdict parked, until the table's waker unparks it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use super::{
    graph::{Caller, WaitState},
    table::Table,
    verdict::Verdict,
};
use crate::{
    clock::Deadline,
    sync::{Mutex, lock, thread, thread_local},
};

thread_local! {
    static CALLER: Caller = fresh();
}

/// The identity of this thread. While its thread-locals are destroyed, each call gets a new identity, so a re-entrant
/// call is not recognized as such.
pub(crate) fn caller() -> Caller {
    CALLER.try_with(|caller| *caller).unwrap_or_else(|_| fresh())
}

/// An identity for a caller that is no thread of this process.
pub(crate) fn fresh() -> Caller {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Caller(NEXT.fetch_add(1, Ordering::Relaxed))
}

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

/// Parks the queued caller until the table has a verdict, or until it has waited for one leader for `max_wait`.
///
/// For a claim that lies in a variable it waits for [`LONGEST_REST`] at most. The verdict is written before the waker is called, and read under the same lock. So no wake is lost, and a spurious
/// wake only polls once more.
pub(super) fn wait_for_verdict(table: &Mutex<Table>, caller: Caller, max_wait: Duration) -> Verdict {
    let longest = || if lock(table).waits_for_rest(caller) { max_wait.min(LONGEST_REST) } else { max_wait };
    let mut deadline = Deadline::after(longest());
    loop {
        let left = deadline.remaining();
        let (state, wakers) = lock(table).poll(caller, left.is_none());
        wakers.wake();
        match state {
            WaitState::Ready(verdict) => return verdict,
            WaitState::LeaderChanged => deadline = Deadline::after(longest()),
            WaitState::Pending => thread::park_timeout(left.unwrap_or_default()),
        }
    }
}
