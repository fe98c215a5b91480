//! The operations that two threads reported, and so the entries that a store may hold after they were killed.

use std::collections::{BTreeMap, BTreeSet};

use crate::{harness::Claim, values::is_blob};

pub const CLAIMS: &[Claim] = &[
    ("history::what_was_acknowledged_must_be_there_and_nothing_older", acknowledged_is_required),
    ("history::what_was_under_way_may_have_happened_or_not", under_way_is_open),
    ("history::only_newer_keys_explain_an_absence", eviction_is_an_excuse),
];

/// The bound of the memo.
pub const BOUND: usize = 64;
/// More than that, so that entries are evicted.
pub const KEYS: u32 = 96;

/// The possible states of a key: a version, or nothing.
type Allowed = BTreeSet<Option<u64>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Insert(u32, u64),
    /// Not flushed, and not a write at all when the key is remembered.
    Compute(u32, u64),
    Remove(u32),
    /// By one of the threads only.
    Clear,
}

/// An operation that began and was not acknowledged yet.
#[derive(Clone, Copy)]
struct UnderWay {
    operation: Operation,
    began: usize,
    /// Whether a clear was under way at the same time.
    beside_clear: bool,
}

struct Key {
    allowed: Allowed,
    /// The begin of the last acknowledged insert, and the number of kills before it.
    inserted: (usize, usize),
    /// The latest possible write of the key.
    written: usize,
    told: Vec<String>,
}

pub struct History {
    keys: Vec<Key>,
    threads: [Option<UnderWay>; 2],
    /// States that were acknowledged beside a clear under way. They may be from before it or after it.
    beside_clear: Option<BTreeMap<u32, Allowed>>,
    now: usize,
    kills: usize,
}

impl History {
    pub fn new() -> Self {
        let key = || Key { allowed: [None].into(), inserted: (0, 0), written: 0, told: Vec::new() };
        let keys = (0..KEYS).map(|_| key()).collect();
        Self { keys, threads: [None; 2], beside_clear: None, now: 0, kills: 0 }
    }

    /// `begin <thread> <operation>` or `end <thread> [<version that was returned>]`; other lines are ignored.
    pub fn tell(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        self.now += 1;
        match *words {
            ["begin", thread, ref operation @ ..] => self.begin(number(thread) as usize, parse(operation)),
            ["end", thread] => self.end(number(thread) as usize, None),
            ["end", thread, returned] => self.end(number(thread) as usize, Some(number(returned))),
            _ => {}
        }
    }

    fn begin(&mut self, thread: usize, operation: Operation) {
        if operation == Operation::Clear {
            self.beside_clear = Some(BTreeMap::new());
            self.threads.iter_mut().flatten().for_each(|other| other.beside_clear = true);
        }
        let beside_clear = self.beside_clear.is_some();
        self.threads[thread] = Some(UnderWay { operation, began: self.now, beside_clear });
    }

    fn end(&mut self, thread: usize, returned: Option<u64>) {
        let ended = self.threads[thread].take().unwrap();
        match ended.operation {
            Operation::Insert(key, version) => {
                self.inserted(key, version, &ended);
            }
            Operation::Compute(key, version) => self.computed(key, version, returned.unwrap(), &ended),
            Operation::Remove(key) => {
                self.set(key, [None].into());
                self.note(key, "removed");
            }
            Operation::Clear => self.cleared(),
        }
    }

    fn inserted(&mut self, key: u32, version: u64, ended: &UnderWay) {
        let maybe_cleared = ended.beside_clear.then_some(None);
        self.set(key, [Some(version)].into_iter().chain(maybe_cleared).collect());
        self.keys[key as usize].inserted = (ended.began, self.kills);
        self.keys[key as usize].written = self.now;
        self.note(key, &format!("inserted {version}"));
    }

    fn set(&mut self, key: u32, allowed: Allowed) {
        if let Some(beside) = &mut self.beside_clear {
            beside.insert(key, allowed.clone());
        }
        self.keys[key as usize].allowed = allowed;
    }

    fn computed(&mut self, key: u32, version: u64, returned: u64, ended: &UnderWay) {
        self.note(key, &format!("computed {version}, got {returned}"));
        let found = &mut self.keys[key as usize];
        if returned != version {
            let known = ended.beside_clear || found.allowed.contains(&Some(returned));
            assert!(known, "{key} is {returned} before any kill: {:?}", found.told);
            return;
        }
        found.written = self.now;
        found.allowed.extend([Some(version), None]);
        if let Some(beside) = &mut self.beside_clear {
            beside.entry(key).or_insert([None].into()).insert(Some(version));
        }
    }

    fn cleared(&mut self) {
        let mut beside = self.beside_clear.take().unwrap();
        for key in 0..KEYS {
            self.keys[key as usize].allowed = beside.remove(&key).unwrap_or([None].into());
            self.note(key, "cleared");
        }
    }

