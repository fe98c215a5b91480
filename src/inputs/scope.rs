//! Values that a scope provides by name.

#[cfg(test)]
mod tests;

use std::{
    any::type_name,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    codec::{self, Codec as _, Postcard},
    context::{Context, Within, note_reading, note_unstorable},
    error::{Error, ErrorKind, Result},
    key,
    readings::{Answer, Fingerprint, Input, ProvidedValue, Reading, ScopeValues, Unstorable},
};

/// Runs `work` in a new scope, which provides values to the code within it.
///
/// `work` provides the values by its argument. They are there from then on, until `work` ends.
///
/// # Panics
///
/// If `work` panics.
///
/// ```
/// use memolith::inputs;
///
/// fn distance(kilometers: f64) -> String {
///     match inputs::get::<String>("units").as_deref() {
///         Ok("imperial") => format!("{:.1} miles", kilometers / 1.609),
///         _ => format!("{kilometers:.1} km"),
///     }
/// }
///
/// let shown = inputs::scope(|scope| {
///     scope.provide("units", "imperial");
///     distance(16.09)
/// });
/// assert_eq!(shown, "10.0 miles");
/// assert_eq!(distance(16.09), "16.1 km");
/// ```
pub fn scope<R>(work: impl FnOnce(&Scope) -> R) -> R {
    let scope = Scope::new();
    scope.run(|| work(&scope))
}

/// The value that the innermost scope with the name provides. The computations within that scope note it.
///
/// The type is that of the provided value, or one with an equal encoding as a key: a `String` for a `&str`, a `Vec` for a slice.
///
/// # Errors
///
/// - [`Config`](ErrorKind::Config) if no scope around the code provides a value of the name. The computation is then not
///   stored, because a later call has nothing to compare.
/// - [`Config`](ErrorKind::Config) if the value is of another type. The message names both types.
/// - [`Encode`](ErrorKind::Encode) if the provided value could not be serialized. The computation is not stored.
///
/// # Panics
///
/// If the `Deserialize` or the `Serialize` of `T` panics.
///
/// ```
/// use memolith::inputs;
///
/// let scope = inputs::Scope::new();
/// scope.provide("sizes", [1_u16, 2, 3].as_slice());
/// scope.run(|| {
///     assert_eq!(inputs::get::<Vec<u16>>("sizes")?, [1, 2, 3]);
///     assert!(inputs::get::<Vec<u32>>("sizes").unwrap_err().is_config());
///     assert!(inputs::get::<u8>("other").unwrap_err().is_config());
///     Ok::<(), memolith::Error>(())
/// })?;
/// # Ok::<(), memolith::Error>(())
/// ```
pub fn get<T: Serialize + DeserializeOwned>(name: &str) -> Result<T> {
    let Some(found) = Context::current().provided_value(name) else {
        note_unstorable(&Unstorable::Absent(name.into()));
        return Err(absent(name));
    };
    let input = Input::provided(name);
    let value = found.inspect_err(|_| note_unstorable(&Unstorable::Failed(input.clone())))?;
    note_reading(&Reading { input, answer: Answer::new(value.fingerprint) });
    let read = Postcard::new().decode(&value.payload.clone().into());
    match read {
        Ok(read) if fingerprint(&read).is_ok_and(|fingerprint| fingerprint == value.fingerprint) => Ok(read),
        Ok(_) => Err(of_another_type::<T>(name, &value)),
        Err(cause) => Err(of_another_type::<T>(name, &value).caused_by(cause)),
    }
}

/// Values by name, for the code that runs within the scope: a handle, cheap to clone.
///
/// [`get`] finds the value of the innermost scope that has the name. A memoized function that reads it needs no parameter for it,
/// and its result is stored for this value. The values are kept as bytes, in the format of the default codec
/// ([`Postcard`]).
///
/// ```
/// use memolith::inputs::{self, Scope};
///
/// let settings = Scope::new();
/// settings.provide("currency", "EUR").provide("digits", 2_u8);
/// let shown = settings.run(|| {
///     let (currency, digits): (String, u8) = (inputs::get("currency")?, inputs::get("digits")?);
///     Ok::<_, memolith::Error>(format!("{currency} {:.*}", usize::from(digits), 1.5))
/// });
/// assert_eq!(shown?, "EUR 1.50");
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Scope {
    values: Arc<ScopeValues>,
}

