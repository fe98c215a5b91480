//! What the attributes write into a program. Hidden, and no promise of stability: `memolith-macros` of the same version
//! is the only caller, and this the only module it speaks to.
//!
//! # What the caller owes
//!
//! Nothing here is unsafe; who breaks one of these gets wrong answers or a memo that refuses, not undefined behaviour.
//!
//! 1. A [`Cells`] is a `static` of its own for each place that calls [`memo`], [`handle`] or [`resource`], inside the
//!    function that calls.
//! 2. The closure given with it is written at that place and captures nothing, so that its type stands for the function
//!    together with its generics. (Checked while compiling.)
//! 3. It is written *directly* in the function that it stands for, or in that function's handle, not in another closure:
//!    the name of its type, less the last step, is the path of the function.
//! 4. The two doors of one function, [`memo`] and [`handle`], are called with equal [`Function`]s, with plans that
//!    set the same options, and `Function::name` is the name of the function, at both doors.
//! 5. `Function::code` is the same at both doors. Its tokens change when those of the function do; it holds the value of each
//!    built-in macro in them, and the code of each function that the user named.
//! 6. The value given to [`OpenedMemo::call`] and [`resource`] serializes as the key type of the handle does: the same parts in the same
//!    order, references for what they refer to.
//! 7. The closure given to [`Call::plain`] or [`Call::fallible`] is the body of the function, for the arguments that the
//!    key was made from.
//! 8. `Function::fallible` says whether the value type is that of a [`Fallible`]. Where it is not, the memo is opened through
//!    [`Returned`], which refuses a `Result`; where it is, the handle checks by [`same`] what was guessed from names.

mod cells;
mod claims;
mod code;
mod identity;
mod refused;
mod results;
#[expect(clippy::unused_self, reason = "which `self` has the method is the question")]
mod returned;

use std::{
    any::{TypeId, type_name},
    borrow::Borrow,
    convert::Infallible,
    time::Duration,
};

pub use std::sync::Arc;

use serde::{Serialize, Serializer};

pub use self::{
    cells::Cells,
    code::{BuiltIn, Code},
    identity::Function,
    returned::{Fallible, Returned, same},
};
use self::{
    claims::EntryPoint,
    identity::{identity, is_shared},
    results::{Results, results},
};
use crate::{
    builder::MemoBuilder,
    codec::Codec,
    error::{Error, Kind, Result},
    flow::PendingCall,
    observe::Event,
    pool::{ResourceEntry, ResourcePool},
    store::Store,
};
pub use crate::{default_store::default_store, memo::Memo, stamp::FileStamp};

/// A key type that nobody can make a value of: of memos whose key has no type that an attribute could name.
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
    /// Why there is none that could remember anything: each call computes, and tells this.
    refused: Option<Error>,
}

/// The memo of the function at whose first call it is opened, by the plan `plan`.
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

/// The same memo for the handle of the function, which knows the type of the key.
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

/// What the user's options are evaluated by runs before any lock is taken.
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
    let code = function.code.hash();
    let (store, builder) = plan(Memo::builder(name.as_str()).code(code));
    let asked: &Store = store.borrow();
    let claimed = if is_shared(closure) {
        Err(claims::unnameable(&name))
    } else if remembers_errors(function, results(type_name::<V>()), &builder) {
        Err(claims::remembers_errors(&name, type_name::<V>()))
    } else {
        claims::claim(&name, code, entry, TypeId::of::<P>(), asked)
    };
    match claimed.and_then(|store| builder.open(&store)) {
        Ok(memo) => OpenedMemo { memo: memo.of_keys(), refused: None },
        Err(error) => {
            let error = above_a_function(error);
            // Seen by whoever observes the store, and by the handles in it.
            asked.session().failed(&error);
            OpenedMemo { memo: refused::memo(&name, &error), refused: Some(error) }
        }
    }
}

/// Whether an error would be stored. The user may have said which values are, but cannot have meant a `Result` that only the
/// type arguments of a generic function brought along.
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

/// The remedy as it is written above a function.
fn above_a_function(error: Error) -> Error {
    match error.kind() {
        Kind::Untraceable => {
            let message = format!(
                "{error}; above a function that is `#[memo(version = n)]`, and without it each call computes"
            );
            Error::new(Kind::Untraceable, message)
        }
        _ => error,
    }
}

