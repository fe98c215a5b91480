//! Bounds on age and number.

use std::{sync::Arc, time::Duration};

use memolith::ResourcePool;

use super::{Log, Logged, MILLISECOND, bounded, put, timed};
use crate::vocabulary::{DAY, HOUR, MINUTE, SECOND};

#[test]
fn options_that_cannot_be_are_refused_with_a_remedy() {
    for builder in
        [ResourcePool::builder().ttl(Duration::ZERO), ResourcePool::builder().max_entries(0).ttl(SECOND)]
    {
        let error = builder.build().unwrap_err();
        assert!(error.is_config() && error.to_string().contains("leave it out"), "{error}");
    }
}

#[test]
fn a_resource_is_built_anew_when_its_time_is_over() {
    // B136
    let (pool, clock) = timed(|options| options.ttl(MINUTE));
    let log = Log::default();
    put(&pool, &log, "a");
    clock.advance(59_999 * MILLISECOND);
    put(&pool, &log, "a"); // Being asked for does not extend its life.
    assert_eq!((log.released().len(), pool.len()), (0, 1));
    clock.advance(MILLISECOND);
    assert_eq!(pool.len(), 0);
    assert_eq!(log.released().len(), 0);
    pool.get_or_insert_with("a", || {
        assert_eq!(log.released(), ["a"], "the old one is released first");
        log.resource("b")
    });
    assert_eq!((pool.len(), log.released().len()), (1, 0));
}

#[test]
fn a_look_releases_what_is_past_its_time() {
    let (pool, clock) = timed(|options| options.ttl(MINUTE));
    let log = Log::default();
    put(&pool, &log, "a");
    clock.advance(MINUTE);
    assert!(pool.get::<Logged>("a").is_none());
    assert_eq!(log.released(), ["a"]);
}

#[test]
fn a_sweep_releases_what_is_past_its_time_in_order_and_nothing_else() {
    // B136
    let (pool, clock) = timed(|options| options);
    let log = Log::default();
    pool.entry("late").ttl(2 * SECOND).or_insert_with(|| log.resource("late"));
    pool.entry("early").ttl(SECOND).or_insert_with(|| log.resource("early"));
    put(&pool, &log, "never");
    pool.entry("later").ttl(MINUTE).or_insert_with(|| log.resource("later"));
    assert_eq!(pool.sweep(), 0);
    clock.advance(2 * SECOND);
    assert_eq!(pool.len(), 2);
    assert_eq!((pool.sweep(), log.released()), (2, vec!["late", "early"]));
    assert_eq!((pool.sweep(), pool.len()), (0, 2));
}

#[test]
fn the_tighter_time_to_live_counts() {
    let (pool, clock) = timed(|options| options.ttl(MINUTE));
    let log = Log::default();
    pool.entry("longer").ttl(2 * MINUTE).or_insert_with(|| log.resource("longer"));
    pool.entry("shorter").ttl(SECOND).or_insert_with(|| log.resource("shorter"));
    clock.advance(SECOND);
    assert_eq!((pool.sweep(), log.released()), (1, vec!["shorter"]));
    clock.advance(59 * SECOND);
    assert_eq!((pool.sweep(), log.released()), (1, vec!["longer"]));
}

#[test]
fn a_call_with_a_time_to_live_gets_nothing_older() {
    let (pool, clock) = timed(|options| options);
    let log = Log::default();
    let old = put(&pool, &log, "a");
    clock.advance(MINUTE);
    let same = pool.entry("a").ttl(MINUTE + MILLISECOND).or_insert_with(|| log.resource("too early"));
    assert!(Arc::ptr_eq(&old, &same));
    let new = pool.entry("a").ttl(MINUTE).or_insert_with(|| log.resource("new"));
    assert_eq!(new.name, "new");
    // It also leaves after that time, for any caller.
    clock.advance(MINUTE);
    assert!(pool.get::<Logged>("a").is_none());
}

#[test]
fn a_time_that_no_clock_reaches_is_for_ever() {
    let (pool, clock) = timed(|options| options.ttl(Duration::MAX));
    let log = Log::default();
    put(&pool, &log, "a");
    pool.entry("b").ttl(Duration::MAX).or_insert_with(|| log.resource("b"));
    clock.advance(Duration::from_secs(1 << 40));
    assert_eq!((pool.sweep(), pool.len()), (0, 2));
}

