//! The buffer between a serializer, which writes a few bytes at a time, and the writer it fills.

use std::io::{self, Write};

use crate::error::{Error, Result};

/// A dynamic call for each such chunk costs nothing measurable, and clearing it about 40 ns a value.
const CHUNK: usize = 4096;

/// Gathers small writes and hands them on in chunks; what does not fit goes on as it is, without a copy.
///
/// Nothing is written when it is dropped: what a failed serialization left behind is not worth writing.
pub(super) struct WriteBuffer<'a> {
    /// Where the chunks go.
    out: &'a mut dyn Write,
    /// The bytes that wait; only the first `filled` of them count.
    chunk: [u8; CHUNK],
    /// Never more than [`CHUNK`].
    filled: usize,
    /// The first refusal of `out`, kept aside because the error of a serializer may have no room for it.
    refusal: Option<io::Error>,
}

impl<'a> WriteBuffer<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, chunk: [0; CHUNK], filled: 0, refusal: None }
    }

    /// Tells whether the bytes were taken; the reason why not waits for [`finish`](Self::finish).
    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) -> bool {
        match self.chunk.get_mut(self.filled..self.filled + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.filled += bytes.len();
                true
            }
            None => self.pass_on(bytes),
        }
    }

    #[cold]
    fn pass_on(&mut self, bytes: &[u8]) -> bool {
        self.empty();
        if bytes.len() < CHUNK {
            return self.refusal.is_none() && self.put(bytes);
        }
        self.write(bytes.len(), |out, _| out.write_all(bytes));
        self.refusal.is_none()
    }

    fn empty(&mut self) {
        let filled = std::mem::take(&mut self.filled);
        self.write(filled, |out, chunk| out.write_all(chunk.get(..filled).unwrap_or_default()));
    }

    /// Once refused, nothing more is written: what follows would leave a hole.
    fn write(&mut self, len: usize, write: impl FnOnce(&mut dyn Write, &[u8]) -> io::Result<()>) {
        if len > 0 && self.refusal.is_none() {
            self.refusal = write(self.out, &self.chunk).err();
        }
    }

    /// Writes what still waits when the serialization succeeded. A refusal of the writer comes before
    /// whatever the serializer made of it; any other failure is put into words by `explain`.
    pub(super) fn finish<E>(
        mut self,
        serialized: Result<(), E>,
        value_type: &str,
        explain: impl FnOnce(E) -> Error,
    ) -> Result<()> {
        if serialized.is_ok() {
            self.empty();
        }
        match self.refusal {
            Some(cause) => Err(Error::io(format_args!("writing a value of type `{value_type}`"), cause)),
            None => serialized.map_err(explain),
        }
    }
}

/// For serializers that write to a writer: the error they get is a placeholder, see [`WriteBuffer::finish`].
impl Write for WriteBuffer<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.put(bytes) { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffered(writes: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        struct Chunks(Vec<u8>, Vec<usize>);
        impl Write for Chunks {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.extend_from_slice(bytes);
                self.1.push(bytes.len());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Chunks(Vec::new(), Vec::new());
        let mut buffer = WriteBuffer::new(&mut out);
        assert!(writes.iter().all(|bytes| buffer.put(bytes)));
        buffer.finish(Ok::<_, Error>(()), "T", |error| error).unwrap();
        (out.0, out.1)
    }

    #[test]
    fn every_byte_arrives_in_order_whatever_the_sizes() {
        let sizes = [0, 1, 4095, 1, 4096, 3, 4097, 4090, 6, 100_000, 5];
        let writes: Vec<Vec<u8>> = (1..).zip(sizes).map(|(byte, size)| vec![byte; size]).collect();
        assert_eq!(buffered(&writes).0, writes.concat());
    }

    #[test]
    fn small_writes_are_gathered_and_long_ones_pass_through() {
        assert_eq!(buffered(&vec![vec![7; 8]; 1024]).1, [4096, 4096]);
        assert_eq!(buffered(&[vec![1; 10], vec![2; 50_000]]).1, [10, 50_000]);
    }
}
