//! Functions under an attribute where no name of the standard library is in scope.

#![no_implicit_prelude]
#![allow(
    clippy::absolute_paths,
    clippy::std_instead_of_alloc,
    reason = "an import would bring a name into scope"
)]

/// Something to have methods.
#[::core::prelude::v1::derive(::core::fmt::Debug)]
#[non_exhaustive]
pub struct Table;

impl Table {
    /// Fallible, with a file in its key.
    ///
    /// # Errors
    ///
    /// None.
    #[::memolith::memo(skip(self), files(path), handle = lines_of)]
    #[inline]
    pub fn lines(
        &self,
        path: &::std::path::Path,
    ) -> ::core::result::Result<::std::vec::Vec<bool>, ::std::string::String> {
        return ::core::result::Result::Ok(::std::vec![path.as_os_str().len() > 3]);
    }
}

/// With options, and with the values of built-in macros.
#[::memolith::memo(
    ttl = "1h",
    name = "doubled",
    cache_if = |_number| return true,
    effects(|_number: &u8| {}, |_text: &::std::string::String| {}),
    observer = |_event| {},
    depends(helper)
)]
#[inline]
#[must_use]
pub fn doubled(number: u8) -> u8 {
    return helper(number).wrapping_mul(if ::core::cfg!(test) { 2 } else { 3 });
}

/// A helper.
#[::memolith::code]
#[inline]
#[must_use]
pub fn helper(number: u8) -> u8 {
    return ::core::option_env!("NO_SUCH_VARIABLE_IS_SET").map_or(number, |_set| return 0);
}

/// A resource that may fail.
///
/// # Errors
///
/// None.
#[::memolith::resource(ttl = "1h", validate = |_number| return true)]
#[inline]
pub fn tried(number: u8) -> ::core::result::Result<u8, ::core::fmt::Error> {
    return ::core::result::Result::Ok(number);
}

/// An async function.
///
/// # Errors
///
/// None.
#[::memolith::memo(ttl = "1h")]
#[inline]
pub async fn awaited(number: u8) -> ::core::result::Result<u8, ::core::fmt::Error> {
    ::core::future::ready(()).await;
    return ::core::result::Result::Ok(number);
}

/// An async resource.
#[::memolith::resource(validate = |_number| return true)]
#[inline]
pub async fn made(number: u8) -> u8 {
    ::core::future::ready(()).await;
    return number;
}

/// Calls the async functions.
pub(super) async fn run_async() -> u8 {
    return *made(awaited(7).await.unwrap_or(0)).await;
}

/// Calls them.
pub(super) fn run() -> (bool, u8, u8) {
    let here = ::std::path::Path::new(::core::env!("CARGO_MANIFEST_DIR"));
    let is_long =
        Table.lines(here).is_ok_and(|lines| return lines.first() == ::core::option::Option::Some(&true));
    return (is_long, doubled(1), tried(5).map_or(0, |number| return *number));
}
