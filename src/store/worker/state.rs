//! The state of the engine: one enum, and every transition between its values. `docs/design.md` draws it.
//!
//! The worker opens, closes and replaces engines. Callers ask for the running one, report an engine that failed under
//! their reads, and report a worker that did not answer in time.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::{Clock, Stopwatch},
    error::{Error, ErrorKind, Result},
    store::engine::{Engine, Health},
};

/// The first pause after the engine failed. It doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) enum EngineState {
    /// The worker opens an index for the first time.
    #[default]
    Opening,
    Running(Arc<Engine>),
    /// The operating system refused something. The same index is opened again after a pause.
    BackingOff(Backoff),
    /// The index is damaged. The next number is begun after a pause, the first time without one.
    Corrupt(Backoff),
    /// The worker did not answer in time. Calls fail at once until it does, and the state is as it was then.
    Stalled {
        before: Box<EngineState>,
    },
    Closed,
}

impl EngineState {
    /// The state of the engine itself, whether or not the worker answers.
    fn of_engine(&mut self) -> &mut Self {
        match self {
            Self::Stalled { before } => before,
            state => state,
        }
    }
}

/// Why there is no engine, and until when.
pub(crate) struct Backoff {
    pub(crate) error: Error,
    pub(crate) since: Stopwatch,
    pub(crate) pause: Duration,
}

impl Backoff {
    fn is_over(&self) -> bool {
        self.since.elapsed() >= self.pause
    }
}

/// 1 s, doubled with every failure up to 60 s. A damaged index is replaced without a pause at first: nothing has to pass
/// before a new one works.
pub(crate) fn pause(failures: u32, is_corrupt: bool) -> Duration {
    match failures.checked_sub(u32::from(is_corrupt)) {
        None => Duration::ZERO,
        Some(doublings) => (FIRST_PAUSE * 2_u32.pow(doublings.min(6))).min(LONGEST_PAUSE),
    }
}

/// The state of a store's engine, shared by its worker and its callers.
#[derive(Default)]
pub(crate) struct EngineSlot {
    state: RwLock<EngineState>,
    /// Whether the state is `Closed`, which is its last one. Looked at by every call.
    is_closed: AtomicBool,
    /// The number of failures since a flush last succeeded.
    consecutive_failures: AtomicU32,
}

