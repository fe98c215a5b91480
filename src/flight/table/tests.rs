use std::time::Duration;

use super::*;
use crate::sync::explore;

const KEY: FlightKey = key(7);
const LEADER: Caller = Caller(0);
const FIRST: Caller = Caller(1);
const SECOND: Caller = Caller(2);
const THIRD: Caller = Caller(3);
const LATE: Caller = Caller(4);

const fn key(owner: u64) -> FlightKey {
    FlightKey { owner, digest: [7; 32] }
}

/// A table in which `LEADER` leads and the others are queued in this order.
fn line(waiters: &[Caller]) -> (Table, ClaimState) {
    let mut table = Table::new();
    let claim = table.leads(LEADER, KEY);
    for waiter in waiters {
        table.waits(*waiter, KEY);
    }
    (table, claim)
}

/// The vocabulary of these tests.
impl Table {
    fn claims(&mut self, caller: Caller, key: FlightKey) -> Option<Verdict> {
        self.claim(key, &Asker::of(caller), false, &mut Some(Waker::noop().clone()))
    }

    #[track_caller]
    fn leads(&mut self, caller: Caller, key: FlightKey) -> ClaimState {
        let Some(Verdict::Lead(claim)) = self.claims(caller, key) else { panic!("{caller:?} does not lead") };
        claim
    }

    #[track_caller]
    fn waits(&mut self, caller: Caller, key: FlightKey) {
        assert!(self.claims(caller, key).is_none(), "{caller:?} does not wait");
    }

    #[track_caller]
    fn is_alone(&mut self, caller: Caller, key: FlightKey, why: AloneReason) -> ClaimState {
        match self.claims(caller, key) {
            Some(Verdict::Alone(claim, reason)) if reason == why => claim,
            _ => panic!("{caller:?} is not alone for {why:?}"),
        }
    }

    #[track_caller]
    fn still_waits(&mut self, caller: Caller) {
        assert!(matches!(self.polls(caller), WaitState::Pending), "{caller:?} was called");
    }

    /// As a thread that has waited for a moment only.
    fn polls(&mut self, caller: Caller) -> WaitState {
        self.poll(caller, &mut Some(Waker::noop().clone()), |_| false).0
    }

    /// What a caller that waits on waits for.
    #[track_caller]
    fn awaits(&mut self, caller: Caller) -> Awaited {
        let mut awaits = None;
        let (state, _) = self.poll(caller, &mut Some(Waker::noop().clone()), |awaited| {
            awaits = Some(Awaited { ..*awaited });
            false
        });
        assert!(matches!(state, WaitState::Pending), "{caller:?} was called");
        awaits.unwrap()
    }

    #[track_caller]
    fn counts_anew(&mut self, caller: Caller) {
        assert_eq!(self.awaits(caller).changes, 1, "{caller:?} has the old leader");
    }

    #[track_caller]
    fn came_to_lead(&mut self, caller: Caller) -> ClaimState {
        let WaitState::Ready(Verdict::Lead(claim) | Verdict::TakeOver(claim)) = self.polls(caller) else {
            panic!("{caller:?} does not lead")
        };
        claim
    }

    #[track_caller]
    fn has_to_look(&mut self, caller: Caller, why: Outcome) {
        match self.polls(caller) {
            WaitState::Ready(Verdict::Recheck(outcome)) => assert_eq!(outcome, why, "{caller:?}"),
            _ => panic!("{caller:?} has nothing to look for"),
        }
    }

    #[track_caller]
    fn goes_alone(&mut self, caller: Caller, why: AloneReason) -> ClaimState {
        match self.polls(caller) {
            WaitState::Ready(Verdict::Alone(claim, reason)) if reason == why => claim,
            _ => panic!("{caller:?} is not alone for {why:?}"),
        }
    }

    #[track_caller]
    fn takes_over(&mut self, caller: Caller) -> ClaimState {
        let WaitState::Ready(Verdict::TakeOver(claim)) =
            self.poll(caller, &mut Some(Waker::noop().clone()), |_| true).0
        else {
            panic!("{caller:?} does not take over")
        };
        claim
    }

    /// How many waiters are to be woken.
    fn completes(&mut self, claim: &ClaimState, outcome: Outcome) -> usize {
        self.end(KEY, claim, Some(outcome)).len()
    }

    fn fails(&mut self, claim: &ClaimState) -> usize {
        self.end(KEY, claim, None).len()
    }
}

