//! The file of a draft: buffered, summed on the way, and from a few megabytes on written by a second thread.
//!
//! Measured with 320 MB (2 cores; a plain `write` of the same bytes takes 1.0): encoding, summing and writing one after
//! the other takes 2.1 for vectors of `f64` and 1.14 for packed ones, which come as one long run; side by side 1.25 to 1.5
//! and 1.03 to 1.07. What lies between the encoder and the disk is a few buffers, whatever the size of the value.
//!
//! The system caches a file in as large pieces as it is written in, as far as they begin at a multiple of their size, and a read
//! of large pieces is quicker: 256 KiB that were written at once are read in 16 us, behind a head of 300 bytes that was
//! written before in 23, in pieces of 16 KiB in 25, and of 4 KiB in 95. So the head is written with what follows it, and
//! buffers end at a multiple of their size.

use std::{
    fs::File,
    io::{self, IoSlice, Write as _},
    path::Path,
};

use tempfile::NamedTempFile;

use super::{
    background_writer::BackgroundWriter,
    files::make_folder,
    unnamed::{Blob, draft_in},
};
use crate::{
    checksum::{BLOCK, BlockTable, has_another_core},
    error::{Error, Result},
    sync::thread,
    testing::{Faults, Operation},
};

/// What is gathered before it is written.
pub(super) const BUFFER: usize = 128 << 10;

/// The same when another thread writes: waking that one costs more than writing 128 KiB.
const LARGE_BUFFER: usize = 1 << 20;

/// From here on a second thread is worth its start: writing as much takes about a millisecond.
const WORTH_A_THREAD: usize = 4 << 20;

pub(super) struct BlobWriter {
    file: NamedTempFile,
    /// Bytes that were not written yet, at most [`BUFFER`], or [`LARGE_BUFFER`] when there is a writer. In front of the first ones
    /// is room for the head.
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    offset: usize,
    table: BlockTable,
    /// Writes what comes in small pieces, once there is much of it. While it has work the file is not touched here.
    writer: Option<BackgroundWriter>,
    /// How much came in small pieces since the last long run: a writer is started for much of it, not for what stands
    /// between the columns of a frame.
    gathered: usize,
    head_size: usize,
    faults: Faults,
}

impl BlobWriter {
    pub(super) fn begin(room: &Path, head_size: usize, faults: &Faults) -> Result<Self> {
        faults.check(Operation::BlobWrite)?;
        let begun = match draft_in(room) {
            // The folder was removed meanwhile.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                make_folder(room)?;
                draft_in(room)
            }
            begun => begun,
        };
        let file = begun.map_err(|cause| Error::io(room.display(), cause))?;
        let mut buffer = Vec::with_capacity(BUFFER);
        buffer.resize(head_size, 0);
        Ok(Self {
            file,
            buffer,
            offset: 0,
            table: BlockTable::new(),
            writer: None,
            gathered: 0,
            head_size,
            faults: faults.clone(),
        })
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let size = self.buffer_size();
        if bytes.len() > size {
            return self.append_run(bytes);
        }
        let (fitting, rest) = bytes.split_at(bytes.len().min(self.room()));
        self.buffer.extend_from_slice(fitting);
        if self.room() == 0 {
            self.drain()?;
        }
        // It fits: the buffer is empty, or it was all.
        self.buffer.extend_from_slice(rest);
        Ok(())
    }

    fn buffer_size(&self) -> usize {
        if self.writer.is_some() { LARGE_BUFFER } else { BUFFER }
    }

    /// How many bytes the buffer still takes up.
    fn room(&self) -> usize {
        let size = self.buffer_size();
        (size - self.offset % size).saturating_sub(self.buffer.len())
    }

    /// A long run is written from where it lies, without a copy, together with what came before it, while another thread sums it.
    fn append_run(&mut self, run: &[u8]) -> Result<()> {
        self.end_writer()?;
        self.faults.check(Operation::BlobWrite)?;
        self.sum_buffer();
        let (file, table) = (self.file.as_file_mut(), &mut self.table);
        let written = if run.len() >= WORTH_A_THREAD && has_another_core() {
            write_and_sum(file, table, &self.buffer, run)
        } else {
            // A block is summed and written while it is in the cache.
            let mut before = self.buffer.as_slice();
            run.chunks(BLOCK).try_for_each(|block| {
                table.update(block);
                write_both(file, std::mem::take(&mut before), block)
            })
        };
        self.offset += self.buffer.len() + run.len();
        self.buffer.clear();
        written.map_err(|cause| self.unwritten(cause))
    }

    /// The head, in front of the first buffer, has its own checksum.
    fn sum_buffer(&mut self) {
        let head_size = if self.offset == 0 { self.head_size } else { 0 };
        self.table.update(self.buffer.get(head_size..).unwrap_or_default());
    }

    /// Sends the buffer on its way.
    fn drain(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.faults.check(Operation::BlobWrite)?;
        self.sum_buffer();
        self.gathered += self.buffer.len();
        self.offset += self.buffer.len();
        if self.writer.is_none() && self.gathered >= WORTH_A_THREAD && has_another_core() {
            // Without a thread to be had this one goes on by itself.
            self.writer = self.file.as_file().try_clone().and_then(BackgroundWriter::start).ok();
        }
        let Some(writer) = &mut self.writer else {
            let written = self.file.write_all(&self.buffer);
            self.buffer.clear();
            return written.map_err(|cause| self.unwritten(cause));
        };
        if writer.write(&mut self.buffer) {
            return Ok(());
        }
        // It only ever stops early with an error.
        self.end_writer()?;
        Err(self.unwritten(io::ErrorKind::WriteZero.into()))
    }

    /// Waits until what the writer was given is written.
    fn end_writer(&mut self) -> Result<()> {
        self.gathered = 0;
        self.writer.take().map_or(Ok(()), BackgroundWriter::finish).map_err(|cause| self.unwritten(cause))
    }

    fn unwritten(&self, cause: io::Error) -> Error {
        Error::io(self.file.path().display(), cause)
    }

    pub(super) fn finish(mut self, length: u64) -> Result<Blob> {
        self.drain()?;
        self.end_writer()?;
        let (table, table_checksum) = self.table.finish();
        let written = self.file.write_all(&table);
        written.map_err(|cause| Error::io(self.file.path().display(), cause))?;
        Ok(Blob::new(self.file, length, table_checksum, self.head_size))
    }
}

/// On two threads; on this one alone if there is no other to be had.
fn write_and_sum(file: &mut File, table: &mut BlockTable, before: &[u8], run: &[u8]) -> io::Result<()> {
    let mut summed = false;
    let written = thread::scope(|scope| {
        let sum = || {
            table.update(run);
            summed = true;
        };
        let _ = thread::Builder::new().name("memolith-sum".into()).spawn_scoped(scope, sum);
        let (block, rest) = run.split_at(run.len().min(BLOCK));
        write_both(file, before, block)?;
        file.write_all(rest)
    });
    if !summed {
        table.update(run);
    }
    written
}

/// In one call, as far as the system writes so much at once. Some refuse 2 GiB.
fn write_both(file: &mut File, first: &[u8], second: &[u8]) -> io::Result<()> {
    let written = match file.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]) {
        Err(cause) if cause.kind() == io::ErrorKind::Interrupted => 0,
        written => written?,
    };
    file.write_all(first.get(written..).unwrap_or_default())?;
    file.write_all(second.get(written.saturating_sub(first.len())..).unwrap_or_default())
}
