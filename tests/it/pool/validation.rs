//! Resources are validated before a hit.

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use memolith::ResourcePool;

use super::{Log, Logged, put};
use crate::threads::{Caller, gate, watched};

#[test]
fn one_that_passes_is_asked_once_a_hit_and_never_when_it_is_new() {
    // B132
    let (pool, log, asked) = (ResourcePool::new(), Log::default(), AtomicUsize::new(0));
    let call = || {
        let passes = |logged: &Logged| {
            asked.fetch_add(1, SeqCst);
            logged.name == "a"
        };
        pool.entry("x").validate(passes).or_insert_with(|| log.resource("a"))
    };
    let first = call();
    assert_eq!(asked.load(SeqCst), 0);
    assert!(Arc::ptr_eq(&first, &call()) && Arc::ptr_eq(&first, &call()));
    assert_eq!(asked.load(SeqCst), 2);
}

#[test]
fn one_that_is_refused_leaves_and_is_released_before_a_new_one_is_built() {
    // B133, B134
    let (pool, log) = (ResourcePool::new(), Log::default());
    put(&pool, &log, "old");
    let refuses = |logged: &Logged| {
        assert_eq!(logged.name, "old");
        false
    };
    let new = pool.entry("old").validate(refuses).or_insert_with(|| {
        assert_eq!(log.released(), ["old"]);
        log.resource("new")
    });
    assert_eq!((new.name, pool.len(), log.released().len()), ("new", 1, 0));
    assert!(Arc::ptr_eq(&new, &pool.get("old").unwrap()));
}

#[test]
fn a_refused_one_that_somebody_uses_is_released_when_they_let_go() {
    let (pool, log) = (ResourcePool::new(), Log::default());
    let used = put(&pool, &log, "x");
    let new = pool.entry("x").validate(|_| false).or_insert_with(|| log.resource("new"));
    assert_eq!((new.name, log.released().len()), ("new", 0));
    drop(used);
    assert_eq!(log.released(), ["x"]);
}

#[test]
fn a_refused_one_does_not_come_back_when_building_fails() {
    let (pool, log) = (ResourcePool::new(), Log::default());
    put(&pool, &log, "x");
    let failed = pool.entry::<Logged>("x").validate(|_| false).or_try_insert_with(|| Err::<Logged, u8>(1));
    assert_eq!(failed.err(), Some(1));
    assert_eq!((log.released(), pool.len()), (vec!["x"], 0));
}

#[test]
fn a_validation_that_panics_refuses() {
    let (pool, log) = (ResourcePool::new(), Log::default());
    put(&pool, &log, "x");
    let new = pool.entry("x").validate(|_| panic!("cannot tell")).or_insert_with(|| log.resource("new"));
    assert_eq!((new.name, log.released()), ("new", vec!["x"]));
    let failure = pool.last_failure().unwrap().to_string();
    assert!(failure.contains("cannot tell"), "{failure}");
}

#[test]
fn a_validation_may_use_the_pool() {
    watched(|| {
        let (pool, log) = (ResourcePool::new(), Log::default());
        put(&pool, &log, "x");
        let asks = |_: &Logged| {
            put(&pool, &log, "another");
            let same = put(&pool, &log, "x");
            pool.remove::<Logged>("x");
            same.name == "x"
        };
        let found = pool.entry("x").validate(asks).or_insert_with(|| unreachable!("it passed"));
        assert_eq!((found.name, pool.len()), ("x", 1));
    });
}

#[test]
fn while_one_is_asked_others_get_it_and_other_resources_are_built() {
    watched(|| {
        let (pool, log) = (ResourcePool::new(), Log::default());
        let x = put(&pool, &log, "x");
        let (there, keeper) = gate();
        let slow = Caller::start({
            let (pool, log) = (pool.clone(), log.clone());
            move || {
                let stays = |_: &Logged| {
                    there.pass();
                    false
                };
                pool.entry("x").validate(stays).or_insert_with(|| log.resource("late"))
            }
        });
        keeper.reached();
        assert!(Arc::ptr_eq(&x, &put(&pool, &log, "x")));
        put(&pool, &log, "another");
        assert!(pool.remove::<Logged>("another"));
        // Another caller refuses it first. The slow refusal does not touch the new resource of that caller.
        let new = pool.entry("x").validate(|_| false).or_insert_with(|| log.resource("new"));
        keeper.release();
        assert!(Arc::ptr_eq(&new, &slow.join()));
    });
}

#[test]
fn many_who_refuse_at_once_build_once() {
    watched(|| {
        const CALLERS: usize = 16;
        for _ in 0..20 {
            let (pool, log) = (ResourcePool::new(), Log::default());
            put(&pool, &log, "x");
            let (refused, built) = (Arc::new(Barrier::new(CALLERS)), Arc::new(AtomicUsize::new(0)));
            let call = || {
                let (pool, log) = (pool.clone(), log.clone());
                let (refused, built) = (Arc::clone(&refused), Arc::clone(&built));
                move || {
                    let is_valid = |_: &Logged| {
                        refused.wait();
                        false
                    };
                    pool.entry("x").validate(is_valid).or_insert_with(|| {
                        built.fetch_add(1, SeqCst);
                        log.resource("new")
                    })
                }
            };
            let callers: Vec<_> = (0..CALLERS).map(|_| Caller::start(call())).collect();
            let got: Vec<_> = callers.into_iter().map(Caller::join).collect();
            assert_eq!((built.load(SeqCst), log.released()), (1, vec!["x"]));
            assert!(got.iter().all(|one| Arc::ptr_eq(one, &got[0])));
        }
    });
}
