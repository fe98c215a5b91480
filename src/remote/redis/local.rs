//! The seam to the local store, which is on a floor above.

use super::stream::ToApply;
use crate::error::{Error, Result};

/// The store, as the tier changes it.
pub(crate) trait Local: Send + Sync {
    /// Makes changes of other machines here too. They survive the process when this returns.
    ///
    /// # Errors
    ///
    /// When one could not be made: all are made once more later.
    fn apply(&self, changes: Vec<ToApply>) -> Result<()>;

    /// Tells a failure that no call returns.
    fn failed(&self, error: &Error);

    /// A number of the connection to the process that hosts the directory, another one for each. `None` while this one hosts it,
    /// or none does.
    fn host(&self) -> Option<u64>;

    /// Whether this process hosts the directory.
    fn is_host(&self) -> bool;

    /// Has that process ask the server. `None` if it does not have the same one.
    fn ask_host(&self, request: &[u8]) -> Option<Result<Vec<u8>>>;
}
