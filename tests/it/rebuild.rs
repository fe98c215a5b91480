//! A lost index is filled from the heads of the payload files: large values are there, removed values are not.

use std::{fs, path::Path, thread};

use memolith::{
    Memo,
    testing::{Fault, Operation},
};

use crate::{threads::watched, vocabulary::*};

/// Damages a closed store.
type Loss = fn(&Path);

/// The ways in which a closed store loses its index.
const LOSSES: [(&str, Loss); 5] = [
    ("no manifest", |store| fs::remove_file(store.join("MANIFEST")).unwrap()),
    ("a manifest of garbage", |store| fs::write(store.join("MANIFEST"), [0xa5; 300]).unwrap()),
    ("an index of zeros", |store| {
        let path = store.join("index-1/db");
        let length = fs::metadata(&path).unwrap().len();
        fs::write(path, vec![0; usize::try_from(length).unwrap()]).unwrap();
    }),
    ("an index cut short", |store| {
        fs::File::options().write(true).open(store.join("index-1/db")).unwrap().set_len(100).unwrap();
    }),
    ("no index at all", |store| fs::remove_dir_all(store.join("index-1")).unwrap()),
];

fn pictures(store: &memolith::Store) -> Memo<str, Vec<u8>> {
    Memo::builder("pictures").open(store).unwrap()
}

#[test]
fn what_has_a_file_of_its_own_survives_the_loss_of_the_index() {
    for (what, lose) in LOSSES {
        let bench = Bench::new();
        {
            let store = bench.store();
            let memo = pictures(&store);
            memo.insert("kept", &large(1)).unwrap();
            memo.insert("overwritten", &large(2)).unwrap();
            memo.insert("overwritten", &large(3)).unwrap();
            memo.insert("removed", &large(4)).unwrap();
            memo.remove("removed").unwrap();
            let cleared: Memo<str, Vec<u8>> = Memo::builder("cleared").open(&store).unwrap();
            cleared.insert("gone", &large(5)).unwrap();
            cleared.clear().unwrap();
        }
        lose(&bench.path());
        let store = bench.store();
        let memo = pictures(&store);
        assert_eq!(memo.len().unwrap(), 2, "{what}");
        hit!(memo, "kept" => large(1));
        hit!(memo, "overwritten" => large(3));
        assert_eq!(memo.get("removed").unwrap(), None, "{what}");
        // The snapshot knows the memo that was cleared, and MANIFEST names the snapshot.
        let memos: &[&str] = if what.contains("manifest") { &["pictures"] } else { &["cleared", "pictures"] };
        assert_eq!(store.memos().unwrap(), memos, "{what}");
        assert_eq!(store.sweep().unwrap().orphaned, 0, "{what}");
        // A value that is put now is newer than the found values.
        memo.insert("kept", &large(6)).unwrap();
        drop((memo, store));
        hit!(pictures(&bench.store()), "kept" => large(6));
    }
}

/// sled would make a new file, and no payload file would have a record.
#[test]
fn what_has_a_file_of_its_own_survives_the_loss_of_an_index_that_was_not_closed() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = pictures(&store);
    memo.insert("kept", &large(1)).unwrap();
    memo.insert("removed", &large(2)).unwrap();
    memo.remove("removed").unwrap();
    // A crash leaves this state: another directory has a copy of the present files.
    let left = Bench::new();
    copy(&bench.path(), &left.path());
    fs::remove_file(left.path().join("index-1/db")).unwrap();
    let store = left.store();
    assert!(store.last_failure().is_some_and(|failure| failure.error.is_corrupt()));
    let memo = pictures(&store);
    hit!(memo, "kept" => large(1));
    assert_eq!(memo.get("removed").unwrap(), None);
    assert_eq!(store.sweep().unwrap().orphaned, 0);
}

/// A payload file without a record, as a crash leaves it, is harmless until the index is lost. A close may interrupt
/// the search for such files. Then the next open goes on.
#[test]
fn what_a_crash_left_is_looked_for_until_it_was_found() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = pictures(&store);
        memo.insert("one", &large(1)).unwrap();
        memo.insert("two", &large(2)).unwrap();
        let left = Bench::new();
        copy(&bench.path(), &left.path());
        let folder = fs::read_dir(left.path().join("blobs")).unwrap().flatten().next().unwrap().path();
        let named = fs::read_dir(&folder).unwrap().flatten().next().unwrap().path();
        // A file of the same key, as if its record had not been written any more.
        let orphan = folder.join("0123456789abcdef0123456789abcdef");
        fs::copy(&named, &orphan).unwrap();
        let manifest = || fs::read_to_string(left.path().join("MANIFEST")).unwrap();

        // A close may interrupt the search at any moment; the next open goes on with it.
        for _ in 0..20 {
            left.store().close().unwrap();
            let is_noted = manifest().contains("closed\n") && manifest().contains("unrecovered\n");
            assert!(is_noted || !orphan.exists(), "{}", manifest());
        }
        let store = left.store();
        while orphan.exists() {
            thread::yield_now();
        }
        // MANIFEST is written after the file has moved.
        while manifest().contains("unrecovered") {
            left.store().close().unwrap();
        }
        drop(store);
        assert!(manifest().contains("closed\n"));
    });
}

