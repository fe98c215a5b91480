//! A call in a task with options of its own.

use std::{convert::Infallible, fmt, future::Future, result, sync::Arc, time::Duration};

use serde::Serialize;

use super::{Memo, memo};
use crate::{
    entry::{Claim, Hit, Lookup},
    flight::{Asker, WithPulse},
    flow::{self, DigestedKey, EntryTtl, TaskCall, TaskStep, TaskTerms},
    key::MemoKey,
};

/// A call on a [`future::Memo`](Memo) with options of its own, from [`entry`](Memo::entry).
///
/// It has the options of the [blocking one](crate::Entry), where a table tells which to set.
#[must_use = "nothing is looked up until the future of `or_insert_with` or `lookup` is polled"]
pub struct Entry<'a, K: ?Sized, V: 'static> {
    memo: &'a Memo<K, V>,
    key: Option<DigestedKey>,
    terms: TaskTerms<V>,
    ttl: EntryTtl<'static, V>,
}

impl<K: Serialize + ?Sized, V: Clone + Send + Sync + 'static> Memo<K, V> {
    /// A call with options of its own: see [`Entry`]. The key is digested at once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let tokens: future::Memo<str, String> = Memo::builder("tokens").open(&store)?.into();
    /// let token = tokens.entry("mail").ttl(Duration::from_secs(300)).or_insert_with(|| async { "abc".into() }).await;
    /// assert_eq!(token, "abc");
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub fn entry<'a>(&'a self, key: &K) -> Entry<'a, K, V> {
        let terms = TaskTerms { began: self.blocking().now(), ..TaskTerms::default() };
        let key = self.blocking().task_key(key).map(|key| {
            let digest = key.encoded.as_ref().map(MemoKey::digest).map_err(Clone::clone);
            self.blocking().inner().digested(digest, key)
        });
        Entry { memo: self, key, terms, ttl: EntryTtl::OfMemo }
    }
}

