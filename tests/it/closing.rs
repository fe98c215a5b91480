//! Handles that are opened and dropped, and the handles of a store that was closed.

use std::{
    any::Any,
    env,
    sync::{Arc, Barrier, mpsc},
    thread,
};

use memolith::{
    Memo, Store,
    testing::{Fault, Operation},
};

use crate::{history::Dice, threads::watched, vocabulary::*};

#[test]
fn handles_dropped_and_opened_at_once_lose_nothing() {
    let bench = Bench::new();
    for round in 0..200 {
        let store = bench.store();
        let memo = plain(&store, "numbers");
        assert_eq!(memo.len().unwrap(), round as usize);
        if round > 0 {
            hit!(memo, (round - 1).to_string().as_str() => round - 1);
        }
        miss!(memo, round.to_string().as_str() => round);
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    }
}

#[test]
fn handles_dropped_in_any_order_lose_nothing() {
    let (bench, mut dice) = (Bench::new(), Dice(1));
    let rounds = if env::var_os("MEMOLITH_SOAK").is_some() { 1_000 } else { 60 };
    for round in 0..rounds {
        let (one, other) = (bench.store(), bench.store());
        let (left, right) = (plain(&one, "left"), plain(&other, "right"));
        assert_eq!((left.len().unwrap(), right.len().unwrap()), (round as usize, round as usize));
        miss!(left, round.to_string().as_str() => round);
        miss!(right, round.to_string().as_str() => round);
        assert!(one.last_failure().is_none(), "{:?}", one.last_failure());
        let mut handles: Vec<Box<dyn Any>> = vec![Box::new(one.clone()), Box::new(left.clone())];
        handles.extend([Box::new(one) as Box<dyn Any>, Box::new(other), Box::new(left), Box::new(right)]);
        while !handles.is_empty() {
            drop(handles.swap_remove(dice.below(handles.len() as u64) as usize));
        }
    }
}

#[test]
fn any_clone_and_any_memo_keeps_the_store_open() {
    let bench = Bench::new();
    let store = bench.store();
    let (clone, memo) = (store.clone(), plain(&store, "numbers"));
    drop(store);
    drop(clone);
    miss!(memo, "one" => 1);
    hit!(memo, "one" => 1);
    let again = memo.clone();
    drop(memo);
    hit!(again, "one" => 1);
    assert!(again.last_failure().is_none());
}

#[test]
fn two_threads_that_open_and_drop_do_not_disturb_each_other() {
    let bench = Bench::new();
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        for name in ["left", "right"] {
            let (bench, barrier) = (&bench, &barrier);
            scope.spawn(move || {
                for round in 0..20 {
                    barrier.wait();
                    let store = bench.store();
                    let memo = plain(&store, name);
                    assert_eq!(memo.len().unwrap(), round as usize);
                    miss!(memo, round.to_string().as_str() => round);
                }
            });
        }
    });
    let store = bench.store();
    assert_eq!((plain(&store, "left").len().unwrap(), plain(&store, "right").len().unwrap()), (20, 20));
}

#[test]
fn two_threads_that_close_under_each_other_still_compute_what_is_right() {
    let bench = Bench::new();
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 0..20 {
                    barrier.wait();
                    let store = bench.store();
                    let memo = plain(&store, "numbers");
                    assert_eq!(memo.get_or_insert_with(&round.to_string(), || round), round);
                    store.close().unwrap();
                    assert_eq!(memo.get_or_insert_with(&round.to_string(), || round), round);
                }
            });
        }
    });
    let store = bench.store();
    let memo = plain(&store, "numbers");
    miss!(memo, "after" => 1);
    hit!(memo, "after" => 1);
}

#[test]
fn closing_twice_is_closing_once() {
    let bench = Bench::new();
    let store = bench.store();
    let clone = store.clone();
    plain(&store, "numbers").insert("one", &1).unwrap();
    store.close().unwrap();
    store.close().unwrap();
    clone.close().unwrap();
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    hit!(plain(&bench.store(), "numbers"), "one" => 1);
}

