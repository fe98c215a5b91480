//! What a change does to memory, after the disk and in this order: it revokes the claims of the key, then memory tier and
//! pending values forget the key. It happens whatever becomes of the disk.

use crate::{
    flight::{FlightKey, flight},
    key::Digest,
    store::{pending::Pending, session::Session},
};

#[derive(Clone, Copy)]
pub(super) struct Forgetting<'a> {
    /// `None` in a store without a directory.
    pub(super) pending: Option<&'a Pending>,
    pub(super) session: &'a Session,
}

impl Forgetting<'_> {
    /// Of a key that was removed or replaced by its user.
    pub(super) fn forget_key(self, owner: u64, digest: &Digest) {
        revoke(Some(owner), digest);
        self.forget(Some(owner), digest);
        self.forget_pending(Some(owner), digest);
    }

    /// Of a memo that was cleared.
    pub(super) fn forget_owner(self, owner: u64) {
        flight().revoke_owner(owner);
        self.session.leave(self.session.memory.remove_owner(owner));
        if let Some(pending) = self.pending {
            pending.remove_owner(owner);
        }
    }

    pub(super) fn forget(self, owner: Option<u64>, digest: &Digest) {
        if let Some(owner) = owner {
            self.session.leave(self.session.memory.remove(owner, digest));
        }
    }

    pub(super) fn forget_pending(self, owner: Option<u64>, digest: &Digest) {
        if let (Some(owner), Some(pending)) = (owner, self.pending) {
            pending.remove(&flight_key(owner, digest));
        }
    }
}

/// Ends every claim on the key: readers and computations that began before can publish nothing any more.
pub(super) fn revoke(owner: Option<u64>, digest: &Digest) {
    if let Some(owner) = owner {
        flight().revoke(&flight_key(owner, digest), None);
    }
}

fn flight_key(owner: u64, digest: &Digest) -> FlightKey {
    FlightKey { owner, digest: *digest.as_bytes() }
}
