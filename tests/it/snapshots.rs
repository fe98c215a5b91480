//! The snapshot that a clean close leaves: small values survive the loss of the index by it, nothing removed comes back, and
//! it costs little beside the changes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use memolith::{
    Memo, Store,
    testing::{Fault, Operation},
};

use crate::{history::Dice, vocabulary::*};

/// Damages the index of a closed store.
type Loss = fn(&Path);

const LOSSES: [(&str, Loss); 4] = [
    ("an index of zeros", |store| {
        let path = log(store);
        let length = fs::metadata(&path).unwrap().len();
        fs::write(path, vec![0; usize::try_from(length).unwrap()]).unwrap();
    }),
    ("an index cut short", |store| {
        fs::File::options().write(true).open(log(store)).unwrap().set_len(100).unwrap();
    }),
    ("no log", |store| fs::remove_file(log(store)).unwrap()),
    ("no index at all", |store| fs::remove_dir_all(log(store).parent().unwrap()).unwrap()),
];

fn log(store: &Path) -> PathBuf {
    let mut names = names(store);
    names.retain(|name| name.starts_with("index-"));
    assert_eq!(names.len(), 1, "{names:?}");
    store.join(names.concat()).join("db")
}

fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn manifest(bench: &Bench) -> String {
    fs::read_to_string(bench.path().join("MANIFEST")).unwrap()
}

/// Number and length of the snapshot that MANIFEST names.
fn named(bench: &Bench) -> Option<(u64, u64)> {
    let manifest = manifest(bench);
    let line = manifest.lines().find_map(|line| line.strip_prefix("snapshot "))?;
    let mut words = line.split(' ').map(|word| word.parse().unwrap_or_default());
    Some((words.next()?, words.next()?))
}

fn texts(store: &Store) -> Memo<str, Vec<u8>> {
    Memo::builder("texts").open(store).unwrap()
}

#[test]
fn small_and_large_values_survive_the_loss_of_the_index_of_a_closed_store() {
    for (what, lose) in LOSSES {
        let bench = Bench::new();
        {
            let store = bench.store();
            let memo = texts(&store);
            memo.insert("kept", &vec![1]).unwrap();
            memo.insert("large", &large(1)).unwrap();
            memo.insert("overwritten", &vec![2]).unwrap();
            memo.insert("overwritten", &vec![3]).unwrap();
            memo.insert("removed", &vec![4]).unwrap();
            memo.remove("removed").unwrap();
            memo.insert("grown", &vec![5]).unwrap();
            memo.insert("grown", &large(5)).unwrap();
            memo.insert("shrunk", &large(6)).unwrap();
            memo.insert("shrunk", &vec![6]).unwrap();
            plain(&store, "cleared").insert("gone", &5).unwrap();
            plain(&store, "cleared").clear().unwrap();
            plain(&store, "numbers").insert("one", &1).unwrap();
        }
        lose(&bench.path());
        let store = bench.diskful();
        let memo = texts(&store);
        // The first question that the snapshot does not answer has the index opened.
        assert_eq!(memo.len().unwrap(), 5, "{what}");
        assert!(store.last_failure().is_some_and(|failure| failure.error.is_corrupt()), "{what}");
        for (key, value) in [
            ("kept", vec![1]),
            ("large", large(1)),
            ("overwritten", vec![3]),
            ("grown", large(5)),
            ("shrunk", vec![6]),
        ] {
            hit!(memo, key => value);
        }
        assert_eq!(memo.get("removed").unwrap(), None, "{what}");
        hit!(plain(&store, "numbers"), "one" => 1);
        assert_eq!(plain(&store, "cleared").len().unwrap(), 0, "{what}");
        assert_eq!(store.sweep().unwrap().orphaned, 0, "{what}");
        // A value that is put now is newer than those that came back.
        memo.insert("kept", &vec![7]).unwrap();
        drop((memo, store));
        let store = bench.store();
        hit!(texts(&store), "kept" => vec![7]);
        assert!(store.last_failure().is_none());
    }
}

