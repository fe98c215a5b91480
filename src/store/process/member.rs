//! A process among those that use a directory: the host, a guest of the host, or on its own for a while.
//!
//! The lock decides, never the socket: a process that wants something done tries LOCK first, and connects to SOCKET when another
//! one holds it. When the host ends or dies, the first of its guests that gets LOCK hosts the directory from there on, for as
//! long as it lives. What a guest has open, leads and has under way is said again to the next host.

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
    message::{Answer, Call, GREETING, PROTOCOL, decode, error},
    server::Server,
    socket::{Bell, Unreachable, connect, wait_for_hangup},
};
use crate::{
    clock::{Deadline, Stopwatch},
    error::{Error, ErrorKind, Result},
    flight::{RemoteClaim, RemoteNumber, Words},
    key::Digest,
    store::{
        epochs::Epochs,
        generation::{Bounds, GenerationId},
        lock::{self, LockFile},
        manifest::Manifest,
        partition::bring_home,
        scope::names_of,
        session::Session,
        worker::{
            self, Directory, Elsewhere, LookedUp, OpenMemo, Query, Registration, Request, Stretch, pause,
        },
    },
    sync::{Mutex, lock, thread},
};

/// How long a process that wants something waits for a host that is just coming or going.
const SEEK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a host may say nothing at the beginning: it may be stopped.
const GREETING_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a call is made on another connection, when its own is lost.
const ATTEMPTS: usize = 8;

/// Between two attempts.
const STEP: Duration = Duration::from_millis(1);

/// How long a new host waits for guests of its predecessor before it grants a lead.
const GRACE: Duration = Duration::from_millis(100);

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
    /// Whether a host counted this process among its guests.
    was_guest: AtomicBool,
    /// Whether the directory has other counters by now, which this process does not see: then nothing is taken out of memory.
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
    /// Whether the store is closed: no host is looked for any more.
    is_closing: AtomicBool,
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

/// The answer to "where is the host?".
enum Reached {
    Link(Arc<Link>),
    /// This process is the host.
    Here,
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
        was_guest: AtomicBool::new(false),
        epochs_are_lost: AtomicBool::new(false),
        no_words: AtomicU64::new(0),
        numbers: Mutex::default(),
        leads: Arc::default(),
        is_watched: AtomicBool::new(false),
        stop: OnceLock::new(),
        is_closing: AtomicBool::new(false),
    });
    let _ = member.directory.set(Arc::downgrade(directory));
    directory.sharing.become_guest(Arc::clone(&member) as Arc<dyn Elsewhere>);
    member.find_epochs();
    let closed = member.epochs.get().and_then(|epochs| ClosedStore::open(&member.path, epochs));
    let role = match closed {
        Some(closed) => Role::Reader(Arc::new(closed)),
        None => member.seek(timeout, false)?,
    };
    *lock(&member.role) = role;
    Ok(())
}

impl Member {
    /// The host, looked for if there is none.
    fn reach(&self) -> Result<Reached> {
        let mut role = lock(&self.role);
        match &*role {
            Role::Guest(link) if !link.is_lost() => return Ok(Reached::Link(Arc::clone(link))),
            Role::Guest(_) | Role::Reader(_) => {}
            Role::Host(_) => return Ok(Reached::Here),
            Role::Alone { why, since, failures } => {
                if since.elapsed() < pause(*failures, false) {
                    return Err(why.clone());
                }
            }
            Role::Closed => return Err(worker::closed()),
        }
        let failures = if let Role::Alone { failures, .. } = &*role { failures + 1 } else { 0 };
        let unanswered = if let Role::Guest(link) = &*role { link.unanswered() } else { Vec::new() };
        let sought = self.seek(SEEK_TIMEOUT, true);
        *role = sought.unwrap_or_else(|why| {
            let why = Error::from(why);
            self.session.note_failed(&why);
            Role::Alone { why, since: self.session.clock.stopwatch(), failures }
        });
        let reached = match &*role {
            Role::Guest(link) => Ok(Reached::Link(Arc::clone(link))),
            Role::Alone { why, .. } => Err(why.clone()),
            Role::Host(_) => Ok(Reached::Here),
            Role::Closed | Role::Reader(_) => Err(worker::closed()),
        };
        drop(role);
        // They are judged by the counters, and may be there already.
        for put in unanswered {
            drop(self.carry_out(Request::Put(put)));
        }
        reached
    }

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

