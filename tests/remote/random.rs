//! Random calls and changes on several machines, with random trouble on the way. When it is over, all machines have what the server has,
//! and no machine has a value that is older than the last change of its key.
//!
//! `MEMOLITH_SOAK` runs many more rounds.

use std::{
    collections::HashMap,
    env,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use crate::{
    machine::{Machine, redis},
    proxy::Proxy,
    server::{Server, wait_until, with_each},
};

const KEYS: u64 = 6;

/// A generator that needs no crate: the same numbers for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// The moments of a run, in one order for all machines.
#[derive(Default)]
struct History {
    now: AtomicU64,
    /// The last change of each key that returned without an error: the moment before it began.
    changed: Mutex<HashMap<u64, u64>>,
    /// When the insert of a value ended, by the moment at which it began: one that ran beside a change may come after it.
    inserted: Mutex<HashMap<u64, u64>>,
}

impl History {
    fn tick(&self) -> u64 {
        self.now.fetch_add(1, SeqCst) + 1
    }

    fn changed(&self, key: u64, began: u64) {
        let mut changed = self.changed.lock().unwrap();
        let last = changed.entry(key).or_default();
        *last = began.max(*last);
    }
}

/// A value says at which moment its computation began.
fn value(began: u64) -> String {
    format!("{began} {}", "x".repeat((began % 7 * 300) as usize))
}

fn began(value: &str) -> u64 {
    value.split(' ').next().unwrap().parse().unwrap()
}

fn call(machine: &Machine, history: &History, numbers: &mut Numbers) {
    let key = numbers.below(KEYS);
    let name = key.to_string();
    match numbers.below(10) {
        0 | 1 => {
            let now = history.tick();
            let inserted = machine.memo.insert(&name, &value(now));
            history.inserted.lock().unwrap().insert(now, history.tick());
            if inserted.is_ok() {
                history.changed(key, now);
            }
        }
        2 => {
            let now = history.tick();
            if machine.memo.remove(&name).is_ok() {
                history.changed(key, now);
            }
        }
        3 => {
            let now = history.tick();
            if numbers.below(10) == 0 && machine.memo.clear().is_ok() {
                (0..KEYS).for_each(|key| history.changed(key, now));
            }
        }
        _ => {
            machine.memo.get_or_insert_with(&name, || value(history.tick()));
        }
    }
}

fn round(server: &Server, seed: u64) {
    let mut numbers = Numbers(seed);
    let proxies = [Proxy::to(server.port), Proxy::to(server.port)];
    let machines = proxies.each_ref().map(|proxy| {
        let redis = redis(&proxy.url()).namespace(format!("random-{seed}"));
        Machine::with(redis.response_timeout(Duration::from_millis(200)), |builder| builder)
    });
    let history = History::default();
    thread::scope(|scope| {
        for (machine, seed) in machines.iter().zip(seed..).flat_map(|pair| [pair; 2]) {
            let (history, mut numbers) = (&history, Numbers(numbers.below(u64::MAX) ^ seed));
            scope.spawn(move || (0..150).for_each(|_| call(machine, history, &mut numbers)));
        }
        for _ in 0..numbers.below(4) {
            let proxy = &proxies[numbers.below(2) as usize];
            thread::park_timeout(Duration::from_millis(numbers.below(20)));
            match numbers.below(3) {
                0 => proxy.rules.cut(),
                1 => proxy.rules.delay(numbers.below(30)),
                _ => {
                    proxy.rules.refuse(true);
                    thread::park_timeout(Duration::from_millis(numbers.below(30)));
                    proxy.rules.refuse(false);
                }
            }
        }
    });
    for proxy in &proxies {
        proxy.rules.delay(0);
    }
    // A change that every machine must hear of: then each has heard of all before it.
    for (from, to) in [(0, 1), (1, 0)] {
        wait_until("the server is used again", || {
            machines[from].memo.insert("last", &value(from as u64)).is_ok()
        });
        let expected = value(from as u64);
        wait_until("the machines hear of each other", || {
            machines[to].memo.get("last").unwrap().as_ref() == Some(&expected)
        });
    }
    let fresh = Machine::with(redis(&server.url()).namespace(format!("random-{seed}")), |builder| builder);
    for key in 0..KEYS {
        let name = key.to_string();
        let last = history.changed.lock().unwrap().get(&key).copied().unwrap_or_default();
        let of = |machine: &Machine| machine.memo.get(&name).unwrap();
        wait_until(&format!("seed {seed}: all machines have what the server has of {key}"), || {
            let on_server = of(&fresh);
            machines.iter().all(|machine| of(machine) == on_server || on_server.is_none())
        });
        for value in machines.iter().chain([&fresh]).filter_map(of) {
            let began = began(&value);
            let until = history.inserted.lock().unwrap().get(&began).copied().unwrap_or(began);
            assert!(
                until >= last,
                "seed {seed}: key {key} has a value of {began} to {until}, changed at {last}"
            );
        }
    }
}

#[test]
fn machines_agree_after_any_calls_changes_and_trouble() {
    let rounds = if env::var_os("MEMOLITH_SOAK").is_some() { 60 } else { 3 };
    with_each(|server| (0..rounds).for_each(|seed| round(server, seed)));
}
