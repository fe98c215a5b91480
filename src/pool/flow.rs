//! The flow of one call on a pool: look up, validate, claim, build, keep.

use std::{
    any::type_name,
    iter,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;

use super::{
    events::PoolEvents,
    name::Name,
    order::{Order, OrderGuard},
    parts::Parts,
    resource::Resource,
    slots::{ResourceLifetime, Slot, Slots},
};
use crate::{
    clock::{Clock, Stopwatch},
    context::{Caller, Context},
    flight::{AloneReason, Claim, FlightKey, Outcome, Turn, Wakers, flight},
    observe::Observers,
    stats::{PoolStats, Reason},
    sync::lock,
};

#[derive(Clone, Debug)]
pub(super) struct PoolOptions {
    pub(super) ttl: Option<Duration>,
    pub(super) max_entries: Option<u64>,
    pub(super) max_wait: Duration,
    pub(super) max_stall: Duration,
    pub(super) clock: Clock,
    pub(super) observers: Observers,
    /// The name of the function, in a pool for the resources of one.
    pub(super) function: Option<Arc<str>>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            ttl: None,
            max_entries: None,
            max_wait: Duration::from_secs(5 * 60),
            max_stall: Duration::from_secs(1),
            clock: Clock::default(),
            observers: Observers::default(),
            function: None,
        }
    }
}

/// Tells whether a resource may still be used.
pub(super) type Validation<'a, T> = Box<dyn FnOnce(&T) -> bool + 'a>;

/// The options of one call.
pub(super) struct CallOptions<'a, T> {
    /// The resource must be younger than this.
    pub(super) ttl: Option<Duration>,
    /// A resource that was there before the call must be younger than this.
    pub(super) max_age: Option<Duration>,
    /// A resource that was there before the call must pass this.
    pub(super) is_valid: Option<Validation<'a, T>>,
}

impl<T> Default for CallOptions<'_, T> {
    fn default() -> Self {
        Self { ttl: None, max_age: None, is_valid: None }
    }
}

/// Which resources a call accepts by their age.
#[derive(Clone, Copy, Default)]
pub(super) struct Limit {
    ttl: Option<Duration>,
    /// The age, and when the call began: one that was built by a later builder is accepted at any age.
    max_age: Option<(Duration, Duration)>,
}

impl Limit {
    #[inline]
    fn excludes(&self, lifetime: &ResourceLifetime, now: impl Fn() -> Duration) -> bool {
        lifetime.is_over(self.ttl, &now)
            || self.max_age.is_some_and(|(most, began)| {
                lifetime.since.saturating_sub(lifetime.took) <= began
                    && now().saturating_sub(lifetime.since) >= most
            })
    }
}

/// Shared by all handles of one pool.
pub(super) struct PoolInner {
    pub(super) options: PoolOptions,
    pub(super) events: PoolEvents,
    /// The pools of functions. Only the pool of the process has any.
    pub(super) parts: Parts<Arc<Self>>,
    /// Measures the time since the pool was made. All lifetimes are on this scale.
    age: Stopwatch,
    slots: Slots,
    /// Locked for the whole of each change of `slots`.
    order: Mutex<Order>,
}

impl PoolInner {
    pub(super) fn new(mut options: PoolOptions) -> Self {
        let age = options.clock.stopwatch();
        let observers = std::mem::take(&mut options.observers);
        let events = PoolEvents::new(&options.clock, observers, options.function.clone());
        let (slots, order) = (Slots::new(), Mutex::default());
        Self { options, events, parts: Parts::default(), age, slots, order }
    }

    /// Whether this process was forked from the process that made the pool. Then no lock here may be taken.
    #[inline]
    pub(super) fn is_inherited(&self) -> bool {
        self.events.origin.is_elsewhere()
    }

