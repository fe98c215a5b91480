//! Calls with options of their own, stale values, and refreshes.

#![expect(
    clippy::unchecked_time_subtraction,
    clippy::indexing_slicing,
    clippy::cast_sign_loss,
    reason = "the times are those of a manual clock, and written here"
)]

mod claims;
mod entry;
mod eviction;
mod loading;
mod model;
mod stale;

use memolith::{Memo, MemoBuilder, Store};

use crate::vocabulary::*;

/// A computation that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Down;

/// Fresh for an hour, stale for a day after that.
fn builder() -> MemoBuilder<str, u64> {
    Memo::builder("stale").ttl(HOUR).stale_for(DAY)
}

#[track_caller]
fn memo(store: &Store) -> Memo<str, u64> {
    builder().open(store).unwrap()
}

/// Each with a memory tier, and without one.
fn each_store(claim: impl Fn(&Bench, Store)) {
    for is_diskful in [false, true] {
        let bench = Bench::new();
        let store = if is_diskful { bench.diskful() } else { bench.store() };
        claim(&bench, store);
    }
}

/// The backend is down: the stale value comes.
macro_rules! falls_back {
    ($memo:expr, $key:expr => $value:expr) => {
        assert_eq!($memo.get_or_try_insert_with($key, || Err(crate::freshness::Down)), Ok($value))
    };
}
use falls_back;
