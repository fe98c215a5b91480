//! The stamp of a file with known contents.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use super::change::{Change, since_epoch};

/// How old the times of a file must be before an equal stamp means equal contents: two writes of equal length may get one time
/// within a tick of the file system's clock, which is 2 s on FAT and 10 ms or less elsewhere.
const SETTLED: Duration = Duration::from_secs(2);

/// The length, the times and the inode of a file. Its contents are known by its fingerprint, and an equal state spares the reading
/// of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileState {
    /// In bytes.
    length: u64,
    /// Of the last write. In nanoseconds since 1970, as `changed` is.
    modified: i64,
    /// See [`Change`].
    changed: i64,
    /// Zero where the system has none.
    inode: u64,
}

impl FileState {
    /// Of its bytes.
    pub(crate) const SIZE: usize = 32;

    /// `None` if the file system does not have the times, or has times before 1678 or after 2262.
    pub(super) fn of(metadata: &fs::Metadata) -> Option<Self> {
        let Change { inode, time } = Change::of(metadata);
        let modified = since_epoch(metadata.modified().ok()?);
        Some(Self {
            length: metadata.len(),
            modified: modified.try_into().ok()?,
            changed: time?.try_into().ok()?,
            inode: inode.unwrap_or_default(),
        })
    }

    /// The state of a file of which `length` bytes were read from `now` on, if it can stand for them.
    ///
    /// A file of `/proc` and its like has no length, or another one than its contents, and its times do not tell a change.
    pub(super) fn settled(
        before: &fs::Metadata,
        after: &fs::Metadata,
        length: u64,
        now: SystemTime,
    ) -> Option<Self> {
        let state = Self::of(before)?;
        let is_whole = length > 0 && length == state.length;
        (is_whole && state.is_settled(now) && Self::of(after) == Some(state)).then_some(state)
    }

    /// Whether a write from `now` on changes the state.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        let latest = i128::from(self.modified.max(self.changed));
        latest.saturating_add(SETTLED.as_nanos().cast_signed()) <= since_epoch(now)
    }

    /// Four numbers of 8 bytes, little-endian.
    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        let numbers = [
            self.length.to_le_bytes(),
            self.modified.to_le_bytes(),
            self.changed.to_le_bytes(),
            self.inode.to_le_bytes(),
        ];
        let mut bytes = [0; Self::SIZE];
        bytes.iter_mut().zip(numbers.as_flattened()).for_each(|(to, from)| *to = *from);
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::SIZE]) -> Option<Self> {
        let (numbers, _) = bytes.as_chunks::<8>();
        let [length, modified, changed, inode] = *<&[[u8; 8]; 4]>::try_from(numbers).ok()?;
        Some(Self {
            length: u64::from_le_bytes(length),
            modified: i64::from_le_bytes(modified),
            changed: i64::from_le_bytes(changed),
            inode: u64::from_le_bytes(inode),
        })
    }

    /// A state that no file of a test has.
    #[cfg(test)]
    pub(crate) fn made_up(number: u64) -> Self {
        Self { length: number, modified: -1, changed: number.cast_signed(), inode: number.reverse_bits() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn settled(path: &std::path::Path, length: u64, now: SystemTime) -> bool {
        let metadata = fs::metadata(path).unwrap();
        FileState::settled(&metadata, &metadata, length, now).is_some()
    }

    #[test]
    fn the_bytes_of_a_state_come_back_and_are_golden() {
        let state = FileState { length: 5, modified: -1, changed: 2, inode: 3 };
        assert_eq!(FileState::from_bytes(state.to_bytes()), Some(state));
        let golden =
            [[5, 0, 0, 0, 0, 0, 0, 0], [0xff; 8], [2, 0, 0, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0, 0, 0]];
        assert_eq!(state.to_bytes(), golden.as_flattened());
    }

    #[test]
    fn a_file_is_settled_two_seconds_after_its_last_change() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hello").unwrap();
        // The modification time is put far back, and the time of that change remains.
        file.as_file().set_modified(UNIX_EPOCH).unwrap();
        let state = FileState::of(&fs::metadata(file.path()).unwrap()).unwrap();
        let changed = UNIX_EPOCH + Duration::from_nanos(state.changed.cast_unsigned());
        assert!(settled(file.path(), 5, changed + SETTLED));
        assert!(!settled(file.path(), 5, changed + SETTLED - Duration::from_nanos(1)));
        assert!(!settled(file.path(), 5, UNIX_EPOCH), "dated in the future");
    }

    #[test]
    fn a_file_whose_length_is_not_that_of_its_contents_is_never_settled() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hello").unwrap();
        let later = SystemTime::now() + Duration::from_secs(10);
        assert!(settled(file.path(), 5, later));
        assert!(!settled(file.path(), 4, later) && !settled(file.path(), 6, later));
        fs::write(file.path(), "").unwrap();
        assert!(!settled(file.path(), 0, later), "as the files of /proc");
    }

    #[test]
    fn a_file_that_changes_during_the_reading_is_not_settled() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hello").unwrap();
        let before = fs::metadata(file.path()).unwrap();
        file.as_file().set_modified(UNIX_EPOCH).unwrap();
        let after = fs::metadata(file.path()).unwrap();
        let later = SystemTime::now() + Duration::from_secs(10);
        assert!(FileState::settled(&before, &before, 5, later).is_some());
        assert!(FileState::settled(&before, &after, 5, later).is_none());
    }
}
