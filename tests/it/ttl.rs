//! An entry lives for its ttl by the wall clock, in every case.

use std::time::Duration;

use memolith::{Error, Memo, Store};

use crate::vocabulary::*;

const MILLISECOND: Duration = Duration::from_millis(1);

#[track_caller]
fn timed(store: &Store, ttl: impl Into<Option<Duration>>) -> Memo<str, u64> {
    let builder = Memo::builder("timed");
    let builder = match ttl.into() {
        Some(ttl) => builder.ttl(ttl),
        None => builder,
    };
    builder.open(store).unwrap()
}

/// B66, B70, B81, B83
#[test]
fn an_entry_is_a_hit_until_its_ttl_and_gone_at_the_boundary() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.diskful();
    let memo = timed(&store, HOUR);
    miss!(memo, "a" => 1);
    bench.clock.advance(59 * MINUTE + 59_999 * MILLISECOND);
    hit!(memo, "a" => 1);
    assert!(memo.contains_key("a")?);
    bench.clock.advance(MILLISECOND);
    assert_eq!(memo.get("a")?, None);
    assert!(!memo.contains_key("a")?);
    assert!(!memo.remove("a")?);
    miss!(memo, "a" => 2);
    Ok(())
}

/// B67, B69
#[test]
fn an_expired_entry_is_computed_once_and_lives_from_then_on() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = timed(&store, HOUR);
    miss!(memo, "a" => 1);
    bench.clock.advance(90 * MINUTE);
    miss!(memo, "a" => 2);
    bench.clock.advance(59 * MINUTE);
    hit!(memo, "a" => 2);
    bench.clock.advance(MINUTE);
    miss!(memo, "a" => 3);
    assert_eq!((memo.stats().misses.absent, memo.stats().misses.expired), (1, 2));
    assert_eq!(memo.len().unwrap(), 1);
}

/// B69: a long computation does not shorten the life of its value.
#[test]
fn the_life_of_a_value_begins_when_it_is_stored() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = timed(&store, HOUR);
    let value = memo.get_or_insert_with("a", || {
        bench.clock.advance(2 * HOUR);
        1
    });
    assert_eq!(value, 1);
    bench.clock.advance(59 * MINUTE);
    hit!(memo, "a" => 1);
}

/// B68
#[test]
fn the_ttl_of_one_memo_is_not_that_of_another() {
    let bench = Bench::new();
    let store = bench.store();
    let (short, forever) = (timed(&store, MINUTE), plain(&store, "forever"));
    miss!(short, "a" => 1);
    miss!(forever, "a" => 2);
    bench.clock.advance(10_000 * DAY);
    miss!(short, "a" => 3);
    hit!(forever, "a" => 2);
}

/// B71
#[test]
fn reading_does_not_extend_a_life() -> Result<(), Error> {
    for memory in [0, 1 << 20] {
        let bench = Bench::new();
        let store = bench.options().memory(memory).open(bench.path())?;
        let memo = timed(&store, HOUR);
        miss!(memo, "a" => 1);
        for _ in 0..59 {
            bench.clock.advance(MINUTE);
            hit!(memo, "a" => 1);
            assert_eq!(memo.get("a")?, Some(1));
        }
        bench.clock.advance(MINUTE);
        miss!(memo, "a" => 2);
    }
    Ok(())
}

/// B72
#[test]
fn an_overwrite_renews_the_life() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = timed(&store, HOUR);
    memo.insert("a", &1)?;
    memo.insert("b", &1)?;
    bench.clock.advance(40 * MINUTE);
    memo.insert("a", &2)?;
    bench.clock.advance(40 * MINUTE);
    hit!(memo, "a" => 2);
    assert_eq!(memo.get("b")?, None);
    Ok(())
}

/// B73, B74, B75
#[test]
fn a_ttl_under_which_nothing_would_live_is_refused_at_open() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    for ttl in [Duration::ZERO, Duration::from_micros(999)] {
        let refused = Memo::<str, u64>::builder("timed").ttl(ttl).open(&store).unwrap_err();
        assert!(refused.is_config() && refused.to_string().contains("ttl"), "{refused}");
    }
    let memo: Memo<str, u64> = Memo::builder("longest").ttl(Duration::MAX).open(&store)?;
    miss!(memo, "a" => 1);
    bench.clock.advance(1_000_000 * DAY);
    hit!(memo, "a" => 1);
    Ok(())
}

/// B76
#[test]
fn a_life_goes_on_by_the_wall_clock_while_the_store_is_closed() -> Result<(), Error> {
    let bench = Bench::new();
    let open = |store: &Store| Memo::<str, Vec<u8>>::builder("timed").ttl(HOUR).open(store);
    {
        let store = bench.store();
        miss!(open(&store)?, "inline" => vec![1]);
        miss!(open(&store)?, "blob" => large(1));
    }
    bench.clock.advance(59 * MINUTE);
    {
        let store = bench.store();
        hit!(open(&store)?, "inline" => vec![1]);
        hit!(open(&store)?, "blob" => large(1));
    }
    bench.clock.advance(MINUTE);
    let store = bench.store();
    miss!(open(&store)?, "inline" => vec![2]);
    miss!(open(&store)?, "blob" => large(2));
    assert_eq!(open(&store)?.stats().misses.expired, 2);
    Ok(())
}

