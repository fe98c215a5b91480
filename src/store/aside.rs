//! Work on a thread of its own, so that whoever waits for it can stop waiting.
//!
//! A call that hangs cannot be taken back from outside; it can only be left to its thread. The threads are kept for a while
//! for the next call: there and back takes 4 us when calls follow each other, 10 us when the other thread sleeps, and a
//! thread takes 30 us to make.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    thread::Result,
    time::Duration,
};

use crate::{
    store::patience::Patience,
    sync::{Condvar, Mutex, PoisonError, lock, thread},
};

/// For how long a thread without work is kept.
const IDLE: Duration = Duration::from_secs(10);

/// How many of them.
const MOST_IDLE: usize = 8;

/// Runs `work` on another thread, and waits for it for as long as `patience` lasts. `None` when it did not come back by then:
/// it goes on, and what it comes to is dropped. A panic goes on here. Where no thread is to be had, it runs on this one.
pub(super) fn run<T: Send + 'static>(
    patience: Patience,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let errand = Arc::new(Errand { stage: Mutex::new(Stage::Asked(work)), done: Condvar::new() });
    match Helper::any() {
        Some(helper) => helper.send(Arc::clone(&errand) as Arc<dyn Run>),
        None => errand.run(),
    }
    errand.outcome(patience).map(|outcome| outcome.unwrap_or_else(|panic| resume_unwind(panic)))
}

/// Runs `work` on another thread, and does not wait for it. `false` when there is no thread to be had: then it did not run.
pub(super) fn send(work: impl FnOnce() + Send + 'static) -> bool {
    let Some(helper) = Helper::any() else { return false };
    helper.send(Arc::new(Errand { stage: Mutex::new(Stage::Asked(work)), done: Condvar::new() }));
    true
}

/// A piece of work and what came of it.
struct Errand<F, T> {
    stage: Mutex<Stage<F, T>>,
    done: Condvar,
}

enum Stage<F, T> {
    Asked(F),
    Done(Result<T>),
    /// Somebody works on it.
    Nothing,
    /// Nobody waits for it any more, and it is not begun if it was not.
    Abandoned(Option<F>),
}

trait Run: Send + Sync {
    fn run(&self);
    /// Wakes who waits for it.
    fn tell(&self);
}

impl<F: FnOnce() -> T + Send, T: Send> Run for Errand<F, T> {
    fn run(&self) {
        let mut stage = lock(&self.stage);
        let asked = std::mem::replace(&mut *stage, Stage::Nothing);
        drop(stage);
        let outcome = catch_unwind(AssertUnwindSafe(|| match asked {
            Stage::Asked(work) => Some(work()),
            // What it holds is dropped here, where that may hang or panic: it may be sled's.
            _ => None,
        }));
        let Some(outcome) = outcome.transpose() else { return };
        let mut stage = lock(&self.stage);
        if matches!(*stage, Stage::Nothing) {
            *stage = Stage::Done(outcome);
        } else {
            drop(stage);
            // Likewise.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(outcome)));
        }
    }

    fn tell(&self) {
        self.done.notify_one();
    }
}

impl<F, T> Errand<F, T> {
    fn outcome(&self, patience: Patience) -> Option<Result<T>> {
        let mut stage = lock(&self.stage);
        let mut left = patience.slices;
        while left > 0 && !matches!(*stage, Stage::Done(_)) {
            let waited =
                self.done.wait_timeout(stage, Patience::SLICE).unwrap_or_else(PoisonError::into_inner);
            stage = waited.0;
            left -= u32::from(waited.1.timed_out());
        }
        match std::mem::replace(&mut *stage, Stage::Abandoned(None)) {
            Stage::Done(outcome) => return Some(outcome),
            Stage::Asked(work) => *stage = Stage::Abandoned(Some(work)),
            Stage::Nothing | Stage::Abandoned(_) => {}
        }
        None
    }
}

/// A thread that runs one errand after the other.
#[derive(Default)]
struct Helper {
    errand: Mutex<Option<Arc<dyn Run>>>,
    called: Condvar,
}

/// Those without an errand, the last one that came back on top.
static IDLE_HELPERS: Mutex<Vec<Arc<Helper>>> = Mutex::new(Vec::new());

impl Helper {
    /// One without an errand, or a new one.
    fn any() -> Option<Arc<Self>> {
        if let Some(idle) = lock(&IDLE_HELPERS).pop() {
            return Some(idle);
        }
        let new = Arc::new(Self::default());
        let helper = Arc::clone(&new);
        thread::Builder::new().name("memolith-aside".into()).spawn(move || helper.work()).ok()?;
        Some(new)
    }

    fn send(&self, errand: Arc<dyn Run>) {
        *lock(&self.errand) = Some(errand);
        self.called.notify_one();
    }

    fn work(self: Arc<Self>) {
        while let Some(errand) = self.next() {
            errand.run();
            // Before who waits is told: he may come again at once.
            let mut idle = lock(&IDLE_HELPERS);
            let is_needed = idle.len() < MOST_IDLE;
            if is_needed {
                idle.push(Arc::clone(&self));
            }
            drop(idle);
            errand.tell();
            if !is_needed {
                return;
            }
        }
    }

    /// `None` when nobody asked for a while.
    fn next(self: &Arc<Self>) -> Option<Arc<dyn Run>> {
        let mut errand = lock(&self.errand);
        loop {
            if let Some(errand) = errand.take() {
                return Some(errand);
            }
            let (again, waited) =
                self.called.wait_timeout(errand, IDLE).unwrap_or_else(PoisonError::into_inner);
            errand = again;
            if waited.timed_out() && errand.is_none() {
                let mut idle = lock(&IDLE_HELPERS);
                let before = idle.len();
                idle.retain(|helper| !Arc::ptr_eq(helper, self));
                if idle.len() < before {
                    return None;
                }
                // Somebody has just taken it off the list: an errand is on its way.
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn patient() -> Patience {
        Patience::of(Duration::from_secs(60))
    }

    #[test]
    fn what_is_done_aside_comes_back() {
        let here = thread::current().id();
        for number in 0..100 {
            let (seen, by) = run(patient(), move || (number, thread::current().id())).unwrap();
            assert_eq!(seen, number);
            assert_ne!(by, here);
        }
    }

    #[test]
    fn what_does_not_come_back_is_not_waited_for() {
        let (release, gate) = mpsc::channel::<()>();
        let (done, ended) = mpsc::channel();
        let outcome = run(Patience::of(Duration::ZERO), move || {
            let _ = gate.recv();
            done.send(()).unwrap();
        });
        assert_eq!(outcome, None);
        assert_eq!(run(patient(), || 7), Some(7), "by another thread");
        drop(release);
        ended.recv().unwrap();
    }

    #[test]
    fn a_panic_goes_on_where_it_is_waited_for_and_costs_no_thread() {
        let panic = catch_unwind(|| run(patient(), || resume_unwind(Box::new("its own words")))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"its own words"));
        assert_eq!(run(patient(), || 7), Some(7));
    }

    #[test]
    fn many_at_once_each_have_their_own_answer() {
        thread::scope(|scope| {
            for caller in 0..16_u64 {
                scope.spawn(move || {
                    for turn in 0..200 {
                        assert_eq!(run(patient(), move || caller << 32 | turn), Some(caller << 32 | turn));
                    }
                });
            }
        });
        assert!(lock(&IDLE_HELPERS).len() <= MOST_IDLE);
    }
}
