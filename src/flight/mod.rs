//! Single flight: who computes, never what.
//!
//! One table serves every memo and pool of the process, because a cycle of waits may run through any of them.
//! Whoever misses claims the [`Seat`] of its key. The first becomes the leader: it looks once more, computes and
//! [settles](Claim::settle); the others wait, and look again when they are called. A leader that fails drops its
//! claim, and one waiter leads on; a leader that would have to wait for itself is told to compute [alone](Reason).
//!
//! Every claim, also of those who lead nobody, stays in the table until it is dropped, so that a
//! [`revoke`](Flight::revoke) reaches whatever was read or begun before a record changed. The table holds nothing else:
//! without claims it is empty.
//!
//! # Rooms
//!
//! `table` decides, over `graph` (who waits for what), and neither locks nor waits; `park` waits and decides
//! nothing; this file puts the lock between them. Nothing of the user runs under that lock, and wakers are called
//! after it. It is a leaf: no other lock is taken under it.
//!
//! # Figures
//!
//! Every hit from disk claims and settles: 84 ns for both on an idle table, 17 of them for the one allocation, which is
//! the flag that a holder asks without the lock.

mod graph;
mod park;
mod seat;
mod table;
mod verdict;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use self::{
    seat::{Seat, fresh_owner},
    verdict::{Outcome, Reason},
};
use self::{
    table::Table,
    verdict::{Ticket, Verdict},
};
use crate::sync::{Mutex, lock};

/// The table of the process.
pub(crate) fn flight() -> &'static Flight {
    static FLIGHT: Flight = Flight::new();
    &FLIGHT
}

/// Who computes which key, and who waits for it.
pub(crate) struct Flight {
    /// Held for table steps only, never while computing, waiting or waking.
    table: Mutex<Table>,
}

impl Flight {
    pub(crate) const fn new() -> Self {
        Self { table: Mutex::new(Table::new()) }
    }

    /// Waits while another leads the seat, but for one leader never longer than `max_wait`: then the caller takes
    /// the leadership over, and the rest wait for the new leader, each up to its own `max_wait` again.
    pub(crate) fn claim(&self, seat: Seat, max_wait: Duration) -> Turn<'_> {
        let caller = park::caller();
        let verdict = lock(&self.table).claim(seat, caller, park::unparker);
        match verdict.unwrap_or_else(|| park::until_called(&self.table, caller, max_wait)) {
            Verdict::Lead(ticket) => Turn::Lead(self.hold(seat, ticket)),
            Verdict::Look(outcome) => Turn::Look(outcome),
            Verdict::Alone(ticket, reason) => Turn::Alone(self.hold(seat, ticket), reason),
        }
    }

    /// Registers a reader or a computation that neither leads nor waits, so that it can be revoked.
    pub(crate) fn attend(&self, seat: Seat) -> Claim<'_> {
        let ticket = lock(&self.table).attend(seat);
        self.hold(seat, ticket)
    }

    /// Ends every claim on the seat but one: what they read or computed may not be published any more. Waiters of
    /// a revoked leader wake, and the next caller leads at once.
    ///
    /// To be called by the store's worker, after the record changed or went.
    pub(crate) fn revoke(&self, seat: &Seat, but: Option<&Claim<'_>>) {
        let wakes = lock(&self.table).revoke(*seat, but.map(|claim| &claim.ticket));
        wakes.wake();
    }

    /// [`revoke`](Self::revoke) for every seat of an owner that was cleared.
    pub(crate) fn revoke_owner(&self, owner: u64) {
        let wakes = lock(&self.table).revoke_owner(owner);
        wakes.wake();
    }

    fn hold(&self, seat: Seat, ticket: Ticket) -> Claim<'_> {
        Claim { flight: self, seat, ticket, outcome: None }
    }

    /// How many callers wait at the seat and were not called yet.
    #[cfg(test)]
    pub(crate) fn waiting(&self, seat: Seat) -> usize {
        lock(&self.table).waiting(&seat)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.table).is_empty()
    }
}

/// What a caller has to do next.
#[must_use]
pub(crate) enum Turn<'a> {
    /// Look once more, then compute: everybody else waits.
    Lead(Claim<'a>),
    /// Somebody finished: look again, and claim again if there is nothing.
    Look(Outcome),
    /// Compute without anybody waiting for it.
    Alone(Claim<'a>, Reason),
}

/// The right to publish what is read or computed from here on, until it is revoked.
///
/// Dropped without [`settle`](Self::settle), by an error or a panic, a leader's claim hands over to a waiter;
/// any other claim just leaves.
#[must_use]
pub(crate) struct Claim<'a> {
    flight: &'a Flight,
    seat: Seat,
    /// Registered under the seat from before this claim exists until it is dropped or revoked.
    ticket: Ticket,
    /// Empty until settled.
    outcome: Option<Outcome>,
}

impl Claim<'_> {
    /// Whether what was read or computed under this claim may still be published. Once false, always false. Only
    /// the store's worker revokes, so its own question is answered for good.
    pub(crate) fn is_current(&self) -> bool {
        self.ticket.is_current()
    }

    /// By which others see whether this claim stands.
    pub(crate) fn token(&self) -> Token {
        Token(self.ticket.clone())
    }

    /// Tells the waiters that the value is where they find it, and stays registered: a change of the key that comes before
    /// the value is on disk still revokes this claim.
    pub(crate) fn detach(self) -> Self {
        let wakes = lock(&self.flight.table).detach(self.seat, &self.ticket);
        wakes.wake();
        self
    }

    /// Tells the waiters what came of it. Who kept a value, leader or not, calls all of them.
    pub(crate) fn settle(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

/// Whether a claim stands, for those that do not hold it.
pub(crate) struct Token(Ticket);

impl Token {
    /// As [`Claim::is_current`].
    pub(crate) fn is_current(&self) -> bool {
        self.0.is_current()
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let wakes = lock(&self.flight.table).release(self.seat, &self.ticket, self.outcome);
        wakes.wake();
    }
}