#[test]
fn the_order_of_insertion_the_bounds_and_the_counters_hold_for_what_is_brought_back() {
    let bench = Bench::new();
    let before = {
        let store = bench.store();
        let memo = texts(&store);
        for (key, seed) in [("first", 1), ("second", 2), ("third", 3), ("fourth", 4)] {
            memo.insert(key, &if seed == 2 { large(2) } else { vec![seed] }).unwrap();
        }
        memo.insert("first", &vec![5]).unwrap();
        miss!(memo, "fifth" => vec![6]);
        let usage = memo.usage().unwrap();
        (usage.entries, usage.bytes)
    };
    fs::remove_dir_all(bench.path().join("index-1")).unwrap();
    let store = bench.diskful();
    let usage = texts(&store).usage().unwrap();
    assert_eq!((usage.entries, usage.bytes), before);
    assert_eq!(store.total_stats().unwrap().inserts, 6);
    let memo: Memo<str, Vec<u8>> = Memo::builder("texts").max_entries(3).open(&store).unwrap();
    for gone in ["second", "third"] {
        assert_eq!(memo.get(gone).unwrap(), None);
    }
    hit!(memo, "fourth" => vec![4]);
    hit!(memo, "first" => vec![5]);
    hit!(memo, "fifth" => vec![6]);
}

#[test]
fn what_has_expired_is_not_brought_back() {
    let bench = Bench::new();
    {
        let memo: Memo<str, u64> = Memo::builder("numbers").ttl(HOUR).open(&bench.store()).unwrap();
        memo.insert("old", &1).unwrap();
        bench.clock.advance(HOUR / 2);
        memo.insert("young", &2).unwrap();
    }
    fs::remove_dir_all(bench.path().join("index-1")).unwrap();
    bench.clock.advance(HOUR / 2);
    let memo: Memo<str, u64> = Memo::builder("numbers").ttl(HOUR).open(&bench.store()).unwrap();
    hit!(memo, "young" => 2);
    miss!(memo, "old" => 3);
}

/// After a change MANIFEST names no snapshot, until the next clean close.
#[test]
fn a_removed_value_does_not_come_back_after_an_unclean_end() {
    let bench = Bench::new();
    {
        let memo = plain(&bench.store(), "numbers");
        memo.insert("removed", &1).unwrap();
        memo.insert("overwritten", &2).unwrap();
    }
    assert!(named(&bench).is_some());
    let store = bench.store();
    let memo = plain(&store, "numbers");
    memo.remove("removed").unwrap();
    memo.insert("overwritten", &3).unwrap();
    // A crash leaves this state.
    let left = Bench::new();
    copy(&bench.path(), &left.path());
    assert!(manifest(&left).contains("open\n") && named(&left).is_none());
    fs::remove_dir_all(left.path().join("index-1")).unwrap();
    let memo = plain(&left.store(), "numbers");
    assert_eq!((memo.get("removed").unwrap(), memo.get("overwritten").unwrap()), (None, None));
    // And the next close leaves a snapshot of its own.
    memo.insert("new", &4).unwrap();
    drop(memo);
    fs::remove_dir_all(log(&left.path()).parent().unwrap()).unwrap();
    let memo = plain(&left.store(), "numbers");
    assert_eq!((memo.get("removed").unwrap(), memo.get("overwritten").unwrap()), (None, None));
    hit!(memo, "new" => 4);
}

/// The program may be killed while the new index is being filled, and the next one fills it anew.
#[test]
fn an_index_that_cannot_be_filled_now_is_filled_from_the_snapshot_later() {
    let bench = Bench::new();
    plain(&bench.store(), "numbers").insert("one", &1).unwrap();
    fs::remove_dir_all(bench.path().join("index-1")).unwrap();
    bench.faults.plant(Operation::Write, Fault::NoSpace);
    drop(bench.options().open(bench.path()));
    bench.faults.heal();
    hit!(plain(&bench.store(), "numbers"), "one" => 1);
}

