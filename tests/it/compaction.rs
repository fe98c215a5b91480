//! The index gives its space back. It is copied while calls go on, and no change of that time is lost or undone.

use std::{fs, path::Path, thread};

use memolith::{
    Memo, Store,
    testing::{Fault, Operation},
};

use crate::{
    threads::{Caller, watched},
    vocabulary::*,
};

type Pages = Memo<u64, Vec<u8>>;

/// The largest value that lies in the index.
fn page(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(480)
}

fn pages(store: &Store, name: &str) -> Pages {
    Memo::builder(name).ttl(HOUR).open(store).unwrap()
}

/// The length of the index, and its number.
#[track_caller]
fn index(store: &Path) -> (u64, u64) {
    let folders = fs::read_dir(store).unwrap().flatten().map(|file| file.file_name().into_string().unwrap());
    let numbers: Vec<u64> = folders
        .filter_map(|name| name.strip_prefix("index-").and_then(|number| number.parse().ok()))
        .collect();
    let &[number] = numbers.as_slice() else { panic!("{numbers:?}") };
    (fs::metadata(store.join(format!("index-{number}/db"))).unwrap().len(), number)
}

const MIB: u64 = 1 << 20;

/// An index over its limit. Nineteen twentieths of its entries have expired.
fn overgrown(store: Store, bench: &Bench, count: u64) -> (Store, Pages) {
    let memo = pages(&store, "pages");
    for number in 0..count {
        if number == count / 20 * 19 {
            bench.clock.advance(HOUR / 2);
        }
        memo.get_or_insert_with(&number, || page(number));
    }
    store.flush().unwrap();
    assert_eq!(index(&bench.path()).1, 1, "the index was not copied");
    bench.clock.advance(HOUR / 2);
    (store, memo)
}

/// Its limit is 4 MiB in place of 32.
fn overgrown_small(bench: &Bench) -> (Store, Pages) {
    let store = bench.options().memory(0).compacted_when(4 * MIB, 10).open(bench.path()).unwrap();
    let (store, memo) = overgrown(store, bench, 1_000);
    assert!(index(&bench.path()).0 > 5 * MIB, "{:?}", index(&bench.path()));
    (store, memo)
}

#[track_caller]
fn assert_small(bench: &Bench) {
    let (length, number) = index(&bench.path());
    assert!(length < 2 * MIB && number > 1, "{length} bytes in index {number}");
}

#[test]
fn an_index_that_holds_little_is_made_smaller_by_a_sweep_and_keeps_what_it_holds() {
    let bench = Bench::new();
    let (store, memo) = overgrown(bench.diskful(), &bench, 6_000);
    assert!(index(&bench.path()).0 > 35 * MIB, "{:?}", index(&bench.path()));
    assert_eq!(store.sweep().unwrap().expired, 5_700);
    let (length, number) = index(&bench.path());
    assert!(length < 8 * MIB && number > 1, "{length} bytes in index {number}");
    (5_700..6_000).for_each(|number| hit!(memo, &number => page(number)));
    assert!(memo.last_failure().is_none() && store.last_failure().is_none(), "{:?}", store.last_failure());
    drop((store, memo));
    let store = bench.diskful();
    assert_eq!(pages(&store, "pages").len().unwrap(), 300);
    (5_700..6_000).for_each(|number| hit!(pages(&store, "pages"), &number => page(number)));
    miss!(pages(&store, "pages"), &0 => page(0));
}

#[test]
fn an_index_that_holds_little_is_made_smaller_in_the_background() {
    watched(|| {
        let bench = Bench::new();
        let (store, memo) = overgrown_small(&bench);
        memo.clear().unwrap();
        while bench.path().join("index-1").exists() {
            // Every flush looks at the length.
            memo.insert(&0, &page(0)).unwrap();
        }
        assert_small(&bench);
        hit!(memo, &0 => page(0));
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    });
}

#[test]
fn an_index_that_holds_little_is_made_smaller_by_a_close() {
    let bench = Bench::new();
    let (store, memo) = overgrown_small(&bench);
    drop(memo);
    // An eviction is not flushed at once, so the length was not checked yet.
    let memo: Pages = Memo::builder("pages").max_entries(10).open(&store).unwrap();
    store.close().unwrap();
    assert_small(&bench);
    drop((memo, store));
    let store = bench.diskful();
    (990..1_000).for_each(|number| hit!(pages(&store, "pages"), &number => page(number)));
    assert_eq!(pages(&store, "pages").len().unwrap(), 10);
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
}

