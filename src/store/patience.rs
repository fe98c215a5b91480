//! How long the engine is waited for before it counts as silent.

use std::time::Duration;

/// A wait in slices, so that the time for which the whole process was stopped counts as one of them: `kill -STOP`, a debugger
/// or a frozen container must not cost a sound index. With a single deadline it did, in 2 of 3 tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(super) slices: u32,
}

impl Patience {
    pub(super) const SLICE: Duration = Duration::from_millis(100);

    /// At least one slice.
    pub(super) fn of(wait: Duration) -> Self {
        let slices = wait.as_millis().div_ceil(Self::SLICE.as_millis()).max(1);
        Self { slices: u32::try_from(slices).unwrap_or(u32::MAX) }
    }

    pub(super) fn at_least(self, other: Self) -> Self {
        Self { slices: self.slices.max(other.slices) }
    }

    pub(super) fn total(self) -> Duration {
        Self::SLICE * self.slices
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::of(Duration::from_secs(5))
    }
}
