//! A store in memory keeps every promise but survival, and writes no file. `ordered` and `model` play there too, and
//! `tests/crash` watches for files.

use std::{
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use memolith::{
    Memo, Result, Store,
    observe::Event,
    testing::{Fault, Operation},
};

use crate::{threads::watched, vocabulary::*};

type Pictures = Memo<u32, Vec<u8>>;

const MEGABYTE: usize = 1 << 20;

/// Without the memory tier: each hit comes from the tables.
#[track_caller]
fn plain_store(bench: &Bench) -> Store {
    bench.options().memory(0).in_memory().unwrap()
}

#[test]
fn there_is_no_path_and_nothing_on_disk() -> Result<()> {
    let store = Store::in_memory();
    let memo: Pictures = Memo::builder("pictures").open(&store)?;
    for (key, length) in (0..).zip([1, 5_000, MEGABYTE]) {
        memo.insert(&key, &vec![7; length])?;
    }
    let usage = store.usage()?;
    assert!(store.path().is_none() && !store.is_read_only());
    assert_eq!((usage.entries, usage.disk_bytes, store.size_on_disk()?), (3, 0, 0));
    assert_eq!((memo.usage()?.disk_bytes, memo.usage()?.bytes), (0, usage.bytes));
    assert!(usage.bytes > MEGABYTE as u64);
    assert!(store.last_failure().is_none() && memo.last_failure().is_none());
    Ok(())
}

#[test]
fn entries_leave_by_the_order_of_insertion_when_a_bound_is_reached() -> Result<()> {
    let bench = Bench::new();
    let store = plain_store(&bench);
    let memo: Memo<str, u64> = Memo::builder("words").max_entries(2).open(&store)?;
    miss!(memo, "a" => 1);
    memo.insert("b", &2)?;
    memo.insert("a", &3)?; // young again
    miss!(memo, "c" => 4);
    memo.flush()?;
    let keys = memo.entries()?.map(|entry| entry.map(|entry| entry.key)).collect::<Result<Vec<_>>>()?;
    assert_eq!(keys, ["\"a\"", "\"c\""]);
    assert_eq!((memo.len()?, memo.stats().evictions, memo.get("b")?), (2, 1, None));
    hit!(memo, "a" => 3);
    Ok(())
}

#[test]
fn a_bound_on_bytes_holds_for_a_memo_and_for_the_store() -> Result<()> {
    let bench = Bench::new();
    let store = bench.options().max_bytes(50_000).in_memory()?;
    let bounded: Pictures = Memo::builder("bounded").max_bytes(25_000).open(&store)?;
    let free: Pictures = Memo::builder("free").open(&store)?;
    for key in 0..20 {
        bounded.get_or_insert_with(&key, || vec![1; 10_000]);
        free.get_or_insert_with(&key, || vec![2; 10_000]);
        store.flush()?;
        assert!(bounded.usage()?.bytes <= 25_000 && store.usage()?.bytes <= 50_000);
    }
    assert_eq!((store.usage()?.entries, bounded.get(&19)?), (4, Some(vec![1; 10_000])));
    assert!(free.insert(&0, &vec![3; 60_000]).is_err_and(|error| error.is_oversize()));
    assert_eq!(free.get_or_insert_with(&99, || vec![3; 60_000]).len(), 60_000);
    assert_eq!(free.stats().failures.oversize, 1, "an insert returns its error, and a call counts it");
    let refused = Store::builder().max_bytes(0).in_memory().unwrap_err();
    assert!(refused.is_config(), "{refused}");
    Ok(())
}

#[test]
fn entries_expire_and_a_sweep_takes_them_away() -> Result<()> {
    let bench = Bench::new();
    let store = plain_store(&bench);
    let memo: Memo<str, u64> = Memo::builder("words").ttl(MINUTE).open(&store)?;
    miss!(memo, "a" => 1);
    bench.clock.advance(30 * SECOND);
    miss!(memo, "b" => 2);
    hit!(memo, "a" => 1);
    bench.clock.advance(30 * SECOND);
    assert!(!memo.contains_key("a")? && memo.contains_key("b")?);
    assert_eq!((memo.len()?, store.sweep()?.expired), (1, 1));
    miss!(memo, "a" => 3);
    Ok(())
}

#[test]
fn versions_and_scopes_have_entries_of_their_own_and_an_earlier_one_is_found_again() -> Result<()> {
    let bench = Bench::new();
    let store = plain_store(&bench);
    let open = |version, scope: &str| {
        Memo::<str, u64>::builder("words").version(version).scope(scope).open(&store).unwrap()
    };
    for (version, scope, value) in [(1, "x", 1), (1, "y", 2), (2, "x", 3)] {
        miss!(open(version, scope), "a" => value);
    }
    for (version, scope, value) in [(1, "x", 1), (2, "x", 3), (1, "y", 2)] {
        hit!(open(version, scope), "a" => value);
    }
    assert_eq!(store.memos()?, ["words"]);
    let _open = (open(2, "x"), open(1, "y"));
    assert_eq!((store.sweep()?.retired, store.usage()?.entries), (1, 2));
    assert!(store.remove_memo("words")? && !store.remove_memo("others")?);
    assert_eq!(store.usage()?.entries, 0);
    miss!(open(1, "y"), "a" => 4);
    Ok(())
}

#[test]
fn removals_and_clears_are_for_good() -> Result<()> {
    for memory in [0, 1 << 20] {
        let store = Bench::new().options().memory(memory).in_memory()?;
        let (memo, other) = (plain(&store, "words"), plain(&store, "others"));
        for word in ["a", "b", "c"] {
            memo.insert(word, &1)?;
            other.insert(word, &2)?;
        }
        assert!(memo.remove("a")? && !memo.remove("a")?);
        assert_eq!((memo.get("a")?, memo.len()?), (None, 2));
        memo.clear()?;
        assert_eq!((memo.get("b")?, memo.len()?, other.len()?), (None, 0, 3));
        store.clear()?;
        assert_eq!((other.get("b")?, store.usage()?.bytes), (None, 0));
        miss!(memo, "b" => 3);
    }
    Ok(())
}

#[test]
fn callers_at_the_same_time_compute_once() {
    watched(|| {
        let store = plain_store(&Bench::new());
        let (memo, computed, all) = (plain(&store, "words"), AtomicU64::new(0), Barrier::new(16));
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    all.wait();
                    for word in ["a", "b", "c", "d"] {
                        memo.get_or_insert_with(word, || computed.fetch_add(1, Ordering::SeqCst));
                    }
                });
            }
        });
        assert_eq!((computed.into_inner(), memo.len().unwrap()), (4, 4));
        assert_eq!(memo.stats().inserts, 4);
    });
}

