//! The state of one serialization, and its errors.

use std::{cell::Cell, fmt, marker::PhantomData};

/// The limits of a format.
pub(crate) trait FormatRules {
    /// Fields have no names in the bytes, so a skipped field or a wrong length shifts everything after it.
    const POSITIONAL: bool;
    /// `None`, unit and floats that are not finite are all written as the same null.
    const NULL: bool;
    /// The codec that stores what this one refuses. It is the end of a message.
    const REMEDY: &'static str;
    /// Maximum nesting, so that no stack overflows in an encoding, nor in a decoding on a thread with a smaller stack.
    const MAX_DEPTH: u16;
}

/// Why a value cannot be encoded.
#[derive(Debug)]
pub(crate) enum StrictError<E> {
    /// A message of this room, or of the `Serialize` of the value.
    Message(String),
    /// An error of the format.
    Format(E),
}

impl<E> StrictError<E> {
    /// Converts to an error of the format. That may have no room for a message, so the message is stored in `state`.
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

/// Shared by all levels of one serialization.
pub(super) struct SerializationState {
    /// The message of an error that is returned as an error of the format.
    pub(super) message: Cell<Option<String>>,
    /// Maximum length in bytes of a run of numbers or bytes. The rest is left out.
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

/// The place of one value in the serialization.
pub(super) struct Context<'a, F> {
    /// The state of the whole value.
    pub(super) state: &'a SerializationState,
    /// Whether it is directly inside a `Some`. Newtypes in between do not count.
    pub(super) under_some: bool,
    /// Number of values around this one. Values without bytes of their own do not count.
    pub(super) depth: u16,
    /// The rules of the format.
    pub(super) format: PhantomData<F>,
}

impl<F> Clone for Context<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Context<'_, F> {}

impl<'a, F: FormatRules> Context<'a, F> {
    /// The context of a value one level deeper.
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

/// A nested value. The serializer of the format gets it, and passes it back through the checks.
pub(super) struct Nested<'v, 'a, T: ?Sized, F> {
    pub(super) value: &'v T,
    pub(super) context: Context<'a, F>,
}
