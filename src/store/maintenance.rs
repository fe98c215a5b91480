//! The maintenance threads of a store: one flushes and closes, one tidies up.
//!
//! Whoever needs a flush waits for the first, and not for ever: a flush of sled that never returns (it does so after
//! a failed write of a large value) takes that thread with it, and the engine out of service, and nothing
//! else. What may take long is on the second, so that no flush ever waits behind it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::Deadline,
    error::{Error, Kind, Result},
    store::{
        chores, compaction, core::Core, engine::unanswered, flushes::Flushes, lifecycle, patience::Patience,
        watch,
    },
    sync::{Condvar, Mutex, PoisonError, lock, thread},
};

/// What was computed quickly is flushed at the next tick; a crash loses no more than that.
const TICK: Duration = Duration::from_millis(200);

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
    /// Whether there is a thread that tidies up.
    tidying: bool,
    /// Whether there is a thread; without one everything is done on the thread of the caller.
    running: bool,
    /// Since when something waits for the tick.
    stirred: Option<Deadline>,
    unlink: bool,
    recover: bool,
    verify: bool,
    compact: bool,
    flushes: Flushes,
    /// Whose maintenance this is: a thread that hangs in the engine is replaced.
    core: Weak<Core>,
    close: bool,
    /// Whether somebody is at the close itself, which only ever one may be: it ends with letting go of the directory.
    shutting: bool,
    closed: Option<Result<()>>,
    /// Whether somebody has waited for the close in vain: nobody waits for it again.
    unclosed: bool,
}

impl Orders {
    fn is_by_this_thread(&self) -> bool {
        self.worker == Some(thread::current().id())
    }

    /// Whether there is work for the tidying thread.
    fn has_chores(&self) -> bool {
        self.unlink || self.recover || self.verify || self.compact
    }

    fn is_idle(&self) -> bool {
        self.stirred.is_none() && !self.close && self.flushes.is_idle()
    }
}

impl Maintenance {
    /// Without a thread to be had, callers do the work themselves.
    pub(crate) fn start(core: &Arc<Core>) {
        lock(&core.maintenance.orders).core = Arc::downgrade(core);
        watch::over(core);
        Self::start_worker(core);
        let tidier = Arc::clone(core);
        let spawned = thread::Builder::new()
            .name("memolith-tidy".into())
            .spawn(move || tidier.maintenance.tidy(&tidier));
        lock(&core.maintenance.orders).tidying = spawned.is_ok();
        if let Err(cause) = spawned {
            // What lies about is found by the next open.
            core.note(&Error::io("starting the tidying thread", cause));
        }
    }

    fn start_worker(core: &Arc<Core>) {
        let mut orders = lock(&core.maintenance.orders);
        if orders.shutting {
            return;
        }
        let worker = Arc::clone(core);
        match thread::Builder::new().name("memolith".into()).spawn(move || worker.maintenance.work(&worker)) {
            Ok(worker) => {
                orders.worker = Some(worker.thread().id());
                orders.running = true;
            }
            Err(cause) => {
                orders.running = false;
                drop(orders);
                core.note(&Error::io("starting the maintenance thread", cause));
            }
        }
    }

    /// The worker hangs, in the engine or in an observer: another one takes its place.
    fn replace_worker(&self) {
        if let Some(core) = self.core() {
            Self::start_worker(&core);
        }
    }

    /// Whose maintenance this is.
    pub(super) fn core(&self) -> Option<Arc<Core>> {
        lock(&self.orders).core.upgrade()
    }

    fn is_worker(&self) -> bool {
        lock(&self.orders).is_by_this_thread()
    }

    /// Something was written: it is flushed at the next tick.
    pub(crate) fn stir(&self) {
        if !self.stirred.swap(true, Ordering::AcqRel) {
            self.call(|orders| orders.stirred = Some(Deadline::after(TICK)));
        }
    }

    /// There is something to unlink.
    pub(crate) fn unlink(&self) {
        self.call(|orders| orders.unlink = true);
    }

