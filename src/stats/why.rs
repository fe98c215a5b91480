//! Why a key is a hit or a miss.

use std::{fmt, time::Duration};

use super::Tier;
use crate::error::Error;

/// Why a call of a key would find a value or not, at this moment: see [`Memo::why`](crate::Memo::why). It prints as a sentence.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Why {
    /// There is a value.
    #[non_exhaustive]
    Hit {
        /// Where it is.
        tier: Tier,
        /// The time since it was stored.
        age: Duration,
        /// Whether it is older than its ttl: a call without a failure computes a new one.
        is_stale: bool,
    },
    /// Nothing was ever stored for the key, or it was removed. Also where it left for a bound in an earlier run, or more than
    /// 1,024 evictions ago.
    Absent,
    /// The value left for [`max_entries`](crate::MemoBuilder::max_entries) or `max_bytes`, or it is one variant of several and
    /// left before the others.
    Evicted,
    /// The value is older than its ttl, or dated in the future.
    #[non_exhaustive]
    Expired {
        /// The time since it was stored.
        age: Duration,
    },
    /// The value was stored by another version of the function, shape of the value or codec.
    Outdated,
    /// The value is damaged.
    #[non_exhaustive]
    Damaged {
        /// The damage.
        error: Error,
    },
    /// Values were stored for other answers of [inputs](crate::inputs).
    #[non_exhaustive]
    Changed {
        /// The first input of the newest value that has another answer now, as `` file `prices.csv` ``.
        input: String,
    },
    /// [`MEMOLITH_DISABLE`](crate#turning-it-off) is set: every call computes.
    Disabled,
}

impl Why {
    /// Whether a call would find a value.
    ///
    /// ```
    /// use memolith::{Memo, Store};
    ///
    /// let store = Store::temporary()?;
    /// let squares: Memo<u64, u64> = Memo::builder("squares").open(&store)?;
    /// assert!(!squares.why(&12)?.is_hit());
    /// squares.insert(&12, &144)?;
    /// assert!(squares.why(&12)?.is_hit());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub fn is_hit(&self) -> bool {
        matches!(self, Self::Hit { .. })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit { tier, age, is_stale } => {
                let place = match tier {
                    Tier::Memory => "in memory",
                    Tier::Disk => "on disk",
                    Tier::Server => "on the server",
                };
                let stale = if *is_stale { ", stale" } else { "" };
                write!(f, "a hit: the value is {place}, stored {age:.1?} ago{stale}")
            }
            Self::Absent => f.write_str("a miss: nothing is stored for the key"),
            Self::Evicted => f.write_str("a miss: the value left for a bound on entries or bytes"),
            Self::Expired { age } => {
                write!(f, "a miss: the value was stored {age:.1?} ago, and its time is over")
            }
            Self::Outdated => {
                f.write_str("a miss: the value is of another version, shape or codec of the function")
            }
            Self::Damaged { error } => write!(f, "a miss: {error}"),
            Self::Changed { input } => write!(f, "a miss: the {input} is not as it was"),
            Self::Disabled => f.write_str("a miss: memos are disabled by MEMOLITH_DISABLE"),
        }
    }
}
