//! Re-entry and cycles of keys, across await points, spawned tasks and threads. No claim may hang.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use futures::{
    FutureExt, StreamExt, channel::oneshot, future::BoxFuture, join, select, stream::FuturesUnordered,
};
use memolith::{Context, Memo, Store, future};
use smol::future::yield_now;
use tokio::runtime::{Builder, Runtime};

use crate::{by_hand::Watchdog, under_each_executor, vocabulary::*};

type Numbers = future::Memo<u64, u64>;

/// Waits that are not seen take an hour.
fn numbers(bench: &Bench) -> Numbers {
    let store = bench.options().max_wait(HOUR).max_stall(HOUR).open(bench.path()).unwrap();
    Memo::builder("numbers").open(&store).unwrap().into()
}

fn threads(count: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(count).enable_time().build().unwrap()
}

#[test]
fn a_computation_that_asks_for_its_own_key_computes_it_directly() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let memo = numbers(&bench);
        let inner = || memo.get_or_insert_with(&1, || async { 7 });
        let awaited = memo.get_or_insert_with(&1, || async { inner().await + 1 });
        assert_eq!(awaited.await, 8);
        memo.clear().await.unwrap();
        let joined = memo.get_or_insert_with(&1, || async {
            let (first, second) = join!(inner(), inner());
            first + second
        });
        assert_eq!(joined.await, 14);
        memo.clear().await.unwrap();
        let selected = memo.get_or_insert_with(&1, || async {
            let (mut first, mut never) = (Box::pin(inner().fuse()), std::future::pending::<u64>().fuse());
            select! { value = first => value, value = never => value }
        });
        assert_eq!(selected.await, 7);
        memo.clear().await.unwrap();
        let unordered = memo.get_or_insert_with(&1, || async {
            let calls: FuturesUnordered<_> = (0..5).map(|_| inner()).collect();
            calls.fold(0, |sum, value| async move { sum + value }).await
        });
        assert_eq!(unordered.await, 35);
        memo.clear().await.unwrap();
        // Also through a call in between.
        let through = memo.get_or_insert_with(&1, || async {
            yield_now().await;
            memo.get_or_insert_with(&2, || async {
                yield_now().await;
                inner().await + 1
            })
            .await
        });
        assert_eq!(through.await, 8);
    });
}

/// Asks for the next key of a ring before its own value is there.
fn ring(memo: &Numbers, key: u64, length: u64, depth: u64) -> BoxFuture<'_, u64> {
    async move {
        memo.get_or_insert_with(&key, async || {
            yield_now().await;
            if depth < 2 * length { ring(memo, (key + 1) % length, length, depth + 1).await } else { 1 }
        })
        .await
    }
    .boxed()
}

#[test]
fn tasks_that_ask_for_each_others_keys_all_end() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        for length in 2..5 {
            let bench = Bench::new();
            let memo = numbers(&bench);
            let calls = (0..length).map(|key| ring(&memo, key, length, 0));
            assert!(futures::future::join_all(calls).await.iter().all(|value| *value == 1));
        }
    });
    for workers in [1, 2, 4] {
        let runtime = threads(workers);
        for round in 0..200 {
            let length = 2 + round % 3;
            let memo = Numbers::from(Memo::builder("ring").open(&Store::in_memory()).unwrap());
            let calls: Vec<_> = (0..length)
                .map(|key| {
                    let memo = memo.clone();
                    runtime.spawn(async move { ring(&memo, key, length, 0).await })
                })
                .collect();
            for call in calls {
                assert_eq!(runtime.block_on(call).unwrap(), 1);
            }
        }
    }
}

