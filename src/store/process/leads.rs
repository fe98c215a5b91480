//! What this process leads at its host: told again to the next one.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    calls,
    link::{Link, Lost},
};
use crate::{
    flight::{Outcome, RemoteClaim, RemoteNumber},
    key::Digest,
    store::worker::Registration,
    sync::{Mutex, lock},
};

#[derive(Default)]
pub(super) struct Leads {
    last: AtomicU64,
    entries: Mutex<HashMap<u64, Lead>>,
    /// The connection of today.
    link: Mutex<Weak<Link>>,
}

pub(super) struct Lead {
    pub(super) memo: Arc<Registration>,
    pub(super) digest: Digest,
    pub(super) caller: u64,
    /// Whether there is a stale record.
    pub(super) is_refresh: bool,
    /// The claim at the host of today.
    pub(super) number: RemoteNumber,
}

impl Leads {
    /// From here on a lead is told to each new host, until its handle ends.
    pub(super) fn note(self: &Arc<Self>, lead: Lead) -> Box<dyn RemoteClaim> {
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        lock(&self.entries).insert(id, lead);
        Box::new(Handle { leads: Arc::clone(self), id })
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.entries).is_empty()
    }

    pub(super) fn link(&self) -> Option<Arc<Link>> {
        lock(&self.link).upgrade()
    }

    /// Gives each lead the number that `declare` had from a new host, over this connection. A lead that ends meanwhile ends there.
    pub(super) fn renumber(
        &self,
        link: &Arc<Link>,
        mut declare: impl FnMut(&Lead) -> Result<RemoteNumber, Lost>,
    ) -> Result<(), Lost> {
        let mut entries = lock(&self.entries);
        *lock(&self.link) = Arc::downgrade(link);
        for lead in entries.values_mut() {
            lead.number = declare(lead)?;
        }
        Ok(())
    }
}

/// A lead that this process holds at its host.
struct Handle {
    leads: Arc<Leads>,
    /// Of the lead among these.
    id: u64,
}

impl RemoteClaim for Handle {
    fn end(self: Box<Self>, outcome: Option<Outcome>) {
        let Some(lead) = lock(&self.leads.entries).remove(&self.id) else { return };
        let link = self.leads.link().filter(|link| link.id == lead.number.connection && !link.is_lost());
        if let Some(link) = link {
            let _ = link.tell(&calls::end(lead.number.claim, outcome));
        }
    }

    fn number(&self) -> Option<RemoteNumber> {
        lock(&self.leads.entries).get(&self.id).map(|lead| lead.number)
    }

    fn surrender(self: Box<Self>) {
        lock(&self.leads.entries).remove(&self.id);
    }
}
