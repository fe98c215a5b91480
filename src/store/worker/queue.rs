//! The queue of a store: bounded in entries, bytes and payload files, and taken in rounds by one worker.
//!
//! A hand-over that no caller waits for wakes the worker only when it sleeps for good. After a round the worker dozes for a
//! moment, in which hand-overs gather: waking it for each would cost the caller more than all the rest of the hand-over.

use std::{collections::VecDeque, task::Waker, time::Duration};

use super::request::Request;
use crate::{
    clock::Deadline,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, lock},
};

/// The bounds of waiting hand-overs. An entry takes the worker about 15 us, so that a caller who waits for a reply never
/// waits for more than some 60 ms of them.
const MAX_ENTRIES: usize = 4_096;
const MAX_BYTES: u64 = 8 << 20;
/// Of payload files, which are on the disk while they wait: beside a bounded memo they take this much at most.
const MAX_FILES: usize = 64;
const MAX_FILE_BYTES: u64 = 2 << 20;

/// The largest number of requests in one round, and so before one flush.
const ROUND: usize = 256;

/// How long the worker dozes after a round.
const DOZE: Duration = Duration::from_millis(1);

/// The place where other processes call this one while no thread serves them: a worker that sleeps waits here too.
pub(crate) trait Door: Send {
    /// Waits until there is a call, or `waker` woke, or the time is over. Whether there is a call.
    fn wait_for_call(&self, timeout: Option<Duration>) -> bool;

    /// Ends a [`wait_for_call`](Self::wait_for_call), also one that begins later.
    fn waker(&self) -> Waker;

    /// Starts the thread that serves the calls.
    fn open(self: Box<Self>);
}

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// The worker is needed.
    called: Condvar,
    /// Requests were taken: there is room.
    taken: Condvar,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    /// Of the waiting hand-overs.
    load: Load,
    /// Whether the worker waits for any request; else for urgent ones only, or not at all.
    sleeps: bool,
    /// `None` while a thread serves other processes, and where none are served.
    door: Option<Box<dyn Door>>,
    /// Wakes the worker that waits at the door, which is not in its place meanwhile.
    at_door: Option<Waker>,
    /// Whether a request waits that a caller waits for.
    urgent: bool,
    /// The number of callers that wait for room.
    waiting: usize,
    intake: Intake,
}

/// What a caller meets that finds no room.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Intake {
    /// It waits.
    #[default]
    Open,
    /// Another one waited in vain since the last round: it does not wait.
    Congested,
    /// The worker ended.
    Ended,
}

#[derive(Clone, Copy, Default)]
struct Load {
    entries: usize,
    bytes: u64,
    files: usize,
    file_bytes: u64,
}

impl Load {
    fn of(request: &Request) -> Self {
        match request {
            Request::Put(put) => Self { bytes: put.queued_bytes(), ..Self::of_entry(put.file_bytes()) },
            _ => Self::default(),
        }
    }

    /// Of an entry with so many bytes in a payload file.
    fn of_entry(file_bytes: u64) -> Self {
        Self { entries: 1, bytes: 0, files: usize::from(file_bytes > 0), file_bytes }
    }

    fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.files += other.files;
        self.file_bytes += other.file_bytes;
    }

    fn subtract(&mut self, other: Self) {
        self.entries -= other.entries;
        self.bytes -= other.bytes;
        self.files -= other.files;
        self.file_bytes -= other.file_bytes;
    }

    /// A single entry that is too large by itself has room in an empty queue.
    fn has_room_for(&self, other: Self) -> bool {
        self.entries == 0
            || self.entries + other.entries <= MAX_ENTRIES
                && self.bytes + other.bytes <= MAX_BYTES
                && self.files + other.files <= MAX_FILES
                && (other.files == 0 || self.file_bytes + other.file_bytes <= MAX_FILE_BYTES)
    }
}

/// Why a request was not taken up.
pub(crate) enum Rejected {
    /// There was no room in time.
    Full,
    /// The worker ended.
    Ended,
}

impl Queue {
    /// Adds a request of which a caller waits for the reply, or which must not get lost.
    /// Given back if the worker has ended.
    pub(crate) fn send(&self, request: Request) -> Result<(), Box<Request>> {
        let mut state = lock(&self.state);
        if state.intake == Intake::Ended {
            return Err(Box::new(request));
        }
        state.push(request);
        state.urgent = true;
        self.wake(state);
        Ok(())
    }

