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

use std::{
    fs::{self, DirBuilder, File},
    hash::{BuildHasher, RandomState},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::NamedTempFile;

use crate::{
    checksum::{Running, checksum},
    clock::Lifetime,
    codec::Payload,
    error::{Error, Kind, Result},
    key::Digest,
    record::{BlobId, Fields, Record, put_lifetime},
    testing::{Fault, Faults, Operation},
};

/// Payloads up to here stand in the record itself.
pub(crate) const INLINE: usize = 4 << 10;

const MAGIC: [u8; 2] = *b"MB";
const FORMAT: u8 = 1;
const FIXED: usize = 108;
const ALIGNMENT: usize = 64;
const BLOCK: usize = 1 << 20;
const BUFFER: usize = 128 << 10;
/// A map costs a page fault for every 4 KiB: below this a read into memory is quicker.
const MAPPED: u64 = 256 << 10;

/// What a blob says about its payload.
#[expect(clippy::struct_field_names, reason = "the head of the key stands in the head of the blob")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) generation: [u8; 16],
    pub(crate) digest: Digest,
    pub(crate) sequence: u64,
    pub(crate) lifetime: Lifetime,
    pub(crate) compute_time: Duration,
    pub(crate) length: u64,
    pub(crate) table_checksum: u64,
    pub(crate) memo: String,
    pub(crate) key_head: Vec<u8>,
}

impl Head {
    /// Where the payload begins.
    fn size(memo: &str, key_head: &[u8]) -> usize {
        (FIXED + memo.len() + key_head.len() + 8).next_multiple_of(ALIGNMENT)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let size = Self::size(&self.memo, &self.key_head);
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[FORMAT, 0]);
        bytes.extend_from_slice(&(size as u32).to_le_bytes());
        bytes.extend_from_slice(&self.generation);
        bytes.extend_from_slice(self.digest.as_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        put_lifetime(&mut bytes, self.lifetime, self.compute_time);
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&self.table_checksum.to_le_bytes());
        bytes.extend_from_slice(&(self.memo.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(self.key_head.len() as u16).to_le_bytes());
        bytes.extend_from_slice(self.memo.as_bytes());
        bytes.extend_from_slice(&self.key_head);
        bytes.resize(size - 8, 0);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The head at the front of `bytes`, and where the payload begins; `None` for anything `encode` did not write.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut fields = Fields(bytes);
        if fields.array()? != MAGIC || fields.array()? != [FORMAT, 0] {
            return None;
        }
        let size = u32::from_le_bytes(fields.array()?) as usize;
        let (content, sum) = bytes.get(..size)?.split_last_chunk::<8>()?;
        if checksum(content) != u64::from_le_bytes(*sum) {
            return None;
        }
        let generation = fields.array()?;
        let digest = Digest::from_bytes(fields.array()?);
        let sequence = fields.number()?;
        let (lifetime, compute_time) = fields.lifetime()?;
        let length = fields.number()?;
        let table_checksum = fields.number()?;
        let name = u16::from_le_bytes(fields.array()?);
        let key = u16::from_le_bytes(fields.array()?);
        let memo = String::from_utf8(fields.slice(name.into())?.to_vec()).ok()?;
        let key_head = fields.slice(key.into())?.to_vec();
        let head = Self {
            generation,
            digest,
            sequence,
            lifetime,
            compute_time,
            length,
            table_checksum,
            memo,
            key_head,
        };
        Some((head, size))
    }

    /// Of the file at `path`, without its payload.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut bytes = Vec::with_capacity(4 << 10);
        let largest = (FIXED + usize::from(u16::MAX) * 2 + ALIGNMENT) as u64;
        let read = File::open(path).and_then(|file| file.take(largest).read_to_end(&mut bytes));
        read.map_err(|cause| Error::io(path.display(), cause))?;
        Self::decode(&bytes).map(|(head, _)| head).ok_or_else(|| damaged(path, "its head"))
    }
}

/// A random name: 128 bits drawn from the keys that std seeds its hash maps with.
pub(crate) fn random_id() -> BlobId {
    let [low, high] = [0u8, 1].map(|half| RandomState::new().hash_one(half).to_le_bytes());
    let mut id = [0; 16];
    id.iter_mut().zip(low.into_iter().chain(high)).for_each(|(to, from)| *to = from);
    BlobId(id)
}

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
    faults: &'a Faults,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(
        room: Option<&'a Path>,
        limit: u64,
        memo: &'a str,
        key_head: &'a [u8],
        faults: &'a Faults,
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
                    none.insert(Stream::begin(room, Head::size(self.memo, self.key_head), self.faults)?);
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

