//! Pools: objects that cannot be serialized, shared by all callers.
//!
//! # Rooms
//!
//! `flow` is one call: look up, claim, build, keep. A hit reads `slots`. `order` has the order of eviction, and only its
//! guard changes the slots. Only `release` drops resources. `events` counts and tells. `parts` lists the pools of functions,
//! which `function` shows to their users. The [`flight`] of the process chooses the caller that builds,
//! so it also detects a cycle of waits through pools and memos.
//!
//! # Locking
//!
//! A hit takes a read lock of one shard of the slots. Every change takes the lock of the order first, and holds it to the
//! end of the change. Under it, first the flight table and then the shards may be locked, one at a time. No lock is held
//! during a build, a validation, a wait or a drop.
//!
//! # Performance
//!
//! A hit by a text of 12 bytes takes 56 ns; with a ttl 84 ns, because it reads the clock. In the same run a
//! `RwLock<HashMap<String, Arc<_>>>` takes 46 ns and `moka` 233 ns. With two threads on one resource it is 202 ns, 155 ns
//! and 463 ns, with two threads on two resources 114 ns, 128 ns and 407 ns. All of them pay for the atomic operations of a
//! shared lock and an `Arc`; the rest is the encoding of the key (see [`compact`](crate::key::compact)).
//!
//! The name of a resource is written in place and not moved, and the code after a miss is in functions that are not
//! inlined. Each copy of a name that was just written, and each further call, shows in these figures.
//!
//! # Promise 6
//!
//! `remove` and `clear` revoke the claims of builders and take resources out in one critical section. A resource is put in
//! under the same lock, and only under a current claim. So a resource whose build began before is taken out, or is never
//! put in.
//!
//! [`flight`]: crate::flight

mod builder;
mod entry;
mod events;
mod flow;
mod function;
pub(crate) mod future;
mod name;
mod order;
mod parts;
mod release;
mod resource;
mod slots;

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, LazyLock},
};

use serde::Serialize;

pub use self::{builder::ResourcePoolBuilder, entry::ResourceEntry, function::FunctionPool};
use self::{
    flow::{CallOptions, PoolInner, PoolOptions},
    name::Name,
};
use crate::{
    error::{Error, Result},
    stats::{Failure, PoolStats},
};

/// Shares objects that cannot be serialized, such as connections, models, file handles and threads: one object in memory
/// for all callers.
///
/// A [`Memo`](crate::Memo) gives each caller a value of its own and keeps it on disk. A pool gives all callers the same
/// object, and keeps it until it is removed or the pool is dropped.
///
/// # Identity of a resource
///
/// A type *and* a key identify a resource: `pool.get::<Connection>("main")` and `pool.get::<Model>("main")` are two
/// resources. A key is any value that serializes, and is compared by value: `"main"` and `String::from("main")` are the
/// same key. In a pool that unrelated code uses too, such as [`global`](Self::global), use a type of your own as key or
/// as resource.
///
/// # Sharing
///
/// All callers get the same `Arc<T>`, so `T` is `Send + Sync`, and a change through one handle is visible through all
/// handles: put mutable parts behind a `Mutex`.
///
/// # The four fates of a builder
///
/// * It *returns*: the resource is kept, and returned to this caller and to the waiters. If another resource is already
///   there, because two callers built in parallel after failures or after [`max_wait`](ResourcePoolBuilder::max_wait), the
///   first resource stays, all callers get it, and the second is released.
/// * It *returns an error* (in [`get_or_try_insert_with`](Self::get_or_try_insert_with)): the error is returned
///   unchanged, nothing is kept, and one of the waiters builds; after a second failure in a row the remaining waiters
///   build in parallel.
/// * It *panics*: the panic unwinds to its own caller, nothing is kept, and one of the waiters builds. Nothing is
///   poisoned.
/// * It *re-enters*, by a call for the same resource on the same thread, or by a cycle of resources and memos: the inner
///   call builds directly, as the plain function would, and only its own caller gets that resource. The resource of the
///   outer builder is kept and shared.
///
/// # Release
///
/// A resource is released by its `Drop`, once, when its last `Arc` is dropped. The pool has one `Arc`, and drops it by
/// [`remove`](Self::remove), by [`clear`](Self::clear), because of a bound, when the resource expires, when a validation
/// refuses it, and when the last handle on the pool is dropped. If that was the last `Arc`, the resource is released on
/// this thread and under no lock, so a `Drop` may use the pool. Several resources are released in the order in which they
/// were put in. A panic of a `Drop` is contained: the call goes on, the other resources are released too, and the panic is
/// in [`last_failure`](Self::last_failure).
///
/// A resource that holds a handle on its own pool keeps the pool alive for ever: give it a [`Weak`](std::sync::Weak).
///
/// In a process that was forked without `exec`, a pool of the parent shares nothing: each call builds. A pool made in the
/// child works.
///
/// # When not to use it
///
/// * For values that serialize: a [`Memo`](crate::Memo) keeps them over a restart, and no caller can change them for
///   others.
/// * To lend each of several connections to one caller at a time: here all callers share one object. Use a connection
///   pool, which may itself be a resource.
/// * In async code, where a call may wait for the builder of another caller: there is
///   [`future::ResourcePool`](crate::future::ResourcePool).
///
/// # Cloning
///
/// A pool is cheap to clone, and clones are one pool.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use memolith::ResourcePool;
/// # struct Connection(u32);
/// # fn connect() -> Connection { Connection(0) }
///
/// let pool = ResourcePool::new();
/// let db: Arc<Mutex<Connection>> = pool.get_or_insert_with("main", || Mutex::new(connect()));
/// let same: Arc<Mutex<Connection>> = pool.get_or_insert_with("main", || unreachable!("it is there"));
/// assert!(Arc::ptr_eq(&db, &same));
/// ```
#[derive(Clone)]
pub struct ResourcePool {
    inner: Arc<PoolInner>,
}