#[test]
fn a_value_is_looked_for_by_every_waiter() {
    for outcome in [Outcome::Found, Outcome::Stored, Outcome::Revoked] {
        let (mut table, leader) = line(&[FIRST, SECOND]);
        table.still_waits(FIRST);
        assert_eq!(table.completes(&leader, outcome), 2);
        table.has_to_look(FIRST, outcome);
        table.has_to_look(SECOND, outcome);
        assert!(table.is_empty());
    }
}

#[test]
fn keys_do_not_wait_for_each_other() {
    let (mut table, leader) = line(&[]);
    let other = table.leads(FIRST, key(8));
    assert_eq!(table.completes(&leader, Outcome::Stored), 0);
    assert_eq!(table.end(key(8), &other, Some(Outcome::Stored)).len(), 0);
    assert!(table.is_empty());
}

#[test]
fn a_value_that_could_not_be_kept_is_computed_side_by_side() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    assert_eq!(table.completes(&leader, Outcome::Unstored), 2);
    let first = table.goes_alone(FIRST, AloneReason::Unstored);
    let second = table.goes_alone(SECOND, AloneReason::Unstored);
    let next = table.leads(LATE, KEY);
    for claim in [first, second, next] {
        assert!(claim.is_current());
        assert_eq!(table.completes(&claim, Outcome::Unstored), 0);
    }
    assert!(table.is_empty());
}

#[test]
fn a_failure_hands_over_to_the_first_in_line_alone() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    assert_eq!(table.fails(&leader), 2);
    let successor = table.came_to_lead(FIRST);
    table.waits(LATE, KEY);
    table.counts_anew(SECOND);
    table.still_waits(SECOND);
    table.still_waits(LATE);
    assert_eq!(table.completes(&successor, Outcome::Stored), 2);
    table.has_to_look(SECOND, Outcome::Stored);
    table.has_to_look(LATE, Outcome::Stored);
    assert!(table.is_empty());
}

#[test]
fn after_two_failures_in_a_row_the_rest_compute_alone_and_the_next_starts_afresh() {
    let (mut table, leader) = line(&[FIRST, SECOND, THIRD]);
    table.fails(&leader);
    let successor = table.came_to_lead(FIRST);
    table.still_waits(SECOND);
    table.still_waits(THIRD);
    assert_eq!(table.fails(&successor), 2);
    let second = table.goes_alone(SECOND, AloneReason::Failures);
    let third = table.goes_alone(THIRD, AloneReason::Failures);

    let fresh = table.leads(LATE, KEY);
    table.waits(FIRST, KEY);
    assert_eq!(table.fails(&second) + table.fails(&third), 0, "they have no waiters");
    assert_eq!(table.fails(&fresh), 1);
    let successor = table.came_to_lead(FIRST);
    table.completes(&successor, Outcome::Stored);
    assert!(table.is_empty());
}

#[test]
fn a_failure_without_waiters_leaves_no_trace() {
    let (mut table, leader) = line(&[]);
    assert_eq!(table.fails(&leader), 0);
    assert!(table.is_empty());
}

#[test]
fn a_leader_that_asks_for_its_own_key_computes_alone() {
    let (mut table, leader) = line(&[FIRST]);
    let inner = table.is_alone(LEADER, KEY, AloneReason::Reentrant);
    assert_eq!(table.fails(&inner), 0);
    table.still_waits(FIRST);
    assert_eq!(table.completes(&leader, Outcome::Stored), 1);
    table.has_to_look(FIRST, Outcome::Stored);
    assert!(table.is_empty());
}

#[test]
fn a_caller_that_would_close_a_cycle_of_any_length_computes_alone() {
    let callers = [Caller(10), Caller(11), Caller(12), Caller(13)];
    for length in 2..=callers.len() {
        let mut table = Table::new();
        let ring: Vec<_> = callers.into_iter().take(length).zip(20..).collect();
        for (caller, owner) in &ring {
            let _ = table.leads(*caller, key(*owner));
        }
        for (caller, owner) in ring.iter().take(length - 1) {
            table.waits(*caller, key(owner + 1));
        }
        let _ = table.is_alone(callers[length - 1], key(20), AloneReason::Cycle);
    }
}

