//! A guest's connection to its host, shared by the threads of the guest.
//!
//! A thread that waits for an answer reads for all while no other does, so that a single caller pays a bare round trip and no
//! change of threads. A host that says nothing for some seconds, while it is asked each second whether it is there, counts
//! as gone: it may be stopped by a debugger, and what comes from it later is not used.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    message::{self, Answer, Call},
    socket::{Reader, Stream, Writer, split},
};
use crate::{
    clock::Deadline,
    store::worker::Put,
    sync::{Condvar, Mutex, PoisonError, lock},
};

/// How often a host that has not answered is asked whether it is there.
const PING: Duration = Duration::from_secs(1);

/// Values that were sent and are not known to have arrived. A guest waits before it sends more.
const MAX_UNANSWERED: usize = 256;
const MAX_UNANSWERED_BYTES: usize = 1 << 20;

/// The number of a frame that is no call, and gets no answer.
const NO_CALL: u32 = 0;

/// The connection is lost.
pub(super) struct Lost;

pub(super) struct Link {
    /// Unique in this process.
    pub(super) id: u64,
    stream: Arc<Stream>,
    writer: Mutex<Writer>,
    reader: Mutex<Reader>,
    state: Mutex<State>,
    /// An answer came, no thread reads any more, or the connection is lost.
    changed: Condvar,
}

struct State {
    /// Of the last call.
    last_call: u32,
    /// The calls under way.
    calls: HashMap<u32, Under>,
    /// The bytes of values that are under way and that no caller waits for.
    unanswered_bytes: usize,
    unanswered: usize,
    /// Whether a thread reads for all.
    is_read: bool,
    /// How long the host may say nothing.
    timeout: Duration,
    /// Until when something must be heard of the host, while a call is under way.
    silence: Deadline,
    is_lost: bool,
    /// Whether a value was sent that no flush covers.
    is_unflushed: bool,
}

/// A call that is under way.
enum Under {
    Awaited,
    Answered(Vec<u8>),
    /// A value that no caller waits for, and the size of its frame.
    Sent(Box<Put>, usize),
}

impl Link {
    pub(super) fn new(stream: Stream, timeout: Duration) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (writer, reader) = split(stream);
        let state = State {
            last_call: NO_CALL,
            calls: HashMap::new(),
            unanswered_bytes: 0,
            unanswered: 0,
            is_read: false,
            timeout,
            silence: Deadline::after(timeout),
            is_lost: false,
            is_unflushed: false,
        };
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            stream: Arc::clone(writer.stream()),
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub(super) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// From here on the host may say nothing for so long.
    pub(super) fn set_timeout(&self, timeout: Duration) {
        lock(&self.state).timeout = timeout;
    }

    pub(super) fn is_lost(&self) -> bool {
        lock(&self.state).is_lost
    }

    /// Nothing is sent or used any more. The callers that wait find that it is lost.
    pub(super) fn lose(&self) {
        lock(&self.state).is_lost = true;
        // The host lets go of what this process led, and the thread that watches wakes.
        self.stream.shut_down();
        self.changed.notify_all();
    }

    /// Sends a call and waits for its answer, which `message::decode` reads.
    pub(super) fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, Lost> {
        let number = self.begin(call)?;
        self.answer(number, None)
    }

    /// Sends a call; its answer is waited for by [`answer`](Self::answer). Its number.
    pub(super) fn begin(&self, call: &Call<'_>) -> Result<u32, Lost> {
        let number = self.number(Under::Awaited)?;
        self.send_frame(&message::encode(number, call))?;
        Ok(number)
    }

    /// Sends a call that gets no answer.
    pub(super) fn tell(&self, call: &Call<'_>) -> Result<(), Lost> {
        self.send_frame(&message::encode(NO_CALL, call))
    }

