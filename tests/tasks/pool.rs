//! The fates of the builder of a resource in a task.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use futures::{FutureExt, channel::oneshot, future::join_all, join};
use memolith::{Memo, ResourcePool, Store, future};
use smol::future::yield_now;

use crate::{
    by_hand::{ByHand, Watchdog},
    under_each_executor,
    vocabulary::*,
};

/// Its waiters wait for an hour: a lead that is lost hangs its claim.
fn patient() -> future::ResourcePool {
    ResourcePool::builder().max_wait(HOUR).max_stall(HOUR).build().unwrap().into()
}

#[test]
fn a_hundred_tasks_cause_one_build() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let (pool, built) = (patient(), AtomicUsize::new(0));
        let calls = (0..100).map(|_| {
            pool.get_or_insert_with("key", || async {
                yield_now().await;
                built.fetch_add(1, SeqCst)
            })
        });
        let all: Vec<Arc<usize>> = join_all(calls).await;
        assert!(all.iter().all(|resource| Arc::ptr_eq(resource, &all[0])));
        assert_eq!(built.into_inner(), 1);
        assert!(Arc::ptr_eq(&pool.blocking().get_or_insert_with("key", || 9_usize), &all[0]));
        // Another type has its own.
        assert_eq!(*pool.get_or_insert_with("key", || async { 7_u8 }).await, 7);
    });
}

#[test]
fn an_error_and_a_panic_go_to_their_own_task_and_one_waiter_builds() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        for panics in [false, true] {
            let (pool, begun) = (patient(), AtomicUsize::new(0));
            let calls = (0..5).map(|_| {
                let call = pool.get_or_try_insert_with("key", || async {
                    let turn = begun.fetch_add(1, SeqCst);
                    yield_now().await;
                    match turn {
                        0 if panics => resume_unwind(Box::new("planted")),
                        0 => Err("planted"),
                        turn => Ok(turn),
                    }
                });
                AssertUnwindSafe(call).catch_unwind()
            });
            let all = join_all(calls).await;
            assert_eq!(all.iter().filter(|found| matches!(found, Ok(Ok(built)) if **built == 1)).count(), 4);
            assert_eq!(
                all.iter().filter(|found| matches!(found, Ok(Err("planted")))).count(),
                usize::from(!panics)
            );
            assert_eq!(all.iter().filter(|found| found.is_err()).count(), usize::from(panics));
            assert_eq!(begun.into_inner(), 2);
        }
        // After two failures in a row the waiters build side by side.
        let (pool, begun) = (patient(), AtomicUsize::new(0));
        let calls = (0..5).map(|_| {
            pool.get_or_try_insert_with("key", || async {
                yield_now().await;
                Err::<u8, _>(begun.fetch_add(1, SeqCst))
            })
        });
        assert!(join_all(calls).await.iter().all(Result::is_err));
        assert_eq!(begun.into_inner(), 5);
    });
}

#[test]
fn a_builder_that_is_dropped_at_any_poll_hands_over() {
    let _watchdog = Watchdog::start();
    for polls in 0..100 {
        let (pool, dropped) = (patient(), AtomicBool::new(false));
        let mut builder = ByHand::new(pool.get_or_insert_with("key", || async {
            yield_now().await;
            yield_now().await;
            1_usize
        }));
        let is_done = builder.polls(polls).is_some();
        let built = AtomicUsize::new(0);
        let call = || {
            pool.get_or_insert_with("key", || async {
                assert!(dropped.load(SeqCst) || polls == 0, "the first one builds");
                yield_now().await;
                built.fetch_add(1, SeqCst) + 2
            })
        };
        let mut waiters: Vec<_> = (0..4).map(|_| ByHand::new(call())).collect();
        waiters.retain_mut(|waiter| waiter.poll().is_pending());
        let rest = waiters.split_off(waiters.len().min(2));
        dropped.store(true, SeqCst);
        drop(builder);
        // A waiter leaves no trace, whether it came to lead or not.
        drop(waiters);
        for waiter in rest {
            assert_eq!(*waiter.finish(), 2);
        }
        assert!(built.load(SeqCst) <= 1, "built by several");
        assert!([1, 2].contains(&*ByHand::new(call()).finish()));
        if is_done {
            assert!(polls > 2);
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn a_resource_that_fails_its_validation_is_built_anew() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let pool = patient();
        let first = pool.get_or_insert_with("key", || async { 1 }).await;
        let passes = |_| async {
            yield_now().await;
            true
        };
        let fails = || async { unreachable!("it is there and valid") };
        let again = pool.entry::<i32>("key").validate(passes).or_insert_with(fails).await;
        assert!(Arc::ptr_eq(&first, &again));
        let refuses = |number: Arc<i32>| async move {
            yield_now().await;
            *number != 1
        };
        assert_eq!(*pool.entry("key").validate(refuses).or_insert_with(|| async { 2 }).await, 2);
        let panics = |_| async {
            yield_now().await;
            resume_unwind(Box::new("planted"))
        };
        assert_eq!(*pool.entry("key").validate(panics).or_insert_with(|| async { 3 }).await, 3);
        let panics_at_once = |_| -> std::future::Ready<bool> { resume_unwind(Box::new("planted")) };
        assert_eq!(*pool.entry("key").validate(panics_at_once).or_insert_with(|| async { 4 }).await, 4);
        // One that is dropped in its midst decides nothing.
        let hangs = |_| std::future::pending::<bool>();
        let mut hung = ByHand::new(pool.entry("key").validate(hangs).or_insert_with(|| async { 5 }));
        hung.is_pending();
        drop(hung);
        assert_eq!(*pool.get_or_insert_with("key", || async { 6 }).await, 4);
        // Many refuse the same one: one builds.
        let built = AtomicUsize::new(10);
        let calls = (0..10).map(|_| {
            let refuses = |number: Arc<i32>| async move { *number != 4 };
            pool.entry("key").validate(refuses).or_insert_with(|| async {
                yield_now().await;
                i32::try_from(built.fetch_add(1, SeqCst)).unwrap()
            })
        });
        assert!(join_all(calls).await.iter().all(|number| **number == 10));
    });
}

