//! An observer may panic, and may use the cache itself. It fails no call, and no lock stays held.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, SystemTime},
};

use memolith::{Memo, Store, observe::Event};

use crate::{
    contained::{Touch, Touchy, all_is_free, call, touchy},
    threads::watched,
    vocabulary::*,
};

fn observed(bench: &Bench, observe: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Store {
    bench.options().observer(observe).open(bench.path()).unwrap()
}

#[test]
fn an_observer_that_panics_fails_no_call_and_is_counted() {
    watched(|| {
        let bench = Bench::new();
        let store = observed(&bench, |_| panic!("in the observer"));
        let memo = touchy(&store);
        all_is_free(&store, &memo);
        assert!(call(&memo, "broken", Touch::EncodeFails));
        assert_eq!(memo.stats().failures.encode, 1);
        assert!(store.stats().failures.panic > 0);
        assert!(store.last_failure().unwrap().to_string().contains("in the observer"));
    });
}

/// A hiccup of the store must not fail the test that asserts that one memo works.
#[test]
fn a_failure_of_the_store_is_none_of_its_memos_and_goes_when_it_is_taken() {
    let bench = Bench::new();
    let store = observed(&bench, |event| assert!(!matches!(event, Event::Hit { .. }), "in the observer"));
    let memo = plain(&store, "numbers");
    miss!(memo, "one" => 1);
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    for hour in 0..2 {
        hit!(memo, "one" => 1);
        assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
        assert_eq!(store.last_failure().unwrap().at, start + hour * HOUR);
        let failure = store.take_last_failure().unwrap();
        assert!(failure.error.to_string().contains("in the observer"), "{failure}");
        assert!(store.last_failure().is_none() && store.take_last_failure().is_none());
        bench.clock.advance(HOUR);
    }
    assert_eq!(store.stats().failures.panic, 2);
}

#[test]
fn a_failure_of_a_memo_is_none_of_its_store_and_of_no_other_memo() {
    let bench = Bench::new();
    let store = bench.store();
    let (small, other) =
        (Memo::<str, u64>::builder("small").max_bytes(1).open(&store).unwrap(), plain(&store, "other"));
    miss!(small, "one" => 1);
    miss!(other, "one" => 1);
    assert!(small.last_failure().is_some_and(|failure| failure.error.is_oversize()));
    assert!(other.last_failure().is_none() && store.last_failure().is_none());
    assert!(small.take_last_failure().is_some() && small.last_failure().is_none());
}

/// The panic of the closure reaches the caller unchanged, though the observer panics while it unwinds.
#[test]
fn an_observer_that_panics_does_not_take_the_place_of_the_closures_panic() {
    watched(|| {
        let bench = Bench::new();
        let store = observed(&bench, |_| panic!("in the observer"));
        let memo = touchy(&store);
        let call = || memo.get_or_insert_with("one", || panic!("in the closure"));
        let panic = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"in the closure"));
        all_is_free(&store, &memo);
    });
}

/// The store and the memo that the observer of a scenario uses, once they are open.
type Door = Arc<Mutex<Option<(Store, Memo<str, Touchy>)>>>;

/// A store with an observer that uses the store and the memo at each event, and the number of times it did.
fn meddling(bench: &Bench) -> (Store, Memo<str, Touchy>, Door, Arc<AtomicU64>) {
    let (door, count) = (Door::default(), Arc::new(AtomicU64::new(0)));
    let (open, counting) = (Arc::clone(&door), Arc::clone(&count));
    let store = observed(bench, move |_| {
        let Some((store, memo)) = open.lock().unwrap().clone() else { return };
        counting.fetch_add(1, SeqCst);
        meddle(&store, &memo);
    });
    let memo = touchy(&store);
    *door.lock().unwrap() = Some((store.clone(), memo.clone()));
    (store, memo, door, count)
}

fn meddle(store: &Store, memo: &Memo<str, Touchy>) {
    for key in ["first", "fourth", "of the observer"] {
        assert_eq!(memo.get_or_insert_with(key, || Touchy(1)), Touchy(1));
    }
    let log: Memo<u8, u8> = Memo::builder("log").open(store).unwrap();
    log.insert(&1, &1).unwrap();
    drop((memo.stats(), store.stats(), memo.len().unwrap(), store.memos().unwrap(), memo.last_failure()));
    store.flush().unwrap();
}

#[test]
fn an_observer_may_call_the_memo_again() {
    watched(|| {
        let bench = Bench::new();
        let (store, memo, door, count) = meddling(&bench);
        for key in ["first", "second", "third", "fourth", "first"] {
            assert_eq!(memo.get_or_insert_with(key, || Touchy(1)), Touchy(1));
        }
        assert!(call(&memo, "broken", Touch::EncodeFails));
        memo.remove("first").unwrap();
        memo.clear().unwrap();
        assert!(count.load(SeqCst) > 10);
        door.lock().unwrap().take();
        all_is_free(&store, &memo);
    });
}

