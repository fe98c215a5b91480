//! The socket of a host, and the way to it.

use std::{
    fs::{self, Permissions},
    io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{
    DRAFT, SOCKET, Unreachable,
    address::address,
    peer,
    stream::{Descriptor, Stream, accept, new_socket},
};

/// The number of guests that wait for [`Listener::accept`] before others are told that the host is busy.
const BACKLOG: i32 = 128;

/// The socket on which a host is called. No operation waits. Dropped before LOCK is released.
#[derive(Debug)]
pub(crate) struct Listener {
    descriptor: Descriptor,
    /// SOCKET lies there.
    directory: PathBuf,
    /// Device and inode of its file. The open socket keeps the inode from being used again.
    place: (u64, u64),
}

impl Listener {
    /// Takes the place of a socket that is left over. Only the holder of LOCK calls it.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` for a file, folder or link of that name: it is not the store's.
    pub(crate) fn bind(directory: &Path) -> io::Result<Self> {
        let (path, draft) = (directory.join(SOCKET), directory.join(DRAFT));
        check_replaceable(&path)?;
        if check_replaceable(&draft)? {
            fs::remove_file(&draft)?;
        }
        let socket = new_socket()?;
        rustix::net::bind(&socket, &address(directory, DRAFT)?.address)?;
        let publish = || {
            let found = fs::symlink_metadata(&draft)?;
            fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
            rustix::net::listen(&socket, BACKLOG)?;
            fs::rename(&draft, &path)?;
            Ok((found.dev(), found.ino()))
        };
        match publish() {
            Ok(place) => Ok(Self { descriptor: Descriptor::new(socket), directory: directory.into(), place }),
            Err(cause) => {
                let _ = fs::remove_file(&draft);
                Err(cause)
            }
        }
    }

    /// The next connection of a process of this user. Connections of other users are closed and passed over.
    ///
    /// # Errors
    ///
    /// The connection stays in the backlog when this process has no descriptor left for it: [`poll`](super::poll) would
    /// return at once.
    pub(crate) fn accept(&self) -> io::Result<Option<Stream>> {
        let listener = self.descriptor.here()?;
        loop {
            match accept(listener) {
                Ok(connection) if peer::is_ours(connection.as_fd())? => {
                    return Ok(Some(Stream::new(connection)));
                }
                Ok(_) | Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(cause) => return Err(cause.into()),
            }
        }
    }

    /// Whether SOCKET in the directory is still this one. It may have been removed, or replaced by the next holder of LOCK
    /// after the directory was deleted.
    pub(crate) fn is_of(&self, directory: &Path) -> bool {
        let found = fs::symlink_metadata(directory.join(SOCKET));
        found.is_ok_and(|found| (found.dev(), found.ino()) == self.place)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.descriptor.is_elsewhere() && self.is_of(&self.directory) {
            let _ = fs::remove_file(self.directory.join(SOCKET));
        }
    }
}

/// Whether there is a socket of that name. An error for any other file.
fn check_replaceable(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(true),
        Ok(_) => {
            let message = format!(
                "{} is not a socket: remove it, a store needs this name for the socket of its host",
                path.display()
            );
            Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Connects to the host of a directory. It does not wait: a stopped host with a full backlog is busy.
pub(crate) fn connect(directory: &Path) -> Result<Stream, Unreachable> {
    let unreachable = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::ConnectionRefused => {
            Unreachable::Nobody
        }
        io::ErrorKind::WouldBlock => Unreachable::Busy,
        io::ErrorKind::PermissionDenied => Unreachable::Foreign,
        _ => Unreachable::Failed(cause),
    };
    let socket = new_socket().map_err(Unreachable::Failed)?;
    let address = address(directory, SOCKET).map_err(unreachable)?;
    rustix::net::connect(&socket, &address.address).map_err(|cause| unreachable(cause.into()))?;
    match peer::is_ours(socket.as_fd()) {
        Ok(true) => Ok(Stream::new(socket)),
        Ok(false) => Err(Unreachable::Foreign),
        Err(cause) => Err(Unreachable::Failed(cause)),
    }
}
