use std::{fs, thread};

use memolith::{Memo, Store};

use super::{Trapped, armed};
use crate::vocabulary::*;

#[test]
fn a_store_that_was_moved_away_while_it_was_open_is_whole_at_its_new_place() {
    for size in [10, 50_000] {
        let bench = Bench::new();
        let away = bench.directory.path().join("away");
        let store = bench.store();
        let memo: Memo<u32, Vec<u8>> = Memo::builder("values").open(&store).unwrap();
        (0..10).for_each(|key| memo.insert(&key, &vec![1; size]).unwrap());
        fs::rename(bench.path(), &away).unwrap();
        // The first change finds it gone, and a store is begun in its place.
        assert!(memo.insert(&0, &vec![2; size]).is_err());
        memo.insert(&1, &vec![2; size]).unwrap();
        assert_eq!(memo.get(&1).unwrap(), Some(vec![2; size]));
        let moved = Store::builder().lock_timeout(MINUTE).open(&away).unwrap();
        let of_moved: Memo<u32, Vec<u8>> = Memo::builder("values").open(&moved).unwrap();
        for key in 1..10 {
            assert_eq!(of_moved.get(&key).unwrap(), Some(vec![1; size]), "{key} of {size}");
        }
        // The change that failed may have been made, or half of it, but no other value is there.
        let failed = of_moved.get(&0).unwrap();
        assert!(failed.is_none_or(|value| value == [1].repeat(size) || value == [2].repeat(size)));
        store.close().unwrap();
    }
}

#[test]
fn the_last_handle_may_go_within_a_drop_an_observer_or_at_the_end_of_a_thread() {
    for place in ["Drop", "observer", "thread"] {
        let (bench, trap) = (Bench::new(), armed());
        let observed = trap.clone();
        let store =
            bench.options().observer(move |_| observed.spring("observer")).open(bench.path()).unwrap();
        let memo: Memo<u64, Trapped> = Memo::builder("values").max_entries(2).open(&store).unwrap();
        miss!(memo, &1 => Trapped(1));
        hit!(memo, &1 => Trapped(1));
        let last = (memo.clone(), store.clone());
        trap.set(place, move || drop(last));
        drop(store);
        if place == "thread" {
            thread::spawn(move || memo.insert(&2, &Trapped(2)).unwrap()).join().unwrap();
            trap.spring(place);
        } else {
            memo.insert(&2, &Trapped(2)).unwrap();
            memo.insert(&3, &Trapped(3)).unwrap();
            hit!(memo, &3 => Trapped(3));
            drop(memo);
        }
        assert!(trap.is_sprung());
        let store = bench.store();
        let memo: Memo<u64, Trapped> = Memo::builder("values").max_entries(2).open(&store).unwrap();
        hit!(memo, &2 => Trapped(2));
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    }
}