impl ResourcePool {
    /// An empty pool: nothing expires, and there is no bound.
    ///
    /// ```
    /// let pool = memolith::ResourcePool::new();
    /// assert!(pool.is_empty());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::with(PoolOptions::default())
    }

    fn with(options: PoolOptions) -> Self {
        Self { inner: Arc::new(PoolInner::new(options)) }
    }

    /// The pool of the process, made at the first call: for programs with one pool, and for code that cannot pass a pool
    /// as an argument. The pool of each function under [`#[resource]`](macro@crate::resource) is a part of it: `len`, `stats`,
    /// `last_failure`, `sweep` and `clear` cover these too, but no key finds their resources.
    ///
    /// It is never dropped, so its resources are not released at the end of the program. If that matters, call
    /// [`clear`](Self::clear) at the end of `main`.
    ///
    /// ```
    /// use memolith::ResourcePool;
    ///
    /// let word = ResourcePool::global().get_or_insert_with("greeting", || String::from("hello"));
    /// assert_eq!(ResourcePool::global().get::<String>("greeting"), Some(word));
    /// ```
    #[must_use]
    pub fn global() -> &'static Self {
        static GLOBAL: LazyLock<ResourcePool> = LazyLock::new(ResourcePool::new);
        &GLOBAL
    }

    /// Makes this pool a part of the pool of the process.
    pub(crate) fn register(&self) {
        Self::global().inner.parts.push(Arc::clone(&self.inner));
    }

    fn inner(&self) -> &PoolInner {
        &self.inner
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Counts, keeps and tells a failure that concerns the whole pool.
    pub(crate) fn failed(&self, error: Error) {
        self.inner.events.failed("any", error);
    }

    /// Returns the resource of type `T` and `key`, or builds it by `build` and keeps it.
    ///
    /// Concurrent callers of one resource wait for the first of them. Other resources can be built at the same time. A key
    /// that cannot be serialized is a failure of the pool, not of the call: the resource is built, returned and not kept,
    /// and the failure is in [`last_failure`](Self::last_failure).
    ///
    /// # The four fates of `build`
    ///
    /// Returns: the resource is kept and returned. Panics: the panic unwinds to this caller, nothing is kept, and one of
    /// the waiters builds. Re-enters (the same resource on the same thread, or a cycle): the inner call builds directly,
    /// for its own caller only. For builders that may fail there is
    /// [`get_or_try_insert_with`](Self::get_or_try_insert_with).
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    ///
    /// let pool = memolith::ResourcePool::new();
    /// let list: Arc<Mutex<Vec<u8>>> = pool.get_or_insert_with("list", || Mutex::new(vec![]));
    /// list.lock().unwrap().push(1);
    ///
    /// let same: Arc<Mutex<Vec<u8>>> = pool.get_or_insert_with("list", || unreachable!("it is there"));
    /// assert_eq!(*same.lock().unwrap(), [1]);
    /// ```
    pub fn get_or_insert_with<T: Send + Sync + 'static>(
        &self,
        key: &(impl Serialize + ?Sized),
        build: impl FnOnce() -> T,
    ) -> Arc<T> {
        match self.get_or_try_insert_with(key, || Ok::<T, Infallible>(build())) {
            Ok(resource) => resource,
        }
    }

    /// Returns the resource of type `T` and `key`, or builds it by `build` and keeps it, unless `build` fails.
    ///
    /// # Errors
    ///
    /// The errors of `build`, unchanged, and no others.
    ///
    /// # The four fates of `build`
    ///
    /// Returns: the resource is kept and returned. Errors: the error is returned, nothing is kept, and one of the waiters
    /// builds; after a second failure in a row the remaining waiters build in parallel. Panics: the same, and the panic
    /// unwinds to this caller. Re-enters: the inner call builds directly, for its own caller only.
    ///
    /// ```
    /// use std::fs::File;
    ///
    /// let pool = memolith::ResourcePool::new();
    /// let missing = pool.get_or_try_insert_with("input", || File::open("no such file"));
    /// assert!(missing.is_err() && pool.is_empty()); // the next call tries again
    /// ```
    pub fn get_or_try_insert_with<T: Send + Sync + 'static, E>(
        &self,
        key: &(impl Serialize + ?Sized),
        build: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        self.inner.obtain(self.inner.name::<T>(key, &mut Name::of::<T>()), CallOptions::default(), build)
    }

    /// A call with options of its own: a time to live, a validation.
    ///
    /// ```
    /// use std::time::Duration;
    /// # struct Connection; impl Connection { fn is_alive(&self) -> bool { true } }
    /// # fn connect() -> Connection { Connection }
    ///
    /// let pool = memolith::ResourcePool::new();
    /// let db = pool
    ///     .entry::<Connection>("main")
    ///     .ttl(Duration::from_secs(600)) // not older than this
    ///     .validate(|connection| connection.is_alive()) // called at each hit
    ///     .or_insert_with(|| connect());
    /// ```
    pub fn entry<T: Send + Sync + 'static>(&self, key: &(impl Serialize + ?Sized)) -> ResourceEntry<'_, T> {
        ResourceEntry::new(&self.inner, self.inner.name::<T>(key, &mut Name::of::<T>()).copied())
    }

    /// Returns the resource of type `T` and `key`, if it is there. It builds nothing, and waits for no builder.
    ///
    /// It is `None` for an expired resource, which is released, and for a key that cannot be serialized.
    ///
    /// ```
    /// let pool = memolith::ResourcePool::new();
    /// assert!(pool.get::<String>("name").is_none());
    /// pool.get_or_insert_with("name", || String::from("memolith"));
    /// assert_eq!(*pool.get::<String>("name").unwrap(), "memolith");
    /// assert!(pool.get::<Vec<u8>>("name").is_none()); // another type, another resource
    /// ```
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self, key: &(impl Serialize + ?Sized)) -> Option<Arc<T>> {
        self.inner.get(self.inner.name::<T>(key, &mut Name::of::<T>())?)
    }

    /// Removes the resource of type `T` and `key`. It is [released](Self#release) when its last `Arc` is dropped. Returns
    /// whether there was a resource that had not expired.
    ///
    /// A call that starts after this returned builds again. The resource of a build in progress goes to its own caller and
    /// is not kept. To own the object, for example to close it and see its errors, [`get`](Self::get) it first, and take it
    /// out of its `Arc` afterwards.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// let pool = memolith::ResourcePool::new();
    /// let log = pool.get_or_insert_with("log", || vec!["started"]);
    /// assert!(pool.remove::<Vec<&str>>("log"));
    /// assert!(!pool.remove::<Vec<&str>>("log"));
    /// assert_eq!(Arc::into_inner(log), Some(vec!["started"])); // ours alone now
    /// ```
    pub fn remove<T: Send + Sync + 'static>(&self, key: &(impl Serialize + ?Sized)) -> bool {
        self.inner.name::<T>(key, &mut Name::of::<T>()).is_some_and(|name| self.inner.remove(name))
    }

    /// Removes all resources, in the order in which they were put in.
    ///
    /// A call that starts after this returned builds again. The resource of a build in progress goes to its own caller and
    /// is not kept.
    ///
    /// ```
    /// let pool = memolith::ResourcePool::new();
    /// pool.get_or_insert_with("name", || String::from("memolith"));
    /// pool.clear();
    /// assert!(pool.is_empty());
    /// ```
    pub fn clear(&self) {
        self.inner.clear();
    }

    /// Removes the expired resources, and returns their number.
    ///
    /// No thread does this in the background: an expired resource is removed when it is looked up, when another resource is
    /// put in, or by this method.
    ///
    /// ```
    /// let pool = memolith::ResourcePool::new();
    /// pool.get_or_insert_with("name", || String::from("memolith"));
    /// assert_eq!(pool.sweep(), 0); // without a ttl nothing expires
    /// ```
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect, not for the number")]
    pub fn sweep(&self) -> usize {
        self.inner.sweep()
    }

    /// Number of resources that have not expired. Releases nothing.
    ///
    /// ```
    /// let pool = memolith::ResourcePool::new();
    /// pool.get_or_insert_with("name", || String::from("memolith"));
    /// pool.get_or_insert_with("name", || 9_u8); // another type, another resource
    /// assert_eq!(pool.len(), 2);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether [`len`](Self::len) is 0.
    ///
    /// ```
    /// assert!(memolith::ResourcePool::new().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counters of hits, misses and their reasons, insertions, removals, failures, and the time that hits saved, since the pool
    /// was made. It takes no lock and waits for nothing. The counters of [`global`](Self::global) include those of the
    /// functions under [`#[resource]`](macro@crate::resource).
    ///
    /// ```
    /// let pool = memolith::ResourcePool::new();
    /// pool.get_or_insert_with("name", || String::from("memolith"));
    /// pool.get_or_insert_with::<String>("name", || unreachable!("it is there"));
    /// let stats = pool.stats();
    /// assert_eq!((stats.hits, stats.misses.total(), stats.inserts), (1, 1, 1));
    /// ```
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.inner.stats()
    }

    /// The last failure of the pool that no call returned, with its time: a key that cannot be serialized, a panic of a
    /// validation, of a `Drop` or of an observer. `None` if there was none since the last
    /// [`take_last_failure`](Self::take_last_failure).
    ///
    /// ```
    /// let pool = memolith::ResourcePool::new();
    /// pool.get_or_insert_with("name", || String::from("memolith"));
    /// assert!(pool.last_failure().is_none(), "{:?}", pool.last_failure());
    /// ```
    #[must_use]
    pub fn last_failure(&self) -> Option<Failure> {
        self.inner
            .all()
            .filter_map(|pool| pool.events.counters.calls.last_failure.get())
            .max_by_key(|last| last.at)
    }

    /// As [`last_failure`](Self::last_failure), and forgets it.
    ///
    /// ```
    /// let pool = memolith::ResourcePool::new();
    /// assert!(pool.take_last_failure().is_none());
    /// ```
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect too")]
    pub fn take_last_failure(&self) -> Option<Failure> {
        self.inner
            .all()
            .filter_map(|pool| pool.events.counters.calls.last_failure.take())
            .max_by_key(|last| last.at)
    }
}

/// As [`new`](ResourcePool::new).
impl Default for ResourcePool {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ResourcePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PoolOptions { ttl, max_entries, .. } = &self.inner.options;
        f.debug_struct("ResourcePool")
            .field("len", &self.len())
            .field("ttl", ttl)
            .field("max_entries", max_entries)
            .finish_non_exhaustive()
    }
}
