//! Eight threads on four memos of one store, with closures that return, fail, panic, re-enter and ask for each other's
//! keys, and changes between them. `MEMOLITH_SOAK=1` takes the long form.

#![allow(clippy::indexing_slicing, reason = "memos and keys are drawn within bounds")]

use std::{
    cell::Cell,
    env,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use memolith::{Memo, MemoBuilder, Store};

use crate::{
    history::{Dice, History},
    threads::watched,
    vocabulary::*,
};

const THREADS: u64 = 8;
const MEMOS: usize = 4;
const KEYS: usize = 6;

/// Its tick, the place that it was computed for, and padding.
type Value = Vec<u64>;

fn longer(rounds: usize) -> usize {
    if env::var_os("MEMOLITH_SOAK").is_some() { rounds * 50 } else { rounds }
}

fn place(memo: usize, key: usize) -> usize {
    memo * KEYS + key
}

/// Each value of the third memo has a file of its own.
fn value(memo: usize, key: usize, tick: u64) -> Value {
    let mut value = vec![tick, place(memo, key) as u64];
    // 10 bytes each, as postcard writes them.
    value.resize(if memo == 2 { 900 } else { 3 }, u64::MAX);
    value
}

/// One memo with default options, one without memory, one with large values on disk, one with the options of `last`.
fn memos(
    store: &Store,
    last: impl FnOnce(MemoBuilder<usize, Value>) -> MemoBuilder<usize, Value>,
) -> [Memo<usize, Value>; MEMOS] {
    let builder = |number: usize| Memo::builder(format!("memo {number}"));
    [builder(0), builder(1).memory(0), builder(2).memory(0), last(builder(3))]
        .map(|memo| memo.open(store).unwrap())
}

/// Everything at once. Each answer is checked against the history.
struct Storm {
    history: History,
    store: Store,
    memos: [Memo<usize, Value>; MEMOS],
    /// The number of calls that were answered with a value of another call.
    shared: AtomicU64,
    /// The number of calls that failed or panicked.
    broken: AtomicU64,
}

impl Storm {
    fn work(&self, dice: &mut Dice) {
        let (memo, key) = (dice.below(MEMOS as u64) as usize, dice.below(KEYS as u64) as usize);
        let (handle, here) = (&self.memos[memo], place(memo, key)..=place(memo, key));
        let whole = place(memo, 0)..place(memo + 1, 0);
        match dice.below(200) {
            0..12 => self.history.change(here, |_| _ = handle.remove(&key).unwrap()),
            12..18 => self.history.change(whole, |_| handle.clear().unwrap()),
            18 => self.history.change(0..place(MEMOS, 0), |_| self.store.clear().unwrap()),
            19 => self.history.change(whole, |_| _ = self.store.remove_memo(handle.name()).unwrap()),
            20 => _ = self.store.sweep().unwrap(),
            21 => self.store.flush().unwrap(),
            22..40 => self.history.insert(place(memo, key), |tick| {
                handle.insert(&key, &value(memo, key, tick)).unwrap();
            }),
            40..60 => {
                let floor = self.history.floor(place(memo, key));
                if let Some(found) = handle.get(&key).unwrap() {
                    self.check(memo, key, &found, floor);
                }
            }
            _ => self.call(memo, key, dice, 0),
        }
    }

    /// A call with a closure that returns, fails or panics by the dice. Only its own caller gets its failure.
    fn call(&self, memo: usize, key: usize, dice: &mut Dice, depth: u32) {
        let floor = self.history.floor(place(memo, key));
        let own = Cell::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.memos[memo].get_or_try_insert_with(&key, || {
                own.set(self.history.begin());
                match dice.below(if depth < 3 { 16 } else { 4 }) {
                    0 => return Err(own.get()),
                    // Without the message of the panic hook.
                    1 => resume_unwind(Box::new(own.get())),
                    4 => self.call(memo, key, dice, depth + 1),
                    5..10 => {
                        let (other, another) = (dice.below(MEMOS as u64), dice.below(KEYS as u64));
                        self.call(other as usize, another as usize, dice, depth + 1);
                    }
                    _ => {}
                }
                Ok(value(memo, key, own.get()))
            })
        }));
        let broken = match outcome {
            Ok(Ok(found)) => {
                self.shared.fetch_add(u64::from(found[0] != own.get()), SeqCst);
                return self.check(memo, key, &found, floor);
            }
            Ok(Err(tick)) => tick,
            Err(panic) => *panic.downcast::<u64>().unwrap_or_else(|panic| resume_unwind(panic)),
        };
        self.broken.fetch_add(1, SeqCst);
        assert_eq!(broken, own.get(), "the failure of another call");
    }

    #[track_caller]
    fn check(&self, memo: usize, key: usize, found: &Value, floor: u64) {
        assert_eq!(*found, value(memo, key, found[0]), "not a value of this key");
        self.history.check(place(memo, key), found[0], floor);
    }
}