impl<K: Serialize + ?Sized, V: Clone + Send + Sync + 'static> Entry<'_, K, V> {
    /// As [`Entry::ttl`](crate::Entry::ttl).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let memo: future::Memo<str, u8> = Memo::builder("numbers").open(&store)?.into();
    /// memo.entry("pi").ttl(Duration::from_secs(3600)).or_insert_with(|| async { 3 }).await;
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = EntryTtl::Fixed(ttl);
        self
    }

    /// As [`Entry::ttl_with`](crate::Entry::ttl_with).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let pages: future::Memo<str, (String, u64)> = Memo::builder("pages").open(&store)?.into();
    /// let fetch = || async { (String::from("hello"), 300) }; // a page, and the seconds for which it may be kept
    /// pages.entry("/").ttl_with(|(_, seconds)| Duration::from_secs(*seconds)).or_insert_with(fetch).await;
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub fn ttl_with(mut self, ttl_of: impl FnOnce(&V) -> Duration + Send + 'static) -> Self {
        self.ttl = EntryTtl::Of(Box::new(ttl_of));
        self
    }

    /// As [`Entry::max_age`](crate::Entry::max_age). The call begins with [`entry`](Memo::entry).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let memo: future::Memo<str, u8> = Memo::builder("numbers").open(&store)?.into();
    /// memo.insert("one", 1).await?;
    /// assert_eq!(memo.entry("one").max_age(Duration::from_secs(60)).or_insert_with(|| async { 2 }).await, 1);
    /// assert_eq!(memo.entry("one").max_age(Duration::ZERO).or_insert_with(|| async { 3 }).await, 3);
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub fn max_age(mut self, age: Duration) -> Self {
        self.terms.max_age = Some(age);
        self
    }

    /// As [`Entry::validate`](crate::Entry::validate). A large value is looked at on another thread.
    ///
    /// ```
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let memo: future::Memo<str, Vec<u8>> = Memo::builder("pictures").open(&store)?.into();
    /// memo.insert("dot", vec![]).await?;
    /// let dot = memo.entry("dot").validate(|picture| !picture.is_empty()).or_insert_with(|| async { vec![255] });
    /// assert_eq!(dot.await, [255]);
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub fn validate(mut self, is_valid: impl Fn(&V) -> bool + Send + Sync + 'static) -> Self {
        self.terms.is_valid = Some(Box::new(is_valid));
        self
    }

    /// Returns the stored value if it meets the options, or computes it by the future that `compute` makes, and stores it. Its
    /// fates are those of [`Memo::get_or_insert_with`].
    ///
    /// ```
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let squares: future::Memo<u64, u64> = Memo::builder("squares").open(&store)?.into();
    /// assert_eq!(squares.entry(&12).or_insert_with(|| async { 144 }).await, 144);
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub async fn or_insert_with<F, Fut>(self, compute: F) -> V
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = V>,
    {
        let Ok(value) = self.or_try_insert_with(|| async { Ok::<V, Infallible>(compute().await) }).await;
        value
    }

    /// As [`or_insert_with`](Self::or_insert_with), for a future that may fail.
    ///
    /// # Errors
    ///
    /// The errors of the future, unchanged, and no others. In place of an error the stale value is returned, if the memo keeps one
    /// and the options accept it.
    ///
    /// ```
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let numbers: future::Memo<str, i32> = Memo::builder("numbers").open(&store)?.into();
    /// assert_eq!(numbers.entry("42").or_try_insert_with(|| async { "42".parse::<i32>() }).await, Ok(42));
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub async fn or_try_insert_with<F, Fut, E>(self, compute: F) -> result::Result<V, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = result::Result<V, E>>,
    {
        let Self { memo, key, terms, ttl } = self;
        let Some(key) = key else { return memo::plainly(memo.blocking().inner(), compute).await };
        memo::run(call(memo, terms), key, ttl, compute).await
    }

    /// As [`or_try_insert_with`](Self::or_try_insert_with), and `update` gets the old value, at any age: a stale, an expired or a
    /// refused one. `None` if none is there, or it cannot be read.
    ///
    /// # Errors
    ///
    /// As [`or_try_insert_with`](Self::or_try_insert_with).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use memolith::{Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let counts: future::Memo<str, u64> = Memo::builder("counts").open(&store)?.into();
    /// for expected in 1..=3 {
    ///     let entry = counts.entry("visits").max_age(Duration::ZERO);
    ///     let count = entry.or_try_update_with(|old| async move { Ok::<_, ()>(old.unwrap_or(0) + 1) }).await;
    ///     assert_eq!(count, Ok(expected));
    /// }
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub async fn or_try_update_with<F, Fut, E>(self, update: F) -> result::Result<V, E>
    where
        F: FnOnce(Option<V>) -> Fut,
        Fut: Future<Output = result::Result<V, E>>,
    {
        let Self { memo, key, terms, ttl } = self;
        let Some(key) = key else { return memo::plainly(memo.blocking().inner(), || update(None)).await };
        let call = call(memo, terms);
        let (inner, max_stall) = (Arc::clone(&call.memo), call.memo.session().max_stall);
        let run = async |pulse| match call.begin(key, Asker::task(pulse)).await {
            TaskStep::Hit(hit) => Ok(inner.show(hit)),
            TaskStep::Compute(computation) => {
                let old = computation.old_value().await;
                memo::finish(computation, ttl, || update(old)).await
            }
        };
        WithPulse::new(max_stall, run).await
    }

    /// The first phase alone, as [`Entry::lookup`](crate::Entry::lookup): the value, or a [`Claim`] to compute it wherever that fits.
    ///
    /// Calls that a future makes for the claim belong to it if the future is [wrapped](Claim::wrap).
    ///
    /// ```
    /// # use memolith::{Lookup, Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let squares: future::Memo<u64, u64> = Memo::builder("squares").open(&store)?.into();
    /// let square = match squares.entry(&12).lookup().await {
    ///     Lookup::Hit(hit) => hit.value,
    ///     Lookup::Miss(claim) => {
    ///         let square = claim.wrap(async { 12 * 12 }).await;
    ///         claim.insert_in_task(square).await
    ///     }
    /// };
    /// assert_eq!(square, 144);
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    #[must_use = "a claim that is dropped hands over to another caller"]
    pub async fn lookup(self) -> Lookup<V> {
        let Self { memo, key, terms, ttl } = self;
        let Some(key) = key else {
            let plain = memo.blocking().inner().plain_context();
            return Lookup::Miss(Claim::of_nothing(plain, ttl));
        };
        let call = call(memo, terms);
        let max_stall = call.memo.session().max_stall;
        let run = async |pulse| {
            let asker = Asker::task(pulse);
            match call.find_or_lead(&key.digest, &asker).await {
                flow::Lookup::Hit(hit) | flow::Lookup::Behind(hit, _) => {
                    Lookup::Hit(Hit::shown(&call.memo, hit))
                }
                flow::Lookup::Compute(lead) => {
                    let work = call.memo.begin_work(lead, key.head, asker.caller);
                    Lookup::Miss(Claim::of(call.memo, work, ttl))
                }
            }
        };
        WithPulse::new(max_stall, run).await
    }
}

fn call<K: ?Sized, V>(memo: &Memo<K, V>, terms: TaskTerms<V>) -> TaskCall<V> {
    TaskCall { memo: Arc::clone(memo.blocking().inner()), terms: Arc::new(terms) }
}

impl<K: ?Sized, V> fmt::Debug for Entry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("memo", &self.memo.blocking().name())
            .field("max_age", &self.terms.max_age)
            .field("validate", &self.terms.is_valid.is_some())
            .finish_non_exhaustive()
    }
}
