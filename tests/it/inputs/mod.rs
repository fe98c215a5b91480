//! Tracked inputs: what a function reads is a part of its key, found at run time.

#![allow(clippy::indexing_slicing, reason = "of arrays of the tests")]

mod claims;
mod model;
mod nested;
mod order;
mod stress;

use std::{fs, path::PathBuf};

use memolith::{Memo, Store, inputs};

use crate::vocabulary::*;

/// A bench with a folder of input files.
struct Inputs {
    bench: Bench,
    folder: tempfile::TempDir,
}

impl Inputs {
    fn new() -> Self {
        Self { bench: Bench::new(), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}

fn memo(store: &Store) -> Memo<str, u64> {
    plain(store, "totals")
}

/// A file with a number in it. One that is not there counts as 0.
fn number(path: impl AsRef<std::path::Path>) -> u64 {
    inputs::read_to_string(path).map_or(0, |text| text.trim().parse().unwrap())
}
