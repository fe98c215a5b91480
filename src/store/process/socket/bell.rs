//! A bell: it wakes a thread that waits in [`poll`](super::poll).

use std::{io, os::fd::BorrowedFd};

use super::stream::Descriptor;

/// Rung by any thread. Its descriptor is readable from the first ring until [`drain`](Self::drain).
#[derive(Debug)]
pub(crate) struct Bell {
    /// In non-blocking mode.
    heard: Descriptor,
    /// The other end, where the system has no `eventfd`.
    #[cfg(not(target_os = "linux"))]
    rung: Descriptor,
}

impl Bell {
    #[cfg(target_os = "linux")]
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        Ok(Self { heard: Descriptor::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?) })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> io::Result<Self> {
        let (heard, rung) = std::os::unix::net::UnixStream::pair()?;
        heard.set_nonblocking(true)?;
        rung.set_nonblocking(true)?;
        Ok(Self { heard: Descriptor::new(heard.into()), rung: Descriptor::new(rung.into()) })
    }

    /// A full descriptor is readable already.
    pub(crate) fn ring(&self) {
        #[cfg(target_os = "linux")]
        let rung = &self.heard;
        #[cfg(not(target_os = "linux"))]
        let rung = &self.rung;
        if let Ok(file) = rung.here() {
            let _ = rustix::io::retry_on_intr(|| rustix::io::write(file, &1_u64.to_ne_bytes()));
        }
    }

    /// Takes all rings until now.
    pub(crate) fn drain(&self) {
        let Ok(file) = self.heard.here() else { return };
        let mut rings = [0_u8; 256];
        while let Ok(length) = rustix::io::retry_on_intr(|| rustix::io::read(file, &mut rings)) {
            if length < rings.len() {
                break;
            }
        }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.heard.as_fd()
    }
}