fn storm(seed: u64, operations: usize) {
    let bench = Bench::new();
    let store = bench.store();
    let memos = memos(&store, |bounded| bounded.max_entries(2));
    // A call may begin a computation at each of its depths, and an insert takes two.
    let history = History::new(place(MEMOS, 0), operations * THREADS as usize * 8);
    let all = Storm { history, store, memos, shared: AtomicU64::new(0), broken: AtomicU64::new(0) };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (all, mut dice) = (&all, Dice(seed * THREADS + thread));
            scope.spawn(move || (0..operations).for_each(|_| all.work(&mut dice)));
        }
    });
    all.store.flush().unwrap();
    let stats = all.store.stats();
    assert_eq!(stats.failures.total(), 0, "{stats} {:?}", all.store.last_failure());
    assert!(stats.evictions > 0 && all.shared.into_inner() > 0 && all.broken.into_inner() > 0, "{stats}");
    assert!(all.memos[3].len().unwrap() <= 2);
    let Storm { store, memos, .. } = all;
    // No lock is held any more, and the stored values are right.
    for (number, memo) in memos.iter().enumerate() {
        for key in 0..KEYS {
            let found = memo.get_or_insert_with(&key, || value(number, key, 1));
            assert_eq!(found, value(number, key, found[0]));
        }
    }
    store.close().unwrap();
}

#[test]
fn closures_that_fail_panic_re_enter_and_ask_for_each_other_neither_deadlock_nor_get_what_is_over() {
    for seed in 0..longer(4) as u64 {
        watched(move || storm(seed, 400));
    }
}

/// Calls only, without changes. A memo asks only the memos behind it, so no caller must compute for itself. At most
/// one closure of a key fails, so waiters wait for the next closure.
struct Crowd {
    memos: [Memo<usize, Value>; MEMOS],
    /// By place: the number of computations and of failed closures since the last clear.
    computed: Vec<AtomicU64>,
    failed: Vec<AtomicU64>,
}

impl Crowd {
    fn call(&self, memo: usize, key: usize, dice: &mut Dice) {
        let here = place(memo, key);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.memos[memo].get_or_try_insert_with(&key, || {
                if memo + 1 < MEMOS && dice.below(2) == 0 {
                    let behind = memo + 1 + dice.below((MEMOS - memo - 1) as u64) as usize;
                    self.call(behind, dice.below(KEYS as u64) as usize, dice);
                }
                let fate = dice.below(4);
                if fate < 2 && self.failed[here].fetch_add(1, SeqCst) == 0 {
                    return if fate == 0 { Err(()) } else { resume_unwind(Box::new(())) };
                }
                Ok(value(memo, key, self.computed[here].fetch_add(1, SeqCst)))
            })
        }));
        if let Ok(Ok(found)) = outcome {
            assert_eq!(found, value(memo, key, 0), "computed again");
        }
    }
}

/// Rounds of concurrent calls. After each round everything is cleared.
fn crowd(seed: u64) {
    let bench = Bench::new();
    let store = bench.store();
    let counters = || (0..place(MEMOS, 0)).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
    let crowd = Crowd { memos: memos(&store, |memo| memo), computed: counters(), failed: counters() };
    let barrier = Barrier::new(THREADS as usize);
    let round = |dice: &mut Dice| {
        barrier.wait();
        for _ in 0..40 {
            crowd.call(dice.below(MEMOS as u64) as usize, dice.below(KEYS as u64) as usize, dice);
        }
        if barrier.wait().is_leader() {
            store.clear().unwrap();
            let computed: Vec<u64> = crowd.computed.iter().map(|count| count.swap(0, SeqCst)).collect();
            assert!(computed.iter().all(|count| *count <= 1), "{computed:?}");
            assert!(computed.iter().sum::<u64>() > 12, "hardly any key was called for: {computed:?}");
            crowd.failed.iter().for_each(|count| count.store(0, SeqCst));
        }
        barrier.wait();
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let round = &round;
            scope.spawn(move || {
                let mut dice = Dice(seed * THREADS + thread);
                (0..30).for_each(|_| round(&mut dice));
            });
        }
    });
}

#[test]
fn each_key_is_computed_once_a_generation_however_many_call_for_it() {
    for seed in 0..longer(1) as u64 {
        watched(move || crowd(seed));
    }
}
