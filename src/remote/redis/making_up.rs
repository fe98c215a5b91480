//! Making up for changes that the server did not get, or has lost.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{
    changes::Late, journal::Told, reply, retries::Waiting, server::RedisServer, stream::LocalChange,
};
use crate::{clock::moment, error::Result, remote::Target, sync::lock};

/// How long after it was told a change is told once more to a server that has lost it, in milliseconds.
const TOLD_FOR: u64 = 60 * 60 * 1_000;

/// How often the server is asked for its time.
const TIME_SAMPLES: usize = 5;

impl RedisServer {
    /// Takes out the changes that the server has lost.
    pub(super) fn take_lost(&self, is_lost: impl Fn(&Told) -> bool) -> Vec<Told> {
        lock(&self.journal).told.extract_if(.., |told| is_lost(told)).collect()
    }

    /// The server gets changes once more that it has lost.
    pub(super) fn tell_again(&self, lost: Vec<Told>) {
        let now = self.now();
        for Told { change, at, .. } in lost {
            if now.saturating_sub(at) < TOLD_FOR {
                self.retries.add(Waiting { change, at, since: None });
            }
        }
        self.is_dirty.store(true, Ordering::Release);
    }

    /// The time by the clock of the server, and the moment here: of the quickest of some answers.
    fn server_time(&self) -> Result<(u64, Instant)> {
        let mut ask = redis::pipe();
        ask.cmd("TIME");
        let mut best: Option<(Duration, u64, Instant)> = None;
        for _ in 0..TIME_SAMPLES {
            let begun = moment();
            let reply = self.ask_and_check(&ask)?;
            let took = begun.elapsed();
            let time = reply::array(&reply).and_then(|time| {
                let [seconds, micros] = time else { return None };
                let millis = reply::number(seconds)?
                    .checked_mul(1_000)?
                    .checked_add(reply::number(micros)? / 1_000)?;
                u64::try_from(millis).ok()
            });
            let time = time.ok_or_else(|| self.unexpected())?;
            if best.is_none_or(|(quickest, ..)| took < quickest) {
                best = Some((took, time, begun + took / 2));
            }
        }
        best.map(|(_, time, at)| (time, at)).ok_or_else(|| self.unexpected())
    }

    /// Makes the changes that the server did not get. One that it refuses holds no other one up.
    pub(super) fn make_up(&self) -> Result<()> {
        let waiting = self.retries.all();
        if waiting.is_empty() {
            return Ok(());
        }
        let (server_time, then) = self.server_time()?;
        let mut outcome = Ok(());
        for waiting in waiting {
            self.renew_leases()?;
            let ago = waiting.ago(self.now());
            let by_server = server_time.saturating_sub(millis(ago.saturating_sub(then.elapsed())));
            let made_up = self.make_up_for(&waiting, Late { ago, by_server });
            if made_up.is_err() && !self.link.is_attached() {
                return made_up;
            }
            outcome = outcome.and(made_up);
        }
        outcome
    }

    fn make_up_for(&self, waiting: &Waiting, late: Late) -> Result<()> {
        let has_newer = match &waiting.change {
            LocalChange::Remove { memo, generation, digest } => {
                let target = Target { memo, generation: *generation, digest: *digest };
                self.remove(&target, waiting.at, Some(late))? == 2
            }
            change => {
                self.clear(change.clone(), waiting.at, Some(late))?;
                false
            }
        };
        if has_newer {
            // Another machine has changed the key since: its value is that of all.
            self.apply(vec![waiting.change.clone().into()])?;
        }
        self.retries.done(waiting);
        self.is_dirty.store(true, Ordering::Release);
        Ok(())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
