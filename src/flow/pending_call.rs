//! A call between its lookup and its end.

use std::fmt;

use super::Computation;
use crate::context::Context;

/// A call after its lookup. If it is dropped before its end, one of the waiters leads.
pub(crate) enum PendingCall<'a, V: 'static> {
    Hit(V),
    /// On the heap while the closure runs, so that recursion through thousands of memoized calls does not exhaust the
    /// stack.
    Compute(Box<Computation<'a, V>>),
    /// The call computes, and touches nothing else: this process was forked from the process that opened the store, or
    /// memos are disabled.
    /// Within the context, if the memo declares effects.
    Plain(Option<Context>),
}

impl<V: Clone + Send + Sync + 'static> PendingCall<'_, V> {
    /// The value that a computed one takes the place of, at any age.
    pub(crate) fn old_value(&self) -> Option<V> {
        match self {
            Self::Compute(computation) => computation.old_value(),
            Self::Hit(_) | Self::Plain(_) => None,
        }
    }

    #[inline]
    pub(crate) fn finish<E>(self, compute: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        match self {
            Self::Hit(value) => Ok(value),
            Self::Compute(computation) => match computation.span().within(compute) {
                Ok(value) => {
                    keep(computation, &value);
                    Ok(value)
                }
                Err(error) => fall_back(computation).ok_or(error),
            },
            Self::Plain(None) => compute(),
            Self::Plain(Some(context)) => context.run(compute),
        }
    }
}

/// Not inlined, so that its frame is not on the stack while the closure runs.
#[inline(never)]
#[allow(
    clippy::boxed_local,
    reason = "the contents of the box must not be in the frame of the caller; the lint depends on their size"
)]
fn keep<V: Clone + Send + Sync + 'static>(mut computation: Box<Computation<'_, V>>, value: &V) {
    computation.keep(value);
}

#[inline(never)]
#[allow(clippy::boxed_local, reason = "as above")]
fn fall_back<V: Clone + Send + Sync + 'static>(mut computation: Box<Computation<'_, V>>) -> Option<V> {
    computation.fall_back()
}

impl<V> fmt::Debug for PendingCall<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hit(_) => "Hit",
            Self::Compute(..) => "Compute",
            Self::Plain(_) => "Plain",
        })
    }
}
