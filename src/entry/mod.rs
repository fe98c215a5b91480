//! A call with options of its own, in one phase or in two.

mod claim;
mod loading;

use std::{convert::Infallible, fmt, time::Duration};

use serde::Serialize;

pub use self::{
    claim::{Claim, Hit, Lookup},
    loading::LoadingMemo,
};
use crate::{
    flow::{EntryTtl, Terms, ThreadTerms},
    memo::Memo,
};

/// A call on a [`Memo`] with options of its own, from [`entry`](Memo::entry).
///
/// The options apply to this call only: what it accepts of what is stored, and how long the value is fresh that it stores.
///
/// # What you want, and what to set
///
/// | to | set |
/// |---|---|
/// | store a value for a time of its own | [`ttl`](Self::ttl), or [`ttl_with`](Self::ttl_with) where the value tells it |
/// | compute anew in any case | [`max_age`](Self::max_age) of zero |
/// | accept only values of the last minute | [`max_age`](Self::max_age) |
/// | look at a value before it counts as a hit | [`validate`](Self::validate) |
/// | renew a value from the old one, as with an ETag | [`or_try_update_with`](Self::or_try_update_with) |
/// | know where a value came from, and how old it is | [`lookup`](Self::lookup) |
/// | compute where a closure does not fit | [`lookup`](Self::lookup) and its [`Claim`] |
/// | go on with the last value when the backend is down | [`stale_for`](crate::MemoBuilder::stale_for) of the memo |
/// | wait for no computation after the first | a [`LoadingMemo`] |
#[must_use = "nothing is looked up until `or_insert_with` or `lookup`"]
pub struct Entry<'a, K: ?Sized, V: 'static> {
    memo: &'a Memo<K, V>,
    key: &'a K,
    terms: ThreadTerms<'a, V>,
    ttl: EntryTtl<'static, V>,
}

impl<K: Serialize + ?Sized, V: Clone + Send + Sync + 'static> Memo<K, V> {
    /// A call with options of its own: see [`Entry`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let tokens: Memo<str, String> = Memo::builder("tokens").open(&store)?;
    /// let token = tokens.entry("mail").ttl(Duration::from_secs(300)).or_insert_with(|| String::from("abc"));
    /// assert_eq!(token, "abc");
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn entry<'a>(&'a self, key: &'a K) -> Entry<'a, K, V> {
        let terms = Terms { began: self.now(), ..Terms::default() };
        Entry { memo: self, key, terms, ttl: EntryTtl::OfMemo }
    }
}