/// A damaged page is often found by the first read that needs it.
#[test]
fn an_index_that_is_found_damaged_before_the_first_change_is_filled_from_the_snapshot() {
    let bench = Bench::new();
    plain(&bench.store(), "numbers").insert("one", &1).unwrap();
    let store = bench.options().memory(0).exclusive(true).open(bench.path()).unwrap();
    let memo = plain(&store, "numbers");
    bench.faults.plant(Operation::Read, Fault::Corrupt);
    assert!(memo.get("one").unwrap_err().is_corrupt());
    bench.faults.heal();
    hit!(memo, "one" => 1);
    drop((memo, store));
    assert_eq!(log(&bench.path()), bench.path().join("index-2/db"));
    hit!(plain(&bench.store(), "numbers"), "one" => 1);
}

/// The same when the program ends before another index is begun.
#[test]
fn an_index_that_was_found_damaged_is_not_opened_again() {
    let bench = Bench::new();
    plain(&bench.store(), "numbers").insert("one", &1).unwrap();
    let store = bench.options().memory(0).exclusive(true).open(bench.path()).unwrap();
    let memo = plain(&store, "numbers");
    bench.faults.plant(Operation::Read, Fault::Corrupt);
    assert!(memo.get("one").unwrap_err().is_corrupt());
    drop((memo, store));
    bench.faults.heal();
    let store = bench.store();
    plain(&store, "numbers").insert("two", &2).unwrap();
    hit!(plain(&store, "numbers"), "one" => 1);
    assert!(bench.path().join("index-2").is_dir());
}

#[test]
fn a_damaged_snapshot_costs_small_values_and_nothing_else() {
    let bench = Bench::new();
    {
        let store = bench.store();
        let memo = texts(&store);
        (0..400u32).for_each(|key| memo.insert(&key.to_string(), &vec![key as u8; 500]).unwrap());
        memo.insert("large", &large(1)).unwrap();
    }
    let snapshot = bench.path().join("snapshot-1");
    let whole = fs::read(&snapshot).unwrap();
    fs::remove_dir_all(bench.path().join("index-1")).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 24) {
        let left = Bench::new();
        copy(&bench.path(), &left.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(left.path().join("snapshot-1"), bytes).unwrap();
        let store = left.diskful();
        let memo = texts(&store);
        hit!(memo, "large" => large(1));
        for key in 0..400u32 {
            let found = memo.get(&key.to_string()).unwrap();
            assert!(found.is_none_or(|found| found == vec![key as u8; 500]), "byte {at}, key {key}");
        }
        memo.insert("1", &vec![0]).unwrap();
        hit!(memo, "1" => vec![0]);
    }
}

/// The rows that changed are appended; the rest of the file stays.
#[test]
fn a_few_changes_of_many_entries_are_appended() {
    let bench = Bench::new();
    {
        let memo = texts(&bench.store());
        (0..2_000u32).for_each(|key| memo.insert(&key.to_string(), &vec![1; 500]).unwrap());
    }
    let (number, length) = named(&bench).unwrap();
    {
        let memo = texts(&bench.store());
        memo.insert("3", &vec![2; 500]).unwrap();
        memo.remove("4").unwrap();
    }
    let (same, extended) = named(&bench).unwrap();
    assert_eq!(same, number);
    assert!(extended > length + 500 && extended < length + 2_000, "{length} {extended}");
    {
        let memo = texts(&bench.store());
        (0..600u32).for_each(|key| memo.insert(&key.to_string(), &vec![3; 500]).unwrap());
    }
    let (other, _) = named(&bench).unwrap();
    assert_ne!(other, number, "written whole");
    let snapshots = names(&bench.path()).into_iter().filter(|name| name.starts_with("snapshot"));
    assert_eq!(snapshots.collect::<Vec<_>>(), [format!("snapshot-{other}")]);
}

