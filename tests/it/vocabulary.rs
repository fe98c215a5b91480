//! The vocabulary of the claims.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use memolith::{
    Memo, Store, StoreBuilder,
    testing::{Faults, ManualClock},
};
use tempfile::TempDir;

/// The closure must not run: the value is remembered.
macro_rules! hit {
    ($memo:expr, $key:expr => $value:expr) => {
        assert_eq!($memo.get_or_insert_with($key, || panic!("computed, though it is remembered")), $value)
    };
}

/// The closure must run, and its value is returned.
macro_rules! miss {
    ($memo:expr, $key:expr => $value:expr) => {{
        let ran = std::cell::Cell::new(false);
        let value = $memo.get_or_insert_with($key, || {
            ran.set(true);
            $value
        });
        assert!(ran.get(), "remembered, though it should be computed");
        assert_eq!(value, $value);
    }};
}

/// A directory of its own, a manual clock, and faults to plant: everything that a scenario needs. Dropping the store
/// and opening it again is a restart, as far as the disk can tell.
pub struct Bench {
    pub directory: TempDir,
    pub clock: ManualClock,
    pub faults: Faults,
    /// For an engine that never answers: then the deadline of calls is 100 ms, the shortest there is.
    pub is_impatient: bool,
}

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);

impl Bench {
    pub fn new() -> Self {
        let (directory, clock, faults) = (tempfile::tempdir().unwrap(), ManualClock::new(), Faults::new());
        Self { directory, clock, faults, is_impatient: false }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// Options with this bench's clock and faults.
    pub fn options(&self) -> StoreBuilder {
        let options = Store::builder().clock(&self.clock).faults(&self.faults);
        if self.is_impatient { options.reply_timeout(Duration::ZERO) } else { options }
    }

    #[track_caller]
    pub fn store(&self) -> Store {
        self.options().open(self.path()).unwrap()
    }

    /// A store without the memory tier: every hit is read from disk.
    #[track_caller]
    pub fn diskful(&self) -> Store {
        self.options().memory(0).open(self.path()).unwrap()
    }
}

/// Whether the long form of the tests is asked for, by `MEMOLITH_SOAK=1`.
pub fn is_long() -> bool {
    std::env::var_os("MEMOLITH_SOAK").is_some()
}

/// A memo of words and numbers, with no options.
#[track_caller]
pub fn plain(store: &Store, name: &str) -> Memo<str, u64> {
    Memo::builder(name).open(store).unwrap()
}

/// A value that is too large for the index: it gets a file of its own.
pub fn large(seed: u8) -> Vec<u8> {
    (0..8_000u32).map(|index| (index.wrapping_mul(31) as u8).wrapping_add(seed)).collect()
}

/// Copies a directory with its files.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().flatten() {
        let (path, to) = (file.path(), to.join(file.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else if path.is_file() {
            // A store in use has a socket too.
            fs::copy(&path, to).unwrap();
        }
    }
}
