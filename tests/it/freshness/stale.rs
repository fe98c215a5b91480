//! A stale value is there while another caller computes, and where computing fails.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use memolith::{
    Error, Memo,
    observe::Event,
    testing::{Fault, Operation},
};

use super::{Down, builder, each_store, falls_back, memo};
use crate::vocabulary::*;

#[test]
fn a_stale_value_is_computed_anew_by_the_first_caller() {
    each_store(|bench, store| {
        let memo = memo(&store);
        miss!(memo, "a" => 1);
        bench.clock.advance(HOUR);
        miss!(memo, "a" => 2);
        hit!(memo, "a" => 2);
    });
}

#[test]
fn what_sees_fresh_entries_only_does_not_see_a_stale_one() -> Result<(), Error> {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    miss!(memo, "a" => 1);
    bench.clock.advance(HOUR);
    assert_eq!((memo.get("a")?, memo.contains_key("a")?, memo.len()?), (None, false, 0));
    assert_eq!((memo.usage()?.entries, memo.entries()?.count()), (0, 0));
    assert!(!memo.remove("a")?, "it was not fresh");
    assert_eq!(memo.get_or_try_insert_with("a", || Err(Down)), Err(Down), "it was removed all the same");
    Ok(())
}

#[test]
fn a_computation_that_fails_falls_back_until_the_stale_time_is_over() {
    let bench = Bench::new();
    for is_restarted in [false, true] {
        let mut store = bench.store();
        let mut stale = memo(&store);
        stale.clear().unwrap();
        miss!(stale, "a" => 1);
        bench.clock.advance(HOUR + DAY - Duration::from_millis(1));
        if is_restarted {
            drop(stale);
            store.close().unwrap();
            store = bench.store();
            stale = memo(&store);
        }
        falls_back!(stale, "a" => 1);
        bench.clock.advance(Duration::from_millis(1));
        assert_eq!(stale.get_or_try_insert_with("a", || Err(Down)), Err(Down));
        drop(stale);
        store.close().unwrap();
    }
}

#[test]
fn all_others_have_the_stale_value_while_one_computes() {
    each_store(|bench, store| {
        let memo = memo(&store);
        miss!(memo, "a" => 1);
        bench.clock.advance(HOUR);
        memo.get_or_insert_with("a", || {
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| hit!(memo, "a" => 1));
                }
            });
            2
        });
        hit!(memo, "a" => 2);
        let refreshes = memo.stats().refreshes;
        assert_eq!((refreshes.stale_hits, refreshes.succeeded, refreshes.oldest_served), (4, 1, HOUR));
    });
}

/// They wait while the first one reads, and not while it computes.
#[test]
fn callers_that_come_together_after_a_restart_have_the_stale_value_too() {
    let bench = Bench::new();
    let store = bench.store();
    miss!(memo(&store), "a" => 1);
    store.close().unwrap();
    bench.clock.advance(HOUR);
    let memo = memo(&bench.store());
    let (computed, all) = (AtomicU32::new(0), Barrier::new(8));
    let (others, had) = mpsc::channel();
    let had = Mutex::new(had);
    thread::scope(|scope| {
        for others in [(); 8].map(|()| others.clone()) {
            let (memo, all, had, computed) = (&memo, &all, &had, &computed);
            scope.spawn(move || {
                all.wait();
                let value = memo.get_or_insert_with("a", || {
                    computed.fetch_add(1, SeqCst);
                    for _ in 0..7 {
                        assert_eq!(had.lock().unwrap().recv_timeout(MINUTE), Ok(1));
                    }
                    2
                });
                others.send(value).unwrap();
            });
        }
    });
    assert_eq!(computed.load(SeqCst), 1);
    hit!(memo, "a" => 2);
}

