//! The events.

use std::time::Duration;

use super::warning::Warning;
use crate::{
    error::Error,
    key::KeyText,
    stats::{Reason, Tier},
};

/// An event of the cache. Later versions may add events, and fields to each of them: patterns need a `..`.
///
/// Observers run on the thread of the call that caused the event, on that of a later call, or on a thread of the store,
/// because values are written after their call returned. They never run under a lock. Events that an observer itself
/// causes, by a use of the cache, are counted, but no observer is notified of them.
///
/// # Events of a pool
///
/// A [`ResourcePool`](crate::ResourcePool) tells these events too, on the thread of the call that caused them. There `memo` is
/// the name of the function under [`#[resource]`](macro@crate::resource), or the type of the resource as the compiler prints
/// it. `tier` is [`Tier::Memory`]. A computation is a run of the builder, and its `key` is also `None` if the encoding of the
/// key is longer than 32 bytes.
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
        /// Whether it is older than its ttl: see [`stale_for`](crate::MemoBuilder::stale_for).
        is_stale: bool,
        /// How long ago it was stored, in milliseconds. Zero for a resource of a pool.
        age: Duration,
    },
    /// No value was found: the closure of this or of another caller runs.
    #[non_exhaustive]
    Miss {
        /// The name of the memo.
        memo: &'a str,
        /// Why no value was found.
        reason: Reason,
    },
    /// The closure of a memo starts, or a [`Claim`](crate::Claim) is taken. The end of a closure is an event on the same thread.
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
    /// A value was computed in place of a stale one, or early.
    #[non_exhaustive]
    Refreshed {
        /// The name of the memo.
        memo: &'a str,
        /// How long the computation took.
        took: Duration,
    },
    /// A computation in place of a stale value returned an error or panicked, or its value is not stored as a fresh one: it was
    /// computed from a stale value, or is refused by [`cache_if`](crate::MemoBuilder::cache_if). Callers get a stale value.
    #[non_exhaustive]
    RefreshFailed {
        /// The name of the memo.
        memo: &'a str,
        /// The time before which the key is not computed again.
        retry_after: Duration,
    },
    /// A refresh behind a hit was not begun, because too many are under way. A later call begins it.
    #[non_exhaustive]
    RefreshSkipped {
        /// The name of the memo.
        memo: &'a str,
    },
    /// Fresh entries were removed because of a bound.
    #[non_exhaustive]
    Evicted {
        /// The name of the memo.
        memo: &'a str,
        /// How many.
        entries: u64,
    },
    /// Expired entries were removed, by [`Store::sweep`](crate::Store::sweep) or because of a bound. A lookup that
    /// finds an expired entry is a [`Miss`](Self::Miss) with [`Reason::Expired`], and does not remove it. In a pool the lookup
    /// removes it too, and both events are told.
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
    /// A store was opened under a circumstance that its user should know.
    #[non_exhaustive]
    Warned {
        /// The circumstance.
        warning: &'a Warning,
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
