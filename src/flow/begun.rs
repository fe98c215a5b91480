//! One call between its look and its end.

use std::fmt;

use super::Computation;

/// A call that has looked for its value. Dropped before its end, it hands over to whoever waits.
pub(crate) enum Begun<'a, V: 'static> {
    Hit(V),
    /// With the head of the key.
    Compute(Computation<'a, V>, Vec<u8>),
}

impl<V: Clone + Send + Sync + 'static> Begun<'_, V> {
    #[inline]
    pub(crate) fn finish<E>(self, compute: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        match self {
            Self::Hit(value) => Ok(value),
            Self::Compute(computation, key_head) => {
                let value = computation.span.within(compute)?;
                computation.keep(key_head, &value);
                Ok(value)
            }
        }
    }
}

impl<V> fmt::Debug for Begun<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hit(_) => "Hit",
            Self::Compute(..) => "Compute",
        })
    }
}
