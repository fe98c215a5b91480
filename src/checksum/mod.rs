//! The checksum of all files and records: CRC-64/NVME, with hardware support where the CPU has it.
//!
//! Measured on 2 cores with AVX-512: a record of 150 bytes takes 32 ns, a block of 1 MiB 13 us. xxh3 takes 13 ns and
//! 37 us: on large payloads it is three times slower.

mod block_checksums;
mod block_table;

use crc_fast::{CrcAlgorithm::Crc64Nvme, Digest};

pub(crate) use self::{
    block_checksums::{BlockChecksums, ReadAhead, has_another_core},
    block_table::BlockTable,
};

/// Size in bytes of the block that one checksum of a payload covers.
pub(crate) const BLOCK: usize = 1 << 20;

/// The checksum of some bytes.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(Crc64Nvme, bytes)
}

/// Computes the checksum of bytes that come in pieces.
pub(crate) struct RunningChecksum(Digest);

impl RunningChecksum {
    pub(crate) fn new() -> Self {
        Self(Digest::new(Crc64Nvme))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the checksum, and starts again.
    pub(crate) fn take(&mut self) -> u64 {
        self.0.finalize_reset()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_algorithm_is_the_one_that_the_format_names() {
        assert_eq!(checksum(b"123456789"), 0xAE8B_1486_0A79_9888, "the check value of CRC-64/NVME");
    }

    #[test]
    fn pieces_sum_up_to_the_whole() {
        let mut running = RunningChecksum::new();
        running.update(b"1234");
        running.update(b"56789");
        assert_eq!(running.take(), checksum(b"123456789"));
        running.update(b"1234");
        assert_eq!(running.take(), checksum(b"1234"));
    }
}
