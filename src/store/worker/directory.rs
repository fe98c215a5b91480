//! The directory of a store, or what stands in its place in memory, as its callers see it: the engine to read from, the
//! queue to the worker, the pending values.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use oneshot::RecvTimeoutError;

use super::{
    elsewhere::OpenMemo,
    evicted::Evicted,
    hand_overs::HandOvers,
    queue::{Door, Queue, Rejected},
    request::{Registration, Reply, Request},
    sharing::Sharing,
    state::{EngineSlot, stalled},
};
use crate::{
    clock::{Clock, Deadline},
    error::{Error, ErrorKind, Result},
    record::BlobId,
    remote::Server,
    store::{
        engine::Engine, generation::GenerationId, janitor::Janitor, pending::Pending, unverified::Unverified,
    },
    sync::{Condvar, Mutex, PoisonError, lock},
    temporary::Temporary,
    testing::Faults,
};

/// How long a caller waits for a worker that makes no progress.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an open waits for its index. After an unclean end sled reads its whole log.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a close waits for a worker that makes no progress.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(12);

/// Waits are counted in slices of this length: the time for which the whole process was stopped counts as one.
const SLICE: Duration = Duration::from_millis(100);

/// The seams of tests, and the timeouts that they shorten.
#[derive(Clone, Debug)]
pub(crate) struct Tuning {
    pub(crate) reply_timeout: Duration,
    pub(crate) open_timeout: Duration,
    pub(crate) close_timeout: Duration,
    /// An index longer than the first number of bytes is compacted when it is longer than so many times its live bytes.
    pub(crate) compacted_when: Option<(u64, u64)>,
    /// Empty, except in tests.
    pub(crate) faults: Faults,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            reply_timeout: REPLY_TIMEOUT,
            open_timeout: OPEN_TIMEOUT,
            close_timeout: CLOSE_TIMEOUT,
            compacted_when: None,
            faults: Faults::default(),
        }
    }
}

/// The directories of a store on disk.
pub(crate) struct Place {
    /// The directory that the worker changes. Canonical.
    pub(crate) path: PathBuf,
    /// Under an overlay: the directory that cannot be written, in which payload files are read too. Canonical.
    pub(crate) base: Option<PathBuf>,
    /// The folder of drafts, and of files that are to be removed.
    trash: PathBuf,
}

impl Place {
    pub(crate) fn new(path: PathBuf, base: Option<PathBuf>) -> Self {
        let trash = path.join("trash");
        Self { path, base, trash }
    }

    /// The directory that the user named.
    pub(crate) fn home(&self) -> &Path {
        self.base.as_deref().unwrap_or(&self.path)
    }

    /// The places of a payload file, first the one that it would be written to.
    pub(crate) fn blob(&self, generation: GenerationId, id: BlobId) -> impl Iterator<Item = PathBuf> {
        let name = format!("blobs/{generation}/{id}");
        [Some(&self.path), self.base.as_ref()].into_iter().flatten().map(move |folder| folder.join(&name))
    }

    /// The folder of all payload files.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    /// The folder of a generation's payload files.
    pub(crate) fn blobs_of(&self, generation: GenerationId) -> PathBuf {
        self.blobs().join(generation.to_string())
    }

    pub(crate) fn trash(&self) -> &Path {
        &self.trash
    }

    /// The folder of an index.
    pub(super) fn index(&self, number: u64) -> PathBuf {
        self.path.join(format!("index-{number}"))
    }
}

