use super::*;

const SEAT: Seat = seat(7);
const LEADER: Caller = Caller(0);
const FIRST: Caller = Caller(1);
const SECOND: Caller = Caller(2);
const THIRD: Caller = Caller(3);
const LATE: Caller = Caller(4);

const fn seat(owner: u64) -> Seat {
    Seat { owner, digest: [7; 32] }
}

/// A table in which `LEADER` leads and the others stand in line, in this order.
fn line(waiters: &[Caller]) -> (Table, Ticket) {
    let mut table = Table::new();
    let ticket = table.leads(LEADER, SEAT);
    for waiter in waiters {
        table.waits(*waiter, SEAT);
    }
    (table, ticket)
}

/// The vocabulary of these tests.
impl Table {
    fn claims(&mut self, caller: Caller, seat: Seat) -> Option<Verdict> {
        self.claim(seat, caller, || Waker::noop().clone())
    }

    #[track_caller]
    fn leads(&mut self, caller: Caller, seat: Seat) -> Ticket {
        let Some(Verdict::Lead(ticket)) = self.claims(caller, seat) else {
            panic!("{caller:?} does not lead")
        };
        ticket
    }

    #[track_caller]
    fn waits(&mut self, caller: Caller, seat: Seat) {
        assert!(self.claims(caller, seat).is_none(), "{caller:?} does not wait");
    }

    #[track_caller]
    fn is_alone(&mut self, caller: Caller, seat: Seat, why: Reason) -> Ticket {
        match self.claims(caller, seat) {
            Some(Verdict::Alone(ticket, reason)) if reason == why => ticket,
            _ => panic!("{caller:?} is not alone for {why:?}"),
        }
    }

    #[track_caller]
    fn still_waits(&mut self, caller: Caller) {
        assert!(matches!(self.look(caller, false).0, News::Nothing), "{caller:?} was called");
    }

    #[track_caller]
    fn counts_anew(&mut self, caller: Caller) {
        assert!(matches!(self.look(caller, true).0, News::Successor), "{caller:?} has the old leader");
    }

    #[track_caller]
    fn came_to_lead(&mut self, caller: Caller) -> Ticket {
        let News::Called(Verdict::Lead(ticket)) = self.look(caller, false).0 else {
            panic!("{caller:?} does not lead")
        };
        ticket
    }

    #[track_caller]
    fn has_to_look(&mut self, caller: Caller, why: Outcome) {
        match self.look(caller, false).0 {
            News::Called(Verdict::Look(outcome)) => assert_eq!(outcome, why, "{caller:?}"),
            _ => panic!("{caller:?} has nothing to look for"),
        }
    }

    #[track_caller]
    fn goes_alone(&mut self, caller: Caller, why: Reason) -> Ticket {
        match self.look(caller, false).0 {
            News::Called(Verdict::Alone(ticket, reason)) if reason == why => ticket,
            _ => panic!("{caller:?} is not alone for {why:?}"),
        }
    }

    #[track_caller]
    fn takes_over(&mut self, caller: Caller) -> Ticket {
        let News::Called(Verdict::Lead(ticket)) = self.look(caller, true).0 else {
            panic!("{caller:?} does not take over")
        };
        ticket
    }

    /// How many waiters are to be woken.
    fn settles(&mut self, ticket: &Ticket, outcome: Outcome) -> usize {
        self.release(SEAT, ticket, Some(outcome)).len()
    }

    fn fails(&mut self, ticket: &Ticket) -> usize {
        self.release(SEAT, ticket, None).len()
    }
}

#[test]
fn a_value_is_looked_for_by_every_waiter() {
    for outcome in [Outcome::Found, Outcome::Stored, Outcome::Revoked] {
        let (mut table, leader) = line(&[FIRST, SECOND]);
        table.still_waits(FIRST);
        assert_eq!(table.settles(&leader, outcome), 2);
        table.has_to_look(FIRST, outcome);
        table.has_to_look(SECOND, outcome);
        assert!(table.is_empty());
    }
}

#[test]
fn seats_do_not_wait_for_each_other() {
    let (mut table, leader) = line(&[]);
    let other = table.leads(FIRST, seat(8));
    assert_eq!(table.settles(&leader, Outcome::Stored), 0);
    assert_eq!(table.release(seat(8), &other, Some(Outcome::Stored)).len(), 0);
    assert!(table.is_empty());
}

#[test]
fn a_value_that_could_not_be_kept_is_computed_side_by_side() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    assert_eq!(table.settles(&leader, Outcome::Unstored), 2);
    let first = table.goes_alone(FIRST, Reason::Unstored);
    let second = table.goes_alone(SECOND, Reason::Unstored);
    let next = table.leads(LATE, SEAT);
    for ticket in [first, second, next] {
        assert!(ticket.is_current());
        assert_eq!(table.settles(&ticket, Outcome::Unstored), 0);
    }
    assert!(table.is_empty());
}

