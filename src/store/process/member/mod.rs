//! A process among those that use a directory: the host, a guest of the host, or on its own for a while.
//!
//! The lock decides, never the socket: a process that wants something done tries LOCK first, and connects to SOCKET when another
//! one holds it. When the host ends or dies, the first of its guests that wants a change, leads a key or has a value under way hosts
//! the directory from there on, for as long as it lives; those that only read look into the store as it was closed. What a guest has
//! open, leads and has under way is said again to the next host.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    calls,
    closed::ClosedStore,
    leads::{Lead, Leads},
    link::{Link, Lost},
    server::Server,
    socket::{Bell, wait_for_hangup},
};
use crate::{
    clock::Stopwatch,
    error::{Error, Result},
    flight::{RemoteClaim, RemoteNumber},
    store::{
        epochs::Epochs,
        generation::{Bounds, GenerationId},
        partition::bring_home,
        scope::names_of,
        session::Session,
        worker::{self, Directory, Elsewhere, LookedUp, OpenMemo, Query, Registration, Request, Wants},
    },
    sync::{Condvar, Mutex, lock, thread},
};

mod elsewhere;
mod seek;
#[cfg(feature = "redis")]
mod through_host;

pub(crate) struct Member {
    this: Weak<Self>,
    directory: OnceLock<Weak<Directory>>,
    session: Arc<Session>,
    /// The store's directory.
    path: PathBuf,
    /// How long a host may say nothing.
    reply_timeout: Duration,
    /// How a look for a host is made by one thread at a time.
    role: Mutex<Role>,
    /// Of the directory as it was first met.
    epochs: OnceLock<Epochs>,
    /// The number of the host that counted this process among its guests last; 0 for none.
    counted_by: AtomicU64,
    /// Whether the directory has other counters by now, which this process does not see: from then on nothing is taken out of memory.
    epochs_are_lost: AtomicBool,
    /// Different at each look while the counters are not seen.
    no_words: AtomicU64,
    /// The numbers under which hosts know the memos of this process.
    numbers: Mutex<HashMap<GenerationId, u32>>,
    /// What this process leads at its host.
    leads: Arc<Leads>,
    /// Whether a thread watches for the end of the host.
    is_watched: AtomicBool,
    /// Ends that thread.
    stop: OnceLock<Bell>,
    /// Whether the store is closed: no host is looked for any more, but for values that are owed.
    is_closing: AtomicBool,
    /// The values of a lost connection that the next host has not got yet.
    resends: Mutex<usize>,
    /// One less.
    resent: Condvar,
}

enum Role {
    /// The store is closed. It is read, until this process wants a change or another one makes one.
    Reader(Arc<ClosedStore>),
    Guest(Arc<Link>),
    Host(Server),
    /// There is neither a host nor LOCK to be had.
    Alone {
        why: Error,
        since: Stopwatch,
        failures: u32,
    },
    Closed,
}

/// What a caller needs of the store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// To see it. A process that was a guest, and whose host closed the store, reads it without another host.
    Look,
    /// A host: something may change.
    Host,
    /// The same for values that were sent to the last one, also while the store is closed.
    Owed,
}

/// What a look at the connection ended with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    /// Another process is the next host.
    Host,
    /// There is no connection any more.
    Nothing,
    /// The store is closed, or this process hosts it.
    Stopped,
}

/// The answer to "where is the host?".
enum Reached {
    Link(Arc<Link>),
    /// This process is the host.
    Here,
    /// There is none, and the store is closed: this process reads it.
    Closed,
}

/// Why a process is no member of a directory.
pub(crate) enum Unjoined {
    Failed(Error),
    /// LOCK was free, and no thread can be started.
    NoThread(io::Error),
}

