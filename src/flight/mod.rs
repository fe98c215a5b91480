//! Single flight: one leader computes each key, and concurrent callers wait for it.
//!
//! One table serves every memo and pool of the process, because a cycle of waits may run through any of them. A caller
//! that misses claims its [`FlightKey`]. The first claim leads: its caller looks the value up once more, computes it and
//! [completes](Claim::complete) the claim. The other callers wait, and then look the value up again. If the leader
//! fails, it drops its claim, and one waiter becomes the leader. A caller that would deadlock computes
//! [alone](AloneReason).
//!
//! A claim stays in the table until it is dropped, whether it leads or not. So [`revoke`](Flight::revoke) reaches
//! every read and computation that began before a record changed. A table without claims is empty.
//!
//! # Rooms
//!
//! `table` has the policy, on top of the wait graph in `graph`; it takes no lock and never waits. `park` waits, and has no
//! policy. This file holds the lock. No code of the user runs under that lock, no other lock is taken under it, and
//! wakers are called after it is released.
//!
//! # Figures
//!
//! A hit from disk makes one claim and completes it: 84 ns on an idle table. 17 ns of them are the one allocation: the
//! flag that the holder of a claim reads without the lock.

mod graph;
mod key;
mod park;
mod table;
mod verdict;

#[cfg(test)]
mod tests;

use std::{task::Waker, time::Duration};

pub(crate) use self::{
    graph::Caller,
    key::{FlightKey, fresh_owner},
    park::{caller, fresh as fresh_caller},
    verdict::{AloneReason, Outcome},
};
use self::{
    graph::{WaitState, Wakers},
    table::Table,
    verdict::{ClaimState, Verdict},
};
use crate::{
    fork,
    sync::{Mutex, lock},
};

/// The table of the process. A forked child has a table of its own, because the lock of its parent's table may be held by
/// a thread that does not exist in the child. From the seventh generation of children on, all share one table.
pub(crate) fn flight() -> &'static Flight {
    static FIRST: Flight = Flight::of(0);
    static OTHERS: [Flight; 7] = [
        Flight::of(1),
        Flight::of(2),
        Flight::of(3),
        Flight::of(4),
        Flight::of(5),
        Flight::of(6),
        Flight::of(7),
    ];
    match generation() {
        0 => &FIRST,
        generation => OTHERS.get(generation as usize - 1).unwrap_or(&FIRST),
    }
}

fn generation() -> u32 {
    fork::generation().min(7)
}

/// All claims and waits of a process.
pub(crate) struct Flight {
    /// The fork generation of its process.
    generation: u32,
    /// Locked for one step of the table at a time, never during a computation, a wait or a wake.
    table: Mutex<Table>,
}

impl Flight {
    const fn of(generation: u32) -> Self {
        Self { generation, table: Mutex::new(Table::new()) }
    }

    #[cfg(test)]
    pub(crate) const fn new() -> Self {
        Self::of(0)
    }

