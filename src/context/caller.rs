//! Those that lead keys, or wait for them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::sync::thread_local;

thread_local! {
    static CALLER: Caller = Caller::fresh();
}

/// A thread, a task that computes, or a wait of a task: something that leads keys, or waits for one key at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Caller(pub(crate) u64);

impl Caller {
    /// By which another process knows it.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// An identity that no other caller of the process has.
    pub(crate) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }

    /// The largest number of a guest. They repeat after it.
    const MOST_GUESTS: u32 = (1 << 23) - 1;

    /// A caller of another process, by its number there.
    pub(crate) fn of_guest(guest: u32, number: u64) -> Self {
        // No process makes so many callers of its own.
        Self(1 << 63 | u64::from(guest & Self::MOST_GUESTS) << 40 | number & ((1 << 40) - 1))
    }

    /// The identity of this thread. While its thread-locals are destroyed, each call gets a new identity, so a re-entrant
    /// call is not recognized as such.
    pub(crate) fn of_thread() -> Self {
        CALLER.try_with(|caller| *caller).unwrap_or_else(|_| Self::fresh())
    }
}
