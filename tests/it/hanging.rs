//! A worker that hangs in a call of the engine: its callers give up the wait, never the change. Values are computed
//! and held in memory. When the engine answers, the worker has finished that one change. A read stays with its
//! caller.
//!
//! The deadline is as short as possible where it is not the claim. It runs only while the engine hangs, so no working
//! call reaches it.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use memolith::{
    Memo, Result, Store,
    observe::Event,
    testing::{Fault, Operation},
};

use crate::{
    threads::{Caller, until_still, watched},
    vocabulary::*,
};

/// The store of a bench with a deadline of 100 ms.
fn impatient(bench: &Bench) -> Store {
    bench.options().reply_timeout(Duration::ZERO).open(bench.path()).unwrap()
}

/// Tries again until the engine is back. Each try moves the clock, so a pause ends.
fn until_healed(bench: &Bench, mut call: impl FnMut() -> Result<()>) {
    while call().is_err() {
        bench.clock.advance(Duration::from_millis(1));
        thread::yield_now();
    }
}

#[track_caller]
fn unanswered<T>(outcome: Result<T>) {
    let error = outcome.map(drop).unwrap_err();
    assert!(error.to_string().contains("did not answer in time"), "{error}");
}

#[test]
fn while_a_write_hangs_values_are_computed_once_and_held_in_memory() {
    watched(|| {
        let bench = Bench::new();
        let store = impatient(&bench);
        let (memo, other) = (plain(&store, "numbers"), plain(&store, "other"));
        other.insert("kept", &1).unwrap();
        bench.faults.plant(Operation::Write, Fault::Hang);
        miss!(memo, "hangs" => 7);
        bench.faults.await_hang();
        hit!(memo, "hangs" => 7);
        miss!(other, "handed over" => 2);
        hit!(other, "handed over" => 2);
        unanswered(other.insert("given up", &3));
        // The worker is known to hang: later calls fail at once, and send no request.
        unanswered(other.remove("kept"));
        unanswered(other.clear());
        unanswered(store.sweep());
        miss!(other, "in memory" => 4);
        hit!(other, "in memory" => 4);
        hit!(other, "kept" => 1);
        bench.faults.heal();
        until_healed(&bench, || other.insert("healed", &5));
        drop((memo, other, store));
        assert!(!bench.path().join("index-2").exists());
        let store = bench.store();
        hit!(plain(&store, "numbers"), "hangs" => 7);
        let other = plain(&store, "other");
        for (key, value) in [("kept", 1), ("handed over", 2), ("given up", 3), ("healed", 5)] {
            hit!(other, key => value);
        }
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    });
}

#[test]
fn while_a_flush_hangs_values_are_handed_out_and_it_covers_the_changes_before_it() {
    watched(|| {
        let bench = Bench::new();
        let store = impatient(&bench);
        let memo = plain(&store, "numbers");
        memo.insert("kept", &1).unwrap();
        bench.faults.plant(Operation::Flush, Fault::Hang);
        unanswered(memo.insert("given up", &2));
        unanswered(memo.insert("not sent", &3));
        miss!(memo, "computed" => 4);
        hit!(memo, "computed" => 4);
        hit!(memo, "kept" => 1);
        bench.faults.heal();
        until_healed(&bench, || store.flush());
        let indexes = |name: &str| bench.path().join(name).exists();
        assert!(indexes("index-1") && !indexes("index-2"), "no index was begun anew");
        drop((memo, store));
        let memo = plain(&bench.diskful(), "numbers");
        hit!(memo, "kept" => 1);
        hit!(memo, "given up" => 2);
        assert_eq!(memo.get("not sent").unwrap(), None);
    });
}

#[test]
fn a_value_that_took_long_is_handed_out_though_its_write_hangs() {
    watched(|| {
        let bench = Bench::new();
        let store = impatient(&bench);
        let memo = plain(&store, "numbers");
        bench.faults.plant(Operation::Write, Fault::Hang);
        let slow = memo.get_or_insert_with("slow", || {
            bench.clock.advance(Duration::from_millis(20));
            7
        });
        assert_eq!(slow, 7);
        hit!(memo, "slow" => 7);
        unanswered(memo.last_failure().map_or(Ok(()), |failure| Err(failure.error)));
        bench.faults.heal();
        until_healed(&bench, || memo.insert("healed", &8));
        drop((memo, store));
        hit!(plain(&bench.store(), "numbers"), "slow" => 7);
    });
}

