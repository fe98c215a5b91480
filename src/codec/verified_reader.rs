//! Where a deserializer that reads by position takes its bytes from: verified ones, and no others.
//!
//! Blocks are verified as they are reached, by a second thread that runs ahead when the value is read in small pieces: a
//! flipped bit is noticed before any `Deserialize` sees it, and it costs no pass of its own. A long run of numbers is
//! handed out as it is, to be verified block by block right before each is copied.

use std::{fmt, ops::Range};

use serde::de;

use super::Payload;
use crate::checksum::{BLOCK, ReadAhead};

/// Entering so many blocks one after the other is reason to have a second thread run ahead.
const CROSSINGS: u32 = 2;

/// Reads a payload from front to back, at the cost of a plain slice.
pub(super) struct VerifiedReader<'scope, 'env> {
    payload: &'scope Payload,
    /// The bytes from the front of the payload that may be read now: those before `position` were read, or passed by.
    window: &'scope [u8],
    /// Where the next byte is: one number to move at each read, and not a slice.
    position: usize,
    /// Blocks that were entered since the last long run.
    crossings: u32,
    ahead: ReadAhead<'scope, 'env>,
}

/// Why bytes are not a value of the type that was asked for.
#[derive(Debug)]
pub(super) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl de::Error for Unreadable {
    #[cold]
    fn custom<T: fmt::Display>(words: T) -> Self {
        Self(words.to_string())
    }
}

impl<'scope, 'env> VerifiedReader<'scope, 'env> {
    fn new(payload: &'scope Payload, ahead: ReadAhead<'scope, 'env>) -> Self {
        let window = if payload.is_verified() { payload.unverified() } else { &[] };
        Self { payload, window, position: 0, crossings: 0, ahead }
    }

    /// The next `count` bytes; `None` when there are not as many, or when they are not what was written.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Option<&'scope [u8]> {
        let end = self.position.wrapping_add(count);
        match self.window.get(self.position..end) {
            Some(taken) => {
                self.position = end;
                Some(taken)
            }
            None => self.take_behind(count),
        }
    }

    /// The next `count` bytes, to be verified by whoever copies them; `None` when there are not as many.
    pub(super) fn run(&mut self, count: usize) -> Option<ByteRun<'scope>> {
        if count < BLOCK || self.payload.is_verified() {
            return self.take(count).map(ByteRun::verified);
        }
        let begin = self.position;
        let end = begin.checked_add(count)?;
        let bytes = self.payload.unverified().get(begin..end)?;
        (self.window, self.position, self.crossings) = (&[], end, 0);
        Some(ByteRun { bytes, place: Some((self.payload, begin)) })
    }

    /// How many bytes are left.
    #[inline]
    pub(super) fn remaining(&self) -> usize {
        self.payload.size() - self.position
    }

    /// What reaches over the end of the window.
    #[cold]
    #[inline(never)]
    fn take_behind(&mut self, count: usize) -> Option<&'scope [u8]> {
        let begin = self.position;
        let end = begin.checked_add(count)?;
        let taken = self.payload.unverified().get(begin..end)?;
        self.crossings += 1;
        if self.crossings == CROSSINGS {
            self.ahead.start();
        }
        if !self.payload.verify(begin..end) {
            return None;
        }
        let passed = self.payload.verified_until(end).max(end);
        self.window = self.payload.unverified().get(..passed).unwrap_or_default();
        self.position = end;
        Some(taken)
    }
}

/// Decodes a payload from a source of verified bytes.
pub(super) fn read<T>(payload: &Payload, decode: impl FnOnce(VerifiedReader<'_, '_>) -> T) -> T {
    if payload.is_verified() {
        return decode(VerifiedReader::new(payload, ReadAhead::none()));
    }
    payload.scope(|ahead| decode(VerifiedReader::new(payload, ahead)))
}

/// The bytes of many numbers: perhaps not verified yet.
pub(crate) struct ByteRun<'a> {
    bytes: &'a [u8],
    /// The payload that they lie in, and where; `None` when they can be trusted.
    place: Option<(&'a Payload, usize)>,
}

impl<'a> ByteRun<'a> {
    /// Of bytes that can be trusted.
    pub(crate) fn verified(bytes: &'a [u8]) -> Self {
        Self { bytes, place: None }
    }

    /// Where the blocks of the payload begin in the run, so that no block is verified twice: the first is cut by this.
    pub(crate) fn offset(&self) -> usize {
        self.place.map_or(0, |(_, begin)| begin % BLOCK)
    }

    /// A part of the run; `None` when it is not what was written.
    pub(crate) fn part(&self, part: Range<usize>) -> Option<&'a [u8]> {
        let verified =
            self.place.is_none_or(|(payload, begin)| payload.verify(begin + part.start..begin + part.end));
        if verified { self.bytes.get(part) } else { None }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}