#[test]
fn a_dead_backend_is_asked_once_in_the_time_of_a_retry() {
    let bench = Bench::new();
    let memo = builder().retry_after(MINUTE).open(&bench.store()).unwrap();
    miss!(memo, "a" => 1);
    bench.clock.advance(HOUR);
    let (asked, all) = (AtomicU32::new(0), Barrier::new(50));
    let ask = || {
        memo.get_or_try_insert_with("a", || {
            asked.fetch_add(1, SeqCst);
            Err(Down)
        })
    };
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                all.wait();
                assert_eq!(ask(), Ok(1));
            });
        }
    });
    assert_eq!(asked.load(SeqCst), 1);
    bench.clock.advance(MINUTE - Duration::from_millis(1));
    assert_eq!((ask(), asked.load(SeqCst)), (Ok(1), 1));
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!((ask(), asked.load(SeqCst)), (Ok(1), 2));
    assert_eq!(memo.stats().refreshes.failed, 2);
    // A value from elsewhere ends the wait.
    memo.insert("a", &5).unwrap();
    bench.clock.advance(HOUR);
    assert_eq!((ask(), asked.load(SeqCst)), (Ok(5), 3));
}

#[test]
fn a_panic_unwinds_to_its_caller_and_the_next_has_the_stale_value() {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    miss!(memo, "a" => 1);
    bench.clock.advance(HOUR);
    let caught = catch_unwind(AssertUnwindSafe(|| memo.get_or_insert_with("a", || panic!("down"))));
    assert!(caught.is_err());
    hit!(memo, "a" => 1);
    bench.clock.advance(30 * SECOND);
    miss!(memo, "a" => 2);
}

#[test]
fn a_change_during_a_refresh_wins() {
    each_store(|bench, store| {
        let memo = memo(&store);
        for change in ["insert", "remove", "clear"] {
            memo.clear().unwrap();
            miss!(memo, "a" => 1);
            bench.clock.advance(HOUR);
            let change = || match change {
                "insert" => memo.insert("a", &9),
                "remove" => memo.remove("a").map(drop),
                _ => memo.clear(),
            };
            let value = memo.get_or_insert_with("a", || {
                change().unwrap();
                2
            });
            assert_eq!(value, 2, "its own caller has it");
            let found = memo.get("a").unwrap();
            assert!(found.is_none() || found == Some(9), "{found:?}");
            bench.clock.advance(HOUR);
            // What was removed is no fallback.
            let failed = memo.get_or_try_insert_with("a", || {
                change().unwrap();
                Err(Down)
            });
            assert!(failed == Err(Down) || failed == Ok(9), "{failed:?}");
        }
    });
}

#[test]
fn a_result_of_a_stale_value_is_stale() {
    let bench = Bench::new();
    let store = bench.store();
    let inner = memo(&store);
    let kept: Memo<str, u64> = Memo::builder("kept").ttl(10 * DAY).stale_for(DAY).open(&store).unwrap();
    let fresh_only: Memo<str, u64> = Memo::builder("fresh only").open(&store).unwrap();
    miss!(inner, "a" => 1);
    bench.clock.advance(HOUR);
    let down = || inner.get_or_try_insert_with("a", || Err(Down)).unwrap();
    assert_eq!(kept.get_or_insert_with("b", || down() + 1), 2);
    assert_eq!(fresh_only.get_or_insert_with("b", || down() + 1), 2);
    assert_eq!((kept.get("b").unwrap(), fresh_only.len().unwrap()), (None, 0));
    falls_back!(kept, "b" => 2);
    // Also through a computation in between, and not by what came before or after it.
    assert_eq!(kept.get_or_insert_with("c", || fresh_only.get_or_insert_with("c", &down)), 1);
    assert_eq!(kept.get("c").unwrap(), None);
    assert_eq!(down(), 1);
    miss!(kept, "d" => 4);
    hit!(kept, "d" => 4);
}

