//! Ten thousand tasks on four memos of one store, beside blocking threads, with random drops, failures, panics, re-entry,
//! each other's keys, and changes between them. Each answer is checked against the history of changes: promise 6.
//! `MEMOLITH_SOAK=1` takes the long form.

#![allow(clippy::indexing_slicing, reason = "memos and keys are drawn within bounds")]

use std::{
    future::Future,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, join_all, pending},
    join,
};
use memolith::{Context, Memo, MemoBuilder, Store, future};
use smol::future::yield_now;
use tokio::runtime::Builder;

use crate::{
    by_hand::Watchdog,
    ticks::{Dice, History},
    vocabulary::*,
};

const TASKS: u64 = 10_000;
const THREADS: u64 = 4;
/// Of each thread.
const CALLS: u64 = 400;
const MEMOS: usize = 4;
const KEYS: usize = 6;
const PLACES: usize = MEMOS * KEYS;

/// Its tick, the place that it was computed for, and padding.
type Value = Vec<u64>;

/// A key of a memo.
#[derive(Clone, Copy)]
struct Place {
    memo: usize,
    key: usize,
}

impl Place {
    fn random(dice: &mut Dice) -> Self {
        Self { memo: dice.below(MEMOS as u64) as usize, key: dice.below(KEYS as u64) as usize }
    }

    fn number(self) -> usize {
        self.memo * KEYS + self.key
    }

    /// Each value of the third memo has a file of its own, and one of the second is encoded on another thread.
    fn value(self, tick: u64) -> Value {
        let mut value = vec![tick, self.number() as u64];
        let length = match (self.memo, self.key) {
            (1, 0) => 7_000,
            (2, _) => 900,
            _ => 3,
        };
        // 10 bytes each, as postcard writes them.
        value.resize(length, u64::MAX);
        value
    }
}

fn memos(store: &Store) -> [future::Memo<usize, Value>; MEMOS] {
    let builder = |number: usize| -> MemoBuilder<usize, Value> { Memo::builder(format!("memo {number}")) };
    [builder(0), builder(1).memory(0), builder(2).memory(0), builder(3).max_entries(2)]
        .map(|memo| memo.open(store).unwrap().into())
}

struct Storm {
    history: History,
    store: Store,
    memos: [future::Memo<usize, Value>; MEMOS],
    /// The numbers of calls that were answered with a value of another call, that failed or panicked, and that were dropped.
    shared: AtomicU64,
    broken: AtomicU64,
    dropped: AtomicU64,
}

impl Storm {
    async fn work(self: Arc<Self>, mut dice: Dice) {
        let place = Place::random(&mut dice);
        let (memo, number) = (&self.memos[place.memo], place.number());
        let whole = place.memo * KEYS..(place.memo + 1) * KEYS;
        match dice.below(200) {
            0..8 => self.changes(number..number + 1, memo.remove(&place.key).map(Result::unwrap)).await,
            8..10 => self.changes(whole, memo.clear().map(Result::unwrap)).await,
            10..20 => {
                let tick = self.history.tick();
                memo.insert(&place.key, place.value(tick)).await.unwrap();
                self.history.inserted(number, tick);
            }
            20..40 => {
                let floor = self.history.floor(number);
                if let Some(found) = memo.get(&place.key).await.unwrap() {
                    self.check(place, &found, floor);
                }
            }
            40..80 => {
                let patience = Duration::from_micros(dice.below(2_000));
                let call = Arc::clone(&self).call(place, dice, Kind::Dropped);
                let ended = tokio::time::timeout(patience, call).await;
                self.dropped.fetch_add(u64::from(ended.is_err()), SeqCst);
            }
            _ => Arc::clone(&self).call(place, dice, Kind::Whole).await,
        }
    }

    async fn changes<T>(&self, places: Range<usize>, change: impl Future<Output = T>) {
        let before = self.history.tick();
        change.await;
        self.history.changed(places, before);
    }

