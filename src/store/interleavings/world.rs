//! One key, its threads and their steps.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{Change, Rule, Scenario};
use crate::{
    clock::Lifetime,
    flight::{Claim, FlightKey, Token, flight, fresh_owner},
    key::{Digest, MemoKey},
    memory::CachedValue,
    store::{
        blob::Finished,
        forgetting::{Forgetting, revoke},
        pending::{Pending, PendingValue},
        session::Session,
    },
};

/// A thread, and how far it is.
pub(super) enum Actor {
    Computer {
        claim: Option<Claim<'static>>,
        value: Option<(u64, Arc<PendingValue>)>,
        at: u8,
    },
    Changer {
        /// Its own steps; a change that waits has one, and the worker makes the others.
        at: u8,
        /// The value of an insert that does not wait.
        soon: Option<Request>,
    },
    Worker {
        at: usize,
    },
    Reader {
        /// It begins after the change returned.
        is_late: bool,
        claim: Option<Claim<'static>>,
        found: Option<u64>,
        /// A value in memory that it found by its digest, and makes known by its key.
        to_note: Option<Arc<CachedValue>>,
        at: u8,
    },
}

/// For an actor that does nothing any more.
const DONE: u8 = u8::MAX;

/// Before the last step of a look that found a value in memory.
const FOUND: u8 = 100;

pub(super) enum Request {
    Put { began: u64, value: Arc<PendingValue>, claim: Claim<'static> },
    Change,
}

/// A step of the worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Write,
    TakeOut,
    Disk,
    Revoke,
    Memory,
    Pending,
    Reply,
}

/// The value that was published last.
struct Last {
    value: Arc<PendingValue>,
    claim: Token,
    was_applied: bool,
}

/// One key. Its values are the moments at which their computations began.
pub(super) struct World<'a> {
    without: Option<Rule>,
    change: Change,
    pub(super) flight_key: FlightKey,
    /// One for all interleavings: each has a key of its own.
    pub(super) session: &'a Session,
    pending: Pending,
    disk: Option<u64>,
    queue: VecDeque<Request>,
    /// Counted up with each moment that is asked for.
    moment: u64,
    /// When the claims were revoked. Before that no value may have begun that is found later.
    changed: u64,
    inserted: Option<u64>,
    /// Whether a look waits for the change to return.
    is_awaited: bool,
    has_returned: bool,
    last: Option<Last>,
    /// Another key, whose claim no change revokes.
    standing: Claim<'static>,
}

/// What is wrong with an interleaving.
pub(super) type Judged = Result<(), String>;

impl<'a> World<'a> {
    pub(super) fn new(
        session: &'a Session,
        without: Option<Rule>,
        change: Change,
        scenario: &Scenario,
    ) -> Self {
        Self {
            without,
            change,
            flight_key: FlightKey { owner: fresh_owner(), digest: [7; 32] },
            session,
            pending: Pending::default(),
            disk: scenario.has_record.then_some(0),
            queue: VecDeque::new(),
            moment: 0,
            changed: 0,
            inserted: None,
            is_awaited: scenario.has_late_reader,
            has_returned: false,
            last: None,
            standing: flight().register_reader(FlightKey { owner: fresh_owner(), digest: [7; 32] }),
        }
    }

    fn lacks(&self, rule: Rule) -> bool {
        self.without == Some(rule)
    }

    fn now(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::from_bytes(self.flight_key.digest)
    }

    pub(super) fn can(&self, actor: &Actor) -> bool {
        match actor {
            Actor::Computer { at, .. } | Actor::Changer { at, .. } => *at != DONE,
            Actor::Worker { .. } => !self.queue.is_empty(),
            Actor::Reader { is_late, at, .. } => *at != DONE && (self.has_returned || !is_late),
        }
    }

    pub(super) fn step(&mut self, actor: &mut Actor) -> Judged {
        match actor {
            Actor::Computer { claim, value, at } => self.compute(claim, value, at),
            Actor::Changer { at, soon } if self.change == Change::InsertSoon => self.insert_soon(at, soon),
            Actor::Changer { at, .. } => {
                *at = DONE;
                self.queue.push_back(Request::Change);
            }
            Actor::Worker { at } => self.work(at),
            Actor::Reader { is_late, to_note, at: at @ FOUND, .. } => {
                *at = DONE;
                self.note_key(to_note.take());
                if *is_late {
                    self.judge(self.by_key(), "a look by key")?;
                }
            }
            Actor::Reader { is_late, claim, found, to_note, at } => {
                self.look(claim, found, to_note, at, *is_late)?;
            }
        }
        self.judge_last()
    }

