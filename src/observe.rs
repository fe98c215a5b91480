//! What the cache does while it does it: events for an observer, and for `tracing` with the feature of that name.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use crate::error::{Error, Result};
pub use crate::stats::{Reason, Tier};

/// One thing that the cache did.
///
/// Given to the observer of [`StoreBuilder::observer`](crate::StoreBuilder::observer), on the thread of the call that
/// caused it or on that of the store's maintenance, never under a lock.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A value was found.
    Hit {
        /// The name of the memo.
        memo: &'a str,
        /// Where it was found.
        tier: Tier,
    },
    /// No value was found: the closure runs, or another caller's does.
    Miss {
        /// The name of the memo.
        memo: &'a str,
        /// Why not.
        reason: Reason,
    },
    /// The closure of a memo begins.
    ComputingBegan {
        /// The name of the memo.
        memo: &'a str,
    },
    /// The closure of a memo returned, failed or panicked.
    ComputingEnded {
        /// The name of the memo.
        memo: &'a str,
        /// How long it ran.
        took: Duration,
        /// Whether it returned a value.
        succeeded: bool,
    },
    /// Entries left because of a bound.
    Evicted {
        /// The name of the memo.
        memo: &'a str,
        /// How many.
        entries: u64,
    },
    /// A value is larger than the memory tier, so each hit reads it from disk. Told once a memo.
    TooLargeForMemory {
        /// The name of the memo.
        memo: &'a str,
        /// Its encoded size in bytes.
        bytes: u64,
    },
    /// Trouble that was kept away from the caller.
    Failed {
        /// The name of the memo; `None` when it concerns the whole store.
        memo: Option<&'a str>,
        /// What happened.
        error: &'a Error,
    },
}

type Observe = dyn Fn(&Event<'_>) + Send + Sync;

/// What a user gave to be told.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<Observe>>);

impl Observer {
    pub(crate) fn new(observe: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(observe)))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// An observer that panics is contained: the call goes on, and the caller is given what to count.
    pub(crate) fn tell(&self, event: &Event<'_>) -> Result<()> {
        let told = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(feature = "tracing")]
            trace(event);
            if let Some(observe) = &self.0 {
                observe(event);
            }
        }));
        told.map_err(|panic| Error::panicked("the observer", panic.as_ref()))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "Observer(set)" } else { "Observer(none)" })
    }
}

#[cfg(feature = "tracing")]
fn trace(event: &Event<'_>) {
    match event {
        Event::Hit { memo, tier } => tracing::trace!(memo, ?tier, "hit"),
        Event::Miss { memo, reason } => tracing::debug!(memo, ?reason, "miss"),
        Event::ComputingBegan { memo } => tracing::debug!(memo, "computing began"),
        Event::ComputingEnded { memo, took, succeeded } => {
            tracing::debug!(memo, ?took, succeeded, "computing ended");
        }
        Event::Evicted { memo, entries } => tracing::debug!(memo, entries, "evicted"),
        Event::TooLargeForMemory { memo, bytes } => {
            tracing::info!(memo, bytes, "a value is larger than the memory tier");
        }
        Event::Failed { memo, error } => tracing::warn!(memo, %error, "the cache failed, the call did not"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::panic, reason = "the observer of this test is a bad one")]
    fn an_observer_that_panics_is_contained() {
        let observer = Observer::new(|_| panic!("in the observer"));
        let error = observer.tell(&Event::ComputingBegan { memo: "frames" }).unwrap_err();
        assert_eq!(error.to_string(), "the observer panicked: in the observer");
    }
}
