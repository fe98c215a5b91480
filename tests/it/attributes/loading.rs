//! A function with `stale_for` or `refresh_at` is computed anew behind its callers.

use std::{
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use memolith::{Store, memo, observe::Event};

use crate::vocabulary::{Bench, DAY, HOUR, MINUTE};

/// A store with a manual clock, and what its refreshes came to.
struct Timed {
    bench: Bench,
    store: Store,
    ended: Mutex<mpsc::Receiver<String>>,
}

impl Timed {
    fn new() -> Self {
        let (bench, (told, ended)) = (Bench::new(), mpsc::channel());
        let store = bench.options().observer(move |event| match event {
            Event::Refreshed { memo, .. } => drop(told.send(format!("{memo} refreshed"))),
            Event::RefreshFailed { memo, .. } => drop(told.send(format!("{memo} failed"))),
            _ => {}
        });
        let store = store.open(bench.path()).unwrap();
        Self { bench, store, ended: Mutex::new(ended) }
    }

    fn end(&self) -> String {
        self.ended.lock().unwrap().recv_timeout(MINUTE).unwrap()
    }
}

static PLAIN: LazyLock<Timed> = LazyLock::new(Timed::new);
static LOADS: AtomicU64 = AtomicU64::new(0);

/// With each form of an argument that can be owned.
#[memo(store = &PLAIN.store, name = "joined", ttl = "1h", stale_for = "1d")]
fn joined(path: &str, list: &[u8], mut owned: String, number: u32) -> String {
    let load = LOADS.fetch_add(1, SeqCst) + 1;
    owned.push('!');
    format!("{path} {list:?} {owned} {number} load {load}")
}

#[test]
fn a_stale_value_of_a_function_is_computed_anew_behind_its_caller() {
    let call = || joined("a", &[1, 2], String::from("b"), 3);
    assert_eq!(call(), "a [1, 2] b! 3 load 1");
    assert_eq!(call(), "a [1, 2] b! 3 load 1");
    PLAIN.bench.clock.advance(2 * HOUR);
    assert_eq!(call(), "a [1, 2] b! 3 load 1");
    assert_eq!(PLAIN.end(), "joined refreshed");
    assert_eq!(call(), "a [1, 2] b! 3 load 2");
    let refreshes = joined_memo().stats().refreshes;
    assert_eq!((refreshes.stale_hits, refreshes.succeeded), (1, 1));
}

static FALLIBLE: LazyLock<Timed> = LazyLock::new(Timed::new);
static IS_DOWN: Mutex<bool> = Mutex::new(false);

#[memo(store = &FALLIBLE.store, name = "asked", ttl = "1h", stale_for = "1d", retry_after = "1m", jitter = "1ms")]
fn asked<T: Clone + Send + serde::Serialize + Into<u64> + 'static>(number: T) -> Result<u64, String> {
    if *IS_DOWN.lock().unwrap() {
        Err("down")?;
    }
    Ok(number.into())
}

#[test]
fn a_function_that_fails_keeps_its_stale_value() {
    assert_eq!(asked(3_u8), Ok(3));
    FALLIBLE.bench.clock.advance(2 * HOUR);
    *IS_DOWN.lock().unwrap() = true;
    assert_eq!(asked(3_u8), Ok(3));
    assert!(FALLIBLE.end().ends_with("failed"));
    assert_eq!(asked(3_u8), Ok(3), "not tried at once");
    assert_eq!(asked(4_u8), Err(String::from("down")));
    FALLIBLE.bench.clock.advance(Duration::from_secs(60));
    *IS_DOWN.lock().unwrap() = false;
    assert_eq!(asked(3_u8), Ok(3));
    assert!(FALLIBLE.end().ends_with("refreshed"));
    FALLIBLE.bench.clock.advance(10 * DAY);
    *IS_DOWN.lock().unwrap() = true;
    assert_eq!(asked(3_u8), Err(String::from("down")));
}

static EARLY_LOADS: AtomicU64 = AtomicU64::new(0);
static EARLY: LazyLock<Timed> = LazyLock::new(Timed::new);

#[memo(store = &EARLY.store, name = "early", ttl = "1h", refresh_at = 0.5, spare_used, max_entries = 10)]
fn early() -> u64 {
    EARLY_LOADS.fetch_add(1, SeqCst)
}

#[test]
fn a_fresh_value_of_a_function_is_computed_anew_early() {
    let first = early();
    EARLY.bench.clock.advance(MINUTE * 30);
    assert_eq!(early(), first);
    assert_eq!(EARLY.end(), "early refreshed");
    assert!(early() > first);
}

static HELPED: LazyLock<Timed> = LazyLock::new(Timed::new);

fn compute(number: u64) -> u64 {
    number * 2
}

#[memo(store = &HELPED.store, name = "helped", ttl = "1h", stale_for = "1d")]
fn helped(number: u64) -> u64 {
    compute(number) + 1
}

#[test]
fn a_helper_of_any_name_is_the_helper() {
    assert_eq!(helped(4), 9);
}