#[test]
fn clear_gives_the_space_back() {
    for filed in [0, 50] {
        let bench = Bench::new();
        let store = bench.store();
        let empty = store.size_on_disk().unwrap();
        let (memo, other) = (pages(&store, "pages"), plain(&store, "numbers"));
        (0..2_000).for_each(|number| drop(memo.get_or_insert_with(&number, || page(number))));
        (0..filed).for_each(|number| memo.insert(&(number + 10_000), &large(1).repeat(10)).unwrap());
        other.insert("one", &1).unwrap();
        assert!(store.size_on_disk().unwrap() > 10 * MIB);
        store.clear().unwrap();
        // The janitor unlinks the payload files, or this call does.
        store.sweep().unwrap();
        assert!(
            store.size_on_disk().unwrap() <= 2 * empty.max(MIB),
            "{} of {empty}",
            store.size_on_disk().unwrap()
        );
        assert_eq!(
            (store.usage().unwrap().entries, store.memos().unwrap()),
            (0, vec!["numbers".into(), "pages".into()])
        );
        miss!(memo, &7 => page(7));
        miss!(other, "one" => 2);
        drop((memo, other, store));
        let store = bench.store();
        hit!(pages(&store, "pages"), &7 => page(7));
        hit!(plain(&store, "numbers"), "one" => 2);
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    }
}

/// Each kind of change happens while the index is copied. Every flush starts a copy.
#[test]
fn what_happens_while_the_index_is_copied_is_in_the_copy() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.options().memory(0).compacted_when(0, 0).open(bench.path()).unwrap();
        let open = |store: &Store, name: &str| Memo::builder(name).max_entries(30).open(store).unwrap();
        let [memo, cleared, dropped, bounded] =
            ["memo", "cleared", "dropped", "bounded"].map(|name| -> Memo<u64, u64> { open(&store, name) });
        for memo in [&memo, &cleared, &dropped, &bounded] {
            (0..25).for_each(|number| miss!(memo, &number => number));
        }
        drop(dropped);
        let copying = Caller::start({
            let store = store.clone();
            move || (0..5).for_each(|_| assert_eq!(store.sweep().unwrap().expired, 0))
        });
        memo.insert(&0, &1_000).unwrap();
        assert!(memo.remove(&1).unwrap() && memo.remove(&2).unwrap());
        memo.insert(&2, &1_002).unwrap();
        cleared.clear().unwrap();
        cleared.insert(&3, &1_003).unwrap();
        assert!(store.remove_memo("dropped").unwrap());
        (25..40).for_each(|number| miss!(bounded, &number => number));
        let added = plain(&store, "added");
        added.insert("one", &1).unwrap();
        hit!(memo, &24 => 24);
        copying.join();
        assert!(!bench.path().join("index-1").exists());
        let check = |store: &Store| {
            let [memo, cleared, bounded] =
                ["memo", "cleared", "bounded"].map(|name| -> Memo<u64, u64> { open(store, name) });
            hit!(memo, &0 => 1_000);
            assert_eq!(memo.get(&1).unwrap(), None);
            hit!(memo, &2 => 1_002);
            (3..25).for_each(|number| hit!(memo, &number => number));
            assert_eq!((cleared.len().unwrap(), cleared.get(&0).unwrap()), (1, None));
            hit!(cleared, &3 => 1_003);
            (0..10).for_each(|number| assert_eq!(bounded.get(&number).unwrap(), None));
            (10..40).for_each(|number| hit!(bounded, &number => number));
            hit!(plain(store, "added"), "one" => 1);
            assert_eq!([memo.len().unwrap(), bounded.len().unwrap()], [24, 30]);
            assert_eq!(store.memos().unwrap(), ["added", "bounded", "cleared", "memo"]);
            assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
        };
        check(&store);
        drop((memo, cleared, bounded, added, store));
        check(&bench.diskful());
    });
}

#[test]
fn a_copy_that_fails_leaves_the_index_as_it_was() {
    let bench = Bench::new();
    let (store, memo) = overgrown_small(&bench);
    bench.faults.plant(Operation::Compact, Fault::NoSpace);
    store.sweep().unwrap();
    assert!(store.last_failure().unwrap().error.is_io(), "{:?}", store.last_failure());
    assert_eq!((index(&bench.path()).1, memo.len().unwrap()), (1, 50));
    (950..1_000).for_each(|number| hit!(memo, &number => page(number)));
    bench.faults.heal();
    store.sweep().unwrap();
    assert_small(&bench);
    (950..1_000).for_each(|number| hit!(memo, &number => page(number)));
}

