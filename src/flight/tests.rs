//! The waking, on threads; what is decided is tested in the table. Under the schedule explorer the same tests run over
//! many schedules.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;
use crate::sync::{explore, thread};

const SEAT: Seat = seat(1);
const FOREVER: Duration = Duration::MAX;

const fn seat(owner: u64) -> Seat {
    Seat { owner, digest: [3; 32] }
}

impl Flight {
    #[track_caller]
    fn lead(&self, seat: Seat) -> Claim<'_> {
        match self.claim(seat, FOREVER) {
            Turn::Lead(claim) => claim,
            Turn::Look(_) | Turn::Alone(..) => panic!("somebody else leads"),
        }
    }

    /// Gives way until so many callers wait.
    fn until_waiting(&self, seat: Seat, count: usize) {
        while self.waiting(seat) < count {
            thread::yield_now();
        }
    }
}

/// What became of a caller, without its claim: `settle` for who computes.
#[derive(Debug, PartialEq)]
enum Fate {
    Led,
    Looked(Outcome),
    Alone(Reason),
}

fn call(flight: &Flight, settle: Option<Outcome>) -> Fate {
    let (claim, fate) = match flight.claim(SEAT, FOREVER) {
        Turn::Look(outcome) => return Fate::Looked(outcome),
        Turn::Lead(claim) => (claim, Fate::Led),
        Turn::Alone(claim, reason) => (claim, Fate::Alone(reason)),
    };
    if let Some(outcome) = settle {
        claim.settle(outcome);
    }
    fate
}

/// The fates of `count` callers who wait for a leader until `end` is done with its claim.
fn fates(count: usize, settle: Option<Outcome>, end: impl FnOnce(&Flight, Claim<'_>)) -> Vec<Fate> {
    let flight = Flight::new();
    let leader = flight.lead(SEAT);
    let fates = thread::scope(|scope| {
        let waiters: Vec<_> = (0..count).map(|_| scope.spawn(|| call(&flight, settle))).collect();
        flight.until_waiting(SEAT, count);
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
        let fates = fates(3, None, |_, leader| leader.settle(Outcome::Stored));
        assert_eq!(number(&fates, &Fate::Looked(Outcome::Stored)), 3);
    });
}

#[test]
fn every_waiter_wakes_when_the_value_could_not_be_kept() {
    explore(|| {
        let fates = fates(3, Some(Outcome::Unstored), |_, leader| leader.settle(Outcome::Unstored));
        assert_eq!(number(&fates, &Fate::Alone(Reason::Unstored)), 3);
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
        let fates = fates(3, None, |_, leader| drop(leader));
        assert_eq!(number(&fates, &Fate::Led), 1);
        assert_eq!(number(&fates, &Fate::Alone(Reason::Failures)), 2);
    });
}

#[test]
fn every_waiter_wakes_when_the_leader_is_revoked() {
    explore(|| {
        let fates = fates(2, None, |flight, leader| {
            flight.revoke(&SEAT, None);
            assert!(!leader.is_current());
        });
        assert_eq!(number(&fates, &Fate::Looked(Outcome::Revoked)), 2);
    });
}

#[test]
fn every_waiter_wakes_when_the_owner_is_cleared() {
    explore(|| {
        let fates = fates(2, None, |flight, _leader| flight.revoke_owner(SEAT.owner));
        assert_eq!(number(&fates, &Fate::Looked(Outcome::Revoked)), 2);
    });
}

#[test]
fn an_unpark_out_of_nowhere_ends_no_wait() {
    explore(|| {
        let flight = Flight::new();
        let leader = flight.lead(SEAT);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| call(&flight, None));
            flight.until_waiting(SEAT, 1);
            waiter.thread().unpark();
            waiter.thread().unpark();
            assert_eq!(flight.waiting(SEAT), 1);
            leader.settle(Outcome::Stored);
            assert_eq!(waiter.join().unwrap(), Fate::Looked(Outcome::Stored));
        });
    });
}

#[test]
fn two_threads_that_need_each_others_key_both_finish() {
    explore(|| {
        let flight = Flight::new();
        let compute_both = |mine: Seat, other: Seat| {
            let outer = flight.claim(mine, FOREVER);
            let inner = flight.claim(other, FOREVER);
            [inner, outer].map(|turn| match turn {
                Turn::Lead(claim) | Turn::Alone(claim, _) => claim.settle(Outcome::Stored),
                Turn::Look(outcome) => assert_eq!(outcome, Outcome::Stored),
            })
        };
        thread::scope(|scope| {
            scope.spawn(|| compute_both(seat(1), seat(2)));
            compute_both(seat(2), seat(1));
        });
        assert!(flight.is_empty());
    });
}

#[test]
fn a_hung_leader_is_taken_over_and_its_late_value_is_told() {
    explore(|| {
        let flight = Flight::new();
        let hung = flight.lead(SEAT);
        thread::scope(|scope| {
            let overdue = scope.spawn(|| flight.claim(SEAT, Duration::from_millis(1)));
            let Ok(Turn::Lead(heir)) = overdue.join() else { panic!("the hung leader still leads") };
            let waiter = scope.spawn(|| call(&flight, None));
            flight.until_waiting(SEAT, 1);
            hung.settle(Outcome::Stored);
            assert_eq!(waiter.join().unwrap(), Fate::Looked(Outcome::Stored));
            assert!(heir.is_current());
        });
        assert!(flight.is_empty());
    });
}
