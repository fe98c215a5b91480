//! A task that was woken and is not polled loses the lead; one that waits for its own input keeps it.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use futures::{channel::oneshot, future::join_all};
use memolith::{Lookup, Memo, ResourcePool, Store, future};
use smol::future::yield_now;

use crate::{
    by_hand::{ByHand, Watchdog},
    vocabulary::*,
};

type Numbers = future::Memo<u64, u64>;

const STALL: Duration = Duration::from_millis(20);

fn numbers(bench: &Bench, max_stall: Duration) -> (Store, Numbers) {
    let store = bench.options().max_wait(HOUR).max_stall(max_stall).open(bench.path()).unwrap();
    let memo = Memo::builder("numbers").open(&store).unwrap().into();
    (store, memo)
}

/// A call of key 1 that leads, was woken in its first poll of the future, and is not polled further.
fn woken_and_kept(memo: &Numbers) -> ByHand<'_, u64> {
    let begun = Arc::new(AtomicBool::new(false));
    let own = Arc::clone(&begun);
    let mut call = ByHand::new(memo.get_or_insert_with(&1, || async move {
        own.store(true, SeqCst);
        yield_now().await;
        7
    }));
    call.polls_until(|| begun.load(SeqCst));
    call
}

#[test]
fn a_leader_that_was_woken_and_is_not_polled_hands_over() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let (_store, memo) = numbers(&bench, STALL);
    // To a task that waits already, and the second one finds the value.
    let kept = woken_and_kept(&memo);
    let computed = AtomicUsize::new(0);
    let calls = (0..5).map(|_| {
        memo.get_or_insert_with(&1, || async {
            computed.fetch_add(1, SeqCst);
            yield_now().await;
            8
        })
    });
    assert_eq!(smol::block_on(join_all(calls)), [8; 5]);
    assert_eq!(computed.into_inner(), 1);
    // The value of the first one is as good, when it goes on.
    assert_eq!(kept.finish(), 7);
    memo.blocking().remove(&1).unwrap();
    // To a thread.
    let kept = woken_and_kept(&memo);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| memo.blocking().get_or_insert_with(&1, || 9));
        assert_eq!(waiter.join().unwrap(), 9);
    });
    drop(kept);
    assert_eq!(memo.blocking().get(&1).unwrap(), Some(9));
    memo.blocking().remove(&1).unwrap();
    // Also one that was woken by its input.
    let (go, gate) = oneshot::channel();
    let mut kept = ByHand::new(memo.get_or_insert_with(&1, || async { gate.await.unwrap() }));
    kept.is_pending();
    let mut waiter = ByHand::new(memo.get_or_insert_with(&1, || async { 10 }));
    waiter.is_pending();
    go.send(11).unwrap();
    assert_eq!(waiter.finish(), 10);
    drop(kept);
    assert_eq!(memo.blocking().get(&1).unwrap(), Some(10));
}

#[test]
fn a_leader_that_waits_for_its_input_keeps_the_lead() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let (_store, memo) = numbers(&bench, STALL);
    let (go, gate) = oneshot::channel();
    let gate = RefCell::new(Some(gate));
    let computed = AtomicUsize::new(0);
    let call = || {
        ByHand::new(memo.get_or_insert_with(&1, || async {
            computed.fetch_add(1, SeqCst);
            let gate = gate.borrow_mut().take().unwrap();
            gate.await.unwrap()
        }))
    };
    let mut leader = call();
    leader.polls_until(|| computed.load(SeqCst) == 1);
    let mut waiters: Vec<_> = (0..5).map(|_| call()).collect();
    waiters.iter_mut().for_each(ByHand::is_pending);
    thread::scope(|scope| {
        let blocking =
            scope.spawn(|| memo.blocking().get_or_insert_with(&1, || unreachable!("a task computes")));
        let start = Instant::now();
        while start.elapsed() < 20 * STALL {
            thread::yield_now();
            assert!(!waiters.iter().any(ByHand::is_woken), "a waiter was woken without a value");
        }
        go.send(7).unwrap();
        assert_eq!(leader.finish(), 7);
        assert_eq!(blocking.join().unwrap(), 7);
    });
    for waiter in waiters {
        assert_eq!(waiter.finish(), 7);
    }
    assert_eq!(computed.into_inner(), 1);
}

#[test]
fn a_waiter_that_came_to_lead_and_is_not_polled_passes_on() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let (_store, memo) = numbers(&bench, STALL);
    let computed = AtomicUsize::new(0);
    let call = || {
        ByHand::new(memo.get_or_insert_with(&1, || async {
            computed.fetch_add(1, SeqCst);
            8
        }))
    };
    for is_dropped in [false, true] {
        let leader = woken_and_kept(&memo);
        let mut kept: Vec<_> = (0..3).map(|_| call()).collect();
        kept.iter_mut().for_each(ByHand::is_pending);
        let mut last = call();
        last.is_pending();
        let leader = if is_dropped { None } else { Some(leader) };
        assert_eq!(last.finish(), 8);
        assert_eq!(computed.swap(0, SeqCst), 1, "only the last one is polled");
        assert_eq!(leader.map(ByHand::finish), (!is_dropped).then_some(7));
        for waiter in kept {
            // The later value of the two is stored.
            assert_eq!(waiter.finish(), if is_dropped { 8 } else { 7 });
        }
        memo.blocking().remove(&1).unwrap();
        computed.store(0, SeqCst);
    }
}