/// Shared by the worker of a store and all its callers.
pub(crate) struct Directory {
    /// `None` in a store that writes no files: its entries live in the tables of an engine in memory.
    pub(crate) place: Option<Place>,
    pub(crate) clock: Clock,
    pub(crate) tuning: Tuning,
    pub(super) slot: EngineSlot,
    pub(super) queue: Queue,
    pub(crate) pending: Pending,
    /// Held while a variant is added to the list of its key, until both are in the queue. Code of the user does not run under
    /// it.
    pub(crate) adding_variant: Mutex<()>,
    /// Of all memos.
    pub(crate) hand_overs: HandOvers,
    /// The open generations. One that was closed leaves when another is opened.
    registrations: Mutex<HashMap<GenerationId, Weak<Registration>>>,
    pub(crate) evicted: Evicted,
    pub(crate) janitor: Arc<Janitor>,
    pub(crate) unverified: Unverified,
    /// Other processes that use the directory.
    pub(crate) sharing: Sharing,
    /// The server that several machines share, for the guests of this process.
    server: OnceLock<Arc<dyn Server>>,
    /// Counted up with each step of the worker. A caller gives up when it stands still.
    progress: AtomicU64,
    /// The directory of a temporary store, removed when the store is closed.
    temporary: Mutex<Option<Temporary>>,
    /// The outcome of the close, once there is one.
    outcome: Mutex<Option<Result<()>>>,
    /// There is an outcome.
    closed: Condvar,
}

impl Directory {
    pub(crate) fn new(
        place: Option<Place>,
        clock: Clock,
        tuning: Tuning,
        temporary: Option<Temporary>,
    ) -> Self {
        Self {
            place,
            clock,
            tuning,
            slot: EngineSlot::default(),
            queue: Queue::default(),
            pending: Pending::default(),
            adding_variant: Mutex::default(),
            hand_overs: HandOvers::default(),
            registrations: Mutex::default(),
            evicted: Evicted::default(),
            janitor: Arc::default(),
            unverified: Unverified::default(),
            sharing: Sharing::default(),
            server: OnceLock::new(),
            progress: AtomicU64::new(0),
            temporary: Mutex::new(temporary),
            outcome: Mutex::default(),
            closed: Condvar::new(),
        }
    }

    /// The generation as all know it that have it open, or a new registration of it.
    pub(crate) fn register(
        &self,
        generation: GenerationId,
        new: impl FnOnce() -> Registration,
    ) -> Arc<Registration> {
        let mut registrations = lock(&self.registrations);
        if let Some(known) = registrations.get(&generation).and_then(Weak::upgrade) {
            return known;
        }
        let registration = Arc::new(new());
        registrations.retain(|_, registration| registration.strong_count() > 0);
        registrations.insert(generation, Arc::downgrade(&registration));
        registration
    }

    pub(crate) fn server(&self) -> Option<&Arc<dyn Server>> {
        self.server.get()
    }

    #[cfg(feature = "redis")]
    pub(crate) fn set_server(&self, server: Arc<dyn Server>) {
        let _ = self.server.set(server);
    }

    /// The directory that the user named.
    pub(crate) fn home(&self) -> Option<&Path> {
        self.place.as_ref().map(Place::home)
    }

    /// Whether other processes may use it at the same time.
    pub(crate) fn may_be_shared(&self) -> bool {
        self.place.is_some() && !self.is_overlay() && !self.is_temporary()
    }

