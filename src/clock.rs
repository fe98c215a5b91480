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

    /// Clocks may differ by this much although none was set back.
    const SKEW: Duration = Duration::from_secs(60);

    /// `NEVER` if the sum is out of range.
    pub(crate) fn after(self, wait: Duration) -> Self {
        u64::try_from(wait.as_millis()).ok().and_then(|ms| self.0.checked_add(ms)).map_or(Self::NEVER, Self)
    }

    /// Whether an entry with this timestamp was written before the clock was set back to `now`.
    pub(crate) fn is_ahead_of(self, now: Self) -> bool {
        self > now.after(Self::SKEW)
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

    /// The same with the earlier of its own expiry and that by the `ttl` of its memo.
    pub(crate) fn under(self, ttl: Option<Duration>) -> Self {
        let today = ttl.map_or(Timestamp::NEVER, |ttl| self.created.after(ttl));
        Self { expires: self.expires.min(today), ..self }
    }

    /// Whether the entry has expired, which it has from the exact expiry on, or is dated in the future.
    pub(crate) fn is_over(&self, now: Timestamp, ttl: Option<Duration>) -> bool {
        now >= self.under(ttl).expires || self.created.is_ahead_of(now)
    }
}

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

    /// Measures a time span: monotonic, or by the manual clock.
    pub(crate) fn stopwatch(&self) -> Stopwatch {
        match &self.manual {
            Some(manual) => Stopwatch::Manual(manual.clone(), Timestamp(manual.millis())),
            None => Stopwatch::Monotonic(Instant::now()),
        }
    }
}

/// Whether the system clock is before 1970.
pub(crate) fn is_before_1970() -> bool {
    SystemTime::now() < UNIX_EPOCH
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

/// A point in time of the monotonic clock, for output on a terminal.
#[cfg(feature = "spinner")]
pub(crate) fn moment() -> Instant {
    Instant::now()
}

#[derive(Debug)]
pub(crate) enum Stopwatch {
    Monotonic(Instant),
    Manual(ManualClock, Timestamp),
}

impl Stopwatch {
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
