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
//! `table` has the policy, on top of the wait graph in `graph` and the `leader` of each key; it takes no lock and never waits. `park`
//! waits on a thread and `queued` in a task, and have no policy; `pulse` tells whether a task goes on. `claim` is the guard of a
//! leader or reader. This file takes the lock. No code of the user runs under that lock, no other lock is taken under it, and wakers
//! are called after it is released.
//!
//! # Figures
//!
//! A hit from disk makes one claim and completes it: 84 ns on an idle table. 17 ns of them are the one allocation: the
//! flag that the holder of a claim reads without the lock.

mod claim;
mod generations;
mod graph;
mod key;
mod leader;
mod park;
mod pulse;
mod queued;
mod table;
mod verdict;

#[cfg(test)]
mod tests;

use std::{task::Waker, time::Duration};

pub(crate) use self::{
    claim::{Claim, RemoteClaim, RemoteNumber, Token, Words},
    generations::{Flight, flight},
    graph::Wakers,
    key::{BuildKeyHasher, FlightKey, fresh_owner},
    leader::Asker,
    pulse::{Pulse, WithPulse},
    verdict::{AloneReason, Outcome},
};
use self::{
    graph::WaitState,
    verdict::{ClaimState, Verdict},
};
use crate::{context::Caller, sync::lock};

impl Flight {
    /// Claims the key, and waits on this thread while another caller leads it. After `max_wait` for one leader the caller takes
    /// over the lead. The other waiters then wait for the new leader, each up to its own `max_wait` again.
    pub(crate) fn claim(&self, key: FlightKey, max_wait: Duration) -> Turn<'_> {
        self.claim_or_stale(key, max_wait, false)
    }

    /// The same for a caller that may accept a stale value: it does not wait for a leader that refreshes one then.
    pub(crate) fn claim_or_stale(&self, key: FlightKey, max_wait: Duration, accepts_stale: bool) -> Turn<'_> {
        let caller = Caller::of_thread();
        self.turn(key, caller, park::claim(&self.table, key, caller, accepts_stale, max_wait))
    }

    /// Leads the key, unless another caller does.
    pub(crate) fn claim_free(&self, key: FlightKey, asker: &Asker) -> Option<Claim<'_>> {
        let state = lock(&self.table).claim_free(key, asker.caller, &asker.context, asker.pulse.as_ref())?;
        Some(self.hold(key, asker.caller, state))
    }

    /// Claims the key for a caller that does not wait by blocking a thread. `None`: it is queued, and the waker is called when
    /// [`poll`](Self::poll) has something new.
    pub(crate) fn begin(
        &self,
        key: FlightKey,
        asker: &Asker,
        accepts_stale: bool,
        waker: Waker,
    ) -> Option<Turn<'_>> {
        let mut waker = Some(waker);
        let verdict = lock(&self.table).claim(key, asker, accepts_stale, &mut waker)?;
        Some(self.turn(key, asker.caller, verdict))
    }

    /// The turn of a queued caller; `None` while it waits on. A caller that `is_overdue` takes over the lead.
    pub(crate) fn poll(
        &self,
        key: FlightKey,
        caller: Caller,
        is_overdue: bool,
        waker: Waker,
    ) -> Option<Turn<'_>> {
        let mut waker = Some(waker);
        let (state, wakers) = lock(&self.table).poll(caller, &mut waker, |_| is_overdue);
        wakers.wake();
        match state {
            WaitState::Ready(verdict) => Some(self.turn(key, caller, verdict)),
            WaitState::Pending => None,
        }
    }

    /// A queued caller waits no more. A verdict that it did not take is given up.
    pub(crate) fn leave(&self, key: FlightKey, caller: Caller) {
        let (wakers, own) = lock(&self.table).leave(key, caller);
        wakers.wake();
        drop(own);
    }

    /// Whether the caller leads any key, and another caller leads this one: its wait may be part of a cycle that runs through
    /// other processes, so that it is not to wait here.
    pub(crate) fn waits_as_leader(&self, key: &FlightKey) -> bool {
        lock(&self.table).waits_as_leader(key, Caller::of_thread())
    }

    fn turn(&self, key: FlightKey, caller: Caller, verdict: Verdict) -> Turn<'_> {
        match verdict {
            Verdict::Lead(state) => Turn::Lead(self.hold(key, caller, state)),
            Verdict::TakeOver(state) => Turn::Lead(self.hold(key, caller, state).taking_over()),
            Verdict::Recheck(outcome) => Turn::Recheck(outcome),
            Verdict::Alone(state, reason) => Turn::Alone(self.hold(key, caller, state), reason),
        }
    }

    /// Registers a reader that neither leads nor waits, so that it can be revoked.
    pub(crate) fn register_reader(&self, key: FlightKey) -> Claim<'_> {
        let state = lock(&self.table).register(key);
        self.hold(key, Caller::of_thread(), state)
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
        lock(&self.table).revoke(*key, but.map(Claim::state))
    }

    /// [`revoke`](Self::revoke) for every key of an owner.
    pub(crate) fn revoke_owner(&self, owner: u64) {
        self.revoke_owner_unwoken(owner).wake();
    }

    /// As [`revoke_unwoken`](Self::revoke_unwoken), for every key of an owner.
    pub(crate) fn revoke_owner_unwoken(&self, owner: u64) -> Wakers {
        lock(&self.table).revoke_owner(owner)
    }

    fn hold(&self, key: FlightKey, caller: Caller, state: ClaimState) -> Claim<'_> {
        Claim::new(self, key, caller, state)
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

impl Turn<'_> {
    /// [Notes](Claim::note) the words of EPOCHS in a claim: it may have waited long for that.
    pub(crate) fn note(&mut self, words: impl FnOnce() -> Option<Words>) {
        if let Turn::Lead(claim) | Turn::Alone(claim, _) = self {
            claim.note(words());
        }
    }
}
