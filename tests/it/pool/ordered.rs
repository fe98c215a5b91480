//! A call that starts after `clear` or `remove` returned gets no resource from a build that began earlier.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread::yield_now,
};

use memolith::ResourcePool;

use super::{Log, Logged};
use crate::threads::{Caller, Keeper, gate, until_asleep, watched};

/// A builder that stops at a gate.
fn slow_build(pool: &ResourcePool, log: &Log) -> (Caller<Arc<Logged>>, Keeper) {
    let (there, keeper) = gate();
    let (pool, log) = (pool.clone(), log.clone());
    let slow = Caller::start(move || {
        pool.get_or_insert_with("x", || {
            there.pass();
            log.resource("before")
        })
    });
    keeper.reached();
    (slow, keeper)
}

const FORGET: [fn(&ResourcePool); 2] = [ResourcePool::clear, |pool| {
    pool.remove::<Logged>("x");
}];

#[test]
fn what_was_begun_before_is_its_own_callers_alone() {
    // B142
    watched(|| {
        for forget in FORGET {
            let (pool, log) = (ResourcePool::new(), Log::default());
            let (slow, keeper) = slow_build(&pool, &log);
            forget(&pool);
            keeper.release();
            let before = slow.join();
            assert_eq!((before.name, pool.len(), log.released().len()), ("before", 0, 0));
            let after = pool.get_or_insert_with("x", || log.resource("after"));
            drop(before);
            assert_eq!((after.name, log.released()), ("after", vec!["before"]));
        }
    });
}

#[test]
fn who_comes_after_builds_at_once_and_its_resource_stays() {
    watched(|| {
        for forget in FORGET {
            let (pool, log) = (ResourcePool::new(), Log::default());
            let (slow, keeper) = slow_build(&pool, &log);
            forget(&pool);
            let after = pool.get_or_insert_with("x", || log.resource("after"));
            keeper.release();
            assert_eq!(slow.join().name, "before");
            assert!(Arc::ptr_eq(&after, &pool.get("x").unwrap()));
        }
    });
}

#[test]
fn who_waited_for_what_was_begun_before_does_not_wait_any_more() {
    watched(|| {
        for forget in FORGET {
            let (pool, log) = (ResourcePool::new(), Log::default());
            let (slow, keeper) = slow_build(&pool, &log);
            let waiter = Caller::start({
                let (pool, log) = (pool.clone(), log.clone());
                move || pool.get_or_insert_with("x", || log.resource("after"))
            });
            let waiters = [waiter];
            until_asleep(&waiters);
            forget(&pool);
            let [waiter] = waiters;
            let after = waiter.join();
            assert!(after.name == "after" && Arc::ptr_eq(&after, &pool.get("x").unwrap()));
            keeper.release();
            assert_eq!(slow.join().name, "before");
        }
    });
}

#[test]
fn to_remove_one_does_not_touch_who_builds_another() {
    watched(|| {
        let (pool, log) = (ResourcePool::new(), Log::default());
        let (slow, keeper) = slow_build(&pool, &log);
        pool.remove::<Logged>("y");
        pool.remove::<String>("x");
        ResourcePool::new().clear();
        keeper.release();
        assert!(Arc::ptr_eq(&slow.join(), &pool.get("x").unwrap()));
    });
}

#[test]
fn a_builder_that_clears_its_own_pool_keeps_nothing_and_waits_for_nobody() {
    watched(|| {
        for forget in FORGET {
            let (pool, log) = (ResourcePool::new(), Log::default());
            let own = pool.get_or_insert_with("x", || {
                forget(&pool);
                log.resource("own")
            });
            assert_eq!((own.name, pool.len()), ("own", 0));
        }
    });
}

#[test]
fn nobody_ever_gets_one_from_before() {
    watched(|| {
        let forget: [fn(&ResourcePool); 2] = [ResourcePool::clear, |pool| {
            pool.remove::<Began>("x");
        }];
        forget.into_iter().for_each(race);
    });
}

/// The number of clears or removals that had begun when the build began.
struct Began(u64);

/// Clears or removes again and again, while other threads ask and build.
fn race(forget: fn(&ResourcePool)) {
    const ROUNDS: u64 = 300;
    let (pool, start) = (ResourcePool::new(), Arc::new(Barrier::new(3)));
    let (epoch, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let caller = || {
        let (pool, start) = (pool.clone(), Arc::clone(&start));
        let (epoch, done) = (Arc::clone(&epoch), Arc::clone(&done));
        Caller::start(move || {
            start.wait();
            while done.load(SeqCst) < ROUNDS {
                let forgotten = done.load(SeqCst);
                let build = || {
                    let resource = Began(epoch.load(SeqCst));
                    yield_now();
                    resource
                };
                let got = pool.get_or_insert_with("x", build).0;
                assert!(got >= forgotten, "begun before {got}, asked for after {forgotten}");
            }
        })
    };
    let callers = [caller(), caller()];
    start.wait();
    for round in 1..=ROUNDS {
        epoch.store(round, SeqCst);
        forget(&pool);
        done.store(round, SeqCst);
        yield_now();
    }
    callers.into_iter().for_each(Caller::join);
}
