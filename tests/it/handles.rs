//! One name is one function and one directory is one store, for any number of opens. Versions live side by side.

use std::{cell::Cell, time::Duration};

use memolith::{Error, Memo, MemoBuilder, Store, codec::Json};

use crate::vocabulary::*;

type Numbers = Memo<str, u64>;

fn numbers() -> MemoBuilder<str, u64> {
    Memo::builder("numbers")
}

#[test]
fn a_memo_keeps_its_store_open() {
    let bench = Bench::new();
    let memo = plain(&bench.store(), "numbers");
    miss!(memo, "a" => 1);
    hit!(memo, "a" => 1);
    let clone = memo.clone();
    drop(memo);
    hit!(clone, "a" => 1);
    assert!(clone.last_failure().is_none(), "{:?}", clone.last_failure());
    drop(clone);
    hit!(plain(&bench.store(), "numbers"), "a" => 1);
}

#[test]
fn a_directory_opened_twice_is_one_store() -> Result<(), Error> {
    let bench = Bench::new();
    let one = bench.store();
    let other = Store::open(bench.path())?;
    let (memo, same) = (plain(&one, "numbers"), plain(&other, "numbers"));
    miss!(memo, "a" => 1);
    hit!(same, "a" => 1);
    hit!(memo, "a" => 1);
    assert_eq!((same.stats(), one.path()), (memo.stats(), other.path()));
    drop((one, memo));
    hit!(same, "a" => 1);
    Ok(())
}

/// B128
#[test]
fn a_store_that_is_open_with_another_option_says_so() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.options().max_bytes(1 << 20).memory(1 << 10).open(bench.path())?;
    let open = |options: memolith::StoreBuilder| options.open(bench.path());
    assert!(open(Store::builder()).is_ok());
    assert!(open(Store::builder().max_bytes(1 << 20).memory(1 << 10)).is_ok());
    let refused = [
        ("max_bytes", Store::builder().max_bytes(1)),
        ("memory", Store::builder().memory(1)),
        ("max_wait", Store::builder().max_wait(HOUR)),
        ("observer", Store::builder().observer(|_| {})),
    ];
    for (option, options) in refused {
        let error = open(options).unwrap_err();
        assert!(error.is_config() && error.to_string().contains(option), "{option}: {error}");
    }
    drop(store);
    assert!(open(Store::builder().max_bytes(1)).is_ok());
    Ok(())
}

#[test]
fn a_name_opened_again_has_the_options_it_was_opened_with() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = numbers().ttl(HOUR).max_entries(2).version(3).open(&store)?;
    let again = numbers().open(&store)?;
    for key in ["a", "b", "c"] {
        miss!(again, key => 1);
    }
    assert_eq!((again.len().unwrap(), memo.get("a")?, again.stats()), (2, None, memo.stats()));
    bench.clock.advance(HOUR);
    assert_eq!((again.len().unwrap(), again.get("c")?), (0, None));
    drop(memo);
    miss!(numbers().open(&store)?, "a" => 2);
    hit!(again, "a" => 2);
    Ok(())
}

#[test]
fn a_name_that_is_open_with_another_option_says_so() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let wanted = |_: &u64| true;
    let options =
        || numbers().ttl(HOUR).max_entries(10).max_bytes(1_000).version(3).memory(500).cache_if(wanted);
    let memo = options().open(&store)?;
    assert!(options().open(&store).is_ok());
    let refused = [
        ("ttl", numbers().ttl(2 * HOUR)),
        ("max_entries", numbers().max_entries(11)),
        ("max_bytes", numbers().max_bytes(1_001)),
        ("version", numbers().version(4)),
        ("memory", numbers().memory(0)),
        ("cache_if", numbers().cache_if(|_| false)),
    ];
    for (option, options) in refused {
        let error = options.open(&store).unwrap_err();
        assert!(error.is_config(), "{option}: {error}");
        assert!(error.to_string().contains(option) && error.to_string().contains("numbers"), "{error}");
    }
    drop(memo);
    assert!(numbers().ttl(2 * HOUR).version(4).open(&store).is_ok());
    Ok(())
}

/// Where the first open set no option, setting one is a conflict too.
#[test]
fn an_option_that_the_open_memo_does_not_have_is_refused() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let _memo = numbers().open(&store)?;
    for options in
        [numbers().ttl(HOUR), numbers().max_entries(1), numbers().max_bytes(1), numbers().version(1)]
    {
        assert!(options.open(&store).unwrap_err().is_config());
    }
    assert!(numbers().version(0).open(&store).is_ok());
    Ok(())
}

/// B64
#[test]
fn a_name_that_is_open_with_another_type_or_codec_says_so() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = numbers().open(&store)?;
    miss!(memo, "a" => 1);
    let another_type = Memo::<str, String>::builder("numbers").open(&store).unwrap_err();
    assert!(another_type.is_config() && another_type.to_string().contains("value type"), "{another_type}");
    let another_codec = numbers().codec(Json::new()).open(&store).unwrap_err();
    assert!(another_codec.is_config() && another_codec.to_string().contains("codec"), "{another_codec}");
    hit!(memo, "a" => 1);
    drop(memo);
    let texts: Memo<str, String> = Memo::builder("numbers").open(&store)?;
    miss!(texts, "a" => String::from("one"));
    Ok(())
}

