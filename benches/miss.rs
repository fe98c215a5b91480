//! What does a miss cost, and what does storing a computed value when the memo is full, so that the oldest one leaves?

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a bench")]

mod common;

use std::{
    collections::VecDeque,
    fs,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use common::{FILED, INDEXED, Reading, criterion, digest, encode, filled, key, keys, sled, text};
use criterion::Criterion;
use memolith::{
    Memo, Store,
    codec::{Codec as _, Payload, Postcard},
};
use serde::{Serialize, de::DeserializeOwned};

/// A key that is not there, in a store of 10,000 others; nothing is stored.
fn absent(criterion: &mut Criterion) {
    let keys = keys(10_000);
    let here = filled(256 << 20, &keys, Reading::new);
    let directory = tempfile::tempdir().unwrap();
    let raw = sled(directory.path());
    for (key, number) in keys.iter().zip(0..) {
        raw.insert(digest(key), encode(&Reading::new(number))).unwrap();
    }
    let strangers: Vec<String> = (20_000..30_000).map(key).collect();
    let digests: Vec<[u8; 32]> = strangers.iter().map(|key| digest(key)).collect();
    let mut group = criterion.benchmark_group("miss/absent");
    let mut turn = strangers.iter().cycle();
    group.bench_function("memolith get", |bencher| bencher.iter(|| here.memo.get(turn.next().unwrap())));
    group.bench_function("memolith closure fails", |bencher| {
        bencher.iter(|| here.memo.get_or_try_insert_with(turn.next().unwrap(), || Err(())));
    });
    let mut turn = digests.iter().cycle();
    group.bench_function("sled get", |bencher| bencher.iter(|| raw.get(turn.next().unwrap()).unwrap()));
}

/// A memo that holds `bound` entries already, and the number of the next one.
fn full<V>(store: &Store, bound: u64, value: &V) -> (Memo<str, V>, impl Iterator<Item = u64> + use<V>)
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let memo: Memo<str, V> = Memo::builder("readings").max_entries(bound).open(store).unwrap();
    for number in 0..bound {
        memo.get_or_insert_with(&key(number), || value.clone());
    }
    (memo, bound..)
}

/// Into the index. The reference is the same two trees by hand: its writer knows the oldest entry without a search.
fn into_index<V>(criterion: &mut Criterion, name: &str, value: &V)
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    const BOUND: u64 = 20_000;
    let mut group = criterion.benchmark_group(format!("insert at a bound/{name}"));
    {
        let store = Store::temporary().unwrap();
        let (memo, mut next) = full(&store, BOUND, value);
        group.bench_function("memolith", |bencher| {
            bencher.iter(|| memo.get_or_insert_with(&key(next.next().unwrap()), || value.clone()));
        });
        assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
        assert_eq!(memo.len().unwrap() as u64, BOUND);
    }
    let directory = tempfile::tempdir().unwrap();
    let raw = sled(directory.path());
    let (records, order) = (raw.open_tree("records").unwrap(), raw.open_tree("order").unwrap());
    let mut held = VecDeque::new();
    let mut insert = |number: u64| {
        let digest = digest(&key(number));
        order.insert(number.to_be_bytes(), &digest).unwrap();
        records.insert(digest, encode(&value.clone())).unwrap();
        held.push_back((number, digest));
        if held.len() as u64 > BOUND {
            let (oldest, digest) = held.pop_front().unwrap();
            records.remove(digest).unwrap();
            order.remove(oldest.to_be_bytes()).unwrap();
        }
    };
    (0..BOUND).for_each(&mut insert);
    let mut next = BOUND..;
    group.bench_function("two trees of sled", |bencher| bencher.iter(|| insert(next.next().unwrap())));
}

/// The cost of a call beyond its computation of 20 us, with a full memo. Each call is timed by itself, so that calls
/// that wait for the worker can be seen. Two callers ask for more than one worker can do.
fn beyond_computing(name: &str, callers: u64, calls: u64, call: impl Fn(u64) -> Duration + Sync) {
    let start = Barrier::new(callers as usize);
    let run = |caller: u64| {
        start.wait();
        let begun = Instant::now();
        let paid: Vec<Duration> = (0..calls).map(|turn| call(turn * callers + caller)).collect();
        (begun.elapsed(), paid)
    };
    let (times, paid): (Vec<_>, Vec<_>) = thread::scope(|scope| {
        let running: Vec<_> = (0..callers).map(|caller| scope.spawn(move || run(caller))).collect();
        running.into_iter().map(|caller| caller.join().unwrap()).unzip()
    });
    let mut paid = paid.concat();
    paid.sort_unstable();
    let at = |part: usize| paid.get(paid.len() * part / 100).copied().unwrap_or_default();
    let second = (callers * calls) as f64 / times.into_iter().max().unwrap_or_default().as_secs_f64();
    println!(
        "beyond computing/{callers} callers/{name}: median {:?}, p99 {:?}, {second:.0} calls a second",
        at(50),
        at(99)
    );
}

