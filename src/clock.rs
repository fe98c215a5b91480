//! Timestamps, expiry and timeouts. Only this file reads a clock.
//!
//! Entries have wall-clock times, because they outlive the process. Timeouts and stopwatches are monotonic. A manual
//! clock (feature `testing`) replaces both, so that no test sleeps.

use std::{
    fmt,
    fs::File,
    io,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::testing::ManualClock;

/// Milliseconds since 1970-01-01, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(pub(crate) u64);

impl Timestamp {
    /// The expiry of an entry that never expires.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// Clocks may differ by this much, in milliseconds, although none was set back.
    const SKEW: u64 = 60_000;

    /// `NEVER` if the sum is out of range.
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(millis(wait)))
    }

    pub(crate) fn before(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(millis(wait)))
    }

    /// Whether an entry with this timestamp was written before the clock was set back to `now`.
    pub(crate) fn is_ahead_of(self, now: Self) -> bool {
        self.0 > now.0.saturating_add(Self::SKEW)
    }

    /// Zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH.checked_add(Duration::from_millis(time.0)).unwrap_or(UNIX_EPOCH)
    }
}

/// A time before 1970 counts as 1970.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).ok().and_then(DateTime::<Utc>::from_timestamp_millis) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => f.write_str("never"),
        }
    }
}

/// The rules by which a memo judges the lifetimes of its entries, today. In milliseconds: each read judges by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// How long an entry without an expiry of its own is fresh. All ones: for ever.
    pub(crate) ttl: u64,
    /// How long an entry is kept, stale, after it was fresh.
    pub(crate) stale_for: u64,
    /// How much earlier the entries of one key are stale. Only readers know it; bounds and sweeps ignore it.
    pub(crate) early: u64,
}

impl Default for Expiry {
    fn default() -> Self {
        Self::new(None, Duration::ZERO)
    }
}

impl Expiry {
    /// By which no entry is over but one that is dated in the future.
    pub(crate) const ANY_AGE: Self = Self { ttl: u64::MAX, stale_for: u64::MAX, early: 0 };

    pub(crate) fn new(ttl: Option<Duration>, stale_for: Duration) -> Self {
        Self { ttl: ttl.map_or(u64::MAX, millis), stale_for: millis(stale_for), early: 0 }
    }

    /// By which stale entries count as gone.
    pub(crate) fn without_stale(self) -> Self {
        // An entry that is stale early is over at that time.
        Self { stale_for: 0, ..self }
    }

    /// The rules for entries that are of use to either of two readers.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            ttl: self.ttl.max(other.ttl),
            stale_for: self.stale_for.max(other.stale_for),
            early: self.early.min(other.early),
        }
    }
}

/// A longer time than there are milliseconds is all ones.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What the age of an entry makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Freshness {
    /// Expired, or dated in the future: of no use.
    Over,
    /// After its ttl, and within the time that it is kept after that.
    Stale,
    Fresh,
}

/// When an entry was created, and when it expires if it has an expiry of its own. The ttl of its memo is not part of it:
/// each run judges the entry by the ttl that the memo has today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) created: Timestamp,
    /// `NEVER` without an expiry of its own.
    pub(crate) expires: Timestamp,
}

impl Lifetime {
    /// Of an entry without an expiry of its own.
    pub(crate) fn starting(created: Timestamp) -> Self {
        Self { created, expires: Timestamp::NEVER }
    }

    /// Of an entry that is fresh for a time of its own. With zero it is stale from the beginning.
    pub(crate) fn lasting(created: Timestamp, ttl: Duration) -> Self {
        // `NEVER` would be no expiry of its own.
        let last = Timestamp(Timestamp::NEVER.0 - 1);
        Self { created, expires: created.after(ttl).min(last) }
    }

    /// How long it is fresh by its own expiry.
    pub(crate) fn own_ttl(&self) -> Option<Duration> {
        (self.expires != Timestamp::NEVER).then(|| self.expires.since(self.created))
    }

    /// The end of its freshness, by its own expiry or else by the ttl of its memo.
    #[inline]
    pub(crate) fn expires_at(&self, expiry: Expiry) -> Timestamp {
        if self.expires == Timestamp::NEVER {
            Timestamp(self.created.0.saturating_add(expiry.ttl))
        } else {
            self.expires
        }
    }

    /// The end of its freshness for readers of its key.
    #[inline]
    pub(crate) fn fresh_until(&self, expiry: Expiry) -> Timestamp {
        let end = self.expires_at(expiry);
        if end == Timestamp::NEVER || expiry.early == 0 {
            return end;
        }
        // An entry with a short ttl of its own is fresh for half of it at least.
        let most = end.0.saturating_sub(self.created.0) / 2;
        Timestamp(end.0.saturating_sub(expiry.early.min(most)))
    }

    /// The time from which on it is of no use.
    #[inline]
    pub(crate) fn over_at(&self, expiry: Expiry) -> Timestamp {
        if expiry.stale_for == 0 {
            return self.fresh_until(expiry);
        }
        Timestamp(self.expires_at(expiry).0.saturating_add(expiry.stale_for))
    }

