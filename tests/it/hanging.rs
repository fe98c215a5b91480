//! A call of the engine that does not come back is left to its thread: everybody goes on without. Its own caller too, but for
//! a read and a quick put, unless an `engine_timeout` is set.
//!
//! Where the deadline is not what is asked about it is as short as can be: only ever after the engine hangs, so that no call
//! that works can be taken for one that does not.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use memolith::{
    Memo, Result,
    observe::Event,
    testing::{Fault, Operation},
};

use crate::{
    threads::{Caller, until_still, watched},
    vocabulary::*,
};

#[test]
#[ignore = "waits for a deadline of 5 s"]
fn while_a_write_hangs_the_others_compute_and_remember_in_memory() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let (memo, other) = (plain(&store, "numbers"), plain(&store, "other"));
        miss!(other, "kept" => 1);
        bench.faults.plant(Operation::Write, Fault::Hang);
        let hanging = Caller::start({
            let memo = memo.clone();
            move || memo.get_or_insert_with("hangs", || 7)
        });
        bench.faults.await_hang();
        hit!(other, "kept" => 1);
        for key in ["one", "two"] {
            miss!(other, key => 2);
            hit!(other, key => 2);
        }
        assert!(other.insert("three", &3).unwrap_err().to_string().contains("does not answer"));
        assert!(other.remove("kept").is_err() && other.clear().is_err() && store.sweep().is_err());
        assert_eq!((other.len(), store.memos()), (0, Vec::<String>::new()));
        bench.faults.heal();
        assert_eq!(hanging.join(), 7);
        other.insert("three", &3).unwrap();
        miss!(other, "four" => 4);
        drop((memo, other, store));
        let store = bench.store();
        hit!(plain(&store, "numbers"), "hangs" => 7);
        for (key, value) in [("kept", 1), ("three", 3), ("four", 4)] {
            hit!(plain(&store, "other"), key => value);
        }
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    });
}

#[test]
fn while_a_read_hangs_what_is_in_memory_is_handed_out() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        miss!(memo, "kept" => 1);
        hit!(memo, "kept" => 1);
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

/// The worker that flushes is in an observer, and not in the engine.
#[test]
#[ignore = "waits for a deadline of 5 s"]
fn an_observer_that_takes_its_time_costs_a_flush_and_no_index() {
    watched(|| {
        let bench = Bench::new();
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        let store = bench.options().memory(0).observer({
            let gate = Arc::clone(&gate);
            move |event| {
                if matches!(event, Event::Failed { memo: None, .. })
                    && thread::current().name() == Some("memolith")
                {
                    drop(gate.lock());
                }
            }
        });
        let store = store.open(bench.path()).unwrap();
        let memo = plain(&store, "numbers");
        memo.insert("kept", &1).unwrap();
        bench.faults.plant(Operation::Flush, Fault::NoSpace);
        assert!(memo.insert("one", &1).unwrap_err().is_io());
        bench.faults.heal();
        bench.clock.advance(HOUR);
        assert!(memo.insert("two", &2).unwrap_err().to_string().contains("did not answer in time"));
        // Another worker has taken the place of the one that tells.
        memo.insert("three", &3).unwrap();
        hit!(memo, "kept" => 1);
        hit!(memo, "three" => 3);
        assert!(bench.path().join("index-1").is_dir() && !bench.path().join("index-2").exists());
        drop(closed);
    });
}

/// As on a disk to which somebody else writes gigabytes.
#[test]
#[ignore = "waits for a deadline of 5 s"]
fn a_flush_that_is_slow_costs_no_index_and_nothing_in_it() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.options().memory(0).open(bench.path()).unwrap();
        let memo = plain(&store, "numbers");
        memo.insert("kept", &1).unwrap();
        bench.faults.plant(Operation::Flush, Fault::Hang);
        assert!(memo.insert("slow", &2).unwrap_err().to_string().contains("did not answer in time"));
        for _ in 0..5 {
            // It rests, and is tried again, and still does not answer.
            assert!(memo.insert("meanwhile", &3).is_err());
            bench.clock.advance(5 * SECOND);
        }
        bench.faults.heal();
        while memo.insert("after", &4).is_err() {
            thread::yield_now();
        }
        for (key, value) in [("kept", 1), ("slow", 2), ("after", 4)] {
            hit!(memo, key => value);
        }
        assert!(!bench.path().join("index-2").exists());
        drop((memo, store));
        let store = bench.store();
        hit!(plain(&store, "numbers"), "kept" => 1);
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    });
}