/// The file of a draft.
struct Stream {
    file: NamedTempFile,
    /// Bytes that were not written yet, at most [`BUFFER`].
    buffer: Vec<u8>,
    /// The checksum of the block that is being filled, and how much of it there is.
    block: (Running, usize),
    table: Vec<u64>,
    head_size: usize,
    faults: Faults,
}

impl Stream {
    fn begin(room: &Path, head_size: usize, faults: &Faults) -> Result<Self> {
        strike(faults, Operation::BlobWrite)?;
        let mut file = tempfile::Builder::new()
            .prefix("draft-")
            .tempfile_in(room)
            .map_err(|cause| Error::io(room.display(), cause))?;
        file.write_all(&vec![0; head_size]).map_err(|cause| Error::io(room.display(), cause))?;
        let block = (Running::new(), 0);
        Ok(Self {
            file,
            buffer: Vec::with_capacity(BUFFER),
            block,
            table: Vec::new(),
            head_size,
            faults: faults.clone(),
        })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.sum(bytes);
        if self.buffer.len() + bytes.len() > BUFFER {
            self.drain()?;
        }
        if bytes.len() >= BUFFER {
            return self.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn sum(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.1));
            self.block.0.update(now);
            self.block.1 += now.len();
            if self.block.1 == BLOCK {
                self.end_block();
            }
            bytes = later;
        }
    }

    fn end_block(&mut self) {
        self.table.push(self.block.0.take());
        self.block.1 = 0;
    }

    fn drain(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        strike(&self.faults, Operation::BlobWrite)?;
        self.file.write_all(bytes).map_err(|cause| Error::io(self.file.path().display(), cause))
    }

    fn finish(mut self, length: u64) -> Result<Blob> {
        if self.block.1 > 0 {
            self.end_block();
        }
        let table: Vec<u8> = self.table.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        self.buffer.extend_from_slice(&table);
        self.drain()?;
        Ok(Blob { file: self.file, length, table_checksum: checksum(&table), head_size: self.head_size })
    }
}

fn strike(faults: &Faults, operation: Operation) -> Result<()> {
    let error = match faults.strike(operation) {
        None => return Ok(()),
        Some(Fault::Corrupt | Fault::Panic) => Error::new(Kind::Corrupt, "a planted fault"),
        Some(Fault::NoSpace | Fault::Hang) => Error::io("a planted fault", io::ErrorKind::StorageFull.into()),
    };
    Err(error)
}

/// A payload that is whole.
pub(crate) enum Finished {
    Inline(Vec<u8>),
    Blob(Blob),
}

impl Finished {
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

/// A payload file that has no name yet; it goes with this value unless it is published.
pub(crate) struct Blob {
    file: NamedTempFile,
    pub(crate) length: u64,
    pub(crate) table_checksum: u64,
    head_size: usize,
}

impl Blob {
    /// What the file takes on disk.
    pub(crate) fn size(&self) -> u64 {
        file_size(self.head_size, self.length)
    }

    /// Writes the head and gives the file its only name.
    pub(crate) fn publish(mut self, head: &Head, folder: &Path, id: BlobId) -> Result<()> {
        let bytes = head.encode();
        debug_assert_eq!(bytes.len(), self.head_size, "the payload was begun behind a head of this size");
        let path = folder.join(id.to_string());
        let written = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(&bytes));
        written.map_err(|cause| Error::io(path.display(), cause))?;
        match self.file.persist(&path) {
            Ok(_) => Ok(()),
            // The folder goes with `clear`, and when somebody tidied up under us.
            Err(lost) if lost.error.kind() == io::ErrorKind::NotFound => {
                make_folder(folder)?;
                lost.file.persist(&path).map(|_| ()).map_err(|lost| Error::io(path.display(), lost.error))
            }
            Err(lost) => Err(Error::io(path.display(), lost.error)),
        }
    }
}

/// What the file of such a payload takes on disk.
pub(crate) fn size(memo: &str, key_head: &[u8], length: u64) -> u64 {
    file_size(Head::size(memo, key_head), length)
}

