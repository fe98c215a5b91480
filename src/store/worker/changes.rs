//! The requests that change something, one by one: the disk first, then memory, whatever becomes of the disk, then the
//! reply.

use std::sync::Arc;

use super::{
    Worker,
    request::{Adopter, Computed, Put, Registration, Replaced, Reply},
};
use crate::{
    error::Result,
    flight::FlightKey,
    key::Digest,
    store::{
        forgetting::Forgetting,
        generation::{Bounds, CatalogRow, GenerationId},
        pending::{Pending, PendingValue},
        session::Untold,
    },
};

/// A value on its way to the index, and the list that names it.
struct OnTheWay(Vec<(FlightKey, Arc<PendingValue>)>);

impl OnTheWay {
    fn of(put: &Put) -> Self {
        let list = put.list.as_ref().map(|list| (&list.key, &list.value));
        let both = [(&put.digest, &put.value)].into_iter().chain(list);
        Self(both.map(|(key, value)| (put.memo.flight_key(key), Arc::clone(value))).collect())
    }

    /// The records are in, or the value is kept elsewhere.
    fn take_out(self, pending: &Pending) {
        self.0.iter().for_each(|(key, value)| pending.take(*key, value));
    }
}

impl Worker {
    pub(super) fn put(&mut self, put: Put) {
        if put.computed.as_ref().is_some_and(|computed| !computed.claim.is_current()) {
            // A change came in between: the value is no longer wanted. To unlink a large draft takes long.
            let draft = put.has_file().then(|| Arc::clone(&put.value));
            self.finish_put(put, Ok(()));
            self.directory.janitor.run(move || drop(draft));
            return;
        }
        let replaced = self.change(|transaction| transaction.put(&put));
        if put.computed.is_none() {
            // A computed value revokes nothing: a value that is handed over meanwhile is newer.
            self.forget_key(Some(put.memo.owner), &put.digest);
        } else {
            let Replaced { value, list } =
                *replaced.as_ref().unwrap_or(&Replaced { value: true, list: true });
            let keys =
                [value.then_some(&put.digest), put.list.as_ref().filter(|_| list).map(|list| &list.key)];
            keys.into_iter().flatten().for_each(|key| self.directory.sharing.raise_key(&self.session, key));
        }
        self.finish_put(put, replaced.map(drop));
    }

    fn finish_put(&mut self, mut put: Put, outcome: Result<()>) {
        let reply = put.reply.take();
        if put.computed.is_some() {
            put.memo.hand_overs.end();
            self.directory.hand_overs.end();
        }
        match &outcome {
            Ok(()) => OnTheWay::of(&put).take_out(&self.directory.pending),
            Err(error) => {
                if reply.is_none() {
                    let error = put.memo.failed(error);
                    self.session.note(Untold::MemoFailed(Arc::clone(&put.memo.memo), error));
                }
                self.keep_in_memory(put);
            }
        }
        if let Some(reply) = reply {
            self.reply_after_flush(reply, outcome);
        }
    }

    /// A computed value that could not be stored goes into the memory tier, which runs code of the user.
    fn keep_in_memory(&self, put: Put) {
        let [kept, unkept] = [OnTheWay::of(&put), OnTheWay::of(&put)];
        let directory = Arc::clone(&self.directory);
        let keep = move || {
            if let Some(Computed { claim, keep_in_memory, .. }) = &put.computed {
                keep_in_memory(&put.digest, &put.value, None, claim);
                if let Some(list) = &put.list {
                    keep_in_memory(&list.key, &list.value, None, claim);
                }
            }
            kept.take_out(&directory.pending);
        };
        if !self.directory.janitor.run(keep) {
            unkept.take_out(&self.directory.pending);
        }
    }

    pub(super) fn remove(&mut self, memo: &Registration, digest: &Digest, reply: Reply<bool>) {
        let removed = self.change(|transaction| transaction.remove(memo, digest));
        self.forget_key(Some(memo.owner), digest);
        self.reply_after_flush(reply, removed);
    }

    /// The owner is that of the memo that has the generation open.
    pub(super) fn clear_of(&mut self, generation: GenerationId, owner: Option<u64>, reply: Reply<()>) {
        let cleared = self.change(|transaction| transaction.clear(generation));
        self.directory.sharing.raise_memo(&self.session, generation);
        if let Some(owner) = owner {
            self.forgetting().forget_owner(owner);
        }
        self.directory.sharing.raise_memo(&self.session, generation);
        self.reply_after_flush(reply, cleared);
    }

    /// Of one memo, or of all.
    pub(super) fn forget(&mut self, name: Option<String>, reply: Reply<bool>) {
        let is_all = name.is_none();
        let names = name.map_or_else(|| self.ledger.names(), |name| self.ledger.names_of_memo(&name));
        let is_known = !names.is_empty();
        let ids: Vec<_> = names.iter().flat_map(|name| self.ledger.of_name(name)).collect();
        let forgotten = self.change(|transaction| {
            let each = names.iter().map(|name| transaction.forget(name));
            each.fold(Ok(()), Result::and)
        });
        let raise = || {
            if is_all {
                // Also of memos that a process opened while it reached no host.
                self.directory.sharing.raise_all(&self.session);
            } else {
                for id in &ids {
                    self.directory.sharing.raise_memo(&self.session, *id);
                }
            }
        };
        raise();
        for owner in names.iter().flat_map(|name| self.ledger.owners_of(name)) {
            self.forgetting().forget_owner(owner);
        }
        raise();
        let forgotten = forgotten.map(|()| is_known);
        if is_all {
            self.reply_after_compaction(reply, forgotten);
        } else {
            self.reply_after_flush(reply, forgotten);
        }
    }

    pub(super) fn adopt(
        &mut self,
        memo: &Arc<Registration>,
        row: &CatalogRow,
        bounds: (Adopter, Bounds),
        reply: Reply<()>,
    ) {
        // The ledger of the index that is in service from here on.
        let unopened = self.engine().err();
        self.ledger.adopt(memo, row, bounds);
        let adopted = || self.change(|transaction| transaction.adopted(memo.generation, row));
        let adopted = unopened.map_or_else(adopted, Err);
        drop(reply.send(adopted));
    }

    pub(super) fn disown(&mut self, memo: &Registration, adopter: Adopter) {
        if self.ledger.disown(memo, adopter) {
            let _ = self.change(|transaction| transaction.touch(memo.generation));
        }
    }

    /// Memory, pending values and claims forget a key, and other processes see it. The word is raised before that, for a value
    /// of a guest that is published meanwhile, and after it, for a guest that read a pending value meanwhile.
    pub(super) fn forget_key(&self, owner: Option<u64>, digest: &Digest) {
        self.directory.sharing.raise_key(&self.session, digest);
        if let Some(owner) = owner {
            self.forgetting().forget_key(owner, digest);
        }
        self.directory.sharing.raise_key(&self.session, digest);
    }

    fn forgetting(&self) -> Forgetting<'_> {
        Forgetting { pending: Some(&self.directory.pending), session: &self.session }
    }
}
