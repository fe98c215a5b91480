//! Callers of one key at the same time cause one computation and one read; no memo call deadlocks. Claims about
//! waiters are in `waiters`.

#![allow(clippy::indexing_slicing, reason = "the ring knows its length")]

use std::{
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use memolith::{Memo, Store};

use crate::{
    threads::{Caller, Observed, gate, watched},
    vocabulary::*,
};

const CALLERS: usize = 50;

/// Spins until every caller has at least begun to call.
fn until_all(entered: &AtomicUsize) {
    while entered.load(SeqCst) < CALLERS {
        thread::yield_now();
    }
}

/// Calls from many threads at once, and gives each the number of callers so far.
fn together<T: Send>(call: impl Fn(&AtomicUsize) -> T + Sync) -> Vec<T> {
    let (entered, start) = (AtomicUsize::new(0), Barrier::new(CALLERS));
    thread::scope(|scope| {
        let one = || {
            start.wait();
            entered.fetch_add(1, SeqCst);
            call(&entered)
        };
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(one)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

/// B109
#[test]
fn fifty_threads_on_a_cold_key_compute_once() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        let computed = AtomicUsize::new(0);
        let values = together(|entered| {
            memo.get_or_insert_with("one", || {
                until_all(entered);
                computed.fetch_add(1, SeqCst) as u64 + 7
            })
        });
        assert_eq!(values, [7; CALLERS]);
        assert_eq!(computed.into_inner(), 1);
        assert_eq!(memo.stats().inserts, 1);
    });
}

/// Waiters for a computation share one read of the stored value. Before it was stored, it was decoded for the
/// comparison.
#[test]
fn fifty_threads_on_a_cold_key_read_it_once() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let decoded = Arc::new(AtomicUsize::new(0));
        let codec = {
            let decoded = Arc::clone(&decoded);
            Observed(move || {
                decoded.fetch_add(1, SeqCst);
            })
        };
        let memo: Memo<str, u64> = Memo::builder("numbers").codec(codec).open(&store).unwrap();
        let values = together(|entered| {
            memo.get_or_insert_with("one", || {
                until_all(entered);
                7
            })
        });
        assert_eq!(values, [7; CALLERS]);
        assert_eq!(decoded.load(SeqCst), 2);
    });
}

/// B109: with the memory tier off, late callers read the disk.
#[test]
fn fifty_threads_on_a_cold_key_compute_once_without_memory_too() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.diskful();
        let memo: Memo<str, Vec<u8>> = Memo::builder("pictures").open(&store).unwrap();
        let computed = AtomicUsize::new(0);
        let values = together(|entered| {
            memo.get_or_insert_with("one", || {
                until_all(entered);
                computed.fetch_add(1, SeqCst);
                large(7)
            })
        });
        assert!(values.iter().all(|value| *value == large(7)));
        assert_eq!(computed.into_inner(), 1);
    });
}

/// B109
#[test]
fn fifty_threads_on_a_key_that_is_on_disk_decode_it_once() {
    watched(|| {
        let bench = Bench::new();
        let codec = || Observed(|| ());
        let memo: Memo<str, Vec<u8>> = Memo::builder("pictures").codec(codec()).open(&bench.store()).unwrap();
        memo.insert("one", &large(1)).unwrap();
        drop(memo);

        let decoded = Arc::new(AtomicUsize::new(0));
        let entered = Arc::new(AtomicUsize::new(0));
        let counting = {
            let (decoded, entered) = (Arc::clone(&decoded), Arc::clone(&entered));
            Observed(move || {
                until_all(&entered);
                decoded.fetch_add(1, SeqCst);
            })
        };
        let memo: Memo<str, Vec<u8>> =
            Memo::builder("pictures").codec(counting).open(&bench.store()).unwrap();
        let values = together(|_| {
            entered.fetch_add(1, SeqCst);
            memo.get_or_insert_with("one", || unreachable!("it is on disk"))
        });
        assert!(values.iter().all(|value| *value == large(1)));
        assert_eq!(decoded.load(SeqCst), 1);
        let hits = memo.stats().hits;
        assert_eq!((hits.disk, hits.memory), (1, CALLERS as u64 - 1));
    });
}

/// B110: no thread passes the barrier unless all are inside their closures at the same time.
#[test]
fn different_keys_compute_in_parallel() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo: Memo<u64, u64> = Memo::builder("numbers").open(&store).unwrap();
        let inside = Barrier::new(8);
        thread::scope(|scope| {
            for key in 0..8 {
                let (memo, inside) = (&memo, &inside);
                scope.spawn(move || {
                    miss!(memo, &key => { inside.wait(); key * 2 });
                });
            }
        });
        (0..8).for_each(|key| hit!(memo, &key => key * 2));
    });
}

/// B110
#[test]
fn two_memos_with_the_same_key_do_not_wait_for_each_other() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let (first, second) = (plain(&store, "first"), plain(&store, "second"));
        let (there, keeper) = gate();
        let held = Caller::start({
            let first = first.clone();
            move || {
                first.get_or_insert_with("one", || {
                    there.pass();
                    1
                })
            }
        });
        keeper.reached();
        miss!(second, "one" => 2);
        hit!(second, "one" => 2);
        keeper.release();
        assert_eq!(held.join(), 1);
        hit!(first, "one" => 1);
        hit!(second, "one" => 2);
    });
}

