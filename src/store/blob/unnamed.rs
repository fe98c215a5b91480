//! A payload file between its last byte and its name.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
};

use tempfile::{NamedTempFile, TempPath};

use super::{
    files::{DRAFT, make_folder, random_id},
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
    draft: Mutex<Draft>,
    pub(crate) length: u64,
    pub(crate) table_checksum: u64,
    /// Where the payload begins.
    head_size: usize,
}

struct Draft {
    /// Open for reading and writing. It stays readable after the file got its name, and after that was unlinked.
    file: File,
    /// In `trash/`, until it is published.
    path: Option<TempPath>,
}

impl Blob {
    pub(super) fn new(file: NamedTempFile, length: u64, table_checksum: u64, head_size: usize) -> Self {
        let (file, path) = file.into_parts();
        let draft = Mutex::new(Draft { file, path: Some(path) });
        Self { draft, length, table_checksum, head_size }
    }

    /// A draft in `folder` that another process wrote and gave to this one. The name comes from outside.
    ///
    /// # Errors
    ///
    /// When it is no draft of that length.
    pub(crate) fn adopt(
        folder: &Path,
        name: &str,
        length: u64,
        table_checksum: u64,
        head_size: usize,
    ) -> Result<Self> {
        let path = folder.join(name);
        let failed = |cause| Error::io(path.display(), cause);
        let wrong = |what: &str| Error::new(ErrorKind::Corrupt, format!("the draft of a guest {what}"));
        if !name.starts_with(DRAFT) || name.contains(['/', '\\']) {
            return Err(wrong("has the name of no draft"));
        }
        let is_file = std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
        if !is_file {
            return Err(wrong("is gone"));
        }
        let file = File::options().read(true).write(true).open(&path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() != file_size(head_size, length) {
            return Err(wrong("has another length"));
        }
        // A name of its own: the other process may offer the draft once more.
        let own = folder.join(format!("{DRAFT}{}", random_id()));
        std::fs::rename(&path, &own).map_err(failed)?;
        #[allow(deprecated, reason = "its successor came in 3.27, and the path is absolute")]
        let path = Some(TempPath::from_path(&own));
        Ok(Self { draft: Mutex::new(Draft { file, path }), length, table_checksum, head_size })
    }

    /// The name of the draft. A process that adopted it, and ended before it said so, may have given it another one: then the draft
    /// is written anew, as the file is an entry's by now.
    pub(crate) fn draft_name(&self) -> Result<String> {
        let mut draft = lock(&self.draft);
        let Some(path) = &draft.path else {
            return Err(Error::new(ErrorKind::Engine, "a payload file was given away twice"));
        };
        if !path.exists() {
            let folder = path.parent().unwrap_or(Path::new(""));
            let failed = |cause| Error::io(folder.display(), cause);
            let mut copy = draft_in(folder).map_err(failed)?;
            let contents = contents(&draft.file).map_err(failed)?;
            copy.write_all(contents.as_ref()).map_err(failed)?;
            let (file, path) = copy.into_parts();
            *draft = Draft { file, path: Some(path) };
        }
        let name = draft.path.as_ref().and_then(|path| path.file_name()).and_then(|name| name.to_str());
        Ok(name.unwrap_or_default().to_owned())
    }

    /// Another process has the draft, under a name of its own.
    pub(crate) fn give_away(&self) {
        if let Some(path) = lock(&self.draft).path.take() {
            // It fails only on other systems than Unix.
            let _ = path.keep();
        }
    }

    /// The bytes that the file takes on disk.
    pub(crate) fn size(&self) -> u64 {
        file_size(self.head_size, self.length)
    }

    /// The payload, read from the open file. This process just wrote it, so it is not verified.
    pub(crate) fn payload(&self) -> Result<Payload> {
        let end = self.head_size.saturating_add(usize::try_from(self.length).unwrap_or(usize::MAX));
        let contents =
            contents(&lock(&self.draft).file).map_err(|cause| Error::io("a payload file", cause))?;
        Ok(Payload::new(contents, self.head_size..end))
    }

    /// Writes the head and gives the file its only name.
    pub(crate) fn publish(&self, head: &Head, folder: &Path, id: BlobId) -> Result<()> {
        let bytes = head.encode();
        debug_assert_eq!(bytes.len(), self.head_size, "the payload was begun behind a head of this size");
        let path = folder.join(id.to_string());
        let mut draft = lock(&self.draft);
        write_first(&draft.file, &bytes).map_err(|cause| Error::io(path.display(), cause))?;
        let Some(draft) = draft.path.take() else {
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

/// A new draft. A process that begins to host the store removes drafts of processes that are gone, and none that is locked.
pub(super) fn draft_in(room: &Path) -> io::Result<NamedTempFile> {
    let draft = tempfile::Builder::new().prefix(DRAFT).tempfile_in(room)?;
    let _ = draft.as_file().try_lock();
    Ok(draft)
}
