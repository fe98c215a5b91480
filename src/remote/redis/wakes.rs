//! Callers that wait for a computation of another machine, by the names of their entries.

use std::{
    collections::HashMap,
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use crate::{clock::Deadline, sync::lock};

#[derive(Default)]
pub(super) struct Wakes {
    waiting: Mutex<HashMap<String, Waiting>>,
    woken: Condvar,
}

#[derive(Default)]
struct Waiting {
    callers: usize,
    wakes: u64,
}

impl Wakes {
    /// Waits until the entry is woken, at most for that long.
    pub(super) fn wait(&self, entry: &str, at_most: Duration) {
        let deadline = Deadline::after(at_most);
        let mut waiting = lock(&self.waiting);
        let own = waiting.entry(entry.to_owned()).or_default();
        own.callers += 1;
        let seen = own.wakes;
        while waiting.get(entry).is_some_and(|own| own.wakes == seen)
            && let Some(left) = deadline.remaining()
        {
            waiting = self.woken.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(own) = waiting.get_mut(entry) {
            own.callers -= 1;
            if own.callers == 0 {
                waiting.remove(entry);
            }
        }
    }

    pub(super) fn wake(&self, entry: &str) {
        if let Some(waiting) = lock(&self.waiting).get_mut(entry) {
            waiting.wakes += 1;
            self.woken.notify_all();
        }
    }

    /// The connection is lost, and messages with it.
    pub(super) fn wake_all(&self) {
        lock(&self.waiting).values_mut().for_each(|waiting| waiting.wakes += 1);
        self.woken.notify_all();
    }
}
