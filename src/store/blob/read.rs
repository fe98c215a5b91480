//! Fetching a payload: its head and its block table are verified here, its blocks when they are first looked at.

use std::{fs::File, io, path::Path, sync::Arc};

use super::{
    buffer::Buffer,
    head::{Head, damaged},
};
use crate::{
    checksum::{BlockChecksums, checksum},
    codec::Payload,
    error::{Error, Result},
    key::Digest,
    testing::{Faults, Operation},
};

/// A map costs a page fault for every few pages: a hit of 256 KiB takes 61 us by a map, and 50 by a read into memory. One of 1
/// MiB takes 212 and 233 us: the copy does not stay in the cache of the CPU.
pub(super) const MAPPED: u64 = 512 << 10;

/// Which blob a record means.
pub(crate) struct Expected {
    pub(crate) generation: [u8; 16],
    pub(crate) digest: Digest,
    pub(crate) sequence: u64,
    pub(crate) length: u64,
}

impl Expected {
    fn is_of(&self, head: &Head) -> bool {
        self.generation == head.generation
            && self.digest == head.digest
            && self.sequence == head.sequence
            && self.length == head.length
    }
}

/// The payload of the file at `path`, under its seal or the one that is known. `None` when there is no such file.
pub(crate) fn read(
    path: &Path,
    expected: &Expected,
    known: Option<Arc<BlockChecksums>>,
    faults: &Faults,
) -> Result<Option<Payload>> {
    faults.check(Operation::BlobRead)?;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(Error::io(path.display(), cause)),
    };
    let contents = contents(&file).map_err(|cause| Error::io(path.display(), cause))?;
    let bytes = contents.as_ref();
    let (head, begin) = Head::decode(bytes).ok_or_else(|| damaged(path, "its head"))?;
    if !expected.is_of(&head) {
        return Err(damaged(path, "it belongs to another entry"));
    }
    let end = begin.saturating_add(usize::try_from(head.length).unwrap_or(usize::MAX));
    let table = bytes.get(end..).ok_or_else(|| damaged(path, "it was cut"))?;
    let read_seal = || {
        (checksum(table) == head.table_checksum).then(|| BlockChecksums::new(table, end - begin)).flatten()
    };
    let seal = known.or_else(|| read_seal().map(Arc::new)).ok_or_else(|| damaged(path, "its block table"))?;
    if seal.is_damaged() {
        return Err(damaged(path, "its payload"));
    }
    Ok(Some(Payload::with_checksums(contents, begin..end, seal)))
}

/// The bytes of a blob or a snapshot, in memory or mapped.
pub(crate) enum Contents {
    Memory(Buffer),
    Map(memmap2::Mmap),
}

#[cfg(any(test, feature = "testing"))]
impl From<Vec<u8>> for Contents {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Memory(bytes.into())
    }
}

impl AsRef<[u8]> for Contents {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Memory(buffer) => buffer.as_ref(),
            Self::Map(map) => map,
        }
    }
}

pub(crate) fn contents(file: &File) -> io::Result<Contents> {
    let length = file.metadata()?.len();
    if length < MAPPED {
        return Buffer::read(file, length as usize).map(Contents::Memory);
    }
    // SAFETY: the payload is whole, and is never written again. The head of a draft is written once more, and no reader
    // looks at it there. Nothing of this crate cuts the file, and unlinking it leaves the map as it is. It lies in a folder for the owner alone; another program of the
    // owner that cuts it would end this process by SIGBUS, which the docs of the crate say.
    #[expect(unsafe_code, reason = "a map of an immutable file")]
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Contents::Map(map))
}
