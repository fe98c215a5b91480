//! One opaque error for the whole crate. Its message names the cause, the place and the remedy.
//!
//! The errors of dependencies have no `From` impls, because those would make the dependencies part of the public
//! interface. The cause is available as [`source`](std::error::Error::source).

use std::{
    any::Any,
    error::Error as StdError,
    fmt, io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// The result of an operation that may report a failure of the cache.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the cache, never of a memoized function.
///
/// Methods that take a closure do not return this error. They return the computed value, and keep the failure for
/// [`Memo::last_failure`](crate::Memo::last_failure). Cloning is cheap.
///
/// Every error has a kind. The documentation of a method names the kinds that it returns: by a predicate of this type, or,
/// if there is none, by a counter of [`Failures`](crate::stats::Failures): `key`, `encode`, `decode`, `engine`,
/// `oversize`, `closed`, `panic`.
///
/// # Examples
///
/// ```
/// use memolith::{Memo, Store};
///
/// let store = Store::temporary()?;
/// let error = Memo::<str, u64>::builder("").open(&store).unwrap_err();
/// assert!(error.is_config());
/// println!("{error}");
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone)]
pub struct Error {
    kind: Kind,
    context: ErrorContext,
    /// Shared by the clones.
    inner: Arc<ErrorInner>,
}

/// The message, which names the remedy, and the cause.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct ErrorInner {
    message: Box<str>,
    #[source]
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kind of an error. The predicates of [`Error`] and the counters of `Stats` derive from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Another process, or another store of this one, holds the directory.
    InUse,
    /// A value type that can be written but not read back.
    Unsupported,
    /// A value type whose shape cannot be traced. The user can replace the shape by `version(n)`.
    Untraceable,
    /// An invalid option, name or path.
    Config,
    /// Bytes on disk differ from the bytes that were written.
    Corrupt,
    /// The operating system reported an error.
    Io,
    /// A key that cannot be serialized.
    Key,
    /// A value that cannot be encoded.
    Encode,
    /// Undamaged bytes that the codec cannot decode.
    Decode,
    /// The storage engine panicked, or did not answer in time.
    Engine,
    /// The value is larger than the bound of its memo or store.
    Oversize,
    /// The store was closed, or never had a directory.
    Closed,
    /// Code of the user, other than the memoized closure, panicked.
    Panic,
}

/// The memo and the types that an error is about. `None` until the memo is known.
#[derive(Clone, Default)]
struct ErrorContext(Option<Arc<str>>);

impl fmt::Display for ErrorContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |place| write!(f, "{place}: "))
    }
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        Self::caused(kind, message.as_ref(), None)
    }

    fn caused(kind: Kind, message: &str, cause: Option<Box<dyn StdError + Send + Sync>>) -> Self {
        let inner = ErrorInner { message: message.into(), cause };
        Self { kind, context: ErrorContext::default(), inner: Arc::new(inner) }
    }

    /// An error of the operating system at `what`. `cause` becomes the source.
    pub(crate) fn io(what: impl fmt::Display, cause: io::Error) -> Self {
        Self::caused(Kind::Io, &format!("{what}: {cause}"), Some(cause.into()))
    }

    /// An error about a value or its bytes, for implementors of [`Codec`](crate::codec::Codec).
    ///
    /// ```
    /// let error = memolith::Error::other("the picture has no pixels");
    /// assert_eq!(error.to_string(), "the picture has no pixels");
    /// ```
    pub fn other(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let cause = cause.into();
        Self::caused(Kind::Encode, &cause.to_string(), Some(cause))
    }

    /// A panic of user code other than the memoized closure. `code` names that code.
    pub(crate) fn panicked(code: &str, panic: Box<dyn Any + Send>) -> Self {
        let message =
            panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        let error =
            Self::new(Kind::Panic, format!("{code} panicked: {}", message.unwrap_or("without a message")));
        // The payload of a panic is foreign code too, and its `Drop` may panic.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            mem::forget(again);
        }
        error
    }

    /// The same error with a cause.
    pub(crate) fn caused_by(self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { context: self.context, ..Self::caused(self.kind, &self.inner.message, Some(cause.into())) }
    }

    /// Puts the memo, its key type and its value type in front of the message, unless the error has a context.
    pub(crate) fn with_context(mut self, context: &Arc<str>) -> Self {
        if self.context.0.is_none() {
            self.context = ErrorContext(Some(Arc::clone(context)));
        }
        self
    }

    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Another process, or a store of this process that is still closing, uses the directory.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.kind == Kind::InUse
    }

    /// The value type can be written but not read back, or its shape cannot be traced from its `Deserialize`.
    #[must_use]
    pub fn is_unsupported_type(&self) -> bool {
        matches!(self.kind, Kind::Unsupported | Kind::Untraceable)
    }

    /// An option, a name or a path is invalid, or contradicts the store or the memo that is already open.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.kind == Kind::Config
    }

    /// Bytes on disk differ from the bytes that were written.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        self.kind == Kind::Corrupt
    }

    /// The operating system reported an error: no space, no permission, no descriptor, no such file.
    #[must_use]
    pub fn is_io(&self) -> bool {
        self.kind == Kind::Io
    }
}

/// Lets a [`Codec`](crate::codec::Codec) use `?` on its writer.
impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Self {
        Self::caused(Kind::Io, &cause.to_string(), Some(cause.into()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.context, self.inner)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source()
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("context", &self.context.0)
            .field("error", &self.inner)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_place_once_and_keeps_the_cause() {
        let cause = io::Error::other("no space left");
        let place: Arc<str> = "memo `frames`".into();
        let error = Error::io("writing blobs/x", cause).with_context(&place).with_context(&"another".into());
        assert_eq!(error.to_string(), "memo `frames`: writing blobs/x: no space left");
        assert!(error.is_io() && !error.is_corrupt());
        assert!(StdError::source(&error).is_some_and(<dyn StdError>::is::<io::Error>));
    }
}