    /// An entry has expired from the exact time of its expiry on.
    #[inline]
    pub(crate) fn freshness(&self, now: Timestamp, expiry: Expiry) -> Freshness {
        if now < self.fresh_until(expiry) && !self.created.is_ahead_of(now) {
            Freshness::Fresh
        } else if self.is_over(now, expiry) {
            Freshness::Over
        } else {
            Freshness::Stale
        }
    }

    /// Whether the entry is fresh at a [recent](Clock::recent) time and for a while after it.
    #[inline]
    fn is_fresh_for_long(&self, recent: Timestamp, expiry: Expiry) -> bool {
        recent.after(LAG) < self.fresh_until(expiry) && !self.created.is_ahead_of(recent)
    }

    /// Whether the entry is of no use: expired, and not kept stale any more, or dated in the future.
    pub(crate) fn is_over(&self, now: Timestamp, expiry: Expiry) -> bool {
        now >= self.over_at(expiry) || self.created.is_ahead_of(now)
    }
}

/// The maximum that a [recent](Clock::recent) time is early. It is that of the last tick of the kernel: 1 to 10 ms ago, and
/// longer on a virtual machine that had to wait. A value that ends within this time is judged by the exact time.
const LAG: Duration = Duration::from_secs(10);

/// The clock of a store. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    /// `Some` in tests only.
    manual: Option<ManualClock>,
}

impl Clock {
    #[cfg(feature = "testing")]
    pub(crate) fn manual(clock: ManualClock) -> Self {
        Self { manual: Some(clock) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        if let Some(manual) = &self.manual {
            return Timestamp(manual.millis());
        }
        // A time before 1970 counts as 1970, so that the entry is old and not dated in the future.
        SystemTime::now().into()
    }

    /// Whether an entry is fresh now. The exact time is read only if its end is near.
    #[inline]
    pub(crate) fn is_fresh(&self, lifetime: Lifetime, expiry: Expiry) -> bool {
        lifetime.is_fresh_for_long(self.recent(), expiry)
            || lifetime.freshness(self.now(), expiry) == Freshness::Fresh
    }

    /// A time that may be [`LAG`] earlier than [`now`](Self::now). Reading it takes 6 ns, and 22 ns for the exact time.
    #[cfg(target_os = "linux")]
    #[inline]
    fn recent(&self) -> Timestamp {
        use rustix::time::{ClockId, DynamicClockId, clock_gettime_dynamic};

        if let Some(manual) = &self.manual {
            return Timestamp(manual.millis());
        }
        // A sandbox may refuse this clock.
        let Ok(time) = clock_gettime_dynamic(DynamicClockId::Known(ClockId::RealtimeCoarse)) else {
            return self.now();
        };
        Timestamp(Duration::try_from(time).map_or(0, millis))
    }

    /// A time that may be [`LAG`] earlier than [`now`](Self::now).
    #[cfg(not(target_os = "linux"))]
    fn recent(&self) -> Timestamp {
        self.now()
    }

    /// Measures a time span: monotonic, or by the manual clock.
    pub(crate) fn stopwatch(&self) -> Stopwatch {
        match &self.manual {
            Some(manual) => Stopwatch::Manual(manual.clone(), Timestamp(manual.millis())),
            None => Stopwatch::monotonic(),
        }
    }
}

/// Whether the system clock is before 1970.
pub(crate) fn is_before_1970() -> bool {
    SystemTime::now() < UNIX_EPOCH
}

/// The system's clock, by which file systems date files.
pub(crate) fn system_time() -> SystemTime {
    SystemTime::now()
}

/// Time since the modification date of a file. Zero for a date in the future.
pub(crate) fn age(file: &File) -> Option<Duration> {
    let dated = file.metadata().and_then(|found| found.modified()).ok()?;
    Some(SystemTime::now().duration_since(dated).unwrap_or_default())
}

/// Sets the modification date of a file to now.
pub(crate) fn date(file: &File) -> io::Result<()> {
    file.set_modified(SystemTime::now())
}

/// Days since 1970.
pub(crate) fn day() -> u64 {
    Clock::default().now().0 / (24 * 3600 * 1000)
}

/// A point in time of the monotonic clock.
pub(crate) fn moment() -> Instant {
    Instant::now()
}

#[derive(Debug)]
pub(crate) enum Stopwatch {
    Monotonic(Instant),
    Manual(ManualClock, Timestamp),
}

impl Stopwatch {
    pub(crate) fn monotonic() -> Self {
        Self::Monotonic(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Self::Monotonic(started) => started.elapsed(),
            Self::Manual(clock, started) => Timestamp(clock.millis()).since(*started),
        }
    }
}

/// The end of a wait, on the monotonic clock. A wait too long for the clock has no end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn after(wait: Duration) -> Self {
        Self(Instant::now().checked_add(wait))
    }

    /// The remaining time. `None` once the deadline has passed.
    pub(crate) fn remaining(self) -> Option<Duration> {
        match self.0 {
            None => Some(Duration::MAX),
            Some(end) => end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()),
        }
    }
}
