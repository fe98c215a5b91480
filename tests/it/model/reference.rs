//! The plain model: a `HashMap` of the remembered entries, a `VecDeque` of the order of insertion, and the contract's
//! own rules of expiry. It knows neither tiers nor files.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use super::operations::{Answer, KEYS, MEMOS, Operation, Setup, Slot, Value};
use crate::vocabulary::*;

/// The weight of an entry of either size, by the store's own account.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    pub small: u64,
    pub large: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Id {
    memo: usize,
    version: u64,
    key: u8,
}

#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub value: Value,
    pub created: Duration,
}

impl Entry {
    /// Expired when `now >= created + ttl`, or made more than a minute in the future.
    pub fn is_over(&self, now: Duration, ttl: Option<Duration>) -> bool {
        ttl.is_some_and(|ttl| now >= self.created + ttl) || self.created > now + MINUTE
    }
}

/// The expected `stats` of a memo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub hits: u64,
    pub misses: u64,
    pub inserts: u64,
    pub evictions: u64,
}

/// The last use of a generation. The store knows it to the hour, and less exactly after a clock was set back.
#[derive(Clone, Copy, Debug)]
struct Used {
    earliest: Duration,
    latest: Duration,
}

pub struct Reference {
    weights: Weights,
    setup: Setup,
    open: [bool; MEMOS],
    /// Since the beginning of the clock.
    now: Duration,
    entries: HashMap<Id, Entry>,
    /// The oldest insertion is in front.
    order: VecDeque<Id>,
    used: BTreeMap<(usize, u64), Used>,
    /// That of the last open, by memo and version.
    ttls: BTreeMap<(usize, u64), Option<Duration>>,
    counts: [Counts; MEMOS],
    /// Whether an eviction took some of the expired entries and left others. The store chooses among them. The choice
    /// shows when time runs backwards, and in the number of evictions.
    chosen: bool,
    /// Whether that ever happened since the store was opened.
    ever_chosen: bool,
}

impl Reference {
    pub fn new(weights: Weights, setup: Setup) -> Self {
        let mut new = Self {
            weights,
            setup,
            open: [false; MEMOS],
            now: 100 * DAY,
            entries: HashMap::new(),
            order: VecDeque::new(),
            used: BTreeMap::new(),
            ttls: BTreeMap::new(),
            counts: [Counts::default(); MEMOS],
            chosen: false,
            ever_chosen: false,
        };
        (0..MEMOS).for_each(|memo| new.open(memo));
        new
    }

    /// Performs the operation, and returns the expected answer of the store.
    pub fn perform(&mut self, operation: &Operation, serial: u64) -> Answer {
        match *operation {
            Operation::Compute(slot, large) => {
                let value = Value { serial, large };
                if let Some(value) = self.look_up(slot) {
                    return Answer::Value { value, computed: false };
                }
                self.put(slot, value);
                Answer::Value { value, computed: true }
            }
            Operation::Fail(slot) | Operation::Panic(slot) => match self.look_up(slot) {
                Some(value) => Answer::Value { value, computed: false },
                None => Answer::Thrown,
            },
            Operation::Get(slot) => Answer::Found(self.look_up(slot)),
            Operation::Insert(slot, large) => {
                if self.put(slot, Value { serial, large }) {
                    Answer::Done
                } else {
                    Answer::Refused
                }
            }
            Operation::Remove(slot) => {
                let was = self.contains(slot);
                self.forget(self.id(slot));
                Answer::Was(was)
            }
            Operation::Sweep => self.sweep(),
            _ => {
                self.change(operation);
                Answer::Done
            }
        }
    }

    fn change(&mut self, operation: &Operation) {
        match *operation {
            Operation::Clear(memo) => {
                let version = self.version(memo);
                self.retain(|id, _| (id.memo, id.version) != (memo, version));
            }
            Operation::ClearStore => self.retain(|_, _| false),
            Operation::Advance(by) => self.now += by,
            Operation::SetBack(by) => self.now -= by,
            Operation::Reopen(setup) => self.reopen(setup.unwrap_or(self.setup)),
            _ => unreachable!("{operation:?} has an answer of its own, or is not for this model"),
        }
    }

    fn reopen(&mut self, setup: Setup) {
        (0..MEMOS).for_each(|memo| self.touch(memo));
        (self.setup, self.open) = (setup, [false; MEMOS]);
        (self.counts, self.ever_chosen) = ([Counts::default(); MEMOS], self.chosen);
        // The store is opened before its memos, so it evicts by their previous options.
        self.evict(None);
        (0..MEMOS).for_each(|memo| self.open(memo));
    }

    /// Whether the store must make room before it knows the present generations.
    pub fn is_lowered_by(&self, setup: Setup) -> bool {
        setup.max_bytes.unwrap_or(u64::MAX) < self.setup.max_bytes.unwrap_or(u64::MAX)
    }

    fn open(&mut self, memo: usize) {
        self.open[memo] = true;
        self.touch(memo);
        self.ttls.insert((memo, self.version(memo)), self.setup.memos[memo].ttl);
        let (now, version) = (self.now, self.version(memo));
        let unused = |(of, other): (usize, u64), used: &Used| {
            of == memo && other != version && used.latest + DAY <= now
        };
        let gone: Vec<_> =
            self.used.iter().filter(|(id, used)| unused(**id, used)).map(|(id, _)| *id).collect();
        self.retain(|id, _| !gone.contains(&(id.memo, id.version)));
        self.used.retain(|id, _| !gone.contains(id));
        self.evict(Some(memo));
    }

    fn touch(&mut self, memo: usize) {
        let (now, id) = (self.now, (memo, self.version(memo)));
        let latest = self.used.get(&id).map_or(now, |used| used.latest.max(now));
        self.used.insert(id, Used { earliest: now.saturating_sub(HOUR), latest });
    }

