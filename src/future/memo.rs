//! `future::Memo`: a memo that is called in tasks.

use std::{convert::Infallible, fmt, future::Future, result, sync::Arc};

use serde::Serialize;

use crate::{
    background::{Pace, step},
    context::Context,
    error::Result,
    flight::{Asker, WithPulse},
    flow::{DigestedKey, EntryTtl, MemoInner, TaskCall, TaskComputation, TaskKey, TaskStep, TaskTerms, look},
    key::MemoKey,
};

/// A [`Memo`](crate::Memo) whose functions are async. See the [module](super).
///
/// It is one memo with the blocking handle that it was made from, and clones are one memo. Its methods are those of the blocking
/// handle, and promise the same.
pub struct Memo<K: ?Sized, V: 'static> {
    memo: crate::Memo<K, V>,
}

impl<K: ?Sized, V> Memo<K, V> {
    /// The same memo for blocking code, with the methods that wait for nothing, such as [`stats`](crate::Memo::stats).
    ///
    /// ```
    /// # use memolith::{Memo, Store, future};
    /// # let store = Store::temporary()?;
    /// let squares: future::Memo<u64, u64> = Memo::builder("squares").open(&store)?.into();
    /// assert_eq!(squares.blocking().stats().misses.total(), 0);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn blocking(&self) -> &crate::Memo<K, V> {
        &self.memo
    }
}

