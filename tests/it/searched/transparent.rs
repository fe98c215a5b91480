use std::{cell::RefCell, fs, iter, path::PathBuf, thread};

use memolith::{Memo, Store};

use super::{Trapped, armed, spring};
use crate::vocabulary::*;

#[test]
fn a_memo_may_be_opened_while_its_thread_ends() {
    struct Last(Store, &'static str);
    impl Drop for Last {
        fn drop(&mut self) {
            let memo = plain(&self.0, self.1);
            miss!(memo, "key" => 7);
            hit!(memo, "key" => 7);
        }
    }
    // One local is made before anything of the crate is, and one after it.
    thread_local! {
        static FIRST: RefCell<Option<Last>> = const { RefCell::new(None) };
        static SECOND: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let bench = Bench::new();
    let store = bench.store();
    let inner = store.clone();
    let ended = thread::spawn(move || {
        FIRST.set(Some(Last(inner.clone(), "first")));
        miss!(plain(&inner, "between"), "key" => 1);
        SECOND.set(Some(Last(inner, "second")));
    });
    ended.join().unwrap();
    assert_eq!(store.memos().unwrap(), ["between", "first", "second"]);
}

#[test]
fn at_a_path_of_any_length_values_are_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    // The longest path of a file in the store is 78 characters longer than the store's own; the system takes 4,095.
    for length in [4_000, 4_023, 4_024, 4_054, 4_055, 4_073, 4_074, 4_081, 4_086, 4_090, 4_091, 4_095] {
        let mut left = length - base.as_os_str().len();
        let names = iter::from_fn(|| {
            let name = left.checked_sub(1).filter(|left| *left > 0)?.min(200);
            left -= name + 1;
            Some("x".repeat(name))
        });
        let path: PathBuf = iter::once(base.clone()).chain(names.map(PathBuf::from)).collect();
        let store = Store::open_or_temporary(&path);
        let memo: Memo<u32, Vec<u8>> = Memo::builder("values").open(&store).unwrap();
        for size in [10, 100_000] {
            miss!(memo, &size => vec![1; size as usize]);
            hit!(memo, &size => vec![1; size as usize]);
        }
        let _ = store.close();
        fs::remove_dir_all(base.join("x".repeat(200))).unwrap();
    }
}

/// What code of the user may do to the store while the cache runs it.
const ACTS: [&str; 8] = ["open", "close", "clear", "sweep", "flush", "call", "remove", "insert"];

#[test]
fn code_of_the_user_may_do_anything_to_the_store_wherever_it_is_run() {
    for place in ["Serialize", "Deserialize", "Clone", "Drop", "closure", "cache_if", "observer"] {
        for act in ACTS {
            let trap = armed();
            let store = Store::builder().observer(|_| spring("observer")).temporary().unwrap();
            let builder = Memo::builder("values").cache_if(|_| {
                spring("cache_if");
                true
            });
            let memo: Memo<u64, Trapped> = builder.open(&store).unwrap();
            let (inner, again, path) = (memo.clone(), store.clone(), store.path().unwrap().to_owned());
            trap.set(place, move || match act {
                "open" => assert_eq!(Store::open(&path).unwrap().path(), again.path()),
                "close" => again.close().unwrap(),
                "clear" => again.clear().unwrap(),
                "sweep" => drop(again.sweep().unwrap()),
                "flush" => again.flush().unwrap(),
                "call" => assert_eq!(inner.get_or_insert_with(&1, || Trapped(1)).0, 1),
                "remove" => drop(inner.remove(&1).unwrap()),
                _ => inner.insert(&1, &Trapped(1)).unwrap(),
            });
            for _ in 0..4 {
                let computed = || {
                    spring("closure");
                    Trapped(1)
                };
                assert_eq!(memo.get_or_insert_with(&1, computed).0, 1, "{act} in {place}");
            }
            assert!(trap.is_sprung(), "{place}");
            let stats = store.stats();
            assert_eq!(stats.failures.panic, 0, "{act} in {place}: {:?}", memo.last_failure());
        }
    }
}

#[test]
fn a_drop_may_open_the_store_that_is_being_closed() {
    let (bench, trap) = (Bench::new(), armed());
    let store = bench.store();
    let memo: Memo<u64, Trapped> = Memo::builder("values").open(&store).unwrap();
    miss!(memo, &1 => Trapped(1));
    hit!(memo, &1 => Trapped(1));
    let options = bench.options();
    let path = bench.path();
    trap.set("Drop", move || {
        let store = options.open(path).unwrap();
        let memo: Memo<u64, u64> = Memo::builder("others").open(&store).unwrap();
        memo.insert(&2, &2).unwrap();
    });
    // The value that memory holds is dropped by this.
    store.close().unwrap();
    assert!(trap.is_sprung());
    assert_eq!(bench.store().memos().unwrap(), ["others", "values"]);
}
