//! The pools of functions under `#[resource]`.

use std::{
    any::{TypeId, type_name},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

use super::{
    cells::Cells,
    claims::{self, EntryPoint},
    identity::{Function, Types, identity},
    instance::{Instance, instance},
    results::{Results, results},
};
use crate::pool::{FunctionPool, ResourceEntry, ResourcePool, ResourcePoolBuilder};

/// A call on the pool of a function. The first call makes the pool by `plan`.
#[inline]
pub fn resource<T, P, K>(
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
    of_function(cells, function, plan).entry(key)
}

/// The pool of a function for its own calls.
#[inline]
pub(super) fn of_function<P>(
    cells: &'static Cells,
    function: &'static Function,
    plan: P,
) -> &'static ResourcePool
where
    P: FnOnce(ResourcePoolBuilder) -> ResourcePoolBuilder + 'static,
{
    cells.get::<P, _>(|| open(function, EntryPoint::Function, plan))
}

/// The same pool for the handle of the function, with the types of key and resource.
#[inline]
pub fn pool<K, T, P>(
    cells: &'static Cells,
    function: &'static Function,
    plan: P,
) -> &'static FunctionPool<K, T>
where
    K: ?Sized + 'static,
    T: Send + Sync + 'static,
    P: FnOnce(ResourcePoolBuilder) -> ResourcePoolBuilder + 'static,
{
    cells.get::<P, _>(|| FunctionPool::new(open(function, EntryPoint::Handle, plan)))
}

/// The expressions of the user's options run before any lock is taken.
///
/// A function without a known handle has a pool of its own all the same: two functions never share a resource.
fn open<P>(function: &Function, entry: EntryPoint, plan: P) -> ResourcePool
where
    P: FnOnce(ResourcePoolBuilder) -> ResourcePoolBuilder + 'static,
{
    let (closure, mark) = (type_name::<P>(), TypeId::of::<P>());
    let name = identity(closure, function);
    let (made, checked) = plan(ResourcePool::builder().function(&name)).build_anyway();
    let claim = |code| claims::claim_pool(&name, code, entry, mark, &made);
    let claimed = match (function.types, instance(closure, function, mark)) {
        (Types::OfClosure, _) | (_, Instance::Unknown) => None,
        (_, Instance::Named) => claim(function.code.hash()),
        (_, Instance::Numbered(number)) => claim(function.code.hash_of_instance(number)),
    };
    let is_linked = claimed.is_some();
    let pool = claimed.unwrap_or_else(|| made.clone());
    if !pool.is_same(&made) {
        return pool;
    }
    if is_linked || entry == EntryPoint::Function {
        pool.register();
    } else {
        pool.failed(claims::unlinked(&name));
    }
    if let Err(error) = checked {
        pool.failed(error);
    }
    pool
}

/// The resource of a function that cannot fail. If the type arguments of a generic function make it a `Result`, each call
/// builds it and it is not kept, because it may be an error.
#[inline]
pub fn share<T: Send + Sync + 'static>(
    entry: ResourceEntry<'static, T>,
    build: impl FnOnce() -> T,
) -> Arc<T> {
    let entry = if is_result::<T>() { entry.ttl(Duration::ZERO) } else { entry };
    entry.or_insert_with(build)
}

/// Whether a resource may be an error, which is not kept.
pub(super) fn is_result<T>() -> bool {
    results(type_name::<T>()) == Results::Itself
}
