//! The service for all guests, by one thread that never waits for one of them.
//!
//! The thread lives while there are guests. At other times the worker of the store waits for calls at this [`Door`], beside its
//! queue.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use super::{
    guest::Guest,
    host::Host,
    socket::{Bell, Interest, Listener, Ready, Stream, Watch, poll},
};
use crate::{
    clock::Deadline,
    error::Error,
    store::worker::Door,
    sync::{Mutex, lock, thread},
};

/// How soon a value is looked after again that found no room in the queue.
const FULL: Duration = Duration::from_millis(1);

/// How often the worker is looked at while it owes an answer.
const LOOK: Duration = Duration::from_millis(500);

/// How long a host that closes the store waits for what its guests asked for.
const FINISH: Duration = Duration::from_millis(100);

/// After a connection that could not be taken.
const REST: Duration = Duration::from_millis(100);

/// How long the thread waits for a next guest when the last one has gone.
const LINGER: Duration = Duration::from_secs(1);

/// How long SOCKET is not watched at first. The end of a watch takes the kernel some 15 ms, as much as all the rest of a process that
/// stores one value.
const UNWATCHED: Duration = Duration::from_millis(100);

/// Bytes that a guest may leave unread. One that leaves more is dropped.
const MAX_UNREAD: usize = 16 << 20;

/// Guests at once. More connections are closed at once, and their processes go on alone.
const MAX_GUESTS: usize = 200;

/// What the service is called for, and its thread.
pub(super) struct Calls {
    pub(super) bell: Bell,
    pub(super) ends: AtomicBool,
    /// The directory was deleted, and made anew by this process.
    pub(super) renews: AtomicBool,
    /// `None` while the worker waits for calls. Set and taken under its lock, with `ends`.
    pub(super) thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Calls {
    pub(super) fn new() -> io::Result<Self> {
        let (ends, renews) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { bell: Bell::new()?, ends, renews, thread: Mutex::new(None) })
    }

    /// Whether something other than a guest wants the service.
    fn is_wanted(&self) -> bool {
        self.ends.load(Ordering::Acquire) || self.renews.load(Ordering::Acquire)
    }
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.bell.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.bell.ring();
    }
}

pub(super) fn cannot_serve(cause: io::Error) -> Error {
    Error::io("serving other processes", cause)
}

/// The device and the number of a file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

pub(super) struct Service {
    calls: Arc<Calls>,
    path: PathBuf,
    /// The identity of LOCK. While the directory has it, SOCKET is ours to bind.
    lock: Option<(u64, u64)>,
    /// Tells when SOCKET is removed or replaced; `None` where the system does not tell. Begun with the first guest, or after a while.
    watch: OnceLock<Option<Watch>>,
    /// When it is begun without a guest.
    unwatched: Deadline,
    listener: Listener,
    /// Until when no connection is taken: there was no descriptor for one.
    rest: Option<Deadline>,
    /// Whether SOCKET is to be looked at.
    looks: bool,
    host: Host,
    guests: Vec<Guest>,
}

impl Service {
    pub(super) fn new(calls: &Arc<Calls>, host: Host, path: &Path) -> io::Result<Self> {
        Ok(Self {
            calls: Arc::clone(calls),
            path: path.to_owned(),
            lock: identity(&path.join("LOCK")),
            watch: OnceLock::new(),
            unwatched: Deadline::after(UNWATCHED),
            listener: Listener::bind(path)?,
            rest: None,
            looks: false,
            host,
            guests: Vec::new(),
        })
    }

    fn watch(&self) -> Option<&Watch> {
        self.watch.get().and_then(Option::as_ref)
    }

    fn begin_to_watch(&self) {
        self.watch.get_or_init(|| Watch::new(&self.path).ok());
    }

