//! A file as a key: which one, how long, when last written and changed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::error::{Error, Kind, Result};

/// A key for what is computed from a file: its canonical path, its length, its modification time, and where the system
/// has them its inode and the time of its last change. An edited file has another stamp, and so is a miss.
///
/// Take the stamp *before* the file is read. An edit between the two is then seen by the computation, and the
/// next stamp differs.
///
/// # What it sees, and what it does not
///
/// A stamp never reads the file, and costs the microseconds of a look at each folder above it. On Unix it differs after:
///
/// - A write, of the same length too, and with the modification time put back (`touch -r`, `cp -p` over it, unpacking an
///   archive): the system sets the time of the last change (`ctime`), and no call sets it back.
/// - A rename of another file over it, also one of equal length and modification time: the inode differs.
///
/// Elsewhere the inode and `ctime` are not to be had. There the time at which the file was created stands for both, and a write
/// that keeps the length and puts the modification time back is not seen.
///
/// No system shows these edits:
///
/// - The file was written twice within one tick of the file system's clock, and stamped in between: up to 10
///   ms on the usual ones, up to 2 s on FAT. Since Linux 6.13 most local file systems tell such writes apart.
/// - The system's clock was set back before an edit, to the very tick of the last one.
/// - A write through a shared memory map is dated at some time until it reaches the disk, and not when it is made.
/// - What the file names (an include, a link in it) was edited: stamp those files too.
///
/// Where that matters, make a digest of the contents the key.
///
/// A stamp also differs when nothing was edited, and costs a computation then: after `chmod`, a new hard link or a rename of the
/// file, after a copy or a checkout put an equal file in its place, and on file systems that give a file another inode after
/// each mount (many of those in user space, FAT).
///
/// A file reached through a symbolic link has the stamp of the file itself.
///
/// # Examples
///
/// ```
/// use memolith::{FileStamp, Memo, Store};
///
/// let folder = tempfile::tempdir()?;
/// let rides = folder.path().join("rides.csv");
/// std::fs::write(&rides, "monday,3\ntuesday,4\n")?;
///
/// let store = Store::temporary()?;
/// let counts: Memo<FileStamp, usize> = Memo::builder("counts").open(&store)?;
/// let count = || std::fs::read_to_string(&rides).map(|text| text.lines().count());
/// assert_eq!(counts.get_or_try_insert_with(&FileStamp::of(&rides)?, count)?, 2);
///
/// std::fs::write(&rides, "monday,3\ntuesday,4\nfriday,9\n")?;
/// assert_eq!(counts.get_or_try_insert_with(&FileStamp::of(&rides)?, count)?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileStamp {
    /// Absolute, without links and dots: one file has one.
    path: PathBuf,
    /// In bytes.
    len: u64,
    /// As the file system tells it; may lie before 1970.
    modified: SystemTime,
    /// What an edit cannot put back.
    change: Change,
}

/// What tells two files apart that have one path, one length and one modification time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Change {
    /// `None` where the standard library does not tell.
    inode: Option<u64>,
    /// In nanoseconds since 1970: when the inode was last changed, elsewhere than on Unix when the file was created. `None`
    /// where the file system does not know.
    time: Option<i128>,
}

impl Change {
    #[cfg(unix)]
    fn of(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let time = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
        Self { inode: Some(metadata.ino()), time: Some(time) }
    }

    #[cfg(not(unix))]
    fn of(metadata: &fs::Metadata) -> Self {
        Self { inode: None, time: metadata.created().ok().map(since_epoch) }
    }
}

