//! Stored values are found by the next run of the program, and a damaged value is a miss.

use std::{
    fs,
    path::{Path, PathBuf},
};

use memolith::{
    Error, Memo, Store,
    testing::{Fault, Operation},
};

use crate::vocabulary::*;

type Values = Memo<str, Vec<u8>>;

#[track_caller]
fn values(store: &Store) -> Values {
    Memo::builder("values").open(store).unwrap()
}

/// The payload files of a store.
fn blobs(store: &Path) -> Vec<PathBuf> {
    let files = |path: PathBuf| fs::read_dir(path).unwrap().map(|file| file.unwrap().path());
    files(store.join("blobs")).flat_map(files).collect()
}

/// B120, B122, B123, B131
#[test]
fn a_restart_forgets_nothing_and_brings_nothing_back() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        let memo = values(&store);
        for key in ["inline", "removed inline", "replaced inline"] {
            miss!(memo, key => vec![1]);
        }
        for key in ["blob", "removed blob", "replaced blob"] {
            miss!(memo, key => large(1));
        }
        memo.insert("replaced inline", &large(2))?;
        memo.insert("replaced blob", &vec![2])?;
        assert!(memo.remove("removed inline")? && memo.remove("removed blob")?);
    }
    for _ in 0..2 {
        let store = bench.store();
        let memo = values(&store);
        hit!(memo, "inline" => vec![1]);
        hit!(memo, "blob" => large(1));
        hit!(memo, "replaced inline" => large(2));
        hit!(memo, "replaced blob" => vec![2]);
        assert_eq!([memo.get("removed inline")?, memo.get("removed blob")?], [None, None]);
        assert_eq!(
            (memo.len().unwrap(), memo.stats().hits.disk, store.memos().unwrap()),
            (4, 4, vec!["values".into()])
        );
        assert!(memo.last_failure().is_none() && store.last_failure().is_none());
    }
    Ok(())
}

/// B118, B129: each directory keeps the results of its own store.
#[test]
fn two_directories_are_two_stores() {
    let (here, there) = (Bench::new(), Bench::new());
    let (here, there) = (here.store(), there.store());
    miss!(plain(&here, "numbers"), "a" => 1);
    miss!(plain(&there, "numbers"), "a" => 2);
    hit!(plain(&here, "numbers"), "a" => 1);
}

fn small() -> Vec<u8> {
    vec![1]
}

/// B121
#[test]
fn a_value_that_was_read_once_is_not_read_from_disk_again() {
    for (operation, value) in
        [(Operation::Read, small as fn() -> Vec<u8>), (Operation::BlobRead, || large(1))]
    {
        let bench = Bench::new();
        let store = bench.store();
        let memo = values(&store);
        miss!(memo, "promoted" => value());
        miss!(memo, "other" => value());
        store.flush().unwrap();
        hit!(memo, "promoted" => value());
        bench.faults.plant(operation, Fault::NoSpace);
        hit!(memo, "promoted" => value());
        hit!(memo, "promoted" => value());
        assert_eq!((memo.stats().hits.disk, memo.stats().hits.memory), (1, 2));
        assert_eq!(memo.stats().failures.total(), 0);
        miss!(memo, "other" => value());
        assert!(memo.stats().failures.io > 0, "the disk could not be read");
    }
}

/// B121 reversed: without the tier every hit is read from disk.
#[test]
fn without_memory_every_hit_is_read_from_disk() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Values = Memo::builder("values").memory(0).open(&store)?;
    miss!(memo, "a" => vec![1]);
    for _ in 0..3 {
        hit!(memo, "a" => vec![1]);
    }
    assert_eq!((memo.stats().hits.disk, memo.stats().hits.memory), (3, 0));
    Ok(())
}

/// A kind of damage to the bytes of a payload file.
type Damage = fn(&mut Vec<u8>);

const DAMAGES: [(&str, Damage); 9] = [
    ("empty", Vec::clear),
    ("garbage", |bytes| bytes.fill(0xa5)),
    ("cut in its head", |bytes| bytes.truncate(40)),
    ("cut in half", |bytes| bytes.truncate(bytes.len() / 2)),
    ("one byte short", |bytes| bytes.truncate(bytes.len() - 1)),
    ("one byte long", |bytes| bytes.push(0)),
    ("a bit of its head flipped", |bytes| flip(bytes, 70)),
    ("a bit of its payload flipped", |bytes| flip(bytes, 5_000)),
    ("a bit of its sums flipped", |bytes| *bytes.last_mut().unwrap() ^= 1),
];

fn flip(bytes: &mut [u8], at: usize) {
    *bytes.get_mut(at).unwrap() ^= 1;
}

/// B124, B125
#[test]
fn a_damaged_payload_file_is_a_miss_that_heals_itself() {
    for (what, damage) in DAMAGES {
        assert_heals(what, |path| {
            let mut bytes = fs::read(path).unwrap();
            damage(&mut bytes);
            fs::write(path, bytes).unwrap();
        });
    }
}

/// B124
#[test]
fn a_payload_file_that_is_gone_is_a_miss_that_heals_itself() {
    assert_heals("gone", |path| fs::remove_file(path).unwrap());
}