    /// Writes the key into the name. `None` for a key that cannot be serialized: its resource is not kept.
    #[inline]
    pub(super) fn name<'n, T: 'static>(
        &self,
        key: &(impl Serialize + ?Sized),
        name: &'n mut Name,
    ) -> Option<&'n Name> {
        self.events.contain("the `Serialize` of a key", type_name::<T>(), || name.write(key))?;
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
        if self.is_inherited() {
            return build().map(Arc::new);
        }
        let Some(name) = name else { return self.build_without_a_name(build) };
        let limit = self.limit(&options);
        match self.get_valid(name, limit, options.is_valid) {
            Ok(found) => Ok(found),
            Err(reason) => self.build(name, limit, reason, build),
        }
    }

    #[inline]
    fn limit<T>(&self, options: &CallOptions<'_, T>) -> Limit {
        let max_age = options.max_age.map(|most| (most, self.age.elapsed()));
        Limit { ttl: options.ttl, max_age }
    }

    /// For a call that began so long after the pool was made.
    pub(super) fn limit_since(ttl: Option<Duration>, max_age: Option<Duration>, began: Duration) -> Limit {
        Limit { ttl, max_age: max_age.map(|most| (most, began)) }
    }

    /// The time since the pool was made.
    pub(super) fn now(&self) -> Duration {
        self.age.elapsed()
    }

    #[cold]
    #[inline(never)]
    fn build_without_a_name<T: 'static, E>(&self, build: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        self.events.missed(type_name::<T>(), Reason::Absent);
        self.run(None, build).map(|(resource, _)| resource)
    }

    fn run<T: 'static, E>(
        &self,
        name: Option<&Name>,
        build: impl FnOnce() -> Result<T, E>,
    ) -> Result<(Arc<T>, Duration), E> {
        let context = Context::current().within(Caller::of_thread());
        let (resource, took) = self.events.building(type_name::<T>(), name, || context.run(build))?;
        Ok((Arc::new(resource), took))
    }

    /// Not inlined, so that the code of a hit is short and fast.
    #[cold]
    #[inline(never)]
    fn build<T: Send + Sync + 'static, E>(
        &self,
        name: &Name,
        limit: Limit,
        reason: Reason,
        build: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        self.events.missed(type_name::<T>(), reason);
        match self.lead_or_wait(name, limit) {
            BuildStep::Found(found) => Ok(found),
            BuildStep::Build(mut claim) => {
                let outcome = self.run(Some(name), build);
                let (resource, took) = outcome.inspect_err(|_| claim.fail())?;
                Ok(self.keep(name, resource, took, limit, claim))
            }
            BuildStep::BuildUnshared => self.run(Some(name), build).map(|(resource, _)| resource),
        }
    }

    /// The resource under the name, for a caller that builds none. An expired one is removed.
    pub(super) fn get<T: Send + Sync + 'static>(&self, name: &Name) -> Option<Arc<T>> {
        if self.is_inherited() {
            return None;
        }
        let found = self.get_valid(name, Limit::default(), None);
        found.map_err(|reason| self.events.missed(type_name::<T>(), reason)).ok()
    }

    #[inline]
    pub(super) fn find<R>(
        &self,
        name: &Name,
        limit: Limit,
        read: impl FnOnce(&Slot) -> R,
    ) -> Result<R, Reason> {
        let is_over = |slot: &Slot| limit.excludes(&slot.lifetime, || self.age.elapsed());
        let found =
            self.slots.read(name, |slot| if is_over(slot) { Err(slot.clone()) } else { Ok(read(slot)) });
        match found {
            Some(Ok(read)) => Ok(read),
            Some(Err(ended)) => Err(self.take_out(name, ended, Reason::Expired)),
            None => Err(Reason::Absent),
        }
    }

    /// The resource under the name, if it is valid, which is a hit. Later lookups of the same call do not validate: they can
    /// only find resources that were put in after this lookup.
    #[inline]
    pub(super) fn get_valid<T: Send + Sync + 'static>(
        &self,
        name: &Name,
        limit: Limit,
        is_valid: Option<Validation<'_, T>>,
    ) -> Result<Arc<T>, Reason> {
        let Some(is_valid) = is_valid else {
            let (resource, took) =
                self.find(name, limit, |slot| (slot.resource.clone(), slot.lifetime.took))?;
            return resource.into_object().inspect(|_| self.hit::<T>(name, took)).ok_or(Reason::Absent);
        };
        let found = self.find(name, limit, Slot::clone)?;
        let object = found.resource.clone().into_object::<T>().ok_or(Reason::Absent)?;
        let passed = self.events.contain("the validation", type_name::<T>(), || Ok(is_valid(&object)));
        if passed == Some(true) {
            self.hit::<T>(name, found.lifetime.took);
            return Ok(object);
        }
        drop(object); // Not the last `Arc`: `found` has one too.
        Err(self.take_out(name, found, Reason::Invalid))
    }

    #[inline]
    pub(super) fn hit<T: 'static>(&self, name: &Name, saved: Duration) {
        self.slots.count_hit(name, saved);
        self.events.hit(type_name::<T>(), saved);
    }

    /// Takes this resource out, unless another one has replaced it, and drops it before a new one is built. Returns the
    /// reason of the miss.
    #[cold]
    pub(super) fn take_out(&self, name: &Name, slot: Slot, reason: Reason) -> Reason {
        let held = self.writer().take_at(name, slot.place);
        match (&held, reason) {
            (None, _) => self.events.drop_all([slot.resource]),
            (Some(_), Reason::Invalid) => {
                self.events.counters.invalidated();
                self.events.drop_all(held.into_iter().chain([slot]).map(|slot| slot.resource));
            }
            (Some(_), _) => {
                drop(slot); // Not the last `Arc`: `held` has one too.
                self.events.release_expired(held.into_iter().collect());
            }
        }
        reason
    }

    /// Claims the resource. The leader looks it up once more and builds it; the waiters then look it up again.
    fn lead_or_wait<T: Send + Sync + 'static>(&self, name: &Name, limit: Limit) -> BuildStep<'_, T> {
        let flight_key = self.flight_key(name);
        loop {
            let turn = flight().claim(flight_key, self.options.max_wait);
            if let Some(step) = self.take_turn(name, limit, turn) {
                return step;
            }
        }
    }

    /// A caller that waits for no other one any more looks the resource up. `None`: it claims it again.
    pub(super) fn take_turn<'c, T: Send + Sync + 'static>(
        &self,
        name: &Name,
        limit: Limit,
        turn: Turn<'c>,
    ) -> Option<BuildStep<'c, T>> {
        let found = self.find(name, limit, |slot| slot.resource.clone());
        Some(match (turn, found.ok().and_then(Resource::into_object)) {
            (Turn::Lead(claim) | Turn::Alone(claim, _), Some(found)) => {
                claim.complete(Outcome::Found);
                BuildStep::Found(found)
            }
            (Turn::Recheck(_), Some(found)) => BuildStep::Found(found),
            (Turn::Recheck(_), None) => return None,
            (Turn::Alone(_, AloneReason::Reentrant | AloneReason::Cycle), None) => BuildStep::BuildUnshared,
            (Turn::Lead(claim) | Turn::Alone(claim, _), None) => BuildStep::Build(claim),
        })
    }

    /// The key under which at most one caller builds.
    pub(super) fn flight_key(&self, name: &Name) -> FlightKey {
        flight_key(&mut lock(&self.order), name)
    }

    /// Puts in the built resource, unless its claim was revoked. If another one is there, built in parallel, that one stays
    /// and is returned.
    pub(super) fn keep<T: Send + Sync + 'static>(
        &self,
        name: &Name,
        built: Arc<T>,
        took: Duration,
        limit: Limit,
        claim: Claim<'_>,
    ) -> Arc<T> {
        if self.is_inherited() {
            // The builder forked, and this is the child.
            return built;
        }
        let lifetime = self.lifetime(limit.ttl, took);
        let mut writer = self.writer();
        if !claim.is_current() {
            return built;
        }
        let is_fresh = |slot: &Slot| !limit.excludes(&slot.lifetime, || lifetime.since);
        let other = self.slots.read(name, Slot::clone).filter(is_fresh);
        if let Some(other) = other.and_then(|slot| slot.resource.into_object()) {
            drop(writer);
            claim.complete(Outcome::Found);
            self.events.drop_all([Resource::new(built)]);
            return other;
        }
        let resource = Resource::new(Arc::clone(&built));
        let removed = writer.put(*name, resource, lifetime, self.options.max_entries);
        drop(writer);
        self.events.counters.calls.inserted();
        claim.complete(Outcome::Stored);
        self.events.release(removed);
        built
    }

    /// The lifetime of a resource that is put in now.
    fn lifetime(&self, ttl: Option<Duration>, took: Duration) -> ResourceLifetime {
        let (now, ttl) = (self.age.elapsed(), self.options.ttl.into_iter().chain(ttl).min());
        ResourceLifetime { since: now, until: ttl.and_then(|ttl| now.checked_add(ttl)), took }
    }

    pub(super) fn remove(&self, name: &Name) -> bool {
        if self.is_inherited() {
            return false;
        }
        let mut writer = self.writer();
        let wakers = flight().revoke_unwoken(&flight_key(&mut writer.order, name), None);
        let slot = writer.take(name);
        drop(writer);
        wakers.wake();
        let Some(slot) = slot else { return false };
        let present = !slot.lifetime.is_over(None, || self.age.elapsed());
        self.events.drop_all([slot.resource]);
        present
    }

    /// This pool and its parts. None of them in another process.
    pub(super) fn all(&self) -> impl Iterator<Item = &Self> {
        let is_here = !self.is_inherited();
        iter::once(self).chain(self.parts.iter().map(|part| &**part)).filter(move |_| is_here)
    }

    pub(super) fn clear(&self) {
        let mut removed: Vec<(&Self, Slot)> =
            self.all().flat_map(|pool| pool.take_all().into_iter().map(move |slot| (pool, slot))).collect();
        removed.sort_unstable_by_key(|(_, slot)| slot.place);
        for (pool, slot) in removed {
            pool.events.drop_all([slot.resource]);
        }
    }

    fn take_all(&self) -> Vec<Slot> {
        let mut writer = self.writer();
        let wakers: Vec<_> =
            writer.order.owners().map(|owner| flight().revoke_owner_unwoken(owner)).collect();
        let taken = writer.take_all();
        drop(writer);
        wakers.into_iter().for_each(Wakers::wake);
        taken
    }

    pub(super) fn sweep(&self) -> usize {
        let sweep = |pool: &Self| {
            let now = pool.age.elapsed();
            let expired = pool.writer().take_ended(now);
            let count = expired.len();
            pool.events.release_expired(expired);
            count
        };
        self.all().map(sweep).sum()
    }

    pub(super) fn len(&self) -> usize {
        self.all().map(|pool| lock(&pool.order).len(|| pool.age.elapsed())).sum()
    }

    pub(super) fn stats(&self) -> PoolStats {
        let mut sum = PoolStats::default();
        for pool in iter::once(self).chain(self.parts.iter().map(|part| &**part)) {
            let (hits, saved) = pool.slots.hits();
            sum.add(&pool.events.counters.snapshot(hits, saved));
        }
        sum
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
        self.events.drop_all(removed.into_iter().map(|slot| slot.resource));
    }
}

/// The key of the claim: at most one caller builds under it.
fn flight_key(order: &mut Order, name: &Name) -> FlightKey {
    FlightKey { owner: order.owner(name.kind), digest: *name.key.digest().as_bytes() }
}

/// The next step of a caller after a miss.
pub(super) enum BuildStep<'a, T> {
    Found(Arc<T>),
    Build(Claim<'a>),
    /// A wait would never end. Another caller builds the resource that is shared.
    BuildUnshared,
}
