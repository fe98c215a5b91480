//! The counters: relaxed atomics. A hit costs two additions, at a place that it shares with few other threads.

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{Failures, Hits, LastFailure, Misses, Reason, Refreshes, Stats, Tier};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind},
    sync::lock,
};

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Each thread adds to one of them. The sums are what is counted.
    hits: [HitCounters; STRIPES],
    /// In the order of [`Reason`].
    misses: [AtomicU64; 6],
    inserts: AtomicU64,
    evictions: AtomicU64,
    too_large: AtomicU64,
    overflowed: AtomicU64,
    stale_hits: AtomicU64,
    /// Milliseconds.
    oldest_served: AtomicU64,
    refreshed: AtomicU64,
    failed_refreshes: AtomicU64,
    skipped_refreshes: AtomicU64,
    /// In the order of [`Failures`].
    failures: [AtomicU64; 12],
    /// For [`Stats::changed_input`].
    changed_input: Mutex<Option<String>>,
    pub(crate) last_failure: LastFailure,
}

/// Two threads that count hits in one cache line wait for each other: a hit took 60 ns more.
const STRIPES: usize = 8;

/// The hits of some of the threads. On lines of their own, also where the CPU fetches lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct HitCounters {
    memory: AtomicU64,
    disk: AtomicU64,
    server: AtomicU64,
    /// Nanoseconds; wraps after 584 years.
    saved: AtomicU64,
}

/// That of this thread: threads take turns.
fn stripe() -> usize {
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(STRIPES) };
    }
    static NEXT: AtomicUsize = AtomicUsize::new(0);

    let known = STRIPE.get();
    if known < STRIPES {
        return known;
    }
    let stripe = NEXT.fetch_add(1, Relaxed) % STRIPES;
    STRIPE.set(stripe);
    stripe
}