    /// Until the end, or until no guest was there for a while: then the worker waits for the next one.
    fn serve(mut self: Box<Self>) {
        let mut alone_until = Deadline::after(LINGER);
        while !self.calls.ends.load(Ordering::Acquire) {
            if self.wait(alone_until).is_err() {
                break;
            }
            self.look_after_socket();
            self.admit();
            let host = &mut self.host;
            for guest in &mut self.guests {
                guest.serve(host);
            }
            let owes = self.guests.iter().any(Guest::owes_answers);
            if let Some(error) = host.give_up(owes) {
                self.guests.iter_mut().for_each(|guest| guest.give_up(&error));
            }
            self.dismiss();
            if !self.guests.is_empty() || self.host.grace().is_some() {
                alone_until = Deadline::after(LINGER);
            } else if alone_until.remaining().is_none() {
                return self.rest_until_called();
            }
        }
        self.finish();
        self.guests.iter_mut().for_each(|guest| guest.leave(&self.host));
    }

    /// The store is to be closed: what guests asked for so far is carried out first. Else each of them would have to host the
    /// store in turn, to have a value written that was on its way.
    fn finish(&mut self) {
        let deadline = Deadline::after(FINISH);
        let host = &mut self.host;
        for guest in &mut self.guests {
            // Something may lie in its socket.
            guest.note(Ready { readable: true, writable: false });
            guest.serve(host);
        }
        while self.guests.iter().any(Guest::owes_answers)
            && let Some(left) = deadline.remaining()
            && poll(&[(self.calls.bell.as_fd(), Interest::Read)], Some(left)).is_ok()
        {
            self.calls.bell.drain();
            let host = &self.host;
            self.guests.iter_mut().for_each(|guest| guest.finish(host));
        }
        // The next host waits for those that are left.
        self.dismiss();
    }

    /// Lets guests go that have gone, or do not read.
    fn dismiss(&mut self) {
        let (before, host) = (self.guests.len(), &self.host);
        self.guests.retain_mut(|guest| {
            let stays = !guest.is_gone() && guest.unread() <= MAX_UNREAD;
            if !stays {
                guest.leave(host);
            }
            stays
        });
        if self.guests.len() != before {
            self.count();
        }
    }

    /// The thread ends.
    fn rest_until_called(self: Box<Self>) {
        let (calls, directory) = (Arc::clone(&self.calls), Arc::clone(&self.host.directory));
        let mut thread = lock(&calls.thread);
        if !calls.ends.load(Ordering::Acquire) {
            *thread = None;
            directory.serve_at(self);
        }
    }

    /// Waits until there is something to do, and notes which guests sent something.
    fn wait(&mut self, alone_until: Deadline) -> io::Result<()> {
        let held_up = self.guests.iter().any(Guest::is_held_up).then_some(FULL);
        let owes = self.guests.iter().any(Guest::owes_answers).then_some(LOOK);
        let rest = self.rest.and_then(Deadline::remaining);
        let alone = self.guests.is_empty().then(|| alone_until.remaining().unwrap_or_default());
        let timeout = [held_up, owes, rest, alone, self.host.grace()].into_iter().flatten().min();
        let listens = if rest.is_some() { Interest::End } else { Interest::Read };
        let mut awaited = vec![(self.calls.bell.as_fd(), Interest::Read), (self.listener.as_fd(), listens)];
        // One that has ended is ready at each moment.
        let talking = || self.guests.iter().filter(|guest| !guest.is_ended());
        awaited.extend(talking().map(|guest| (guest.as_fd(), guest.interest())));
        let of_watch = awaited.len();
        awaited.extend(self.watch().map(|watch| (watch.as_fd(), Interest::Read)));
        let ready = poll(&awaited, timeout)?;
        drop(awaited);
        if ready.first().is_some_and(|bell| bell.readable) {
            self.calls.bell.drain();
        }
        let talking = self.guests.iter_mut().filter(|guest| !guest.is_ended());
        for (guest, ready) in talking.zip(ready.iter().skip(2)) {
            guest.note(*ready);
        }
        match (self.watch(), ready.get(of_watch)) {
            (Some(watch), Some(of_watch)) if of_watch.readable => watch.drain(),
            (Some(_), _) => return Ok(()),
            (None, _) => {}
        }
        self.looks = true;
        Ok(())
    }

