//! The times of a file as numbers.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

/// Distinguishes files with equal path, length and modification time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    /// `None` if the standard library does not have it.
    pub(crate) inode: Option<u64>,
    /// In nanoseconds since 1970: the last change of the inode, or, on other systems than Unix, the creation of the file.
    /// `None` if the file system does not have it.
    pub(crate) time: Option<i128>,
}

impl Change {
    #[cfg(unix)]
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let time = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
        Self { inode: Some(metadata.ino()), time: Some(time) }
    }

    #[cfg(not(unix))]
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self { inode: None, time: metadata.created().ok().map(since_epoch) }
    }
}

/// Nanoseconds since 1970, negative before. The whole range of a `SystemTime` fits.
pub(crate) fn since_epoch(time: SystemTime) -> i128 {
    let signed = |nanoseconds: u128| i128::try_from(nanoseconds).unwrap_or(i128::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after.as_nanos()),
        Err(before) => -signed(before.duration().as_nanos()),
    }
}
