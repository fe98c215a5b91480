//! For this crate's own tests: a manual clock, and injected faults. No part of the public interface.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::error::{Error, ErrorKind, Result};

/// A wall clock that a test moves in either direction.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Starts at 2026-01-01, UTC.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_767_225_600_000)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    /// Sets the clock back, as a user or a time server would.
    pub fn set_back(&self, by: Duration) {
        self.0.fetch_sub(by.as_millis() as u64, Ordering::SeqCst);
    }

    pub(crate) fn millis(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

/// An operation of the storage engine or of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening the index.
    Open,
    /// Reading a record.
    Read,
    /// Writing a record or a row.
    Write,
    /// Removing a record or a row.
    Remove,
    /// Walking over rows.
    Scan,
    /// Making writes survive the process.
    Flush,
    /// Writing a payload file.
    BlobWrite,
    /// Reading a payload file.
    BlobRead,
    /// Copying the index, after all of it is copied.
    Compact,
    /// Making the files of a closed index hold still.
    Settle,
    /// Writing the snapshot of a store that is closed.
    Snapshot,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The error of a full disk.
    NoSpace,
    /// The error of damaged bytes.
    Corrupt,
    /// The engine panics.
    Panic,
    /// The engine does not answer until [`Faults::heal`].
    Hang,
}

/// Faults that a test plants into one store. Cheap to clone; clones share the planted faults.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Planted>);

#[derive(Debug, Default)]
struct Planted {
    /// Whether `faults` is not empty, so that a program without faults pays one load.
    any: AtomicBool,
    faults: Mutex<Vec<(Operation, Fault)>>,
    /// Number of operations that began to hang.
    hangs: AtomicU64,
    /// Notified when faults are removed, and when an operation begins to hang.
    changed: Condvar,
}

impl Faults {
    /// No faults yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every `operation` fails by `fault`.
    pub fn plant(&self, operation: Operation, fault: Fault) {
        self.planted().push((operation, fault));
        self.0.any.store(true, Ordering::SeqCst);
    }

    /// Removes the faults of `operation`.
    pub fn clear(&self, operation: Operation) {
        self.planted().retain(|(planted, _)| *planted != operation);
        self.0.changed.notify_all();
    }

    /// Removes all faults, and lets hanging operations continue.
    pub fn heal(&self) {
        self.planted().clear();
        self.0.any.store(false, Ordering::SeqCst);
        self.0.changed.notify_all();
    }

    /// Waits until any operation has hung since these faults were made.
    pub fn await_hang(&self) {
        let mut planted = self.planted();
        while self.0.hangs.load(Ordering::SeqCst) == 0 {
            planted = self.0.changed.wait(planted).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The fault of an operation, if one is planted. It waits while the operation hangs.
    pub(crate) fn inject(&self, operation: Operation) -> Option<Fault> {
        if !self.0.any.load(Ordering::Relaxed) {
            return None;
        }
        let mut planted = self.planted();
        loop {
            match planted.iter().find(|(planted, _)| *planted == operation).map(|(_, fault)| *fault) {
                Some(Fault::Hang) => {
                    self.0.hangs.fetch_add(1, Ordering::SeqCst);
                    self.0.changed.notify_all();
                    while planted.contains(&(operation, Fault::Hang)) {
                        planted = self.0.changed.wait(planted).unwrap_or_else(PoisonError::into_inner);
                    }
                }
                other => return other,
            }
        }
    }

    /// The failure that a test planted, as an error.
    pub(crate) fn check(&self, operation: Operation) -> Result<()> {
        match self.inject(operation) {
            None => Ok(()),
            Some(Fault::Corrupt | Fault::Panic) => Err(Error::new(ErrorKind::Corrupt, "a planted fault")),
            Some(Fault::NoSpace | Fault::Hang) => {
                Err(Error::io("a planted fault", io::ErrorKind::StorageFull.into()))
            }
        }
    }

    fn planted(&self) -> std::sync::MutexGuard<'_, Vec<(Operation, Fault)>> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
