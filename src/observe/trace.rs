//! The events as `tracing` events. Only this file names `tracing`. Without the feature its functions are empty.
//!
//! A subscriber is foreign code, and may panic. Such a panic fails no call. If a span cannot be made, entered or closed,
//! there is no span.

use std::time::Duration;

use super::event::Event;

/// Whether the feature is on.
pub(super) const IS_ON: bool = cfg!(feature = "tracing");

/// The span of one computation.
#[derive(Debug)]
pub(crate) struct Span(#[cfg(feature = "tracing")] tracing::Span);

#[cfg(not(feature = "tracing"))]
#[expect(clippy::unused_self, reason = "as with the feature")]
impl Span {
    pub(crate) fn of_computing(_memo: &str) -> Self {
        Self()
    }

    pub(crate) fn within<T>(&self, compute: impl FnOnce() -> T) -> T {
        compute()
    }

    pub(crate) fn ended(&self, _took: Duration, _succeeded: bool) {}
}

#[cfg(not(feature = "tracing"))]
pub(super) fn event(_event: &Event<'_>) {}

#[cfg(not(feature = "tracing"))]
pub(crate) fn hears_failures() -> bool {
    false
}

#[cfg(not(feature = "tracing"))]
pub(super) fn may_hear_hits() -> bool {
    false
}

#[cfg(feature = "tracing")]
mod on {
    use std::mem;

    use tracing::{debug, debug_span, field, info, trace, warn};

    use super::{Duration, Event, Span};
    use crate::observe::contained::contained;

    /// The target of all events and spans.
    const TARGET: &str = "memolith::observe";

    impl Span {
        pub(crate) fn of_computing(memo: &str) -> Self {
            let mut span = tracing::Span::none();
            contained(|| {
                span = debug_span!(
                    target: TARGET,
                    "compute",
                    memo,
                    took = field::Empty,
                    succeeded = field::Empty
                );
            });
            Self(span)
        }

        /// Runs `compute` inside the span.
        pub(crate) fn within<T>(&self, compute: impl FnOnce() -> T) -> T {
            let mut entered = Entered(None);
            contained(|| entered.0 = Some(self.0.enter()));
            compute()
        }

        pub(crate) fn ended(&self, took: Duration, succeeded: bool) {
            contained(|| {
                self.0.record("took", field::debug(took)).record("succeeded", succeeded);
            });
        }
    }

    impl Drop for Span {
        fn drop(&mut self) {
            let span = mem::replace(&mut self.0, tracing::Span::none());
            contained(|| drop(span));
        }
    }

    struct Entered<'a>(Option<tracing::span::Entered<'a>>);

    impl Drop for Entered<'_> {
        fn drop(&mut self) {
            let entered = self.0.take();
            contained(|| drop(entered));
        }
    }

    /// Whether a subscriber receives the event of a failure.
    pub(crate) fn hears_failures() -> bool {
        let mut is_heard = false;
        contained(|| is_heard = tracing::enabled!(target: TARGET, tracing::Level::WARN));
        is_heard
    }

    /// Whether some subscriber receives events of the level of hits, as far as that is known without asking one.
    #[inline]
    pub(in super::super) fn may_hear_hits() -> bool {
        tracing::level_filters::LevelFilter::current() >= tracing::Level::TRACE
    }

    pub(in super::super) fn event(event: &Event<'_>) {
        match event {
            Event::Hit { memo, tier, saved, is_stale: true, age } => {
                trace!(target: TARGET, memo, ?tier, ?saved, ?age, "stale hit");
            }
            Event::Hit { memo, tier, saved, .. } => trace!(target: TARGET, memo, ?tier, ?saved, "hit"),
            Event::Miss { memo, reason } => debug!(target: TARGET, memo, ?reason, "miss"),
            Event::ComputeStarted { memo, .. } => debug!(target: TARGET, memo, "compute started"),
            Event::ComputeFinished { memo, took, succeeded, .. } => {
                debug!(target: TARGET, memo, ?took, succeeded, "compute finished");
            }
            Event::Refreshed { memo, took } => debug!(target: TARGET, memo, ?took, "refreshed"),
            Event::RefreshFailed { memo, retry_after } => {
                warn!(target: TARGET, memo, ?retry_after, "a refresh failed, the stale value stays");
            }
            Event::RefreshSkipped { memo } => debug!(target: TARGET, memo, "a refresh was skipped"),
            Event::Evicted { memo, entries } => debug!(target: TARGET, memo, entries, "evicted"),
            Event::Expired { memo, entries } => debug!(target: TARGET, memo, entries, "expired"),
            Event::TooLargeForMemory { memo, bytes } => {
                info!(target: TARGET, memo, bytes, "a value is larger than the memory tier");
            }
            Event::Warned { warning } => warn!(target: TARGET, %warning, "a store was opened"),
            Event::Failed { memo, error } => {
                warn!(target: TARGET, memo, %error, "the cache failed, the call did not");
            }
        }
    }
}

#[cfg(feature = "tracing")]
pub(super) use self::on::event;
#[cfg(feature = "tracing")]
pub(crate) use self::on::hears_failures;
#[cfg(feature = "tracing")]
pub(super) use self::on::may_hear_hits;
