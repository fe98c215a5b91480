//! Pools that are called in tasks.

mod flow;

use std::{
    convert::Infallible,
    fmt,
    future::{Future, Ready},
    marker::PhantomData,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

use self::flow::{Call, obtain};
use super::{flow::PoolInner, name::Name};

/// A [`ResourcePool`](crate::ResourcePool) whose builders are async. See the [module](crate::future).
///
/// It is one pool with the blocking handle that it was made from, and clones are one pool: [`blocking`](Self::blocking) has the
/// methods that wait for nothing.
///
/// ```
/// use memolith::future::ResourcePool;
/// # struct Connection;
/// # async fn connect(_: &str) -> std::io::Result<Connection> { Ok(Connection) }
///
/// # smol::block_on(async {
/// let pool = ResourcePool::new();
/// let db = pool.get_or_try_insert_with("db", || async { connect("db.internal").await }).await?;
/// let same = pool.get_or_try_insert_with("db", || async { connect("db.internal").await }).await?;
/// assert!(std::sync::Arc::ptr_eq(&db, &same));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct ResourcePool {
    pool: crate::ResourcePool,
}

impl ResourcePool {
    /// An empty pool: nothing expires, and there is no bound. To set some, convert what
    /// [`ResourcePool::builder`](crate::ResourcePool::builder) makes.
    ///
    /// ```
    /// let pool = memolith::future::ResourcePool::new();
    /// assert!(pool.blocking().is_empty());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same pool for blocking code, with the methods that wait for nothing, such as [`remove`](crate::ResourcePool::remove).
    ///
    /// ```
    /// let pool = memolith::future::ResourcePool::new();
    /// assert_eq!(pool.blocking().len(), 0);
    /// ```
    #[must_use]
    pub fn blocking(&self) -> &crate::ResourcePool {
        &self.pool
    }

    /// Returns the resource of type `T` and `key`, or builds it by the future that `build` makes and keeps it.
    ///
    /// As [`ResourcePool::get_or_insert_with`](crate::ResourcePool::get_or_insert_with), where the fates of `build` are told; the
    /// [module](crate::future#the-fates-of-a-future) tells those that only a future has.
    ///
    /// ```
    /// # smol::block_on(async {
    /// let pool = memolith::future::ResourcePool::new();
    /// assert_eq!(*pool.get_or_insert_with("nine", || async { 9 }).await, 9);
    /// # });
    /// ```
    pub fn get_or_insert_with<'a, K, T, F, Fut>(
        &'a self,
        key: &K,
        build: F,
    ) -> impl Future<Output = Arc<T>> + use<'a, K, T, F, Fut>
    where
        K: Serialize + ?Sized,
        T: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        self.entry(key).or_insert_with(build)
    }

    /// Returns the resource of type `T` and `key`, or builds it by the future that `build` makes and keeps it, unless that fails.
    ///
    /// # Errors
    ///
    /// The errors of the future, unchanged, and no others.
    ///
    /// ```
    /// # smol::block_on(async {
    /// let pool = memolith::future::ResourcePool::new();
    /// assert!(pool.get_or_try_insert_with("n", || async { "x".parse::<u8>() }).await.is_err());
    /// assert_eq!(pool.get_or_try_insert_with("n", || async { "9".parse::<u8>() }).await.as_deref(), Ok(&9));
    /// # });
    /// ```
    pub fn get_or_try_insert_with<'a, K, T, F, Fut, E>(
        &'a self,
        key: &K,
        build: F,
    ) -> impl Future<Output = Result<Arc<T>, E>> + use<'a, K, T, F, Fut, E>
    where
        K: Serialize + ?Sized,
        T: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.entry(key).or_try_insert_with(build)
    }

    /// A call with options of its own: a time to live, a validation. The key is digested at once.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// # struct Connection; impl Connection { async fn ping(&self) -> bool { true } }
    /// # async fn connect() -> Connection { Connection }
    ///
    /// # smol::block_on(async {
    /// let pool = memolith::future::ResourcePool::new();
    /// let db = pool
    ///     .entry::<Connection>("main")
    ///     .ttl(Duration::from_secs(600)) // not older than this
    ///     .validate(|connection: Arc<Connection>| async move { connection.ping().await }) // at each hit
    ///     .or_insert_with(|| connect())
    ///     .await;
    /// # });
    /// ```
    pub fn entry<T: Send + Sync + 'static>(&self, key: &(impl Serialize + ?Sized)) -> ResourceEntry<'_, T> {
        ResourceEntry::new(&self.pool, key)
    }
}

impl From<crate::ResourcePool> for ResourcePool {
    fn from(pool: crate::ResourcePool) -> Self {
        Self { pool }
    }
}

impl From<ResourcePool> for crate::ResourcePool {
    fn from(ResourcePool { pool }: ResourcePool) -> Self {
        pool
    }
}

