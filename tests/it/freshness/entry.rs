//! One call with options of its own.

use std::{cell::Cell, thread, time::Duration};

use memolith::{Error, Memo};

use super::{Down, builder, each_store, memo};
use crate::vocabulary::*;

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn an_entry_has_a_ttl_of_its_own_for_every_caller_and_after_a_restart() -> Result<(), Error> {
    let bench = Bench::new();
    let open = || {
        let store = bench.store();
        let memo: Memo<str, u64> = Memo::builder("timed").ttl(HOUR).open(&store).unwrap();
        (store, memo)
    };
    let (store, memo) = open();
    assert_eq!(memo.entry("short").ttl(MINUTE).or_insert_with(|| 1), 1);
    assert_eq!(memo.entry("long").ttl(DAY).or_insert_with(|| 2), 2);
    assert_eq!(memo.entry("forever").ttl(Duration::MAX).or_insert_with(|| 3), 3);
    assert_eq!(memo.entry("told").ttl_with(|value| *value as u32 * MINUTE).or_insert_with(|| 2), 2);
    drop((memo, store));
    let (_store, memo) = open();
    bench.clock.advance(MINUTE - MILLISECOND);
    hit!(memo, "short" => 1);
    bench.clock.advance(MILLISECOND);
    assert_eq!(memo.get("short")?, None);
    bench.clock.advance(MINUTE - MILLISECOND);
    hit!(memo, "told" => 2);
    bench.clock.advance(MILLISECOND);
    assert_eq!(memo.get("told")?, None);
    bench.clock.advance(DAY - 2 * MINUTE - MILLISECOND);
    assert_eq!(memo.len()?, 2);
    hit!(memo, "long" => 2);
    bench.clock.advance(MILLISECOND);
    assert_eq!(memo.get("long")?, None);
    bench.clock.advance(10_000 * DAY);
    hit!(memo, "forever" => 3);
    Ok(())
}

#[test]
fn a_value_with_a_ttl_of_zero_goes_to_its_caller_only() {
    let bench = Bench::new();
    let store = bench.store();
    let fresh_only: Memo<str, u64> = Memo::builder("fresh only").open(&store).unwrap();
    assert_eq!(fresh_only.entry("a").ttl(Duration::ZERO).or_insert_with(|| 1), 1);
    assert_eq!(fresh_only.entry("a").ttl_with(|_| Duration::from_nanos(1)).or_insert_with(|| 2), 2);
    miss!(fresh_only, "a" => 3);
    let stale = memo(&store);
    assert_eq!(stale.entry("a").ttl(Duration::ZERO).or_insert_with(|| 1), 1);
    assert_eq!(stale.get("a").unwrap(), None);
    assert_eq!(stale.get_or_try_insert_with("a", || Err(Down)), Ok(1));
}

#[test]
fn a_ttl_function_that_panics_costs_the_store_and_not_the_call() {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    assert_eq!(memo.entry("a").ttl_with(|_| panic!("no idea")).or_insert_with(|| 1), 1);
    assert!(memo.take_last_failure().is_some_and(|failure| failure.error.to_string().contains("ttl_with")));
    miss!(memo, "a" => 2);
}

#[test]
fn a_value_of_the_given_age_is_refused() {
    each_store(|bench, store| {
        let memo = memo(&store);
        miss!(memo, "a" => 1);
        bench.clock.advance(MINUTE);
        let younger = |age| memo.entry("a").max_age(age).or_insert_with(|| 2);
        assert_eq!(younger(MINUTE + MILLISECOND), 1);
        assert_eq!(younger(MINUTE), 2);
        hit!(memo, "a" => 2);
        assert_eq!(memo.entry("a").max_age(Duration::ZERO).or_insert_with(|| 3), 3);
        assert_eq!(memo.entry("a").max_age(Duration::ZERO).or_insert_with(|| 4), 4);
        hit!(memo, "a" => 4);
        assert_eq!(memo.get("a").unwrap(), Some(4));
    });
}

