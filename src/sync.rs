//! The one door to locks, threads and their parking, so that a schedule explorer can take their place: the
//! shuttle tests mount the flight beside a module of this name that re-exports shuttle's.

pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread, thread_local,
};

/// Takes the lock. A panic under it poisons nothing here: every critical section leaves its data whole at each
/// step, and what panics under a lock is only ever the engine, which is fenced by itself.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test of threads: here once, on real ones; under the schedule explorer over many schedules.
#[cfg(test)]
pub(crate) fn explore(test: impl Fn() + Send + Sync + 'static) {
    test();
}
