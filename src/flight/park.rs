//! How a thread waits for its verdict: parked, until the table's waker unparks it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use super::{
    graph::{Caller, News},
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

/// The identity of this thread. During the teardown of its locals each call is a stranger: it computes like anybody
/// else, only its re-entry is not seen.
pub(crate) fn caller() -> Caller {
    CALLER.try_with(|caller| *caller).unwrap_or_else(|_| fresh())
}

fn fresh() -> Caller {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Caller(NEXT.fetch_add(1, Ordering::Relaxed))
}

struct Unparker(thread::Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Wakes this thread. A wake that comes late is an unpark out of nowhere to whatever the thread parks for next, which
/// every user of `park` has to expect.
pub(super) fn unparker() -> Waker {
    Arc::new(Unparker(thread::current())).into()
}

/// Parks the enlisted caller until the table has a verdict, or until it has waited for one leader for `max_wait`.
///
/// The verdict is looked for under the lock it is written under, and written before the waker is called: a wake is
/// never lost, and one for another reason only looks once more.
pub(super) fn until_called(table: &Mutex<Table>, caller: Caller, max_wait: Duration) -> Verdict {
    let mut deadline = Deadline::after(max_wait);
    loop {
        let left = deadline.remaining();
        let (news, wakes) = lock(table).look(caller, left.is_none());
        wakes.wake();
        match news {
            News::Called(verdict) => return verdict,
            News::Successor => deadline = Deadline::after(max_wait),
            News::Nothing => thread::park_timeout(left.unwrap_or_default()),
        }
    }
}