    /// Claims the key, and waits while another caller leads it. After `max_wait` for one leader the caller takes over
    /// the lead. The other waiters then wait for the new leader, each up to its own `max_wait` again.
    pub(crate) fn claim(&self, key: FlightKey, max_wait: Duration) -> Turn<'_> {
        self.claim_or_stale(key, max_wait, false)
    }

    /// The same for a caller that may accept a stale value: it does not wait for a leader that refreshes one then.
    pub(crate) fn claim_or_stale(&self, key: FlightKey, max_wait: Duration, accepts_stale: bool) -> Turn<'_> {
        let caller = park::caller();
        let verdict = lock(&self.table).claim(key, caller, accepts_stale, park::unparker);
        self.turn(key, verdict.unwrap_or_else(|| park::wait_for_verdict(&self.table, caller, max_wait)))
    }

    /// Leads the key, unless another caller does.
    pub(crate) fn claim_free(&self, key: FlightKey, caller: Caller) -> Option<Claim<'_>> {
        let state = lock(&self.table).claim_free(key, caller)?;
        Some(self.hold(key, state))
    }

    /// Claims the key for a caller that does not wait by blocking a thread. `None`: it is queued, and `waker` is called when
    /// [`poll`](Self::poll) has something new.
    pub(crate) fn begin(&self, key: FlightKey, caller: Caller, waker: Waker) -> Option<Turn<'_>> {
        let verdict = lock(&self.table).claim(key, caller, false, || waker)?;
        Some(self.turn(key, verdict))
    }

    /// The turn of a queued caller; `None` while it waits on. A caller that `is_overdue` takes over the lead.
    pub(crate) fn poll(&self, key: FlightKey, caller: Caller, is_overdue: bool) -> Option<Turn<'_>> {
        let (state, wakers) = lock(&self.table).poll(caller, is_overdue);
        wakers.wake();
        match state {
            WaitState::Ready(verdict) => Some(self.turn(key, verdict)),
            WaitState::LeaderChanged | WaitState::Pending => None,
        }
    }

    /// A queued caller waits no more. A verdict that it did not take is given up.
    pub(crate) fn leave(&self, key: FlightKey, caller: Caller) {
        let wakers = lock(&self.table).leave(key, caller);
        wakers.wake();
    }

    /// Whether the caller leads any key, and another caller leads this one: its wait may be part of a cycle that runs through
    /// other processes, so that it is not to wait here.
    pub(crate) fn waits_as_leader(&self, key: &FlightKey) -> bool {
        lock(&self.table).waits_as_leader(key, park::caller())
    }

    fn turn(&self, key: FlightKey, verdict: Verdict) -> Turn<'_> {
        match verdict {
            Verdict::Lead(state) => Turn::Lead(self.hold(key, state)),
            Verdict::Recheck(outcome) => Turn::Recheck(outcome),
            Verdict::Alone(state, reason) => Turn::Alone(self.hold(key, state), reason),
        }
    }

    /// Registers a reader that neither leads nor waits, so that it can be revoked.
    pub(crate) fn register_reader(&self, key: FlightKey) -> Claim<'_> {
        let state = lock(&self.table).register(key);
        self.hold(key, state)
    }

    /// Ends every claim on the key except one: their values may no longer be published. Waiters of a revoked leader
    /// wake, and the next caller leads at once.
    ///
    /// The store's worker calls it after a record changed or was removed.
    pub(crate) fn revoke(&self, key: &FlightKey, but: Option<&Claim<'_>>) {
        self.revoke_unwoken(key, but).wake();
    }

    /// The same for a caller that holds a lock: it wakes the waiters when it has released that.
    pub(crate) fn revoke_unwoken(&self, key: &FlightKey, but: Option<&Claim<'_>>) -> Wakers {
        lock(&self.table).revoke(*key, but.map(|claim| &claim.state))
    }

    /// [`revoke`](Self::revoke) for every key of an owner.
    pub(crate) fn revoke_owner(&self, owner: u64) {
        let wakers = lock(&self.table).revoke_owner(owner);
        wakers.wake();
    }

    fn hold(&self, key: FlightKey, state: ClaimState) -> Claim<'_> {
        Claim { flight: self, key, state, outcome: None, elsewhere: None }
    }

    /// Number of callers in the queue of the key.
    #[cfg(test)]
    pub(crate) fn waiting(&self, key: FlightKey) -> usize {
        lock(&self.table).waiting(&key)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.table).is_empty()
    }
}

/// The next step of a caller.
#[must_use]
pub(crate) enum Turn<'a> {
    /// Look the value up once more, then compute it: other callers wait.
    Lead(Claim<'a>),
    /// The leader finished, or found a stale value: look the value up again, and claim again if it is missing.
    Recheck(Outcome),
    /// Compute without waiters.
    Alone(Claim<'a>, AloneReason),
}

/// A guard: permission to publish a value that is read or computed while the claim is not revoked.
///
/// If a leader's claim is dropped without [`complete`](Self::complete), by an error or a panic, a waiter becomes the
/// leader. Any other claim is only removed.
#[must_use]
pub(crate) struct Claim<'a> {
    flight: &'a Flight,
    key: FlightKey,
    /// Registered under the key before this claim exists, and until it is dropped or revoked.
    state: ClaimState,
    /// `None` until the claim is completed.
    outcome: Option<Outcome>,
    /// `None` where this process hosts the store.
    elsewhere: Option<Box<OfGuest>>,
}

/// What a claim has in a process that does not host the store.
struct OfGuest {
    /// The words of EPOCHS as they were when the claim was made: changes in the host do not revoke it, they raise a word.
    noted: Words,
    /// The claim on the same key in the host.
    lead: Option<Box<dyn RemoteClaim>>,
}

/// Two words of EPOCHS: that of a key, and that of its memo.
pub(crate) type Words = (u64, u64);

/// A claim that another process holds for a claim of this one.
pub(crate) trait RemoteClaim: Send + Sync {
    /// Ends it there with an outcome; without one it failed.
    fn end(self: Box<Self>, outcome: Option<Outcome>);

    /// Its number there, for a value that ends it; `None` when that process is gone.
    fn number(&self) -> Option<RemoteNumber>;

    /// The value is there: the claim is at its end.
    fn surrender(self: Box<Self>);
}

