//! Entries that cannot be read any more leave before the oldest insertion.

use memolith::{Error, Memo, MemoBuilder, Store};

use crate::vocabulary::*;

type Letters = Memo<str, u64>;

fn letters() -> MemoBuilder<str, u64> {
    Memo::builder("letters")
}

#[track_caller]
fn fill(memo: &Letters, letters: &str) {
    for letter in letters.split_terminator("").skip(1) {
        miss!(memo, letter => 1);
    }
    assert_eq!(memo.stats().failures.total(), 0, "{:?}", memo.last_failure());
}

/// The letters that are remembered.
#[track_caller]
fn kept(memo: &Letters, letters: &str) -> String {
    letters.split_terminator("").skip(1).filter(|letter| memo.contains_key(letter).unwrap()).collect()
}

/// B77
#[test]
fn expired_entries_free_their_places_before_a_live_one_leaves() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = letters().ttl(HOUR).max_entries(3).open(&store)?;
    fill(&memo, "ab");
    bench.clock.advance(HOUR);
    fill(&memo, "cde");
    assert_eq!(kept(&memo, "abcde"), "cde");
    Ok(())
}

/// B77, B78: the ttl was shorter when the younger one was stored.
#[test]
fn a_younger_entry_that_expired_leaves_before_an_older_live_one() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        let memo = letters().ttl(MINUTE).open(&store)?;
        fill(&memo, "a");
        bench.clock.set_back(50 * SECOND);
        fill(&memo, "bc");
        bench.clock.advance(50 * SECOND);
        fill(&memo, "d");
    }
    bench.clock.advance(20 * SECOND);
    let store = bench.store();
    let memo = letters().ttl(MINUTE).max_entries(4).open(&store)?;
    assert_eq!((memo.len().unwrap(), kept(&memo, "abcd").as_str()), (2, "ad"));
    fill(&memo, "ef");
    assert_eq!(kept(&memo, "abcdef"), "adef");
    fill(&memo, "g");
    assert_eq!(kept(&memo, "abcdefg"), "defg");
    Ok(())
}

/// B77: the clock was set back between the two, so that the younger one is over first.
#[test]
fn after_the_clock_was_set_back_the_expired_still_leave_first() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = letters().ttl(HOUR).max_entries(2).open(&store)?;
    fill(&memo, "a");
    bench.clock.set_back(50 * SECOND);
    fill(&memo, "b");
    bench.clock.advance(HOUR);
    assert_eq!(kept(&memo, "ab"), "a");
    fill(&memo, "c");
    assert_eq!(kept(&memo, "abc"), "ac");
    Ok(())
}

/// B77: an entry from the future is as unreadable as an expired one.
#[test]
fn an_entry_from_the_future_leaves_before_a_live_one() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = letters().max_entries(2).open(&store)?;
    fill(&memo, "a");
    bench.clock.advance(DAY);
    fill(&memo, "b");
    bench.clock.set_back(DAY);
    assert_eq!((kept(&memo, "ab").as_str(), memo.len().unwrap()), ("a", 1));
    fill(&memo, "c");
    assert_eq!(kept(&memo, "abc"), "ac");
    Ok(())
}

/// B77, over the memos of a store: no expired entry stays while a live one leaves.
#[test]
fn the_expired_of_every_memo_leave_before_a_live_one_of_any() -> Result<(), Error> {
    let bench = Bench::new();
    let open =
        |store: &Store| ["one", "two"].map(|name| Letters::builder(name).ttl(MINUTE).open(store).unwrap());
    let weight = {
        let store = bench.store();
        for memo in open(&store) {
            fill(&memo, "ab");
            bench.clock.set_back(50 * SECOND);
            fill(&memo, "cd");
            bench.clock.advance(50 * SECOND);
        }
        store.usage().unwrap().bytes / 8
    };
    bench.clock.advance(20 * SECOND);
    let store = bench.options().max_bytes(8 * weight).open(bench.path())?;
    let [one, two] = open(&store);
    fill(&one, "ef");
    fill(&two, "ef");
    assert_eq!((kept(&one, "abcdef"), kept(&two, "abcdef")), ("abef".into(), "abef".into()));
    fill(&one, "g");
    assert_eq!((kept(&one, "abcdefg"), kept(&two, "abcdefg")), ("befg".into(), "abef".into()));
    Ok(())
}

/// Under a bound, entries of another version leave before the oldest of this one.
#[test]
fn a_retired_generation_leaves_first() -> Result<(), Error> {
    let bench = Bench::new();
    let open = |store: &Store, version| letters().version(version).max_entries(4).open(store);
    {
        let store = bench.store();
        fill(&open(&store, 2)?, "xy");
    }
    bench.clock.advance(MINUTE);
    {
        let store = bench.store();
        fill(&open(&store, 1)?, "ab");
    }
    bench.clock.advance(MINUTE);
    let store = bench.store();
    let memo = open(&store, 2)?;
    fill(&memo, "z");
    fill(&memo, "w");
    assert_eq!((kept(&memo, "xyzw").as_str(), store.usage().unwrap().entries), ("xyzw", 4));
    fill(&memo, "v");
    assert_eq!((kept(&memo, "xyzwv").as_str(), memo.stats().evictions), ("yzwv", 3));
    Ok(())
}

/// The bound covers all versions together, from the moment of the open.
#[test]
fn a_bound_counts_the_entries_of_every_version() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        fill(&letters().version(1).open(&store)?, "abcd");
    }
    bench.clock.advance(MINUTE);
    let store = bench.store();
    let memo = letters().version(2).max_entries(3).open(&store)?;
    assert_eq!(store.usage().unwrap().entries, 3);
    fill(&memo, "x");
    assert_eq!((store.usage().unwrap().entries, kept(&memo, "x").as_str()), (3, "x"));
    Ok(())
}

/// Expired entries leave before those of a retired version.
#[test]
fn the_expired_leave_before_the_retired() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        fill(&letters().version(1).open(&store)?, "ab");
    }
    {
        let store = bench.store();
        let memo = letters().version(2).ttl(MINUTE).max_entries(4).open(&store)?;
        fill(&memo, "xy");
        bench.clock.advance(MINUTE);
        fill(&memo, "zw");
        assert_eq!((kept(&memo, "xyzw").as_str(), store.usage().unwrap().entries), ("zw", 4));
    }
    let store = bench.store();
    let old = letters().version(1).max_entries(4).open(&store)?;
    assert_eq!(kept(&old, "ab"), "ab");
    Ok(())
}