#[test]
fn while_a_read_hangs_values_in_memory_are_handed_out() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        miss!(memo, "kept" => 1);
        hit!(memo, "kept" => 1);
        memo.flush().unwrap();
        bench.faults.plant(Operation::Read, Fault::Hang);
        let hanging = Caller::start({
            let memo = memo.clone();
            move || memo.get_or_insert_with("hangs", || 7)
        });
        bench.faults.await_hang();
        hit!(memo, "kept" => 1);
        bench.faults.heal();
        assert_eq!(hanging.join(), 7);
        hit!(memo, "hangs" => 7);
    });
}

/// Observers run on the janitor.
#[test]
fn an_observer_that_takes_its_time_holds_up_no_change() {
    watched(|| {
        let bench = Bench::new();
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        let store = bench.options().observer({
            let gate = Arc::clone(&gate);
            move |event| {
                if matches!(event, Event::Evicted { .. })
                    && thread::current().name() == Some("memolith-janitor")
                {
                    drop(gate.lock());
                }
            }
        });
        let store = store.open(bench.path()).unwrap();
        let memo: Memo<str, u64> = Memo::builder("numbers").max_entries(1).open(&store).unwrap();
        for (key, value) in [("one", 1), ("two", 2), ("three", 3)] {
            memo.get_or_insert_with(key, || value);
            memo.insert("inserted", &4).unwrap();
        }
        hit!(memo, "inserted" => 4);
        drop(closed);
    });
}

/// The same happens on a disk to which another program writes gigabytes.
#[test]
fn a_flush_that_is_slow_costs_no_index_and_nothing_in_it() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.options().memory(0).reply_timeout(Duration::ZERO).open(bench.path()).unwrap();
        let memo = plain(&store, "numbers");
        memo.insert("kept", &1).unwrap();
        bench.faults.plant(Operation::Flush, Fault::Hang);
        unanswered(memo.insert("slow", &2));
        for _ in 0..5 {
            unanswered(memo.insert("meanwhile", &3));
            bench.clock.advance(HOUR);
        }
        hit!(memo, "kept" => 1);
        bench.faults.heal();
        until_healed(&bench, || memo.insert("after", &4));
        for (key, value) in [("kept", 1), ("slow", 2), ("after", 4)] {
            hit!(memo, key => value);
        }
        assert!(!bench.path().join("index-2").exists());
        drop((memo, store));
        let store = bench.store();
        hit!(plain(&store, "numbers"), "slow" => 2);
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    });
}

#[test]
fn a_close_whose_worker_hangs_keeps_the_directory_until_it_is_done() {
    watched(|| {
        let bench = Bench::new();
        let store = impatient(&bench);
        let memo = plain(&store, "numbers");
        memo.insert("kept", &1).unwrap();
        bench.faults.plant(Operation::Flush, Fault::Hang);
        miss!(memo, "one" => 1);
        bench.faults.await_hang();
        unanswered(store.close());
        drop((memo, store));
        let held = bench.options().lock_timeout(Duration::ZERO).open(bench.path());
        assert!(held.unwrap_err().is_in_use());
        bench.faults.heal();
        let store = loop {
            match bench.options().open(bench.path()) {
                Ok(store) => break store,
                Err(error) => assert!(error.is_in_use(), "{error}"),
            }
        };
        for key in ["kept", "one"] {
            hit!(plain(&store, "numbers"), key => 1);
        }
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    });
}

/// The worker hides the old payload file before the new one has its name. A reader in between finds a value all the
/// same.
#[test]
fn a_reader_that_comes_while_a_large_value_is_replaced_finds_the_new_one() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.options().memory(0).open(bench.path()).unwrap();
        let memo: Memo<str, Vec<u8>> = Memo::builder("pictures").open(&store).unwrap();
        memo.insert("one", &large(1)).unwrap();
        bench.faults.plant(Operation::Write, Fault::Hang);
        let writer = Caller::start({
            let memo = memo.clone();
            move || memo.insert("one", &large(2)).unwrap()
        });
        bench.faults.await_hang();
        let reader = Caller::start({
            let memo = memo.clone();
            move || memo.get("one").unwrap()
        });
        until_still(&reader);
        bench.faults.heal();
        writer.join();
        assert_eq!(reader.join(), Some(large(2)));
        assert_eq!(memo.stats().misses.total(), 0);
        assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    });
}

