//! Inputs that a computation reads, and their fingerprints.
//!
//! A computation reads an [`Input`] and gets an [`Answer`]: the fingerprint of the bytes that it saw, and for a file a stamp that
//! spares the next reading of it. [`Readings`] holds the answers of one computation. A lookup asks the same inputs
//! [`today`] and compares the fingerprints.
//!
//! The names of inputs come from the index as well, so that an answer of today is a matter of regular files, folders and the
//! environment only: a pipe or a device is never opened by a lookup.

mod change;
mod files;
mod fingerprint;
mod input;
mod known;
mod list;
mod scope;
mod state;
mod today;

pub(crate) use self::{
    change::{Change, since_epoch},
    files::{exists, list, read, variable},
    fingerprint::Fingerprint,
    input::Input,
    list::{Answer, Reading, Readings, Unstorable},
    scope::{ProvidedValue, ScopeValues},
    state::FileState,
    today::today,
};
