//! A payload file between its last byte and its name.

use std::{fs::File, io, path::Path};

use tempfile::{NamedTempFile, TempPath};

use super::{
    files::make_folder,
    head::{Head, file_size},
    read::contents,
};
use crate::{
    codec::Payload,
    error::{Error, ErrorKind, Result},
    record::BlobId,
    sync::{Mutex, lock},
};

/// A payload file that has no name yet. It is unlinked with this value unless it is published.
pub(crate) struct Blob {
    /// Open for reading and writing. It stays readable after the file got its name, and after that was unlinked.
    file: File,
    /// The draft in `trash/`, until it is published.
    draft: Mutex<Option<TempPath>>,
    pub(crate) length: u64,
    pub(crate) table_checksum: u64,
    /// Where the payload begins.
    head_size: usize,
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
            return Err(Error::new(ErrorKind::Engine, "a payload file was published twice"));
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
        use std::io::{Seek as _, SeekFrom, Write as _};
        let mut file = file;
        file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(bytes))
    }
}
