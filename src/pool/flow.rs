//! The flow of one call on a pool: look up, validate, claim, build, keep.

use std::{
    any::type_name,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;

use super::{
    name::Name,
    order::{Order, OrderGuard},
    release::{PoolFailures, Resource},
    slots::{ResourceLifetime, Slot, Slots},
};
use crate::{
    clock::{Clock, Stopwatch},
    flight::{AloneReason, Claim, FlightKey, Outcome, Turn, flight},
    fork::Origin,
    stats::LastFailure,
    sync::lock,
};

#[derive(Clone, Debug)]
pub(super) struct PoolOptions {
    pub(super) ttl: Option<Duration>,
    pub(super) max_entries: Option<u64>,
    pub(super) max_wait: Duration,
    pub(super) clock: Clock,
}

impl Default for PoolOptions {
    fn default() -> Self {
        let max_wait = Duration::from_secs(5 * 60);
        Self { ttl: None, max_entries: None, max_wait, clock: Clock::default() }
    }
}

/// Tells whether a resource may still be used.
pub(super) type Validation<'a, T> = Box<dyn FnOnce(&T) -> bool + 'a>;

/// The options of one call.
pub(super) struct CallOptions<'a, T> {
    /// The resource must be younger than this.
    pub(super) ttl: Option<Duration>,
    /// A resource that was there before the call must pass this.
    pub(super) is_valid: Option<Validation<'a, T>>,
}

impl<T> Default for CallOptions<'_, T> {
    fn default() -> Self {
        Self { ttl: None, is_valid: None }
    }
}

/// Shared by all handles of one pool.
pub(super) struct PoolInner {
    pub(super) options: PoolOptions,
    pub(super) failures: PoolFailures,
    origin: Origin,
    /// Measures the time since the pool was made. All lifetimes are on this scale.
    age: Stopwatch,
    slots: Slots,
    /// Locked for the whole of each change of `slots`.
    order: Mutex<Order>,
}

impl PoolInner {
    pub(super) fn new(options: PoolOptions) -> Self {
        let age = options.clock.stopwatch();
        let (origin, failures) = (Origin::here(), PoolFailures(LastFailure::new(options.clock.clone())));
        Self { options, failures, origin, age, slots: Slots::new(), order: Mutex::default() }
    }

    /// Whether this process was forked from the process that made the pool. Then no lock here may be taken.
    #[inline]
    pub(super) fn is_inherited(&self) -> bool {
        self.origin.is_elsewhere()
    }

