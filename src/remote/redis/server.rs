//! What a store asks of the server.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{Pipeline, Value};

use super::{
    Redis,
    applied::Applied,
    journal::Journal,
    keys::Keys,
    leases::Leases,
    link::Link,
    local::Local,
    reply::{self, body, epochs},
    retries::Retries,
    wakes::Wakes,
};
use crate::{
    clock::Clock,
    error::{Error, Result},
    fork::Origin,
    random::random_id,
    remote::{
        Operation, Outcome, Server, Target,
        operation::{Epochs, Token},
    },
    sync::lock,
};

/// How long epochs live at least after they were used. A value never outlives them.
pub(super) const EPOCHS_LAST: u64 = 30 * 24 * 60 * 60 * 1_000;

/// For how long other machines compute for themselves when a value is not for the server.
const UNSHARED: u64 = 2_000;

/// One store at one server.
pub(crate) struct RedisServer {
    pub(super) link: Link,
    pub(super) keys: Keys,
    pub(super) namespace: String,
    /// Of this process: its own messages are known by it.
    pub(super) run: [u8; 16],
    pub(super) leases: Leases,
    pub(super) wakes: Wakes,
    pub(super) retries: Retries,
    pub(super) journal: Mutex<Journal>,
    /// Whether the journal differs from its file.
    pub(super) is_dirty: AtomicBool,
    pub(super) applied: Mutex<Applied>,
    pub(super) is_closed: AtomicBool,
    pub(super) local: OnceLock<Box<dyn Local>>,
    pub(super) clock: Clock,
    /// Where the journal lies.
    pub(super) folder: Option<PathBuf>,
    /// Of the server, user and namespace, and of the version of the operations.
    pub(super) identity: u64,
    /// Whether the process that hosts the directory asks the server for this one.
    pub(super) is_served: AtomicBool,
    /// The connection to that process, when it was asked last.
    pub(super) known_host: Mutex<Option<u64>>,
    /// Whether this process has read the journal, and keeps it since.
    pub(super) keeps_journal: Mutex<bool>,
    /// When the stream was read up to its end the last time.
    pub(super) read_at: Mutex<Option<Instant>>,
    /// The last one of those that this process told.
    pub(super) serial: AtomicU64,
    /// The last failure that was told.
    pub(super) told_failure: Mutex<Option<String>>,
    origin: Origin,
}

impl RedisServer {
    /// The server for the store in a folder. Nothing is connected yet.
    pub(crate) fn new(redis: Redis, clock: &Clock, folder: Option<PathBuf>) -> Arc<Self> {
        let namespace = redis.namespace.clone().unwrap_or_default();
        let identity = redis.identity();
        Arc::new(Self {
            link: Link::new(redis),
            keys: Keys::of(&namespace),
            namespace,
            run: random_id(),
            leases: Leases::default(),
            wakes: Wakes::default(),
            retries: Retries::default(),
            journal: Mutex::new(Journal { directory: random_id(), ..Journal::default() }),
            is_dirty: AtomicBool::new(false),
            applied: Mutex::default(),
            is_closed: AtomicBool::new(false),
            local: OnceLock::new(),
            clock: clock.clone(),
            folder,
            identity,
            is_served: AtomicBool::new(false),
            known_host: Mutex::default(),
            keeps_journal: Mutex::new(false),
            read_at: Mutex::default(),
            serial: AtomicU64::new(0),
            told_failure: Mutex::default(),
            origin: Origin::here(),
        })
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.link.redis
    }

    fn add_memo(&self, name: &str) {
        if lock(&self.journal).memos.insert(name.to_owned()) {
            self.is_dirty.store(true, Ordering::Release);
        }
    }

    /// Where another process hosts the directory and has the same server, that one asks it. `None`: this one does.
    pub(super) fn ask_host(&self, operation: &Operation<'_>) -> Option<Result<Outcome>> {
        if !self.is_served.load(Ordering::Acquire) {
            return None;
        }
        let request = postcard::to_stdvec(&(self.identity, operation)).ok()?;
        let answer = self.local.get()?.ask_host(&request);
        match answer {
            Some(Ok(bytes)) => postcard::from_bytes(&bytes).ok().map(Ok),
            // The host has not got the change: this process keeps it.
            Some(Err(error)) if matches!(operation, Operation::Change(_)) && !error.is_server() => None,
            Some(Err(error)) => Some(Err(error)),
            None => {
                self.is_served.store(false, Ordering::Release);
                None
            }
        }
    }

