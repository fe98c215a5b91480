//! The names of functions under an attribute in this process.
//!
//! A name comes from the compiler or from the user, and may not be unique: two blocks of one function may contain two
//! functions of one name. They must not share a memo or a pool. So the first function claims the name, and any other function
//! gets an error.

use std::{any::TypeId, collections::BTreeMap, sync::Mutex};

use crate::{
    error::{Error, ErrorKind, Result},
    pool::ResourcePool,
    store::Store,
    sync::lock,
};

/// The two places that open the memo or the pool of one function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryPoint {
    Function,
    Handle,
}

/// The function that has a name.
struct NameClaim<H> {
    code: u64,
    /// The store or the pool of the entry point that opened first. The other one has made another.
    home: H,
    /// The type of the closure at the entry point of the function. It is unrelated to that of the handle: only equal code
    /// hashes link the two.
    function: Option<TypeId>,
    /// The type of the closure at the entry point of the handle.
    handle: Option<TypeId>,
}

/// The claims by name.
struct Claims<H>(Mutex<BTreeMap<String, NameClaim<H>>>);

impl<H: Clone> Claims<H> {
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Claims `name`, and returns the home of the function. `None` if another function has the name.
    fn claim(&self, name: &str, code: u64, entry: EntryPoint, mark: TypeId, home: &H) -> Option<H> {
        let mut claims = lock(&self.0);
        let anew = || NameClaim { code, home: home.clone(), function: None, handle: None };
        let claim = claims.entry(name.to_owned()).or_insert_with(anew);
        let holder = match entry {
            EntryPoint::Function => &mut claim.function,
            EntryPoint::Handle => &mut claim.handle,
        };
        (claim.code == code && *holder.get_or_insert(mark) == mark).then(|| claim.home.clone())
    }
}

static MEMOS: Claims<Store> = Claims::new();

static POOLS: Claims<ResourcePool> = Claims::new();

/// Claims `name` for a memo, and returns its store.
pub(super) fn claim(name: &str, code: u64, entry: EntryPoint, mark: TypeId, store: &Store) -> Result<Store> {
    MEMOS.claim(name, code, entry, mark, store).ok_or_else(|| {
        let message = format!(
            "another memoized function is called `{name}` too, so this one computes at each call: give one of them a name of \
             its own, `#[memo(name = \"..\")]`"
        );
        Error::new(ErrorKind::Config, message)
    })
}

/// Claims the pool of a function, and returns it. Resources do not outlive the process, so functions of one name and other
/// code have a pool each.
pub(super) fn claim_pool(
    name: &str,
    code: u64,
    entry: EntryPoint,
    mark: TypeId,
    pool: &ResourcePool,
) -> Option<ResourcePool> {
    POOLS.claim(&format!("{name} {code}"), code, entry, mark, pool)
}

/// The error of a handle that does not know the pool of its function.
pub(super) fn unlinked(name: &str) -> Error {
    let message = format!(
        "this handle does not show the resources of `{name}`: another function has this name, or a macro hides the type \
         around it from the attribute; give the function a name of its own, or write it outside of the macro"
    );
    Error::new(ErrorKind::Config, message)
}

/// The error of a function that is generic over a closure: all closures of one function have one name.
pub(super) fn unnameable(name: &str) -> Error {
    let message = format!(
        "the memoized function `{name}` is generic over a closure, which has no name of its own, so it computes at each call: \
         take the closure as `&dyn Fn(..)`, or a `fn` in its place"
    );
    Error::new(ErrorKind::Config, message)
}

/// The error of an instance whose name may be that of others.
pub(super) fn ambiguous(name: &str) -> Error {
    let message = format!(
        "the memoized function `{name}` is generic by the type around it, which a macro hides from the attribute, and the \
         compiler may give its name to another instance too, so it computes at each call: write it outside of the macro, or \
         say by `#[memo(version = n)]` that no two types here have one name"
    );
    Error::new(ErrorKind::Config, message)
}

/// The error of a function with a `Result` inside its value type.
pub(super) fn remembers_errors(name: &str, type_name: &str) -> Error {
    let message = format!(
        "the memoized function `{name}` returns `{type_name}`, in which an error would be remembered, so it computes at each \
         call: return one `Result` around all and write it as `Result<..>`, or say by `cache_if` which values within are stored"
    );
    Error::new(ErrorKind::Config, message)
}
