//! What does opening a large store cost, one that was closed cleanly? Beside sled's own open of the same files.
//!
//! A million entries, made once a run, or as many as `MEMOLITH_BENCH_ENTRIES` says. Closing is not timed.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a bench")]

mod common;

use std::{
    cell::LazyCell,
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use common::{await_release, criterion, sled, text};
use criterion::SamplingMode;
use memolith::{Memo, Store};
use tempfile::TempDir;

const SIZE: usize = 64;

fn fill(path: &Path) {
    let asked = env::var("MEMOLITH_BENCH_ENTRIES").ok().and_then(|entries| entries.parse().ok());
    let store = Store::open(path).unwrap();
    let memo: Memo<u64, String> = Memo::builder("texts").open(&store).unwrap();
    for number in 0..asked.unwrap_or(1_000_000) {
        memo.get_or_insert_with(&number, || text(SIZE, number));
    }
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    store.close().unwrap();
}

/// A closed store, and a copy of its index.
fn closed() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fill(&directory.path().join("store"));
    let copy = directory.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(directory.path().join("store/index-1")).unwrap().flatten() {
        if file.path().is_file() {
            fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
    }
    directory
}

/// The time of all `open`s, without that of `close`.
fn timed<T>(iterations: u64, open: impl Fn() -> T, close: impl Fn(T)) -> Duration {
    let once = || {
        let began = Instant::now();
        let opened = open();
        let took = began.elapsed();
        close(opened);
        took
    };
    (0..iterations).map(|_| once()).sum()
}

fn main() {
    let mut criterion = criterion().sample_size(10).measurement_time(Duration::from_secs(5));
    let directory = LazyCell::new(closed);
    let mut group = criterion.benchmark_group("open");
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function("memolith", |bencher| {
        let path = directory.path().join("store");
        let close = |store: Store| store.close().unwrap();
        bencher.iter_custom(|iterations| timed(iterations, || Store::open(&path).unwrap(), close));
    });
    group.bench_function("sled", |bencher| {
        let path = directory.path().join("copy");
        let close = |raw| {
            drop(raw);
            await_release(&path);
        };
        bencher.iter_custom(|iterations| timed(iterations, || sled(&path), close));
    });
    group.finish();
    criterion.final_summary();
}
