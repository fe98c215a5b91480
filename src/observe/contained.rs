//! Contains panics in code of the user.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;

/// Runs code of the user. Returns an error if it panicked.
pub(super) fn contained(tell: impl FnOnce()) -> Option<Error> {
    let told = catch_unwind(AssertUnwindSafe(tell));
    told.err().map(|panic| Error::panicked("the observer", panic))
}
