//! The policy of a flight: leaders, waiters, failures. It has no locks, no threads and no time.
//!
//! A step that ends waits returns [`Wakers`], which the caller wakes after it unlocks the table. The verdict of each
//! waiter is in the table before that, and its claim is registered, so a revocation in between reaches it.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    mem,
    sync::Arc,
    task::Waker,
};

use super::{
    graph::{Ticket, WaitState, Waits, Wakers},
    key::{BuildKeyHasher, FlightKey},
    leader::{Asker, Awaited, Leader},
    pulse::Pulse,
    verdict::{AloneReason, ClaimState, Outcome, Verdict},
};
use crate::context::{Caller, Context};

#[cfg(test)]
mod tests;

/// After this many failed leaders in a row the waiters compute in parallel.
const MAX_FAILURES: u32 = 2;

/// All claims of one key.
#[derive(Default)]
struct Claims {
    /// Computes for the waiters. Without a leader there are no waiters.
    leader: Option<Box<Leader>>,
    /// Claims that do not lead: readers, callers that compute alone, detached leaders, leaders that timed out.
    others: Vec<ClaimState>,
}

impl Claims {
    fn register(&mut self) -> ClaimState {
        let claim = ClaimState::new();
        self.others.push(claim.clone());
        claim
    }

    fn is_led_by(&self, claim: &ClaimState) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.claim == *claim)
    }

    /// Returns whether the claim was registered here.
    fn remove(&mut self, claim: &ClaimState) -> bool {
        let place = self.others.iter().position(|other| other == claim);
        place.map(|place| self.others.swap_remove(place)).is_some()
    }

    fn is_empty(&self) -> bool {
        self.leader.is_none() && self.others.is_empty()
    }
}

