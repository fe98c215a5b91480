//! Threads with changing answers, and a thread that removes: promises 2 and 6 for every value that is returned.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
};

use memolith::{Memo, Store, inputs};

use super::Inputs;
use crate::vocabulary::*;

const KEYS: u64 = 3;
const POSITIONS: u64 = 4;
const THREADS: u64 = 4;

fn calls() -> u64 {
    if is_long() { 50_000 } else { 2_000 }
}

struct Ticks {
    now: AtomicU64,
    /// For each key, the moment when the last removal that returned began.
    removed: [AtomicU64; KEYS as usize],
}

impl Ticks {
    fn tick(&self) -> u64 {
        self.now.fetch_add(1, SeqCst)
    }
}

/// The position, and the moment when the computation began.
type Value = (u64, u64);

fn call(memo: &Memo<u64, Value>, ticks: &Ticks, key: u64, position: u64) {
    let floor = ticks.removed[key as usize].load(SeqCst);
    let (found, began) = inputs::scope(|scope| {
        scope.provide("position", position);
        memo.get_or_insert_with(&key, || {
            let began = ticks.tick();
            (inputs::get::<u64>("position").unwrap(), began)
        })
    });
    assert_eq!(found, position);
    assert!(began >= floor, "computed at {began}, and the key was removed at {floor}");
}

fn storm(store: &Store, max_entries: Option<u64>) {
    let builder = Memo::<u64, Value>::builder("storm");
    let builder = max_entries.map_or(builder, |bound| Memo::builder("storm").max_entries(bound));
    let memo = builder.open(store).unwrap();
    let ticks = Ticks { now: AtomicU64::new(1), removed: Default::default() };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (memo, ticks) = (&memo, &ticks);
            scope.spawn(move || {
                let mut seed = thread + 1;
                for _ in 0..calls() {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let (key, position, action) =
                        (seed >> 33 & 3, seed >> 40 & (POSITIONS - 1), seed >> 50 & 31);
                    let key = key % KEYS;
                    match action {
                        0 => {
                            let began = ticks.tick();
                            memo.remove(&key).unwrap();
                            ticks.removed[key as usize].fetch_max(began, SeqCst);
                        }
                        1 if thread == 0 => {
                            let began = ticks.tick();
                            memo.clear().unwrap();
                            for removed in &ticks.removed {
                                removed.fetch_max(began, SeqCst);
                            }
                        }
                        _ => call(memo, ticks, key, position),
                    }
                }
            });
        }
    });
    store.flush().unwrap();
    let most = max_entries.unwrap_or(KEYS * POSITIONS);
    assert!(memo.len().unwrap() as u64 <= most);
    for key in 0..KEYS {
        memo.remove(&key).unwrap();
    }
    store.flush().unwrap();
    assert_eq!((memo.len().unwrap(), memo.usage().unwrap().bytes), (0, 0), "nothing is left behind");
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
}

#[test]
fn a_storm_returns_no_value_of_other_answers_or_from_before_a_removal() {
    let world = Inputs::new();
    storm(&world.bench.store(), None);
}

#[test]
fn so_does_one_without_a_memory_tier() {
    let world = Inputs::new();
    storm(&world.bench.diskful(), None);
}

#[test]
fn so_does_one_under_a_bound() {
    let world = Inputs::new();
    storm(&world.bench.store(), Some(5));
}
