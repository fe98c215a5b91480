//! A call between its lookup and its end.

use std::fmt;

use super::Computation;

/// A call after its lookup. If it is dropped before its end, one of the waiters leads.
pub(crate) enum PendingCall<'a, V: 'static> {
    Hit(V),
    /// On the heap while the closure runs, so that recursion through thousands of memoized calls does not exhaust the
    /// stack.
    Compute(Box<ComputingCall<'a, V>>),
    /// This process was forked from the process that opened the store. The call computes, and touches nothing else.
    Inherited,
}

/// The rest of a call that computes.
pub(crate) struct ComputingCall<'a, V: 'static> {
    computation: Computation<'a, V>,
    /// The head of the key, stored beside the value.
    key_head: Vec<u8>,
}

impl<'a, V: 'static> PendingCall<'a, V> {
    pub(crate) fn compute(computation: Computation<'a, V>, key_head: Vec<u8>) -> Self {
        Self::Compute(Box::new(ComputingCall { computation, key_head }))
    }
}

impl<V: Clone + Send + Sync + 'static> PendingCall<'_, V> {
    #[inline]
    pub(crate) fn finish<E>(self, compute: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        match self {
            Self::Hit(value) => Ok(value),
            Self::Compute(call) => {
                let value = call.computation.span.within(compute)?;
                call.keep(&value);
                Ok(value)
            }
            Self::Inherited => compute(),
        }
    }
}

impl<V: Clone + Send + Sync + 'static> ComputingCall<'_, V> {
    /// Not inlined, so that its frame is not on the stack while the closure runs.
    #[inline(never)]
    #[expect(clippy::boxed_local, reason = "the contents of the box must not be in the frame of the caller")]
    fn keep(self: Box<Self>, value: &V) {
        let Self { computation, key_head } = *self;
        computation.keep(key_head, value);
    }
}

impl<V> fmt::Debug for PendingCall<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hit(_) => "Hit",
            Self::Compute(..) => "Compute",
            Self::Inherited => "Inherited",
        })
    }
}
