//! What does it cost to open a large store that was closed cleanly? Beside it stands sled's own open of the same
//! files.
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

/// The cost of as many functions as a large program has, each with one small result.
fn many_memos() {
    const MEMOS: u32 = 10_000;
    let directory = tempfile::tempdir().unwrap();
    for run in ["computed", "read"] {
        let began = Instant::now();
        let store = Store::open(directory.path()).unwrap();
        for number in 0..MEMOS {
            let memo: Memo<u32, u32> = Memo::builder(format!("memo {number}")).open(&store).unwrap();
            assert_eq!(memo.get_or_insert_with(&0, || number), number);
        }
        store.flush().unwrap();
        let took = began.elapsed();
        let bytes = store.size_on_disk().unwrap();
        store.close().unwrap();
        println!("{MEMOS} memos of one number, {run}: {took:.2?}, {:.1} MB on disk", bytes as f64 / 1e6);
    }
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
    many_memos();
    criterion.final_summary();
}
