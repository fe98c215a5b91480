//! Pool: what cannot be written down, one object for everybody.
//!
//! # Rooms
//!
//! `flow` is one call: look, claim, build, keep. `slots` is what a hit reads; `order` is who leaves, and when, and the
//! only one to change the slots; `release` is the one place where resources are dropped. Who builds is decided by the
//! [`flight`] of the process, so a cycle of waits that runs through pools and memos is seen as one.
//!
//! # Locking
//!
//! A hit reads under the lock of one shard of the slots, which readers share. Whoever changes what is held takes the
//! lock of the order first, and keeps it for all of the change; under it the flight table may be taken, and then the
//! shards, one at a time. No lock is held while building, validating, waiting or dropping.
//!
//! # Performance
//!
//! A hit by a text of 12 bytes takes 56 ns, with a ttl 84 ns, for the clock. A `RwLock<HashMap<String, Arc<_>>>` takes 46
//! ns, `moka` 233 ns, in the same run. On two threads that ask for one resource it is 202 ns, 155 ns and 463 ns, for two
//! resources 114 ns, 128 ns and 407 ns. What all of them pay are the atomic steps of a shared lock and an `Arc`; what is
//! left is encoding the key (see [`compact`](crate::key::compact)).
//!
//! The name of a resource is written in one place and stays there, and whatever is not a hit is in functions apart: each
//! copy of a name that was just written, and each call that is not inlined, shows in these figures.
//!
//! # Promise 6
//!
//! `remove` and `clear` revoke the claims of who builds and take out what is held in one critical section; a resource is
//! put in under the same lock and only under a current claim. So whatever began before is either taken out or never
//! gets in.
//!
//! [`flight`]: crate::flight

mod builder;
mod entry;
mod flow;
mod name;
mod order;
mod release;
mod slots;

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, LazyLock},
};

use serde::Serialize;

pub use self::{builder::ResourcePoolBuilder, entry::ResourceEntry};
use self::{
    flow::{CallOptions, PoolInner, PoolOptions},
    name::Name,
};
use crate::error::{Error, Result};

