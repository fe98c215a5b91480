//! Tasks that wait by being polled, over many schedules: beside threads, dropped at any poll, failing, and stalled.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
};

use crate::{
    context::{Context, Within},
    flight::{AloneReason, Asker, Claim, Flight, FlightKey, Outcome, Turn, WithPulse, flight},
    races::FOREVER,
    sync::{Mutex, explore, lock, thread},
};

const A_WHILE: Duration = Duration::from_secs(1);

const fn key(owner: u64) -> FlightKey {
    FlightKey { owner, digest: [5; 32] }
}

const KEY: FlightKey = key(1);

/// Gives way to the other tasks, woken at once.
async fn yield_now() {
    let mut is_over = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The smallest memo, with one key. Its value is the moment at which the computation began.
struct Memo {
    flight: &'static Flight,
    record: Mutex<Option<u64>>,
    moments: AtomicU64,
    computations: AtomicU64,
    /// The number of computations that fail, from the first one on.
    failures: u64,
    max_stall: Duration,
    /// Whether a leader computes.
    is_led: AtomicBool,
    /// Whether no leader may compute beside it: none is stalled, and none was revoked.
    is_exclusive: AtomicBool,
}

/// A leader computes.
struct Led<'a>(&'a Memo);

impl Drop for Led<'_> {
    fn drop(&mut self) {
        self.0.is_led.store(false, SeqCst);
    }
}

impl Memo {
    fn new(failures: u64, max_stall: Duration) -> Arc<Self> {
        Arc::new(Self {
            flight: flight(),
            record: Mutex::new(None),
            moments: AtomicU64::new(1),
            computations: AtomicU64::new(0),
            failures,
            max_stall,
            is_led: AtomicBool::new(false),
            is_exclusive: AtomicBool::new(max_stall == FOREVER),
        })
    }

    fn read(&self) -> Option<u64> {
        *lock(&self.record)
    }

    /// A task. `None` when the computation failed.
    fn get(&self) -> impl Future<Output = Option<u64>> {
        WithPulse::new(self.max_stall, async |pulse| {
            let asker = Asker::task(pulse);
            loop {
                let turn = self.flight.claim_in_task(KEY, &asker, FOREVER, false).await;
                match self.take(turn) {
                    Step::Done(value) => return Some(value),
                    Step::Again => {}
                    Step::Compute(claim, is_leader) => {
                        let context = Context::current().within(asker.caller);
                        let began = Within::new(context, self.begin(is_leader)).await;
                        return self.finish(claim, began);
                    }
                }
            }
        })
    }

    /// A thread.
    fn get_blocking(&self) -> Option<u64> {
        loop {
            match self.take(self.flight.claim(KEY, FOREVER)) {
                Step::Done(value) => return Some(value),
                Step::Again => {}
                Step::Compute(claim, is_leader) => {
                    let began = block_on(self.begin(is_leader));
                    return self.finish(claim, began);
                }
            }
        }
    }

    fn take(&self, turn: Turn<'static>) -> Step {
        match turn {
            Turn::Alone(claim, reason) => {
                assert!(reason != AloneReason::Failures || self.failures > 1, "a drop is no failure");
                Step::Compute(claim, false)
            }
            Turn::Recheck(_) => self.read().map_or(Step::Again, Step::Done),
            Turn::Lead(claim) => match self.read() {
                None => Step::Compute(claim, true),
                Some(value) => {
                    claim.complete(Outcome::Found);
                    Step::Done(value)
                }
            },
        }
    }

    async fn begin(&self, is_leader: bool) -> (u64, u64) {
        let was_led = is_leader && self.is_led.swap(true, SeqCst);
        assert!(!(was_led && self.is_exclusive.load(SeqCst)), "two lead");
        let led = is_leader.then(|| Led(self));
        let began = self.moments.fetch_add(1, SeqCst);
        let earlier = self.computations.fetch_add(1, SeqCst);
        for _ in 0..thread_rng().gen_range(0..3) {
            yield_now().await;
        }
        drop(led);
        (began, earlier)
    }

    fn finish(&self, mut claim: Claim<'static>, (began, earlier): (u64, u64)) -> Option<u64> {
        if earlier < self.failures {
            claim.fail();
            return None;
        }
        let mut record = lock(&self.record);
        let outcome = if claim.is_current() {
            *record = Some(began);
            self.flight.revoke(&KEY, Some(&claim));
            Outcome::Stored
        } else {
            Outcome::Revoked
        };
        drop(record);
        claim.complete(outcome);
        Some(began)
    }

    /// Returns the moment of the removal.
    fn remove(&self) -> u64 {
        self.is_exclusive.store(false, SeqCst);
        let mut record = lock(&self.record);
        let now = self.moments.fetch_add(1, SeqCst);
        *record = None;
        self.flight.revoke(&KEY, None);
        now
    }
}

enum Step {
    Done(u64),
    Again,
    Compute(Claim<'static>, bool),
}

/// A task that is dropped at a random poll. `None` if that came before its end.
async fn until_dropped<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if thread_rng().gen_ratio(1, 3) {
            return Poll::Ready(None);
        }
        let poll = future.as_mut().poll(cx);
        if poll.is_pending() && thread_rng().gen_ratio(1, 2) {
            cx.waker().wake_by_ref();
        }
        poll.map(Some)
    })
    .await
}

fn spawn<T: Send + 'static>(
    memo: &Arc<Memo>,
    work: impl FnOnce(&Memo) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let memo = Arc::clone(memo);
    thread::spawn(move || work(&memo))
}

