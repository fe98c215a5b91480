//! The block table of a payload during its write.

use super::{BLOCK, RunningChecksum, checksum};

/// Computes the checksum of each block of a payload that comes in pieces of any size.
pub(crate) struct BlockTable {
    /// The checksums of the full blocks.
    sums: Vec<u64>,
    /// The checksum of the last, incomplete block.
    running: RunningChecksum,
    /// Bytes in the incomplete block. Less than [`BLOCK`].
    filled: usize,
}

impl BlockTable {
    pub(crate) fn new() -> Self {
        Self { sums: Vec::new(), running: RunningChecksum::new(), filled: 0 }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.filled));
            self.running.update(now);
            self.filled += now.len();
            if self.filled == BLOCK {
                self.end_block();
            }
            bytes = later;
        }
    }

    fn end_block(&mut self) {
        self.sums.push(self.running.take());
        self.filled = 0;
    }

    /// The bytes of the table in the file, and their checksum.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u64) {
        if self.filled > 0 {
            self.end_block();
        }
        let bytes: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        let sum = checksum(&bytes);
        (bytes, sum)
    }
}
