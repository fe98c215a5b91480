//! A payload on its way to disk: encoded into memory, and from 4 KiB on straight into its file.

use std::{
    io::{self, Write},
    path::Path,
};

use super::{
    blob_writer::BlobWriter,
    head::{Head, size},
    unnamed::Blob,
};
use crate::{
    codec::Payload,
    error::{Error, ErrorKind, Result},
    record::{BlobId, Record},
    testing::Faults,
};

/// Payloads up to here stand in the record itself: 4 KiB and what a codec puts before them, so that a text of a whole
/// page is no file of its own, which takes 20 times as long to write.
pub(crate) const INLINE: usize = (4 << 10) + 64;

/// A payload on its way: kept in memory up to 4 KiB, streamed into a file from there on, so that no second copy of a
/// large value ever exists.
pub(crate) struct PayloadWriter<'a> {
    /// Where files are begun; without one everything stays in memory.
    room: Option<&'a Path>,
    /// More than this is refused while it is written, not after.
    limit: u64,
    memo: &'a str,
    key_head: &'a [u8],
    inline: Vec<u8>,
    file: Option<BlobWriter>,
    length: u64,
    /// The first failure: a codec may have lost it on its way up.
    failure: Option<Error>,
    faults: Faults,
}

impl<'a> PayloadWriter<'a> {
    pub(crate) fn new(
        room: Option<&'a Path>,
        limit: u64,
        memo: &'a str,
        key_head: &'a [u8],
        faults: Faults,
    ) -> Self {
        Self { room, limit, memo, key_head, inline: Vec::new(), file: None, length: 0, failure: None, faults }
    }

    /// The whole payload, or the first thing that went wrong with it.
    pub(crate) fn finish(mut self) -> Result<Finished> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        match self.file.take() {
            None => Ok(Finished::Inline(self.inline)),
            Some(blob_writer) => blob_writer.finish(self.length).map(Finished::Blob),
        }
    }

    /// What went wrong beneath the codec.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.length = self.length.saturating_add(bytes.len() as u64);
        if self.length > self.limit {
            return Err(oversize(self.limit));
        }
        let fits = self.inline.len() + bytes.len() <= INLINE;
        match (self.room, &mut self.file) {
            (None, _) => self.inline.extend_from_slice(bytes),
            (_, None) if fits => self.inline.extend_from_slice(bytes),
            (_, Some(blob_writer)) => blob_writer.append(bytes)?,
            (Some(room), none) => {
                let blob_writer =
                    none.insert(BlobWriter::begin(room, Head::size(self.memo, self.key_head), &self.faults)?);
                blob_writer.append(&std::mem::take(&mut self.inline))?;
                blob_writer.append(bytes)?;
            }
        }
        Ok(())
    }
}

impl Write for PayloadWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failure.is_none() {
            self.failure = self.append(bytes).err();
        }
        match &self.failure {
            None => Ok(bytes.len()),
            Some(failure) => Err(io::Error::other(failure.clone())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn oversize(limit: u64) -> Error {
    let remedy = "the value is handed over but not stored; raise `max_bytes` or return less";
    Error::new(ErrorKind::Oversize, format!("the value is larger than the bound of {limit} bytes: {remedy}"))
}

/// A payload that is whole.
pub(crate) enum Finished {
    Inline(Vec<u8>),
    Blob(Blob),
    /// No value: the variant list of a key, which lies in the record at any length.
    Variants(Vec<u8>),
}

impl Finished {
    /// The payload, as a reader gets it.
    pub(crate) fn payload(&self) -> Result<Payload> {
        match self {
            Self::Inline(payload) | Self::Variants(payload) => Ok(Payload::from(payload.clone())),
            Self::Blob(blob) => blob.payload(),
        }
    }

    /// The length of what is in memory; 0 with a payload file.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Inline(payload) | Self::Variants(payload) => payload.len(),
            Self::Blob(_) => 0,
        }
    }

    /// The length in a payload file; 0 without one.
    pub(crate) fn file_bytes(&self) -> u64 {
        match self {
            Self::Inline(_) | Self::Variants(_) => 0,
            Self::Blob(blob) => blob.length,
        }
    }

    /// What the entry will weigh with it.
    pub(crate) fn weight(&self, memo: &str, key_head: &[u8]) -> u64 {
        match self {
            Self::Inline(payload) | Self::Variants(payload) => Record::weight(key_head, payload.len()),
            Self::Blob(blob) => {
                Record::weight(key_head, size_of::<BlobId>()) + size(memo, key_head, blob.length)
            }
        }
    }
}
