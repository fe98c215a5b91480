//! The checksums of the blocks of a payload. A block is verified when it is first needed.
//!
//! Large payloads are verified while they are read. A separate pass over 320 MB costs 0.16 of a copy. It costs almost
//! nothing if the block is copied directly afterwards, out of the CPU cache, or if a second thread reads ahead. A reader
//! verifies the blocks that it needs, and waits for no other thread: at worst two threads verify one block.

use std::{
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use super::{BLOCK, checksum};
use crate::sync::thread::{self, Scope};

/// With fewer blocks a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 4;

/// The checksums of a payload, and which of its blocks are verified. The bytes are elsewhere, and never change.
#[derive(Debug)]
pub(crate) struct BlockChecksums {
    /// In the order of the payload.
    blocks: Box<[Block]>,
    /// The next block of the thread that reads ahead. The blocks before it are being verified, or are skipped.
    ahead: AtomicUsize,
    /// Set when all blocks are verified. Saves a walk over the blocks.
    is_verified: AtomicBool,
    /// Set when a block is damaged, and never cleared.
    is_damaged: AtomicBool,
    /// Set when the reader leaves the rest to be verified after the call.
    is_deferred: AtomicBool,
}

#[derive(Debug)]
struct Block {
    sum: u64,
    verified: AtomicBool,
}

impl BlockChecksums {
    /// Reads a block table whose own checksum is verified. `None` if it does not fit a payload of `length` bytes.
    pub(crate) fn new(table: &[u8], length: usize) -> Option<Self> {
        let (sums, rest) = table.as_chunks::<8>();
        if !rest.is_empty() || sums.len() != length.div_ceil(BLOCK) {
            return None;
        }
        let block = |sum: &[u8; 8]| Block { sum: u64::from_le_bytes(*sum), verified: AtomicBool::new(false) };
        let blocks = sums.iter().map(block).collect();
        let (is_verified, is_damaged, is_deferred) = Default::default();
        Some(Self { blocks, ahead: AtomicUsize::new(0), is_verified, is_damaged, is_deferred })
    }

    /// Whether a damaged block was found.
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Relaxed)
    }

    /// Whether every block is verified.
    pub(crate) fn is_verified(&self) -> bool {
        self.is_verified.load(Relaxed)
    }

    /// Leaves the blocks that are not verified until after the call.
    #[cfg(feature = "arrow-60")]
    pub(crate) fn defer(&self) {
        self.is_deferred.store(true, Relaxed);
    }

    pub(crate) fn is_deferred(&self) -> bool {
        self.is_deferred.load(Relaxed)
    }

    /// Verifies the blocks of `range` that are not verified yet.
    pub(crate) fn verify(&self, payload: &[u8], range: Range<usize>) -> bool {
        if self.is_verified() || range.is_empty() {
            return true;
        }
        (range.start / BLOCK..range.end.div_ceil(BLOCK)).all(|number| self.verify_block(payload, number))
    }

    /// Verifies all blocks that are not verified yet, on two threads if they are many.
    pub(crate) fn verify_all(&self, payload: &[u8]) -> bool {
        let is_done = || self.blocks.iter().all(|block| block.verified.load(Relaxed));
        let everything = || {
            self.scope(payload, |mut ahead| {
                ahead.start();
                self.verify(payload, 0..self.blocks.len() * BLOCK)
            })
        };
        let verified = self.is_verified() || is_done() || everything();
        self.is_verified.store(verified, Relaxed);
        verified
    }

    /// The end of the verified blocks that begin with the block of `position`.
    pub(crate) fn verified_until(&self, position: usize) -> usize {
        let first = position / BLOCK;
        let ahead = self.blocks.get(first..).unwrap_or_default();
        (first + ahead.iter().take_while(|block| block.verified.load(Relaxed)).count()) * BLOCK
    }

    /// Runs `work`, which reads the payload from front to back, and may start a thread that reads ahead.
    pub(crate) fn scope<'env, T>(
        &'env self,
        payload: &'env [u8],
        work: impl for<'scope> FnOnce(ReadAhead<'scope, 'env>) -> T,
    ) -> T {
        if self.is_verified() || self.blocks.len() < WORTH_A_THREAD || !has_another_core() {
            return work(ReadAhead(None));
        }
        let done = Arc::new(AtomicBool::new(false));
        thread::scope(|scope| {
            let task = ReadAheadTask { checksums: self, payload, done: Arc::clone(&done) };
            let _end = SetOnDrop(&done);
            work(ReadAhead(Some((scope, task))))
        })
    }

    fn verify_block(&self, payload: &[u8], number: usize) -> bool {
        let Some(block) = self.blocks.get(number) else { return false };
        if block.verified.load(Relaxed) {
            return true;
        }
        // The thread that reads ahead continues after this block.
        self.ahead.fetch_max(number + 1, Relaxed);
        let begin = number * BLOCK;
        let end = payload.len().min(begin + BLOCK);
        let verified = payload.get(begin..end).is_some_and(|bytes| checksum(bytes) == block.sum);
        block.verified.store(verified, Relaxed);
        if !verified {
            self.is_damaged.store(true, Relaxed);
        }
        verified
    }
}

