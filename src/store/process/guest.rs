//! A guest as its host sees it: what it has open, what it leads, and what it waits for. Nothing here waits.
//!
//! A guest's callers claim keys in the table of the host's own flight, beside the host's threads. Its changes go into the
//! queue of the worker, as those of the host's threads do.

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::fd::BorrowedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    message::{
        self, Answer, Call, Ended, GREETING, Limits, PROTOCOL, PutCall, PutOrigin, PutPayload, Wants, encode,
        failed,
    },
    socket::{Channel, Interest, MAX_FRAME, Ready, Stream},
};
use crate::{
    clock::Deadline,
    error::{Error, ErrorKind, Result},
    flight::{Caller, Claim, FlightKey, Outcome, Turn, flight, fresh_caller, fresh_owner},
    key::Digest,
    record::Record,
    stats::Reason,
    store::{
        blob::{Blob, Finished, Head, INLINE},
        engine::Bytes,
        generation::{Bounds, CatalogRow, GenerationId, Tally},
        partition::{Entry, FoundRecord, Partition},
        session::Session,
        worker::{Directory, Place, Registration, Reply, Request, Swept},
    },
};

/// Frames of one guest that were read and not served yet.
const MAX_FRAMES: usize = 512;

/// The head of a key in a record.
const LONGEST_HEAD: usize = 1_024;

/// Longer files are none.
const LONGEST: u64 = 1 << 48;

/// The bytes of names in one answer.
const MAX_NAMES: usize = 64 << 10;

/// Calls of one guest that are under way, and threads of it that ever called.
const MAX_CALLS: usize = 1 << 16;

/// Memos that one guest may have open.
const MAX_MEMOS: usize = 1 << 20;

/// The store, as its guests use it.
pub(super) struct Host {
    directory: Arc<Directory>,
    session: Arc<Session>,
    /// Wakes the thread that serves.
    waker: Waker,
    /// The guests of an earlier host that have not said yet what they lead.
    expected: u64,
    /// What the worker had done when it was last looked at, and until when it must do more while an answer is owed.
    progress: (u64, Deadline),
}

impl Host {
    pub(super) fn new(
        directory: &Arc<Directory>,
        session: &Arc<Session>,
        waker: Waker,
        expected: u64,
    ) -> Self {
        Self {
            directory: Arc::clone(directory),
            session: Arc::clone(session),
            waker,
            expected,
            progress: (0, Deadline::after(Duration::ZERO)),
        }
    }

    /// How long leads are held back still.
    pub(super) fn grace(&self) -> Option<Duration> {
        if self.directory.sharing.may_lead() { None } else { Some(Duration::from_millis(5)) }
    }

    pub(super) fn count_guests(&self, guests: u64, _: &Path) {
        if let Some(Err(cause)) = self.directory.sharing.epochs().map(|epochs| epochs.set_guests(guests)) {
            self.session.note_failed(&Error::io("EPOCHS", cause));
        }
    }

    /// Why the answers that the worker owes are given up, if it makes no progress.
    pub(super) fn give_up(&mut self, owes: bool) -> Option<Error> {
        let now = self.directory.progress();
        if !owes || self.progress.0 != now {
            self.progress = (now, Deadline::after(self.directory.tuning.reply_timeout));
            return None;
        }
        self.progress.1.remaining().is_none().then(|| self.directory.give_up())
    }

    fn has_declared(&mut self) {
        self.expected = self.expected.saturating_sub(1);
        if self.expected == 0 {
            self.directory.sharing.all_are_there();
        }
    }
}

/// The number of a call, and its answer.
type Later = (u32, Pin<Box<dyn Future<Output = Vec<u8>> + Send>>);

