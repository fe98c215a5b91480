//! Counters of hits, misses and failures, the last failure, and the space that entries take.

mod counters;
mod failure;
mod pool;
mod why;

use std::{fmt, time::Duration};

pub(crate) use self::{
    counters::{Counters, MemoCounters},
    failure::LastFailure,
    pool::PoolCounters,
};
pub use self::{
    failure::Failure,
    pool::{PoolMisses, PoolStats},
    why::Why,
};

/// Counters of a memo, or of all memos of a store, since they were opened.
///
/// Every call counts once. A call that waited for the computation of another caller counts as a miss. Removals by
/// `clear` and `remove` are no evictions. To read the counters waits for nothing and asks no thread. Evictions and failures
/// of a value are counted when a thread of the store writes it, shortly after the call:
/// [`Store::flush`](crate::Store::flush) waits for that. Entries and bytes are in [`Usage`].
///
/// # Examples
///
/// ```
/// use memolith::{Memo, Store};
///
/// let store = Store::temporary()?;
/// let squares: Memo<u64, u64> = Memo::builder("squares").open(&store)?;
/// squares.get_or_insert_with(&12, || 144);
/// squares.get_or_insert_with(&12, || unreachable!("remembered"));
///
/// let stats = squares.stats();
/// assert_eq!((stats.misses.absent, stats.hits.total(), stats.inserts), (1, 1, 1));
/// assert_eq!(stats.failures.total(), 0);
/// println!("{stats}");
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls that found a value.
    pub hits: Hits,
    /// Calls that found no value.
    pub misses: Misses,
    /// Values that `insert` stored, and computed values that were queued to be stored.
    pub inserts: u64,
    /// Entries that were removed because of a bound, fresh or expired.
    pub evictions: u64,
    /// Failures of the cache. The calls did not fail.
    pub failures: Failures,
    /// Values larger than the memory tier. Each hit on them reads from disk.
    pub too_large_for_memory: u64,
    /// Computed values that were not stored, because the queue to the disk had no room for a second. They stay in
    /// memory only, if they fit there. This is no failure, and no event for observers.
    pub overflowed: u64,
    /// Sum of the compute times of the values that hits returned.
    pub time_saved: Duration,
    /// Stale values, and the computations that replace them.
    pub refreshes: Refreshes,
    /// The [input](crate::inputs) whose change made the last such miss, as `` file `prices.csv` ``.
    pub changed_input: Option<String>,
}

/// The space that the entries of a memo, or of a store, take on disk, at the moment when it was counted.
///
/// # Examples
///
/// ```
/// use memolith::{Memo, Store};
///
/// let store = Store::temporary()?;
/// let squares: Memo<u64, u64> = Memo::builder("squares").open(&store)?;
/// squares.get_or_insert_with(&12, || 144);
///
/// let usage = store.usage()?;
/// assert_eq!(usage.entries, 1);
/// assert!(usage.disk_bytes > usage.bytes); // small values in a young index
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Entries that have not expired.
    pub entries: u64,
    /// Size of these entries in bytes: payload, key head and header. The bounds `max_bytes` count these.
    pub bytes: u64,
    /// Size in bytes of the files, by their lengths. For a store these are all files of its directory that are its own.
    /// For small values they hold 3 to 12 times `bytes`, because the index below, sled's, is a log. For a memo these
    /// are its payload files, of values over 4 KiB, without its share of the index. 0 for a store
    /// [in memory](crate::Store::in_memory).
    pub disk_bytes: u64,
}

/// Hits by tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hits {
    /// In the memory tier.
    pub memory: u64,
    /// On disk, or queued and not written yet.
    pub disk: u64,
    /// On the server that several machines share.
    pub server: u64,
}

/// Misses by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Misses {
    /// Never stored, or removed.
    pub absent: u64,
    /// Older than its ttl, or than the [`max_age`](crate::Entry::max_age) of the call, or dated in the future. A stale value
    /// that the call had to compute anew counts here.
    pub expired: u64,
    /// Stored by another version of the function, shape of the value or codec.
    pub outdated: u64,
    /// Stored, but damaged.
    pub damaged: u64,
    /// Stored, and refused by [`validate`](crate::Entry::validate).
    pub invalid: u64,
    /// Stored for other answers of [inputs](crate::inputs), such as the contents of a file that changed since.
    pub changed: u64,
}