    /// Writes the key into the name. `None` for a key that cannot be serialized: its resource is not kept.
    #[inline]
    pub(super) fn name<'n, T: 'static>(
        &self,
        key: &(impl Serialize + ?Sized),
        name: &'n mut Name,
    ) -> Option<&'n Name> {
        self.failures.contain("the `Serialize` of a key", type_name::<T>(), || name.write(key))?;
        Some(name)
    }

    /// Runs a whole call.
    #[inline]
    pub(super) fn obtain<T: Send + Sync + 'static, E>(
        &self,
        name: Option<&Name>,
        options: CallOptions<'_, T>,
        build: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let Some(name) = name.filter(|_| !self.is_inherited()) else { return build().map(Arc::new) };
        match self.get_valid(name, options.ttl, options.is_valid) {
            Some(found) => Ok(found),
            None => self.build(name, options.ttl, build),
        }
    }

    /// Not inlined, so that the code of a hit is short and fast.
    #[cold]
    #[inline(never)]
    fn build<T: Send + Sync + 'static, E>(
        &self,
        name: &Name,
        ttl: Option<Duration>,
        build: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        match self.lead_or_wait(name, ttl) {
            BuildStep::Found(found) => Ok(found),
            BuildStep::Build(claim) => {
                let resource = Arc::new(build()?);
                if self.is_inherited() {
                    // The builder forked, and this is the child.
                    return Ok(resource);
                }
                Ok(self.keep(name, resource, ttl, claim))
            }
            BuildStep::BuildUnshared => build().map(Arc::new),
        }
    }

    /// The resource under the name. An expired one is removed.
    #[inline]
    pub(super) fn get<T: Send + Sync + 'static>(&self, name: &Name, ttl: Option<Duration>) -> Option<Arc<T>> {
        self.find(name, ttl, |slot| slot.resource.clone())?.into_object()
    }

    #[inline]
    fn find<R>(&self, name: &Name, ttl: Option<Duration>, read: impl FnOnce(&Slot) -> R) -> Option<R> {
        if self.is_inherited() {
            return None;
        }
        let is_over = |slot: &Slot| slot.lifetime.is_over(ttl, || self.age.elapsed());
        let found =
            self.slots.read(name, |slot| if is_over(slot) { Err(slot.clone()) } else { Ok(read(slot)) })?;
        found.map_err(|ended| self.take_out(name, ended)).ok()
    }

    /// The resource under the name, if it is valid. Later lookups of the same call do not validate: they can only find
    /// resources that were put in after this lookup.
    #[inline]
    fn get_valid<T: Send + Sync + 'static>(
        &self,
        name: &Name,
        ttl: Option<Duration>,
        is_valid: Option<Validation<'_, T>>,
    ) -> Option<Arc<T>> {
        let Some(is_valid) = is_valid else { return self.get(name, ttl) };
        let found = self.find(name, ttl, Slot::clone)?;
        let object = found.resource.clone().into_object::<T>()?;
        let passed = self.failures.contain("the validation", type_name::<T>(), || Ok(is_valid(&object)));
        if passed == Some(true) {
            return Some(object);
        }
        drop(object); // Not the last `Arc`: `found` has one too.
        self.take_out(name, found);
        None
    }

    /// Takes this resource out, unless another one has replaced it, and drops it before a new one is built.
    #[cold]
    fn take_out(&self, name: &Name, slot: Slot) {
        let held = self.writer().take_at(name, slot.place);
        self.failures.drop_all(held.into_iter().chain([slot]).map(|slot| slot.resource));
    }

    /// Claims the resource. The leader looks it up once more and builds it; the waiters then look it up again.
    fn lead_or_wait<T: Send + Sync + 'static>(&self, name: &Name, ttl: Option<Duration>) -> BuildStep<'_, T> {
        let flight_key = flight_key(&mut lock(&self.order), name);
        loop {
            let turn = flight().claim(flight_key, self.options.max_wait);
            let found = self.get(name, ttl);
            match (turn, found) {
                (Turn::Lead(claim) | Turn::Alone(claim, _), Some(found)) => {
                    claim.complete(Outcome::Found);
                    return BuildStep::Found(found);
                }
                (Turn::Recheck(_), Some(found)) => return BuildStep::Found(found),
                (Turn::Recheck(_), None) => {}
                (Turn::Alone(_, AloneReason::Reentrant | AloneReason::Cycle), None) => {
                    return BuildStep::BuildUnshared;
                }
                (Turn::Lead(claim) | Turn::Alone(claim, _), None) => return BuildStep::Build(claim),
            }
        }
    }

    /// Puts in the built resource, unless its claim was revoked. If another one is there, built in parallel, that one stays
    /// and is returned.
    fn keep<T: Send + Sync + 'static>(
        &self,
        name: &Name,
        built: Arc<T>,
        ttl: Option<Duration>,
        claim: Claim<'_>,
    ) -> Arc<T> {
        let now = self.age.elapsed();
        let mut writer = self.writer();
        if !claim.is_current() {
            return built;
        }
        let other = self.slots.read(name, Slot::clone).filter(|slot| !slot.lifetime.is_over(ttl, || now));
        if let Some(other) = other.and_then(|slot| slot.resource.into_object()) {
            drop(writer);
            claim.complete(Outcome::Found);
            self.failures.drop_all([Resource::new(built)]);
            return other;
        }
        let resource = Resource::new(Arc::clone(&built));
        let removed = writer.put(*name, resource, self.lifetime(now, ttl), self.options.max_entries);
        drop(writer);
        claim.complete(Outcome::Stored);
        self.failures.drop_all(removed.into_resources());
        built
    }

    fn lifetime(&self, now: Duration, ttl: Option<Duration>) -> ResourceLifetime {
        let ttl = self.options.ttl.into_iter().chain(ttl).min();
        ResourceLifetime { since: now, until: ttl.and_then(|ttl| now.checked_add(ttl)) }
    }

    pub(super) fn remove(&self, name: &Name) -> bool {
        if self.is_inherited() {
            return false;
        }
        let mut writer = self.writer();
        flight().revoke(&flight_key(&mut writer.order, name), None);
        let Some(slot) = writer.take(name) else { return false };
        drop(writer);
        let present = !slot.lifetime.is_over(None, || self.age.elapsed());
        self.failures.drop_all([slot.resource]);
        present
    }

    pub(super) fn clear(&self) {
        if self.is_inherited() {
            return;
        }
        let mut writer = self.writer();
        writer.order.owners().for_each(|owner| flight().revoke_owner(owner));
        let removed = writer.take_all();
        drop(writer);
        self.failures.drop_all(removed.into_resources());
    }

    pub(super) fn sweep(&self) -> usize {
        if self.is_inherited() {
            return 0;
        }
        let now = self.age.elapsed();
        let removed = self.writer().take_ended(now);
        let count = removed.len();
        self.failures.drop_all(removed.into_resources());
        count
    }

    pub(super) fn len(&self) -> usize {
        if self.is_inherited() {
            return 0;
        }
        lock(&self.order).len(|| self.age.elapsed())
    }

    fn writer(&self) -> OrderGuard<'_> {
        OrderGuard { order: lock(&self.order), slots: &self.slots }
    }
}

impl Drop for PoolInner {
    fn drop(&mut self) {
        if self.is_inherited() {
            return;
        }
        let removed = self.writer().take_all();
        self.failures.drop_all(removed.into_resources());
    }
}

/// The key of the claim: at most one caller builds under it.
fn flight_key(order: &mut Order, name: &Name) -> FlightKey {
    FlightKey { owner: order.owner(name.kind), digest: *name.key.digest().as_bytes() }
}

/// The next step of a caller after a miss.
enum BuildStep<'a, T> {
    Found(Arc<T>),
    Build(Claim<'a>),
    /// A wait would never end. Another caller builds the resource that is shared.
    BuildUnshared,
}
