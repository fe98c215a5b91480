//! A file as a key: its path, its length, and the times of its last write and change.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{
    error::{Error, ErrorKind, Result},
    readings::{Change, since_epoch},
};

/// A key for results that are computed from a file. It contains the canonical path, the length and the modification time,
/// and, if the system has them, the inode and the time of the last change. An edited file has another stamp, so it is a
/// miss.
///
/// Take the stamp *before* the file is read. If the file is edited in between, the computation reads the new contents, and
/// the next stamp differs.
///
/// # Detected changes
///
/// A stamp never reads the file. It costs a few microseconds for the lookup of each parent folder. On Unix it differs after:
///
/// - A write, also of the same length, and also if the modification time is set back (`touch -r`, `cp -p` over it, an
///   unpacked archive): the system sets the time of the last change (`ctime`), and no call can set it back.
/// - A rename of another file over it, also of a file with equal length and modification time, because the inode differs.
///
/// On other systems the inode and `ctime` are not available. The creation time of the file replaces both, and a write that
/// keeps the length and sets the modification time back is not detected.
///
/// # Changes that are not detected
///
/// - Two writes within one tick of the file system's clock, with a stamp in between: up to 10 ms on common file systems, up
///   to 2 s on FAT. Since Linux 6.13 most local file systems distinguish such writes.
/// - An edit after the system's clock was set back, at exactly the tick of the last edit.
/// - A write through a shared memory map. The system dates it at some time before it reaches the disk.
/// - An edit of a file that this file refers to, such as an include or a link: stamp those files too.
///
/// If such changes matter, use a digest of the contents as the key.
///
/// A stamp also differs, and causes a computation, in some cases without an edit: after `chmod`, a new hard link or a rename
/// of the file, after a copy or a checkout replaced it by an equal file, and on file systems that give a file another inode
/// after each mount (many in user space, FAT).
///
/// The stamp of a symbolic link is the stamp of its target.
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
    /// Canonical: absolute, without links and dots.
    path: PathBuf,
    /// In bytes.
    len: u64,
    /// By the file system. May be before 1970.
    modified: SystemTime,
    /// Cannot be set back by an edit.
    change: Change,
}

impl FileStamp {
    /// Stamps the file at `path` as it is now.
    ///
    /// # Errors
    ///
    /// - [`Io`](crate::ErrorKind::Io) with the path, if there is no such file or no permission.
    /// - [`Config`](crate::ErrorKind::Config) if it is no regular file: the length and time of a directory say nothing
    ///   about the files in it.
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
        // The metadata of the canonical path, so that a link that changes in between cannot mix two files.
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

    /// The time of the last write, with the resolution of the file system.
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
        format!(
            "`{path}` is a directory, and its stamp would not detect an edit in it: stamp the files in it"
        )
    } else {
        format!("`{path}` is not a regular file, and its length and time do not determine its contents")
    };
    Error::new(ErrorKind::Config, message)
}

/// Injective for every path, because it writes the bytes of the operating system instead of text.
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

/// On Unix the bytes of the path. On other systems an encoding that may change with the standard library: after such a
/// change a lookup is a miss, never a wrong hit.
struct PathBytes<'a>(&'a Path);

impl Serialize for PathBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_os_str().as_encoded_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        time::{Duration, UNIX_EPOCH},
    };

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
    fn a_directory_is_refused_and_the_message_names_the_remedy() {
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
