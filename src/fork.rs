//! fork: a child process has copies of all locks and open files, but no other threads.
//!
//! A lock that another thread held at the fork is never released in the child, and the threads that a call would wait for
//! do not exist there. So every object keeps its [`Origin`]. A call on an object of another process takes no lock, and
//! computes. LOCK and the log of the index are closed in the child: their locks belong to the open files, so the copies
//! would keep them locked after the end of the parent.
//!
//! The storage engine starts its threads once in a process. So a child of a process that has opened a store with a
//! directory cannot open one. A child that was forked before that can.
//!
//! All this is about a child that runs on without `exec`. [`Command`](std::process::Command) starts another program.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// Number of forks in the line of this process since an ancestor first used this crate.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Whether this process or an ancestor opened a store with a directory.
static OPENED: AtomicBool = AtomicBool::new(false);

/// Whether an ancestor opened a store with a directory before the fork.
static BARRED: AtomicBool = AtomicBool::new(false);

/// Descriptors that a child closes. −1 marks a free place. A store has two, and two more while its index is copied.
static DESCRIPTORS: [AtomicI32; 256] = [const { AtomicI32::new(-1) }; 256];

/// The process that made an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(u32);

impl Origin {
    /// This process. From now on its forks are noticed.
    pub(crate) fn here() -> Self {
        watch();
        Self(generation())
    }

    /// Whether the object was made by an ancestor of this process.
    pub(crate) fn is_elsewhere(self) -> bool {
        self.0 != generation()
    }
}

pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Whether this process must not use the storage engine, because an ancestor has used it.
pub(crate) fn is_barred() -> bool {
    BARRED.load(Ordering::Relaxed)
}

/// Records that this process uses the storage engine.
pub(crate) fn engine_is_used() {
    watch();
    OPENED.store(true, Ordering::Relaxed);
}

/// A registration of an open file that a child closes. It is dropped before the file is closed.
#[derive(Debug)]
pub(crate) struct Private(Option<&'static AtomicI32>);

impl Private {
    /// A process has 256 places. Children keep further files open.
    #[cfg(unix)]
    pub(crate) fn new(descriptor: std::os::fd::RawFd) -> Self {
        let takes = |place: &&AtomicI32| {
            place.compare_exchange(-1, descriptor, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        Self(DESCRIPTORS.iter().find(takes))
    }

    /// For systems without fork.
    #[cfg(not(unix))]
    pub(crate) fn none() -> Self {
        Self(None)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Some(place) = self.0 {
            place.store(-1, Ordering::Relaxed);
        }
    }
}

#[cfg(unix)]
fn watch() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.load(Ordering::Relaxed) && !WATCHED.swap(true, Ordering::Relaxed) {
        // It fails only without memory. Then forks are not noticed.
        pthread_atfork(None, None, Some(in_child));
    }
}

#[cfg(not(unix))]
fn watch() {}

/// Runs in every child before `fork` returns there. Only atomics and `close` are allowed.
#[cfg(unix)]
extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    BARRED.store(OPENED.load(Ordering::Relaxed), Ordering::Relaxed);
    for descriptor in &DESCRIPTORS {
        let descriptor = descriptor.swap(-1, Ordering::Relaxed);
        if descriptor >= 0 {
            close(descriptor);
        }
    }
}

// SAFETY: the signatures are those of POSIX. `pthread_atfork` may be called at any time. `close` gets only descriptors
// whose owners are threads, or belong to threads, that the child does not have.
#[cfg(unix)]
#[expect(unsafe_code, reason = "std has no hook for fork")]
unsafe extern "C" {
    safe fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> std::ffi::c_int;
    safe fn close(descriptor: std::ffi::c_int) -> std::ffi::c_int;
}
