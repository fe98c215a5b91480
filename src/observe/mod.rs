//! What the cache does while it does it: events for an observer, and for `tracing` with the feature of that name.
//!
//! An observer is a closure that is called with each [`Event`]: of all memos of a store by
//! [`StoreBuilder::observer`](crate::StoreBuilder::observer), of one memo by
//! [`MemoBuilder::observer`](crate::MemoBuilder::observer). Those of the memo are told first, then those of its store.
//!
//! ```
//! use memolith::{Memo, Store, observe::Event};
//!
//! let store = Store::temporary()?;
//! let frames: Memo<str, Vec<f64>> = Memo::builder("frames")
//!     .observer(|event| match event {
//!         Event::Hit { tier, saved, .. } => println!("found, {tier:?}: {saved:?} saved"),
//!         Event::ComputingEnded { took, .. } => println!("computed in {took:?}"),
//!         _ => {}
//!     })
//!     .open(&store)?;
//! frames.get_or_insert_with("rides", || vec![0.5; 1000]);
//! # Ok::<(), memolith::Error>(())
//! ```
//!
//! # With `tracing`
//!
//! With the feature `tracing` the same events are `tracing` events of the target `memolith::observe`, with or without an
//! observer, each once: hits at level `TRACE`, misses, computations and what left at `DEBUG`, failures at `WARN`. Each
//! computation is a span, `compute`, with the name of the memo: what the closure logs is inside it. When it ends, the
//! span is given `took` and `succeeded`.

mod audience;
mod contained;
#[cfg(feature = "spinner")]
mod spinner;
mod trace;

use std::time::Duration;

#[cfg(feature = "spinner")]
pub use self::spinner::Spinner;
pub(crate) use self::{
    audience::{Audience, Observe, Observers},
    trace::Span,
};
use crate::error::Error;
pub use crate::stats::{Reason, Tier};

/// One thing that the cache did.
///
/// Given to observers on the thread of the call that caused it, on that of a later call, or on a thread of the store:
/// values that were handed over are written after their call returned. Never under a lock. Events that an observer causes
/// itself, by using the cache, are counted and not told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A value was found.
    Hit {
        /// The name of the memo.
        memo: &'a str,
        /// Where it was found.
        tier: Tier,
        /// What computing it took when it was computed; zero when it came by `insert`.
        saved: Duration,
    },
    /// No value was found: the closure runs, or another caller's does.
    Miss {
        /// The name of the memo.
        memo: &'a str,
        /// Why not.
        reason: Reason,
    },
    /// The closure of a memo begins. Its end is told on the same thread.
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
    /// Entries that were still fresh left because of a bound.
    Evicted {
        /// The name of the memo.
        memo: &'a str,
        /// How many.
        entries: u64,
    },
    /// Entries left whose time was over: by [`Store::sweep`](crate::Store::sweep), or because of a bound. One that is only
    /// found to be over is a [`Miss`](Self::Miss) of [`Reason::Expired`] and stays.
    Expired {
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
