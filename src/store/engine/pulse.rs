//! The fence around every call of one engine, and what the calls came to.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
};

use crate::{
    error::{Error, Kind, Result},
    store::{aside, patience::Patience, watch},
    testing::{Fault, Faults, Operation},
};

/// On which thread a call of the engine is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calls {
    /// On that of the caller, who stays in it for as long as it takes.
    Here,
    /// On another, and given up when it does not answer: 4 to 18 us more.
    Aside,
}

/// How the calls of an engine are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    pub(crate) patience: Patience,
    /// For how long an index is waited for that is being opened: after an unclean end sled reads its whole log.
    pub(crate) opening: Patience,
    /// Whether no call at all of an engine in service is made on the thread of its caller.
    pub(crate) aside: bool,
    pub(crate) faults: Faults,
}

impl Manner {
    /// For how long is waited for what is more than one call: others who are in the engine, or its end.
    pub(crate) fn leave(&self) -> Patience {
        self.patience.at_least(Patience::default())
    }
}

#[derive(Default)]
pub(super) struct Pulse {
    /// How many changes were made, or tried.
    changes: AtomicU64,
    /// How many of these a flush has covered.
    flushed: AtomicU64,
    /// The worst that happened: see [`Health`].
    health: AtomicU8,
    /// Calls that may be given up, and those that were: made aside, and flushes.
    guests: AtomicU32,
    /// Whether a call was given up, and the engine not found well since.
    silent: AtomicBool,
    /// Whether there was such a call at any time: from then on all are made aside.
    wary: AtomicBool,
    manner: Manner,
}

/// How an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    Sound,
    /// The operating system refused something. sled's errors are sticky: it wants to be opened again. Or a change was given
    /// up, and nobody knows what became of it.
    Refused,
    /// Damaged, or it panicked: one bad page makes up to 205 keys fail for ever.
    Damaged,
}

impl Pulse {
    pub(super) fn new(manner: &Manner) -> Self {
        Self { manner: manner.clone(), ..Self::default() }
    }

    pub(super) fn health(&self) -> Health {
        match self.health.load(Ordering::Acquire) {
            0 => Health::Sound,
            1 => Health::Refused,
            _ => Health::Damaged,
        }
    }

    /// How many changes were made, and whether some are not flushed.
    pub(super) fn changes(&self) -> (u64, bool) {
        let flushed = self.flushed.load(Ordering::Acquire);
        let changes = self.changes.load(Ordering::Acquire);
        (changes, flushed < changes)
    }

    /// A flush has covered the first so many changes.
    pub(super) fn flushed(&self, changes: u64) {
        self.flushed.fetch_max(changes, Ordering::AcqRel);
    }