    fn carry_out_here(&self, operation: &Operation<'_>) -> Result<Outcome> {
        match operation {
            Operation::Change(change) => return self.change(change),
            Operation::Applied => return Ok(Outcome::Number(lock(&self.applied).count)),
            Operation::Changes { target, since } => {
                return Ok(Outcome::Number(lock(&self.applied).concerning(target, *since)));
            }
            Operation::Memo(name) => {
                self.add_memo(name);
                return Ok(Outcome::Done(true));
            }
            Operation::Late(waiting) => return self.take_late(waiting),
            _ if !self.link.is_up() => return Ok(Outcome::Skipped),
            _ => {}
        }
        match operation {
            // The server still has what this machine has changed.
            Operation::Find(target) | Operation::Lead { target, .. } if self.retries.concern(target) => {
                Ok(Outcome::Skipped)
            }
            Operation::Find(target) => self.find(target),
            Operation::Lead { target, token } => self.lead(target, *token),
            Operation::Publish { .. } => self.publish(operation),
            Operation::Release { target, token, is_unstored } => {
                self.release_entry(&Keys::entry(target), *token, *is_unstored)
            }
            Operation::Renew { entry, token } => self.renew(entry, *token),
            Operation::End { entry, token } => self.release_entry(entry, *token, false),
            _ => Err(self.unexpected()),
        }
    }

    fn renew(&self, entry: &str, token: Token) -> Result<Outcome> {
        let mut command = self.link.scripts.renew.run(&[self.keys.lease(entry)]);
        command.arg(&token).arg(self.lease_millis());
        let mut commands = redis::pipe();
        commands.add_command(command);
        let renewed = self.ask_and_check(&commands)?;
        Ok(Outcome::Done(reply::number(&renewed) == Some(1)))
    }

    fn find(&self, target: &Target<'_>) -> Result<Outcome> {
        let mut commands = redis::pipe();
        self.read(&mut commands, target, &Keys::entry(target));
        let replies = self.ask(&commands)?;
        Ok(self
            .found(&replies)?
            .map_or(Outcome::Absent, |(_, found)| found.map_or(Outcome::Absent, Outcome::Found)))
    }

    /// Adds the commands that read a value, and what tells whether it counts.
    fn read(&self, commands: &mut Pipeline, target: &Target<'_>, entry: &str) {
        let value = self.keys.value(entry);
        let keys = [self.keys.epoch(), self.keys.epoch_of(target.memo), value.clone()];
        // In this order: a value that is replaced between the two looks older, and not younger, than it is.
        commands.cmd("PTTL").arg(value).cmd("MGET").arg(&keys);
    }

    /// The epochs, and the value that counts under them. `None` without epochs.
    fn found(&self, replies: &[Value]) -> Result<Option<(Epochs, Option<super::super::operation::Body>)>> {
        let [left, read] = replies else { return Err(self.unexpected()) };
        let read = self.checked(read)?;
        let Some([one, other, value]) = reply::array(read) else { return Err(self.unexpected()) };
        Ok(epochs(one, other).map(|now| (now.epochs, body(value, left, now))))
    }

    fn lead(&self, target: &Target<'_>, token: Token) -> Result<Outcome> {
        let entry = Keys::entry(target);
        let lasts = self.lease_millis();
        let mut commands = redis::pipe();
        claim(&mut commands, &self.keys.lease(&entry), &token, lasts);
        claim(&mut commands, &self.keys.epoch(), &random_id(), EPOCHS_LAST);
        claim(&mut commands, &self.keys.epoch_of(target.memo), &random_id(), EPOCHS_LAST);
        self.read(&mut commands, target, &entry);
        let mut replies = self.ask(&commands)?;
        if replies.iter().take(3).any(is_of_another_type) {
            self.repair(&[self.keys.lease(&entry), self.keys.epoch(), self.keys.epoch_of(target.memo)])?;
            replies = self.ask(&commands)?;
        }
        let [lease, epoch, epoch_of_memo, found @ ..] = &*replies else { return Err(self.unexpected()) };
        let holder = reply::bytes(self.checked(lease)?);
        let is_won = holder.is_none_or(|holder| holder == token);
        let has_epochs =
            [epoch, epoch_of_memo].into_iter().try_for_each(|reply| self.checked(reply).map(drop));
        let read = has_epochs.and_then(|()| self.found(found)?.ok_or_else(|| self.unexpected()));
        match (read, holder) {
            (Ok((epochs, found)), _) if is_won => Ok(Outcome::Lead { epochs, found }),
            (Err(error), _) if is_won => {
                let _ = self.release_entry(&entry, token, false);
                Err(error)
            }
            (Ok((_, None)), Some(b"-")) => Ok(Outcome::Unshared),
            (Ok((_, found)), _) => Ok(Outcome::Led(found)),
            (Err(error), _) => Err(error),
        }
    }

    /// Removes what is of another type by mistake.
    pub(super) fn repair(&self, keys: &[String]) -> Result<()> {
        let mut repair = redis::pipe();
        repair.add_command(self.link.scripts.repair.run(keys));
        self.ask_and_check(&repair).map(drop)
    }