/// Generations live side by side: programs of two versions do not remove each other's entries at every start.
#[test]
fn two_versions_that_take_turns_both_keep_their_entries() {
    let bench = Bench::new();
    let open = |store: &Store, version| numbers().version(version).open(store).unwrap();
    for version in [1, 2] {
        let store = bench.store();
        let memo = open(&store, version);
        miss!(memo, "a" => version);
        assert_eq!(memo.stats().misses.outdated, version - 1, "version 2 finds what version 1 stored");
    }
    for _ in 0..3 {
        for version in [1, 2] {
            bench.clock.advance(20 * HOUR);
            let store = bench.store();
            hit!(open(&store, version), "a" => version);
            assert_eq!(store.usage().unwrap().entries, 2);
        }
    }
}

/// B64: so do two shapes of the value, and two codecs.
#[test]
fn another_shape_or_codec_is_a_clean_miss_and_the_old_one_stays() -> Result<(), Error> {
    let bench = Bench::new();
    for computed in [3, 0, 0] {
        let store = bench.store();
        let calls = Cell::new(0);
        let count = || calls.set(calls.get() + 1);
        let plain = numbers().open(&store)?.get_or_insert_with("a", || {
            count();
            1
        });
        let json = numbers().codec(Json::new()).open(&store)?.get_or_insert_with("a", || {
            count();
            2
        });
        let text = Memo::<str, String>::builder("numbers").open(&store)?.get_or_insert_with("a", || {
            count();
            "three".into()
        });
        assert_eq!((plain, json, text.as_str(), calls.get()), (1, 2, "three", computed));
    }
    Ok(())
}

fn a_day_less(by: Duration) -> Duration {
    DAY.checked_sub(by).unwrap()
}

#[test]
fn a_version_that_nobody_used_for_a_day_leaves_when_its_memo_is_opened() -> Result<(), Error> {
    let bench = Bench::new();
    let open = |store: &Store, version| numbers().version(version).open(store);
    {
        let store = bench.store();
        miss!(open(&store, 1)?, "a" => 1);
    }
    for (wait, entries) in [(a_day_less(SECOND), 1), (SECOND, 0)] {
        bench.clock.advance(wait);
        let store = bench.store();
        let memo = open(&store, 2)?;
        assert_eq!((memo.len().unwrap() as u64, store.usage().unwrap().entries), (0, entries));
    }
    let store = bench.store();
    miss!(open(&store, 1)?, "a" => 1);
    Ok(())
}

/// The day counts from its last use, not from its open.
#[test]
fn a_version_that_was_in_use_for_days_has_its_day_from_then_on() -> Result<(), Error> {
    let bench = Bench::new();
    let open = |store: &Store, version| numbers().version(version).open(store);
    for close in [true, false] {
        let store = bench.store();
        let memo = open(&store, 1)?;
        memo.insert("a", &1)?;
        bench.clock.advance(3 * DAY);
        hit!(memo, "a" => 1);
        if close {
            store.close()?;
        }
        drop((memo, store));
        bench.clock.advance(a_day_less(HOUR));
        {
            let store = bench.store();
            miss!(open(&store, 2)?, if close { "a" } else { "b" } => 2);
        }
        let store = bench.store();
        hit!(open(&store, 1)?, "a" => 1);
    }
    Ok(())
}

/// A sweep removes it at once.
#[test]
fn a_sweep_takes_retired_versions() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        let memo: Memo<str, Vec<u8>> = Memo::builder("numbers").version(1).open(&store)?;
        miss!(memo, "a" => large(1));
        miss!(memo, "b" => vec![1]);
    }
    bench.clock.advance(SECOND);
    let store = bench.store();
    let memo: Memo<str, Vec<u8>> = Memo::builder("numbers").version(2).open(&store)?;
    miss!(memo, "a" => vec![2]);
    let bytes = store.usage().unwrap().bytes - memo.usage().unwrap().bytes;
    let swept = store.sweep()?;
    assert_eq!((swept.retired, swept.expired, swept.bytes), (2, 0, bytes));
    assert_eq!((store.usage().unwrap().entries, memo.stats().evictions), (1, 0));
    hit!(memo, "a" => vec![2]);
    Ok(())
}

/// A closed store is closed for all its handles. They compute as the plain functions do.
#[test]
fn memos_of_a_closed_store_compute_at_each_call() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Numbers = plain(&store, "numbers");
    miss!(memo, "a" => 1);
    hit!(memo, "a" => 1);
    store.close()?;
    store.close()?;
    miss!(memo, "a" => 2);
    miss!(memo, "a" => 3);
    assert!(memo.get("a").is_err() && memo.insert("a", &4).is_err() && memo.remove("a").is_err());
    assert!(memo.last_failure().unwrap().to_string().contains("closed"));
    let reopened = bench.store();
    hit!(plain(&reopened, "numbers"), "a" => 1);
    Ok(())
}
