//! Payload files and their folders: their names, how they are made, and how they leave.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder},
    io,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    random,
    record::BlobId,
};

/// How the names of drafts begin.
pub(super) const DRAFT: &str = "draft-";

/// The random name of a payload file.
pub(crate) fn random_id() -> BlobId {
    BlobId(random::random_id())
}

/// A folder of ours: for the owner alone. Its parents are made likewise when they are missing.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    make(path, true)
}

/// The same, and an error if there is something already.
pub(crate) fn make_new_folder(path: &Path) -> Result<()> {
    make(path, false)
}

fn make(path: &Path, recursive: bool) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(recursive);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|cause| Error::io(path.display(), cause))
}

/// The size in bytes of a file, or of all files below a folder, by their lengths. 0 when there is none, or none any
/// more.
pub(crate) fn disk_size(path: &Path) -> Result<u64> {
    let failed = |cause| Error::io(path.display(), cause);
    let found = match fs::symlink_metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(0),
        found => found.map_err(failed)?,
    };
    if !found.is_dir() {
        return Ok(found.len());
    }
    let files = match fs::read_dir(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(0),
        files => files.map_err(failed)?,
    };
    files.map(|file| disk_size(&file.map_err(failed)?.path())).sum()
}

/// Takes a file out of sight before anything newer takes its place, so that a rebuild cannot bring it back: 5 to 16
/// microseconds at any size. Where it lies now, or `None` when there was nothing.
pub(crate) fn move_to_trash(path: &Path, trash: &Path) -> Result<Option<PathBuf>> {
    hide(path, trash, &random_id().to_string())
}

/// Likewise the whole folder of a generation. Its name is kept, for what is found in it and is not ours.
pub(crate) fn move_folder_to_trash(path: &Path, trash: &Path) -> Result<Option<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    hide(path, trash, &format!("{name}.{}", random_id()))
}

fn hide(path: &Path, trash: &Path, name: &str) -> Result<Option<PathBuf>> {
    let to = trash.join(name);
    let gone = |cause: &io::Error| cause.kind() == io::ErrorKind::NotFound;
    let renamed = match fs::rename(path, &to) {
        // Somebody tidied up under us: what is to be retired is there, where it goes is not.
        Err(cause) if gone(&cause) && path.exists() => {
            make_folder(trash)?;
            fs::rename(path, &to)
        }
        renamed => renamed,
    };
    match renamed {
        Ok(()) => Ok(Some(to)),
        Err(cause) if gone(&cause) => Ok(None),
        Err(cause) => Err(Error::io(path.display(), cause)),
    }
}

/// Removes what was retired: files and folders that bear our names, and nothing else.
pub(crate) fn unlink(retired: &Path) {
    let is_folder = fs::symlink_metadata(retired).is_ok_and(|found| found.is_dir());
    let files = is_folder.then(|| fs::read_dir(retired)).into_iter().flatten();
    for file in files.flatten().flatten() {
        if is_ours(&file.path()) {
            let _ = fs::remove_file(file.path());
        } else {
            give_back(retired, &file.file_name());
        }
    }
    // What cannot be removed now is tried again at the next open.
    let _ = fs::remove_file(retired).or_else(|_| fs::remove_dir(retired));
}

/// What lay in a folder of ours without being ours goes back to where it lay.
fn give_back(retired: &Path, name: &OsStr) -> Option<()> {
    let (generation, _) = retired.file_name()?.to_str()?.split_once('.')?;
    let folder = retired.parent()?.parent()?.join("blobs").join(generation);
    make_folder(&folder).ok()?;
    let home = folder.join(name);
    fs::symlink_metadata(&home).is_err().then(|| fs::rename(retired.join(name), &home))?.ok()
}

/// Whether a file is a draft that a living process writes, or has handed over a moment ago.
pub(crate) fn is_being_written(path: &Path) -> bool {
    let is_draft =
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(DRAFT));
    is_draft
        && fs::File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// A name that this module gives: 32 hexadecimal digits, twice that for a folder in the trash, or a draft.
pub(crate) fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_id = |name: &str| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_folder = |(generation, id)| is_id(generation) && is_id(id);
    name.starts_with(DRAFT) || is_id(name) || name.split_once('.').is_some_and(is_folder)
}
