//! Claims: the right to publish a value, and its guard.

use std::sync::Arc;

use super::{
    Flight, FlightKey, Pulse,
    graph::Wakers,
    verdict::{ClaimState, Outcome},
};
use crate::{
    context::{Caller, Context},
    sync::{lock, thread},
};

/// A guard: permission to publish a value that is read or computed while the claim is not revoked.
///
/// If a leader's claim is dropped without [`complete`](Self::complete), a waiter becomes the leader. Any other claim is only
/// removed. An error or a panic counts as a failure of the computation, a task that is dropped does not.
#[must_use]
pub(crate) struct Claim<'a> {
    flight: &'a Flight,
    key: FlightKey,
    caller: Caller,
    /// Registered under the key before this claim exists, and until it is dropped or revoked.
    state: ClaimState,
    /// `None` until the claim is completed.
    outcome: Option<Outcome>,
    /// Whether the computation returned an error.
    has_failed: bool,
    /// Whether the former leader takes too long. In another process it is not waited for again.
    has_taken_over: bool,
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

impl<'a> Claim<'a> {
    pub(super) fn new(flight: &'a Flight, key: FlightKey, caller: Caller, state: ClaimState) -> Self {
        let (outcome, elsewhere) = (None, None);
        Self { flight, key, caller, state, outcome, has_failed: false, has_taken_over: false, elsewhere }
    }

    /// The former leader takes too long.
    pub(super) fn taking_over(mut self) -> Self {
        self.has_taken_over = true;
        self
    }

    /// By which the table knows it.
    pub(super) fn state(&self) -> &ClaimState {
        &self.state
    }

    /// Whether values under this claim may still be published. Once false, it stays false. Only the store's worker
    /// revokes claims, so a claim that the worker finds current stays so until the worker revokes it.
    pub(crate) fn is_current(&self) -> bool {
        self.state.is_current()
    }

    /// The one that claimed the key.
    pub(crate) fn caller(&self) -> Caller {
        self.caller
    }

    /// Whether the former leader takes too long.
    pub(crate) fn has_taken_over(&self) -> bool {
        self.has_taken_over
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

    /// The claim lies in a variable from here on, as a caller of its own. Calls of this thread do not wait for it, and other
    /// callers at most 30 s.
    pub(crate) fn rest(&self, own: Caller, context: Context) {
        let taken = (context, Caller::of_thread());
        let wakers = lock(&self.flight.table).rest(self.key, &self.state, own, taken);
        wakers.wake();
    }

    /// The computation waits for a thread from here on. A caller that needs the value takes the lead from it.
    pub(crate) fn queue(&self, own: Caller) {
        let wakers = lock(&self.flight.table).queue(self.key, &self.state, own);
        wakers.wake();
    }

    /// Whether it leads: no other caller has taken that over, and no change has revoked it.
    pub(crate) fn leads(&self) -> bool {
        lock(&self.flight.table).is_led_by(self.key, &self.state)
    }

    /// It is computed from here on until the guard is dropped. A task has a pulse.
    pub(crate) fn run(&self, own: Caller, pulse: Option<Arc<Pulse>>) -> Run<'_> {
        // In a forked child the table is its parent's.
        if self.flight.is_here() {
            let wakers = lock(&self.flight.table).run(self.key, &self.state, own, pulse.clone());
            wakers.wake();
        }
        Run { claim: self, pulse }
    }

    /// Wakes the waiters, which find the value now. The claim stays registered: a change of the key before the value is
    /// on disk still revokes it.
    pub(crate) fn detach(self) -> Self {
        let (claim, wakers) = self.detach_unwoken();
        wakers.wake();
        claim
    }

    /// As [`detach`](Self::detach), under a lock: the caller wakes the waiters after it.
    pub(crate) fn detach_unwoken(self) -> (Self, Wakers) {
        let wakers = lock(&self.flight.table).detach(self.key, &self.state);
        (self, wakers)
    }

    /// The computation failed: the claim is at its end when it is dropped.
    pub(crate) fn fail(&mut self) {
        self.has_failed = true;
    }

    /// Ends the claim with an outcome, and wakes the waiters of a leader. A claim that found or stored a value wakes
    /// them whether it leads or not.
    pub(crate) fn complete(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

/// A thread or a task computes for a claim that lies in a variable.
pub(crate) struct Run<'a> {
    claim: &'a Claim<'a>,
    pulse: Option<Arc<Pulse>>,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let Self { claim: Claim { flight, key, state, .. }, pulse } = self;
        if flight.is_here() {
            let wakers = lock(&flight.table).stop(*key, state, pulse.as_ref());
            wakers.wake();
        }
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
        if !self.flight.is_here() {
            // The closure forked, and this is the child. The claim belongs to the parent.
            std::mem::forget(self.elsewhere.take());
            return;
        }
        let has_failed = self.has_failed || thread::panicking();
        let outcome = self.outcome.or((!has_failed).then_some(Outcome::Abandoned));
        // First there: a waiter of this process that leads next would wait for it.
        if let Some(lead) = self.elsewhere.take().and_then(|elsewhere| elsewhere.lead) {
            lead.end(outcome);
        }
        let wakers = lock(&self.flight.table).end(self.key, &self.state, outcome);
        wakers.wake();
    }
}
