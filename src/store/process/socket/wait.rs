//! Waiting for sockets.

use std::{io, os::fd::BorrowedFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll as poll_once},
    io::Errno,
};

use super::stream::Stream;
use crate::clock::Deadline;

/// The events that a caller of [`poll`] waits for. The end of a connection is always one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Only its end.
    End,
    Read,
    Write,
    ReadAndWrite,
}

impl Interest {
    fn flags(self) -> PollFlags {
        match self {
            Self::End => PollFlags::empty(),
            Self::Read => PollFlags::IN,
            Self::Write => PollFlags::OUT,
            Self::ReadAndWrite => PollFlags::IN | PollFlags::OUT,
        }
    }
}

/// The events of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// There are bytes or connections, or the connection ended: a read tells.
    pub(crate) readable: bool,
    /// The socket takes bytes.
    pub(crate) writable: bool,
}

/// Waits until one of the descriptors is ready, or the time is over. The events of all of them, in their order.
pub(crate) fn poll(
    descriptors: &[(BorrowedFd<'_>, Interest)],
    timeout: Option<Duration>,
) -> io::Result<Vec<Ready>> {
    let polled = descriptors.iter().map(|&(file, interest)| PollFd::from_borrowed_fd(file, interest.flags()));
    let mut polled: Vec<_> = polled.collect();
    let deadline = Deadline::after(timeout.unwrap_or(Duration::MAX));
    poll_until(&mut polled, deadline)?;
    let ready = |events: PollFlags| Ready {
        readable: events.intersects(PollFlags::IN | ENDED),
        writable: events.contains(PollFlags::OUT),
    };
    Ok(polled.iter().map(|polled| ready(polled.revents())).collect())
}

const ENDED: PollFlags = PollFlags::HUP.union(PollFlags::ERR).union(PollFlags::NVAL);

/// What one caller waits for.
#[derive(Clone, Copy)]
pub(super) enum Awaited {
    Bytes,
    Room,
}

/// Waits for one descriptor. False when the deadline passed.
pub(super) fn wait_for(file: BorrowedFd<'_>, awaited: Awaited, deadline: Deadline) -> io::Result<bool> {
    let flags = match awaited {
        Awaited::Bytes => PollFlags::IN,
        Awaited::Room => PollFlags::OUT,
    };
    poll_until(&mut [PollFd::from_borrowed_fd(file, flags)], deadline)
}

/// Waits until the peer closed the connection or `stop` became readable, and consumes nothing. Whether the peer did.
pub(crate) fn wait_for_hangup(stream: &Stream, stop: BorrowedFd<'_>) -> io::Result<bool> {
    // Elsewhere the end of a connection is told unasked.
    #[cfg(target_os = "linux")]
    let flags = PollFlags::RDHUP;
    #[cfg(not(target_os = "linux"))]
    let flags = PollFlags::empty();
    let mut polled =
        [PollFd::from_borrowed_fd(stream.as_fd(), flags), PollFd::from_borrowed_fd(stop, PollFlags::IN)];
    poll_until(&mut polled, Deadline::after(Duration::MAX))?;
    let [stream, _] = &polled;
    Ok(!stream.revents().is_empty())
}

/// Whether there are events before the deadline. A passed deadline looks once.
fn poll_until(polled: &mut [PollFd<'_>], deadline: Deadline) -> io::Result<bool> {
    /// Some systems count the milliseconds in 31 bits.
    const LONGEST: Duration = Duration::from_secs(3600);
    loop {
        let left = deadline.remaining();
        let timeout = Timespec::try_from(left.unwrap_or_default().min(LONGEST)).ok();
        match poll_once(polled, timeout.as_ref()) {
            Ok(0) if left.is_none() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(cause) => return Err(cause.into()),
        }
    }
}
