//! The engine in its slot: in service, resting after a failure, brought back, taken away.
//!
//! After a refusal of the operating system it is opened again when its rest is over; a damaged index never is. What is
//! told of an engine late never hits the one that came in its place.

use std::{
    sync::{
        Arc, PoisonError, TryLockError, Weak,
        atomic::Ordering,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use crate::{
    clock::Stopwatch,
    error::{Error, Result},
    store::{
        core::Core,
        engine::{Engine, Health},
        lifecycle,
        maintenance::{PATIENCE, SLICE},
    },
    sync::lock,
};

/// The first pause after the engine failed; it doubles up to [`LONGEST_REST`].
const FIRST_REST: Duration = Duration::from_secs(1);
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
    engine: Weak<Engine>,
    since: Stopwatch,
    pause: Duration,
}

/// 1 s, doubling with every failure up to 60 s. A condemned index is replaced without a pause at first: nothing has to
/// pass before a new one works.
fn pause(strikes: u32, condemned: bool) -> Duration {
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

    /// On a thread of its own, which is waited for for at most 5 s: an engine that hangs while it is brought up keeps that
    /// thread, and nobody else.
    fn revive(&self) {
        if matches!(self.reviving.try_lock(), Err(TryLockError::WouldBlock)) {
            return;
        }
        let (done, ended) = mpsc::channel::<()>();
        let thread = self.maintenance.core().map(|core| {
            let bring_up = move || {
                core.revive_now();
                // Before anybody is told: who waits may hold what an observer wants.
                drop(done);
                core.tell_noted();
            };
            thread::Builder::new().name("memolith-open".into()).spawn(bring_up)
        });
        match thread {
            // In slices, so that the time for which the whole process was stopped counts as one of them.
            Some(Ok(_)) => {
                let waits = || matches!(ended.recv_timeout(SLICE), Err(RecvTimeoutError::Timeout));
                (0..PATIENCE).take_while(|_| waits()).for_each(drop);
            }
            _ => self.revive_now(),
        }
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
        self.bury_free_engines();
        match lifecycle::start(self) {
            Ok(true) => self.maintenance.recover(),
            Ok(false) => {}
            Err(error) => self.rest(&error),
        }
    }

    pub(super) fn run(&self, engine: Engine) {
        self.engines.fetch_add(1, Ordering::AcqRel);
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = Slot::Running(Arc::new(engine));
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
        let is_running = matches!(&*slot, Slot::Running(running) if Arc::ptr_eq(running, engine));
        if is_running {
            *slot = Slot::Running(Arc::clone(by));
        }
        is_running
    }

    /// Takes the engine out of its slot for good.
    pub(super) fn stop(&self) -> Option<Arc<Engine>> {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *slot, Slot::Closed) {
            Slot::Running(engine) => Some(engine),
            _ => None,
        }
    }

    /// Takes `engine` out of service for a while, the longer the more often it failed, unless another one runs by now.
    /// Whether it was in service.
    fn dismiss(&self, engine: &Arc<Engine>, error: &Error, damaged: bool) -> bool {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Slot::Running(running) if Arc::ptr_eq(running, engine) => {}
            // That it is damaged besides may be known later than that it was refused something.
            Slot::Resting(rest) if rest.engine.as_ptr() == Arc::as_ptr(engine) => {
                self.condemned.fetch_or(damaged, Ordering::AcqRel);
                return false;
            }
            _ => return false,
        }
        self.condemned.fetch_or(damaged, Ordering::AcqRel);
        // Before the slot is given back: a close that follows is to find it.
        lock(&self.leaving).push(Arc::clone(engine));
        *slot = self.resting(error, Arc::downgrade(engine));
        drop(slot);
        self.maintenance.unlink();
        true
    }

    /// Puts off the next attempt to bring an engine up, after one that failed.
    pub(super) fn rest(&self, error: &Error) {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        if !self.is_closed() {
            *slot = self.resting(error, Weak::new());
        }
    }

    fn resting(&self, error: &Error, engine: Weak<Engine>) -> Slot {
        let strikes = self.strikes.fetch_add(1, Ordering::AcqRel);
        let pause = pause(strikes, self.condemned.load(Ordering::Acquire));
        Slot::Resting(Rest { error: error.clone(), engine, since: self.clock.stopwatch(), pause })
    }

    /// Drops the engines that are out of service. One that somebody never comes back from is leaked.
    pub(super) fn bury_engines(&self) {
        let leaving = std::mem::take(&mut *lock(&self.leaving));
        for engine in leaving {
            // That it could not write its last is known: that is why it is here.
            let _ = lifecycle::alone(engine).and_then(Engine::bury);
        }
    }

    /// Those that nobody is in, so that an index can be opened again although the tidying thread is busy.
    fn bury_free_engines(&self) {
        let leaving = std::mem::take(&mut *lock(&self.leaving));
        for engine in leaving {
            match Arc::try_unwrap(engine) {
                Ok(engine) => drop(engine.bury()),
                Err(in_use) => lock(&self.leaving).push(in_use),
            }
        }
    }

    /// Passes on the outcome of calls to `engine`. When one failed, its health decides what becomes of it: after a
    /// refusal of the operating system it is opened again later, a damaged index never.
    pub(crate) fn minded<T>(&self, engine: &Arc<Engine>, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| {
            let health = engine.health();
            if health != Health::Sound {
                self.dismiss(engine, error, health == Health::Damaged);
            }
        })
    }

    /// An engine that does not answer is left where it is: leaked, so that nobody waits for it any more.
    pub(super) fn condemn(&self, engine: Option<&Weak<Engine>>, error: &Error) {
        if let Some(engine) = engine.and_then(Weak::upgrade)
            && self.dismiss(&engine, error, true)
        {
            std::mem::forget(engine);
        }
    }
}