fn file_size(head_size: usize, length: u64) -> u64 {
    head_size as u64 + length + length.div_ceil(BLOCK as u64) * 8
}

/// A folder of ours: for the owner alone. Its parents are made likewise when they are missing.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|cause| Error::io(path.display(), cause))
}

/// Which blob a record means.
pub(crate) struct Expected {
    pub(crate) generation: [u8; 16],
    pub(crate) digest: Digest,
    pub(crate) sequence: u64,
    pub(crate) length: u64,
}

/// The payload of the file at `path`, every block of it verified. `None` when there is no such file.
pub(crate) fn read(path: &Path, expected: &Expected, faults: &Faults) -> Result<Option<Payload>> {
    strike(faults, Operation::BlobRead)?;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(Error::io(path.display(), cause)),
    };
    let bytes = contents(file).map_err(|cause| Error::io(path.display(), cause))?;
    let (head, begin) = Head::decode(bytes.as_ref()).ok_or_else(|| damaged(path, "its head"))?;
    if head.generation != expected.generation
        || head.digest != expected.digest
        || head.sequence != expected.sequence
        || head.length != expected.length
    {
        return Err(damaged(path, "it belongs to another entry"));
    }
    let end = begin.saturating_add(usize::try_from(head.length).unwrap_or(usize::MAX));
    let (payload, table) = bytes
        .as_ref()
        .get(begin..end)
        .zip(bytes.as_ref().get(end..))
        .ok_or_else(|| damaged(path, "it was cut"))?;
    verify(payload, table, head.table_checksum).ok_or_else(|| damaged(path, "its payload"))?;
    Ok(Some(Payload::new(bytes, begin..end)))
}

fn verify(payload: &[u8], table: &[u8], table_checksum: u64) -> Option<()> {
    let whole = checksum(table) == table_checksum && table.len() == payload.len().div_ceil(BLOCK) * 8;
    let mut blocks = payload.chunks(BLOCK).zip(table.chunks(8));
    let same = |(block, sum): (&[u8], &[u8])| checksum(block).to_le_bytes() == sum;
    (whole && blocks.all(same)).then_some(())
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::new(Kind::Corrupt, format!("the payload file {} is damaged ({what})", path.display()))
}

/// The bytes of a blob, in memory or mapped.
enum Contents {
    Memory(Vec<u8>),
    Map(memmap2::Mmap),
}

impl AsRef<[u8]> for Contents {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Map(map) => map,
        }
    }
}

fn contents(mut file: File) -> io::Result<Contents> {
    let length = file.metadata()?.len();
    if length < MAPPED {
        let mut bytes = Vec::with_capacity(length as usize);
        file.read_to_end(&mut bytes)?;
        return Ok(Contents::Memory(bytes));
    }
    // SAFETY: the file got its name once, whole, and is never written again: nothing of this crate changes or cuts
    // it, and unlinking it leaves the map as it is. It lies in a folder for the owner alone; another program of the
    // owner that cuts it would end this process by SIGBUS, which the docs of the crate say.
    #[expect(unsafe_code, reason = "a map of an immutable file")]
    let map = unsafe { memmap2::Mmap::map(&file)? };
    Ok(Contents::Map(map))
}

/// Takes a file or folder out of sight before anything newer takes its place, so that a rebuild cannot bring it back:
/// 5 to 16 microseconds at any size. Where it lies now, or `None` when there was nothing.
pub(crate) fn retire(path: &Path, trash: &Path) -> Result<Option<PathBuf>> {
    let to = trash.join(random_id().to_string());
    match fs::rename(path, &to) {
        Ok(()) => Ok(Some(to)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::io(path.display(), cause)),
    }
}

/// Removes what was retired: files and folders that bear our names, and nothing else.
pub(crate) fn unlink(retired: &Path) {
    let files = fs::read_dir(retired).into_iter().flatten().flatten();
    for file in files.filter(|file| is_ours(&file.path())) {
        let _ = fs::remove_file(file.path());
    }
    // What cannot be removed now is tried again at the next open.
    let _ = fs::remove_file(retired).or_else(|_| fs::remove_dir(retired));
}

