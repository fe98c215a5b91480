//! A background thread that starts at its first use. Shows release: it ends with the last handle on its pool.
//!
//! ```text
//! cargo run -p examples --example worker_thread
//! ```
//!
//! A thread cannot be kept on disk: it is started once a process, and the hits are in the same run.

use std::{
    sync::mpsc::{self, Sender},
    thread::{self, JoinHandle},
};

use memolith::ResourcePool;

type Job = Box<dyn FnOnce() + Send>;

/// A thread with a queue. Its drop is the release: the drop closes the queue, and waits for the thread.
struct Worker {
    /// `Some` until the drop.
    queue: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start() -> Self {
        timed::ran();
        let (queue, jobs) = mpsc::channel::<Job>();
        let thread = thread::spawn(move || jobs.into_iter().for_each(|job| job()));
        Self { queue: Some(queue), thread: Some(thread) }
    }

    /// Runs `job` on the worker and waits for its result; `None` if the job panicked.
    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = mpsc::channel();
        let job = move || {
            let _ = answer.send(job());
        };
        self.queue.as_ref()?.send(Box::new(job)).ok()?;
        answered.recv().ok()
    }

    fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.queue.take());
        let ended = self.thread.take().map(JoinHandle::join);
        println!("the worker ended{}", if matches!(ended, Some(Err(_))) { " by a panic" } else { "" });
    }
}

/// All callers use the one worker.
fn square(pool: &ResourcePool, number: u64) -> Option<u64> {
    pool.entry("worker").validate(Worker::is_alive).or_insert_with(Worker::start).run(move || number * number)
}

fn main() {
    let pool = ResourcePool::new();
    let ask = |number| timed::resource(format_args!("{number} squared"), || square(&pool, number));
    thread::scope(|scope| {
        let callers = [1, 2, 3, 4].map(|number| scope.spawn(move || ask(number)));
        let squares: Vec<_> = callers.into_iter().filter_map(|caller| caller.join().ok().flatten()).collect();
        println!("by one worker: {squares:?}");
    });
    println!("{:?}", ask(5));

    let worker = pool.get::<Worker>("worker");
    let lost = worker.as_ref().and_then(|worker| {
        worker.run(|| -> u64 {
            std::panic::resume_unwind(Box::new("a job that panics takes the thread along"))
        })
    });
    assert_eq!(lost, None);
    while worker.as_ref().is_some_and(|worker| worker.is_alive()) {
        thread::yield_now();
    }
    drop(worker);
    println!("the next caller finds it dead, and gets a new one:");
    println!("{:?}", ask(6));
    // The drop of the last handle releases the worker.
    drop(pool);
    println!("the end");
}