/// Stale values, and the computations that replace them: see [`stale_for`](crate::MemoBuilder::stale_for).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refreshes {
    /// Hits that returned a stale value. They are part of [`Hits`].
    pub stale_hits: u64,
    /// Age of the oldest stale value that a hit returned.
    pub oldest_served: Duration,
    /// Values that were computed in place of a stale one, or before their ttl was over.
    pub succeeded: u64,
    /// Such computations that returned an error or panicked, or brought no value to be stored as a fresh one. After an error
    /// the caller got the stale value where that was allowed.
    pub failed: u64,
    /// Refreshes behind a hit that were not begun, because too many were under way. A later call begins them.
    pub skipped: u64,
}

/// Failures by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failures {
    /// A key could not be serialized.
    pub key: u64,
    /// A value could not be encoded, or could not be read back unchanged.
    pub encode: u64,
    /// Undamaged bytes could not be decoded.
    pub decode: u64,
    /// Bytes on disk were damaged.
    pub corrupt: u64,
    /// The operating system reported an error.
    pub io: u64,
    /// The storage engine panicked, did not answer in time, or its files were deleted.
    pub engine: u64,
    /// A single value was larger than `max_bytes`.
    pub oversize: u64,
    /// The store was closed, or could start no thread.
    pub closed: u64,
    /// User code other than the closure panicked: a `Serialize`, a `Clone`, an observer.
    pub panic: u64,
    /// An effect was not recorded, not handled again, or not declared: see [`effects`](crate::effects).
    pub effect: u64,
    /// A value was not stored because of an [input](crate::inputs) that changed meanwhile, or that could not be compared later.
    pub input: u64,
    /// The server that several machines share did not answer, or refused.
    pub server: u64,
}

impl Hits {
    /// All hits.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.memory + self.disk + self.server
    }
}

impl Misses {
    /// All misses.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.absent + self.expired + self.outdated + self.damaged + self.invalid + self.changed
    }
}

impl Failures {
    /// All failures.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_kind().iter().map(|(_, count)| count).sum()
    }

    fn by_kind(&self) -> [(&'static str, u64); 12] {
        let Self { key, encode, decode, corrupt, io, engine, oversize, closed, panic, effect, input, server } =
            *self;
        [
            ("key", key),
            ("encode", encode),
            ("decode", decode),
            ("corrupt", corrupt),
            ("io", io),
            ("engine", engine),
            ("oversize", oversize),
            ("closed", closed),
            ("panic", panic),
            ("effect", effect),
            ("input", input),
            ("server", server),
        ]
    }
}

/// The line of a table.
impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failures    {:>12}", self.total())?;
        let some = self.by_kind().into_iter().filter(|(_, count)| *count > 0);
        for (at, (kind, count)) in some.enumerate() {
            write!(f, "{} {kind} {count}", if at == 0 { "  " } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hits, misses, failures, refreshes, .. } = self;
        write!(f, "hits        {:>12}   memory {}, disk {}", hits.total(), hits.memory, hits.disk)?;
        if hits.server > 0 {
            write!(f, ", server {}", hits.server)?;
        }
        writeln!(f)?;
        write!(
            f,
            "misses      {:>12}   absent {}, expired {}",
            misses.total(),
            misses.absent,
            misses.expired
        )?;
        write!(f, ", outdated {}, damaged {}", misses.outdated, misses.damaged)?;
        if misses.invalid > 0 {
            write!(f, ", invalid {}", misses.invalid)?;
        }
        if misses.changed > 0 {
            write!(f, ", changed {}", misses.changed)?;
        }
        writeln!(f)?;
        write!(f, "inserts     {:>12}   evictions {}", self.inserts, self.evictions)?;
        if self.overflowed > 0 {
            write!(f, ", overflowed {}", self.overflowed)?;
        }
        writeln!(f)?;
        if *refreshes != Refreshes::default() {
            let Refreshes { stale_hits, oldest_served, succeeded, failed, skipped } = refreshes;
            write!(f, "refreshes   {succeeded:>12}   failed {failed}, skipped {skipped}, ")?;
            writeln!(f, "stale hits {stale_hits}, the oldest {oldest_served:.3?}")?;
        }
        writeln!(f, "{failures}")?;
        write!(f, "time saved  {:>12}", format!("{:.3?}", self.time_saved))
    }
}

/// The tier in which a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// In the memory tier.
    Memory,
    /// On disk, or queued and not written yet.
    Disk,
    /// On the server that several machines share.
    Server,
}

