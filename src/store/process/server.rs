//! The host's side: one thread that serves all guests, and never waits for one of them.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use super::{
    guest::{Guest, Host},
    socket::{Bell, Interest, Listener, Stream, Watch, poll},
};
use crate::{
    clock::Deadline,
    error::Error,
    store::{session::Session, worker::Directory},
    sync::{Mutex, lock, thread},
};

/// How soon a value is looked after again that found no room in the queue.
const FULL: Duration = Duration::from_millis(1);

/// How often the worker is looked at while it owes an answer.
const LOOK: Duration = Duration::from_millis(500);

/// After a connection that could not be taken.
const REST: Duration = Duration::from_millis(100);

/// Bytes that a guest may leave unread. One that leaves more is dropped.
const MAX_UNREAD: usize = 16 << 20;

/// Guests at once. More connections are closed at once, and their processes go on alone.
const MAX_GUESTS: usize = 200;

/// The thread that serves guests, as the rest of its process sees it.
pub(super) struct Server {
    /// `None` where no guest can be served: other processes find the store in use.
    thread: Mutex<Option<(thread::JoinHandle<()>, Arc<Calls>)>>,
}

/// What the thread is called for.
struct Calls {
    bell: Bell,
    ends: AtomicBool,
    /// The directory was deleted, and made anew by this process.
    renews: AtomicBool,
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.bell.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.bell.ring();
    }
}

impl Server {
    /// Begins to serve. `expected` guests of an earlier host may come and say what they lead.
    pub(super) fn start(
        directory: &Arc<Directory>,
        session: &Arc<Session>,
        path: &Path,
        expected: u64,
    ) -> Self {
        let started = Self::try_start(directory, session, path, expected);
        let thread =
            started.map_err(|cause| session.note_failed(&Error::io("serving other processes", cause)));
        Self { thread: Mutex::new(thread.ok()) }
    }

    /// Of a process that serves no other.
    pub(super) fn none() -> Self {
        Self { thread: Mutex::new(None) }
    }

    fn try_start(
        directory: &Arc<Directory>,
        session: &Arc<Session>,
        path: &Path,
        expected: u64,
    ) -> std::io::Result<(thread::JoinHandle<()>, Arc<Calls>)> {
        let listener = Listener::bind(path)?;
        let calls = Arc::new(Calls {
            bell: Bell::new()?,
            ends: AtomicBool::new(false),
            renews: AtomicBool::new(false),
        });
        let host = Host::new(directory, session, Waker::from(Arc::clone(&calls)), expected);
        let service = Service {
            calls: Arc::clone(&calls),
            path: path.to_owned(),
            lock: identity(&path.join("LOCK")),
            watch: Watch::new(path).ok(),
            listener,
            rest: None,
            looks: false,
            host,
            guests: Vec::new(),
        };
        let thread = thread::Builder::new().name("memolith-host".into()).spawn(move || service.serve())?;
        Ok((thread, calls))
    }

    /// The directory was made anew: its socket too. The guests of the old one go.
    pub(super) fn renew(&self) {
        if let Some((_, calls)) = &*lock(&self.thread) {
            calls.renews.store(true, Ordering::Release);
            calls.bell.ring();
        }
    }

    /// Lets all guests go. They look for another host.
    pub(super) fn end(&self) {
        let Some((thread, calls)) = lock(&self.thread).take() else { return };
        calls.ends.store(true, Ordering::Release);
        calls.bell.ring();
        // A thread of the store that runs code of the user may close it: that is never this one.
        let _ = thread.join();
    }
}

/// The device and the number of a file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

struct Service {
    calls: Arc<Calls>,
    path: PathBuf,
    /// The identity of LOCK. While the directory has it, SOCKET is ours to bind.
    lock: Option<(u64, u64)>,
    /// Tells when SOCKET is removed or replaced; `None` where the system does not tell.
    watch: Option<Watch>,
    listener: Listener,
    /// Until when no connection is taken: there was no descriptor for one.
    rest: Option<Deadline>,
    /// Whether SOCKET is to be looked at.
    looks: bool,
    host: Host,
    guests: Vec<Guest>,
}

impl Service {
    fn serve(mut self) {
        while !self.calls.ends.load(Ordering::Acquire) {
            if self.wait().is_err() {
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
            let before = self.guests.len();
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
        self.guests.iter_mut().for_each(|guest| guest.leave(&self.host));
    }

    /// Waits until there is something to do, and notes which guests sent something.
    fn wait(&mut self) -> std::io::Result<()> {
        let held_up = self.guests.iter().any(Guest::is_held_up).then_some(FULL);
        let owes = self.guests.iter().any(Guest::owes_answers).then_some(LOOK);
        let rest = self.rest.and_then(Deadline::remaining);
        let timeout = [held_up, owes, rest, self.host.grace()].into_iter().flatten().min();
        let listens = if rest.is_some() { Interest::End } else { Interest::Read };
        let mut awaited = vec![(self.calls.bell.as_fd(), Interest::Read), (self.listener.as_fd(), listens)];
        // One that has ended is ready at each moment.
        let talking = || self.guests.iter().filter(|guest| !guest.is_ended());
        awaited.extend(talking().map(|guest| (guest.as_fd(), guest.interest())));
        let of_watch = awaited.len();
        awaited.extend(self.watch.as_ref().map(|watch| (watch.as_fd(), Interest::Read)));
        let ready = poll(&awaited, timeout)?;
        drop(awaited);
        if ready.first().is_some_and(|bell| bell.readable) {
            self.calls.bell.drain();
        }
        let talking = self.guests.iter_mut().filter(|guest| !guest.is_ended());
        for (guest, ready) in talking.zip(ready.iter().skip(2)) {
            guest.note(*ready);
        }
        self.looks = self.watch.is_none();
        if let (Some(watch), Some(of_watch)) = (&self.watch, ready.get(of_watch))
            && of_watch.readable
        {
            watch.drain();
            self.looks = true;
        }
        Ok(())
    }

    /// SOCKET is bound anew when it was removed or replaced, but not in a directory that is no longer ours.
    fn look_after_socket(&mut self) {
        let is_renewed = self.calls.renews.swap(false, Ordering::AcqRel);
        if is_renewed {
            self.lock = identity(&self.path.join("LOCK"));
            self.watch = Watch::new(&self.path).ok();
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
        self.host.count_guests(self.guests.len() as u64, &self.path);
    }
}
