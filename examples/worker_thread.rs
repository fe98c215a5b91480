//! A background thread that starts at its first use and ends when it is released.
//!
//! ```text
//! cargo run --release --example worker_thread
//! ```

use std::{
    sync::mpsc::{self, Sender},
    thread::{self, JoinHandle},
};

use memolith::ResourcePool;

type Job = Box<dyn FnOnce() + Send>;

/// A thread with a queue. Dropping it is its release: the queue is closed, and the thread waited for.
struct Worker {
    /// `Some` until the drop.
    queue: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start() -> Self {
        println!("the worker starts");
        let (queue, jobs) = mpsc::channel::<Job>();
        let thread = thread::spawn(move || jobs.into_iter().for_each(|job| job()));
        Self { queue: Some(queue), thread: Some(thread) }
    }

    /// Runs `job` on the worker and waits for what it returns; `None` if it panicked.
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

/// On the one worker, whoever asks.
fn square(pool: &ResourcePool, number: u64) -> Option<u64> {
    pool.entry("worker").validate(Worker::is_alive).or_insert_with(Worker::start).run(move || number * number)
}

fn main() {
    let pool = ResourcePool::new();
    thread::scope(|scope| {
        let callers: Vec<_> = (1..=4)
            .map(|number| {
                scope.spawn({
                    let pool = &pool;
                    move || square(pool, number)
                })
            })
            .collect();
        let squares: Vec<_> = callers.into_iter().filter_map(|caller| caller.join().ok().flatten()).collect();
        println!("squares by one worker: {squares:?}");
    });

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
    println!("the next caller finds it dead, and gets a new one: {:?}", square(&pool, 5));
    // The last handle goes, and with it the worker.
    drop(pool);
    println!("the end");
}
