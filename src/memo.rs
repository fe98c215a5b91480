//! `Memo`: the results of one function, by key.

use std::{
    convert::Infallible,
    fmt,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde::Serialize;

use crate::{
    clock::Timestamp,
    context::Caller,
    error::{Error, Result},
    flow::{
        Behind, EntryTtl, Lead, LoadingCall, Lookup, MemoInner, PendingCall, TaskKey, Terms, ThreadTerms,
        Work,
    },
    key::{self, Digest, MemoKey},
    stats::{Failure, LastFailure, Reason, Stats, Usage, Why},
    store::Entries,
};

/// Stores the results of one function on disk. `K` is the type of its inputs, `V` the type of its result.
///
/// # Keys and values
///
/// Every type that serializes can be a key. A key is digested by value, so `"a"` and `String::from("a")` are the same key,
/// and so are a `HashMap` and a `BTreeMap` of the same content, and two `HashSet`s of equal elements (for sets that
/// memolith does not recognize there is [`unordered`](crate::unordered)). The key must contain everything that the result
/// depends on: a file as its [`FileStamp`](crate::FileStamp), a helper function as a
/// [`version`](crate::MemoBuilder::version).
///
/// With `V = Frame` every hit returns a copy that belongs to the caller. With `V = Arc<Frame>` hits share one immutable
/// value and cost the same at any size.
///
/// The first call returns the value of the closure. Every hit returns a value that was decoded from its encoded bytes.
///
/// The call encodes the computed value, from 4 KiB on into a file of its own, and hands it to a thread of the store, which
/// writes it to the index. Later calls find the value before it is written, too. If the closure ran for up to 15 ms, the
/// call does not wait for the write. Otherwise it returns when the value survives the end of the process. A read from disk
/// has no timeout.
///
/// # The four fates of a closure
///
/// * It *returns* a value: the value is stored, and returned to this caller and to the waiters.
/// * It *returns an error* (in [`get_or_try_insert_with`](Self::get_or_try_insert_with)): the error is returned
///   unchanged, nothing is stored, and one of the waiters computes.
/// * It *panics*: the panic unwinds to its own caller, nothing is stored, and one of the waiters computes. Nothing is
///   poisoned.
/// * It *re-enters*, by a call with the same key on the same thread, or by a cycle of keys: the inner call computes
///   directly, as the plain function would. It never deadlocks.
///
/// # Cloning
///
/// A memo is cheap to clone, and clones are one memo. It is `Send` and `Sync`, and keeps its store open. In async code
/// there is [`future::Memo`](crate::future::Memo).
///
/// # When caching does not work
///
/// A memoized call fails only as its closure fails. So a cache that cannot store values (a full disk, a value that cannot
/// be encoded) is slow, not broken. A test can check [`last_failure`](Self::last_failure):
///
/// ```
/// # use memolith::{Memo, Store};
/// # let store = Store::temporary()?;
/// # let frames: Memo<u32, Vec<f64>> = Memo::builder("frames").open(&store)?;
/// frames.get_or_insert_with(&1, || vec![0.5; 1000]);
/// assert!(frames.last_failure().is_none(), "{:?}", frames.last_failure());
/// assert_eq!(frames.stats().inserts, 1);
/// # Ok::<(), memolith::Error>(())
/// ```
pub struct Memo<K: ?Sized, V: 'static> {
    inner: Arc<MemoInner<V>>,
    /// Covariant in `K`, and always `Send` and `Sync`. A memo in a static has `'static` keys and is called with short
    /// borrows, which `fn(&K)` would not allow.
    key: PhantomData<fn() -> Box<K>>,
}

impl<K: ?Sized, V> Memo<K, V> {
    pub(crate) fn new(inner: Arc<MemoInner<V>>) -> Self {
        Self { inner, key: PhantomData }
    }

    pub(crate) fn inner(&self) -> &Arc<MemoInner<V>> {
        &self.inner
    }

    /// The same memo, with another key type.
    pub(crate) fn of_keys<Q: ?Sized>(self) -> Memo<Q, V> {
        Memo::new(self.inner)
    }

    /// The name that the memo was opened with.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<u8, u8> = Memo::builder("numbers").open(&store)?;
    /// assert_eq!(memo.name(), "numbers");
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }
}