pub(super) struct Table {
    /// No key is here without a claim.
    claims: HashMap<FlightKey, Claims, BuildKeyHasher>,
    /// Has no cycle: a caller that would close a cycle is never queued, and a new leader leaves its queue first.
    waits: Waits,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self { claims: HashMap::with_hasher(BuildKeyHasher::new()), waits: Waits::new() }
    }

    /// Returns a verdict, or queues the caller with the waker and returns `None`. A caller that `accepts_stale` does not wait for a
    /// refresh.
    pub(super) fn claim(
        &mut self,
        key: FlightKey,
        asker: &Asker,
        accepts_stale: bool,
        waker: &mut Option<Waker>,
    ) -> Option<Verdict> {
        if let Some(claim) = self.claim_free(key, asker.caller, &asker.context, asker.pulse.as_ref()) {
            return Some(Verdict::Lead(claim));
        }
        let leader = self.claims.get(&key)?.leader.as_ref()?;
        let (is_refreshing, is_queued) = (leader.is_refreshing, leader.is_queued);
        if let Some(reason) = self.would_deadlock(key, asker) {
            return Some(Verdict::Alone(self.register(key), reason));
        }
        if is_refreshing && accepts_stale {
            return Some(Verdict::Recheck(Outcome::Stale));
        }
        if is_queued {
            return self.take_queued(key, asker).map(Verdict::Lead);
        }
        self.enqueue(key, asker, waker.take());
        None
    }

    /// Leads, unless another caller does.
    pub(super) fn claim_free(
        &mut self,
        key: FlightKey,
        caller: Caller,
        context: &Context,
        pulse: Option<&Arc<Pulse>>,
    ) -> Option<ClaimState> {
        let claims = self.claims.entry(key).or_default();
        if claims.leader.is_some() {
            return None;
        }
        let leader = Box::new(Leader::new(caller, context.clone(), pulse.cloned()));
        Some(claims.leader.insert(leader).claim.clone())
    }

    /// Leads in place of a computation that waits for a thread. The claim of that one does not lead any more.
    fn take_queued(&mut self, key: FlightKey, asker: &Asker) -> Option<ClaimState> {
        let Claims { leader, others } = self.claims.get_mut(&key)?;
        let leader = leader.as_mut()?;
        others.push(leader.hand_to(asker.caller, asker.context.clone(), asker.pulse.clone()));
        Some(leader.claim.clone())
    }

    /// The computation of a leader is to wait for a thread. Its waiters claim again.
    pub(super) fn queue(&mut self, key: FlightKey, claim: &ClaimState, caller: Caller) -> Wakers {
        self.update(key, |claims, waits| {
            let leader = claims.leader.as_mut().filter(|leader| leader.claim == *claim);
            let Some(leader) = leader else { return Wakers::default() };
            leader.caller = caller;
            leader.is_queued = true;
            waits.make_all_ready(mem::take(&mut leader.waiters), || Verdict::Recheck(Outcome::Stale))
        })
    }

    pub(super) fn is_led_by(&self, key: FlightKey, claim: &ClaimState) -> bool {
        self.claims.get(&key).is_some_and(|claims| claims.is_led_by(claim))
    }

    /// A stale value was found beside the claim. Waiters look again, and have it.
    pub(super) fn announce_refresh(&mut self, key: FlightKey, claim: &ClaimState) -> Wakers {
        self.update(key, |claims, waits| {
            let leader = claims.leader.as_mut().filter(|leader| leader.claim == *claim);
            let Some(leader) = leader else { return Wakers::default() };
            leader.is_refreshing = true;
            waits.make_all_ready(mem::take(&mut leader.waiters), || Verdict::Recheck(Outcome::Stale))
        })
    }

    /// The claim lies in a variable from here on, taken by a thread. It is a caller that waits for nothing.
    pub(super) fn rest(
        &mut self,
        key: FlightKey,
        claim: &ClaimState,
        caller: Caller,
        (context, taker): (Context, Caller),
    ) -> Wakers {
        self.pass(key, claim, |leader| {
            (leader.context, leader.taker, leader.pulses) = (context, Some(taker), Vec::new());
            (leader.caller, leader.is_at_rest) = (caller, true);
        })
    }

    /// A thread computes for the claim from here on, or a task that has a pulse.
    pub(super) fn run(
        &mut self,
        key: FlightKey,
        claim: &ClaimState,
        caller: Caller,
        pulse: Option<Arc<Pulse>>,
    ) -> Wakers {
        self.pass(key, claim, |leader| {
            leader.runs += 1;
            leader.pulses.extend(pulse);
            (leader.caller, leader.is_at_rest, leader.is_queued) = (caller, false, false);
        })
    }

    /// It computes no more.
    pub(super) fn stop(&mut self, key: FlightKey, claim: &ClaimState, pulse: Option<&Arc<Pulse>>) -> Wakers {
        self.pass(key, claim, |leader| {
            leader.runs = leader.runs.saturating_sub(1);
            leader.is_at_rest = leader.runs == 0;
            leader.pulses.retain(|other| pulse.is_none_or(|pulse| !Arc::ptr_eq(pulse, other)));
        })
    }

    /// The claim comes into other hands. The waits for it begin anew.
    fn pass(&mut self, key: FlightKey, claim: &ClaimState, to: impl FnOnce(&mut Leader)) -> Wakers {
        self.update(key, |claims, waits| {
            let leader = claims.leader.as_mut().filter(|leader| leader.claim == *claim);
            let Some(leader) = leader else { return Wakers::default() };
            to(leader);
            waits.announce_leader(&leader.waiters)
        })
    }

    /// What a queued caller waits for.
    fn awaited(&self, caller: Caller) -> Awaited {
        let leader = self.leader_for(caller);
        Awaited {
            changes: self.waits.changes(caller),
            is_at_rest: leader.is_some_and(|leader| leader.is_at_rest),
            interval: leader.and_then(|leader| leader.pulses.iter().map(|pulse| pulse.interval()).min()),
        }
    }

    /// The leader that a queued caller waits for.
    fn leader_for(&self, waiter: Caller) -> Option<&Leader> {
        self.claims.get(self.waits.key_of(waiter)?)?.leader.as_deref()
    }

    pub(super) fn register(&mut self, key: FlightKey) -> ClaimState {
        self.claims.entry(key).or_default().register()
    }

    /// Returns why the caller must not wait for the leader of a key. A computation is held up by each wait within it, and by a
    /// wait of the thread that it needs. That thread may wait already when a claim comes to it, so the graph may have a cycle
    /// then, and the search passes each key once.
    fn would_deadlock(&self, key: FlightKey, asker: &Asker) -> Option<AloneReason> {
        let is_own = |leader: &Leader| {
            leader.threads().any(|thread| thread == asker.caller)
                || asker.callers().any(|caller| leader.caller == caller || leader.needs(caller))
        };
        let first = self.claims.get(&key)?.leader.as_ref()?;
        if is_own(first) {
            return Some(AloneReason::Reentrant);
        }
        let mut next: Vec<FlightKey> = self.awaited_by(first).copied().collect();
        let mut seen = HashSet::with_hasher(BuildKeyHasher::new());
        while let Some(key) = next.pop() {
            let leader = self.claims.get(&key).and_then(|claims| claims.leader.as_ref());
            let Some(leader) = leader.filter(|_| seen.insert(key)) else { continue };
            if is_own(leader) {
                return Some(AloneReason::Cycle);
            }
            next.extend(self.awaited_by(leader));
        }
        None
    }

    /// The keys that a computation waits for.
    fn awaited_by(&self, leader: &Leader) -> impl Iterator<Item = &FlightKey> {
        let own = [leader.caller].into_iter().chain(leader.threads());
        own.filter_map(|caller| self.waits.key_of(caller)).chain(self.waits.keys_within(leader.caller))
    }

    fn enqueue(&mut self, key: FlightKey, asker: &Asker, waker: Option<Waker>) {
        let Asker { caller, context, pulse } = asker;
        if let Some(leader) = self.claims.get_mut(&key).and_then(|claims| claims.leader.as_mut()) {
            let ticket = self.waits.enqueue(*caller, context.clone(), key, waker, pulse.clone());
            leader.waiters.insert(ticket, *caller);
        }
    }

    /// The state of a queued caller. One that `is_overdue`, or that waits for a task that is stalled, becomes the leader. The
    /// waker takes the place of the earlier one, which is offered to be dropped.
    pub(super) fn poll(
        &mut self,
        caller: Caller,
        waker: &mut Option<Waker>,
        is_overdue: impl FnOnce(&Awaited) -> bool,
    ) -> (WaitState, Wakers) {
        let state = self.waits.poll(caller, waker);
        if matches!(state, WaitState::Pending) && self.is_to_lead(caller, is_overdue) {
            let (verdict, wakers, own) = self.take_over(caller);
            *waker = own;
            return (WaitState::Ready(verdict), wakers);
        }
        (state, Wakers::default())
    }

    /// Whether a queued caller takes over the lead: it has waited too long, or waits for a task that was woken and is not polled.
    fn is_to_lead(&self, caller: Caller, is_overdue: impl FnOnce(&Awaited) -> bool) -> bool {
        is_overdue(&self.awaited(caller)) || self.leader_for(caller).is_some_and(Leader::is_stalled)
    }

    /// The wait of a caller: no other wait has this number.
    pub(super) fn ticket_of(&self, caller: Caller) -> Option<Ticket> {
        self.waits.ticket_of(caller)
    }

    /// Looks after a wait of a task, which does not look itself: if it is to lead, it is woken. Returns whether it waits on.
    pub(super) fn look_after(
        &mut self,
        caller: Caller,
        ticket: Option<Ticket>,
        is_overdue: impl FnOnce(&Awaited) -> bool,
    ) -> (bool, Wakers) {
        if ticket.is_none() || self.waits.ticket_of(caller) != ticket {
            return (false, Wakers::default());
        }
        if !self.is_to_lead(caller, is_overdue) {
            return (true, Wakers::default());
        }
        let (_, pulse) = self.waits.task_of(caller);
        let (verdict, wakers, own) = self.take_over(caller);
        if let Some(pulse) = pulse {
            pulse.woken();
        }
        let _ = self.waits.make_ready(caller, verdict);
        (false, wakers.and(Wakers::of(own)))
    }

    /// A queued caller, or one whose verdict was not taken yet, waits no more. Its waker is offered to be dropped.
    pub(super) fn leave(&mut self, key: FlightKey, caller: Caller) -> (Wakers, Option<Waker>) {
        if let Some((key, ticket, waker)) = self.waits.dequeue(caller) {
            if let Some(leader) = self.claims.get_mut(&key).and_then(|claims| claims.leader.as_mut()) {
                leader.waiters.remove(&ticket);
            }
            return (Wakers::default(), waker);
        }
        let wakers = match self.waits.poll(caller, &mut None) {
            WaitState::Ready(Verdict::Lead(claim) | Verdict::TakeOver(claim) | Verdict::Alone(claim, _)) => {
                self.end(key, &claim, Some(Outcome::Abandoned))
            }
            _ => Wakers::default(),
        };
        (wakers, None)
    }

    /// Walks the whole table, which holds only the calls in progress.
    pub(super) fn waits_as_leader(&self, key: &FlightKey, caller: Caller) -> bool {
        let is_its = |leader: &Leader| leader.caller == caller || leader.taker == Some(caller);
        let leads = |claims: &Claims| claims.leader.as_deref().map(is_its);
        self.claims.get(key).and_then(leads) == Some(false)
            && self.claims.values().any(|claims| leads(claims) == Some(true))
    }

    /// The former leader may still publish. The first of the two that publishes ends all waits. Returns the waker of the successor
    /// too.
    fn take_over(&mut self, successor: Caller) -> (Verdict, Wakers, Option<Waker>) {
        let (context, pulse) = self.waits.task_of(successor);
        let Some((key, ticket, waker)) = self.waits.dequeue(successor) else {
            return (Verdict::Recheck(Outcome::Revoked), Wakers::default(), None);
        };
        let Some(Claims { leader: Some(leader), others }) = self.claims.get_mut(&key) else {
            return (Verdict::Recheck(Outcome::Revoked), Wakers::default(), waker);
        };
        leader.waiters.remove(&ticket);
        others.push(leader.hand_to(successor, context, pulse));
        let verdict = Verdict::TakeOver(leader.claim.clone());
        (verdict, self.waits.announce_leader(&leader.waiters), waker)
    }

    /// Removes a claim. Without an outcome it failed. A revoked claim is no longer registered, and changes nothing.
    pub(super) fn end(&mut self, key: FlightKey, claim: &ClaimState, outcome: Option<Outcome>) -> Wakers {
        self.update(key, |claims, waits| match outcome {
            _ if !claims.is_led_by(claim) => end_non_leading(claims, waits, claim, outcome),
            Some(Outcome::Abandoned) => hand_off(claims, waits, false),
            Some(outcome) => finish(claims, waits, outcome),
            None => hand_off(claims, waits, true),
        })
    }

    /// Ends the waits for a leader whose value can be found now. Its claim stays registered, without leading.
    pub(super) fn detach(&mut self, key: FlightKey, claim: &ClaimState) -> Wakers {
        self.update(key, |claims, waits| {
            let Some(leader) = claims.leader.take_if(|_| claim.is_current()) else {
                return Wakers::default();
            };
            claims.others.push(leader.claim);
            waits.make_all_ready(leader.waiters, || Verdict::Recheck(Outcome::Stored))
        })
    }

    /// Ends every claim on the key except one.
    pub(super) fn revoke(&mut self, key: FlightKey, but: Option<&ClaimState>) -> Wakers {
        self.update(key, |claims, waits| {
            let spared = |claim: &ClaimState| Some(claim) == but;
            claims.others.iter().filter(|claim| !spared(claim)).for_each(ClaimState::revoke);
            claims.others.retain(spared);
            let Some(leader) = claims.leader.take_if(|leader| !spared(&leader.claim)) else {
                return Wakers::default();
            };
            leader.claim.revoke();
            waits.make_all_ready(leader.waiters, || Verdict::Recheck(Outcome::Revoked))
        })
    }

    /// Walks the whole table, which holds only the calls in progress.
    pub(super) fn revoke_owner(&mut self, owner: u64) -> Wakers {
        let keys: Vec<FlightKey> = self.claims.keys().filter(|key| key.owner == owner).copied().collect();
        keys.into_iter().fold(Wakers::default(), |wakers, key| wakers.and(self.revoke(key, None)))
    }

    /// Every step that may remove a claim runs here, so that a key without claims is removed.
    fn update(&mut self, key: FlightKey, step: impl FnOnce(&mut Claims, &mut Waits) -> Wakers) -> Wakers {
        let Entry::Occupied(mut entry) = self.claims.entry(key) else { return Wakers::default() };
        let wakers = step(entry.get_mut(), &mut self.waits);
        if entry.get().is_empty() {
            entry.remove();
        }
        wakers
    }

    #[cfg(test)]
    pub(super) fn waiting(&self, key: &FlightKey) -> usize {
        self.claims
            .get(key)
            .and_then(|claims| claims.leader.as_ref())
            .map_or(0, |leader| leader.waiters.len())
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.waits.is_empty()
    }
}

