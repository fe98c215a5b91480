//! The mounted part of the worker: queue, hand-overs and changes. The loop, the transaction and the disk are
//! stand-ins, with the steps of `src/store/worker/mod.rs`, `transaction.rs` and `eviction.rs` in their order.

#[path = "../../src/store/worker/changes.rs"]
mod changes;
#[path = "../../src/store/worker/hand_overs.rs"]
pub(crate) mod hand_overs;
#[path = "../../src/store/worker/queue.rs"]
pub(crate) mod queue;

use std::{collections::HashMap, sync::Arc};

use self::{
    queue::Queue,
    request::{Computed, Put, Registration, Replaced, Reply, Request},
};
use super::{blob::Finished, forgetting, forgetting::Forgetting, pending::Pending, session::Session};
use crate::{
    error::{Error, ErrorKind, Result},
    key::Digest,
    sync::{Mutex, lock},
};

pub(crate) mod request {
    use std::{mem::size_of, sync::Arc, time::Duration};

    use super::hand_overs::HandOvers;
    use crate::{
        error::{Error, Result},
        flight::{Claim, FlightKey},
        key::Digest,
        store::pending::PendingValue,
    };

    pub(crate) type Reply<T> = shuttle::sync::mpsc::Sender<Result<T>>;

    pub(crate) enum Request {
        Put(Put),
        Remove { memo: Arc<Registration>, digest: Digest, reply: Reply<bool> },
        Clear { memo: Arc<Registration>, reply: Reply<()> },
        Barrier { reply: Reply<()> },
        Close { reply: Reply<()> },
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Adopter;

    pub(crate) struct Registration {
        pub(crate) memo: Arc<str>,
        pub(crate) owner: u64,
        pub(crate) generation: u64,
        pub(crate) hand_overs: HandOvers,
    }

    pub(crate) struct OfVariant;

    pub(crate) struct ListPut {
        pub(crate) key: Digest,
        pub(crate) value: Arc<PendingValue>,
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Replaced {
        pub(crate) value: bool,
        pub(crate) list: bool,
    }

    pub(crate) type KeepInMemory =
        Arc<dyn Fn(&Digest, &PendingValue, Option<&OfVariant>, &Claim<'_>) -> bool + Send + Sync>;

    impl Registration {
        pub(crate) fn flight_key(&self, digest: &Digest) -> FlightKey {
            FlightKey { owner: self.owner, digest: *digest.as_bytes() }
        }

        pub(crate) fn failed(&self, error: &Error) -> Error {
            error.clone()
        }
    }

    pub(crate) struct Put {
        pub(crate) memo: Arc<Registration>,
        pub(crate) digest: Digest,
        pub(crate) value: Arc<PendingValue>,
        pub(crate) computed: Option<Computed>,
        pub(crate) list: Option<Box<ListPut>>,
        pub(crate) reply: Option<Reply<()>>,
    }

    pub(crate) struct Computed {
        pub(crate) claim: Claim<'static>,
        pub(crate) keep_in_memory: KeepInMemory,
    }

    impl Put {
        /// So large that the queue has room for two of them.
        pub(crate) fn queued_bytes(&self) -> u64 {
            4 << 20
        }

        pub(crate) fn has_file(&self) -> bool {
            false
        }

        pub(crate) fn file_bytes(&self) -> u64 {
            0
        }
    }
}

/// Its lock is that of sled's table. Each entry has the sequence of its put.
#[derive(Default)]
pub(crate) struct Disk(Mutex<HashMap<Digest, (u64, u64)>>);

impl Disk {
    pub(crate) fn get(&self, digest: &Digest) -> Option<u64> {
        lock(&self.0).get(digest).map(|(_, value)| *value)
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

#[derive(Default)]
pub(crate) struct Directory {
    pub(crate) disk: Disk,
    pub(crate) queue: Queue,
    pub(crate) pending: Pending,
    pub(crate) hand_overs: hand_overs::HandOvers,
    pub(crate) janitor: Janitor,
    pub(crate) sharing: Sharing,
}

/// No other process uses the directory.
#[derive(Default)]
pub(crate) struct Sharing;

impl Sharing {
    fn raise_key<A>(&self, _: A, _: &Digest) {}

    fn raise_memo<A>(&self, _: A, _: u64) {}

    fn raise_all<A>(&self, _: A) {}
}

#[derive(Default)]
pub(crate) struct Janitor;

impl Janitor {
    pub(crate) fn run(&self, task: impl FnOnce() + Send + 'static) -> bool {
        crate::sync::thread::spawn(task);
        true
    }
}

type Acknowledgement = Box<dyn FnOnce() + Send>;

pub(crate) struct Worker {
    pub(crate) directory: Arc<Directory>,
    pub(crate) session: Arc<Session>,
    /// How many entries the disk may hold.
    pub(crate) bound: usize,
    /// Every change fails, as on a full disk.
    pub(crate) is_full: bool,
    pub(crate) ledger: Ledger,
    acknowledgements: Vec<Acknowledgement>,
    sequence: u64,
}

/// One memo, which is always open.
#[derive(Default)]
pub(crate) struct Ledger;

impl Ledger {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn names_of_memo(&self, name: &str) -> Vec<String> {
        vec![name.to_owned()]
    }

    fn of_name(&self, _: &str) -> Vec<u64> {
        Vec::new()
    }

    fn owners_of(&self, _: &str) -> Vec<u64> {
        Vec::new()
    }

    fn adopt<A, B, C>(&mut self, _: A, _: B, _: C) {}

    fn disown<A, B>(&mut self, _: A, _: B) -> bool {
        false
    }
}

impl Worker {
    pub(crate) fn new(
        directory: &Arc<Directory>,
        session: &Arc<Session>,
        bound: usize,
        is_full: bool,
    ) -> Self {
        let (directory, session) = (Arc::clone(directory), Arc::clone(session));
        let (ledger, acknowledgements) = (Ledger, Vec::new());
        Self { directory, session, bound, is_full, ledger, acknowledgements, sequence: 0 }
    }

    pub(crate) fn work(mut self) {
        let mut was_busy = false;
        loop {
            let round = self.directory.queue.take(true, was_busy, None);
            was_busy = !round.is_empty();
            let close = self.carry_out(round);
            self.acknowledge();
            if let Some(reply) = close {
                self.directory.queue.end();
                self.directory.pending.clear();
                let _ = reply.send(Ok(()));
                return;
            }
        }
    }

    fn carry_out(&mut self, round: Vec<Request>) -> Option<Reply<()>> {
        for request in round {
            match request {
                Request::Put(put) => self.put(put),
                Request::Remove { memo, digest, reply } => self.remove(&memo, &digest, reply),
                Request::Clear { memo, reply } => self.clear_of(memo.generation, Some(memo.owner), reply),
                Request::Barrier { reply } => drop(reply.send(Ok(()))),
                Request::Close { reply } => return Some(reply),
            }
        }
        None
    }

    fn acknowledge(&mut self) {
        self.acknowledgements.drain(..).for_each(|acknowledge| acknowledge());
    }

    fn reply_after_flush<T: Send + 'static>(&mut self, reply: Reply<T>, outcome: Result<T>) {
        self.acknowledgements.push(Box::new(move || drop(reply.send(outcome))));
    }

    fn reply_after_compaction<T: Send + 'static>(&mut self, reply: Reply<T>, outcome: Result<T>) {
        self.reply_after_flush(reply, outcome);
    }

