//! The fates of the future of a call, other than a drop: it returns, fails or panics, and changes are made meanwhile.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use futures::{FutureExt, channel::oneshot, future::join_all};
use memolith::{Lookup, Memo, MemoBuilder, Store, future};
use serde::{Serialize, Serializer, ser};
use smol::future::yield_now;

use crate::{
    Values,
    by_hand::{ByHand, Watchdog},
    under_each_executor,
    vocabulary::*,
};

#[derive(Debug, PartialEq)]
pub struct Down(pub u8);

/// A store whose waiters wait for an hour: a lead that is lost hangs its claim.
pub fn patient(bench: &Bench) -> Store {
    bench.options().max_wait(HOUR).max_stall(HOUR).open(bench.path()).unwrap()
}

pub fn numbers(
    store: &Store,
    options: impl Fn(MemoBuilder<str, u64>) -> MemoBuilder<str, u64>,
) -> future::Memo<str, u64> {
    options(Memo::builder("numbers")).open(store).unwrap().into()
}

pub fn is_as<B>(builder: B) -> B {
    builder
}

/// The value must be remembered.
pub async fn hits(memo: &future::Memo<str, u64>, key: &str, value: u64) {
    assert_eq!(
        memo.get_or_insert_with(key, || async { panic!("computed, though it is remembered") }).await,
        value
    );
}

/// The value must be computed.
pub async fn misses(memo: &future::Memo<str, u64>, key: &str, value: u64) {
    let ran = AtomicBool::new(false);
    let found = memo.get_or_insert_with(key, || async {
        ran.store(true, SeqCst);
        value
    });
    assert_eq!(found.await, value);
    assert!(ran.into_inner(), "remembered, though it should be computed");
}

#[test]
fn an_error_goes_to_its_own_caller_and_one_waiter_computes() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let memo = numbers(&patient(&bench), is_as);
        let begun = AtomicUsize::new(0);
        let calls = (0..5).map(|_| {
            memo.get_or_try_insert_with("key", || async {
                let turn = begun.fetch_add(1, SeqCst);
                yield_now().await;
                if turn == 0 { Err(Down(7)) } else { Ok(1) }
            })
        });
        let all = join_all(calls).await;
        assert_eq!(all.iter().filter(|found| **found == Err(Down(7))).count(), 1);
        assert_eq!(all.iter().filter(|found| **found == Ok(1)).count(), 4);
        assert_eq!(begun.into_inner(), 2);
        assert_eq!(memo.get_or_try_insert_with("other", || async { Err(Down(1)) }).await, Err(Down(1)));
        misses(&memo, "other", 3).await;
        assert_eq!(memo.blocking().last_failure().map(|failure| failure.to_string()), None);
    });
}

#[test]
fn a_panic_goes_to_its_own_task_and_one_waiter_computes() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let memo = numbers(&patient(&bench), is_as);
        let begun = AtomicUsize::new(0);
        let calls = (0..5).map(|_| {
            AssertUnwindSafe(memo.get_or_insert_with("key", || async {
                let turn = begun.fetch_add(1, SeqCst);
                yield_now().await;
                if turn == 0 { resume_unwind(Box::new("planted")) } else { 1 }
            }))
            .catch_unwind()
        });
        let all = join_all(calls).await;
        assert_eq!(all.iter().filter(|found| matches!(found, Ok(1))).count(), 4);
        let panics: Vec<_> = all.into_iter().filter_map(Result::err).collect();
        assert_eq!(panics.len(), 1);
        assert_eq!(panics[0].downcast_ref::<&str>(), Some(&"planted"));
        assert_eq!(begun.into_inner(), 2);
        // Also one before the first poll of the future.
        let call = memo.get_or_insert_with("other", || -> std::future::Ready<u64> {
            resume_unwind(Box::new("planted"))
        });
        assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
        misses(&memo, "other", 2).await;
    });
}