impl Scope {
    /// A scope without values.
    ///
    /// ```
    /// let scope = memolith::inputs::Scope::new();
    /// assert_eq!(scope.run(|| 12), 12);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Provides `value` by `name`, from now on. It replaces an earlier value of the name, also for code that already runs in the
    /// scope. A computation that reads both is not stored.
    ///
    /// If the `Serialize` of the value fails, each [`get`] returns the error.
    ///
    /// # Panics
    ///
    /// If the `Serialize` of the value panics.
    ///
    /// ```
    /// use memolith::inputs;
    ///
    /// inputs::scope(|scope| {
    ///     scope.provide("units", "metric");
    ///     scope.provide("units", "imperial");
    ///     assert_eq!(inputs::get::<String>("units")?, "imperial");
    ///     Ok::<(), memolith::Error>(())
    /// })?;
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn provide<T: Serialize>(&self, name: impl Into<String>, value: T) -> &Self {
        let name = name.into();
        let provided = provided(&value).map_err(|cause| unserializable::<T>(&name, cause));
        self.values.provide(name.into(), provided);
        self
    }

    /// Runs `work` on this thread within the scope.
    ///
    /// # Panics
    ///
    /// If `work` panics.
    ///
    /// ```
    /// use memolith::inputs::{self, Scope};
    ///
    /// let scope = Scope::new();
    /// scope.provide("digits", 2_u8);
    /// assert_eq!(scope.run(|| inputs::get::<u8>("digits"))?, 2);
    /// assert!(inputs::get::<u8>("digits").is_err());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        self.within(Context::current()).run(work)
    }

    /// A future that does the same as `future`, within the scope.
    ///
    /// The scope follows the future from thread to thread. It lies within the computation that awaits the future, or within the
    /// one that called `wrap` if the future is polled outside of computations and scopes. The future is also dropped within the
    /// scope.
    ///
    /// ```
    /// use std::{pin::pin, task};
    ///
    /// use memolith::inputs::{self, Scope};
    ///
    /// let scope = Scope::new();
    /// scope.provide("digits", 2_u8);
    /// let mut future = pin!(scope.wrap(async { inputs::get::<u8>("digits") }));
    /// let poll = future.as_mut().poll(&mut task::Context::from_waker(task::Waker::noop()));
    /// assert!(matches!(poll, task::Poll::Ready(Ok(2))));
    /// ```
    pub fn wrap<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let made_in = Context::current();
        let within = Within::new(self.within(made_in.clone()), future);
        InScope { scope: self.clone(), made_in, within }
    }

    fn within(&self, around: Context) -> Context {
        around.within_scope(Arc::clone(&self.values))
    }
}

/// Without the values, which may be secrets.
impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

/// A future within a scope within the context of each poll.
struct InScope<F> {
    scope: Scope,
    /// Stands for the context of a poll without one: that of a spawned task.
    made_in: Context,
    within: Within<F>,
}

impl<F: Future> Future for InScope<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let around = Context::current().or(&self.made_in);
        let context = self.scope.within(around);
        self.within.move_to(context);
        Pin::new(&mut self.within).poll(cx)
    }
}

fn provided<T: Serialize>(value: &T) -> Result<ProvidedValue> {
    let mut payload = Vec::new();
    codec::write_postcard(value, &mut payload)?;
    Ok(ProvidedValue { fingerprint: fingerprint(value)?, payload, type_name: type_name::<T>() })
}

fn fingerprint<T: Serialize>(value: &T) -> Result<Fingerprint> {
    key::digest(value).map(|digest| Fingerprint::provided(digest.as_bytes()))
}

#[cold]
fn absent(name: &str) -> Error {
    let message = format!(
        "no scope around this code provides `{name}`: provide it around the call, by `inputs::scope` or `Scope::provide`; a \
         thread or a task that a function starts needs `Context::run`, `Context::wrap` or `Scope::wrap`"
    );
    Error::new(ErrorKind::Config, message)
}

#[cold]
fn of_another_type<T>(name: &str, value: &ProvidedValue) -> Error {
    let (there, here) = (value.type_name, type_name::<T>());
    let message = if there == here {
        format!(
            "the value of `{name}` does not come back as it is: the `Serialize` and the `Deserialize` of `{here}` disagree"
        )
    } else {
        format!(
            "`{name}` is provided as `{there}` and read as `{here}`: read it as the type that is provided"
        )
    };
    Error::new(ErrorKind::Config, message)
}

#[cold]
fn unserializable<T>(name: &str, cause: Error) -> Error {
    let message = format!(
        "the value of type `{}` that is provided as `{name}` cannot be serialized: {cause}",
        type_name::<T>()
    );
    Error::new(ErrorKind::Encode, message).caused_by(cause)
}
