//! The policy of a flight: who leads, who waits for whom, what becomes of a failure. No locks, no threads, no time.
//!
//! Steps that call waiters return their [`Wakes`], to be woken once the table is unlocked. What a waiter was called
//! for lies ready in the table before that, with its claim registered, so that a revocation in between finds it.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    iter, mem,
    task::Waker,
};

use super::{
    graph::{Caller, News, Waits, Wakes},
    seat::{Seat, SeatHasher},
    verdict::{Outcome, Reason, Ticket, Verdict},
};

#[cfg(test)]
mod tests;

/// Leaders in a row that may fail before the waiters stop queueing behind the next.
const TRIES: u32 = 2;

/// All claims of one key.
#[derive(Default)]
struct Claims {
    /// Who computes for the waiters; nobody waits without one.
    lead: Option<Lead>,
    /// The other claims: readers, those who compute alone, leaders that were taken over.
    others: Vec<Ticket>,
}

impl Claims {
    fn attend(&mut self) -> Ticket {
        let ticket = Ticket::new();
        self.others.push(ticket.clone());
        ticket
    }

    fn is_led_by(&self, ticket: &Ticket) -> bool {
        self.lead.as_ref().is_some_and(|lead| lead.ticket == *ticket)
    }

    /// Whether it was there.
    fn dismiss(&mut self, ticket: &Ticket) -> bool {
        let place = self.others.iter().position(|other| other == ticket);
        place.map(|place| self.others.swap_remove(place)).is_some()
    }

    fn is_vacant(&self) -> bool {
        self.lead.is_none() && self.others.is_empty()
    }
}

struct Lead {
    ticket: Ticket,
    caller: Caller,
    /// Leaders in a row that failed before this one; less than [`TRIES`].
    failures: u32,
    /// In order of arrival; each waits for this seat in [`Waits`].
    waiters: VecDeque<Caller>,
}

impl Lead {
    fn new(caller: Caller) -> Self {
        Self { ticket: Ticket::new(), caller, failures: 0, waiters: VecDeque::new() }
    }

    /// Returns the claim that led until now.
    fn pass_to(&mut self, heir: Caller) -> Ticket {
        self.caller = heir;
        self.waiters.retain(|waiter| *waiter != heir);
        mem::replace(&mut self.ticket, Ticket::new())
    }
}