impl FileStamp {
    /// Stamps the file at `path` as it is now.
    ///
    /// # Errors
    ///
    /// [`is_io`](Error::is_io), naming the path, when there is no such file or it may not be looked at; and
    /// [`is_config`](Error::is_config) for what is no regular file: the length and time of a directory say
    /// nothing about the files in it.
    ///
    /// ```
    /// use memolith::FileStamp;
    ///
    /// assert!(FileStamp::of("no/such/file").unwrap_err().is_io());
    /// assert!(FileStamp::of(".").unwrap_err().is_config());
    /// ```
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let refused = |cause| Error::io(format_args!("stamping `{}`", path.display()), cause);
        // The metadata of the canonical path: a link that is turned in between cannot mix two files.
        let canonical = fs::canonicalize(path).map_err(refused)?;
        let metadata = fs::metadata(&canonical).map_err(refused)?;
        if !metadata.is_file() {
            return Err(no_file(path, &metadata));
        }
        let modified = metadata.modified().map_err(refused)?;
        Ok(Self { path: canonical, len: metadata.len(), modified, change: Change::of(&metadata) })
    }

    /// The canonical path.
    ///
    /// ```
    /// # let file = tempfile::NamedTempFile::new()?;
    /// let stamp = memolith::FileStamp::of(file.path())?;
    /// assert_eq!(stamp.path(), file.path().canonicalize()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length in bytes.
    ///
    /// ```
    /// # let file = tempfile::NamedTempFile::new()?;
    /// std::fs::write(file.path(), "17,34,51")?;
    /// assert_eq!(memolith::FileStamp::of(file.path())?.len(), 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no bytes.
    ///
    /// ```
    /// # let file = tempfile::NamedTempFile::new()?;
    /// assert!(memolith::FileStamp::of(file.path())?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// When the file was last written, as finely as its file system tells.
    ///
    /// ```
    /// # let file = tempfile::NamedTempFile::new()?;
    /// let stamp = memolith::FileStamp::of(file.path())?;
    /// assert_eq!(stamp.modified(), file.path().metadata()?.modified()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn modified(&self) -> SystemTime {
        self.modified
    }
}

#[cold]
fn no_file(path: &Path, metadata: &fs::Metadata) -> Error {
    let path = path.display();
    let message = if metadata.is_dir() {
        format!("`{path}` is a directory, whose stamp would not see an edit within: stamp the files in it")
    } else {
        format!("`{path}` is not a regular file, and its length and time do not tell what it will yield")
    };
    Error::new(Kind::Config, message)
}

/// Injective for every path: the bytes of the operating system, not text.
impl Serialize for FileStamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut stamp = serializer.serialize_struct("FileStamp", 5)?;
        stamp.serialize_field("path", &PathBytes(&self.path))?;
        stamp.serialize_field("len", &self.len)?;
        stamp.serialize_field("modified", &since_epoch(self.modified))?;
        stamp.serialize_field("inode", &self.change.inode)?;
        stamp.serialize_field("changed", &self.change.time)?;
        stamp.end()
    }
}

/// In nanoseconds, negative before 1970. The whole range of a `SystemTime` fits.
fn since_epoch(time: SystemTime) -> i128 {
    let signed = |nanoseconds: u128| i128::try_from(nanoseconds).unwrap_or(i128::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after.as_nanos()),
        Err(before) => -signed(before.duration().as_nanos()),
    }
}

/// On Unix the very bytes of the path. Elsewhere an encoding that may change with the standard library: such
/// a change would be a miss, never a wrong hit.
struct PathBytes<'a>(&'a Path);