    /// From here on the worker waits at the door too, until the first call.
    pub(crate) fn wait_at(&self, door: Box<dyn Door>) {
        let mut state = lock(&self.state);
        if state.intake != Intake::Ended {
            state.door = Some(door);
            self.wake(state);
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        match state.at_door.take() {
            Some(waker) => {
                drop(state);
                waker.wake();
            }
            None => self.called.notify_one(),
        }
    }

    /// Waits until there is room for an entry with so many bytes in a payload file, at most for `timeout`. Callers that find
    /// room at the same time may exceed the bounds by an entry each.
    pub(crate) fn reserve(&self, file_bytes: u64, timeout: Duration) -> Result<(), Rejected> {
        let state = lock(&self.state);
        if state.intake == Intake::Ended {
            return Err(Rejected::Ended);
        }
        let next = Load::of_entry(file_bytes);
        if state.load.has_room_for(next) {
            return Ok(());
        }
        self.wait_for_room(state, next, timeout)
    }

    /// Whether there is room at this moment for an entry without a payload file. Callers that look at the same time may exceed the
    /// bounds by an entry each.
    pub(crate) fn has_room(&self) -> bool {
        let state = lock(&self.state);
        state.intake == Intake::Open && state.load.has_room_for(Load::of_entry(0))
    }

    #[cold]
    fn wait_for_room(
        &self,
        mut state: MutexGuard<'_, State>,
        next: Load,
        timeout: Duration,
    ) -> Result<(), Rejected> {
        if state.intake == Intake::Congested {
            return Err(Rejected::Full);
        }
        let deadline = Deadline::after(timeout);
        state.waiting += 1;
        state.urgent = true;
        self.called.notify_one();
        while !state.load.has_room_for(next) && state.intake != Intake::Ended {
            let Some(left) = deadline.remaining() else {
                state.intake = Intake::Congested;
                break;
            };
            state = self.taken.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.waiting -= 1;
        match (state.intake == Intake::Ended, state.load.has_room_for(next)) {
            (true, _) => Err(Rejected::Ended),
            (_, true) => Ok(()),
            (_, false) => Err(Rejected::Full),
        }
    }

    /// Adds a hand-over that no caller waits for. There was room for it a moment ago.
    /// Given back if the worker has ended.
    pub(crate) fn hand_over(&self, request: Request) -> Result<(), Box<Request>> {
        let mut state = lock(&self.state);
        if state.intake == Intake::Ended {
            return Err(Box::new(request));
        }
        state.push(request);
        if state.sleeps {
            state.sleeps = false;
            self.wake(state);
        }
        Ok(())
    }

    /// The requests of the next round, in their order. Waits for them until `deadline`, or for ever; not at all where
    /// `waits` is false. `dozes` has hand-overs gather first.
    pub(super) fn take(&self, waits: bool, dozes: bool, deadline: Option<Deadline>) -> Vec<Request> {
        let mut state = lock(&self.state);
        if waits && dozes && !state.urgent && state.intake != Intake::Ended {
            let doze = deadline.and_then(Deadline::remaining).map_or(DOZE, |left| left.min(DOZE));
            state = self.called.wait_timeout(state, doze).unwrap_or_else(PoisonError::into_inner).0;
        }
        while waits && state.requests.is_empty() && state.intake != Intake::Ended {
            state.sleeps = true;
            let left = deadline.map(Deadline::remaining);
            state = match (left, state.door.take()) {
                (Some(None), door) => {
                    state.door = door;
                    break;
                }
                (left, Some(door)) => self.sleep_at(door, state, left.flatten()),
                (None, None) => self.called.wait(state).unwrap_or_else(PoisonError::into_inner),
                (Some(Some(left)), None) => {
                    self.called.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        // A worker that is busy looks only.
        if let Some(door) = state.door.take() {
            state = self.sleep_at(door, state, Some(Duration::ZERO));
        }
        state.sleeps = false;
        if state.intake == Intake::Congested {
            state.intake = Intake::Open;
        }
        let count = state.requests.len().min(ROUND);
        let round: Vec<Request> = state.requests.drain(..count).collect();
        for request in &round {
            state.load.subtract(Load::of(request));
        }
        state.urgent = !state.requests.is_empty() && state.urgent;
        if state.waiting > 0 {
            self.taken.notify_all();
        }
        round
    }

    /// Waits at the door for a request or a call. A call opens it.
    fn sleep_at<'a>(
        &'a self,
        door: Box<dyn Door>,
        mut state: MutexGuard<'a, State>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        state.at_door = Some(door.waker());
        drop(state);
        let is_called = door.wait_for_call(timeout);
        if is_called {
            door.open();
            state = lock(&self.state);
        } else {
            state = lock(&self.state);
            state.door = Some(door);
        }
        state.at_door = None;
        state
    }

    /// Refuses every request from now on. Requests that wait are dropped, and with them their replies, and the door.
    pub(super) fn end(&self) {
        let mut state = lock(&self.state);
        state.intake = Intake::Ended;
        let left = (std::mem::take(&mut state.requests), state.door.take());
        state.load = Load::default();
        self.taken.notify_all();
        drop(state);
        drop(left);
    }
}

impl State {
    fn push(&mut self, request: Request) {
        self.load.add(Load::of(&request));
        self.requests.push_back(request);
    }
}
