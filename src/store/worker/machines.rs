//! Changes that other machines made, as a server told them: to keys of memos that may not be open here.

use super::{Worker, request::Reply};
use crate::{clock::Timestamp, flight::FlightKey, key::Digest, store::generation::GenerationId};

impl Worker {
    /// An entry that was created at `unless_since` or later stays, also on its way to the index.
    pub(super) fn remove_of(
        &mut self,
        generation: GenerationId,
        digest: &Digest,
        unless_since: Option<Timestamp>,
        reply: Reply<()>,
    ) {
        let owner = self.ledger.owner_of(generation);
        let pending = owner
            .and_then(|owner| self.directory.pending.get(&FlightKey { owner, digest: *digest.as_bytes() }));
        let is_newer = |since| pending.as_ref().is_some_and(|value| value.lifetime.created >= since);
        if unless_since.is_some_and(is_newer) {
            return drop(reply.send(Ok(())));
        }
        match self.change(|transaction| transaction.remove_of(generation, digest, unless_since)) {
            Ok(false) => drop(reply.send(Ok(()))),
            removed => {
                self.forget_key(owner, digest);
                self.reply_after_flush(reply, removed.map(drop));
            }
        }
    }
}
