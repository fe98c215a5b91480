//! Signs of life of a task: whether it was woken and is not polled, and the thread that polled it last.

use std::{
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use crate::{
    clock::Stopwatch,
    context::Caller,
    sync::{Mutex, lock},
};

/// Of one call of a task. Its poller and its wakers write, and those that wait for it read.
pub(crate) struct Pulse {
    began: Stopwatch,
    /// A task that was woken and is not polled for so long is given up.
    max_stall: Duration,
    /// Milliseconds from the beginning to the wake after which it was not polled, and 1; 0: it waits for a wake.
    woken: AtomicU64,
    /// Whether it is polled at this moment.
    is_polled: AtomicBool,
    /// The thread that polled it last.
    polled_by: AtomicU64,
}

impl Pulse {
    pub(crate) fn new(max_stall: Duration) -> Self {
        let polled_by = AtomicU64::new(Caller::of_thread().number());
        let (woken, is_polled) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { began: Stopwatch::monotonic(), max_stall, woken, is_polled, polled_by }
    }

    /// It is polled until the guard is dropped. If it is woken meanwhile, the time until its next poll counts from the end of this
    /// one.
    fn poll(&self) -> Polled<'_> {
        self.polled();
        self.polled_by.store(Caller::of_thread().number(), Relaxed);
        self.is_polled.store(true, Release);
        Polled(self)
    }

    /// The wakes until here were for the poll of now.
    pub(super) fn polled(&self) {
        self.woken.store(0, Relaxed);
    }

    pub(super) fn woken(&self) {
        let _ = self.woken.compare_exchange(0, self.now(), Relaxed, Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Whether it was woken, and was not polled for as long as it may take.
    pub(super) fn is_stalled(&self) -> bool {
        if self.is_polled.load(Acquire) {
            return false;
        }
        let woken = self.woken.load(Relaxed);
        let since = Duration::from_millis(woken.saturating_sub(1));
        woken != 0 && self.began.elapsed().saturating_sub(since) >= self.max_stall
    }

    /// How often one that waits looks after it.
    pub(super) fn interval(&self) -> Duration {
        (self.max_stall / 4).max(Duration::from_millis(1))
    }

    pub(super) fn polled_by(&self) -> Caller {
        Caller(self.polled_by.load(Relaxed))
    }
}

/// A poll of a task.
struct Polled<'a>(&'a Pulse);

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        let Self(pulse) = self;
        if pulse.woken.load(Relaxed) != 0 {
            pulse.woken.store(pulse.now(), Relaxed);
        }
        pulse.is_polled.store(false, Release);
    }
}

/// A future whose polls and wakes are noted.
pub(crate) struct WithPulse<F> {
    pulse: Arc<Pulse>,
    /// Held by those that wake the task only: it holds the waker of the task, which may own this.
    waker: Weak<PulseWaker>,
    future: Pin<Box<F>>,
}

impl<F: Future> WithPulse<F> {
    pub(crate) fn new(max_stall: Duration, begin: impl FnOnce(Arc<Pulse>) -> F) -> Self {
        let pulse = Arc::new(Pulse::new(max_stall));
        let future = Box::pin(begin(Arc::clone(&pulse)));
        Self { pulse, waker: Weak::new(), future }
    }
}

impl<F: Future> Future for WithPulse<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { pulse, waker, future } = &mut *self;
        let _polled = pulse.poll();
        let current = waker.upgrade().inspect(|waker| waker.follow(cx.waker()));
        let current =
            current.unwrap_or_else(|| Arc::new(PulseWaker::new(Arc::clone(pulse), cx.waker().clone())));
        *waker = Arc::downgrade(&current);
        let waker = Waker::from(current);
        future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// Wakes a task, and notes that.
struct PulseWaker {
    pulse: Arc<Pulse>,
    /// Of the last poll.
    task: Mutex<Waker>,
}

impl PulseWaker {
    fn new(pulse: Arc<Pulse>, task: Waker) -> Self {
        Self { pulse, task: Mutex::new(task) }
    }

    /// The task is polled with this waker from now on.
    fn follow(&self, waker: &Waker) {
        let mut task = lock(&self.task);
        if !task.will_wake(waker) {
            let old = std::mem::replace(&mut *task, waker.clone());
            drop(task);
            drop(old);
        }
    }
}

impl Wake for PulseWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.pulse.woken();
        let task = lock(&self.task).clone();
        task.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::explore;

    #[test]
    fn a_task_that_was_woken_is_stalled_until_it_is_polled() {
        explore(|| {
            let pulse = Pulse::new(Duration::ZERO);
            assert!(!pulse.is_stalled(), "it waits for a wake");
            pulse.woken();
            assert!(pulse.is_stalled());
            pulse.polled();
            assert!(!pulse.is_stalled());
            let patient = Pulse::new(Duration::MAX);
            patient.woken();
            assert!(!patient.is_stalled());
            assert_eq!(patient.polled_by(), Caller::of_thread());
        });
    }

    #[test]
    fn a_waker_wakes_the_task_that_polled_last() {
        explore(|| {
            struct Count(AtomicU64);
            impl Wake for Count {
                fn wake(self: Arc<Self>) {
                    self.0.fetch_add(1, Relaxed);
                }
            }
            let tasks = [(); 2].map(|()| Arc::new(Count(AtomicU64::new(0))));
            let pulse = Arc::new(Pulse::new(Duration::ZERO));
            let [first, second] = tasks.clone().map(Waker::from);
            let waker = Arc::new(PulseWaker::new(Arc::clone(&pulse), first));
            Waker::from(Arc::clone(&waker)).wake();
            waker.follow(&second);
            Waker::from(waker).wake();
            assert_eq!(tasks.map(|task| task.0.load(Relaxed)), [1, 1]);
            assert!(pulse.is_stalled());
        });
    }
}
