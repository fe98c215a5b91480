//! The engine in its slot: in service, resting after a failure, brought back, taken away.
//!
//! After a refusal of the operating system it is opened again when its rest is over; a damaged index never is; what becomes of
//! one that does not answer is in `silence`.
//! What is told of an engine late never hits the one that came in its place.

use std::{
    sync::{
        Arc, PoisonError, TryLockError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::Stopwatch,
    error::{Error, Kind, Result},
    store::{
        aside,
        core::Core,
        engine::{Engine, Health, unanswered},
        lifecycle,
        manifest::{self, Manifest},
    },
    sync::lock,
};

/// The first pause after the engine failed; it doubles up to [`LONGEST_REST`].
pub(super) const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Where the engine is when it runs.
pub(super) enum Slot {
    Running(Arc<Engine>),
    Resting(Rest),
    Closed,
}

/// Why the engine is out of service, and when it is tried again.
pub(super) struct Rest {
    error: Error,
    /// The engine that failed; none when none could be brought up.
    pub(super) engine: Weak<Engine>,
    pub(super) since: Stopwatch,
    pub(super) pause: Duration,
    /// For how long it has not answered, if that is why. The time for which the whole process was stopped hardly counts.
    pub(super) silent: Option<Duration>,
    /// Whether it was given things to write that it has not made to stay.
    dirty: bool,
    /// Whether the ledger has gone on without it: then it is opened anew, and not put into service again as it is.
    pub(super) is_behind: bool,
}

impl Rest {
    /// Nothing that is told of its engine is of interest any more, and nothing in it is lost.
    fn forget(&mut self) {
        (self.engine, self.silent, self.dirty) = (Weak::new(), None, false);
    }
}

/// 1 s, doubling with every failure up to 60 s. A condemned index is replaced without a pause at first: nothing has to
/// pass before a new one works.
pub(super) fn pause(strikes: u32, condemned: bool) -> Duration {
    match strikes.checked_sub(u32::from(condemned)) {
        None => Duration::ZERO,
        Some(doublings) => (FIRST_REST * 2_u32.pow(doublings.min(6))).min(LONGEST_REST),
    }
}

impl Core {
    /// The engine, if it is in service.
    pub(crate) fn engine(&self) -> Result<Arc<Engine>> {
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Running(engine) => Ok(Arc::clone(engine)),
            Slot::Resting(rest) => Err(rest.error.clone()),
            Slot::Closed => Err(self.closed_error()),
        }
    }

    /// The engine, brought back when its rest is over. Not to be called under the writer lock.
    pub(crate) fn awake(&self) -> Result<Arc<Engine>> {
        let running = self.engine();
        if running.is_err() && self.rest_is_over() {
            self.revive();
            return self.engine();
        }
        running
    }

    fn rest_is_over(&self) -> bool {
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Resting(rest) => rest.since.elapsed() >= rest.pause,
            _ => false,
        }
    }

    /// On another thread, which is not waited for for ever: an engine that hangs while it is brought up keeps that thread,
    /// and nobody else.
    fn revive(&self) {
        if matches!(self.reviving.try_lock(), Err(TryLockError::WouldBlock)) {
            return;
        }
        let Some(core) = self.maintenance.core() else { return self.revive_now() };
        let _ = aside::run(self.manner.patience, move || {
            core.revive_now();
            core.tell_aside();
        });
    }

    /// Brings the first engine up, on another thread, and waits for it as long as there is patience. An index that takes longer
    /// is there later.
    ///
    /// # Errors
    ///
    /// What kept it from coming up. After a refusal of the operating system it is tried again.
    pub(super) fn start(self: &Arc<Self>) -> Result<()> {
        let core = Arc::clone(self);
        let started = aside::run(self.manner.opening, move || {
            let _one = lock(&core.reviving);
            core.bring_up()
        });
        let started = started.unwrap_or_else(|| {
            let error = unanswered().with_kind(Kind::Io);
            self.rest(&error);
            Err(error)
        });
        started.inspect_err(|error| self.note(error))
    }

    /// Only ever one at a time: who calls this has the right to.
    fn bring_up(&self) -> Result<()> {
        match lifecycle::start(self) {
            Ok(unclean) => {
                if unclean {
                    self.recover();
                }
                Ok(())
            }
            Err(error) => {
                self.rest(&error);
                Err(error)
            }
        }
    }

    /// Tells what was noted, on another thread: who waits for this one may hold what an observer wants.
    pub(super) fn tell_aside(self: &Arc<Self>) {
        let core = Arc::clone(self);
        let _ = aside::send(move || core.tell_noted());
    }

    fn revive_now(&self) {
        let _one = match self.reviving.try_lock() {
            Ok(one) => one,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if !self.rest_is_over() || self.is_closed() {
            return;
        }
        if self.has_answered() {
            return;
        }
        self.bury_free_engines();
        if self.is_being_buried() {
            // Nobody else can open its index, and to try that takes 5 s.
            self.rest(&unanswered());
        } else if !self.is_waited_for() {
            let _ = self.bring_up();
        }
    }

    /// Puts an engine into service, unless the store was closed meanwhile.
    pub(super) fn run(&self, engine: Engine) -> Result<()> {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() {
            drop(slot);
            self.bury(engine);
            return Err(self.closed_error());
        }
        self.engines.fetch_add(1, Ordering::AcqRel);
        engine.serve();
        *slot = Slot::Running(Arc::new(engine));
        Ok(())
    }

    pub(super) fn is_running(&self, engine: &Arc<Engine>) -> bool {
        self.engine().is_ok_and(|running| Arc::ptr_eq(&running, engine))
    }

    /// Puts an engine that holds the same in the place of `engine`, unless that is out of service by now. It counts as
    /// the same one: what was written to the old one is in it, and stays. MANIFEST names the new one already: whatever
    /// was held against the index was of the old one.
    pub(super) fn relieve(&self, engine: &Arc<Engine>, by: &Arc<Engine>) -> bool {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        self.condemned.store(false, Ordering::Release);
        match &mut *slot {
            Slot::Running(running) if Arc::ptr_eq(running, engine) => {
                by.serve();
                *running = Arc::clone(by);
                return true;
            }
            // It was taken out of service meanwhile. What it held is in the copy, which is opened when the rest is over.
            Slot::Resting(rest) if rest.engine.as_ptr() == Arc::as_ptr(engine) => rest.forget(),
            _ => {}
        }
        false
    }

    /// Takes the engine out of its slot for good.
    ///
    /// # Errors
    ///
    /// Why it is out of service, if there was something that it has not made to stay.
    pub(super) fn stop(&self) -> Result<Option<Arc<Engine>>> {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *slot, Slot::Closed) {
            Slot::Running(engine) => Ok(Some(engine)),
            Slot::Resting(rest)
                if rest.dirty || rest.engine.upgrade().is_some_and(|engine| engine.is_dirty()) =>
            {
                Err(rest.error)
            }
            _ => Ok(None),
        }
    }

    /// Takes `engine` out of service for a while, the longer the more often it failed, unless another one runs by now.
    pub(super) fn dismiss(&self, engine: &Arc<Engine>, error: &Error, fault: Fault) {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        let (damaged, silent) = (fault == Fault::Damaged, fault == Fault::Silent);
        match &mut *slot {
            Slot::Running(running) if Arc::ptr_eq(running, engine) => {}
            // That it is damaged besides, or silent, may be known later than that it was refused something.
            Slot::Resting(rest) if rest.engine.as_ptr() == Arc::as_ptr(engine) => {
                self.condemned.fetch_or(damaged, Ordering::AcqRel);
                rest.silent = rest.silent.or(silent.then_some(Duration::ZERO));
                return;
            }
            _ => return,
        }
        self.condemned.fetch_or(damaged, Ordering::AcqRel);
        // Before the slot is given back: a close that follows is to find it.
        let mut leaving = lock(&self.leaving);
        if !leaving.iter().any(|leaving| Arc::ptr_eq(leaving, engine)) {
            leaving.push(Arc::clone(engine));
        }
        drop(leaving);
        let rest = self.resting(error, Arc::downgrade(engine));
        let silent = silent.then_some(Duration::ZERO);
        *slot = Slot::Resting(Rest { silent, dirty: engine.is_dirty(), ..rest });
        drop(slot);
        self.maintenance.unlink();
    }

    /// The live index must not be opened by the next process either, if it is condemned. Not while another one is brought
    /// up: that takes care of it, and may have named a good one already.
    pub(super) fn unname_condemned(&self) {
        let Ok(_nobody_else) = self.reviving.try_lock() else { return };
        if let Some(directory) = self.directory.as_deref().filter(|_| self.condemned.load(Ordering::Acquire))
        {
            // One that stays all the same names an index that its own engine calls damaged, which it will again.
            let _ = self.in_charge(|| Manifest::remove(directory));
        }
    }

    /// Changes what says which index is the store's: only while the directory is ours, and never once it was closed. A copy, or
    /// an engine that is brought up, may be late.
    pub(super) fn in_charge<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<T> {
        let held = lock(&self.lock_file);
        let (Some(file), Some(directory), false) = (&*held, &self.directory, self.is_closed()) else {
            return Err(self.closed_error());
        };
        if !manifest::is_locked_by(file, directory) {
            return Err(Error::new(Kind::Io, "the directory of the store is not there any more"));
        }
        change()
    }

    /// Puts off the next attempt to bring an engine up, after one that failed.
    pub(super) fn rest(&self, error: &Error) {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            _ if self.is_closed() => {}
            // One that did not answer did so after all.
            Slot::Running(_) => {}
            Slot::Resting(Rest { dirty, .. }) => {
                let dirty = *dirty;
                *slot = Slot::Resting(Rest { dirty, ..self.resting(error, Weak::new()) });
            }
            Slot::Closed => *slot = Slot::Resting(self.resting(error, Weak::new())),
        }
    }

    fn resting(&self, error: &Error, engine: Weak<Engine>) -> Rest {
        let strikes = self.strikes.fetch_add(1, Ordering::AcqRel);
        let pause = pause(strikes, self.condemned.load(Ordering::Acquire));
        let since = self.clock.stopwatch();
        Rest { error: error.clone(), engine, since, pause, silent: None, dirty: false, is_behind: false }
    }

    /// Drops the engines that are out of service, each once nobody is in it: those that somebody stays in later.
    pub(super) fn bury_engines(&self) {
        let leaving = std::mem::take(&mut *lock(&self.leaving));
        for engine in leaving {
            // That it could not write its last is known: that is why it is here.
            let _ = lifecycle::alone(self, engine).map(|engine| self.bury(engine));
        }
    }

    /// Those that nobody is in, but for one that is waited for: it may be sound.
    pub(super) fn bury_free_engines(&self) {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        let awaited = match &*slot {
            Slot::Resting(rest) if rest.silent.is_some() => rest.engine.as_ptr(),
            _ => std::ptr::null(),
        };
        let mut free = Vec::new();
        let mut leaving = lock(&self.leaving);
        for engine in std::mem::take(&mut *leaving) {
            if Arc::as_ptr(&engine) == awaited {
                leaving.push(engine);
                continue;
            }
            match lifecycle::unshared(engine) {
                Ok(engine) => free.push(engine),
                Err(in_use) => leaving.push(in_use),
            }
        }
        drop((leaving, slot));
        for engine in free {
            self.bury(engine);
        }
    }

    /// Drops an engine that failed: sled flushes in its drop, which may hang.
    fn bury(&self, engine: Engine) {
        let buried = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&buried);
        let outcome = aside::run(self.manner.leave(), move || {
            let _ = engine.bury();
            ended.store(true, Ordering::Release);
        });
        if outcome.is_none() {
            *lock(&self.burial) = Some((self.clock.stopwatch(), buried));
        }
    }

    /// Passes on the outcome of calls to `engine`. When one failed, its health decides what becomes of it: after a
    /// refusal of the operating system it is opened again later, a damaged index never.
    pub(crate) fn minded<T>(&self, engine: &Arc<Engine>, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| {
            let fault = match engine.health() {
                Health::Damaged => Fault::Damaged,
                _ if engine.is_silent() => Fault::Silent,
                Health::Refused => Fault::Refused,
                Health::Sound => return,
            };
            self.dismiss(engine, error, fault);
        })
    }
}

/// Why an engine is taken out of service.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Refused,
    Damaged,
    Silent,
}