pub(super) struct Guest {
    channel: Channel,
    introduction: Introduction,
    connection: Connection,
    /// Whether there may be something to read.
    readable: bool,
    /// Read and not served yet, in their order: behind a value that finds no room in the queue.
    frames: VecDeque<Vec<u8>>,
    memos: HashMap<u32, Partition>,
    /// Its callers, by the numbers that it gave them.
    callers: HashMap<u64, Caller>,
    /// What it leads, by the numbers of the look-ups that were answered so.
    claims: HashMap<u32, (FlightKey, Claim<'static>)>,
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
    ttl: Option<Duration>,
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

impl Guest {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            channel: Channel::new(stream),
            introduction: Introduction::None,
            connection: Connection::Lasts,
            readable: false,
            frames: VecDeque::new(),
            memos: HashMap::new(),
            callers: HashMap::new(),
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
            Call::LookUp { memo, digest, ttl_millis, caller, wants } => {
                let ttl = ttl_millis.map(Duration::from_millis);
                return self.look_up(host, number, (memo, Digest::from_bytes(digest)), ttl, caller, wants);
            }
            Call::Overtake { call } => {
                if let Some(wait) = self.waits.get_mut(&call) {
                    wait.is_overdue = true;
                }
            }
            Call::End { claim, outcome } => self.end(claim, outcome),
            Call::Declare { memo, digest, caller } => {
                self.declare(number, memo, &Digest::from_bytes(digest), caller)?;
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
        self.callers.len() > MAX_CALLS
            || self.waits.len() + self.claims.len() + self.answers.len() > MAX_CALLS
    }

    fn caller(&mut self, number: u64) -> Caller {
        *self.callers.entry(number).or_insert_with(fresh_caller)
    }

    fn look_up(
        &mut self,
        host: &Host,
        number: u32,
        (memo, digest): (u32, Digest),
        ttl: Option<Duration>,
        caller: u64,
        wants: Wants,
    ) -> std::result::Result<bool, Broken> {
        let useless = if let Wants::Replacement { of } = wants { Some(of) } else { None };
        let partition = self.partition(memo)?;
        let key = partition.flight_key(&digest);
        match find(partition, &digest, ttl, useless) {
            Ok(FoundRecord::NotYet) => {
                let (reply, applied) = oneshot::channel();
                let _ = host.directory.send(Request::Barrier { reply });
                self.barrier = Some(Box::pin(async move { drop(applied.await) }));
                // Polled once, so that its waker is known.
                self.is_past_barrier(host);
                return Ok(false);
            }
            Ok(FoundRecord::Record(record)) => self.answer(number, &Answer::Record(&record)),
            Ok(FoundRecord::Missing(reason)) if wants == Wants::Record => {
                self.answer(number, &Answer::Missing(reason.into()));
            }
            Ok(FoundRecord::Missing(_)) => {
                let (caller, is_queued) = (self.caller(caller), false);
                let is_known = self.waits.contains_key(&number) || self.claims.contains_key(&number);
                if number == 0 || is_known || self.waits.values().any(|wait| wait.caller == caller) {
                    return Err(Broken);
                }
                let wait = Wait { memo, digest, ttl, key, caller, is_queued, is_overdue: false, useless };
                self.claim(host, number, wait);
            }
            Err(error) => self.send(&failed(number, &error)),
        }
        Ok(true)
    }

    /// Claims the key of a look-up, as far as that goes without waiting.
    fn claim(&mut self, host: &Host, number: u32, mut wait: Wait) {
        loop {
            if !host.directory.sharing.may_lead() {
                break;
            }
            let turn = if wait.is_queued {
                flight().poll(wait.key, wait.caller, wait.is_overdue)
            } else {
                flight().begin(wait.key, wait.caller, host.waker.clone())
            };
            wait.is_queued = turn.is_none();
            let Some(turn) = turn else { break };
            let Some(partition) = self.memos.get(&wait.memo) else {
                // The memo was dropped while its call waited.
                return self.answer(number, &Answer::Missing(Reason::Absent.into()));
            };
            let found = find(partition, &wait.digest, wait.ttl, wait.useless);
            match (found, turn) {
                (Ok(FoundRecord::Record(record)), turn) => {
                    if let Turn::Lead(claim) | Turn::Alone(claim, _) = turn {
                        claim.complete(Outcome::Found);
                    }
                    return self.answer(number, &Answer::Record(&record));
                }
                (Err(error), _) => return self.send(&failed(number, &error)),
                (Ok(FoundRecord::Missing(reason)), Turn::Lead(claim) | Turn::Alone(claim, _)) => {
                    self.claims.insert(number, (wait.key, claim));
                    return self.answer(number, &Answer::Lead(reason.into()));
                }
                // It is looked up again: a value is on its way.
                (Ok(FoundRecord::NotYet), turn) => {
                    drop(turn);
                    host.directory.catch_up();
                }
                (Ok(FoundRecord::Missing(_)), Turn::Recheck(_)) => {}
            }
        }
        self.waits.insert(number, wait);
    }

    fn poll_waits(&mut self, host: &Host) {
        let numbers: Vec<u32> = self.waits.keys().copied().collect();
        for number in numbers {
            if let Some(wait) = self.waits.remove(&number) {
                self.claim(host, number, wait);
            }
        }
    }

    fn end(&mut self, claim: u32, outcome: Ended) {
        let Some((_, claim)) = self.claims.remove(&claim) else { return };
        match outcome {
            Ended::Found => claim.complete(Outcome::Found),
            Ended::Unstored => claim.complete(Outcome::Unstored),
            Ended::Failed => drop(claim),
        }
    }

    /// A lead that an earlier host had granted. If another caller leads by now, the value of this one may still be stored.
    fn declare(
        &mut self,
        number: u32,
        memo: u32,
        digest: &Digest,
        caller: u64,
    ) -> std::result::Result<(), Broken> {
        let key = self.partition(memo)?.flight_key(digest);
        let caller = self.caller(caller);
        if number == 0 || self.claims.contains_key(&number) {
            return Err(Broken);
        }
        let begun = flight().begin(key, caller, Waker::noop().clone());
        // A caller that began to lead under the new host has computed less than this one.
        let turn = begun.or_else(|| flight().poll(key, caller, true));
        let claim = match turn {
            Some(Turn::Lead(claim) | Turn::Alone(claim, _)) => claim,
            Some(Turn::Recheck(_)) | None => flight().register_reader(key),
        };
        self.claims.insert(number, (key, claim));
        self.answer(number, &Answer::Done);
        Ok(())
    }

    fn put(&mut self, host: &Host, number: u32, put: &PutCall<'_>) -> std::result::Result<bool, Broken> {
        let partition = self.memos.get(&put.memo).ok_or(Broken)?;
        if !is_sensible(put) {
            return Err(Broken);
        }
        let file_bytes = if let PutPayload::Draft { length, .. } = put.payload { length } else { 0 };
        if host.directory.reserve(file_bytes, Duration::ZERO).is_err() && !host.directory.is_closed() {
            return Ok(false);
        }
        let digest = Digest::from_bytes(put.digest);
        let claim = match put.origin {
            PutOrigin::Inserted => None,
            PutOrigin::Computed { claim, noted } => {
                let key = partition.flight_key(&digest);
                let known = claim.and_then(|claim| self.claims.remove(&claim));
                if known.as_ref().is_some_and(|(of, _)| *of != key) {
                    return Err(Broken);
                }
                let is_known = known.is_some();
                let claim = known.map_or_else(|| flight().register_reader(key), |(_, claim)| claim);
                // Of one computed under an earlier host, or without one, EPOCHS says whether it was revoked.
                if !is_known && !partition.is_unchanged(&digest, noted) {
                    self.answer(number, &Answer::Flag(false));
                    return Ok(true);
                }
                Some(claim)
            }
        };
        let (reply, written) = oneshot::channel();
        let accepted = payload(&host.directory, partition, put).and_then(|payload| {
            let compute_time = Duration::from_nanos(put.compute_nanos);
            let entry =
                Entry { digest, key_head: put.key_head.to_vec(), ttl: partition.bounds().ttl, compute_time };
            partition.accept(entry, payload, claim, put.is_awaited.then_some(reply))
        });
        match accepted {
            Err(error) => self.send(&failed(number, &error)),
            Ok(Outcome::Revoked) => self.answer(number, &Answer::Flag(false)),
            Ok(_) if put.is_awaited => self.answers.push(later(number, written, done)),
            Ok(_) => self.answer(number, &Answer::Done),
        }
        Ok(true)
    }

    /// Everything that the worker answers.
    fn request(&mut self, host: &Host, number: u32, call: &Call<'_>) -> std::result::Result<(), Broken> {
        match *call {
            Call::Remove { memo, digest } => {
                let (memo, digest) = (self.partition(memo)?.registration(), Digest::from_bytes(digest));
                self.ask(host, number, |reply| Request::Remove { memo, digest, reply }, flag);
            }
            Call::Clear { memo } => {
                let memo = self.partition(memo)?.registration();
                self.ask(host, number, |reply| Request::Clear { memo, reply }, done);
            }
            Call::Forget { name } => {
                let name = name.map(str::to_owned);
                self.ask(host, number, |reply| Request::Forget { name, reply }, flag);
            }
            Call::Count { memo } => {
                let memo = memo.map(|memo| self.partition(memo).map(Partition::registration)).transpose()?;
                self.ask(host, number, |reply| Request::Count { memo, reply }, tally);
            }
            Call::Totals => self.ask(
                host,
                number,
                |reply| Request::Totals { reply },
                |number, totals| encode(number, &Answer::Numbers(totals.to_numbers().to_vec())),
            ),
            Call::Names { after } => {
                let after = after.unwrap_or_default().to_owned();
                let answer = move |number, names: Vec<String>| answer_names(number, &names, &after);
                self.ask(host, number, |reply| Request::Names { reply }, answer);
            }
            Call::Flush => self.ask(host, number, |reply| Request::Flush { reply }, done),
            Call::Barrier => self.ask(host, number, |reply| Request::Barrier { reply }, done),
            Call::Sweep => self.ask(host, number, |reply| Request::Sweep { reply }, swept),
            Call::MakeRoom { name } => {
                let name = name.map(str::to_owned);
                self.ask(host, number, |reply| Request::MakeRoom { name, reply }, done);
            }
            Call::Walk { memo, after } => {
                let frame = walk(number, self.partition(memo)?, after);
                self.send(&frame);
            }
            _ => return Err(Broken),
        }
        Ok(())
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

fn find(
    partition: &Partition,
    digest: &Digest,
    ttl: Option<Duration>,
    useless: Option<u64>,
) -> Result<FoundRecord> {
    let found = partition.find_record(digest, ttl)?;
    let is_useless = |bytes: &Bytes| {
        useless.is_some() && Record::decode(bytes, digest).map(|record| record.sequence) == useless
    };
    Ok(match found {
        FoundRecord::Record(bytes) if is_useless(&bytes) => FoundRecord::Missing(Reason::Damaged),
        found => found,
    })
}

/// Whether a guest that keeps to the protocol can have sent that.
fn is_sensible(put: &PutCall<'_>) -> bool {
    let is_payload_sensible = match put.payload {
        PutPayload::Inline(payload) => payload.len() <= INLINE,
        PutPayload::Draft { length, .. } => length <= LONGEST,
    };
    is_payload_sensible && put.key_head.len() <= LONGEST_HEAD
}

fn bounds(limits: Limits) -> Bounds {
    let Limits { ttl_millis, max_entries, max_bytes } = limits;
    Bounds { ttl: ttl_millis.map(Duration::from_millis), max_entries, max_bytes }
}

fn payload(directory: &Directory, partition: &Partition, put: &PutCall<'_>) -> Result<Finished> {
    match (&put.payload, &directory.place) {
        (PutPayload::Inline(payload), _) => Ok(Finished::Inline(payload.to_vec())),
        (PutPayload::Draft { name, length, table_checksum }, Some(place)) => {
            let head_size = Head::size(&partition.registration().memo, put.key_head);
            let trash = Place::trash(place);
            Blob::adopt(&trash, name, *length, *table_checksum, head_size).map(Finished::Blob)
        }
        (PutPayload::Draft { .. }, None) => Err(Error::new(ErrorKind::Closed, "the store has no directory")),
    }
}

/// The answer to a call, once the worker has replied.
fn later<T: Send + 'static>(
    number: u32,
    outcome: oneshot::Receiver<Result<T>>,
    answer: impl FnOnce(u32, T) -> Vec<u8> + Send + 'static,
) -> Later {
    let answer = async move {
        match outcome.await {
            Ok(Ok(value)) => answer(number, value),
            Ok(Err(error)) => failed(number, &error),
            Err(_) => failed(number, &Error::new(ErrorKind::Closed, "the store is closed: open it again")),
        }
    };
    (number, Box::pin(answer))
}

fn done(number: u32, (): ()) -> Vec<u8> {
    encode(number, &Answer::Done)
}

fn flag(number: u32, flag: bool) -> Vec<u8> {
    encode(number, &Answer::Flag(flag))
}

fn tally(number: u32, Tally { entries, bytes, indexed }: Tally) -> Vec<u8> {
    encode(number, &Answer::Tally { entries, bytes, indexed })
}

fn swept(number: u32, Swept { expired, retired, orphaned, bytes }: Swept) -> Vec<u8> {
    encode(number, &Answer::Swept { expired, retired, orphaned, bytes })
}

/// The names behind one, as many as an answer holds.
fn answer_names(number: u32, names: &[String], after: &str) -> Vec<u8> {
    let rest: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name > after).collect();
    let mut size = 0;
    let fits = |name: &&&str| {
        size += name.len() + 4;
        size <= MAX_NAMES
    };
    let names: Vec<&str> = rest.iter().take_while(fits).copied().collect();
    let has_more = names.len() < rest.len();
    encode(number, &Answer::Names { names, has_more })
}

fn walk(number: u32, partition: &Partition, after: Option<u64>) -> Vec<u8> {
    match partition.stretch(after) {
        Err(error) => failed(number, &error),
        Ok(stretch) => {
            let rows =
                stretch.rows.iter().map(|(size, digest, record)| (*size, *digest.as_bytes(), &**record));
            encode(number, &Answer::Entries { rows: rows.collect(), next: stretch.next })
        }
    }
}