#[test]
fn an_observer_may_call_the_memo_again_from_many_threads() {
    watched(|| {
        let bench = Bench::new();
        let (store, memo, door, _) = meddling(&bench);
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    for key in ["first", "second", "third", "fourth"].repeat(10) {
                        assert_eq!(memo.get_or_insert_with(key, || Touchy(1)), Touchy(1));
                    }
                });
            }
        });
        door.lock().unwrap().take();
        all_is_free(&store, &memo);
    });
}

/// Opening a memo with a tighter bound evicts, and the observer receives that event.
#[test]
fn an_observer_may_open_a_memo_while_one_is_opened() {
    watched(|| {
        let bench = Bench::new();
        let (store, _memo, door, count) = meddling(&bench);
        let numbers = plain(&store, "numbers");
        (0..3).for_each(|key| numbers.insert(&key.to_string(), &key).unwrap());
        drop(numbers);
        let before = count.load(SeqCst);
        let numbers: Memo<str, u64> = Memo::builder("numbers").max_entries(1).open(&store).unwrap();
        assert_eq!(numbers.len().unwrap(), 1);
        assert!(count.load(SeqCst) > before);
        hit!(numbers, "2" => 2);
        door.lock().unwrap().take();
    });
}

/// Each of its reads would be one more event for it, without an end.
#[test]
fn what_an_observer_causes_is_counted_and_told_to_nobody() {
    watched(|| {
        let bench = Bench::new();
        let told = Arc::new(AtomicU64::new(0));
        let door: Arc<Mutex<Option<Memo<str, u64>>>> = Arc::default();
        let (open, telling) = (Arc::clone(&door), Arc::clone(&told));
        let store = observed(&bench, move |_| {
            telling.fetch_add(1, SeqCst);
            if let Some(memo) = open.lock().unwrap().clone() {
                assert_eq!(memo.get("one").unwrap(), Some(1));
                memo.get_or_insert_with("of the observer", || 2);
            }
        });
        let memo = plain(&store, "numbers");
        memo.insert("one", &1).unwrap();
        *door.lock().unwrap() = Some(memo.clone());
        let before = told.load(SeqCst);
        hit!(memo, "one" => 1);
        assert_eq!(told.load(SeqCst) - before, 1);
        assert_eq!((memo.stats().hits.total(), memo.stats().misses.total()), (2, 1));
        hit!(memo, "of the observer" => 2);
        *door.lock().unwrap() = None;
    });
}

/// Damage is found while the store is opened. An observer of that event may open the store, and close it.
#[test]
fn an_observer_may_open_and_close_the_store_whose_damage_it_is_told_of() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        memo.insert("one", &1).unwrap();
        drop((memo, store));
        std::fs::write(bench.path().join("MANIFEST"), "memolith 7\nnot as it was\n").unwrap();
        let (path, told) = (bench.path().clone(), Arc::new(AtomicU64::new(0)));
        let telling = Arc::clone(&told);
        let store = observed(&bench, move |event| {
            if let Event::Failed { .. } = event {
                telling.fetch_add(1, SeqCst);
                Store::open(&path).unwrap().close().unwrap();
            }
        });
        assert_eq!(told.load(SeqCst), 1);
        assert!(store.last_failure().unwrap().error.is_corrupt());
        drop(store);
        miss!(plain(&bench.store(), "numbers"), "one" => 1);
    });
}

/// A panic that panics again when it is dropped.
#[test]
fn what_a_panic_throws_may_panic_when_it_is_dropped() {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            panic!("in the drop of a panic");
        }
    }
    watched(|| {
        let bench = Bench::new();
        let store = observed(&bench, |_| std::panic::panic_any(Again));
        let memo = plain(&store, "numbers");
        miss!(memo, "one" => 1);
        hit!(memo, "one" => 1);
        assert!(store.stats().failures.panic > 0);
    });
}

/// The captures of an observer are dropped with the last handle, in any call.
#[test]
fn the_drop_of_what_an_observer_captured_may_panic() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("in the drop of what an observer captured");
        }
    }
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let loud = Loud;
        let builder = Memo::<str, u64>::builder("numbers").observer(move |_| {
            let _ = &loud;
        });
        let memo = builder.open(&store).unwrap();
        memo.insert("one", &1).unwrap();
        drop(memo);
        hit!(plain(&store, "numbers"), "one" => 1);
    });
}