impl<K: Serialize + ?Sized, V: Clone + Send + Sync + 'static> Memo<K, V> {
    /// Returns the stored value of `key`, or computes it by `compute` and stores it.
    ///
    /// The cache never makes this call fail. If the value cannot be stored, it is returned all the same, and the
    /// failure is in [`last_failure`](Self::last_failure).
    ///
    /// # The four fates of `compute`
    ///
    /// Returns: the value is stored and returned. Panics: the panic unwinds to this caller, nothing is stored, and one of
    /// the waiters computes. Re-enters (the same key on the same thread, or a cycle of keys): the inner call computes
    /// directly. For functions that may fail there is [`get_or_try_insert_with`](Self::get_or_try_insert_with).
    ///
    /// Concurrent callers of one key wait for the first of them. After [`max_wait`](crate::StoreBuilder::max_wait) one of
    /// them computes too.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let squares: Memo<u64, u64> = Memo::builder("squares").open(&store)?;
    /// assert_eq!(squares.get_or_insert_with(&12, || 12 * 12), 144);
    /// assert_eq!(squares.get_or_insert_with(&12, || unreachable!("remembered")), 144);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn get_or_insert_with(&self, key: &K, compute: impl FnOnce() -> V) -> V {
        match self.get_or_try_insert_with(key, || Ok::<V, Infallible>(compute())) {
            Ok(value) => value,
        }
    }

    /// Returns the stored value of `key`, or computes it by `compute` and stores it, unless `compute` fails.
    ///
    /// # Errors
    ///
    /// The errors of `compute`, unchanged, and no others.
    ///
    /// # The four fates of `compute`
    ///
    /// Returns: the value is stored and returned. Errors: the error is returned, nothing is stored, and one of the waiters
    /// computes; after a second failure in a row the remaining waiters compute in parallel. Panics: the same, and the panic
    /// unwinds to this caller. Re-enters: the inner call computes directly.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let numbers: Memo<str, i32> = Memo::builder("numbers").open(&store)?;
    /// assert!(numbers.get_or_try_insert_with("x", || "x".parse::<i32>()).is_err()); // not remembered
    /// assert_eq!(numbers.get_or_try_insert_with("42", || "42".parse::<i32>()), Ok(42));
    /// assert_eq!(numbers.len()?, 1);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn get_or_try_insert_with<E>(&self, key: &K, compute: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        self.begin(key).finish(compute)
    }

    /// Returns the stored value of `key`, if there is one. It computes nothing, and waits for no computation. Under
    /// [`MEMOLITH_DISABLE`](crate#turning-it-off) there is none.
    ///
    /// # Errors
    ///
    /// - [`Key`](crate::ErrorKind::Key) or [`Panic`](crate::ErrorKind::Panic) if the key cannot be serialized.
    /// - [`Io`](crate::ErrorKind::Io), [`Corrupt`](crate::ErrorKind::Corrupt) or [`Engine`](crate::ErrorKind::Engine)
    ///   if the disk or the index cannot be read.
    /// - [`Closed`](crate::ErrorKind::Closed) if the store is closed.
    ///
    /// A damaged or expired entry is no error: it is `None`.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// assert_eq!(memo.get("one")?, None);
    /// memo.insert("one", &1)?;
    /// assert_eq!(memo.get("one")?, Some(1));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        let mut encoded = MemoKey::default();
        self.encode(key, &mut encoded)?;
        if let Some(value) = self.inner.fresh_by_key(&encoded, |_| true) {
            return Ok(Some(value));
        }
        let digest = encoded.digest();
        if let Some(value) = self.inner.fresh_in_memory(&digest, &encoded, |_| true) {
            return Ok(Some(value));
        }
        Ok(self.inner.get(&digest)?.map(|hit| self.inner.show(hit)))
    }

    /// Why a call of `key` would find a value or not, at this moment: which input changed, a bound, its age, another version or
    /// damage. For a look into a cache that misses more often than it should.
    ///
    /// It reads the value, and hands nothing out: nothing is computed, counted or told, no effect is handled, and the order in
    /// which entries leave does not change. That a value left for a bound is known for the last 1,024 such values, in the process
    /// that hosts the store.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// ```
    /// use memolith::{Memo, Store, inputs, stats::Why};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("prices.csv");
    /// # std::fs::write(&path, "7")?;
    /// let store = Store::temporary()?;
    /// let totals: Memo<str, String> = Memo::builder("totals").open(&store)?;
    /// totals.get_or_try_insert_with("all", || inputs::read_to_string(&path))?;
    /// assert!(totals.why("all")?.is_hit());
    /// std::fs::write(&path, "8")?;
    /// match totals.why("all")? {
    ///     Why::Changed { input, .. } => assert!(input.starts_with("file `")),
    ///     other => panic!("{other}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn why(&self, key: &K) -> Result<Why> {
        self.inner.why(&self.digest(key)?)
    }

    /// Stores `value` for `key`, and replaces an earlier value. When this returns, the value survives the end of the
    /// process, and entries that were evicted for it are gone.
    ///
    /// The value becomes the newest entry. It takes precedence over a computation of the key that is in progress: that
    /// value goes to its own caller and is not stored.
    ///
    /// # Errors
    ///
    /// - [`Key`](crate::ErrorKind::Key) or [`Panic`](crate::ErrorKind::Panic) if the key cannot be serialized.
    /// - [`Encode`](crate::ErrorKind::Encode) or [`Panic`](crate::ErrorKind::Panic) if the value cannot be encoded, or
    ///   could not be read back unchanged.
    /// - [`Oversize`](crate::ErrorKind::Oversize) if the value alone is larger than `max_bytes`.
    /// - [`Closed`](crate::ErrorKind::Closed) if the store is closed, or could start no thread.
    /// - [`Io`](crate::ErrorKind::Io), [`Corrupt`](crate::ErrorKind::Corrupt) or [`Engine`](crate::ErrorKind::Engine)
    ///   if the write fails. An earlier value may then still be stored.
    ///
    /// [`Engine`](crate::ErrorKind::Engine) is also the kind of a timeout: if the storage engine makes no progress for
    /// 5 s, the value may still be stored later. Until the engine makes progress, further calls fail at once and change
    /// nothing.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, Vec<u8>> = Memo::builder("pictures").open(&store)?;
    /// memo.insert("dot", &vec![255])?;
    /// assert_eq!(memo.get_or_insert_with("dot", || unreachable!("it was inserted")), [255]);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn insert(&self, key: &K, value: &V) -> Result<()> {
        self.inner.insert(&self.digest(key)?, self.head(key), value)
    }

    /// Removes the value of `key` for good, also after a crash. Returns whether there was a value.
    ///
    /// A call that starts after this returned computes the value again. The value of a computation in progress goes to its
    /// own caller and is not stored.
    ///
    /// # Errors
    ///
    /// - [`Key`](crate::ErrorKind::Key) or [`Panic`](crate::ErrorKind::Panic) if the key cannot be serialized.
    /// - [`Closed`](crate::ErrorKind::Closed) if the store is closed.
    /// - [`Io`](crate::ErrorKind::Io), [`Corrupt`](crate::ErrorKind::Corrupt) or [`Engine`](crate::ErrorKind::Engine)
    ///   if the write fails. The value is then removed from memory, and may still be on disk. For an engine that does
    ///   not answer see [`insert`](Self::insert).
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// memo.insert("one", &1)?;
    /// assert!(memo.remove("one")?);
    /// assert!(!memo.remove("one")?);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn remove(&self, key: &K) -> Result<bool> {
        self.inner.remove(&self.digest(key)?)
    }

    /// Whether a fresh value of `key` is stored. This changes neither the order of eviction nor the memory tier.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// assert!(!memo.contains_key("one")?);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn contains_key(&self, key: &K) -> Result<bool> {
        self.inner.contains(&self.digest(key)?)
    }

    /// Removes all values of this memo for good, in about the same time at any size. Values of other memos, and of other
    /// versions of this memo, stay.
    ///
    /// # Errors
    ///
    /// - [`Closed`](crate::ErrorKind::Closed) if the store is closed.
    /// - [`Io`](crate::ErrorKind::Io), [`Corrupt`](crate::ErrorKind::Corrupt) or [`Engine`](crate::ErrorKind::Engine)
    ///   if the write fails. The memory is then cleared, and values may still be on disk. For an engine that does not
    ///   answer see [`insert`](Self::insert).
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// memo.insert("one", &1)?;
    /// memo.clear()?;
    /// assert!(memo.is_empty()?);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        self.inner.clear()
    }

    /// Number of fresh entries on disk. Queued values are written and counted first. Expired entries do not count, and
    /// each of them costs a read: see [`Store::sweep`](crate::Store::sweep).
    ///
    /// # Errors
    ///
    /// - [`Closed`](crate::ErrorKind::Closed) if the store is closed.
    /// - [`Io`](crate::ErrorKind::Io), [`Corrupt`](crate::ErrorKind::Corrupt) or [`Engine`](crate::ErrorKind::Engine)
    ///   if the entries cannot be counted. [`Engine`](crate::ErrorKind::Engine) also if the storage engine makes no
    ///   progress for 5 s.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// memo.insert("one", &1)?;
    /// assert_eq!(memo.len()?, 1);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn len(&self) -> Result<usize> {
        self.inner.len()
    }

    /// Whether [`len`](Self::len) is 0.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// assert!(memo.is_empty()?);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// The number of fresh entries on disk, their bytes, and the size of the payload files. Queued values are written
    /// and counted first. It walks over the payload files, one look for each value over 4 KiB.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len); [`Io`](crate::ErrorKind::Io) also if the payload files cannot be looked at.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, Vec<u8>> = Memo::builder("pictures").open(&store)?;
    /// memo.insert("dot", &vec![255; 10_000])?;
    /// let usage = memo.usage()?;
    /// assert!(usage.entries == 1 && usage.bytes > 10_000 && usage.disk_bytes > 10_000);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn usage(&self) -> Result<Usage> {
        self.inner.usage()
    }

    /// Walks over the fresh entries, the oldest first: their keys as text, times and sizes. Queued values are written first.
    ///
    /// It reads 64 entries at a time, about 2 us each, and holds nothing between two of these reads: changes go on, and
    /// entries that come or leave meanwhile are found or not. Values are not read.
    ///
    /// # Errors
    ///
    /// - [`Closed`](crate::ErrorKind::Closed) if the store is closed; also as an item, if it is closed during the walk.
    /// - As an item, which is the last one then: [`Io`](crate::ErrorKind::Io), [`Corrupt`](crate::ErrorKind::Corrupt) or
    ///   [`Engine`](crate::ErrorKind::Engine) if the index cannot be read.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let squares: Memo<u64, u64> = Memo::builder("squares").open(&store)?;
    /// for number in [3, 4] {
    ///     squares.get_or_insert_with(&number, || number * number);
    /// }
    /// let keys: Vec<String> = squares.entries()?.map(|entry| Ok(entry?.key)).collect::<memolith::Result<_>>()?;
    /// assert_eq!(keys, ["3", "4"]);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn entries(&self) -> Result<Entries> {
        self.inner.entries()
    }

    /// As [`Store::flush`](crate::Store::flush), for all memos of the store.
    ///
    /// # Errors
    ///
    /// As [`Store::flush`](crate::Store::flush).
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// memo.get_or_insert_with("one", || 1);
    /// memo.flush()?;
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.inner.flush()
    }

    /// The counters of this memo since this process first opened it. It waits for nothing. In a
    /// process that was forked from the one that opened the store all are 0.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// memo.get_or_insert_with("one", || 1);
    /// assert_eq!((memo.stats().misses.absent, memo.stats().inserts), (1, 1));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// The last failure of this memo that no call returned, with its time; `None` if there was none since the last
    /// [`take_last_failure`](Self::take_last_failure). Failures of the store as a whole, such as an index that cannot
    /// be opened, are in [`Store::last_failure`](crate::Store::last_failure).
    ///
    /// It waits until all queued values are written, at most 5 s without progress.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// memo.get_or_insert_with("one", || 1);
    /// assert!(memo.last_failure().is_none());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn last_failure(&self) -> Option<Failure> {
        self.failure(LastFailure::get)
    }

    /// As [`last_failure`](Self::last_failure), and forgets it: the next look finds only later failures. The
    /// counters in [`stats`](Self::stats) stay.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, Vec<u8>> = Memo::builder("pictures").max_bytes(100).open(&store)?;
    /// memo.get_or_insert_with("dot", || vec![255; 1000]);
    /// assert!(memo.take_last_failure().is_some_and(|failure| failure.error.is_oversize()));
    /// assert!(memo.take_last_failure().is_none());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn take_last_failure(&self) -> Option<Failure> {
        self.failure(LastFailure::take)
    }

    fn failure(&self, read: fn(&LastFailure) -> Option<Failure>) -> Option<Failure> {
        let session = self.inner.session();
        if let Err(inherited) = session.check_origin() {
            return Some(Failure::now(inherited, &session.clock));
        }
        self.inner.partition.catch_up();
        read(&self.inner.counters.last_failure)
    }
}

