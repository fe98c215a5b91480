//! The connection that all callers share, and the circuit breaker.
//!
//! Callers that ask at the same time are answered in one round trip: each puts its commands into a queue, and the one that gets the
//! connection first sends all that is there. After a failure the breaker is open: no caller asks until the thread of the tier has
//! connected again.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{Connection, ConnectionLike as _, Pipeline, RedisResult, Value};

use super::{Redis, scripts::Scripts};
use crate::{
    clock::{Deadline, moment},
    error::{Error, ErrorKind, Result},
    sync::lock,
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The bytes that are sent at once. Their replies share a timeout.
const BATCH: usize = 256 << 10;

pub(super) struct Link {
    pub(super) redis: Redis,
    pub(super) scripts: Scripts,
    is_up: AtomicBool,
    breaker: Mutex<Breaker>,
    queue: Mutex<VecDeque<Arc<Ask>>>,
    /// `None` while the breaker is open.
    connection: Mutex<Option<Connection>>,
    started: Mutex<Option<Instant>>,
}

struct Breaker {
    /// Of the last failure.
    why: Option<Error>,
    /// When it is tried again.
    until: Deadline,
    failures: u32,
    /// Since when it answers, and the pause before that.
    up: Option<(Instant, Duration)>,
}

/// The commands of one caller.
struct Ask {
    commands: Vec<u8>,
    count: usize,
    replies: Mutex<Option<Result<Vec<Value>>>>,
}

impl Link {
    pub(super) fn new(redis: Redis) -> Self {
        Self {
            redis,
            scripts: Scripts::new(),
            is_up: AtomicBool::new(false),
            breaker: Mutex::new(Breaker {
                why: None,
                until: Deadline::after(Duration::ZERO),
                failures: 0,
                up: None,
            }),
            queue: Mutex::default(),
            connection: Mutex::default(),
            started: Mutex::default(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// Why no caller asks the server at the moment.
    pub(super) fn why_down(&self) -> Error {
        let why = lock(&self.breaker).why.clone();
        why.unwrap_or_else(|| {
            let message = format!("the server at {} is not connected yet", self.redis.address());
            Error::new(ErrorKind::Server, &message)
        })
    }

    /// The time until the next attempt to connect; `None` if it is due.
    pub(super) fn pause(&self) -> Option<Duration> {
        lock(&self.breaker).until.remaining()
    }

    /// Sends commands and returns their replies, errors of the server among them.
    ///
    /// # Errors
    ///
    /// The connection is lost, or the server did not answer in time.
    pub(super) fn ask(&self, commands: &Pipeline) -> Result<Vec<Value>> {
        let count = commands.len();
        let ask =
            Arc::new(Ask { commands: commands.get_packed_pipeline(), count, replies: Mutex::default() });
        lock(&self.queue).push_back(Arc::clone(&ask));
        loop {
            let mut connection = lock(&self.connection);
            // Another caller may have sent it along with its own.
            if let Some(replies) = lock(&ask.replies).take() {
                return replies;
            }
            let asks = self.next_batch();
            if asks.is_empty() {
                return Err(self.redis.unexpected());
            }
            self.send(&mut connection, &asks);
        }
    }

    /// As many commands as one timeout is enough for, and one at least.
    fn next_batch(&self) -> Vec<Arc<Ask>> {
        let (mut queue, mut bytes) = (lock(&self.queue), 0);
        let fits = |ask: &Arc<Ask>| {
            let is_first = bytes == 0;
            bytes += ask.commands.len().max(1);
            is_first || bytes <= BATCH
        };
        let count = queue.iter().map(fits).take_while(|fits| *fits).count();
        queue.drain(..count).collect()
    }

    fn send(&self, connection: &mut Option<Connection>, asks: &[Arc<Ask>]) {
        let sent = connection.as_mut().map(|connection| {
            let commands = match asks {
                [one] => &one.commands,
                many => &many.iter().flat_map(|ask| &ask.commands).copied().collect::<Vec<u8>>(),
            };
            let counts = asks.iter().map(|ask| ask.count).sum();
            exchange(connection, commands, counts, self.redis.response_timeout)
        });
        let mut replies = match sent {
            Some(Ok(replies)) => replies.into_iter(),
            Some(Err(cause)) => {
                *connection = None;
                let error = self.redis.unreachable(&cause);
                self.fail(&error);
                return asks.iter().for_each(|ask| *lock(&ask.replies) = Some(Err(error.clone())));
            }
            None => {
                let error = self.why_down();
                self.fail(&error);
                return asks.iter().for_each(|ask| *lock(&ask.replies) = Some(Err(error.clone())));
            }
        };
        for ask in asks {
            *lock(&ask.replies) = Some(Ok(replies.by_ref().take(ask.count).collect()));
        }
    }

    /// Opens the breaker: the connection is given up, and a new one is tried after a pause.
    fn fail(&self, why: &Error) {
        if self.is_up.swap(false, Ordering::AcqRel) {
            self.pause_because(why);
        }
    }

    /// The same for an error that the server answered with, or the loss of the other connection.
    pub(super) fn give_up(&self, why: &Error) {
        self.fail(why);
        drop(lock(&self.connection).take());
    }

    /// An attempt to connect failed.
    pub(super) fn failed_again(&self, why: &Error) {
        drop(lock(&self.connection).take());
        self.pause_because(why);
    }

    fn pause_because(&self, why: &Error) {
        let mut breaker = lock(&self.breaker);
        if breaker.up.take().is_some_and(|(since, pause)| since.elapsed() > pause) {
            breaker.failures = 0;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << breaker.failures.min(6)).min(LONGEST_PAUSE);
        breaker.failures += 1;
        breaker.until = Deadline::after(pause);
        breaker.why = Some(why.clone());
    }

    /// Whether there is a connection, in use or not.
    pub(super) fn is_attached(&self) -> bool {
        lock(&self.connection).is_some()
    }

    /// When the server was started, as far as it says that.
    pub(super) fn started(&self) -> Option<Instant> {
        *lock(&self.started)
    }

    /// Takes a connection into use, for the thread of the tier only until [`up`](Self::up).
    pub(super) fn attach(&self, connection: Connection) {
        *lock(&self.connection) = Some(connection);
    }

    /// The server answers: the breaker is closed.
    pub(super) fn up(&self) {
        let connection = lock(&self.connection);
        if connection.is_none() {
            // It was lost already: the next attempt is made after a pause.
            return;
        }
        let mut breaker = lock(&self.breaker);
        let pause = FIRST_PAUSE.saturating_mul(1 << breaker.failures.min(6)).min(LONGEST_PAUSE);
        // One that fails again at once is left alone for longer each time.
        breaker.up = Some((moment(), pause));
        breaker.why = None;
        self.is_up.store(true, Ordering::Release);
    }

    pub(super) fn close(&self) {
        self.is_up.store(false, Ordering::Release);
        drop(lock(&self.connection).take());
    }

    /// A connection on which the server has answered, and knows the scripts.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(super) fn connect(&self) -> Result<Connection> {
        let redis = &self.redis;
        let connect = || -> RedisResult<Connection> {
            let connection = redis.client()?.get_connection_with_timeout(redis.connect_timeout)?;
            connection.set_write_timeout(Some(redis.response_timeout))?;
            connection.set_read_timeout(Some(redis.response_timeout))?;
            Ok(connection)
        };
        let mut connection = connect().map_err(|cause| redis.unreachable(&cause))?;
        let mut setup = redis::pipe();
        setup.cmd("INFO").arg("server");
        self.scripts.load(&mut setup);
        let replies =
            exchange(&mut connection, &setup.get_packed_pipeline(), setup.len(), redis.response_timeout);
        let replies = replies.map_err(|cause| redis.unreachable(&cause))?;
        let (info, loaded) = replies.split_first().ok_or_else(|| redis.unexpected())?;
        if let Some(version) = version_before_7(info) {
            return Err(redis.outdated(version));
        }
        *lock(&self.started) = uptime(info).and_then(|uptime| moment().checked_sub(uptime));
        for reply in loaded {
            if let Value::ServerError(cause) = reply {
                return Err(redis.refusal(cause).error);
            }
        }
        Ok(connection)
    }

    /// The server has forgotten the scripts.
    pub(super) fn load_scripts(&self) -> Result<()> {
        let mut load = redis::pipe();
        self.scripts.load(&mut load);
        self.ask(&load).map(drop)
    }
}

/// Stops at the first reply that does not come: a later one would be read as that of another command.
fn exchange(
    connection: &mut Connection,
    commands: &[u8],
    count: usize,
    timeout: Duration,
) -> RedisResult<Vec<Value>> {
    let begun: Instant = moment();
    connection.send_packed_command(commands)?;
    let mut replies = Vec::with_capacity(count);
    while replies.len() < count {
        match connection.recv_response()? {
            Value::Push { .. } => {}
            reply => replies.push(reply),
        }
        let taken = begun.elapsed();
        if replies.len() < count && taken > timeout / 4 {
            // A read has the time that is left to the whole.
            let Some(left) = timeout.checked_sub(taken).filter(|left| !left.is_zero()) else {
                return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
            };
            connection.set_read_timeout(Some(left))?;
        }
    }
    if begun.elapsed() > timeout / 4 {
        connection.set_read_timeout(Some(timeout))?;
    }
    if connection.is_open() {
        Ok(replies)
    } else {
        Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into())
    }
}

/// A line of what the server tells of itself.
fn line<'a>(info: &'a Value, name: &str) -> Option<&'a str> {
    let info = str::from_utf8(super::reply::bytes(info)?).ok()?;
    info.lines().find_map(|line| line.strip_prefix(name))
}

fn uptime(info: &Value) -> Option<Duration> {
    line(info, "uptime_in_seconds:")?.parse().ok().map(Duration::from_secs)
}

/// The version of a Redis that is too old. A server may not tell, to a user without the permission.
fn version_before_7(info: &Value) -> Option<&str> {
    if line(info, "valkey_version:").is_some() {
        return None;
    }
    let version = line(info, "redis_version:")?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major < 7).then_some(version)
}