/// The values of tasks, and of one thread, which are not dropped.
fn race(memo: &Arc<Memo>, tasks: usize, dropped: usize) -> Vec<Option<u64>> {
    let dropped: Vec<_> =
        (0..dropped).map(|_| spawn(memo, |memo| _ = block_on(until_dropped(memo.get())))).collect();
    let mut callers: Vec<_> = (0..tasks).map(|_| spawn(memo, |memo| block_on(memo.get()))).collect();
    callers.push(spawn(memo, Memo::get_blocking));
    for task in dropped {
        task.join().unwrap();
    }
    let values = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    assert!(memo.flight.is_empty());
    values
}

#[test]
fn tasks_and_threads_of_one_key_compute_it_once() {
    explore(|| {
        let memo = Memo::new(0, FOREVER);
        assert!(race(&memo, 3, 0).iter().all(|value| *value == memo.read()));
        assert_eq!(memo.computations.load(SeqCst), 1);
    });
}

#[test]
fn a_failure_of_a_task_hands_over_to_exactly_one() {
    explore(|| {
        let memo = Memo::new(1, FOREVER);
        assert_eq!(race(&memo, 3, 0).iter().filter(|value| value.is_none()).count(), 1);
        assert_eq!(memo.computations.load(SeqCst), 2);
    });
}

#[test]
fn tasks_that_are_dropped_at_any_poll_leave_no_trace() {
    explore(|| {
        let memo = Memo::new(0, FOREVER);
        let values = race(&memo, 1, 4);
        assert!(values.iter().all(|value| value.is_some() && *value == memo.read()));
    });
}

#[test]
fn tasks_that_are_dropped_and_fail_lose_no_wake() {
    explore(|| {
        let memo = Memo::new(2, FOREVER);
        race(&memo, 3, 2);
    });
}

#[test]
fn a_task_that_is_stalled_is_taken_over() {
    explore(|| {
        let memo = Memo::new(0, A_WHILE);
        assert!(race(&memo, 3, 1).iter().all(Option::is_some));
        assert!(memo.read().is_some());
    });
}

#[test]
fn a_task_that_is_never_polled_again_holds_up_no_caller() {
    explore(|| {
        let memo = Memo::new(0, A_WHILE);
        let kept = spawn(&memo, |memo| {
            let mut kept = Box::pin(memo.get());
            let is_done = block_on(poll_fn(|cx| Poll::Ready(kept.as_mut().poll(cx).is_ready())));
            // Its own thread asks too, and is not held up either.
            assert!(is_done || memo.get_blocking().is_some());
        });
        assert!(race_with(&memo, 2).iter().all(Option::is_some));
        kept.join().unwrap();
        assert!(memo.flight.is_empty());
    });
}

/// As [`race`], beside other callers.
fn race_with(memo: &Arc<Memo>, tasks: usize) -> Vec<Option<u64>> {
    let mut callers: Vec<_> = (0..tasks).map(|_| spawn(memo, |memo| block_on(memo.get()))).collect();
    callers.push(spawn(memo, Memo::get_blocking));
    callers.into_iter().map(|caller| caller.join().unwrap()).collect()
}

#[test]
fn after_a_removal_no_task_gets_what_began_before_it() {
    for max_stall in [FOREVER, A_WHILE] {
        explore(move || {
            let memo = Memo::new(0, max_stall);
            let others = [(); 2].map(|()| spawn(&memo, |memo| _ = block_on(until_dropped(memo.get()))));
            let task = spawn(&memo, |memo| block_on(memo.get()));
            let removed = memo.remove();
            assert!(block_on(memo.get()).unwrap() > removed);
            assert!(memo.read().is_none_or(|value| value > removed));
            others
                .into_iter()
                .chain([spawn(&memo, |memo| _ = memo.get_blocking())])
                .for_each(|task| task.join().unwrap());
            assert!(task.join().unwrap().is_some());
            assert!(memo.flight.is_empty());
        });
    }
}

/// Claims a key, and another one within it.
async fn compute_both(flight: &'static Flight, mine: FlightKey, other: FlightKey, max_stall: Duration) {
    let claim = async |key, then: Option<FlightKey>| {
        WithPulse::new(max_stall, async |pulse| {
            let asker = Asker::task(pulse);
            let turn = flight.claim_in_task(key, &asker, FOREVER, false).await;
            let (Turn::Lead(claim) | Turn::Alone(claim, _)) = turn else { return };
            let inner = async {
                yield_now().await;
                let Some(key) = then else { return };
                let inner = async |pulse| {
                    let turn = flight.claim_in_task(key, &Asker::task(pulse), FOREVER, false).await;
                    if let Turn::Lead(claim) | Turn::Alone(claim, _) = turn {
                        yield_now().await;
                        claim.complete(Outcome::Stored);
                    }
                };
                WithPulse::new(max_stall, inner).await;
            };
            Within::new(Context::current().within(asker.caller), inner).await;
            claim.complete(Outcome::Stored);
        })
        .await;
    };
    claim(mine, Some(other)).await;
}

#[test]
fn a_ring_of_keys_that_tasks_need_from_each_other_never_deadlocks() {
    explore(|| {
        let flight = flight();
        let tasks = [0, 1, 2].map(|number| {
            thread::spawn(move || {
                let work = compute_both(flight, key(number), key((number + 1) % 3), FOREVER);
                if number == 2 { _ = block_on(until_dropped(work)) } else { block_on(work) }
            })
        });
        let ring = thread::spawn(move || {
            let outer = flight.claim(key(1), FOREVER);
            let inner = flight.claim(key(0), FOREVER);
            for turn in [inner, outer] {
                if let Turn::Lead(claim) | Turn::Alone(claim, _) = turn {
                    claim.complete(Outcome::Stored);
                }
            }
        });
        for task in tasks {
            task.join().unwrap();
        }
        ring.join().unwrap();
        assert!(flight.is_empty());
    });
}