/// A call on a [`future::ResourcePool`](ResourcePool) with options of its own, from [`entry`](ResourcePool::entry).
///
/// `F` is the type of the validation.
#[must_use = "nothing is looked up until the future of `or_insert_with` is polled"]
pub struct ResourceEntry<'a, T, F = fn(Arc<T>) -> Ready<bool>> {
    pool: &'a crate::ResourcePool,
    /// `None` for a key that cannot be serialized.
    name: Option<Name>,
    ttl: Option<Duration>,
    max_age: Option<Duration>,
    /// When the call began, as the pool counts.
    began: Duration,
    is_valid: Option<F>,
    kind: PhantomData<fn() -> T>,
}

impl<'a, T: Send + Sync + 'static> ResourceEntry<'a, T> {
    pub(crate) fn new(pool: &'a crate::ResourcePool, key: &(impl Serialize + ?Sized)) -> Self {
        let name = pool.inner().name::<T>(key, &mut Name::of::<T>()).copied();
        let began = pool.inner().now();
        Self { pool, name, ttl: None, max_age: None, began, is_valid: None, kind: PhantomData }
    }
}

impl<'a, T: Send + Sync + 'static, F> ResourceEntry<'a, T, F> {
    /// As [`ResourceEntry::ttl`](crate::ResourceEntry::ttl).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # smol::block_on(async {
    /// let pool = memolith::future::ResourcePool::new();
    /// let token = pool.entry("token").ttl(Duration::from_secs(60)).or_insert_with(|| async { String::from("abc") });
    /// assert_eq!(*token.await, "abc");
    /// # });
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// As [`ResourceEntry::max_age`](crate::ResourceEntry::max_age).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # smol::block_on(async {
    /// let pool = memolith::future::ResourcePool::new();
    /// assert_eq!(*pool.entry("nine").or_insert_with(|| async { 9 }).await, 9);
    /// assert_eq!(*pool.entry("nine").max_age(Duration::ZERO).or_insert_with(|| async { 10 }).await, 10);
    /// # });
    /// ```
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Checks by a future whether a resource that is there may still be used. If not, it is removed for all callers, and a new one
    /// is built. As [`ResourceEntry::validate`](crate::ResourceEntry::validate).
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicBool, Ordering::Relaxed}};
    ///
    /// struct Connection { broken: AtomicBool }
    ///
    /// # smol::block_on(async {
    /// let pool = memolith::future::ResourcePool::new();
    /// let connect = || async { Connection { broken: AtomicBool::new(false) } };
    /// let works = |connection: Arc<Connection>| async move { !connection.broken.load(Relaxed) };
    ///
    /// let first = pool.entry("db").validate(works).or_insert_with(connect).await;
    /// first.broken.store(true, Relaxed);
    /// let second = pool.entry("db").validate(works).or_insert_with(connect).await;
    /// assert!(!Arc::ptr_eq(&first, &second));
    /// # });
    /// ```
    pub fn validate<C, Fut>(self, is_valid: C) -> ResourceEntry<'a, T, C>
    where
        C: FnOnce(Arc<T>) -> Fut,
        Fut: Future<Output = bool>,
    {
        let Self { pool, name, ttl, max_age, began, kind, .. } = self;
        ResourceEntry { pool, name, ttl, max_age, began, is_valid: Some(is_valid), kind }
    }

    /// Returns the resource that is there and meets the options, or builds it by the future that `build` makes and keeps it. Its
    /// fates are those of [`ResourcePool::get_or_insert_with`].
    ///
    /// ```
    /// # smol::block_on(async {
    /// let pool = memolith::future::ResourcePool::new();
    /// assert_eq!(*pool.entry("nine").or_insert_with(|| async { 9 }).await, 9);
    /// # });
    /// ```
    pub async fn or_insert_with<C, B, Fut>(self, build: B) -> Arc<T>
    where
        F: FnOnce(Arc<T>) -> C,
        C: Future<Output = bool>,
        B: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        let Ok(resource) = self.or_try_insert_with(|| async { Ok::<T, Infallible>(build().await) }).await;
        resource
    }

    /// As [`or_insert_with`](Self::or_insert_with), for a future that may fail.
    ///
    /// # Errors
    ///
    /// The errors of the future, unchanged, and no others.
    ///
    /// ```
    /// # smol::block_on(async {
    /// let pool = memolith::future::ResourcePool::new();
    /// assert!(pool.entry("n").or_try_insert_with(|| async { "x".parse::<u8>() }).await.is_err());
    /// # });
    /// ```
    pub async fn or_try_insert_with<C, B, Fut, E>(self, build: B) -> Result<Arc<T>, E>
    where
        F: FnOnce(Arc<T>) -> C,
        C: Future<Output = bool>,
        B: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let Self { pool, name, ttl, max_age, began, is_valid, .. } = self;
        let inner = pool.inner();
        if inner.is_inherited() {
            return build().await.map(Arc::new);
        }
        let limit = PoolInner::limit_since(ttl, max_age, began);
        obtain(Call { pool: inner, name, limit }, is_valid, build).await
    }
}

impl<T, F> fmt::Debug for ResourceEntry<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceEntry")
            .field("ttl", &self.ttl)
            .field("max_age", &self.max_age)
            .field("validate", &self.is_valid.is_some())
            .finish_non_exhaustive()
    }
}