#[test]
fn a_chain_without_an_end_in_the_caller_is_waited_for() {
    let (mut table, _leader) = line(&[]);
    let _ = table.leads(FIRST, key(8));
    table.waits(FIRST, KEY);
    table.waits(SECOND, key(8));
    table.still_waits(SECOND);
}

#[test]
fn a_caller_with_a_verdict_waits_no_more_even_before_it_wakes() {
    let (mut table, leader) = line(&[]);
    let _ = table.leads(FIRST, key(8));
    table.waits(FIRST, KEY);
    table.completes(&leader, Outcome::Stored);
    table.waits(LEADER, key(8));
    table.has_to_look(FIRST, Outcome::Stored);
}

#[test]
fn one_overdue_waiter_takes_over_and_the_rest_count_anew() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    let successor = table.takes_over(SECOND);
    assert!(leader.is_current());
    table.counts_anew(FIRST);
    table.still_waits(FIRST);

    let second_successor = table.takes_over(FIRST);
    assert_eq!(table.completes(&second_successor, Outcome::Stored), 0);
    assert_eq!(table.fails(&successor) + table.fails(&leader), 0);
    assert!(table.is_empty());
}

#[test]
fn a_former_leader_that_stored_its_value_wakes_every_waiter() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    let successor = table.takes_over(FIRST);
    table.still_waits(SECOND);
    assert_eq!(table.completes(&leader, Outcome::Stored), 1);
    table.has_to_look(SECOND, Outcome::Stored);
    assert!(successor.is_current());

    let next = table.leads(LATE, KEY);
    table.waits(SECOND, KEY);
    assert_eq!(
        table.completes(&successor, Outcome::Stored),
        1,
        "each claim that stores a value wakes the waiters"
    );
    table.has_to_look(SECOND, Outcome::Stored);
    table.fails(&next);
    assert!(table.is_empty());
}

#[test]
fn a_former_leader_without_a_value_wakes_no_waiter() {
    for outcome in [None, Some(Outcome::Unstored), Some(Outcome::Revoked)] {
        let (mut table, leader) = line(&[FIRST, SECOND]);
        let successor = table.takes_over(FIRST);
        table.counts_anew(SECOND);
        assert_eq!(table.end(KEY, &leader, outcome).len(), 0);
        table.still_waits(SECOND);
        assert_eq!(table.completes(&successor, Outcome::Stored), 1);
    }
}

#[test]
fn a_leader_that_handed_its_value_over_leads_no_more_and_can_still_be_revoked() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    assert_eq!(table.detach(KEY, &leader).len(), 2);
    table.has_to_look(FIRST, Outcome::Stored);
    table.has_to_look(SECOND, Outcome::Stored);
    let next = table.leads(LATE, KEY);
    assert_eq!(table.end(KEY, &next, Some(Outcome::Found)).len(), 0);
    assert!(leader.is_current() && !table.is_empty());
    assert_eq!(table.revoke(KEY, None).len(), 0);
    assert!(!leader.is_current() && table.is_empty());
}

#[test]
fn a_value_that_was_computed_alone_wakes_the_waiters_of_the_leader() {
    let (mut table, leader) = line(&[FIRST]);
    let alone = table.is_alone(LEADER, KEY, AloneReason::Reentrant);
    assert_eq!(table.detach(KEY, &alone).len(), 1);
    table.has_to_look(FIRST, Outcome::Stored);
    assert!(leader.is_current() && alone.is_current());
    let revoked = table.register(KEY);
    let _ = table.revoke(KEY, None);
    assert_eq!(table.detach(KEY, &revoked).len(), 0);
}

#[test]
fn a_taken_over_leader_does_not_erase_the_failure_before_it() {
    let (mut table, leader) = line(&[FIRST, SECOND, THIRD]);
    table.fails(&leader);
    let _hung = table.came_to_lead(FIRST);
    table.counts_anew(SECOND);
    let successor = table.takes_over(SECOND);
    table.fails(&successor);
    let _ = table.goes_alone(THIRD, AloneReason::Failures);
}

#[test]
fn a_revoked_leader_loses_its_waiters_and_the_next_caller_leads_at_once() {
    let (mut table, leader) = line(&[FIRST]);
    let reader = table.register(KEY);
    assert_eq!(table.revoke(KEY, None).len(), 1);
    assert!(!leader.is_current() && !reader.is_current());
    table.has_to_look(FIRST, Outcome::Revoked);
    assert!(table.is_empty());

    let next = table.leads(SECOND, KEY);
    table.waits(FIRST, KEY);
    assert_eq!(table.fails(&leader) + table.completes(&leader, Outcome::Stored), 0);
    assert_eq!(table.fails(&reader) + table.completes(&reader, Outcome::Stored), 0);
    table.still_waits(FIRST);
    assert!(next.is_current());
}

