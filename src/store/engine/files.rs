//! The files of a database: their names, their modes, and a fingerprint of a database that is settled.

#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    checksum::{RunningChecksum, checksum},
    clock::Deadline,
    error::{Error, ErrorKind, Result},
    fork::Private,
};

/// The log, in which nearly all bytes of a database lie.
pub(super) const LOG: &str = "db";

/// How long an open or a close waits for sled's worker threads to release the file.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The length of the log in bytes.
pub(crate) fn length(directory: &Path) -> u64 {
    fs::metadata(directory.join(LOG)).map_or(0, |found| found.len())
}

/// The log, as often as this process has it open: a child process must not keep it open, as sled locks it.
#[cfg(unix)]
pub(super) fn open_logs(directory: &Path) -> Vec<Private> {
    use std::os::unix::fs::MetadataExt as _;
    let place = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let Some(log) = place(&directory.join(LOG)) else { return Vec::new() };
    let open = ["/proc/self/fd", "/dev/fd"].into_iter().find_map(|folder| fs::read_dir(folder).ok());
    let files = open.into_iter().flatten().flatten().filter(|file| place(&file.path()) == Some(log));
    files.filter_map(|file| file.file_name().to_str()?.parse().ok()).map(Private::new).collect()
}

#[cfg(not(unix))]
pub(super) fn open_logs(_: &Path) -> Vec<Private> {
    Vec::new()
}

/// Whether there is a log. An error of the file system counts as one.
pub(crate) fn is_there(directory: &Path) -> bool {
    !matches!(directory.join(LOG).try_exists(), Ok(false))
}

/// sled makes its files readable by everybody.
#[cfg(not(unix))]
pub(crate) fn restrict(_: &Path) {}

#[cfg(unix)]
pub(crate) fn restrict(directory: &Path) {
    for file in fs::read_dir(directory).into_iter().flatten().flatten() {
        let mode = if file.path().is_dir() { 0o700 } else { 0o600 };
        if file.metadata().is_ok_and(|found| found.permissions().mode() & 0o777 != mode) {
            let _ = fs::set_permissions(file.path(), fs::Permissions::from_mode(mode));
        }
    }
}

/// The files of a settled database: name to length and checksum. The log is not read whole, which would cost 7.7 times
/// sled's own open. The heads of its segments are read, which tells an older log that was put in its place.
pub(crate) fn fingerprint(directory: &Path) -> Result<BTreeMap<String, (u64, u64)>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(directory.to_path_buf(), String::new())];
    let walk = |folder: &PathBuf| fs::read_dir(folder).map_err(|cause| Error::io(folder.display(), cause));
    while let Some((folder, prefix)) = folders.pop() {
        for file in walk(&folder)?.flatten() {
            let name = format!("{prefix}{}", file.file_name().to_string_lossy());
            if file.path().is_dir() {
                folders.push((file.path(), format!("{name}/")));
            } else if is_of_sled(&name) {
                let path = file.path();
                let print = print_of(&path, &name).map_err(|cause| Error::io(path.display(), cause))?;
                files.insert(name, print);
            }
        }
    }
    Ok(files)
}

/// Files that a user, or a desktop, leaves beside sled's do not count.
fn is_of_sled(name: &str) -> bool {
    matches!(name, LOG | "conf") || name.starts_with("snap.") || name.starts_with("blobs/")
}

/// The length, and a checksum of the bytes that sled replays or trusts.
fn print_of(path: &Path, name: &str) -> io::Result<(u64, u64)> {
    const SEGMENT: u64 = 512 << 10;
    const SEGMENT_HEAD: u64 = 20;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if name != LOG {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        return Ok((length, checksum(&bytes)));
    }
    let mut running = RunningChecksum::new();
    for segment in 0..length.div_ceil(SEGMENT) {
        let mut head = Vec::with_capacity(SEGMENT_HEAD as usize);
        file.seek(SeekFrom::Start(segment * SEGMENT))?;
        (&mut file).take(SEGMENT_HEAD).read_to_end(&mut head)?;
        running.update(&head);
    }
    Ok((length, running.take()))
}

/// Removes a snapshot that never got its name, because the process was killed while it was written. sled would take it
/// for its newest one, and the whole index for damaged. The snapshot before it and the log are whole.
pub(super) fn discard_unfinished(directory: &Path) {
    for file in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Waits until no thread of sled holds the log.
pub(super) fn await_release(directory: &Path) -> Result<()> {
    let path = directory.join(LOG);
    let file = File::open(&path).map_err(|cause| Error::io(path.display(), cause))?;
    let deadline = Deadline::after(RELEASE_TIMEOUT);
    while file.try_lock().is_err() {
        if deadline.remaining().is_none() {
            return Err(Error::new(ErrorKind::Engine, "the storage engine did not release its file in 2 s"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
