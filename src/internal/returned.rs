//! Checks the return type of a function by its type. An attribute sees only its tokens.
//!
//! For a `Result`, a method of [`Returned`] is that of its `impl` for `Result`. For any other type the compiler finds no
//! such method, continues through `Deref`, and finds the method of [`AnyReturned`]. Neither needs an import. In a generic
//! function the type is not known yet, so it is always `AnyReturned`; there [`results`] checks the type at run time.

use std::{borrow::Borrow, marker::PhantomData, ops::Deref};

use super::{Cells, Function, OpenedMemo, Unnamed};
use crate::{builder::MemoBuilder, codec::Codec, memo::Memo, store::Store};

/// A `Result` under any name.
#[diagnostic::on_unimplemented(
    message = "this function returns a type called `Result` that is not the one of `std`",
    label = "an error cannot be distinguished from a value",
    note = "give it another name in the signature, for example by `type Answer = ..`: then it is stored as a whole"
)]
pub trait Fallible {
    /// The type of stored values.
    type Value;
    /// The type of errors, which are never stored.
    type Error;
}

impl<T, E> Fallible for Result<T, E> {
    type Value = T;
    type Error = E;
}

/// Never implemented. A bound on it makes a `Result` under another name a compile error.
#[diagnostic::on_unimplemented(
    message = "this function returns a `Result` under another name",
    label = "its errors would be stored",
    note = "write it as `Result<..>`, or as an alias of that name, so that errors are returned and not stored"
)]
pub trait RememberedWhole {}

/// Never implemented. A bound on it makes a `Result` inside another type a compile error.
#[diagnostic::on_unimplemented(
    message = "this function returns a `Result` within another type",
    label = "an error in it would be stored",
    note = "return one `Result` around all, for example by `collect::<Result<Vec<_>, _>>()` or `transpose()`, or choose the \
            stored values by the option `cache_if`"
)]
pub trait RememberedWithin {}

/// The type that a function returns, or a part of it.
#[derive(Debug)]
pub struct Returned<T: ?Sized>(AnyReturned<T>);

/// The same for a type that is not known to be a `Result`.
#[derive(Debug)]
pub struct AnyReturned<T: ?Sized>(PhantomData<fn() -> Box<T>>);

impl<T: ?Sized> Returned<T> {
    /// For any type.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only an attribute makes one")]
    pub const fn new() -> Self {
        Self(AnyReturned(PhantomData))
    }
}

impl<T: ?Sized> Deref for Returned<T> {
    type Target = AnyReturned<T>;

    #[inline]
    fn deref(&self) -> &AnyReturned<T> {
        &self.0
    }
}

impl<T: ?Sized> AnyReturned<T> {
    /// Compiles for every type except a `Result`.
    #[inline]
    pub const fn is_no_result(&self) {}

    /// The same, with the message for a part of a type.
    #[inline]
    pub const fn is_no_result_within(&self) {}
}

impl<V: 'static> AnyReturned<V> {
    /// [`memo`](super::memo) of this value type.
    #[inline]
    pub fn memo<C, S, P>(
        &self,
        cells: &'static Cells,
        function: &'static Function,
        plan: P,
    ) -> &'static OpenedMemo<Unnamed, V>
    where
        V: Clone + Send + Sync,
        C: Codec<V>,
        S: Borrow<Store>,
        P: FnOnce(MemoBuilder<Unnamed, V>) -> (S, MemoBuilder<Unnamed, V, C>) + 'static,
    {
        super::memo(cells, function, plan)
    }

    /// [`handle`](super::handle) of this value type.
    #[inline]
    pub fn handle<K, C, S, P>(
        &self,
        cells: &'static Cells,
        function: &'static Function,
        plan: P,
    ) -> &'static Memo<K, V>
    where
        K: ?Sized + 'static,
        V: Clone + Send + Sync,
        C: Codec<V>,
        S: Borrow<Store>,
        P: FnOnce(MemoBuilder<Unnamed, V>) -> (S, MemoBuilder<Unnamed, V, C>) + 'static,
    {
        super::handle(cells, function, plan)
    }

    /// Compiles for no type. It has no other bounds, so that there is only one error.
    pub fn fallible<S, B>(
        &self,
        _: &'static Cells,
        _: &'static Function,
        _: impl FnOnce(MemoBuilder<Unnamed, V>) -> (S, B),
    ) -> RefusedReturn<V>
    where
        V: Fallible,
    {
        RefusedReturn(PhantomData)
    }
}

