//! The policy of a flight: leaders, waiters, failures. It has no locks, no threads and no time.
//!
//! A step that ends waits returns [`Wakers`], which the caller wakes after it unlocks the table. The verdict of each
//! waiter is in the table before that, and its claim is registered, so a revocation in between reaches it.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    iter, mem,
    task::Waker,
};

use super::{
    graph::{Caller, WaitState, Waits, Wakers},
    key::{BuildKeyHasher, FlightKey},
    verdict::{AloneReason, ClaimState, Outcome, Verdict},
};

#[cfg(test)]
mod tests;

/// After this many failed leaders in a row the waiters compute in parallel.
const MAX_FAILURES: u32 = 2;

/// All claims of one key.
#[derive(Default)]
struct Claims {
    /// Computes for the waiters. Without a leader there are no waiters.
    leader: Option<Leader>,
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

struct Leader {
    claim: ClaimState,
    /// The one that computes. A claim that lies in a variable is its own caller, which waits for nothing.
    caller: Caller,
    /// Those that compute for a claim in a variable at this moment, the latest at the end. It is `caller` then.
    runners: Vec<Caller>,
    /// The thread that took a claim into a variable: its own calls do not wait for it. `None` for a call with a closure.
    taker: Option<Caller>,
    /// Whether the claim lies in a variable now: nothing tells whether its holder goes on.
    is_at_rest: bool,
    /// Whether the computation waits for a thread. A caller with no stale value to have takes it over.
    is_queued: bool,
    /// Whether a stale value is there that callers may have meanwhile.
    is_refreshing: bool,
    /// Number of leaders in a row that failed before this one. Less than [`MAX_FAILURES`].
    failures: u32,
    /// In order of arrival; each waits for this key in [`Waits`].
    waiters: VecDeque<Caller>,
}

impl Leader {
    fn new(caller: Caller) -> Self {
        Self {
            claim: ClaimState::new(),
            caller,
            runners: Vec::new(),
            taker: None,
            is_at_rest: false,
            is_queued: false,
            is_refreshing: false,
            failures: 0,
            waiters: VecDeque::new(),
        }
    }

    /// Whether the caller computes, or has the claim in a variable.
    fn is(&self, caller: Caller) -> bool {
        self.caller == caller || self.taker == Some(caller) || self.runners.contains(&caller)
    }