#[test]
fn a_failure_hands_over_to_the_first_in_line_alone() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    assert_eq!(table.fails(&leader), 2);
    let heir = table.came_to_lead(FIRST);
    table.waits(LATE, SEAT);
    table.counts_anew(SECOND);
    table.still_waits(SECOND);
    table.still_waits(LATE);
    assert_eq!(table.settles(&heir, Outcome::Stored), 2);
    table.has_to_look(SECOND, Outcome::Stored);
    table.has_to_look(LATE, Outcome::Stored);
    assert!(table.is_empty());
}

#[test]
fn after_two_failures_in_a_row_the_rest_compute_alone_and_the_next_starts_afresh() {
    let (mut table, leader) = line(&[FIRST, SECOND, THIRD]);
    table.fails(&leader);
    let heir = table.came_to_lead(FIRST);
    assert_eq!(table.fails(&heir), 2);
    let second = table.goes_alone(SECOND, Reason::Failures);
    let third = table.goes_alone(THIRD, Reason::Failures);

    let fresh = table.leads(LATE, SEAT);
    table.waits(FIRST, SEAT);
    assert_eq!(table.fails(&second) + table.fails(&third), 0, "they lead nobody");
    assert_eq!(table.fails(&fresh), 1);
    let heir = table.came_to_lead(FIRST);
    table.settles(&heir, Outcome::Stored);
    assert!(table.is_empty());
}

#[test]
fn a_failure_that_nobody_saw_is_forgotten() {
    let (mut table, leader) = line(&[]);
    assert_eq!(table.fails(&leader), 0);
    assert!(table.is_empty());
}

#[test]
fn a_leader_that_asks_for_its_own_seat_computes_alone() {
    let (mut table, leader) = line(&[FIRST]);
    let inner = table.is_alone(LEADER, SEAT, Reason::Reentrant);
    assert_eq!(table.fails(&inner), 0);
    table.still_waits(FIRST);
    assert_eq!(table.settles(&leader, Outcome::Stored), 1);
    table.has_to_look(FIRST, Outcome::Stored);
    assert!(table.is_empty());
}

#[test]
fn who_would_close_a_cycle_of_any_length_computes_alone() {
    let callers = [Caller(10), Caller(11), Caller(12), Caller(13)];
    for length in 2..=callers.len() {
        let mut table = Table::new();
        let ring: Vec<_> = callers.into_iter().take(length).zip(20..).collect();
        for (caller, owner) in &ring {
            let _ = table.leads(*caller, seat(*owner));
        }
        for (caller, owner) in ring.iter().take(length - 1) {
            table.waits(*caller, seat(owner + 1));
        }
        let _ = table.is_alone(callers[length - 1], seat(20), Reason::Cycle);
    }
}

#[test]
fn a_chain_without_an_end_in_the_caller_is_waited_for() {
    let (mut table, _leader) = line(&[]);
    let _ = table.leads(FIRST, seat(8));
    table.waits(FIRST, SEAT);
    table.waits(SECOND, seat(8));
    table.still_waits(SECOND);
}

#[test]
fn who_was_called_waits_for_nobody_even_before_it_wakes() {
    let (mut table, leader) = line(&[]);
    let _ = table.leads(FIRST, seat(8));
    table.waits(FIRST, SEAT);
    table.settles(&leader, Outcome::Stored);
    table.waits(LEADER, seat(8));
    table.has_to_look(FIRST, Outcome::Stored);
}

#[test]
fn one_overdue_waiter_takes_over_and_the_rest_count_anew() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    let heir = table.takes_over(SECOND);
    assert!(leader.is_current());
    table.counts_anew(FIRST);
    table.still_waits(FIRST);

    let second_heir = table.takes_over(FIRST);
    assert_eq!(table.settles(&second_heir, Outcome::Stored), 0);
    assert_eq!(table.fails(&heir) + table.fails(&leader), 0);
    assert!(table.is_empty());
}

#[test]
fn a_former_leader_that_kept_its_value_calls_everybody() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    let heir = table.takes_over(FIRST);
    assert_eq!(table.settles(&leader, Outcome::Stored), 1);
    table.has_to_look(SECOND, Outcome::Stored);
    assert!(heir.is_current());

    let next = table.leads(LATE, SEAT);
    table.waits(SECOND, SEAT);
    assert_eq!(table.settles(&heir, Outcome::Stored), 1, "whoever keeps a value tells it");
    table.has_to_look(SECOND, Outcome::Stored);
    table.fails(&next);
    assert!(table.is_empty());
}