pub(super) struct Table {
    /// Exactly the seats that somebody has a claim on.
    seats: HashMap<Seat, Claims, SeatHasher>,
    /// Without a cycle: a caller that would close one never enters, and who comes to lead waits for nobody.
    waits: Waits,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self { seats: HashMap::with_hasher(SeatHasher::new()), waits: Waits::new() }
    }

    /// Enlists the caller, when there is no verdict yet.
    pub(super) fn claim(
        &mut self,
        seat: Seat,
        caller: Caller,
        waker: impl FnOnce() -> Waker,
    ) -> Option<Verdict> {
        let claims = self.seats.entry(seat).or_default();
        let Some(leader) = claims.lead.as_ref().map(|lead| lead.caller) else {
            let lead = claims.lead.insert(Lead::new(caller));
            return Some(Verdict::Lead(lead.ticket.clone()));
        };
        if let Some(reason) = self.hindrance(caller, leader) {
            return Some(Verdict::Alone(self.attend(seat), reason));
        }
        self.enlist(seat, caller, waker());
        None
    }

    pub(super) fn attend(&mut self, seat: Seat) -> Ticket {
        self.seats.entry(seat).or_default().attend()
    }

    /// Why the caller must not wait for this leader. The walk ends, because the waits have no cycle.
    fn hindrance(&self, caller: Caller, leader: Caller) -> Option<Reason> {
        if leader == caller {
            return Some(Reason::Reentrant);
        }
        let mut awaited = iter::successors(self.awaited_by(leader), |leader| self.awaited_by(*leader));
        awaited.any(|leader| leader == caller).then_some(Reason::Cycle)
    }

    fn awaited_by(&self, caller: Caller) -> Option<Caller> {
        let claims = self.seats.get(self.waits.seat_of(caller)?)?;
        claims.lead.as_ref().map(|lead| lead.caller)
    }

    fn enlist(&mut self, seat: Seat, caller: Caller, waker: Waker) {
        if let Some(lead) = self.seats.get_mut(&seat).and_then(|claims| claims.lead.as_mut()) {
            lead.waiters.push_back(caller);
            self.waits.enter(caller, seat, waker);
        }
    }

    /// What an enlisted caller finds; when it has waited long enough for this leader, it takes over.
    pub(super) fn look(&mut self, caller: Caller, overdue: bool) -> (News, Wakes) {
        match self.waits.look(caller) {
            News::Nothing if overdue => {
                let (verdict, wakes) = self.take_over(caller);
                (News::Called(verdict), wakes)
            }
            news => (news, Wakes::default()),
        }
    }

    /// The former leader may still publish: if it is the first, everybody looks.
    fn take_over(&mut self, heir: Caller) -> (Verdict, Wakes) {
        let claims = self.waits.leave(heir).and_then(|seat| self.seats.get_mut(&seat));
        let Some(Claims { lead: Some(lead), others }) = claims else {
            return (Verdict::Look(Outcome::Revoked), Wakes::default());
        };
        others.push(lead.pass_to(heir));
        (Verdict::Lead(lead.ticket.clone()), self.waits.announce(&lead.waiters))
    }

    /// Takes a claim back, settled or (without an outcome) failed. One that was revoked is gone already, and touches
    /// nobody.
    pub(super) fn release(&mut self, seat: Seat, ticket: &Ticket, outcome: Option<Outcome>) -> Wakes {
        self.at(seat, |claims, waits| match outcome {
            _ if !claims.is_led_by(ticket) => leave(claims, waits, ticket, outcome),
            Some(outcome) => conclude(claims, waits, outcome),
            None => hand_over(claims, waits),
        })
    }

    /// The value of a claim is where the others find it: they look. The claim stays registered, as one that leads nobody.
    pub(super) fn detach(&mut self, seat: Seat, ticket: &Ticket) -> Wakes {
        self.at(seat, |claims, waits| {
            let Some(lead) = claims.lead.take_if(|_| ticket.is_current()) else { return Wakes::default() };
            claims.others.push(lead.ticket);
            waits.call_all(lead.waiters, || Verdict::Look(Outcome::Stored))
        })
    }

    /// Ends every claim on the seat but one.
    pub(super) fn revoke(&mut self, seat: Seat, but: Option<&Ticket>) -> Wakes {
        self.at(seat, |claims, waits| {
            let spared = |ticket: &Ticket| Some(ticket) == but;
            claims.others.iter().filter(|ticket| !spared(ticket)).for_each(Ticket::revoke);
            claims.others.retain(spared);
            let Some(lead) = claims.lead.take_if(|lead| !spared(&lead.ticket)) else {
                return Wakes::default();
            };
            lead.ticket.revoke();
            waits.call_all(lead.waiters, || Verdict::Look(Outcome::Revoked))
        })
    }

    /// Walks over the whole table, which holds no more than the calls under way.
    pub(super) fn revoke_owner(&mut self, owner: u64) -> Wakes {
        let seats: Vec<Seat> = self.seats.keys().filter(|seat| seat.owner == owner).copied().collect();
        seats.into_iter().fold(Wakes::default(), |wakes, seat| wakes.and(self.revoke(seat, None)))
    }

    /// Every way out of a seat leads through here: a key without claims goes.
    fn at(&mut self, seat: Seat, step: impl FnOnce(&mut Claims, &mut Waits) -> Wakes) -> Wakes {
        let Entry::Occupied(mut entry) = self.seats.entry(seat) else { return Wakes::default() };
        let wakes = step(entry.get_mut(), &mut self.waits);
        if entry.get().is_vacant() {
            entry.remove();
        }
        wakes
    }

    #[cfg(test)]
    pub(super) fn waiting(&self, seat: &Seat) -> usize {
        self.seats.get(seat).and_then(|claims| claims.lead.as_ref()).map_or(0, |lead| lead.waiters.len())
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty() && self.waits.is_empty()
    }
}

/// The leader failed: the next in line leads, unless that was tried before.
fn hand_over(claims: &mut Claims, waits: &mut Waits) -> Wakes {
    let Some(mut lead) = claims.lead.take() else { return Wakes::default() };
    lead.failures += 1;
    if lead.failures == TRIES {
        return waits.call_all(lead.waiters, || Verdict::Alone(claims.attend(), Reason::Failures));
    }
    let Some(&heir) = lead.waiters.front() else { return Wakes::default() };
    crown(claims, waits, lead, heir).1
}

/// Has one of the waiters lead on. Returns the claim that led until now.
fn crown(claims: &mut Claims, waits: &mut Waits, mut lead: Lead, heir: Caller) -> (Ticket, Wakes) {
    let former = lead.pass_to(heir);
    let heir = waits.call(heir, Verdict::Lead(lead.ticket.clone()));
    let rest = waits.announce(&lead.waiters);
    claims.lead = Some(lead);
    (former, heir.and(rest))
}

/// The leader finished.
fn conclude(claims: &mut Claims, waits: &mut Waits, outcome: Outcome) -> Wakes {
    let waiters = claims.lead.take().map(|lead| lead.waiters).unwrap_or_default();
    waits.call_all(waiters, || match outcome {
        Outcome::Unstored => Verdict::Alone(claims.attend(), Reason::Unstored),
        outcome => Verdict::Look(outcome),
    })
}

/// One who leads nobody goes. If it has kept a value, there is nothing to wait for any more: who waits for the leader
/// looks, and the leader goes on as one of the others.
fn leave(claims: &mut Claims, waits: &mut Waits, ticket: &Ticket, outcome: Option<Outcome>) -> Wakes {
    if !claims.dismiss(ticket) {
        return Wakes::default();
    }
    let Some(outcome @ (Outcome::Found | Outcome::Stored)) = outcome else { return Wakes::default() };
    let Some(lead) = claims.lead.take() else { return Wakes::default() };
    claims.others.push(lead.ticket);
    waits.call_all(lead.waiters, || Verdict::Look(outcome))
}
