//! A thread of the process that looks after waits of tasks: a task has no thread of its own that could wake by itself.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    clock::moment,
    fork,
    sync::{Condvar, Mutex, PoisonError, contained, lock, thread},
};

/// The thread ends after so long without anything to look after.
const IDLE: Duration = Duration::from_secs(10);

/// Between two looks at the same thing.
const SHORTEST: Duration = Duration::from_millis(1);

/// Looks after something, and returns the time until the next look; `None` when there is no more to look after.
type Look = Box<dyn FnMut() -> Option<Duration> + Send>;

/// The timer of one process. A forked child has its own, because its parent's thread does not exist there.
struct Timer {
    state: Mutex<State>,
    /// Something is to be looked at earlier than anything before.
    earlier: Condvar,
}

struct State {
    /// By the time of their next look, and a number.
    looks: BTreeMap<(Instant, u64), Look>,
    next: u64,
    has_thread: bool,
}

impl State {
    fn insert(&mut self, when: Instant, look: Look) {
        self.looks.insert((when, self.next), look);
        self.next += 1;
    }

    fn first(&self) -> Option<Instant> {
        self.looks.first_key_value().map(|((when, _), _)| *when)
    }
}

impl Timer {
    const fn new() -> Self {
        let state = State { looks: BTreeMap::new(), next: 0, has_thread: false };
        Self { state: Mutex::new(state), earlier: Condvar::new() }
    }

    fn look_after(&'static self, when: Instant, look: Look) -> bool {
        let mut state = lock(&self.state);
        if !state.has_thread {
            let started = thread::Builder::new().name("memolith-timer".into()).spawn(|| self.work());
            if started.is_err() {
                return false;
            }
            state.has_thread = true;
        }
        let is_earlier = state.first().is_none_or(|first| when < first);
        state.insert(when, look);
        drop(state);
        if is_earlier {
            self.earlier.notify_one();
        }
        true
    }

    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            let now = moment();
            let left = state.first().map_or(IDLE, |first| first.saturating_duration_since(now));
            if !left.is_zero() {
                let is_idle = state.looks.is_empty();
                let (locked, waited) =
                    self.earlier.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
                state = locked;
                if is_idle && waited.timed_out() && state.looks.is_empty() {
                    state.has_thread = false;
                    return;
                }
                continue;
            }
            let Some((_, mut look)) = state.looks.pop_first() else { continue };
            drop(state);
            // It may wake tasks, whose wakers are foreign code.
            let mut next = None;
            contained(|| next = look());
            let next = next.and_then(|delay| moment().checked_add(delay.max(SHORTEST)));
            state = lock(&self.state);
            if let Some(when) = next {
                state.insert(when, look);
            } else {
                drop(state);
                contained(|| drop(look));
                state = lock(&self.state);
            }
        }
    }
}

/// Looks at once, and after the time that each look returns. `false`: there is no thread for that.
pub(crate) fn look_after(mut look: impl FnMut() -> Option<Duration> + Send + 'static) -> bool {
    static TIMERS: [Timer; 8] = [const { Timer::new() }; 8];
    let Some(when) = look().map(|delay| moment().checked_add(delay.max(SHORTEST))) else { return true };
    let [first, ..] = &TIMERS;
    let timer = TIMERS.get(fork::generation().min(7) as usize).unwrap_or(first);
    when.is_none_or(|when| timer.look_after(when, Box::new(look)))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_look_comes_again_until_there_is_no_more_to_look_after() {
        let (sender, looks) = mpsc::channel();
        let mut left = 3;
        assert!(look_after(move || {
            left -= 1;
            sender.send(left).unwrap();
            (left > 0).then_some(Duration::from_millis(1))
        }));
        assert_eq!(looks.iter().collect::<Vec<_>>(), [2, 1, 0]);
    }

    #[test]
    fn a_look_that_panics_is_the_last_one_and_others_go_on() {
        let (sender, looks) = mpsc::channel();
        let mut is_first = true;
        assert!(look_after(move || {
            assert!(std::mem::take(&mut is_first), "a planted panic");
            Some(Duration::ZERO)
        }));
        let mut left = 2;
        assert!(look_after(move || {
            left -= 1;
            sender.send(()).unwrap();
            (left > 0).then_some(Duration::from_millis(20))
        }));
        assert_eq!(looks.iter().count(), 2);
    }
}
