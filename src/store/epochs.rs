//! EPOCHS: counters that tell every process of a directory whether its values in memory are still current.
//!
//! A change raises counters *after* it is visible to readers of the disk, and *before* its caller gets a reply. A reader
//! notes the counters *before* it reads the disk. Its value in memory is current as long as they are as noted.
//!
//! ```text
//! offset  bytes
//!      0      8  "MLEPOCHS"
//!      8      8  the format, 1
//!     16      8  identity, random: notes of a file that was replaced are never current
//!     24      8  snapshot: raised when the snapshot is no longer that of the index
//!     32      8  guests: a number, set by the host
//!     40      8  probe: raised once by each host, which so finds out whether maps show it; its number
//!     48         zeros
//!   4096  32768  4,096 counters of keys: by the first two bytes of the digest, little-endian, modulo 4,096
//!  36864   8192  1,024 counters of memos: by the first two bytes of the generation, likewise modulo 1,024
//!  45056         end
//! ```
//!
//! All numbers are little-endian. Two keys, or two memos, may share a counter: then a change of one costs the other its
//! value in memory.
//!
//! * **Writing.** Only the holder of LOCK writes, one thread of it, by a positioned write of eight bytes. A full disk is no
//!   error: all bytes were written when the file was made. The file is never cut, and only replaced whole by a rename.
//! * **Tearing.** No system promises that a write of eight bytes is seen whole in a map. So a counter is stored as its Gray
//!   code: one raise changes one bit, and each mixture of old and new bytes is one of the two.
//! * **Order.** The write is a system call, which ends before the reply is sent. A call that starts after the reply was
//!   received, over any channel, so reads the raised counter: the channel orders the two, and memory is coherent. `note`
//!   ends with an acquire fence, so the reads of the disk that follow it are not made before it. A change that they do not
//!   see was made after them, and raises a counter after `note`.
//! * **Filesystems.** Maps must show what is written to the file, as with the page cache of Linux, macOS and FreeBSD. The
//!   holder of LOCK tries it with the probe, and refuses a file whose map stays as it was. On a network file system a
//!   map does not show the writes of other machines. That cannot be found out here.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    sync::atomic::{Ordering, fence},
};

use memmap2::{MmapOptions, MmapRaw};

use crate::{key::Digest, store::blob::random_id};

/// The name of the file in the store's directory.
pub(crate) const EPOCHS: &str = "EPOCHS";

/// Its name until it is whole. One name is enough: only the holder of LOCK makes one.
pub(crate) const DRAFT: &str = "EPOCHS.draft";

const MAGIC: u64 = u64::from_le_bytes(*b"MLEPOCHS");
const FORMAT: u64 = 1;

const KEYS: usize = 4096;
const MEMOS: usize = 1024;
const KEYS_BEGIN: usize = 4096;
const MEMOS_BEGIN: usize = KEYS_BEGIN + KEYS * WORD;
const LENGTH: usize = MEMOS_BEGIN + MEMOS * WORD;
const WORD: usize = size_of::<u64>();

/// The two counters that judge a value, as a reader found them before it read the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Noted {
    key: u64,
    memo: u64,
}

impl Noted {
    /// That of the key, and that of the memo.
    pub(crate) fn words(self) -> (u64, u64) {
        (self.key, self.memo)
    }
}

/// The file, mapped for reading.
#[derive(Debug)]
pub(crate) struct Epochs {
    /// Open for writing in the process that holds LOCK.
    file: File,
    /// `LENGTH` bytes of it. They change at any time.
    map: MmapRaw,
    /// That of the file.
    identity: u64,
}

/// A number in the file.
#[derive(Clone, Copy)]
enum Word {
    Magic,
    Format,
    Identity,
    Snapshot,
    Guests,
    Probe,
    Key(usize),
    Memo(usize),
}

impl Word {
    fn of_key(digest: &Digest) -> Self {
        Self::Key(first_bytes(digest.as_bytes()) % KEYS)
    }

    fn of_memo(generation: &[u8; 16]) -> Self {
        Self::Memo(first_bytes(generation) % MEMOS)
    }

    /// A multiple of `WORD` below `LENGTH`.
    fn offset(self) -> usize {
        match self {
            Self::Magic => 0,
            Self::Format => 8,
            Self::Identity => 16,
            Self::Snapshot => 24,
            Self::Guests => 32,
            Self::Probe => 40,
            Self::Key(slot) => KEYS_BEGIN + slot % KEYS * WORD,
            Self::Memo(slot) => MEMOS_BEGIN + slot % MEMOS * WORD,
        }
    }
}

