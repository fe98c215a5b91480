//! Locks and threads under a schedule explorer. Files of `src/` are mounted here over shuttle's locks and threads, so
//! their own tests of threads run over many schedules too. `MEMOLITH_SOAK=1` takes the long form.
//!
//! The flight is mounted whole; `tiers` drives it beside a disk and a memory tier of the test. Of the store the pending
//! values, the forgetting, the queue, the hand-overs and the changes of the worker are mounted; `worker` drives them with a
//! worker loop, a disk and a memory tier of the test, since sled's own threads cannot be scheduled.
//!
//! Time is a matter of the schedule as well: a wait with a deadline may end at any look at it.

#![allow(dead_code, unreachable_pub, unused_imports)] // Whole files are mounted, without their users.
#![allow(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "stand-ins have the signatures of the originals"
)]
#![allow(clippy::large_enum_variant, reason = "the locks of shuttle are larger")]
#![allow(clippy::unwrap_used)] // Tests only.

#[path = "../src/context/mod.rs"]
mod context;
#[path = "../src/effect_log.rs"]
mod effect_log;
#[path = "../src/error.rs"]
mod error;
#[path = "../src/fork.rs"]
mod fork;
#[path = "../src/hash.rs"]
mod hash;
#[path = "shuttle/readings.rs"]
mod readings;
#[path = "../src/flight/mod.rs"]
mod single_flight;
#[path = "shuttle/stale.rs"]
mod stale;
#[path = "shuttle/store.rs"]
mod store;
#[path = "shuttle/tasks.rs"]
mod tasks;
#[path = "shuttle/tiers.rs"]
mod tiers;
#[path = "shuttle/worker.rs"]
mod worker;

/// `src/flight` with one table for each execution in place of one for the process.
mod flight {
    pub(crate) use crate::single_flight::*;

    pub(crate) fn flight() -> &'static Flight {
        shuttle::lazy_static! {
            static ref FLIGHT: Flight = Flight::new();
        }
        &FLIGHT
    }
}

/// `Digest` of `src/key`.
mod key {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) struct Digest([u8; 32]);

    impl Digest {
        pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
            Self(bytes)
        }

        pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
            &self.0
        }
    }
}

/// `src/sync.rs` over shuttle.
mod sync {
    use std::{
        cell::Cell,
        ops::{Deref, DerefMut},
        sync::LockResult,
        time::Duration,
    };

    pub(crate) use shuttle::thread_local;
    pub(crate) use std::sync::PoisonError;

    #[derive(Default)]
    pub(crate) struct Mutex<T: ?Sized>(shuttle::sync::Mutex<T>);

    pub(crate) struct MutexGuard<'a, T: ?Sized> {
        guard: shuttle::sync::MutexGuard<'a, T>,
        mutex: &'a Mutex<T>,
    }

    #[derive(Default)]
    pub(crate) struct Condvar(shuttle::sync::Condvar);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }
    }

    impl<T: ?Sized> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    impl Condvar {
        pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
            let MutexGuard { guard, mutex } = guard;
            let guard = self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
            Ok(MutexGuard { guard, mutex })
        }

        /// shuttle's wait never ends by itself. This one may end at any look at it.
        pub(crate) fn wait_timeout<'a, T: ?Sized>(
            &self,
            guard: MutexGuard<'a, T>,
            _: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, bool)> {
            let mutex = guard.mutex;
            drop(guard);
            thread::yield_now();
            Ok((lock(mutex), true))
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    std::thread_local! {
        /// Whether a test of this thread has a second task.
        static HAS_TASKS: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        if usize::from(shuttle::current::me()) > 0 {
            HAS_TASKS.set(true);
        }
        MutexGuard { guard: mutex.0.lock().unwrap_or_else(PoisonError::into_inner), mutex }
    }

    pub(crate) fn contained(run: impl FnOnce()) {
        run();
    }

    pub(crate) fn explore(test: impl Fn() + Send + Sync + 'static) {
        let test = std::sync::Arc::new(test);
        let run = || {
            let test = std::sync::Arc::clone(&test);
            move || test()
        };
        HAS_TASKS.set(false);
        shuttle::check_random(run(), 300);
        // A test of one task has one schedule.
        if HAS_TASKS.get() && std::env::var_os("MEMOLITH_SOAK").is_some() {
            shuttle::check_random(run(), 50_000);
            shuttle::check_pct(run(), 50_000, 3);
        }
    }

    pub(crate) mod thread {
        use std::time::Duration;

        pub(crate) use shuttle::thread::*;

        /// shuttle's `park` never ends by itself.
        pub(crate) fn park_timeout(left: Duration) {
            if left == Duration::MAX { park() } else { yield_now() }
        }
    }
}

