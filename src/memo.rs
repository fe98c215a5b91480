//! Memo: the results of one function, by key.

use std::{
    convert::Infallible,
    fmt,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde::Serialize;

use crate::{
    error::{Error, Result},
    flow::{Lookup, MemoInner, PendingCall},
    key::{self, Digest},
    stats::Stats,
};

/// Remembers the results of one function on disk: `K` is what the result depends on, `V` the result.
///
/// # Keys and values
///
/// A key is anything that serializes; it is digested by value, so `"a"` and `String::from("a")` are the same key, and so
/// are a `HashMap` and a `BTreeMap` of the same content, and two `HashSet`s of equal elements (for sets that memolith
/// cannot see there is [`unordered`](crate::unordered)). Whatever the result depends on must be in the key: a file by its
/// [`FileStamp`](crate::FileStamp), a helper function by [`version`](crate::MemoBuilder::version).
///
/// With `V = Frame` every hit is the caller's own copy, and changing it changes nothing for others. With
/// `V = Arc<Frame>` hits share one immutable value and cost the same at any size.
///
/// The first call returns the value of the closure; every hit was decoded from its encoded bytes.
///
/// A computed value is encoded by its call, from 4 KiB on into a file of its own, and handed over to a thread of the store,
/// which enters it into the index. Every later call finds it, before it is entered too. A call whose closure ran for up to
/// 15 ms does not wait for that; a longer one returns when its value survives the end of the process. A read from disk
/// lasts as long as the disk does.
///
/// # The four fates of a closure
///
/// * It *returns* a value: the value is stored and returned, to the waiters too.
/// * It *returns an error* (in [`get_or_try_insert_with`](Self::get_or_try_insert_with)): the error is passed on
///   untouched, nothing is stored, and one of the waiters computes.
/// * It *panics*: the panic unwinds to its own caller, nothing is stored, one of the waiters computes. Nothing is
///   poisoned.
/// * It *re-enters*, by asking for the same key on the same thread, or by a cycle of keys: the inner call computes
///   directly, as the plain function would. It never deadlocks.
///
/// # Cloning
///
/// A memo is cheap to clone, and clones are one memo. It is `Send` and `Sync`, and keeps its store open. In async code
/// call it from a blocking thread.
///
/// # When caching does not work
///
/// A memoized call fails only as its closure fails. So a cache that cannot work (a full disk, a value that cannot be
/// encoded) is slow, not broken; a test finds out by [`last_failure`](Self::last_failure):
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
    /// Covariant in `K`, and `Send` and `Sync` whatever `K` is: a memo in a static with `'static` keys is called with
    /// short borrows, which `fn(&K)` would not allow.
    key: PhantomData<fn() -> Box<K>>,
}

impl<K: ?Sized, V> Memo<K, V> {
    pub(crate) fn new(inner: Arc<MemoInner<V>>) -> Self {
        Self { inner, key: PhantomData }
    }

    /// The same memo, asked with keys of another type.
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
    /// The value of `key`: remembered, or computed by `compute` and remembered from now on.
    ///
    /// The cache never makes this call fail. If the value cannot be stored, it is returned all the same, and the
    /// trouble is in [`last_failure`](Self::last_failure).
    ///
    /// # The four fates of `compute`
    ///
    /// Returns: stored and returned. Panics: the panic unwinds to this caller, nothing is stored, one of the waiters
    /// computes. Re-enters (the same key on the same thread, or a cycle of keys): the inner call computes
    /// directly. For a function that may fail there is [`get_or_try_insert_with`](Self::get_or_try_insert_with).
    ///
    /// Callers of one key at the same time wait for the first of them; after
    /// [`max_wait`](crate::StoreBuilder::max_wait) one of them computes too.
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