    /// Returns the claim of the former leader.
    fn hand_to(&mut self, successor: Caller) -> ClaimState {
        self.caller = successor;
        self.runners.clear();
        self.taker = None;
        self.is_at_rest = false;
        self.is_queued = false;
        self.is_refreshing = false;
        self.waiters.retain(|waiter| *waiter != successor);
        mem::replace(&mut self.claim, ClaimState::new())
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

    /// Returns a verdict, or queues the caller and returns `None`. A caller that `accepts_stale` does not wait for a refresh.
    pub(super) fn claim(
        &mut self,
        key: FlightKey,
        caller: Caller,
        accepts_stale: bool,
        waker: impl FnOnce() -> Waker,
    ) -> Option<Verdict> {
        if let Some(claim) = self.claim_free(key, caller) {
            return Some(Verdict::Lead(claim));
        }
        let leader = self.claims.get(&key)?.leader.as_ref()?;
        let (is_refreshing, is_queued) = (leader.is_refreshing, leader.is_queued);
        if let Some(reason) = self.would_deadlock(caller, leader) {
            return Some(Verdict::Alone(self.register(key), reason));
        }
        if is_refreshing && accepts_stale {
            return Some(Verdict::Recheck(Outcome::Stale));
        }
        if is_queued {
            return self.take_queued(key, caller).map(Verdict::Lead);
        }
        self.enqueue(key, caller, waker());
        None
    }

    /// Leads, unless another caller does.
    pub(super) fn claim_free(&mut self, key: FlightKey, caller: Caller) -> Option<ClaimState> {
        let claims = self.claims.entry(key).or_default();
        if claims.leader.is_some() {
            return None;
        }
        Some(claims.leader.insert(Leader::new(caller)).claim.clone())
    }

    /// Leads in place of a computation that waits for a thread. The claim of that one does not lead any more.
    fn take_queued(&mut self, key: FlightKey, caller: Caller) -> Option<ClaimState> {
        let Claims { leader, others } = self.claims.get_mut(&key)?;
        let leader = leader.as_mut()?;
        others.push(leader.hand_to(caller));
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
        taker: Caller,
    ) -> Wakers {
        self.pass(key, claim, |leader| {
            leader.taker = Some(taker);
            (leader.caller, leader.is_at_rest) = (caller, true);
        })
    }

    /// The caller computes for the claim from here on. It waits for nothing at this moment.
    pub(super) fn run(&mut self, key: FlightKey, claim: &ClaimState, caller: Caller) -> Wakers {
        self.pass(key, claim, |leader| {
            leader.runners.push(caller);
            (leader.caller, leader.is_at_rest, leader.is_queued) = (caller, false, false);
        })
    }

    /// The caller computes no more. If no other one does, the claim is a caller of its own again.
    pub(super) fn stop(&mut self, key: FlightKey, claim: &ClaimState, caller: Caller, own: Caller) -> Wakers {
        self.pass(key, claim, |leader| {
            if let Some(place) = leader.runners.iter().rposition(|runner| *runner == caller) {
                leader.runners.remove(place);
            }
            let runner = leader.runners.last().copied();
            (leader.caller, leader.is_at_rest) = (runner.unwrap_or(own), runner.is_none());
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

    /// Whether a queued caller waits for a claim that lies in a variable.
    pub(super) fn waits_for_rest(&self, caller: Caller) -> bool {
        let claims = self.waits.key_of(caller).and_then(|key| self.claims.get(key));
        claims.and_then(|claims| claims.leader.as_ref()).is_some_and(|leader| leader.is_at_rest)
    }

    pub(super) fn register(&mut self, key: FlightKey) -> ClaimState {
        self.claims.entry(key).or_default().register()
    }

    /// Returns why the caller must not wait for this leader. A claim in a variable counts as held up while the thread that took
    /// it waits. That thread may wait already when the claim comes back to it, so the graph may have a cycle then, and the walk
    /// ends after as many steps as there are waits.
    fn would_deadlock(&self, caller: Caller, leader: &Leader) -> Option<AloneReason> {
        if leader.is(caller) {
            return Some(AloneReason::Reentrant);
        }
        let mut awaited = iter::successors(self.awaited_by(leader), |leader| self.awaited_by(leader));
        awaited.by_ref().take(self.waits.len()).any(|leader| leader.is(caller)).then_some(AloneReason::Cycle)
    }

    fn awaited_by(&self, leader: &Leader) -> Option<&Leader> {
        let taker = leader.taker.and_then(|taker| self.waits.key_of(taker));
        let claims = self.claims.get(self.waits.key_of(leader.caller).or(taker)?)?;
        claims.leader.as_ref()
    }

    fn enqueue(&mut self, key: FlightKey, caller: Caller, waker: Waker) {
        if let Some(leader) = self.claims.get_mut(&key).and_then(|claims| claims.leader.as_mut()) {
            leader.waiters.push_back(caller);
            self.waits.enqueue(caller, key, waker);
        }
    }

    /// The state of a queued caller. A caller that `is_overdue` becomes the leader.
    pub(super) fn poll(&mut self, caller: Caller, is_overdue: bool) -> (WaitState, Wakers) {
        match self.waits.poll(caller) {
            WaitState::Pending if is_overdue => {
                let (verdict, wakers) = self.take_over(caller);
                (WaitState::Ready(verdict), wakers)
            }
            state => (state, Wakers::default()),
        }
    }

    /// A queued caller, or one whose verdict was not taken yet, waits no more.
    pub(super) fn leave(&mut self, key: FlightKey, caller: Caller) -> Wakers {
        if self.waits.key_of(caller).is_some() {
            self.waits.dequeue(caller);
            if let Some(leader) = self.claims.get_mut(&key).and_then(|claims| claims.leader.as_mut()) {
                leader.waiters.retain(|waiter| *waiter != caller);
            }
            return Wakers::default();
        }
        match self.waits.poll(caller) {
            WaitState::Ready(Verdict::Lead(claim) | Verdict::Alone(claim, _)) => self.end(key, &claim, None),
            _ => Wakers::default(),
        }
    }

    /// Walks the whole table, which holds only the calls in progress.
    pub(super) fn waits_as_leader(&self, key: &FlightKey, caller: Caller) -> bool {
        let leads = |claims: &Claims| claims.leader.as_ref().map(|leader| leader.is(caller));
        self.claims.get(key).and_then(leads) == Some(false)
            && self.claims.values().any(|claims| leads(claims) == Some(true))
    }

    /// The former leader may still publish. The first of the two that publishes ends all waits.
    fn take_over(&mut self, successor: Caller) -> (Verdict, Wakers) {
        let claims = self.waits.dequeue(successor).and_then(|key| self.claims.get_mut(&key));
        let Some(Claims { leader: Some(leader), others }) = claims else {
            return (Verdict::Recheck(Outcome::Revoked), Wakers::default());
        };
        others.push(leader.hand_to(successor));
        (Verdict::Lead(leader.claim.clone()), self.waits.announce_leader(&leader.waiters))
    }

    /// Removes a claim. Without an outcome it failed. A revoked claim is no longer registered, and changes nothing.
    pub(super) fn end(&mut self, key: FlightKey, claim: &ClaimState, outcome: Option<Outcome>) -> Wakers {
        self.update(key, |claims, waits| match outcome {
            _ if !claims.is_led_by(claim) => end_non_leading(claims, waits, claim, outcome),
            Some(outcome) => finish(claims, waits, outcome),
            None => hand_off(claims, waits),
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

/// The leader failed: the first waiter leads, up to [`MAX_FAILURES`] in a row.
fn hand_off(claims: &mut Claims, waits: &mut Waits) -> Wakers {
    let Some(mut leader) = claims.leader.take() else { return Wakers::default() };
    leader.failures += 1;
    if leader.failures == MAX_FAILURES {
        return waits
            .make_all_ready(leader.waiters, || Verdict::Alone(claims.register(), AloneReason::Failures));
    }
    let Some(&successor) = leader.waiters.front() else { return Wakers::default() };
    leader.hand_to(successor);
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
