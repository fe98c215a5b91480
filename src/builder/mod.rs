//! `MemoBuilder`: the options of a memo and their defaults.

mod open;

use std::{any::TypeId, fmt, marker::PhantomData, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    codec::{Codec, Postcard},
    error::Result,
    flow::CacheIf,
    memo::Memo,
    observe::{Event, Observe},
    store::Store,
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
///     .ttl(Duration::from_secs(3600)) // an hour after it was stored, a page is fetched anew
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
    ttl: Option<Duration>,
    max_entries: Option<u64>,
    max_bytes: Option<u64>,
    version: Option<u64>,
    /// The hash of the code of a function under an attribute. It stands in for a version that is not set, and vouches for
    /// no value type: it stays equal when the type changes.
    code: Option<u64>,
    memory: Option<u64>,
    /// With the type of the closure, by which two opens of one name are compared.
    cache_if: Option<(CacheIf<V>, TypeId)>,
    /// The same for these.
    observers: Vec<(Arc<Observe>, TypeId)>,
    codec: C,
    key: PhantomData<fn() -> Box<K>>,
}

impl<K: ?Sized, V> Memo<K, V> {
    /// The options of the memo called `name`, which is the identity of the memoized function: within one store, one name
    /// is one function.
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
        Self {
            name,
            ttl: None,
            max_entries: None,
            max_bytes: None,
            version: None,
            code: None,
            memory: None,
            cache_if: None,
            observers: Vec::new(),
            codec: Postcard,
            key: PhantomData,
        }
    }
}

