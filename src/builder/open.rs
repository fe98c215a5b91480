//! Opens a memo: checks the options, and compares them with those of a memo that is already open.

use std::{
    any::{Any, TypeId, type_name},
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use super::MemoBuilder;
use crate::{
    codec::{Codec, RoundTrip, Shape},
    disabled::is_disabled,
    error::{Error, ErrorKind, Result},
    flight::fresh_owner,
    flow::{MemoInner, memory_writer},
    memo::Memo,
    store::{Bounds, CatalogRow, GenerationId, LiveMemo, Registration, Store},
    sync::lock,
};

/// The longest name of a memo, in bytes.
const LONGEST_NAME: usize = 512;

impl<K: ?Sized, V, C> MemoBuilder<K, V, C> {
    pub(crate) fn place(&self) -> Arc<str> {
        format!("memo `{}` ({} -> {})", self.name.escape_debug(), type_name::<K>(), type_name::<V>()).into()
    }

    pub(super) fn open_at(self, store: &Store, place: &Arc<str>) -> Result<Memo<K, V>>
    where
        V: Clone + Send + Sync + 'static,
        C: Codec<V>,
    {
        self.check()?;
        store.session().check_origin()?;
        // User code runs before the lock is taken.
        let format = StoredFormat { id: self.codec.id().to_owned(), shape: self.shape()? };
        // Declared before the lock, so dropped after it: it may be the last handle.
        let known;
        // One open at a time, so that two opens of one name return the same memo.
        let mut live = lock(store.live());
        if let Some(open) = live.get(&self.name) {
            known = open.memo.upgrade();
            if let Some(memo) = &known {
                self.agree(open, &format)?;
                let inner = Arc::clone(memo).downcast::<MemoInner<V>>();
                return inner.map(Memo::new).map_err(|_| conflict("value type", open.value_type));
            }
        }
        let generation = format.generation(&self.name, self.identity().unwrap_or(0))?;
        let round_trip = RoundTrip::new::<C>(&format.shape);
        let memo = self.open_on(generation, round_trip, store, place, &mut live);
        drop(live);
        store.make_room(Some(memo.name()));
        Ok(memo)
    }

    /// The version of the function in the generation: the user's version, or else the hash of the code.
    fn identity(&self) -> Option<u64> {
        self.version.or(self.code)
    }

    fn bounds(&self) -> Bounds {
        Bounds { ttl: self.ttl, max_entries: self.max_entries, max_bytes: self.max_bytes }
    }

    /// Makes the memo of a generation with all options, and registers it as open.
    pub(crate) fn open_on(
        self,
        generation: GenerationId,
        round_trip: RoundTrip,
        store: &Store,
        place: &Arc<str>,
        live: &mut HashMap<String, LiveMemo>,
    ) -> Memo<K, V>
    where
        V: Clone + Send + Sync + 'static,
        C: Codec<V>,
    {
        let (bounds, version) = (self.bounds(), self.identity().unwrap_or(0));
        let (cache_if, cache_if_type) = self.cache_if.unzip();
        let (observers, observer_types): (Vec<_>, Vec<_>) = self.observers.into_iter().unzip();
        let (session, name): (_, Arc<str>) = (store.session(), self.name.as_str().into());
        let (owner, counters) = (fresh_owner(), session.counters_of(&self.name));
        let codec: Arc<dyn Codec<V>> = Arc::new(self.codec);
        let keep = memory_writer(session, &codec, self.memory, owner);
        let (named, placed, counted) = (Arc::clone(&name), Arc::clone(place), Arc::clone(&counters));
        let is_bounded = self.max_entries.is_some() || self.max_bytes.is_some();
        let registration = Registration::new(named, placed, generation, owner, counted, keep, is_bounded);
        let row = CatalogRow {
            name: self.name.clone(),
            version,
            last_used: session.clock.now(),
            ttl_millis: bounds.ttl_millis(),
            ..CatalogRow::default()
        };
        let inner = Arc::new(MemoInner {
            partition: store.partition(registration, row, bounds),
            codec,
            round_trip,
            bounds,
            memory: self.memory,
            cache_if,
            counters,
            observers: session.audience.register(&name, observers.into_iter().collect()),
            name,
            place: Arc::clone(place),
            is_disabled: is_disabled(),
            reported_oversize: AtomicBool::new(false),
            store: store.clone(),
        });
        let memo = Arc::downgrade(&inner) as std::sync::Weak<dyn Any + Send + Sync>;
        let value_type = type_name::<V>();
        let open = LiveMemo {
            memo,
            generation,
            owner,
            bounds,
            memory: self.memory,
            cache_if: cache_if_type,
            observers: observer_types,
            value_type,
            codec: TypeId::of::<C>(),
            version,
        };
        live.insert(self.name, open);
        Memo::new(inner)
    }

    fn check(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
        if self.name.is_empty() {
            return wrong("the name is empty: give the memoized function one, like \"frames\"");
        }
        if self.name.len() > LONGEST_NAME {
            return wrong("the name is longer than 512 bytes: put the part that varies into the key");
        }
        if self.name.contains('\0') {
            return wrong("the name contains a NUL: use printable characters");
        }
        if self.ttl.is_some_and(|ttl| ttl.as_millis() == 0) {
            return wrong(
                "`ttl` is less than a millisecond: nothing would ever be a hit; leave it out to keep values for ever",
            );
        }
        if self.max_entries == Some(0) {
            return wrong("`max_entries` is 0: nothing could be stored; leave it out for no bound");
        }
        if self.max_bytes == Some(0) {
            return wrong("`max_bytes` is 0: nothing could be stored; leave it out for no bound");
        }
        Ok(())
    }

    /// With a version of the user, a shape that cannot be traced is accepted. A hash of the code is not enough.
    fn shape(&self) -> Result<Shape>
    where
        C: Codec<V>,
    {
        self.codec.shape().or_else(|error| match (error.kind(), self.version) {
            (ErrorKind::UntraceableType, Some(_)) => Ok(Shape::untraced()),
            _ => Err(error),
        })
    }

    /// Fails if an option is set here that the open memo has otherwise.
    fn agree(&self, open: &LiveMemo, format: &StoredFormat) -> Result<()>
    where
        V: 'static,
        C: Codec<V>,
    {
        let Bounds { ttl, max_entries, max_bytes } = open.bounds;
        if self.identity().is_some_and(|version| version != open.version) {
            return Err(conflict("version", open.version));
        }
        if open.value_type != type_name::<V>() {
            return Err(conflict("value type", open.value_type));
        }
        if format.generation(&self.name, open.version)? != open.generation {
            return Err(conflict("codec or shape", "the value type"));
        }
        if open.codec != TypeId::of::<C>() {
            return Err(conflict("codec", "of the same id"));
        }
        if self.ttl.is_some() && self.ttl != ttl {
            return Err(conflict("ttl", OptionText(ttl)));
        }
        if self.max_entries.is_some() && self.max_entries != max_entries {
            return Err(conflict("max_entries", OptionText(max_entries)));
        }
        if self.max_bytes.is_some() && self.max_bytes != max_bytes {
            return Err(conflict("max_bytes", OptionText(max_bytes)));
        }
        if self.memory.is_some() && self.memory != open.memory {
            return Err(conflict("memory", OptionText(open.memory)));
        }
        if self.cache_if.as_ref().is_some_and(|(_, closure)| Some(*closure) != open.cache_if) {
            return Err(conflict("cache_if", "a closure"));
        }
        let observers = self.observers.iter().map(|(_, closure)| closure);
        if !self.observers.is_empty() && !observers.eq(&open.observers) {
            return Err(conflict("observer", "a closure"));
        }
        Ok(())
    }
}

/// The stored form of a memo's values.
struct StoredFormat {
    /// The id of the codec.
    id: String,
    shape: Shape,
}

impl StoredFormat {
    fn generation(&self, name: &str, version: u64) -> Result<GenerationId> {
        GenerationId::of(name, version, &self.id, &self.shape)
    }
}

fn conflict(what: &str, has: impl fmt::Display) -> Error {
    let message = format!(
        "the memo is already open with another {what} ({has}): use that one, leave the option out, or give this function a \
         name of its own"
    );
    Error::new(ErrorKind::Config, message)
}

/// The text of an option in a message.
struct OptionText<T>(Option<T>);

impl<T: fmt::Debug> fmt::Display for OptionText<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(set) => write!(f, "{set:?}"),
            None => f.write_str("none"),
        }
    }
}
