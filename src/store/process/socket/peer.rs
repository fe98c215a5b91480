//! The user of the process at the other end of a connection.

use std::{io, os::fd::BorrowedFd};

use rustix::process::geteuid;

/// Whether the other end belongs to the effective user of this process.
pub(super) fn is_ours(connection: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(user(connection)? == geteuid().as_raw())
}

/// `rustix` has this call too, but its type for the peer's process excludes 0, the number of a process in another
/// container.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn user(connection: BorrowedFd<'_>) -> io::Result<u32> {
    use std::os::fd::AsRawFd as _;

    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the call writes at most `length` bytes to `found`, which is as long, and any bytes are a `ucred`.
    #[expect(unsafe_code, reason = "the user of a peer")]
    let outcome = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            std::ptr::from_mut(&mut found).cast(),
            &raw mut length,
        )
    };
    if outcome == 0 { Ok(found.uid) } else { Err(io::Error::last_os_error()) }
}

#[cfg(any(
    target_vendor = "apple",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
))]
fn user(connection: BorrowedFd<'_>) -> io::Result<u32> {
    use std::os::fd::AsRawFd as _;

    let (mut user, mut group) = (0, 0);
    // SAFETY: the call writes one number to each of the two places.
    #[expect(unsafe_code, reason = "the user of a peer")]
    let outcome = unsafe { libc::getpeereid(connection.as_raw_fd(), &raw mut user, &raw mut group) };
    if outcome == 0 { Ok(user) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(any(
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "linux",
    target_os = "netbsd",
    target_os = "openbsd",
    target_vendor = "apple"
)))]
fn user(_: BorrowedFd<'_>) -> io::Result<u32> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system does not tell the user of a connection"))
}
