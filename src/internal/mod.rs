//! The interface of the attributes. It is hidden and may change in any version: only code that `memolith-macros` of the same
//! version writes calls it.
//!
//! # Obligations of the caller
//!
//! Nothing here is unsafe. A caller that breaks an obligation gets wrong results or a memo that refuses, not undefined
//! behaviour.
//!
//! 1. A [`Cells`] is a `static` of its own for each place that calls [`memo`], [`handle`], [`resource`] or [`pool`],
//!    inside the function that calls.
//! 2. The closure given with it is written at that place and captures nothing, so that its type identifies the function and
//!    its generics. (Checked at compile time.)
//! 3. The closure is written *directly* in its function, or in the handle of the function, and not in another closure: the
//!    name of its type without the last segment is the path of the function. (The body of an async function is one more closure, which the name leaves out.)
//! 4. The two entry points of one function, [`memo`] and [`handle`] or [`resource`] and [`pool`], are called with equal
//!    [`Function`]s, and with plans that set the same options. `Function::name` is the name of the function at both.
//!    `Function::module` is the module of the function, and `Function::twin` counts functions of one name and text in a crate.
//!    `Function::types` has the type parameters of the function, and `Self` where it is so called.
//! 5. `Function::code` is the same at both entry points. Its tokens change when those of the function change. It contains
//!    the value of each built-in macro in them, and the code of each function that the user named.
//! 6. The value given to [`OpenedMemo::call`], [`OpenedMemo::task`] and [`resource`] serializes as the key type of the handle
//!    does: the same parts in the same order, references for what they refer to.
//! 7. The closure given to [`Call::plain`] or [`Call::fallible`], or to those of [`AsyncCall`], is the body of the function, for
//!    the arguments that the key was made from.
//! 8. `Function::fallible` is `true` if and only if the value type is that of a [`Fallible`]. If not, the memo is opened through
//!    [`Returned`], which refuses a `Result`. If so, the handle checks by [`same`] the type that was guessed from names.

mod cells;
mod claims;
mod code;
mod identity;
mod instance;
mod loading;
mod pools;
mod refused;
mod results;
#[expect(clippy::unused_self, reason = "which `self` has the method is the question")]
mod returned;
mod tasks;

use std::{
    any::{TypeId, type_name},
    borrow::Borrow,
    convert::Infallible,
};

pub use std::sync::Arc;

use serde::{Serialize, Serializer, de::DeserializeOwned};

pub use self::{
    cells::Cells,
    code::{BuiltIn, Code},
    identity::{Function, Types},
    instance::number_of_types,
    loading::{Load, owned, owned_of},
    pools::{pool, resource, share},
    returned::{Fallible, Returned, same},
    tasks::{AsyncCall, check, check_either, check_in_task, resource_in_task, share_in_task},
};
use self::{
    claims::EntryPoint,
    identity::{identity, is_shared},
    instance::{Instance, instance},
    results::{Results, results},
};
use crate::{
    builder::MemoBuilder,
    codec::Codec,
    effects::Handler,
    error::{Error, ErrorKind, Result},
    flow::PendingCall,
    observe::Event,
    pool::ResourcePoolBuilder,
    store::Store,
};
pub use crate::{default_store::default_store, memo::Memo, pool::FunctionPool, stamp::FileStamp};

/// A key type without values, for memos whose key type an attribute cannot name.
#[derive(Debug)]
pub enum Unnamed {}

impl Serialize for Unnamed {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        match *self {}
    }
}

/// A memo that was opened for one entry point of a function. It lives as long as the process.
#[derive(Debug)]
pub struct OpenedMemo<K: ?Sized, V: 'static> {
    memo: Memo<K, V>,
    /// `Some` if the function cannot be cached: each call computes, and reports this error.
    refused: Option<Error>,
}

/// The memo of a function. The first call opens it by `plan`.
#[inline]
pub fn memo<V, C, S, P>(
    cells: &'static Cells,
    function: &'static Function,
    plan: P,
) -> &'static OpenedMemo<Unnamed, V>
where
    V: Clone + Send + Sync + 'static,
    C: Codec<V>,
    S: Borrow<Store>,
    P: FnOnce(MemoBuilder<Unnamed, V>) -> (S, MemoBuilder<Unnamed, V, C>) + 'static,
{
    cells.get::<P, _>(|| open(function, EntryPoint::Function, plan))
}

