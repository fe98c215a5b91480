//! All locks, threads and parking of the crate come from here, so that a schedule explorer can replace them: the shuttle
//! tests mount source files beside a module of this name that re-exports the types of shuttle.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread, thread_local,
};

/// Takes the lock, also a poisoned one. Every critical section leaves its data valid at each step, and only the engine can
/// panic under a lock; its panics are contained.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the lock to read, also a poisoned one, as [`lock`] does.
pub(crate) fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the lock to write, also a poisoned one, as [`lock`] does.
pub(crate) fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Runs foreign code, and forgets its panic: its payload may panic when it is dropped.
pub(crate) fn contained(run: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
        mem::forget(panic);
    }
}

/// Runs a test with threads: here once with real threads, under the schedule explorer with many schedules.
#[cfg(test)]
pub(crate) fn explore(test: impl Fn() + Send + Sync + 'static) {
    test();
}