    /// An operation under way happened, or did not.
    pub fn kill(&mut self) {
        self.kills += 1;
        self.beside_clear = None;
        for under_way in std::mem::take(&mut self.threads).into_iter().flatten() {
            match under_way.operation {
                Operation::Insert(key, version) | Operation::Compute(key, version) => {
                    self.keys[key as usize].written = self.now;
                    self.keys[key as usize].allowed.extend([Some(version), None]);
                    self.note(key, &format!("was being written {version}"));
                }
                Operation::Remove(key) => {
                    self.keys[key as usize].allowed.insert(None);
                    self.note(key, "was being removed");
                }
                Operation::Clear => self.keys.iter_mut().for_each(|key| key.allowed.extend([None])),
            }
        }
        (0..KEYS).for_each(|key| self.note(key, "killed"));
    }

    /// Values in the index of a closed store are lost. Values with files of their own are not.
    pub fn lose_index(&mut self) {
        for (key, known) in (0..).zip(&mut self.keys) {
            if known.allowed.iter().flatten().any(|version| !is_blob(key, *version)) {
                known.allowed.insert(None);
                known.told.push(format!("{} the index was lost", self.now));
            }
        }
    }

    /// Checks a found state against the possible ones. Returns whether the entry had to be there.
    #[track_caller]
    pub fn check(&mut self, key: u32, found: Option<u64>) -> bool {
        let may_be_absent = self.was_evictable(key);
        let Key { allowed, told, .. } = &mut self.keys[key as usize];
        let fine = allowed.contains(&found) || (found.is_none() && may_be_absent);
        assert!(fine, "{key} is {found:?}, may be {allowed:?}: {told:?}");
        let required = !may_be_absent && !allowed.contains(&None);
        *allowed = [found].into();
        told.clear();
        required
    }

    /// Whether as many others were written since as the bound allows. A kill may leave two rows without an entry,
    /// which count.
    fn was_evictable(&self, key: u32) -> bool {
        let (since, kills) = self.keys[key as usize].inserted;
        let others = self.keys.iter().enumerate().filter(|(other, _)| *other != key as usize);
        let newer = others.filter(|(_, other)| other.written > since).count();
        newer + 2 * (self.kills - kills) >= BOUND
    }

    fn note(&mut self, key: u32, what: &str) {
        self.keys[key as usize].told.push(format!("{} {what}", self.now));
    }
}

fn parse(words: &[&str]) -> Operation {
    match *words {
        ["insert", key, version] => Operation::Insert(number(key) as u32, number(version)),
        ["compute", key, version] => Operation::Compute(number(key) as u32, number(version)),
        ["remove", key] => Operation::Remove(number(key) as u32),
        ["clear"] => Operation::Clear,
        _ => panic!("no operation: {words:?}"),
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap()
}

/// Whether `found` is an error after these lines and a kill.
fn complains(lines: &[&str], key: u32, found: Option<u64>) -> bool {
    let mut history = History::new();
    for line in lines {
        history.tell(line);
    }
    history.kill();
    let may_be_absent = found.is_none() && history.was_evictable(key);
    !history.keys[key as usize].allowed.contains(&found) && !may_be_absent
}

fn acknowledged_is_required() {
    let insert = ["begin 0 insert 7 1", "end 0", "begin 0 insert 7 2", "end 0"];
    assert!(!complains(&insert, 7, Some(2)));
    assert!(complains(&insert, 7, Some(1)) && complains(&insert, 7, None));
    let remove = [&insert[..], &["begin 1 remove 7", "end 1"]].concat();
    assert!(!complains(&remove, 7, None) && complains(&remove, 7, Some(2)));
    let clear = [&insert[..], &["begin 1 clear", "end 1"]].concat();
    assert!(!complains(&clear, 7, None) && complains(&clear, 7, Some(2)));
    let after = [&clear[..], &["begin 0 insert 7 3", "end 0"]].concat();
    assert!(!complains(&after, 7, Some(3)) && complains(&after, 7, None));
}

fn under_way_is_open() {
    let insert = ["begin 0 insert 7 1", "end 0", "begin 0 insert 7 2"];
    assert!([Some(1), Some(2), None].into_iter().all(|found| !complains(&insert, 7, found)));
    assert!(complains(&insert, 7, Some(3)));
    let beside = ["begin 0 insert 7 1", "end 0", "begin 1 clear", "begin 0 insert 7 2", "end 0", "end 1"];
    assert!([Some(2), None].into_iter().all(|found| !complains(&beside, 7, found)));
    assert!(complains(&beside, 7, Some(1)));
}

fn eviction_is_an_excuse() {
    let insert = |key| [format!("begin 0 insert {key} 1"), "end 0".to_owned()];
    let lines: Vec<String> = (0..BOUND as u32).flat_map(insert).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert!(!complains(&lines, 0, None), "65 with one that a kill may leave");
    assert!(complains(&lines, 4, None));
}