#[test]
fn a_leader_that_stores_revokes_all_but_itself() {
    let (mut table, former) = line(&[FIRST, SECOND]);
    let leader = table.takes_over(FIRST);
    let reader = table.register(KEY);
    table.counts_anew(SECOND);
    assert_eq!(table.revoke(KEY, Some(&leader)).len(), 0);
    assert!(leader.is_current() && !reader.is_current() && !former.is_current());
    table.still_waits(SECOND);
    assert_eq!(table.completes(&leader, Outcome::Stored), 1);
}

#[test]
fn an_insert_revokes_the_leader_and_keeps_its_own_claim() {
    let (mut table, leader) = line(&[FIRST]);
    let insert = table.register(KEY);
    assert_eq!(table.revoke(KEY, Some(&insert)).len(), 1);
    assert!(insert.is_current() && !leader.is_current());
    table.has_to_look(FIRST, Outcome::Revoked);
    table.completes(&insert, Outcome::Stored);
    assert!(table.is_empty());
}

#[test]
fn a_successor_revoked_before_it_wakes_looks_again() {
    let (mut table, leader) = line(&[FIRST]);
    table.fails(&leader);
    table.revoke(KEY, None).wake();
    table.has_to_look(FIRST, Outcome::Revoked);
    assert!(table.is_empty());
}

#[test]
fn clearing_an_owner_revokes_its_keys_and_no_other() {
    let (mut table, mine) = line(&[FIRST]);
    let reader = table.register(FlightKey { digest: [9; 32], ..KEY });
    let other = table.register(key(8));
    assert_eq!(table.revoke_owner(KEY.owner).len(), 1);
    assert!(!mine.is_current() && !reader.is_current() && other.is_current());
}

#[test]
fn one_key_in_many_memos_is_many_hashes() {
    use std::{collections::HashSet, hash::BuildHasher};
    let hashes: HashSet<u64> = (0..1_000).map(|owner| BuildKeyHasher::new().hash_one(key(owner))).collect();
    assert_eq!(hashes.len(), 1_000);
}

#[test]
fn a_waiter_that_leaves_the_queue_leaves_no_trace() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    let (_, waker) = table.leave(KEY, FIRST);
    assert!(waker.is_some(), "to be dropped without the lock");
    assert_eq!(table.waiting(&KEY), 1);
    let _ = table.end(KEY, &leader, None);
    let WaitState::Ready(Verdict::Lead(claim)) = table.polls(SECOND) else {
        panic!("the next in the queue leads")
    };
    let _ = table.end(KEY, &claim, Some(Outcome::Stored));
    assert!(table.is_empty());
}

#[test]
fn a_waiter_that_leaves_with_the_lead_hands_over() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    let _ = table.end(KEY, &leader, None);
    table.still_waits(SECOND);
    // The first was made the leader, and never learned it.
    let (wakers, _) = table.leave(KEY, FIRST);
    assert_eq!(wakers.len(), 1);
    let successor = table.came_to_lead(SECOND);
    assert_eq!(table.completes(&successor, Outcome::Stored), 0);
    assert!(table.is_empty());
}

#[test]
fn a_caller_that_leads_nothing_may_wait_anywhere() {
    let (mut table, _leader) = line(&[]);
    assert!(!table.waits_as_leader(&KEY, FIRST), "it leads nothing");
    assert!(!table.waits_as_leader(&KEY, LEADER), "nobody else leads the key");
    table.leads(FIRST, key(8));
    assert!(table.waits_as_leader(&KEY, FIRST));
    assert!(!table.waits_as_leader(&key(9), FIRST), "the key is free");
}

/// The vocabulary of stale values.
impl Table {
    fn claims_or_has_stale(&mut self, caller: Caller) -> Option<Verdict> {
        self.claim(KEY, &Asker::of(caller), true, &mut Some(Waker::noop().clone()))
    }
}

