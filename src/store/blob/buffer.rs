//! Files that are read into memory, and the memory that they are read into.
//!
//! Buffers are used again. The allocator may give memory of this size back to the system when it is freed, and each of its pages
//! faults when it is taken again: a hit of 256 KiB took 60 us, or 170 where the heap happened to end with its buffer.

use std::{fs::File, io, mem};

use crate::sync::Mutex;

/// Enough for all numbers, so that views of them need no copy.
const ALIGNMENT: usize = 64;

/// So many buffers wait to be used again, in the whole process.
const SPARE: usize = 2;

/// Smaller ones are left to the allocator, which keeps them.
const WORTH_KEEPING: usize = 64 << 10;

static SPARES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// The whole of a file. It begins at a multiple of [`ALIGNMENT`].
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Where the file begins in them.
    begin: usize,
}

impl Buffer {
    /// Reads a file from its front. It may be open for several readers at once.
    pub(super) fn read(file: &File, length: usize) -> io::Result<Self> {
        let mut bytes = spare(length + ALIGNMENT);
        let begin = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        bytes.resize(begin, 0);
        let mut buffer = Self { bytes, begin };
        append(file, length, &mut buffer.bytes)?;
        Ok(buffer)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }
}

#[cfg(any(test, feature = "testing"))]
impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, begin: 0 }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.capacity() >= WORTH_KEEPING {
            keep(mem::take(&mut self.bytes));
        }
    }
}

/// An empty buffer with room for `length` bytes.
fn spare(length: usize) -> Vec<u8> {
    let mut found = None;
    if length >= WORTH_KEEPING
        && let Ok(mut spares) = SPARES.try_lock()
    {
        found = spares.pop();
    }
    let found = found.filter(|spare| spare.capacity() >= length);
    let mut bytes = found.unwrap_or_else(|| Vec::with_capacity(length));
    bytes.clear();
    bytes
}

/// Waits for no other thread: it may be gone, in a child process.
fn keep(bytes: Vec<u8>) {
    let mut spares = SPARES.try_lock();
    if let Ok(spares) = &mut spares
        && spares.len() < SPARE
    {
        spares.push(bytes);
    }
}

/// Into memory that is not zeroed before: that would take a third of the read.
#[cfg(unix)]
fn append(file: &File, length: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    use rustix::{buffer::spare_capacity, io::pread};

    let begin = bytes.len();
    while bytes.len() < begin + length {
        let offset = bytes.len() - begin;
        match pread(file, spare_capacity(bytes), offset as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    bytes.truncate(begin + length);
    Ok(())
}

#[cfg(not(unix))]
fn append(mut file: &File, length: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    use std::io::{Read as _, Seek as _, SeekFrom};

    let begin = bytes.len();
    bytes.resize(begin + length, 0);
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(bytes.get_mut(begin..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_buffer_that_was_used_before_has_the_bytes_of_its_file_alone() {
        for (byte, length) in [(1, 300 << 10), (2, 65 << 10), (3, 400 << 10), (4, 10), (5, 0), (6, 200 << 10)]
        {
            let read = Buffer::read(&file(&vec![byte; length]), length).unwrap();
            assert!(read.as_ref().len() == length && read.as_ref().iter().all(|found| *found == byte));
            assert_eq!(read.as_ref().as_ptr().align_offset(ALIGNMENT), 0);
        }
    }

    #[test]
    fn a_file_that_is_shorter_than_its_length_is_an_error() {
        let read = Buffer::read(&file(&[7; 100]), 101);
        assert_eq!(read.err().map(|error| error.kind()), Some(io::ErrorKind::UnexpectedEof));
    }
}
