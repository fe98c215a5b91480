//! What passes between the table and a caller: claims, verdicts and outcomes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The outcome of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The value was in memory or on disk.
    Found,
    /// The value was computed, and other callers can find it.
    Stored,
    /// The value was computed, and other callers cannot find it.
    Unstored,
    /// The record changed or was removed in the meantime.
    Revoked,
    /// The caller was dropped, or does not wait any more. That is no failure: one of the waiters leads.
    Abandoned,
    /// Not the end of a claim: there is a stale value, which is being refreshed.
    Stale,
}

/// Why a caller computes although it does not lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AloneReason {
    /// The caller itself leads this key.
    Reentrant,
    /// The leader waits, directly or through other leaders, for a key that the caller leads.
    Cycle,
    /// Two leaders in a row failed.
    Failures,
    /// The leader could not store its value, so the next leader probably could not either.
    Unstored,
}

/// Whether one claim is current. The table and the holder share it, and the holder reads it without the lock. A state is
/// equal only to its own clones.
#[derive(Clone)]
pub(super) struct ClaimState(Arc<AtomicBool>);

impl ClaimState {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(super) fn is_current(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn revoke(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl PartialEq for ClaimState {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The decision of the table about a caller. A claim in it is already registered.
pub(super) enum Verdict {
    Lead(ClaimState),
    /// Leads in place of a caller that takes too long.
    TakeOver(ClaimState),
    Recheck(Outcome),
    Alone(ClaimState, AloneReason),
}

impl Verdict {
    /// If the claim was revoked before its holder woke, the holder has begun nothing, so it looks the value up again.
    pub(super) fn unless_revoked(self) -> Self {
        match self {
            Self::Lead(claim) | Self::TakeOver(claim) | Self::Alone(claim, _) if !claim.is_current() => {
                Self::Recheck(Outcome::Revoked)
            }
            verdict => verdict,
        }
    }
}
