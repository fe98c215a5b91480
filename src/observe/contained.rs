//! Code of users, whose panics stay where they are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;

/// Runs code of a user. The error says how it panicked.
pub(super) fn contained(tell: impl FnOnce()) -> Option<Error> {
    let told = catch_unwind(AssertUnwindSafe(tell));
    told.err().map(|panic| Error::panicked("the observer", panic))
}
