//! The purpose of a memo: a function runs once for each key, and no caller can change the value of another.

use std::{
    cell::Cell,
    error::Error as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use memolith::{Error, Memo};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error as _};

use crate::vocabulary::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Frame {
    name: String,
    rows: Vec<f64>,
}

fn frame() -> Frame {
    Frame { name: "rides".into(), rows: vec![0.5, 1.5, 2.5] }
}

/// B1, B2
#[test]
fn a_key_computes_once_and_another_key_anew() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    miss!(memo, "one" => 1);
    miss!(memo, "two" => 2);
    for _ in 0..3 {
        hit!(memo, "one" => 1);
        hit!(memo, "two" => 2);
    }
    assert_eq!(memo.len().unwrap(), 2);
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
}

/// B3
#[test]
fn floats_that_look_like_integers_are_keys_of_their_own() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<f64, u64> = Memo::builder("floats").open(&store)?;
    miss!(memo, &1.0 => 10);
    miss!(memo, &3.0 => 30);
    hit!(memo, &1.0 => 10);
    hit!(memo, &3.0 => 30);
    Ok(())
}

/// B4
#[test]
fn a_function_without_arguments_is_remembered_under_the_unit_key() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        let memo: Memo<(), String> = Memo::builder("settings").open(&store)?;
        miss!(memo, &() => String::from("read once"));
        hit!(memo, &() => "read once");
    }
    let store = bench.store();
    let memo: Memo<(), String> = Memo::builder("settings").open(&store)?;
    hit!(memo, &() => "read once");
    Ok(())
}

/// B5
#[test]
fn a_result_of_nothing_is_remembered_as_any_other() -> Result<(), Error> {
    let bench = Bench::new();
    let calls = Cell::new(0);
    for _ in 0..2 {
        let store = bench.store();
        let units: Memo<str, ()> = Memo::builder("units").open(&store)?;
        let options: Memo<str, Option<u32>> = Memo::builder("options").open(&store)?;
        for _ in 0..3 {
            units.get_or_insert_with("key", || calls.set(calls.get() + 1));
            let none = options.get_or_insert_with("key", || {
                calls.set(calls.get() + 1);
                None
            });
            assert_eq!(none, None);
        }
        assert_eq!(options.get("key")?, Some(None));
    }
    assert_eq!(calls.get(), 2);
    Ok(())
}

/// B6
#[test]
fn an_error_is_passed_on_and_the_next_call_computes() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    assert_eq!(memo.get_or_try_insert_with("x", || Err("no number")), Err("no number"));
    assert_eq!(memo.len().unwrap(), 0);
    assert_eq!(memo.get_or_try_insert_with("x", || Err("still none")), Err("still none"));
    assert_eq!(memo.get_or_try_insert_with("x", || Ok::<_, &str>(4)), Ok(4));
    hit!(memo, "x" => 4);
    assert_eq!((memo.stats().misses.absent, memo.stats().inserts, memo.stats().failures.total()), (3, 1, 0));
}

/// B7
#[test]
fn two_functions_of_the_same_key_keep_their_own_results() {
    let bench = Bench::new();
    let store = bench.store();
    let (lengths, sums) = (plain(&store, "lengths"), plain(&store, "sums"));
    miss!(lengths, "a" => 1);
    miss!(sums, "a" => 97);
    hit!(lengths, "a" => 1);
    hit!(sums, "a" => 97);
}

/// B8
#[test]
fn a_key_that_the_closure_changes_is_taken_before_the_call() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<Cell<u32>, u32> = Memo::builder("cells").open(&store)?;
    let key = Cell::new(1);
    let value = memo.get_or_insert_with(&key, || {
        key.set(2);
        10
    });
    assert_eq!(value, 10);
    hit!(memo, &Cell::new(1) => 10);
    miss!(memo, &key => 20);
    hit!(memo, &Cell::new(2) => 20);
    Ok(())
}

