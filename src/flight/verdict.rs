//! What the table says to a caller, and the caller to the table.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What came of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Nothing had to be computed: the value was in memory or on disk.
    Found,
    /// Computed, and kept where the others can find it.
    Stored,
    /// Computed, but it could not be kept: there is nothing to find.
    Unstored,
    /// The record changed or went meanwhile.
    Revoked,
}

/// Why a caller computes without leading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// It leads this very seat.
    Reentrant,
    /// The leader waits, directly or through others, for a seat that the caller leads.
    Cycle,
    /// Two leaders in a row failed.
    Failures,
    /// The leader could not keep its value, so the next one could hardly either.
    Unstored,
}

/// One claim: equal only to its own clones, and shared with its holder, who asks it without the lock.
#[derive(Clone)]
pub(super) struct Ticket(Arc<AtomicBool>);

impl Ticket {
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

impl PartialEq for Ticket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What the table decided about a caller; the claim of a ticket is registered already.
pub(super) enum Verdict {
    Lead(Ticket),
    Look(Outcome),
    Alone(Ticket, Reason),
}

impl Verdict {
    /// A claim that was revoked before its holder woke has begun nothing yet: it is better given up.
    pub(super) fn unless_revoked(self) -> Self {
        match self {
            Self::Lead(ticket) | Self::Alone(ticket, _) if !ticket.is_current() => {
                Self::Look(Outcome::Revoked)
            }
            verdict => verdict,
        }
    }
}