#[test]
fn a_builder_that_asks_for_its_own_resource_builds_it_unshared() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let pool = patient();
        let outer = pool.get_or_insert_with("key", || async {
            let (first, second) = join!(
                pool.get_or_insert_with("key", || async { String::from("first") }),
                pool.get_or_insert_with("key", || async { String::from("second") }),
            );
            format!("{first} {second}")
        });
        assert_eq!(*outer.await, "first second");
        let found = pool.get_or_insert_with("key", || async { String::from("again") }).await;
        assert_eq!(*found, "first second");
        let blocking = pool.get_or_insert_with("blocking", || async {
            yield_now().await;
            *pool.blocking().get_or_insert_with("blocking", || 4) + 1
        });
        assert_eq!(*blocking.await, 5);
    });
}

#[test]
fn a_cycle_of_a_pool_and_a_memo_ends() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let (bench, pool) = (Bench::new(), patient());
        let store = bench.options().max_wait(HOUR).max_stall(HOUR).open(bench.path()).unwrap();
        let memo: future::Memo<str, u64> = Memo::builder("numbers").open(&store).unwrap().into();
        let from_pool = async || *pool.get_or_insert_with("key", || async { 1_u64 }).await;
        let from_memo = async || memo.get_or_insert_with("key", || async { 1 }).await;
        let built = pool.get_or_insert_with("key", async || {
            yield_now().await;
            from_memo().await
        });
        let computed = memo.get_or_insert_with("key", async || {
            yield_now().await;
            from_pool().await
        });
        let (built, computed) = join!(built, computed);
        assert_eq!((*built, computed), (1, 1));
    });
}

#[test]
fn a_change_during_the_build_of_a_task_wins() {
    let _watchdog = Watchdog::start();
    let pool = patient();
    for is_cleared in [false, true] {
        let (go, gate) = oneshot::channel();
        let mut builder = ByHand::new(pool.get_or_insert_with("key", || async { gate.await.unwrap() }));
        builder.is_pending();
        let mut waiter = ByHand::new(pool.get_or_insert_with("key", || async { 2 }));
        waiter.is_pending();
        if is_cleared {
            pool.blocking().clear();
        } else {
            _ = pool.blocking().remove::<i32>("key");
        }
        go.send(1).unwrap();
        assert_eq!(*builder.finish(), 1);
        assert_eq!(*waiter.finish(), 2);
        assert_eq!(pool.blocking().get::<i32>("key").as_deref(), Some(&2));
        pool.blocking().clear();
    }
}

#[test]
fn the_resource_of_a_pool_is_dropped_with_the_task_that_built_it_and_the_pool() {
    let _watchdog = Watchdog::start();
    let pool = patient();
    let resource = Arc::new(());
    smol::block_on(async {
        let _ = pool.get_or_insert_with("key", || async { Arc::clone(&resource) }).await;
    });
    assert_eq!(Arc::strong_count(&resource), 2);
    drop(pool);
    assert_eq!(Arc::strong_count(&resource), 1);
    // A store is held by no call that was dropped.
    let bench = Bench::new();
    let store: Store = bench.store();
    let memo: future::Memo<str, u64> = Memo::builder("numbers").open(&store).unwrap().into();
    let mut call = ByHand::new(memo.get_or_insert_with("key", std::future::pending::<u64>));
    call.is_pending();
    drop(call);
    drop((memo, store));
    bench.store().close().unwrap();
}