#[test]
fn a_call_that_tolerates_no_age_shares_nothing() {
    let (pool, _clock) = timed(|options| options);
    let log = Log::default();
    let one = pool.entry("a").ttl(Duration::ZERO).or_insert_with(|| log.resource("one"));
    let two = pool.entry("a").ttl(Duration::ZERO).or_insert_with(|| log.resource("two"));
    assert_eq!((one.name, two.name, pool.len()), ("one", "two", 0));
}

#[test]
fn the_oldest_insertion_leaves_first_and_being_asked_for_does_not_help() {
    // B135
    let (pool, log) = (bounded(2), Log::default());
    put(&pool, &log, "a");
    put(&pool, &log, "b");
    put(&pool, &log, "a");
    put(&pool, &log, "c");
    assert_eq!(log.released(), ["a"]);
    put(&pool, &log, "a");
    put(&pool, &log, "d");
    assert_eq!((log.released(), pool.len()), (vec!["b", "c"], 2));
}

#[test]
fn a_bound_counts_all_types_together() {
    let pool = bounded(2);
    pool.get_or_insert_with("x", || 1_u8);
    pool.get_or_insert_with("x", || 1_u16);
    pool.get_or_insert_with("x", || 1_u32);
    assert_eq!((pool.len(), pool.get::<u8>("x")), (2, None));
}

#[test]
fn what_is_past_its_time_leaves_before_what_is_older() {
    let (pool, clock) = timed(|options| options.max_entries(2));
    let log = Log::default();
    put(&pool, &log, "older");
    pool.entry("brief").ttl(SECOND).or_insert_with(|| log.resource("brief"));
    clock.advance(SECOND);
    put(&pool, &log, "new");
    assert_eq!((log.released(), pool.len()), (vec!["brief"], 2));
}

#[test]
fn a_pool_that_nobody_sweeps_does_not_grow() {
    let (pool, clock) = timed(|options| options.ttl(SECOND));
    let log = Log::default();
    for key in 0..100 {
        pool.get_or_insert_with(&key, || log.resource("one"));
        clock.advance(SECOND);
    }
    assert_eq!(log.released().len(), 99);
}

#[test]
fn one_that_is_removed_makes_room() {
    let (pool, log) = (bounded(2), Log::default());
    put(&pool, &log, "a");
    put(&pool, &log, "b");
    assert!(pool.remove::<Logged>("a"));
    put(&pool, &log, "c");
    assert_eq!((log.released(), pool.len()), (vec!["a"], 2));
    put(&pool, &log, "a");
    assert_eq!(log.released(), ["b"], "one that comes back is the newest");
}

#[test]
fn remove_tells_whether_there_was_one_to_be_had() {
    let (pool, clock) = timed(|options| options.ttl(SECOND));
    let log = Log::default();
    put(&pool, &log, "a");
    assert!(pool.remove::<Logged>("a") && !pool.remove::<Logged>("a"));
    put(&pool, &log, "b");
    clock.advance(SECOND);
    assert!(!pool.remove::<Logged>("b"));
    assert_eq!(log.released(), ["a", "b"]);
}

#[test]
fn an_age_of_a_call_refuses_what_is_there_and_does_not_bind_what_it_puts_in() {
    let (pool, clock) = timed(|options| options);
    assert_eq!(*pool.entry::<u8>("n").or_insert_with(|| 1), 1);
    clock.advance(MINUTE);
    let younger = |age, built| *pool.entry::<u8>("n").max_age(age).or_insert_with(|| built);
    assert_eq!(younger(MINUTE + SECOND, 2), 1);
    assert_eq!(younger(MINUTE, 2), 2);
    clock.advance(HOUR);
    assert_eq!(*pool.entry::<u8>("n").or_insert_with(|| unreachable!()), 2);
    assert_eq!(younger(Duration::ZERO, 3), 3);
    assert_eq!(younger(Duration::ZERO, 4), 4);
    let either = |built| *pool.entry::<u8>("n").ttl(SECOND).max_age(DAY).or_insert_with(|| built);
    assert_eq!(either(5), 4);
    clock.advance(SECOND);
    assert_eq!(either(5), 5);
}
