//! Random calls against a model of what is stored, with a clock that jumps and options that change at each restart.

use std::{collections::HashMap, time::Duration};

use memolith::{Memo, Store};

use super::Down;
use crate::vocabulary::*;

/// What the model knows of a key, times in seconds.
#[derive(Clone, Copy, Debug)]
struct Known {
    value: u64,
    created: i64,
    ttl: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Age {
    Absent,
    Fresh,
    Stale,
}

struct Model {
    known: HashMap<u64, Known>,
    /// Failed refreshes of this process: when the next attempt may be.
    retries: HashMap<u64, (i64, i64)>,
    now: i64,
    ttl: Option<i64>,
    stale_for: i64,
}

const RETRY: i64 = 30;

impl Model {
    fn age(&self, key: u64) -> Age {
        let Some(known) = self.known.get(&key) else { return Age::Absent };
        let Some(ttl) = known.ttl.or(self.ttl) else {
            return if known.created > self.now + 60 { Age::Absent } else { Age::Fresh };
        };
        match self.now - known.created {
            age if age < -60 || age >= ttl + self.stale_for => Age::Absent,
            age if age < ttl => Age::Fresh,
            _ => Age::Stale,
        }
    }

    fn waits(&self, key: u64) -> bool {
        self.retries.get(&key).is_some_and(|(from, until)| (*from..*until).contains(&self.now))
    }

    fn store(&mut self, key: u64, value: u64, ttl: Option<i64>) {
        self.retries.remove(&key);
        if ttl == Some(0) && self.stale_for == 0 {
            return;
        }
        self.known.insert(key, Known { value, created: self.now, ttl });
    }

    /// What a call with a closure that returns `computed` returns, and whether the closure runs.
    fn call(
        &mut self,
        key: u64,
        computed: Result<u64, Down>,
        ttl: Option<i64>,
        max_age: Option<i64>,
    ) -> (Result<u64, Down>, bool) {
        let age = self.age(key);
        let known = self.known.get(&key).copied();
        let is_refused =
            |known: &Known| max_age.is_some_and(|most| (self.now - known.created).max(0) >= most);
        let usable = known.filter(|known| age != Age::Absent && !is_refused(known));
        match (usable, age) {
            (Some(known), Age::Fresh) => return (Ok(known.value), false),
            (Some(known), _) if self.waits(key) => return (Ok(known.value), false),
            _ => {}
        }
        match computed {
            Ok(value) => self.store(key, value, ttl),
            Err(Down) => {
                if let Some(known) = usable {
                    self.retries.insert(key, (self.now, self.now + RETRY));
                    return (Ok(known.value), true);
                }
            }
        }
        (computed, true)
    }
}

/// Numbers that look random, and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(number as u64)
}

fn open(bench: &Bench, model: &Model, memory: u64) -> (Store, Memo<u64, u64>) {
    let store = bench.options().memory(memory).open(bench.path()).unwrap();
    let builder = Memo::builder("model").stale_for(seconds(model.stale_for)).retry_after(seconds(RETRY));
    let builder = match model.ttl {
        Some(ttl) => builder.ttl(seconds(ttl)),
        None => builder,
    };
    let memo = builder.open(&store).unwrap();
    (store, memo)
}

fn run(seed: u64, steps: u64) {
    let (bench, mut numbers) = (Bench::new(), Numbers(seed));
    let mut model =
        Model { known: HashMap::new(), retries: HashMap::new(), now: 0, ttl: Some(100), stale_for: 200 };
    let (mut store, mut memo) = open(&bench, &model, 1 << 20);
    for step in 0..steps {
        let (key, value) = (numbers.below(4), step + 1);
        let place = format!("seed {seed}, step {step}, key {key}, at {}", model.now);
        match numbers.below(20) {
            0..=9 => {
                let computed = if numbers.below(2) == 0 { Ok(value) } else { Err(Down) };
                let ttl = numbers.one_of(&[None, None, None, Some(0), Some(20), Some(500)]);
                let max_age = numbers.one_of(&[None, None, None, Some(0), Some(50), Some(250)]);
                let expected = model.call(key, computed, ttl, max_age);
                let mut has_run = false;
                let mut entry = memo.entry(&key);
                if let Some(ttl) = ttl {
                    entry = entry.ttl(seconds(ttl));
                }
                if let Some(most) = max_age {
                    entry = entry.max_age(seconds(most));
                }
                let returned = entry.or_try_insert_with(|| {
                    has_run = true;
                    computed
                });
                assert_eq!((returned, has_run), expected, "{place}, ttl {ttl:?}, max_age {max_age:?}");
            }
            10..=12 => {
                let fresh = (model.age(key) == Age::Fresh).then(|| model.known[&key].value);
                assert_eq!(memo.get(&key).unwrap(), fresh, "{place}");
                assert_eq!(memo.contains_key(&key).unwrap(), fresh.is_some(), "{place}");
            }
            13 => {
                memo.insert(&key, &value).unwrap();
                let waits = model.retries.get(&key).copied();
                model.store(key, value, None);
                // An insert ends no wait for a retry: its value is fresh.
                model.retries.extend(waits.map(|waits| (key, waits)));
            }
            14 => {
                let was_fresh = model.age(key) == Age::Fresh;
                assert_eq!(memo.remove(&key).unwrap(), was_fresh, "{place}");
                model.known.remove(&key);
            }
            15..=17 => {
                let time = numbers.one_of(&[1, 10, 30, 60, 100, 300]);
                bench.clock.advance(seconds(time));
                model.now += time;
            }
            18 => {
                // Entries that are made within a second count as made in their order: two are more than that.
                let time = numbers.one_of(&[2, 30, 59]);
                if model.now >= time {
                    bench.clock.set_back(seconds(time));
                    model.now -= time;
                }
            }
            _ => {
                drop(memo);
                store.close().unwrap();
                model.ttl = numbers.one_of(&[None, Some(10), Some(100), Some(300)]);
                model.stale_for = numbers.one_of(&[0, 50, 200]);
                model.retries.clear();
                let memory = numbers.one_of(&[0, 1 << 20]);
                (store, memo) = open(&bench, &model, memory);
            }
        }
    }
}

#[test]
fn calls_answer_as_the_model_says() {
    let rounds = if std::env::var_os("MEMOLITH_SOAK").is_some() { 2_000 } else { 12 };
    for seed in 0..rounds {
        run(seed, 150);
    }
}
