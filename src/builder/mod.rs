//! `MemoBuilder`: the options of a memo and their defaults.

mod declared;
mod effects;
mod open;

use std::{
    any::TypeId,
    fmt,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

pub(crate) use self::{
    declared::{DeclaredEffect, handled_only},
    open::MemoIdentity,
};
use crate::{
    codec::{Codec, Postcard},
    error::{Error, Result},
    flow::CacheIf,
    key::{self, Digest},
    memo::Memo,
    observe::{Event, Observe},
    store::{Durability, Store},
};

/// The options of a [`Memo`], set before it is opened.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use memolith::{Memo, Store};
///
/// let store = Store::temporary()?;
/// let pages: Memo<str, String> = Memo::builder("pages")
///     .ttl(Duration::from_secs(3600)) // an hour after it was stored, a page is fetched again
///     .max_entries(1_000) // the oldest insertion leaves first
///     .max_bytes(64 << 20)
///     .version(2) // entries of version 1 are never read again
///     .cache_if(|page: &String| !page.is_empty())
///     .open(&store)?;
/// # Ok::<(), memolith::Error>(())
/// ```
#[must_use = "a builder does nothing until `open`"]
pub struct MemoBuilder<K: ?Sized, V, C = Postcard> {
    name: String,
    options: Options<V>,
    codec: C,
    key: PhantomData<fn() -> Box<K>>,
}

/// The options that no type depends on but that of the value.
struct Options<V> {
    /// The digest of the scope, or the reason why it has none.
    scope: Option<Result<Digest>>,
    ttl: Option<Duration>,
    stale_for: Option<Duration>,
    refresh_at: Option<f64>,
    retry_after: Option<Duration>,
    jitter: Option<Duration>,
    spare_used: bool,
    max_entries: Option<u64>,
    max_bytes: Option<u64>,
    version: Option<u64>,
    /// The hash of the code of a function under an attribute. It replaces a version that is not set, but not a shape that
    /// cannot be traced, because it does not change with the value type.
    code: Option<u64>,
    memory: Option<u64>,
    durability: Option<Durability>,
    /// Whether the heads of the keys are left out of the store.
    private_keys: bool,
    /// Whether nothing goes to a server.
    local_only: bool,
    /// With the type of the closure. Two opens of one name must have equal types.
    cache_if: Option<(CacheIf<V>, TypeId)>,
    /// In order of registration, each with the type of its closure.
    observers: Vec<(Arc<Observe>, TypeId)>,
    effects: Vec<DeclaredEffect>,
}

impl<K: ?Sized, V> Memo<K, V> {
    /// The options of the memo called `name`. The name identifies the memoized function: within one store, each function
    /// has a name of its own.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// use std::time::Duration;
    ///
    /// let prices: Memo<str, f64> = Memo::builder("prices")
    ///     .ttl(Duration::from_secs(60))
    ///     .max_entries(1_000)
    ///     .version(2)
    ///     .open(&store)?;
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn builder(name: impl Into<String>) -> MemoBuilder<K, V, Postcard> {
        MemoBuilder::new(name.into())
    }
}

impl<K: ?Sized, V> MemoBuilder<K, V, Postcard> {
    pub(crate) fn new(name: String) -> Self {
        let options = Options {
            scope: None,
            ttl: None,
            stale_for: None,
            refresh_at: None,
            retry_after: None,
            jitter: None,
            spare_used: false,
            max_entries: None,
            max_bytes: None,
            version: None,
            code: None,
            memory: None,
            durability: None,
            private_keys: false,
            local_only: false,
            cache_if: None,
            observers: Vec::new(),
            effects: Vec::new(),
        };
        Self { name, options, codec: Postcard, key: PhantomData }
    }
}

impl<K: ?Sized, V, C> MemoBuilder<K, V, C> {
    /// How long an entry lives after it was stored, by the wall clock and across restarts. Without a ttl entries never
    /// expire.
    ///
    /// The ttl counts from the creation of an entry, also of one that was stored under another ttl: a shorter ttl hides
    /// older entries, and a longer one brings them back until they are removed. Reads never extend a lifetime. An entry is expired from the exact end of its lifetime on. An expired entry takes space until it
    /// is removed because of a bound or by [`Store::sweep`](crate::Store::sweep).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// How long an entry is kept after its ttl, as a *stale* value. Default: zero.
    ///
    /// While a stale value is there, one caller computes a new one, and every other caller gets the stale value at once. If
    /// the computation returns an error, its caller gets the stale value too, and the key is not computed again for
    /// [`retry_after`](Self::retry_after). A panic unwinds to its caller, as always. In a
    /// [`LoadingMemo`](crate::LoadingMemo) no caller waits: the new value is computed on another thread.
    ///
    /// [`get`](Memo::get), [`contains_key`](Memo::contains_key), [`len`](Memo::len), [`usage`](Memo::usage) and
    /// [`entries`](Memo::entries) see fresh values only. A value that was computed from a stale value of another memo is
    /// stale when it is stored, and is not stored in a memo without `stale_for`. Bounds evict expired entries first, then
    /// stale ones.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let pages: Memo<str, String> = Memo::builder("pages")
    ///     .ttl(Duration::from_secs(60))
    ///     .stale_for(Duration::from_secs(24 * 3600)) // for a day a page is better than an error
    ///     .open(&store)?;
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn stale_for(mut self, time: Duration) -> Self {
        self.options.stale_for = Some(time);
        self
    }

    /// The part of an entry's ttl after which a [`LoadingMemo`](crate::LoadingMemo) computes it again on another thread,
    /// while its callers get the value that is there: 0.9 is the last tenth of the ttl. Between 0 and 1. Default: no
    /// refresh before the ttl is over. It has no effect on calls with a closure.
    pub fn refresh_at(mut self, part: f64) -> Self {
        self.options.refresh_at = Some(part);
        self
    }

    /// After a failed computation in place of a stale value, every caller gets the stale value for so long. Default: 30 s. A
    /// computation that brings no fresh value counts as failed: one from a stale value, or one that `cache_if` refuses.
    ///
    /// So a backend that is down is asked once in this time for each key, by each process.
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.options.retry_after = Some(time);
        self
    }

    /// Spreads the ends of lifetimes: each key is fresh for up to this time less than its ttl, at most for half of it less,
    /// so that entries that were stored together are not computed anew together. Default: zero.
    ///
    /// The share of a key depends on the key alone: it is the same in every process and after every restart. Readers apply
    /// it; [`len`](Memo::len), bounds and [`Store::sweep`](crate::Store::sweep) do not.
    pub fn jitter(mut self, most: Duration) -> Self {
        self.options.jitter = Some(most);
        self
    }

    /// Spares entries that were read since they last were in turn to be evicted. Default: the oldest insertion leaves,
    /// whether it was read or not.
    ///
    /// To find an entry that leaves, at most 64 that were read are passed over, so an eviction stays cheap. Reads by
    /// other processes are not seen. Nothing is written for a read, so after a restart every entry counts as not read.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let squares: Memo<u64, u64> = Memo::builder("squares").max_entries(2).spare_used().open(&store)?;
    /// for number in [1, 2] {
    ///     squares.get_or_insert_with(&number, || number * number);
    /// }
    /// squares.get(&1)?;
    /// squares.get_or_insert_with(&3, || 9);
    /// squares.flush()?;
    /// assert_eq!((squares.get(&1)?, squares.get(&2)?), (Some(1), None));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn spare_used(mut self) -> Self {
        self.options.spare_used = true;
        self
    }

    /// Keeps the values of this memo on this machine, in a store that shares values with other machines: those that are computed
    /// in less time than a server takes to answer, and those that are not for others. Default: they are shared, where the store
    /// has a server (the feature `redis`).
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let squares: Memo<u64, u64> = Memo::builder("squares").local_only().open(&store)?;
    /// assert_eq!(squares.get_or_insert_with(&12, || 144), 144);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn local_only(mut self) -> Self {
        self.options.local_only = true;
        self
    }

    /// Maximum number of entries on disk, of all versions of this memo together. Default: no bound.
    ///
    /// Expired entries are evicted first, then entries of other versions, then the oldest insertion. Reads do not protect
    /// an entry. An overwrite evicts no other entry and becomes the newest entry. A lower bound takes effect when the memo
    /// is opened.
    ///
    /// A thread of the store writes computed values, and evicts when it writes, shortly after the call returned. The
    /// thread that computed a value waits for this write at its next hit of another key. So a program with one thread never finds an
    /// evicted entry; other threads may find one for a moment longer. [`flush`](Memo::flush), [`len`](Memo::len),
    /// [`usage`](Memo::usage) and [`insert`](Memo::insert) wait until all values that were queued before are written.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let squares: Memo<u64, u64> = Memo::builder("squares").max_entries(2).open(&store)?;
    /// for number in 1..=3 {
    ///     squares.get_or_insert_with(&number, || number * number);
    /// }
    /// squares.flush()?; // from here on every thread finds 2 and 3, and no thread finds 1
    /// assert_eq!((squares.get(&1)?, squares.get(&3)?, squares.len()?), (None, Some(9), 2));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.options.max_entries = Some(entries);
        self
    }

    /// Maximum size of the entries on disk, in bytes of payload, key head and header. Default: no bound.
    ///
    /// The order and the time of eviction are those of [`max_entries`](Self::max_entries). A value that alone is larger
    /// than the bound is returned and not stored, and counted in
    /// [`Failures::oversize`](crate::stats::Failures::oversize); observers get one event for the first such value. The
    /// files of small values take 3 to 12 times more space: see [`Usage::disk_bytes`](crate::Usage::disk_bytes).
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.options.max_bytes = Some(bytes);
        self
    }

    /// The version of the memoized function. Default: 0. Raise it when the function, or anything that it depends on besides
    /// the key, changed. Entries of other versions are never read.
    ///
    /// A change of the value type is detected without a new version, except some changes of a function that reads a field,
    /// such as one under `#[serde(with = "..")]`: [`Shape`](crate::codec::Shape) lists the changes that are detected.
    ///
    /// Entries of other versions stay for a day after their last use, so that two programs with different versions do not
    /// delete the entries of each other at every start. With a version, a value type whose shape cannot be traced is
    /// accepted. Its values are still checked before they are stored.
    pub fn version(mut self, version: u64) -> Self {
        self.options.version = Some(version);
        self
    }

    /// Parameters that are part of the memo's identity besides its name, of any size: a dataset, a tenant, a configuration.
    /// Default: none. Memos of one name and different scopes are different memos, each with its own entries and bounds.
    ///
    /// Parameters that serialize equally are one scope, as with keys. [`Store::memos`] names a memo once for all its
    /// scopes, and [`Store::remove_memo`] forgets all of them.
    ///
    /// # Errors
    ///
    /// [`open`](Self::open) fails with [`Key`](crate::ErrorKind::Key) or [`Panic`](crate::ErrorKind::Panic) if the
    /// parameters cannot be serialized.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let of = |tenant: &str| -> memolith::Result<Memo<u32, u64>> { Memo::builder("sums").scope(tenant).open(&store) };
    /// let (one, other) = (of("one")?, of("other")?);
    /// one.insert(&1, &10)?;
    /// assert_eq!((one.get(&1)?, other.get(&1)?), (Some(10), None));
    /// assert_eq!(store.memos()?, ["sums"]);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn scope<S: Serialize + ?Sized>(mut self, parameters: &S) -> Self {
        let digest = catch_unwind(AssertUnwindSafe(|| key::digest(parameters)));
        let panicked = |panic| Err(Error::panicked("the `Serialize` of a scope", panic));
        self.options.scope = Some(digest.unwrap_or_else(panicked));
        self
    }

    /// When [`insert`](Memo::insert) returns. Default: [`Durability::Immediate`], when the value survives the end of the
    /// process, about 150 us for a small value.
    ///
    /// With [`Durability::Soon`] it hands the value to the store, as a call hands over a quickly computed value, and
    /// returns after a few microseconds: calls that start after that find the value. A program that is killed may lose
    /// the values of the last 200 ms. A value that cannot be written is no error of `insert` then: it is in
    /// [`Memo::last_failure`]. If values are inserted faster than the disk takes them, `insert` waits as by default.
    /// Computed values, [`remove`](Memo::remove) and [`clear`](Memo::clear) are not affected.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// use memolith::Durability;
    ///
    /// let hashes: Memo<str, u64> = Memo::builder("hashes").durability(Durability::Soon).open(&store)?;
    /// hashes.insert("a.txt", &17)?;
    /// assert_eq!(hashes.get("a.txt")?, Some(17));
    /// hashes.flush()?; // from here on a `kill -9` loses nothing
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.options.durability = Some(durability);
        self
    }

    /// Leaves the keys out of the store and of the events. Default: up to 1 KiB of each key is stored beside its value, for
    /// [`Memo::entries`] and for events. A digest of the key is stored in any case, and the values are. So are the names of
    /// tracked [inputs](crate::inputs), such as paths, and digests of their answers; they are left out of [`Memo::stats`].
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let answers: Memo<str, u8> = Memo::builder("answers").private_keys().open(&store)?;
    /// answers.insert("a secret", &1)?;
    /// assert!(answers.entries()?.all(|entry| entry.is_ok_and(|entry| entry.key.is_empty())));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn private_keys(mut self) -> Self {
        self.options.private_keys = true;
        self
    }

    /// The hash of the function's code, used if no version is set.
    pub(crate) fn code(mut self, code: u64) -> Self {
        self.options.code = Some(code);
        self
    }

    /// Whether a version is set.
    pub(crate) fn has_version(&self) -> bool {
        self.options.version.is_some()
    }

    /// Whether `cache_if` is set.
    pub(crate) fn chooses_values(&self) -> bool {
        self.options.cache_if.is_some()
    }

    /// This memo's share of the store's [`memory`](crate::StoreBuilder::memory), in bytes of encoded values and keys.
    /// Default: all of it. Zero turns the memory tier off for this memo: every hit is read from disk.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.options.memory = Some(bytes);
        self
    }

    /// Stores a computed value only if `wanted` returns `true` for it. Other values are only returned. Default: every value
    /// is stored.
    ///
    /// If `wanted` panics, the value is returned and not stored.
    pub fn cache_if<F>(self, wanted: F) -> Self
    where
        F: Fn(&V) -> bool + Send + Sync + 'static,
    {
        self.cache_if_of(wanted, TypeId::of::<F>())
    }

    /// The same, with the type by which the closures of two opens of one name are compared.
    pub(crate) fn cache_if_of<F>(mut self, wanted: F, kind: TypeId) -> Self
    where
        F: Fn(&V) -> bool + Send + Sync + 'static,
    {
        self.options.cache_if = Some((Arc::new(wanted), kind));
        self
    }

    /// Calls `observe` with every event of this memo: hits, misses, computations, evictions, expirations, failures.
    ///
    /// It is called before the [`observer`](crate::StoreBuilder::observer) of the store, on the thread of the call that
    /// caused the event. Events of queued values (evictions, failures) come on the thread of a later call, or on a thread
    /// of the store. An observer never runs under a lock, and may use the cache; events that it causes itself are not
    /// reported. A panic in it is contained. Several observers of a memo are called in their order. An observer is dropped
    /// with the last handle of the memo. One that owns such a handle keeps memo and store open until the end of the
    /// program.
    ///
    /// A memo that is already open keeps its observers. If it is opened again with an observer, that must be a closure of
    /// the same type, from the same place in the program, and it is not called.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// use std::sync::{Arc, Mutex};
    /// use memolith::observe::Event;
    ///
    /// let slow = Arc::new(Mutex::new(Vec::new()));
    /// let noted = Arc::clone(&slow);
    /// let squares: Memo<u64, u64> = Memo::builder("squares")
    ///     .observer(move |event| {
    ///         if let Event::ComputeFinished { took, .. } = event {
    ///             noted.lock().unwrap().push(*took);
    ///         }
    ///     })
    ///     .open(&store)?;
    /// squares.get_or_insert_with(&12, || 144);
    /// squares.get_or_insert_with(&12, || unreachable!("remembered"));
    /// assert_eq!(slow.lock().unwrap().len(), 1);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn observer<F>(self, observe: F) -> Self
    where
        F: Fn(&Event<'_>) + Send + Sync + 'static,
    {
        self.observer_of(observe, TypeId::of::<F>())
    }

    /// The same, with the type by which the closures of two opens of one name are compared.
    pub(crate) fn observer_of<F>(mut self, observe: F, kind: TypeId) -> Self
    where
        F: Fn(&Event<'_>) + Send + Sync + 'static,
    {
        self.options.observers.push((Arc::new(observe), kind));
        self
    }

    /// The codec that turns values into bytes. Default: [`Postcard`]. See [`codec`](crate::codec), also for the check before
    /// a value is stored.
    ///
    /// [`Auto`](crate::codec::Auto) uses `Json` for the types that [`Postcard`] cannot store. Values of another codec are
    /// never read: after a change of the codec the values are computed again.
    pub fn codec<D>(self, codec: D) -> MemoBuilder<K, V, D> {
        let Self { name, options, codec: _, key } = self;
        MemoBuilder { name, options, codec, key }
    }

    /// Opens the memo in `store`.
    ///
    /// If a memo of that name is already open, this returns another handle on it. It has the options of the open memo where
    /// none are set here.
    ///
    /// # Errors
    ///
    /// - [`Config`](crate::ErrorKind::Config) for a name that is empty, longer than 512 bytes or contains a NUL, for a
    ///   bound or a ttl of zero, for two handlers of one type of [effect](Self::effects), and if a memo of that name is open with another value type, version or codec, or with
    ///   another value of an option that is set here.
    /// - [`UnsupportedType`](crate::ErrorKind::UnsupportedType) for a value type that can be written but not read back.
    /// - [`UntraceableType`](crate::ErrorKind::UntraceableType) for a value type whose shape cannot be traced, unless a
    ///   version is set.
    /// - [`Key`](crate::ErrorKind::Key) or [`Panic`](crate::ErrorKind::Panic) for a [`scope`](Self::scope) that cannot be
    ///   serialized.
    /// - [`Closed`](crate::ErrorKind::Closed) in a process that was forked from the one that opened the store.
    ///
    /// The message names the remedy. A failing disk, or a storage engine that does not answer for 5 s, is no error
    /// here: the memo works in memory until the disk works, and the failure is in [`Store::last_failure`].
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// let store = Store::temporary()?;
    /// let refused = Memo::<str, serde_json::Value>::builder("answers").open(&store);
    /// assert!(refused.unwrap_err().is_unsupported_type());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn open(self, store: &Store) -> Result<Memo<K, V>>
    where
        K: Serialize,
        V: Clone + Send + Sync + 'static,
        C: Codec<V>,
    {
        let place = self.place();
        self.open_at(store, &place).map_err(|error| error.with_context(&place))
    }
}

impl<K: ?Sized, V, C> fmt::Debug for MemoBuilder<K, V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoBuilder")
            .field("name", &self.name)
            .field("ttl", &self.options.ttl)
            .field("stale_for", &self.options.stale_for)
            .field("max_entries", &self.options.max_entries)
            .field("max_bytes", &self.options.max_bytes)
            .field("version", &self.options.version)
            .field("memory", &self.options.memory)
            .finish_non_exhaustive()
    }
}