/// Decides whether a value is kept. Both doors bring a closure of their own, of one text: they count as one.
pub fn cache_if<V, C, F>(builder: MemoBuilder<Unnamed, V, C>, wanted: F) -> MemoBuilder<Unnamed, V, C>
where
    F: Fn(&V) -> bool + Send + Sync + 'static,
{
    builder.cache_if_of(wanted, TypeId::of::<Unnamed>())
}

/// Tells `observe` what happens to the memo. Both doors bring a closure of their own, as with [`cache_if`].
pub fn observer<V, C, F>(builder: MemoBuilder<Unnamed, V, C>, observe: F) -> MemoBuilder<Unnamed, V, C>
where
    F: Fn(&Event<'_>) + Send + Sync + 'static,
{
    builder.observer_of(observe, TypeId::of::<Unnamed>())
}

/// Shows a line of `text` while a slow computation runs.
pub fn spinner<B: Spins>(builder: B, text: &str) -> B {
    builder.spinner(text)
}

/// A builder that takes a spinner, which needs a feature.
#[diagnostic::on_unimplemented(
    message = "the option `spinner` needs the feature `spinner` of memolith",
    label = "switch the feature on, or leave this out",
    note = "in Cargo.toml: memolith = {{ version = \"..\", features = [\"spinner\"] }}"
)]
pub trait Spins {
    /// With a spinner.
    #[must_use]
    fn spinner(self, text: &str) -> Self;
}

#[cfg(feature = "spinner")]
impl<V, C> Spins for MemoBuilder<Unnamed, V, C> {
    fn spinner(self, text: &str) -> Self {
        observer(self, crate::observe::Spinner::new(text))
    }
}

/// A call that has asked its memo and may have to compute. The key is done with.
#[derive(Debug)]
#[must_use = "whoever waits for this computation waits until it is dropped"]
pub struct Call<V: 'static>(PendingCall<'static, V>);

impl<V: 'static> OpenedMemo<Unnamed, V> {
    /// Asks the memo.
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
    /// Of a function that cannot fail. A panic of the body unwinds, and hands over to one of those who wait.
    #[inline]
    pub fn plain(self, body: impl FnOnce() -> V) -> V
    where
        V: Clone + Send + Sync,
    {
        match self.0.finish(|| Ok::<V, Infallible>(body())) {
            Ok(value) => value,
        }
    }

    /// Of a function that may fail: its error is passed on untouched.
    ///
    /// # Errors
    ///
    /// Those of the body.
    #[inline]
    pub fn fallible<E>(self, body: impl FnOnce() -> Result<V, E>) -> Result<V, E>
    where
        V: Clone + Send + Sync,
    {
        self.0.finish(body)
    }
}

/// A call on the pool of the process. The type of `site` is the function's own: two functions never share a resource.
#[inline]
pub fn resource<T, P, K>(cells: &'static Cells, _site: P, key: &K) -> ResourceEntry<'static, T>
where
    T: Send + Sync + 'static,
    P: FnOnce() + 'static,
    K: Serialize + ?Sized,
{
    let function = cells.get::<P, claims::FunctionNumber>(claims::FunctionNumber::fresh);
    ResourcePool::global().entry(&ResourceKey { function: function.get(), key })
}

/// The resource of a function that cannot fail. Where the type arguments of a generic function make it a `Result`, it is
/// built by each call and not kept, as it may be an error.
#[inline]
pub fn share<T: Send + Sync + 'static>(
    entry: ResourceEntry<'static, T>,
    build: impl FnOnce() -> T,
) -> Arc<T> {
    let entry = match results(type_name::<T>()) {
        Results::Itself => entry.ttl(Duration::ZERO),
        Results::None | Results::Within => entry,
    };
    entry.or_insert_with(build)
}

/// The key of a resource. As a struct of this name it meets no key that a user gives the same pool.
#[derive(Serialize)]
#[serde(rename = "memolith::resource")]
struct ResourceKey<'a, K: ?Sized> {
    function: u64,
    key: &'a K,
}

/// One part of a key, as it is: a place for the compiler to say that it cannot be serialized.
#[inline]
pub fn part<T: Serialize + ?Sized>(part: &T) -> &T {
    part
}

/// The stamp of a file, as one part of a key. A file that has none makes a key that cannot be serialized, and so a
/// call that computes and tells why.
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
