//! Overlays: a store whose directory cannot be written, such as one on a read-only mount or in an image, is opened as a
//! temporary store over it. The index is copied. Payload files are read in their place. Entries that come later, and
//! removals, live as long as the overlay.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
    time::Duration,
};

use crate::{
    error::{Error, Result},
    store::{
        lock,
        manifest::{Found, Manifest},
    },
    temporary::Temporary,
};

/// The folder of an overlay, if `directory` holds a store and refuses to be written.
///
/// # Errors
///
/// When another process writes to the store, or the copy fails.
pub(crate) fn over(directory: &Path) -> Result<Option<Temporary>> {
    if !is_refused(directory) {
        return Ok(None);
    }
    let Found::Whole(Manifest { index, .. }) = Manifest::read(directory)? else { return Ok(None) };
    let _shared = share(directory)?;
    let folder = Temporary::new()?;
    let name = format!("index-{index}");
    let copied = copy(&directory.join("MANIFEST"), &folder.path().join("MANIFEST"))
        .and_then(|()| copy(&directory.join(&name), &folder.path().join(&name)));
    copied.map_err(|cause| Error::io(directory.display(), cause))?;
    Ok(Some(folder))
}

/// Whether the system refuses to write to the directory or to LOCK. A full disk is no refusal.
#[cfg(unix)]
fn is_refused(directory: &Path) -> bool {
    use rustix::{
        fs::{Access, access},
        io::Errno,
    };
    let is_refused = |path: &Path| {
        matches!(access(path, Access::WRITE_OK), Err(Errno::ACCESS | Errno::ROFS | Errno::PERM))
    };
    is_refused(directory) || is_refused(&directory.join("LOCK"))
}

/// Elsewhere the attempt to take LOCK tells.
#[cfg(not(unix))]
fn is_refused(directory: &Path) -> bool {
    let opened = File::options().write(true).open(directory.join("LOCK"));
    opened.is_err_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
}

/// LOCK as a reader takes it: no process changes the index while it is copied.
fn share(directory: &Path) -> Result<Option<File>> {
    // A LOCK that cannot be read keeps no process out.
    let Ok(file) = File::open(directory.join("LOCK")) else { return Ok(None) };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Err(lock::in_use(directory, Duration::ZERO)),
        _ => Ok(Some(file)),
    }
}

/// Copies a file, or a folder with all that it holds.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).and_then(|_| make_writable(to));
    }
    fs::create_dir(to)?;
    fs::read_dir(from)?.try_for_each(|file| {
        let file = file?;
        copy(&file.path(), &to.join(file.file_name()))
    })
}

/// A copy has the mode of its original.
fn make_writable(path: &Path) -> io::Result<()> {
    let mut permissions = fs::metadata(path)?.permissions();
    #[cfg(unix)]
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    #[cfg(not(unix))]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions)
}
