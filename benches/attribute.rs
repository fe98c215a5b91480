//! What does the attribute cost? A hit through `#[memo]` beside the closure form on the same memo.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a bench")]

mod common;

use std::{hint::black_box, sync::LazyLock};

use common::{Reading, at_once, criterion, key, keys, shuffled};
use criterion::Criterion;
use memolith::{Store, memo};

static STORE: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());

#[memo(store = &*STORE)]
fn reading(of: &str) -> Reading {
    Reading::new(of.len() as u64)
}

/// One of several instances: the others are found in a map.
#[memo(store = &*STORE)]
fn instance<const N: u64>(of: &str) -> Reading {
    Reading::new(of.len() as u64 + N)
}

/// 100 bytes of 10,000 keys, by one thread and by two at once.
fn hits(criterion: &mut Criterion) {
    // The first instance has the short way.
    instance::<0>("");
    for key in keys(10_000) {
        // The first hit after a computation reads from disk.
        for _ in 0..2 {
            reading(&key);
            instance::<1>(&key);
        }
    }
    let keys: Vec<String> = shuffled(10_000).map(key).collect();
    for threads in [1, 2] {
        let mut group = criterion.benchmark_group(format!("attribute/hit 100 B/{threads} threads"));
        let mut row = |name: &str, hit: &(dyn Fn(&str) + Sync)| {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| at_once(threads, iterations, &keys, hit));
            });
        };
        let memo = reading_memo();
        row("closure", &|key| drop(black_box(memo.get_or_insert_with(key, || unreachable!()))));
        row("attribute", &|key| drop(black_box(reading(key))));
        row("attribute, generic", &|key| drop(black_box(instance::<1>(key))));
    }
    assert_eq!(reading_memo().stats().inserts, keys.len() as u64);
}

fn main() {
    let mut criterion = criterion();
    hits(&mut criterion);
    criterion.final_summary();
}
