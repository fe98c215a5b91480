//! One memo on the server: its values as records, and its leases.

use std::{mem, sync::Arc, time::Duration};

use super::{
    Server,
    operation::{Body, Change, Epochs, Operation, Outcome, Target, Token},
    value,
};
use crate::{
    background,
    error::{Error, ErrorKind, Result},
    fork::Origin,
    key::Digest,
    random::random_id,
};

/// How long a value without a ttl stays on the server after it was stored.
const WITHOUT_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A server takes no time that is much longer.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Where the values of one memo lie on the server.
#[derive(Clone)]
pub(crate) struct ServerMemo {
    server: Arc<dyn Server>,
    /// Without its scope.
    name: Arc<str>,
    generation: [u8; 16],
}

/// A value that was fetched.
pub(crate) struct Fetched {
    /// As it is on disk, with its payload.
    pub(crate) record: Vec<u8>,
    pub(crate) age: Duration,
}

/// The answer to a caller that asks for the lease of a key.
pub(crate) enum Turn {
    Lead(Lease, Option<Fetched>),
    /// Another machine computes.
    Led(Option<Fetched>),
    /// The caller computes, and the server does not get the value.
    Alone,
}

impl ServerMemo {
    pub(crate) fn new(server: &Arc<dyn Server>, name: &Arc<str>, generation: [u8; 16]) -> Self {
        server.note_memo(name);
        Self { server: Arc::clone(server), name: Arc::clone(name), generation }
    }

    fn target(&self, digest: &Digest) -> Target<'_> {
        Target { memo: &self.name, generation: self.generation, digest: *digest.as_bytes() }
    }

    /// # Errors
    ///
    /// Of the kind `server`, as all errors here.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Option<Fetched>> {
        let target = self.target(digest);
        Ok(match self.server.carry_out(&Operation::Find(target))? {
            Outcome::Found(body) => self.open(&target, &body),
            _ => None,
        })
    }

    pub(crate) fn lead(&self, digest: &Digest) -> Result<Turn> {
        let (target, token) = (self.target(digest), random_id());
        Ok(match self.server.carry_out(&Operation::Lead { target, token })? {
            Outcome::Lead { epochs, found } => {
                let lease = Lease {
                    memo: self.clone(),
                    digest: *digest,
                    token,
                    epochs,
                    end: End::Failed,
                    is_told: false,
                    is_of_task: false,
                    origin: Origin::here(),
                };
                Turn::Lead(lease, found.and_then(|body| self.open(&target, &body)))
            }
            Outcome::Led(found) => Turn::Led(found.and_then(|body| self.open(&target, &body))),
            _ => Turn::Alone,
        })
    }

    /// Waits until another machine may have ended its computation.
    pub(crate) fn wait(&self, digest: &Digest, at_most: Duration) {
        self.server.wait(&self.target(digest), at_most);
    }

    fn open(&self, target: &Target<'_>, body: &Body) -> Option<Fetched> {
        let seal = value::seal(self.server.namespace(), target);
        // The limit is on the payload; a header and a trailer are little beside it.
        let record = value::decode(seal, &body.bytes, self.server.max_value() + 4_096)?;
        Some(Fetched { record, age: Duration::from_millis(body.age) })
    }

    /// The bytes of a record for the server.
    fn close(&self, target: &Target<'_>, lasts: u64, compute_time: Duration, record: &[u8]) -> Vec<u8> {
        value::encode(value::seal(self.server.namespace(), target), lasts, compute_time, record)
    }

    /// Whether a payload of that length goes to the server.
    pub(crate) fn takes(&self, length: u64) -> bool {
        length <= self.server.max_value()
    }

    /// Without a record the value is too large: the key is removed on the server.
    pub(crate) fn insert(
        &self,
        digest: &Digest,
        lasts: Option<Duration>,
        record: Option<&[u8]>,
    ) -> Result<()> {
        let (target, lasts) = (self.target(digest), millis(lasts));
        let body = record.map(|record| self.close(&target, lasts, Duration::ZERO, record));
        let body = body.as_deref().unwrap_or_default();
        self.change(&Change::Insert { target, lasts, body }).map(drop)
    }

    /// Whether there was a value.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<bool> {
        self.change(&Change::Remove(self.target(digest)))
    }

    pub(crate) fn clear(&self) -> Result<()> {
        self.change(&Change::Clear { memo: &self.name, generation: self.generation }).map(drop)
    }

    fn change(&self, change: &Change<'_>) -> Result<bool> {
        match self.server.carry_out(&Operation::Change(*change))? {
            Outcome::Done(was_there) => Ok(was_there),
            _ => Err(Error::new(ErrorKind::Server, "the server tier gave an answer that does not fit")),
        }
    }

    /// A number to ask [`is_changed_since`](Self::is_changed_since) with.
    pub(crate) fn applied(&self) -> u64 {
        match self.server.carry_out(&Operation::Applied) {
            Ok(Outcome::Number(applied)) => applied,
            _ => u64::MAX,
        }
    }

    /// Whether another change than the caller's own may have been made since.
    pub(crate) fn is_changed_since(&self, digest: &Digest, since: u64) -> bool {
        let asked = self.server.carry_out(&Operation::Changes { target: self.target(digest), since });
        !matches!(asked, Ok(Outcome::Number(..=1)))
    }
}

