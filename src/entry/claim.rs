//! The two phases of a call: a lookup, and the claim on what was not found.

use std::{fmt, mem, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    context::Context,
    flight::WithPulse,
    flow::{self, EntryTtl, MemoInner, TaskComputation, Terms, Work},
    memo::Memo,
    stats::Tier,
    sync::{Mutex, lock},
};

/// What [`Entry::lookup`](crate::Entry::lookup) found.
#[derive(Debug)]
pub enum Lookup<V: 'static> {
    /// A value that meets the options of the call.
    Hit(Hit<V>),
    /// No such value: the caller is to compute it. Other callers of the key wait for that.
    Miss(Claim<V>),
}

/// A value that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hit<V> {
    /// The value.
    pub value: V,
    /// Where it was found.
    pub tier: Tier,
    /// Whether it is older than its ttl: see [`stale_for`](crate::MemoBuilder::stale_for).
    pub is_stale: bool,
    /// How long ago it was stored, in milliseconds.
    pub age: Duration,
    /// How long its computation took. Zero for a value that came by [`insert`](Memo::insert).
    pub compute_time: Duration,
}

impl<V: Clone + Send + Sync + 'static> Hit<V> {
    /// Hands a hit out, with its effects.
    pub(crate) fn shown(memo: &MemoInner<V>, hit: flow::Hit<V>) -> Self {
        let (tier, is_stale, age, compute_time) = (hit.tier, hit.is_stale(), hit.age(), hit.compute_time);
        Self { value: memo.show(hit), tier, is_stale, age, compute_time }
    }
}

/// A computation and its memo.
type Begun<V> = (Arc<MemoInner<V>>, Work<V>);

/// The right to compute the value of one key, from [`Entry::lookup`](crate::Entry::lookup).
///
/// While a claim is there, other callers of the key wait for its value, in every process that shares the store, or get the
/// stale value if there is one. A claim may be kept across any code and be sent to another thread. To look up with
/// [`get`](Memo::get) and to store with [`insert`](Memo::insert) promises less: many callers may compute at the same time,
/// and a value that was removed meanwhile comes back.
///
/// # The four fates of a claim
///
/// * [`insert`](Self::insert) stores the value, and the waiters find it.
/// * It is *dropped*: nothing is stored, and one of the waiters computes. That counts as a failed computation: see
///   [`retry_after`](crate::MemoBuilder::retry_after).
/// * The key is *changed* meanwhile, by `insert`, `remove` or `clear` of the memo: the value of the claim is not stored.
/// * It is *forgotten*, or its holder does not go on: other callers of this process wait for 30 s at most, or for
///   [`max_wait`](crate::StoreBuilder::max_wait) if that is less, and one of them computes. Time spent in
///   [`run`](Self::run) or [`wrap`](Self::wrap) does not count.
///
/// Blocking calls of the thread that took a claim never wait for it: with the same key they compute directly. A call of
/// [`future`](crate::future) waits, unless it is made within `run` or `wrap`.
///
/// Trouble of the store is counted, kept and told to observers, as in a call with a closure. It is no error here.
#[must_use = "a claim that is dropped hands over to another caller"]
pub struct Claim<V: 'static> {
    /// `None` for a call that touches nothing: see [`MEMOLITH_DISABLE`](crate#turning-it-off).
    work: Option<Box<Begun<V>>>,
    /// Without work: in which effects are handled.
    plain: Option<Context>,
    /// Locked for one look, so that a claim can be shared by the threads that compute.
    ttl: Mutex<EntryTtl<'static, V>>,
}

impl<V: Clone + Send + Sync + 'static> Claim<V> {
    /// Stores a value, and wakes the callers that wait for it. The compute time of the value runs from the lookup to here.
    ///
    /// It waits for the disk as [`get_or_insert_with`](Memo::get_or_insert_with) does.
    ///
    /// ```
    /// # use memolith::{Lookup, Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// if let Lookup::Miss(claim) = memo.entry("one").lookup() {
    ///     claim.insert(&1);
    /// }
    /// assert_eq!(memo.get("one")?, Some(1));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn insert(mut self, value: &V) {
        let ttl = self.take_ttl();
        if let Some((memo, work)) = self.work.as_deref_mut() {
            memo.keep_value(work, value, ttl);
        }
    }

    /// Stores a value in the memory tier only: it is gone with the process, and other processes do not find it. An older value
    /// on disk stays there, and is found again when this one leaves the memory.
    ///
    /// ```
    /// # use memolith::{Lookup, Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// if let Lookup::Miss(claim) = memo.entry("one").lookup() {
    ///     claim.insert_in_memory(&1);
    /// }
    /// assert_eq!((memo.get("one")?, memo.len()?), (Some(1), 0));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn insert_in_memory(mut self, value: &V) {
        let ttl = self.take_ttl();
        if let Some((memo, work)) = self.work.as_deref_mut() {
            memo.keep_value_in_memory(work, value, ttl);
        }
    }

    /// As [`insert`](Self::insert), for a task: it encodes a large value and waits for the disk on other threads. Returns the value.
    ///
    /// A future that is dropped after its first poll may have stored the value.
    ///
    /// ```
    /// # use memolith::{Lookup, Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let memo: future::Memo<str, u8> = Memo::builder("numbers").open(&store)?.into();
    /// if let Lookup::Miss(claim) = memo.entry("one").lookup().await {
    ///     assert_eq!(claim.insert_in_task(1).await, 1);
    /// }
    /// assert_eq!(memo.get("one").await?, Some(1));
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub async fn insert_in_task(mut self, value: V) -> V {
        let ttl = self.take_ttl();
        let Some(begun) = self.work.take() else { return value };
        let (memo, work) = *begun;
        Box::new(TaskComputation::of(memo, work)).keep(value, ttl).await
    }

    fn take_ttl(&self) -> EntryTtl<'static, V> {
        mem::replace(&mut *lock(&self.ttl), EntryTtl::OfMemo)
    }
}

