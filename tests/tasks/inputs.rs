//! Tracked inputs of computations in tasks.

use std::{cell::Cell, fs, path::PathBuf};

use futures::{
    channel::oneshot,
    future::{join, join_all},
};
use memolith::{
    Claim, Context, Lookup, Memo, MemoBuilder, Store, future,
    inputs::{self, Scope},
};
use smol::future::yield_now;

use crate::{
    by_hand::{ByHand, Watchdog},
    fates::{Down, hits, is_as, misses, numbers, patient},
    under_each_executor,
    vocabulary::*,
};

/// A bench with a folder of input files.
struct World {
    bench: Bench,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { bench: Bench::new(), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn write(&self, name: &str, number: u64) {
        fs::write(self.path(name), number.to_string()).unwrap();
    }

    /// Reads between two polls. A file that is not there counts as 0.
    async fn number(&self, name: &str) -> u64 {
        yield_now().await;
        let number = inputs::read_to_string(self.path(name)).map_or(0, |text| text.parse().unwrap());
        yield_now().await;
        number
    }
}

fn memo(store: &Store, name: &str, options: fn(MemoBuilder<str, u64>) -> MemoBuilder<str, u64>) -> Numbers {
    options(Memo::builder(name)).open(store).unwrap().into()
}

type Numbers = future::Memo<str, u64>;

fn provides(position: u64) -> Scope {
    let scope = Scope::new();
    scope.provide("position", position);
    scope
}

fn position() -> u64 {
    inputs::get("position").unwrap()
}

#[track_caller]
fn nothing_failed(memo: &Numbers) {
    let failure = memo.blocking().last_failure();
    assert!(failure.is_none(), "{failure:?}");
}

/// The value is computed from the file, and found again.
async fn computes(memo: &Numbers, world: &World, key: &str, value: u64) {
    let ran = Cell::new(false);
    let compute = || async {
        ran.set(true);
        world.number("config").await
    };
    assert_eq!(memo.get_or_insert_with(key, compute).await, value);
    assert!(ran.get(), "remembered, though the file has changed");
    hits(memo, key, value).await;
}

#[test]
fn an_edited_file_is_a_miss_and_its_earlier_contents_are_a_hit_after_a_restart_too() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let world = World::new();
        {
            let memo = numbers(&patient(&world.bench), is_as);
            for number in [1, 2] {
                world.write("config", number);
                computes(&memo, &world, "k", number).await;
            }
            assert_eq!(memo.blocking().stats().misses.changed, 1);
            nothing_failed(&memo);
        }
        for is_in_memory in [true, false] {
            let store = if is_in_memory { world.bench.store() } else { world.bench.diskful() };
            let memo = numbers(&store, is_as);
            for number in [1, 2, 1] {
                world.write("config", number);
                hits(&memo, "k", number).await;
                assert_eq!(memo.get("k").await.unwrap(), Some(number));
            }
            world.write("config", 3);
            assert_eq!(memo.get("k").await.unwrap(), None);
            assert!(!memo.contains_key("k").await.unwrap());
        }
    });
}

#[test]
fn a_scope_follows_a_task_over_awaits_and_into_spawned_tasks() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let memo = numbers(&patient(&bench), is_as);
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let sum = async |memo: Numbers| {
        yield_now().await;
        memo.get_or_insert_with("sum", || async {
            yield_now().await;
            // A spawned task needs the context of the computation, and then its readings are those of the computation.
            let wrapped = tokio::spawn(Context::current().wrap(async {
                yield_now().await;
                position()
            }));
            let plain = tokio::spawn(async { inputs::get::<u64>("position").is_err() });
            assert!(plain.await.unwrap(), "a scope that was not handed on");
            10 * wrapped.await.unwrap()
        })
        .await
    };
    for _ in 0..2 {
        let tasks = (0..20).map(|at| threads.spawn(provides(at % 5).wrap(sum(memo.clone()))));
        let all = threads.block_on(join_all(tasks));
        for (found, at) in all.into_iter().zip(0..) {
            assert_eq!(found.unwrap(), at % 5 * 10);
        }
    }
    let inner = memo.blocking();
    assert_eq!((inner.len().unwrap(), inner.stats().inserts), (5, 5));
    nothing_failed(&memo);
}