/// Over many runs, with deltas and whole snapshots, by what comes back from them.
#[test]
fn what_comes_back_is_what_was_there_after_any_number_of_short_runs() {
    let (bench, mut dice) = (Bench::new(), Dice(7));
    let mut model = BTreeMap::new();
    {
        let memo = texts(&bench.store());
        for key in 0..500u32 {
            let value = vec![key as u8; 300];
            memo.insert(&key.to_string(), &value).unwrap();
            model.insert(key, value);
        }
    }
    for run in 0..24u32 {
        if run % 6 == 5 {
            fs::remove_dir_all(log(&bench.path()).parent().unwrap()).unwrap();
        }
        let store = bench.diskful();
        let memo = texts(&store);
        assert_eq!(memo.len().unwrap(), model.len());
        for _ in 0..dice.below(12) {
            let key = dice.below(600) as u32;
            match dice.below(4) {
                0 => assert_eq!(memo.remove(&key.to_string()).unwrap(), model.remove(&key).is_some()),
                1 => drop(model.insert(key, large(run as u8))),
                _ => drop(model.insert(key, vec![run as u8; 200])),
            }
            if let Some(value) = model.get(&key) {
                memo.insert(&key.to_string(), value).unwrap();
            }
        }
        if run == 14 {
            memo.clear().unwrap();
            model.clear();
        }
        for key in 0..600 {
            assert_eq!(memo.get(&key.to_string()).unwrap().as_ref(), model.get(&key), "run {run}, key {key}");
        }
    }
}

/// Less than 100 times the bytes of the records, in snapshots. The policy's own test has a thousand runs.
#[test]
fn many_short_runs_that_change_one_entry_each_write_little() {
    let bench = Bench::new();
    {
        let memo = texts(&bench.store());
        (0..300u32).for_each(|key| memo.insert(&key.to_string(), &vec![1; 100]).unwrap());
    }
    let (mut before, mut written, mut whole) = (named(&bench).unwrap(), 0, 0);
    let (runs, record) = (200u32, 54 + 100 + 10);
    for run in 0..runs {
        let memo = texts(&bench.store());
        memo.insert(&(run % 300).to_string(), &vec![run as u8; 100]).unwrap();
        drop(memo);
        // A machine that is busy with other things may have had no time for one.
        let Some(now) = named(&bench) else { continue };
        if now.0 == before.0 {
            written += now.1 - before.1;
        } else {
            written += now.1;
            whole += 1;
        }
        before = now;
    }
    assert!(whole > 2, "{whole}");
    assert!(written < 100 * u64::from(runs) * record, "{written} bytes, {whole} times whole");
}

/// Not even a kill makes a difference then.
#[test]
fn a_run_that_changes_nothing_writes_nothing() {
    let bench = Bench::new();
    {
        let store = bench.store();
        plain(&store, "numbers").insert("one", &1).unwrap();
        texts(&store).insert("large", &large(1)).unwrap();
    }
    let state = |bench: &Bench| {
        let changed = |name: &str| fs::metadata(bench.path().join(name)).unwrap().modified().unwrap();
        (names(&bench.path()), manifest(bench), changed("MANIFEST"), changed("snapshot-1"))
    };
    let before = state(&bench);
    for _ in 0..3 {
        let store = bench.diskful();
        hit!(plain(&store, "numbers"), "one" => 1);
        hit!(texts(&store), "large" => large(1));
        // A kill leaves this state.
        let left = Bench::new();
        copy(&bench.path(), &left.path());
        assert_eq!(manifest(&left), before.1);
        fs::remove_dir_all(left.path().join("index-1")).unwrap();
        hit!(plain(&left.store(), "numbers"), "one" => 1);
        drop(store);
        assert_eq!(state(&bench), before);
    }
}

#[test]
fn a_snapshot_that_cannot_be_written_fails_no_close() {
    let bench = Bench::new();
    let store = bench.store();
    plain(&store, "numbers").insert("one", &1).unwrap();
    bench.faults.plant(Operation::Snapshot, Fault::NoSpace);
    store.close().unwrap();
    assert!(store.last_failure().is_some_and(|failure| failure.error.is_io()));
    assert!(manifest(&bench).contains("closed\n") && named(&bench).is_none());
    drop(store);
    bench.faults.heal();
    let memo = plain(&bench.store(), "numbers");
    hit!(memo, "one" => 1);
    memo.insert("two", &2).unwrap();
    drop(memo);
    assert!(named(&bench).is_some());
}

#[test]
fn temporary_stores_write_no_snapshot() {
    let store = Store::temporary().unwrap();
    plain(&store, "numbers").insert("one", &1).unwrap();
    let path = store.path().unwrap().to_owned();
    store.flush().unwrap();
    assert!(names(&path).iter().all(|name| !name.starts_with("snapshot")));
    store.close().unwrap();
    assert!(!path.exists());
}
