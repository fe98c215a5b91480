//! What does a hit cost in a task? How long does one poll hold its thread? How soon is a value there for a thousand tasks?

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a bench")]

mod common;

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    sync::Mutex,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use common::{Reading, criterion, filled, key, keys, shuffled};
use criterion::Criterion;
use futures::{StreamExt, stream};
use memolith::{Memo, Store, future};
use tempfile::TempDir;

/// Polls a hit, which is there at once.
fn poll_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a hit is answered in the first poll"),
    }
}

fn from_memory(criterion: &mut Criterion) {
    let keys = keys(10_000);
    let here = filled(256 << 20, &keys, Reading::new);
    let memo: future::Memo<str, Reading> = here.memo.clone().into();
    let moka = moka::future::Cache::<String, Reading>::new(20_000);
    for (key, number) in keys.iter().zip(0..) {
        smol::block_on(moka.insert(key.clone(), Reading::new(number)));
    }
    let asked: Vec<String> = shuffled(10_000).map(key).collect();
    let mut group = criterion.benchmark_group("task/memory 100 B");
    let mut turn = asked.iter().cycle();
    group.bench_function("memolith", |bencher| {
        bencher.iter(|| {
            let call = memo.get_or_insert_with(turn.next().unwrap(), || async { unreachable!() });
            black_box(poll_once(call));
        });
    });
    let mut turn = asked.iter().cycle();
    group.bench_function("memolith, get", |bencher| {
        bencher.iter(|| black_box(poll_once(memo.get(turn.next().unwrap()))));
    });
    let mut turn = asked.iter().cycle();
    group.bench_function("memolith, blocking", |bencher| {
        bencher.iter(|| black_box(here.memo.get_or_insert_with(turn.next().unwrap(), || unreachable!())));
    });
    let mut turn = asked.iter().cycle();
    group.bench_function("moka", |bencher| {
        bencher.iter(|| black_box(poll_once(moka.get(turn.next().unwrap())).unwrap()));
    });
}

fn from_index(criterion: &mut Criterion) {
    let keys = keys(10_000);
    let here = filled(0, &keys, Reading::new);
    let memo: future::Memo<str, Reading> = here.memo.clone().into();
    let asked: Vec<String> = shuffled(10_000).map(key).collect();
    let mut group = criterion.benchmark_group("task/disk 100 B");
    let mut turn = asked.iter().cycle();
    group.bench_function("memolith", |bencher| {
        bencher.iter(|| {
            let call = memo.get_or_insert_with(turn.next().unwrap(), || async { unreachable!() });
            black_box(poll_once(call));
        });
    });
    let mut turn = asked.iter().cycle();
    group.bench_function("memolith, blocking", |bencher| {
        bencher.iter(|| black_box(here.memo.get_or_insert_with(turn.next().unwrap(), || unreachable!())));
    });
}

/// Polls until the value is there. Returns it with the longest poll.
fn longest_poll<F: Future>(future: F) -> (F::Output, Duration) {
    let (mut future, mut longest) = (pin!(future), Duration::ZERO);
    let waker = thread_waker();
    loop {
        let began = Instant::now();
        let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
        longest = longest.max(began.elapsed());
        match poll {
            Poll::Ready(value) => return (value, longest),
            Poll::Pending => thread::park(),
        }
    }
}

fn thread_waker() -> Waker {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    std::sync::Arc::new(Unpark(thread::current())).into()
}

/// How long one poll holds its thread, for values of ten million numbers.
fn polls() {
    const ROWS: usize = 10_000_000;
    let directory = TempDir::new().unwrap();
    let open = || {
        let store = Store::builder().memory(1 << 30).open(directory.path().join("store")).unwrap();
        let memo: future::Memo<str, Vec<f64>> = Memo::builder("rows").open(&store).unwrap().into();
        (store, memo)
    };
    let rows = || vec![0.5; ROWS];
    let call = |memo: &future::Memo<str, Vec<f64>>| {
        // The caller makes the value, which is no matter of the poll.
        let made = Mutex::new(Some(rows()));
        let compute = || async { made.lock().unwrap().take().unwrap() };
        let (value, longest) = longest_poll(memo.get_or_insert_with("rows", compute));
        assert_eq!(value.len(), ROWS);
        longest
    };
    let (store, memo) = open();
    println!("task/longest poll, {ROWS} rows/computed: {:?}", call(&memo));
    drop((memo, store));
    let (_store, memo) = open();
    println!("task/longest poll, {ROWS} rows/from disk: {:?}", call(&memo));
    println!("task/longest poll, {ROWS} rows/from memory: {:?}", call(&memo));
    let began = Instant::now();
    let copy = black_box(rows()).clone();
    println!("task/longest poll, {ROWS} rows/one copy takes: {:?}", began.elapsed());
    drop(copy);
}

/// From the end of a computation until the last of a thousand tasks that wait for it has the value.
fn crowd() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let store = Store::temporary().unwrap();
    let memo: future::Memo<str, Reading> = Memo::builder("crowd").open(&store).unwrap().into();
    let (ended, (release, released)) =
        (std::sync::Arc::new(Mutex::new(None)), tokio::sync::watch::channel(false));
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let (memo, ended, mut released) = (memo.clone(), ended.clone(), released.clone());
            runtime.spawn(async move {
                let compute = move || async move {
                    released.wait_for(|is_released| *is_released).await.unwrap();
                    *ended.lock().unwrap() = Some(Instant::now());
                    Reading::new(1)
                };
                memo.get_or_insert_with("one", compute).await
            })
        })
        .collect();
    // All of them wait when the leader goes on.
    while memo.blocking().stats().misses.total() < 1 {
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(200));
    release.send(true).unwrap();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    let took = ended.lock().unwrap().unwrap().elapsed();
    println!("task/a thousand tasks on one cold key, all served after: {took:?}");
    assert_eq!(memo.blocking().stats().inserts, 1);
}

/// One task that makes 3,000 requests of 20 ms, 128 at a time, as a link checker: without a memo, and with an empty one.
fn links() {
    const REQUESTS: u32 = 3_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let request = |number: u32| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Reading::new(number.into())
    };
    let timed = |calls: &dyn Fn()| {
        let began = Instant::now();
        calls();
        began.elapsed()
    };
    let directory = TempDir::new().unwrap();
    for _ in 0..2 {
        let plain = timed(&|| {
            let calls = stream::iter((0..REQUESTS).map(request)).buffer_unordered(128);
            runtime.block_on(calls.for_each(async |reading| drop(black_box(reading))));
        });
        let store = Store::builder().open(directory.path().join("links")).unwrap();
        let memo: future::Memo<u32, Reading> = Memo::builder("links").open(&store).unwrap().into();
        runtime.block_on(memo.clear()).unwrap();
        let cold = timed(&|| {
            let memo = &memo;
            let calls = (0..REQUESTS)
                .map(|number| async move { memo.get_or_insert_with(&number, || request(number)).await });
            let calls = stream::iter(calls).buffer_unordered(128);
            runtime.block_on(calls.for_each(async |reading| drop(black_box(reading))));
        });
        let ratio = cold.as_secs_f64() / plain.as_secs_f64();
        println!(
            "task/{REQUESTS} requests, 128 at a time: {plain:?} without a memo, {cold:?} cold, {ratio:.2} x"
        );
    }
}

fn main() {
    let mut criterion = criterion();
    from_memory(&mut criterion);
    from_index(&mut criterion);
    criterion.final_summary();
    polls();
    crowd();
    links();
}