    /// A call with a future that returns, fails or panics by the dice. Only its own caller gets its failure.
    fn call(self: Arc<Self>, place: Place, dice: Dice, kind: Kind) -> BoxFuture<'static, ()> {
        async move {
            let floor = self.history.floor(place.number());
            let own = AtomicU64::new(0);
            let call = self.memos[place.memo].get_or_try_insert_with(&place.key, || {
                own.store(self.history.begin(), SeqCst);
                Arc::clone(&self).compute(place, own.load(SeqCst), dice, kind)
            });
            let outcome = AssertUnwindSafe(call).catch_unwind().await;
            self.ended(place, outcome, own.into_inner(), floor);
        }
        .boxed()
    }

    async fn compute(
        self: Arc<Self>,
        place: Place,
        tick: u64,
        mut dice: Dice,
        kind: Kind,
    ) -> Result<Value, u64> {
        let again = |place: Place, dice: &mut Dice| {
            Arc::clone(&self).call(place, Dice(dice.below(1 << 31)), Kind::Nested(kind.depth() + 1))
        };
        match dice.below(if kind.depth() < 3 { 24 } else { 8 }) {
            0 => return Err(tick),
            // Without the message of the panic hook.
            1 => resume_unwind(Box::new(tick)),
            2 if kind == Kind::Dropped => pending().await,
            2..6 => yield_now().await,
            6..8 => {}
            8 => again(place, &mut dice).await,
            9..14 => again(Place::random(&mut dice), &mut dice).await,
            14..16 => {
                let (first, second) = (Place::random(&mut dice), Place::random(&mut dice));
                join!(again(first, &mut dice), again(second, &mut dice));
            }
            16..18 => {
                let inner = again(Place::random(&mut dice), &mut dice);
                tokio::spawn(Context::current().wrap(inner)).await.unwrap();
            }
            18 => self.call_blocking(Place::random(&mut dice), &mut dice, 2),
            _ => tokio::time::sleep(Duration::from_micros(dice.below(300))).await,
        }
        Ok(place.value(tick))
    }

    /// The same on a thread.
    fn call_blocking(&self, place: Place, dice: &mut Dice, depth: u32) {
        let floor = self.history.floor(place.number());
        let own = AtomicU64::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.memos[place.memo].blocking().get_or_try_insert_with(&place.key, || {
                own.store(self.history.begin(), SeqCst);
                match dice.below(if depth < 3 { 12 } else { 4 }) {
                    0 => return Err(own.load(SeqCst)),
                    1 => resume_unwind(Box::new(own.load(SeqCst))),
                    2..4 => thread::yield_now(),
                    4 => self.call_blocking(place, dice, depth + 1),
                    5..8 => self.call_blocking(Place::random(dice), dice, depth + 1),
                    _ => {}
                }
                Ok(place.value(own.load(SeqCst)))
            })
        }));
        self.ended(place, outcome, own.into_inner(), floor);
    }

    fn ended(&self, place: Place, outcome: thread::Result<Result<Value, u64>>, own: u64, floor: u64) {
        let broken = match outcome {
            Ok(Ok(found)) => {
                self.shared.fetch_add(u64::from(found[0] != own), SeqCst);
                return self.check(place, &found, floor);
            }
            Ok(Err(tick)) => tick,
            Err(panic) => *panic.downcast::<u64>().unwrap_or_else(|panic| resume_unwind(panic)),
        };
        self.broken.fetch_add(1, SeqCst);
        assert_eq!(broken, own, "the failure of another call");
    }

    #[track_caller]
    fn check(&self, place: Place, found: &Value, floor: u64) {
        assert_eq!(*found, place.value(found[0]), "not a value of this key");
        self.history.check(place.number(), found[0], floor);
    }
}

/// Whether a call may be dropped, and how deep it is within others.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Whole,
    Dropped,
    Nested(u32),
}

impl Kind {
    fn depth(self) -> u32 {
        if let Self::Nested(depth) = self { depth } else { 0 }
    }
}

fn storm(seed: u64) {
    let bench = Bench::new();
    // A wait that is forgotten hangs. A task may be woken on a worker that a blocking call holds up.
    let store =
        bench.options().max_wait(HOUR).max_stall(Duration::from_millis(200)).open(bench.path()).unwrap();
    let memos = memos(&store);
    let history = History::new(PLACES, ((TASKS + THREADS * CALLS) * 16) as usize);
    let (shared, broken, dropped) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let all = Arc::new(Storm { history, store, memos, shared, broken, dropped });
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (all, mut dice) = (&all, Dice(seed * 100_000 + TASKS + number));
            scope.spawn(move || {
                (0..CALLS).for_each(|_| all.call_blocking(Place::random(&mut dice), &mut dice, 0));
            });
        }
        let tasks = (0..TASKS).map(|task| runtime.spawn(Arc::clone(&all).work(Dice(seed * 100_000 + task))));
        runtime.block_on(join_all(tasks)).into_iter().for_each(Result::unwrap);
    });
    // Also the tasks that were spawned within those that were dropped.
    drop(runtime);
    all.store.flush().unwrap();
    let stats = all.store.stats();
    assert_eq!(stats.failures.total(), 0, "{stats} {:?}", all.store.last_failure());
    let counts = [&all.shared, &all.broken, &all.dropped].map(|count| count.load(SeqCst));
    assert!(stats.evictions > 0 && counts.iter().all(|count| *count > 20), "{stats} {counts:?}");
    // Each key is free, and the stored values are right.
    for number in 0..PLACES {
        let place = Place { memo: number / KEYS, key: number % KEYS };
        let found =
            smol::block_on(all.memos[place.memo].get_or_insert_with(&place.key, async || place.value(1)));
        assert_eq!(found, place.value(found[0]));
    }
    assert!(all.memos[3].blocking().len().unwrap() <= 2);
    all.store.close().unwrap();
}

#[test]
fn ten_thousand_tasks_neither_deadlock_nor_get_what_is_over() {
    for seed in 0..if is_long() { 50 } else { 1 } {
        let _watchdog = Watchdog::for_up_to(Duration::from_secs(120));
        storm(seed);
    }
}