#[test]
fn a_spawned_task_that_is_wrapped_belongs_to_the_computation() {
    let _watchdog = Watchdog::start();
    for workers in [1, 4] {
        let runtime = threads(workers);
        let bench = Bench::new();
        let memo = numbers(&bench);
        let own = memo.clone();
        let value = runtime.block_on(memo.get_or_insert_with(&1, || async move {
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let memo = own.clone();
                    let call = async move { memo.get_or_insert_with(&1, || async { 5 }).await };
                    tokio::spawn(Context::current().wrap(call))
                })
                .collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            sum
        }));
        assert_eq!(value, 15);
        // Two computations whose tasks ask for each other's keys.
        let both = |key: u64, other: u64| {
            let memo = memo.clone();
            async move {
                memo.get_or_insert_with(&key, || {
                    let memo = memo.clone();
                    async move {
                        yield_now().await;
                        let context = Context::current();
                        let call = async move { memo.get_or_insert_with(&other, || async { 1 }).await };
                        tokio::spawn(context.wrap(call)).await.unwrap()
                    }
                })
                .await
            }
        };
        for round in 1..100 {
            let (first, second) = (2 * round, 2 * round + 1);
            let tasks = [runtime.spawn(both(first, second)), runtime.spawn(both(second, first))];
            for task in tasks {
                assert_eq!(runtime.block_on(task).unwrap(), 1);
            }
        }
    }
}

#[test]
fn a_blocking_call_in_a_poll_waits_for_no_task_of_its_own_thread() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let memo = numbers(&bench);
        // For the key of its own task.
        let own = memo.get_or_insert_with(&1, || async {
            yield_now().await;
            memo.blocking().get_or_insert_with(&1, || 3) + 1
        });
        assert_eq!(own.await, 4);
        // For the key of another task on the same thread.
        let (go, gate) = oneshot::channel();
        let leader = memo.get_or_insert_with(&2, || async { gate.await.unwrap() });
        let blocking = async {
            yield_now().await;
            let value = memo.blocking().get_or_insert_with(&2, || 6);
            go.send(7).unwrap();
            value
        };
        assert_eq!(join!(leader, blocking), (7, 6));
        // For a key behind one of another task on the same thread.
        let (go, gate) = oneshot::channel();
        let behind = memo.get_or_insert_with(&3, || async { gate.await.unwrap() });
        let leader = memo.get_or_insert_with(&4, || memo.get_or_insert_with(&3, || async { 0 }));
        let blocking = async {
            yield_now().await;
            let value = memo.blocking().get_or_insert_with(&4, || 8);
            go.send(9).unwrap();
            value
        };
        let (behind, _, blocking) = join!(behind, leader, blocking);
        assert_eq!((behind, blocking), (9, 8));
    });
}

#[test]
fn a_blocking_closure_in_a_task_may_run_an_executor() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let memo = numbers(&bench);
        let nested = |key: u64| smol::block_on(memo.get_or_insert_with(&key, || async { key }));
        let value = memo.get_or_insert_with(&1, || async {
            yield_now().await;
            memo.blocking().get_or_insert_with(&2, || nested(1) + nested(2) + nested(3))
        });
        assert_eq!(value.await, 6);
        // For the key of another task on the same thread, which cannot go on meanwhile.
        let (go, gate) = oneshot::channel();
        let leader = memo.get_or_insert_with(&4, || async { gate.await.unwrap() });
        let blocking = async {
            yield_now().await;
            let value = memo.blocking().get_or_insert_with(&5, || nested(4));
            go.send(7).unwrap();
            value
        };
        assert_eq!(join!(leader, blocking), (7, 4));
    });
}

/// Nothing tells that the thread cannot go on: the wait is one of those that are not seen.
#[test]
fn an_executor_within_a_poll_waits_for_max_wait_at_most() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let store = bench.options().max_wait(Duration::from_millis(20)).open(bench.path()).unwrap();
        let memo: Numbers = Memo::builder("numbers").open(&store).unwrap().into();
        let (go, gate) = oneshot::channel();
        let leader = memo.get_or_insert_with(&1, || async { gate.await.unwrap() });
        let nested = async {
            yield_now().await;
            let value = smol::block_on(memo.get_or_insert_with(&1, || async { 2 }));
            go.send(3).unwrap();
            value
        };
        assert_eq!(join!(leader, nested), (3, 2));
    });
}