    fn seek(&self, timeout: Duration, is_in_call: bool) -> Result<Role, Unjoined> {
        let deadline = Deadline::after(timeout);
        loop {
            match lock::lock(&self.path, Duration::ZERO) {
                Ok(lock_file) => return self.host(lock_file, is_in_call).map(Role::Host),
                Err(error) if error.kind() == ErrorKind::InUse => {}
                Err(error) => return Err(error.into()),
            }
            match connect(&self.path) {
                Ok(stream) => match self.greet(&Arc::new(Link::new(stream, GREETING_TIMEOUT))) {
                    Ok(link) => return Ok(Role::Guest(link)),
                    Err(Some(error)) => return Err(error.into()),
                    // The host ended in between.
                    Err(None) => {}
                },
                Err(Unreachable::Nobody | Unreachable::Busy) => {}
                Err(Unreachable::Foreign) => return Err(self.foreign().into()),
                Err(Unreachable::Failed(cause)) => {
                    return Err(Error::io(self.path.join("SOCKET").display(), cause).into());
                }
            }
            if self.is_closing.load(Ordering::Acquire) {
                return Err(worker::closed().into());
            }
            if deadline.remaining().is_none() {
                return Err(lock::in_use(&self.path, timeout).into());
            }
            thread::sleep(STEP);
        }
    }

    fn foreign(&self) -> Error {
        let message = format!(
            "the store at {} is in use by a process of another user: use a directory for each user",
            self.path.display()
        );
        Error::new(ErrorKind::InUse, message)
    }