/// The first value is still in memory when the second one is handed over.
#[test]
fn a_value_that_was_replaced_does_not_come_back_with_a_clock_that_is_set_back() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.options().open(bench.path())?;
    let memo: Memo<str, u64> = Memo::builder("timed").ttl(SECOND).open(&store)?;
    memo.insert("a", &1)?;
    hit!(memo, "a" => 1);
    bench.clock.advance(2 * SECOND);
    miss!(memo, "a" => 2);
    bench.clock.set_back(2 * SECOND);
    hit!(memo, "a" => 2);
    Ok(())
}

/// B76: the ttl of today counts from the creation of an entry, whatever the ttl was when it was stored.
#[test]
fn an_entry_is_judged_by_the_ttl_of_today() {
    for stored in [Some(SECOND), Some(MINUTE), Some(HOUR), None] {
        for is_large in [false, true] {
            let bench = Bench::new();
            let value = if is_large { large(1) } else { vec![1] };
            let open = |store: &Store, ttl: Option<Duration>| -> Memo<str, Vec<u8>> {
                let builder = Memo::builder("timed");
                let builder = if let Some(ttl) = ttl { builder.ttl(ttl) } else { builder };
                builder.open(store).unwrap()
            };
            {
                let store = bench.store();
                miss!(open(&store, stored), "a" => value.clone());
            }
            let store = bench.diskful();
            let memo = open(&store, Some(MINUTE));
            bench.clock.advance(59 * SECOND);
            hit!(memo, "a" => value);
            bench.clock.advance(SECOND);
            assert_eq!(memo.len().unwrap(), 0, "stored with {stored:?}");
            assert_eq!(memo.get("a").unwrap(), None);
            drop(memo);
            let memo = open(&store, Some(2 * MINUTE));
            assert_eq!(memo.len().unwrap(), 1, "stored with {stored:?}");
            hit!(memo, "a" => value);
            bench.clock.advance(MINUTE);
            drop(memo);
            let memo = open(&store, None);
            hit!(memo, "a" => value);
        }
    }
}

/// What is over by the ttl of today leaves before what is not, though it was stored with another ttl.
#[test]
fn a_longer_ttl_of_today_keeps_entries_from_an_eviction_and_from_a_sweep() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        let memo: Memo<str, u64> = Memo::builder("timed").ttl(MINUTE).open(&store)?;
        memo.insert("a", &1)?;
        bench.clock.advance(HOUR);
        memo.insert("b", &2)?;
    }
    let store = bench.store();
    let memo: Memo<str, u64> = Memo::builder("timed").ttl(DAY).max_entries(2).open(&store)?;
    assert_eq!(store.sweep()?.expired, 0);
    assert_eq!(memo.len()?, 2);
    memo.insert("c", &3)?;
    assert_eq!(["a", "b", "c"].map(|key| memo.contains_key(key).unwrap()), [false, true, true]);
    assert_eq!(memo.stats().evictions, 1);
    Ok(())
}

/// A tighter ttl hides an entry, and does no harm to it.
#[test]
fn a_ttl_that_is_loosened_again_finds_what_was_stored() {
    let bench = Bench::new();
    {
        let store = bench.store();
        miss!(timed(&store, None), "a" => 1);
    }
    bench.clock.advance(HOUR);
    {
        let store = bench.store();
        assert_eq!(timed(&store, MINUTE).get("a").unwrap(), None);
    }
    let store = bench.store();
    hit!(timed(&store, None), "a" => 1);
}

#[test]
fn an_entry_from_more_than_a_minute_ahead_is_a_miss() -> Result<(), Error> {
    for memory in [0, 1 << 20] {
        let bench = Bench::new();
        let store = bench.options().memory(memory).open(bench.path())?;
        let memo = plain(&store, "numbers");
        miss!(memo, "a" => 1);
        hit!(memo, "a" => 1);
        bench.clock.set_back(MINUTE);
        hit!(memo, "a" => 1);
        bench.clock.set_back(MILLISECOND);
        assert_eq!((memo.get("a")?, memo.contains_key("a")?), (None, false));
        assert_eq!((memo.len().unwrap(), memo.stats().misses.expired), (0, 1));
        bench.clock.advance(MILLISECOND);
        hit!(memo, "a" => 1);
        bench.clock.set_back(HOUR);
        miss!(memo, "a" => 2);
        hit!(memo, "a" => 2);
        assert_eq!(memo.len().unwrap(), 1);
    }
    Ok(())
}