    /// Which engine this is, for the watch.
    pub(super) fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Acquire)
    }

    pub(super) fn has_guests(&self) -> bool {
        self.guests.load(Ordering::Acquire) > 0
    }

    /// A call did not answer in time.
    pub(super) fn fall_silent(&self) {
        self.silent.store(true, Ordering::Release);
        self.wary.store(true, Ordering::Release);
    }

    /// All calls came back.
    pub(super) fn answer(&self) {
        self.silent.store(false, Ordering::Release);
    }

    /// From here on it is asked by the threads of the program. While it is brought up it is waited for as a whole.
    pub(super) fn serve(&self) {
        self.wary.fetch_or(self.manner.aside, Ordering::AcqRel);
    }

    /// How a call is made that was to be made in this way.
    pub(super) fn way(&self, calls: Calls) -> Calls {
        if self.wary.load(Ordering::Relaxed) { Calls::Aside } else { calls }
    }

    /// A call that changes something.
    pub(super) fn change<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<T> {
        let changed = change();
        // Not before: a flush that begins in between would claim to have covered it.
        self.changes.fetch_add(1, Ordering::AcqRel);
        changed
    }

    /// Drops what is sled's, or holds it: it flushes, and may panic.
    pub(super) fn let_go<T>(&self, held: T) -> Result<()> {
        self.fenced(Operation::Flush, || {
            drop(held);
            Ok(())
        })
    }

    /// Runs one call of the engine so that neither its errors nor its panics reach further than an [`Error`].
    pub(super) fn fenced<T>(
        &self,
        operation: Operation,
        call: impl FnOnce() -> sled::Result<T>,
    ) -> Result<T> {
        let call = || {
            let struck = self.manner.faults.strike(operation);
            catch_unwind(AssertUnwindSafe(|| match struck {
                None => call().map_err(|error| translate(operation, error)),
                Some(fault) => Err(injected(operation, fault)),
            }))
        };
        let fenced = match operation {
            // Both may well take long, and who waits for them knows of it.
            Operation::Open | Operation::Flush => call(),
            _ => watch::seen(self.number(), self.manner.patience, call),
        };
        fenced.unwrap_or_else(|panic| Err(panicked(panic))).map_err(|error| self.failed(error))
    }

    /// The same on another thread, and given up when it does not answer in time.
    pub(super) fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        operation: Operation,
        call: impl FnOnce() -> sled::Result<T> + Send + 'static,
    ) -> Result<T> {
        // Before it is handed over, and until what came of it is dropped: nobody drops the engine.
        let guest = Guest::of(self);
        let answer = aside::run(self.manner.patience, move || (guest.0.fenced(operation, call), guest));
        answer.map_or_else(|| Err(self.unanswered(operation)), |(answer, _guest)| answer)
    }

    /// A call that others wait for, each for as long as he likes.
    pub(super) fn staying<T>(self: &Arc<Self>, call: impl FnOnce(&Self) -> T) -> T {
        let guest = Guest::of(self);
        call(&guest.0)
    }

    fn unanswered(&self, operation: Operation) -> Error {
        self.fall_silent();
        let error = unanswered();
        match operation {
            Operation::Write | Operation::Remove => {
                self.health.fetch_max(Health::Refused as u8, Ordering::AcqRel);
                error
            }
            _ => error,
        }
    }

    /// Takes note of an error.
    pub(super) fn failed(&self, error: Error) -> Error {
        let health = match error.kind() {
            Kind::Closed => Health::Sound,
            Kind::Io => Health::Refused,
            _ => Health::Damaged,
        };
        self.health.fetch_max(health as u8, Ordering::AcqRel);
        error
    }
}

/// Keeps the engine from being dropped while a call is made aside.
struct Guest(Arc<Pulse>);

impl Guest {
    fn of(pulse: &Arc<Pulse>) -> Self {
        pulse.guests.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(pulse))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is said of an engine that does not answer.
pub(crate) fn unanswered() -> Error {
    Error::new(Kind::Engine, "the storage engine did not answer in time")
}

fn panicked(panic: Box<dyn Any + Send>) -> Error {
    Error::panicked("the storage engine", panic).with_kind(Kind::Engine)
}

#[expect(clippy::panic, reason = "a planted panic is one")]
fn injected(operation: Operation, fault: Fault) -> Error {
    match fault {
        Fault::Panic => panic!("planted in {operation:?}"),
        Fault::Corrupt => translate(operation, sled::Error::Corruption { at: None, bt: () }),
        Fault::NoSpace | Fault::Hang => {
            translate(operation, sled::Error::Io(io::ErrorKind::StorageFull.into()))
        }
    }
}

fn translate(operation: Operation, error: sled::Error) -> Error {
    match error {
        sled::Error::Io(cause) if is_lost(operation, &cause) => {
            Error::new(Kind::Corrupt, format!("the index is damaged: {cause}"))
        }
        sled::Error::Io(cause) => Error::io("the index", cause),
        sled::Error::CollectionNotFound(_) => Error::new(Kind::Closed, "the table was dropped"),
        sled::Error::Corruption { .. } => Error::new(Kind::Corrupt, "the index is damaged"),
        // A flipped bit in sled's own head reads as a database of another version, or as a bug of sled.
        other => Error::new(Kind::Corrupt, format!("the index is damaged: {other}")),
    }
}

/// Whether what was to be read is not there any more: it will not be when it is tried again.
fn is_lost(operation: Operation, cause: &io::Error) -> bool {
    /// The device cannot read it; of the systems that name it, all call it 5.
    const EIO: i32 = 5;
    matches!(operation, Operation::Open | Operation::Read | Operation::Scan)
        && (matches!(cause.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
            || cfg!(unix) && cause.raw_os_error() == Some(EIO))
}
