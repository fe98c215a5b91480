//! A resource is built once: waiters, re-entry and cycles, through pools and memos.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use memolith::{Memo, ResourcePool, Store};

use super::{Log, Logged, put};
use crate::threads::{Caller, gate, until_asleep, watched};

#[test]
fn fifty_threads_build_once_and_hold_the_same_object() {
    // B17
    watched(|| {
        const CALLERS: usize = 50;
        let (pool, built) = (ResourcePool::new(), Arc::new(AtomicUsize::new(0)));
        let start = Arc::new(Barrier::new(CALLERS));
        let call = || {
            let (pool, built, start) = (pool.clone(), Arc::clone(&built), Arc::clone(&start));
            move || {
                start.wait();
                pool.get_or_insert_with("x", || built.fetch_add(1, SeqCst))
            }
        };
        let callers: Vec<_> = (0..CALLERS).map(|_| Caller::start(call())).collect();
        let got: Vec<_> = callers.into_iter().map(Caller::join).collect();
        assert_eq!(built.load(SeqCst), 1);
        assert!(got.iter().all(|one| Arc::ptr_eq(one, &got[0])));
    });
}

#[test]
fn two_keys_and_two_types_build_in_parallel() {
    watched(|| {
        let (pool, meet) = (ResourcePool::new(), Arc::new(Barrier::new(3)));
        // Each builder ends only when all of them run.
        let build = |key: &'static str| {
            let (pool, meet) = (pool.clone(), Arc::clone(&meet));
            move || drop(pool.get_or_insert_with(key, || meet.wait().is_leader()))
        };
        let other_type = {
            let (pool, meet) = (pool.clone(), Arc::clone(&meet));
            move || drop(pool.get_or_insert_with("x", || [meet.wait().is_leader()]))
        };
        let callers = [Caller::start(build("x")), Caller::start(build("y")), Caller::start(other_type)];
        callers.into_iter().for_each(Caller::join);
        assert_eq!(pool.len(), 3);
    });
}

const WAITERS: usize = 8;

/// A leader that fails, and callers that wait for it meanwhile: the number of builds, and the results.
fn after_failures(
    fail: impl Fn(usize) -> Result<(), u8> + Clone + Send + 'static,
) -> (usize, Vec<Result<Arc<Logged>, u8>>) {
    let (pool, log, begun) = (ResourcePool::new(), Log::default(), Arc::new(AtomicUsize::new(0)));
    let call = |before: Box<dyn FnOnce() + Send>| {
        let (pool, log, begun) = (pool.clone(), log.clone(), Arc::clone(&begun));
        let fail = fail.clone();
        Caller::start(move || {
            let build = || {
                let turn = begun.fetch_add(1, SeqCst);
                before();
                fail(turn).map(|()| log.resource("built"))
            };
            let got = catch_unwind(AssertUnwindSafe(|| pool.get_or_try_insert_with("x", build)));
            got.unwrap_or(Err(u8::MAX))
        })
    };
    let (there, keeper) = gate();
    let leader = call(Box::new(|| there.pass()));
    keeper.reached();
    let waiters: Vec<_> = (0..WAITERS).map(|_| call(Box::new(|| ()))).collect();
    until_asleep(&waiters);
    keeper.release();
    let got = [leader].into_iter().chain(waiters).map(Caller::join).collect();
    (begun.load(SeqCst), got)
}

#[test]
fn one_of_those_who_wait_builds_after_an_error_or_a_panic_and_all_others_get_that() {
    const FAILURES: [fn(usize) -> Result<(), u8>; 2] = [
        |turn| if turn == 0 { Err(7) } else { Ok(()) },
        |turn| {
            assert!(turn != 0, "the first builder panics");
            Ok(())
        },
    ];
    watched(|| {
        for (fail, error) in FAILURES.into_iter().zip([7, u8::MAX]) {
            let (begun, got) = after_failures(fail);
            assert_eq!((begun, got[0].as_ref().err()), (2, Some(&error)));
            let shared = got[1].as_ref().unwrap();
            assert!(got.iter().skip(1).all(|one| Arc::ptr_eq(one.as_ref().unwrap(), shared)));
        }
    });
}

#[test]
fn who_builds_side_by_side_after_two_failures_gets_the_same_object() {
    watched(|| {
        // No builder ends before all the rest have begun.
        let rest = Arc::new(Barrier::new(WAITERS - 1));
        let (begun, got) = after_failures(move |turn| {
            let fails = turn < 2;
            if !fails {
                rest.wait();
            }
            if fails { Err(7) } else { Ok(()) }
        });
        let built: Vec<_> = got.iter().flatten().collect();
        assert_eq!((begun, built.len()), (9, 7));
        assert!(built.iter().all(|one| Arc::ptr_eq(one, built[0])), "the first one that was put in stays");
    });
}

#[test]
fn a_builder_that_always_fails_hangs_nobody() {
    watched(|| {
        let (begun, got) = after_failures(|_| Err(7));
        assert_eq!((begun, got.iter().flatten().count()), (9, 0));
    });
}

#[test]
fn a_builder_that_asks_for_its_own_resource_builds_one_for_itself_and_the_outer_one_stays() {
    watched(|| {
        let (pool, log) = (ResourcePool::new(), Log::default());
        let outer = pool.get_or_insert_with("x", || {
            let inner = pool.get_or_insert_with("x", || log.resource("inner"));
            assert_eq!((inner.name, pool.len()), ("inner", 0));
            drop(inner);
            assert_eq!(log.released(), ["inner"]);
            log.resource("outer")
        });
        assert_eq!(outer.name, "outer");
        assert!(Arc::ptr_eq(&outer, &put(&pool, &log, "x")));
        pool.clear();
        drop(outer);
        assert_eq!(log.released(), ["outer"]);
    });
}

