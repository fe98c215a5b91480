//! The guard around every call of one engine: an error or a panic of sled reaches no further than an [`Error`].

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
};

use crate::{
    error::{Error, ErrorKind, Result},
    testing::{Fault, Faults, Operation},
};

/// How an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    Sound,
    /// The operating system refused something. sled's errors are sticky: it must be opened again.
    Refused,
    /// The index is damaged, or the engine panicked: one bad page makes up to 205 keys fail for ever.
    Damaged,
}

#[derive(Default)]
pub(super) struct Guard {
    /// Whether a change was made or tried.
    pub(super) written: AtomicBool,
    /// Whether one was since the last flush that succeeded began.
    pub(super) dirty: AtomicBool,
    /// The worst that happened so far: see [`Health`]. It never gets better.
    health: AtomicU8,
    /// Empty, except in tests.
    faults: Faults,
}

impl Guard {
    pub(super) fn new(faults: &Faults) -> Self {
        Self { faults: faults.clone(), ..Self::default() }
    }

    pub(super) fn health(&self) -> Health {
        match self.health.load(Ordering::Acquire) {
            0 => Health::Sound,
            1 => Health::Refused,
            _ => Health::Damaged,
        }
    }

    /// Runs a call that changes something.
    pub(super) fn change<T>(
        &self,
        operation: Operation,
        call: impl FnOnce() -> sled::Result<T>,
    ) -> Result<T> {
        let changed = self.call(operation, call);
        // After the change: a flush that begins in between would claim to have covered it.
        self.written.store(true, Ordering::Release);
        self.dirty.store(true, Ordering::Release);
        changed
    }

    /// Drops a value of sled's. The drop flushes, and may panic.
    pub(super) fn release<T>(&self, held: T) -> Result<()> {
        self.call(Operation::Flush, || {
            drop(held);
            Ok(())
        })
    }

    pub(super) fn call<T>(&self, operation: Operation, call: impl FnOnce() -> sled::Result<T>) -> Result<T> {
        let fault = self.faults.inject(operation);
        let guarded = catch_unwind(AssertUnwindSafe(|| match fault {
            None => call().map_err(|error| translate(operation, error)),
            Some(fault) => Err(injected(operation, fault)),
        }));
        guarded.unwrap_or_else(|panic| Err(panicked(panic))).map_err(|error| self.failed(error))
    }

    /// Takes note of an error.
    pub(super) fn failed(&self, error: Error) -> Error {
        let health = match error.kind() {
            ErrorKind::Closed => Health::Sound,
            ErrorKind::Io => Health::Refused,
            _ => Health::Damaged,
        };
        self.health.fetch_max(health as u8, Ordering::AcqRel);
        error
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Error {
    Error::panicked("the storage engine", panic).with_kind(ErrorKind::Engine)
}

#[expect(clippy::panic, reason = "an injected panic is one")]
fn injected(operation: Operation, fault: Fault) -> Error {
    match fault {
        Fault::Panic => panic!("injected into {operation:?}"),
        Fault::Corrupt => translate(operation, sled::Error::Corruption { at: None, bt: () }),
        Fault::NoSpace | Fault::Hang => {
            translate(operation, sled::Error::Io(io::ErrorKind::StorageFull.into()))
        }
    }
}

fn translate(operation: Operation, error: sled::Error) -> Error {
    match error {
        sled::Error::Io(cause) if is_lost(operation, &cause) => {
            Error::new(ErrorKind::Corrupt, format!("the index is damaged: {cause}"))
        }
        sled::Error::Io(cause) => Error::io("the index", cause),
        sled::Error::Corruption { .. } => Error::new(ErrorKind::Corrupt, "the index is damaged"),
        // A flipped bit in sled's own head reads as a database of another version, or as a bug of sled.
        other => Error::new(ErrorKind::Corrupt, format!("the index is damaged: {other}")),
    }
}

/// Whether bytes that were there can never be read again.
fn is_lost(operation: Operation, cause: &io::Error) -> bool {
    /// The device cannot read it. All systems that name this error number it 5.
    const EIO: i32 = 5;
    matches!(operation, Operation::Open | Operation::Read | Operation::Scan)
        && (matches!(cause.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
            || cfg!(unix) && cause.raw_os_error() == Some(EIO))
}
