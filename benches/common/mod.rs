//! The common parts of the benchmarks: the same keys and values on both sides, the raw references, and the settings
//! of a run.

#![allow(dead_code, reason = "each question uses its part")]

use std::{
    fs::File,
    path::Path,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use criterion::Criterion;
use memolith::{Memo, Store};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A small result: 100 bytes as postcard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    station: String,
    at: u64,
    values: [f64; 8],
}

impl Reading {
    pub fn new(number: u64) -> Self {
        let at = 1_767_225_600_000_000 + number;
        Self { station: format!("station {number:019}"), at, values: [0.1 + number as f64; 8] }
    }
}

/// A page of text. Its encoding has this size, and decoding it is one copy.
pub fn text(size: usize, number: u64) -> String {
    let mut text = format!("{number:020}");
    text.extend(std::iter::repeat_n('x', size - 23));
    text
}

/// Just below the size from which a value has a file of its own.
pub const INDEXED: usize = 4_000;
pub const FILED: usize = 256 << 10;

/// 32 bytes.
pub fn key(number: u64) -> String {
    format!("reading/{number:024}")
}

pub fn keys(count: u64) -> Vec<String> {
    (0..count).map(key).collect()
}

/// In another order than they were stored in, so that no side gains from neighbours in memory.
pub fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    const STRIDE: u64 = 7_919;
    assert!(!count.is_multiple_of(STRIDE));
    (0..count).map(move |number| number * STRIDE % count)
}

/// A digest like memolith's: 32 uniform bytes.
pub fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

pub fn encode<V: Serialize + ?Sized>(value: &V) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap()
}

pub fn decode<V: DeserializeOwned>(bytes: &[u8]) -> V {
    postcard::from_bytes(bytes).unwrap()
}

/// sled, opened as memolith opens it.
pub fn sled(path: &Path) -> sled::Db {
    sled::Config::new().path(path).cache_capacity(64 << 20).flush_every_ms(None).open().unwrap()
}

/// Waits for a database that was just dropped: its threads release the file a little later.
pub fn await_release(path: &Path) {
    let file = File::open(path.join("db")).unwrap();
    while file.try_lock().is_err() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// A store in a directory of its own, with the values of the first `count` keys.
pub struct Filled<V: 'static> {
    pub memo: Memo<str, V>,
    pub store: Store,
    pub directory: TempDir,
}

pub fn filled<V>(memory: u64, keys: &[String], value: impl Fn(u64) -> V) -> Filled<V>
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let directory = tempfile::tempdir().unwrap();
    let store = Store::builder().memory(memory).open(directory.path()).unwrap();
    let memo: Memo<str, V> = Memo::builder("readings").open(&store).unwrap();
    for (key, number) in keys.iter().zip(0..) {
        memo.get_or_insert_with(key, || value(number));
        memo.get_or_insert_with(key, || unreachable!("it was stored"));
    }
    store.flush().unwrap();
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    Filled { memo, store, directory }
}

/// Runs `iterations` of `operation` on each of several threads at once, over the same keys from different starts. The
/// time is that of the slowest thread: without contention it is the same for any number of threads.
pub fn at_once(
    threads: usize,
    iterations: u64,
    keys: &[String],
    operation: impl Fn(&str) + Sync,
) -> Duration {
    let start = Barrier::new(threads);
    let run = |thread: usize| {
        let mine = keys.iter().cycle().skip(thread * keys.len() / threads).take(iterations as usize);
        start.wait();
        let began = Instant::now();
        mine.for_each(|key| operation(key));
        began.elapsed()
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
    })
}

/// Short rows: all benchmarks together take a few minutes. `cargo bench -- --quick` takes one minute.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}