/// The same memo for the handle of the function, with the key type.
#[inline]
pub fn handle<K, V, C, S, P>(
    cells: &'static Cells,
    function: &'static Function,
    plan: P,
) -> &'static Memo<K, V>
where
    K: ?Sized + 'static,
    V: Clone + Send + Sync + 'static,
    C: Codec<V>,
    S: Borrow<Store>,
    P: FnOnce(MemoBuilder<Unnamed, V>) -> (S, MemoBuilder<Unnamed, V, C>) + 'static,
{
    &cells.get::<P, OpenedMemo<K, V>>(|| open(function, EntryPoint::Handle, plan)).memo
}

/// The expressions of the user's options run before any lock is taken.
fn open<K, V, C, S, P>(function: &Function, entry: EntryPoint, plan: P) -> OpenedMemo<K, V>
where
    K: ?Sized,
    V: Clone + Send + Sync + 'static,
    C: Codec<V>,
    S: Borrow<Store>,
    P: FnOnce(MemoBuilder<Unnamed, V>) -> (S, MemoBuilder<Unnamed, V, C>) + 'static,
{
    let closure = type_name::<P>();
    let name = identity(closure, function);
    let instance = instance(closure, function, TypeId::of::<P>());
    let code = match instance {
        Instance::Named | Instance::Unknown => function.code.hash(),
        Instance::Numbered(number) => function.code.hash_of_instance(number),
    };
    let (store, builder) = plan(Memo::builder(name.as_str()).code(code));
    let asked: &Store = store.borrow();
    let effects = builder.declared_effects();
    let claimed = if is_shared(closure) {
        Err(claims::unnameable(&name))
    } else if instance == Instance::Unknown && !builder.has_version() {
        Err(claims::ambiguous(&name))
    } else if remembers_errors(function, results(type_name::<V>()), &builder) {
        Err(claims::remembers_errors(&name, type_name::<V>()))
    } else {
        claims::claim(&name, code, entry, TypeId::of::<P>(), asked)
    };
    match claimed.and_then(|store| builder.open(&store)) {
        Ok(memo) => OpenedMemo { memo: memo.of_keys(), refused: None },
        Err(error) => {
            let error = above_a_function(error);
            // Reports it to the observers of the store, and keeps it as its last failure.
            asked.session().failed(&error);
            OpenedMemo { memo: refused::memo(&name, &error, effects), refused: Some(error) }
        }
    }
}

/// Whether an error would be stored. `cache_if` can choose the stored values, except for a value type that is a `Result` only
/// because of the type arguments of a generic function.
fn remembers_errors<V, C>(
    function: &Function,
    results: Results,
    builder: &MemoBuilder<Unnamed, V, C>,
) -> bool {
    match results {
        Results::None => false,
        Results::Itself if !function.fallible => true,
        Results::Itself | Results::Within => !builder.chooses_values(),
    }
}

/// Adds the remedy as it is written above a function.
fn above_a_function(error: Error) -> Error {
    match error.kind() {
        ErrorKind::UntraceableType => {
            let message = format!(
                "{error}; above a function write `#[memo(version = n)]`, without which each call computes"
            );
            Error::new(ErrorKind::UntraceableType, message)
        }
        _ => error,
    }
}

/// Sets `cache_if`. The two entry points have a closure of equal tokens each, which count as one.
pub fn cache_if<V, C, F>(builder: MemoBuilder<Unnamed, V, C>, wanted: F) -> MemoBuilder<Unnamed, V, C>
where
    F: Fn(&V) -> bool + Send + Sync + 'static,
{
    builder.cache_if_of(wanted, TypeId::of::<Unnamed>())
}

/// Declares a type of effect, with its handler. The two entry points have a handler each, as with [`cache_if`].
pub fn effects<V, C, E, H>(builder: MemoBuilder<Unnamed, V, C>, handler: H) -> MemoBuilder<Unnamed, V, C>
where
    E: Serialize + DeserializeOwned + 'static,
    H: Handler<E>,
{
    builder.effects_of(handler, TypeId::of::<Unnamed>())
}