    fn engine(&mut self) -> Result<()> {
        Ok(())
    }

    fn change<T>(&mut self, change: impl FnOnce(&mut Transaction<'_>) -> Result<T>) -> Result<T> {
        if self.is_full {
            return Err(Error::new(ErrorKind::Io, "no space"));
        }
        self.sequence += 1;
        let (directory, session) = (&*self.directory, &*self.session);
        change(&mut Transaction { directory, session, bound: self.bound, sequence: self.sequence })
    }
}

pub(crate) struct Transaction<'a> {
    directory: &'a Directory,
    session: &'a Session,
    bound: usize,
    sequence: u64,
}

impl Transaction<'_> {
    fn memory(&self) -> Forgetting<'_> {
        Forgetting { pending: Some(&self.directory.pending), session: self.session }
    }

    fn put(&mut self, put: &Put) -> Result<Replaced> {
        if let Finished::Inline(payload) = &put.value.payload {
            let value = u64::from_le_bytes(payload.as_slice().try_into().unwrap());
            lock(&self.directory.disk.0).insert(put.digest, (self.sequence, value));
        }
        while self.directory.disk.len() > self.bound {
            self.expel(put.memo.owner);
        }
        Ok(Replaced { value: false, list: false })
    }

    fn expel(&self, owner: u64) {
        let mut disk = lock(&self.directory.disk.0);
        let oldest = disk.iter().min_by_key(|(_, (sequence, _))| *sequence).map(|(digest, _)| *digest);
        let Some(digest) = oldest else { return };
        disk.remove(&digest);
        drop(disk);
        forgetting::revoke(Some(owner), &digest);
        self.memory().forget_pending(Some(owner), &digest);
        self.memory().forget(Some(owner), &digest);
    }

    fn remove(&mut self, _: &Registration, digest: &Digest) -> Result<bool> {
        Ok(lock(&self.directory.disk.0).remove(digest).is_some())
    }

    fn clear(&mut self, _: u64) -> Result<()> {
        lock(&self.directory.disk.0).clear();
        Ok(())
    }

    fn forget(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn adopted<A, B>(&mut self, _: A, _: B) -> Result<()> {
        Ok(())
    }

    fn touch<A>(&mut self, _: A) -> Result<()> {
        Ok(())
    }
}