    pub(super) fn lease_millis(&self) -> u64 {
        u64::try_from(self.link.redis.lease.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn release_entry(&self, entry: &str, token: Token, is_unstored: bool) -> Result<Outcome> {
        let keys = [self.keys.lease(entry), self.keys.channel()];
        let mut command = self.link.scripts.release.run(&keys);
        command.arg(&token).arg(entry).arg(if is_unstored { UNSHARED } else { 0 });
        let mut commands = redis::pipe();
        commands.add_command(command);
        let released = self.ask_and_check(&commands);
        self.wakes.wake(entry);
        released.map(|reply| Outcome::Done(reply::number(&reply) == Some(1)))
    }

    pub(super) fn keys_of(&self, target: &Target<'_>, entry: &str) -> [String; 6] {
        let Self { keys, .. } = self;
        [
            keys.value(entry),
            keys.lease(entry),
            keys.epoch(),
            keys.epoch_of(target.memo),
            keys.stream(),
            keys.channel(),
        ]
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now().0
    }

    /// The replies, errors among them. A script that the server has forgotten is loaded again.
    pub(super) fn ask(&self, commands: &Pipeline) -> Result<Vec<Value>> {
        let replies = self.link.ask(commands).inspect_err(|_| self.wakes.wake_all())?;
        let is_forgotten =
            |reply: &Value| matches!(reply, Value::ServerError(error) if error.code() == "NOSCRIPT");
        if !replies.iter().any(is_forgotten) {
            return Ok(replies);
        }
        self.link.load_scripts()?;
        self.link.ask(commands)
    }

    /// The reply to one command.
    pub(super) fn ask_and_check(&self, command: &Pipeline) -> Result<Value> {
        let mut replies = self.ask(command)?;
        let reply = replies.pop().ok_or_else(|| self.unexpected())?;
        self.checked(&reply).map(drop)?;
        Ok(reply)
    }

    /// The reply, unless it is an error of the server.
    pub(super) fn checked<'a>(&self, reply: &'a Value) -> Result<&'a Value> {
        let Value::ServerError(cause) = reply else { return Ok(reply) };
        let failure = self.link.redis.refusal(cause);
        if failure.is_down {
            self.link.give_up(&failure.error);
        }
        Err(failure.error)
    }

    pub(super) fn unexpected(&self) -> Error {
        self.link.redis.unexpected()
    }

    /// Tells a failure that no call returns.
    pub(super) fn failed(&self, error: &Error) {
        if let Some(local) = self.local.get() {
            local.failed(error);
        }
    }
}

pub(super) fn is_of_another_type(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.code() == "WRONGTYPE")
}

/// `SET NX GET`: the reply is the name that is there already.
fn claim(commands: &mut Pipeline, key: &str, name: &[u8], lasts: u64) {
    commands.cmd("SET").arg(key).arg(name).arg("NX").arg("GET").arg("PX").arg(lasts);
}

impl Server for RedisServer {
    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn max_value(&self) -> u64 {
        self.link.redis.max_value
    }

    fn carry_out(&self, operation: &Operation<'_>) -> Result<Outcome> {
        if self.origin.is_elsewhere() {
            // The connection is that of the parent, and its threads hold locks for ever here.
            return Ok(Outcome::Skipped);
        }
        let outcome = match self.ask_host(operation) {
            Some(outcome) => outcome,
            None => self.carry_out_here(operation),
        };
        match (operation, &outcome) {
            (Operation::Lead { target, token }, Ok(Outcome::Lead { .. })) => {
                self.leases.note(*token, &Keys::entry(target));
            }
            // An unanswered command may have been carried out.
            (Operation::Lead { target, token }, Err(_))
            | (Operation::Release { target, token, .. }, Ok(Outcome::Skipped) | Err(_)) => {
                self.leases.doubt(*token, Keys::entry(target));
            }
            (Operation::Publish { token, .. } | Operation::Release { token, .. }, Ok(_)) => {
                self.leases.end(token);
            }
            _ => {}
        }
        outcome
    }

    fn serve(&self, request: &[u8]) -> Option<Result<Vec<u8>>> {
        let (identity, operation): (u64, Operation<'_>) = postcard::from_bytes(request).ok()?;
        if identity != self.identity {
            return None;
        }
        let outcome = self.carry_out_here(&operation);
        let is_change = matches!(operation, Operation::Change(_) | Operation::Late(_));
        if is_change && outcome.is_err() && self.is_closed.load(Ordering::Acquire) {
            // It may be in no journal: the other process keeps it.
            return None;
        }
        Some(outcome.map(|outcome| postcard::to_stdvec(&outcome).unwrap_or_default()))
    }

    fn forget_lease(&self, token: &Token) {
        self.leases.end(token);
    }

    fn note_memo(&self, name: &str) {
        let _ = self.ask_host(&Operation::Memo(name));
        self.add_memo(name);
    }

    fn wait(&self, target: &Target<'_>, at_most: Duration) {
        self.wakes.wait(&Keys::entry(target), at_most);
    }

    fn close(&self) {
        if self.origin.is_elsewhere() {
            return;
        }
        for (token, entry) in self.leases.take_all() {
            let release = Operation::End { entry: &entry, token };
            let _ = self.ask_host(&release).unwrap_or_else(|| self.carry_out_here(&release));
        }
        self.close_journal();
        self.link.close();
        self.wakes.wake_all();
    }
}
