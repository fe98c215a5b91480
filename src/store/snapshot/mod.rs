//! The snapshot of a closed store: every row of its three tables in one file, sorted, so that a reader needs neither LOCK nor
//! sled, and a damaged index can be filled again.
//!
//! ```text
//! offset  size
//!      0     2  magic "MS"
//!      2     1  format, 1
//!      3     1  flags, spare and zero
//!      4     4  number b of the blocks
//!      8     8  number of the rows of the table `records`
//!     16     8  offset T of the block table
//!     24     8  XXH3 of the block table
//!     32     8  XXH3 of the head before it
//!     40        the blocks: rows without a gap, about 8 KiB a block
//!      T  48*b  the block table
//! T+48*b        deltas, one after the other, as many as there are
//! ```
//!
//! A row, in a block and in a delta. The rows of a block, and of all blocks, are in the order of table and key:
//!
//! ```text
//!      0     1  table: 0 = catalog, 1 = records, 2 = order
//!      1     1  length k of the key, at most 22
//!      2     4  length v of the value; in a delta all ones = the row is gone
//!      6     k  the key, as in the table
//!    6+k     v  the value, as in the table
//! ```
//!
//! An entry of the block table:
//!
//! ```text
//!      0     8  offset of the block
//!      8     8  XXH3 of the block
//!     16     4  length of the block
//!     20     1  table of its first row
//!     21     1  length of the key of that row
//!     22     4  zeros
//!     26    22  the key, then zeros
//! ```
//!
//! A delta holds the rows that changed since the part before it, in their order, once each:
//!
//! ```text
//!      0     2  magic "MD"
//!      2     1  format, 1
//!      3     1  flags, spare and zero
//!      4     4  number of the rows
//!      8     8  length of the delta with head and checksum
//!     16     8  checksum at the end of the delta before it; of the first one, that of the head of the file
//!     24        rows
//!    end     8  XXH3 of the delta before it
//! ```
//!
//! Every number is little-endian. MANIFEST names the file by its number, its length, and the checksum of its last delta, or of
//! its head without one. Each checksum covers the one before it, and that of the head covers the block table: a file that MANIFEST
//! names is as it was left, except for blocks. A block is verified when it is first needed.
//!
//! The file gets its name when it is whole. From then on it only grows, so the mapped part never changes.

mod block;
mod delta;
mod files;
mod policy;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use self::{
    block::RowKey,
    delta::Delta,
    files::{draft_or_snapshot, remove_drafts, remove_others, unused_number},
    policy::{LARGEST, Sizes},
    reader::Snapshot,
    writer::Writer,
};
