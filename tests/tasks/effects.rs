//! Effects of computations in tasks: each call shows the same, wherever its value comes from.

use std::{
    cell::Cell,
    sync::{Arc, Mutex},
};

use futures::{
    channel::oneshot,
    future::{join, join_all},
};
use memolith::{Claim, Context, Lookup, Memo, MemoBuilder, Store, effects, future};
use smol::future::yield_now;

use crate::{
    by_hand::{ByHand, Watchdog},
    fates::{Down, hits, patient},
    under_each_executor,
    vocabulary::*,
};

/// The lines that the handlers of a claim wrote.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<String>>>);

impl Screen {
    #[track_caller]
    fn shows(&self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut *self.0.lock().unwrap()), expected);
    }

    fn builder(&self, name: &'static str) -> MemoBuilder<str, u64> {
        let screen = self.clone();
        Memo::builder(name)
            .effects(move |text: &String| screen.0.lock().unwrap().push(format!("{name}: {text}")))
    }

    fn memo(&self, store: &Store, name: &'static str) -> future::Memo<str, u64> {
        self.builder(name).open(store).unwrap().into()
    }
}

fn emit(text: &str) {
    assert!(effects::emit(text.to_owned()));
}

/// Over several polls, and before the first one.
fn draws(name: &str, value: u64) -> impl Future<Output = u64> {
    emit(&format!("{name} begins"));
    async move {
        yield_now().await;
        emit(&format!("{name} goes on"));
        yield_now().await;
        emit(&format!("{name} ends"));
        value
    }
}

#[track_caller]
fn nothing_failed(memo: &future::Memo<str, u64>) {
    let failure = memo.blocking().last_failure();
    assert!(failure.is_none(), "{failure:?}");
}

#[test]
fn a_computation_over_several_polls_shows_them_and_so_does_each_hit() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let screen = Screen::default();
        let all = ["a: one begins", "a: one goes on", "a: one ends"];
        {
            let store = patient(&bench);
            let memo = screen.memo(&store, "a");
            assert_eq!(memo.get_or_insert_with("k", || draws("one", 1)).await, 1);
            screen.shows(&all);
            for _ in 0..3 {
                hits(&memo, "k", 1).await;
                screen.shows(&all);
            }
            assert_eq!(memo.get("k").await.unwrap(), Some(1));
            screen.shows(&all);
            assert_eq!(memo.blocking().get_or_insert_with("k", || panic!("computed")), 1);
            screen.shows(&all);
            assert!(memo.contains_key("k").await.unwrap());
            screen.shows(&[]);
            nothing_failed(&memo);
        }
        for is_in_memory in [true, false] {
            let store = if is_in_memory { bench.store() } else { bench.diskful() };
            let memo = screen.memo(&store, "a");
            hits(&memo, "k", 1).await;
            screen.shows(&all);
            hits(&memo, "k", 1).await;
            screen.shows(&all);
        }
    });
}

#[test]
fn a_large_value_that_another_thread_reads_shows_them_too() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let screen = Screen::default();
        let open = |store: &Store| -> future::Memo<str, Vec<u8>> {
            let drawing = screen.clone();
            let builder = Memo::builder("large");
            let builder = builder.effects(move |text: &String| drawing.0.lock().unwrap().push(text.clone()));
            builder.open(store).unwrap().into()
        };
        {
            let memo = open(&bench.store());
            let compute = || async {
                emit("drawn");
                vec![7; 1 << 20]
            };
            assert_eq!(memo.get_or_insert_with("k", compute).await.len(), 1 << 20);
            screen.shows(&["drawn"]);
        }
        for is_in_memory in [true, false] {
            let store = if is_in_memory { bench.store() } else { bench.diskful() };
            let memo = open(&store);
            for _ in 0..2 {
                let fails = || async { panic!("computed, though it is remembered") };
                assert_eq!(memo.get_or_insert_with("k", fails).await, vec![7; 1 << 20]);
                screen.shows(&["drawn"]);
            }
        }
    });
}