/// Has a task compute 1 for `key`, with `change` in the midst of it.
fn during_a_computation(memo: &future::Memo<str, u64>, change: impl FnOnce()) {
    let (go, gate) = oneshot::channel();
    let is_begun = AtomicBool::new(false);
    let mut call = ByHand::new(memo.get_or_insert_with("key", || async {
        is_begun.store(true, SeqCst);
        gate.await.unwrap();
        1
    }));
    call.polls_until(|| is_begun.load(SeqCst));
    let mut waiter = ByHand::new(memo.get_or_insert_with("key", || async { 2 }));
    waiter.is_pending();
    change();
    go.send(()).unwrap();
    assert_eq!(call.finish(), 1);
    assert_ne!(waiter.finish(), 1, "a value from before the change");
}

#[test]
fn a_change_during_the_computation_of_a_task_wins() {
    let _watchdog = Watchdog::start();
    for memory in [0, 1 << 20] {
        let bench = Bench::new();
        let store = patient(&bench);
        let memo = numbers(&store, |memo| memo.memory(memory));
        during_a_computation(&memo, || smol::block_on(memo.insert("key", 3)).unwrap());
        assert_eq!(smol::block_on(memo.get("key")).unwrap(), Some(3));
        smol::block_on(memo.remove("key")).unwrap();
        let changes: [&dyn Fn(); 4] = [
            &|| assert!(!smol::block_on(memo.remove("key")).unwrap()),
            &|| smol::block_on(memo.clear()).unwrap(),
            &|| store.clear().unwrap(),
            &|| _ = store.remove_memo("numbers").unwrap(),
        ];
        for change in changes {
            during_a_computation(&memo, change);
            assert_eq!(smol::block_on(memo.get("key")).unwrap(), Some(2));
            smol::block_on(memo.clear()).unwrap();
        }
    }
}

#[test]
fn a_closed_store_computes_and_stores_nothing() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let store = patient(&bench);
        let memo = numbers(&store, is_as);
        let closes = memo.get_or_insert_with("key", || async {
            store.close().unwrap();
            1
        });
        assert_eq!(closes.await, 1);
        misses(&memo, "key", 2).await;
        misses(&memo, "key", 3).await;
        assert_eq!(memo.get_or_try_insert_with("key", || async { Err(Down(1)) }).await, Err(Down(1)));
        let Lookup::Miss(claim) = memo.entry("key").lookup().await else { panic!("found in a closed store") };
        assert_eq!(claim.wrap(async { 4 }).await, 4);
        assert_eq!(claim.insert_in_task(5).await, 5);
        assert!(memo.get("key").await.is_err() && memo.insert("key", 1).await.is_err());
        assert!(memo.remove("key").await.is_err() && memo.clear().await.is_err());
    });
}

/// A key that cannot be serialized.
struct Unspeakable;

impl Serialize for Unspeakable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("planted"))
    }
}

#[test]
fn a_key_that_cannot_be_serialized_is_computed_each_time() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let memo: future::Memo<Unspeakable, u64> = Memo::builder("odd").open(&bench.store()).unwrap().into();
        for value in 1..3 {
            assert_eq!(memo.get_or_insert_with(&Unspeakable, || async { value }).await, value);
            assert_eq!(memo.entry(&Unspeakable).or_insert_with(|| async { value }).await, value);
            let updated = memo.entry(&Unspeakable).or_try_update_with(|old| async move {
                assert_eq!(old, None);
                Ok::<_, Down>(value)
            });
            assert_eq!(updated.await, Ok(value));
            let Lookup::Miss(claim) = memo.entry(&Unspeakable).lookup().await else { panic!("found") };
            assert_eq!(claim.insert_in_task(value).await, value);
        }
        assert!(memo.get(&Unspeakable).await.is_err());
        assert!(memo.insert(&Unspeakable, 1).await.is_err());
        assert!(memo.blocking().is_empty().unwrap());
        assert!(memo.blocking().last_failure().unwrap().to_string().contains("planted"));
    });
}

