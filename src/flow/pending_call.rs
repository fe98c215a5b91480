//! One call between its look and its end.

use std::fmt;

use super::Computation;

/// A call that has looked for its value. Dropped before its end, it hands over to whoever waits.
pub(crate) enum PendingCall<'a, V: 'static> {
    Hit(V),
    /// On the heap, because it waits there while the closure runs: a closure that calls again, and so on for thousands of
    /// levels, has the stack for itself.
    Compute(Box<ComputingCall<'a, V>>),
    /// This process was forked from the one that opened the store: it computes, and nothing is looked for, kept or told.
    Inherited,
}

/// What is left to do of a call that computes.
pub(crate) struct ComputingCall<'a, V: 'static> {
    computation: Computation<'a, V>,
    /// The head of the key.
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
    /// Apart from the call of the closure, so that its frame is not there while that runs.
    #[inline(never)]
    #[expect(clippy::boxed_local, reason = "what is in the box is not to be in the frame of the caller")]
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