/// Why a value was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Never stored, or removed.
    Absent,
    /// Older than its ttl, or than the [`max_age`](crate::Entry::max_age) of the call, or dated in the future.
    Expired,
    /// Stored by another version of the function, shape of the value or codec.
    Outdated,
    /// Stored, but damaged.
    Damaged,
    /// Refused by the `validate` of the call.
    Invalid,
    /// Stored for other answers of [inputs](crate::inputs): see [`Stats::changed_input`].
    Changed,
}

/// The counters in the order in which they are stored.
const NUMBERS: usize = 31;

impl Stats {
    /// All counters as numbers, the time in nanoseconds.
    pub(crate) fn to_numbers(&self) -> [u64; NUMBERS] {
        let Self { hits, misses, failures, refreshes, .. } = self;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (time_saved, oldest_served) = (nanos(self.time_saved), nanos(refreshes.oldest_served));
        let Refreshes { stale_hits, succeeded, failed, skipped, .. } = *refreshes;
        let [key, encode, decode, corrupt, io, engine, oversize, closed, panic, effect, input, of_server] =
            failures.by_kind().map(|(_, count)| count);
        [
            hits.memory,
            hits.disk,
            misses.absent,
            misses.expired,
            misses.outdated,
            misses.damaged,
            misses.invalid,
            self.inserts,
            self.evictions,
            self.too_large_for_memory,
            self.overflowed,
            time_saved,
            key,
            encode,
            decode,
            corrupt,
            io,
            engine,
            oversize,
            closed,
            panic,
            stale_hits,
            oldest_served,
            succeeded,
            failed,
            skipped,
            misses.changed,
            effect,
            input,
            hits.server,
            of_server,
        ]
    }

    pub(crate) fn from_numbers(numbers: [u64; NUMBERS]) -> Self {
        let [memory, disk, absent, expired, outdated, damaged, invalid, inserts, evictions, rest @ ..] =
            numbers;
        let [too_large_for_memory, overflowed, time_saved, rest @ ..] = rest;
        let [key, encode, decode, corrupt, io, engine, oversize, closed, panic, rest @ ..] = rest;
        let [stale_hits, oldest_served, succeeded, failed, skipped, changed, effect, input, rest @ ..] = rest;
        let [server, of_server] = rest;
        let oldest_served = Duration::from_nanos(oldest_served);
        Self {
            hits: Hits { memory, disk, server },
            misses: Misses { absent, expired, outdated, damaged, invalid, changed },
            inserts,
            evictions,
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
                server: of_server,
            },
            too_large_for_memory,
            overflowed,
            time_saved: Duration::from_nanos(time_saved),
            refreshes: Refreshes { stale_hits, oldest_served, succeeded, failed, skipped },
            changed_input: None,
        }
    }

    /// Adds the counters of another memo.
    pub(crate) fn add(&mut self, other: &Self) {
        self.hits.memory += other.hits.memory;
        self.hits.disk += other.hits.disk;
        self.hits.server += other.hits.server;
        self.misses.absent += other.misses.absent;
        self.misses.expired += other.misses.expired;
        self.misses.outdated += other.misses.outdated;
        self.misses.damaged += other.misses.damaged;
        self.misses.invalid += other.misses.invalid;
        self.misses.changed += other.misses.changed;
        self.inserts += other.inserts;
        self.evictions += other.evictions;
        self.failures.add(&other.failures);
        self.too_large_for_memory += other.too_large_for_memory;
        self.overflowed += other.overflowed;
        self.time_saved += other.time_saved;
        self.refreshes.add(&other.refreshes);
        if other.changed_input.is_some() {
            self.changed_input.clone_from(&other.changed_input);
        }
    }
}

impl Refreshes {
    fn add(&mut self, other: &Self) {
        self.stale_hits += other.stale_hits;
        self.oldest_served = self.oldest_served.max(other.oldest_served);
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl Failures {
    fn add(&mut self, other: &Self) {
        self.key += other.key;
        self.encode += other.encode;
        self.decode += other.decode;
        self.corrupt += other.corrupt;
        self.io += other.io;
        self.engine += other.engine;
        self.oversize += other.oversize;
        self.closed += other.closed;
        self.panic += other.panic;
        self.effect += other.effect;
        self.input += other.input;
        self.server += other.server;
    }
}
