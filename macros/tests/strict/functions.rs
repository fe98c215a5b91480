//! Functions of every form under an attribute. The crates that contain this module deny and forbid every lint there is.

use core::{fmt::Error, future::ready};

use memolith::{code, effects::emit, memo, resource};
use serde::{Serialize, de::DeserializeOwned};

/// Something to share, and to have methods.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Table {
    /// A field.
    rows: u8,
}

impl Table {
    /// An associated function.
    #[memo]
    #[inline]
    #[must_use]
    pub fn first(rows: &[u8]) -> Option<u8> {
        return rows.first().copied();
    }

    /// A method.
    #[memo(skip(self))]
    #[inline]
    #[must_use]
    pub fn masked(&self, mask: u8) -> u8 {
        return self.rows & mask;
    }

    /// An async method.
    #[memo(skip(self))]
    #[inline]
    pub async fn awaited(&self, mask: &u8) -> u8 {
        ready(()).await;
        return self.rows & *mask;
    }

    #[memo]
    fn private(first: u8) -> u8 {
        return first;
    }

    async fn is_good(&self) -> bool {
        ready(()).await;
        return self.rows > 0;
    }

    #[resource]
    fn private_resource(first: u8) -> u8 {
        return first;
    }
}

/// With many options.
#[memo(ttl = "1h", max_entries = 5, cache_if = |text: &String| return !text.is_empty(), observer = |_event| {})]
#[inline]
#[must_use]
pub fn page(url: &str, count: u8, _hint: bool) -> String {
    return url.repeat(usize::from(count));
}

/// With a handler of its effects.
#[memo(ttl = "1h", effects = draw)]
#[inline]
#[must_use]
pub fn drawn(day: u8) -> u8 {
    _ = emit([u64::from(day); 4]);
    return day;
}

const fn draw(_days: &[u64; 4]) {}

/// Fallible.
///
/// # Errors
///
/// None.
#[memo(skip(verbose), name = "rows")]
#[inline]
pub fn rows(table: &str, verbose: bool) -> Result<Vec<u8>, Error> {
    return Ok(vec![u8::from(verbose); table.len()]);
}

/// With a key of its own and a helper.
#[memo(key: (u8, bool) = (first, true), depends(helper))]
#[inline]
#[must_use]
pub fn keyed(first: u8) -> u8 {
    return helper(first);
}

/// A helper, which may be `const`.
#[code]
#[inline]
#[must_use]
pub const fn helper(first: u8) -> u8 {
    return first;
}

/// A resource with options.
#[resource(ttl = "1h", max_entries = 5, validate = |_shared: &Table| return true, observer = |_event| {})]
#[inline]
#[must_use]
pub fn shared(rows: u8) -> Table {
    return Table { rows };
}

/// A resource that may fail.
///
/// # Errors
///
/// None.
#[resource]
#[inline]
pub fn tried(rows: u8) -> Result<Table, Error> {
    return Ok(Table { rows });
}

/// Async and fallible, with options.
///
/// # Errors
///
/// None.
#[memo(ttl = "1h", stale_for = "1h", skip(verbose), cache_if = |rows: &Vec<u8>| return !rows.is_empty())]
#[inline]
pub async fn fetched(table: &str, verbose: bool, mut count: usize) -> Result<Vec<u8>, Error> {
    count = count.max(1);
    ready(()).await;
    return Ok(vec![u8::from(verbose); table.len().max(count)]);
}

/// Async, and generic.
#[memo]
#[inline]
#[must_use]
pub async fn awaited<T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static>(value: T) -> Vec<T> {
    ready(()).await;
    return vec![value];
}

/// An async resource.
#[resource(ttl = "1h", validate = Table::is_good)]
#[inline]
pub async fn connected(rows: u8) -> Table {
    ready(()).await;
    return Table { rows };
}

/// An async resource that may fail.
///
/// # Errors
///
/// None.
#[resource(validate = async |_shared: &Table| return true)]
#[inline]
pub async fn reconnected(rows: u8) -> Result<Table, Error> {
    ready(()).await;
    return Ok(Table { rows });
}

/// An async resource with a closure.
#[resource(validate = |_shared: &Table| return true)]
#[inline]
pub async fn connected_once(rows: u8) -> Table {
    ready(()).await;
    return Table { rows };
}

/// An async helper.
#[code]
#[inline]
#[must_use]
pub async fn async_helper(first: u8) -> u8 {
    ready(()).await;
    return first;
}

#[memo]
async fn async_underscored(first: u8, _seen: u8) -> u8 {
    return async_helper(first.wrapping_add(_seen)).await;
}

/// Generic, with bounds in front.
#[memo]
#[inline]
#[must_use]
pub fn listed<T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static>(value: T) -> Vec<T> {
    return vec![value];
}

/// Generic, with bounds behind.
#[memo]
#[inline]
#[must_use]
pub fn wrapped<T>(value: T) -> Option<T>
where
    T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    return Some(value);
}

/// With the values of built-in macros.
#[memo]
#[inline]
#[must_use]
pub fn built_in(length: u8) -> bool {
    #[cfg(not(test))]
    let length = length.wrapping_add(1);
    return cfg!(test) && include_str!("functions.rs").len() > usize::from(length);
}

#[memo]
fn underscored(first: u8, _seen: u8) -> u8 {
    return first.wrapping_add(_seen);
}

#[memo]
#[deprecated]
fn old(first: u8) -> u8 {
    return first;
}

#[memo]
#[expect(non_snake_case, reason = "the companion is called so too")]
fn Camel(first: u8) -> u8 {
    return first;
}

/// With a companion that is used.
#[memo]
#[cfg_attr(test, inline)]
fn counted(first: u8) -> u8 {
    return first;
}

macro_rules! function {
    ($name:ident($argument:ident), $ttl:literal, $body:block) => {
        #[memo(ttl = $ttl)]
        pub(super) fn $name($argument: u8) -> u8 $body

        #[memo]
        pub(super) fn by_macro(first: u8) -> u8 {
            return first;
        }
    };
}

function!(given(first), "1h", { return first.max(7) });

/// Calls the async functions.
pub(super) async fn run_async() -> [u8; 7] {
    let table = Table { rows: 3 };
    return [
        table.awaited(&2).await,
        fetched("rows", true, 1).await.unwrap().first().copied().unwrap(),
        awaited(table.rows).await.first().copied().unwrap(),
        connected(1).await.rows,
        reconnected(1).await.unwrap().rows,
        connected_once(1).await.rows,
        async_underscored(1, 1).await,
    ];
}

/// Calls the private functions.
#[expect(deprecated, reason = "it is deprecated")]
pub(super) fn run() -> [usize; 8] {
    let numbers = [
        old(1),
        underscored(1, 1),
        Camel(1),
        Table::private(1),
        *Table::private_resource(1),
        counted(1),
        given(1).max(by_macro(1)),
        u8::from(counted_memo().is_empty().unwrap()),
    ];
    return numbers.map(usize::from);
}
