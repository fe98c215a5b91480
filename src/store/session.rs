//! What all handles of a store share in memory: the memory tier, observers, counters, the clock. Nothing here touches the
//! disk.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::{Clock, Deadline},
    error::{Error, ErrorKind, Result},
    fork::Origin,
    memory::{Admission, CachedValue, Memory},
    observe::{Event, ObserverRegistry, Observers, Warning},
    stats::{Counters, MemoCounters, Stats},
    store::scope::name_of,
    sync::{Condvar, Mutex, PoisonError, lock},
};

/// What a store is opened with, as far as it concerns memory.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The budget of the memory tier in bytes.
    pub(crate) memory: u64,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_wait: Duration,
    pub(crate) max_stall: Duration,
    pub(crate) observers: Observers,
    pub(crate) clock: Clock,
}

pub(crate) struct Session {
    pub(crate) clock: Clock,
    pub(crate) memory: Memory,
    pub(crate) observers: ObserverRegistry,
    /// Failures of the store as a whole.
    pub(crate) counters: Counters,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_wait: Duration,
    pub(crate) max_stall: Duration,
    /// Of every memo that is or was open.
    memo_counters: MemoCounters,
    /// Left over by threads on which no code of the user may run. The next thread that may takes it.
    leftover: Mutex<Leftover>,
    /// A thread has told the events that it took.
    told: Condvar,
    /// Whether the store was closed for all its handles.
    closed: AtomicBool,
    origin: Origin,
}

/// The error of a child process.
pub(crate) fn inherited() -> Error {
    let message = "this process was forked from the one that opened the store, which it cannot use: fork before the first \
                   store is opened, or start a program instead";
    Error::new(ErrorKind::Closed, message)
}

/// Values to drop and events to tell: both run code of the user.
#[derive(Default)]
struct Leftover {
    /// Values out of the memory tier.
    values: Vec<Arc<CachedValue>>,
    /// In their order.
    events: Vec<Untold>,
    /// The number of threads that are telling events at this moment.
    telling: usize,
}

/// How long a thread waits for another one that tells events. An observer may wait for that very thread.
const TELLING_TIMEOUT: Duration = Duration::from_millis(100);

/// An event that was counted and not told yet.
pub(crate) enum Untold {
    /// A failure of the store as a whole.
    Failed(Error),
    /// A failure of one memo, by name and scope.
    MemoFailed(Arc<str>, Error),
    /// Entries of a memo left.
    Left(Arc<str>, Left),
    /// The store was opened under a circumstance that its user should know.
    Warned(Warning),
}

/// How many entries of a memo left, and why.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Left {
    /// Because of a bound, fresh or not.
    pub(crate) for_room: u64,
    pub(crate) fresh: u64,
    pub(crate) expired: u64,
}

impl Left {
    pub(crate) fn one(fresh: bool, for_room: bool) -> Self {
        Self { for_room: u64::from(for_room), fresh: u64::from(fresh), expired: u64::from(!fresh) }
    }

    fn add(&mut self, other: Self) {
        self.for_room += other.for_room;
        self.fresh += other.fresh;
        self.expired += other.expired;
    }

    fn events(self, memo: &str) -> impl Iterator<Item = Event<'_>> {
        let evicted = (self.fresh > 0).then_some(Event::Evicted { memo, entries: self.fresh });
        let expired = (self.expired > 0).then_some(Event::Expired { memo, entries: self.expired });
        evicted.into_iter().chain(expired)
    }
}

