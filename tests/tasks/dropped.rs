//! Calls that are dropped at any point: their waiters go on, and nothing is left of them.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{self, Wake, Waker},
};

use futures::{FutureExt, channel::oneshot, future::join_all};
use memolith::{Lookup, Store};
use smol::future::yield_now;

use crate::{
    Values,
    by_hand::{ByHand, Watchdog},
    fates::{Down, hits, is_as, numbers, patient},
    values,
    vocabulary::*,
};

/// Sets a flag when it is dropped.
struct Tells<'a>(&'a AtomicUsize);

impl Drop for Tells<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A computation of two polls.
async fn compute(size: usize, dropped: &AtomicUsize) -> Vec<u8> {
    let _tells = Tells(dropped);
    yield_now().await;
    yield_now().await;
    vec![1; size]
}

const SIZES: [usize; 3] = [10, 10_000, 1_000_000];

/// Claims something of a call that is dropped after each number of polls, up to its end. `drop_after` returns whether it was done.
fn at_each_poll(mut drop_after: impl FnMut(&Values, &str, usize) -> bool, size: usize, store: &Store) {
    let memo = values(store);
    for polls in 0.. {
        let key = format!("{size} bytes, {polls} polls");
        let is_done = drop_after(&memo, &key, polls);
        // It is led or found by the next caller, and nothing is left of the dropped one.
        let next = ByHand::new(memo.get_or_insert_with(&key, async || vec![2; size])).finish();
        assert!(next == vec![1; size] || next == vec![2; size], "{key}");
        assert_eq!(memo.blocking().get_or_insert_with(&key, || panic!("not remembered: {key}")), next);
        if is_done {
            assert!(polls > 2, "hardly any poll was needed");
            return;
        }
        assert!(polls < 100, "it never ends");
    }
}

fn for_each_store(test: impl Fn(&Store, usize)) {
    for size in SIZES {
        let bench = Bench::new();
        test(&patient(&bench), size);
        let bench = Bench::new();
        test(&bench.options().memory(0).max_wait(HOUR).max_stall(HOUR).open(bench.path()).unwrap(), size);
        test(&Store::builder().max_wait(HOUR).max_stall(HOUR).in_memory().unwrap(), size);
    }
}

#[test]
fn a_leader_that_is_dropped_at_any_poll_hands_over() {
    let _watchdog = Watchdog::start();
    for_each_store(|store, size| {
        let drop_after = |memo: &Values, key: &str, polls: usize| {
            let dropped = AtomicUsize::new(0);
            let mut leader = ByHand::new(memo.get_or_insert_with(key, || compute(size, &dropped)));
            let done = leader.polls(polls);
            drop(leader);
            assert!(dropped.into_inner() <= 1);
            done.is_some()
        };
        at_each_poll(drop_after, size, store);
    });
}

#[test]
fn the_waiters_of_a_leader_that_is_dropped_at_any_poll_all_have_one_value() {
    let _watchdog = Watchdog::start();
    for_each_store(|store, size| {
        let drop_after = |memo: &Values, key: &str, polls: usize| {
            let (dropped, computed) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let mut leader = ByHand::new(memo.get_or_insert_with(key, || compute(size, &dropped)));
            let done = leader.polls(polls);
            let waiters = (0..3).map(|_| {
                memo.get_or_insert_with(key, || async {
                    assert!(dropped.load(SeqCst) == 1 || polls <= 1, "the first future was not dropped yet");
                    computed.fetch_add(1, SeqCst);
                    vec![1; size]
                })
            });
            let mut waiters: Vec<_> = waiters.map(ByHand::new).collect();
            waiters.retain_mut(|waiter| waiter.poll().is_pending());
            drop(leader);
            for waiter in waiters {
                assert_eq!(waiter.finish(), vec![1; size]);
            }
            assert!(computed.into_inner() <= 1, "computed by several");
            done.is_some()
        };
        at_each_poll(drop_after, size, store);
    });
}

