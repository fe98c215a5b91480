//! Whether the computation of a thread has read a stale value: then its own result is not fresh.

use std::cell::Cell;

use crate::sync::thread_local;

thread_local! {
    /// Of the innermost computation of this thread.
    static HAS_READ_STALE: Cell<bool> = const { Cell::new(false) };
}

/// A stale value was handed out on this thread.
pub(super) fn note() {
    let _ = HAS_READ_STALE.try_with(|has_read| has_read.set(true));
}

/// From the beginning of a computation to its end.
pub(super) struct Mark {
    /// What was noted for the computation around it.
    around: bool,
}

impl Mark {
    pub(super) fn begin() -> Self {
        Self { around: HAS_READ_STALE.try_with(|has_read| has_read.replace(false)).unwrap_or_default() }
    }

    /// Whether the computation has read a stale value so far.
    #[expect(clippy::unused_self, reason = "it is asked of a computation")]
    pub(super) fn has_read_stale(&self) -> bool {
        HAS_READ_STALE.try_with(Cell::get).unwrap_or_default()
    }
}

/// What it has read, the computation around it has read too.
impl Drop for Mark {
    fn drop(&mut self) {
        let _ = HAS_READ_STALE.try_with(|has_read| has_read.set(has_read.get() || self.around));
    }
}

/// Runs a computation, and tells whether it read a stale value.
pub(super) fn during<T>(compute: impl FnOnce() -> T) -> (T, bool) {
    let mark = Mark::begin();
    let value = compute();
    (value, mark.has_read_stale())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_inner_computation_reads_the_outer_one_has_read() {
        let (((), inner), outer) = during(|| during(note));
        assert!(inner && outer);
        let (((), inner), outer) = during(|| {
            note();
            during(|| ())
        });
        assert!(!inner && outer);
        assert!(!during(|| ()).1, "nothing is left of it");
    }

    #[test]
    fn a_panic_leaves_the_mark_of_the_computation_around_it() {
        let (_, outer) = during(|| {
            note();
            std::panic::catch_unwind(|| during(|| panic!("inner")))
        });
        assert!(outer);
        assert!(!during(|| ()).1);
    }
}