#[test]
fn each_waiter_shows_them_and_a_failure_shows_only_its_own() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let (store, screen) = (patient(&bench), Screen::default());
    let memo = screen.memo(&store, "a");
    let begun = Cell::new(0);
    let call = || {
        memo.get_or_try_insert_with("k", || async {
            let turn = begun.replace(begun.get() + 1);
            emit(&format!("turn {turn}"));
            yield_now().await;
            if turn == 0 { Err(Down(0)) } else { Ok(turn) }
        })
    };
    let all = smol::block_on(join_all((0..4).map(|_| call())));
    assert_eq!(all.iter().filter(|found| **found == Ok(1)).count(), 3);
    // The leader that failed, the one that computed, and two waiters.
    screen.shows(&["a: turn 0", "a: turn 1", "a: turn 1", "a: turn 1"]);
    nothing_failed(&memo);
}

#[test]
fn two_computations_that_take_turns_on_one_thread_do_not_mix() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let store = patient(&bench);
        let screen = Screen::default();
        let (outer, inner) = (screen.memo(&store, "outer"), screen.memo(&store, "inner"));
        let compute = || async {
            let (one, two) = join(
                inner.get_or_insert_with("one", || draws("one", 1)),
                inner.get_or_insert_with("two", || draws("two", 2)),
            )
            .await;
            emit("sum");
            one + two
        };
        assert_eq!(outer.get_or_insert_with("both", compute).await, 3);
        let computed = std::mem::take(&mut *screen.0.lock().unwrap());
        assert_eq!((computed.len(), computed.last().unwrap().as_str()), (7, "outer: sum"));
        for (key, value) in [("one", 1), ("two", 2)] {
            hits(&inner, key, value).await;
            screen.shows(
                &["begins", "goes on", "ends"]
                    .map(|part| format!("inner: {key} {part}"))
                    .each_ref()
                    .map(String::as_str),
            );
        }
        // The outer one has recorded both, in the order in which they came.
        hits(&outer, "both", 3).await;
        let expected: Vec<String> = computed.iter().map(|line| line.replace("inner: ", "outer: ")).collect();
        screen.shows(&expected.iter().map(String::as_str).collect::<Vec<_>>());
        nothing_failed(&outer);
        nothing_failed(&inner);
    });
}

#[test]
fn a_task_that_is_dropped_leaves_nothing_and_its_waiter_shows_its_own() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let (store, screen) = (patient(&bench), Screen::default());
    let memo = screen.memo(&store, "a");
    let mut dropped = ByHand::new(memo.get_or_insert_with("k", || draws("first", 1)));
    dropped.is_pending();
    let mut waiter = ByHand::new(memo.get_or_insert_with("k", || draws("second", 2)));
    waiter.is_pending();
    screen.shows(&["a: first begins"]);
    drop(dropped);
    assert_eq!(waiter.finish(), 2);
    let all = ["a: second begins", "a: second goes on", "a: second ends"];
    screen.shows(&all);
    assert_eq!(memo.blocking().get("k").unwrap(), Some(2));
    screen.shows(&all);
    // Without a waiter nothing is stored at all.
    let mut alone = ByHand::new(memo.get_or_insert_with("alone", || draws("third", 3)));
    alone.is_pending();
    drop(alone);
    screen.shows(&["a: third begins"]);
    assert_eq!(memo.blocking().get("alone").unwrap(), None);
    screen.shows(&[]);
}

