//! The last failure that no call returned.

use std::{error::Error as StdError, fmt, sync::Mutex, time::SystemTime};

use crate::{
    clock::{Clock, Timestamp},
    error::Error,
    sync::lock,
};

/// A failure of the cache that no call returned, and its time. It prints as the error with the time behind it.
///
/// # Examples
///
/// ```
/// use std::{collections::HashMap, time::SystemTime};
///
/// use memolith::{Memo, Store};
///
/// let store = Store::temporary()?;
/// let memo: Memo<str, Vec<u8>> = Memo::builder("pictures").max_bytes(100).open(&store)?;
/// memo.get_or_insert_with("dot", || vec![255; 1000]);
///
/// let failure = memo.take_last_failure().unwrap();
/// assert!(failure.error.is_oversize() && failure.at <= SystemTime::now());
/// assert!(memo.last_failure().is_none()); // it was taken
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Failure {
    /// The cause and the remedy.
    pub error: Error,
    /// When it was noticed, in milliseconds of the system clock.
    pub at: SystemTime,
}

impl Failure {
    pub(crate) fn now(error: Error, clock: &Clock) -> Self {
        Self { error, at: clock.now().into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {})", self.error, Timestamp::from(self.at))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Timestamp::from(self.at);
        f.debug_struct("Failure").field("error", &self.error).field("at", &format_args!("{at}")).finish()
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

/// The last failure of a memo, a store or a pool.
#[derive(Debug, Default)]
pub(crate) struct LastFailure {
    clock: Clock,
    /// Since the last one was taken.
    last: Mutex<Option<Failure>>,
}

impl LastFailure {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, last: Mutex::default() }
    }

    pub(crate) fn keep(&self, error: Error) {
        let _former = lock(&self.last).replace(Failure::now(error, &self.clock));
    }

    pub(crate) fn get(&self) -> Option<Failure> {
        lock(&self.last).clone()
    }

    pub(crate) fn take(&self) -> Option<Failure> {
        lock(&self.last).take()
    }
}
