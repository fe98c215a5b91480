//! Calls of async functions.

use std::{future::Future, result, sync::Arc, time::Duration};

use serde::Serialize;

use super::{Cells, Function, OpenedMemo, Unnamed, pools};
use crate::{
    flow::TaskKey,
    future::{self, ResourceEntry},
    memo::Memo,
    pool::ResourcePoolBuilder,
};

/// A call before its lookup. The key is encoded, and no longer needed.
#[derive(Debug)]
#[must_use = "nothing is looked up until the future of `plain` or `fallible` is polled"]
pub struct AsyncCall<V: 'static> {
    memo: &'static Memo<Unnamed, V>,
    /// `None` if the call must touch nothing.
    key: Option<TaskKey>,
}

impl<V: Clone + Send + Sync + 'static> OpenedMemo<Unnamed, V> {
    /// Encodes the key.
    #[inline]
    pub fn task<K: Serialize + ?Sized>(&'static self, key: &K) -> AsyncCall<V> {
        let memo = &self.memo;
        let key = match &self.refused {
            None => memo.task_key(key),
            Some(error) => memo.refused_task_key(error),
        };
        AsyncCall { memo, key }
    }
}

impl<V: Clone + Send + Sync + 'static> AsyncCall<V> {
    /// For a function that cannot fail.
    pub async fn plain<F: Future<Output = V>>(self, body: impl FnOnce() -> F) -> V {
        future::get_or_insert_with(self.memo.inner(), self.key, body).await
    }

    /// For a function that may fail. Its error is returned unchanged.
    ///
    /// # Errors
    ///
    /// The errors of the body.
    pub async fn fallible<E, F>(self, body: impl FnOnce() -> F) -> result::Result<V, E>
    where
        F: Future<Output = result::Result<V, E>>,
    {
        future::get_or_try_insert_with(self.memo.inner(), self.key, body).await
    }
}

/// [`resource`](super::resource) for an async function.
#[inline]
pub fn resource_in_task<T, P, K>(
    cells: &'static Cells,
    function: &'static Function,
    plan: P,
    key: &K,
) -> ResourceEntry<'static, T>
where
    T: Send + Sync + 'static,
    P: FnOnce(ResourcePoolBuilder) -> ResourcePoolBuilder + 'static,
    K: Serialize + ?Sized,
{
    ResourceEntry::new(pools::of_function(cells, function, plan), key)
}

/// [`share`](super::share) for an async function.
pub async fn share_in_task<T, F, C, B>(
    entry: ResourceEntry<'static, T, F>,
    build: impl FnOnce() -> B,
) -> Arc<T>
where
    T: Send + Sync + 'static,
    F: FnOnce(Arc<T>) -> C,
    C: Future<Output = bool>,
    B: Future<Output = T>,
{
    let entry = if pools::is_result::<T>() { entry.ttl(Duration::ZERO) } else { entry };
    entry.or_insert_with(build).await
}

/// Asks a closure whether a resource may still be used.
pub async fn check<T>(resource: Arc<T>, is_valid: impl FnOnce(&T) -> bool) -> bool {
    is_valid(&resource)
}

/// Asks an async closure whether a resource may still be used.
pub async fn check_in_task<T, F: AsyncFnOnce(&T) -> bool>(resource: Arc<T>, is_valid: F) -> bool {
    is_valid(&resource).await
}

/// Asks a function, which is async or not, whether a resource may still be used.
pub async fn check_either<T, K, F: Validates<T, K>>(resource: Arc<T>, is_valid: F) -> bool {
    is_valid.check(resource).await
}

/// A function that tells whether a resource may still be used. `K` distinguishes the two forms.
#[diagnostic::on_unimplemented(
    message = "`validate` cannot ask `{Self}` about a `{T}`",
    label = "this is neither a function of `&{T}` that returns a `bool`, nor such an `async` one",
    note = "write `validate = is_alive` for `fn is_alive(resource: &{T}) -> bool` or `async fn is_alive(resource: &{T}) -> bool`"
)]
pub trait Validates<T, K> {
    /// Asks it.
    fn check(self, resource: Arc<T>) -> impl Future<Output = bool>;
}

/// The form that is not async.
#[derive(Debug)]
pub enum Blocking {}

/// The async form.
#[derive(Debug)]
pub enum InTask {}

#[diagnostic::do_not_recommend]
impl<T, F: FnOnce(&T) -> bool> Validates<T, Blocking> for F {
    async fn check(self, resource: Arc<T>) -> bool {
        self(&resource)
    }
}

#[diagnostic::do_not_recommend]
impl<T, F: AsyncFnOnce(&T) -> bool> Validates<T, InTask> for F {
    async fn check(self, resource: Arc<T>) -> bool {
        self(&resource).await
    }
}