    /// Sends a value that no caller waits for. It waits when too much is under way. An error has the value, unless it stands among
    /// those that were sent.
    pub(super) fn hand_over(&self, put: Box<Put>, call: &Call<'_>) -> Result<(), Option<Box<Put>>> {
        let frame = message::encode(NO_CALL, call);
        let size = frame.len();
        while lock(&self.state).is_congested(size) {
            if self.read_once(PING).is_err() {
                return Err(Some(put));
            }
        }
        // From here on it is among the values that were sent.
        let number = self.number_of_put(put, size).map_err(Some)?;
        self.send_frame(&message::renumber(frame, number)).map_err(|Lost| None)
    }

    fn number_of_put(&self, put: Box<Put>, size: usize) -> Result<u32, Box<Put>> {
        let mut state = lock(&self.state);
        if state.is_lost {
            return Err(put);
        }
        state.is_unflushed = true;
        state.unanswered += 1;
        state.unanswered_bytes += size;
        Ok(state.add(Under::Sent(put, size)))
    }

    /// When the connection is lost: the values that were sent and not answered, once what came is read.
    pub(super) fn take_unanswered(&self) -> Unanswered {
        let answered = self.read_rest();
        let mut state = lock(&self.state);
        let mut calls: Vec<_> = std::mem::take(&mut state.calls).into_iter().collect();
        calls.sort_by_key(|(number, _)| *number);
        let mut puts = Vec::new();
        for (number, under) in calls {
            match under {
                Under::Sent(put, _) => puts.push(*put),
                other => drop(state.calls.insert(number, other)),
            }
        }
        (state.unanswered, state.unanswered_bytes) = (0, 0);
        Unanswered { puts, _answered: answered }
    }

    /// Reads the answers that came before the connection was lost and that no thread has waited for. The values that they are for.
    fn read_rest(&self) -> Vec<Put> {
        let mut answered = Vec::new();
        let mut reader = lock(&self.reader);
        while let Ok(Some(frame)) = reader.receive(Duration::ZERO)
            && let Ok(arrival) = lock(&self.state).deliver(frame)
        {
            answered.extend(arrival.map(|(mut put, answer)| {
                arrived(&mut put, &answer);
                *put
            }));
        }
        answered
    }

    /// Whether values were sent that no flush covers.
    pub(super) fn is_unflushed(&self) -> bool {
        lock(&self.state).is_unflushed
    }

    /// When the connection is lost: whether values were sent that are not known to have arrived.
    pub(super) fn is_owed(&self) -> bool {
        drop(self.read_rest());
        lock(&self.state).unanswered > 0
    }

    fn number(&self, under: Under) -> Result<u32, Lost> {
        let mut state = lock(&self.state);
        if state.is_lost {
            return Err(Lost);
        }
        Ok(state.add(under))
    }

    fn send_frame(&self, frame: &[u8]) -> Result<(), Lost> {
        let timeout = lock(&self.state).timeout;
        lock(&self.writer).send(frame, timeout).map_err(|_| {
            self.lose();
            Lost
        })
    }

    /// The answer to a call. When it takes longer than `max_wait` the host is told so, once.
    pub(super) fn answer(&self, number: u32, max_wait: Option<Duration>) -> Result<Vec<u8>, Lost> {
        let mut overdue = max_wait.map(Deadline::after);
        loop {
            if let Some(answer) = self.wait(number, overdue)? {
                return Ok(answer);
            }
            if overdue.take_if(|overdue| overdue.remaining().is_none()).is_some() {
                self.tell(&Call::Overtake { call: number })?;
            }
        }
    }

    /// Waits for a while: until an answer came, or by reading for all.
    fn wait(&self, number: u32, overdue: Option<Deadline>) -> Result<Option<Vec<u8>>, Lost> {
        let left = overdue.and_then(Deadline::remaining).unwrap_or(PING).min(PING);
        let mut state = lock(&self.state);
        if let Some(answer) = state.take_answer(number) {
            return Ok(Some(answer));
        }
        if state.is_lost {
            return Err(Lost);
        }
        if state.is_read {
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            return Ok(state.take_answer(number));
        }
        drop(state);
        self.read_once(left)?;
        Ok(lock(&self.state).take_answer(number))
    }