    /// Accounts and blobs want looking after.
    pub(super) fn recover(&self) {
        self.call(|orders| orders.recover = true);
    }

    /// Payloads were handed out that are not verified yet. `false` when there is no thread to do it.
    pub(crate) fn verify(&self) -> bool {
        self.call(|orders| orders.verify = true);
        lock(&self.orders).tidying
    }

    fn call(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut lock(&self.orders));
        self.called.notify_all();
    }

    /// Flushes, and waits for it as long as there is patience: past that the engine that the flush hangs in is out of service.
    /// Callers that come together share one flush.
    pub(super) fn flush(&self, core: &Core) -> Result<()> {
        let mut orders = lock(&self.orders);
        // An observer, or the drop of a value, may call from this very thread: it cannot wait for itself.
        if !orders.running || orders.is_by_this_thread() {
            drop(orders);
            return core.flush_now();
        }
        let ticket = orders.flushes.draw();
        self.called.notify_all();
        let mut patience = core.manner.patience.slices;
        while orders.flushes.answered < ticket {
            let (again, waited) =
                self.answered.wait_timeout(orders, Patience::SLICE).unwrap_or_else(PoisonError::into_inner);
            orders = again;
            patience -= u32::from(waited.timed_out());
            if patience == 0 && orders.flushes.answered < ticket {
                let error = unanswered();
                // Whoever else waits for it waits no longer.
                let last = orders.flushes.asked;
                orders.flushes.answer(last, Some(&error));
                let hangs = orders.flushes.engine.take().map(|(_, engine)| engine);
                let outcome = orders.flushes.outcome(ticket);
                drop(orders);
                self.answered.notify_all();
                core.suspend(hangs.as_ref(), &error);
                self.replace_worker();
                core.failed(&error);
                return outcome;
            }
        }
        orders.flushes.outcome(ticket)
    }

    /// Whether long work had better end: the store is closing.
    pub(crate) fn is_closing(&self) -> bool {
        lock(&self.orders).close
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
            orders.close = true;
            drop(orders);
            return lifecycle::shut(core).map(drop);
        }
        orders.close = true;
        self.called.notify_all();
        if orders.is_by_this_thread() {
            // The last handle went with a value that this thread dropped: it closes when it is done with that.
            return Ok(());
        }
        let (mut left, mut silent) = (Patience::of(patience).slices, 0);
        loop {
            if let Some(closed) = &orders.closed {
                return closed.clone();
            }
            if left == 0 || orders.unclosed {
                orders.unclosed = true;
                return Err(unanswered());
            }
            let flushing = orders.flushes.engine.is_some() && !orders.shutting;
            let waited =
                self.answered.wait_timeout(orders, Patience::SLICE).unwrap_or_else(PoisonError::into_inner);
            orders = waited.0;
            left -= u32::from(waited.1.timed_out());
            silent = if flushing { silent + u32::from(waited.1.timed_out()) } else { 0 };
            if silent == core.manner.patience.slices
                && let Some((_, hangs)) = orders.flushes.engine.take()
            {
                drop(orders);
                // Nobody waited for that flush, so nobody has given up on it: the close would never begin.
                core.suspend(Some(&hangs), &unanswered());
                self.replace_worker();
                orders = lock(&self.orders);
            }
        }
    }

    fn work(&self, core: &Core) {
        while self.is_worker() {
            let orders = self.next();
            if orders.flush {
                self.answer_flushes(core, orders.ticket);
            }
            if orders.close {
                return self.shut(core);
            }
        }
    }

    /// The close itself, by the first worker that comes to it.
    fn shut(&self, core: &Core) {
        let mut orders = lock(&self.orders);
        if !orders.is_by_this_thread() || std::mem::replace(&mut orders.shutting, true) {
            return;
        }
        drop(orders);
        let shut = catch_unwind(AssertUnwindSafe(|| lifecycle::shut(core))).unwrap_or_else(|panic| {
            // Whatever was left undone: the directory is free.
            lock(&core.lock_file).take();
            Err(Error::panicked("the close of the store", panic).with_kind(Kind::Engine))
        });
        if let Err(error) = &shut {
            core.note(error);
        }
        // A store that was not flushed, because its engine rested, is closed all right, but what was written is not safe.
        let unflushed = match &shut {
            Ok(true) => None,
            Ok(false) => {
                Some(Error::new(Kind::Closed, "the store was closed while its engine was out of service"))
            }
            Err(error) => Some(error.clone()),
        };
        let mut orders = lock(&self.orders);
        let last = orders.flushes.asked;
        orders.flushes.answer(last, unflushed.as_ref());
        orders.closed = Some(shut.map(drop));
        orders.running = false;
        drop(orders);
        self.answered.notify_all();
        core.tell_noted();
    }

    /// What may take long, on a thread of its own: nobody waits for it, and a flush must not wait behind it.
    fn tidy(&self, core: &Core) {
        loop {
            let mut orders = lock(&self.orders);
            while !orders.has_chores() && !orders.close {
                orders = self.called.wait(orders).unwrap_or_else(PoisonError::into_inner);
            }
            if orders.close {
                return;
            }
            let unlink = std::mem::take(&mut orders.unlink);
            let recovers = std::mem::take(&mut orders.recover);
            let verifies = std::mem::take(&mut orders.verify);
            let compacts = std::mem::take(&mut orders.compact);
            drop(orders);
            core.bury_free_engines();
            core.unname_condemned();
            if unlink {
                core.unlink_rubbish();
            }
            if recovers {
                chores::recover(core);
            }
            if verifies {
                core.verify_waiting();
            }
            if compacts {
                chores::compact_when_due(core);
            }
        }
    }

    /// Waits for something to do. A tick after the first write comes the flush, unless somebody wants it sooner.
    fn next(&self) -> Work {
        let mut orders = lock(&self.orders);
        while orders.is_idle() {
            orders = self.called.wait(orders).unwrap_or_else(PoisonError::into_inner);
        }
        while let Some(left) = orders.stirred.and_then(Deadline::remaining)
            && !orders.close
            && orders.flushes.is_idle()
        {
            orders = self.called.wait_timeout(orders, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        // The tick is counted from the first write: other work in between does not put it off.
        let ticked = orders.stirred.is_some_and(|deadline| deadline.remaining().is_none());
        let flush = ticked || !orders.flushes.is_idle();
        if flush {
            orders.stirred = None;
            self.stirred.store(false, Ordering::Release);
        }
        Work { flush, ticket: orders.flushes.asked, close: orders.close }
    }

    fn answer_flushes(&self, core: &Core, ticket: u64) {
        let failure = self.flush_watched(core).err();
        // Before anybody is told: an observer may take its time.
        let mut orders = lock(&self.orders);
        if !orders.is_by_this_thread() {
            return;
        }
        orders.flushes.answer(ticket, failure.as_ref());
        drop(orders);
        self.answered.notify_all();
        match &failure {
            Some(error) if error.kind() != Kind::Closed => core.failed(error),
            None if core.unrecovered.swap(false, Ordering::AcqRel) => core.recover(),
            None if compaction::is_due(core) => self.call(|orders| orders.compact = true),
            _ => {}
        }
    }

    /// So that whoever waits in vain knows which engine hangs, and that it is the engine.
    fn flush_watched(&self, core: &Core) -> Result<()> {
        let engine = core.engine()?;
        let this = thread::current().id();
        lock(&self.orders).flushes.engine = Some((this, Arc::downgrade(&engine)));
        let flushed = core.flush_engine_now(&engine);
        drop(engine);
        // It may have been given up, and come back all the same.
        core.has_answered();
        let mut orders = lock(&self.orders);
        orders.flushes.engine.take_if(|(by, _)| *by == this);
        flushed
    }
}

/// One round of the thread.
struct Work {
    flush: bool,
    /// The last flush that this round answers.
    ticket: u64,
    close: bool,
}
