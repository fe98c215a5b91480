//! The threads of the process for work that no caller waits for.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::{
    clock::Deadline,
    fork,
    sync::{Condvar, Mutex, PoisonError, lock, thread},
};

const MOST_THREADS: usize = 4;

/// More jobs do not wait.
const LONGEST_QUEUE: usize = 64;

/// A thread ends after so long without work.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// The threads of one process. A forked child has its own, because its parent's do not exist there.
struct Threads {
    state: Mutex<State>,
    /// A job was queued.
    queued: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    count: usize,
    /// How many of them wait for a job.
    idle: usize,
}

impl Threads {
    const fn new() -> Self {
        let state = State { jobs: VecDeque::new(), count: 0, idle: 0 };
        Self { state: Mutex::new(state), queued: Condvar::new() }
    }

    fn run(&'static self, job: Job) -> bool {
        let mut state = lock(&self.state);
        if state.jobs.len() >= LONGEST_QUEUE {
            return false;
        }
        if state.idle <= state.jobs.len() && state.count < MOST_THREADS {
            let started = thread::Builder::new().name("memolith-refresh".into()).spawn(|| self.work());
            if started.is_ok() {
                state.count += 1;
            } else if state.count == 0 {
                return false;
            }
        }
        state.jobs.push_back(job);
        drop(state);
        self.queued.notify_one();
        true
    }

    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            let Some(job) = state.jobs.pop_front() else {
                let deadline = Deadline::after(IDLE);
                while state.jobs.is_empty()
                    && let Some(left) = deadline.remaining()
                {
                    state.idle += 1;
                    state = self.queued.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                    state.idle -= 1;
                }
                if state.jobs.is_empty() {
                    state.count -= 1;
                    return;
                }
                continue;
            };
            drop(state);
            // Jobs contain the panics of users. What is dropped at their end may panic too.
            let _ = catch_unwind(AssertUnwindSafe(job));
            state = lock(&self.state);
        }
    }
}

/// Runs a job on another thread. `false`: too many wait, or no thread can be started. The job is dropped then.
pub(crate) fn run(job: impl FnOnce() + Send + 'static) -> bool {
    static THREADS: [Threads; 8] = [const { Threads::new() }; 8];
    let [first, ..] = &THREADS;
    THREADS.get(fork::generation().min(7) as usize).unwrap_or(first).run(Box::new(job))
}
