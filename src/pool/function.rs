//! The pool of one function under `#[resource]`, with the types of the function.

use std::{fmt, marker::PhantomData, sync::Arc};

use serde::Serialize;

use super::ResourcePool;
use crate::stats::{Failure, PoolStats};

/// The resources of one function under [`#[resource]`](macro@crate::resource), from its companion: `connection_pool()` for the
/// function `connection`.
///
/// `K` is the key of the function: its one parameter without a reference, or a tuple of several. `T` is the shared object. It
/// is a part of [`ResourcePool::global`]. [`ResourcePool`] tells how resources are released. In a process that was forked without
/// `exec` it is empty.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use memolith::resource;
///
/// #[resource(max_entries = 2)]
/// fn log(name: &str, level: u8) -> Mutex<Vec<String>> {
///     Mutex::new(vec![format!("{name} {level}")])
/// }
///
/// let main = log("main", 1);
/// assert!(Arc::ptr_eq(&main, &log("main", 1)));
///
/// let pool = log_pool();
/// assert!(pool.get(&("main", 1)).is_some_and(|found| Arc::ptr_eq(&found, &main)));
/// assert_eq!((pool.stats().hits, pool.len()), (2, 1));
/// assert!(pool.remove(&("main", 1)));
/// assert!(!Arc::ptr_eq(&main, &log("main", 1))); // built anew
/// ```
pub struct FunctionPool<K: ?Sized, T> {
    /// Holds nothing but resources of this function.
    pool: ResourcePool,
    /// As the memo of a function, it is covariant in its key, so it takes keys that borrow for a short time.
    key: PhantomData<fn() -> Box<K>>,
    resource: PhantomData<fn() -> T>,
}

impl<K: ?Sized, T> FunctionPool<K, T> {
    pub(crate) fn new(pool: ResourcePool) -> Self {
        Self { pool, key: PhantomData, resource: PhantomData }
    }

    /// Removes all resources of the function, in the order in which they were put in. See
    /// [`ResourcePool::clear`].
    ///
    /// ```
    /// # use memolith::resource;
    /// #[resource]
    /// fn model(name: &str) -> String {
    ///     name.to_owned()
    /// }
    ///
    /// model("small");
    /// model_pool().clear();
    /// assert!(model_pool().is_empty());
    /// ```
    pub fn clear(&self) {
        self.pool.clear();
    }

    /// Removes the expired resources of the function, and returns their number. See [`ResourcePool::sweep`].
    ///
    /// ```
    /// # use memolith::resource;
    /// #[resource(ttl = "10m")]
    /// fn model(name: &str) -> String {
    ///     name.to_owned()
    /// }
    ///
    /// model("small");
    /// assert_eq!(model_pool().sweep(), 0); // it is younger than ten minutes
    /// ```
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect, not for the number")]
    pub fn sweep(&self) -> usize {
        self.pool.sweep()
    }

    /// Number of resources of the function that have not expired. Releases nothing.
    ///
    /// ```
    /// # use memolith::resource;
    /// #[resource]
    /// fn model(name: &str) -> String {
    ///     name.to_owned()
    /// }
    ///
    /// (model("small"), model("large"));
    /// assert_eq!(model_pool().len(), 2);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.pool.len()
    }

    /// Whether [`len`](Self::len) is 0.
    ///
    /// ```
    /// # use memolith::resource;
    /// #[resource]
    /// fn model(name: &str) -> String {
    ///     name.to_owned()
    /// }
    ///
    /// assert!(model_pool().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pool.is_empty()
    }

    /// Counters of the calls of the function, and of [`get`](Self::get). It takes no lock and waits for nothing. See
    /// [`ResourcePool::stats`].
    ///
    /// ```
    /// # use memolith::resource;
    /// #[resource]
    /// fn model(name: &str) -> String {
    ///     name.to_owned()
    /// }
    ///
    /// (model("small"), model("small"));
    /// let stats = model_pool().stats();
    /// assert_eq!((stats.hits, stats.misses.absent), (1, 1));
    /// ```
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// The last failure that no call of the function returned, with its time. See [`ResourcePool::last_failure`]. A
    /// `max_entries` of zero is one, of the kind [`Config`](crate::ErrorKind::Config).
    ///
    /// ```
    /// # use memolith::resource;
    /// #[resource]
    /// fn model(name: &str) -> String {
    ///     name.to_owned()
    /// }
    ///
    /// model("small");
    /// assert!(model_pool().last_failure().is_none());
    /// ```
    #[must_use]
    pub fn last_failure(&self) -> Option<Failure> {
        self.pool.last_failure()
    }

    /// As [`last_failure`](Self::last_failure), and forgets it.
    ///
    /// ```
    /// # use memolith::resource;
    /// #[resource]
    /// fn model(name: &str) -> String {
    ///     name.to_owned()
    /// }
    ///
    /// assert!(model_pool().take_last_failure().is_none());
    /// ```
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect too")]
    pub fn take_last_failure(&self) -> Option<Failure> {
        self.pool.take_last_failure()
    }
}

impl<K: Serialize + ?Sized, T: Send + Sync + 'static> FunctionPool<K, T> {
    /// The resource for `key`, if it is there. It builds nothing, and waits for no builder. See [`ResourcePool::get`].
    ///
    /// It counts as a hit or a miss. `validate` of the function is not asked. The `ttl` of the call that built the resource
    /// applies.
    ///
    /// ```
    /// # use memolith::resource;
    /// #[resource]
    /// fn model(name: &str) -> String {
    ///     name.to_owned()
    /// }
    ///
    /// model("small");
    /// assert_eq!(model_pool().get("small").as_deref(), Some(&"small".to_owned()));
    /// assert!(model_pool().get("large").is_none());
    /// ```
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Arc<T>> {
        self.pool.get(key)
    }

    /// Removes the resource for `key`, and returns whether it was there. See [`ResourcePool::remove`].
    ///
    /// ```
    /// # use memolith::resource;
    /// #[resource]
    /// fn model(name: &str) -> String {
    ///     name.to_owned()
    /// }
    ///
    /// model("small");
    /// assert!(model_pool().remove("small") && !model_pool().remove("small"));
    /// ```
    pub fn remove(&self, key: &K) -> bool {
        self.pool.remove::<T>(key)
    }
}

impl<K: ?Sized, T> fmt::Debug for FunctionPool<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionPool").field("pool", &self.pool).finish()
    }
}
