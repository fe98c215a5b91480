//! Hand-overs that were not applied yet, and which thread made the last one.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The hand-overs of a memo, or of a store, that were not applied yet. The thread that handed over last finds the entries
/// that had to leave for it gone, as if it had waited: it waits when it looks, not when it hands over.
#[derive(Default)]
pub(crate) struct HandOvers {
    /// Whether there is a bound: without one nothing leaves.
    is_bounded: bool,
    unapplied: AtomicUsize,
    /// The thread that handed over last.
    last_by: AtomicUsize,
}

thread_local! {
    /// Its address tells this thread from the others that live.
    static HERE: u8 = const { 0 };
}

impl HandOvers {
    pub(super) fn new(is_bounded: bool) -> Self {
        Self { is_bounded, ..Self::default() }
    }

    pub(crate) fn begin(&self) {
        self.unapplied.fetch_add(1, Ordering::AcqRel);
        self.last_by.store(this_thread(), Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.unapplied.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether this thread handed over last, and that may push out entries.
    pub(crate) fn has_own(&self) -> bool {
        self.is_bounded
            && self.unapplied.load(Ordering::Acquire) > 0
            && self.last_by.load(Ordering::Relaxed) == this_thread()
    }
}

fn this_thread() -> usize {
    HERE.try_with(|here| std::ptr::from_ref(here).addr()).unwrap_or_default()
}