/// Keeps what cannot be serialized, connections, models, file handles, threads, in memory: one object for everybody.
///
/// The counterpart of [`Memo`](crate::Memo): that one hands everybody a value of their own and keeps it on disk; this
/// one hands everybody the same object, and keeps it until it is removed or the pool is dropped.
///
/// # What names a resource
///
/// Its type *and* its key: `pool.get::<Connection>("main")` and `pool.get::<Model>("main")` are two resources. A key is
/// whatever serializes, and is compared by value: `"main"` and `String::from("main")` are the same key. Code that shares a
/// pool with other code, as with [`global`](Self::global), makes a type of its own the key or the resource.
///
/// # Sharing
///
/// All callers get the same `Arc<T>`, so `T` is `Send + Sync`, and what is changed through one handle is seen through all:
/// put a `Mutex` around what is changed.
///
/// # The four fates of a builder
///
/// * It *returns*: the resource is kept and handed over, also to those who waited for it. Should there be one already,
///   because two were built side by side after failures or after [`max_wait`](ResourcePoolBuilder::max_wait), then the
///   first one stays, everybody gets that, and the second one is released.
/// * It *returns an error* (in [`get_or_try_insert_with`](Self::get_or_try_insert_with)): the error is passed on
///   untouched, nothing is kept, one of those who wait builds; after a second failure in a row the rest build side by side.
/// * It *panics*: the panic unwinds to its own caller, nothing is kept, one of those who wait builds. Nothing is poisoned.
/// * It *re-enters*, by asking for the same resource on the same thread, or by a cycle of resources and memos: the inner
///   call builds directly, as the plain function would, and what it built belongs to its caller alone. What the outer
///   builder returns is the one that is kept, and that everybody else gets.
///
/// # Release
///
/// A resource is released by its `Drop`: once, when its last holder lets go. The pool is one holder, and lets go by
/// [`remove`](Self::remove), [`clear`](Self::clear), a bound, the end of its time, a validation that refuses it, and when
/// the last handle on the pool is dropped. If nobody else holds it, it is released right then, on that thread, not
/// under a lock, so a `Drop` may use the pool. Several that leave at once leave in the order in which they were put
/// in. A `Drop` that panics is contained: the call goes on, the others are released too, and
/// [`last_failure`](Self::last_failure) says so.
///
/// A resource that holds a handle on its own pool keeps that alive for ever: give it a [`Weak`](std::sync::Weak).
///
/// In a process that is forked without `exec`, a pool of the parent shares nothing: each call builds. A pool that is made there
/// works.
///
/// # When not to use it
///
/// * For what serializes: a [`Memo`](crate::Memo) keeps it over a restart, and nobody can change it for others.
/// * To lend one of several connections to one caller at a time: here all callers share one. For that there are pools
///   of connections, and one of those is a fine resource.
/// * In async code, other than from a blocking thread: a call may wait for another's builder.
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

    /// The pool of the process, made at the first call: for programs with one pool, and for code that has no place to
    /// pass one through.
    ///
    /// It is never dropped, so at the end of the program what it holds is not released. Where that matters, call
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

    /// The resource of type `T` and of `key`: the one that is there, or the one that `build` makes, kept from now on.
    ///
    /// Callers of one resource at the same time wait for the first of them; other resources are built meanwhile. A key
    /// that cannot be serialized is a failure of the pool, not of the call: the resource is built, handed over and not
    /// kept, and [`last_failure`](Self::last_failure) says so.
    ///
    /// # The four fates of `build`
    ///
    /// Returns: kept and handed over. Panics: the panic unwinds to this caller, nothing is kept, one of those who wait
    /// builds. Re-enters (the same resource on the same thread, or a cycle): the inner call builds directly, for its own
    /// caller alone. For a builder that may fail there is [`get_or_try_insert_with`](Self::get_or_try_insert_with).
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

    /// The resource of type `T` and of `key`: the one that is there, or the one that `build` makes, kept from now on,
    /// unless that fails.
    ///
    /// # Errors
    ///
    /// Those of `build`, untouched, and no others.
    ///
    /// # The four fates of `build`
    ///
    /// Returns: kept and handed over. Errors: passed on, nothing kept, one of those who wait builds; after a second failure
    /// in a row the rest build side by side. Panics: the same, and the panic unwinds to this caller. Re-enters: the inner
    /// call builds directly, for its own caller alone.
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
    ///     .validate(|connection| connection.is_alive()) // asked at each hit
    ///     .or_insert_with(|| connect());
    /// ```
    pub fn entry<T: Send + Sync + 'static>(&self, key: &(impl Serialize + ?Sized)) -> ResourceEntry<'_, T> {
        ResourceEntry::new(&self.inner, self.inner.name::<T>(key, &mut Name::of::<T>()).copied())
    }

    /// The resource of type `T` and of `key`, if it is there. Nobody is waited for, nothing is built.
    ///
    /// One whose time is over is released, and is `None`; so is a key that cannot be serialized.
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
        self.inner.get(self.inner.name::<T>(key, &mut Name::of::<T>())?, None)
    }

    /// Lets go of the resource of type `T` and of `key`: it is [released](Self#release) unless somebody else holds it.
    /// Whether there was one whose time was not over.
    ///
    /// A call that starts after this returned builds anew; a builder that is under way hands its resource to its own
    /// caller, and it is not kept. To have the object, say to close it with its errors, [`get`](Self::get) it first and
    /// take it out of its `Arc` afterwards.
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

    /// Lets go of everything, in the order in which it was put in.
    ///
    /// A call that starts after this returned builds anew; a builder that is under way hands its resource to its own
    /// caller, and it is not kept.
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

    /// Lets go of what is past its time. How many those were.
    ///
    /// Nothing does this in the background: what is past its time leaves when it is asked for, when another resource is
    /// put in, or here.
    ///
    /// ```
    /// let pool = memolith::ResourcePool::new();
    /// pool.get_or_insert_with("name", || String::from("memolith"));
    /// assert_eq!(pool.sweep(), 0); // without a ttl nothing expires
    /// ```
    #[expect(clippy::must_use_candidate, reason = "what it does is the point, not what it counts")]
    pub fn sweep(&self) -> usize {
        self.inner.sweep()
    }

    /// How many resources are there whose time is not over. Releases nothing.
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

    /// The last trouble that was kept away from the callers: a key that cannot be serialized, a validation or a `Drop` that
    /// panicked.
    ///
    /// ```
    /// let pool = memolith::ResourcePool::new();
    /// pool.get_or_insert_with("name", || String::from("memolith"));
    /// assert!(pool.last_failure().is_none(), "{:?}", pool.last_failure());
    /// ```
    #[must_use]
    pub fn last_failure(&self) -> Option<Error> {
        if self.inner.is_inherited() { None } else { self.inner.failures.last() }
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