impl<K: Serialize + ?Sized, V: Clone + Send + Sync + 'static> Memo<K, V> {
    /// Returns the stored value of `key`, or computes it by the future that `compute` makes, and stores it.
    ///
    /// As [`Memo::get_or_insert_with`](crate::Memo::get_or_insert_with), where the fates of `compute` are told; the
    /// [module](super#the-fates-of-a-future) tells those that only a future has. `compute` is called if the value is to be
    /// computed.
    ///
    /// ```
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let squares: future::Memo<u64, u64> = Memo::builder("squares").open(&store)?.into();
    /// assert_eq!(squares.get_or_insert_with(&12, || async { 12 * 12 }).await, 144);
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub fn get_or_insert_with<'a, F, Fut>(
        &'a self,
        key: &K,
        compute: F,
    ) -> impl Future<Output = V> + use<'a, K, V, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = V>,
    {
        let key = self.memo.task_key(key);
        get_or_insert_with(self.memo.inner(), key, compute)
    }

    /// Returns the stored value of `key`, or computes it by the future that `compute` makes, and stores it, unless that fails.
    ///
    /// # Errors
    ///
    /// The errors of the future, unchanged, and no others.
    ///
    /// ```
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let numbers: future::Memo<str, i32> = Memo::builder("numbers").open(&store)?.into();
    /// assert!(numbers.get_or_try_insert_with("x", || async { "x".parse::<i32>() }).await.is_err()); // not remembered
    /// assert_eq!(numbers.get_or_try_insert_with("42", || async { "42".parse::<i32>() }).await, Ok(42));
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub fn get_or_try_insert_with<'a, F, Fut, E>(
        &'a self,
        key: &K,
        compute: F,
    ) -> impl Future<Output = result::Result<V, E>> + use<'a, K, V, F, Fut, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = result::Result<V, E>>,
    {
        let key = self.memo.task_key(key);
        get_or_try_insert_with(self.memo.inner(), key, compute)
    }

    /// Returns the stored value of `key`, if there is one. It computes nothing, and waits for no computation.
    ///
    /// # Errors
    ///
    /// As [`Memo::get`](crate::Memo::get).
    ///
    /// ```
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let memo: future::Memo<str, u8> = Memo::builder("numbers").open(&store)?.into();
    /// assert_eq!(memo.get("one").await?, None);
    /// memo.insert("one", 1).await?;
    /// assert_eq!(memo.get("one").await?, Some(1));
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub fn get<'a>(&'a self, key: &K) -> impl Future<Output = Result<Option<V>>> + use<'a, K, V> {
        let mut encoded = MemoKey::default();
        let written = self.memo.encode(key, &mut encoded);
        async move {
            written?;
            let inner = self.memo.inner();
            let digest = match inner.fresh_quickly(&encoded) {
                Ok(value) => return Ok(Some(value)),
                Err(digest) => digest,
            };
            let hit = look(inner, digest, Context::current(), move |memo| memo.get(&digest)).await?;
            Ok(hit.map(|hit| inner.show(hit)))
        }
    }

    /// Stores `value` for `key`, and replaces an earlier value. When this returns, the value survives the end of the process.
    ///
    /// It takes the value, because it is encoded on another thread. A future that is dropped after its first poll may have stored
    /// the value, or stores it later.
    ///
    /// # Errors
    ///
    /// As [`Memo::insert`](crate::Memo::insert).
    ///
    /// ```
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let memo: future::Memo<str, Vec<u8>> = Memo::builder("pictures").open(&store)?.into();
    /// memo.insert("dot", vec![255]).await?;
    /// assert_eq!(memo.get_or_insert_with("dot", || async { unreachable!("it was inserted") }).await, [255]);
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub fn insert<'a>(&'a self, key: &K, value: V) -> impl Future<Output = Result<()>> + use<'a, K, V> {
        let key = self.memo.digest(key).map(|digest| (digest, self.memo.head(key)));
        async move {
            let (digest, head) = key?;
            self.wait(move |memo| memo.insert(&digest, head, &value)).await
        }
    }

    /// Removes the value of `key` for good, also after a crash. Returns whether there was a value. A future that is dropped after
    /// its first poll removes the value all the same.
    ///
    /// # Errors
    ///
    /// As [`Memo::remove`](crate::Memo::remove).
    ///
    /// ```
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let memo: future::Memo<str, u8> = Memo::builder("numbers").open(&store)?.into();
    /// memo.insert("one", 1).await?;
    /// assert!(memo.remove("one").await?);
    /// assert!(!memo.remove("one").await?);
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub fn remove<'a>(&'a self, key: &K) -> impl Future<Output = Result<bool>> + use<'a, K, V> {
        let digest = self.memo.digest(key);
        async move {
            let digest = digest?;
            self.wait(move |memo| memo.remove(&digest)).await
        }
    }

    /// Whether a fresh value of `key` is stored. This changes neither the order of eviction nor the memory tier.
    ///
    /// # Errors
    ///
    /// As [`Memo::get`](crate::Memo::get).
    ///
    /// ```
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let memo: future::Memo<str, u8> = Memo::builder("numbers").open(&store)?.into();
    /// assert!(!memo.contains_key("one").await?);
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub fn contains_key<'a>(&'a self, key: &K) -> impl Future<Output = Result<bool>> + use<'a, K, V> {
        let digest = self.memo.digest(key);
        async move {
            let (inner, digest) = (self.memo.inner(), digest?);
            look(inner, digest, Context::current(), move |memo| memo.contains(&digest)).await
        }
    }

    /// Removes all values of this memo for good. A future that is dropped after its first poll removes them all the same.
    ///
    /// # Errors
    ///
    /// As [`Memo::clear`](crate::Memo::clear).
    ///
    /// ```
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let memo: future::Memo<str, u8> = Memo::builder("numbers").open(&store)?.into();
    /// memo.insert("one", 1).await?;
    /// memo.clear().await?;
    /// assert_eq!(memo.get("one").await?, None);
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub async fn clear(&self) -> Result<()> {
        self.wait(MemoInner::clear).await
    }

    /// As [`Store::flush`](crate::Store::flush), for all memos of the store.
    ///
    /// # Errors
    ///
    /// As [`Store::flush`](crate::Store::flush).
    ///
    /// ```
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let memo: future::Memo<str, u8> = Memo::builder("numbers").open(&store)?.into();
    /// memo.get_or_insert_with("one", || async { 1 }).await;
    /// memo.flush().await?;
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub async fn flush(&self) -> Result<()> {
        self.wait(MemoInner::flush).await
    }

    /// Runs an operation that waits for the disk.
    async fn wait<R: Send + 'static>(&self, run: impl FnOnce(&MemoInner<V>) -> R + Send + 'static) -> R {
        let inner = Arc::clone(self.memo.inner());
        step(Pace::Waiting, Context::current(), move || run(&inner)).await
    }
}

/// A whole call of a future that cannot fail. Without a key it computes.
pub(crate) async fn get_or_insert_with<V, F>(
    memo: &Arc<MemoInner<V>>,
    key: Option<TaskKey>,
    compute: impl FnOnce() -> F,
) -> V
where
    V: Clone + Send + Sync + 'static,
    F: Future<Output = V>,
{
    let Some(key) = key else { return plainly(memo, compute).await };
    let key = match quick_hit(memo, key) {
        Ok(value) => return value,
        Err(key) => key,
    };
    let compute = || async { Ok::<V, Infallible>(compute().await) };
    let Ok(value) = call(memo, key, compute).await;
    value
}

