//! How one call judges the values that are there, and how it stores its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use super::MemoInner;
use crate::{
    clock::{Expiry, Freshness, Lifetime, Timestamp},
    error::Error,
    key::Digest,
    stats::Reason,
};

/// How long the value of one entry is fresh.
pub(crate) enum EntryTtl<'a, V> {
    /// As the memo says.
    OfMemo,
    Fixed(Duration),
    /// By the computed value.
    Of(Box<dyn FnOnce(&V) -> Duration + Send + 'a>),
}

/// What one call asks of a value that is there. `C` tells whether a value may be used.
pub(crate) struct Terms<C> {
    /// A value of this age or more is refused.
    pub(crate) max_age: Option<Duration>,
    pub(crate) is_valid: Option<C>,
    /// Whether a value can be computed behind the call: it may be [`Standing::Due`] then.
    pub(crate) is_loading: bool,
    /// When the call began.
    pub(crate) began: Timestamp,
}

/// Of a call on one thread.
pub(crate) type ThreadTerms<'a, V> = Terms<Box<dyn Fn(&V) -> bool + 'a>>;

/// Of a task.
pub(crate) type TaskTerms<V> = Terms<Box<dyn Fn(&V) -> bool + Send + Sync>>;

impl<C> Default for Terms<C> {
    fn default() -> Self {
        Self { max_age: None, is_valid: None, is_loading: false, began: Timestamp::default() }
    }
}

impl<C> Terms<C> {
    /// Whether a fresh value may be refused.
    pub(super) fn may_refuse(&self) -> bool {
        self.max_age.is_some() || self.is_valid.is_some()
    }
}

/// What a value is to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    /// Good, and to be refreshed early.
    Due,
    /// Of use while another caller computes, or where computing fails.
    Stale,
    /// Of no use to this call.
    Refused(Reason),
}

impl<V: 'static> MemoInner<V> {
    /// The rules by which an entry of this memo expires for the callers of a key.
    pub(super) fn expiry(&self, digest: &Digest) -> Expiry {
        Expiry { early: self.aging.early(digest), ..self.expiry }
    }

    /// What a value is by its age alone. `None` if it is over.
    #[inline]
    pub(super) fn standing(
        &self,
        terms: &Terms<impl Fn(&V) -> bool>,
        lifetime: &Lifetime,
        now: Timestamp,
        expiry: Expiry,
    ) -> Option<Standing> {
        match lifetime.freshness(now, expiry) {
            Freshness::Over => None,
            Freshness::Stale => Some(Standing::Stale),
            Freshness::Fresh if terms.is_loading && self.aging.is_due(lifetime, now, expiry) => {
                Some(Standing::Due)
            }
            Freshness::Fresh => Some(Standing::Good),
        }
    }

    /// What it is to a call that may refuse it.
    #[inline]
    pub(super) fn judge(
        &self,
        terms: &Terms<impl Fn(&V) -> bool>,
        lifetime: &Lifetime,
        now: Timestamp,
        standing: Standing,
        value: &V,
    ) -> Standing {
        if terms.may_refuse() { self.ask(terms, lifetime, now, standing, value) } else { standing }
    }

    /// Not inlined, so that the code of a plain hit is short.
    #[cold]
    #[inline(never)]
    fn ask(
        &self,
        terms: &Terms<impl Fn(&V) -> bool>,
        lifetime: &Lifetime,
        now: Timestamp,
        standing: Standing,
        value: &V,
    ) -> Standing {
        if terms.max_age.is_some_and(|max_age| now.since(lifetime.created) >= max_age) {
            return Standing::Refused(Reason::Expired);
        }
        if terms.is_valid.as_ref().is_some_and(|is_valid| !self.is_valid(is_valid, value)) {
            return Standing::Refused(Reason::Invalid);
        }
        standing
    }

    /// A check that panics refuses.
    fn is_valid(&self, is_valid: &impl Fn(&V) -> bool, value: &V) -> bool {
        catch_unwind(AssertUnwindSafe(|| is_valid(value))).unwrap_or_else(|panic| {
            self.record_failure(&Error::panicked("the `validate` of a call", panic));
            false
        })
    }
}
