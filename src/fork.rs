//! fork: a child process has copies of every lock and of every file, and none of the threads.
//!
//! A lock that another thread held at that moment is never released in the child, and the threads that a call would wait
//! for are not there. So every object keeps its [`Origin`], and a call on one that another process made touches no lock:
//! it computes. LOCK and the log of the index are closed in the child: they are locked by the open file, which the copy
//! would keep locked after the end of the parent.
//!
//! The storage engine starts its threads once a process. A process that was forked from one that had opened a store can
//! therefore open no store with a directory. A process that was forked before that can.
//!
//! It concerns a child that goes on as itself. [`Command`](std::process::Command) starts another program.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// How often this process and its ancestors were forked since one of them used this crate.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Whether a store with a directory was opened, here or in an ancestor.
static OPENED: AtomicBool = AtomicBool::new(false);

/// Whether an ancestor had opened one before it was forked.
static BARRED: AtomicBool = AtomicBool::new(false);

/// Files that a child closes; −1 where there is none. A store has two, and two more while its index is copied.
static DESCRIPTORS: [AtomicI32; 256] = [const { AtomicI32::new(-1) }; 256];

/// The process that made something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(u32);

impl Origin {
    /// This process, which notices from now on when it is forked.
    pub(crate) fn here() -> Self {
        watch();
        Self(generation())
    }

    /// Whether this is another process than that: a child of it.
    pub(crate) fn is_elsewhere(self) -> bool {
        self.0 != generation()
    }
}

pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Whether the storage engine must not be used in this process, because an ancestor has used it.
pub(crate) fn is_barred() -> bool {
    BARRED.load(Ordering::Relaxed)
}

/// This process uses the storage engine from now on.
pub(crate) fn engine_is_used() {
    watch();
    OPENED.store(true, Ordering::Relaxed);
}

/// An open file that no child keeps open. Dropped before the file is closed.
#[derive(Debug)]
pub(crate) struct Private(Option<&'static AtomicI32>);

impl Private {
    /// Files beyond the 256th of a process are kept open by its children.
    #[cfg(unix)]
    pub(crate) fn new(descriptor: std::os::fd::RawFd) -> Self {
        let takes = |place: &&AtomicI32| {
            place.compare_exchange(-1, descriptor, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        Self(DESCRIPTORS.iter().find(takes))
    }

    /// Where no process is forked.
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
        // It fails for want of memory only. Then a child is not noticed.
        pthread_atfork(None, None, Some(in_child));
    }
}

#[cfg(not(unix))]
fn watch() {}

/// Runs in every child before fork returns there. Atomics and `close` are all that is allowed.
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

// SAFETY: the signatures are those of POSIX. `pthread_atfork` may be called at any time. `close` is called with
// descriptors only whose owners are threads, or are kept by threads, that the child does not have.
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