#[test]
#[ignore = "waits for a deadline of 5 s"]
fn an_index_whose_engine_never_answers_is_given_up_after_a_minute() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        memo.insert("lost", &1).unwrap();
        bench.faults.plant(Operation::Flush, Fault::Hang);
        assert!(memo.insert("one", &1).is_err());
        miss!(memo, "new" => 2);
        hit!(memo, "new" => 2);
        while !bench.path().join("index-2").exists() {
            // As long as it rests at most: what is longer may be because the process was stopped.
            bench.clock.advance(61 * SECOND);
            assert!(memo.insert("one", &1).is_err());
        }
        bench.faults.heal();
        while memo.insert("two", &2).is_err() {
            thread::yield_now();
        }
        drop((memo, store));
        let store = bench.store();
        hit!(plain(&store, "numbers"), "two" => 2);
        miss!(plain(&store, "numbers"), "lost" => 1);
    });
}

/// Nobody has waited for that flush: the close is the first to notice.
#[test]
#[ignore = "waits for a deadline of 5 s"]
fn a_close_that_finds_its_worker_in_a_hanging_flush_lets_go_of_the_directory() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        memo.insert("kept", &1).unwrap();
        bench.faults.plant(Operation::Flush, Fault::Hang);
        miss!(memo, "one" => 1);
        bench.faults.await_hang();
        let error = store.close().unwrap_err();
        assert!(error.to_string().contains("did not answer in time"), "{error}");
        drop((memo, store));
        bench.faults.heal();
        let store = bench.store();
        hit!(plain(&store, "numbers"), "kept" => 1);
    });
}

/// Who replaces a payload file hides the old one before the new one has its name. In between there is a value all the same.
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

/// Comes again until the engine is back. The clock moves on a little: a rest has its end, and no engine is given up for it.
fn until_healed(bench: &Bench, mut call: impl FnMut() -> Result<()>) {
    while call().is_err() {
        bench.clock.advance(Duration::from_millis(1));
        thread::yield_now();
    }
}

/// A store whose calls are all given up, and another in the same process, which has nothing to do with it.
#[test]
fn with_an_engine_timeout_every_caller_goes_on_without_an_engine_that_does_not_answer() {
    for operation in [Operation::Read, Operation::Write, Operation::Remove, Operation::Scan] {
        watched(move || {
            let (bench, other) = (Bench::new(), Bench::new());
            let store = bench.store();
            let (numbers, full) = (plain(&store, "numbers"), Memo::builder("full").max_entries(1));
            let full: Memo<str, u64> = full.open(&store).unwrap();
            miss!(numbers, "kept" => 1);
            miss!(full, "first" => 1);
            store.close().unwrap();

            let store = bench.options().engine_timeout(Duration::ZERO).open(bench.path()).unwrap();
            let numbers = plain(&store, "numbers");
            let full: Memo<str, u64> = Memo::builder("full").max_entries(1).open(&store).unwrap();
            bench.faults.plant(operation, Fault::Hang);
            assert_eq!(numbers.get_or_insert_with("new", || 7), 7);
            assert_eq!(full.get_or_insert_with("second", || 2), 2);
            if matches!(operation, Operation::Read | Operation::Write) {
                hit!(numbers, "new" => 7);
                assert!(numbers.last_failure().unwrap().to_string().contains("did not answer in time"));
            }
            let _ = (full.remove("first"), numbers.insert("own", &3), numbers.clear(), store.sweep());
            miss!(plain(&other.store(), "numbers"), "new" => 8);

            bench.faults.heal();
            until_healed(&bench, || numbers.insert("healed", &4));
            drop((numbers, full, store));
            assert!(!bench.path().join("index-2").exists());
            let store = bench.store();
            hit!(plain(&store, "numbers"), "healed" => 4);
            miss!(plain(&store, "numbers"), "after" => 5);
            assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
        });
    }
}