/// B79, B80
#[test]
fn counts_skip_what_has_expired() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = timed(&store, HOUR);
    memo.insert("a", &1)?;
    memo.insert("b", &2)?;
    bench.clock.advance(30 * MINUTE);
    memo.insert("c", &3)?;
    assert_eq!((memo.len().unwrap(), memo.usage().unwrap().entries), (3, 3));
    bench.clock.advance(30 * MINUTE);
    let _ = format!("{memo:?} {store:?}");
    assert_eq!(
        (memo.len().unwrap(), memo.usage().unwrap().entries, store.usage().unwrap().entries),
        (1, 1, 1)
    );
    bench.clock.advance(30 * MINUTE);
    assert_eq!((memo.len().unwrap(), store.usage().unwrap().entries), (0, 0));
    assert!(memo.is_empty().unwrap());
    Ok(())
}

/// B79, where a younger entry expires before an older one.
#[test]
fn counts_skip_what_has_expired_out_of_order() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = timed(&store, MINUTE);
    memo.insert("a", &1)?;
    bench.clock.set_back(30 * SECOND);
    memo.insert("b", &1)?;
    bench.clock.advance(30 * SECOND);
    memo.insert("c", &1)?;
    bench.clock.advance(40 * SECOND);
    assert_eq!((memo.len().unwrap(), memo.usage().unwrap().entries), (2, 2));
    assert_eq!(["a", "b", "c"].map(|key| memo.contains_key(key).unwrap()), [true, false, true]);
    Ok(())
}

/// B82
#[test]
fn a_sweep_gives_back_what_the_expired_took() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<str, Vec<u8>> = Memo::builder("blobs").ttl(HOUR).open(&store)?;
    for key in ["a", "b", "c"] {
        memo.insert(key, &large(1))?;
    }
    bench.clock.advance(40 * MINUTE);
    memo.insert("d", &large(4))?;
    let weight = memo.usage().unwrap().bytes / 4;
    assert_eq!(store.sweep()?.expired, 0);
    bench.clock.advance(20 * MINUTE);

    let swept = store.sweep()?;
    assert_eq!((swept.expired, swept.retired, swept.orphaned), (3, 0, 0));
    assert_eq!((swept.bytes, memo.usage().unwrap().bytes), (3 * weight, weight));
    assert_eq!(blobs(&bench).len(), 1);
    assert_eq!(memo.stats().evictions, 0, "a sweep is no eviction");
    hit!(memo, "d" => large(4));
    assert_eq!(store.sweep()?.expired, 0);
    Ok(())
}

/// B82: this covers memos that are not open in this run.
#[test]
fn a_sweep_takes_the_expired_of_memos_that_are_not_open() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        timed(&store, HOUR).insert("a", &1)?;
        plain(&store, "forever").insert("a", &1)?;
    }
    bench.clock.advance(HOUR);
    let store = bench.store();
    assert_eq!(store.sweep()?.expired, 1);
    hit!(plain(&store, "forever"), "a" => 1);
    Ok(())
}

/// B79: this holds in the memory tier too.
#[test]
fn a_value_in_memory_expires_too() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = timed(&store, HOUR);
    miss!(memo, "a" => 1);
    hit!(memo, "a" => 1);
    hit!(memo, "a" => 1);
    assert_eq!(memo.stats().hits.memory, 1);
    bench.clock.advance(HOUR);
    assert_eq!((memo.get("a")?, memo.contains_key("a")?), (None, false));
    miss!(memo, "a" => 2);
    hit!(memo, "a" => 2);
    Ok(())
}

/// A failed renewal does not extend a life.
#[test]
fn an_expired_entry_whose_renewal_fails_stays_expired() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = timed(&store, HOUR);
    miss!(memo, "a" => 1);
    bench.clock.advance(HOUR);
    assert_eq!(memo.get_or_try_insert_with("a", || Err("offline")), Err("offline"));
    miss!(memo, "a" => 2);
    assert_eq!(memo.stats().misses.expired, 2);
}

/// The payload files of the store.
fn blobs(bench: &Bench) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(bench.path().join("blobs")).unwrap().flatten();
    let folders = folders.filter(|folder| folder.path().is_dir());
    folders
        .flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten())
        .map(|file| file.path())
        .collect()
}

/// B79, after the clock was set back: an older entry stands before the one from the future.
#[test]
fn counts_skip_what_was_stamped_in_the_future() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    memo.insert("a", &1)?;
    bench.clock.advance(HOUR);
    memo.insert("b", &2)?;
    bench.clock.set_back(HOUR);
    assert_eq!([memo.get("a")?, memo.get("b")?], [Some(1), None]);
    assert_eq!((memo.len().unwrap(), store.usage().unwrap().entries), (1, 1));
    assert_eq!(store.sweep()?.expired, 1);
    hit!(memo, "a" => 1);
    Ok(())
}
