//! The names of memoized functions in this process.
//!
//! A name comes from the compiler or from the user, and may not be unique: two blocks of one function may contain two
//! functions of one name. They must not share a memo. So the first function claims the name, and any other function gets
//! an error.

use std::{
    any::TypeId,
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{
    error::{Error, ErrorKind, Result},
    store::Store,
    sync::lock,
};

/// The two places that open a memo for one function.
#[derive(Clone, Copy)]
pub(super) enum EntryPoint {
    Function,
    Handle,
}

/// The function that has a name.
struct NameClaim {
    code: u64,
    /// The store of the entry point that opened first. The expression of the other one may make another store.
    store: Store,
    /// The type of the closure at the entry point of the function. It is unrelated to that of the handle: only equal code
    /// hashes link the two.
    function: Option<TypeId>,
    /// The type of the closure at the entry point of the handle.
    handle: Option<TypeId>,
}

static CLAIMS: Mutex<BTreeMap<String, NameClaim>> = Mutex::new(BTreeMap::new());

/// Claims `name`, and returns the store of its memo.
pub(super) fn claim(name: &str, code: u64, entry: EntryPoint, mark: TypeId, store: &Store) -> Result<Store> {
    let mut claims = lock(&CLAIMS);
    let anew = || NameClaim { code, store: store.clone(), function: None, handle: None };
    let claim = claims.entry(name.to_owned()).or_insert_with(anew);
    let holder = match entry {
        EntryPoint::Function => &mut claim.function,
        EntryPoint::Handle => &mut claim.handle,
    };
    if claim.code == code && *holder.get_or_insert(mark) == mark {
        return Ok(claim.store.clone());
    }
    let message = format!(
        "another memoized function is called `{name}` too, so this one computes at each call: give one of them a name of \
         its own, `#[memo(name = \"..\")]`"
    );
    Err(Error::new(ErrorKind::Config, message))
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

/// A number for the resources of one function, unique in this process.
#[derive(Debug)]
pub(super) struct FunctionNumber(u64);

impl FunctionNumber {
    pub(super) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }

    pub(super) fn get(&self) -> u64 {
        self.0
    }
}
