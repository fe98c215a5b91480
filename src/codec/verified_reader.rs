//! Reads a payload from front to back, and returns verified bytes only.
//!
//! A block is verified when the reader reaches it, or before by a second thread that reads ahead. So a flipped bit is
//! detected before any `Deserialize` reads it, without a separate pass. A long run of numbers is returned unverified. The
//! code that copies it verifies each block directly before its copy.

use std::{fmt, ops::Range};

use serde::de;

use super::Payload;
use crate::checksum::{BLOCK, ReadAhead};

/// After so many blocks in a row without a long run, a second thread is started that reads ahead.
const CROSSINGS: u32 = 2;

/// Reads a payload from front to back, at the cost of a plain slice.
pub(super) struct VerifiedReader<'scope, 'env> {
    payload: &'scope Payload,
    /// A verified prefix of the payload, or empty. The bytes before `position` were read or skipped.
    window: &'scope [u8],
    /// Place of the next byte. A number is cheaper to update at each read than a slice.
    position: usize,
    /// Number of blocks that were entered since the last long run.
    crossings: u32,
    ahead: ReadAhead<'scope, 'env>,
}

/// Why bytes are no value of the expected type.
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

    /// The next `count` bytes. `None` if there are fewer, or if they are damaged.
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

    /// The next `count` bytes, which the caller verifies when it copies them. `None` if there are fewer.
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

    /// Number of bytes left.
    #[inline]
    pub(super) fn remaining(&self) -> usize {
        self.payload.size() - self.position
    }

    /// Takes bytes beyond the end of the window.
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

/// Decodes a payload by a reader of verified bytes.
pub(super) fn read<T>(payload: &Payload, decode: impl FnOnce(VerifiedReader<'_, '_>) -> T) -> T {
    if payload.is_verified() {
        return decode(VerifiedReader::new(payload, ReadAhead::none()));
    }
    payload.scope(|ahead| decode(VerifiedReader::new(payload, ahead)))
}

/// The bytes of many numbers, which may be unverified.
pub(crate) struct ByteRun<'a> {
    bytes: &'a [u8],
    /// The payload of the bytes, and their place in it. `None` if they are verified.
    place: Option<(&'a Payload, usize)>,
}

impl<'a> ByteRun<'a> {
    /// A run of verified bytes.
    pub(crate) fn verified(bytes: &'a [u8]) -> Self {
        Self { bytes, place: None }
    }

    /// Number of bytes of the first block that lie before the run. With it, copies end where blocks end, so that no block
    /// is verified twice.
    pub(crate) fn offset(&self) -> usize {
        self.place.map_or(0, |(_, begin)| begin % BLOCK)
    }

    /// A part of the run. `None` if it is damaged.
    pub(crate) fn part(&self, part: Range<usize>) -> Option<&'a [u8]> {
        let verified =
            self.place.is_none_or(|(payload, begin)| payload.verify(begin + part.start..begin + part.end));
        if verified { self.bytes.get(part) } else { None }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}
