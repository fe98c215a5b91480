//! A watch on a directory: something in it was removed, or renamed.

use std::{io, os::fd::BorrowedFd, path::Path};

#[cfg(target_os = "linux")]
mod system {
    use std::{io, mem::MaybeUninit, os::fd::BorrowedFd, path::Path};

    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

    use super::super::stream::Descriptor;

    pub(super) struct Watch(Descriptor);

    impl Watch {
        pub(super) fn new(directory: &Path) -> io::Result<Self> {
            let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            let flags = WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
            inotify::add_watch(&watch, directory, flags | WatchFlags::ONLYDIR)?;
            Ok(Self(Descriptor::new(watch)))
        }

        pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        pub(super) fn drain(&self) {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let Ok(watch) = self.0.here() else { return };
            let mut events = inotify::Reader::new(watch, &mut buffer);
            while events.next().is_ok() {}
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::{convert::Infallible, io, os::fd::BorrowedFd, path::Path};

    pub(super) struct Watch(Infallible);

    impl Watch {
        pub(super) fn new(_: &Path) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
            match self.0 {}
        }

        pub(super) fn drain(&self) {
            match self.0 {}
        }
    }
}

pub(crate) struct Watch(system::Watch);

impl Watch {
    /// # Errors
    ///
    /// Where the system has no such watch, or no more of them.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        system::Watch::new(directory).map(Self)
    }

    /// Readable when something happened.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Forgets what happened so far.
    pub(crate) fn drain(&self) {
        self.0.drain();
    }
}
