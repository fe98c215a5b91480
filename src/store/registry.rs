//! Every store on disk that this process has open: the same directory opened twice is the same store, and what is still open at
//! the end of the program is closed then.
//!
//! A store in a `static` is never dropped, and sled keeps writes in memory: without the last point a short program would
//! keep nothing (0 of 500 entries, against 1,500 of 1,500 with it).

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    clock::Deadline,
    error::{Error, ErrorKind, Result},
    fork, signals,
    store::{handle::Handle, session::inherited, worker::Directory},
    sync::{Condvar, Mutex, PoisonError, lock},
};

/// How long the end of the program is held up at most.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an open waits for a store of the same directory that this process is just opening or closing.
const TURN_TIMEOUT: Duration = Duration::from_secs(15);

static REGISTRY: Registry = Registry { stores: Mutex::new(None), changed: Condvar::new() };

struct Registry {
    /// `None` until the first store: then the end of the program is hooked.
    stores: Mutex<Option<HashMap<PathBuf, Registered>>>,
    /// An entry came, went or became another.
    changed: Condvar,
}

enum Registered {
    /// It is being opened or closed at this moment.
    Turning,
    Open(Weak<Handle>, Weak<Directory>),
}

// SAFETY: the signature is that of ISO C; any thread may call it at any time.
#[expect(unsafe_code, reason = "std has no hook for the end of the program")]
unsafe extern "C" {
    /// Of the C library, which every Rust program with std is linked to.
    safe fn atexit(callback: extern "C" fn()) -> std::ffi::c_int;
}

impl Handle {
    pub(super) fn close(&self) -> Result<()> {
        self.session.check_origin()?;
        let again = self.session.mark_closed();
        if let Some(server) = &self.server {
            server.close();
        }
        let closed = self.directory.as_ref().map_or(Ok(()), |directory| directory.ask_to_close(again));
        if let Some(directory) = &self.directory {
            // LOCK is free. Before any code of the user runs: a `Drop` or an observer may open the store again.
            forget_directory(directory);
        }
        self.session.release(self.session.memory.clear());
        self.session.settle();
        if let Some(directory) = &self.directory {
            // Last of all: at the end of a program there may be no time for it, and the next open does it too.
            directory.janitor.catch_up();
        }
        closed
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.close()
            && !self.session.is_inherited()
        {
            self.session.failed(&error);
        }
    }
}

/// What is to be done with a directory.
pub(super) enum Admitted {
    /// It is open already.
    Open(Arc<Handle>),
    /// It is ours to open; others wait until `opened` or `forget`.
    Ours,
}

/// # Errors
///
/// Of the kind `closed`, when an ancestor of this process had opened a store before it was forked.
pub(super) fn check_origin() -> Result<()> {
    if fork::is_barred() { Err(inherited()) } else { Ok(()) }
}

/// Admits one opener of `directory` at a time.
pub(super) fn admit(directory: &Path) -> Result<Admitted> {
    fork::engine_is_used();
    signals::outlive_file_size_limit();
    let deadline = Deadline::after(TURN_TIMEOUT);
    // Handles that were closed already: declared before the lock, so that the last one is dropped after it.
    let mut late = Vec::new();
    let mut stores = lock(&REGISTRY.stores);
    loop {
        let entries = stores.get_or_insert_with(|| {
            atexit(close_all);
            HashMap::new()
        });
        match entries.get(directory) {
            None => {
                entries.insert(directory.to_owned(), Registered::Turning);
                return Ok(Admitted::Ours);
            }
            Some(Registered::Open(handle, _)) => match handle.upgrade() {
                Some(handle) if handle.session.is_closed() => late.push(handle),
                Some(handle) => return Ok(Admitted::Open(handle)),
                None => {}
            },
            Some(Registered::Turning) => {}
        }
        let Some(left) = deadline.remaining() else {
            let message = format!("the store at {} is still closing in this process", directory.display());
            return Err(Error::new(ErrorKind::InUse, message));
        };
        stores = REGISTRY.changed.wait_timeout(stores, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

pub(super) fn opened(directory: &Arc<Directory>, handle: &Arc<Handle>) {
    let Some(home) = directory.home() else { return };
    let entry = Registered::Open(Arc::downgrade(handle), Arc::downgrade(directory));
    change(|entries| {
        entries.insert(home.to_owned(), entry);
    });
}

/// The directory is free again: after a close, or an open that failed.
pub(super) fn forget(directory: &Path) {
    change(|entries| {
        entries.remove(directory);
    });
}

/// Likewise, but only if the entry is that of `directory`: a second close must not forget a store opened since.
pub(super) fn forget_directory(directory: &Arc<Directory>) {
    let Some(home) = directory.home() else { return };
    change(|entries| {
        if let Some(Registered::Open(_, open)) = entries.get(home)
            && open.as_ptr() == Arc::as_ptr(directory)
        {
            entries.remove(home);
        }
    });
}

fn change(change: impl FnOnce(&mut HashMap<PathBuf, Registered>)) {
    if let Some(entries) = lock(&REGISTRY.stores).as_mut() {
        change(entries);
    }
    REGISTRY.changed.notify_all();
}

/// Runs after `main`, on the thread that ends the program; the stores close side by side on their own threads. The
/// registry is only tried: the program may be ended by a thread that holds it.
extern "C" fn close_all() {
    if fork::is_barred() {
        return;
    }
    let Ok(stores) = REGISTRY.stores.try_lock() else { return };
    let open: Vec<Arc<Directory>> = stores
        .iter()
        .flat_map(HashMap::values)
        .filter_map(|entry| match entry {
            Registered::Open(_, directory) => directory.upgrade(),
            Registered::Turning => None,
        })
        .collect();
    drop(stores);
    for directory in &open {
        if let Some(server) = directory.server() {
            server.close();
        }
        directory.begin_close();
    }
    let deadline = Deadline::after(EXIT_TIMEOUT);
    for directory in &open {
        directory.wait_for_close(deadline);
    }
    // The last handle in a static never goes: neither may these, or a drop would run user code after `main`.
    std::mem::forget(open);
}
