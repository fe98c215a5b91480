use std::fs;

use memolith::{Memo, Store};

use super::{Trapped, armed, spring};
use crate::vocabulary::*;

/// Where code of the user runs during a call.
const PLACES: [&str; 9] = [
    "closure",
    "Clone",
    "Drop",
    "Serialize",
    "Deserialize",
    "cache_if",
    "ComputeStarted",
    "ComputeFinished",
    "Hit",
];

#[test]
fn a_change_in_the_middle_of_a_call_is_obeyed_by_every_later_call() {
    let mut obeyed_at = Vec::new();
    for memory in [0, 1 << 20] {
        let options = Store::builder().memory(memory).observer(|event| {
            spring(format!("{event:?}").split(' ').next().unwrap_or_default());
        });
        let store = options.temporary().unwrap();
        for place in PLACES {
            for change in ["remove", "insert", "clear", "clear all", "remove memo"] {
                for is_known in [false, true] {
                    obeyed_at.extend(obeyed(&store, place, change, is_known).then_some(place));
                }
            }
        }
    }
    assert!(PLACES.iter().all(|place| obeyed_at.contains(place)), "{obeyed_at:?}");
}

/// Whether a call came to the place. The value of before the change is 1, that of after it 2, and the inserted one 9.
fn obeyed(store: &Store, place: &'static str, change: &'static str, is_known: bool) -> bool {
    let trap = armed();
    let builder = Memo::builder(format!("{change} at {place}, {is_known}")).cache_if(|_| {
        spring("cache_if");
        true
    });
    let memo: Memo<u64, Trapped> = builder.open(store).unwrap();
    if is_known {
        memo.insert(&1, &Trapped(1)).unwrap();
    }
    let (inner, all) = (memo.clone(), store.clone());
    trap.set(place, move || changed(change, &inner, &all));
    for _ in 0..4 {
        memo.get_or_insert_with(&1, || {
            spring("closure");
            Trapped(1)
        });
        if trap.is_sprung() {
            break;
        }
    }
    if !trap.is_sprung() {
        // A hit has no closure, and without memory there are no clones.
        return false;
    }
    let expected = if change == "insert" { 9 } else { 2 };
    for _ in 0..3 {
        assert_eq!(memo.get_or_insert_with(&1, || Trapped(2)).0, expected, "{}", memo.name());
    }
    assert_eq!(memo.get(&1).unwrap().map(|value| value.0), Some(expected));
    true
}

fn changed(change: &str, memo: &Memo<u64, Trapped>, store: &Store) {
    match change {
        "remove" => drop(memo.remove(&1).unwrap()),
        "insert" => memo.insert(&1, &Trapped(9)).unwrap(),
        "clear" => memo.clear().unwrap(),
        "clear all" => store.clear().unwrap(),
        _ => drop(store.remove_memo(memo.name()).unwrap()),
    }
}

#[test]
fn of_two_values_the_later_insert_wins_when_the_index_is_lost_though_the_clock_was_set_back() {
    let bench = Bench::new();
    bench.clock.advance(DAY);
    let store = bench.store();
    let memo: Memo<u32, Vec<u8>> = Memo::builder("values").open(&store).unwrap();
    for (key, version) in [(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)] {
        memo.insert(&key, &large(version)).unwrap();
        bench.clock.set_back(HOUR);
    }
    memo.remove(&2).unwrap();
    store.close().unwrap();
    drop((memo, store));
    for entry in fs::read_dir(bench.path()).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("index-") {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    bench.clock.advance(DAY);
    let store = bench.store();
    let memo: Memo<u32, Vec<u8>> = Memo::builder("values").open(&store).unwrap();
    let versions = [1, 2, 3].map(|key| memo.get(&key).unwrap());
    assert!(versions == [Some(large(3)), None, Some(large(1))]);
}

#[test]
fn a_value_that_was_computed_from_one_that_was_removed_meanwhile_is_not_brought_back_by_it() {
    let bench = Bench::new();
    let store = bench.store();
    let (inner, outer) = (plain(&store, "inner"), plain(&store, "outer"));
    miss!(inner, "key" => 1);
    let value = outer.get_or_insert_with("key", || {
        let read = inner.get("key").unwrap().unwrap();
        store.clear().unwrap();
        // Within the same computation, and after the change: this one may stay.
        miss!(inner, "key" => 2);
        read
    });
    assert_eq!(value, 1, "it began before the change");
    miss!(outer, "key" => 2);
    hit!(inner, "key" => 2);
}
