//! A call on a pool with options of its own.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use super::{
    flow::{CallOptions, PoolInner},
    name::Name,
};

/// A call on a [`ResourcePool`](crate::ResourcePool) with options of its own, from
/// [`entry`](crate::ResourcePool::entry).
///
/// The options apply to this call only. A call without them gets the resource that is there.
#[must_use = "nothing is looked up until `or_insert_with`"]
pub struct ResourceEntry<'a, T> {
    pool: &'a PoolInner,
    /// `None` for a key that cannot be serialized.
    name: Option<Name>,
    options: CallOptions<'a, T>,
}

impl<'a, T: Send + Sync + 'static> ResourceEntry<'a, T> {
    pub(super) fn new(pool: &'a PoolInner, name: Option<Name>) -> Self {
        Self { pool, name, options: CallOptions::default() }
    }

    /// The maximum age of the resource for this call. An older resource is removed for all callers. A resource that this
    /// call puts in expires after this time for all callers.
    ///
    /// If the pool has a [`ttl`](crate::ResourcePoolBuilder::ttl) too, the shorter one applies. With zero nothing is shared.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = memolith::ResourcePool::new();
    /// let token = pool.entry::<String>("token").ttl(Duration::from_secs(60)).or_insert_with(|| String::from("abc"));
    /// assert_eq!(*token, "abc");
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// Refuses a resource of this age or more: it is removed for all callers, and a new one is built. With zero every resource
    /// is refused that was begun before this call. It does not bind the resource that this call puts in.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = memolith::ResourcePool::new();
    /// assert_eq!(*pool.entry::<u8>("nine").or_insert_with(|| 9), 9);
    /// assert_eq!(*pool.entry::<u8>("nine").max_age(Duration::from_secs(60)).or_insert_with(|| 10), 9);
    /// assert_eq!(*pool.entry::<u8>("nine").max_age(Duration::ZERO).or_insert_with(|| 10), 10);
    /// ```
    pub fn max_age(mut self, age: Duration) -> Self {
        self.options.max_age = Some(age);
        self
    }

    /// Checks by `is_valid` whether a resource that is there may still be used. If not, it is removed for all callers, and a
    /// new one is built.
    ///
    /// `is_valid` runs at most once in a call, and not for a resource that was put in since the call began. It runs under no
    /// lock: other calls go on, and may check the same resource at the same time. If all of them refuse it, one of them
    /// builds. If `is_valid` panics, the resource counts as refused, and the panic is in
    /// [`last_failure`](crate::ResourcePool::last_failure).
    ///
    /// ```
    /// use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    ///
    /// struct Connection { broken: AtomicBool }
    ///
    /// let pool = memolith::ResourcePool::new();
    /// let connect = || Connection { broken: AtomicBool::new(false) };
    /// let works = |connection: &Connection| !connection.broken.load(Relaxed);
    ///
    /// let first = pool.entry("db").validate(works).or_insert_with(connect);
    /// first.broken.store(true, Relaxed);
    /// let second = pool.entry("db").validate(works).or_insert_with(connect);
    /// assert!(works(&second) && !works(&first));
    /// ```
    pub fn validate(mut self, is_valid: impl FnOnce(&T) -> bool + 'a) -> Self {
        self.options.is_valid = Some(Box::new(is_valid));
        self
    }

    /// Returns the resource that is there and meets the options, or builds it by `build` and keeps it.
    ///
    /// # The four fates of `build`
    ///
    /// Returns: the resource is kept and returned. Panics: the panic unwinds to this caller, nothing is kept, and one of
    /// the waiters builds. Re-enters (the same resource on the same thread, or a cycle): the inner call builds directly,
    /// for its own caller only.
    ///
    /// ```
    /// let pool = memolith::ResourcePool::new();
    /// assert_eq!(*pool.entry::<u8>("nine").or_insert_with(|| 9), 9);
    /// assert_eq!(*pool.entry::<u8>("nine").or_insert_with(|| unreachable!("it is there")), 9);
    /// ```
    pub fn or_insert_with(self, build: impl FnOnce() -> T) -> Arc<T> {
        match self.or_try_insert_with(|| Ok::<T, Infallible>(build())) {
            Ok(resource) => resource,
        }
    }

    /// Returns the resource that is there and meets the options, or builds it by `build` and keeps it, unless `build`
    /// fails.
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
    /// let pool = memolith::ResourcePool::new();
    /// assert!(pool.entry::<u8>("n").or_try_insert_with(|| "x".parse()).is_err());
    /// assert_eq!(pool.entry::<u8>("n").or_try_insert_with(|| "9".parse()).as_deref(), Ok(&9));
    /// ```
    pub fn or_try_insert_with<E>(self, build: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        self.pool.obtain(self.name.as_ref(), self.options, build)
    }
}

impl<T> fmt::Debug for ResourceEntry<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceEntry")
            .field("ttl", &self.options.ttl)
            .field("max_age", &self.options.max_age)
            .field("validate", &self.options.is_valid.is_some())
            .finish_non_exhaustive()
    }
}