/// An index that opens slowly is there later.
#[test]
fn an_index_that_is_long_in_opening_does_not_keep_its_store() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        miss!(plain(&store, "numbers"), "kept" => 1);
        store.close().unwrap();
        bench.faults.plant(Operation::Open, Fault::Hang);
        let options = bench.options().open_timeout(Duration::ZERO).reply_timeout(Duration::ZERO);
        let store = options.open(bench.path()).unwrap();
        let memo = plain(&store, "numbers");
        assert_eq!(memo.get_or_insert_with("new", || 2), 2);
        unanswered(memo.insert("refused", &3));
        assert!(store.sweep().is_err(), "which payload files have a record is not known yet");
        bench.faults.heal();
        until_healed(&bench, || memo.insert("healed", &3));
        drop((memo, store));
        let store = bench.store();
        hit!(plain(&store, "numbers"), "kept" => 1);
        hit!(plain(&store, "numbers"), "healed" => 3);
    });
}

#[test]
fn a_clear_that_cannot_be_flushed_counts_as_one_when_the_engine_is_back() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.options().memory(0).reply_timeout(Duration::ZERO).open(bench.path()).unwrap();
        let memo: Memo<str, u64> = Memo::builder("full").max_entries(2).open(&store).unwrap();
        memo.insert("one", &1).and_then(|()| memo.insert("two", &2)).unwrap();
        bench.faults.plant(Operation::Flush, Fault::Hang);
        unanswered(memo.clear());
        bench.faults.heal();
        until_healed(&bench, || memo.insert("three", &3));
        until_healed(&bench, || memo.insert("four", &4));
        assert_eq!(memo.len().unwrap(), 2);
        hit!(memo, "three" => 3);
        hit!(memo, "four" => 4);
        drop((memo, store));
        assert!(!bench.path().join("index-2").exists());
        let store = bench.store();
        let memo: Memo<str, u64> = Memo::builder("full").max_entries(2).open(&store).unwrap();
        assert_eq!(memo.len().unwrap(), 2);
        miss!(memo, "one" => 5);
    });
}

#[test]
fn a_memo_that_is_opened_while_the_worker_hangs_is_there_for_the_next_process() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.options().memory(0).reply_timeout(Duration::ZERO).open(bench.path()).unwrap();
        let early = plain(&store, "early");
        bench.faults.plant(Operation::Write, Fault::Hang);
        unanswered(early.insert("one", &1));
        let late = plain(&store, "late");
        assert_eq!(late.get_or_insert_with("one", || 1), 1);
        bench.faults.heal();
        until_healed(&bench, || late.insert("two", &2));
        drop((early, late, store));
        let store = bench.store();
        assert_eq!(store.memos().unwrap(), ["early", "late"]);
        hit!(plain(&store, "late"), "two" => 2);
        store.clear().unwrap();
        miss!(plain(&store, "late"), "two" => 3);
    });
}

/// sled hangs like this after a failed write of a large value, when the disk has room again.
#[test]
fn an_engine_that_hangs_while_it_is_dropped_is_opened_again_when_it_is_gone() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        memo.insert("kept", &1).unwrap();
        bench.faults.plant(Operation::Write, Fault::NoSpace);
        bench.faults.plant(Operation::Flush, Fault::Hang);
        assert!(memo.insert("one", &1).unwrap_err().is_io());
        bench.faults.clear(Operation::Write);
        bench.clock.advance(MINUTE);
        assert!(memo.insert("one", &1).unwrap_err().is_io(), "its file is not released yet");
        miss!(memo, "in memory" => 2);
        hit!(memo, "in memory" => 2);
        bench.faults.heal();
        while memo.insert("two", &2).is_err() {
            bench.clock.advance(MINUTE);
        }
        hit!(memo, "two" => 2);
        hit!(memo, "kept" => 1);
        assert!(!bench.path().join("index-2").exists());
    });
}