/// B9
#[test]
fn a_hit_of_the_outer_memo_does_not_ask_the_inner_one() {
    let bench = Bench::new();
    let store = bench.store();
    let (outer, inner) = (plain(&store, "outer"), plain(&store, "inner"));
    let calls = Cell::new(0);
    let slow = || {
        inner.get_or_insert_with("shared", || {
            calls.set(calls.get() + 1);
            20
        })
    };
    assert_eq!(outer.get_or_insert_with("a", || slow() + 1), 21);
    assert_eq!(outer.get_or_insert_with("b", || slow() + 2), 22);
    assert_eq!((calls.get(), inner.stats().hits.total()), (1, 1));
    hit!(outer, "a" => 21);
    hit!(outer, "b" => 22);
    assert_eq!((inner.stats().hits.total(), inner.stats().misses.total()), (1, 1));
}

/// B10
#[test]
fn a_recursive_function_computes_each_key_once() -> Result<(), Error> {
    fn fibonacci(memo: &Memo<u64, u64>, n: u64) -> u64 {
        memo.get_or_insert_with(&n, || match n {
            0 | 1 => n,
            _ => fibonacci(memo, n - 1) + fibonacci(memo, n - 2),
        })
    }
    let bench = Bench::new();
    let store = bench.store();
    let memo = Memo::builder("fibonacci").open(&store)?;
    assert_eq!(fibonacci(&memo, 40), 102_334_155);
    assert_eq!((memo.stats().misses.total(), memo.stats().inserts, memo.len().unwrap()), (41, 41, 41));
    Ok(())
}

/// B11
#[test]
fn a_call_that_asks_for_its_own_key_computes_as_the_plain_function_would() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "circle");
    let value = memo.get_or_insert_with("a", || memo.get_or_insert_with("a", || 7));
    assert_eq!(value, 7);
    hit!(memo, "a" => 7);
}

/// Written to a tenth: the value that is read back differs from the computed one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tenth(f64);

impl Serialize for Tenth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32((self.0 * 10.0).round() as i32)
    }
}

impl<'de> Deserialize<'de> for Tenth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i32::deserialize(deserializer).map(|tenths| Self(f64::from(tenths) / 10.0))
    }
}

/// B12: the first call returns the closure's own value; every hit was decoded, from disk and from memory.
#[test]
fn the_first_call_returns_the_closures_own_value_and_every_hit_was_decoded() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        let memo: Memo<str, Tenth> = Memo::builder("tenths").open(&store)?;
        assert_eq!(memo.get_or_insert_with("one", || Tenth(1.23456)), Tenth(1.23456));
        hit!(memo, "one" => Tenth(1.2));
        hit!(memo, "one" => Tenth(1.2));
        assert_eq!((memo.stats().hits.disk, memo.stats().hits.memory), (1, 1));
        assert_eq!(memo.get("one")?, Some(Tenth(1.2)));
        memo.insert("five", &Tenth(5.6789))?;
        hit!(memo, "five" => Tenth(5.7));
    }
    let store = bench.store();
    let memo: Memo<str, Tenth> = Memo::builder("tenths").open(&store)?;
    hit!(memo, "one" => Tenth(1.2));
    Ok(())
}

/// B14, B15
#[test]
fn what_a_caller_does_to_its_value_no_other_caller_sees() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<str, Frame> = Memo::builder("frames").open(&store)?;
    for _ in 0..3 {
        let mut mine = memo.get_or_insert_with("rides", frame);
        assert_eq!(mine, frame());
        mine.rows.clear();
        mine.name.push_str(", spoilt");
    }
    let [one, other] =
        [(); 2].map(|()| memo.get_or_insert_with("rides", || unreachable!("it is remembered")));
    assert_ne!(one.rows.as_ptr(), other.rows.as_ptr());
    assert_eq!(memo.stats().hits.memory, 3);
    Ok(())
}

/// B15 reversed: the type says that the value is shared.
#[test]
fn hits_of_an_arc_share_one_value() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<str, Arc<Frame>> = Memo::builder("frames").open(&store)?;
    let own = memo.get_or_insert_with("rides", || Arc::new(frame()));
    let [first, second, third] =
        [(); 3].map(|()| memo.get_or_insert_with("rides", || unreachable!("it is remembered")));
    assert_eq!((memo.stats().hits.disk, memo.stats().hits.memory), (1, 2));
    assert!(Arc::ptr_eq(&second, &third) && Arc::ptr_eq(&first, &second));
    assert!(!Arc::ptr_eq(&own, &first), "a hit was decoded");
    assert_eq!((*own).clone(), *third);
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Connection(u32);