#[test]
fn what_has_expired_is_not_brought_back() {
    let bench = Bench::new();
    {
        let memo: Memo<str, Vec<u8>> = Memo::builder("pictures").ttl(HOUR).open(&bench.store()).unwrap();
        memo.insert("old", &large(1)).unwrap();
        bench.clock.advance(HOUR / 2);
        memo.insert("young", &large(2)).unwrap();
    }
    fs::remove_file(bench.path().join("MANIFEST")).unwrap();
    bench.clock.advance(HOUR / 2);
    let store = bench.store();
    let memo: Memo<str, Vec<u8>> = Memo::builder("pictures").ttl(HOUR).open(&store).unwrap();
    assert_eq!(memo.len().unwrap(), 1);
    hit!(memo, "young" => large(2));
    miss!(memo, "old" => large(3));
}

#[test]
fn the_order_of_insertion_and_the_bounds_hold_for_what_is_brought_back() {
    let bench = Bench::new();
    {
        let memo = pictures(&bench.store());
        for (key, seed) in [("first", 1), ("second", 2), ("third", 3)] {
            memo.insert(key, &large(seed)).unwrap();
        }
        memo.insert("first", &large(4)).unwrap();
    }
    fs::remove_file(bench.path().join("MANIFEST")).unwrap();
    let store = bench.store();
    let memo: Memo<str, Vec<u8>> = Memo::builder("pictures").max_entries(2).open(&store).unwrap();
    assert_eq!(memo.get("second").unwrap(), None);
    hit!(memo, "third" => large(3));
    hit!(memo, "first" => large(4));
}

/// The same holds for an index that is given up while the store is open.
#[test]
fn what_has_a_file_of_its_own_outlives_a_damaged_engine() {
    use memolith::testing::{Fault, Operation};

    let bench = Bench::new();
    let store = bench.diskful();
    let memo = pictures(&store);
    memo.insert("kept", &large(1)).unwrap();
    bench.faults.plant(Operation::Read, Fault::Corrupt);
    miss!(memo, "other" => large(2));
    bench.faults.heal();
    // The pause grows with the number of failures.
    bench.clock.advance(MINUTE);
    hit!(memo, "kept" => large(1));
    assert!(memo.last_failure().unwrap().error.is_corrupt());
}

#[test]
fn a_copy_of_a_payload_file_in_another_folder_is_not_taken_for_one() {
    let bench = Bench::new();
    {
        pictures(&bench.store()).insert("kept", &large(1)).unwrap();
    }
    let blobs = bench.path().join("blobs");
    let folder = fs::read_dir(&blobs).unwrap().flatten().next().unwrap().path();
    let file = fs::read_dir(&folder).unwrap().flatten().next().unwrap();
    let other = blobs.join("0123456789abcdef0123456789abcdef");
    fs::create_dir(&other).unwrap();
    fs::copy(file.path(), other.join(file.file_name())).unwrap();
    fs::remove_file(bench.path().join("MANIFEST")).unwrap();
    let store = bench.store();
    hit!(pictures(&store), "kept" => large(1));
    assert_eq!(pictures(&store).len().unwrap(), 1);
}

/// The program ended before another index was begun.
#[test]
fn an_index_that_its_engine_calls_damaged_is_not_opened_again() {
    let bench = Bench::new();
    let store = bench.options().memory(0).open(bench.path()).unwrap();
    let memo = pictures(&store);
    memo.insert("kept", &large(1)).unwrap();
    plain(&store, "numbers").insert("small", &1).unwrap();
    bench.faults.plant(Operation::Read, Fault::Corrupt);
    assert!(memo.get("kept").unwrap_err().is_corrupt());
    drop((memo, store));
    bench.faults.heal();
    let store = bench.store();
    hit!(pictures(&store), "kept" => large(1));
    miss!(plain(&store, "numbers"), "small" => 1);
    assert!(bench.path().join("index-2").is_dir());
}