#[test]
fn a_leader_that_awaits_a_waiter_elsewhere_is_not_stalled_by_that() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let (_store, memo) = numbers(&bench, STALL);
    let (go, gate) = oneshot::channel();
    let begun = AtomicUsize::new(0);
    let mut inner = ByHand::new(memo.get_or_insert_with(&2, || async {
        begun.fetch_add(1, SeqCst);
        gate.await.unwrap()
    }));
    inner.polls_until(|| begun.load(SeqCst) == 1);
    // It waits for key 2 within key 1.
    let mut outer = ByHand::new(memo.get_or_insert_with(&1, || async {
        begun.fetch_add(1, SeqCst);
        memo.get_or_insert_with(&2, || async { unreachable!("another task computes") }).await
    }));
    outer.polls_until(|| begun.load(SeqCst) == 2);
    let mut waiter =
        ByHand::new(memo.get_or_insert_with(&1, || async { unreachable!("another task computes") }));
    waiter.is_pending();
    let start = Instant::now();
    while start.elapsed() < 10 * STALL {
        thread::yield_now();
        assert!(!waiter.is_woken() && !outer.is_woken(), "a waiter was woken without a value");
    }
    go.send(5).unwrap();
    assert_eq!(inner.finish(), 5);
    assert_eq!(outer.finish(), 5);
    assert_eq!(waiter.finish(), 5);
}

#[test]
fn the_wait_of_a_task_ends_after_max_wait_for_each_leader() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let wait = Duration::from_millis(50);
    let store = bench.options().max_wait(wait).max_stall(HOUR).open(bench.path()).unwrap();
    let memo: Numbers = Memo::builder("numbers").open(&store).unwrap().into();
    let begun = AtomicUsize::new(0);
    let mut hung = ByHand::new(memo.get_or_insert_with(&1, || async {
        begun.fetch_add(1, SeqCst);
        std::future::pending::<u64>().await
    }));
    hung.polls_until(|| begun.load(SeqCst) == 1);
    let mut waiter = ByHand::new(memo.get_or_insert_with(&1, || async { 3 }));
    let start = Instant::now();
    waiter.is_pending();
    assert_eq!(waiter.finish(), 3);
    assert!(start.elapsed() >= wait);
    drop(hung);
    assert_eq!(memo.blocking().get(&1).unwrap(), Some(3));
}

/// The wait for a later leader counts from its own beginning.
#[test]
fn a_second_wait_of_one_call_is_as_patient_as_the_first() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let wait = Duration::from_millis(400);
    let store = bench.options().max_wait(wait).max_stall(HOUR).open(bench.path()).unwrap();
    let memo: Numbers = Memo::builder("numbers").open(&store).unwrap().into();
    let begun = AtomicUsize::new(0);
    let hangs = || {
        ByHand::new(memo.get_or_insert_with(&1, || async {
            begun.fetch_add(1, SeqCst);
            std::future::pending::<u64>().await
        }))
    };
    let mut first = hangs();
    first.polls_until(|| begun.load(SeqCst) == 1);
    let mut waiter = ByHand::new(memo.get_or_insert_with(&1, || async { 3 }));
    waiter.is_pending();
    let start = Instant::now();
    while start.elapsed() < wait / 2 {
        thread::yield_now();
    }
    // The waiter is woken by the change, and waits again behind another leader.
    memo.blocking().remove(&1).unwrap();
    waiter.until_woken();
    let mut second = hangs();
    second.polls_until(|| begun.load(SeqCst) == 2);
    let again = Instant::now();
    waiter.is_pending();
    assert_eq!(waiter.finish(), 3);
    assert!(again.elapsed() >= wait, "it waited for {:?} only", again.elapsed());
    drop((first, second));
}

#[test]
fn a_claim_that_is_wrapped_and_not_polled_hands_over() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let (_store, memo) = numbers(&bench, STALL);
    let Lookup::Miss(claim) = smol::block_on(memo.entry(&1).lookup()) else { panic!("remembered") };
    let mut kept = ByHand::new(claim.wrap(yield_now()));
    kept.is_pending();
    assert_eq!(smol::block_on(memo.get_or_insert_with(&1, || async { 3 })), 3);
    drop(kept);
    drop(claim);
    assert_eq!(memo.blocking().get(&1).unwrap(), Some(3));
}

#[test]
fn a_builder_that_was_woken_and_is_not_polled_hands_over() {
    let _watchdog = Watchdog::start();
    let pool: future::ResourcePool = ResourcePool::builder().max_stall(STALL).build().unwrap().into();
    let begun = AtomicBool::new(false);
    let mut kept = ByHand::new(pool.get_or_insert_with(&1, || async {
        begun.store(true, SeqCst);
        yield_now().await;
        7_u64
    }));
    kept.polls_until(|| begun.load(SeqCst));
    assert_eq!(*smol::block_on(pool.get_or_insert_with(&1, || async { 8_u64 })), 8);
    drop(kept);
}

#[test]
fn without_any_patience_every_task_still_ends() {
    let _watchdog = Watchdog::start();
    for (max_wait, max_stall) in
        [(HOUR, Duration::ZERO), (Duration::ZERO, HOUR), (Duration::ZERO, Duration::ZERO)]
    {
        let bench = Bench::new();
        let store = bench.options().max_wait(max_wait).max_stall(max_stall).open(bench.path()).unwrap();
        let memo: Numbers = Memo::builder("numbers").open(&store).unwrap().into();
        let calls = (0..200).map(|_| {
            memo.get_or_insert_with(&1, || async {
                yield_now().await;
                yield_now().await;
                7
            })
        });
        assert_eq!(smol::block_on(join_all(calls)), [7; 200]);
    }
}