#[test]
fn a_former_leader_without_a_value_touches_nobody() {
    for outcome in [None, Some(Outcome::Unstored), Some(Outcome::Revoked)] {
        let (mut table, leader) = line(&[FIRST, SECOND]);
        let heir = table.takes_over(FIRST);
        table.counts_anew(SECOND);
        assert_eq!(table.release(SEAT, &leader, outcome).len(), 0);
        table.still_waits(SECOND);
        assert_eq!(table.settles(&heir, Outcome::Stored), 1);
    }
}

#[test]
fn a_leader_that_handed_its_value_over_leads_nobody_and_can_still_be_revoked() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    assert_eq!(table.detach(SEAT, &leader).len(), 2);
    table.has_to_look(FIRST, Outcome::Stored);
    table.has_to_look(SECOND, Outcome::Stored);
    let next = table.leads(LATE, SEAT);
    assert_eq!(table.release(SEAT, &next, Some(Outcome::Found)).len(), 0);
    assert!(leader.is_current() && !table.is_empty());
    assert_eq!(table.revoke(SEAT, None).len(), 0);
    assert!(!leader.is_current() && table.is_empty());
}

#[test]
fn a_value_of_one_that_computes_alone_is_there_for_those_who_wait_for_the_leader() {
    let (mut table, leader) = line(&[FIRST]);
    let alone = table.is_alone(LEADER, SEAT, Reason::Reentrant);
    assert_eq!(table.detach(SEAT, &alone).len(), 1);
    table.has_to_look(FIRST, Outcome::Stored);
    assert!(leader.is_current() && alone.is_current());
    let revoked = table.attend(SEAT);
    let _ = table.revoke(SEAT, None);
    assert_eq!(table.detach(SEAT, &revoked).len(), 0);
}

#[test]
fn a_taken_over_leader_does_not_erase_the_failure_before_it() {
    let (mut table, leader) = line(&[FIRST, SECOND, THIRD]);
    table.fails(&leader);
    let _hung = table.came_to_lead(FIRST);
    table.counts_anew(SECOND);
    let heir = table.takes_over(SECOND);
    table.fails(&heir);
    let _ = table.goes_alone(THIRD, Reason::Failures);
}

#[test]
fn a_revoked_leader_loses_its_waiters_and_the_next_caller_leads_at_once() {
    let (mut table, leader) = line(&[FIRST]);
    let reader = table.attend(SEAT);
    assert_eq!(table.revoke(SEAT, None).len(), 1);
    assert!(!leader.is_current() && !reader.is_current());
    table.has_to_look(FIRST, Outcome::Revoked);
    assert!(table.is_empty());

    let next = table.leads(SECOND, SEAT);
    table.waits(FIRST, SEAT);
    assert_eq!(table.fails(&leader) + table.settles(&leader, Outcome::Stored), 0);
    assert_eq!(table.fails(&reader) + table.settles(&reader, Outcome::Stored), 0);
    table.still_waits(FIRST);
    assert!(next.is_current());
}

#[test]
fn a_leader_that_stores_revokes_all_but_itself() {
    let (mut table, former) = line(&[FIRST, SECOND]);
    let leader = table.takes_over(FIRST);
    let reader = table.attend(SEAT);
    table.counts_anew(SECOND);
    assert_eq!(table.revoke(SEAT, Some(&leader)).len(), 0);
    assert!(leader.is_current() && !reader.is_current() && !former.is_current());
    table.still_waits(SECOND);
    assert_eq!(table.settles(&leader, Outcome::Stored), 1);
}

#[test]
fn an_insert_revokes_the_leader_and_keeps_its_own_claim() {
    let (mut table, leader) = line(&[FIRST]);
    let insert = table.attend(SEAT);
    assert_eq!(table.revoke(SEAT, Some(&insert)).len(), 1);
    assert!(insert.is_current() && !leader.is_current());
    table.has_to_look(FIRST, Outcome::Revoked);
    table.settles(&insert, Outcome::Stored);
    assert!(table.is_empty());
}

#[test]
fn an_heir_revoked_before_it_wakes_looks_again() {
    let (mut table, leader) = line(&[FIRST]);
    table.fails(&leader);
    table.revoke(SEAT, None).wake();
    table.has_to_look(FIRST, Outcome::Revoked);
    assert!(table.is_empty());
}

#[test]
fn clearing_an_owner_revokes_its_seats_and_no_other() {
    let (mut table, mine) = line(&[FIRST]);
    let reader = table.attend(Seat { digest: [9; 32], ..SEAT });
    let other = table.attend(seat(8));
    assert_eq!(table.revoke_owner(SEAT.owner).len(), 1);
    assert!(!mine.is_current() && !reader.is_current() && other.is_current());
}

#[test]
fn one_key_in_many_memos_is_many_hashes() {
    use std::{collections::HashSet, hash::BuildHasher};
    let hashes: HashSet<u64> = (0..1_000).map(|owner| SeatHasher::new().hash_one(seat(owner))).collect();
    assert_eq!(hashes.len(), 1_000);
}
