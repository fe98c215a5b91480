//! Callers that wait for the computation of another caller. Linux shows whether a thread waits.

#![cfg(target_os = "linux")]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use memolith::{
    Memo, Store,
    testing::{Fault, Operation},
};

use crate::{
    threads::{Caller, Keeper, gate, until_asleep, watched},
    vocabulary::*,
};

const WAITERS: usize = 8;

type Outcome = Result<u64, &'static str>;

/// The outcome of a closure, by the order in which the closures of a scenario begin.
type Fate = dyn Fn(usize) -> Outcome + Send + Sync;

/// A leader that stops in its closure, and callers of the same key that wait for it.
struct Line {
    leader: Caller<Outcome>,
    keeper: Keeper,
    waiters: Vec<Caller<Outcome>>,
}

impl Line {
    /// The closure of the leader has the order 0, and goes on when the line is settled.
    fn up(memo: &Memo<str, u64>, fate: impl Fn(usize) -> Outcome + Send + Sync + 'static) -> Self {
        let fate: Arc<Fate> = Arc::new(fate);
        let begun = Arc::new(AtomicUsize::new(0));
        let (there, keeper) = gate();
        let leader = call(memo, &begun, &fate, || there.pass());
        keeper.reached();
        let waiters: Vec<_> = (0..WAITERS).map(|_| call(memo, &begun, &fate, || ())).collect();
        until_asleep(&waiters);
        assert_eq!(begun.load(SeqCst), 1, "they wait");
        Self { leader, keeper, waiters }
    }

    /// Lets the leader go on. Returns its outcome, and those of the others.
    fn settle(self) -> (std::thread::Result<Outcome>, Vec<std::thread::Result<Outcome>>) {
        self.keeper.release();
        (self.leader.outcome(), self.waiters.into_iter().map(Caller::outcome).collect())
    }
}

fn call(
    memo: &Memo<str, u64>,
    begun: &Arc<AtomicUsize>,
    fate: &Arc<Fate>,
    first: impl FnOnce() + Send + 'static,
) -> Caller<Outcome> {
    let (memo, begun, fate) = (memo.clone(), Arc::clone(begun), Arc::clone(fate));
    Caller::start(move || {
        memo.get_or_try_insert_with("one", || {
            let order = begun.fetch_add(1, SeqCst);
            first();
            fate(order)
        })
    })
}

/// The number of outcomes that equal this one.
fn count(outcomes: &[std::thread::Result<Outcome>], outcome: Outcome) -> usize {
    outcomes.iter().filter(|found| found.as_ref().is_ok_and(|found| *found == outcome)).count()
}

/// B109
#[test]
fn a_waiter_gets_the_value_of_the_leader_and_counts_as_a_miss() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        let (leader, waiters) = Line::up(&memo, |order| Ok(order as u64 + 7)).settle();
        assert_eq!(leader.unwrap(), Ok(7));
        assert_eq!(count(&waiters, Ok(7)), WAITERS);
        let stats = memo.stats();
        assert_eq!((stats.misses.absent, stats.hits.total(), stats.inserts), (WAITERS as u64 + 1, 0, 1));
        hit!(memo, "one" => 7);
    });
}

/// B111
#[test]
fn when_the_leader_fails_one_waiter_retries_for_all() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        let line = Line::up(&memo, |order| if order == 0 { Err("no") } else { Ok(order as u64) });
        let (leader, waiters) = line.settle();
        assert_eq!(leader.unwrap(), Err("no"));
        assert_eq!(count(&waiters, Ok(1)), WAITERS);
        hit!(memo, "one" => 1);
    });
}

/// B112: only the leader's own caller gets the panic.
#[test]
fn when_the_leader_panics_one_waiter_takes_over_and_nothing_is_poisoned() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        let line =
            Line::up(&memo, |order| if order == 0 { panic!("in the closure") } else { Ok(order as u64) });
        let (leader, waiters) = line.settle();
        assert_eq!(leader.unwrap_err().downcast_ref(), Some(&"in the closure"));
        assert_eq!(count(&waiters, Ok(1)), WAITERS);
        hit!(memo, "one" => 1);
        assert_eq!(memo.stats().failures.total(), 0);
    });
}

/// B112
#[test]
fn a_panic_leaves_its_own_thread_free_to_call_again() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        for _ in 0..3 {
            let call = || memo.get_or_insert_with("one", || panic!("in the closure"));
            let panic = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"in the closure"));
        }
        miss!(memo, "one" => 1);
        hit!(memo, "one" => 1);
    });
}

