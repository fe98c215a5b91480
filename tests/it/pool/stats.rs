//! The counters of a pool.

use std::{panic::catch_unwind, sync::Barrier, thread};

use memolith::PoolStats;

use super::*;

#[track_caller]
fn counts(stats: &PoolStats) -> (u64, u64, u64) {
    (stats.hits, stats.misses.total(), stats.inserts)
}

#[test]
fn every_call_is_a_hit_or_a_miss_with_its_reason() {
    let (pool, clock) = timed(|pool| pool.ttl(MILLISECOND * 10));
    let log = Log::default();
    assert!(pool.get::<Logged>("a").is_none());
    put(&pool, &log, "a");
    put(&pool, &log, "a");
    assert!(pool.get::<Logged>("a").is_some());
    assert_eq!((counts(&pool.stats()), pool.stats().misses.absent), ((2, 2, 1), 2));
    clock.advance(MILLISECOND * 10);
    put(&pool, &log, "a");
    assert_eq!((counts(&pool.stats()), pool.stats().misses.expired), ((2, 3, 2), 1));
    pool.entry::<Logged>("a").validate(|_| true).or_insert_with(|| log.resource("a"));
    pool.entry::<Logged>("a").validate(|_| false).or_insert_with(|| log.resource("a"));
    assert_eq!((counts(&pool.stats()), pool.stats().misses.invalid), ((3, 4, 3), 1));
    pool.entry::<Logged>("a").ttl(Duration::ZERO).or_insert_with(|| log.resource("a"));
    assert_eq!((counts(&pool.stats()), pool.stats().misses.expired), ((3, 5, 4), 2));
    assert_eq!(pool.stats().failures.total(), 0);
}

#[test]
fn removals_count_by_their_cause() {
    let (pool, clock) = timed(|pool| pool.ttl(MILLISECOND * 10).max_entries(2));
    let log = Log::default();
    for name in ["a", "b", "c", "d"] {
        put(&pool, &log, name);
    }
    let removed = |pool: &ResourcePool| {
        let stats = pool.stats();
        (stats.evictions, stats.expirations, stats.invalidations)
    };
    assert_eq!(removed(&pool), (2, 0, 0));
    clock.advance(MILLISECOND * 10);
    assert!(pool.get::<Logged>("c").is_none());
    assert_eq!((removed(&pool), pool.sweep(), removed(&pool)), ((2, 1, 0), 1, (2, 2, 0)));
    put(&pool, &log, "e");
    pool.entry::<Logged>("e").validate(|_| false).or_insert_with(|| log.resource("e"));
    assert_eq!(removed(&pool), (2, 2, 1));
    put(&pool, &log, "f");
    clock.advance(MILLISECOND * 10);
    put(&pool, &log, "g");
    assert_eq!(removed(&pool), (2, 4, 1), "another insertion removes the expired ones");
    pool.remove::<Logged>("g");
    put(&pool, &log, "h");
    pool.clear();
    assert_eq!(removed(&pool), (2, 4, 1), "`remove` and `clear` count nothing");
}

#[test]
fn a_hit_saves_the_time_of_its_builder() {
    let (pool, clock) = timed(|pool| pool);
    let build = || {
        clock.advance(MILLISECOND * 30);
        1_u8
    };
    pool.get_or_insert_with("a", build);
    assert_eq!(pool.stats().time_saved, Duration::ZERO);
    pool.get_or_insert_with("a", build);
    assert!(pool.get::<u8>("a").is_some());
    assert_eq!(pool.stats().time_saved, MILLISECOND * 60);
}

#[test]
fn a_builder_that_fails_or_panics_is_a_miss_and_no_failure_of_the_pool() {
    let pool = ResourcePool::new();
    pool.get_or_try_insert_with::<u8, _>("a", || Err("refused")).unwrap_err();
    catch_unwind(|| pool.get_or_insert_with::<u8>("a", || panic_any("in the builder"))).unwrap_err();
    assert_eq!((counts(&pool.stats()), pool.stats().failures.total()), ((0, 2, 0), 0));
}

#[test]
fn a_caller_that_waits_for_a_builder_is_a_miss() {
    let (pool, both) = (ResourcePool::new(), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            pool.get_or_insert_with("a", || {
                both.wait();
                // The other caller has missed before this one puts in.
                while pool.stats().misses.absent < 2 {
                    thread::yield_now();
                }
                1_u8
            })
        });
        both.wait();
        pool.get_or_insert_with("a", || 2_u8);
    });
    assert_eq!(counts(&pool.stats()), (0, 2, 1));
}

#[test]
fn failures_count_by_kind() {
    let (pool, log) = (ResourcePool::new(), Log::default());
    pool.get_or_insert_with(&Unserializable, || 1_u8);
    assert_eq!((pool.stats().failures.key, counts(&pool.stats())), (1, (0, 1, 0)));
    pool.get_or_insert_with("a", || log.failing("a"));
    let refuse = |_: &Logged| panic_any("in the validation");
    pool.entry::<Logged>("a").validate(refuse).or_insert_with(|| log.resource("a"));
    let stats = pool.stats();
    assert_eq!((stats.failures.panic, stats.failures.total(), stats.misses.invalid), (2, 3, 1));
}

struct Unserializable;

impl serde::Serialize for Unserializable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("this key has no bytes"))
    }
}

#[test]
fn counters_are_those_of_the_pool_and_not_of_a_clone() {
    let pool = ResourcePool::new();
    let clone = pool.clone();
    clone.get_or_insert_with("a", || 1_u8);
    assert_eq!(pool.stats(), clone.stats());
    assert_eq!(ResourcePool::new().stats(), PoolStats::default());
}
