//! The maintenance thread, one a store: it flushes, unlinks, recounts after an unclean end, and closes.
//!
//! Whoever needs a flush waits for this thread, and not for ever: a flush of sled that never returns (it does so after
//! a failed write of a large value) takes this thread with it, and the engine out of service, and nothing else.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::Deadline,
    error::{Error, Kind, Result},
    record::BlobId,
    store::{
        blob::{self, Head},
        core::Core,
        ledger::GenerationId,
        lifecycle,
        order::Tally,
    },
    sync::{Condvar, Mutex, MutexGuard, PoisonError, lock, thread},
};

/// What was computed quickly is flushed at the next tick; a crash loses no more than that.
const TICK: Duration = Duration::from_millis(200);

/// How long a flush is waited for.
const FLUSH: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct Maintenance {
    orders: Mutex<Orders>,
    /// There is something to do.
    called: Condvar,
    /// A flush or the close came to its end.
    answered: Condvar,
    /// Whether something was written since the last tick; saves the writers the lock.
    stirred: AtomicBool,
}

/// What the thread was asked for.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "a list of orders, each given or not")]
struct Orders {
    /// Who does the work.
    worker: Option<thread::ThreadId>,
    /// Whether there is a thread; without one everything is done on the thread of the caller.
    running: bool,
    stirred: bool,
    unlink: bool,
    recover: bool,
    /// How many flushes were asked for, and how many of these were answered.
    flushes: (u64, u64),
    /// What the last flush came to.
    flushed: Option<Error>,
    close: bool,
    closed: Option<Result<()>>,
}

impl Orders {
    fn is_idle(&self) -> bool {
        !self.stirred && !self.unlink && !self.recover && !self.close && self.flushes.0 == self.flushes.1
    }
}

impl Maintenance {
    /// Without a thread to be had, callers do the work themselves.
    pub(crate) fn start(core: &Arc<Core>) {
        let worker = Arc::clone(core);
        lock(&core.maintenance.orders).running = true;
        let spawned =
            thread::Builder::new().name("memolith".into()).spawn(move || worker.maintenance.work(&worker));
        if let Err(cause) = spawned {
            lock(&core.maintenance.orders).running = false;
            core.failed(&Error::io("starting the maintenance thread", cause));
        }
    }

    /// Something was written: it is flushed at the next tick.
    pub(crate) fn stir(&self) {
        if !self.stirred.swap(true, Ordering::AcqRel) {
            self.call(|orders| orders.stirred = true);
        }
    }

    /// There is something to unlink.
    pub(crate) fn unlink(&self) {
        self.call(|orders| orders.unlink = true);
    }

    /// Accounts and blobs want looking after: after an unclean end, or a new index.
    pub(crate) fn recover(&self) {
        self.call(|orders| orders.recover = true);
    }