impl Session {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            clock: settings.clock.clone(),
            memory: Memory::new(settings.memory),
            observers: ObserverRegistry::new(settings.observers.clone()),
            counters: Counters::new(settings.clock.clone()),
            max_bytes: settings.max_bytes,
            max_wait: settings.max_wait,
            max_stall: settings.max_stall,
            memo_counters: MemoCounters::new(settings.clock.clone()),
            leftover: Mutex::default(),
            told: Condvar::new(),
            closed: AtomicBool::new(false),
            origin: Origin::here(),
        }
    }

    /// Whether this process was forked from the one that opened the store. Then nothing here may be locked.
    pub(crate) fn is_inherited(&self) -> bool {
        self.origin.is_elsewhere()
    }

    /// # Errors
    ///
    /// Of the kind `closed`, when this process was forked from the one that opened the store.
    pub(crate) fn check_origin(&self) -> Result<()> {
        if self.is_inherited() { Err(inherited()) } else { Ok(()) }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether it was closed already.
    pub(super) fn mark_closed(&self) -> bool {
        self.closed.swap(true, Ordering::AcqRel)
    }

    /// Tells the observers of the memo, and those of the store. One that panics is counted, and not told of that.
    pub(crate) fn tell(&self, of_memo: Option<&Observers>, event: &Event<'_>) {
        self.observers.notify(of_memo, event).iter().for_each(|panic| self.counters.failed(panic));
    }

    /// Counts, keeps and tells a failure of the store as a whole.
    pub(crate) fn failed(&self, error: &Error) {
        self.note_failed(error);
        self.settle();
    }

    /// Counts a failure of the store as a whole. It is told later.
    pub(crate) fn note_failed(&self, error: &Error) {
        self.counters.failed(error);
        self.note(Untold::Failed(error.clone()));
    }

    /// Leaves an event to a thread that may tell it. Entries of one memo that leave one after the other are one event.
    pub(crate) fn note(&self, untold: Untold) {
        let mut leftover = lock(&self.leftover);
        if let (Untold::Left(memo, more), Some(Untold::Left(last, left))) =
            (&untold, leftover.events.last_mut())
            && memo == last
        {
            left.add(*more);
        } else {
            leftover.events.push(untold);
        }
    }

    /// Leaves values to a thread that may drop them.
    pub(crate) fn leave(&self, values: impl IntoIterator<Item = Arc<CachedValue>>) {
        lock(&self.leftover).values.extend(values);
    }

    pub(crate) fn has_leftover(&self) -> bool {
        let leftover = lock(&self.leftover);
        !leftover.values.is_empty() || !leftover.events.is_empty()
    }

    /// Drops the values and tells the events that others left, and waits a moment for a thread that is telling some. Not
    /// to be called under a lock. Within an observer it tells nothing.
    pub(crate) fn settle(&self) {
        let values = std::mem::take(&mut lock(&self.leftover).values);
        self.release(values);
        if ObserverRegistry::is_in_observer() {
            return;
        }
        let mut leftover = lock(&self.leftover);
        let events = std::mem::take(&mut leftover.events);
        if !events.is_empty() {
            leftover.telling += 1;
            drop(leftover);
            for event in events {
                self.tell_one(event);
            }
            leftover = lock(&self.leftover);
            leftover.telling -= 1;
            self.told.notify_all();
        }
        let deadline = Deadline::after(TELLING_TIMEOUT);
        while leftover.telling > 0
            && let Some(left) = deadline.remaining()
        {
            leftover = self.told.wait_timeout(leftover, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn tell_one(&self, event: Untold) {
        match event {
            Untold::Failed(error) => self.tell(None, &Event::Failed { memo: None, error: &error }),
            Untold::MemoFailed(memo, error) => {
                let observers = self.observers.of_memo(&memo);
                let event = Event::Failed { memo: Some(name_of(&memo)), error: &error };
                self.tell(observers.as_deref(), &event);
            }
            Untold::Warned(warning) => self.tell(None, &Event::Warned { warning: &warning }),
            Untold::Left(memo, left) => {
                let observers = self.observers.of_memo(&memo);
                left.events(name_of(&memo)).for_each(|event| self.tell(observers.as_deref(), &event));
            }
        }
    }

    /// Takes a value into the memory tier, unless `still` says that its claim was revoked. Values that have to leave for it
    /// are dropped here. Whether it was kept.
    pub(crate) fn admit(
        &self,
        owner: u64,
        held: Arc<CachedValue>,
        cap: Option<u64>,
        still: impl FnOnce() -> bool,
    ) -> bool {
        let admitted = self.memory.admit(owner, &held, cap, still);
        self.release([held]);
        let Admission::Kept(victims) = admitted else { return false };
        self.release(victims);
        true
    }

    /// Drops values out of the memory tier, one by one: a panic in the drop of one concerns neither this call nor the
    /// next value.
    pub(crate) fn release(&self, values: impl IntoIterator<Item = Arc<CachedValue>>) {
        values.into_iter().for_each(|value| self.release_one(value));
    }

    /// The same for one value.
    #[inline]
    pub(crate) fn release_one(&self, value: Arc<CachedValue>) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
            self.report_drop(panic);
        }
    }

    #[cold]
    fn report_drop(&self, panic: Box<dyn Any + Send>) {
        self.failed(&Error::panicked("the `Drop` of a value that left the memory", panic));
    }

    pub(crate) fn counters_of(&self, name: &str) -> Arc<Counters> {
        self.memo_counters.of(name)
    }

    /// Of the store and of every memo that it had open.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.counters.snapshot();
        self.memo_counters.iter().for_each(|counters| stats.add(&counters.snapshot()));
        stats
    }
}
