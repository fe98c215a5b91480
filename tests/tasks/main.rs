//! Memos in tasks, under several executors.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]
#![allow(clippy::panic, clippy::unwrap_used, clippy::missing_panics_doc, clippy::must_use_candidate)]

#[allow(dead_code, unused_macros, reason = "tests/it uses the rest")]
#[path = "../it/vocabulary.rs"]
#[macro_use]
mod vocabulary;
mod by_hand;
mod cycles;
mod dropped;
mod effects;
mod entries;
mod fates;
mod hits;
mod inputs;
mod observed;
mod pool;
mod stalled;
mod stress;
#[allow(dead_code, reason = "tests/it uses the rest")]
#[path = "../it/ticks.rs"]
mod ticks;

mod attributes;

use std::{
    cell::Cell,
    future::Future,
    pin::pin,
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
};

use futures::future::join_all;
use memolith::{Memo, Store, future};

use crate::vocabulary::Bench;

type Values = future::Memo<str, Vec<u8>>;

fn values(store: &Store) -> Values {
    Memo::builder("values").open(store).unwrap().into()
}

/// The executors under which each claim holds.
fn under_each_executor(test: impl AsyncFn() + Send + Sync + 'static) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test());
    let threads =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    threads.block_on(test());
    smol::block_on(test());
    poll_in_a_loop(test());
}

/// An executor without any wake: it polls again at once.
fn poll_in_a_loop<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_value_is_computed_once_and_found_after_a_restart() {
    under_each_executor(async || {
        let bench = Bench::new();
        for run in 0..2 {
            let store = bench.store();
            let memo = values(&store);
            let computed = Cell::new(0);
            for _ in 0..2 {
                let value = memo
                    .get_or_insert_with("key", || async {
                        computed.set(computed.get() + 1);
                        vec![7]
                    })
                    .await;
                assert_eq!(value, [7]);
            }
            assert_eq!(computed.get(), 1 - run);
        }
    });
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn the_future_is_send_if_that_of_the_caller_is_and_may_borrow() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = values(&store);
    let local = String::from("borrowed");
    smol::block_on(async {
        let key = String::from("gone before the first poll");
        let call = is_send(memo.get_or_insert_with(&key, || async { local.clone().into_bytes() }));
        drop(key);
        assert_eq!(call.await, b"borrowed");
        let own = Rc::new(vec![1]);
        assert_eq!(
            memo.get_or_insert_with("own", || {
                let own = Rc::clone(&own);
                async move { own.to_vec() }
            })
            .await,
            [1]
        );
        is_send(memo.get("key")).await.unwrap();
        is_send(memo.insert("key", vec![])).await.unwrap();
        is_send(memo.remove("key")).await.unwrap();
        is_send(memo.contains_key("key")).await.unwrap();
        is_send(memo.clear()).await.unwrap();
        is_send(memo.flush()).await.unwrap();
    });
}

#[test]
fn a_thousand_tasks_on_one_key_cause_one_computation() {
    under_each_executor(async || {
        let bench = Bench::new();
        let store = bench.store();
        let memo = values(&store);
        let computed = AtomicUsize::new(0);
        let calls = (0..1_000).map(|_| {
            memo.get_or_insert_with("key", || async {
                computed.fetch_add(1, Ordering::Relaxed);
                smol::future::yield_now().await;
                vec![0; 100_000]
            })
        });
        let all = join_all(calls).await;
        assert!(all.iter().all(|value| *value == vec![0; 100_000]));
        assert_eq!(computed.into_inner(), 1);
    });
}