/// The compiler finds these methods before those of [`AnyReturned`]. Except `fallible` and `handle`, they compile for no
/// type, and have no other bounds.
impl<T: 'static, E> Returned<Result<T, E>> {
    /// [`memo`](super::memo) of the value of a function that may fail.
    #[inline]
    pub fn fallible<C, S, P>(
        &self,
        cells: &'static Cells,
        function: &'static Function,
        plan: P,
    ) -> &'static OpenedMemo<Unnamed, T>
    where
        T: Clone + Send + Sync,
        C: Codec<T>,
        S: Borrow<Store>,
        P: FnOnce(MemoBuilder<Unnamed, T>) -> (S, MemoBuilder<Unnamed, T, C>) + 'static,
    {
        super::memo(cells, function, plan)
    }

    /// Refuses a `Result` under another name.
    pub const fn is_no_result(&self)
    where
        Result<T, E>: RememberedWhole,
    {
    }

    /// Refuses a `Result` inside another type.
    pub const fn is_no_result_within(&self)
    where
        Result<T, E>: RememberedWithin,
    {
    }

    /// Refuses a `Result` under another name.
    pub fn memo<S, B>(
        &self,
        _: &'static Cells,
        _: &'static Function,
        _: impl FnOnce(MemoBuilder<Unnamed, Result<T, E>>) -> (S, B),
    ) -> RefusedReturn<Result<T, E>>
    where
        Result<T, E>: RememberedWhole,
    {
        RefusedReturn(PhantomData)
    }

    /// Compiles, because its function has the error.
    #[must_use]
    pub fn handle<K: ?Sized, S, B>(
        &self,
        _: &'static Cells,
        _: &'static Function,
        _: impl FnOnce(MemoBuilder<Unnamed, Result<T, E>>) -> (S, B),
    ) -> &'static Memo<K, Result<T, E>>
    where
        E: 'static,
    {
        unreachable!("the function of this handle does not compile")
    }
}

/// Replaces an [`OpenedMemo`] and a [`Call`](super::Call) after a compile error, so that there is no second error.
#[derive(Debug)]
#[must_use = "it replaces a call"]
pub struct RefusedReturn<R>(PhantomData<fn() -> R>);

impl<R> RefusedReturn<R> {
    /// Like [`OpenedMemo::call`].
    pub const fn call<K: ?Sized>(self, _: &K) -> Self {
        self
    }

    /// Like [`OpenedMemo::task`].
    pub const fn task<K: ?Sized>(self, _: &K) -> RefusedTask<R> {
        RefusedTask(self)
    }

    /// Like [`OpenedMemo::load`].
    pub const fn load<K: ?Sized>(self, _: &K) -> Self {
        self
    }

    /// Like [`Load::behind_plain`](super::Load::behind_plain).
    pub fn behind_plain<J: FnOnce() -> R>(self, _: impl FnOnce() -> J) -> Self {
        self
    }

    /// Like [`Load::behind_fallible`](super::Load::behind_fallible).
    pub fn behind_fallible<J: FnOnce() -> R>(self, _: impl FnOnce() -> J) -> Self {
        self
    }

    /// Like [`Call::plain`](super::Call::plain).
    pub fn plain(self, body: impl FnOnce() -> R) -> R {
        body()
    }

    /// Like [`Call::fallible`](super::Call::fallible).
    pub fn fallible(self, body: impl FnOnce() -> R) -> R {
        body()
    }
}

/// The same for an [`AsyncCall`](super::AsyncCall).
#[derive(Debug)]
#[must_use = "it replaces a call"]
pub struct RefusedTask<R>(RefusedReturn<R>);

impl<R> RefusedTask<R> {
    /// Like [`AsyncCall::plain`](super::AsyncCall::plain).
    pub async fn plain<F: Future<Output = R>>(self, body: impl FnOnce() -> F) -> R {
        body().await
    }

    /// Like [`AsyncCall::fallible`](super::AsyncCall::fallible).
    pub async fn fallible<F: Future<Output = R>>(self, body: impl FnOnce() -> F) -> R {
        body().await
    }
}

/// Compiles if a function that returns `R` has the value type `V` that its tokens suggested.
pub const fn same<V, R: Fallible<Value = V>>() {}