#[test]
fn a_refresh_is_waited_for_only_by_those_that_do_not_accept_the_stale_value() {
    let (mut table, leader) = line(&[FIRST, SECOND]);
    assert_eq!(table.announce_refresh(KEY, &leader).len(), 2);
    table.has_to_look(FIRST, Outcome::Stale);
    table.has_to_look(SECOND, Outcome::Stale);
    assert!(matches!(table.claims_or_has_stale(FIRST), Some(Verdict::Recheck(Outcome::Stale))));
    table.waits(SECOND, KEY);
    assert!(table.claim_free(KEY, THIRD, &Context::default(), None).is_none());
    assert_eq!(table.completes(&leader, Outcome::Stored), 1);
    table.has_to_look(SECOND, Outcome::Stored);
    assert!(table.is_empty());
}

#[test]
fn the_successor_of_a_refresh_has_announced_nothing() {
    let (mut table, leader) = line(&[]);
    let _ = table.announce_refresh(KEY, &leader);
    table.waits(FIRST, KEY);
    assert_eq!(table.fails(&leader), 1);
    let successor = table.came_to_lead(FIRST);
    assert!(table.claims_or_has_stale(SECOND).is_none(), "it waits");
    table.completes(&successor, Outcome::Found);
    table.has_to_look(SECOND, Outcome::Found);
    assert!(table.is_empty());
}

#[test]
fn a_refresh_that_was_revoked_announces_nothing() {
    let (mut table, old) = line(&[]);
    let _ = table.revoke(KEY, None);
    let leader = table.leads(FIRST, KEY);
    table.waits(SECOND, KEY);
    assert_eq!(table.announce_refresh(KEY, &old).len(), 0);
    table.still_waits(SECOND);
    table.completes(&leader, Outcome::Stored);
    table.has_to_look(SECOND, Outcome::Stored);
}

#[test]
fn a_free_key_is_led_and_no_other() {
    let mut table = Table::new();
    let claim = table.claim_free(KEY, FIRST, &Context::default(), None).unwrap();
    assert!(table.claim_free(KEY, SECOND, &Context::default(), None).is_none());
    table.fails(&claim);
    let claim = table.claim_free(KEY, SECOND, &Context::default(), None).unwrap();
    table.completes(&claim, Outcome::Found);
    assert!(table.is_empty());
}

#[test]
fn a_claim_in_a_variable_is_not_waited_for_by_the_thread_that_took_it() {
    let (mut table, claim) = line(&[FIRST]);
    assert_eq!(table.rest(KEY, &claim, THIRD, (Context::default(), LEADER)).len(), 1);
    table.counts_anew(FIRST);
    assert!(table.awaits(FIRST).is_at_rest);
    let alone = table.is_alone(LEADER, KEY, AloneReason::Reentrant);
    // It is computed by another thread.
    let _ = table.run(KEY, &claim, THIRD, None);
    assert!(!table.awaits(FIRST).is_at_rest);
    let inner = table.is_alone_within(&[THIRD], SECOND, KEY, AloneReason::Reentrant);
    for claim in [&alone, &inner, &claim] {
        table.completes(claim, Outcome::Stored);
    }
    table.has_to_look(FIRST, Outcome::Stored);
    assert!(table.is_empty());
}

#[test]
fn a_cycle_through_a_claim_in_a_variable_is_seen_from_both_sides() {
    const OTHER: FlightKey = key(8);
    for is_held_first in [false, true] {
        let (mut table, held) = line(&[]);
        let _ = table.rest(KEY, &held, THIRD, (Context::default(), LEADER));
        let other = table.leads(FIRST, OTHER);
        let alone = if is_held_first {
            table.waits(LEADER, OTHER);
            table.is_alone(FIRST, KEY, AloneReason::Cycle)
        } else {
            table.waits(FIRST, KEY);
            table.is_alone(LEADER, OTHER, AloneReason::Cycle)
        };
        let alone_at = if is_held_first { KEY } else { OTHER };
        let _ = table.end(alone_at, &alone, None);
        let _ = table.end(OTHER, &other, None);
        table.fails(&held);
    }
}

#[test]
fn a_cycle_that_is_there_already_does_not_hold_up_a_look_for_one() {
    const OTHER: FlightKey = key(8);
    let (mut table, held) = line(&[]);
    let other = table.leads(FIRST, OTHER);
    // The claim is with another thread while both wait, and then it comes back to a thread that waits.
    let _ = table.run(KEY, &held, THIRD, None);
    table.waits(FIRST, KEY);
    table.waits(LEADER, OTHER);
    let _ = table.rest(KEY, &held, THIRD, (Context::default(), LEADER));
    table.waits(LATE, KEY);
    table.fails(&held);
    let _ = table.end(OTHER, &other, None);
}