impl From<Error> for Unjoined {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Unjoined> for Error {
    fn from(unjoined: Unjoined) -> Self {
        match unjoined {
            Unjoined::Failed(error) => error,
            Unjoined::NoThread(cause) => Self::io("starting the threads of the store", cause),
        }
    }
}

/// Makes this process a member of the directory: its host if LOCK is free, or a guest of the process that holds it.
///
/// # Errors
///
/// When neither succeeds in time.
pub(crate) fn join(
    directory: &Arc<Directory>,
    session: &Arc<Session>,
    timeout: Duration,
) -> Result<(), Unjoined> {
    let Some(place) = &directory.place else { return Err(worker::closed().into()) };
    let member = Arc::new_cyclic(|this| Member {
        this: Weak::clone(this),
        directory: OnceLock::new(),
        session: Arc::clone(session),
        path: place.path.clone(),
        reply_timeout: directory.tuning.reply_timeout,
        role: Mutex::new(Role::Closed),
        epochs: OnceLock::new(),
        counted_by: AtomicU64::new(0),
        epochs_are_lost: AtomicBool::new(false),
        no_words: AtomicU64::new(0),
        numbers: Mutex::default(),
        leads: Arc::default(),
        is_watched: AtomicBool::new(false),
        stop: OnceLock::new(),
        is_closing: AtomicBool::new(false),
        resends: Mutex::new(0),
        resent: Condvar::new(),
    });
    let _ = member.directory.set(Arc::downgrade(directory));
    directory.sharing.become_guest(Arc::clone(&member) as Arc<dyn Elsewhere>);
    let closed = member.find_epochs().and_then(|epochs| ClosedStore::open(&member.path, epochs));
    let role = match closed {
        Some(closed) => Role::Reader(Arc::new(closed)),
        None => member.seek(timeout, Need::Host, false)?,
    };
    *lock(&member.role) = role;
    Ok(())
}

impl Member {
    /// A request for the worker of this process, which hosts the directory by now.
    fn bring_home(&self, request: Request) -> std::result::Result<(), Box<Request>> {
        match (request, self.directory()) {
            (Request::Put(put), Some(directory)) => {
                bring_home(&directory, put);
                Ok(())
            }
            // It stands among the open memos, or did not yet: the worker takes it once.
            (request, _) => Err(Box::new(request)),
        }
    }

    fn directory(&self) -> Option<Arc<Directory>> {
        self.directory.get().and_then(Weak::upgrade)
    }

    fn number_of(&self, memo: &Registration) -> u32 {
        let mut numbers = lock(&self.numbers);
        let next = numbers.len() as u32;
        *numbers.entry(memo.generation).or_insert(next)
    }

    /// The closed store, while it is one.
    fn closed_store(&self) -> Option<Arc<ClosedStore>> {
        match &*lock(&self.role) {
            Role::Reader(closed) => Some(Arc::clone(closed)),
            _ => None,
        }
    }

    /// Answers from a closed store what changes nothing. Given back when a host has to do it.
    fn answer_closed(&self, request: Request) -> std::result::Result<(), Box<Request>> {
        let Some(closed) = self.closed_store() else { return Err(Box::new(request)) };
        match request {
            Request::Adopt { memo, bounds, reply, .. } if closed.is_within(Some(&memo.memo), &bounds) => {
                drop(reply.send(Ok(())));
            }
            Request::MakeRoom { name, reply } if self.is_within(&closed, name.as_deref()) => {
                drop(reply.send(Ok(())));
            }
            Request::Names { reply } if self.sees(&closed) => {
                let open: Vec<String> = self.open_names();
                drop(reply.send(Ok(names_of(closed.names().chain(&open)))));
            }
            Request::Flush { reply } | Request::Barrier { reply } => drop(reply.send(Ok(()))),
            Request::Disown { .. } => {}
            request => return Err(Box::new(request)),
        }
        Ok(())
    }

    /// `None` if the store is open, or its host has to do more than look.
    fn look_at_closed(&self, query: &Query<'_>) -> Option<LookedUp> {
        let closed = self.closed_store()?;
        let found = closed.find(query, self.session.clock.now())?;
        self.sees(&closed).then(|| found.map_or_else(LookedUp::Missing, LookedUp::Record))
    }

    /// Whether a look at the closed store was a look at the store as it is.
    fn sees(&self, closed: &ClosedStore) -> bool {
        self.find_epochs().is_some_and(|epochs| closed.is_current(epochs))
    }

    /// Whether a memo, or without a name the store, is within the bounds that this process set.
    fn is_within(&self, closed: &ClosedStore, name: Option<&str>) -> bool {
        let Some(name) = name else { return closed.is_within(None, &self.bounds()) };
        let directory = self.directory();
        let open = directory.map(|directory| directory.sharing.open_memos()).unwrap_or_default();
        let mut of_memo = open.iter().filter(|open| *open.memo.memo == *name);
        of_memo.all(|open| closed.is_within(Some(name), &open.bounds))
    }

    fn open_names(&self) -> Vec<String> {
        let directory = self.directory();
        let open = directory.map(|directory| directory.sharing.open_memos()).unwrap_or_default();
        open.into_iter().map(|open| open.row.name).collect()
    }

    /// Of the store as a whole.
    fn bounds(&self) -> Bounds {
        Bounds { max_bytes: self.session.max_bytes, ..Bounds::default() }
    }

