//! The address of a socket in a directory. The system bounds its length.

use std::{io, path::Path};

use rustix::{fd::OwnedFd, net::SocketAddrUnix};

/// The longest path in an address: `sun_path` of `sockaddr_un`, less the zero at its end.
const LONGEST: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// An address, and the folder that its path leads through.
pub(super) struct Address {
    pub(super) address: SocketAddrUnix,
    /// Open until the address was used, if the path leads through its descriptor.
    _folder: Option<OwnedFd>,
}

/// Through a descriptor of the directory where the path itself is too long.
pub(super) fn address(directory: &Path, name: &str) -> io::Result<Address> {
    let path = directory.join(name);
    if path.as_os_str().len() <= LONGEST {
        return Ok(Address { address: SocketAddrUnix::new(&path)?, _folder: None });
    }
    through_descriptor(directory, name)
}

#[cfg(target_os = "linux")]
fn through_descriptor(directory: &Path, name: &str) -> io::Result<Address> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{Mode, OFlags, open};

    let folder = open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
    Ok(Address { address: SocketAddrUnix::new(path)?, _folder: Some(folder) })
}

#[cfg(not(target_os = "linux"))]
fn through_descriptor(directory: &Path, name: &str) -> io::Result<Address> {
    let message = format!(
        "the path {} is longer than {LONGEST} bytes, the limit for a socket on this system: use a directory with a \
         shorter path",
        directory.join(name).display(),
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}
