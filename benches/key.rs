//! What does a key cost, by its kind? `contains_key` of a key in memory is a hit without its value. Beside it stands
//! SHA-256 of the same key as postcard, the least cost of a digest.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a bench")]

mod common;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use common::{criterion, encode, text};
use criterion::Criterion;
use memolith::{Memo, Store};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

#[derive(Serialize)]
struct Query {
    file: PathBuf,
    modified: SystemTime,
    columns: Vec<&'static str>,
    limit: Option<u64>,
    threshold: f64,
}

fn query() -> Query {
    Query {
        file: "/data/rides.csv".into(),
        modified: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600),
        columns: vec!["started", "ended", "station"],
        limit: Some(1_000),
        threshold: 0.25,
    }
}

fn row<K: Serialize + ?Sized>(criterion: &mut Criterion, name: &str, key: &K) {
    let store = Store::temporary().unwrap();
    let memo: Memo<K, u8> = Memo::builder("keys").open(&store).unwrap();
    memo.get_or_insert_with(key, || 1);
    memo.get_or_insert_with(key, || unreachable!("it was stored"));
    let mut group = criterion.benchmark_group(format!("key/{name}"));
    group.bench_function("memolith", |bencher| bencher.iter(|| memo.contains_key(key).unwrap()));
    group.bench_function("SHA-256 of postcard", |bencher| bencher.iter(|| Sha256::digest(encode(key))));
}

fn main() {
    let mut criterion = criterion();
    row(&mut criterion, "u64", &7_u64);
    row(&mut criterion, "str 32 B", common::key(7).as_str());
    row(&mut criterion, "str 4 KB", text(4_000, 7).as_str());
    row(&mut criterion, "struct", &query());
    let map: BTreeMap<String, u64> = (0..16).map(|number| (common::key(number), number)).collect();
    row(&mut criterion, "map of 16", &map);
    criterion.final_summary();
}