impl<V: 'static> Claim<V> {
    /// The stale value that the new one is to replace, if there is one: for a fallback, or to renew it.
    ///
    /// From here on the new value depends on the [inputs](crate::inputs) of the stale one. It has none of its
    /// [effects](crate::effects).
    ///
    /// ```
    /// # use memolith::{Lookup, Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// let Lookup::Miss(claim) = memo.entry("one").lookup() else { unreachable!("nothing was stored") };
    /// assert_eq!(claim.stale(), None);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn stale(&self) -> Option<&V> {
        self.work.as_deref().and_then(|(_, work)| work.stale())
    }

    /// Runs a part of the computation on this thread. Memoized calls within it belong to the claim: a call that would wait for
    /// the claim itself, directly or through other computations, computes directly, and a stale value that one of them
    /// returns makes the value of the claim stale.
    ///
    /// ```
    /// # use memolith::{Lookup, Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<u64, u64> = Memo::builder("powers").open(&store)?;
    /// if let Lookup::Miss(claim) = memo.entry(&4).lookup() {
    ///     let power = std::thread::scope(|scope| {
    ///         scope.spawn(|| claim.run(|| memo.get_or_insert_with(&2, || 4) * 4)).join().unwrap()
    ///     });
    ///     claim.insert(&power);
    /// }
    /// assert_eq!(memo.get(&4)?, Some(16));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn run<R>(&self, compute: impl FnOnce() -> R) -> R {
        match (self.work.as_deref(), &self.plain) {
            (Some((_, work)), _) => work.run(compute),
            (None, Some(plain)) => plain.run(compute),
            (None, None) => compute(),
        }
    }

    /// As [`run`](Self::run), for a part of the computation that is a future: it is polled and dropped as a part of the claim.
    /// While it is there, other callers wait for it as for a task that computes: see [`future`](crate::future).
    ///
    /// ```
    /// # use memolith::{Lookup, Memo, Store, future};
    /// # smol::block_on(async {
    /// # let store = Store::temporary()?;
    /// let memo: future::Memo<u64, u64> = Memo::builder("powers").open(&store)?.into();
    /// if let Lookup::Miss(claim) = memo.entry(&4).lookup().await {
    ///     let power = claim.wrap(async { memo.get_or_insert_with(&2, || async { 4 }).await * 4 }).await;
    ///     claim.insert_in_task(power).await;
    /// }
    /// assert_eq!(memo.get(&4).await?, Some(16));
    /// # Ok::<(), memolith::Error>(()) }).unwrap();
    /// ```
    pub async fn wrap<F: Future>(&self, future: F) -> F::Output {
        let Some((memo, work)) = self.work.as_deref() else {
            return match &self.plain {
                Some(plain) => plain.wrap(future).await,
                None => future.await,
            };
        };
        WithPulse::new(memo.session().max_stall, async |pulse| work.run_in_task(pulse, future).await).await
    }

    /// The claim of a call that touches nothing.
    pub(crate) fn of_nothing(plain: Option<Context>, ttl: EntryTtl<'static, V>) -> Self {
        Self { work: None, plain, ttl: Mutex::new(ttl) }
    }

    /// The claim lies in a variable of the caller from here on.
    pub(crate) fn of(memo: Arc<MemoInner<V>>, work: Work<V>, ttl: EntryTtl<'static, V>) -> Self {
        work.rest();
        Self { work: Some(Box::new((memo, work))), plain: None, ttl: Mutex::new(ttl) }
    }
}

impl<V: 'static> Drop for Claim<V> {
    fn drop(&mut self) {
        if let Some((memo, work)) = self.work.as_deref_mut() {
            memo.fail(work);
        }
    }
}

impl<V> fmt::Debug for Claim<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.work.as_deref().map(|(memo, _)| &memo.place);
        f.debug_struct("Claim").field("place", &place).finish_non_exhaustive()
    }
}

pub(super) fn look_up<K: Serialize + ?Sized, V: Clone + Send + Sync + 'static>(
    memo: &Memo<K, V>,
    key: &K,
    terms: &Terms<impl Fn(&V) -> bool>,
    ttl: EntryTtl<'static, V>,
) -> Lookup<V> {
    let Some(found) = memo.find_or_lead(key, terms) else {
        return Lookup::Miss(Claim::of_nothing(memo.inner().plain_context(), ttl));
    };
    match found {
        flow::Lookup::Hit(hit) | flow::Lookup::Behind(hit, _) => Lookup::Hit(Hit::shown(memo.inner(), hit)),
        flow::Lookup::Compute(lead) => {
            let (memo, work) = memo.begin_work(key, lead);
            Lookup::Miss(Claim::of(memo, work, ttl))
        }
    }
}