#[test]
fn a_computation_that_waits_for_a_thread_is_taken_over_by_a_caller_that_needs_the_value() {
    let (mut table, queued) = line(&[FIRST]);
    let _ = table.announce_refresh(KEY, &queued);
    table.has_to_look(FIRST, Outcome::Stale);
    assert_eq!(table.queue(KEY, &queued, THIRD).len(), 0);
    assert!(matches!(table.claims_or_has_stale(FIRST), Some(Verdict::Recheck(Outcome::Stale))));
    let successor = table.leads(FIRST, KEY);
    assert!(!table.is_led_by(KEY, &queued) && table.is_led_by(KEY, &successor));
    table.waits(SECOND, KEY);
    // It runs, and finds that it does not lead.
    assert_eq!(table.fails(&queued), 0);
    table.still_waits(SECOND);
    table.completes(&successor, Outcome::Stored);
    table.has_to_look(SECOND, Outcome::Stored);
    assert!(table.is_empty());
}

#[test]
fn a_computation_that_has_a_thread_is_waited_for() {
    let (mut table, queued) = line(&[]);
    let _ = table.queue(KEY, &queued, THIRD);
    let _ = table.run(KEY, &queued, THIRD, None);
    table.waits(FIRST, KEY);
    table.completes(&queued, Outcome::Stored);
    table.has_to_look(FIRST, Outcome::Stored);
}

#[test]
fn a_claim_is_at_rest_when_the_last_one_that_computes_for_it_stops() {
    let (mut table, claim) = line(&[]);
    let _ = table.rest(KEY, &claim, THIRD, (Context::default(), LEADER));
    // Two threads beside each other.
    for _ in 0..2 {
        let _ = table.run(KEY, &claim, THIRD, None);
    }
    table.waits(LATE, KEY);
    let mut alone = vec![table.is_alone_within(&[THIRD], SECOND, KEY, AloneReason::Reentrant)];
    let _ = table.stop(KEY, &claim, None);
    alone.push(table.is_alone_within(&[THIRD], FIRST, KEY, AloneReason::Reentrant));
    assert!(!table.awaits(LATE).is_at_rest);
    let _ = table.stop(KEY, &claim, None);
    assert!(table.awaits(LATE).is_at_rest);
    for claim in alone.iter().chain([&claim]) {
        table.completes(claim, Outcome::Found);
    }
    table.has_to_look(LATE, Outcome::Found);
    assert!(table.is_empty());
}

/// The vocabulary of tasks: each call is a caller of its own, within the computations around it.
impl Table {
    fn claims_within(&mut self, around: &[Caller], caller: Caller, key: FlightKey) -> Option<Verdict> {
        let context = around.iter().fold(Context::default(), |outer, inner| outer.within(*inner));
        let asker = Asker { caller, context, pulse: None };
        self.claim(key, &asker, false, &mut Some(Waker::noop().clone()))
    }

    #[track_caller]
    fn is_alone_within(
        &mut self,
        around: &[Caller],
        caller: Caller,
        key: FlightKey,
        why: AloneReason,
    ) -> ClaimState {
        match self.claims_within(around, caller, key) {
            Some(Verdict::Alone(claim, reason)) if reason == why => claim,
            _ => panic!("{caller:?} is not alone for {why:?}"),
        }
    }

    #[track_caller]
    fn waits_within(&mut self, around: &[Caller], caller: Caller, key: FlightKey) {
        assert!(self.claims_within(around, caller, key).is_none(), "{caller:?} does not wait");
    }
}

#[test]
fn one_computation_waits_for_many_keys_and_each_of_them_may_close_a_cycle() {
    for is_last in [false, true] {
        let mut table = Table::new();
        let [first, second, own] = [key(20), key(21), key(22)];
        let _ = (table.leads(FIRST, first), table.leads(SECOND, second), table.leads(THIRD, own));
        // The third computation joins two calls.
        table.waits_within(&[THIRD], Caller(30), first);
        table.waits_within(&[THIRD], Caller(31), second);
        let (asker, wait) = if is_last { (SECOND, Caller(32)) } else { (FIRST, Caller(32)) };
        let _ = table.is_alone_within(&[asker], wait, own, AloneReason::Cycle);
    }
}