/// The old index is removed as soon as the copy has taken its place. From then on an unclean end must leave the copy.
#[test]
fn a_close_that_fails_after_its_copy_leaves_a_store_with_all_its_values() {
    let bench = Bench::new();
    let store = bench.options().memory(0).compacted_when(0, 0).open(bench.path()).unwrap();
    let numbers = plain(&store, "numbers");
    numbers.insert("one", &1).unwrap();
    bench.faults.plant(Operation::Settle, Fault::NoSpace);
    let error = store.close().unwrap_err();
    assert!(error.is_io(), "{error}");
    drop((numbers, store));
    let store = bench.diskful();
    assert!(index(&bench.path()).1 > 1, "the index was copied");
    hit!(plain(&store, "numbers"), "one" => 1);
}

#[test]
fn a_copy_that_a_kill_cut_short_goes_at_the_next_open() {
    let bench = Bench::new();
    plain(&bench.store(), "numbers").insert("one", &1).unwrap();
    fs::create_dir(bench.path().join("index-2")).unwrap();
    fs::write(bench.path().join("index-2/db"), vec![7; 1_000_000]).unwrap();
    let store = bench.store();
    hit!(plain(&store, "numbers"), "one" => 1);
    // Only a process that changes something cleans up.
    plain(&store, "numbers").insert("two", &2).unwrap();
    assert_eq!(index(&bench.path()).1, 1);
}

/// Four threads change keys of their own while one copy follows the other.
#[test]
fn nothing_is_lost_while_the_index_is_copied_again_and_again() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.options().memory(0).compacted_when(0, 0).open(bench.path()).unwrap();
        let memo: Memo<(u64, u64), u64> = Memo::builder("numbers").open(&store).unwrap();
        let history = |thread: u64| (0..60).map(move |step| (thread, step % 7, step % 5 == 4, step));
        thread::scope(|scope| {
            for thread in 0..4 {
                let memo = &memo;
                scope.spawn(move || {
                    for (thread, key, removes, value) in history(thread) {
                        if removes {
                            memo.remove(&(thread, key)).unwrap();
                            assert_eq!(memo.get(&(thread, key)).unwrap(), None);
                        } else {
                            memo.insert(&(thread, key), &value).unwrap();
                            hit!(memo, &(thread, key) => value);
                        }
                    }
                });
            }
            scope.spawn(|| (0..10).for_each(|_| assert_eq!(store.sweep().unwrap().expired, 0)));
        });
        let check = |memo: &Memo<(u64, u64), u64>| {
            let mut present = 0;
            for (thread, key) in (0..4).flat_map(|thread| (0..7).map(move |key| (thread, key))) {
                let (.., removed, value) = history(thread).rfind(|step| step.1 == key).unwrap();
                assert_eq!(memo.get(&(thread, key)).unwrap(), (!removed).then_some(value), "{thread} {key}");
                present += usize::from(!removed);
            }
            assert_eq!(memo.len().unwrap(), present, "an entry that left during a copy is subtracted once");
            assert_eq!(memo.last_failure().map(|failure| failure.to_string()), None);
        };
        check(&memo);
        drop((memo, store));
        // Only here, because a copy under way is a second folder.
        assert!(index(&bench.path()).1 > 5, "{:?}", index(&bench.path()));
        check(&Memo::builder("numbers").open(&bench.diskful()).unwrap());
    });
}

/// During the day new entries of a thousand kilobytes come each hour, with a ttl of one hour. At night none come.
#[test]
fn a_day_of_churn_leaves_the_index_no_larger_than_its_first_hours_did() {
    let bench = Bench::new();
    let store = bench.options().memory(0).compacted_when(2 * MIB, 10).open(bench.path()).unwrap();
    let memo: Pages = Memo::builder("pages").ttl(HOUR).max_entries(200).open(&store).unwrap();
    let mut lengths = Vec::new();
    for hour in 0..24 {
        let new = if (8..20).contains(&(hour % 12)) { 300 } else { 3 };
        (0..new).for_each(|number| drop(memo.get_or_insert_with(&(hour * 1_000 + number), || page(number))));
        bench.clock.advance(HOUR);
        store.sweep().unwrap();
        lengths.push(store.size_on_disk().unwrap());
    }
    assert!(lengths.iter().all(|length| *length < 4 * MIB), "{lengths:?}");
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
}

#[test]
fn a_thousand_memos_of_one_number_take_no_more_than_one_memo_of_a_thousand() {
    let size = |open: fn(u32) -> String| {
        let bench = Bench::new();
        let store = bench.diskful();
        for number in 0..1_000 {
            let memo: Memo<u32, u32> = Memo::builder(open(number)).open(&store).unwrap();
            memo.get_or_insert_with(&number, || number);
        }
        store.close().unwrap();
        bench.diskful().size_on_disk().unwrap()
    };
    let (many, one) = (size(|number| format!("memo {number}")), size(|_| "memo".to_owned()));
    // Each memo takes a catalog row, in sled's pages and in its log.
    assert!(many < one + 1_000 * 4_096, "{many} bytes, beside {one}");
}
