//! Which entries leave for others: expired ones, then stale ones, then the oldest; or the oldest that was not read.

use std::time::Duration;

use memolith::{Error, Memo, Store};

use super::{Down, builder, each_store};
use crate::vocabulary::*;

/// Whether there is a value at all, fresh or stale.
fn is_kept(memo: &Memo<str, u64>, key: &str) -> bool {
    memo.entry(key).or_try_insert_with(|| Err(Down)).is_ok()
}

#[test]
fn expired_entries_leave_before_stale_ones_and_those_before_fresh_ones() -> Result<(), Error> {
    let bench = Bench::new();
    for is_reopened in [false, true] {
        let open = || {
            let store = bench.store();
            let memo = builder().max_entries(3).open(&store).unwrap();
            (store, memo)
        };
        let (mut store, mut memo) = open();
        memo.clear()?;
        memo.insert("fresh", &1)?;
        memo.entry("stale").ttl(MINUTE).or_insert_with(|| 2);
        memo.entry("over").ttl(SECOND).or_insert_with(|| 3);
        // The first is refreshed, so it is the newest; then the second is stale, and the third is over.
        bench.clock.advance(DAY + 30 * SECOND);
        memo.insert("fresh", &1)?;
        if is_reopened {
            drop((memo, store));
            (store, memo) = open();
        }
        memo.insert("first", &4)?;
        assert_eq!(["fresh", "stale", "over"].map(|key| is_kept(&memo, key)), [true, true, false]);
        memo.insert("second", &5)?;
        assert_eq!(["fresh", "stale"].map(|key| is_kept(&memo, key)), [true, false]);
        memo.insert("third", &6)?;
        assert_eq!(["fresh", "first", "second"].map(|key| is_kept(&memo, key)), [false, true, true]);
        drop((memo, store));
    }
    Ok(())
}

#[test]
fn a_bound_of_the_store_takes_stale_entries_of_one_memo_before_fresh_ones_of_another() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.options().max_bytes(1_000).open(bench.path())?;
    let old: Memo<str, u64> = Memo::builder("old").open(&store)?;
    let stale = builder().open(&store)?;
    old.insert("a", &1)?;
    stale.insert("b", &2)?;
    bench.clock.advance(HOUR);
    let mut number = 0;
    while is_kept(&stale, "b") {
        old.insert(&number.to_string(), &number)?;
        number += 1;
    }
    assert!(old.contains_key("a")?, "the older entry is fresh");
    Ok(())
}

#[test]
fn a_sweep_keeps_stale_entries_and_takes_those_that_are_over() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = builder().open(&store)?;
    memo.insert("a", &1)?;
    bench.clock.advance(HOUR);
    assert_eq!(store.sweep()?.expired, 0);
    assert!(is_kept(&memo, "a"));
    // Also when no program has the memo open.
    drop(memo);
    drop(store);
    let store = bench.store();
    assert_eq!(store.sweep()?.expired, 0);
    bench.clock.advance(DAY);
    assert_eq!(store.sweep()?.expired, 1);
    Ok(())
}

#[track_caller]
fn sparing(store: &Store) -> Memo<str, u64> {
    Memo::builder("used").max_entries(3).spare_used().open(store).unwrap()
}

#[test]
fn an_entry_that_was_read_is_spared_once() {
    each_store(|_, store| {
        let memo = sparing(&store);
        for key in ["a", "b", "c"] {
            memo.insert(key, &1).unwrap();
        }
        assert_eq!(memo.get("a").unwrap(), Some(1));
        memo.insert("d", &1).unwrap();
        assert_eq!(["a", "b", "c"].map(|key| memo.contains_key(key).unwrap()), [true, false, true]);
        memo.insert("e", &1).unwrap();
        assert_eq!(["a", "c"].map(|key| memo.contains_key(key).unwrap()), [true, false]);
        // The next turn begins at the oldest again.
        memo.insert("f", &1).unwrap();
        assert_eq!(
            ["a", "d", "e", "f"].map(|key| memo.contains_key(key).unwrap()),
            [false, true, true, true]
        );
    });
}

#[test]
fn where_every_entry_was_read_the_bound_holds_all_the_same() -> Result<(), Error> {
    let bench = Bench::new();
    let memo: Memo<u64, u64> = Memo::builder("used").max_entries(300).spare_used().open(&bench.store())?;
    for number in 0..300 {
        memo.insert(&number, &number)?;
        memo.get(&number)?;
    }
    for number in 300..1_000 {
        memo.insert(&number, &number)?;
        memo.get(&number)?;
    }
    assert_eq!(memo.len()?, 300);
    Ok(())
}

#[test]
fn an_expired_entry_leaves_though_it_was_read() -> Result<(), Error> {
    let bench = Bench::new();
    let memo: Memo<str, u64> =
        Memo::builder("used").max_entries(2).ttl(HOUR).spare_used().open(&bench.store())?;
    memo.insert("a", &1)?;
    memo.get("a")?;
    bench.clock.advance(HOUR - Duration::from_millis(1));
    memo.insert("b", &1)?;
    bench.clock.advance(Duration::from_millis(1));
    memo.insert("c", &1)?;
    assert_eq!((memo.len()?, memo.contains_key("b")?), (2, true));
    Ok(())
}

#[test]
fn a_new_entry_comes_in_though_every_other_one_was_read() -> Result<(), Error> {
    let bench = Bench::new();
    let memo = sparing(&bench.store());
    for key in ["a", "b", "c"] {
        memo.insert(key, &1)?;
    }
    for key in ["d", "e", "f"] {
        for other in ["a", "b", "c", "d", "e"] {
            memo.get(other)?;
        }
        memo.insert(key, &1)?;
        assert_eq!((memo.get(key)?, memo.len()?), (Some(1), 3), "{key}");
    }
    Ok(())
}

#[test]
fn a_stale_entry_that_leaves_for_room_does_not_undo_its_refresh() -> Result<(), Error> {
    let bench = Bench::new();
    let memo = builder().max_entries(2).open(&bench.store())?;
    memo.insert("a", &1)?;
    memo.insert("b", &1)?;
    bench.clock.advance(HOUR);
    let value = memo.get_or_insert_with("a", || {
        memo.insert("c", &3).unwrap();
        2
    });
    assert_eq!((value, memo.get("a")?), (2, Some(2)));
    Ok(())
}
