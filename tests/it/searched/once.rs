use std::{
    env,
    path::PathBuf,
    sync::{
        Barrier, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use memolith::{Memo, Store};
use serde::{Deserialize, Deserializer, Serialize};

use crate::vocabulary::*;

#[cfg(unix)]
#[test]
fn callers_who_know_the_store_by_other_paths_compute_once() {
    let bench = Bench::new();
    let (folder, path) = (bench.directory.path(), bench.path());
    let store = bench.store();
    std::os::unix::fs::symlink(&path, folder.join("link")).unwrap();
    std::os::unix::fs::symlink(folder, folder.join("loop")).unwrap();
    let here = env::current_dir().unwrap().canonicalize().unwrap();
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let real = path.canonicalize().unwrap();
    let paths = [
        folder.join("link"),
        folder.join("loop/loop/store"),
        folder.join("loop/../").join(folder.file_name().unwrap()).join("store/."),
        PathBuf::from(format!("{}//", path.display())),
        up.join(real.strip_prefix("/").unwrap()),
        path,
    ];
    let (computed, begin) = (AtomicUsize::new(0), Barrier::new(paths.len()));
    let (computed, begin) = (&computed, &begin);
    thread::scope(|scope| {
        for path in &paths {
            scope.spawn(move || {
                let memo = plain(&Store::open(path).unwrap(), "values");
                begin.wait();
                let value = memo.get_or_insert_with("key", || {
                    computed.fetch_add(1, SeqCst);
                    7
                });
                assert_eq!(value, 7);
            });
        }
    });
    assert_eq!(computed.load(SeqCst), 1);
    drop(store);
}

/// A value whose `Deserialize` asks a memo for the value that is being read.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Asking(u64);

static ASKED: Mutex<Option<Memo<u64, Asking>>> = Mutex::new(None);

impl<'de> Deserialize<'de> for Asking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        thread_local!(static IS_ASKING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
        let number = u64::deserialize(deserializer)?;
        let memo = ASKED.lock().unwrap().clone();
        if let Some(memo) = memo.filter(|_| !IS_ASKING.replace(true)) {
            for key in [number, number ^ 1] {
                assert_eq!(memo.get_or_insert_with(&key, || Self(key)), Self(key));
            }
            IS_ASKING.set(false);
        }
        Ok(Self(number))
    }
}

#[test]
fn values_that_ask_for_themselves_and_each_other_while_they_are_read_end() {
    for memory in [0, 1 << 20] {
        let bench = Bench::new();
        let store = bench.options().memory(memory).open(bench.path()).unwrap();
        let memo: Memo<u64, Asking> = Memo::builder("values").open(&store).unwrap();
        *ASKED.lock().unwrap() = Some(memo.clone());
        thread::scope(|scope| {
            for thread in 0..8 {
                let memo = &memo;
                scope.spawn(move || {
                    for call in 0..20 {
                        let key = (thread + call) % 4;
                        assert_eq!(memo.get_or_insert_with(&key, || Asking(key)), Asking(key));
                    }
                });
            }
        });
        *ASKED.lock().unwrap() = None;
        assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    }
}

#[test]
fn a_leader_that_closes_the_store_and_opens_it_again_keeps_no_waiter() {
    let bench = Bench::new();
    let (store, path) = (bench.store(), bench.path());
    let memo = plain(&store, "values");
    let begun = Barrier::new(5);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                begun.wait();
                assert_eq!(memo.get_or_insert_with("key", || 7), 7);
            });
        }
        let value = memo.get_or_insert_with("key", || {
            begun.wait();
            store.close().unwrap();
            let again = plain(&bench.options().open(&path).unwrap(), "values");
            // Another store, so it has other leaders.
            miss!(again, "key" => 7);
            hit!(again, "key" => 7);
            7
        });
        assert_eq!(value, 7);
    });
    hit!(plain(&bench.store(), "values"), "key" => 7);
}
