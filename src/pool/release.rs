//! Drops resources, and contains failures of user code.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{events::PoolEvents, order::Removed, resource::Resource, slots::Slot};
use crate::error::{Error, Result};

impl PoolEvents {
    /// Runs user code. If it fails or panics, the failure is counted, kept and told, and the result is `None`.
    #[inline]
    pub(super) fn contain<T>(
        &self,
        what: &str,
        kind: &'static str,
        call: impl FnOnce() -> Result<T>,
    ) -> Option<T> {
        let error = match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(result)) => return Some(result),
            Ok(Err(error)) => error,
            Err(panic) => Error::panicked(what, panic),
        };
        self.failed(kind, error);
        None
    }

    /// Drops resources in their order, and contains panics of their `Drop`. The caller holds no lock.
    pub(super) fn drop_all(&self, removed: impl IntoIterator<Item = Resource>) {
        for Resource { object, kind } in removed {
            self.contain("the `Drop`", kind, move || {
                drop(object);
                Ok(())
            });
        }
    }

    /// Drops resources in the order in which they were put in, and tells why they were removed.
    pub(super) fn release(&self, Removed { expired, evicted }: Removed) {
        let (of_expired, of_evicted) = (kinds(&expired), kinds(&evicted));
        let mut removed: Vec<Slot> = expired.into_iter().chain(evicted).collect();
        removed.sort_unstable_by_key(|slot| slot.place);
        self.drop_all(removed.into_iter().map(|slot| slot.resource));
        self.expired(&of_expired);
        self.evicted(&of_evicted);
    }

    pub(super) fn release_expired(&self, expired: Vec<Slot>) {
        self.release(Removed { expired, evicted: Vec::new() });
    }
}

/// The types of resources.
fn kinds(slots: &[Slot]) -> Vec<&'static str> {
    slots.iter().map(|slot| slot.resource.kind).collect()
}