    /// Has a request carried out on a connection, and its reply sent. Given back when the connection is lost.
    fn carry_out_on(&self, link: &Link, request: Request) -> std::result::Result<(), Box<Request>> {
        let number = |memo: &Arc<Registration>| self.number_of(memo);
        match request {
            // What has no bound needs no room.
            Request::MakeRoom { name, reply } if !self.is_bounded(name.as_deref()) => {
                drop(reply.send(Ok(())));
                Ok(())
            }
            Request::Put(put) => {
                let unsent = calls::put(link, number(&put.memo), Box::new(put));
                unsent.map_err(|put| Box::new(Request::Put(*put)))
            }
            Request::Adopt { memo, row, bounds, adopter, reply } => {
                let open = OpenMemo { memo, row, bounds, adopter };
                let Ok(answer) = self.adopt(link, &open) else {
                    let OpenMemo { memo, row, bounds, adopter } = open;
                    return Err(Box::new(Request::Adopt { memo, row, bounds, adopter, reply }));
                };
                drop(reply.send(calls::done(&answer)));
                Ok(())
            }
            // It was opened again meanwhile.
            Request::Disown { memo, .. } if self.has_open(&memo) => Ok(()),
            request => calls::simple(link, number, request),
        }
    }

    /// Whether this process set a bound for the memo, or without a name for the store.
    fn is_bounded(&self, name: Option<&str>) -> bool {
        let is_bounded = |open: &OpenMemo| name == Some(&*open.memo.memo) && open.bounds.is_bounded();
        self.session.max_bytes.is_some()
            || self.directory().is_some_and(|directory| directory.sharing.open_memos().iter().any(is_bounded))
    }

    fn has_open(&self, memo: &Registration) -> bool {
        self.directory().is_some_and(|directory| directory.sharing.has_open(memo.generation))
    }

    /// Waits for the end of the host, and looks for the next one.
    fn watch_link(&self) -> Watched {
        let Some(link) = self.leads.link() else { return Watched::Nothing };
        match self.stop.get().map(|stop| wait_for_hangup(link.stream(), stop.as_fd())) {
            Some(Ok(true)) => link.lose(),
            _ => return Watched::Stopped,
        }
        match self.reach(Need::Look) {
            Ok(Reached::Link(_)) => Watched::Host,
            // A host that cannot be reached now is looked for by the next call.
            _ => Watched::Nothing,
        }
    }

    /// Whether there is a lead that a next host would have to learn of.
    fn leads_something(&self) -> bool {
        !self.leads.is_empty() && self.leads.link().is_some_and(|link| !link.is_lost())
    }

    /// Has a thread watch for the end of the host, while this process leads something there.
    fn watch(&self) {
        if self.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        if self.stop.get().is_none()
            && let Ok(bell) = Bell::new()
        {
            let _ = self.stop.set(bell);
        }
        let this = Weak::clone(&self.this);
        let watch = move || watch(&this);
        let named = thread::Builder::new().name("memolith-guest".into());
        if self.stop.get().is_none() || named.spawn(watch).is_err() {
            self.is_watched.store(false, Ordering::Release);
        }
    }

    fn note_lead(
        &self,
        link: &Link,
        query: &Query<'_>,
        number: RemoteNumber,
    ) -> std::result::Result<Box<dyn RemoteClaim>, Lost> {
        let is_refresh = matches!(query.wants, Wants::Refresh(_));
        let (memo, digest, caller) = (Arc::clone(query.memo), *query.digest, query.caller.number());
        let lead = Lead { memo, digest, caller, is_refresh, number };
        let handle = self.leads.note(lead);
        if link.is_lost() {
            // The next host may have been told already what this process leads.
            handle.end(None);
            return Err(Lost);
        }
        self.watch();
        Ok(handle)
    }

    fn ask_on(&self, link: &Link, query: &Query<'_>) -> std::result::Result<Result<LookedUp>, Lost> {
        let (call, number) = calls::look_up(link, self.number_of(query.memo), query)?;
        let number = RemoteNumber { connection: link.id, claim: number };
        if link.is_lost() {
            // A host that was stopped and goes on has another one after it.
            return Err(Lost);
        }
        let looked_up = match calls::looked_up(&call) {
            Ok(looked_up) => looked_up,
            Err(error) => return Ok(Err(error)),
        };
        Ok(Ok(match looked_up {
            calls::Looked::Record(bytes) => LookedUp::Record(bytes),
            calls::Looked::Missing(reason) => LookedUp::Missing(reason),
            calls::Looked::Led => LookedUp::Led,
            calls::Looked::Lead(reason) => LookedUp::Lead(reason, self.note_lead(link, query, number)?),
        }))
    }
}

/// Waits for the end of the host while this process computes: the next host must learn what it leads before it grants the same
/// lead to another caller, and that a process which leads nothing need not be waited for.
fn watch(member: &Weak<Member>) {
    while let Some(member) = member.upgrade() {
        let watched = member.watch_link();
        if watched == Watched::Host {
            continue;
        }
        member.is_watched.store(false, Ordering::Release);
        // A lead of a new connection may have relied on this thread.
        let is_needed = watched == Watched::Nothing && member.leads_something();
        if !is_needed || member.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
    }
}
