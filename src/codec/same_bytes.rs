//! Compares the encodings of two values without keeping them.

use std::io::{self, Write};

use crate::{checksum::RunningChecksum, error::Result};

/// Whether `encode` writes the same bytes for both.
pub(super) fn same_bytes<V>(
    value: &V,
    back: &V,
    encode: impl Fn(&V, &mut dyn Write) -> Result<()>,
) -> Result<bool> {
    let sum = |value: &V| -> Result<(u64, u64)> {
        let mut sum = Sum { length: 0, running: RunningChecksum::new() };
        encode(value, &mut sum)?;
        Ok((sum.length, sum.running.take()))
    };
    Ok(sum(value)? == sum(back)?)
}

/// The length and the checksum of bytes.
struct Sum {
    length: u64,
    running: RunningChecksum,
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length += bytes.len() as u64;
        self.running.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
