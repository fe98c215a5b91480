//! A cleared or removed value is gone for good, its space comes back, and files of the user stay.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use memolith::{Error, Memo, Store};

use crate::vocabulary::*;

type Values = Memo<str, Vec<u8>>;

/// Two memos, each with one value in the index and one in a file of its own.
#[track_caller]
fn two(store: &Store) -> [Values; 2] {
    ["ones", "others"].map(|name| Memo::builder(name).open(store).unwrap())
}

#[track_caller]
fn fill(memo: &Values) {
    miss!(memo, "small" => vec![1]);
    miss!(memo, "large" => large(1));
}

#[track_caller]
fn assert_full(memo: &Values) {
    hit!(memo, "small" => vec![1]);
    hit!(memo, "large" => large(1));
    assert_eq!(memo.len().unwrap(), 2);
}

#[track_caller]
fn assert_empty(memo: &Values) {
    assert_eq!(["small", "large"].map(|key| memo.get(key).unwrap()), [None, None]);
    assert_eq!((memo.len().unwrap(), memo.usage().unwrap().bytes), (0, 0));
}

/// The number of payload files below `blobs` and `trash`, under any name.
fn payloads(store: &Path) -> usize {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|file| file.path());
    let below = |file: PathBuf| if file.is_dir() { entries(&file).count() } else { 1 };
    ["blobs", "trash"].iter().flat_map(|folder| entries(&store.join(folder))).map(below).sum()
}

/// Waits until the janitor has made the condition true.
#[track_caller]
fn eventually(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < MINUTE, "{what} never happened");
        std::thread::yield_now();
    }
}

/// B95
#[test]
fn clearing_a_memo_leaves_the_others() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        let [cleared, other] = two(&store);
        fill(&cleared);
        fill(&other);
        cleared.clear()?;
        assert_empty(&cleared);
        assert_full(&other);
        assert_eq!((cleared.stats().evictions, store.usage().unwrap().entries), (0, 2));
    }
    let store = bench.store();
    let [cleared, other] = two(&store);
    assert_empty(&cleared);
    assert_full(&other);
    fill(&cleared);
    assert_full(&cleared);
    Ok(())
}

/// B95: a clear covers memory as well as disk.
#[test]
fn a_cleared_value_does_not_come_back_from_memory() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let [memo, _] = two(&store);
    fill(&memo);
    assert_full(&memo);
    assert_full(&memo);
    assert_eq!(memo.stats().hits.memory, 2);
    memo.clear()?;
    assert!(!memo.contains_key("small")? && !memo.contains_key("large")?);
    miss!(memo, "small" => vec![2]);
    miss!(memo, "large" => large(2));
    store.clear()?;
    assert_empty(&memo);
    Ok(())
}

/// Another version keeps its entries.
#[test]
fn clearing_one_version_leaves_the_other() -> Result<(), Error> {
    let bench = Bench::new();
    let open = |store: &Store, version| Values::builder("ones").version(version).open(store).unwrap();
    {
        let store = bench.store();
        fill(&open(&store, 1));
    }
    {
        let store = bench.store();
        let second = open(&store, 2);
        fill(&second);
        second.clear()?;
        assert_empty(&second);
    }
    let store = bench.store();
    assert_full(&open(&store, 1));
    Ok(())
}

/// B96
#[test]
fn clearing_the_store_empties_every_memo_open_or_not() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        two(&store).iter().for_each(fill);
    }
    {
        let store = bench.store();
        let [open, _] = two(&store);
        assert_full(&open);
        drop(two(&store));
        store.clear()?;
        assert_empty(&open);
        assert_eq!((store.usage().unwrap().entries, store.usage().unwrap().bytes), (0, 0));
    }
    let store = bench.store();
    two(&store).iter().for_each(assert_empty);
    Ok(())
}

/// B96: this covers all versions of a memo.
#[test]
fn clearing_the_store_empties_retired_versions() -> Result<(), Error> {
    let bench = Bench::new();
    let open = |store: &Store, version| Values::builder("ones").version(version).open(store).unwrap();
    {
        let store = bench.store();
        fill(&open(&store, 1));
    }
    {
        let store = bench.store();
        fill(&open(&store, 2));
        store.clear()?;
    }
    let store = bench.store();
    assert_empty(&open(&store, 1));
    assert_empty(&open(&store, 2));
    Ok(())
}

