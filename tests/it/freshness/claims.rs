//! A lookup, and the claim on what was not found.

use std::{mem, sync::mpsc, thread, time::Duration};

use memolith::{Claim, Error, Lookup, Memo, stats::Tier};

use super::{Down, builder, memo};
use crate::vocabulary::*;

#[track_caller]
fn claim(memo: &Memo<str, u64>, key: &str) -> Claim<u64> {
    match memo.entry(key).lookup() {
        Lookup::Miss(claim) => claim,
        Lookup::Hit(hit) => panic!("found {hit:?}"),
    }
}

#[track_caller]
fn found(memo: &Memo<str, u64>, key: &str) -> memolith::Hit<u64> {
    match memo.entry(key).lookup() {
        Lookup::Hit(hit) => hit,
        Lookup::Miss(claim) => panic!("not found: {claim:?}"),
    }
}

#[test]
fn a_claim_can_be_sent_and_stores_what_it_is_given() {
    fn is_sent<T: Send>(sent: T) -> T {
        sent
    }
    let bench = Bench::new();
    let store = bench.store();
    let memo = memo(&store);
    let claimed = is_sent(claim(&memo, "a"));
    bench.clock.advance(SECOND);
    thread::spawn(move || claimed.insert(&1)).join().unwrap();
    bench.clock.advance(MINUTE);
    let hit = found(&memo, "a");
    assert_eq!((hit.value, hit.is_stale, hit.age, hit.compute_time), (1, false, MINUTE, SECOND));
    assert_eq!((hit.tier, found(&memo, "a").tier), (Tier::Disk, Tier::Memory));
    drop(memo);
    drop(store);
    assert_eq!(found(&super::memo(&bench.store()), "a").value, 1);
}

#[test]
fn others_wait_for_a_claim_and_one_leads_when_it_is_dropped() {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    let claimed = claim(&memo, "a");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| memo.get_or_insert_with("a", || 2));
        claimed.insert(&1);
        assert_eq!(waiter.join().unwrap(), 1);
        let claimed = claim(&memo, "b");
        let waiter = scope.spawn(|| memo.get_or_insert_with("b", || 2));
        drop(claimed);
        assert_eq!(waiter.join().unwrap(), 2);
    });
}

#[test]
fn calls_of_the_thread_that_has_a_claim_do_not_wait_for_it() {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    let claimed = claim(&memo, "a");
    assert_eq!(memo.get_or_insert_with("a", || 2), 2);
    let again = claim(&memo, "c");
    let second = claim(&memo, "c");
    second.insert(&3);
    drop(again);
    assert_eq!(found(&memo, "c").value, 3);
    drop(claimed);
}

/// The thread that took the claim waits for another one, which wants the claim.
#[test]
fn a_cycle_through_a_claim_is_seen() {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    let (began, begins) = mpsc::channel();
    let claimed = claim(&memo, "a");
    thread::scope(|scope| {
        let memo = &memo;
        scope.spawn(move || {
            memo.get_or_insert_with("b", || {
                began.send(()).unwrap();
                // Either this call or the one below sees the cycle, and computes.
                memo.get_or_insert_with("a", || 10) + 1
            })
        });
        begins.recv().unwrap();
        let value = memo.get_or_insert_with("b", || 7);
        assert!(value == 11 || value == 7);
        claimed.insert(&1);
    });
}

#[test]
fn what_runs_for_a_claim_computes_its_own_key_directly() {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    let claimed = claim(&memo, "a");
    let memo = &memo;
    let value = thread::scope(|scope| {
        let ran = scope.spawn(|| claimed.run(|| memo.get_or_insert_with("a", || 5) + 1));
        ran.join().unwrap()
    });
    assert_eq!(value, 6);
    claimed.insert(&value);
    assert_eq!(found(memo, "a").value, 6);
}

#[test]
fn a_claim_that_is_forgotten_holds_others_for_a_while_only() {
    let bench = Bench::new();
    let store = bench.options().max_wait(Duration::from_millis(20)).open(bench.path()).unwrap();
    let memo = memo(&store);
    mem::forget(claim(&memo, "a"));
    let value = thread::scope(|scope| scope.spawn(|| memo.get_or_insert_with("a", || 2)).join().unwrap());
    assert_eq!(value, 2);
    hit!(memo, "a" => 2);
}

#[test]
fn a_change_of_the_key_wins_over_a_claim() -> Result<(), Error> {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    let claimed = claim(&memo, "a");
    memo.insert("a", &9)?;
    claimed.insert(&1);
    assert_eq!(memo.get("a")?, Some(9));
    let claimed = claim(&memo, "b");
    memo.remove("b")?;
    claimed.insert(&1);
    assert_eq!(memo.get("b")?, None);
    let claimed = claim(&memo, "c");
    memo.clear()?;
    claimed.insert_in_memory(&1);
    assert_eq!(memo.get("c")?, None);
    Ok(())
}

#[test]
fn a_value_in_memory_only_is_gone_after_a_restart() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = memo(&store);
    claim(&memo, "a").insert_in_memory(&1);
    assert_eq!((memo.get("a")?, memo.len()?), (Some(1), 0));
    drop(memo);
    store.close()?;
    assert_eq!(super::memo(&bench.store()).get("a")?, None);
    Ok(())
}

#[test]
fn a_claim_shows_the_stale_value_and_others_have_it_meanwhile() {
    let bench = Bench::new();
    let memo = memo(&bench.store());
    miss!(memo, "a" => 1);
    assert_eq!(claim(&memo, "b").stale(), None);
    bench.clock.advance(HOUR);
    let claimed = claim(&memo, "a");
    assert_eq!(claimed.stale(), Some(&1));
    thread::scope(|scope| {
        scope.spawn(|| {
            let hit = found(&memo, "a");
            assert_eq!((hit.value, hit.is_stale, hit.age), (1, true, HOUR));
        });
    });
    // Given up: the next caller does not try at once.
    drop(claimed);
    assert!(found(&memo, "a").is_stale);
    bench.clock.advance(30 * SECOND);
    claim(&memo, "a").insert(&2);
    assert!(!found(&memo, "a").is_stale);
}

#[test]
fn a_claim_that_read_a_stale_value_is_stale_itself() {
    let bench = Bench::new();
    let store = bench.store();
    let (inner, outer) = (memo(&store), builder().scope("outer").open(&store).unwrap());
    miss!(inner, "a" => 1);
    bench.clock.advance(HOUR);
    let claimed = claim(&outer, "b");
    let value = claimed.run(|| inner.get_or_try_insert_with("a", || Err(Down)).unwrap());
    claimed.insert(&value);
    assert!(outer.entry("b").or_try_insert_with(|| Err(Down)).is_ok());
    assert_eq!(outer.get("b").unwrap(), None);
}

#[test]
fn a_claim_of_a_store_that_was_closed_is_a_value_for_its_caller() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = memo(&store);
    let claimed = claim(&memo, "a");
    store.close()?;
    claimed.insert(&1);
    claim(&memo, "b").insert(&1);
    Ok(())
}

#[test]
fn a_key_that_cannot_be_serialized_has_a_claim_that_stores_nothing() {
    struct Bad;
    impl serde::Serialize for Bad {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    let bench = Bench::new();
    let memo: Memo<Bad, u64> = Memo::builder("bad").open(&bench.store()).unwrap();
    let Lookup::Miss(claim) = memo.entry(&Bad).lookup() else { panic!("found") };
    assert_eq!(claim.run(|| 3), 3);
    claim.insert(&1);
    assert_eq!((memo.len().unwrap(), memo.stats().failures.key), (0, 1));
}