/// The first caller is in the engine; the second waits for it, the third comes later, with another key.
#[test]
fn a_read_that_hangs_keeps_neither_who_waits_for_it_nor_who_comes_after() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        miss!(plain(&store, "numbers"), "kept" => 1);
        store.close().unwrap();
        let store = bench.options().patience(Duration::ZERO).open(bench.path()).unwrap();
        let memo = plain(&store, "numbers");
        bench.faults.plant(Operation::Read, Fault::Hang);
        let caller = |key: &'static str, value| {
            let memo = memo.clone();
            Caller::start(move || memo.get_or_insert_with(key, || value))
        };
        let hanging = caller("kept", 2);
        bench.faults.await_hang();
        let waiting = caller("kept", 3);
        assert_eq!(waiting.join(), 3);
        assert_eq!(memo.get_or_insert_with("another", || 4), 4);
        hit!(memo, "another" => 4);
        assert!(memo.insert("kept", &5).is_err());
        bench.faults.heal();
        // It was there all the time.
        assert_eq!(hanging.join(), 1);
        until_healed(&bench, || memo.insert("healed", &6));
        drop((memo, store));
        let store = bench.store();
        hit!(plain(&store, "numbers"), "kept" => 1);
        hit!(plain(&store, "numbers"), "healed" => 6);
        assert!(!bench.path().join("index-2").exists());
    });
}

/// What took long to compute, and what is acknowledged, is written by another thread.
#[test]
fn a_write_that_hangs_does_not_keep_who_wants_it_to_stay() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        miss!(plain(&store, "numbers"), "kept" => 1);
        store.close().unwrap();
        let store = bench.options().patience(Duration::ZERO).open(bench.path()).unwrap();
        let memo = plain(&store, "numbers");
        bench.faults.plant(Operation::Write, Fault::Hang);
        let slow = memo.get_or_insert_with("slow", || {
            bench.clock.advance(Duration::from_millis(20));
            7
        });
        assert_eq!(slow, 7);
        hit!(memo, "slow" => 7);
        let error = memo.insert("own", &8).unwrap_err();
        assert!(error.to_string().contains("did not answer in time"), "{error}");
        assert!(memo.remove("kept").is_err() && memo.clear().is_err());
        bench.faults.heal();
        until_healed(&bench, || memo.insert("healed", &9));
        drop((memo, store));
        assert!(!bench.path().join("index-2").exists());
        let store = bench.store();
        hit!(plain(&store, "numbers"), "kept" => 1);
        hit!(plain(&store, "numbers"), "healed" => 9);
    });
}

/// An index that takes its time is there later.
#[test]
fn an_index_that_is_long_in_opening_is_not_waited_for_for_ever() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        miss!(plain(&store, "numbers"), "kept" => 1);
        store.close().unwrap();
        bench.faults.plant(Operation::Open, Fault::Hang);
        let store = bench.options().opening(Duration::ZERO).open(bench.path()).unwrap();
        let memo = plain(&store, "numbers");
        assert_eq!(memo.get_or_insert_with("new", || 2), 2);
        assert!(store.last_failure().unwrap().to_string().contains("did not answer in time"));
        bench.faults.heal();
        until_healed(&bench, || memo.insert("healed", &3));
        drop((memo, store));
        let store = bench.store();
        hit!(plain(&store, "numbers"), "kept" => 1);
        hit!(plain(&store, "numbers"), "healed" => 3);
    });
}