impl<K: ?Sized, V, C> MemoBuilder<K, V, C> {
    /// How long an entry lives, counted from when it was stored, by the wall clock and across restarts; for ever unless
    /// set.
    ///
    /// Entries that are stored already live by the tighter of this and what was set when they were stored. Reading never
    /// extends a life. At the boundary itself an entry is gone. An expired entry takes space until a bound or
    /// [`Store::sweep`](crate::Store::sweep) takes it away.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How many entries there may be on disk, of all versions of this memo together; no bound unless set.
    ///
    /// Expired entries leave first, then those of other versions, then the oldest insertion; being read does not keep an
    /// entry. An overwrite evicts no other entry and becomes the newest. A bound that was lowered is obeyed when the memo is
    /// opened.
    ///
    /// A computed value is handed over to a thread of the store, and an entry leaves when that thread writes the new one,
    /// shortly after the call returned. The thread that handed over last waits for this at its next hit, so a program of one
    /// thread never finds an entry that had to leave; other threads may find one for a moment longer.
    /// [`flush`](Memo::flush), [`len`](Memo::len) and [`stats`](Memo::stats) wait until everything is written that was
    /// handed over before, and so does [`insert`](Memo::insert).
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let squares: Memo<u64, u64> = Memo::builder("squares").max_entries(2).open(&store)?;
    /// for number in 1..=3 {
    ///     squares.get_or_insert_with(&number, || number * number);
    /// }
    /// squares.flush()?; // from here on every thread finds 2 and 3, and no thread finds 1
    /// assert_eq!((squares.get(&1)?, squares.get(&3)?, squares.len()), (None, Some(9), 2));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.max_entries = Some(entries);
        self
    }

    /// How much the entries may weigh on disk, in bytes of payload, key head and header; no bound unless set.
    ///
    /// The order, and the moment at which an entry leaves, are those of [`max_entries`](Self::max_entries). A value that
    /// is larger by itself is returned and not stored, counted in
    /// [`Failures::oversize`](crate::stats::Failures::oversize), and told once. The files of small values take 3 to 12
    /// times more: see [`Store::size_on_disk`](crate::Store::size_on_disk).
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// The version of the memoized function; 0 unless set. Bump it when the function, or something that it depends on
    /// besides the key, changed: entries of other versions are never read.
    ///
    /// A changed value type is noticed without it, but for a changed function by which a field is read, such as one under
    /// `#[serde(with = "..")]`: [`Shape`](crate::codec::Shape) lists which of these changes are seen.
    ///
    /// They stay for a day after they were last of use, so that two programs of two versions do not wipe each other at
    /// every start. It also vouches for a value type whose shape cannot be traced; that its values come back as they are
    /// is checked before they are stored all the same.
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// The hash of the function's code, for a memo whose user set no version.
    pub(crate) fn code(mut self, code: u64) -> Self {
        self.code = Some(code);
        self
    }

    /// Whether the user said by `cache_if` which values are stored.
    pub(crate) fn chooses_values(&self) -> bool {
        self.cache_if.is_some()
    }

    /// This memo's part of the store's [`memory`](crate::StoreBuilder::memory), in bytes of encoded values; all of it
    /// unless set. Zero turns the memory tier off for this memo: every hit is read from disk.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Stores a computed value only if `wanted` says so; the others are returned only. Without it every value is stored.
    ///
    /// If it panics, the value is returned and not stored.
    pub fn cache_if<F>(self, wanted: F) -> Self
    where
        F: Fn(&V) -> bool + Send + Sync + 'static,
    {
        self.cache_if_of(wanted, TypeId::of::<F>())
    }

    /// The same, with what stands for the closure when two opens of one name are compared.
    pub(crate) fn cache_if_of<F>(mut self, wanted: F, kind: TypeId) -> Self
    where
        F: Fn(&V) -> bool + Send + Sync + 'static,
    {
        self.cache_if = Some((Arc::new(wanted), kind));
        self
    }

    /// Calls `observe` with everything that happens to this memo: hits, misses, computations, entries that left, failures.
    ///
    /// It is told before the [`observer`](crate::StoreBuilder::observer) of the store, on the thread of the call that
    /// caused it. Events of values that were handed over (entries that left, failures) are told on the thread of a later
    /// call, or on a thread of the store. It never runs under a lock, and may use the cache itself: events that it causes
    /// are not told. If it panics, the panic is contained. Set more than once, all are called, in their order. It is
    /// dropped with the last handle of the memo: one that owns such a handle itself keeps memo and store open until the
    /// end of the program.
    ///
    /// A memo that is open already has the observers it was opened with: when it is opened again with one, that must be
    /// a closure of the same type, from the same place in the program, and is not called.
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
    ///         if let Event::ComputingEnded { took, .. } = event {
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

    /// The same, with what stands for the closure when two opens of one name are compared.
    pub(crate) fn observer_of<F>(mut self, observe: F, kind: TypeId) -> Self
    where
        F: Fn(&Event<'_>) + Send + Sync + 'static,
    {
        self.observers.push((Arc::new(observe), kind));
        self
    }

    /// How values become bytes; [`Postcard`] unless set. See [`codec`](crate::codec), also for what is checked before a
    /// value is stored.
    ///
    /// [`Auto`](crate::codec::Auto) takes `Json` for the types that [`Postcard`] cannot keep. Values of another codec are
    /// never read: a memo that changes its codec computes anew.
    pub fn codec<D>(self, codec: D) -> MemoBuilder<K, V, D> {
        let Self {
            name,
            ttl,
            max_entries,
            max_bytes,
            version,
            code,
            memory,
            cache_if,
            observers,
            codec: _,
            key,
        } = self;
        MemoBuilder {
            name,
            ttl,
            max_entries,
            max_bytes,
            version,
            code,
            memory,
            cache_if,
            observers,
            codec,
            key,
        }
    }

    /// Opens the memo in `store`.
    ///
    /// If a memo of that name is open already, this is another handle on it; options that are not set are then
    /// those it has.
    ///
    /// # Errors
    ///
    /// [`is_config`](crate::Error::is_config) for a name that is empty, longer than 512 bytes or holds a NUL, for a bound
    /// or a ttl of zero, and when a memo of that name is open with another value type, version or codec, or with another
    /// value of an option that is set here. [`is_unsupported_type`](crate::Error::is_unsupported_type) for a value type
    /// that could be written but never read back, or whose shape cannot be told. The message names the remedy. Trouble
    /// with the disk is no error here, nor is a storage engine that does not answer for 5 s: the memo works in memory
    /// until the disk does, and the trouble is in [`Memo::last_failure`].
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
            .field("ttl", &self.ttl)
            .field("max_entries", &self.max_entries)
            .field("max_bytes", &self.max_bytes)
            .field("version", &self.version)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}