#[test]
fn a_ttl_of_today_judges_what_is_there() {
    let bench = Bench::new();
    let open = |ttl, stale_for| {
        let store = bench.store();
        let memo: Memo<str, u64> = Memo::builder("timed").ttl(ttl).stale_for(stale_for).open(&store).unwrap();
        (store, memo)
    };
    let (store, memo) = open(HOUR, DAY);
    miss!(memo, "a" => 1);
    bench.clock.advance(2 * HOUR);
    drop((memo, store));
    let (store, memo) = open(3 * HOUR, DAY);
    hit!(memo, "a" => 1);
    drop((memo, store));
    let (store, memo) = open(MINUTE, HOUR);
    assert_eq!(memo.get_or_try_insert_with("a", || Err(Down)), Err(Down), "over by an hour and more");
    drop((memo, store));
    let (_store, memo) = open(MINUTE, 2 * HOUR);
    falls_back!(memo, "a" => 1);
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_fresh_that_was_replaced() {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    miss!(memo, "a" => 1);
    bench.clock.advance(HOUR);
    falls_back!(memo, "a" => 1);
    miss!(memo, "b" => 1);
    bench.clock.advance(30 * SECOND);
    miss!(memo, "a" => 2);
    bench.clock.set_back(HOUR + 25 * SECOND);
    miss!(memo, "a" => 3);
    assert_eq!(memo.get_or_try_insert_with("b", || Err(Down)), Err(Down), "dated in the future");
}

#[test]
fn each_step_is_told() {
    let bench = Bench::new();
    let (told, events) = mpsc::channel();
    let memo = builder()
        .observer(move |event| {
            let line = match event {
                Event::Hit { is_stale, age, .. } => format!("hit {is_stale} {age:?}"),
                Event::Miss { reason, .. } => format!("miss {reason:?}"),
                Event::Refreshed { took, .. } => format!("refreshed {took:?}"),
                Event::RefreshFailed { retry_after, .. } => format!("failed {retry_after:?}"),
                _ => return,
            };
            told.send(line).unwrap();
        })
        .open(&bench.store())
        .unwrap();
    miss!(memo, "a" => 1);
    bench.clock.advance(HOUR);
    falls_back!(memo, "a" => 1);
    hit!(memo, "a" => 1);
    bench.clock.advance(MINUTE);
    let value = memo.get_or_insert_with("a", || {
        bench.clock.advance(SECOND);
        2
    });
    assert_eq!(value, 2);
    bench.clock.advance(SECOND);
    hit!(memo, "a" => 2);
    let lines: Vec<String> = events.try_iter().collect();
    let expected = [
        "miss Absent",
        "miss Expired",
        "failed 30s",
        "hit true 3600s",
        "miss Expired",
        "refreshed 1s",
        "hit false 1s",
    ];
    assert_eq!(lines, expected);
    assert!(
        memo.stats().to_string().contains("refreshes              1   failed 1, skipped 0, stale hits 1")
    );
}

#[test]
fn jitter_makes_keys_stale_at_times_of_their_own_and_always_the_same_ones() {
    let bench = Bench::new();
    let keys: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let fresh = |memo: &Memo<str, u64>| -> Vec<bool> {
        keys.iter().map(|key| memo.contains_key(key).unwrap()).collect()
    };
    let open = || {
        let store = bench.store();
        let memo = builder().jitter(30 * MINUTE).open(&store).unwrap();
        (store, memo)
    };
    let (store, memo) = open();
    for key in &keys {
        memo.insert(key, &1).unwrap();
    }
    bench.clock.advance(30 * MINUTE - Duration::from_millis(1));
    assert!(fresh(&memo).iter().all(|fresh| *fresh), "none loses more than the jitter");
    bench.clock.advance(15 * MINUTE);
    let half = fresh(&memo);
    let count = half.iter().filter(|fresh| **fresh).count();
    assert!((50..150).contains(&count), "{count}");
    drop((memo, store));
    let (_store, memo) = open();
    assert_eq!(fresh(&memo), half);
    assert_eq!(memo.len().unwrap(), 200, "counted by their ttl");
    bench.clock.advance(15 * MINUTE + Duration::from_millis(1));
    assert!(fresh(&memo).iter().all(|fresh| !fresh));
}

#[test]
fn options_that_make_no_sense_are_refused_with_their_remedy() {
    let bench = Bench::new();
    let store = bench.store();
    let refused = |builder: memolith::MemoBuilder<str, u64>| {
        let error = builder.open(&store).unwrap_err();
        assert!(error.is_config(), "{error}");
        error.to_string()
    };
    for part in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(refused(builder().refresh_at(part)).contains("`refresh_at` is not between 0 and 1"));
    }
    assert!(refused(builder().jitter(HOUR)).contains("`jitter` is not shorter than `ttl`"));
    let _open = builder().refresh_at(0.5).jitter(MINUTE).open(&store).unwrap();
    assert!(refused(builder().refresh_at(0.6)).contains("another refresh_at (0.5)"));
    assert!(refused(builder().jitter(SECOND)).contains("another jitter (60s)"));
    assert!(refused(builder().retry_after(SECOND)).contains("another retry_after (30s)"));
    assert!(refused(Memo::builder("stale").stale_for(HOUR)).contains("another stale_for"));
    assert!(refused(builder().spare_used()).contains("another spare_used"));
    assert!(builder().open(&store).is_ok());
}