fn millis(lasts: Option<Duration>) -> u64 {
    let lasts = lasts.unwrap_or(WITHOUT_TTL).min(LONGEST);
    u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// What becomes of a lease that ends without a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Another machine may compute.
    Failed,
    /// There is a value, and it is not for the server.
    Unstored,
    Ended,
}

/// The right of this machine to compute a key for all. It is renewed until it ends: with a value, or when it is dropped.
pub(crate) struct Lease {
    memo: ServerMemo,
    digest: Digest,
    token: Token,
    epochs: Epochs,
    end: End,
    /// Whether other machines forget what they have of the key.
    is_told: bool,
    is_of_task: bool,
    origin: Origin,
}

impl Lease {
    /// Whether a payload of that length goes to the server.
    pub(crate) fn takes(&self, length: u64) -> bool {
        self.memo.takes(length)
    }

    /// The value takes the place of one that other machines may have: they forget that.
    pub(crate) fn replaces_fresh(&mut self) {
        self.is_told = true;
    }

    /// Stores a record. `false` if the lease was lost: a change came in between, or it ran out.
    pub(crate) fn publish(
        mut self,
        lasts: Option<Duration>,
        compute_time: Duration,
        record: &[u8],
    ) -> Result<bool> {
        let (target, lasts) = (self.memo.target(&self.digest), millis(lasts));
        let body = self.memo.close(&target, lasts, compute_time, record);
        let Self { token, epochs, is_told, .. } = self;
        let publish = Operation::Publish { target, token, epochs, lasts, body: &body, is_told };
        let published = self.memo.server.carry_out(&publish);
        match &published {
            Ok(Outcome::Skipped) | Err(_) => self.is_unstored(),
            Ok(_) => self.end = End::Ended,
        }
        Ok(!matches!(published?, Outcome::Done(false)))
    }

    /// From here on its end is that of a value which does not go to the server.
    pub(crate) fn is_unstored(&mut self) {
        self.end = End::Unstored;
    }

    /// From here on a release waits for nothing: the lease belongs to a task.
    pub(crate) fn is_of_task(&mut self) {
        self.is_of_task = true;
    }

    /// Ends the lease. The caller waits for that, unless it is a task.
    pub(crate) fn release(mut self) {
        if self.is_of_task {
            return;
        }
        self.take_end().iter().for_each(|end| release(&self.memo, &self.digest, self.token, *end));
    }

    fn take_end(&mut self) -> Option<End> {
        let end = mem::replace(&mut self.end, End::Ended);
        (end != End::Ended).then_some(end)
    }
}

fn release(memo: &ServerMemo, digest: &Digest, token: Token, end: End) {
    let is_unstored = end == End::Unstored;
    // A lease that cannot be ended runs out.
    let _ = memo.server.carry_out(&Operation::Release { target: memo.target(digest), token, is_unstored });
}

impl Drop for Lease {
    /// On another thread: a task may be dropped where nothing may wait.
    fn drop(&mut self) {
        if self.origin.is_elsewhere() {
            // It is that of the parent still.
            return;
        }
        if let Some(end) = self.take_end() {
            let (memo, digest, token) = (self.memo.clone(), self.digest, self.token);
            memo.server.forget_lease(&token);
            let _ = background::wait(move || release(&memo, &digest, token, end));
        }
    }
}