fn compute_for_20_us<V: Clone>(value: &V) -> (V, Duration) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(20) {
        std::hint::spin_loop();
    }
    (value.clone(), begun.elapsed())
}

fn handed_over(callers: u64, calls: u64) {
    const BOUND: u64 = 20_000;
    let value = Reading::new(1);
    let store = Store::temporary().unwrap();
    let (memo, _) = full(&store, BOUND, &value);
    store.flush().unwrap();
    beyond_computing("memolith", callers, calls, |number| {
        let (begun, mut computing) = (Instant::now(), Duration::ZERO);
        memo.get_or_insert_with(&key(BOUND + number), || {
            let (value, took) = compute_for_20_us(&value);
            computing = took;
            value
        });
        begun.elapsed().saturating_sub(computing)
    });
    store.flush().unwrap();
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    let overflowed = memo.stats().overflowed;
    assert_eq!((overflowed, memo.len().unwrap() as u64), (0, BOUND));
    let directory = tempfile::tempdir().unwrap();
    let raw = sled(directory.path());
    let (records, order) = (raw.open_tree("records").unwrap(), raw.open_tree("order").unwrap());
    let insert = |number: u64, value: &Reading| {
        let digest = digest(&key(number));
        order.insert(number.to_be_bytes(), &digest).unwrap();
        records.insert(digest, encode(value)).unwrap();
        if let Some(oldest) = number.checked_sub(BOUND) {
            order.remove(oldest.to_be_bytes()).unwrap();
            records.remove(self::digest(&key(oldest))).unwrap();
        }
    };
    (0..BOUND).for_each(|number| insert(number, &value));
    beyond_computing("two trees of sled", callers, calls, |number| {
        let begun = Instant::now();
        let (value, computing) = compute_for_20_us(&value);
        insert(BOUND + number, &value);
        begun.elapsed().saturating_sub(computing)
    });
}

/// Into files.
fn into_files(criterion: &mut Criterion) {
    const BOUND: u64 = 200;
    let value = text(FILED, 0);
    let mut group = criterion.benchmark_group("insert at a bound/256 KiB");
    {
        let store = Store::temporary().unwrap();
        let (memo, mut next) = full(&store, BOUND, &value);
        group.bench_function("memolith", |bencher| {
            bencher.iter(|| memo.get_or_insert_with(&key(next.next().unwrap()), || value.clone()));
        });
        assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |number: u64| directory.path().join(key(number).replace('/', "-"));
    let insert = |number: u64| fs::write(path(number), encode(&value.clone())).unwrap();
    (0..BOUND).for_each(insert);
    let mut next = BOUND..;
    group.bench_function("write a file, unlink the oldest", |bencher| {
        bencher.iter(|| {
            let number = next.next().unwrap();
            insert(number);
            fs::remove_file(path(number - BOUND)).unwrap();
        });
    });
}

/// The cost of the check that a value comes back, before it is stored: one decoding, and one comparison.
fn look<V>(criterion: &mut Criterion, name: &str, value: &V)
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let mut bytes = Vec::new();
    Postcard.encode(value, &mut bytes).unwrap();
    let payload = Payload::from(bytes);
    criterion.benchmark_group("look before storing").bench_function(name, |bencher| {
        bencher.iter(|| {
            let back: V = Postcard.decode(&payload).unwrap();
            assert!(Postcard.is_same(value, &back).unwrap());
        });
    });
}

fn main() {
    let mut criterion = criterion();
    look(&mut criterion, "100 B", &Reading::new(1));
    look(&mut criterion, "4 KB", &text(INDEXED, 1));
    look(&mut criterion, "60 KB of records", &vec![Reading::new(1); 600]);
    look(&mut criterion, "60 KB of numbers", &(0..7_500).map(f64::from).collect::<Vec<f64>>());
    absent(&mut criterion);
    into_index(&mut criterion, "100 B", &Reading::new(1));
    into_index(&mut criterion, "4 KB", &text(INDEXED, 1));
    into_files(&mut criterion);
    for callers in [1, 2] {
        handed_over(callers, 40_000);
    }
    criterion.final_summary();
}
