//! Futures that are polled by hand, and a watchdog.

use std::{
    future::{Future, poll_fn},
    panic::Location,
    pin::Pin,
    process,
    sync::{
        Arc, Condvar, Mutex,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

/// Ends the process if a claim hangs. Each claim takes some seconds at most.
pub struct Watchdog {
    _end: Sender<()>,
}

impl Watchdog {
    #[track_caller]
    pub fn start() -> Self {
        Self::for_up_to(Duration::from_secs(60))
    }

    #[track_caller]
    pub fn for_up_to(patience: Duration) -> Self {
        let (end, ended) = mpsc::channel();
        let place = Location::caller();
        thread::spawn(move || {
            if ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                eprintln!("a claim hangs: the one at {place}");
                process::abort();
            }
        });
        Self { _end: end }
    }
}

/// Counts the wakes of a future.
#[derive(Default)]
struct Wakes {
    count: Mutex<u64>,
    woken: Condvar,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        *self.count.lock().unwrap() += 1;
        self.woken.notify_all();
    }
}

/// A future that is polled when the test says so. Dropping this drops the future.
pub struct ByHand<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    wakes: Arc<Wakes>,
    /// The count of wakes at the last poll.
    seen: u64,
}

impl<'a, T> ByHand<'a, T> {
    pub fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self { future: Box::pin(future), wakes: Arc::default(), seen: 0 }
    }

    pub fn poll(&mut self) -> Poll<T> {
        self.seen = *self.wakes.count.lock().unwrap();
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    #[track_caller]
    pub fn is_pending(&mut self) {
        assert!(self.poll().is_pending(), "it has its value already");
    }

    pub fn is_woken(&self) -> bool {
        *self.wakes.count.lock().unwrap() > self.seen
    }

    /// Returns when it was woken since its last poll.
    pub fn until_woken(&self) {
        let count = self.wakes.count.lock().unwrap();
        drop(self.wakes.woken.wait_while(count, |count| *count <= self.seen).unwrap());
    }

    /// Polls it so many times, after each wake. `None` if it is not done by then.
    pub fn polls(&mut self, times: usize) -> Option<T> {
        for time in 0..times {
            if time > 0 {
                self.until_woken();
            }
            if let Poll::Ready(value) = self.poll() {
                return Some(value);
            }
        }
        None
    }

    /// Polls it after each wake until the condition holds.
    pub fn polls_until(&mut self, condition: impl Fn() -> bool) {
        self.is_pending();
        while !condition() {
            self.until_woken();
            self.is_pending();
        }
    }

    /// Polls it at once, and then after each wake, until it is done.
    pub fn finish(mut self) -> T {
        loop {
            if let Poll::Ready(value) = self.poll() {
                return value;
            }
            self.until_woken();
        }
    }

    /// Goes on as a task of an executor.
    pub async fn finish_in_task(mut self) -> T {
        poll_fn(|cx| self.future.as_mut().poll(cx)).await
    }
}
