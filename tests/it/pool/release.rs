//! A resource is released once, when its last holder drops it. Its `Drop` may call anything.

use std::sync::{Arc, Mutex, Weak};

use memolith::ResourcePool;

use super::{Log, Logged, bounded, put, timed};
use crate::{threads::watched, vocabulary::SECOND};

#[test]
fn everything_is_released_once_and_in_order_by_clear() {
    // B137
    let (pool, log) = (ResourcePool::new(), Log::default());
    let names = ["d", "b", "a", "c", "e"];
    for name in names {
        put(&pool, &log, name);
    }
    pool.clear();
    assert_eq!((log.released(), pool.len()), (names.to_vec(), 0));
    pool.clear();
    drop(pool);
    assert_eq!(log.released().len(), 0);
}

#[test]
fn one_is_released_once_by_remove_and_the_others_stay() {
    // B137
    let (pool, log) = (ResourcePool::new(), Log::default());
    for name in ["a", "b"] {
        put(&pool, &log, name);
    }
    assert!(pool.remove::<Logged>("a"));
    assert_eq!((log.released(), pool.len()), (vec!["a"], 1));
    pool.clear();
    assert_eq!(log.released(), ["b"]);
}

#[test]
fn everything_is_released_in_order_when_the_last_handle_is_dropped() {
    // B141: no resource outlives its pool unnoticed.
    let (pool, log) = (ResourcePool::new(), Log::default());
    let names = ["b", "c", "a"];
    for name in names {
        put(&pool, &log, name);
    }
    let other = pool.clone();
    drop(pool);
    assert_eq!(log.released().len(), 0);
    drop(other);
    assert_eq!(log.released(), names);
}

#[test]
fn what_somebody_holds_is_released_when_they_let_go() {
    // B142
    let (pool, log) = (bounded(1), Log::default());
    let (a, b) = (put(&pool, &log, "a"), put(&pool, &log, "b"));
    pool.clear();
    let c = put(&pool, &log, "c");
    drop(pool);
    assert_eq!(log.released().len(), 0);
    drop((c, a, b));
    assert_eq!(log.released(), ["c", "a", "b"]);
}

#[test]
fn a_release_that_panics_in_clear_stops_no_other_release_and_is_told() {
    // B138
    let (pool, log) = (ResourcePool::new(), Log::default());
    put(&pool, &log, "a");
    pool.get_or_insert_with("b", || log.failing("b"));
    put(&pool, &log, "c");
    pool.clear();
    assert_eq!(log.released(), ["a", "b", "c"]);
    let failure = pool.last_failure().unwrap().to_string();
    assert!(failure.contains("the release fails") && failure.contains("Logged"), "{failure}");
}

#[test]
fn a_release_that_panics_by_a_bound_does_not_fail_the_call_that_puts_in() {
    // B139
    let (pool, log) = (bounded(1), Log::default());
    pool.get_or_insert_with("a", || log.failing("a"));
    let b = put(&pool, &log, "b");
    assert_eq!((b.name, log.released()), ("b", vec!["a"]));
    assert!(Arc::ptr_eq(&b, &put(&pool, &log, "b")));
    assert!(pool.last_failure().is_some());
}

#[test]
fn a_release_that_panics_is_contained_wherever_the_pool_lets_go() {
    let log = Log::default();
    let (pool, clock) = timed(|options| options.ttl(SECOND));
    let expired = |name| {
        pool.get_or_insert_with(name, || log.failing(name));
        clock.advance(SECOND);
    };
    expired("swept");
    assert_eq!(pool.sweep(), 1);
    expired("looked at");
    assert!(pool.get::<Logged>("looked at").is_none());
    expired("replaced");
    pool.get_or_insert_with("replaced", || log.failing("removed"));
    assert!(pool.remove::<Logged>("replaced"));
    pool.get_or_insert_with("x", || log.failing("refused"));
    pool.entry("x").validate(|_: &Logged| false).or_insert_with(|| log.failing("dropped"));
    drop(pool);
    assert_eq!(log.released(), ["swept", "looked at", "replaced", "removed", "refused", "dropped"]);
}

/// Asks its pool when it is released.
struct Caller {
    pool: ResourcePool,
    calls: fn(&ResourcePool),
}

impl Drop for Caller {
    fn drop(&mut self) {
        (self.calls)(&self.pool);
    }
}

#[test]
fn a_release_may_use_the_pool() {
    const CALLS: [fn(&ResourcePool); 5] = [
        |pool| drop(pool.get_or_insert_with("last words", || 7_u8)),
        |pool| drop(pool.get::<u8>("last words")),
        |pool| pool.clear(),
        |pool| assert!(!pool.remove::<Caller>("caller") && pool.sweep() == 0),
        |pool| drop(pool.get_or_insert_with("caller", || String::from("its own key"))),
    ];
    watched(|| {
        for calls in CALLS {
            let pool = bounded(1);
            let caller = || Caller { pool: pool.clone(), calls };
            pool.get_or_insert_with("caller", caller);
            assert!(pool.remove::<Caller>("caller"));
            pool.get_or_insert_with("caller", caller);
            pool.clear();
            pool.get_or_insert_with("caller", caller);
            pool.get_or_insert_with("by the bound", || 1_u8);
            pool.entry("caller").validate(|_: &Caller| false).or_insert_with(caller);
            pool.entry("caller").validate(|_: &Caller| false).or_insert_with(caller);
            pool.clear();
            assert!(pool.last_failure().is_none(), "{:?}", pool.last_failure());
        }
    });
}

/// Removes its successor in the pool when it is released.
struct Vengeful(Arc<Mutex<Option<ResourcePool>>>, Log);
impl Drop for Vengeful {
    fn drop(&mut self) {
        if let Some(pool) = self.0.lock().unwrap().take() {
            pool.remove::<Vengeful>("x");
            self.1.0.lock().unwrap().push("removed it");
        }
    }
}

#[test]
fn a_release_may_remove_the_resource_that_took_its_place() {
    let (pool, log) = (ResourcePool::new(), Log::default());
    let (inner, seen) = (Arc::new(Mutex::new(None::<ResourcePool>)), log.clone());
    *inner.lock().unwrap() = Some(pool.clone());
    pool.get_or_insert_with("x", || Vengeful(inner, seen));
    pool.entry("x").validate(|_: &Vengeful| false).or_insert_with(|| Vengeful(Arc::default(), log.clone()));
    assert_eq!((log.released(), pool.len()), (vec!["removed it"], 1));
}

#[test]
fn the_release_of_a_pool_within_a_pool_fails_nothing() {
    let (outer, log) = (ResourcePool::new(), Log::default());
    let inner = outer.get_or_insert_with("inner", ResourcePool::new);
    put(&inner, &log, "a");
    drop(inner);
    drop(outer);
    assert_eq!(log.released(), ["a"]);
}

#[test]
fn the_pool_keeps_no_hidden_holder() {
    let (pool, log) = (ResourcePool::new(), Log::default());
    let a = put(&pool, &log, "a");
    assert_eq!(Arc::strong_count(&a), 2, "the pool and this one");
    let weak: Weak<Logged> = Arc::downgrade(&a);
    assert!(pool.remove::<Logged>("a"));
    assert_eq!(Arc::into_inner(a).map(|a| a.name), Some("a"));
    assert!(weak.upgrade().is_none());
}