/// B111: no waiter passes the barrier unless all the rest are inside their closures at the same time.
#[test]
fn after_two_failures_the_rest_compute_side_by_side() {
    for panics in [[false, false], [true, true], [false, true]] {
        watched(move || {
            let bench = Bench::new();
            let store = bench.store();
            let memo = plain(&store, "numbers");
            let inside = Barrier::new(WAITERS - 1);
            let line = Line::up(&memo, move |order| match panics.get(order) {
                Some(true) => panic!("in the closure"),
                Some(false) => Err("no"),
                None => {
                    inside.wait();
                    Ok(7)
                }
            });
            let (leader, waiters) = line.settle();
            let [first, second] = panics;
            assert_eq!(leader.is_err(), first);
            let panicked = waiters.iter().filter(|outcome| outcome.is_err()).count();
            assert_eq!((panicked, count(&waiters, Err("no"))), if second { (1, 0) } else { (0, 1) });
            assert_eq!(count(&waiters, Ok(7)), WAITERS - 1);
            hit!(memo, "one" => 7);
        });
    }
}

/// The leader returns its value, but stores none. Then all waiters are inside their closures at the same time.
fn unstored(store: &Store, memo: &Memo<str, u64>) {
    let inside = Barrier::new(WAITERS);
    let line = Line::up(memo, move |order| {
        if order > 0 {
            inside.wait();
        }
        Ok(order as u64)
    });
    let (leader, mut waiters) = line.settle();
    assert_eq!(leader.unwrap(), Ok(0));
    let mut values: Vec<u64> = waiters.drain(..).map(|value| value.unwrap().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, (1..=WAITERS as u64).collect::<Vec<_>>(), "each has its own");
    assert_eq!((memo.stats().inserts, store.stats().hits.total()), (0, 0));
}

#[test]
fn when_the_disk_refuses_and_there_is_no_memory_the_waiters_compute_side_by_side() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.diskful();
        let memo = plain(&store, "numbers");
        bench.faults.plant(Operation::Write, Fault::NoSpace);
        assert!(memo.insert("another", &1).unwrap_err().is_io(), "the engine is out of service from here on");
        unstored(&store, &memo);
        assert!(memo.stats().failures.io > 0);
    });
}

#[test]
fn when_the_value_is_over_its_bound_the_waiters_compute_side_by_side() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo: Memo<str, u64> = Memo::builder("numbers").max_bytes(8).open(&store).unwrap();
        unstored(&store, &memo);
        assert_eq!(memo.stats().failures.oversize, WAITERS as u64 + 1);
    });
}

#[test]
fn when_the_value_is_not_wanted_the_waiters_compute_side_by_side() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo: Memo<str, u64> = Memo::builder("numbers").cache_if(|_| false).open(&store).unwrap();
        unstored(&store, &memo);
        assert_eq!(memo.stats().failures.total(), 0);
    });
}

/// A full disk alone does not make the waiters compute: the value is in memory.
#[test]
fn when_the_disk_refuses_the_waiters_get_the_value_from_memory() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        bench.faults.plant(Operation::Write, Fault::NoSpace);
        let (leader, waiters) = Line::up(&memo, |order| Ok(order as u64 + 7)).settle();
        assert_eq!(leader.unwrap(), Ok(7));
        assert_eq!(count(&waiters, Ok(7)), WAITERS);
    });
}

type Way = fn(&Store, &Memo<str, u64>);

/// B114
#[test]
fn waiters_compute_anew_once_for_all_when_what_they_wait_for_is_cleared_away() {
    let ways: [Way; 4] = [
        |_, memo| memo.clear().unwrap(),
        |_, memo| assert!(!memo.remove("one").unwrap()),
        |store, _| store.clear().unwrap(),
        |store, _| assert!(store.remove_memo("numbers").unwrap()),
    ];
    for clear in ways {
        watched(move || {
            let bench = Bench::new();
            let store = bench.store();
            let memo = plain(&store, "numbers");
            let Line { leader, keeper, waiters } = Line::up(&memo, |order| Ok(order as u64));
            clear(&store, &memo);
            let values: Vec<_> = waiters.into_iter().map(Caller::join).collect();
            assert_eq!(values, [Ok(1); WAITERS], "{:?} {:?}", memo.stats(), memo.last_failure());
            keeper.release();
            assert_eq!(leader.join(), Ok(0));
            hit!(memo, "one" => 1);
        });
    }
}

#[test]
fn waiters_get_what_is_inserted_while_they_wait() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        let Line { leader, keeper, waiters } = Line::up(&memo, |order| Ok(order as u64));
        memo.insert("one", &77).unwrap();
        let values: Vec<_> = waiters.into_iter().map(Caller::join).collect();
        assert_eq!(values, [Ok(77); WAITERS]);
        keeper.release();
        assert_eq!(leader.join(), Ok(0));
        hit!(memo, "one" => 77);
    });
}