#[test]
fn an_age_binds_a_fallback_too() {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    miss!(memo, "a" => 1);
    bench.clock.advance(2 * HOUR);
    let within = |age| memo.entry("a").max_age(age).or_try_insert_with(|| Err(Down));
    assert_eq!(within(2 * HOUR), Err(Down));
    assert_eq!(within(2 * HOUR + MILLISECOND), Ok(1));
    assert_eq!(within(Duration::ZERO), Err(Down));
}

#[test]
fn nothing_that_was_computed_before_the_call_is_accepted_with_an_age_of_zero() {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    let (began, begins) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        let memo = &memo;
        let first = scope.spawn(move || {
            memo.get_or_insert_with("a", || {
                began.send(()).unwrap();
                ends.recv().unwrap();
                1
            })
        });
        begins.recv().unwrap();
        let renewed = scope.spawn(move || memo.entry("a").max_age(Duration::ZERO).or_insert_with(|| 2));
        end.send(()).unwrap();
        assert_eq!((first.join().unwrap(), renewed.join().unwrap()), (1, 2));
    });
    hit!(memo, "a" => 2);
}

#[test]
fn a_value_that_is_not_valid_is_computed_anew_and_the_check_may_panic() {
    each_store(|_, store| {
        let memo = memo(&store);
        miss!(memo, "a" => 1);
        assert_eq!(memo.entry("a").validate(|value| *value == 1).or_insert_with(|| 2), 1);
        assert_eq!(memo.entry("a").validate(|value| *value == 2).or_insert_with(|| 2), 2);
        hit!(memo, "a" => 2);
        assert_eq!(memo.entry("a").validate(|_| panic!("no idea")).or_insert_with(|| 3), 3);
        hit!(memo, "a" => 3);
        assert!(
            memo.take_last_failure()
                .is_some_and(|failure| failure.error.kind() == memolith::ErrorKind::Panic)
        );
        assert_eq!(memo.stats().misses.invalid, 2);
    });
}

#[test]
fn an_update_gets_the_old_value_at_any_age() {
    each_store(|bench, store| {
        let memo: Memo<str, u64> = Memo::builder("timed").ttl(HOUR).open(&store).unwrap();
        let seen = Cell::new(None);
        let update = |memo: &Memo<str, u64>| {
            memo.entry("a").or_try_update_with(|old| {
                seen.set(old);
                Ok::<u64, Down>(old.unwrap_or(0) + 1)
            })
        };
        assert_eq!((update(&memo).unwrap(), seen.get()), (1, None));
        assert_eq!(update(&memo).unwrap(), 1, "a hit");
        bench.clock.advance(1_000 * DAY);
        assert_eq!((update(&memo).unwrap(), seen.get()), (2, Some(1)));
        hit!(memo, "a" => 2);
        let refused =
            memo.entry("a").max_age(Duration::ZERO).or_try_update_with(|old| Err::<u64, _>((Down, old)));
        assert_eq!(refused, Err((Down, Some(2))));
        memo.remove("a").unwrap();
        assert_eq!((update(&memo).unwrap(), seen.get()), (1, None));
    });
}

#[test]
fn a_renewed_value_is_not_undone_by_a_reader_of_the_old_one() {
    let bench = Bench::new();
    let memo: Memo<str, Vec<u8>> = Memo::builder("large").open(&bench.store()).unwrap();
    memo.insert("a", &large(0)).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    memo.get("a").unwrap();
                }
            });
        }
        for round in 1..100 {
            let renewed = memo.entry("a").max_age(Duration::ZERO).or_insert_with(|| large(round));
            assert_eq!(renewed, large(round));
            assert_eq!(memo.get("a").unwrap(), Some(large(round)), "round {round}");
        }
    });
}

#[test]
fn callers_that_renew_at_the_same_time_share_a_computation_that_began_after_them() {
    let bench = Bench::new();
    let memo = builder().open(&bench.store()).unwrap();
    miss!(memo, "a" => 1);
    let computed = std::sync::atomic::AtomicU64::new(1);
    let order = std::sync::atomic::Ordering::SeqCst;
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let before = computed.load(order);
                let value = memo
                    .entry("a")
                    .max_age(Duration::ZERO)
                    .or_insert_with(|| computed.fetch_add(1, order) + 1);
                assert!(value > before, "computed before the call");
            });
        }
    });
    assert!(computed.load(order) <= 9);
}
