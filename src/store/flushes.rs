//! Who waits for a flush holds a ticket. One flush answers every ticket that was drawn before it began.

use std::{ops::RangeInclusive, sync::Weak, thread::ThreadId};

use crate::{
    error::{Error, Result},
    store::engine::Engine,
};

#[derive(Default)]
pub(super) struct Flushes {
    pub(super) asked: u64,
    pub(super) answered: u64,
    /// Which tickets were answered with a failure; kept until nobody waits.
    failed: Vec<(RangeInclusive<u64>, Error)>,
    waiting: usize,
    /// The engine that a worker is in just now.
    pub(super) engine: Option<(ThreadId, Weak<Engine>)>,
}

impl Flushes {
    pub(super) fn is_idle(&self) -> bool {
        self.asked == self.answered
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.asked += 1;
        self.waiting += 1;
        self.asked
    }

    pub(super) fn answer(&mut self, last: u64, failure: Option<&Error>) {
        let tickets = self.answered + 1..=last;
        if let Some(error) = failure.filter(|_| self.waiting > 0 && !tickets.is_empty()) {
            self.failed.push((tickets, error.clone()));
        }
        self.answered = self.answered.max(last);
    }

    pub(super) fn outcome(&mut self, ticket: u64) -> Result<()> {
        let failed = self.failed.iter().find(|(tickets, _)| tickets.contains(&ticket));
        let outcome = failed.map_or(Ok(()), |(_, error)| Err(error.clone()));
        self.waiting -= 1;
        if self.waiting == 0 {
            self.failed.clear();
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn failure() -> Error {
        Error::new(Kind::Engine, "it was not flushed")
    }

    #[test]
    fn each_ticket_has_the_outcome_of_its_own_flush_however_late_it_is_asked_for() {
        let mut flushes = Flushes::default();
        let first = flushes.draw();
        flushes.answer(first, Some(&failure()));
        let second = flushes.draw();
        flushes.answer(second, None);
        let third = flushes.draw();
        flushes.answer(third, Some(&failure()));
        // A tick that answers nobody.
        flushes.answer(third, Some(&failure()));
        assert!(flushes.outcome(third).is_err());
        assert!(flushes.outcome(second).is_ok());
        assert!(flushes.outcome(first).is_err());
    }

    #[test]
    fn whoever_gives_up_gives_up_for_all_that_wait_for_the_same_flush() {
        let mut flushes = Flushes::default();
        let tickets = [flushes.draw(), flushes.draw(), flushes.draw()];
        flushes.answer(flushes.asked, Some(&failure()));
        assert!(tickets.into_iter().rev().all(|ticket| flushes.outcome(ticket).is_err()));
    }

    #[test]
    fn nothing_is_kept_when_nobody_waits() {
        let mut flushes = Flushes::default();
        let ticket = flushes.draw();
        flushes.answer(ticket, Some(&failure()));
        assert!(flushes.outcome(ticket).is_err() && flushes.is_idle());
        flushes.answer(ticket, Some(&failure()));
        assert!(flushes.failed.is_empty());
        let ticket = flushes.draw();
        assert!(!flushes.is_idle());
        flushes.answer(ticket, None);
        assert!(flushes.outcome(ticket).is_ok());
    }
}