    /// The value of `key`: remembered, or computed by `compute` and remembered from now on, unless that fails.
    ///
    /// # Errors
    ///
    /// Those of `compute`, untouched, and no others.
    ///
    /// # The four fates of `compute`
    ///
    /// Returns: stored and returned. Errors: passed on, nothing stored, one of the waiters computes; after a second
    /// failure in a row the rest compute side by side. Panics: the same, and the panic unwinds to this caller. Re-enters:
    /// the inner call computes directly.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let numbers: Memo<str, i32> = Memo::builder("numbers").open(&store)?;
    /// assert!(numbers.get_or_try_insert_with("x", || "x".parse::<i32>()).is_err()); // not remembered
    /// assert_eq!(numbers.get_or_try_insert_with("42", || "42".parse::<i32>()), Ok(42));
    /// assert_eq!(numbers.len(), 1);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn get_or_try_insert_with<E>(&self, key: &K, compute: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        self.begin(key).finish(compute)
    }

    /// The value of `key`, if it is remembered. It waits for no computation, and computes nothing.
    ///
    /// # Errors
    ///
    /// Of the kind `key` or `panic` when the key cannot be serialized; [`is_io`](Error::is_io),
    /// [`is_corrupt`](Error::is_corrupt) or of the kind `engine` when the disk or the index cannot be read; of the kind
    /// `closed` when the store is closed. A damaged or expired entry is no error: it is `None`.
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
        self.inner.get(&self.digest(key)?)
    }

    /// Remembers `value` for `key`, in place of the value that was remembered. When this returns, it survives the end of the
    /// process, and entries that had to leave for it are gone.
    ///
    /// It becomes the newest entry. It wins over a computation of the key that is under way: that one hands its value to
    /// its own caller and stores nothing.
    ///
    /// # Errors
    ///
    /// Of the kind `key` or `panic` when the key cannot be serialized, `encode` or `panic` when the value cannot be
    /// encoded or would not come back as it is, `oversize` when it is larger than `max_bytes` by itself, `closed` when
    /// the store is closed or has no directory; [`is_io`](Error::is_io), [`is_corrupt`](Error::is_corrupt) or of the kind
    /// `engine` when the disk refuses. Then the value from before may still be remembered.
    ///
    /// The kind `engine` is also that of a storage engine that did nothing for 5 s: the value may then be put in later.
    /// Calls that follow while it still does nothing fail at once and change nothing.
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
        self.inner.insert(&self.digest(key)?, head(key), value)
    }

    /// Forgets the value of `key`, for good: it does not come back after a crash either. Whether there was one.
    ///
    /// A call that starts after this returned computes anew; a computation that is under way hands its value to its own
    /// caller and stores nothing.
    ///
    /// # Errors
    ///
    /// Of the kind `key` or `panic` when the key cannot be serialized, `closed` when the store is closed;
    /// [`is_io`](Error::is_io), [`is_corrupt`](Error::is_corrupt) or of the kind `engine` when the disk refuses: then the
    /// value is out of memory, and may be on disk still. For an engine that does not answer see [`insert`](Self::insert).
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

    /// Whether a fresh value of `key` is remembered. Changes nothing: neither the order of eviction nor the memory tier.
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

    /// Forgets everything that this memo remembers, for good, at any size in about the same time. Other memos, and other
    /// versions of this one, keep theirs.
    ///
    /// # Errors
    ///
    /// Of the kind `closed` when the store is closed; [`is_io`](Error::is_io), [`is_corrupt`](Error::is_corrupt) or of
    /// the kind `engine` when the disk refuses: then the memory is cleared, and values may be on disk still. For an
    /// engine that does not answer see [`insert`](Self::insert).
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// memo.insert("one", &1)?;
    /// memo.clear()?;
    /// assert!(memo.is_empty());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        self.inner.clear()
    }

    /// How many fresh entries are on disk; 0 when that cannot be told. Everything that was handed over before is written and
    /// counted. Expired entries are skipped, which takes a look at each of them: see [`Store::sweep`](crate::Store::sweep).
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// memo.insert("one", &1)?;
    /// assert_eq!(memo.len(), 1);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether [`len`](Self::len) is 0.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// assert!(memo.is_empty());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        self.inner.partition.flush().map_err(|error| error.with_context(&self.inner.place))
    }

    /// The counters of this memo since it was opened first by this process. Everything that was handed over before is
    /// written and counted; entries and bytes are 0 when they cannot be told.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// memo.get_or_insert_with("one", || 1);
    /// assert_eq!((memo.stats().misses.absent, memo.stats().entries), (1, 1));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// The last trouble that was kept away from the callers of this memo, or of its store as a whole. It waits until
    /// everything that was handed over before is written, at most 5 s without progress.
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
    pub fn last_failure(&self) -> Option<Error> {
        if let Err(inherited) = self.inner.session().check_origin() {
            return Some(inherited);
        }
        self.inner.partition.catch_up();
        self.inner.counters.last_failure().or_else(|| self.inner.session().counters.last_failure())
    }
}

impl<K: ?Sized, V: Clone + Send + Sync + 'static> Memo<K, V> {
    /// The first half of a call, after which the key is done with: a closure that changes it through a cell does not change
    /// where this goes, and one may take what the key was made from. Any key that serializes as a `K` does will do.
    #[inline(never)]
    pub(crate) fn begin<Q: Serialize + ?Sized>(&self, key: &Q) -> PendingCall<'_, V> {
        if self.inner.session().is_inherited() {
            return PendingCall::Inherited;
        }
        let digest = match self.inner.guarded("Serialize", || key::digest(key)) {
            Ok(digest) => digest,
            Err(error) => return self.refuse(&error),
        };
        match self.inner.look_up(&digest) {
            Lookup::Hit(value) => PendingCall::Hit(value),
            Lookup::Compute(computation) => PendingCall::compute(computation, head(key)),
        }
    }

    /// A call that computes because of `error`, and tells it.
    pub(crate) fn refuse(&self, error: &Error) -> PendingCall<'_, V> {
        if self.inner.session().is_inherited() {
            return PendingCall::Inherited;
        }
        self.inner.record_failure(error);
        PendingCall::compute(self.inner.compute_unstored(), Vec::new())
    }

    /// A key that cannot be serialized is a failure of the cache: counted, kept and told.
    fn digest<Q: Serialize + ?Sized>(&self, key: &Q) -> Result<Digest> {
        self.inner.session().check_origin().map_err(|error| error.with_context(&self.inner.place))?;
        let digest = self.inner.guarded("Serialize", || key::digest(key));
        digest.inspect_err(|error| self.inner.record_failure(error))
    }
}

/// Kept beside the value for inspection; a key whose `Serialize` gives up halfway has none.
fn head<K: Serialize + ?Sized>(key: &K) -> Vec<u8> {
    let head = catch_unwind(AssertUnwindSafe(|| key::head(key)));
    head.map_err(|panic| Error::panicked("the `Serialize` of a key", panic)).unwrap_or_default()
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