#[test]
fn a_value_that_could_not_be_written_is_a_fallback_too() {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    miss!(memo, "a" => 1);
    memo.flush().unwrap();
    bench.clock.advance(HOUR);
    bench.faults.plant(Operation::Write, Fault::NoSpace);
    miss!(memo, "a" => 2);
    miss!(memo, "b" => 7);
    let _ = memo.flush();
    hit!(memo, "a" => 2);
    bench.clock.advance(HOUR);
    falls_back!(memo, "a" => 2);
    falls_back!(memo, "b" => 7);
    hit!(memo, "a" => 2);
}

#[test]
fn a_refresh_that_brings_no_fresh_value_is_not_tried_again_at_once() {
    let bench = Bench::new();
    let memo = builder().cache_if(|value| *value != 0).open(&bench.store()).unwrap();
    miss!(memo, "a" => 1);
    bench.clock.advance(HOUR);
    miss!(memo, "a" => 0);
    hit!(memo, "a" => 1);
    let refreshes = memo.stats().refreshes;
    assert_eq!((refreshes.succeeded, refreshes.failed), (0, 1));
    bench.clock.advance(30 * SECOND);
    miss!(memo, "a" => 2);
    hit!(memo, "a" => 2);
}

#[test]
fn a_renewal_from_a_stale_value_does_not_take_the_place_of_a_fresh_one() {
    let bench = Bench::new();
    let store = bench.store();
    let inner = memo(&store);
    let outer: Memo<str, u64> = Memo::builder("outer").ttl(10 * DAY).stale_for(DAY).open(&store).unwrap();
    miss!(inner, "a" => 1);
    bench.clock.advance(HOUR);
    miss!(outer, "b" => 5);
    let down = || inner.get_or_try_insert_with("a", || Err(Down)).unwrap();
    assert_eq!(outer.entry("b").max_age(Duration::ZERO).or_insert_with(down), 1);
    hit!(outer, "b" => 5);
}

#[test]
fn a_renewal_holds_no_caller_that_takes_the_value_that_is_there() {
    let bench = Bench::new();
    each_store(|_, store| {
        let memo = memo(&store);
        miss!(memo, "a" => 1);
        let renewed = memo.entry("a").max_age(Duration::ZERO).or_insert_with(|| {
            thread::scope(|scope| drop(scope.spawn(|| hit!(memo, "a" => 1)).join()));
            2
        });
        assert_eq!(renewed, 2);
        hit!(memo, "a" => 2);
    });
    drop(bench);
}
