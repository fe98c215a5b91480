//! The threads of the process for work that no thread of a caller does: refreshes behind a hit, and the long steps of tasks.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use crate::{
    clock::Deadline,
    context::Context,
    fork,
    sync::{Condvar, Mutex, PoisonError, contained, lock, thread},
};

/// A thread ends after so long without work.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// Threads of one process for one kind of work. A forked child has its own, because its parent's do not exist there.
struct Threads {
    limits: Limits,
    state: Mutex<State>,
    /// A job was queued.
    queued: Condvar,
}

#[derive(Clone, Copy)]
struct Limits {
    name: &'static str,
    threads: usize,
    /// More jobs do not wait for a thread.
    queue: usize,
}

struct State {
    jobs: VecDeque<Job>,
    count: usize,
    /// How many of them wait for a job.
    idle: usize,
}

impl Threads {
    const fn new(limits: Limits) -> Self {
        let state = State { jobs: VecDeque::new(), count: 0, idle: 0 };
        Self { limits, state: Mutex::new(state), queued: Condvar::new() }
    }

    /// Gives the job back that cannot be taken on.
    fn run(&'static self, job: Job) -> Result<(), Job> {
        let Limits { name, threads, queue } = self.limits;
        let mut state = lock(&self.state);
        if state.jobs.len() >= queue {
            return Err(job);
        }
        if state.idle <= state.jobs.len() && state.count < threads {
            let started = thread::Builder::new().name(name.into()).spawn(|| self.work());
            if started.is_ok() {
                state.count += 1;
            } else if state.count == 0 {
                return Err(job);
            }
        }
        state.jobs.push_back(job);
        drop(state);
        self.queued.notify_one();
        Ok(())
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
            contained(job);
            state = lock(&self.state);
        }
    }
}

/// The threads of each fork generation.
struct Generations([Threads; 8]);

impl Generations {
    const fn new(limits: Limits) -> Self {
        Self([
            Threads::new(limits),
            Threads::new(limits),
            Threads::new(limits),
            Threads::new(limits),
            Threads::new(limits),
            Threads::new(limits),
            Threads::new(limits),
            Threads::new(limits),
        ])
    }

    fn current(&'static self) -> &'static Threads {
        let [first, ..] = &self.0;
        self.0.get(fork::generation().min(7) as usize).unwrap_or(first)
    }
}

/// Runs a computation of the user on another thread. `false`: too many wait, or no thread can be started. The job is dropped
/// then.
pub(crate) fn refresh(job: impl FnOnce() + Send + 'static) -> bool {
    static THREADS: Generations =
        Generations::new(Limits { name: "memolith-refresh", threads: 4, queue: 64 });
    THREADS.current().run(Box::new(job)).is_ok()
}

/// Runs something that waits for the answer of a server on another thread, if there is one to be had.
pub(crate) fn wait(job: impl FnOnce() + Send + 'static) -> bool {
    WAITING.current().run(Box::new(job)).is_ok()
}

static WAITING: Generations =
    Generations::new(Limits { name: "memolith-wait", threads: 64, queue: usize::MAX });

/// How long a step of a task may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// A few microseconds: it runs where the task is polled.
    Quick,
    /// It clones, encodes or decodes much.
    Long,
    /// It waits for the disk or for the answer of another process.
    Waiting,
    /// It may wait for a computation of another process.
    Elsewhere,
}

/// Runs a step of a task, as a part of its computation, on the thread that polls the task or on one of the threads here. Without
/// one it runs where it is polled.
///
/// A step that waits for a computation may wait for one that needs a step of its own: those have threads that no such wait takes.
pub(crate) async fn step<R: Send + 'static>(
    pace: Pace,
    context: Context,
    step: impl FnOnce() -> R + Send + 'static,
) -> R {
    static LONG: Generations =
        Generations::new(Limits { name: "memolith-task", threads: 4, queue: usize::MAX });
    static ELSEWHERE: Generations =
        Generations::new(Limits { name: "memolith-guest", threads: 1_024, queue: usize::MAX });
    let threads = match pace {
        Pace::Quick => return context.run(step),
        Pace::Long => &LONG,
        Pace::Waiting => &WAITING,
        Pace::Elsewhere => &ELSEWHERE,
    };
    let (sender, result) = oneshot::channel();
    let job: Job = Box::new(move || {
        let result = catch_unwind(AssertUnwindSafe(|| context.run(step)));
        // A task that was dropped needs it no more.
        drop(sender.send(result));
    });
    if let Err(job) = threads.current().run(job) {
        job();
    }
    match result.await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => resume_unwind(panic),
        // Every job is run.
        Err(_) => unreachable!("a step was dropped"),
    }
}