/// Starts a second thread at most once. The thread ends with its scope.
pub(crate) struct ReadAhead<'scope, 'env>(Option<(&'scope Scope<'scope, 'env>, ReadAheadTask<'env>)>);

impl ReadAhead<'_, '_> {
    /// For payloads that are verified already, or are too small.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn start(&mut self) {
        let Some((scope, task)) = self.0.take() else { return };
        // If no thread can be started, the reader verifies.
        let _ = thread::Builder::new().name("memolith-verify".into()).spawn_scoped(scope, move || task.run());
    }
}

/// The work of the thread that reads ahead.
struct ReadAheadTask<'env> {
    checksums: &'env BlockChecksums,
    payload: &'env [u8],
    /// Set when the reader has finished.
    done: Arc<AtomicBool>,
}

impl ReadAheadTask<'_> {
    /// Verifies one block after the other, until none is left, one is damaged, or the reader has finished.
    fn run(&self) {
        loop {
            let number = self.checksums.ahead.fetch_add(1, Relaxed);
            let is_over = number >= self.checksums.blocks.len() || self.done.load(Relaxed);
            if is_over || !self.checksums.verify_block(self.payload, number) {
                return;
            }
        }
    }
}

/// Sets the flag also if the work panics, because the scope waits for the other thread.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The answer is cached, because the standard library reads files of the system for it.
pub(crate) fn has_another_core() -> bool {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from)) > 1
}

#[cfg(test)]
mod tests {
    use super::{super::BlockTable, *};

    fn sealed(length: usize) -> (Vec<u8>, BlockChecksums) {
        let payload: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let mut table = BlockTable::new();
        payload.chunks(70_001).for_each(|piece| table.update(piece));
        let checksums = BlockChecksums::new(&table.finish().0, length).unwrap();
        (payload, checksums)
    }

    #[test]
    fn what_was_written_passes_at_every_size() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 7 * BLOCK + 5] {
            let (payload, checksums) = sealed(length);
            assert!(
                checksums.verify_all(&payload) && checksums.is_verified() && !checksums.is_damaged(),
                "{length}"
            );
        }
    }

    #[test]
    fn only_the_blocks_that_are_needed_are_looked_at() {
        let (mut payload, checksums) = sealed(5 * BLOCK);
        payload[3 * BLOCK] ^= 1;
        assert!(checksums.verify(&payload, 0..3 * BLOCK) && !checksums.is_damaged());
        assert_eq!(checksums.verified_until(10), 3 * BLOCK);
        assert!(checksums.verify(&payload, 4 * BLOCK..5 * BLOCK) && !checksums.is_verified());
        assert!(!checksums.verify(&payload, 3 * BLOCK - 1..3 * BLOCK + 1) && checksums.is_damaged());
        assert!(!checksums.verify_all(&payload) && !checksums.is_verified());
    }

    #[test]
    fn a_payload_that_is_too_short_does_not_pass() {
        let (payload, checksums) = sealed(2 * BLOCK + 9);
        assert!(!checksums.verify_all(&payload[..2 * BLOCK]));
        assert!(!sealed(9).1.verify_all(&[]));
    }

    #[test]
    fn a_table_of_another_length_is_refused() {
        assert!(BlockChecksums::new(&[0; 8], BLOCK + 1).is_none());
        assert!(BlockChecksums::new(&[0; 24], BLOCK + 1).is_none());
        assert!(BlockChecksums::new(&[0; 15], BLOCK + 1).is_none());
    }

    #[test]
    fn a_thread_that_runs_ahead_stops_when_the_work_is_done_even_by_a_panic() {
        let (payload, checksums) = sealed(6 * BLOCK);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            checksums.scope(&payload, |mut ahead| {
                ahead.start();
                panic!("the work");
            });
        }));
        assert!(caught.is_err());
        assert!(checksums.verify_all(&payload));
    }
}
