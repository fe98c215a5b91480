//! What does it cost to get a resource that is there, beside a map behind a lock and beside moka?

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{Arc, Barrier, Mutex, RwLock},
    thread,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use memolith::ResourcePool;
use moka::sync::Cache;

type Resource = Mutex<Vec<u8>>;

const RESOURCES: usize = 100;

fn keys() -> Vec<String> {
    (0..RESOURCES).map(|number| format!("connection {number}")).collect()
}

/// The time of `iterations` calls on each of `threads` threads, which ask for resources of their own or for the same
/// one.
fn timed(
    threads: usize,
    spread: bool,
    iterations: u64,
    keys: &[String],
    get: &(impl Fn(&str) -> Arc<Resource> + Sync),
) -> Duration {
    let start = Barrier::new(threads);
    let run = |thread: usize| {
        let key = keys.get(if spread { 7 + thread } else { 7 }).unwrap();
        start.wait();
        let began = Instant::now();
        for _ in 0..iterations {
            black_box(get(black_box(key)));
        }
        began.elapsed()
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        let own = run(0);
        others.into_iter().map(|thread| thread.join().unwrap()).fold(own, Duration::max)
    })
}

fn compare(group: &mut BenchmarkGroup<'_, WallTime>, threads: usize, spread: bool) {
    let keys = keys();
    let map: RwLock<HashMap<String, Arc<Resource>>> = RwLock::default();
    let cache: Cache<String, Arc<Resource>> = Cache::new(10_000);
    let pool = ResourcePool::new();
    let aging = ResourcePool::builder().ttl(Duration::from_secs(3600)).build().unwrap();
    for key in &keys {
        map.write().unwrap().insert(key.clone(), Arc::default());
        cache.insert(key.clone(), Arc::default());
        pool.get_or_insert_with(key, Resource::default);
        aging.get_or_insert_with(key, Resource::default);
    }
    let from_map = |key: &str| map.read().unwrap().get(key).cloned().unwrap();
    let from_cache = |key: &str| cache.get_with_by_ref(key, Arc::default);
    let from_pool = |key: &str| pool.get_or_insert_with(key, Resource::default);
    let from_aging = |key: &str| aging.get_or_insert_with(key, Resource::default);
    group.bench_function("RwLock<HashMap>", |b| {
        b.iter_custom(|iterations| timed(threads, spread, iterations, &keys, &from_map));
    });
    group.bench_function("moka get_with_by_ref", |b| {
        b.iter_custom(|iterations| timed(threads, spread, iterations, &keys, &from_cache));
    });
    group.bench_function("ResourcePool", |b| {
        b.iter_custom(|iterations| timed(threads, spread, iterations, &keys, &from_pool));
    });
    group.bench_function("ResourcePool with a ttl", |b| {
        b.iter_custom(|iterations| timed(threads, spread, iterations, &keys, &from_aging));
    });
}

fn hits(criterion: &mut Criterion) {
    for (name, threads, spread) in [
        ("pool hit, 1 thread", 1, false),
        ("pool hit, 2 threads, one resource", 2, false),
        ("pool hit, 2 threads, two resources", 2, true),
    ] {
        compare(&mut criterion.benchmark_group(name), threads, spread);
    }
}

criterion_group!(benches, hits);
criterion_main!(benches);