/// Adds an observer.
pub fn observer<B, F>(builder: B, observe: F) -> B
where
    B: Observed,
    F: Fn(&Event<'_>) + Send + Sync + 'static,
{
    builder.observer(observe)
}

/// A builder that takes an observer.
pub trait Observed {
    /// With an observer.
    #[must_use]
    fn observer<F: Fn(&Event<'_>) + Send + Sync + 'static>(self, observe: F) -> Self;
}

/// The two entry points have a closure each, as with [`cache_if`].
impl<V, C> Observed for MemoBuilder<Unnamed, V, C> {
    fn observer<F: Fn(&Event<'_>) + Send + Sync + 'static>(self, observe: F) -> Self {
        self.observer_of(observe, TypeId::of::<Unnamed>())
    }
}

/// One of the two entry points makes the pool.
impl Observed for ResourcePoolBuilder {
    fn observer<F: Fn(&Event<'_>) + Send + Sync + 'static>(self, observe: F) -> Self {
        self.observer(observe)
    }
}

/// Shows a line of `text` while a slow computation runs.
pub fn spinner<B: Spins>(builder: B, text: &str) -> B {
    builder.spinner(text)
}

/// A builder that takes a spinner, which needs a feature.
#[diagnostic::on_unimplemented(
    message = "the option `spinner` needs the feature `spinner` of memolith",
    label = "turn the feature on, or leave this option out",
    note = "in Cargo.toml: memolith = {{ version = \"..\", features = [\"spinner\"] }}"
)]
pub trait Spins {
    /// With a spinner.
    #[must_use]
    fn spinner(self, text: &str) -> Self;
}

#[cfg(feature = "spinner")]
impl<B: Observed> Spins for B {
    fn spinner(self, text: &str) -> Self {
        observer(self, crate::observe::spinner(text))
    }
}

/// A call after its lookup, which may have to compute. The key is no longer needed.
#[derive(Debug)]
#[must_use = "other callers wait until this call is finished or dropped"]
pub struct Call<V: 'static>(PendingCall<'static, V>);

impl<V: 'static> OpenedMemo<Unnamed, V> {
    /// Looks the key up.
    #[inline]
    pub fn call<K: Serialize + ?Sized>(&'static self, key: &K) -> Call<V>
    where
        V: Clone + Send + Sync,
    {
        Call(match &self.refused {
            None => self.memo.begin(key),
            Some(error) => self.memo.refuse(error),
        })
    }
}

impl<V: 'static> Call<V> {
    /// For a function that cannot fail. If the body panics, the panic unwinds, and one of the waiters computes.
    #[inline]
    pub fn plain(self, body: impl FnOnce() -> V) -> V
    where
        V: Clone + Send + Sync,
    {
        match self.0.finish(|| Ok::<V, Infallible>(body())) {
            Ok(value) => value,
        }
    }

    /// For a function that may fail. Its error is returned unchanged.
    ///
    /// # Errors
    ///
    /// The errors of the body.
    #[inline]
    pub fn fallible<E>(self, body: impl FnOnce() -> Result<V, E>) -> Result<V, E>
    where
        V: Clone + Send + Sync,
    {
        self.0.finish(body)
    }
}

/// One part of a key, unchanged. The bound makes a part that cannot be serialized a compile error at its place.
#[inline]
pub fn part<T: Serialize + ?Sized>(part: &T) -> &T {
    part
}

/// The stamp of a file, as one part of a key. If the file has no stamp, the key cannot be serialized: the call computes, and
/// reports the error.
#[derive(Debug)]
pub struct Stamped(Result<FileStamp>);

/// Stamps the file at `path`.
pub fn stamp(path: impl AsRef<std::path::Path>) -> Stamped {
    Stamped(FileStamp::of(path))
}

impl Serialize for Stamped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(stamp) => stamp.serialize(serializer),
            Err(error) => Err(serde::ser::Error::custom(error)),
        }
    }
}
