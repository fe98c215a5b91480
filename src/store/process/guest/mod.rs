//! A guest as its host sees it: what it has open, what it leads, and what it waits for. Nothing here waits.
//!
//! A guest's callers claim keys in the table of the host's own flight, beside the host's threads. Its changes go into the
//! queue of the worker, as those of the host's threads do.

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::fd::BorrowedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use super::{
    answers::{Later, done, later},
    host::Host,
    message::{self, Answer, Call, Expires, GREETING, Limits, PROTOCOL, encode, failed},
    socket::{Channel, Interest, MAX_FRAME, Ready, Stream},
};
use crate::{
    clock::Expiry,
    context::Caller,
    error::{Error, ErrorKind},
    flight::{Claim, FlightKey, flight, fresh_owner},
    key::Digest,
    store::{
        generation::{Bounds, CatalogRow, GenerationId},
        partition::Partition,
        worker::{Registration, Reply, Request},
    },
};

mod leads;
mod puts;
mod requests;
#[cfg(test)]
mod tests;

/// Frames of one guest that were read and not served yet.
const MAX_FRAMES: usize = 512;

/// Calls of one guest that are under way.
const MAX_CALLS: usize = 1 << 16;

/// Memos that one guest may have open.
const MAX_MEMOS: usize = 1 << 20;

/// A claim of the guest.
struct Granted {
    key: FlightKey,
    claim: Claim<'static>,
    /// Whether an earlier host had granted it: changes before the declaration did not revoke it here.
    is_declared: bool,
}