#[test]
fn a_cycle_is_seen_through_computations_that_are_nested() {
    let mut table = Table::new();
    let [outer, inner, other] = [key(20), key(21), key(22)];
    let _ = (table.leads(FIRST, outer), table.leads(SECOND, inner), table.leads(THIRD, other));
    // The second computation is a part of the first one, and waits for the third one.
    table.waits_within(&[FIRST, SECOND], Caller(30), other);
    let _ = table.is_alone_within(&[THIRD], Caller(31), outer, AloneReason::Cycle);
    let _ = table.is_alone_within(&[THIRD], Caller(32), inner, AloneReason::Cycle);
    let _ = table.is_alone_within(&[FIRST, SECOND], Caller(33), outer, AloneReason::Reentrant);
}

#[test]
fn two_calls_of_one_computation_wait_for_each_other_without_a_cycle() {
    let mut table = Table::new();
    let [first, second] = [key(20), key(21)];
    let _ = (table.leads(FIRST, first), table.leads(SECOND, second));
    // Both are parts of the third computation. The first one needs the value of the second one.
    table.waits_within(&[THIRD, FIRST], Caller(30), second);
    let _ = table.is_alone_within(&[THIRD, SECOND], Caller(31), first, AloneReason::Cycle);
}

#[test]
fn the_wait_of_a_task_holds_up_no_other_task_of_its_thread() {
    explore(|| {
        let (mut table, _leader) = line(&[]);
        let pulse = Arc::new(Pulse::new(Duration::MAX));
        let thread = pulse.polled_by();
        let task = Asker { caller: FIRST, context: Context::default(), pulse: Some(pulse) };
        assert!(matches!(table.claim(key(8), &task, false, &mut None), Some(Verdict::Lead(_))));
        // Another task waits for this one. A blocking call of their thread would wait for ever.
        table.waits(SECOND, key(8));
        let _ = table.is_alone(thread, key(8), AloneReason::Reentrant);
        // The thread itself waits, and with it the task: a computation that the thread waits for may not wait for the task.
        table.waits(thread, KEY);
        let _ = table.is_alone(LEADER, key(8), AloneReason::Cycle);
    });
}

#[test]
fn a_task_that_is_woken_and_not_polled_hands_over() {
    explore(|| {
        let mut table = Table::new();
        let pulse = Arc::new(Pulse::new(Duration::ZERO));
        let task = Asker { caller: LEADER, context: Context::default(), pulse: Some(Arc::clone(&pulse)) };
        let Some(Verdict::Lead(stalled)) = table.claim(KEY, &task, false, &mut None) else {
            panic!("it is free")
        };
        table.waits(FIRST, KEY);
        table.waits(SECOND, KEY);
        assert!(table.awaits(FIRST).interval.is_some());
        assert!(
            table.look_after(SECOND, table.ticket_of(SECOND), |_| false).0,
            "the task waits for its own input"
        );
        pulse.woken();
        let (waits_on, wakers) = table.look_after(SECOND, table.ticket_of(SECOND), |_| false);
        assert_eq!((waits_on, wakers.len()), (false, 2), "the successor, and the one that counts anew");
        let successor = table.came_to_lead(SECOND);
        table.still_waits(FIRST);
        assert!(stalled.is_current());
        assert_eq!(table.completes(&successor, Outcome::Stored), 1);
        assert_eq!(table.completes(&stalled, Outcome::Stored), 0);
    });
}

#[test]
fn a_task_that_is_called_to_lead_and_is_not_polled_hands_over() {
    explore(|| {
        let (mut table, leader) = line(&[]);
        let pulse = Arc::new(Pulse::new(Duration::ZERO));
        let task = Asker { caller: FIRST, context: Context::default(), pulse: Some(pulse) };
        assert!(table.claim(KEY, &task, false, &mut Some(Waker::noop().clone())).is_none());
        table.waits(SECOND, KEY);
        table.fails(&leader);
        let _ = table.came_to_lead(SECOND);
    });
}