impl<'a, K: Serialize + ?Sized, V: Clone + Send + Sync + 'static> Entry<'a, K, V> {
    /// How long the value that this call stores is fresh, in place of the [`ttl`](crate::MemoBuilder::ttl) of the memo, longer
    /// or shorter. It is stored with the value and holds for all callers, in milliseconds. A value that is there keeps its
    /// own.
    ///
    /// With zero the value goes to this caller, and is stored only in a memo with
    /// [`stale_for`](crate::MemoBuilder::stale_for), as a stale one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").ttl(Duration::from_secs(60)).open(&store)?;
    /// memo.entry("pi").ttl(Duration::from_secs(3600)).or_insert_with(|| 3);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = EntryTtl::Fixed(ttl);
        self
    }

    /// As [`ttl`](Self::ttl), by the value that was computed. If `ttl_of` panics, the value goes to this caller and is not
    /// stored.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let pages: Memo<str, (String, u64)> = Memo::builder("pages").open(&store)?;
    /// let fetch = || (String::from("hello"), 300); // a page, and the seconds for which its server lets it be kept
    /// pages.entry("/").ttl_with(|(_, seconds)| Duration::from_secs(*seconds)).or_insert_with(fetch);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn ttl_with(mut self, ttl_of: impl FnOnce(&V) -> Duration + Send + 'static) -> Self {
        self.ttl = EntryTtl::Of(Box::new(ttl_of));
        self
    }

    /// Refuses a stored value of this age or more, fresh or stale. Ages count from the time when a value was stored, in
    /// milliseconds.
    ///
    /// With zero nothing that is stored is accepted, and neither is the result of a computation that began before this
    /// call: the value is computed anew. A stale value that this refuses is no fallback for a computation that fails, either.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").open(&store)?;
    /// memo.insert("one", &1)?;
    /// assert_eq!(memo.entry("one").max_age(Duration::from_secs(60)).or_insert_with(|| 2), 1);
    /// assert_eq!(memo.entry("one").max_age(Duration::ZERO).or_insert_with(|| 3), 3);
    /// assert_eq!(memo.get("one")?, Some(3));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn max_age(mut self, age: Duration) -> Self {
        self.terms.max_age = Some(age);
        self
    }

    /// Refuses a stored value for which `is_valid` is false: it is computed anew.
    ///
    /// `is_valid` may run more than once in a call, and not for a value that this call computes. If it panics, the value
    /// counts as refused, and the panic is in [`last_failure`](Memo::last_failure).
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, Vec<u8>> = Memo::builder("pictures").open(&store)?;
    /// memo.insert("dot", &vec![])?;
    /// let dot = memo.entry("dot").validate(|picture| !picture.is_empty()).or_insert_with(|| vec![255]);
    /// assert_eq!(dot, [255]);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn validate(mut self, is_valid: impl Fn(&V) -> bool + 'a) -> Self {
        self.terms.is_valid = Some(Box::new(is_valid));
        self
    }

    /// Returns the stored value if it meets the options, or computes it by `compute` and stores it. The fates of `compute` are
    /// those of [`Memo::get_or_insert_with`].
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let squares: Memo<u64, u64> = Memo::builder("squares").open(&store)?;
    /// assert_eq!(squares.entry(&12).or_insert_with(|| 144), 144);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn or_insert_with(self, compute: impl FnOnce() -> V) -> V {
        match self.or_try_insert_with(|| Ok::<V, Infallible>(compute())) {
            Ok(value) => value,
        }
    }

    /// As [`or_insert_with`](Self::or_insert_with), for a closure that may fail.
    ///
    /// # Errors
    ///
    /// The errors of `compute`, unchanged, and no others. In place of an error the stale value is returned, if the memo keeps
    /// one and the options accept it.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let numbers: Memo<str, i32> = Memo::builder("numbers").open(&store)?;
    /// assert_eq!(numbers.entry("42").or_try_insert_with(|| "42".parse::<i32>()), Ok(42));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn or_try_insert_with<E>(self, compute: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let Self { memo, key, terms, ttl } = self;
        memo.begin_under(key, terms, ttl).finish(compute)
    }

    /// As [`or_try_insert_with`](Self::or_try_insert_with), and `update` gets the old value, at any age: a stale, an expired
    /// or a refused one. `None` if none is there, or it cannot be read.
    ///
    /// What `update` returns depends on the [inputs](crate::inputs) of the old value. It shows none of its
    /// [effects](crate::effects): emit those that belong to the new one.
    ///
    /// # Errors
    ///
    /// As [`or_try_insert_with`](Self::or_try_insert_with).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Page { tag: String, text: String }
    ///
    /// // A server that answers 304, `None` here, to a request with the tag that it has.
    /// fn fetch(tag: Option<&str>) -> Result<Option<Page>, std::io::Error> {
    ///     let is_known = tag == Some("v1");
    ///     Ok((!is_known).then(|| Page { tag: "v1".into(), text: "hello".into() }))
    /// }
    ///
    /// let pages: Memo<str, Page> = Memo::builder("pages").ttl(Duration::from_secs(60)).open(&store)?;
    /// let page = pages.entry("/").or_try_update_with(|old| {
    ///     Ok::<_, std::io::Error>(match (fetch(old.as_ref().map(|page| &*page.tag))?, old) {
    ///         (Some(new), _) => new,
    ///         (None, Some(old)) => old, // not modified: stored anew, and fresh again
    ///         (None, None) => return Err(std::io::Error::other("304 without a tag")),
    ///     })
    /// })?;
    /// assert_eq!(page.text, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn or_try_update_with<E>(self, update: impl FnOnce(Option<V>) -> Result<V, E>) -> Result<V, E> {
        let Self { memo, key, terms, ttl } = self;
        let call = memo.begin_under(key, terms, ttl);
        let old = call.old_value();
        call.finish(|| update(old))
    }

    /// The first phase alone: the value, or a [`Claim`] to compute it wherever that fits. It waits for the computation of
    /// another caller, as the methods with a closure do. Where another caller refreshes a stale value, it returns that.
    ///
    /// ```
    /// # use memolith::{Lookup, Memo, Store};
    /// # let store = Store::temporary()?;
    /// let squares: Memo<u64, u64> = Memo::builder("squares").open(&store)?;
    /// let square = match squares.entry(&12).lookup() {
    ///     Lookup::Hit(hit) => hit.value,
    ///     Lookup::Miss(claim) => {
    ///         let square = 12 * 12; // any code, also on another thread
    ///         claim.insert(&square);
    ///         square
    ///     }
    /// };
    /// assert!(matches!(squares.entry(&12).lookup(), Lookup::Hit(hit) if hit.value == square && !hit.is_stale));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use = "a claim that is dropped hands over to another caller"]
    pub fn lookup(self) -> Lookup<V> {
        let Self { memo, key, terms, ttl } = self;
        claim::look_up(memo, key, &terms, ttl)
    }
}

impl<K: ?Sized, V> fmt::Debug for Entry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("memo", &self.memo.name())
            .field("max_age", &self.terms.max_age)
            .field("validate", &self.terms.is_valid.is_some())
            .finish_non_exhaustive()
    }
}