#[test]
fn two_tasks_of_one_thread_with_scopes_of_their_own_do_not_mix() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let memo = numbers(&patient(&bench), is_as);
        let call = |at: u64| {
            provides(at).wrap(memo.get_or_insert_with("k", move || async move {
                let before = position();
                yield_now().await;
                assert_eq!((position(), before), (at, at));
                at
            }))
        };
        assert_eq!(call(0).await, 0);
        assert_eq!(join(call(1), call(2)).await, (1, 2));
        for at in 0..3 {
            provides(at).wrap(hits(&memo, "k", at)).await;
        }
        assert!(inputs::get::<u64>("position").is_err(), "the scope has ended");
        nothing_failed(&memo);
    });
}

#[test]
fn tasks_with_the_same_answers_wait_and_others_compute_at_the_same_time() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let memo = numbers(&patient(&bench), is_as);
    let ran = Cell::new(0);
    let call = |at: u64, gate: oneshot::Receiver<()>| {
        let (memo, ran) = (&memo, &ran);
        ByHand::new(provides(at).wrap(memo.get_or_insert_with("k", move || async move {
            ran.set(ran.get() + 1);
            gate.await.unwrap();
            position()
        })))
    };
    let open = || {
        let (go, gate) = oneshot::channel();
        go.send(()).unwrap();
        gate
    };
    assert_eq!(call(0, open()).finish(), 0);
    let ((go_one, gate_one), (go_two, gate_two)) = (oneshot::channel(), oneshot::channel());
    let (mut one, mut two) = (call(1, gate_one), call(2, gate_two));
    one.polls_until(|| ran.get() == 2);
    // It computes while the other one does.
    two.polls_until(|| ran.get() == 3);
    let mut waiter = call(1, oneshot::channel().1);
    waiter.is_pending();
    go_two.send(()).unwrap();
    assert_eq!(two.finish(), 2);
    waiter.is_pending();
    go_one.send(()).unwrap();
    assert_eq!((one.finish(), waiter.finish(), ran.get()), (1, 1, 3));
    assert_eq!(memo.blocking().len().unwrap(), 3);
    nothing_failed(&memo);
}

#[test]
fn a_task_that_is_dropped_stores_nothing_and_its_waiter_computes() {
    let _watchdog = Watchdog::start();
    let world = World::new();
    let memo = numbers(&patient(&world.bench), is_as);
    let begun = Cell::new(0);
    // The first computation of the key, and one beside another variant.
    for number in [1, 2] {
        world.write("config", number);
        let mut dropped = ByHand::new(memo.get_or_insert_with("k", || async {
            begun.set(world.number("config").await);
            std::future::pending().await
        }));
        dropped.polls_until(|| begun.get() == number);
        let mut waiter = ByHand::new(memo.get_or_insert_with("k", || world.number("config")));
        waiter.is_pending();
        assert_eq!(memo.blocking().stats().inserts, number - 1);
        drop(dropped);
        assert_eq!(waiter.finish(), number);
        assert_eq!(memo.blocking().stats().inserts, number);
        smol::block_on(hits(&memo, "k", number));
    }
    let mut alone = ByHand::new(memo.get_or_insert_with("alone", || world.number("config")));
    alone.is_pending();
    drop(alone);
    assert_eq!(memo.blocking().get("alone").unwrap(), None);
    assert_eq!(memo.blocking().len().unwrap(), 2);
    nothing_failed(&memo);
}

#[test]
fn calls_within_a_call_pass_their_inputs_on_computed_or_found() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let world = World::new();
        let store = patient(&world.bench);
        let [inner, outer] = ["inner", "outer"].map(|name| memo(&store, name, is_as));
        let part = |name: &'static str| inner.get_or_insert_with(name, || world.number(name));
        let sum = async || {
            outer
                .get_or_insert_with("sum", || async {
                    let (one, two) = join(part("one"), part("two")).await;
                    one + two
                })
                .await
        };
        world.write("one", 1);
        world.write("two", 20);
        assert_eq!(sum().await, 21);
        hits(&outer, "sum", 21).await;
        world.write("two", 30);
        // `one` is found, and passes its input on all the same.
        assert_eq!(sum().await, 31);
        world.write("one", 2);
        assert_eq!(sum().await, 32);
        world.write("two", 20);
        assert_eq!(sum().await, 22);
        world.write("one", 1);
        hits(&outer, "sum", 21).await;
        assert_eq!((inner.blocking().stats().inserts, outer.blocking().stats().inserts), (4, 4));
        // An input of one part is none of the other.
        fs::remove_file(world.path("two")).unwrap();
        hits(&inner, "one", 1).await;
        nothing_failed(&inner);
        nothing_failed(&outer);
    });
}

