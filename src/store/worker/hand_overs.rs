//! Hand-overs that were not applied yet, and which thread made the last one.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::flight::FlightKey;

/// The hand-overs of a memo, or of a store, that were not applied yet. The thread that handed over last finds the entries
/// that had to leave for it gone, as if it had waited: it waits when it looks for another entry, not when it hands over.
#[derive(Default)]
pub(crate) struct HandOvers {
    /// Whether there is or was a bound: without one nothing leaves.
    is_bounded: AtomicBool,
    unapplied: AtomicUsize,
    /// The thread that handed over last.
    last_by: AtomicUsize,
    /// A hash of the key of the last hand-over: its own entry did not have to leave for it.
    last: AtomicU64,
}

thread_local! {
    /// Its address tells this thread from the others that live.
    static HERE: u8 = const { 0 };
}

impl HandOvers {
    pub(crate) fn expect_bound(&self) {
        self.is_bounded.store(true, Ordering::Relaxed);
    }

    pub(crate) fn begin(&self, key: &FlightKey) {
        self.unapplied.fetch_add(1, Ordering::AcqRel);
        self.last_by.store(this_thread(), Ordering::Relaxed);
        self.last.store(hash(key), Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.unapplied.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether this thread handed over last, and that may push out the entry of this key.
    pub(crate) fn may_push_out(&self, key: &FlightKey) -> bool {
        self.may_push_out_any() && self.last.load(Ordering::Relaxed) != hash(key)
    }

    /// Whether this thread handed over last, and that may push out an entry.
    pub(crate) fn may_push_out_any(&self) -> bool {
        self.is_bounded.load(Ordering::Relaxed)
            && self.unapplied.load(Ordering::Acquire) > 0
            && self.last_by.load(Ordering::Relaxed) == this_thread()
    }
}

fn hash(key: &FlightKey) -> u64 {
    let first = key.digest.first_chunk().copied().unwrap_or_default();
    key.owner.rotate_left(32) ^ u64::from_le_bytes(first)
}

fn this_thread() -> usize {
    HERE.try_with(|here| std::ptr::from_ref(here).addr()).unwrap_or_default()
}
