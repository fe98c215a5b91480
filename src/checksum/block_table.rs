//! The block table of a payload that is being written.

use super::{BLOCK, RunningChecksum, checksum};

/// Sums a payload block by block while it passes by, in pieces of any size.
pub(crate) struct BlockTable {
    /// Of the blocks that are full.
    sums: Vec<u64>,
    /// Of the block that is being filled.
    running: RunningChecksum,
    /// How much of it there is; less than [`BLOCK`].
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

    /// The table as it stands in the file, and its own checksum.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u64) {
        if self.filled > 0 {
            self.end_block();
        }
        let bytes: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        let sum = checksum(&bytes);
        (bytes, sum)
    }
}
