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
/// Every error has a [`kind`](Self::kind). The documentation of a method names the kinds that it returns. The
/// predicates, such as [`is_in_use`](Self::is_in_use), are short for the kinds that a program most often acts on.
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
    kind: ErrorKind,
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

/// The kind of an [`Error`], which tells the cause and so the remedy.
///
/// The section "Errors" of each method names the kinds that it returns. [`Failures`](crate::stats::Failures) counts the
/// failures that no call returned, by the same kinds. Later versions may add kinds, so a `match` needs a `_`.
///
/// # Examples
///
/// ```
/// use memolith::{ErrorKind, Memo, Store};
///
/// let store = Store::temporary()?;
/// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
/// store.close()?;
/// match memo.insert("one", &1).map_err(|error| error.kind()) {
///     Err(ErrorKind::Closed) => println!("open the store again"),
///     Err(ErrorKind::Io | ErrorKind::Engine) => println!("try again later"),
///     other => println!("{other:?}"),
/// }
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another process uses the directory, or a store of this process that is still closing. Wait, or use another
    /// directory.
    InUse,
    /// Values of the type can be written but not read back. Change the type, or use another codec.
    UnsupportedType,
    /// The shape of the value type cannot be traced, so a change of the type would not be noticed. Set a `version`.
    UntraceableType,
    /// An option, a name or a path is invalid, or contradicts the store or the memo that is already open.
    Config,
    /// Bytes on disk differ from the bytes that were written. The store replaces damaged parts by itself.
    Corrupt,
    /// The operating system reported an error: no space, no permission, no descriptor, no such file. The `source` is an
    /// [`io::Error`], if there is one.
    Io,
    /// The `Serialize` of a key failed.
    Key,
    /// A value cannot be encoded, or could not be read back unchanged.
    Encode,
    /// The codec cannot decode undamaged bytes.
    Decode,
    /// The storage engine panicked, or made no progress in time, or is still opening. The store opens it again by
    /// itself. A change that timed out may still be made.
    Engine,
    /// A single value is larger than the `max_bytes` of its memo or store.
    Oversize,
    /// The store was closed, could start no thread, or belongs to the process that this one was forked from.
    Closed,
    /// Code of the user other than the memoized closure panicked: a `Serialize`, a `Clone`, a codec, an observer, the handler of an
    /// effect.
    Panic,
    /// An effect could not be recorded or handled again, or no memo around it declares a handler: see
    /// [`effects`](crate::effects). The value is returned.
    Effect,
    /// The result of a computation could not be stored because of a tracked [input](crate::inputs): it changed during the
    /// computation, or a later call could not compare it. The value is returned.
    Input,
    /// The server that several machines share does not answer, or refuses: it is full, read-only, of another version, or does not
    /// know the user. The local store goes on without it. A change that has this error is made on this machine, and the server gets
    /// it later: see `remote`.
    Server,
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
    pub(crate) fn new(kind: ErrorKind, message: impl AsRef<str>) -> Self {
        Self::caused(kind, message.as_ref(), None)
    }

    fn caused(kind: ErrorKind, message: &str, cause: Option<Box<dyn StdError + Send + Sync>>) -> Self {
        let inner = ErrorInner { message: message.into(), cause };
        Self { kind, context: ErrorContext::default(), inner: Arc::new(inner) }
    }

    /// An error of the operating system at `what`. `cause` becomes the source.
    pub(crate) fn io(what: impl fmt::Display, cause: io::Error) -> Self {
        Self::caused(ErrorKind::Io, &format!("{what}: {cause}"), Some(cause.into()))
    }

    /// An error about a value or its bytes, of the kind [`ErrorKind::Encode`], for implementors of
    /// [`Codec`](crate::codec::Codec).
    ///
    /// ```
    /// let error = memolith::Error::other("the picture has no pixels");
    /// assert_eq!(error.to_string(), "the picture has no pixels");
    /// ```
    pub fn other(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let cause = cause.into();
        Self::caused(ErrorKind::Encode, &cause.to_string(), Some(cause))
    }

    /// A panic of user code other than the memoized closure. `code` names that code.
    pub(crate) fn panicked(code: &str, panic: Box<dyn Any + Send>) -> Self {
        let message =
            panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        let error = Self::new(
            ErrorKind::Panic,
            format!("{code} panicked: {}", message.unwrap_or("without a message")),
        );
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

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The kind of this error.
    ///
    /// ```
    /// use memolith::{ErrorKind, FileStamp};
    ///
    /// let error = FileStamp::of("no/such/file").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Io);
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// [`ErrorKind::InUse`]: another process, or a store of this process that is still closing, uses the directory.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.kind == ErrorKind::InUse
    }

    /// [`ErrorKind::UnsupportedType`] or [`ErrorKind::UntraceableType`]: the value type can be written but not read
    /// back, or its shape cannot be traced from its `Deserialize`.
    #[must_use]
    pub fn is_unsupported_type(&self) -> bool {
        matches!(self.kind, ErrorKind::UnsupportedType | ErrorKind::UntraceableType)
    }

    /// [`ErrorKind::Config`]: an option, a name or a path is invalid, or contradicts the store or the memo that is
    /// already open.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.kind == ErrorKind::Config
    }

    /// [`ErrorKind::Corrupt`]: bytes on disk differ from the bytes that were written.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        self.kind == ErrorKind::Corrupt
    }

    /// [`ErrorKind::Io`]: the operating system reported an error, such as no space or no permission.
    #[must_use]
    pub fn is_io(&self) -> bool {
        self.kind == ErrorKind::Io
    }

    /// [`ErrorKind::Engine`]: the storage engine panicked, or made no progress in time. The call can be repeated later;
    /// its change may have been made by then.
    #[must_use]
    pub fn is_engine(&self) -> bool {
        self.kind == ErrorKind::Engine
    }

    /// [`ErrorKind::Oversize`]: a single value is larger than the bound of its memo or store.
    #[must_use]
    pub fn is_oversize(&self) -> bool {
        self.kind == ErrorKind::Oversize
    }

    /// [`ErrorKind::Closed`]: the store was closed, or could start no thread. Open it, or another one.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.kind == ErrorKind::Closed
    }

    /// [`ErrorKind::Server`]: the server that several machines share does not answer, or refuses.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.kind == ErrorKind::Server
    }
}

/// Lets a [`Codec`](crate::codec::Codec) use `?` on its writer. The error is of the kind [`ErrorKind::Io`].
impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Self {
        Self::caused(ErrorKind::Io, &cause.to_string(), Some(cause.into()))
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
