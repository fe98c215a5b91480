//! What does a hit cost? From memory beside moka and `quick_cache`, from disk beside sled and plain files.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a bench")]

mod common;

use std::{fs, hint::black_box};

use common::{
    FILED, INDEXED, Reading, at_once, criterion, decode, digest, encode, filled, key, keys, shuffled, sled,
    text,
};
use criterion::Criterion;
use serde::{Serialize, de::DeserializeOwned};

/// 100 bytes of 10,000 keys, by one thread and by two at once.
fn from_memory(criterion: &mut Criterion) {
    let keys = keys(10_000);
    let here = filled(256 << 20, &keys, Reading::new);
    let moka = moka::sync::Cache::<String, Reading>::new(20_000);
    let quick = quick_cache::sync::Cache::<String, Reading>::new(20_000);
    for (key, number) in keys.iter().zip(0..) {
        moka.insert(key.clone(), Reading::new(number));
        quick.insert(key.clone(), Reading::new(number));
    }
    let keys: Vec<String> = shuffled(10_000).map(key).collect();
    for threads in [1, 2] {
        let mut group = criterion.benchmark_group(format!("hit/memory 100 B/{threads} threads"));
        let mut row = |name: &str, hit: &(dyn Fn(&str) + Sync)| {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| at_once(threads, iterations, &keys, hit));
            });
        };
        row("memolith", &|key| drop(black_box(here.memo.get_or_insert_with(key, || unreachable!()))));
        row("moka", &|key| drop(black_box(moka.get(key).unwrap())));
        row("quick_cache", &|key| drop(black_box(quick.get(key).unwrap())));
    }
    assert_eq!(
        here.memo.stats().hits.disk,
        keys.len() as u64,
        "the second call of each key, when it was filled"
    );
}

/// Values that lie in the index itself.
fn from_index<V>(criterion: &mut Criterion, name: &str, count: u64, value: impl Fn(u64) -> V)
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let keys = keys(count);
    let here = filled(0, &keys, &value);
    let directory = tempfile::tempdir().unwrap();
    let raw = sled(directory.path());
    for (key, number) in keys.iter().zip(0..) {
        raw.insert(digest(key), encode(&value(number))).unwrap();
    }
    raw.flush().unwrap();
    let mut group = criterion.benchmark_group(format!("hit/disk {name}"));
    let asked: Vec<String> = shuffled(keys.len() as u64).map(key).collect();
    let mut turn = asked.iter().cycle();
    group.bench_function("memolith", |bencher| {
        bencher.iter(|| here.memo.get_or_insert_with(turn.next().unwrap(), || unreachable!()));
    });
    let asked: Vec<[u8; 32]> = asked.iter().map(|key| digest(key)).collect();
    let mut turn = asked.iter().cycle();
    group.bench_function("sled get + decode", |bencher| {
        bencher.iter(|| decode::<V>(&raw.get(turn.next().unwrap()).unwrap().unwrap()));
    });
}

/// Values that have files of their own.
fn from_file(criterion: &mut Criterion) {
    let keys = keys(200);
    let here = filled(0, &keys, |number| text(FILED, number));
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..keys.len()).map(|number| directory.path().join(number.to_string())).collect();
    for (path, number) in paths.iter().zip(0..) {
        fs::write(path, encode(&text(FILED, number))).unwrap();
    }
    let mut group = criterion.benchmark_group("hit/disk 256 KiB");
    let asked: Vec<String> = shuffled(keys.len() as u64).map(key).collect();
    let mut turn = asked.iter().cycle();
    group.bench_function("memolith", |bencher| {
        bencher.iter(|| here.memo.get_or_insert_with(turn.next().unwrap(), || unreachable!()));
    });
    let mut turn = paths.iter().cycle();
    group.bench_function("file read + decode", |bencher| {
        bencher.iter(|| decode::<String>(&fs::read(turn.next().unwrap()).unwrap()));
    });
}

fn main() {
    let mut criterion = criterion();
    from_memory(&mut criterion);
    from_index(&mut criterion, "100 B", 10_000, Reading::new);
    from_index(&mut criterion, "4 KB", 2_000, |number| text(INDEXED, number));
    from_file(&mut criterion);
    criterion.final_summary();
}
