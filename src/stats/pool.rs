//! The counters of a pool.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{Counters, Failures, Stats};
use crate::clock::Clock;

/// Counters of a pool since it was made.
///
/// Every call counts once. A call that waited for the builder of another caller counts as a miss. To read the counters takes
/// no lock and waits for nothing. Removals by `remove` and `clear` are in none of them.
///
/// # Examples
///
/// ```
/// let pool = memolith::ResourcePool::builder().max_entries(1).build()?;
/// pool.get_or_insert_with("a", || String::from("resource"));
/// pool.get_or_insert_with::<String>("a", || unreachable!("it is there"));
/// pool.get_or_insert_with("b", || String::from("another"));
///
/// let stats = pool.stats();
/// assert_eq!((stats.hits, stats.misses.absent, stats.inserts, stats.evictions), (1, 2, 2, 1));
/// assert_eq!(stats.failures.total(), 0);
/// println!("{stats}");
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Calls that found a resource that they could use.
    pub hits: u64,
    /// Calls that found none.
    pub misses: PoolMisses,
    /// Resources that were built and put in.
    pub inserts: u64,
    /// Resources that were removed because of a bound and had not expired.
    pub evictions: u64,
    /// Resources that were removed because they had expired, or were older than the `ttl` of a call.
    pub expirations: u64,
    /// Resources that were removed because a validation refused them.
    pub invalidations: u64,
    /// Failures of the pool: a key that cannot be serialized, a panic of a validation, of a `Drop` or of an observer. The
    /// calls did not fail.
    pub failures: Failures,
    /// Sum of the build times of the resources that hits returned.
    pub time_saved: Duration,
}

/// Misses of a pool by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolMisses {
    /// Never put in, or removed.
    pub absent: u64,
    /// Expired, or older than the `ttl` of the call.
    pub expired: u64,
    /// Refused by the validation of the call.
    pub invalid: u64,
}

impl PoolMisses {
    /// All misses.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.absent + self.expired + self.invalid
    }
}

impl PoolStats {
    /// Adds the counters of another pool.
    pub(crate) fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses.absent += other.misses.absent;
        self.misses.expired += other.misses.expired;
        self.misses.invalid += other.misses.invalid;
        self.inserts += other.inserts;
        self.evictions += other.evictions;
        self.expirations += other.expirations;
        self.invalidations += other.invalidations;
        self.failures.add(&other.failures);
        self.time_saved += other.time_saved;
    }
}

impl fmt::Display for PoolStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PoolMisses { absent, expired, invalid } = self.misses;
        writeln!(f, "hits        {:>12}", self.hits)?;
        write!(f, "misses      {:>12}   ", self.misses.total())?;
        writeln!(f, "absent {absent}, expired {expired}, invalid {invalid}")?;
        write!(f, "inserts     {:>12}   evictions {}, ", self.inserts, self.evictions)?;
        writeln!(f, "expirations {}, invalidations {}", self.expirations, self.invalidations)?;
        writeln!(f, "{}", self.failures)?;
        write!(f, "time saved  {:>12}", format!("{:.3?}", self.time_saved))
    }
}

/// The counters behind [`PoolStats`], without the hits: the pool counts them where it finds its resources.
#[derive(Debug, Default)]
pub(crate) struct PoolCounters {
    /// Misses, inserts, evictions, failures.
    pub(crate) calls: Counters,
    /// Resources that were removed because they had expired.
    expirations: AtomicU64,
    /// Resources that were removed because a validation refused them.
    invalidations: AtomicU64,
}

impl PoolCounters {
    /// The clock dates the last failure.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { calls: Counters::new(clock), ..Self::default() }
    }

    pub(crate) fn expired(&self, resources: u64) {
        self.expirations.fetch_add(resources, Relaxed);
    }

    pub(crate) fn invalidated(&self) {
        self.invalidations.fetch_add(1, Relaxed);
    }

    /// All counters, with the hits that the pool counted. Each is read by itself: together they may show half of a call.
    pub(crate) fn snapshot(&self, hits: u64, time_saved: Duration) -> PoolStats {
        let Stats { misses, inserts, evictions, failures, .. } = self.calls.snapshot();
        PoolStats {
            hits,
            misses: PoolMisses {
                absent: misses.absent,
                expired: misses.expired,
                invalid: self.calls.invalid(),
            },
            inserts,
            evictions,
            expirations: self.expirations.load(Relaxed),
            invalidations: self.invalidations.load(Relaxed),
            failures,
            time_saved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Reason;

    #[test]
    fn the_stats_of_a_pool_print_as_a_small_table() {
        let counters = PoolCounters::default();
        counters.calls.miss(Reason::Invalid);
        counters.invalidated();
        counters.expired(2);
        let table = counters.snapshot(3, Duration::from_millis(1500)).to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines,
            [
                "hits                   3",
                "misses                 1   absent 0, expired 0, invalid 1",
                "inserts                0   evictions 0, expirations 2, invalidations 1",
                "failures               0",
                "time saved        1.500s",
            ]
        );
    }
}