/// B97, B100, B103, B107
#[test]
fn removing_a_key_drops_its_entry_only() -> Result<(), Error> {
    for memory in [0, 1 << 20] {
        let bench = Bench::new();
        let open = || bench.options().memory(memory).open(bench.path());
        {
            let store = open()?;
            let [memo, other] = two(&store);
            fill(&memo);
            fill(&other);
            assert_full(&memo);
            assert!(memo.remove("large")?);
            assert!(!memo.remove("large")?);
            assert!(!memo.remove("never heard of")?);
            assert_eq!((memo.get("large")?, memo.len().unwrap()), (None, 1));
            hit!(memo, "small" => vec![1]);
            assert!(memo.remove("small")?);
            assert_empty(&memo);
            assert_full(&other);
            assert_eq!(memo.stats().evictions, 0);
        }
        let store = open()?;
        let [memo, other] = two(&store);
        assert_empty(&memo);
        assert_full(&other);
    }
    Ok(())
}

/// B99, B101
#[test]
fn removing_a_memo_drops_all_its_versions_open_or_not() -> Result<(), Error> {
    let bench = Bench::new();
    let open = |store: &Store, version| Values::builder("ones").version(version).open(store).unwrap();
    {
        let store = bench.store();
        let [_, other] = two(&store);
        fill(&other);
    }
    for version in [1, 2] {
        let store = bench.store();
        fill(&open(&store, version));
    }
    {
        let store = bench.store();
        assert!(!store.remove_memo("never heard of")?);
        assert!(store.remove_memo("ones")?);
        assert!(!store.remove_memo("ones")?);
        assert_eq!(store.memos().unwrap(), ["others"]);
        let [_, other] = two(&store);
        assert_full(&other);
        fill(&open(&store, 3));
    }
    let store = bench.store();
    for version in [1, 2] {
        assert_empty(&open(&store, version));
    }
    let open_now = open(&store, 3);
    assert_full(&open_now);
    assert!(store.remove_memo("ones")?);
    assert_empty(&open_now);
    fill(&open_now);
    assert_full(&open_now);
    Ok(())
}

/// B102
#[test]
fn clearing_works_where_the_folders_were_taken_away() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let [memo, never_used] = two(&store);
    never_used.clear()?;
    store.clear()?;
    for folder in ["blobs", "trash"] {
        fill(&memo);
        // The worker takes the payload file out of the trash to its place: while it does, no folder can be removed.
        store.flush()?;
        fs::remove_dir_all(bench.path().join(folder)).unwrap();
        memo.clear()?;
        never_used.clear()?;
        store.clear()?;
        assert_empty(&memo);
    }
    fill(&memo);
    assert_full(&memo);
    assert!(memo.remove("small")?);
    Ok(())
}

/// B104
#[test]
fn what_is_not_ours_stays_through_everything() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let [memo, other] = two(&store);
    fill(&memo);
    fill(&other);
    store.flush()?;
    let generation = fs::read_dir(bench.path().join("blobs")).unwrap().next().unwrap().unwrap().path();
    let folders = ["", "theirs", "blobs", "blobs/theirs", "trash"].map(|folder| bench.path().join(folder));
    let theirs: Vec<PathBuf> =
        folders.into_iter().chain([generation]).map(|folder| folder.join("notes.txt")).collect();
    for file in &theirs {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "not yours").unwrap();
    }
    let untouched = || theirs.iter().all(|file| fs::read(file).is_ok_and(|bytes| bytes == b"not yours"));

    store.sweep()?;
    assert!(untouched());
    memo.clear()?;
    store.remove_memo("others")?;
    fill(&memo);
    fill(&other);
    store.clear()?;
    store.sweep()?;
    // Files of the user among our own files move aside with them, and come back when ours are unlinked.
    eventually("the files of the user to be at their old places", untouched);
    drop((memo, other, store));
    for _ in 0..2 {
        let store = bench.store();
        for memo in two(&store) {
            assert_empty(&memo);
        }
        store.clear()?;
    }
    assert!(untouched());
    Ok(())
}

/// B101: after a clear the store is as small as an empty one.
#[test]
fn the_space_of_cleared_values_comes_back() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let [memo, other] = two(&store);
    for key in 0..40 {
        memo.insert(&format!("{key}"), &large(key))?;
    }
    other.insert("large", &large(1))?;
    let full = store.size_on_disk()?;
    assert!(full > 41 * 8_000, "{full} bytes");
    memo.clear()?;
    store.sweep()?;
    // The log has records of the clear.
    let space_is_back = || store.size_on_disk().unwrap() < full - 39 * 8_000;
    eventually("the space of a cleared memo", space_is_back);
    hit!(other, "large" => large(1));
    assert!(other.remove("large")?);
    eventually("the space of a removed value", || payloads(&bench.path()) == 0);
    Ok(())
}

/// B100, B101: an overwrite and an eviction give back the space of the old value.
#[test]
fn the_space_of_replaced_values_comes_back() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Values = Memo::builder("ones").max_entries(2).open(&store)?;
    for round in 0..10 {
        for key in ["a", "b", "c"] {
            memo.insert(key, &large(round))?;
        }
    }
    eventually("the space of old values", || payloads(&bench.path()) == 2);
    hit!(memo, "c" => large(9));
    Ok(())
}