impl<K: ?Sized, V: Clone + Send + Sync + 'static> Memo<K, V> {
    /// The first half of a call. After it the key is no longer needed, so the closure may consume the parts of the key, and
    /// a closure that changes the key through a cell does not change where the value is stored. Any key that serializes as
    /// a `K` does is accepted.
    #[inline(never)]
    pub(crate) fn begin<Q: Serialize + ?Sized>(&self, key: &Q) -> PendingCall<'_, V> {
        if self.is_plain() {
            return PendingCall::Plain(self.inner.plain_context());
        }
        let mut encoded = MemoKey::default();
        if let Err(error) = self.inner.guarded("Serialize", || key::compact(key, &mut encoded)) {
            return self.refuse(&error);
        }
        if let Some(value) = self.inner.fresh_by_key(&encoded, |_| true) {
            return PendingCall::Hit(value);
        }
        let digest = encoded.digest();
        if let Some(value) = self.inner.fresh_in_memory(&digest, &encoded, |_| true) {
            return PendingCall::Hit(value);
        }
        if let Some(value) = self.inner.fresh_on_disk(&digest) {
            return PendingCall::Hit(value);
        }
        self.pending(
            key,
            self.inner.look_up(&digest, &ThreadTerms::default()),
            ThreadTerms::default(),
            EntryTtl::OfMemo,
        )
    }

    /// The same for a call with terms of its own.
    pub(crate) fn begin_under<'a, Q: Serialize + ?Sized>(
        &'a self,
        key: &Q,
        terms: ThreadTerms<'a, V>,
        ttl: EntryTtl<'a, V>,
    ) -> PendingCall<'a, V> {
        match self.find_or_lead(key, &terms) {
            None => PendingCall::Plain(self.inner.plain_context()),
            Some(found) => self.pending(key, found, terms, ttl),
        }
    }

    fn pending<'a, Q: Serialize + ?Sized>(
        &'a self,
        key: &Q,
        found: Lookup<V>,
        terms: ThreadTerms<'a, V>,
        ttl: EntryTtl<'a, V>,
    ) -> PendingCall<'a, V> {
        match found {
            Lookup::Hit(hit) | Lookup::Behind(hit, _) => PendingCall::Hit(self.inner.show(hit)),
            Lookup::Compute(lead) => self.call(key, lead, terms, ttl),
        }
    }

    /// The value, or the lead. `None` for a call that touches nothing.
    pub(crate) fn find_or_lead<Q: Serialize + ?Sized>(
        &self,
        key: &Q,
        terms: &Terms<impl Fn(&V) -> bool>,
    ) -> Option<Lookup<V>> {
        if self.is_plain() {
            return None;
        }
        Some(match self.inner.guarded("Serialize", || key::digest(key)) {
            Ok(digest) => self.inner.look_up(&digest, terms),
            Err(error) => {
                self.inner.record_failure(&error);
                self.inner.record_miss(Reason::Absent);
                Lookup::Compute(None)
            }
        })
    }

    /// A call that computes under a lead.
    pub(crate) fn call<'a, Q: Serialize + ?Sized>(
        &'a self,
        key: &Q,
        lead: Option<Box<Lead<V>>>,
        terms: ThreadTerms<'a, V>,
        ttl: EntryTtl<'a, V>,
    ) -> PendingCall<'a, V> {
        let head = if lead.is_some() { self.head(key) } else { Vec::new() };
        PendingCall::Compute(Box::new(self.inner.compute(lead, head, terms, ttl)))
    }

    /// The same for a computation that its caller ends.
    pub(crate) fn begin_work(&self, key: &K, lead: Option<Box<Lead<V>>>) -> (Arc<MemoInner<V>>, Work<V>)
    where
        K: Serialize,
    {
        let head = if lead.is_some() { self.head(key) } else { Vec::new() };
        (Arc::clone(&self.inner), self.inner.begin_work(lead, head, Caller::fresh()))
    }

    /// The key of a call in a task, which may outlive the key. `None` for a call that touches nothing.
    pub(crate) fn task_key<Q: Serialize + ?Sized>(&self, key: &Q) -> Option<TaskKey> {
        if self.is_plain() {
            return None;
        }
        let (mut encoded, mut long_head) = (MemoKey::default(), Vec::new());
        let written = self.inner.guarded("Serialize", || {
            if self.inner.keeps_keys {
                key::compact_and_head(key, &mut encoded, &mut long_head)
            } else {
                key::compact(key, &mut encoded)
            }
        });
        Some(TaskKey { encoded: written.map(|()| encoded), long_head })
    }

    /// As [`begin`](Self::begin), for a call that can compute behind it.
    #[inline(never)]
    pub(crate) fn begin_loading<Q: Serialize + ?Sized>(&self, key: &Q) -> LoadingCall<'_, V> {
        let terms = ThreadTerms { is_loading: true, ..Terms::default() };
        match self.find_or_lead(key, &terms) {
            None => LoadingCall::Call(PendingCall::Plain(self.inner.plain_context())),
            Some(Lookup::Hit(hit)) => LoadingCall::Call(PendingCall::Hit(self.inner.show(hit))),
            Some(Lookup::Compute(lead)) => LoadingCall::Call(self.call(key, lead, terms, EntryTtl::OfMemo)),
            Some(Lookup::Behind(hit, lead)) => {
                let (memo, key_head) = (&self.inner, self.head(key));
                LoadingCall::Behind(Box::new(Behind { memo, hit, lead, key_head }))
            }
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.session().clock.now()
    }

    /// Whether calls must touch nothing: see [`PendingCall::Plain`].
    fn is_plain(&self) -> bool {
        self.inner.is_disabled || self.inner.session().is_inherited()
    }

    /// A call that reports `error` and computes without the cache.
    pub(crate) fn refuse(&self, error: &Error) -> PendingCall<'_, V> {
        if self.is_plain() {
            return PendingCall::Plain(self.inner.plain_context());
        }
        self.inner.record_failure(error);
        self.inner.record_miss(Reason::Absent);
        PendingCall::Compute(Box::new(self.inner.compute(
            None,
            Vec::new(),
            ThreadTerms::default(),
            EntryTtl::OfMemo,
        )))
    }

    /// A key with which a task does as [`refuse`](Self::refuse).
    pub(crate) fn refused_task_key(&self, error: &Error) -> Option<TaskKey> {
        (!self.is_plain()).then(|| TaskKey { encoded: Err(error.clone()), long_head: Vec::new() })
    }

    /// The head of the key, stored beside the value for inspection. Empty for private keys, and if the `Serialize` of the key
    /// panics.
    pub(crate) fn head<Q: Serialize + ?Sized>(&self, key: &Q) -> Vec<u8> {
        if !self.inner.keeps_keys {
            return Vec::new();
        }
        let head = catch_unwind(AssertUnwindSafe(|| key::head(key)));
        head.map_err(|panic| Error::panicked("the `Serialize` of a key", panic)).unwrap_or_default()
    }

    /// A key that cannot be serialized is a failure of the cache: it is counted, kept and reported.
    pub(crate) fn digest<Q: Serialize + ?Sized>(&self, key: &Q) -> Result<Digest> {
        let mut encoded = MemoKey::default();
        self.encode(key, &mut encoded)?;
        Ok(encoded.digest())
    }

    pub(crate) fn encode<Q: Serialize + ?Sized>(&self, key: &Q, encoded: &mut MemoKey) -> Result<()> {
        self.inner.session().check_origin().map_err(|error| error.with_context(&self.inner.place))?;
        let written = self.inner.guarded("Serialize", || key::compact(key, encoded));
        written.inspect_err(|error| self.inner.record_failure(error))
    }
}

impl<K: ?Sized, V> Clone for Memo<K, V> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.inner))
    }
}

impl<K: ?Sized, V> fmt::Debug for Memo<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo").field("place", &self.inner.place).finish_non_exhaustive()
    }
}
