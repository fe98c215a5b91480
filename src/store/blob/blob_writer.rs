//! The file of a draft: buffered, summed on the way, and from a few megabytes on written by a second thread.
//!
//! Measured with 320 MB (2 cores; a plain `write` of the same bytes takes 1.0): encoding, summing and writing one after
//! the other takes 2.1 for vectors of `f64` and 1.14 for packed ones, which come as one long run; side by side 1.25 to 1.5
//! and 1.03 to 1.07. What lies between the encoder and the disk is a few buffers, whatever the size of the value.

use std::{
    io::{self, Write as _},
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
    /// Bytes that were not written yet, at most [`BUFFER`], or [`LARGE_BUFFER`] when there is a writer.
    buffer: Vec<u8>,
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
        let mut file = begun.map_err(|cause| Error::io(room.display(), cause))?;
        file.write_all(&vec![0; head_size]).map_err(|cause| Error::io(room.display(), cause))?;
        Ok(Self {
            file,
            buffer: Vec::with_capacity(BUFFER),
            table: BlockTable::new(),
            writer: None,
            gathered: 0,
            head_size,
            faults: faults.clone(),
        })
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let room = if self.writer.is_some() { LARGE_BUFFER } else { BUFFER };
        if self.buffer.len() + bytes.len() > room {
            self.drain()?;
        }
        // What does not fit into an empty buffer: only then is nothing left in it that belongs before the run.
        if bytes.len() > room {
            return self.append_run(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// A long run is written from where it lies, without a copy, while another thread sums it. The buffer is empty.
    fn append_run(&mut self, run: &[u8]) -> Result<()> {
        debug_assert!(self.buffer.is_empty(), "what came before must be written before");
        self.lay_down_the_pen()?;
        self.faults.check(Operation::BlobWrite)?;
        let (file, table) = (&mut self.file, &mut self.table);
        let written = if run.len() >= WORTH_A_THREAD && has_another_core() {
            write_and_sum(file, table, run)
        } else {
            // A block is summed and written while it is in the cache.
            run.chunks(BLOCK).try_for_each(|block| {
                table.update(block);
                file.write_all(block)
            })
        };
        written.map_err(|cause| self.unwritten(cause))
    }

    /// Sends the buffer on its way.
    fn drain(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.faults.check(Operation::BlobWrite)?;
        self.gathered += self.buffer.len();
        self.table.update(&self.buffer);
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
        self.lay_down_the_pen()?;
        Err(self.unwritten(io::ErrorKind::WriteZero.into()))
    }

    /// Waits until what the writer was given is written.
    fn lay_down_the_pen(&mut self) -> Result<()> {
        self.gathered = 0;
        self.writer.take().map_or(Ok(()), BackgroundWriter::finish).map_err(|cause| self.unwritten(cause))
    }

    fn unwritten(&self, cause: io::Error) -> Error {
        Error::io(self.file.path().display(), cause)
    }

    pub(super) fn finish(mut self, length: u64) -> Result<Blob> {
        self.drain()?;
        self.lay_down_the_pen()?;
        let (table, table_checksum) = self.table.finish();
        let written = self.file.write_all(&table);
        written.map_err(|cause| Error::io(self.file.path().display(), cause))?;
        Ok(Blob::new(self.file, length, table_checksum, self.head_size))
    }
}

/// On two threads; on this one alone if there is no other to be had.
fn write_and_sum(file: &mut NamedTempFile, table: &mut BlockTable, run: &[u8]) -> io::Result<()> {
    let mut summed = false;
    let written = thread::scope(|scope| {
        let sum = || {
            table.update(run);
            summed = true;
        };
        let _ = thread::Builder::new().name("memolith-sum".into()).spawn_scoped(scope, sum);
        file.write_all(run)
    });
    if !summed {
        table.update(run);
    }
    written
}