fn first_bytes(bytes: &[u8]) -> usize {
    bytes.first_chunk().map_or(0, |first| usize::from(u16::from_le_bytes(*first)))
}

impl Epochs {
    /// For the process that holds LOCK. A missing file is made, and a damaged one is replaced.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the map does not show what is written.
    pub(crate) fn create(directory: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let options = options.read(true).write(true);
        let mut found = Self::open_with(directory, options)?;
        if found.is_none() {
            make(directory)?;
            found = Self::open_with(directory, options)?;
        }
        let epochs = found.ok_or(io::ErrorKind::InvalidData)?;
        epochs.probe()?;
        Ok(epochs)
    }

    /// For a process that only reads. `None` when the file is missing or damaged.
    pub(crate) fn open(directory: &Path) -> io::Result<Option<Self>> {
        Self::open_with(directory, File::options().read(true))
    }

    fn open_with(directory: &Path, options: &fs::OpenOptions) -> io::Result<Option<Self>> {
        let file = match options.open(directory.join(EPOCHS)) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if file.metadata()?.len() != LENGTH as u64 {
            return Ok(None);
        }
        let map = MmapOptions::new().len(LENGTH).map_raw_read_only(&file)?;
        let mut epochs = Self { file, map, identity: 0 };
        epochs.identity = epochs.load(Word::Identity);
        let is_whole = epochs.load(Word::Magic) == MAGIC && epochs.load(Word::Format) == FORMAT;
        Ok(is_whole.then_some(epochs))
    }

    /// The counters of an entry, before it is read. A reader that holds no value yet calls this first.
    pub(crate) fn note(&self, generation: &[u8; 16], digest: &Digest) -> Noted {
        let noted = self.counters(generation, digest);
        fence(Ordering::Acquire);
        noted
    }

    /// Whether the entry was neither overwritten nor removed since its counters were noted. False for counters that were
    /// noted in a file that has been replaced.
    #[cfg(test)]
    pub(crate) fn is_current(&self, generation: &[u8; 16], digest: &Digest, noted: Noted) -> bool {
        fence(Ordering::Acquire);
        self.counters(generation, digest) == noted
    }

    fn counters(&self, generation: &[u8; 16], digest: &Digest) -> Noted {
        let counter = |word| self.load(word).wrapping_add(self.identity);
        Noted { key: counter(Word::of_key(digest)), memo: counter(Word::of_memo(generation)) }
    }

    /// After a change of the entries of this key, in any memo. Only for the one thread that writes, as all that follow.
    pub(crate) fn raise_key(&self, digest: &Digest) -> io::Result<()> {
        self.raise(Word::of_key(digest))
    }

    /// After a change of all entries of a memo.
    pub(crate) fn raise_memo(&self, generation: &[u8; 16]) -> io::Result<()> {
        self.raise(Word::of_memo(generation))
    }

    /// Raises the counters of all memos.
    pub(crate) fn raise_all_memos(&self) -> io::Result<()> {
        (0..MEMOS).try_for_each(|slot| self.raise(Word::Memo(slot)))
    }

    /// Changes with each raise. Reads before the call stay before it, reads after it stay after it.
    pub(crate) fn snapshot(&self) -> u64 {
        fence(Ordering::Acquire);
        let snapshot = self.load(Word::Snapshot).wrapping_add(self.identity);
        fence(Ordering::Acquire);
        snapshot
    }

    pub(crate) fn raise_snapshot(&self) -> io::Result<()> {
        self.raise(Word::Snapshot)
    }

    /// The number that the host set last. While a number over 255 is set, others may be read.
    pub(crate) fn guests(&self) -> u64 {
        self.load(Word::Guests)
    }

    pub(crate) fn set_guests(&self, guests: u64) -> io::Result<()> {
        self.store(Word::Guests, guests)
    }

    /// For a process that holds LOCK, was counted among the guests, and hosts nothing.
    pub(crate) fn take_guest_off(directory: &Path) -> io::Result<()> {
        match Self::open_with(directory, File::options().read(true).write(true))? {
            Some(epochs) => epochs.set_guests(epochs.guests().saturating_sub(1)),
            None => Ok(()),
        }
    }

    /// How often the file was opened for writing: once by each host.
    pub(crate) fn hosts(&self) -> u64 {
        from_gray(self.load(Word::Probe))
    }