pub(super) struct Guest {
    channel: Channel,
    introduction: Introduction,
    connection: Connection,
    /// Whether there may be something to read.
    readable: bool,
    /// Read and not served yet, in their order: behind a value that finds no room in the queue.
    frames: VecDeque<Vec<u8>>,
    memos: HashMap<u32, Partition>,
    /// Its own, among all guests that there were.
    number: u32,
    /// What it leads, by the numbers of the look-ups that were answered so.
    claims: HashMap<u32, Granted>,
    waits: HashMap<u32, Wait>,
    /// Answers that the worker owes.
    answers: Vec<Later>,
    /// The worker applies what was handed over before, for the first of the frames.
    barrier: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// A look-up that waits for a leader, or until leads are granted.
struct Wait {
    memo: u32,
    digest: Digest,
    expiry: Expiry,
    key: FlightKey,
    caller: Caller,
    /// Whether it is in the queue of a leader.
    is_queued: bool,
    /// Whether it waited too long.
    is_overdue: bool,
    /// The sequence of a record that is of no use.
    useless: Option<u64>,
}

/// How far a guest has introduced itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Introduction {
    None,
    Greeted,
    /// It has said what it led at an earlier host.
    Declared,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Connection {
    Lasts,
    /// Nothing more comes. What came before is served.
    Ended,
    /// It is to be dropped.
    Gone,
}

/// A call that cannot be served: the guest does not keep to the protocol.
struct Broken;

fn fresh_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Guest {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            channel: Channel::new(stream),
            introduction: Introduction::None,
            connection: Connection::Lasts,
            readable: false,
            frames: VecDeque::new(),
            memos: HashMap::new(),
            number: fresh_number(),
            claims: HashMap::new(),
            waits: HashMap::new(),
            answers: Vec::new(),
            barrier: None,
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    pub(super) fn interest(&self) -> Interest {
        match (self.frames.is_empty(), self.channel.wants_write()) {
            (true, false) => Interest::Read,
            (true, true) => Interest::ReadAndWrite,
            (false, true) => Interest::Write,
            (false, false) => Interest::End,
        }
    }

    pub(super) fn note(&mut self, ready: Ready) {
        self.readable |= ready.readable;
    }

    /// Whether nothing more comes from it: there is nothing to wait for.
    pub(super) fn is_ended(&self) -> bool {
        self.connection != Connection::Lasts
    }

    fn ends(&mut self, connection: Connection) {
        self.connection = self.connection.max(connection);
    }

    pub(super) fn owes_answers(&self) -> bool {
        !self.answers.is_empty() || self.barrier.is_some()
    }

    /// The worker makes no progress: what it owes is answered by an error. It carries the changes out when it goes on.
    pub(super) fn give_up(&mut self, error: &Error) {
        self.barrier = None;
        let answers = std::mem::take(&mut self.answers);
        for (number, _) in &answers {
            self.send(&failed(*number, error));
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.connection == Connection::Gone
    }

    pub(super) fn unread(&self) -> usize {
        self.channel.unwritten()
    }

    /// Whether calls wait for room in the queue.
    pub(super) fn is_held_up(&self) -> bool {
        !self.frames.is_empty() && self.barrier.is_none()
    }

    /// Serves what came, and answers what is ready by now.
    pub(super) fn serve(&mut self, host: &mut Host) {
        // A panic costs this guest its connection, and nothing else.
        let served = catch_unwind(AssertUnwindSafe(|| self.try_to_serve(host)));
        if served.is_err() {
            self.ends(Connection::Gone);
        }
    }

    /// Answers what is ready by now. Nothing more is read.
    pub(super) fn finish(&mut self, host: &Host) {
        self.barrier = None;
        self.poll_answers(host);
        let _ = self.channel.flush();
    }

    fn try_to_serve(&mut self, host: &mut Host) {
        let served = self.read().and_then(|()| self.serve_frames(host)).and_then(|()| {
            self.poll_waits(host);
            self.poll_answers(host);
            let flushed = self.channel.flush();
            if self.is_ended() { Ok(()) } else { flushed.map_err(|_| Broken) }
        });
        if served.is_err() || self.is_ended() && self.frames.is_empty() {
            self.ends(Connection::Gone);
        }
    }

    fn read(&mut self) -> std::result::Result<(), Broken> {
        if !std::mem::take(&mut self.readable) || self.frames.len() >= MAX_FRAMES {
            return Ok(());
        }
        let frames = &mut self.frames;
        match self.channel.read(|frame| frames.push_back(frame.to_vec())) {
            Ok(goes_on) => {
                if !goes_on {
                    self.ends(Connection::Ended);
                }
                Ok(())
            }
            Err(cause) if cause.kind() == io::ErrorKind::InvalidData => Err(Broken),
            Err(_) => {
                self.ends(Connection::Ended);
                Ok(())
            }
        }
    }

    fn serve_frames(&mut self, host: &mut Host) -> std::result::Result<(), Broken> {
        if !self.is_past_barrier(host) {
            return Ok(());
        }
        while let Some(frame) = self.frames.pop_front() {
            let (number, bytes) = message::split(&frame).ok_or(Broken)?;
            let call = message::decode(bytes).ok_or(Broken)?;
            if !self.serve_call(host, number, call)? {
                self.frames.push_front(frame);
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_past_barrier(&mut self, host: &Host) -> bool {
        let Some(barrier) = &mut self.barrier else { return true };
        let is_pending = barrier.as_mut().poll(&mut Context::from_waker(&host.waker)).is_pending();
        if !is_pending {
            self.barrier = None;
        }
        !is_pending
    }

    /// `false` when there is no room for a value, or the worker must apply something first: the call is served again later.
    fn serve_call(
        &mut self,
        host: &mut Host,
        number: u32,
        call: Call<'_>,
    ) -> std::result::Result<bool, Broken> {
        if self.is_overloaded() {
            return Err(Broken);
        }
        if self.introduction == Introduction::None {
            return self.greet(number, &call).map(|()| true);
        }
        match call {
            Call::Hello { .. } => return Err(Broken),
            Call::Declared { returns } => {
                if std::mem::replace(&mut self.introduction, Introduction::Declared) == Introduction::Greeted
                    && returns
                {
                    host.has_declared();
                }
                self.answer(number, &Answer::Done);
            }
            Call::Adopt { memo, generation, row, place, bounds } => {
                self.adopt(host, number, (memo, GenerationId(generation)), row, place, bounds)?;
            }
            Call::Disown { memo } => {
                if let Some(partition) = self.memos.remove(&memo) {
                    disown(host, &partition);
                }
            }
            Call::LookUp { memo, digest, expires, caller, wants } => {
                let expiry = expiry(expires);
                return self.look_up(host, number, (memo, Digest::from_bytes(digest)), expiry, caller, wants);
            }
            Call::Overtake { call } => {
                if let Some(wait) = self.waits.get_mut(&call) {
                    wait.is_overdue = true;
                }
            }
            Call::End { claim, outcome } => self.end(claim, outcome),
            Call::Declare { memo, digest, caller, is_refresh } => {
                self.declare(number, (memo, Digest::from_bytes(digest)), caller, is_refresh)?;
            }
            Call::Put(put) => return self.put(host, number, &put),
            Call::Ping => self.answer(0, &Answer::Pong),
            other => self.request(host, number, &other)?,
        }
        Ok(true)
    }

    fn greet(&mut self, number: u32, call: &Call<'_>) -> std::result::Result<(), Broken> {
        let Call::Hello { greeting: GREETING, protocol } = *call else { return Err(Broken) };
        if protocol == PROTOCOL {
            self.introduction = Introduction::Greeted;
            self.answer(number, &Answer::Welcome);
            return Ok(());
        }
        let message = format!(
            "the store is in use by another version of memolith: its process speaks protocol {PROTOCOL}, this one {protocol}"
        );
        self.send(&failed(number, &Error::new(ErrorKind::InUse, message)));
        Ok(())
    }

    fn adopt(
        &mut self,
        host: &Host,
        number: u32,
        (memo, generation): (u32, GenerationId),
        row: &[u8],
        place: &str,
        limits: Limits,
    ) -> std::result::Result<(), Broken> {
        let row = CatalogRow::decode(row).ok_or(Broken)?;
        if self.memos.len() >= MAX_MEMOS {
            return Err(Broken);
        }
        if self.memos.contains_key(&memo) {
            self.answer(number, &Answer::Done);
            return Ok(());
        }
        let name: Arc<str> = row.name.as_str().into();
        let counters = host.session.counters_of(&name);
        let registration = host.directory.register(generation, || {
            Registration::new(name, place.into(), generation, fresh_owner(), counters)
        });
        let bounds = bounds(limits);
        if bounds.is_bounded() {
            registration.hand_overs.expect_bound();
        }
        let partition = Partition::of_guest(&host.session, &host.directory, &registration, bounds);
        let adopter = partition.adopter();
        self.memos.insert(memo, partition);
        // The row of a guest has no number: the worker knows it, or gives one.
        self.ask(
            host,
            number,
            |reply| Request::Adopt { memo: registration, row, bounds, adopter, reply },
            done,
        );
        Ok(())
    }

    fn partition(&self, memo: u32) -> std::result::Result<&Partition, Broken> {
        self.memos.get(&memo).ok_or(Broken)
    }

    /// Whether so much is under way that no program can have meant it.
    fn is_overloaded(&self) -> bool {
        self.waits.len() + self.claims.len() + self.answers.len() > MAX_CALLS
    }

    fn caller(&self, number: u64) -> Caller {
        Caller::of_guest(self.number, number)
    }

    /// Sends a request to the worker. Its reply is the answer.
    fn ask<T: Send + 'static>(
        &mut self,
        host: &Host,
        number: u32,
        request: impl FnOnce(Reply<T>) -> Request,
        answer: impl FnOnce(u32, T) -> Vec<u8> + Send + 'static,
    ) {
        let (reply, outcome) = oneshot::channel();
        match host.directory.check_answers() {
            // A reply that is dropped is answered as of a store that is closed.
            Ok(()) => {
                let _ = host.directory.send(request(reply));
                self.answers.push(later(number, outcome, answer));
            }
            Err(stalled) => self.send(&failed(number, &stalled)),
        }
    }

    fn poll_answers(&mut self, host: &Host) {
        let mut context = Context::from_waker(&host.waker);
        let mut ready = Vec::new();
        self.answers.retain_mut(|(_, answer)| match answer.as_mut().poll(&mut context) {
            Poll::Ready(frame) => {
                ready.push(frame);
                false
            }
            Poll::Pending => true,
        });
        for frame in &ready {
            self.send(frame);
        }
    }

    fn answer(&mut self, number: u32, answer: &Answer<'_>) {
        self.send(&encode(number, answer));
    }

    fn send(&mut self, frame: &[u8]) {
        debug_assert!(frame.len() <= MAX_FRAME, "answers are made in stretches");
        if self.channel.write(frame).is_err() {
            self.ends(Connection::Ended);
        }
    }

    /// The connection ended: what the guest led is handed over, and its memos are closed.
    pub(super) fn leave(&mut self, host: &Host) {
        self.ends(Connection::Gone);
        for (_, wait) in self.waits.drain() {
            if wait.is_queued {
                flight().leave(wait.key, wait.caller);
            }
        }
        self.claims.clear();
        self.answers.clear();
        for (_, partition) in self.memos.drain() {
            disown(host, &partition);
        }
    }
}

fn disown(host: &Host, partition: &Partition) {
    let (memo, adopter) = (partition.registration(), partition.adopter());
    let _ = host.directory.send(Request::Disown { memo, adopter });
}

fn bounds(limits: Limits) -> Bounds {
    let Limits { expires, max_entries, max_bytes, spares_used } = limits;
    let Expires { ttl_millis, stale_millis } = expires;
    let (ttl, stale_for) = (ttl_millis.map(Duration::from_millis), Duration::from_millis(stale_millis));
    Bounds { ttl, stale_for, max_entries, max_bytes, spares_used }
}

fn expiry(expires: Expires) -> Expiry {
    let Expires { ttl_millis, stale_millis } = expires;
    Expiry { ttl: ttl_millis.unwrap_or(u64::MAX), stale_for: stale_millis, early: 0 }
}
