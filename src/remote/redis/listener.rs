//! The thread of the tier: it connects, applies the changes of other machines, renews leases, and makes up for changes that the
//! server did not get.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use redis::{Connection, Pipeline, RedisError, Value};

pub(crate) use super::stream::{LocalChange, ToApply};
use super::{
    journal::{self, Found, Told},
    retries::Waiting,
    server::{RedisServer, is_of_another_type},
    stream::{Content, Message, Position, messages, rows_of},
};
use crate::{
    clock::{Deadline, Stopwatch},
    error::{Error, ErrorKind, Result},
    remote::{Operation, Outcome, Server as _, Target},
    sync::{lock, thread},
};

/// How long a message is waited for before leases and retries are looked at.
const TICK: Duration = Duration::from_millis(250);

/// How often the stream is read without a message, which may have been lost.
const LOOK: Duration = Duration::from_secs(1);

/// How long after it was told a change is told once more to a server that has lost it, in milliseconds.
const TOLD_FOR: u64 = 60 * 60 * 1_000;

/// Messages that are read at once.
const STRETCH: usize = 512;

/// The store, as the tier changes it.
pub(crate) trait Local: Send + Sync {
    /// Makes changes of other machines here too. They survive the process when this returns.
    ///
    /// # Errors
    ///
    /// When one could not be made: all are made once more later.
    fn apply(&self, changes: Vec<ToApply>) -> Result<()>;

    /// Tells a failure that no call returns.
    fn failed(&self, error: &Error);

    /// A number of the connection to the process that hosts the directory, another one for each. `None` while this one hosts it,
    /// or none does.
    fn host(&self) -> Option<u64>;