impl Serialize for PathBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_os_str().as_encoded_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::Duration};

    use super::*;

    fn key(stamp: &FileStamp) -> String {
        serde_json::to_string(stamp).unwrap()
    }

    fn dated(path: &Path, contents: &str, modified: SystemTime) -> FileStamp {
        fs::write(path, contents).unwrap();
        File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
        FileStamp::of(path).unwrap()
    }

    #[test]
    fn another_length_or_time_is_another_stamp_and_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rides.csv");
        let first = dated(&path, "one", UNIX_EPOCH + Duration::from_secs(9));
        let again = FileStamp::of(&path).unwrap();
        assert_eq!((&first, key(&first)), (&again, key(&again)));
        let later = dated(&path, "two", UNIX_EPOCH + Duration::new(9, 1000));
        let longer = dated(&path, "three", UNIX_EPOCH + Duration::from_secs(9));
        assert!(
            first != later && first != longer && key(&first) != key(&later) && key(&first) != key(&longer)
        );
    }

    #[test]
    fn each_part_of_a_stamp_is_a_part_of_the_key() {
        let stamp = FileStamp::of("Cargo.toml").unwrap();
        let other = Change { inode: Some(1), time: Some(2) };
        let variants = [
            stamp.clone(),
            FileStamp { path: "other".into(), ..stamp.clone() },
            FileStamp { len: stamp.len + 1, ..stamp.clone() },
            FileStamp { modified: UNIX_EPOCH, ..stamp.clone() },
            FileStamp { change: Change { inode: other.inode, ..stamp.change }, ..stamp.clone() },
            FileStamp { change: Change { time: other.time, ..stamp.change }, ..stamp.clone() },
        ];
        for (one, stamp) in variants.iter().enumerate() {
            assert!(
                variants[..one].iter().all(|other| key(other) != key(stamp) && other != stamp),
                "{stamp:?}"
            );
        }
    }

    #[test]
    fn times_before_1970_are_told_apart_and_never_a_panic() {
        let second = Duration::from_secs(1);
        assert_eq!(since_epoch(UNIX_EPOCH - second), -1_000_000_000);
        assert_eq!(since_epoch(UNIX_EPOCH + second), 1_000_000_000);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        assert_ne!(key(&dated(&path, "", UNIX_EPOCH - second)), key(&dated(&path, "", UNIX_EPOCH + second)));
    }

    #[test]
    fn a_directory_is_refused_and_the_message_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = FileStamp::of(folder.path()).unwrap_err();
        assert!(error.is_config() && error.to_string().contains("stamp the files in it"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = FileStamp::of("no/such/rides.csv").unwrap_err();
        assert!(error.is_io() && error.to_string().contains("no/such/rides.csv"), "{error}");
    }

    #[cfg(unix)]
    mod unix {
        use std::{
            ffi::OsStr,
            os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
        };

        use super::*;

        #[cfg(target_os = "linux")]
        #[test]
        fn paths_that_are_not_text_are_keys_and_told_apart() {
            let folder = tempfile::tempdir().unwrap();
            let stamps = [b"\xff", b"\xfe"].map(|name| {
                let stamp = dated(&folder.path().join(OsStr::from_bytes(name)), "", UNIX_EPOCH);
                assert!(stamp.path().to_str().is_none());
                key(&stamp)
            });
            assert_ne!(stamps[0], stamps[1]);
        }

        /// Writes the file with its old modification time until the system dates that as a change: its clock has ticks.
        fn edited_behind_its_back(path: &Path, contents: &str) -> FileStamp {
            use std::os::unix::fs::MetadataExt as _;
            let before = fs::metadata(path).unwrap();
            loop {
                let edited = dated(path, contents, before.modified().unwrap());
                let after = fs::metadata(path).unwrap();
                if (before.ctime(), before.ctime_nsec()) != (after.ctime(), after.ctime_nsec()) {
                    return edited;
                }
            }
        }

        #[test]
        fn an_edit_of_equal_length_with_its_time_put_back_is_another_stamp() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("rides.csv");
            let before = dated(&path, "one", UNIX_EPOCH);
            let after = edited_behind_its_back(&path, "two");
            assert_eq!((before.len(), before.modified()), (after.len(), after.modified()));
            assert!(before != after && key(&before) != key(&after));
        }

        #[test]
        fn a_file_that_was_renamed_over_another_is_another_stamp() {
            let folder = tempfile::tempdir().unwrap();
            let (path, other) = (folder.path().join("rides.csv"), folder.path().join("other"));
            let before = dated(&path, "one", UNIX_EPOCH);
            dated(&other, "two", UNIX_EPOCH);
            fs::rename(&other, &path).unwrap();
            let after = FileStamp::of(&path).unwrap();
            assert_eq!((before.len(), before.modified()), (after.len(), after.modified()));
            assert!(before != after && key(&before) != key(&after));
        }

        #[test]
        fn a_link_has_the_stamp_of_its_file() {
            let folder = tempfile::tempdir().unwrap();
            let (file, link) = (folder.path().join("file"), folder.path().join("link"));
            fs::write(&file, "one").unwrap();
            symlink(&file, &link).unwrap();
            assert_eq!(FileStamp::of(&file).unwrap(), FileStamp::of(&link).unwrap());
        }

        #[test]
        fn what_is_no_file_at_all_is_refused() {
            let folder = tempfile::tempdir().unwrap();
            let _listener = UnixListener::bind(folder.path().join("socket")).unwrap();
            assert!(FileStamp::of(folder.path().join("socket")).unwrap_err().is_config());
        }
    }
}
