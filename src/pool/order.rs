//! The order of insertion and of expiry, and so of eviction. It has no clock, and drops no resource: removed resources are
//! returned, because their `Drop` is user code.

use std::{
    any::TypeId,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    name::Name,
    resource::Resource,
    slots::{ResourceLifetime, Slot, Slots},
};
use crate::flight;

/// Removed resources, to be dropped outside the lock.
#[derive(Default)]
#[must_use = "removed resources must be dropped outside the lock"]
pub(super) struct Removed {
    /// Removed because they had expired, or were older than the call allowed.
    pub(super) expired: Vec<Slot>,
    /// Removed because of the bound.
    pub(super) evicted: Vec<Slot>,
}

/// The place of the next slot of all pools of the process. Never given twice, so resources of several pools have an order.
static NEXT_PLACE: AtomicU64 = AtomicU64::new(0);

#[derive(Default)]
pub(super) struct Order {
    /// The name of each slot by its place. The first is the oldest.
    names: BTreeMap<u64, Name>,
    /// End and place of each slot that expires. The first expires first.
    ends: BTreeSet<(Duration, u64)>,
    /// The owner of each type's keys in the flight of the process.
    owners: HashMap<TypeId, u64>,
}

impl Order {
    /// Number of slots that have not expired. `now` is called only if any slot expires.
    pub(super) fn len(&self, now: impl FnOnce() -> Duration) -> usize {
        if self.ends.is_empty() {
            return self.names.len();
        }
        self.names.len() - self.ends.range(..=(now(), u64::MAX)).count()
    }

    /// Each type has an owner, so that no two resources share a flight key.
    pub(super) fn owner(&mut self, kind: TypeId) -> u64 {
        *self.owners.entry(kind).or_insert_with(flight::fresh_owner)
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = u64> {
        self.owners.values().copied()
    }

    fn push(&mut self, name: Name, until: Option<Duration>) -> u64 {
        let place = NEXT_PLACE.fetch_add(1, Relaxed);
        self.names.insert(place, name);
        self.ends.extend(until.map(|until| (until, place)));
        place
    }

    fn remove(&mut self, slot: &Slot) {
        self.names.remove(&slot.place);
        if let Some(until) = slot.lifetime.until {
            self.ends.remove(&(until, slot.place));
        }
    }

    fn ended(&self, now: Duration) -> Vec<Name> {
        let ended = self.ends.range(..=(now, u64::MAX));
        ended.filter_map(|(_, place)| self.names.get(place).copied()).collect()
    }

    fn oldest_over(&self, max_entries: Option<u64>) -> Option<Name> {
        let is_over = max_entries.is_some_and(|bound| self.names.len() as u64 > bound);
        self.names.first_key_value().filter(|_| is_over).map(|(_, name)| *name)
    }
}

/// A guard that changes order and slots together, so that both always hold the same resources.
pub(super) struct OrderGuard<'a> {
    pub(super) order: MutexGuard<'a, Order>,
    pub(super) slots: &'a Slots,
}

impl OrderGuard<'_> {
    /// Puts a resource in, as the newest. Removed are expired resources, the former resource of this name, which is too old
    /// for the call, and the oldest resources while there are more than `max_entries`.
    pub(super) fn put(
        &mut self,
        name: Name,
        resource: Resource,
        lifetime: ResourceLifetime,
        max_entries: Option<u64>,
    ) -> Removed {
        let mut expired = self.take_ended(lifetime.since);
        let place = self.order.push(name, lifetime.until);
        if let Some(former) = self.slots.insert(name, Slot { resource, lifetime, place }) {
            self.order.remove(&former);
            expired.push(former);
        }
        let mut evicted = Vec::new();
        while let Some(oldest) = self.order.oldest_over(max_entries) {
            evicted.extend(self.take(&oldest));
        }
        Removed { expired, evicted }
    }

    pub(super) fn take(&mut self, name: &Name) -> Option<Slot> {
        let slot = self.slots.remove(name)?;
        self.order.remove(&slot);
        Some(slot)
    }

    /// Takes the slot out if its place is still `place`.
    pub(super) fn take_at(&mut self, name: &Name, place: u64) -> Option<Slot> {
        let is_there = self.slots.read(name, |slot| slot.place == place);
        if is_there == Some(true) { self.take(name) } else { None }
    }

    pub(super) fn take_ended(&mut self, now: Duration) -> Vec<Slot> {
        let ended = self.order.ended(now);
        ended.iter().filter_map(|name| self.take(name)).collect()
    }

    /// In order of insertion.
    pub(super) fn take_all(&mut self) -> Vec<Slot> {
        self.order.ends.clear();
        let names = std::mem::take(&mut self.order.names);
        names.values().filter_map(|name| self.slots.remove(name)).collect()
    }
}
