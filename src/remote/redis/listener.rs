//! The thread of the tier: it connects, applies the changes of other machines, renews leases, and makes up for changes that the
//! server did not get.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use redis::{Connection, RedisError};

use super::{local::Local, position::Position, server::RedisServer};
use crate::{
    clock::{Deadline, Stopwatch},
    error::{Error, Result},
    remote::{Operation, Outcome, Server as _},
    sync::{lock, thread},
};

/// How long a message is waited for before leases and retries are looked at.
const TICK: Duration = Duration::from_millis(250);

/// How often the stream is read without a message, which may have been lost.
const LOOK: Duration = Duration::from_secs(1);

/// What `open` waits for: the first attempt to connect.
#[derive(Default)]
struct FirstLook {
    is_over: Mutex<bool>,
    over: Condvar,
}

impl FirstLook {
    fn end(&self) {
        *lock(&self.is_over) = true;
        self.over.notify_all();
    }

    fn wait(&self, at_most: Duration) {
        let deadline = Deadline::after(at_most);
        let mut is_over = lock(&self.is_over);
        while !*is_over && let Some(left) = deadline.remaining() {
            is_over = self.over.wait_timeout(is_over, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl RedisServer {
    /// Starts the thread, and waits until it has caught up with the other machines, or the server does not answer in time.
    ///
    /// # Errors
    ///
    /// When no thread can be started: the store works without the server.
    pub(crate) fn start(self: &Arc<Self>, local: Box<dyn Local>) -> Result<()> {
        let _ = self.local.set(local);
        let first = Arc::new(FirstLook::default());
        let (this, told) = (Arc::downgrade(self), Arc::clone(&first));
        let timeouts = self.redis().connect_timeout + self.redis().response_timeout;
        let name = "memolith-remote";
        thread::Builder::new()
            .name(name.into())
            .spawn(move || listen(&this, &told))
            .map_err(|cause| Error::io("starting the thread of the server tier", cause))?;
        first.wait(timeouts);
        Ok(())
    }

    /// Catches up with the other machines, on a connection of its own. From here on callers use the server.
    fn catch_up(&self) -> Result<()> {
        self.link.attach(self.link.connect()?);
        self.read_stream()?;
        let made_up = self.make_up();
        if self.link.is_attached() {
            // A change that the server refuses keeps nothing else from it.
            self.link.up();
        }
        for (token, entry) in self.leases.take_doubted() {
            let _ = self.release_entry(&entry, token, false);
        }
        self.write_journal();
        match made_up {
            Err(error) if self.link.is_up() => {
                self.tell_once(&error);
                Ok(())
            }
            made_up => made_up,
        }
    }

    /// Tells a failure, unless it was the last one that was told.
    fn tell_once(&self, error: &Error) {
        let message = error.to_string();
        let last = lock(&self.told_failure).replace(message.clone());
        if last.as_ref() != Some(&message) {
            self.failed(error);
        }
    }

    /// Renews the leases that are due.
    pub(super) fn renew_leases(&self) -> Result<()> {
        for (token, entry) in self.leases.due(self.redis().lease / 3) {
            if self.carry_out(&Operation::Renew { entry: &entry, token })? == Outcome::Done(false) {
                self.leases.end(&token);
            }
        }
        Ok(())
    }

    /// One look at everything that is due. Leases first: the rest may take long.
    fn tick(&self, reads: bool) -> Result<()> {
        let renewed = self.renew_leases();
        let read = if reads { self.read_stream() } else { Ok(()) };
        // One that the server refuses is tried again a while later.
        let made_up = if reads && !self.retries.is_empty() { self.make_up() } else { Ok(()) };
        self.write_journal();
        renewed.and(read).and(made_up)
    }
}

/// The thread. It lives as long as the store, and holds it only while it works.
fn listen(server: &Weak<RedisServer>, first: &FirstLook) {
    while let Some(this) = open(server) {
        let is_served = this.finds_served();
        if !is_served {
            this.take_over_journal();
        }
        this.write_journal();
        let pause = if is_served { Some(TICK) } else { this.link.pause() };
        let connected = if pause.is_some() { Ok(None) } else { this.link.connect().map(Some) };
        let lost = match connected {
            Ok(None) => None,
            Ok(Some(connection)) => {
                drop(this);
                hear(server, connection, first)
            }
            Err(error) => Some(error),
        };
        first.end();
        let Some(this) = server.upgrade() else { return };
        if is_served {
            this.hand_over_retries();
            if let Err(error) = this.renew_leases() {
                this.tell_once(&error);
            }
        }
        match (lost, pause) {
            (Some(error), _) => this.lost(&error),
            (None, Some(pause)) => {
                drop(this);
                thread::sleep(pause.min(TICK));
            }
            (None, None) => {}
        }
    }
    first.end();
}

/// The server, unless the store was closed.
fn open(server: &Weak<RedisServer>) -> Option<Arc<RedisServer>> {
    server.upgrade().filter(|server| !server.is_closed.load(Ordering::Acquire))
}

/// Hears messages on a connection, until that is lost. Returns why, if that is a failure.
fn hear(server: &Weak<RedisServer>, mut connection: Connection, first: &FirstLook) -> Option<Error> {
    let this = open(server)?;
    let unreachable = |this: &RedisServer, cause: &RedisError| Some(this.redis().unreachable(cause));
    let mut messages = connection.as_pubsub();
    if let Err(cause) = messages.subscribe(this.keys.channel()) {
        return unreachable(&this, &cause);
    }
    // What is told from here on is heard: nothing is missed between the two.
    if let Err(error) = this.catch_up() {
        return Some(error);
    }
    first.end();
    if let Err(cause) = messages.set_read_timeout(Some(TICK)) {
        return unreachable(&this, &cause);
    }
    drop(this);
    let mut since_look = Stopwatch::monotonic();
    loop {
        let heard = messages.get_message();
        let this = open(server)?;
        if !this.link.is_up() || this.finds_served() {
            this.link.close();
            return None;
        }
        let is_told = match &heard {
            Ok(message) => match message.get_payload_bytes().split_first() {
                Some((b'w', entry)) => {
                    this.wakes.wake(&String::from_utf8_lossy(entry));
                    false
                }
                _ => true,
            },
            Err(cause) if cause.is_timeout() => false,
            Err(cause) => return unreachable(&this, cause),
        };
        let reads = is_told || since_look.elapsed() >= LOOK;
        if reads {
            since_look = Stopwatch::monotonic();
        }
        match this.tick(reads) {
            Ok(()) if reads => *lock(&this.told_failure) = None,
            Ok(()) => {}
            Err(error) => this.tell_once(&error),
        }
    }
}

impl RedisServer {
    /// Whether the process that hosts the directory asks the server for this one. It is asked once on each connection.
    fn finds_served(&self) -> bool {
        let host = self.local.get().and_then(|local| local.host());
        let mut known = lock(&self.known_host);
        if *known != host {
            *known = host;
            self.is_served.store(host.is_some(), Ordering::Release);
            if host.is_some() && matches!(self.ask_host(&Operation::Applied), Some(Ok(_))) {
                let memos = lock(&self.journal).memos.clone();
                for memo in &memos {
                    self.note_memo(memo);
                }
            } else {
                self.is_served.store(false, Ordering::Release);
            }
        }
        let is_served = self.is_served.load(Ordering::Acquire);
        if is_served {
            self.leave_journal();
        }
        is_served
    }

    /// The server does not answer: it is tried again after a pause.
    fn lost(&self, why: &Error) {
        {
            // What is told from here on was told to a member.
            let mut journal = lock(&self.journal);
            if journal.position.is_none() {
                journal.position = Some(Position::start());
                self.is_dirty.store(true, Ordering::Release);
            }
        }
        if self.link.is_up() {
            self.link.give_up(why);
        } else {
            self.link.failed_again(why);
        }
        self.wakes.wake_all();
        self.failed(why);
    }
}
