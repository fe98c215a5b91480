//! Threads with a watchdog: a deadlock is a failure, and a waiting thread is seen to wait.

use std::{
    fs,
    panic::resume_unwind,
    path::PathBuf,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use memolith::{
    Result,
    codec::{Codec, Payload, Postcard, Shape},
};

/// Each scenario takes less than a second. Only a deadlock takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a scenario on a thread of its own, so that a deadlock in it fails instead of hanging.
#[track_caller]
pub fn watched<T: Send + 'static>(scenario: impl FnOnce() -> T + Send + 'static) -> T {
    let (end, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        let outcome = scenario();
        let _ = end.send(());
        outcome
    });
    match ended.recv_timeout(PATIENCE) {
        Err(RecvTimeoutError::Timeout) => panic!("a deadlock: the scenario does not end"),
        // The scenario ended. A closed channel means that it panicked.
        _ => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
    }
}

/// A thread that can be seen to sleep.
pub struct Caller<T> {
    thread: JoinHandle<T>,
    /// The file in which Linux describes the thread.
    status: PathBuf,
}

impl<T: Send + 'static> Caller<T> {
    pub fn start(call: impl FnOnce() -> T + Send + 'static) -> Self {
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            tell.send(fs::read_link("/proc/thread-self").unwrap_or_default()).unwrap();
            call()
        });
        let status = PathBuf::from("/proc").join(told.recv().unwrap()).join("status");
        Self { thread, status }
    }

    /// The result of the call. A panic of the call is resumed here.
    #[track_caller]
    pub fn join(self) -> T {
        self.outcome().unwrap_or_else(|panic| resume_unwind(panic))
    }

    pub fn outcome(self) -> thread::Result<T> {
        self.thread.join()
    }

    /// The number of times that it fell asleep, if it sleeps now.
    fn sleep(&self) -> Option<String> {
        let status = fs::read_to_string(&self.status).ok()?;
        let line = |name: &str| status.lines().find(|line| line.starts_with(name));
        line("State:\tS").and(line("voluntary_ctxt_switches:")).map(str::to_owned)
    }
}

/// Returns once all of them sleep, and none has woken for a while. By then each waiter for a leader is in the queue.
pub fn until_asleep<T: Send + 'static>(callers: &[Caller<T>]) {
    let look = || callers.iter().map(Caller::sleep).collect::<Option<Vec<_>>>();
    let (mut before, mut unchanged) = (None, 0);
    while unchanged < 20 {
        thread::yield_now();
        let now = look();
        unchanged = if now.is_some() && now == before { unchanged + 1 } else { 0 };
        before = now;
    }
}

/// Returns once the caller is done, or has slept for a while.
pub fn until_still<T: Send + 'static>(caller: &Caller<T>) {
    let (mut before, mut unchanged) = (None, 0);
    while unchanged < 20 && !caller.thread.is_finished() {
        thread::yield_now();
        let now = caller.sleep();
        unchanged = if now.is_some() && now == before { unchanged + 1 } else { 0 };
        before = now;
    }
}

/// A point at which a thread stops until it is released.
pub struct Gate {
    reach: Sender<()>,
    released: Receiver<()>,
}

/// The other side of a [`Gate`].
pub struct Keeper {
    reached: Receiver<()>,
    release: Sender<()>,
}

pub fn gate() -> (Gate, Keeper) {
    let (reach, reached) = mpsc::channel();
    let (release, released) = mpsc::channel();
    (Gate { reach, released }, Keeper { reached, release })
}

impl Gate {
    /// Reports to the keeper, and waits until the keeper releases it or gives up.
    pub fn pass(self) {
        let _ = self.reach.send(());
        let _ = self.released.recv();
    }
}

impl Keeper {
    /// Waits until the thread stands at the gate.
    #[track_caller]
    pub fn reached(&self) {
        self.reached.recv_timeout(PATIENCE).unwrap();
    }

    pub fn release(self) {
        let _ = self.release.send(());
    }
}

/// Postcard that calls a function before each decoding.
pub struct Observed<F>(pub F);

impl<V, F: Fn() + Send + Sync + 'static> Codec<V> for Observed<F>
where
    Postcard: Codec<V>,
{
    #[expect(clippy::unnecessary_literal_bound, reason = "the signature is the trait's")]
    fn id(&self) -> &str {
        "observed"
    }

    fn shape(&self) -> Result<Shape> {
        Postcard.shape()
    }

    fn encode(&self, value: &V, out: &mut dyn std::io::Write) -> Result<()> {
        Postcard.encode(value, out)
    }

    fn decode(&self, payload: &Payload) -> Result<V> {
        (self.0)();
        Postcard.decode(payload)
    }
}