/// A name that this module gives: 32 hexadecimal digits, or a draft.
pub(crate) fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("draft-") || (name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn head() -> Head {
        Head {
            generation: [0xaa; 16],
            digest: Digest::from_bytes([0xbb; 32]),
            sequence: 7,
            lifetime: Lifetime { created: Timestamp(1_767_225_600_000), expires: Timestamp::NEVER },
            compute_time: Duration::from_millis(5),
            length: 5000,
            table_checksum: 0x0102_0304_0506_0708,
            memo: "frames".into(),
            key_head: b"key".to_vec(),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_bytes_of_a_head_are_golden() {
        let golden = concat!(
            "4d42010080000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
            "bbbbbbbbbbbbbbbb070000000000000000a8da769b010000ffffffffffffffff404b4c00000000008813000000000000",
            "0807060504030201060003006672616d65736b6579000000cf17dafcd03d357b",
        );
        assert_eq!(hex(&head().encode()), golden);
        assert_eq!(Head::decode(&head().encode()), Some((head(), 128)));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_of_a_head_is_refused() {
        let whole = head().encode();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&bytes), None, "bit {bit}");
        }
        for length in 0..whole.len() {
            assert_eq!(Head::decode(&whole[..length]), None, "cut to {length}");
        }
    }

    /// A payload of `length` bytes, published in a directory of its own, and what a record would expect of it.
    fn published(length: usize) -> (tempfile::TempDir, PathBuf, Expected, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let payload: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let (head, faults) = (head(), Faults::new());
        let mut draft = Draft::new(Some(directory.path()), u64::MAX, &head.memo, &head.key_head, &faults);
        payload.chunks(70_000).for_each(|piece| draft.write_all(piece).unwrap());
        let Finished::Blob(blob) = draft.finish().unwrap() else { panic!("too small for a blob") };
        let head = Head { length: blob.length, table_checksum: blob.table_checksum, ..head };
        let size = blob.size();
        blob.publish(&head, directory.path(), BlobId([9; 16])).unwrap();
        let path = directory.path().join(BlobId([9; 16]).to_string());
        assert_eq!(fs::metadata(&path).unwrap().len(), size);
        let expected = Expected {
            generation: head.generation,
            digest: head.digest,
            sequence: head.sequence,
            length: head.length,
        };
        (directory, path, expected, payload)
    }

    #[test]
    fn a_payload_comes_back_whole_at_every_size() {
        for length in [INLINE + 1, BUFFER, MAPPED as usize, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 12_345] {
            let (_directory, path, expected, payload) = published(length);
            let read = read(&path, &expected, &Faults::new()).unwrap().unwrap();
            assert!(&*read == payload.as_slice(), "{length} bytes");
        }
    }

    #[test]
    fn a_flipped_byte_a_cut_and_another_entrys_file_are_damage() {
        let (_directory, path, expected, _) = published(2 * BLOCK + 7);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(65_537).chain([whole.len() - 1, 128, 127]) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            assert!(
                read(&path, &expected, &Faults::new()).is_err_and(|error| error.is_corrupt()),
                "byte {at}"
            );
        }
        for length in [0, 1, 127, 128, BLOCK, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(
                read(&path, &expected, &Faults::new()).is_err_and(|error| error.is_corrupt()),
                "cut to {length}"
            );
        }
        fs::write(&path, &whole).unwrap();
        let other = Expected { sequence: 8, ..expected };
        assert!(read(&path, &other, &Faults::new()).is_err_and(|error| error.is_corrupt()));
    }

    #[test]
    fn a_payload_over_the_limit_is_refused_while_it_is_written_and_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let faults = Faults::new();
        let mut draft = Draft::new(Some(directory.path()), 100_000, "frames", b"key", &faults);
        let written = (0..1_000).take_while(|_| draft.write_all(&[7; 1_000]).is_ok()).count();
        assert_eq!(written, 100);
        assert_eq!(draft.failure().unwrap().kind(), Kind::Oversize);
        drop(draft);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_what_bears_our_names_is_unlinked() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("0123456789abcdef0123456789abcdef");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("0123456789abcdef0123456789abcdef"), "ours").unwrap();
        fs::write(folder.join("letter.txt"), "not ours").unwrap();
        unlink(&folder);
        let left: Vec<_> = fs::read_dir(&folder).unwrap().flatten().map(|file| file.file_name()).collect();
        assert_eq!(left, ["letter.txt"]);
    }
}