/// Values larger than all that may wait in the queue at one time, from several threads.
#[test]
fn values_of_ten_megabytes_are_kept_whole() -> Result<()> {
    let bench = Bench::new();
    let store = bench.options().memory(0).max_bytes(45 << 20).in_memory()?;
    let memo: Pictures = Memo::builder("pictures").open(&store)?;
    let picture = |seed: u32| -> Vec<u8> { (0..10 * MEGABYTE as u32).map(|at| (at ^ seed) as u8).collect() };
    thread::scope(|scope| {
        for key in 0..4 {
            let memo = &memo;
            scope.spawn(move || assert!(memo.get_or_insert_with(&key, || picture(key)) == picture(key)));
        }
    });
    for key in 0..4 {
        assert!(memo.get(&key)? == Some(picture(key)));
    }
    memo.insert(&0, &picture(9))?;
    memo.insert(&4, &picture(4))?;
    assert_eq!((memo.len()?, memo.stats().evictions, memo.stats().overflowed), (4, 1, 0));
    assert!(memo.get(&0)? == Some(picture(9)) && memo.get(&4)? == Some(picture(4)));
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    Ok(())
}

#[test]
fn observers_hear_and_counters_count() -> Result<()> {
    let bench = Bench::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let observe = move |event: &Event<'_>| {
        log.lock().unwrap().push(match event {
            Event::Hit { .. } => "hit",
            Event::Miss { .. } => "miss",
            Event::ComputeFinished { .. } => "computed",
            Event::Evicted { .. } => "evicted",
            Event::Expired { .. } => "expired",
            _ => "other",
        });
    };
    let store = bench.options().observer(observe).in_memory()?;
    let memo: Memo<str, u64> = Memo::builder("words").max_entries(1).ttl(MINUTE).open(&store)?;
    miss!(memo, "a" => 1);
    hit!(memo, "a" => 1);
    miss!(memo, "b" => 2);
    store.flush()?;
    bench.clock.advance(MINUTE);
    store.sweep()?;
    for word in ["hit", "miss", "computed", "evicted", "expired"] {
        assert!(heard.lock().unwrap().contains(&word), "{word}: {:?}", heard.lock().unwrap());
    }
    let stats = store.total_stats()?;
    assert_eq!((stats.hits.total(), stats.misses.total(), stats.inserts), (1, 2, 2));
    assert_eq!(stats.evictions, store.stats().evictions);
    Ok(())
}

