//! An engine that does not answer: out of service until it does, and given up after a minute of that. A slow disk must not
//! cost a sound index.

use std::{
    sync::{Arc, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use crate::{
    error::Error,
    store::{
        core::Core,
        engine::{Engine, Health, unanswered},
        service::{FIRST_REST, Fault, Slot, pause},
        watch::Stay,
    },
    sync::lock,
};

/// After this an engine that does not answer is given up, with its index. A flush can wait for gigabytes that somebody else
/// writes to a slow disk.
pub(super) const LOST: Duration = Duration::from_secs(60);

impl Core {
    /// Takes an engine that does not answer out of service.
    pub(super) fn suspend(&self, engine: Option<&Weak<Engine>>, error: &Error) {
        if let Some(engine) = engine.and_then(Weak::upgrade) {
            engine.fall_silent();
            self.dismiss(&engine, error, Fault::Silent);
        }
    }

    /// What the watch saw: the calls of any engine that are under way. One that stays in this store's has it taken out of
    /// service, so that nobody comes after it; when all came back, it is in service again.
    pub(super) fn look_after(self: &Arc<Self>, stays: &[Stay]) {
        if let Ok(engine) = self.engine() {
            if stays.iter().any(|stay| stay.is_overdue && stay.engine == engine.number()) {
                let error = unanswered();
                self.suspend(Some(&Arc::downgrade(&engine)), &error);
                self.note(&error);
                self.tell_aside();
            }
        } else {
            self.has_answered();
        }
    }

    /// The ledger goes on without the engine that rests. `false` when none does.
    pub(super) fn falls_behind(&self) -> bool {
        match &mut *self.slot.write().unwrap_or_else(PoisonError::into_inner) {
            Slot::Resting(rest) => {
                rest.is_behind = true;
                true
            }
            Slot::Running(_) => false,
            Slot::Closed => true,
        }
    }

    /// The engine that is waited for.
    fn silent_engine(&self) -> Option<Arc<Engine>> {
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Resting(rest) if rest.silent.is_some() => rest.engine.upgrade(),
            _ => None,
        }
    }

    /// Whether all calls of an engine that was silent came back, and it is in service again. If all came back, but it failed
    /// besides, or nobody knows what became of a change, or the ledger went on without it, it may be opened anew at once.
    pub(super) fn has_answered(&self) -> bool {
        let Some(engine) = self.silent_engine() else { return false };
        // One is ours, and one among those that leave.
        if engine.has_guests() || Arc::strong_count(&engine) > 2 {
            return false;
        }
        if self.reinstate(&engine) {
            // What was written after the last flush began has found nobody to flush it.
            self.maintenance.stir();
            return true;
        }
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        if let Slot::Resting(rest) = &mut *slot
            && rest.engine.as_ptr() == Arc::as_ptr(&engine)
        {
            self.condemned.fetch_or(engine.health() == Health::Damaged, Ordering::AcqRel);
            (rest.silent, rest.pause) = (None, Duration::ZERO);
        }
        // Before the slot is given back: whoever opens it anew finds nobody in it.
        drop(engine);
        drop(slot);
        false
    }

    /// Puts an engine that did not answer into service again, if all is well with it: nothing took its place, so nothing is
    /// lost.
    fn reinstate(&self, engine: &Arc<Engine>) -> bool {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        let is_waited_for = matches!(
            &*slot,
            Slot::Resting(rest) if rest.silent.is_some()
                && !rest.is_behind
                && rest.engine.as_ptr() == Arc::as_ptr(engine)
        );
        let is_back =
            is_waited_for && !self.condemned.load(Ordering::Acquire) && engine.health() == Health::Sound;
        if is_back {
            engine.answer();
            *slot = Slot::Running(Arc::clone(engine));
            lock(&self.leaving).retain(|leaving| !Arc::ptr_eq(leaving, engine));
        }
        is_back
    }

    /// Whether an engine that does not answer is still waited for. It is given up when that has lasted too long. From then on,
    /// as when another one is to take its place, nothing that is told of it is of interest.
    pub(super) fn is_waited_for(&self) -> bool {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        let Slot::Resting(rest) = &mut *slot else { return false };
        let engine = rest.engine.upgrade();
        // What it is in may be known by nobody: a flush that nobody waits for.
        let is_inside = engine.as_ref().is_some_and(|engine| engine.has_guests());
        let silent = rest.silent.or(is_inside.then_some(Duration::ZERO));
        if let Some(silent) = silent.filter(|_| engine.is_some()) {
            // Somebody looks when the pause is over, or a while after: nobody asked, or the process was stopped.
            let silent = silent + rest.since.elapsed().min(rest.pause + FIRST_REST);
            // While one is stuck in it with the writer lock, no other could take its place.
            if silent < LOST || self.ledger.try_enter().is_none() {
                let strikes = self.strikes.fetch_add(1, Ordering::AcqRel);
                rest.silent = Some(silent);
                (rest.since, rest.pause) = (self.clock.stopwatch(), pause(strikes, false));
                return true;
            }
            self.condemned.store(true, Ordering::Release);
        }
        rest.engine = Weak::new();
        false
    }

    /// Whether an engine hangs while it is dropped, as sled does after a failed write of a large value. It is given up, with
    /// its index, when that has lasted too long.
    pub(super) fn is_being_buried(&self) -> bool {
        let mut burial = lock(&self.burial);
        let Some((since, buried)) = &*burial else { return false };
        let lasts = !buried.load(Ordering::Acquire);
        if lasts && since.elapsed() < LOST {
            return true;
        }
        self.condemned.fetch_or(lasts, Ordering::AcqRel);
        *burial = None;
        false
    }
}
