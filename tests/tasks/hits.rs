//! Hits in tasks: a value that was hit is found by its encoded key, and every change of the entry ends that.

use memolith::Memo;

use crate::{Values, under_each_executor, values, vocabulary::*};

/// From disk or a pending value, by its digest, and by its key.
async fn warm(memo: &Values, key: &str, value: &[u8]) {
    for _ in 0..4 {
        let found = memo.get_or_insert_with(key, || async { panic!("computed, though it is remembered") });
        assert_eq!(found.await, value);
        assert_eq!(memo.get(key).await.unwrap().as_deref(), Some(value));
    }
}

/// Around the longest key that is kept as it is, of 125 bytes.
#[test]
fn keys_of_all_lengths_have_their_own_values_and_heads() {
    under_each_executor(async || {
        let bench = Bench::new();
        let memo = values(&bench.store());
        let keys = [0, 1, 124, 125, 126, 2_000].map(|length| "k".repeat(length));
        for (key, number) in keys.iter().zip(0..) {
            assert_eq!(memo.get_or_insert_with(key, || async { vec![number] }).await, [number]);
            warm(&memo, key, &[number]).await;
        }
        memo.flush().await.unwrap();
        let entries = memo.blocking().entries().unwrap();
        let mut lengths: Vec<usize> = entries.map(|entry| entry.unwrap().key.matches('k').count()).collect();
        lengths.sort_unstable();
        assert_eq!(lengths[..5], [0, 1, 124, 125, 126], "the last one is cut");
        assert!(lengths[5] > 900 && lengths[5] < 2_000, "{lengths:?}");
    });
}

#[test]
fn a_change_is_seen_by_the_next_call() {
    under_each_executor(async || {
        let bench = Bench::new();
        let memo: Values = Memo::builder("values").ttl(HOUR).open(&bench.store()).unwrap().into();
        memo.insert("a", vec![1]).await.unwrap();
        warm(&memo, "a", &[1]).await;
        memo.insert("a", vec![2]).await.unwrap();
        warm(&memo, "a", &[2]).await;
        assert!(memo.remove("a").await.unwrap());
        assert_eq!(memo.get("a").await.unwrap(), None);
        memo.insert("a", vec![3]).await.unwrap();
        warm(&memo, "a", &[3]).await;
        bench.clock.advance(HOUR);
        assert_eq!(memo.get("a").await.unwrap(), None);
        memo.insert("a", vec![4]).await.unwrap();
        warm(&memo, "a", &[4]).await;
        memo.blocking().clear().unwrap();
        assert_eq!(memo.get("a").await.unwrap(), None);
        assert_eq!(memo.get_or_insert_with("a", || async { vec![5] }).await, [5]);
    });
}