    /// Says everything that a host must know of this process. Without an error the connection was lost.
    fn greet(&self, link: &Arc<Link>) -> std::result::Result<Arc<Link>, Option<Error>> {
        let answer = |call: &Call<'_>| -> std::result::Result<(), Option<Error>> {
            let bytes = link.call(call).map_err(|Lost| None)?;
            match decode(&bytes) {
                Some(Answer::Failed { kind, message }) => Err(Some(error(kind, message))),
                Some(_) => Ok(()),
                None => Err(None),
            }
        };
        answer(&Call::Hello { greeting: GREETING, protocol: PROTOCOL })?;
        self.find_epochs();
        let Some(directory) = self.directory() else { return Err(Some(worker::closed())) };
        for open in directory.sharing.open_memos() {
            let adopted = self.adopt(link, &open).map_err(|Lost| None)?;
            // A host that has no index at this moment takes the memo up with the next one.
            if calls::done(&adopted).is_err_and(|error| error.kind() == ErrorKind::Closed) {
                return Err(None);
            }
        }
        self.declare(link).map_err(|Lost| None)?;
        Ok(Arc::clone(link))
    }

    fn adopt(&self, link: &Link, open: &OpenMemo) -> std::result::Result<Vec<u8>, Lost> {
        let row = open.row.encode();
        link.call(&calls::adopt(self.number_of(&open.memo), open, &row))
    }

    /// The leads of this process, under new numbers.
    fn declare(&self, link: &Arc<Link>) -> std::result::Result<(), Lost> {
        self.leads.renumber(|lead| {
            let (memo, digest) = (self.number_of(&lead.memo), *lead.digest.as_bytes());
            let claim = link.begin(&Call::Declare { memo, digest, caller: lead.caller })?;
            link.answer(claim, None)?;
            Ok(RemoteNumber { connection: link.id, claim })
        })?;
        let returns = self.was_guest.load(Ordering::Acquire);
        link.call(&Call::Declared { returns })?;
        link.set_timeout(self.reply_timeout);
        self.leads.set_link(link);
        self.was_guest.store(true, Ordering::Release);
        Ok(())
    }

    /// The counters by which changes of other processes are seen.
    fn find_epochs(&self) {
        match self.epochs.get() {
            Some(epochs) => self.epochs_are_lost.store(!epochs.is_of(&self.path), Ordering::Release),
            None => {
                if let Ok(Some(epochs)) = Epochs::open(&self.path) {
                    let _ = self.epochs.set(epochs);
                }
            }
        }
    }

    /// This process has LOCK: it becomes the host.
    fn host(&self, lock_file: LockFile, is_in_call: bool) -> Result<Server, Unjoined> {
        let Some(directory) = self.directory() else { return Err(worker::closed().into()) };
        // A store of another format is left alone.
        Manifest::read(&self.path)?;
        let was_guest = self.was_guest.load(Ordering::Acquire);
        let is_shared = directory.sharing.raise_in_file(&self.session, &self.path);
        // They end with their host. What they led is theirs for a moment more.
        let guests = directory.sharing.take_guests().saturating_sub(u64::from(was_guest));
        directory.janitor.start().map_err(Unjoined::NoThread)?;
        let opened = worker::start(&directory, &self.session, Some(lock_file)).map_err(Unjoined::NoThread)?;
        // A refusal of the operating system may pass. Anything else must be known at once.
        let opened = directory.wait_for_open(&opened, is_in_call);
        let is_open = opened.is_ok();
        opened.or_else(|error| if error.is_io() { Ok(()) } else { Err(error) })?;
        if guests > 0 {
            directory.sharing.await_guests_for(GRACE);
        }
        // Before any guest asks something.
        directory.host_from_here_on();
        let server = if is_shared {
            Server::start(&directory, &self.session, &self.path, guests, is_open)
        } else {
            Server::none()
        };
        if let Some(stop) = self.stop.get() {
            stop.ring();
        }
        Ok(server)
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
            Request::MakeRoom { name: None, reply } if closed.is_within(None, &self.bounds()) => {
                drop(reply.send(Ok(())));
            }
            Request::Names { reply } if self.sees(&closed) => {
                let open: Vec<String> = self.open_names();
                drop(reply.send(Ok(names_of(closed.names().chain(&open)))));
            }
            // It was looked at when the memo was adopted.
            Request::MakeRoom { name: Some(_), reply }
            | Request::Flush { reply }
            | Request::Barrier { reply } => drop(reply.send(Ok(()))),
            Request::Disown { .. } => {}
            request => return Err(Box::new(request)),
        }
        Ok(())
    }

    /// Whether a look at the closed store was a look at the store as it is.
    fn sees(&self, closed: &ClosedStore) -> bool {
        self.epochs.get().is_some_and(|epochs| closed.is_current(epochs))
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
        if thread::Builder::new().name("memolith-guest".into()).spawn(watch).is_err() {
            self.is_watched.store(false, Ordering::Release);
        }
    }

    fn note_lead(&self, query: &Query<'_>, caller: u64, number: RemoteNumber) -> Box<dyn RemoteClaim> {
        let lead = Lead { memo: Arc::clone(query.memo), digest: *query.digest, caller, number };
        let handle = self.leads.note(lead);
        self.watch();
        handle
    }

    fn ask_on(&self, link: &Link, query: &Query<'_>) -> std::result::Result<Result<LookedUp>, Lost> {
        let caller = crate::flight::caller();
        let (call, number) = calls::look_up(link, self.number_of(query.memo), query, caller)?;
        let number = RemoteNumber { connection: link.id, claim: number };
        if link.is_lost() {
            // A lead would not be declared to the next host.
            return Err(Lost);
        }
        Ok(calls::looked_up(&call).map(|looked_up| match looked_up {
            calls::Looked::Record(bytes) => LookedUp::Record(bytes),
            calls::Looked::Missing(reason) => LookedUp::Missing(reason),
            calls::Looked::Lead(reason) => {
                LookedUp::Lead(reason, self.note_lead(query, caller.number(), number))
            }
        }))
    }
}

/// Waits for the end of the host while this process computes: the next host must learn what it leads before it grants the same
/// lead to another caller.
fn watch(member: &Weak<Member>) {
    while let Some(member) = member.upgrade() {
        let link = member.leads.link();
        let (Some(link), Some(stop)) = (link, member.stop.get()) else {
            return member.is_watched.store(false, Ordering::Release);
        };
        let has_left = matches!(wait_for_hangup(link.stream(), stop.as_fd()), Ok(true));
        if has_left {
            link.lose();
        }
        // A host that cannot be reached now is looked for by the next call.
        if !has_left || !matches!(member.reach(), Ok(Reached::Link(_))) {
            return member.is_watched.store(false, Ordering::Release);
        }
    }
}

