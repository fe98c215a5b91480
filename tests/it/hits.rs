//! A value that was hit from memory is found by its encoded key. Every change of the entry ends that.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::Duration,
};

use memolith::{Error, Memo, Store};

use crate::vocabulary::*;

/// Reads the value of a key often enough that it is found by its key: from disk, by its digest, and by its key.
#[track_caller]
fn warm(memo: &Memo<str, u64>, key: &str, value: u64) {
    for _ in 0..4 {
        hit!(memo, key => value);
    }
}

/// Of 0 to 1,000,000 bytes, around the longest key that is kept as it is.
fn keys() -> impl Iterator<Item = String> {
    [0, 1, 29, 30, 124, 125, 126, 127, 128, 129, 1_000_000].into_iter().map(|length| "k".repeat(length))
}

#[test]
fn keys_of_all_lengths_have_their_own_values() {
    let bench = Bench::new();
    let store = bench.store();
    let (memo, other) = (plain(&store, "numbers"), plain(&store, "others"));
    for (key, number) in keys().zip(0..) {
        miss!(memo, &key => number);
        miss!(other, &key => number + 100);
    }
    for (key, number) in keys().zip(0..) {
        warm(&memo, &key, number);
        warm(&other, &key, number + 100);
    }
    let hits = memo.stats().hits;
    assert_eq!((hits.total(), hits.disk), (44, 11), "each is read once");
    for key in keys() {
        memo.remove(&key).unwrap();
    }
    for (key, number) in keys().zip(0..) {
        miss!(memo, &key => number + 200);
        hit!(other, &key => number + 100);
    }
}

#[test]
fn a_change_is_seen_by_the_next_call() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    miss!(memo, "a" => 1);
    warm(&memo, "a", 1);
    memo.insert("a", &2)?;
    warm(&memo, "a", 2);
    assert!(memo.remove("a")?);
    miss!(memo, "a" => 3);
    warm(&memo, "a", 3);
    memo.clear()?;
    miss!(memo, "a" => 4);
    warm(&memo, "a", 4);
    assert!(store.remove_memo("numbers")?);
    drop(memo);
    let memo = plain(&store, "numbers");
    miss!(memo, "a" => 5);
    warm(&memo, "a", 5);
    store.close()?;
    miss!(memo, "a" => 6);
    Ok(())
}

/// In steps of a millisecond around the end, near which the exact time is read.
#[test]
fn a_value_is_fresh_until_the_millisecond_of_its_end() -> Result<(), Error> {
    const LAST: Duration = Duration::from_millis(3);
    for before in [2, 1_002, 3_600_000].map(Duration::from_millis) {
        let (bench, ttl) = (Bench::new(), before + LAST);
        let store = bench.store();
        let memo: Memo<str, u64> = Memo::builder("numbers").ttl(ttl).open(&store)?;
        miss!(memo, "a" => 1);
        bench.clock.advance(before);
        for _ in 0..3 {
            warm(&memo, "a", 1);
            bench.clock.advance(Duration::from_millis(1));
        }
        miss!(memo, "a" => 2);
        assert_eq!(memo.stats().misses.expired, 1);
    }
    Ok(())
}

#[test]
fn a_value_that_is_dated_in_the_future_is_no_hit() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    bench.clock.advance(DAY);
    miss!(memo, "a" => 1);
    warm(&memo, "a", 1);
    bench.clock.set_back(HOUR);
    miss!(memo, "a" => 2);
    bench.clock.advance(DAY);
    warm(&memo, "a", 2);
}

/// Two keys have room in memory, and four are in use.
#[test]
fn values_leave_memory_and_come_back() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.options().memory(1_300).open(bench.path())?;
    let memo = plain(&store, "numbers");
    for round in 0..20 {
        for (key, value) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
            if round == 0 {
                miss!(memo, key => value);
            }
            warm(&memo, key, value);
        }
    }
    let hits = memo.stats().hits;
    assert!(hits.disk >= 20 && hits.memory >= 100, "{hits:?}");
    Ok(())
}

/// The entry leaves for one that its own thread handed over a moment before. The worker may apply that before, during or after
/// the look.
#[test]
fn an_entry_that_was_pushed_out_is_not_found() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<str, u64> = Memo::builder("numbers").max_entries(1).open(&store)?;
    miss!(memo, "a" => 1);
    for round in 0..if is_long() { 20_000 } else { 1_000 } {
        // The entry of "b" has left, and its removal ends no claim any more.
        memo.flush()?;
        warm(&memo, "a", 1);
        miss!(memo, "b" => round);
        if round % 2 == 0 {
            miss!(memo, "a" => 1);
        } else {
            assert_eq!(memo.get("a")?, None);
            miss!(memo, "a" => 1);
        }
    }
    Ok(())
}

/// One thread inserts, and tells the others what it has inserted.
#[test]
fn no_call_returns_a_value_from_before_an_insert_that_had_returned() {
    let bench = Bench::new();
    let store = Store::open(bench.path()).unwrap();
    let memo = plain(&store, "numbers");
    let (inserted, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    memo.insert("a", &0).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(SeqCst) {
                    let least = inserted.load(SeqCst);
                    let found = memo.get_or_insert_with("a", || inserted.load(SeqCst));
                    assert!(found >= least, "{found} after {least}");
                }
            });
        }
        let changes = (1..if is_long() { 20_000 } else { 1_000 }).try_for_each(|number| {
            memo.insert("a", &number)?;
            inserted.store(number, SeqCst);
            if number % 10 == 0 { memo.remove("a").map(drop) } else { Ok(()) }
        });
        is_done.store(true, SeqCst);
        changes.unwrap();
    });
    assert!(memo.stats().hits.memory > 0);
}