    fn compute(
        &mut self,
        claim: &mut Option<Claim<'static>>,
        value: &mut Option<(u64, Arc<PendingValue>)>,
        at: &mut u8,
    ) {
        *at += 1;
        match (claim.take(), value.take()) {
            (None, _) => {
                *claim = Some(flight().register_reader(self.flight_key));
                let found =
                    self.in_memory().or(self.disk).is_some() || self.pending.get(&self.flight_key).is_some();
                if found {
                    (*claim, *at) = (None, DONE);
                } else {
                    *value = Some((self.now(), pending_value(self.moment)));
                }
            }
            (Some(held), Some((began, computed))) if *at == 2 => {
                if self.publish(&computed, &held) {
                    (*claim, *value) = (Some(held), Some((began, computed)));
                } else {
                    *at = DONE;
                }
            }
            (Some(held), computed) => {
                *at = DONE;
                let claim = held.detach();
                self.queue.extend(computed.map(|(began, value)| Request::Put { began, value, claim }));
            }
        }
    }

    /// The steps of an insert that does not wait, in the order in which `partition/hand_over.rs` makes them.
    fn insert_soon(&mut self, at: &mut u8, soon: &mut Option<Request>) {
        *at += 1;
        match *at {
            1 => {
                let (began, value) = (self.now(), pending_value(self.moment));
                let claim = self.pending.publish_over(self.flight_key, &value);
                (self.changed, self.inserted) = (self.now(), Some(began));
                let last = Last { value: Arc::clone(&value), claim: claim.token(), was_applied: false };
                self.last = Some(last);
                *soon = Some(Request::Put { began, value, claim });
            }
            2 => self.forgetting().forget(Some(self.flight_key.owner), &self.digest()),
            _ => {
                (*at, self.has_returned) = (DONE, true);
                self.queue.extend(soon.take());
            }
        }
    }

    fn publish(&mut self, value: &Arc<PendingValue>, claim: &Claim<'static>) -> bool {
        let is_published = match self.without {
            // The claim that is asked stands for ever.
            Some(Rule::PublishingAsks) => self.pending.publish(self.flight_key, value, self.standing.token()),
            Some(Rule::RevokedIsHidden) => {
                claim.is_current() && self.pending.publish(self.flight_key, value, self.standing.token())
            }
            _ => self.pending.publish(self.flight_key, value, claim.token()),
        };
        if is_published && claim.is_current() {
            self.last = Some(Last { value: Arc::clone(value), claim: claim.token(), was_applied: false });
        }
        is_published
    }