/// `Deadline` of `src/clock.rs`: a deadline that can end does so at random. Nothing expires.
mod clock {
    use std::time::Duration;

    use shuttle::rand::{Rng, thread_rng};

    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Lifetime(());

    pub(crate) struct Stopwatch;

    impl Stopwatch {
        pub(crate) fn monotonic() -> Self {
            Self
        }

        /// A task that was woken and not polled yet is stalled at any look.
        pub(crate) fn elapsed(&self) -> Duration {
            if thread_rng().gen_ratio(1, 4) { Duration::from_secs(10) } else { Duration::ZERO }
        }
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Deadline(Duration);

    impl Deadline {
        pub(crate) fn after(wait: Duration) -> Self {
            Self(wait)
        }

        pub(crate) fn remaining(self) -> Option<Duration> {
            let is_over = self.0.is_zero() || self.0 < Duration::MAX && thread_rng().gen_ratio(1, 4);
            (!is_over).then_some(self.0)
        }
    }
}

/// A thread for each wait that is looked after.
mod timer {
    use std::time::Duration;

    use crate::sync::thread;

    pub(crate) fn look_after(mut look: impl FnMut() -> Option<Duration> + Send + 'static) -> bool {
        thread::spawn(move || {
            while look().is_some() {
                thread::yield_now();
            }
        });
        true
    }
}

mod races {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };

    use crate::{
        flight::{Claim, Flight, FlightKey, Outcome, Turn},
        sync::{Mutex, explore, lock, thread},
    };

    const KEY: FlightKey = FlightKey { owner: 1, digest: [5; 32] };
    pub(crate) const FOREVER: Duration = Duration::MAX;
    const A_WHILE: Duration = Duration::from_secs(1);

    /// The smallest memo, with one key. Its value is the moment at which the computation began.
    struct Memo {
        flight: Flight,
        /// The record on disk. Its lock stands for the worker, which makes one change at a time.
        record: Mutex<Option<u64>>,
        moments: AtomicU64,
        computations: AtomicU64,
        /// The number of computations that fail, from the first one on.
        failures: u64,
        max_wait: Duration,
    }

    impl Memo {
        fn new(failures: u64, max_wait: Duration) -> Arc<Self> {
            let (moments, computations) = (AtomicU64::new(1), AtomicU64::new(0));
            let (flight, record) = (Flight::new(), Mutex::new(None));
            Arc::new(Self { flight, record, moments, computations, failures, max_wait })
        }

        fn now(&self) -> u64 {
            self.moments.fetch_add(1, Ordering::SeqCst)
        }

        fn computations(&self) -> u64 {
            self.computations.load(Ordering::SeqCst)
        }

        /// `None` when the computation failed.
        fn get(&self) -> Option<u64> {
            self.get_with(thread::yield_now)
        }

        fn get_with(&self, closure: impl FnOnce()) -> Option<u64> {
            loop {
                let claim = match self.flight.claim(KEY, self.max_wait) {
                    Turn::Lead(claim) => claim,
                    Turn::Alone(claim, _) => return self.compute(claim, closure),
                    Turn::Recheck(_) => match self.read() {
                        None => continue,
                        found => return found,
                    },
                };
                let Some(value) = self.read() else { return self.compute(claim, closure) };
                claim.complete(Outcome::Found);
                return Some(value);
            }
        }

        fn read(&self) -> Option<u64> {
            *lock(&self.record)
        }

        fn compute(&self, mut claim: Claim<'_>, closure: impl FnOnce()) -> Option<u64> {
            let began = self.now();
            let earlier = self.computations.fetch_add(1, Ordering::SeqCst);
            closure();
            if earlier < self.failures {
                claim.fail();
                return None;
            }
            let outcome = self.store(began, &claim);
            claim.complete(outcome);
            Some(began)
        }

        fn store(&self, value: u64, claim: &Claim<'_>) -> Outcome {
            let mut record = lock(&self.record);
            if !claim.is_current() {
                return Outcome::Revoked;
            }
            *record = Some(value);
            self.flight.revoke(&KEY, Some(claim));
            Outcome::Stored
        }

        /// Returns the moment of the change. No value from before it may be seen any more.
        fn replace(&self, with: impl FnOnce(u64) -> Option<u64>) -> u64 {
            let mut record = lock(&self.record);
            let now = self.now();
            *record = with(now);
            self.flight.revoke(&KEY, None);
            now
        }