impl Serialize for Connection {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("a live connection cannot be written"))
    }
}

/// B19, B20, B21
#[test]
fn a_value_that_cannot_be_encoded_is_handed_over_and_told() -> Result<(), Error> {
    let bench = Bench::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let store = bench
        .options()
        .observer(move |event| telling.lock().unwrap().push(format!("{event:?}")))
        .open(bench.path())?;
    let memo: Memo<str, Connection> = Memo::builder("connections").version(1).open(&store)?;
    miss!(memo, "main" => Connection(1));
    miss!(memo, "main" => Connection(2));
    assert_eq!((memo.stats().failures.encode, memo.stats().failures.total()), (2, 2));
    assert_eq!((memo.stats().inserts, memo.len().unwrap()), (0, 0));

    let failure = memo.last_failure().unwrap();
    let text = failure.to_string();
    assert!(text.contains("connections") && text.contains("Connection"), "{text}");
    assert!(failure.source().is_some(), "the cause is chained");
    let refused = memo.insert("main", &Connection(3)).unwrap_err();
    assert!(refused.to_string().contains("connections"), "{refused}");
    assert!(told.lock().unwrap().iter().any(|event| event.starts_with("Failed")), "{told:?}");
    Ok(())
}

/// B149
#[test]
fn a_memo_that_did_nothing_has_empty_stats() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    assert_eq!(memo.stats(), memolith::Stats::default());
    assert_eq!(store.stats(), memolith::Stats::default());
}

/// B150
#[test]
fn the_bytes_of_a_memo_are_the_sum_of_its_entries() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<str, Vec<u8>> = Memo::builder("values").open(&store)?;
    memo.insert("a", &vec![1; 20])?;
    let one = memo.usage().unwrap().bytes;
    assert!(one > 20, "payload, key head and header, not {one}");
    memo.insert("b", &vec![1; 30])?;
    assert_eq!(memo.usage().unwrap().bytes, 2 * one + 10);
    memo.insert("b", &vec![1; 20])?;
    assert_eq!((memo.usage().unwrap().bytes, memo.usage().unwrap().entries), (2 * one, 2));

    let blobs: Memo<str, Vec<u8>> = Memo::builder("larger").open(&store)?;
    blobs.insert("a", &large(1))?;
    assert!(blobs.usage().unwrap().bytes > large(1).len() as u64);
    assert_eq!(store.usage().unwrap().bytes, memo.usage().unwrap().bytes + blobs.usage().unwrap().bytes);
    assert_eq!(store.usage().unwrap().entries, 3);
    Ok(())
}

/// B151
#[test]
fn every_call_is_counted_once() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let (memo, other) = (plain(&store, "numbers"), plain(&store, "others"));
    miss!(memo, "a" => 1);
    hit!(memo, "a" => 1);
    hit!(memo, "a" => 1);
    assert_eq!((memo.get("a")?, memo.get("b")?), (Some(1), None));
    memo.insert("b", &2)?;
    memo.contains_key("b")?;
    memo.remove("b")?;
    memo.clear()?;
    miss!(other, "a" => 1);

    let (stats, usage) = (memo.stats(), memo.usage()?);
    assert_eq!((stats.hits.disk, stats.hits.memory), (1, 2));
    assert_eq!((stats.misses.absent, stats.misses.total()), (2, 2));
    assert_eq!((stats.inserts, stats.evictions, usage.entries, usage.bytes), (2, 0, 0, 0));
    assert_eq!((store.stats().hits.total(), store.stats().misses.total(), store.stats().inserts), (3, 3, 3));
    Ok(())
}

/// Each hit saves the time of the computation.
#[test]
fn the_time_that_hits_save_is_counted() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    let value = memo.get_or_insert_with("a", || {
        bench.clock.advance(3 * SECOND);
        1
    });
    assert_eq!((value, memo.stats().time_saved), (1, Duration::ZERO));
    hit!(memo, "a" => 1);
    hit!(memo, "a" => 1);
    assert_eq!(memo.stats().time_saved, 6 * SECOND);
}