#[test]
fn a_waiter_that_is_dropped_at_any_poll_leaves_no_trace() {
    let _watchdog = Watchdog::start();
    for_each_store(|store, size| {
        let drop_after = |memo: &Values, key: &str, polls: usize| {
            let (dropped, begun) = (AtomicUsize::new(0), AtomicBool::new(false));
            let mut leader = ByHand::new(memo.get_or_insert_with(key, || {
                begun.store(true, SeqCst);
                compute(size, &dropped)
            }));
            leader.polls_until(|| begun.load(SeqCst));
            let call =
                || ByHand::new(memo.get_or_insert_with(key, async || unreachable!("another call leads")));
            let (mut waiter, other) = (call(), call());
            // A first poll in the queue, and the others once there is a value.
            let mut done = (polls > 0).then(|| waiter.poll()).is_some_and(|poll| poll.is_ready());
            let mut others = [other];
            others.iter_mut().for_each(ByHand::is_pending);
            assert_eq!(leader.finish(), vec![1; size]);
            if polls > 1 {
                waiter.until_woken();
                done = waiter.polls(polls - 1).is_some();
            }
            drop(waiter);
            for other in others {
                assert_eq!(other.finish(), vec![1; size]);
            }
            done
        };
        let memo = values(store);
        for polls in 0..100 {
            let key = format!("{size} bytes, {polls} polls");
            let is_done = drop_after(&memo, &key, polls);
            assert_eq!(
                memo.blocking().get_or_insert_with(&key, || panic!("not remembered: {key}")),
                vec![1; size]
            );
            if is_done {
                return;
            }
        }
        panic!("it never ends");
    });
}

/// Drops each kind of call after each number of polls. The next call of the key is held up by nothing.
#[test]
fn any_call_may_be_dropped_at_any_poll() {
    type Begin = for<'a> fn(&'a Values, &'a str, usize) -> ByHand<'a, ()>;
    let _watchdog = Watchdog::start();
    let calls: [Begin; 9] = [
        |memo, key, size| ByHand::new(memo.insert(key, vec![1; size]).map(Result::unwrap)),
        |memo, key, _| ByHand::new(memo.get(key).map(drop)),
        |memo, key, _| ByHand::new(memo.remove(key).map(drop)),
        |memo, key, _| ByHand::new(memo.contains_key(key).map(drop)),
        |memo, _, _| ByHand::new(memo.clear().map(Result::unwrap)),
        |memo, _, _| ByHand::new(memo.flush().map(Result::unwrap)),
        |memo, key, size| {
            ByHand::new(async move {
                let update = |old: Option<Vec<u8>>| async move {
                    yield_now().await;
                    Ok::<_, Down>(old.unwrap_or_else(|| vec![1; size]))
                };
                memo.entry(key).max_age(std::time::Duration::ZERO).or_try_update_with(update).await.unwrap();
            })
        },
        |memo, key, size| {
            ByHand::new(async move {
                let Lookup::Miss(claim) = memo.entry(key).validate(|_| false).lookup().await else {
                    panic!("accepted")
                };
                claim.wrap(yield_now()).await;
                claim.insert_in_task(vec![1; size]).await;
            })
        },
        |memo, key, _| {
            ByHand::new(async move {
                let fails = || async {
                    yield_now().await;
                    Err(Down(1))
                };
                memo.entry(key).validate(|_| false).or_try_insert_with(fails).await.unwrap_err();
            })
        },
    ];
    for_each_store(|store, size| {
        let memo = values(store);
        for (number, begin) in calls.iter().enumerate() {
            for is_there in [false, true] {
                let mut polls = 0;
                loop {
                    let key = format!("{number} {is_there} {polls}");
                    if is_there {
                        memo.blocking().insert(&key, &vec![1; size]).unwrap();
                    }
                    let mut call = begin(&memo, &key, size);
                    let is_done = call.polls(polls).is_some();
                    drop(call);
                    let next = memo.get_or_insert_with(&key, async || vec![1; size]);
                    assert_eq!(ByHand::new(next).finish(), vec![1; size]);
                    if is_done {
                        break;
                    }
                    polls += 1;
                    assert!(polls < 100, "it never ends");
                }
            }
        }
    });
}

/// Panics when it is dropped.
struct Explodes;

impl Drop for Explodes {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            resume_unwind(Box::new("planted"));
        }
    }
}

#[test]
fn a_future_that_panics_when_it_is_dropped_hands_over_too() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let memo = numbers(&patient(&bench), is_as);
    let begun = AtomicBool::new(false);
    let mut call = ByHand::new(memo.get_or_insert_with("key", || async {
        let _explodes = Explodes;
        begun.store(true, SeqCst);
        std::future::pending().await
    }));
    call.polls_until(|| begun.load(SeqCst));
    let mut waiter = ByHand::new(memo.get_or_insert_with("key", || async { 1 }));
    waiter.is_pending();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(call))).is_err());
    assert_eq!(waiter.finish(), 1);
    assert_eq!(memo.blocking().get("key").unwrap(), Some(1));
}