impl EngineSlot {
    /// The engine to read from. A stalled worker keeps no reader away.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) fn reader(&self) -> Result<Arc<Engine>> {
        reader(&self.read())
    }

    /// Whether a change can be handed to the worker: its engine runs, and it answers.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn check_writable(&self) -> Result<()> {
        match &*self.read() {
            EngineState::Running(_) => Ok(()),
            EngineState::Stalled { .. } => Err(stalled()),
            EngineState::Opening => Err(opening()),
            EngineState::BackingOff(backoff) | EngineState::Corrupt(backoff) => Err(backoff.error.clone()),
            EngineState::Closed => Err(closed()),
        }
    }

    /// Whether the worker would open an engine if it were asked now.
    pub(crate) fn wants_reopen(&self) -> bool {
        match &*self.read() {
            EngineState::BackingOff(backoff) | EngineState::Corrupt(backoff) => backoff.is_over(),
            _ => false,
        }
    }

    pub(crate) fn is_corrupt(&self) -> bool {
        let state = self.read();
        let state = if let EngineState::Stalled { before } = &*state { before } else { &*state };
        matches!(state, EngineState::Corrupt(_))
    }

    pub(crate) fn is_stalled(&self) -> bool {
        matches!(&*self.read(), EngineState::Stalled { .. })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// The worker opened an engine, or put a copy with the same entries in the place of the running one.
    pub(crate) fn opened(&self, engine: &Arc<Engine>) {
        self.change(|_| EngineState::Running(Arc::clone(engine)));
    }

    /// The worker could not open an engine.
    pub(crate) fn not_opened(&self, error: &Error, clock: &Clock) {
        self.change(|state| {
            let is_corrupt = matches!(state, EngineState::Corrupt(_));
            self.failed_state(error, is_corrupt, clock)
        });
    }

    /// A call to `engine` failed. Its health decides: it is opened again later, or never. Another engine that runs by now
    /// is left alone. A stall goes on: the failure of a read is no answer of the worker.
    pub(crate) fn failed(&self, engine: &Arc<Engine>, error: &Error, clock: &Clock) {
        let is_corrupt = match engine.health() {
            Health::Sound => return,
            Health::Refused => false,
            Health::Damaged => true,
        };
        let mut state = self.write();
        let of_engine = state.of_engine();
        if matches!(of_engine, EngineState::Running(running) if Arc::ptr_eq(running, engine)) {
            *of_engine = self.failed_state(error, is_corrupt, clock);
        }
    }

    /// The worker did not answer in time.
    pub(crate) fn stalled(&self) {
        let mut state = self.write();
        if matches!(&*state, EngineState::Stalled { .. } | EngineState::Closed) {
            return;
        }
        let before = std::mem::replace(&mut *state, EngineState::Closed);
        *state = EngineState::Stalled { before: Box::new(before) };
    }

    /// The worker answers again.
    pub(crate) fn answered(&self) {
        if self.is_stalled() {
            self.change(|state| state);
        }
    }

    /// The store is closed for good.
    pub(crate) fn closed(&self) {
        let mut state = self.write();
        *state = EngineState::Closed;
        self.is_closed.store(true, Ordering::Release);
    }

    /// A flush succeeded.
    pub(crate) fn flushed(&self) {
        self.consecutive_failures.store(0, Ordering::Release);
    }

    fn failed_state(&self, error: &Error, is_corrupt: bool, clock: &Clock) -> EngineState {
        let failures = self.consecutive_failures.fetch_add(1, Ordering::AcqRel);
        let pause = pause(failures, is_corrupt);
        let backoff = Backoff { error: error.clone(), since: clock.stopwatch(), pause };
        if is_corrupt { EngineState::Corrupt(backoff) } else { EngineState::BackingOff(backoff) }
    }

    /// A transition that the worker makes. It ends a stall. A closed state is never left.
    fn change(&self, change: impl FnOnce(EngineState) -> EngineState) {
        let mut state = self.write();
        let before = match std::mem::replace(&mut *state, EngineState::Closed) {
            EngineState::Closed => return,
            EngineState::Stalled { before } => *before,
            before => before,
        };
        *state = change(before);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, EngineState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, EngineState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reader(state: &EngineState) -> Result<Arc<Engine>> {
    match state {
        EngineState::Running(engine) => Ok(Arc::clone(engine)),
        EngineState::Stalled { before } => reader(before),
        EngineState::Opening => Err(opening()),
        EngineState::BackingOff(backoff) | EngineState::Corrupt(backoff) => Err(backoff.error.clone()),
        EngineState::Closed => Err(closed()),
    }
}

fn opening() -> Error {
    Error::new(ErrorKind::Engine, "the storage engine is still opening its index")
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed: open it again")
}

/// The error of a worker that does not answer.
pub(crate) fn stalled() -> Error {
    Error::new(ErrorKind::Engine, "the storage engine did not answer in time")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fault, Faults, ManualClock, Operation};

    struct Bench {
        slot: EngineSlot,
        clock: Clock,
        faults: Faults,
        _directory: tempfile::TempDir,
        engine: Arc<Engine>,
    }

    fn bench() -> Bench {
        let (directory, faults) = (tempfile::tempdir().unwrap(), Faults::new());
        let engine = Arc::new(Engine::open(directory.path(), &faults).unwrap());
        Bench { slot: EngineSlot::default(), clock: Clock::default(), faults, _directory: directory, engine }
    }

    impl Bench {
        fn name(&self) -> &'static str {
            name(&self.slot.read())
        }

        /// A call to the engine that fails by `fault`.
        fn fails(&self, fault: Fault) {
            self.faults.plant(Operation::Read, fault);
            let error = self.engine.records.get(b"key").map(drop).unwrap_err();
            self.faults.heal();
            self.slot.failed(&self.engine, &error, &self.clock);
        }
    }

    fn name(state: &EngineState) -> &'static str {
        match state {
            EngineState::Opening => "opening",
            EngineState::Running(_) => "running",
            EngineState::BackingOff(_) => "backing off",
            EngineState::Corrupt(_) => "corrupt",
            EngineState::Stalled { .. } => "stalled",
            EngineState::Closed => "closed",
        }
    }

    fn refused() -> Error {
        Error::new(ErrorKind::Io, "no space")
    }

    #[test]
    fn an_engine_that_opens_runs_until_the_store_is_closed() {
        let bench = bench();
        assert_eq!(bench.name(), "opening");
        assert!(bench.slot.reader().is_err() && bench.slot.check_writable().is_err());
        bench.slot.opened(&bench.engine);
        assert_eq!(bench.name(), "running");
        assert!(bench.slot.reader().is_ok() && bench.slot.check_writable().is_ok());
        bench.slot.closed();
        bench.slot.opened(&bench.engine);
        assert_eq!(bench.name(), "closed", "a late open changes nothing");
        assert!(bench.slot.reader().err().unwrap().kind() == ErrorKind::Closed);
    }

    #[test]
    fn a_refusal_backs_off_and_the_next_open_runs() {
        let bench = bench();
        bench.slot.not_opened(&refused(), &bench.clock);
        assert_eq!(bench.name(), "backing off");
        bench.slot.opened(&bench.engine);
        bench.fails(Fault::NoSpace);
        assert_eq!(bench.name(), "backing off");
        assert!(bench.slot.reader().err().unwrap().is_io() && !bench.slot.wants_reopen());
        bench.slot.opened(&bench.engine);
        assert_eq!(bench.name(), "running");
    }

    #[test]
    fn damage_is_corrupt_until_another_index_opens() {
        let bench = bench();
        bench.slot.opened(&bench.engine);
        bench.fails(Fault::Panic);
        assert!(bench.name() == "corrupt" && bench.slot.is_corrupt());
        assert!(bench.slot.wants_reopen(), "the first time without a pause");
        bench.slot.not_opened(&refused(), &bench.clock);
        assert_eq!(
            bench.name(),
            "corrupt",
            "an index that could not be begun does not make the old one sound"
        );
        bench.slot.opened(&bench.engine);
        assert_eq!(bench.name(), "running");
    }

    #[test]
    fn a_stalled_worker_fails_changes_and_no_reads_until_it_answers() {
        let bench = bench();
        bench.slot.opened(&bench.engine);
        bench.slot.stalled();
        bench.slot.stalled();
        assert_eq!(bench.name(), "stalled");
        assert!(bench.slot.reader().is_ok() && bench.slot.check_writable().is_err());
        bench.slot.answered();
        assert_eq!(bench.name(), "running");
        bench.slot.stalled();
        bench.fails(Fault::NoSpace);
        assert_eq!(bench.name(), "stalled", "the failure of a read is no answer of the worker");
        assert!(bench.slot.reader().is_err() && !bench.slot.wants_reopen());
        bench.slot.answered();
        assert_eq!(bench.name(), "backing off");
        bench.slot.stalled();
        bench.slot.closed();
        bench.slot.stalled();
        assert_eq!(bench.name(), "closed");
    }

    #[test]
    fn a_failure_of_an_earlier_engine_leaves_the_running_one_and_a_stall_alone() {
        let (bench, other) = (bench(), bench());
        bench.slot.opened(&other.engine);
        bench.fails(Fault::Panic);
        assert_eq!(bench.name(), "running");
        bench.slot.stalled();
        bench.fails(Fault::Panic);
        assert_eq!(bench.name(), "stalled");
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_a_flush_begins_anew() {
        let seconds = |failures, is_corrupt| pause(failures, is_corrupt).as_secs();
        assert_eq!([0, 1, 2, 5, 6, 100].map(|failures| seconds(failures, false)), [1, 2, 4, 32, 60, 60]);
        assert_eq!([0, 1, 2, 100].map(|failures| seconds(failures, true)), [0, 1, 2, 60]);
        let clock = ManualClock::new();
        let bench = Bench { clock: Clock::manual(clock.clone()), ..bench() };
        for second in [1, 2, 1] {
            bench.slot.not_opened(&refused(), &bench.clock);
            clock.advance(Duration::from_millis(second * 1000 - 1));
            assert!(!bench.slot.wants_reopen());
            clock.advance(Duration::from_millis(1));
            assert!(bench.slot.wants_reopen());
            if second == 2 {
                bench.slot.flushed();
            }
        }
    }

    const STATES: [&str; 7] =
        ["opening", "running", "backing off", "corrupt", "stalled", "stalled while corrupt", "closed"];

    /// Brings a new slot into a state.
    fn bench_in(state: &str) -> Bench {
        let bench = bench();
        bench.slot.opened(&bench.engine);
        match state {
            "opening" => *bench.slot.write() = EngineState::Opening,
            "backing off" => *bench.slot.write() = bench.slot.failed_state(&refused(), false, &bench.clock),
            "corrupt" => *bench.slot.write() = bench.slot.failed_state(&refused(), true, &bench.clock),
            "stalled" => bench.slot.stalled(),
            "stalled while corrupt" => {
                *bench.slot.write() = bench.slot.failed_state(&refused(), true, &bench.clock);
                bench.slot.stalled();
            }
            "closed" => bench.slot.closed(),
            _ => {}
        }
        bench
    }

    #[test]
    fn every_event_leads_from_every_state_where_the_drawing_says() {
        type Event = fn(&Bench);
        // One column a state, in the order of `STATES`.
        let table: [(&str, Event, [&str; 7]); 8] = [
            (
                "opened",
                |bench| bench.slot.opened(&bench.engine),
                ["running", "running", "running", "running", "running", "running", "closed"],
            ),
            (
                "not opened",
                |bench| bench.slot.not_opened(&refused(), &bench.clock),
                ["backing off", "backing off", "backing off", "corrupt", "backing off", "corrupt", "closed"],
            ),
            (
                "refused",
                |bench| bench.fails(Fault::NoSpace),
                ["opening", "backing off", "backing off", "corrupt", "stalled", "stalled", "closed"],
            ),
            (
                "damaged",
                |bench| bench.fails(Fault::Panic),
                ["opening", "corrupt", "backing off", "corrupt", "stalled", "stalled", "closed"],
            ),
            (
                "failed soundly",
                |bench| bench.slot.failed(&bench.engine, &refused(), &bench.clock),
                ["opening", "running", "backing off", "corrupt", "stalled", "stalled", "closed"],
            ),
            (
                "no answer",
                |bench| bench.slot.stalled(),
                ["stalled", "stalled", "stalled", "stalled", "stalled", "stalled", "closed"],
            ),
            (
                "answered",
                |bench| bench.slot.answered(),
                ["opening", "running", "backing off", "corrupt", "running", "corrupt", "closed"],
            ),
            ("closed", |bench| bench.slot.closed(), ["closed"; 7]),
        ];
        for (event, happen, ends) in table {
            for (state, end) in STATES.into_iter().zip(ends) {
                let bench = bench_in(state);
                happen(&bench);
                assert_eq!(bench.name(), end, "{event} while {state}");
            }
        }
    }
}
