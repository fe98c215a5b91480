//! What all levels of one serialization share, and why it ends early.

use std::{cell::Cell, fmt, marker::PhantomData};

/// What a format cannot tell apart.
pub(crate) trait FormatRules {
    /// Values follow each other without names: a field left out, or a wrong length, shifts all that follows.
    const POSITIONAL: bool;
    /// Nothing, unit and the floats that are not finite are all written as the same null.
    const NULL: bool;
    /// The codec that can do what this one refuses: the end of a message.
    const REMEDY: &'static str;
    /// How many levels of values within values there may be, so that no stack overflows: not on the way out, and not on
    /// the way back in on a thread with less of it.
    const MAX_DEPTH: u16;
}

/// Why a value cannot be encoded.
#[derive(Debug)]
pub(crate) enum StrictError<E> {
    /// In words: ours, or those of the value's own `Serialize`.
    Message(String),
    /// As the format says it.
    Format(E),
}

impl<E> StrictError<E> {
    /// Into the error of the format, which may have no room for words: they wait in `state`.
    pub(super) fn stash(self, state: &SerializationState) -> E
    where
        E: serde::ser::Error,
    {
        match self {
            Self::Format(error) => error,
            Self::Message(message) => {
                let error = E::custom(&message);
                state.message.set(Some(message));
                error
            }
        }
    }
}

impl<E: fmt::Display> fmt::Display for StrictError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => f.write_str(message),
            Self::Format(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error> std::error::Error for StrictError<E> {}

impl<E: serde::ser::Error> serde::ser::Error for StrictError<E> {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Message(message.to_string())
    }
}

/// What all levels of one serialization share.
pub(super) struct SerializationState {
    /// Words on their way out through an error type that cannot hold them.
    pub(super) message: Cell<Option<String>>,
    /// A run of numbers or bytes is cut to this length, in bytes.
    longest: usize,
}

impl SerializationState {
    pub(super) fn new(longest: usize) -> Self {
        Self { message: Cell::default(), longest }
    }

    #[inline]
    pub(super) fn cut<'b>(&self, run: &'b [u8]) -> &'b [u8] {
        run.get(..self.longest).unwrap_or(run)
    }
}

/// What every level of a value shares.
pub(super) struct Context<'a, F> {
    /// Of the whole value.
    pub(super) state: &'a SerializationState,
    /// Directly within a `Some`, newtypes not counting.
    pub(super) under_some: bool,
    /// How many values this one is within; those that leave no trace in the bytes do not count.
    pub(super) depth: u16,
    /// The rules.
    pub(super) format: PhantomData<F>,
}

impl<F> Clone for Context<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Context<'_, F> {}

impl<'a, F: FormatRules> Context<'a, F> {
    /// For a value one level further down.
    pub(super) fn below<'v, T: ?Sized>(self, value: &'v T) -> Nested<'v, 'a, T, F> {
        Nested { value, context: Self { under_some: false, depth: self.depth + 1, ..self } }
    }

    pub(super) fn finite<E: serde::ser::Error>(is_finite: bool) -> Result<(), E> {
        if F::NULL && !is_finite {
            return Err(refuse::<F, E>("a float that is not finite would be read back as nothing"));
        }
        Ok(())
    }

    pub(super) fn nothing<E: serde::ser::Error>(self) -> Result<(), E> {
        if F::NULL && self.under_some {
            return Err(refuse::<F, E>("a `Some` of nothing (`None`, `()`) would be read back as `None`"));
        }
        Ok(())
    }

    pub(super) fn length<E: serde::ser::Error>(len: Option<usize>) -> Result<(), E> {
        if F::POSITIONAL && len.is_none() {
            return Err(refuse::<F, E>(
                "a sequence or map does not know its length beforehand: collect it first",
            ));
        }
        Ok(())
    }
}

#[cold]
pub(super) fn refuse<F: FormatRules, E: serde::ser::Error>(why: &str) -> E {
    E::custom(format_args!("{why}; {}", F::REMEDY))
}

/// A value within another one, on its way through the serializer behind.
pub(super) struct Nested<'v, 'a, T: ?Sized, F> {
    pub(super) value: &'v T,
    pub(super) context: Context<'a, F>,
}