impl Elsewhere for Member {
    fn carry_out(&self, request: Request) -> std::result::Result<(), Box<Request>> {
        let Err(mut request) = self.answer_closed(request) else { return Ok(()) };
        for _ in 0..ATTEMPTS {
            match self.reach() {
                Ok(Reached::Here) => return self.bring_home(*request),
                Err(error) => {
                    calls::refuse(*request, &error);
                    return Ok(());
                }
                Ok(Reached::Link(link)) => match self.carry_out_on(&link, *request) {
                    Ok(()) => return Ok(()),
                    Err(unanswered) => request = unanswered,
                },
            }
        }
        calls::refuse(*request, &lost_again());
        Ok(())
    }

    fn look_up(&self, query: &Query<'_>) -> Result<LookedUp> {
        if let (Some(closed), Some(epochs)) = (self.closed_store(), self.epochs.get()) {
            let found = closed.find(query, self.session.clock.now());
            match found.filter(|_| closed.is_current(epochs)) {
                Some(Ok(record)) => return Ok(LookedUp::Record(record)),
                Some(Err(reason)) => return Ok(LookedUp::Missing(reason)),
                None => {}
            }
        }
        for _ in 0..ATTEMPTS {
            match self.reach()? {
                Reached::Here => return Ok(LookedUp::Here),
                Reached::Link(link) => {
                    if let Ok(looked_up) = self.ask_on(&link, query) {
                        return looked_up;
                    }
                }
            }
        }
        Err(lost_again())
    }

    fn walk(&self, memo: &Registration, after: Option<u64>) -> Result<Option<Stretch>> {
        for _ in 0..ATTEMPTS {
            match self.reach()? {
                Reached::Here => return Ok(None),
                Reached::Link(link) => {
                    let call = Call::Walk { memo: self.number_of(memo), after };
                    if let Ok(answer) = link.call(&call) {
                        return calls::stretch(&answer).map(Some);
                    }
                }
            }
        }
        Err(lost_again())
    }

    fn check(&self) -> Result<()> {
        self.reach().map(drop)
    }

    fn is_reader(&self) -> bool {
        self.closed_store().is_some()
    }

    fn why_alone(&self) -> Option<Error> {
        match &*lock(&self.role) {
            Role::Alone { why, .. } => Some(why.clone()),
            Role::Closed => Some(worker::closed()),
            Role::Reader(_) | Role::Guest(_) | Role::Host(_) => None,
        }
    }

    fn words(&self, memo: &Registration, digest: &Digest) -> Option<Words> {
        match self.epochs.get() {
            Some(epochs) if !self.epochs_are_lost.load(Ordering::Acquire) => {
                Some(epochs.note(&memo.generation.0, digest).words())
            }
            // Equal to none that was noted.
            _ => Some((u64::MAX, self.no_words.fetch_add(1, Ordering::Relaxed))),
        }
    }

    fn renew(&self) {
        // While a host is looked for there is no server yet.
        if let Ok(role) = self.role.try_lock()
            && let Role::Host(server) = &*role
        {
            server.renew();
        }
    }

    fn close(&self) -> Result<()> {
        let is_owed = self.leads.link().is_some_and(|link| link.is_lost() && link.is_owed());
        if is_owed {
            // The host ended before it had every value: the next one gets them.
            let _ = self.reach();
        }
        self.is_closing.store(true, Ordering::Release);
        let role = std::mem::replace(&mut *lock(&self.role), Role::Closed);
        if let Some(stop) = self.stop.get() {
            stop.ring();
        }
        let closed = match role {
            Role::Host(server) => {
                server.end();
                return Ok(());
            }
            Role::Guest(link) if !link.is_unflushed() => {
                link.lose();
                Ok(())
            }
            Role::Guest(link) => {
                // Everything that was sent before is with the host then, and survives it.
                let flushed = match link.call(&Call::Flush) {
                    Ok(answer) => calls::done(&answer),
                    Err(Lost) if !link.is_owed() => Ok(()),
                    Err(Lost) => Err(lost_values()),
                };
                link.lose();
                flushed
            }
            Role::Reader(_) | Role::Alone { .. } => Ok(()),
            // Another caller closes it.
            Role::Closed => return Ok(()),
        };
        if let Some(directory) = self.directory() {
            directory.close_as_guest();
        }
        closed
    }
}

fn lost_again() -> Error {
    let message = "the connection to the process that hosts the store was lost again and again";
    Error::new(ErrorKind::Engine, message)
}

fn lost_values() -> Error {
    let message =
        "the process that hosted the store ended before it had every value: they are computed again";
    Error::new(ErrorKind::Engine, message)
}
