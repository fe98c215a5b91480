//! Frames: the bytes of a connection, cut into messages.

use std::{io, ops::Range};

use super::{MAX_FRAME, stream::Stream};

/// The length stands before the bytes.
const LENGTH: usize = size_of::<u32>();

/// The bytes for a buffer at first: most frames are shorter.
const FIRST: usize = 4 << 10;

/// The bytes that an empty buffer keeps.
const KEPT: usize = 64 << 10;

/// Received bytes that were not handed out yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// Never longer than four times the bytes that arrived, or `FIRST`.
    bytes: Vec<u8>,
    /// The bytes from `begin` to `end` arrived and were not handed out. Both lie within `bytes`.
    begin: usize,
    end: usize,
}

impl Incoming {
    /// The place of the next whole frame, which is handed out by this. An error for a length out of bounds, and then
    /// again.
    pub(super) fn next(&mut self) -> io::Result<Option<Range<usize>>> {
        let arrived = self.bytes.get(self.begin..self.end).unwrap_or_default();
        let Some((length, rest)) = arrived.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        check_length(length, io::ErrorKind::InvalidData)?;
        if rest.len() < length {
            return Ok(None);
        }
        let begin = self.begin + LENGTH;
        self.begin = begin + length;
        Ok(Some(begin..self.begin))
    }

    /// The frame at a place that `next` told, until the next `fill`.
    pub(super) fn frame(&self, place: Range<usize>) -> &[u8] {
        self.bytes.get(place).unwrap_or_default()
    }

    /// Receives once, behind the bytes of an unfinished frame: the received bytes, and the room there was for them.
    pub(super) fn fill(&mut self, stream: &Stream) -> io::Result<(usize, usize)> {
        self.tidy();
        if self.end == self.bytes.len() {
            let longer = (self.bytes.len() * 2).clamp(FIRST, LENGTH + MAX_FRAME);
            self.bytes.resize(longer, 0);
        }
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        let received = stream.receive(room)?;
        let room = room.len();
        self.end += received;
        Ok((received, room))
    }

    /// Moves an unfinished frame to the front, and gives back the memory of a large one.
    pub(super) fn tidy(&mut self) {
        if self.begin > 0 {
            self.bytes.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
        }
        if self.end == 0 {
            shrink(&mut self.bytes);
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Frames that the socket did not take yet.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    /// The bytes before it were sent. Within `bytes`.
    sent: usize,
}

impl Outgoing {
    /// An error of the kind `InvalidInput` for a frame out of bounds.
    pub(super) fn push(&mut self, frame: &[u8]) -> io::Result<()> {
        check_length(frame.len(), io::ErrorKind::InvalidInput)?;
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.reserve(LENGTH + frame.len());
        self.bytes.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(frame);
        Ok(())
    }

    /// Sends as much as the socket takes.
    pub(super) fn flush(&mut self, stream: &Stream) -> io::Result<()> {
        while let Some(waiting) = self.bytes.get(self.sent..).filter(|waiting| !waiting.is_empty()) {
            match stream.send(waiting) {
                Ok(sent) => self.sent += sent,
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(cause) => return Err(cause),
            }
        }
        self.clear();
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        shrink(&mut self.bytes);
    }

    /// The number of bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether a part of what waits was sent.
    pub(super) fn is_begun(&self) -> bool {
        self.sent > 0
    }
}

fn shrink(bytes: &mut Vec<u8>) {
    if bytes.capacity() > KEPT {
        bytes.truncate(KEPT);
        bytes.shrink_to(KEPT);
    }
}

fn check_length(length: usize, kind: io::ErrorKind) -> io::Result<()> {
    if (1..=MAX_FRAME).contains(&length) {
        return Ok(());
    }
    Err(io::Error::new(kind, format!("a frame has from 1 to {MAX_FRAME} bytes, and this one {length}")))
}
