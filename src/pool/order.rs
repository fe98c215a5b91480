//! The order of insertion and of expiry, and so of eviction. It has no clock, and drops no resource: removed resources are
//! returned, because their `Drop` is user code.

use std::{
    any::TypeId,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::MutexGuard,
    time::Duration,
};

use super::{
    name::Name,
    release::Resource,
    slots::{ResourceLifetime, Slot, Slots},
};
use crate::flight;

/// Removed resources, to be dropped outside the lock.
#[must_use = "removed resources must be dropped outside the lock"]
pub(super) struct Removed(Vec<Slot>);

impl Removed {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// In order of insertion.
    pub(super) fn into_resources(mut self) -> impl Iterator<Item = Resource> {
        self.0.sort_unstable_by_key(|slot| slot.place);
        self.0.into_iter().map(|slot| slot.resource)
    }
}

#[derive(Default)]
pub(super) struct Order {
    /// The name of each slot by its place. The first is the oldest.
    names: BTreeMap<u64, Name>,
    /// End and place of each slot that expires. The first expires first.
    ends: BTreeSet<(Duration, u64)>,
    /// The place of the next slot. Never given twice.
    next: u64,
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
        let place = self.next;
        self.next += 1;
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
    /// Puts a resource in, as the newest. Removed are expired resources, the former resource of this name, and the oldest
    /// resources while there are more than `max_entries`.
    pub(super) fn put(
        &mut self,
        name: Name,
        resource: Resource,
        lifetime: ResourceLifetime,
        max_entries: Option<u64>,
    ) -> Removed {
        let mut removed = self.take_ended(lifetime.since);
        let place = self.order.push(name, lifetime.until);
        if let Some(former) = self.slots.insert(name, Slot { resource, lifetime, place }) {
            self.order.remove(&former);
            removed.0.push(former);
        }
        while let Some(oldest) = self.order.oldest_over(max_entries) {
            removed.0.extend(self.take(&oldest));
        }
        removed
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

    pub(super) fn take_ended(&mut self, now: Duration) -> Removed {
        let ended = self.order.ended(now);
        Removed(ended.iter().filter_map(|name| self.take(name)).collect())
    }

    pub(super) fn take_all(&mut self) -> Removed {
        self.order.ends.clear();
        let names = std::mem::take(&mut self.order.names);
        Removed(names.values().filter_map(|name| self.slots.remove(name)).collect())
    }
}