    pub(crate) fn is_overlay(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.base.is_some())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.slot.is_closed()
    }

    pub(super) fn is_temporary(&self) -> bool {
        lock(&self.temporary).is_some()
    }

    /// The engine to read from, opened again if its pause is over.
    pub(crate) fn reader(&self) -> Result<Arc<Engine>> {
        if let Some(engine) = self.in_service() {
            return Ok(engine);
        }
        self.reopen_when_due();
        self.slot.reader()
    }

    /// The engine to read from, if one is open.
    pub(crate) fn in_service(&self) -> Option<Arc<Engine>> {
        self.slot.reader().ok()
    }

    /// Whether an entry can be handed over: an engine runs, if need be one that is opened now, and the worker answers; or another
    /// process hosts the directory.
    pub(crate) fn check_writable(&self) -> Result<()> {
        if let Some(host) = self.sharing.host() {
            return host.check();
        }
        self.reopen_when_due();
        self.slot.check_writable()
    }

    /// The engine in service, for a thread that does not wait until one is opened.
    pub(crate) fn running(&self) -> Result<Arc<Engine>> {
        self.reopen_without_waiting();
        self.slot.reader()
    }

    /// As [`check_writable`](Self::check_writable), for a thread that does not wait.
    pub(crate) fn check_running(&self) -> Result<()> {
        self.reopen_without_waiting();
        self.slot.check_writable()
    }

    fn reopen_without_waiting(&self) {
        if self.slot.wants_reopen() {
            let _ = self.queue.send(Request::Barrier { reply: oneshot::channel().0 });
        }
    }

    /// # Errors
    ///
    /// When the worker is known to make no progress.
    pub(crate) fn check_answers(&self) -> Result<()> {
        if self.slot.is_stalled() { Err(stalled()) } else { Ok(()) }
    }

    /// The worker made no progress for as long as a caller waits.
    pub(crate) fn give_up(&self) -> Error {
        self.slot.stalled();
        stalled()
    }

    fn reopen_when_due(&self) {
        if self.slot.wants_reopen() {
            self.catch_up();
        }
    }

    /// Passes on the outcome of a read. If it failed, the health of the engine decides what becomes of it.
    pub(crate) fn observe<T>(&self, engine: &Arc<Engine>, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| self.slot.failed(engine, error, &self.clock))
    }

    /// Sends a request and waits for its reply as long as the worker makes progress.
    ///
    /// # Errors
    ///
    /// Of the request, or that the worker did not answer in time. The request is carried out all the same when the
    /// worker comes to it. While the worker is stalled nothing is sent.
    pub(crate) fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T> {
        if self.sharing.host().is_some() {
            return self.ask_within(self.tuning.reply_timeout, request);
        }
        if self.slot.is_stalled() {
            return Err(stalled());
        }
        self.ask_within(self.tuning.reply_timeout, request)
    }

    /// The same for a request that must not get lost: it is sent to a worker that is stalled too.
    pub(crate) fn ask_surely<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T> {
        if !self.slot.is_stalled() {
            return self.ask(request);
        }
        let _ = self.send(request(oneshot::channel().0));
        Err(stalled())
    }

    /// The same for the close, which is also asked of a worker that is stalled. One that did not answer the first time is not
    /// waited for again.
    pub(crate) fn ask_to_close(&self, again: bool) -> Result<()> {
        if let Some(host) = self.sharing.host() {
            let closed = host.close();
            // Unless this process took the place of the host in this moment.
            if self.sharing.host().is_some() {
                return closed;
            }
        }
        self.sharing.stop_serving();
        if again && self.slot.is_stalled() {
            return lock(&self.outcome).clone().unwrap_or_else(|| Err(stalled()));
        }
        let closed = self.ask_within(self.tuning.close_timeout, |reply| Request::Close { reply });
        if closed.as_ref().is_err_and(|error| error.kind() == ErrorKind::Closed) {
            // Another caller is closing it.
            self.wait_for_close(Deadline::after(self.tuning.close_timeout));
        }
        lock(&self.outcome).clone().unwrap_or(closed)
    }

    /// Asks for the close at the end of the program, and waits for nothing but a guest's last values.
    pub(crate) fn begin_close(&self) {
        if let Some(host) = self.sharing.host() {
            let _ = host.close();
            if self.sharing.host().is_some() {
                return;
            }
        }
        self.sharing.stop_serving();
        let _ = self.send(Request::Close { reply: oneshot::channel().0 });
    }

    /// Waits until the store is closed, at most until `deadline`.
    pub(crate) fn wait_for_close(&self, deadline: Deadline) {
        let mut outcome = lock(&self.outcome);
        while outcome.is_none()
            && let Some(left) = deadline.remaining()
        {
            outcome = self.closed.wait_timeout(outcome, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The worker ends, and the directory is free: requests that wait are dropped, and later ones refused.
    pub(super) fn end(&self, closed: Result<()>) {
        self.sharing.stop_raising();
        drop(lock(&self.temporary).take());
        *lock(&self.outcome) = Some(closed);
        self.closed.notify_all();
    }

    fn ask_within<T>(&self, timeout: Duration, request: impl FnOnce(Reply<T>) -> Request) -> Result<T> {
        let (reply, outcome) = oneshot::channel();
        self.send(request(reply)).map_err(|_| closed())?;
        self.wait(&outcome, timeout)
    }

    /// Waits for the first open of the index: long while the store is opened, for a moment in a call. An index that takes longer
    /// is there later.
    pub(crate) fn wait_for_open(
        &self,
        outcome: &oneshot::Receiver<Result<()>>,
        is_in_call: bool,
    ) -> Result<()> {
        let timeout = if is_in_call { self.tuning.reply_timeout } else { self.tuning.open_timeout };
        let opened = self.wait(outcome, timeout);
        opened.map_err(|error| if self.slot.is_stalled() { error.with_kind(ErrorKind::Io) } else { error })
    }

    pub(crate) fn wait<T>(&self, outcome: &oneshot::Receiver<Result<T>>, timeout: Duration) -> Result<T> {
        let slices = u32::try_from(timeout.as_millis() / SLICE.as_millis()).unwrap_or(u32::MAX).max(1);
        let (mut before, mut idle) = (self.progress(), 0);
        loop {
            match outcome.recv_timeout(SLICE) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Disconnected) => return Err(closed()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.progress();
            idle = if now == before { idle + 1 } else { 0 };
            before = now;
            if idle >= slices {
                self.slot.stalled();
                return Err(stalled());
            }
        }
    }

    /// While no thread serves other processes the worker waits for their calls.
    pub(crate) fn serve_at(&self, door: Box<dyn Door>) {
        self.queue.wait_at(door);
    }

    /// Waits for room in the queue for an entry with so many bytes in a payload file.
    pub(crate) fn reserve(&self, file_bytes: u64, timeout: Duration) -> Result<(), Rejected> {
        if self.sharing.host().is_some() {
            return Ok(());
        }
        self.queue.reserve(file_bytes, timeout)
    }

    /// Whether a small entry can be handed over at once, without waiting for room or for an engine that is to be opened.
    pub(crate) fn has_room(&self) -> bool {
        self.sharing.host().is_none() && self.check_running().is_ok() && self.queue.has_room()
    }

    /// Whether a look opens the engine anew, and waits for that.
    pub(crate) fn is_to_reopen(&self) -> bool {
        self.slot.wants_reopen()
    }

    /// Hands an entry to the worker, and waits for nothing.
    pub(crate) fn hand_over(&self, request: Request) -> Result<(), Box<Request>> {
        self.queue.hand_over(request)
    }

    /// Sends a request that is never refused for want of room, and waits for nothing.
    pub(crate) fn send(&self, request: Request) -> Result<(), Box<Request>> {
        let request = match self.sharing.host() {
            None => request,
            Some(host) => match host.carry_out(request) {
                Ok(()) => return Ok(()),
                Err(request) => *request,
            },
        };
        self.queue.send(request)
    }

    /// This process hosts the directory from here on: its worker has LOCK. It must know the open memos before it takes any
    /// request of a caller.
    pub(crate) fn host_from_here_on(&self) {
        for OpenMemo { memo, row, bounds, adopter } in self.sharing.open_memos() {
            let reply = oneshot::channel().0;
            let _ = self.queue.send(Request::Adopt { memo, row, bounds, adopter, reply });
        }
        // A memo that the index does not know yet has no entries.
        let (reply, adopted) = oneshot::channel();
        if self.queue.send(Request::Barrier { reply }).is_ok() {
            let _ = self.wait(&adopted, self.tuning.reply_timeout);
        }
        self.sharing.become_host();
    }

    /// A guest is closed.
    pub(crate) fn close_as_guest(&self) {
        self.slot.closed();
        self.end(Ok(()));
        self.janitor.end();
    }

    /// Waits until everything that was handed over so far was applied.
    pub(crate) fn catch_up(&self) {
        let _ = self.ask(|reply| Request::Barrier { reply });
    }

    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Acquire)
    }

    /// The worker made a step.
    pub(super) fn made_progress(&self) {
        self.progress.fetch_add(1, Ordering::AcqRel);
        self.slot.answered();
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed: open it again")
}
