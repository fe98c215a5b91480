//! The whole order of a change over its three places: the disk, the claims, the memory tier. There are two keys, and
//! room on disk for one of them, so each stored value evicts the other.

#![allow(clippy::indexing_slicing, reason = "there are two keys")]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    flight::{Claim, Flight, FlightKey, Outcome, Turn},
    races::FOREVER,
    sync::{Mutex, explore, lock, thread},
};

const OWNER: u64 = 1;

type Tier = Mutex<[Option<u64>; 2]>;

/// A memo. Each value is the moment at which its computation began.
struct Memo {
    flight: Flight,
    /// Its lock stands for the worker, which makes one change at a time.
    disk: Tier,
    /// Its lock is that of a shard.
    memory: Tier,
    moments: AtomicU64,
}

fn flight_key(key: usize) -> FlightKey {
    FlightKey { owner: OWNER, digest: [key as u8; 32] }
}

impl Memo {
    fn new() -> Arc<Self> {
        let (disk, memory) = (Mutex::new([None; 2]), Mutex::new([None; 2]));
        Arc::new(Self { flight: Flight::new(), disk, memory, moments: AtomicU64::new(1) })
    }

    fn now(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    fn get(&self, key: usize) -> u64 {
        loop {
            if let Some(value) = self.in_memory(key) {
                return value;
            }
            let claim = match self.flight.claim(flight_key(key), FOREVER) {
                Turn::Lead(claim) => claim,
                Turn::Alone(claim, _) => return self.compute(key, claim),
                Turn::Recheck(_) => continue,
            };
            let Some(value) = self.in_memory(key).or_else(|| self.read(key, &claim)) else {
                return self.compute(key, claim);
            };
            claim.complete(Outcome::Found);
            return value;
        }
    }

    fn in_memory(&self, key: usize) -> Option<u64> {
        lock(&self.memory)[key]
    }

    /// Beside the worker: another thread may change everything between the read and the promotion.
    fn read(&self, key: usize, claim: &Claim<'_>) -> Option<u64> {
        let value = lock(&self.disk)[key]?;
        thread::yield_now();
        let mut memory = lock(&self.memory);
        if claim.is_current() {
            memory[key] = Some(value);
        }
        Some(value)
    }

    fn compute(&self, key: usize, claim: Claim<'_>) -> u64 {
        let began = self.now();
        thread::yield_now();
        let mut disk = lock(&self.disk);
        let outcome = if claim.is_current() {
            disk[key] = Some(began);
            self.publish(key, Some(&claim));
            self.evict(&mut disk, 1 - key);
            Outcome::Stored
        } else {
            Outcome::Revoked
        };
        drop(disk);
        claim.complete(outcome);
        began
    }

    fn evict(&self, disk: &mut [Option<u64>; 2], victim: usize) {
        if disk[victim].take().is_some() {
            self.publish(victim, None);
        }
    }

    /// After the disk: first the claims, then the memory.
    fn publish(&self, key: usize, claim: Option<&Claim<'_>>) {
        self.flight.revoke(&flight_key(key), claim);
        lock(&self.memory)[key] = None;
    }

    /// Each change returns the moment at which it was made.
    fn insert(&self, key: usize) -> u64 {
        let mut disk = lock(&self.disk);
        let now = self.now();
        disk[key] = Some(now);
        self.publish(key, None);
        self.evict(&mut disk, 1 - key);
        now
    }

    fn remove(&self, key: usize) -> u64 {
        let mut disk = lock(&self.disk);
        let now = self.now();
        disk[key] = None;
        self.publish(key, None);
        now
    }

    fn clear(&self) -> u64 {
        let mut disk = lock(&self.disk);
        let now = self.now();
        *disk = [None; 2];
        self.flight.revoke_owner(OWNER);
        *lock(&self.memory) = [None; 2];
        now
    }
}

/// Callers of both keys, some of them twice, beside `change`. Afterwards no place has an older value.
fn callers_beside(change: impl Fn(&Memo) -> u64 + Send + Sync + 'static, keys: &'static [usize]) {
    explore(move || {
        let memo = Memo::new();
        memo.get(0);
        let call = |key| {
            let memo = Arc::clone(&memo);
            thread::spawn(move || (memo.get(key), memo.get(key)))
        };
        let callers = [0, 1, 0].map(call);
        let changed = change(&memo);
        for key in keys {
            let (in_memory, on_disk) = (memo.in_memory(*key), lock(&memo.disk)[*key]);
            let got = memo.get(*key);
            for value in [in_memory, on_disk, Some(got)].into_iter().flatten() {
                assert!(value >= changed, "{value} is from before {changed}");
            }
        }
        for caller in callers {
            caller.join().unwrap();
        }
        assert_tiers_agree(&memo);
    });
}

/// Without the memory tier no answer would change.
#[track_caller]
fn assert_tiers_agree(memo: &Memo) {
    assert!(memo.flight.is_empty());
    let (memory, disk) = (*lock(&memo.memory), *lock(&memo.disk));
    for key in 0..2 {
        assert!(memory[key].is_none() || memory[key] == disk[key], "{memory:?}, {disk:?}");
    }
}

#[test]
fn a_removed_value_comes_back_from_no_tier() {
    callers_beside(|memo| memo.remove(0), &[0]);
}

#[test]
fn a_replaced_value_comes_back_from_no_tier() {
    callers_beside(|memo| memo.insert(0), &[0]);
}

#[test]
fn a_cleared_value_comes_back_from_no_tier() {
    callers_beside(Memo::clear, &[0, 1]);
}

#[test]
fn what_was_evicted_leaves_the_memory_while_others_read_and_compute() {
    explore(|| {
        let memo = Memo::new();
        let call = |key| {
            let memo = Arc::clone(&memo);
            thread::spawn(move || (memo.get(key), memo.get(1 - key)))
        };
        for caller in [0, 1, 0].map(call) {
            caller.join().unwrap();
        }
        assert_tiers_agree(&memo);
        assert!(lock(&memo.disk).iter().flatten().count() <= 1);
    });
}
