//! LOCK: the advisory lock of the process that changes a store's directory.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    thread,
    time::Duration,
};

use crate::{
    clock::Deadline,
    error::{Error, ErrorKind, Result},
    fork::Private,
};

/// LOCK, held until this is dropped. A child process does not hold it.
#[derive(Debug)]
pub(crate) struct LockFile {
    /// Before the file.
    _private: Private,
    file: File,
}

impl LockFile {
    fn new(file: File) -> Self {
        #[cfg(unix)]
        let private = Private::new(std::os::fd::AsRawFd::as_raw_fd(&file));
        #[cfg(not(unix))]
        let private = Private::none();
        Self { _private: private, file }
    }

    /// Whether it is still the file that other processes would lock.
    #[cfg(unix)]
    pub(crate) fn is_of(&self, directory: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let place = |found: fs::Metadata| (found.dev(), found.ino());
        let found = fs::metadata(directory.join("LOCK")).map(place);
        found.is_ok_and(|found| self.file.metadata().map(place).is_ok_and(|held| held == found))
    }

    /// Elsewhere a file that is open cannot be deleted.
    #[cfg(not(unix))]
    pub(crate) fn is_of(&self, _: &Path) -> bool {
        true
    }
}

/// Takes the lock of `directory`, waiting for at most `timeout`.
pub(crate) fn lock(directory: &Path, timeout: Duration) -> Result<LockFile> {
    let path = directory.join("LOCK");
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(|cause| Error::io(path.display(), cause))?;
    let deadline = Deadline::after(timeout);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(LockFile::new(file)),
            Err(TryLockError::Error(cause)) => return Err(Error::io(path.display(), cause)),
            Err(TryLockError::WouldBlock) => {}
        }
        let Some(left) = deadline.remaining() else {
            return Err(in_use(directory, timeout));
        };
        thread::sleep(left.min(Duration::from_millis(5)));
    }
}

pub(super) fn in_use(directory: &Path, timeout: Duration) -> Error {
    let message = format!(
        "the store at {} is in use by another process (waited {timeout:?}): close it there, raise `lock_timeout`, \
         use another directory, or use `Store::open_or_temporary`",
        directory.display(),
    );
    Error::new(ErrorKind::InUse, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_told_with_the_path_and_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let _held = lock(directory.path(), Duration::ZERO).unwrap();
        let error = lock(directory.path(), Duration::ZERO).unwrap_err();
        assert!(error.is_in_use());
        assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
    }
}