#[test]
fn a_memo_of_a_closed_store_is_the_plain_function_and_says_so() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    memo.insert("one", &1).unwrap();
    store.close().unwrap();
    miss!(memo, "one" => 10);
    miss!(memo, "one" => 11);
    let told = [
        memo.get("one").unwrap_err(),
        memo.insert("one", &12).unwrap_err(),
        memo.remove("one").unwrap_err(),
        memo.contains_key("one").unwrap_err(),
        memo.clear().unwrap_err(),
        memo.flush().unwrap_err(),
        store.clear().unwrap_err(),
        store.sweep().unwrap_err(),
        store.flush().unwrap_err(),
        memo.len().unwrap_err(),
        memo.usage().unwrap_err(),
        store.usage().unwrap_err(),
        store.memos().unwrap_err(),
        memo.last_failure().unwrap().error,
    ];
    for error in told {
        assert!(error.to_string().contains("closed: open it again"), "{error}");
    }
    assert_eq!(memo.stats().failures.closed, 2, "{}", memo.stats());
    let store = bench.store();
    hit!(plain(&store, "numbers"), "one" => 1);
    drop(memo);
    hit!(plain(&store, "numbers"), "one" => 1);
}

#[test]
fn what_is_left_of_a_closed_store_does_not_disturb_the_next_one() {
    let bench = Bench::new();
    let old = bench.store();
    let old_memo = plain(&old, "numbers");
    old.close().unwrap();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    miss!(memo, "one" => 1);
    old.close().unwrap();
    drop((old, old_memo));
    hit!(memo, "one" => 1);
    hit!(plain(&bench.store(), "numbers"), "one" => 1);
    memo.insert("two", &2).unwrap();
    assert!(store.last_failure().is_none() && memo.last_failure().is_none());
}

#[test]
fn a_close_does_not_wait_for_a_computation_and_the_computation_returns() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    let closes = memo.get_or_insert_with("closes", || {
        store.close().unwrap();
        1
    });
    assert_eq!(closes, 1);
    let memo = plain(&bench.store(), "numbers");
    miss!(memo, "closes" => 2);
}

/// A computation of another thread may hold the last handle.
#[test]
fn a_store_dropped_during_a_computation_is_closed_by_it() {
    let bench = Bench::new();
    let memo = plain(&bench.store(), "numbers");
    let (go, wait) = mpsc::channel();
    let computing = thread::spawn(move || memo.get_or_insert_with("one", || wait.recv().unwrap()));
    let other = bench.store();
    drop(other);
    go.send(1).unwrap();
    assert_eq!(computing.join().unwrap(), 1);
    hit!(plain(&bench.store(), "numbers"), "one" => 1);
}

#[test]
fn a_temporary_store_is_gone_when_it_is_closed_or_dropped() {
    let store = Store::temporary().unwrap();
    let memo: Memo<u8, Arc<Vec<u8>>> = Memo::builder("blobs").open(&store).unwrap();
    memo.insert(&1, &Arc::new(large(1))).unwrap();
    let path = store.path().unwrap().to_owned();
    drop(store);
    assert!(path.is_dir(), "a memo keeps it");
    hit!(memo, &1 => Arc::new(large(1)));
    drop(memo);
    assert!(!path.exists(), "{}", path.display());

    let store = Store::temporary().unwrap();
    let path = store.path().unwrap().to_owned();
    store.close().unwrap();
    assert!(!path.exists(), "{}", path.display());
}

#[test]
fn two_temporary_stores_are_two() {
    let (one, other) = (Store::temporary().unwrap(), Store::temporary().unwrap());
    assert_ne!(one.path(), other.path());
    miss!(plain(&one, "numbers"), "one" => 1);
    miss!(plain(&other, "numbers"), "one" => 2);
}

/// A value that was quick to compute is flushed a moment later. Here that flush is refused.
#[test]
fn a_close_says_that_what_was_written_last_is_lost() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        bench.faults.plant(Operation::Flush, Fault::NoSpace);
        miss!(plain(&store, "numbers"), "one" => 1);
        while store.last_failure().is_none() {
            thread::yield_now();
        }
        assert!(store.close().unwrap_err().is_io());
        bench.faults.heal();
        drop(store);
        let memo = plain(&bench.store(), "numbers");
        assert_eq!(memo.get_or_insert_with("one", || 1), 1);
    });
}
