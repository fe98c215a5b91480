//! Calls in tasks with options of their own, and claims that lie in variables.

use memolith::{Claim, Lookup, future};
use smol::future::yield_now;

use crate::{
    by_hand::{ByHand, Watchdog},
    fates::{Down, hits, is_as, misses, numbers, patient},
    under_each_executor,
    vocabulary::*,
};

#[test]
fn an_entry_has_its_own_terms() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let memo = numbers(&patient(&bench), is_as);
        let fails = || async { unreachable!("remembered") };
        assert_eq!(memo.entry("a").ttl(MINUTE).or_insert_with(|| async { 1 }).await, 1);
        assert_eq!(
            memo.entry("b")
                .ttl_with(|value| MINUTE * u32::try_from(*value).unwrap())
                .or_insert_with(|| async { 2 })
                .await,
            2
        );
        bench.clock.advance(59 * SECOND);
        assert_eq!(memo.entry("a").or_insert_with(fails).await, 1);
        bench.clock.advance(SECOND);
        misses(&memo, "a", 3).await;
        assert_eq!(memo.entry("b").or_insert_with(fails).await, 2);
        bench.clock.advance(MINUTE);
        misses(&memo, "b", 4).await;
        for value in 5..8 {
            let found = memo.entry("a").max_age(std::time::Duration::ZERO).or_insert_with(|| async { value });
            assert_eq!(found.await, value);
        }
        let updated = memo.entry("a").validate(|value| *value > 100).or_try_update_with(|old| async move {
            yield_now().await;
            Ok::<_, Down>(old.unwrap() + 100)
        });
        assert_eq!(updated.await, Ok(107));
        assert_eq!(memo.entry("a").validate(|value| *value > 100).or_insert_with(fails).await, 107);
        let refused =
            memo.entry("a").validate(|_| panic!("planted")).or_try_insert_with(|| async { Err(Down(1)) });
        assert_eq!(refused.await, Err(Down(1)));
        hits(&memo, "a", 107).await;
        assert_eq!(memo.entry("zero").ttl(std::time::Duration::ZERO).or_insert_with(|| async { 1 }).await, 1);
        misses(&memo, "zero", 2).await;
        memo.entry("odd").ttl_with(|_| panic!("planted")).or_insert_with(|| async { 1 }).await;
        misses(&memo, "odd", 2).await;
    });
}

async fn claims(memo: &future::Memo<str, u64>, key: &str) -> Claim<u64> {
    match memo.entry(key).lookup().await {
        Lookup::Miss(claim) => claim,
        Lookup::Hit(hit) => panic!("remembered: {hit:?}"),
    }
}

#[test]
fn a_claim_of_a_task_is_computed_anywhere() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let memo = numbers(&patient(&bench), is_as);
        let claim = claims(&memo, "wrapped").await;
        // A call within it for its own key is seen.
        let value = claim.wrap(memo.get_or_insert_with("wrapped", || async { 1 })).await;
        assert_eq!(claim.insert_in_task(value).await, 1);
        let claim = claims(&memo, "run").await;
        let value = claim.run(|| memo.blocking().get_or_insert_with("run", || 2));
        claim.insert(&value);
        claims(&memo, "memory").await.insert_in_memory(&3);
        let claim = claims(&memo, "thread").await;
        std::thread::spawn(move || claim.insert(&4)).join().unwrap();
        for (key, value) in [("wrapped", 1), ("run", 2), ("memory", 3), ("thread", 4)] {
            hits(&memo, key, value).await;
        }
        drop(claims(&memo, "dropped").await);
        misses(&memo, "dropped", 5).await;
        // Its waiters go on when it is dropped, and when it has its value.
        for is_kept in [false, true] {
            let key = if is_kept { "kept" } else { "given up" };
            let claim = claims(&memo, key).await;
            let mut waiter = ByHand::new(memo.get_or_insert_with(key, || async { 6 }));
            waiter.is_pending();
            if is_kept {
                assert_eq!(claim.insert_in_task(7).await, 7);
            } else {
                drop(claim);
            }
            assert_eq!(waiter.finish(), 6 + u64::from(is_kept));
        }
        // A wrapped future that is dropped in its midst leaves the claim as it is.
        let claim = claims(&memo, "cut off").await;
        let mut wrapped = ByHand::new(claim.wrap(std::future::pending::<()>()));
        wrapped.is_pending();
        drop(wrapped);
        assert_eq!(claim.insert_in_task(8).await, 8);
        hits(&memo, "cut off", 8).await;
    });
}

#[test]
fn a_forgotten_claim_holds_others_up_for_max_wait_only() {
    let _watchdog = Watchdog::start();
    under_each_executor(async || {
        let bench = Bench::new();
        let wait = std::time::Duration::from_millis(20);
        let store = bench.options().max_wait(wait).open(bench.path()).unwrap();
        let memo = numbers(&store, is_as);
        std::mem::forget(claims(&memo, "key").await);
        misses(&memo, "key", 1).await;
        hits(&memo, "key", 1).await;
    });
}