    /// SOCKET is bound anew when it was removed or replaced, but not in a directory that is no longer ours.
    fn look_after_socket(&mut self) {
        let is_renewed = self.calls.renews.swap(false, Ordering::AcqRel);
        if is_renewed {
            self.lock = identity(&self.path.join("LOCK"));
            self.watch = OnceLock::from(Watch::new(&self.path).ok());
            let host = &self.host;
            self.guests.drain(..).for_each(|mut guest| guest.leave(host));
            self.count();
        }
        if !std::mem::take(&mut self.looks) && !is_renewed {
            return;
        }
        let is_ours = self.lock.is_some() && identity(&self.path.join("LOCK")) == self.lock;
        if is_ours
            && !self.listener.is_of(&self.path)
            && let Ok(listener) = Listener::bind(&self.path)
        {
            self.listener = listener;
        }
    }

    fn admit(&mut self) {
        if self.rest.and_then(Deadline::remaining).is_some() {
            return;
        }
        let before = self.guests.len();
        self.rest = loop {
            match self.listener.accept() {
                Ok(Some(stream)) => self.admit_one(stream),
                Ok(None) => break None,
                // The connection waits until there is a descriptor for it.
                Err(_) => break Some(Deadline::after(REST)),
            }
        };
        if self.guests.len() != before {
            self.count();
        }
    }

    fn admit_one(&mut self, stream: Stream) {
        if self.guests.len() < MAX_GUESTS {
            self.guests.push(Guest::new(stream));
        }
    }

    /// Writes down how many guests there are: a next host waits for them.
    fn count(&self) {
        self.host.count_guests(self.guests.len() as u64);
    }
}

impl Door for Service {
    fn wait_for_call(&self, timeout: Option<Duration>) -> bool {
        let unwatched = self.unwatched.remaining().filter(|_| self.watch.get().is_none());
        if unwatched.is_none() && self.watch.get().is_none() {
            self.begin_to_watch();
            if !self.listener.is_of(&self.path) {
                return true;
            }
        }
        let mut awaited =
            vec![(self.calls.bell.as_fd(), Interest::Read), (self.listener.as_fd(), Interest::Read)];
        awaited.extend(self.watch().map(|watch| (watch.as_fd(), Interest::Read)));
        let timeout = [timeout, unwatched].into_iter().flatten().min();
        let timeout = if self.calls.is_wanted() { Some(Duration::ZERO) } else { timeout };
        let Ok(ready) = poll(&awaited, timeout) else { return false };
        let is_ready = |at: usize| ready.get(at).is_some_and(|ready| ready.readable);
        if is_ready(0) {
            self.calls.bell.drain();
        }
        // MANIFEST is replaced now and then, which is no reason for a thread.
        let is_replaced = is_ready(2) && {
            self.watch().into_iter().for_each(Watch::drain);
            !self.listener.is_of(&self.path)
        };
        is_ready(1) || is_replaced || self.calls.is_wanted()
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.calls))
    }

    fn open(mut self: Box<Self>) {
        self.looks = true;
        let (calls, session) = (Arc::clone(&self.calls), Arc::clone(&self.host.session));
        let mut thread = lock(&calls.thread);
        if calls.ends.load(Ordering::Acquire) {
            return;
        }
        self.begin_to_watch();
        match thread::Builder::new().name("memolith-host".into()).spawn(move || self.serve()) {
            Ok(started) => *thread = Some(started),
            // The service went with its closure, and with it SOCKET.
            Err(cause) => session.note_failed(&cannot_serve(cause)),
        }
    }
}