#[test]
fn a_stale_value_shows_its_own_after_those_of_the_computation_that_failed() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let (store, screen) = (patient(&bench), Screen::default());
        let memo: future::Memo<str, u64> =
            screen.builder("a").ttl(MINUTE).stale_for(HOUR).open(&store).unwrap().into();
        memo.get_or_insert_with("k", || draws("old", 1)).await;
        let old = ["a: old begins", "a: old goes on", "a: old ends"];
        screen.shows(&old);
        bench.clock.advance(2 * MINUTE);
        // Others have the stale value while one computes.
        let (go, gate) = oneshot::channel::<()>();
        let mut first = ByHand::new(memo.get_or_try_insert_with("k", || async {
            emit("tried");
            gate.await.unwrap();
            Err(Down(1))
        }));
        first.is_pending();
        screen.shows(&["a: tried"]);
        hits(&memo, "k", 1).await;
        screen.shows(&old);
        go.send(()).unwrap();
        assert_eq!(first.finish_in_task().await, Ok(1));
        screen.shows(&old);
        nothing_failed(&memo);
    });
}

async fn claims(memo: &future::Memo<str, u64>, key: &str) -> Claim<u64> {
    match memo.entry(key).lookup().await {
        Lookup::Miss(claim) => claim,
        Lookup::Hit(hit) => panic!("remembered: {hit:?}"),
    }
}

#[test]
fn a_claim_stores_those_of_its_wrapped_futures() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let (store, screen) = (patient(&bench), Screen::default());
        let memo = screen.memo(&store, "a");
        let claim = claims(&memo, "k").await;
        claim.run(|| emit("run"));
        let value = claim.wrap(async { draws("wrapped", 1).await }).await;
        assert!(!effects::emit("lost".to_owned()));
        assert_eq!(claim.insert_in_task(value).await, 1);
        let all = ["a: run", "a: wrapped begins", "a: wrapped goes on", "a: wrapped ends"];
        screen.shows(&all);
        hits(&memo, "k", 1).await;
        screen.shows(&all);
        let Lookup::Hit(found) = memo.entry("k").lookup().await else { panic!("a miss") };
        assert_eq!(found.value, 1);
        screen.shows(&all);
        // A hit within a claim of another memo is recorded with it.
        let outer = screen.memo(&store, "outer");
        let claim = claims(&outer, "k").await;
        let value = claim.wrap(memo.get_or_insert_with("k", || async { panic!("computed") })).await;
        claim.insert_in_task(value).await;
        screen.shows(&all);
        hits(&outer, "k", 1).await;
        screen.shows(&all.map(|line| line.replace("a: ", "outer: ")).each_ref().map(String::as_str));
        nothing_failed(&memo);
    });
}

#[test]
fn a_spawned_task_within_the_context_is_a_part_and_another_one_is_not() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let (store, screen) = (patient(&bench), Screen::default());
    let memo = screen.memo(&store, "a");
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let compute = || async {
        let wrapped = tokio::spawn(Context::current().wrap(async {
            yield_now().await;
            effects::emit("wrapped".to_owned())
        }));
        let plain = tokio::spawn(async { effects::emit("lost".to_owned()) });
        assert_eq!((wrapped.await.unwrap(), plain.await.unwrap()), (true, false));
        emit("own");
        1
    };
    let all = ["a: wrapped", "a: own"];
    assert_eq!(threads.block_on(memo.get_or_insert_with("k", compute)), 1);
    screen.shows(&all);
    threads.block_on(hits(&memo, "k", 1));
    screen.shows(&all);
    nothing_failed(&memo);
}

#[test]
fn a_task_that_outlives_the_computation_emits_to_none() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let (store, screen) = (patient(&bench), Screen::default());
    let memo = screen.memo(&store, "a");
    let kept = Mutex::new(Context::default());
    smol::block_on(memo.get_or_insert_with("k", || async {
        *kept.lock().unwrap() = Context::current();
        emit("in time");
        1
    }));
    assert!(!kept.into_inner().unwrap().run(|| effects::emit("late".to_owned())));
    screen.shows(&["a: in time"]);
    smol::block_on(hits(&memo, "k", 1));
    screen.shows(&["a: in time"]);
}
