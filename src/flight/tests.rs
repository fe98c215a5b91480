//! Waits and wakes on threads. The tests of the table test the decisions. Under the schedule explorer these tests run over
//! many schedules.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;
use crate::sync::{explore, thread};

const KEY: FlightKey = key(1);
const FOREVER: Duration = Duration::MAX;

const fn key(owner: u64) -> FlightKey {
    FlightKey { owner, digest: [3; 32] }
}

impl Flight {
    #[track_caller]
    fn lead(&self, key: FlightKey) -> Claim<'_> {
        match self.claim(key, FOREVER) {
            Turn::Lead(claim) => claim,
            Turn::Recheck(_) | Turn::Alone(..) => panic!("another caller leads"),
        }
    }

    /// Gives way until so many callers wait.
    fn until_waiting(&self, key: FlightKey, count: usize) {
        while self.waiting(key) < count {
            thread::yield_now();
        }
    }
}

/// The result of a call, without its claim.
#[derive(Debug, PartialEq)]
enum Fate {
    Led,
    Looked(Outcome),
    Alone(AloneReason),
}

fn call(flight: &Flight, complete: Option<Outcome>) -> Fate {
    let (mut claim, fate) = match flight.claim(KEY, FOREVER) {
        Turn::Recheck(outcome) => return Fate::Looked(outcome),
        Turn::Lead(claim) => (claim, Fate::Led),
        Turn::Alone(claim, reason) => (claim, Fate::Alone(reason)),
    };
    match complete {
        Some(outcome) => claim.complete(outcome),
        None => claim.fail(),
    }
    fate
}

/// The fates of `count` callers that wait for a leader until `end` ends its claim.
fn fates(count: usize, complete: Option<Outcome>, end: impl FnOnce(&Flight, Claim<'_>)) -> Vec<Fate> {
    let flight = Flight::new();
    let leader = flight.lead(KEY);
    let fates = thread::scope(|scope| {
        let waiters: Vec<_> = (0..count).map(|_| scope.spawn(|| call(&flight, complete))).collect();
        flight.until_waiting(KEY, count);
        end(&flight, leader);
        waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect()
    });
    assert!(flight.is_empty());
    fates
}

fn number(fates: &[Fate], fate: &Fate) -> usize {
    fates.iter().filter(|other| *other == fate).count()
}

#[test]
fn every_waiter_wakes_for_a_stored_value() {
    explore(|| {
        let fates = fates(3, None, |_, leader| leader.complete(Outcome::Stored));
        assert_eq!(number(&fates, &Fate::Looked(Outcome::Stored)), 3);
    });
}

#[test]
fn every_waiter_wakes_when_the_value_could_not_be_kept() {
    explore(|| {
        let fates = fates(3, Some(Outcome::Unstored), |_, leader| leader.complete(Outcome::Unstored));
        assert_eq!(number(&fates, &Fate::Alone(AloneReason::Unstored)), 3);
    });
}

#[test]
fn one_waiter_leads_on_after_a_panic() {
    explore(|| {
        let fates = fates(3, Some(Outcome::Stored), |_, leader| {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _leader = leader;
                resume_unwind(Box::new("the closure panics"));
            }));
            assert!(panicked.is_err());
        });
        assert_eq!(number(&fates, &Fate::Led), 1);
        assert_eq!(number(&fates, &Fate::Looked(Outcome::Stored)), 2);
    });
}

#[test]
fn the_rest_compute_side_by_side_after_a_second_failure() {
    explore(|| {
        let fates = fates(3, None, |_, mut leader| leader.fail());
        assert_eq!(number(&fates, &Fate::Led), 1);
        assert_eq!(number(&fates, &Fate::Alone(AloneReason::Failures)), 2);
    });
}

#[test]
fn a_leader_that_is_dropped_counts_as_no_failure() {
    explore(|| {
        let flight = Flight::new();
        let leader = flight.lead(KEY);
        let fates = thread::scope(|scope| {
            let waiters: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| match flight.claim(KEY, FOREVER) {
                        Turn::Lead(_) => Fate::Led,
                        Turn::Recheck(outcome) => Fate::Looked(outcome),
                        Turn::Alone(_, reason) => Fate::Alone(reason),
                    })
                })
                .collect();
            flight.until_waiting(KEY, 4);
            drop(leader);
            waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(number(&fates, &Fate::Led), 4);
        assert!(flight.is_empty());
    });
}

#[test]
fn every_waiter_wakes_when_the_leader_is_revoked() {
    explore(|| {
        let fates = fates(2, None, |flight, leader| {
            flight.revoke(&KEY, None);
            assert!(!leader.is_current());
        });
        assert_eq!(number(&fates, &Fate::Looked(Outcome::Revoked)), 2);
    });
}

#[test]
fn every_waiter_wakes_when_the_owner_is_cleared() {
    explore(|| {
        let fates = fates(2, None, |flight, _leader| flight.revoke_owner(KEY.owner));
        assert_eq!(number(&fates, &Fate::Looked(Outcome::Revoked)), 2);
    });
}

#[test]
fn an_unpark_out_of_nowhere_ends_no_wait() {
    explore(|| {
        let flight = Flight::new();
        let leader = flight.lead(KEY);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| call(&flight, None));
            flight.until_waiting(KEY, 1);
            waiter.thread().unpark();
            waiter.thread().unpark();
            assert_eq!(flight.waiting(KEY), 1);
            leader.complete(Outcome::Stored);
            assert_eq!(waiter.join().unwrap(), Fate::Looked(Outcome::Stored));
        });
    });
}

#[test]
fn two_threads_that_need_each_others_key_both_finish() {
    explore(|| {
        let flight = Flight::new();
        let compute_both = |mine: FlightKey, other: FlightKey| {
            let outer = flight.claim(mine, FOREVER);
            let inner = flight.claim(other, FOREVER);
            [inner, outer].map(|turn| match turn {
                Turn::Lead(claim) | Turn::Alone(claim, _) => claim.complete(Outcome::Stored),
                Turn::Recheck(outcome) => assert_eq!(outcome, Outcome::Stored),
            })
        };
        thread::scope(|scope| {
            scope.spawn(|| compute_both(key(1), key(2)));
            compute_both(key(2), key(1));
        });
        assert!(flight.is_empty());
    });
}

#[test]
fn a_hung_leader_is_taken_over_and_its_late_value_is_told() {
    explore(|| {
        let flight = Flight::new();
        let hung = flight.lead(KEY);
        thread::scope(|scope| {
            let overdue = scope.spawn(|| flight.claim(KEY, Duration::from_millis(1)));
            let Ok(Turn::Lead(successor)) = overdue.join() else { panic!("the hung leader still leads") };
            let waiter = scope.spawn(|| call(&flight, None));
            flight.until_waiting(KEY, 1);
            hung.complete(Outcome::Stored);
            assert_eq!(waiter.join().unwrap(), Fate::Looked(Outcome::Stored));
            assert!(successor.is_current());
        });
        assert!(flight.is_empty());
    });
}
