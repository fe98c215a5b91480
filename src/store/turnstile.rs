//! The writer lock: one at a time, and nobody waits for ever for one who never comes back.

use std::{
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    error::{Error, Kind, Result},
    store::patience::Patience,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, lock},
};

/// What it guards is reached by whoever is inside. When one of them stays for longer than the others have patience for (a
/// call of the engine that hangs), they go on without, from then on at once, until it comes back: if ever it does, nothing
/// was lost. A long line of others who come and go is waited for.
///
/// A mutex alone would do but for that: std has none that is waited for with a deadline.
pub(super) struct Turnstile<T> {
    patience: Patience,
    gate: Mutex<Gate>,
    left: Condvar,
    /// Whether the one inside was waited for in vain.
    stalled: AtomicBool,
    /// Only ever locked by the one inside.
    inside: Mutex<T>,
}

#[derive(Default)]
struct Gate {
    /// Whether somebody is inside.
    taken: bool,
    /// How many came out so far.
    left: u64,
}

/// The right to be inside.
pub(crate) struct Inside<'a, T> {
    turnstile: &'a Turnstile<T>,
    guarded: MutexGuard<'a, T>,
}

impl<T> Turnstile<T> {
    pub(super) fn new(patience: Patience) -> Self
    where
        T: Default,
    {
        let (gate, left, inside) = (Mutex::default(), Condvar::new(), Mutex::default());
        Self { patience, gate, left, stalled: AtomicBool::new(false), inside }
    }

    /// Waits for any one that is inside for as long as there is patience.
    pub(super) fn enter(&self) -> Result<Inside<'_, T>> {
        self.enter_within(self.patience.slices)
    }

    /// Waits for so many slices.
    fn enter_within(&self, patience: u32) -> Result<Inside<'_, T>> {
        let mut gate = lock(&self.gate);
        let (mut before, mut slices) = (gate.left, 0);
        while gate.taken {
            if gate.left != before {
                (before, slices) = (gate.left, 0);
            }
            if slices >= patience {
                self.stalled.store(true, Ordering::Release);
            }
            if self.stalled.load(Ordering::Acquire) {
                let message = "the storage engine does not answer: nothing is written until it does";
                return Err(Error::new(Kind::Engine, message));
            }
            let (again, waited) =
                self.left.wait_timeout(gate, Patience::SLICE).unwrap_or_else(PoisonError::into_inner);
            gate = again;
            slices += u32::from(waited.timed_out());
        }
        gate.taken = true;
        drop(gate);
        Ok(Inside { turnstile: self, guarded: lock(&self.inside) })
    }

    /// Nothing when somebody is inside.
    pub(super) fn try_enter(&self) -> Option<Inside<'_, T>> {
        if std::mem::replace(&mut lock(&self.gate).taken, true) {
            return None;
        }
        Some(Inside { turnstile: self, guarded: lock(&self.inside) })
    }
}

impl<T> Deref for Inside<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guarded
    }
}

impl<T> DerefMut for Inside<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guarded
    }
}

impl<T> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        let mut gate = lock(&self.turnstile.gate);
        gate.taken = false;
        gate.left += 1;
        // Under the lock: the next one inside has not stalled.
        self.turnstile.stalled.store(false, Ordering::Release);
        drop(gate);
        self.turnstile.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_is_inside() {
        let turnstile = Turnstile::<u64>::new(Patience::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| *turnstile.enter().unwrap() += 1));
            }
        });
        assert_eq!(turnstile.try_enter().map(|inside| *inside), Some(2_000));
    }

    #[test]
    fn whoever_was_waited_for_in_vain_is_not_waited_for_again_until_it_comes_back() {
        let turnstile = Turnstile::<u64>::new(Patience::default());
        let inside = turnstile.enter().unwrap();
        assert!(turnstile.try_enter().is_none());
        assert!(turnstile.enter_within(0).is_err());
        assert!(turnstile.enter_within(u32::MAX).is_err(), "at once, or never");
        drop(inside);
        *turnstile.enter().unwrap() = 7;
        assert_eq!(turnstile.enter().map(|inside| *inside).ok(), Some(7));
    }
}