    fn call(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut lock(&self.orders));
        self.called.notify_one();
    }

    /// Flushes, and waits for it for at most 5 s. Callers that come together share one flush.
    pub(crate) fn flush(&self, core: &Core) -> Result<()> {
        let mut orders = lock(&self.orders);
        if !orders.running {
            drop(orders);
            return core.flush_now();
        }
        orders.flushes.0 += 1;
        let ticket = orders.flushes.0;
        self.called.notify_one();
        let deadline = Deadline::after(FLUSH);
        while orders.flushes.1 < ticket {
            orders = match self.wait_for_answer(orders, deadline) {
                Ok(orders) => orders,
                Err(error) => {
                    core.condemn(&error);
                    return Err(error);
                }
            };
        }
        orders.flushed.clone().map_or(Ok(()), Err)
    }

    /// Whether long work had better end: the store is closing.
    pub(crate) fn is_closing(&self) -> bool {
        lock(&self.orders).close
    }

    fn wait_for_answer<'a>(
        &self,
        orders: MutexGuard<'a, Orders>,
        deadline: Deadline,
    ) -> Result<MutexGuard<'a, Orders>> {
        let Some(left) = deadline.remaining() else {
            return Err(Error::new(Kind::Engine, "the storage engine did not answer in time"));
        };
        let waited = self.answered.wait_timeout(orders, left).unwrap_or_else(PoisonError::into_inner);
        Ok(waited.0)
    }

    /// Asks for the close without waiting for it.
    pub(crate) fn begin_close(&self) {
        self.call(|orders| orders.close = orders.running);
    }

    /// Closes the store and waits for it for at most `patience`. Closing again is answered with the first outcome.
    pub(crate) fn close(&self, core: &Core, patience: Duration) -> Result<()> {
        let mut orders = lock(&self.orders);
        if !orders.running && orders.closed.is_none() {
            orders.closed = Some(Ok(()));
            drop(orders);
            return lifecycle::shut(core);
        }
        orders.close = true;
        self.called.notify_one();
        if orders.worker == Some(thread::current().id()) {
            // The last handle went with a value that this thread dropped: it closes when it is done with that.
            return Ok(());
        }
        let deadline = Deadline::after(patience);
        loop {
            if let Some(closed) = &orders.closed {
                return closed.clone();
            }
            orders = self.wait_for_answer(orders, deadline)?;
        }
    }

    fn work(&self, core: &Core) {
        lock(&self.orders).worker = Some(thread::current().id());
        loop {
            let orders = self.next();
            if orders.flush {
                self.answer_flushes(core, orders.ticket);
            }
            if orders.unlink {
                core.take_rubbish().iter().for_each(|retired| blob::unlink(retired));
            }
            if orders.close {
                let closed = lifecycle::shut(core);
                if let Err(error) = &closed {
                    core.failed(error);
                }
                let mut orders = lock(&self.orders);
                orders.closed = Some(closed);
                orders.running = false;
                orders.flushes.1 = orders.flushes.0;
                self.answered.notify_all();
                return;
            }
            if orders.recover {
                recover(core);
            }
        }
    }

    /// Waits for something to do. A tick after the first write comes the flush, unless somebody wants it sooner.
    fn next(&self) -> Work {
        let mut orders = lock(&self.orders);
        while orders.is_idle() {
            orders = self.called.wait(orders).unwrap_or_else(PoisonError::into_inner);
        }
        let deadline = Deadline::after(TICK);
        while orders.stirred
            && !orders.close
            && !orders.unlink
            && !orders.recover
            && orders.flushes.0 == orders.flushes.1
        {
            let Some(left) = deadline.remaining() else { break };
            orders = self.called.wait_timeout(orders, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let ticked = orders.stirred && deadline.remaining().is_none();
        let flush = ticked || orders.flushes.0 > orders.flushes.1;
        if flush {
            orders.stirred = false;
            self.stirred.store(false, Ordering::Release);
        }
        Work {
            flush,
            ticket: orders.flushes.0,
            unlink: std::mem::take(&mut orders.unlink),
            recover: std::mem::take(&mut orders.recover),
            close: orders.close,
        }
    }

    fn answer_flushes(&self, core: &Core, ticket: u64) {
        let flushed = core.flush_now().err().filter(|error| error.kind() != Kind::Closed);
        if let Some(error) = &flushed {
            core.failed(error);
        }
        let mut orders = lock(&self.orders);
        orders.flushes.1 = ticket;
        orders.flushed = flushed;
        self.answered.notify_all();
    }
}

/// One round of the thread.
#[expect(clippy::struct_excessive_bools, reason = "a list of orders, each given or not")]
struct Work {
    flush: bool,
    /// The last flush that this round answers.
    ticket: u64,
    unlink: bool,
    recover: bool,
    close: bool,
}

/// Counts what an unclean end left uncounted, evicts what is over a bound, and retires blobs that nobody knows.
fn recover(core: &Core) {
    if let Err(error) = recount(core).and_then(|()| retire_orphans(core).map(|_| ())) {
        core.failed(&error);
    }
}

fn recount(core: &Core) -> Result<()> {
    let generations: Vec<(GenerationId, String)> = {
        let writer = core.writer();
        writer.ledger().of_name(None).map(|(id, found)| (id, found.row.name.clone())).collect()
    };
    for (id, name) in generations {
        while !core.maintenance.is_closing() && core.writer().recount(id)? {}
        let mut writer = core.writer();
        let evicted = writer.evict(Some(&name)).and_then(|()| writer.evict(None));
        writer.finish();
        evicted?;
    }
    Ok(())
}

/// Drops the generations that another one took the place of.
pub(crate) fn drop_retired(core: &Core, name: Option<&str>) -> Result<Tally> {
    let mut dropped = Tally::default();
    let mut writer = core.writer();
    let retired = writer.ledger().retired(name);
    let outcome =
        retired.into_iter().try_for_each(|id| writer.drop_generation(id).map(|tally| dropped.add(tally)));
    writer.finish();
    outcome.map(|()| dropped)
}

/// Takes what has expired out of every generation, a stretch at a time so that others get their turn.
pub(crate) fn drop_expired(core: &Core) -> Result<Tally> {
    let mut dropped = Tally::default();
    let generations: Vec<GenerationId> = core.writer().ledger().of_name(None).map(|(id, _)| id).collect();
    for id in generations {
        let mut after = None;
        loop {
            let mut writer = core.writer();
            let swept = writer.sweep(id, after, &mut dropped);
            writer.finish();
            after = swept?;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(dropped)
}

/// Moves every blob that no record means out of sight: what a crash left between a blob's name and its record, and what
/// an index that was given up knew.
pub(crate) fn retire_orphans(core: &Core) -> Result<Tally> {
    let mut retired = Tally::default();
    let Some(blobs) = core.path("blobs") else { return Ok(retired) };
    for folder in
        fs::read_dir(&blobs).into_iter().flatten().flatten().filter(|folder| blob::is_ours(&folder.path()))
    {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            if core.maintenance.is_closing() {
                return Ok(retired);
            }
            if let Some(bytes) = retire_orphan(core, &file.path())? {
                retired.add(Tally { entries: 1, bytes });
            }
        }
        // Only an empty one goes.
        let _ = fs::remove_dir(folder.path());
    }
    Ok(retired)
}

/// The size of the file, if it was one that nobody knows.
fn retire_orphan(core: &Core, path: &Path) -> Result<Option<u64>> {
    let (Some(id), Some(trash)) = (id_of(path), core.trash()) else { return Ok(None) };
    let head = Head::read(path);
    let mut writer = core.writer();
    let known = match &head {
        Ok(head) => writer.owns_blob(head, id)?,
        Err(error) if error.is_corrupt() => false,
        // Gone meanwhile, or not to be read: not ours to judge.
        Err(_) => true,
    };
    if known {
        return Ok(None);
    }
    let size = fs::metadata(path).map_or(0, |found| found.len());
    core.discard(blob::retire(path, &trash)?);
    Ok(Some(size))
}

fn id_of(path: &Path) -> Option<BlobId> {
    let name = path.file_name()?.to_str().filter(|name| name.len() == 32)?;
    let mut id = [0; 16];
    for (index, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(name.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(BlobId(id))
}