/// B105
#[test]
fn clearing_from_fifty_threads_at_once_is_safe() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = plain(&store, "numbers");
        let inside = Barrier::new(CALLERS);
        together(|_| {
            assert_eq!(memo.get_or_insert_with("one", || 1), 1);
            inside.wait();
            memo.clear().unwrap();
        });
        assert_eq!((memo.len().unwrap(), memo.get("one").unwrap()), (0, None));
        miss!(memo, "one" => 2);
        hit!(memo, "one" => 2);
        assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    });
}

/// B11
#[test]
fn a_closure_that_asks_for_its_own_key_computes_it_directly() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let (memo, other) = (plain(&store, "numbers"), plain(&store, "others"));
        let value = memo.get_or_insert_with("one", || {
            10 + memo.get_or_insert_with("one", || 10 + memo.get_or_insert_with("one", || 1))
        });
        assert_eq!(value, 21);
        let through = memo.get_or_insert_with("two", || {
            10 + other.get_or_insert_with("two", || 10 + memo.get_or_insert_with("two", || 1))
        });
        assert_eq!(through, 21);
        for memo in [&memo, &other] {
            miss!(memo, "three" => 3);
            hit!(memo, "three" => 3);
        }
    });
}

/// Each thread computes its own key. When all are inside, each asks for the key of the next: a ring.
fn ring(memos: &[Memo<u64, u64>]) {
    let inside = Barrier::new(memos.len());
    let direct = Mutex::new(Vec::new());
    let computed: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..memos.len())
            .map(|own| {
                let (inside, direct) = (&inside, &direct);
                scope.spawn(move || {
                    memos[own].get_or_insert_with(&(own as u64), || {
                        inside.wait();
                        let next = (own + 1) % memos.len();
                        let asked = memos[next].get_or_insert_with(&(next as u64), || {
                            direct.lock().unwrap().push(next);
                            next as u64
                        });
                        asked + 10
                    })
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let direct = direct.into_inner().unwrap();
    assert!(!direct.is_empty(), "one thread must have closed the ring");
    for (own, value) in computed.into_iter().enumerate() {
        assert!(value >= 10, "{own} returned {value}, which its own closure did not return");
    }
}

/// B11
#[test]
fn two_threads_that_ask_for_each_others_keys_do_not_deadlock() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo: Memo<u64, u64> = Memo::builder("numbers").open(&store).unwrap();
        for _ in 0..20 {
            ring(&[memo.clone(), memo.clone()]);
            memo.clear().unwrap();
        }
    });
}

/// B11
#[test]
fn two_threads_in_a_cycle_over_two_memos_do_not_deadlock() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let open = |name: &str| Memo::builder(name).open(&store).unwrap();
        let memos: [Memo<u64, u64>; 2] = [open("first"), open("second")];
        for _ in 0..20 {
            ring(&memos);
            store.clear().unwrap();
        }
    });
}

/// B11: one flight serves the whole process.
#[test]
fn a_ring_of_three_over_three_stores_does_not_deadlock() {
    watched(|| {
        let benches = [0; 3].map(|_| Bench::new());
        let stores = benches.each_ref().map(Bench::diskful);
        let memos: Vec<Memo<u64, u64>> =
            stores.iter().map(|store| Memo::builder("numbers").open(store).unwrap()).collect();
        for _ in 0..20 {
            ring(&memos);
            for store in &stores {
                store.clear().unwrap();
            }
        }
    });
}

/// The leader waits by a channel for a caller of its key. The flight cannot see that wait, so one waiter computes
/// too.
#[test]
fn after_max_wait_a_waiter_computes_beside_a_leader_that_waits_for_it() {
    watched(|| {
        let store = Bench::new().options().max_wait(Duration::from_millis(1)).temporary().unwrap();
        let memo = plain(&store, "numbers");
        let (there, keeper) = gate();
        let leader = Caller::start({
            let memo = memo.clone();
            move || {
                memo.get_or_insert_with("one", || {
                    there.pass();
                    1
                })
            }
        });
        keeper.reached();
        miss!(memo, "one" => 2);
        hit!(memo, "one" => 2);
        keeper.release();
        assert_eq!(leader.join(), 1);
        hit!(memo, "one" => 2);
    });
}

/// The address of a local variable in this call.
#[inline(never)]
fn place() -> usize {
    let here = 0_u8;
    std::hint::black_box(&raw const here).addr()
}

/// The sum of the numbers up to `n`, and the deepest place on the stack.
fn summed(memo: &Memo<u64, (u64, usize)>, n: u64) -> (u64, usize) {
    memo.get_or_insert_with(&n, || match n.checked_sub(1) {
        None => (0, place()),
        Some(before) => {
            let (sum, deepest) = summed(memo, before);
            (sum + n, deepest)
        }
    })
}

#[test]
fn a_recursion_through_a_memo_takes_less_than_a_kilobyte_of_stack_for_a_level() {
    const LEVELS: usize = 500;
    let store = Store::temporary().unwrap();
    let memo = Memo::builder("sums").open(&store).unwrap();
    let (sum, deepest) = summed(&memo, LEVELS as u64);
    assert_eq!(sum, (LEVELS * (LEVELS + 1) / 2) as u64);
    let taken = place().abs_diff(deepest) / LEVELS;
    assert!(taken < 1024, "a level takes {taken} bytes");
}
