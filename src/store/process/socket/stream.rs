//! An open socket, and one end of a connection.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    io::retry_on_intr,
    net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketType, recv, send, shutdown},
};

use crate::fork::{Origin, Private};

/// An open file that a child process does not have.
#[derive(Debug)]
pub(super) struct Descriptor {
    origin: Origin,
    /// One owner only. A shared pointer can be leaked without `unsafe`.
    owned: Arc<Owned>,
}

#[derive(Debug)]
struct Owned {
    /// Before the file.
    _private: Private,
    file: OwnedFd,
}

impl Descriptor {
    pub(super) fn new(file: OwnedFd) -> Self {
        let origin = Origin::here();
        let private = Private::new(file.as_raw_fd());
        Self { origin, owned: Arc::new(Owned { _private: private, file }) }
    }

    /// An error in a child process, where the number may be that of another file.
    pub(super) fn here(&self) -> io::Result<BorrowedFd<'_>> {
        if self.is_elsewhere() {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the process was forked"));
        }
        Ok(self.owned.file.as_fd())
    }

    /// Not to be used in a child process.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.owned.file.as_fd()
    }

    pub(super) fn is_elsewhere(&self) -> bool {
        self.origin.is_elsewhere()
    }
}

impl Drop for Descriptor {
    /// The handler of the fork has closed a child's copy, and the number may be that of another file since.
    fn drop(&mut self) {
        if self.is_elsewhere() {
            mem::forget(Arc::clone(&self.owned));
        }
    }
}

/// One end of a connection. No operation waits.
#[derive(Debug)]
pub(crate) struct Stream(Descriptor);

impl Stream {
    /// `file` is a connected socket in non-blocking mode.
    pub(super) fn new(file: OwnedFd) -> Self {
        Self(Descriptor::new(file))
    }

    /// Two ends of one connection.
    #[cfg(test)]
    pub(crate) fn pair() -> (Self, Self) {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        other.set_nonblocking(true).unwrap();
        (Self::new(one.into()), Self::new(other.into()))
    }

    /// Ends the connection for both processes and all threads. Bytes on their way to the peer still arrive.
    pub(crate) fn shut_down(&self) {
        if let Ok(file) = self.0.here() {
            let _ = shutdown(file, Shutdown::Both);
        }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Sends as many bytes as the socket takes. An error of the kind `WouldBlock` if it takes none.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(not(target_vendor = "apple"))]
        let flags = SendFlags::NOSIGNAL;
        #[cfg(target_vendor = "apple")]
        let flags = SendFlags::empty();
        let file = self.0.here()?;
        Ok(retry_on_intr(|| send(file, bytes, flags))?)
    }

    /// The number of received bytes: 0 at the end of the connection. An error of the kind `WouldBlock` if there are none
    /// now.
    pub(super) fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        let file = self.0.here()?;
        match retry_on_intr(|| recv(file, &mut *room, RecvFlags::empty())) {
            Ok((_, length)) => Ok(length),
            // The peer left without reading everything that it was sent.
            Err(rustix::io::Errno::CONNRESET) => Ok(0),
            Err(cause) => Err(cause.into()),
        }
    }
}

/// A new socket in non-blocking mode, closed by `exec`.
#[cfg(target_os = "linux")]
pub(super) fn new_socket() -> io::Result<OwnedFd> {
    use rustix::net::{SocketFlags, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn new_socket() -> io::Result<OwnedFd> {
    Ok(prepare(rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?)?)
}

/// The next connection to a listening socket, in the same modes.
#[cfg(target_os = "linux")]
pub(super) fn accept(listener: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    use rustix::net::{SocketFlags, accept_with};
    accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn accept(listener: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    rustix::net::accept(listener).and_then(prepare)
}

/// Not every system can make a socket in these modes.
#[cfg(not(target_os = "linux"))]
fn prepare(socket: OwnedFd) -> rustix::io::Result<OwnedFd> {
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    #[cfg(target_vendor = "apple")]
    rustix::net::sockopt::set_socket_nosigpipe(&socket, true)?;
    Ok(socket)
}
