//! Writes buffers to a file on a thread of its own, while the next ones are filled.

use std::{
    fs::File,
    io::{self, Write as _},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use crate::sync::thread::{Builder, JoinHandle};

/// How many full buffers may wait: enough that neither side waits for the other one's hiccups.
const WAITING: usize = 2;

/// A thread that writes. Dropped, it writes what it was given, and ends.
pub(super) struct BackgroundWriter {
    /// Full buffers, in order. `None` only while it is dropped.
    full: Option<SyncSender<Vec<u8>>>,
    /// Buffers that were written, to be filled again.
    empty: Receiver<Vec<u8>>,
    /// `None` once its outcome was asked for.
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl BackgroundWriter {
    /// Writes where the file is at.
    pub(super) fn start(file: File) -> io::Result<Self> {
        let (full, to_write) = sync_channel(WAITING);
        let (written, empty) = sync_channel(WAITING + 1);
        let write = move || write(file, &to_write, &written);
        let thread = Some(Builder::new().name("memolith-write".into()).spawn(write)?);
        Ok(Self { full: Some(full), empty, thread })
    }

    /// Takes the bytes out of the buffer and leaves an empty one. `false` when writing failed, which
    /// [`finish`](Self::finish) explains.
    pub(super) fn write(&mut self, buffer: &mut Vec<u8>) -> bool {
        let fresh = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(buffer.capacity()));
        let full = std::mem::replace(buffer, fresh);
        self.full.as_ref().is_some_and(|sender| sender.send(full).is_ok())
    }

    /// Waits until everything is written.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        self.full = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")))
    }
}

impl Drop for BackgroundWriter {
    /// A draft that is given up must not go on taking space.
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn write(mut file: File, full: &Receiver<Vec<u8>>, written: &SyncSender<Vec<u8>>) -> io::Result<()> {
    while let Ok(mut buffer) = full.recv() {
        file.write_all(&buffer)?;
        buffer.clear();
        // A buffer that nobody takes back is let go.
        let _ = written.try_send(buffer);
    }
    Ok(())
}
