//! Events of the cache, for observers, and for `tracing` with the feature of that name.
//!
//! An observer is a closure that is called with each [`Event`]. [`StoreBuilder::observer`](crate::StoreBuilder::observer)
//! takes one for all memos of a store, [`MemoBuilder::observer`](crate::MemoBuilder::observer) one for a single memo. The
//! observers of the memo are called first, then those of its store.
//!
//! ```
//! use memolith::{Memo, Store, observe::Event};
//!
//! let store = Store::temporary()?;
//! let frames: Memo<str, Vec<f64>> = Memo::builder("frames")
//!     .observer(|event| match event {
//!         Event::Hit { tier, saved, .. } => println!("found, {tier:?}: {saved:?} saved"),
//!         Event::ComputeFinished { took, .. } => println!("computed in {took:?}"),
//!         _ => {}
//!     })
//!     .open(&store)?;
//! frames.get_or_insert_with("rides", || vec![0.5; 1000]);
//! # Ok::<(), memolith::Error>(())
//! ```
//!
//! # With `tracing`
//!
//! With the feature `tracing` each event is also one `tracing` event of the target `memolith::observe`, with or without an
//! observer. Hits have the level `TRACE`; misses, computations, evictions and expirations `DEBUG`; values that are too
//! large for memory `INFO`; failures `WARN`. Each computation has a span `compute` with the name of the memo, and events
//! of the closure are inside it. At its end the span records `took` and `succeeded`. Keys may hold secrets, so they are
//! not in the events of `tracing`: an observer that wants them there adds them.

mod contained;
mod registry;
#[cfg(feature = "spinner")]
mod spinner;
mod trace;

use std::time::Duration;

#[cfg(feature = "spinner")]
pub use self::spinner::{spinner, suspend_spinner};
pub(crate) use self::{
    registry::{Observe, ObserverRegistry, Observers},
    trace::Span,
};
use crate::error::Error;
pub use crate::{
    key::KeyText,
    stats::{Reason, Tier},
};

/// An event of the cache. Later versions may add events, and fields to each of them: patterns need a `..`.
///
/// Observers run on the thread of the call that caused the event, on that of a later call, or on a thread of the store,
/// because values are written after their call returned. They never run under a lock. Events that an observer itself
/// causes, by a use of the cache, are counted, but no observer is notified of them.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A value was found.
    #[non_exhaustive]
    Hit {
        /// The name of the memo.
        memo: &'a str,
        /// Where it was found.
        tier: Tier,
        /// How long its computation took. Zero for a value that came by `insert`.
        saved: Duration,
    },
    /// No value was found: the closure of this or of another caller runs.
    #[non_exhaustive]
    Miss {
        /// The name of the memo.
        memo: &'a str,
        /// Why no value was found.
        reason: Reason,
    },
    /// The closure of a memo starts. Its end is an event on the same thread.
    #[non_exhaustive]
    ComputeStarted {
        /// The name of the memo.
        memo: &'a str,
        /// The key as text. `None` if it cannot be serialized.
        key: Option<KeyText<'a>>,
    },
    /// The closure of a memo returned, failed or panicked.
    #[non_exhaustive]
    ComputeFinished {
        /// The name of the memo.
        memo: &'a str,
        /// The key as text. `None` if it cannot be serialized.
        key: Option<KeyText<'a>>,
        /// How long it ran.
        took: Duration,
        /// Whether it returned a value.
        succeeded: bool,
    },
    /// Fresh entries were removed because of a bound.
    #[non_exhaustive]
    Evicted {
        /// The name of the memo.
        memo: &'a str,
        /// How many.
        entries: u64,
    },
    /// Expired entries were removed, by [`Store::sweep`](crate::Store::sweep) or because of a bound. A lookup that finds an
    /// expired entry is a [`Miss`](Self::Miss) with [`Reason::Expired`], and does not remove it.
    #[non_exhaustive]
    Expired {
        /// The name of the memo.
        memo: &'a str,
        /// How many.
        entries: u64,
    },
    /// A value is larger than the memory tier, so each hit reads it from disk. At most one such event for a memo.
    #[non_exhaustive]
    TooLargeForMemory {
        /// The name of the memo.
        memo: &'a str,
        /// Its encoded size in bytes.
        bytes: u64,
    },
    /// A failure of the cache. The call did not fail.
    #[non_exhaustive]
    Failed {
        /// The name of the memo. `None` if the failure concerns the whole store.
        memo: Option<&'a str>,
        /// The cause.
        error: &'a Error,
    },
}