/// A thread that computes one key and asks for another, and a task that does the reverse.
fn thread_and_task(memo: &Numbers, runtime: &Runtime, thread_key: u64, task_key: u64) {
    let task = runtime.spawn({
        let memo = memo.clone();
        async move {
            let inner = || memo.get_or_insert_with(&thread_key, || async { 1 });
            memo.get_or_insert_with(&task_key, async || {
                yield_now().await;
                inner().await
            })
            .await
        }
    });
    let blocking = memo.blocking();
    let value = blocking.get_or_insert_with(&thread_key, || blocking.get_or_insert_with(&task_key, || 1));
    assert_eq!(value, 1);
    assert_eq!(runtime.block_on(task).unwrap(), 1);
}

#[test]
fn threads_and_tasks_that_ask_for_each_others_keys_all_end() {
    let _watchdog = Watchdog::start();
    for workers in [1, 2] {
        let runtime = threads(workers);
        let bench = Bench::new();
        let memo = numbers(&bench);
        for round in 0..300 {
            thread_and_task(&memo, &runtime, 2 * round, 2 * round + 1);
        }
    }
}

fn spawned<T: Send + 'static>(
    runtime: &Runtime,
    future: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    runtime.spawn(future)
}

#[test]
fn a_thread_waits_for_a_task_and_a_task_for_a_thread() {
    let _watchdog = Watchdog::start();
    let runtime = threads(1);
    let bench = Bench::new();
    let memo = numbers(&bench);
    let (go, gate) = oneshot::channel::<()>();
    let (begins, begun) = std::sync::mpsc::channel();
    let (own, begins_too) = (memo.clone(), begins.clone());
    let task = spawned(&runtime, async move {
        own.get_or_insert_with(&1, || async {
            begins.send(()).unwrap();
            gate.await.unwrap();
            5
        })
        .await
    });
    begun.recv().unwrap();
    thread::scope(|scope| {
        let waiter =
            scope.spawn(|| memo.blocking().get_or_insert_with(&1, || unreachable!("the task computes")));
        go.send(()).unwrap();
        assert_eq!(waiter.join().unwrap(), 5);
    });
    assert_eq!(runtime.block_on(task).unwrap(), 5);

    let (go, gate) = std::sync::mpsc::channel::<()>();
    let blocking = memo.clone();
    let leader = thread::spawn(move || {
        blocking.blocking().get_or_insert_with(&2, || {
            begins_too.send(()).unwrap();
            gate.recv().unwrap();
            6
        })
    });
    begun.recv().unwrap();
    let own = memo.clone();
    let task = spawned(&runtime, async move {
        let value = own.get_or_insert_with(&2, || async { unreachable!("the thread computes") });
        // The executor goes on meanwhile.
        let (value, ()) = join!(value, async { go.send(()).unwrap() });
        value
    });
    assert_eq!(runtime.block_on(task).unwrap(), 6);
    assert_eq!(leader.join().unwrap(), 6);
}

/// Blocking calls and async calls in the tasks of a runtime with few workers, over few keys.
#[test]
fn blocking_calls_in_tasks_do_not_hang_a_runtime() {
    let _watchdog = Watchdog::start();
    for workers in [1, 2, 3] {
        let runtime = threads(workers);
        for round in 0..30 {
            let bench = Bench::new();
            // A task may be woken on a worker that a blocking call holds up.
            let store = bench.options().max_wait(HOUR).max_stall(Duration::from_millis(50));
            let store = store.open(bench.path()).unwrap();
            let memo: Numbers = Memo::builder("numbers").open(&store).unwrap().into();
            let done = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..40_u64)
                .map(|task| {
                    let (memo, done) = (memo.clone(), Arc::clone(&done));
                    spawned(&runtime, async move {
                        let key = (task * 7 + round) % 4;
                        let other = (key + 1 + task % 3) % 4;
                        memo.get_or_insert_with(&key, async || {
                            yield_now().await;
                            if task % 2 == 0 {
                                memo.blocking().get_or_insert_with(&other, || 1)
                            } else {
                                memo.get_or_insert_with(&other, || yield_now().map(|()| 1)).await
                            }
                        })
                        .await;
                        done.fetch_add(1, SeqCst);
                    })
                })
                .collect();
            for task in tasks {
                runtime.block_on(task).unwrap();
            }
            assert_eq!(done.load(SeqCst), 40);
        }
    }
}
