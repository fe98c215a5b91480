//! Payload files: one immutable, self-describing file for every payload over 4 KiB.
//!
//! ```text
//! offset  size
//!      0     2  magic "MB"
//!      2     1  format, 1
//!      3     1  flags, spare and zero
//!      4     4  length H of the head, a multiple of 64: here the payload begins, aligned in the map
//!      8    16  generation
//!     24    32  digest
//!     56     8  sequence
//!     64     8  created_at, milliseconds since the epoch, UTC
//!     72     8  expires_at, likewise; all ones = never
//!     80     8  compute time, nanoseconds
//!     88     8  length n of the payload
//!     96     8  checksum of the block table
//!    104     2  length m of the memo's name
//!    106     2  length k of the key's head
//!    108     m  the memo's name
//!  108+m     k  the head of the key
//!            .  zeros
//!    H-8     8  CRC-64/NVME of the head before it
//!      H     n  the payload
//!    H+n   8*b  block table: CRC-64/NVME of every block of 1 MiB, the last may be shorter
//! ```
//!
//! A blob is written in `trash/`, where a crash may leave it, and gets its only name by a rename to a random one:
//! nothing is renamed over, which costs ten times a plain write. 4 KiB is the border because sled makes files of its
//! own from 8 KiB on, which it never removes.

mod draft;
mod head;
mod pen;
mod read;
mod stream;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder},
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
};

pub(crate) use self::{
    draft::{Blob, Draft, Finished, oversize},
    head::Head,
    read::{Expected, read},
};
use crate::{
    checksum::BLOCK,
    error::{Error, Kind, Result},
    record::BlobId,
    testing::{Fault, Faults, Operation},
};

/// Payloads up to here stand in the record itself: 4 KiB and what a codec puts before them, so that a text of a whole
/// page is no file of its own, which takes 20 times as long to write.
pub(crate) const INLINE: usize = (4 << 10) + 64;

/// A random name of 128 bits from the operating system: a forked child draws others than its parent. Where the system
/// has none to give, the keys that std seeds its hash maps with are taken.
pub(crate) fn random_id() -> BlobId {
    let mut id = [0; 16];
    if getrandom::fill(&mut id).is_err() {
        let halves = [0u8, 1].map(|half| RandomState::new().hash_one(half).to_le_bytes());
        id.iter_mut().zip(halves.as_flattened()).for_each(|(to, from)| *to = *from);
    }
    BlobId(id)
}

/// A folder of ours: for the owner alone. Its parents are made likewise when they are missing.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    make(path, true)
}

/// The same, and an error if there is something already.
pub(crate) fn make_new_folder(path: &Path) -> Result<()> {
    make(path, false)
}

fn make(path: &Path, recursive: bool) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(recursive);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|cause| Error::io(path.display(), cause))
}

/// What the file of such a payload takes on disk.
pub(crate) fn size(memo: &str, key_head: &[u8], length: u64) -> u64 {
    file_size(Head::size(memo, key_head), length)
}

fn file_size(head_size: usize, length: u64) -> u64 {
    head_size as u64 + length + length.div_ceil(BLOCK as u64) * 8
}

pub(crate) fn damaged(path: &Path, what: &str) -> Error {
    Error::new(Kind::Corrupt, format!("the payload file {} is damaged ({what})", path.display()))
}

/// Takes a file out of sight before anything newer takes its place, so that a rebuild cannot bring it back: 5 to 16
/// microseconds at any size. Where it lies now, or `None` when there was nothing.
pub(crate) fn retire(path: &Path, trash: &Path) -> Result<Option<PathBuf>> {
    hide(path, trash, &random_id().to_string())
}

/// Likewise the whole folder of a generation. Its name is kept, for what is found in it and is not ours.
pub(crate) fn retire_folder(path: &Path, trash: &Path) -> Result<Option<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    hide(path, trash, &format!("{name}.{}", random_id()))
}

fn hide(path: &Path, trash: &Path, name: &str) -> Result<Option<PathBuf>> {
    let to = trash.join(name);
    let gone = |cause: &io::Error| cause.kind() == io::ErrorKind::NotFound;
    let renamed = match fs::rename(path, &to) {
        // Somebody tidied up under us: what is to be retired is there, where it goes is not.
        Err(cause) if gone(&cause) && path.exists() => {
            make_folder(trash)?;
            fs::rename(path, &to)
        }
        renamed => renamed,
    };
    match renamed {
        Ok(()) => Ok(Some(to)),
        Err(cause) if gone(&cause) => Ok(None),
        Err(cause) => Err(Error::io(path.display(), cause)),
    }
}

/// Removes what was retired: files and folders that bear our names, and nothing else.
pub(crate) fn unlink(retired: &Path) {
    let is_folder = fs::symlink_metadata(retired).is_ok_and(|found| found.is_dir());
    let files = is_folder.then(|| fs::read_dir(retired)).into_iter().flatten();
    for file in files.flatten().flatten() {
        if is_ours(&file.path()) {
            let _ = fs::remove_file(file.path());
        } else {
            give_back(retired, &file.file_name());
        }
    }
    // What cannot be removed now is tried again at the next open.
    let _ = fs::remove_file(retired).or_else(|_| fs::remove_dir(retired));
}

/// What lay in a folder of ours without being ours goes back to where it lay.
fn give_back(retired: &Path, name: &OsStr) -> Option<()> {
    let (generation, _) = retired.file_name()?.to_str()?.split_once('.')?;
    let folder = retired.parent()?.parent()?.join("blobs").join(generation);
    make_folder(&folder).ok()?;
    let home = folder.join(name);
    fs::symlink_metadata(&home).is_err().then(|| fs::rename(retired.join(name), &home))?.ok()
}

/// A name that this module gives: 32 hexadecimal digits, twice that for a folder in the trash, or a draft.
pub(crate) fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_id = |name: &str| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_folder = |(generation, id)| is_id(generation) && is_id(id);
    name.starts_with("draft-") || is_id(name) || name.split_once('.').is_some_and(is_folder)
}

fn strike(faults: &Faults, operation: Operation) -> Result<()> {
    let error = match faults.strike(operation) {
        None => return Ok(()),
        Some(Fault::Corrupt | Fault::Panic) => Error::new(Kind::Corrupt, "a planted fault"),
        Some(Fault::NoSpace | Fault::Hang) => Error::io("a planted fault", io::ErrorKind::StorageFull.into()),
    };
    Err(error)
}
