//! What a function returns, checked by type: an attribute sees only how it is written.

use std::marker::PhantomData;

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

/// The type that a function returns.
#[derive(Debug)]
pub struct Returned<T>(PhantomData<fn() -> T>);

impl<T> Returned<T> {
    /// Of any type.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "nobody but an attribute makes one")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// What is not a `Result`: a method of this trait is found when there is none of the type's own.
pub trait Plain {
    /// Compiles for anything but a `Result`.
    fn is_no_result(&self);
}

impl<T> Plain for Returned<T> {
    #[inline]
    fn is_no_result(&self) {}
}

impl<T, E> Returned<Result<T, E>> {
    /// Found before that of [`Plain`], and compiles for nothing.
    pub fn is_no_result(&self)
    where
        Result<T, E>: RememberedWhole,
    {
    }
}

/// Compiles when a function that returns `R` has the value type `V` that its text suggested.
pub const fn same<V, R: Fallible<Value = V>>() {}