/// The leader failed, or was dropped: the first waiter leads, after up to [`MAX_FAILURES`] failures in a row.
fn hand_off(claims: &mut Claims, waits: &mut Waits, has_failed: bool) -> Wakers {
    let Some(mut leader) = claims.leader.take() else { return Wakers::default() };
    leader.failures += u32::from(has_failed);
    if leader.failures == MAX_FAILURES {
        return waits
            .make_all_ready(leader.waiters, || Verdict::Alone(claims.register(), AloneReason::Failures));
    }
    let Some((_, successor)) = leader.waiters.pop_first() else { return Wakers::default() };
    let (context, pulse) = waits.task_of(successor);
    if let Some(pulse) = &pulse {
        pulse.woken();
    }
    leader.hand_to(successor, context, pulse);
    let promoted = waits.make_ready(successor, Verdict::Lead(leader.claim.clone()));
    let rest = waits.announce_leader(&leader.waiters);
    claims.leader = Some(leader);
    promoted.and(rest)
}

/// The leader finished with an outcome.
fn finish(claims: &mut Claims, waits: &mut Waits, outcome: Outcome) -> Wakers {
    let waiters = claims.leader.take().map(|leader| leader.waiters).unwrap_or_default();
    waits.make_all_ready(waiters, || match outcome {
        Outcome::Unstored => Verdict::Alone(claims.register(), AloneReason::Unstored),
        outcome => Verdict::Recheck(outcome),
    })
}

/// Removes a claim that does not lead. If it stored a value, the waiters of the leader recheck, and the leader goes on
/// as an ordinary claim.
fn end_non_leading(
    claims: &mut Claims,
    waits: &mut Waits,
    claim: &ClaimState,
    outcome: Option<Outcome>,
) -> Wakers {
    if !claims.remove(claim) {
        return Wakers::default();
    }
    let Some(outcome @ (Outcome::Found | Outcome::Stored)) = outcome else { return Wakers::default() };
    let Some(leader) = claims.leader.take() else { return Wakers::default() };
    claims.others.push(leader.claim);
    waits.make_all_ready(leader.waiters, || Verdict::Recheck(outcome))
}