/// The tables are gone; sled hangs in what it does when the last one lets go of them.
#[test]
fn a_clear_that_cannot_be_flushed_counts_as_one_when_the_engine_is_back() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.options().memory(0).patience(Duration::ZERO).open(bench.path()).unwrap();
        let memo: Memo<str, u64> = Memo::builder("full").max_entries(2).open(&store).unwrap();
        until_healed(&bench, || memo.insert("one", &1).and_then(|()| memo.insert("two", &2)));
        bench.faults.plant(Operation::Flush, Fault::Hang);
        assert!(memo.clear().is_err());
        bench.faults.heal();
        until_healed(&bench, || memo.insert("three", &3));
        until_healed(&bench, || memo.insert("four", &4));
        assert_eq!(memo.len(), 2);
        hit!(memo, "three" => 3);
        hit!(memo, "four" => 4);
        drop((memo, store));
        assert!(!bench.path().join("index-2").exists());
        let store = bench.store();
        let memo: Memo<str, u64> = Memo::builder("full").max_entries(2).open(&store).unwrap();
        assert_eq!(memo.len(), 2);
        miss!(memo, "one" => 5);
    });
}

/// The engine that comes back does not know of it.
#[test]
fn a_memo_that_is_opened_while_the_engine_does_not_answer_is_there_for_the_next_process() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.options().memory(0).engine_timeout(Duration::ZERO).open(bench.path()).unwrap();
        let early = plain(&store, "early");
        bench.faults.plant(Operation::Read, Fault::Hang);
        assert_eq!(early.get_or_insert_with("one", || 1), 1);
        let late = plain(&store, "late");
        assert_eq!(late.get_or_insert_with("one", || 1), 1);
        bench.faults.heal();
        until_healed(&bench, || late.insert("two", &2));
        drop((early, late, store));
        let store = bench.store();
        assert_eq!(store.memos(), ["early", "late"]);
        store.clear().unwrap();
        miss!(plain(&store, "late"), "two" => 3);
    });
}

/// Nobody knows yet which payload files somebody means.
#[test]
fn a_sweep_before_the_index_is_open_takes_no_payload_file() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let pictures: Memo<str, Vec<u8>> = Memo::builder("pictures").open(&store).unwrap();
        pictures.insert("one", &large(1)).unwrap();
        drop((pictures, store));
        bench.faults.plant(Operation::Open, Fault::Hang);
        let store = bench.options().opening(Duration::ZERO).open(bench.path()).unwrap();
        assert!(store.sweep().is_err());
        bench.faults.heal();
        until_healed(&bench, || store.flush());
        hit!(Memo::<str, Vec<u8>>::builder("pictures").open(&store).unwrap(), "one" => large(1));
    });
}

/// Before it removes a record it reads it.
#[test]
fn a_read_that_hangs_does_not_keep_who_removes() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.options().memory(0).patience(Duration::ZERO).open(bench.path()).unwrap();
        let memo = plain(&store, "numbers");
        until_healed(&bench, || memo.insert("one", &1));
        bench.faults.plant(Operation::Read, Fault::Hang);
        assert!(memo.remove("one").is_err());
        bench.faults.heal();
        until_healed(&bench, || memo.remove("one").map(drop));
        miss!(memo, "one" => 2);
    });
}

/// As sled does after a failed write of a large value, when the disk has room again.
#[test]
#[ignore = "waits for a deadline of 5 s"]
fn an_engine_that_hangs_while_it_is_dropped_is_given_up_after_a_minute() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        memo.insert("lost", &1).unwrap();
        bench.faults.plant(Operation::Write, Fault::NoSpace);
        bench.faults.plant(Operation::Flush, Fault::Hang);
        assert!(memo.insert("one", &1).unwrap_err().is_io());
        bench.faults.clear(Operation::Write);
        while !bench.path().join("index-2").exists() {
            // It rests, and is tried again, and still is not gone.
            bench.clock.advance(61 * SECOND);
            assert!(memo.insert("one", &1).is_err());
            thread::yield_now();
        }
        bench.faults.heal();
        until_healed(&bench, || memo.insert("two", &2));
        hit!(memo, "two" => 2);
    });
}
