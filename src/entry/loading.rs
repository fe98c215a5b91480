//! A memo that knows how to compute its values.

use std::{borrow::Borrow, convert::Infallible, fmt, sync::Arc};

use serde::Serialize;

use crate::memo::Memo;

/// A function that computes the value of a key.
type Loader<K, V, E> = dyn Fn(&K) -> Result<V, E> + Send + Sync;

/// A [`Memo`] with the function that computes its values, from [`with_loader`](Memo::with_loader) or
/// [`with_try_loader`](Memo::with_try_loader).
///
/// Because it has the function, it can compute a value while no caller waits for it: a [`load`](Self::load) that finds a stale
/// value returns it at once, and the new value is computed on another thread. So is a value that is still fresh after the
/// part of its ttl that [`refresh_at`](crate::MemoBuilder::refresh_at) says. There is one such refresh for a key at a time,
/// over all threads and all processes that share the store.
///
/// Up to four threads refresh, for the whole process. They are started when they are needed, and end after 10 s without
/// work. While 64 refreshes wait for them, more are not begun: they are counted in
/// [`Refreshes::skipped`](crate::stats::Refreshes::skipped), and a later call begins them. A refresh that fails or panics is
/// counted in [`Refreshes::failed`](crate::stats::Refreshes::failed). A store that closes waits for no refresh.
///
/// It is cheap to clone. The memo itself has the other methods: [`memo`](Self::memo).
///
/// ```
/// use std::time::Duration;
///
/// use memolith::{Memo, Store};
///
/// let store = Store::temporary()?;
/// let squares: Memo<u64, u64> = Memo::builder("squares")
///     .ttl(Duration::from_secs(60))
///     .stale_for(Duration::from_secs(3600))
///     .refresh_at(0.9)
///     .open(&store)?;
/// let squares = squares.with_loader(|number| number * number);
/// assert_eq!(squares.load(&12), 144);
/// # Ok::<(), memolith::Error>(())
/// ```
pub struct LoadingMemo<K: ?Sized, V: 'static, E = Infallible> {
    memo: Memo<K, V>,
    load: Arc<Loader<K, V, E>>,
}

impl<K: ?Sized, V: 'static> Memo<K, V> {
    /// This memo with a function that computes its values. See [`LoadingMemo`].
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, usize> = Memo::builder("lengths").open(&store)?;
    /// let lengths = memo.with_loader(str::len);
    /// assert_eq!(lengths.load("four"), 4);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn with_loader(&self, load: impl Fn(&K) -> V + Send + Sync + 'static) -> LoadingMemo<K, V> {
        self.with_try_loader(move |key| Ok(load(key)))
    }

    /// The same with a function that may fail.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, i32> = Memo::builder("numbers").open(&store)?;
    /// let numbers = memo.with_try_loader(|text: &str| text.parse::<i32>());
    /// assert_eq!(numbers.try_load("42"), Ok(42));
    /// assert!(numbers.try_load("x").is_err());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn with_try_loader<E>(
        &self,
        load: impl Fn(&K) -> Result<V, E> + Send + Sync + 'static,
    ) -> LoadingMemo<K, V, E> {
        LoadingMemo { memo: self.clone(), load: Arc::new(load) }
    }
}

impl<K: ?Sized, V: 'static, E> LoadingMemo<K, V, E> {
    /// The memo, for everything but [`load`](Self::load).
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, usize> = Memo::builder("lengths").open(&store)?;
    /// let lengths = memo.with_loader(str::len);
    /// lengths.load("four");
    /// assert!(lengths.memo().remove("four")?);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn memo(&self) -> &Memo<K, V> {
        &self.memo
    }
}

impl<K, V> LoadingMemo<K, V>
where
    K: Serialize + ToOwned<Owned: Send> + ?Sized + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Returns the value of `key`: a stored one, fresh or stale, or else a computed one.
    ///
    /// A panic of the function unwinds to this caller if it computes here, and is a counted failure of the refresh if it
    /// computes on another thread. Otherwise its fates are those of [`Memo::get_or_insert_with`].
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<u64, u64> = Memo::builder("squares").open(&store)?;
    /// assert_eq!(memo.with_loader(|number| number * number).load(&12), 144);
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn load(&self, key: &K) -> V {
        match self.try_load(key) {
            Ok(value) => value,
        }
    }
}

impl<K, V, E> LoadingMemo<K, V, E>
where
    K: Serialize + ToOwned<Owned: Send> + ?Sized + 'static,
    V: Clone + Send + Sync + 'static,
    E: 'static,
{
    /// As [`load`](LoadingMemo::load), with a function that may fail.
    ///
    /// # Errors
    ///
    /// The errors of the function, unchanged, and no others. While a stale value is there, that is returned.
    ///
    /// ```
    /// # use memolith::{Memo, Store};
    /// # let store = Store::temporary()?;
    /// let memo: Memo<str, i32> = Memo::builder("numbers").open(&store)?;
    /// assert_eq!(memo.with_try_loader(|text: &str| text.parse::<i32>()).try_load("42"), Ok(42));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn try_load(&self, key: &K) -> Result<V, E> {
        let call = self.memo.begin_loading(key).behind(|| {
            let (key, load) = (key.to_owned(), Arc::clone(&self.load));
            move || load(key.borrow())
        });
        call.finish(|| (self.load)(key))
    }
}

impl<K: ?Sized, V, E> Clone for LoadingMemo<K, V, E> {
    fn clone(&self) -> Self {
        Self { memo: self.memo.clone(), load: Arc::clone(&self.load) }
    }
}

impl<K: ?Sized, V, E> fmt::Debug for LoadingMemo<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadingMemo").field("memo", &self.memo).finish_non_exhaustive()
    }
}