#[test]
fn two_stores_share_nothing_and_end_with_their_last_handle() {
    let (one, other) = (Store::in_memory(), Store::in_memory());
    let memo = plain(&one, "words");
    miss!(memo, "a" => 1);
    miss!(plain(&other, "words"), "a" => 2);
    drop(one);
    hit!(memo, "a" => 1); // a memo keeps its store open
    drop(memo);
    miss!(plain(&Store::in_memory(), "words"), "a" => 3);
}

#[test]
fn a_memo_of_a_closed_store_computes() -> Result<()> {
    let store = Store::in_memory();
    let memo = plain(&store, "words");
    miss!(memo, "a" => 1);
    let during = memo.get_or_insert_with("b", || {
        store.close().unwrap();
        2
    });
    assert_eq!(during, 2);
    store.close()?;
    miss!(memo, "a" => 3);
    miss!(memo, "a" => 4);
    let refused = [
        memo.get("a").map(drop),
        memo.insert("a", &1),
        memo.remove("a").map(drop),
        memo.len().map(drop),
        store.clear(),
        store.flush(),
        store.sweep().map(drop),
        store.usage().map(drop),
        store.memos().map(drop),
    ];
    for outcome in refused {
        assert!(outcome.as_ref().is_err_and(memolith::Error::is_closed), "{outcome:?}");
    }
    assert_eq!(store.size_on_disk()?, 0);
    Ok(())
}

/// A loss of all values is allowed here, and a wrong value never.
#[test]
fn a_broken_table_is_replaced_by_an_empty_one() -> Result<()> {
    let faults = [Operation::Read, Operation::Write, Operation::Remove, Operation::Scan, Operation::Flush];
    for operation in faults {
        for fault in [Fault::Corrupt, Fault::Panic] {
            let bench = Bench::new();
            let store = plain_store(&bench);
            let memo: Memo<str, u64> = Memo::builder("words").max_entries(2).open(&store)?;
            memo.insert("a", &1)?;
            bench.faults.plant(operation, fault);
            let _ = (memo.remove("a"), memo.insert("b", &2), memo.flush());
            assert_eq!(memo.get_or_insert_with("c", || 3), 3);
            assert_eq!(store.path(), None);
            bench.faults.heal();
            bench.clock.advance(2 * MINUTE);
            for word in ["d", "e", "f"] {
                memo.insert(word, &4)?;
            }
            assert_eq!((memo.len()?, memo.get("f")?), (2, Some(4)), "{operation:?} {fault:?}");
        }
    }
    Ok(())
}
