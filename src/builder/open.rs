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
    effect_log::{EffectFormat, EffectTypes},
    error::{Error, ErrorKind, Result},
    flight::fresh_owner,
    flow::{Aging, HasVariants, MemoInner, Retries, memory_writer},
    memo::Memo,
    remote::ServerMemo,
    store::{Bounds, CatalogRow, GenerationId, LiveMemo, Registration, Store, scoped_name},
    sync::lock,
};

/// The longest name of a memo, in bytes.
const LONGEST_NAME: usize = 512;

impl<K: ?Sized, V, C> MemoBuilder<K, V, C> {
    pub(crate) fn place(&self) -> Arc<str> {
        format!("memo `{}` ({} -> {})", self.name.escape_debug(), type_name::<K>(), type_name::<V>()).into()
    }

    pub(super) fn open_at(mut self, store: &Store, place: &Arc<str>) -> Result<Memo<K, V>>
    where
        V: Clone + Send + Sync + 'static,
        C: Codec<V>,
    {
        self.check()?;
        store.session().check_origin()?;
        // User code runs before the lock is taken.
        let (effect_types, effects) = self.declare_effects()?;
        let mut format = StoredFormat { id: self.codec.id().to_owned(), shape: self.shape()?, effects };
        let scoped = self.scoped_name()?;
        // Declared before the lock, so dropped after it: it may be the last handle.
        let known;
        // One open at a time, so that two opens of one name return the same memo.
        let mut live = lock(store.live());
        if let Some(open) = live.get(&scoped) {
            known = open.memo.upgrade();
            if let Some(memo) = &known {
                format.take_effects_of(&open.effects)?;
                self.agree(open, &scoped, &format)?;
                let inner = Arc::clone(memo).downcast::<MemoInner<V>>();
                let inner = inner.map_err(|_| conflict("value type", open.value_type))?;
                self.agree_on_aging(&inner.aging)?;
                return Ok(Memo::new(inner));
            }
        }
        let generation = format.generation(&scoped, self.identity().unwrap_or(0))?;
        let round_trip = RoundTrip::new::<C>(&format.shape);
        let effects = format.effects;
        let identity = MemoIdentity { scoped: &scoped, generation, round_trip, effect_types, effects };
        let memo = self.open_on(identity, store, place, &mut live);
        drop(live);
        store.make_room(Some(&scoped));
        Ok(memo)
    }

    /// The version of the function in the generation: the user's version, or else the hash of the code.
    fn identity(&self) -> Option<u64> {
        self.options.version.or(self.options.code)
    }

    /// The name, and behind it the digest of the scope, if there is one.
    fn scoped_name(&self) -> Result<String> {
        match &self.options.scope {
            None => Ok(self.name.clone()),
            Some(Ok(scope)) => Ok(scoped_name(&self.name, scope)),
            Some(Err(error)) => Err(error.clone()),
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            ttl: self.options.ttl,
            stale_for: self.options.stale_for.unwrap_or_default(),
            max_entries: self.options.max_entries,
            max_bytes: self.options.max_bytes,
            spares_used: self.options.spare_used,
        }
    }

    fn catalog_row(&self, scoped: &str, store: &Store) -> CatalogRow {
        CatalogRow {
            name: scoped.to_owned(),
            version: self.identity().unwrap_or(0),
            last_used: store.session().clock.now(),
            ttl_millis: self.bounds().ttl_millis(),
            stale_millis: self.bounds().stale_millis(),
            ..CatalogRow::default()
        }
    }