/// A waker of a foreign executor that is gone.
struct Gone;

impl Wake for Gone {
    fn wake(self: Arc<Self>) {
        resume_unwind(Box::new("planted"));
    }
}

#[test]
fn a_waker_that_panics_keeps_no_other_waiter_asleep() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let memo = numbers(&patient(&bench), is_as);
    for (key, is_dropped) in [("stored", false), ("dropped", true)] {
        let (go, gate) = oneshot::channel();
        let begun = AtomicBool::new(false);
        let mut leader = ByHand::new(memo.get_or_insert_with(key, || async {
            begun.store(true, SeqCst);
            gate.await.unwrap()
        }));
        leader.polls_until(|| begun.load(SeqCst));
        let mut gone = Box::pin(memo.get_or_insert_with(key, || async { 3 }));
        assert!(
            gone.as_mut().poll(&mut task::Context::from_waker(&Waker::from(Arc::new(Gone)))).is_pending()
        );
        let mut waiter = ByHand::new(memo.get_or_insert_with(key, || async { 3 }));
        waiter.is_pending();
        if is_dropped {
            drop(leader);
            // The other one was woken in vain, and is dropped at last.
            drop(gone);
        } else {
            go.send(3).unwrap();
            assert_eq!(leader.finish(), 3);
        }
        assert_eq!(waiter.finish(), 3);
    }
}

#[test]
fn a_waiter_that_is_dropped_with_the_lead_hands_it_on() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let memo = numbers(&patient(&bench), is_as);
    let computed = AtomicUsize::new(0);
    let call = || {
        ByHand::new(memo.get_or_insert_with("key", || async {
            computed.fetch_add(1, SeqCst);
            std::future::pending::<()>().await;
            0
        }))
    };
    let mut leader = call();
    leader.polls_until(|| computed.load(SeqCst) == 1);
    let mut waiters: Vec<_> = (0..4).map(|_| call()).collect();
    waiters.iter_mut().for_each(ByHand::is_pending);
    let mut last = ByHand::new(memo.get_or_insert_with("key", || async { 5 }));
    last.is_pending();
    drop(leader);
    for waiter in waiters {
        waiter.until_woken();
        drop(waiter);
    }
    assert_eq!(last.finish(), 5);
    assert_eq!(computed.into_inner(), 1, "a waiter that was not polled computed");
    smol::block_on(hits(&memo, "key", 5));
}

#[test]
fn waiters_that_are_dropped_do_not_count_as_failures() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let memo = numbers(&patient(&bench), is_as);
    let begun = AtomicUsize::new(0);
    let call = || {
        ByHand::new(memo.get_or_insert_with("key", || async {
            begun.fetch_add(1, SeqCst);
            yield_now().await;
            5
        }))
    };
    let mut leader = call();
    leader.polls_until(|| begun.load(SeqCst) == 1);
    let mut waiters: Vec<_> = (0..6).map(|_| call()).collect();
    waiters.iter_mut().for_each(ByHand::is_pending);
    drop(leader);
    let rest = waiters.split_off(3);
    // Each of them is woken as the next leader, and dropped.
    for waiter in waiters {
        waiter.until_woken();
        drop(waiter);
    }
    begun.store(0, SeqCst);
    smol::block_on(join_all(
        rest.into_iter().map(|waiter| async { assert_eq!(waiter.finish_in_task().await, 5) }),
    ));
    assert_eq!(begun.into_inner(), 1, "several computed");
}

#[test]
fn a_value_that_was_computed_before_the_drop_is_stored() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let memo = values(&patient(&bench));
    // It is encoded on another thread.
    let is_computed = AtomicBool::new(false);
    let mut call = ByHand::new(memo.get_or_insert_with("key", || async {
        is_computed.store(true, SeqCst);
        vec![1; 1_000_000]
    }));
    call.polls_until(|| is_computed.load(SeqCst));
    drop(call);
    // In a task: a blocking call does not wait for a task of its own thread.
    let next = memo.get_or_insert_with("key", || async { unreachable!("computed already") });
    assert_eq!(smol::block_on(next), vec![1; 1_000_000]);
}