    /// The steps of the request at the front.
    fn acts(&self) -> &'static [Act] {
        match (self.queue.front(), self.without) {
            (Some(Request::Put { .. }), Some(Rule::TakesAfterwards)) => &[Act::TakeOut, Act::Write],
            (Some(Request::Put { .. }), _) => &[Act::Write, Act::TakeOut],
            (_, Some(Rule::RevokesFirst)) => &[Act::Disk, Act::Memory, Act::Pending, Act::Revoke, Act::Reply],
            (_, Some(Rule::DiskFirst)) => &[Act::Revoke, Act::Memory, Act::Pending, Act::Disk, Act::Reply],
            (_, Some(Rule::MemoryForgets)) => &[Act::Disk, Act::Revoke, Act::Pending, Act::Reply],
            _ if self.change == Change::Evict => {
                &[Act::Disk, Act::Revoke, Act::Pending, Act::Memory, Act::Reply]
            }
            _ => &[Act::Disk, Act::Revoke, Act::Memory, Act::Pending, Act::Reply],
        }
    }

    fn work(&mut self, at: &mut usize) {
        let mut acts = self.acts();
        if let (false, [before @ .., Act::Reply]) = (self.is_awaited, acts) {
            acts = before;
        }
        match (acts[*at], self.queue.pop_front()) {
            (Act::Write, Some(Request::Put { began, value, claim })) => {
                if claim.is_current() || self.lacks(Rule::PutIsJudged) {
                    self.disk = Some(began);
                    if let Some(last) = self.last.as_mut().filter(|last| Arc::ptr_eq(&last.value, &value)) {
                        last.was_applied = true;
                    }
                }
                self.queue.push_front(Request::Put { began, value, claim });
            }
            (Act::TakeOut, Some(Request::Put { began, value, claim })) => {
                let any = self.pending.get(&self.flight_key).filter(|_| self.lacks(Rule::TakesItsOwn));
                self.pending.take(self.flight_key, &any.unwrap_or_else(|| Arc::clone(&value)));
                self.queue.push_front(Request::Put { began, value, claim });
            }
            (act, request) => {
                self.queue.extend(request);
                self.queue.rotate_right(1);
                self.change(act);
            }
        }
        *at += 1;
        if *at == acts.len() {
            *at = 0;
            self.queue.pop_front();
        }
    }

    fn change(&mut self, act: Act) {
        let (owner, digest) = (Some(self.flight_key.owner), self.digest());
        match act {
            Act::Disk => {
                self.disk = (self.change == Change::Insert).then(|| self.now());
                self.inserted = self.disk;
            }
            Act::Revoke => {
                self.changed = self.now();
                match self.change {
                    Change::Clear => flight().revoke_owner(self.flight_key.owner),
                    _ => revoke(owner, &digest),
                }
            }
            Act::Memory => match self.change {
                Change::Clear => {
                    self.session.leave(self.session.memory.remove_owner(self.flight_key.owner));
                }
                _ => self.forgetting().forget(owner, &digest),
            },
            Act::Pending if self.lacks(Rule::RemovesOnlyRevoked) => self.pending.clear(),
            Act::Pending if self.lacks(Rule::RevokedIsHidden) => {
                if self.last.as_ref().is_some_and(|last| !last.claim.is_current()) {
                    self.pending.clear();
                }
            }
            Act::Pending => match self.change {
                Change::Clear => self.pending.remove_owner(self.flight_key.owner),
                _ => self.forgetting().forget_pending(owner, &digest),
            },
            _ => self.has_returned = true,
        }
    }

    fn forgetting(&self) -> Forgetting<'_> {
        Forgetting { pending: Some(&self.pending), session: self.session }
    }

    /// The order of a look under a claim: memory, pending, disk; then the copy. A value in memory is known by its key after it.
    fn look(
        &mut self,
        claim: &mut Option<Claim<'static>>,
        found: &mut Option<u64>,
        to_note: &mut Option<Arc<CachedValue>>,
        at: &mut u8,
        is_late: bool,
    ) -> Judged {
        *at += 1;
        match *at {
            1 => {
                *claim = Some(flight().register_reader(self.flight_key));
                *found = self.by_key();
                if found.is_some() {
                    *at = DONE;
                } else if let Some(cached) = self.cached() {
                    *found = cached.value::<u64>().copied();
                    (*to_note, *at) = (Some(cached), FOUND);
                }
            }
            2 => *found = self.pending.get(&self.flight_key).and_then(|value| moment_of(&value)),
            3 => *found = found.or(self.disk),
            _ => {
                if let (Some(value), Some(claim)) = (*found, claim.take()) {
                    self.keep(value, &claim);
                }
                *at = DONE;
            }
        }
        if matches!(*at, DONE | FOUND) && is_late { self.judge(*found, "a look") } else { Ok(()) }
    }

    fn in_memory(&self) -> Option<u64> {
        self.cached()?.value::<u64>().copied()
    }

    fn cached(&self) -> Option<Arc<CachedValue>> {
        self.session.memory.get(self.flight_key.owner, &self.digest())
    }

    fn by_key(&self) -> Option<u64> {
        let encoded = MemoKey::default();
        let key = self.session.memory.key(self.flight_key.owner, &encoded)?;
        self.session.memory.get_by_key(&key)?.value::<u64>().copied()
    }

    fn note_key(&self, found: Option<Arc<CachedValue>>) {
        let (owner, encoded) = (self.flight_key.owner, MemoKey::default());
        if let (Some(found), Some(key)) = (found, self.session.memory.key(owner, &encoded)) {
            self.session.release(self.session.memory.note_key(owner, &key, &found, None));
            self.session.release([found]);
        }
    }

    fn keep(&self, value: u64, claim: &Claim<'_>) {
        let held = CachedValue::new(&self.digest(), value, Lifetime::default(), Duration::ZERO, 8, None);
        let still = || claim.is_current() || self.lacks(Rule::KeepingAsks);
        self.session.admit(self.flight_key.owner, held, None, still);
    }

    fn judge(&self, found: Option<u64>, place: &str) -> Judged {
        let is_stale = |value: u64| value < self.changed && self.inserted != Some(value);
        match found {
            Some(value) if self.change != Change::Evict && is_stale(value) => {
                Err(format!("{place} found {value}, which began before {}", self.changed))
            }
            _ => Ok(()),
        }
    }

    /// A value that was handed over is found until it is applied.
    fn judge_last(&self) -> Judged {
        let Some(last) = &self.last else { return Ok(()) };
        let is_there =
            || self.pending.get(&self.flight_key).is_some_and(|found| Arc::ptr_eq(&found, &last.value));
        if last.was_applied || !last.claim.is_current() || is_there() {
            return Ok(());
        }
        Err("a value that was handed over is not found".into())
    }

    /// After everything was applied.
    pub(super) fn judge_end(&self) -> Judged {
        self.judge(self.in_memory(), "memory")?;
        if self.by_key().is_some_and(|value| self.in_memory() != Some(value)) {
            return Err("a value that left memory is found by its key".into());
        }
        self.judge(self.disk, "the disk")?;
        if self.pending.len() != 0 {
            return Err("a pending value was left over".into());
        }
        match self.in_memory() {
            Some(value) if self.disk != Some(value) => {
                Err(format!("memory kept {value}, which left the disk"))
            }
            _ => Ok(()),
        }
    }
}

fn pending_value(began: u64) -> Arc<PendingValue> {
    let payload = Finished::Inline(began.to_le_bytes().to_vec());
    Arc::new(PendingValue { payload, lifetime: Lifetime::default(), compute_time: Duration::ZERO })
}

fn moment_of(value: &PendingValue) -> Option<u64> {
    let payload = value.payload.payload().ok()?;
    Some(u64::from_le_bytes(payload.as_ref().try_into().ok()?))
}