/// The number of a claim in another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemoteNumber {
    /// Of the connection to that process.
    pub(crate) connection: u64,
    /// Of the claim on that connection.
    pub(crate) claim: u32,
}

impl Claim<'_> {
    /// Whether values under this claim may still be published. Once false, it stays false. Only the store's worker
    /// revokes claims, so a claim that the worker finds current stays so until the worker revokes it.
    pub(crate) fn is_current(&self) -> bool {
        self.state.is_current()
    }

    pub(crate) fn note(&mut self, words: Option<Words>) {
        self.elsewhere = words.map(|noted| Box::new(OfGuest { noted, lead: None }));
    }

    pub(crate) fn noted(&self) -> Option<Words> {
        self.elsewhere.as_ref().map(|elsewhere| elsewhere.noted)
    }

    /// Adds the claim on the same key in another process.
    pub(crate) fn attach(&mut self, lead: Box<dyn RemoteClaim>) {
        if let Some(elsewhere) = &mut self.elsewhere {
            elsewhere.lead = Some(lead);
        }
    }

    /// The number of the claim in another process, which the value will end.
    pub(crate) fn number_elsewhere(&self) -> Option<RemoteNumber> {
        self.elsewhere.as_ref()?.lead.as_ref()?.number()
    }

    /// Another process has the value.
    pub(crate) fn surrender(&mut self) {
        if let Some(lead) = self.elsewhere.as_mut().and_then(|elsewhere| elsewhere.lead.take()) {
            lead.surrender();
        }
    }

    /// A handle by which others can ask whether this claim is current.
    pub(crate) fn token(&self) -> Token {
        Token(self.state.clone())
    }

    /// A stale value is there: callers that accept it do not wait for this claim.
    pub(crate) fn announce_refresh(&self) {
        let wakers = lock(&self.flight.table).announce_refresh(self.key, &self.state);
        wakers.wake();
    }

    /// The claim lies in a variable from here on. Calls of this thread do not wait for it, and other callers at most 30 s.
    pub(crate) fn rest(&self) {
        let mut table = lock(&self.flight.table);
        let wakers = table.rest(self.key, &self.state, park::fresh(), park::caller());
        drop(table);
        wakers.wake();
    }

    /// The computation waits for a thread from here on. A caller that needs the value takes the lead from it.
    pub(crate) fn queue(&self) {
        let wakers = lock(&self.flight.table).queue(self.key, &self.state, park::fresh());
        wakers.wake();
    }

    /// Whether it leads: no other caller has taken that over, and no change has revoked it.
    pub(crate) fn leads(&self) -> bool {
        lock(&self.flight.table).is_led_by(self.key, &self.state)
    }

    /// Computes on this thread, whose waits are those of the claim meanwhile.
    pub(crate) fn run<R>(&self, compute: impl FnOnce() -> R) -> R {
        struct Run<'a>(&'a Claim<'a>, Caller);
        impl Drop for Run<'_> {
            fn drop(&mut self) {
                let Self(claim, caller) = self;
                if claim.flight.generation == generation() {
                    let mut table = lock(&claim.flight.table);
                    let wakers = table.stop(claim.key, &claim.state, *caller, park::fresh());
                    drop(table);
                    wakers.wake();
                }
            }
        }
        if self.flight.generation != generation() {
            // A forked child: the table is its parent's.
            return compute();
        }
        let caller = park::caller();
        let wakers = lock(&self.flight.table).run(self.key, &self.state, caller);
        wakers.wake();
        let _run = Run(self, caller);
        compute()
    }

    /// Wakes the waiters, which find the value now. The claim stays registered: a change of the key before the value is
    /// on disk still revokes it.
    pub(crate) fn detach(self) -> Self {
        let wakers = lock(&self.flight.table).detach(self.key, &self.state);
        wakers.wake();
        self
    }

    /// Ends the claim with an outcome, and wakes the waiters of a leader. A claim that found or stored a value wakes
    /// them whether it leads or not.
    pub(crate) fn complete(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

/// Tells whether a claim is current, without holding it.
pub(crate) struct Token(ClaimState);

impl Token {
    /// As [`Claim::is_current`].
    pub(crate) fn is_current(&self) -> bool {
        self.0.is_current()
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.flight.generation != generation() {
            // The closure forked, and this is the child. The claim belongs to the parent.
            std::mem::forget(self.elsewhere.take());
            return;
        }
        // First there: a waiter of this process that leads next would wait for it.
        if let Some(lead) = self.elsewhere.take().and_then(|elsewhere| elsewhere.lead) {
            lead.end(self.outcome);
        }
        let wakers = lock(&self.flight.table).end(self.key, &self.state, self.outcome);
        wakers.wake();
    }
}
