//! What a function returns, checked by type: an attribute sees only how it is written.
//!
//! A method of [`Returned`] is the one of its own `impl` for a `Result`; for any other type the compiler finds none
//! there, goes on through `Deref`, and finds that of [`AnyReturned`]. Neither needs an import. In a generic function, where the type is
//! not known yet, it is always `AnyReturned`; so what is generic is looked at again while the program runs, by [`results`].

use std::{borrow::Borrow, marker::PhantomData, ops::Deref};

use super::{Cells, Function, OpenedMemo, Unnamed};
use crate::{builder::MemoBuilder, codec::Codec, memo::Memo, store::Store};

/// A `Result`, under whatever name.
#[diagnostic::on_unimplemented(
    message = "this function returns a type called `Result` that is not the one of `std`",
    label = "an error could not be told from a value",
    note = "call it otherwise in the signature, as by `type Answer = ..`, and it is remembered whole"
)]
pub trait Fallible {
    /// Stored when there is one.
    type Value;
    /// Passed on, never stored.
    type Error;
}

impl<T, E> Fallible for Result<T, E> {
    type Value = T;
    type Error = E;
}

/// Never implemented: what a `Result` would have to be to be remembered whole.
#[diagnostic::on_unimplemented(
    message = "this function returns a `Result` under another name",
    label = "its errors would be remembered",
    note = "write it as `Result<..>`, or as an alias of that name, so that an error is passed on"
)]
pub trait RememberedWhole {}

/// Never implemented: what a `Result` would have to be to be remembered as a part of another type.
#[diagnostic::on_unimplemented(
    message = "this function returns a `Result` within another type",
    label = "an error in it would be remembered",
    note = "return one `Result` around all, as `collect::<Result<Vec<_>, _>>()` and `transpose()` make it, or say by the \
            option `cache_if` which values are stored"
)]
pub trait RememberedWithin {}

/// The type that a function returns, or a part of it.
#[derive(Debug)]
pub struct Returned<T: ?Sized>(AnyReturned<T>);

/// The same, of a type that is not known to be a `Result`.
#[derive(Debug)]
pub struct AnyReturned<T: ?Sized>(PhantomData<fn() -> Box<T>>);

impl<T: ?Sized> Returned<T> {
    /// Of any type.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "nobody but an attribute makes one")]
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
    /// Compiles for anything but a `Result`.
    #[inline]
    pub const fn is_no_result(&self) {}

    /// The same, with the words for a part of a type.
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

    /// Compiles for nothing, and asks nothing else of the type, so that there is one error and no other.
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

/// Each is found before that of [`AnyReturned`]. All but one compile for nothing, and ask nothing else of the types.
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

    /// A `Result` that is not called so.
    pub const fn is_no_result(&self)
    where
        Result<T, E>: RememberedWhole,
    {
    }

    /// A `Result` in another type.
    pub const fn is_no_result_within(&self)
    where
        Result<T, E>: RememberedWithin,
    {
    }

    /// A `Result` that is not called so.
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

    /// Compiles, because the function beside it does not.
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

/// In place of an [`OpenedMemo`] and of a [`Call`](super::Call), where there is an error already.
#[derive(Debug)]
#[must_use = "it stands for a call"]
pub struct RefusedReturn<R>(PhantomData<fn() -> R>);

impl<R> RefusedReturn<R> {
    /// As that of [`OpenedMemo`].
    pub const fn call<K: ?Sized>(self, _: &K) -> Self {
        self
    }

    /// As that of [`Call`](super::Call).
    pub fn plain(self, body: impl FnOnce() -> R) -> R {
        body()
    }

    /// As that of [`Call`](super::Call).
    pub fn fallible(self, body: impl FnOnce() -> R) -> R {
        body()
    }
}

/// Compiles when a function that returns `R` has the value type `V` that its text suggested.
pub const fn same<V, R: Fallible<Value = V>>() {}