#[track_caller]
fn assert_heals(what: &str, damage: impl Fn(&Path)) {
    let bench = Bench::new();
    {
        let store = bench.store();
        miss!(values(&store), "a" => large(1));
        miss!(values(&store), "b" => large(2));
    }
    for path in blobs(&bench.path()) {
        damage(&path);
    }
    {
        let store = bench.diskful();
        let memo = values(&store);
        assert_eq!(memo.get("a").unwrap(), None, "{what}");
        miss!(memo, "a" => large(3));
        assert_eq!((memo.stats().misses.damaged, memo.stats().failures.corrupt), (2, 2), "{what}");
        assert!(memo.last_failure().unwrap().error.is_corrupt(), "{what}");
        hit!(memo, "a" => large(3));
        assert_eq!(memo.len().unwrap(), 2);
    }
    let store = bench.store();
    let memo = values(&store);
    hit!(memo, "a" => large(3));
    miss!(memo, "b" => large(4));
    hit!(memo, "b" => large(4));
}

/// B125: the file is whole, but belongs to another entry.
#[test]
fn a_payload_file_in_the_place_of_another_is_not_taken_for_it() {
    let bench = Bench::new();
    {
        let store = bench.store();
        miss!(values(&store), "a" => large(1));
        miss!(values(&store), "b" => large(2));
    }
    let [one, other] = blobs(&bench.path()).try_into().unwrap();
    let aside = bench.path().join("aside");
    for (from, to) in [(&one, &aside), (&other, &one), (&aside, &other)] {
        fs::rename(from, to).unwrap();
    }
    let store = bench.store();
    let memo = values(&store);
    miss!(memo, "a" => large(3));
    miss!(memo, "b" => large(4));
    assert_eq!(memo.stats().misses.damaged, 2);
}

/// B65: a store of another version of this crate is not touched.
#[test]
fn a_store_of_another_format_is_an_error_and_is_left_alone() {
    fn contents(directory: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
        let below = |path: PathBuf| {
            let inside = if path.is_dir() { contents(&path) } else { Vec::new() };
            let bytes = fs::read(&path).ok();
            inside.into_iter().chain([(path, bytes)])
        };
        let mut all: Vec<_> = files.flat_map(below).collect();
        all.sort();
        all
    }
    let bench = Bench::new();
    {
        let store = bench.store();
        miss!(values(&store), "a" => large(1));
    }
    fs::write(bench.path().join("MANIFEST"), "memolith 99\nin a way to come\n").unwrap();
    fs::write(bench.path().join("trash").join("0".repeat(32)), "of a crash").unwrap();
    fs::remove_dir_all(bench.path().join("blobs")).unwrap();
    let before = contents(&bench.path());
    for _ in 0..2 {
        let error = bench.options().open(bench.path()).unwrap_err();
        assert!(error.is_config() && error.to_string().contains("format 99"), "{error}");
    }
    assert_eq!(contents(&bench.path()), before);
    let elsewhere = bench.options().open_or_temporary(bench.path());
    assert!(elsewhere.last_failure().unwrap().error.is_config());
    miss!(values(&elsewhere), "a" => large(2));
    assert_eq!(contents(&bench.path()), before);
}

/// B124: damage to the MANIFEST costs entries at most.
#[test]
fn a_store_whose_manifest_is_damaged_or_gone_opens_and_works() {
    let damages: [fn(&Path); 4] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, "").unwrap(),
        |path| fs::write(path, [0xff; 300]).unwrap(),
        |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes.truncate(bytes.len() / 2);
            fs::write(path, bytes).unwrap();
        },
    ];
    for damage in damages {
        let bench = Bench::new();
        {
            let store = bench.store();
            miss!(values(&store), "inline" => vec![1]);
            miss!(values(&store), "blob" => large(1));
        }
        damage(&bench.path().join("MANIFEST"));
        {
            let store = bench.store();
            let memo = values(&store);
            let [inline, blob] = ["inline", "blob"].map(|key| memo.get(key).unwrap());
            assert!(
                inline.is_none_or(|value| value == vec![1]) && blob.is_none_or(|value| value == large(1))
            );
            memo.insert("inline", &vec![2]).unwrap();
            memo.insert("blob", &large(2)).unwrap();
        }
        let store = bench.store();
        let memo = values(&store);
        hit!(memo, "inline" => vec![2]);
        hit!(memo, "blob" => large(2));
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    }
}

/// B118: results are kept only where the user asked for it.
#[test]
fn a_temporary_store_leaves_nothing_behind() -> Result<(), Error> {
    let bench = Bench::new();
    for close in [true, false] {
        let store = bench.options().temporary()?;
        let directory = store.path().unwrap().to_owned();
        let memo = values(&store);
        miss!(memo, "a" => large(1));
        hit!(memo, "a" => large(1));
        assert!(directory.is_dir());
        if close {
            store.close()?;
            assert!(!directory.exists());
            miss!(memo, "a" => large(2));
        }
        drop((memo, store));
        assert!(!directory.exists());
    }
    Ok(())
}

/// The files that `kill -9` leaves of a store during its close: all flushed data, and a part of a snapshot.
#[test]
fn a_snapshot_that_a_kill_left_unfinished_costs_nothing() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    memo.insert("one", &1).unwrap();
    let index = bench.path().join("index-1");
    let left: Vec<_> = ["db", "conf"].map(|name| (name, fs::read(index.join(name)).unwrap())).into();
    let manifest = fs::read(bench.path().join("MANIFEST")).unwrap();
    drop((memo, store));
    fs::remove_dir_all(&index).unwrap();
    fs::create_dir(&index).unwrap();
    for (name, bytes) in left {
        fs::write(index.join(name), bytes).unwrap();
    }
    fs::write(index.join("snap.0000000000FFFFFF.generating"), "a piece").unwrap();
    fs::write(bench.path().join("MANIFEST"), manifest).unwrap();
    let store = bench.store();
    hit!(plain(&store, "numbers"), "one" => 1);
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
}
