//! A payload on its way to disk: encoded into memory, and from 4 KiB on straight into its file.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use tempfile::{NamedTempFile, TempPath};

use super::{Head, INLINE, file_size, make_folder, read::contents, size, stream::Stream};
use crate::{
    codec::Payload,
    error::{Error, Kind, Result},
    record::{BlobId, Record},
    sync::{Mutex, lock},
    testing::Faults,
};

/// A payload on its way: kept in memory up to 4 KiB, streamed into a file from there on, so that no second copy of a
/// large value ever exists.
pub(crate) struct Draft<'a> {
    /// Where files are begun; without one everything stays in memory.
    room: Option<&'a Path>,
    /// More than this is refused while it is written, not after.
    limit: u64,
    memo: &'a str,
    key_head: &'a [u8],
    inline: Vec<u8>,
    file: Option<Stream>,
    length: u64,
    /// The first failure: a codec may have lost it on its way up.
    failure: Option<Error>,
    faults: Faults,
}

impl<'a> Draft<'a> {
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
            Some(stream) => stream.finish(self.length).map(Finished::Blob),
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
            (_, Some(stream)) => stream.append(bytes)?,
            (Some(room), none) => {
                let stream =
                    none.insert(Stream::begin(room, Head::size(self.memo, self.key_head), &self.faults)?);
                stream.append(&std::mem::take(&mut self.inline))?;
                stream.append(bytes)?;
            }
        }
        Ok(())
    }
}

impl Write for Draft<'_> {
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
    Error::new(Kind::Oversize, format!("the value is larger than the bound of {limit} bytes: {remedy}"))
}

/// A payload that is whole.
pub(crate) enum Finished {
    Inline(Vec<u8>),
    Blob(Blob),
}

impl Finished {
    /// The payload, as a reader gets it.
    pub(crate) fn payload(&self) -> Result<Payload> {
        match self {
            Self::Inline(payload) => Ok(Payload::from(payload.clone())),
            Self::Blob(blob) => blob.payload(),
        }
    }

    /// What the entry will weigh with it.
    pub(crate) fn weight(&self, memo: &str, key_head: &[u8]) -> u64 {
        match self {
            Self::Inline(payload) => Record::weight(key_head, payload.len()),
            Self::Blob(blob) => {
                Record::weight(key_head, size_of::<BlobId>()) + size(memo, key_head, blob.length)
            }
        }
    }
}

/// A payload file that has no name yet. It is unlinked with this value unless it is published.
pub(crate) struct Blob {
    /// Open for reading and writing. It stays readable after the file got its name, and after that was unlinked.
    file: File,
    /// The draft in `trash/`, until it is published.
    draft: Mutex<Option<TempPath>>,
    pub(crate) length: u64,
    pub(crate) table_checksum: u64,
    /// Where the payload begins.
    pub(super) head_size: usize,
}

impl Blob {
    pub(super) fn new(file: NamedTempFile, length: u64, table_checksum: u64, head_size: usize) -> Self {
        let (file, draft) = file.into_parts();
        Self { file, draft: Mutex::new(Some(draft)), length, table_checksum, head_size }
    }

    /// The bytes that the file takes on disk.
    pub(crate) fn size(&self) -> u64 {
        file_size(self.head_size, self.length)
    }

    /// The payload, read from the open file. This process just wrote it, so it is not verified.
    pub(crate) fn payload(&self) -> Result<Payload> {
        let end = self.head_size.saturating_add(usize::try_from(self.length).unwrap_or(usize::MAX));
        let contents = contents(&self.file).map_err(|cause| Error::io("a payload file", cause))?;
        Ok(Payload::new(contents, self.head_size..end))
    }

    /// Writes the head and gives the file its only name.
    pub(crate) fn publish(&self, head: &Head, folder: &Path, id: BlobId) -> Result<()> {
        let bytes = head.encode();
        debug_assert_eq!(bytes.len(), self.head_size, "the payload was begun behind a head of this size");
        let path = folder.join(id.to_string());
        write_first(&self.file, &bytes).map_err(|cause| Error::io(path.display(), cause))?;
        let Some(draft) = lock(&self.draft).take() else {
            return Err(Error::new(Kind::Engine, "a payload file was published twice"));
        };
        match draft.persist(&path) {
            Ok(()) => Ok(()),
            // The folder goes with `clear`, and when a user removed it.
            Err(lost) if lost.error.kind() == io::ErrorKind::NotFound => {
                make_folder(folder)?;
                lost.path.persist(&path).map_err(|lost| Error::io(path.display(), lost.error))
            }
            Err(lost) => Err(Error::io(path.display(), lost.error)),
        }
    }
}

/// Writes to the front of a file, and does not move the position of others that share it.
fn write_first(file: &File, bytes: &[u8]) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, 0);
    #[cfg(not(unix))]
    {
        use std::io::{Seek as _, SeekFrom};
        let mut file = file;
        file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(bytes))
    }
}