#[test]
fn a_waiter_among_many_leaves_without_a_trace() {
    let waiters: Vec<Caller> = (10..1_010).map(Caller).collect();
    let (mut table, leader) = line(&waiters);
    for waiter in waiters.iter().filter(|waiter| waiter.number() % 3 != 0) {
        let _ = table.leave(KEY, *waiter);
    }
    assert_eq!(table.waiting(&KEY), 333);
    table.fails(&leader);
    let successor = table.came_to_lead(Caller(12));
    assert_eq!(table.completes(&successor, Outcome::Stored), 0, "they were woken, and not polled since");
    for waiter in waiters.iter().filter(|waiter| waiter.number() % 3 == 0).skip(1) {
        table.has_to_look(*waiter, Outcome::Stored);
    }
    assert!(table.is_empty());
}

#[test]
fn callers_that_were_dropped_do_not_count_as_failures() {
    let (mut table, mut leader) = line(&[FIRST, SECOND, THIRD, LATE]);
    for successor in [FIRST, SECOND, THIRD] {
        let _ = table.end(KEY, &leader, Some(Outcome::Abandoned));
        leader = table.came_to_lead(successor);
    }
    table.completes(&leader, Outcome::Stored);
    table.has_to_look(LATE, Outcome::Stored);
    assert!(table.is_empty());
}

#[test]
fn a_look_after_one_wait_does_not_look_after_the_next_one() {
    let (mut table, leader) = line(&[FIRST]);
    let ticket = table.ticket_of(FIRST);
    table.completes(&leader, Outcome::Revoked);
    table.has_to_look(FIRST, Outcome::Revoked);
    let next = table.leads(SECOND, KEY);
    table.waits(FIRST, KEY);
    assert_eq!((table.look_after(FIRST, ticket, |_| true).0, table.waiting(&KEY)), (false, 1));
    table.completes(&next, Outcome::Stored);
    assert!(!table.look_after(FIRST, None, |_| true).0);
}

fn task(caller: Caller, around: &[Caller], max_stall: Duration) -> Asker {
    let context = around.iter().fold(Context::default(), |outer, inner| outer.within(*inner));
    Asker { caller, context, pulse: Some(Arc::new(Pulse::new(max_stall))) }
}

#[test]
fn tasks_that_their_thread_waits_for_in_a_computation_wait_for_each_other() {
    explore(|| {
        let mut table = Table::new();
        let thread = Caller::of_thread();
        // Both run in an executor that a computation of this thread runs.
        let [first, second] = [FIRST, SECOND].map(|caller| task(caller, &[thread], Duration::MAX));
        let Some(Verdict::Lead(claim)) = table.claim(KEY, &first, false, &mut None) else {
            panic!("it is free")
        };
        assert!(table.claim(KEY, &second, false, &mut None).is_none(), "it waits");
        let _ = table.is_alone(thread, KEY, AloneReason::Reentrant);
        table.completes(&claim, Outcome::Stored);
        table.has_to_look(SECOND, Outcome::Stored);
    });
}

#[test]
fn the_thread_that_polls_for_a_claim_is_known_beside_the_one_that_took_it() {
    explore(|| {
        let (mut table, claim) = line(&[]);
        let _ = table.rest(KEY, &claim, THIRD, (Context::default(), FIRST));
        let pulse = Arc::new(Pulse::new(Duration::MAX));
        let _ = table.run(KEY, &claim, THIRD, Some(Arc::clone(&pulse)));
        let _ = table.is_alone(FIRST, KEY, AloneReason::Reentrant);
        let _ = table.is_alone(pulse.polled_by(), KEY, AloneReason::Reentrant);
        table.waits(SECOND, KEY);
        let _ = table.stop(KEY, &claim, Some(&pulse));
        assert!(table.awaits(SECOND).is_at_rest);
    });
}

#[test]
fn a_claim_is_stalled_if_none_of_those_goes_on_that_compute_for_it() {
    explore(|| {
        let (mut table, claim) = line(&[]);
        let _ = table.rest(KEY, &claim, THIRD, (Context::default(), LEADER));
        let [first, second] = [(); 2].map(|()| Arc::new(Pulse::new(Duration::ZERO)));
        for pulse in [&first, &second] {
            let _ = table.run(KEY, &claim, THIRD, Some(Arc::clone(pulse)));
        }
        table.waits(FIRST, KEY);
        first.woken();
        table.still_waits(FIRST);
        let _ = table.stop(KEY, &claim, Some(&first));
        table.still_waits(FIRST);
        second.woken();
        // A thread computes for it, too.
        let _ = table.run(KEY, &claim, THIRD, None);
        table.still_waits(FIRST);
        let _ = table.stop(KEY, &claim, None);
        let _ = table.came_to_lead(FIRST);
    });
}