        fn remove(&self) -> u64 {
            self.replace(|_| None)
        }

        fn insert(&self) -> u64 {
            self.replace(Some)
        }
    }

    /// A caller on a thread of its own, which is not scoped: the end of the last scoped thread wakes shuttle's scope
    /// out of any other wait.
    fn call(memo: &Arc<Memo>) -> thread::JoinHandle<Option<u64>> {
        let memo = Arc::clone(memo);
        thread::spawn(move || memo.get())
    }

    /// The results of `count` concurrent callers, while `meanwhile` goes on beside them.
    fn race(memo: &Arc<Memo>, count: usize, meanwhile: impl FnOnce()) -> Vec<Option<u64>> {
        let callers: Vec<_> = (0..count).map(|_| call(memo)).collect();
        meanwhile();
        let values = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert!(memo.flight.is_empty());
        values
    }

    fn failed(values: &[Option<u64>]) -> usize {
        values.iter().filter(|value| value.is_none()).count()
    }

    #[test]
    fn callers_of_one_key_compute_it_once() {
        explore(|| {
            let memo = Memo::new(0, FOREVER);
            let values = race(&memo, 4, || ());
            assert!(values.iter().all(|value| value.is_some() && *value == memo.read()));
            assert_eq!(memo.computations(), 1);
        });
    }

    #[test]
    fn a_failure_hands_over_to_exactly_one() {
        explore(|| {
            let memo = Memo::new(1, FOREVER);
            assert_eq!(failed(&race(&memo, 4, || ())), 1);
            assert_eq!(memo.computations(), 2);
        });
    }

    #[test]
    fn nobody_waits_for_a_third_try() {
        explore(|| {
            let memo = Memo::new(2, FOREVER);
            assert_eq!(failed(&race(&memo, 5, || ())), 2);
            assert!((3..=5).contains(&memo.computations()));
        });
    }

    #[test]
    fn each_caller_computes_once_when_all_fail() {
        explore(|| {
            let memo = Memo::new(u64::MAX, FOREVER);
            assert_eq!(failed(&race(&memo, 4, || ())), 4);
            assert_eq!(memo.computations(), 4);
        });
    }

    #[test]
    fn a_ring_of_keys_that_need_each_other_never_deadlocks() {
        explore(|| {
            let flight = Flight::new();
            let flight_key = |number: u64| FlightKey { owner: number % 3, digest: [5; 32] };
            let compute = |number: u64| {
                let outer = flight.claim(flight_key(number), FOREVER);
                let inner = flight.claim(flight_key(number + 1), FOREVER);
                for turn in [inner, outer] {
                    if let Turn::Lead(claim) | Turn::Alone(claim, _) = turn {
                        claim.complete(Outcome::Stored);
                    }
                }
            };
            thread::scope(|scope| (0..3).for_each(|number| drop(scope.spawn(move || compute(number)))));
            assert!(flight.is_empty());
        });
    }

    #[test]
    fn after_a_removal_nobody_gets_what_began_before_it() {
        for max_wait in [FOREVER, A_WHILE] {
            for failures in [0, 1] {
                explore(move || {
                    let memo = Memo::new(failures, max_wait);
                    race(&memo, 3, || {
                        let removed = memo.remove();
                        assert!(memo.get().is_none_or(|value| value > removed));
                        assert!(memo.read().is_none_or(|value| value > removed));
                    });
                });
            }
        }
    }

    #[test]
    fn an_insert_during_a_computation_wins() {
        for max_wait in [FOREVER, A_WHILE] {
            explore(move || {
                let memo = Memo::new(0, max_wait);
                race(&memo, 3, || {
                    let inserted = memo.insert();
                    assert_eq!(memo.get(), Some(inserted));
                });
                assert_eq!(memo.get(), memo.read());
            });
        }
    }

    #[test]
    fn everybody_finishes_while_leaders_are_taken_over() {
        explore(|| {
            let memo = Memo::new(1, A_WHILE);
            assert!(failed(&race(&memo, 4, || ())) <= 1);
            assert!(memo.read().is_some());
        });
    }

    #[test]
    fn a_leader_that_waits_unseen_for_its_own_key_is_taken_over() {
        explore(|| {
            let memo = Memo::new(0, A_WHILE);
            race(&memo, 1, || {
                let value = memo.get_with(|| assert!(call(&memo).join().unwrap().is_some()));
                assert!(value.is_some());
            });
        });
    }
}
