//! What do large frames cost? Storing beside a plain `write` of the same bytes, a copy of its own beside `clone`.
//!
//! Four columns of 2.5 million `f64` each: 80 MB, so that a run is short; `examples/frame_cost` takes larger ones.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a bench")]

mod common;

use std::{
    fs::{self, File},
    io::Write as _,
    time::{Duration, Instant},
};

use common::criterion;
use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use memolith::{Memo, Store};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const COLUMNS: usize = 4;
const ROWS: usize = 10_000_000;

/// Plain vectors, as in an ordinary program.
#[derive(Clone, Serialize, Deserialize)]
struct Plain {
    columns: Vec<Vec<f64>>,
}

/// Runs of bytes.
#[derive(Clone, Serialize, Deserialize)]
struct Packed {
    #[serde(with = "memolith::packed")]
    columns: Vec<Vec<f64>>,
}

fn plain() -> Plain {
    let column = |number: usize| (0..ROWS).map(|row| (row * COLUMNS + number) as f64 * 0.25).collect();
    Plain { columns: (0..COLUMNS).map(column).collect() }
}

/// Only `operation` is timed. Its leftovers are removed outside of the measurement.
fn row<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut operation: impl FnMut() -> T,
    mut tidy: impl FnMut(T),
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let once = |_| {
                let began = Instant::now();
                let outcome = operation();
                let took = began.elapsed();
                tidy(outcome);
                took
            };
            (0..iterations).map(once).sum::<Duration>()
        });
    });
}

fn open(directory: &std::path::Path) -> Store {
    Store::builder().memory(0).open(directory).unwrap()
}

fn stores<V>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, value: &V)
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let memo: Memo<u64, V> = Memo::builder("frames").open(&store).unwrap();
    let tidy = |()| {
        memo.clear().unwrap();
        store.sweep().unwrap();
    };
    row(group, name, || memo.insert(&0, value).unwrap(), tidy);
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
}

fn copies<V>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, value: &V)
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let memo: Memo<u64, V> = Memo::builder("frames").open(&store).unwrap();
    memo.insert(&0, value).unwrap();
    row(group, name, || memo.get(&0).unwrap().unwrap(), drop);
}

fn raw_write(group: &mut BenchmarkGroup<'_, WallTime>, frame: &Plain) {
    let directory = tempfile::tempdir().unwrap();
    let bytes: Vec<Vec<u8>> =
        frame.columns.iter().map(|column| column.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let path = directory.path().join("frame");
    let write = || {
        let mut file = File::create(&path).unwrap();
        for column in &bytes {
            file.write_all(column).unwrap();
        }
    };
    row(group, "write of the same bytes", write, |()| fs::remove_file(&path).unwrap());
}

fn main() {
    let mut criterion: Criterion = criterion().sample_size(10).configure_from_args();
    let frame = plain();
    let packed = Packed { columns: frame.columns.clone() };
    let mut group = criterion.benchmark_group("frame/store 10M rows");
    raw_write(&mut group, &frame);
    stores(&mut group, "plain vectors", &frame);
    stores(&mut group, "packed", &packed);
    group.finish();
    let mut group = criterion.benchmark_group("frame/own copy 10M rows");
    row(&mut group, "clone", || frame.clone(), drop);
    copies(&mut group, "plain vectors", &frame);
    copies(&mut group, "packed", &packed);
    group.finish();
    criterion.final_summary();
}
