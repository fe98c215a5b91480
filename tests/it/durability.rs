//! An insert that does not wait for the disk is found at once, and kept.

use std::thread;

use memolith::{Durability, Error, Memo, Store};

use crate::vocabulary::*;

fn soon(store: &Store) -> Memo<str, Vec<u8>> {
    Memo::builder("values").durability(Durability::Soon).open(store).unwrap()
}

#[test]
fn an_insert_that_is_handed_over_is_found_at_once_and_after_a_restart() -> Result<(), Error> {
    for memory in [0, 1 << 20] {
        let bench = Bench::new();
        {
            let store = bench.options().memory(memory).open(bench.path())?;
            let memo = soon(&store);
            for round in 0..50_u8 {
                for (key, value) in [("small", vec![round]), ("large", large(round))] {
                    memo.insert(key, &value)?;
                    assert_eq!(memo.get(key)?, Some(value.clone()));
                    assert!(memo.contains_key(key)?);
                    hit!(memo, key => value);
                }
            }
            assert_eq!((memo.len()?, memo.stats().inserts), (2, 100));
        }
        let store = bench.store();
        let memo = soon(&store);
        hit!(memo, "small" => vec![49]);
        hit!(memo, "large" => large(49));
    }
    Ok(())
}

#[test]
fn a_value_that_is_handed_over_wins_over_a_computation_that_is_under_way() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = soon(&store);
    let value = memo.get_or_insert_with("a", || {
        memo.insert("a", &vec![2]).unwrap();
        vec![1]
    });
    assert_eq!(value, [1]);
    hit!(memo, "a" => vec![2]);
    memo.flush().unwrap();
    hit!(memo, "a" => vec![2]);
}

#[test]
fn a_removal_after_an_insert_removes_it_though_it_is_on_its_way() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = soon(&store);
    for round in 0..100 {
        memo.insert("a", &vec![round])?;
        if round % 2 == 0 {
            assert!(memo.remove("a")?);
        } else {
            memo.clear()?;
        }
        assert_eq!(memo.get("a")?, None);
    }
    assert_eq!(memo.len()?, 0);
    Ok(())
}

/// What a thread inserted last, it finds; at the end memory, disk and all threads agree.
#[test]
fn threads_that_insert_one_key_agree_in_the_end() -> Result<(), Error> {
    let bench = Bench::new();
    let last = {
        let store = bench.store();
        let memo = soon(&store);
        thread::scope(|scope| {
            for thread in 0..4_u8 {
                let memo = memo.clone();
                scope.spawn(move || {
                    for round in 0..200 {
                        memo.insert("a", &vec![thread, round]).unwrap();
                        memo.get_or_insert_with("a", || unreachable!("it was inserted"));
                    }
                });
            }
        });
        let last = memo.get("a")?.unwrap();
        memo.flush()?;
        assert_eq!(memo.get("a")?, Some(last.clone()));
        assert_eq!(last[1], 199);
        last
    };
    let store = bench.diskful();
    hit!(soon(&store), "a" => last);
    Ok(())
}

#[test]
fn bounds_hold_for_values_that_are_handed_over() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<u32, Vec<u8>> =
        Memo::builder("values").durability(Durability::Soon).max_entries(10).max_bytes(4_000).open(&store)?;
    for key in 0..1_000 {
        memo.insert(&key, &vec![7])?;
    }
    assert_eq!(memo.get(&0)?, None, "it had to leave");
    assert_eq!(memo.len()?, 10);
    let error = memo.insert(&1, &vec![7; 5_000]).unwrap_err();
    assert!(error.is_oversize(), "{error}");
    Ok(())
}

#[test]
fn a_value_that_cannot_be_written_is_kept_in_memory_and_told() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = soon(&store);
    bench.faults.plant(memolith::testing::Operation::Write, memolith::testing::Fault::NoSpace);
    memo.insert("a", &vec![1])?;
    assert!(memo.last_failure().is_some());
    bench.faults.heal();
    assert_eq!(memo.get("a")?, Some(vec![1]));
    Ok(())
}

#[test]
fn a_closed_store_refuses_an_insert_that_does_not_wait() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = soon(&store);
    store.close().unwrap();
    assert!(memo.insert("a", &vec![1]).unwrap_err().is_closed());
    let refused = Memo::<str, Vec<u8>>::builder("values").durability(Durability::Immediate).open(&store);
    assert!(refused.is_err());
}