    /// Makes the memo of a generation with all options, and registers it as open.
    pub(crate) fn open_on(
        self,
        identity: MemoIdentity<'_>,
        store: &Store,
        place: &Arc<str>,
        live: &mut HashMap<String, LiveMemo>,
    ) -> Memo<K, V>
    where
        V: Clone + Send + Sync + 'static,
        C: Codec<V>,
    {
        let MemoIdentity { scoped, generation, round_trip, effect_types, effects } = identity;
        let (bounds, version) = (self.bounds(), self.identity().unwrap_or(0));
        let durability = self.options.durability.unwrap_or_default();
        let aging = self.aging();
        let row = self.catalog_row(scoped, store);
        let (cache_if, cache_if_type) = self.options.cache_if.unzip();
        let (observers, observer_types): (Vec<_>, Vec<_>) = self.options.observers.into_iter().unzip();
        let (session, name): (_, Arc<str>) = (store.session(), self.name.into());
        let scoped: Arc<str> = if scoped == &*name { Arc::clone(&name) } else { scoped.into() };
        let counters = session.counters_of(&scoped);
        let codec: Arc<dyn Codec<V>> = Arc::new(self.codec);
        let (named, placed, counted) = (Arc::clone(&scoped), Arc::clone(place), Arc::clone(&counters));
        let registration = store
            .register(generation, || Registration::new(named, placed, generation, fresh_owner(), counted));
        let owner = registration.owner;
        let keep_in_memory =
            memory_writer(session, &codec, self.options.memory, owner, effect_types.is_some());
        let inner = Arc::new(MemoInner {
            partition: store.partition(registration, keep_in_memory, row, bounds),
            codec,
            round_trip,
            bounds,
            memory: self.options.memory,
            durability,
            keeps_keys: !self.options.private_keys,
            cache_if,
            effects: effect_types,
            aging,
            server: store
                .server()
                .filter(|_| !self.options.local_only)
                .map(|server| ServerMemo::new(server, &name, generation.0)),
            expiry: bounds.expiry(),
            retries: Retries::default(),
            has_variants: HasVariants::default(),
            counters,
            observers: session.observers.register(&scoped, observers.into_iter().collect()),
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
            memory: self.options.memory,
            durability,
            private_keys: self.options.private_keys,
            local_only: self.options.local_only,
            cache_if: cache_if_type,
            observers: observer_types,
            effects,
            value_type,
            codec: TypeId::of::<C>(),
            version,
        };
        live.insert(scoped.to_string(), open);
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
        if self.options.ttl.is_some_and(|ttl| ttl.as_millis() == 0) {
            return wrong(
                "`ttl` is less than a millisecond: nothing would ever be a hit; leave it out to keep values for ever",
            );
        }
        self.check_aging()?;
        if self.options.max_entries == Some(0) {
            return wrong("`max_entries` is 0: nothing could be stored; leave it out for no bound");
        }
        if self.options.max_bytes == Some(0) {
            return wrong("`max_bytes` is 0: nothing could be stored; leave it out for no bound");
        }
        Ok(())
    }

    /// With a version of the user, a shape that cannot be traced is accepted. A hash of the code is not enough.
    fn shape(&self) -> Result<Shape>
    where
        C: Codec<V>,
    {
        self.traced(self.codec.shape())
    }

    pub(super) fn traced(&self, shape: Result<Shape>) -> Result<Shape> {
        shape.or_else(|error| match (error.kind(), self.options.version) {
            (ErrorKind::UntraceableType, Some(_)) => Ok(Shape::untraced()),
            _ => Err(error),
        })
    }

    /// Fails if an option is set here that the open memo has otherwise.
    fn agree(&self, open: &LiveMemo, scoped: &str, format: &StoredFormat) -> Result<()>
    where
        V: 'static,
        C: Codec<V>,
    {
        let Bounds { ttl, stale_for, max_entries, max_bytes, spares_used } = open.bounds;
        if self.identity().is_some_and(|version| version != open.version) {
            return Err(conflict("version", open.version));
        }
        if open.value_type != type_name::<V>() {
            return Err(conflict("value type", open.value_type));
        }
        if format.generation(scoped, open.version)? != open.generation {
            return Err(conflict("codec or shape", "the value type"));
        }
        if open.codec != TypeId::of::<C>() {
            return Err(conflict("codec", "of the same id"));
        }
        if self.options.ttl.is_some() && self.options.ttl != ttl {
            return Err(conflict("ttl", OptionText(ttl)));
        }
        if self.options.stale_for.is_some_and(|time| time != stale_for) {
            return Err(conflict("stale_for", OptionText(Some(stale_for))));
        }
        if self.options.spare_used && !spares_used {
            return Err(conflict("spare_used", "it evicts the oldest entry"));
        }
        if self.options.max_entries.is_some() && self.options.max_entries != max_entries {
            return Err(conflict("max_entries", OptionText(max_entries)));
        }
        if self.options.max_bytes.is_some() && self.options.max_bytes != max_bytes {
            return Err(conflict("max_bytes", OptionText(max_bytes)));
        }
        if self.options.memory.is_some() && self.options.memory != open.memory {
            return Err(conflict("memory", OptionText(open.memory)));
        }
        if self.options.durability.is_some_and(|durability| durability != open.durability) {
            return Err(conflict("durability", OptionText(Some(open.durability))));
        }
        if self.options.private_keys && !open.private_keys {
            return Err(conflict("private_keys", "it stores its keys"));
        }
        if self.options.local_only && !open.local_only {
            return Err(conflict("local_only", "it shares its values"));
        }
        if self.options.cache_if.as_ref().is_some_and(|(_, closure)| Some(*closure) != open.cache_if) {
            return Err(conflict("cache_if", "a closure"));
        }
        let observers = self.options.observers.iter().map(|(_, closure)| closure);
        if !self.options.observers.is_empty() && !observers.eq(&open.observers) {
            return Err(conflict("observer", "a closure"));
        }
        Ok(())
    }
}

impl<K: ?Sized, V, C> MemoBuilder<K, V, C> {
    fn aging(&self) -> Aging {
        let default = Aging::default();
        Aging {
            jitter: self.options.jitter.unwrap_or(default.jitter),
            refresh_at: self.options.refresh_at,
            retry_after: self.options.retry_after.unwrap_or(default.retry_after),
        }
    }