/// A whole call of a future that may fail. Without a key it computes.
pub(crate) async fn get_or_try_insert_with<V, F, E>(
    memo: &Arc<MemoInner<V>>,
    key: Option<TaskKey>,
    compute: impl FnOnce() -> F,
) -> result::Result<V, E>
where
    V: Clone + Send + Sync + 'static,
    F: Future<Output = result::Result<V, E>>,
{
    let Some(key) = key else { return plainly(memo, compute).await };
    let key = match quick_hit(memo, key) {
        Ok(value) => return Ok(value),
        Err(key) => key,
    };
    call(memo, key, compute).await
}

/// Computes, and touches nothing else.
pub(super) async fn plainly<V: 'static, F: Future>(
    memo: &MemoInner<V>,
    compute: impl FnOnce() -> F,
) -> F::Output {
    match memo.plain_context() {
        None => compute().await,
        Some(context) => {
            let future = context.run(compute);
            context.wrap(future).await
        }
    }
}

/// A fresh value in memory. If there is none, the call goes on by the digest of its key.
#[inline]
fn quick_hit<V: Clone + Send + Sync + 'static>(memo: &MemoInner<V>, key: TaskKey) -> Result<V, DigestedKey> {
    let digest = match &key.encoded {
        Ok(encoded) => match memo.fresh_quickly(encoded) {
            Ok(value) => return Ok(value),
            Err(digest) => Ok(digest),
        },
        Err(error) => Err(error.clone()),
    };
    Err(memo.digested(digest, key))
}

/// A call without options that found nothing in memory.
async fn call<V, F, E>(
    memo: &Arc<MemoInner<V>>,
    key: DigestedKey,
    compute: impl FnOnce() -> F,
) -> result::Result<V, E>
where
    V: Clone + Send + Sync + 'static,
    F: Future<Output = result::Result<V, E>>,
{
    let terms = TaskTerms::default();
    if let Ok(digest) = &key.digest
        && let Some(value) = memo.hit_quickly(digest, &terms)
    {
        return Ok(value);
    }
    let call = TaskCall { memo: Arc::clone(memo), terms: Arc::new(terms) };
    run(call, key, EntryTtl::OfMemo, compute).await
}

/// A call that may wait or compute.
pub(super) async fn run<V, F, E>(
    call: TaskCall<V>,
    key: DigestedKey,
    ttl: EntryTtl<'static, V>,
    compute: impl FnOnce() -> F,
) -> result::Result<V, E>
where
    V: Clone + Send + Sync + 'static,
    F: Future<Output = result::Result<V, E>>,
{
    let (memo, max_stall) = (Arc::clone(&call.memo), call.memo.session().max_stall);
    let run = async |pulse| match call.begin(key, Asker::task(pulse)).await {
        TaskStep::Hit(hit) => Ok(memo.show(hit)),
        TaskStep::Compute(computation) => finish(computation, ttl, compute).await,
    };
    WithPulse::new(max_stall, run).await
}

/// Computes, and stores the value.
pub(super) async fn finish<V, F, E>(
    computation: Box<TaskComputation<V>>,
    ttl: EntryTtl<'static, V>,
    compute: impl FnOnce() -> F,
) -> result::Result<V, E>
where
    V: Clone + Send + Sync + 'static,
    F: Future<Output = result::Result<V, E>>,
{
    match computation.compute(compute).await {
        Ok(value) => Ok(computation.keep(value, ttl).await),
        Err(error) => computation.fall_back().await.ok_or(error),
    }
}

impl<K: ?Sized, V> From<crate::Memo<K, V>> for Memo<K, V> {
    fn from(memo: crate::Memo<K, V>) -> Self {
        Self { memo }
    }
}

impl<K: ?Sized, V> From<Memo<K, V>> for crate::Memo<K, V> {
    fn from(Memo { memo }: Memo<K, V>) -> Self {
        memo
    }
}

impl<K: ?Sized, V> Clone for Memo<K, V> {
    fn clone(&self) -> Self {
        Self { memo: self.memo.clone() }
    }
}

impl<K: ?Sized, V> fmt::Debug for Memo<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.memo.fmt(f)
    }
}
