//! What a pool holds: by name, in which order, until when. No locks, no clock, and nothing is dropped in here:
//! what leaves is returned, as its `Drop` is the user's code.

use std::{
    any::TypeId,
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use super::release::Resource;
use crate::{flight, key::Digest};

/// What a resource is found by. Two types never meet, whatever their keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) kind: TypeId,
    pub(super) key: Digest,
}

/// When a resource was put in and until when it may be handed out, since the pool was made.
#[derive(Clone, Copy)]
pub(super) struct Lifetime {
    pub(super) since: Duration,
    /// `None`: for ever.
    pub(super) until: Option<Duration>,
}

impl Lifetime {
    /// At the boundary itself it is over; for a caller with a `ttl` of its own maybe earlier. The time is only asked when
    /// it matters.
    pub(super) fn is_over(&self, ttl: Option<Duration>, now: impl FnOnce() -> Duration) -> bool {
        if self.until.is_none() && ttl.is_none() {
            return false;
        }
        let now = now();
        self.until.is_some_and(|until| now >= until)
            || ttl.is_some_and(|ttl| now.saturating_sub(self.since) >= ttl)
    }
}

#[derive(Clone)]
pub(super) struct Slot {
    pub(super) resource: Resource,
    pub(super) lifetime: Lifetime,
    /// Its place in the order of insertion: never used twice, so it tells a resource from its successors.
    pub(super) place: u64,
}

/// What left. To be released outside the lock.
#[must_use = "what left is to be released outside the lock"]
#[derive(Default)]
pub(super) struct Leaving(Vec<Slot>);

impl Leaving {
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
pub(super) struct Table {
    slots: HashMap<Name, Slot>,
    /// The name of each slot, by its place: the first is the oldest.
    order: BTreeMap<u64, Name>,
    /// End and place of each slot that has an end: the first ends first.
    ends: BTreeSet<(Duration, u64)>,
    /// The place of the next.
    next: u64,
    /// Who claims the seats of a type in the flight of the process.
    owners: HashMap<TypeId, u64>,
}

impl Table {
    pub(super) fn get(&self, name: &Name) -> Option<&Slot> {
        self.slots.get(name)
    }

    /// How many have not ended. The time is only asked when it matters.
    pub(super) fn len(&self, now: impl FnOnce() -> Duration) -> usize {
        if self.ends.is_empty() {
            return self.slots.len();
        }
        self.slots.len() - self.ends.range(..=(now(), u64::MAX)).count()
    }

    /// Puts a resource in, as the newest. Who was there under its name leaves, and with it who has ended, and then the
    /// oldest while there are more than `max_entries`.
    pub(super) fn put(
        &mut self,
        name: Name,
        resource: Resource,
        lifetime: Lifetime,
        max_entries: Option<u64>,
    ) -> Leaving {
        let mut leaving = self.take_ended(lifetime.since);
        leaving.0.extend(self.take(&name));
        let place = self.next;
        self.next += 1;
        self.order.insert(place, name);
        self.ends.extend(lifetime.until.map(|until| (until, place)));
        self.slots.insert(name, Slot { resource, lifetime, place });
        while max_entries.is_some_and(|bound| self.slots.len() as u64 > bound) {
            leaving.0.extend(self.take_oldest());
        }
        leaving
    }

    pub(super) fn take(&mut self, name: &Name) -> Option<Slot> {
        let slot = self.slots.remove(name)?;
        self.order.remove(&slot.place);
        if let Some(until) = slot.lifetime.until {
            self.ends.remove(&(until, slot.place));
        }
        Some(slot)
    }

    /// Takes the slot out only if it still is the one at this place.
    pub(super) fn take_at(&mut self, name: &Name, place: u64) -> Option<Slot> {
        self.slots.get(name).filter(|slot| slot.place == place)?;
        self.take(name)
    }

    pub(super) fn take_ended(&mut self, now: Duration) -> Leaving {
        let ended: Vec<Name> = self
            .ends
            .range(..=(now, u64::MAX))
            .filter_map(|(_, place)| self.order.get(place).copied())
            .collect();
        Leaving(ended.iter().filter_map(|name| self.take(name)).collect())
    }

    fn take_oldest(&mut self) -> Option<Slot> {
        let name = *self.order.first_key_value()?.1;
        self.take(&name)
    }

    pub(super) fn take_all(&mut self) -> Leaving {
        self.order.clear();
        self.ends.clear();
        Leaving(self.slots.drain().map(|(_, slot)| slot).collect())
    }

    pub(super) fn owner(&self, kind: TypeId) -> Option<u64> {
        self.owners.get(&kind).copied()
    }

    pub(super) fn make_owner(&mut self, kind: TypeId) -> u64 {
        *self.owners.entry(kind).or_insert_with(flight::fresh_owner)
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = u64> {
        self.owners.values().copied()
    }
}