    /// Has that process ask the server. `None` if it does not have the same one.
    fn ask_host(&self, request: &[u8]) -> Option<Result<Vec<u8>>>;
}

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

    /// Reads the journal, unless that was done since another process wrote it.
    pub(super) fn take_over_journal(&self) {
        let Some(folder) = self.folder.as_ref().filter(|_| self.needs_journal.swap(false, Ordering::AcqRel))
        else {
            return;
        };
        match journal::read(folder) {
            Found::Nothing => {}
            Found::Damaged => {
                let message = "the file `REMOTE` of the store is damaged: its entries are forgotten, because other machines may \
                               have changed any of them";
                self.failed(&Error::new(ErrorKind::Corrupt, message));
                if let Err(error) = self.apply(vec![LocalChange::Forget { memo: None }.into()]) {
                    self.failed(&error);
                }
                self.is_dirty.store(true, Ordering::Release);
            }
            Found::Journal(found) => {
                self.retries.take_over(found.waiting.clone());
                let is_ours = found.namespace == self.namespace;
                let mut own = lock(&self.journal);
                own.memos.extend(found.memos.iter().cloned());
                own.directory = found.directory;
                if is_ours {
                    own.position = found.position;
                    own.told = found.told;
                }
            }
        }
    }

    /// Catches up with the other machines, on a connection of its own. From here on callers use the server.
    fn catch_up(&self) -> Result<()> {
        self.link.attach(self.link.connect()?);
        self.read_stream()?;
        self.is_caught_up.store(true, Ordering::Release);
        self.make_up()?;
        self.link.up();
        self.write_journal();
        Ok(())
    }

    /// Reads the stream from the position on, and applies it.
    fn read_stream(&self) -> Result<()> {
        loop {
            let position = lock(&self.journal).position.clone();
            let Some(position) = position else {
                let last = self.last_message()?;
                self.go_on_at(last.map_or_else(Position::start, |last| last.position));
                return Ok(());
            };
            let mut read = redis::pipe();
            let (stream, id) = (self.keys.stream(), &position.id);
            read.cmd("XREAD").arg("COUNT").arg(STRETCH).arg("STREAMS").arg(stream).arg(id);
            let found = self.stream(&read, messages)?;
            if !found.is_empty() {
                self.take(position, found)?;
            } else if self.is_at_end(&position)? {
                return Ok(());
            }
        }
    }

    /// Whether the stream ends at the position. If it does not, the position is set to where the stream is read from next: the server
    /// has lost it, or a part of it, or its clock was set back.
    fn is_at_end(&self, position: &Position) -> Result<bool> {
        let last = self.last_message()?.map_or_else(Position::start, |last| last.position);
        if last == *position {
            return Ok(true);
        }
        if last.life == position.life && last.number >= position.number {
            // Messages came in between, or have lower ids.
            self.go_on_at(Position { id: "0-0".into(), ..position.clone() });
            return Ok(false);
        }
        self.tell_again(&last);
        if last.life == position.life {
            // An older state of the same stream: messages that were lost are told once more.
            self.go_on_at(last);
            return Ok(false);
        }
        self.begin_anew(&last)?;
        self.go_on_at(if last.life.is_empty() { last } else { Position::start() });
        Ok(false)
    }

    /// The stream has another life. A process that had read the one before up to its end, and was told of nothing since, has missed
    /// nothing but what its senders tell once more. Any other one may have.
    fn begin_anew(&self, next: &Position) -> Result<()> {
        let was_ours =
            lock(&self.journal).position.as_ref().is_some_and(|position| !position.life.is_empty());
        if was_ours && !self.is_caught_up.load(Ordering::Acquire) {
            self.apply(self.everything_known())?;
        }
        self.tell_again(next);
        Ok(())
    }

    fn last_message(&self) -> Result<Option<Message>> {
        let mut read = redis::pipe();
        read.cmd("XREVRANGE").arg(self.keys.stream()).arg("+").arg("-").arg("COUNT").arg(1);
        Ok(self.stream(&read, rows_of)?.pop())
    }

    /// The messages of a reply. Something else that lies in the place of the stream is removed.
    fn stream(
        &self,
        read: &Pipeline,
        messages: impl FnOnce(&Value) -> Option<Vec<Message>>,
    ) -> Result<Vec<Message>> {
        let mut replies = self.ask(read)?;
        if replies.iter().any(is_of_another_type) {
            self.repair(&[self.keys.stream()])?;
            replies = self.ask(read)?;
        }
        let reply = replies.pop().ok_or_else(|| self.unexpected())?;
        messages(self.checked(&reply)?).ok_or_else(|| self.unexpected())
    }

    fn go_on_at(&self, position: Position) {
        lock(&self.journal).position = Some(position);
        self.is_dirty.store(true, Ordering::Release);
    }

    /// Applies messages, and moves the position behind them.
    fn take(&self, mut position: Position, found: Vec<Message>) -> Result<()> {
        let mut changes = Vec::new();
        for Message { position: next, content } in found {
            let is_known = next.life == position.life && next.number <= position.number;
            if is_known {
                position.id = next.id;
                continue;
            }
            if content.is_some() && next.life != position.life {
                self.begin_anew(&next)?;
            }
            if !position.is_followed_by(&next) || content.is_none() {
                changes.extend(self.everything_known());
            }
            changes.extend(content.into_iter().flat_map(|content| self.to_apply(content)));
            position = next;
        }
        self.apply(changes)?;
        self.go_on_at(position);
        Ok(())
    }

    /// What a message changes here.
    fn to_apply(&self, content: Content) -> Vec<ToApply> {
        let Content { sender, at, ago, change } = content;
        let is_removal = matches!(change, LocalChange::Remove { .. });
        if sender.directory == lock(&self.journal).directory {
            // Made by this store, maybe by another process of it, or one that ended before it was made here too.
            let is_open = sender.run != self.run && is_removal;
            return is_open.then_some(ToApply { change, unless_since: Some(at) }).into_iter().collect();
        }
        match change {
            // Only what is shared.
            LocalChange::Forget { memo: None } => self.everything_known(),
            change => {
                let unless_since = (ago > 0).then(|| self.now().saturating_sub(ago));
                vec![ToApply { change, unless_since }]
            }
        }
    }

    /// Everything that the server may know. Messages are missing, so each of these entries may have been removed.
    fn everything_known(&self) -> Vec<ToApply> {
        let known = lock(&self.journal).memos.clone();
        known.into_iter().map(|memo| LocalChange::Forget { memo: Some(memo) }.into()).collect()
    }

    fn apply(&self, changes: Vec<ToApply>) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut applied = lock(&self.applied);
        for to_apply in &changes {
            applied.note(&to_apply.change);
        }
        drop(applied);
        self.local.get().map_or(Ok(()), |local| local.apply(changes))
    }

    /// The server has lost what this store told it behind the last message that it has: it gets that once more.
    fn tell_again(&self, end: &Position) {
        let mut journal = lock(&self.journal);
        let is_there = |told: &Told| told.life == end.life && told.number <= end.number;
        let (kept, lost): (Vec<Told>, Vec<Told>) = journal.told.drain(..).partition(is_there);
        journal.told = kept;
        drop(journal);
        let now = self.now();
        for Told { change, at, .. } in lost {
            if now.saturating_sub(at) < TOLD_FOR {
                self.retries.add(Waiting { change, at, since: None });
            }
        }
        self.is_dirty.store(true, Ordering::Release);
    }

    /// Makes the changes that the server did not get.
    fn make_up(&self) -> Result<()> {
        for waiting in self.retries.all() {
            self.renew_leases()?;
            let ago = waiting.ago(self.now());
            let has_newer = match &waiting.change {
                LocalChange::Remove { memo, generation, digest } => {
                    let target = Target { memo, generation: *generation, digest: *digest };
                    self.remove(&target, waiting.at, Some(ago))? == 2
                }
                change => {
                    self.clear(change.clone(), waiting.at, ago)?;
                    false
                }
            };
            if has_newer {
                // Another machine has changed the key since: its value is that of all.
                self.apply(vec![waiting.change.clone().into()])?;
            }
            self.retries.done(&waiting);
            self.is_dirty.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Renews the leases that are due.
    fn renew_leases(&self) -> Result<()> {
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
        if is_served && let Err(error) = this.renew_leases() {
            this.failed(&error);
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
        if let Err(error) = this.tick(reads) {
            this.failed(&error);
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
            // The host goes on with it: it is read anew before this process does.
            self.needs_journal.store(true, Ordering::Release);
            self.is_caught_up.store(false, Ordering::Release);
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