#[test]
fn a_value_that_is_not_wanted_goes_to_its_caller_only() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let store = patient(&bench);
        let memo = numbers(&store, |memo| memo.cache_if(|value| *value > 5));
        let begun = AtomicUsize::new(0);
        let calls = (0..4).map(|_| {
            memo.get_or_insert_with("key", || async {
                begun.fetch_add(1, SeqCst);
                yield_now().await;
                3
            })
        });
        assert_eq!(join_all(calls).await, [3; 4]);
        assert_eq!(begun.into_inner(), 4);
        misses(&memo, "key", 6).await;
        hits(&memo, "key", 6).await;
        let narrow: Values = Memo::builder("narrow").max_bytes(10_000).open(&store).unwrap().into();
        for seed in 0..3 {
            for size in [20_000, 500_000] {
                let value = narrow.get_or_insert_with("key", || async move { vec![seed; size] }).await;
                assert_eq!(value.len(), size);
            }
        }
        narrow.flush().await.unwrap();
        assert_eq!(narrow.blocking().len().unwrap(), 0);
    });
}

#[test]
fn one_task_refreshes_and_the_others_have_the_stale_value() {
    let _watchdog = Watchdog::start();
    let bench = Bench::new();
    let memo = numbers(&patient(&bench), |memo| memo.ttl(MINUTE).stale_for(DAY));
    smol::block_on(misses(&memo, "key", 1));
    bench.clock.advance(HOUR);
    let (go, gate) = oneshot::channel();
    let is_begun = AtomicBool::new(false);
    let mut refresh = ByHand::new(memo.get_or_insert_with("key", || async {
        is_begun.store(true, SeqCst);
        gate.await.unwrap();
        2
    }));
    refresh.polls_until(|| is_begun.load(SeqCst));
    smol::block_on(hits(&memo, "key", 1));
    drop(refresh);
    assert!(go.send(()).is_err());
    // A drop is no answer of the function: the next caller asks it at once.
    assert_eq!(memo.blocking().stats().refreshes.failed, 0);
    smol::block_on(misses(&memo, "key", 3));
    smol::block_on(hits(&memo, "key", 3));
    bench.clock.advance(HOUR);
    let down = || async { Err(Down(1)) };
    smol::block_on(async {
        assert_eq!(memo.get_or_try_insert_with("key", down).await, Ok(3));
        assert_eq!(memo.get_or_try_insert_with("key", down).await, Ok(3));
        assert_eq!(memo.entry("key").max_age(SECOND).or_try_insert_with(down).await, Err(Down(1)));
        bench.clock.advance(2 * DAY);
        assert_eq!(memo.get_or_try_insert_with("key", down).await, Err(Down(1)));
    });
}

#[test]
fn a_result_from_a_stale_value_is_stale_in_a_task_too() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let store = patient(&bench);
        let inner = numbers(&store, |memo| memo.ttl(MINUTE).stale_for(DAY));
        let outer: future::Memo<str, u64> = Memo::builder("outer").open(&store).unwrap().into();
        misses(&inner, "key", 1).await;
        bench.clock.advance(HOUR);
        let down = async || inner.get_or_try_insert_with("key", || async { Err(Down(1)) }).await.unwrap();
        assert_eq!(outer.get_or_insert_with("direct", async || down().await).await, 1);
        let joined = outer.get_or_insert_with("joined", async || {
            let (first, second) = futures::join!(down(), yield_now());
            let () = second;
            first
        });
        assert_eq!(joined.await, 1);
        assert_eq!(outer.blocking().len().unwrap(), 0);
        // Not that of a call beside it.
        let (fresh, _) = futures::join!(
            outer.get_or_insert_with("fresh", async || {
                yield_now().await;
                2
            }),
            down()
        );
        assert_eq!(fresh, 2);
        hits(&outer, "fresh", 2).await;
    });
}