impl Counters {
    /// The clock dates the last failure.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { last_failure: LastFailure::new(clock), ..Self::default() }
    }

    pub(crate) fn hit(&self, tier: Tier, saved: Duration) {
        let [first, ..] = &self.hits;
        let counters = self.hits.get(stripe()).unwrap_or(first);
        let hits = match tier {
            Tier::Memory => &counters.memory,
            Tier::Disk => &counters.disk,
            Tier::Server => &counters.server,
        };
        hits.fetch_add(1, Relaxed);
        counters.saved.fetch_add(saved.as_nanos() as u64, Relaxed);
    }

    fn sum(&self, count: fn(&HitCounters) -> &AtomicU64) -> u64 {
        let counts = self.hits.iter().map(|hits| count(hits).load(Relaxed));
        counts.fold(0, u64::wrapping_add)
    }

    /// A hit on a stale value of this age, beside [`hit`](Self::hit).
    pub(crate) fn stale_hit(&self, age: Duration) {
        self.stale_hits.fetch_add(1, Relaxed);
        self.oldest_served.fetch_max(age.as_millis() as u64, Relaxed);
    }

    pub(crate) fn refreshed(&self) {
        self.refreshed.fetch_add(1, Relaxed);
    }

    pub(crate) fn failed_refresh(&self) {
        self.failed_refreshes.fetch_add(1, Relaxed);
    }

    pub(crate) fn skipped_refresh(&self) {
        self.skipped_refreshes.fetch_add(1, Relaxed);
    }

    pub(crate) fn miss(&self, reason: Reason) {
        let [absent, expired, outdated, damaged, invalid, changed] = &self.misses;
        let misses = match reason {
            Reason::Absent => absent,
            Reason::Expired => expired,
            Reason::Outdated => outdated,
            Reason::Damaged => damaged,
            Reason::Invalid => invalid,
            Reason::Changed => changed,
        };
        misses.fetch_add(1, Relaxed);
    }

    /// Names the input that made a miss.
    pub(crate) fn changed(&self, input: String) {
        *lock(&self.changed_input) = Some(input);
    }

    /// Counts a value that had no room in the queue to the disk.
    pub(crate) fn overflowed(&self) {
        self.overflowed.fetch_add(1, Relaxed);
    }

    pub(crate) fn inserted(&self) {
        self.inserts.fetch_add(1, Relaxed);
    }

    pub(crate) fn evicted(&self, entries: u64) {
        self.evictions.fetch_add(entries, Relaxed);
    }

    /// Returns whether this is the first such value, so that only one event is reported.
    pub(crate) fn too_large(&self) -> bool {
        self.too_large.fetch_add(1, Relaxed) == 0
    }

    /// Counts the failure by its kind and keeps it.
    pub(crate) fn failed(&self, error: &Error) {
        let [key, encode, decode, corrupt, io, engine, oversize, closed, panic, effect, input, server] =
            &self.failures;
        let count = match error.kind() {
            ErrorKind::Key => key,
            ErrorKind::Encode
            | ErrorKind::UnsupportedType
            | ErrorKind::UntraceableType
            | ErrorKind::Config => encode,
            ErrorKind::Decode => decode,
            ErrorKind::Corrupt => corrupt,
            ErrorKind::Io | ErrorKind::InUse => io,
            ErrorKind::Engine => engine,
            ErrorKind::Oversize => oversize,
            ErrorKind::Closed => closed,
            ErrorKind::Panic => panic,
            ErrorKind::Effect => effect,
            ErrorKind::Input => input,
            ErrorKind::Server => server,
        };
        count.fetch_add(1, Relaxed);
        self.last_failure.keep(error.clone());
    }

    /// Calls that found a resource that a validation refused.
    pub(super) fn invalid(&self) -> u64 {
        let [.., invalid, _] = &self.misses;
        invalid.load(Relaxed)
    }

    /// All counters. Each is read by itself: together they may show half of a call.
    pub(crate) fn snapshot(&self) -> Stats {
        let [absent, expired, outdated, damaged, invalid, changed] =
            self.misses.each_ref().map(|count| count.load(Relaxed));
        let [key, encode, decode, corrupt, io, engine, oversize, closed, panic, effect, input, server] =
            self.failures.each_ref().map(|count| count.load(Relaxed));
        Stats {
            hits: Hits {
                memory: self.sum(|hits| &hits.memory),
                disk: self.sum(|hits| &hits.disk),
                server: self.sum(|hits| &hits.server),
            },
            misses: Misses { absent, expired, outdated, damaged, invalid, changed },
            inserts: self.inserts.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
            failures: Failures {
                key,
                encode,
                decode,
                corrupt,
                io,
                engine,
                oversize,
                closed,
                panic,
                effect,
                input,
                server,
            },
            too_large_for_memory: self.too_large.load(Relaxed),
            overflowed: self.overflowed.load(Relaxed),
            time_saved: Duration::from_nanos(self.sum(|hits| &hits.saved)),
            refreshes: Refreshes {
                stale_hits: self.stale_hits.load(Relaxed),
                oldest_served: Duration::from_millis(self.oldest_served.load(Relaxed)),
                succeeded: self.refreshed.load(Relaxed),
                failed: self.failed_refreshes.load(Relaxed),
                skipped: self.skipped_refreshes.load(Relaxed),
            },
            // It waits for no other thread.
            changed_input: self.changed_input.try_lock().ok().and_then(|changed| changed.clone()),
        }
    }
}

/// Places for counters, filled from the front.
type Block = Box<[OnceLock<Arc<Counters>>]>;

/// The counters of all memos that a store had open. They can be read without a lock.
#[derive(Debug, Default)]
pub(crate) struct MemoCounters {
    clock: Clock,
    by_name: Mutex<HashMap<String, Arc<Counters>>>,
    /// The same counters in the order of their first open. Each block is twice as long as the one before, so none
    /// moves.
    blocks: [OnceLock<Block>; 32],
}

