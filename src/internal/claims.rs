//! Which function has which name, in this process.
//!
//! A name is what the compiler calls a function, or what the user chose, and neither is unique: two blocks of one function
//! may hold two functions of one name. They must not share a memo. So the first one claims the name, and any other is
//! refused, and told.

use std::{
    any::TypeId,
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{
    error::{Error, Kind, Result},
    store::Store,
    sync::lock,
};

/// The two places that open a memo for one function.
#[derive(Clone, Copy)]
pub(super) enum EntryPoint {
    Function,
    Handle,
}

/// Who has a name.
struct NameClaim {
    code: u64,
    /// The store that the first of the two doors named: an expression may make another one each time.
    store: Store,
    /// The mark of whoever came through this entry. By the two code hashes alone the two doors belong together: their marks
    /// have nothing in common.
    function: Option<TypeId>,
    handle: Option<TypeId>,
}

static CLAIMS: Mutex<BTreeMap<String, NameClaim>> = Mutex::new(BTreeMap::new());

/// Claims `name`, and says in which store its memo is.
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
    Err(Error::new(Kind::Config, message))
}

/// The compiler calls all closures of one function by one name, in this run and the next.
pub(super) fn unnameable(name: &str) -> Error {
    let message = format!(
        "the memoized function `{name}` is generic over a closure, which has no name of its own, so it computes at each call: \
         take the closure as `&dyn Fn(..)`, or a `fn` in its place"
    );
    Error::new(Kind::Config, message)
}

/// A part of the value type is a `Result`.
pub(super) fn remembers_errors(name: &str, type_name: &str) -> Error {
    let message = format!(
        "the memoized function `{name}` returns `{type_name}`, in which an error would be remembered, so it computes at each \
         call: return one `Result` around all and write it as `Result<..>`, or say by `cache_if` which values within are stored"
    );
    Error::new(Kind::Config, message)
}

/// What tells the resources of one function from those of any other, in this process.
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