#[test]
fn an_inner_builder_that_fails_leaves_the_outer_one_to_its_own_end() {
    watched(|| {
        let pool = ResourcePool::new();
        let outer = pool.get_or_try_insert_with("x", || {
            let inner = pool.get_or_try_insert_with("x", || Err::<u8, _>("inner"));
            assert_eq!(inner, Err("inner"));
            let inner =
                catch_unwind(AssertUnwindSafe(|| pool.get_or_insert_with("x", || -> u8 { panic!("inner") })));
            assert!(inner.is_err());
            Ok::<_, &str>(9_u8)
        });
        assert_eq!((outer.as_deref(), pool.len()), (Ok(&9), 1));
    });
}

#[test]
fn who_waits_for_a_builder_that_re_enters_gets_what_stays() {
    watched(|| {
        let (pool, log) = (ResourcePool::new(), Log::default());
        let (there, keeper) = gate();
        let leader = Caller::start({
            let (pool, log) = (pool.clone(), log.clone());
            move || {
                pool.get_or_insert_with("x", || {
                    let inner = pool.get_or_insert_with("x", || log.resource("inner"));
                    there.pass();
                    drop(inner);
                    log.resource("outer")
                })
            }
        });
        keeper.reached();
        let call = || {
            let (pool, log) = (pool.clone(), log.clone());
            Caller::start(move || put(&pool, &log, "x"))
        };
        let waiters = [call(), call(), call()];
        until_asleep(&waiters);
        keeper.release();
        let outer = leader.join();
        assert_eq!(outer.name, "outer");
        assert!(waiters.map(Caller::join).iter().all(|one| Arc::ptr_eq(one, &outer)));
    });
}

#[test]
fn a_builder_may_ask_for_other_resources_and_memos() {
    let store = Store::temporary().unwrap();
    let memo: Memo<str, u64> = Memo::builder("numbers").open(&store).unwrap();
    let pool = ResourcePool::new();
    let sum = pool.get_or_insert_with("sum", || {
        let number = memo.get_or_insert_with("seven", || *pool.get_or_insert_with("seven", || 7_u64));
        *pool.get_or_insert_with("one", || 1_u64) + number
    });
    assert_eq!((*sum, pool.len(), memo.len().unwrap()), (8, 3, 1));
}

#[test]
fn resources_that_need_each_other_end_on_two_threads() {
    watched(|| {
        let (pool, both) = (ResourcePool::new(), Arc::new(Barrier::new(2)));
        let build = |own: &'static str, other: &'static str| {
            let (pool, both) = (pool.clone(), Arc::clone(&both));
            Caller::start(move || {
                pool.get_or_insert_with(own, || {
                    both.wait();
                    format!("{own} with {}", pool.get_or_insert_with(other, || other.to_owned()))
                })
            })
        };
        let [x, y] = [build("x", "y"), build("y", "x")].map(Caller::join);
        // One of them closed the cycle and built its part itself; the other one waited for it.
        let ends = [("x with y with x", "y with x"), ("x with y", "y with x with y")];
        assert!(ends.contains(&(x.as_str(), y.as_str())), "{x}, {y}");
        assert!(Arc::ptr_eq(&x, &pool.get("x").unwrap()) && Arc::ptr_eq(&y, &pool.get("y").unwrap()));
    });
}

#[test]
fn a_pool_and_a_memo_that_need_each_other_end_on_two_threads() {
    watched(|| {
        let store = Store::temporary().unwrap();
        let memo: Memo<str, String> = Memo::builder("texts").open(&store).unwrap();
        let (pool, both) = (ResourcePool::new(), Arc::new(Barrier::new(2)));
        let resource = Caller::start({
            let (pool, memo, both) = (pool.clone(), memo.clone(), Arc::clone(&both));
            move || {
                pool.get_or_insert_with("x", || {
                    both.wait();
                    format!("pool({})", memo.get_or_insert_with("x", || "memo".to_owned()))
                })
            }
        });
        let value = Caller::start({
            let pool = pool.clone();
            move || {
                memo.get_or_insert_with("x", || {
                    both.wait();
                    format!("memo({})", pool.get_or_insert_with("x", || "pool".to_owned()))
                })
            }
        });
        let (resource, value) = (resource.join(), value.join());
        let ends = [("pool(memo)", "memo(pool(memo))"), ("pool(memo(pool))", "memo(pool)")];
        assert!(ends.contains(&(resource.as_str(), value.as_str())), "{resource}, {value}");
        assert!(Arc::ptr_eq(&resource, &pool.get("x").unwrap()));
    });
}

#[test]
fn who_has_waited_too_long_builds_and_the_late_one_is_released() {
    watched(|| {
        let pool = ResourcePool::builder().max_wait(Duration::from_millis(1)).build().unwrap();
        let log = Log::default();
        let (there, keeper) = gate();
        let hung = Caller::start({
            let (pool, log) = (pool.clone(), log.clone());
            move || {
                pool.get_or_insert_with("x", || {
                    there.pass();
                    log.resource("late")
                })
            }
        });
        keeper.reached();
        let taken_over = pool.get_or_insert_with("x", || log.resource("taken over"));
        assert_eq!(taken_over.name, "taken over");
        keeper.release();
        assert!(Arc::ptr_eq(&taken_over, &hung.join()));
        assert_eq!(log.released(), ["late"]);
    });
}