impl MemoCounters {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, ..Self::default() }
    }

    /// The counters of a memo, made at its first open.
    pub(crate) fn of(&self, name: &str) -> Arc<Counters> {
        let mut by_name = lock(&self.by_name);
        if let Some(counters) = by_name.get(name) {
            return Arc::clone(counters);
        }
        let counters = Arc::new(Counters::new(self.clock.clone()));
        by_name.insert(name.to_owned(), Arc::clone(&counters));
        self.append(by_name.len(), &counters);
        counters
    }

    /// Puts the counters of the memo with this number, from 1 on, into their block. The caller holds the lock.
    fn append(&self, number: usize, counters: &Arc<Counters>) {
        let block = number.ilog2();
        let made = self
            .blocks
            .get(block as usize)
            .map(|place| place.get_or_init(|| (0..1_usize << block).map(|_| OnceLock::new()).collect()));
        if let Some(place) = made.and_then(|made| made.get(number - (1 << block))) {
            let _ = place.set(Arc::clone(counters));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Counters>> {
        self.blocks.iter().map_while(OnceLock::get).flatten().map_while(OnceLock::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_of_many_threads_are_all_counted() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| {
                    counters.hit(Tier::Memory, Duration::from_nanos(2));
                    counters.hit(Tier::Disk, Duration::from_nanos(3));
                });
            }
        });
        let Stats { hits, time_saved, .. } = counters.snapshot();
        assert_eq!((hits.memory, hits.disk, time_saved.as_nanos()), (16, 16, 80));
    }

    #[test]
    fn a_failure_is_counted_by_its_kind_and_kept() {
        let counters = Counters::default();
        counters.failed(&Error::new(ErrorKind::Engine, "the engine panicked"));
        counters.failed(&Error::new(ErrorKind::Io, "no space"));
        let failures = counters.snapshot().failures;
        assert_eq!((failures.engine, failures.io, failures.total()), (1, 1, 2));
        assert_eq!(counters.last_failure.get().unwrap().error.to_string(), "no space");
    }

    #[test]
    fn the_counters_of_every_memo_are_in_the_sum_and_one_name_has_one_set() {
        let memos = MemoCounters::default();
        let first = memos.of("0");
        for number in 0..1_000 {
            memos.of(&number.to_string()).inserted();
        }
        assert!(Arc::ptr_eq(&first, &memos.of("0")));
        assert_eq!(memos.iter().map(|counters| counters.snapshot().inserts).sum::<u64>(), 1_000);
    }

    /// The thread that reads holds the lock of the names: a second one would wait for ever.
    #[test]
    fn reading_takes_no_lock() {
        let memos = MemoCounters::default();
        let counters = memos.of("frames");
        counters.failed(&Error::new(ErrorKind::Io, "no space"));
        let _held = lock(&memos.by_name);
        assert_eq!(memos.iter().map(|counters| counters.snapshot().failures.io).sum::<u64>(), 1);
    }

    #[test]
    fn a_failure_that_is_taken_is_gone_and_the_next_is_kept() {
        let counters = Counters::default();
        assert!(counters.last_failure.take().is_none());
        counters.failed(&Error::new(ErrorKind::Io, "no space"));
        assert!(counters.last_failure.take().is_some_and(|failure| failure.error.is_io()));
        assert!(counters.last_failure.get().is_none());
        counters.failed(&Error::new(ErrorKind::Engine, "it hangs"));
        assert!(counters.last_failure.get().is_some_and(|failure| failure.error.is_engine()));
        assert_eq!(counters.snapshot().failures.total(), 2, "the counters stay");
    }

    #[test]
    fn stats_print_as_a_small_table() {
        let counters = Counters::default();
        counters.hit(Tier::Memory, Duration::from_millis(1500));
        counters.miss(Reason::Outdated);
        let table = counters.snapshot().to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines,
            [
                "hits                   1   memory 1, disk 0",
                "misses                 1   absent 0, expired 0, outdated 1, damaged 0",
                "inserts                0   evictions 0",
                "failures               0",
                "time saved        1.500s",
            ]
        );
        counters.failed(&Error::new(ErrorKind::Io, "no space"));
        counters.failed(&Error::new(ErrorKind::Io, "no space"));
        counters.failed(&Error::new(ErrorKind::Panic, "the observer panicked"));
        let table = counters.snapshot().to_string();
        assert!(table.contains("failures               3   io 2, panic 1\n"), "{table}");
    }
}
