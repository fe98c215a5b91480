//! Counters of hits, misses and failures. They are relaxed atomics; a hit costs two additions.

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    error::{Error, ErrorKind},
    sync::lock,
};

/// Counters of a memo, or of all memos of a store, since they were opened.
///
/// Every call counts once. A call that waited for the computation of another caller counts as a miss. Removals by `clear`
/// and `remove` are no evictions.
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
    /// Computed values that were not stored, because the queue to the disk had no room for a second. They stay in memory
    /// only, if they fit there. This is no failure, and no event for observers.
    pub overflowed: u64,
    /// Fresh entries on disk now. 0 if they cannot be counted.
    pub entries: u64,
    /// Size of these entries in bytes: payload, key head and header.
    pub bytes: u64,
    /// Sum of the compute times of the values that hits returned.
    pub time_saved: Duration,
}

/// Hits by tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hits {
    /// In the memory tier.
    pub memory: u64,
    /// On disk, or queued and not written yet.
    pub disk: u64,
}

/// Misses by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Misses {
    /// Never stored, or removed.
    pub absent: u64,
    /// Older than its time to live, or dated in the future.
    pub expired: u64,
    /// Stored by another version of the function, shape of the value or codec.
    pub outdated: u64,
    /// Stored, but damaged.
    pub damaged: u64,
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
    /// The store was closed, or has no directory.
    pub closed: u64,
    /// User code other than the closure panicked: a `Serialize`, a `Clone`, an observer.
    pub panic: u64,
}

impl Hits {
    /// All hits.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.memory + self.disk
    }
}

impl Misses {
    /// All misses.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.absent + self.expired + self.outdated + self.damaged
    }
}

impl Failures {
    /// All failures.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_kind().iter().map(|(_, count)| count).sum()
    }

    fn by_kind(&self) -> [(&'static str, u64); 9] {
        let Self { key, encode, decode, corrupt, io, engine, oversize, closed, panic } = *self;
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
        ]
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hits, misses, failures, .. } = self;
        writeln!(f, "hits        {:>12}   memory {}, disk {}", hits.total(), hits.memory, hits.disk)?;
        write!(
            f,
            "misses      {:>12}   absent {}, expired {}",
            misses.total(),
            misses.absent,
            misses.expired
        )?;
        writeln!(f, ", outdated {}, damaged {}", misses.outdated, misses.damaged)?;
        write!(f, "inserts     {:>12}   evictions {}", self.inserts, self.evictions)?;
        if self.overflowed > 0 {
            write!(f, ", overflowed {}", self.overflowed)?;
        }
        writeln!(f)?;
        writeln!(f, "entries     {:>12}   bytes {}", self.entries, self.bytes)?;
        write!(f, "failures    {:>12}", failures.total())?;
        let some = failures.by_kind().into_iter().filter(|(_, count)| *count > 0);
        for (at, (kind, count)) in some.enumerate() {
            write!(f, "{} {kind} {count}", if at == 0 { "  " } else { "," })?;
        }
        writeln!(f)?;
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
}

/// Why a value was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Never stored, or removed.
    Absent,
    /// Older than its time to live, or dated in the future.
    Expired,
    /// Stored by another version of the function, shape of the value or codec.
    Outdated,
    /// Stored, but damaged.
    Damaged,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    memory_hits: AtomicU64,
    disk_hits: AtomicU64,
    /// In the order of [`Reason`].
    misses: [AtomicU64; 4],
    inserts: AtomicU64,
    evictions: AtomicU64,
    too_large: AtomicU64,
    overflowed: AtomicU64,
    /// Nanoseconds; wraps after 584 years.
    saved: AtomicU64,
    failures: Mutex<(Failures, Option<Error>)>,
}

impl Counters {
    pub(crate) fn hit(&self, tier: Tier, saved: Duration) {
        let hits = match tier {
            Tier::Memory => &self.memory_hits,
            Tier::Disk => &self.disk_hits,
        };
        hits.fetch_add(1, Relaxed);
        self.saved.fetch_add(saved.as_nanos() as u64, Relaxed);
    }

    pub(crate) fn miss(&self, reason: Reason) {
        let [absent, expired, outdated, damaged] = &self.misses;
        let misses = match reason {
            Reason::Absent => absent,
            Reason::Expired => expired,
            Reason::Outdated => outdated,
            Reason::Damaged => damaged,
        };
        misses.fetch_add(1, Relaxed);
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
        let mut failures = lock(&self.failures);
        let count = match error.kind() {
            ErrorKind::Key => &mut failures.0.key,
            ErrorKind::Encode
            | ErrorKind::UnsupportedType
            | ErrorKind::UntraceableType
            | ErrorKind::Config => &mut failures.0.encode,
            ErrorKind::Decode => &mut failures.0.decode,
            ErrorKind::Corrupt => &mut failures.0.corrupt,
            ErrorKind::Io | ErrorKind::InUse => &mut failures.0.io,
            ErrorKind::Engine => &mut failures.0.engine,
            ErrorKind::Oversize => &mut failures.0.oversize,
            ErrorKind::Closed => &mut failures.0.closed,
            ErrorKind::Panic => &mut failures.0.panic,
        };
        *count += 1;
        failures.1 = Some(error.clone());
    }

    pub(crate) fn last_failure(&self) -> Option<Error> {
        lock(&self.failures).1.clone()
    }

    /// All counters. Entries and bytes are 0, because only the disk knows them.
    pub(crate) fn snapshot(&self) -> Stats {
        let [absent, expired, outdated, damaged] = self.misses.each_ref().map(|count| count.load(Relaxed));
        Stats {
            hits: Hits { memory: self.memory_hits.load(Relaxed), disk: self.disk_hits.load(Relaxed) },
            misses: Misses { absent, expired, outdated, damaged },
            inserts: self.inserts.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
            failures: lock(&self.failures).0,
            too_large_for_memory: self.too_large.load(Relaxed),
            overflowed: self.overflowed.load(Relaxed),
            entries: 0,
            bytes: 0,
            time_saved: Duration::from_nanos(self.saved.load(Relaxed)),
        }
    }
}

impl Stats {
    /// Adds the counters of another memo.
    pub(crate) fn add(&mut self, other: &Self) {
        self.hits.memory += other.hits.memory;
        self.hits.disk += other.hits.disk;
        self.misses.absent += other.misses.absent;
        self.misses.expired += other.misses.expired;
        self.misses.outdated += other.misses.outdated;
        self.misses.damaged += other.misses.damaged;
        self.inserts += other.inserts;
        self.evictions += other.evictions;
        self.failures.add(&other.failures);
        self.too_large_for_memory += other.too_large_for_memory;
        self.overflowed += other.overflowed;
        self.time_saved += other.time_saved;
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_counted_by_its_kind_and_kept() {
        let counters = Counters::default();
        counters.failed(&Error::new(ErrorKind::Engine, "the engine panicked"));
        counters.failed(&Error::new(ErrorKind::Io, "no space"));
        let failures = counters.snapshot().failures;
        assert_eq!((failures.engine, failures.io, failures.total()), (1, 1, 2));
        assert_eq!(counters.last_failure().unwrap().to_string(), "no space");
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
                "entries                0   bytes 0",
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
