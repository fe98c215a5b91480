//! A connection as its two users have it: a [`Channel`] for the host's one thread, and two halves for a guest's threads.

use std::{io, os::fd::BorrowedFd, sync::Arc, time::Duration};

use super::{
    frames::{Incoming, Outgoing},
    stream::Stream,
    wait::{Awaited, wait_for},
};
use crate::clock::Deadline;

/// The bytes after which [`Channel::read`] returns, so that one guest does not keep the host from others.
const READ_AT_ONCE: usize = 256 << 10;

/// A connection whose user never waits.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: Stream,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl Channel {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, incoming: Incoming::default(), outgoing: Outgoing::default() }
    }

    /// Receives what is there, at most about half a megabyte, and gives each whole frame to `each`. Returns whether the
    /// connection goes on.
    ///
    /// # Errors
    ///
    /// `InvalidData` for a length out of bounds: the connection must be dropped.
    pub(crate) fn read(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<bool> {
        let mut total = 0;
        while total < READ_AT_ONCE {
            let (received, room) = match self.incoming.fill(&self.stream) {
                Ok((0, _)) => return Ok(false),
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => break,
                outcome => outcome?,
            };
            while let Some(place) = self.incoming.next()? {
                each(self.incoming.frame(place));
            }
            total += received;
            if received < room {
                // Most likely that was all. If not, `poll` tells.
                break;
            }
        }
        self.incoming.tidy();
        Ok(true)
    }

    /// Sends a frame behind those that wait, as far as the socket takes them now.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty or too long frame. Others end the connection.
    pub(crate) fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.outgoing.push(frame)?;
        self.flush()
    }

    /// Sends as much of what waits as the socket takes now.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.outgoing.flush(&self.stream)
    }

    /// Whether [`flush`](Self::flush) is to be called once the socket takes more.
    pub(crate) fn wants_write(&self) -> bool {
        self.unwritten() > 0
    }

    /// The number of bytes that wait. A peer that does not read makes it grow.
    pub(crate) fn unwritten(&self) -> usize {
        self.outgoing.len()
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// The bytes of the longer of the two buffers.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.incoming.capacity().max(self.outgoing.capacity())
    }
}

/// The half of a connection that sends.
#[derive(Debug)]
pub(crate) struct Writer {
    stream: Arc<Stream>,
    /// Empty between calls.
    outgoing: Outgoing,
}

impl Writer {
    /// Sends a frame.
    ///
    /// # Errors
    ///
    /// `TimedOut` when the peer does not take it in time. If it took a part, the connection is shut down. `InvalidInput` for
    /// an empty or too long frame.
    pub(crate) fn send(&mut self, frame: &[u8], timeout: Duration) -> io::Result<()> {
        self.outgoing.push(frame)?;
        let outcome = self.flush(timeout);
        if outcome.is_err() {
            if self.outgoing.is_begun() {
                self.stream.shut_down();
            }
            self.outgoing.clear();
        }
        outcome
    }

    fn flush(&mut self, timeout: Duration) -> io::Result<()> {
        self.outgoing.flush(&self.stream)?;
        if self.outgoing.len() == 0 {
            return Ok(());
        }
        let deadline = Deadline::after(timeout);
        while wait_for(self.stream.as_fd(), Awaited::Room, deadline)? {
            self.outgoing.flush(&self.stream)?;
            if self.outgoing.len() == 0 {
                return Ok(());
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("the host took no bytes for {timeout:?}")))
    }

    /// The connection, to be watched and to be shut down.
    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }
}

/// The half of a connection that receives.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: Arc<Stream>,
    incoming: Incoming,
}

impl Reader {
    /// The next frame, or `None` if no whole one comes in time. The next call goes on with a part that came.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` at the end of the connection, `InvalidData` for a length out of bounds.
    pub(crate) fn receive(&mut self, timeout: Duration) -> io::Result<Option<&[u8]>> {
        let mut deadline = None;
        loop {
            if let Some(place) = self.incoming.next()? {
                return Ok(Some(self.incoming.frame(place)));
            }
            match self.incoming.fill(&self.stream) {
                Ok((0, _)) => return Err(ended()),
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                    let deadline = *deadline.get_or_insert_with(|| Deadline::after(timeout));
                    if !wait_for(self.stream.as_fd(), Awaited::Bytes, deadline)? {
                        return Ok(None);
                    }
                }
                outcome => {
                    outcome?;
                }
            }
        }
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the host closed the connection")
}

/// The two halves of a connection, for different threads.
pub(crate) fn split(stream: Stream) -> (Writer, Reader) {
    let stream = Arc::new(stream);
    let writer = Writer { stream: Arc::clone(&stream), outgoing: Outgoing::default() };
    (writer, Reader { stream, incoming: Incoming::default() })
}