    /// Reads at most one frame, unless another thread reads.
    fn read_once(&self, timeout: Duration) -> Result<(), Lost> {
        {
            let mut state = lock(&self.state);
            if state.is_lost {
                return Err(Lost);
            }
            if std::mem::replace(&mut state.is_read, true) {
                drop(self.changed.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner));
                return Ok(());
            }
        }
        let mut reader = lock(&self.reader);
        let read = reader.receive(timeout);
        let mut state = lock(&self.state);
        state.is_read = false;
        let (silent, delivered) = match read {
            Ok(Some(frame)) => {
                state.silence = Deadline::after(state.timeout);
                (false, state.deliver(frame))
            }
            Ok(None) => (true, Ok(None)),
            Err(_) => (false, Err(Lost)),
        };
        let is_lost = state.is_lost || delivered.is_err() || silent && state.silence.remaining().is_none();
        drop(state);
        drop(reader);
        self.changed.notify_all();
        if let Ok(Some((mut put, answer))) = delivered {
            // Dropped under no lock: it may be the last handle of a value, or of a memo.
            arrived(&mut put, &answer);
        }
        if is_lost {
            self.lose();
            return Err(Lost);
        }
        if silent { self.tell(&Call::Ping) } else { Ok(()) }
    }
}

/// The values that were under way on a connection that was lost. To be dropped under no lock: each may be the last handle of a value,
/// or of a memo.
#[derive(Default)]
pub(super) struct Unanswered {
    /// The next host gets them.
    pub(super) puts: Vec<Put>,
    /// They have arrived, or were refused.
    _answered: Vec<Put>,
}

/// A value that no caller waits for, and the answer to it.
type Arrival = (Box<Put>, Vec<u8>);

impl State {
    fn add(&mut self, under: Under) -> u32 {
        if self.calls.is_empty() {
            self.silence = Deadline::after(self.timeout);
        }
        self.last_call = self.last_call.checked_add(1).unwrap_or(1);
        self.calls.insert(self.last_call, under);
        self.last_call
    }

    fn is_congested(&self, size: usize) -> bool {
        !self.is_lost
            && self.unanswered > 0
            && (self.unanswered >= MAX_UNANSWERED || self.unanswered_bytes + size > MAX_UNANSWERED_BYTES)
    }

    fn take_answer(&mut self, number: u32) -> Option<Vec<u8>> {
        if !matches!(self.calls.get(&number), Some(Under::Answered(_))) {
            return None;
        }
        match self.calls.remove(&number) {
            Some(Under::Answered(answer)) => Some(answer),
            _ => None,
        }
    }

    /// Gives an answer to the call that it belongs to. That of a value that no caller waits for is given back with it.
    fn deliver(&mut self, frame: &[u8]) -> Result<Option<Arrival>, Lost> {
        let (number, answer) = message::split(frame).ok_or(Lost)?;
        match self.calls.remove(&number) {
            Some(Under::Awaited) => {
                self.calls.insert(number, Under::Answered(answer.to_vec()));
                Ok(None)
            }
            Some(Under::Sent(put, size)) => {
                self.unanswered -= 1;
                self.unanswered_bytes -= size;
                Ok(Some((put, answer.to_vec())))
            }
            Some(answered @ Under::Answered(_)) => {
                self.calls.insert(number, answered);
                Ok(None)
            }
            // The host is there.
            None if number == NO_CALL => Ok(None),
            None => Err(Lost),
        }
    }
}

/// A value that no caller waits for is with the host, or was refused by it.
fn arrived(put: &mut Put, answer: &[u8]) {
    match message::decode::<Answer<'_>>(answer) {
        Some(Answer::Failed { kind, message }) => drop(put.memo.failed(&message::error(kind, message))),
        Some(Answer::Done) => put.has_arrived(),
        // A change came in between: the value is not wanted.
        _ => {}
    }
}