    /// Whether it is uncertain that a generation was unused for a whole day.
    pub fn is_about_a_day_old(&self) -> bool {
        let about = |used: &Used| used.earliest + DAY <= self.now && self.now < used.latest + DAY;
        self.used.iter().any(|((memo, version), used)| *version != self.version(*memo) && about(used))
    }

    fn look_up(&mut self, slot: Slot) -> Option<Value> {
        let found = self.fresh(slot);
        let counts = &mut self.counts[slot.memo];
        *(if found.is_some() { &mut counts.hits } else { &mut counts.misses }) += 1;
        found
    }

    fn fresh(&self, slot: Slot) -> Option<Value> {
        let id = self.id(slot);
        self.entries.get(&id).filter(|_| !self.is_over(id)).map(|entry| entry.value)
    }

    pub fn contains(&self, slot: Slot) -> bool {
        self.fresh(slot).is_some()
    }

    pub fn len(&self, memo: usize) -> usize {
        (0..KEYS).filter(|key| self.contains(Slot { memo, key: *key })).count()
    }

    /// The number of evictions is taken from `told` where it is not known.
    pub fn counts(&self, memo: usize, told: Counts) -> Counts {
        let counts = self.counts[memo];
        if self.ever_chosen { Counts { evictions: told.evictions, ..counts } } else { counts }
    }

    /// Whether the entries for a sweep are known.
    pub fn knows_what_is_over(&self) -> bool {
        !self.chosen
    }

    /// The expected number of files under `blobs/`.
    pub fn files(&self) -> usize {
        self.entries.values().filter(|entry| entry.value.large).count()
    }

    pub fn bytes(&self) -> u64 {
        self.entries.values().map(|entry| self.weight(entry.value)).sum()
    }

    fn put(&mut self, slot: Slot, value: Value) -> bool {
        let setup = self.setup.memos[slot.memo];
        let limits = [setup.max_bytes, self.setup.max_bytes];
        if limits.into_iter().flatten().any(|limit| self.weight(value) > limit) {
            return false;
        }
        let id = self.id(slot);
        self.forget(id);
        self.order.push_back(id);
        self.entries.insert(id, Entry { value, created: self.now });
        self.counts[slot.memo].inserts += 1;
        self.evict(Some(slot.memo));
        self.evict(None);
        true
    }

    /// Expired entries leave first, then those of another version, then the oldest insertion.
    fn evict(&mut self, memo: Option<usize>) {
        while self.is_over_bound(memo) {
            let in_scope = |id: &&Id| memo.is_none_or(|memo| id.memo == memo);
            let rank = |id: &&Id| (!self.is_over(**id), !self.is_retired(**id));
            let victim = *self.order.iter().filter(in_scope).min_by_key(rank).unwrap();
            let was_over = self.is_over(victim);
            self.forget(victim);
            self.counts[victim.memo].evictions += 1;
            self.chosen |= was_over && self.order.iter().any(|id| self.is_over(*id));
            self.ever_chosen |= self.chosen;
        }
    }

    fn is_over_bound(&self, memo: Option<usize>) -> bool {
        let (mut entries, mut bytes) = (0, 0);
        for id in self.order.iter().filter(|id| memo.is_none_or(|memo| id.memo == memo)) {
            (entries, bytes) = (entries + 1, bytes + self.weight(self.entries[id].value));
        }
        let (max_entries, max_bytes) = match memo {
            Some(memo) => (self.setup.memos[memo].max_entries, self.setup.memos[memo].max_bytes),
            None => (None, self.setup.max_bytes),
        };
        max_entries.is_some_and(|bound| entries > bound) || max_bytes.is_some_and(|bound| bytes > bound)
    }

    fn sweep(&mut self) -> Answer {
        let count =
            |gone: &Self, before: (usize, u64)| (before.0 - gone.order.len(), before.1 - gone.bytes());
        let all = (self.order.len(), self.bytes());
        let current = [0, 1].map(|memo| self.version(memo));
        self.retain(|id, _| id.version == current[id.memo]);
        self.used.retain(|(memo, version), _| *version == current[*memo]);
        let (retired, retired_bytes) = count(self, all);
        let rest = (self.order.len(), self.bytes());
        let over: Vec<Id> = self.order.iter().copied().filter(|id| self.is_over(*id)).collect();
        self.retain(|id, _| !over.contains(id));
        let (expired, expired_bytes) = count(self, rest);
        self.chosen = false;
        Answer::Swept {
            expired: expired as u64,
            retired: retired as u64,
            orphaned: 0,
            bytes: retired_bytes + expired_bytes,
        }
    }

    fn forget(&mut self, gone: Id) {
        self.retain(|id, _| *id != gone);
    }

    fn retain(&mut self, keep: impl Fn(&Id, &mut Entry) -> bool) {
        self.entries.retain(keep);
        self.order.retain(|id| self.entries.contains_key(id));
    }

    /// By the ttl with which this version of the memo was opened last.
    fn is_over(&self, id: Id) -> bool {
        let ttl = self.ttls.get(&(id.memo, id.version)).copied().flatten();
        self.entries[&id].is_over(self.now, ttl)
    }

    fn is_retired(&self, id: Id) -> bool {
        self.open[id.memo] && id.version != self.version(id.memo)
    }

    fn id(&self, slot: Slot) -> Id {
        Id { memo: slot.memo, version: self.version(slot.memo), key: slot.key }
    }

    fn version(&self, memo: usize) -> u64 {
        self.setup.memos[memo].version
    }

    fn weight(&self, value: Value) -> u64 {
        if value.large { self.weights.large } else { self.weights.small }
    }
}