async fn claims(memo: &Numbers, key: &str) -> Claim<u64> {
    match memo.entry(key).lookup().await {
        Lookup::Miss(claim) => claim,
        Lookup::Hit(hit) => panic!("remembered: {hit:?}"),
    }
}

#[test]
fn a_claim_notes_what_its_wrapped_futures_read() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let world = World::new();
        let memo = numbers(&patient(&world.bench), is_as);
        for number in [1, 2] {
            world.write("config", number);
            let claim = claims(&memo, "k").await;
            let value = claim.wrap(world.number("config")).await;
            // A reading outside of it is no input of the value.
            world.write("other", number);
            assert_eq!(world.number("other").await, number);
            assert_eq!(claim.insert_in_task(value).await, number);
            let Lookup::Hit(hit) = memo.entry("k").lookup().await else { panic!("a miss") };
            assert_eq!(hit.value, number);
        }
        fs::remove_file(world.path("other")).unwrap();
        world.write("config", 1);
        hits(&memo, "k", 1).await;
        let claim = claims(&memo, "memory").await;
        let value = claim.wrap(world.number("config")).await;
        claim.insert_in_memory(&value);
        hits(&memo, "memory", 1).await;
        world.write("config", 2);
        misses(&memo, "memory", 9).await;
        nothing_failed(&memo);
    });
}

#[test]
fn a_stale_variant_stands_in_for_a_failure_under_its_own_answers_only() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let world = World::new();
        let store = patient(&world.bench);
        let memo = memo(&store, "stale", |builder| builder.ttl(MINUTE).stale_for(HOUR));
        for number in [1, 2] {
            world.write("config", number);
            computes(&memo, &world, "k", number).await;
        }
        world.bench.clock.advance(2 * MINUTE);
        let fails = || async {
            yield_now().await;
            Err(Down(1))
        };
        for (number, found) in [(2, Ok(2)), (3, Err(Down(1))), (1, Ok(1))] {
            world.write("config", number);
            assert_eq!(memo.get_or_try_insert_with("k", fails).await, found, "with {number}");
        }
        // The next try after a failure is not before a while.
        world.bench.clock.advance(2 * MINUTE);
        computes(&memo, &world, "k", 1).await;
    });
}

/// The old value of an update is that of the answers of now, and the new one depends on its inputs too.
#[test]
fn an_update_continues_the_variant_of_its_answers() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let world = World::new();
        let store = patient(&world.bench);
        let memo = memo(&store, "updated", |builder| builder.ttl(MINUTE).stale_for(DAY));
        for number in [1, 2] {
            world.write("config", number);
            computes(&memo, &world, "k", number).await;
        }
        world.bench.clock.advance(2 * MINUTE);
        for number in [1, 2] {
            world.write("config", number);
            let update = |old: Option<u64>| async move {
                yield_now().await;
                Ok::<_, Down>(old.map_or(0, |old| old + 100))
            };
            assert_eq!(memo.entry("k").or_try_update_with(update).await, Ok(number + 100));
            hits(&memo, "k", number + 100).await;
        }
        world.write("config", 1);
        hits(&memo, "k", 101).await;
        world.write("config", 3);
        let none = memo.entry("k").or_try_update_with(|old| async move {
            assert_eq!(old, None, "of other answers");
            Err::<u64, _>(Down(3))
        });
        assert_eq!(none.await, Err(Down(3)));
        nothing_failed(&memo);
    });
}

#[test]
fn an_input_with_two_answers_during_one_task_stores_nothing() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let world = World::new();
        let memo = numbers(&patient(&world.bench), is_as);
        world.write("config", 1);
        let compute = || async {
            let before = world.number("config").await;
            world.write("config", 2);
            before + world.number("config").await
        };
        assert_eq!(memo.get_or_insert_with("k", compute).await, 3);
        assert_eq!(memo.blocking().stats().failures.input, 1);
        assert!(memo.blocking().take_last_failure().is_some());
        computes(&memo, &world, "k", 2).await;
        assert!(matches!(memo.entry("k").lookup().await, Lookup::Hit(_)));
    });
}