    fn check_aging(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
        if self.options.refresh_at.is_some_and(|part| !(part > 0.0 && part < 1.0)) {
            return wrong("`refresh_at` is not between 0 and 1: it is a part of the ttl, as 0.9");
        }
        if let (Some(jitter), Some(ttl)) = (self.options.jitter, self.options.ttl)
            && jitter >= ttl
        {
            return wrong(
                "`jitter` is not shorter than `ttl`: it is the time by which the ttl of a key may be shorter",
            );
        }
        Ok(())
    }

    fn agree_on_aging(&self, open: &Aging) -> Result<()> {
        let Aging { jitter, refresh_at, retry_after } = *open;
        if self.options.refresh_at.is_some() && self.options.refresh_at != refresh_at {
            return Err(conflict("refresh_at", OptionText(refresh_at)));
        }
        if self.options.jitter.is_some_and(|time| time != jitter) {
            return Err(conflict("jitter", OptionText(Some(jitter))));
        }
        if self.options.retry_after.is_some_and(|time| time != retry_after) {
            return Err(conflict("retry_after", OptionText(Some(retry_after))));
        }
        Ok(())
    }
}

/// What makes a memo the one that it is.
pub(crate) struct MemoIdentity<'a> {
    /// The name, and behind it the digest of the scope.
    pub(crate) scoped: &'a str,
    pub(crate) generation: GenerationId,
    pub(crate) round_trip: RoundTrip,
    pub(crate) effect_types: Option<Arc<EffectTypes>>,
    pub(crate) effects: EffectFormat,
}

/// The stored form of a memo's values.
struct StoredFormat {
    /// The id of the codec.
    id: String,
    shape: Shape,
    effects: EffectFormat,
}

impl StoredFormat {
    fn generation(&self, name: &str, version: u64) -> Result<GenerationId> {
        let id = format!("{}{}", self.id, self.effects.suffix);
        GenerationId::of(name, version, &id, &self.shape)
    }

    /// The effects of a memo that is open are those of one that is opened again: with the same handlers, or with none.
    fn take_effects_of(&mut self, open: &EffectFormat) -> Result<()> {
        if !self.effects.handlers.is_empty() && self.effects.handlers != open.handlers {
            return Err(conflict("effects", "another handler"));
        }
        self.effects = open.clone();
        Ok(())
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