    /// Whether it is still the file of that name.
    #[cfg(unix)]
    pub(crate) fn is_of(&self, directory: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let place = |found: fs::Metadata| (found.dev(), found.ino());
        let found = fs::symlink_metadata(directory.join(EPOCHS)).map(place);
        found.is_ok_and(|found| self.file.metadata().map(place).is_ok_and(|held| held == found))
    }

    /// Elsewhere a file that is open cannot be deleted.
    #[cfg(not(unix))]
    pub(crate) fn is_of(&self, _: &Path) -> bool {
        true
    }

    /// The successor of a counter.
    fn raise(&self, word: Word) -> io::Result<()> {
        self.store(word, to_gray(from_gray(self.load(word)).wrapping_add(1)))
    }

    /// Whether the map shows a write.
    fn probe(&self) -> io::Result<()> {
        let before = self.load(Word::Probe);
        self.raise(Word::Probe)?;
        if self.load(Word::Probe) == before {
            let message = "the file system does not show the writes to a file in its maps";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        Ok(())
    }

    #[cfg(target_pointer_width = "64")]
    fn load(&self, word: Word) -> u64 {
        use std::sync::atomic::AtomicU64;

        // A relaxed load: no other is allowed on memory that cannot be written.
        //
        // SAFETY: the offset is a multiple of 8 within the map, which begins at a page and lives as long as `self`. The
        // memory is only looked at by atomic loads. No process that keeps to this file's rules cuts the file; another
        // program of its owner that cuts it would end this process by SIGBUS, as with payload files.
        #[expect(unsafe_code, clippy::cast_ptr_alignment, reason = "a map of a file that changes")]
        let loaded = unsafe {
            AtomicU64::from_ptr(self.map.as_ptr().add(word.offset()).cast::<u64>().cast_mut())
                .load(Ordering::Relaxed)
        };
        u64::from_le(loaded)
    }

    /// Atomic loads of memory that cannot be written are as wide as a pointer at most. The upper half of a counter changes
    /// once in four billion raises.
    #[cfg(not(target_pointer_width = "64"))]
    fn load(&self, word: Word) -> u64 {
        use std::sync::atomic::AtomicU32;

        let half = |offset: usize| {
            // SAFETY: as above, with two halves of a word.
            #[expect(unsafe_code, clippy::cast_ptr_alignment, reason = "a map of a file that changes")]
            let loaded = unsafe {
                AtomicU32::from_ptr(self.map.as_ptr().add(word.offset() + offset).cast::<u32>().cast_mut())
                    .load(Ordering::Relaxed)
            };
            u64::from(u32::from_le(loaded))
        };
        half(4) << 32 | half(0)
    }

    #[cfg(unix)]
    fn store(&self, word: Word, number: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        self.file.write_all_at(&number.to_le_bytes(), word.offset() as u64)
    }

    #[cfg(not(unix))]
    fn store(&self, word: Word, number: u64) -> io::Result<()> {
        use std::io::{Seek as _, SeekFrom};
        (&self.file).seek(SeekFrom::Start(word.offset() as u64))?;
        (&self.file).write_all(&number.to_le_bytes())
    }
}

/// A new file in place of one that is missing or damaged.
fn make(directory: &Path) -> io::Result<()> {
    let draft = directory.join(DRAFT);
    match fs::remove_file(&draft) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let mut bytes = vec![0; LENGTH];
    let identity = u64::from_ne_bytes(*random_id().0.first_chunk().unwrap_or(&[0; WORD]));
    let header = [(Word::Magic, MAGIC), (Word::Format, FORMAT), (Word::Identity, identity)];
    for (word, number) in header {
        if let Some(place) = bytes.get_mut(word.offset()..word.offset() + WORD) {
            place.copy_from_slice(&number.to_le_bytes());
        }
    }
    let mut options = File::options();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = options.open(&draft).and_then(|mut file| file.write_all(&bytes));
    let made = made.and_then(|()| fs::rename(&draft, directory.join(EPOCHS)));
    if made.is_err() {
        let _ = fs::remove_file(&draft);
    }
    made
}

/// Neighbouring numbers have codes that differ in one bit.
fn to_gray(number: u64) -> u64 {
    number ^ number >> 1
}

fn from_gray(code: u64) -> u64 {
    [32, 16, 8, 4, 2, 1].iter().fold(code, |code, shift| code ^ code >> shift)
}

#[cfg(test)]
mod tests;
