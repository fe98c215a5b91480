//! Payload files: one immutable, self-describing file for every payload over 4 KiB.
//!
//! ```text
//! offset  size
//!      0     2  magic "MB"
//!      2     1  format, 2
//!      3     1  flags, spare and zero
//!      4     4  length H of the head, a multiple of 64: here the payload begins, aligned in the map
//!      8    16  generation
//!     24    32  digest
//!     56     8  sequence
//!     64     8  created_at, milliseconds since the epoch, UTC
//!     72     8  expires_at, likewise; all ones = never
//!     80     8  compute time, nanoseconds
//!     88     8  length n of the payload
//!     96     8  checksum of the block table
//!    104     2  length m of the memo's name
//!    106     2  length k of the key's head
//!    108     m  the memo's name
//!  108+m     k  the head of the key
//!            .  zeros
//!    H-8     8  XXH3 of the head before it
//!      H     n  the payload
//!    H+n   8*b  block table: XXH3 of every block of 1 MiB, the last may be shorter
//! ```
//!
//! A blob is written in `trash/`, where a crash may leave it, and gets its only name by a rename to a random one:
//! nothing is renamed over, which costs ten times a plain write. 4 KiB is the border because sled makes files of its
//! own from 8 KiB on, which it never removes.

mod background_writer;
mod blob_writer;
mod buffer;
mod files;
mod head;
mod payload_writer;
mod read;
#[cfg(test)]
mod tests;
mod unnamed;

pub(crate) use self::{
    files::{
        disk_size, is_being_written, is_ours, make_folder, make_new_folder, move_folder_to_trash,
        move_to_trash, random_id, unlink,
    },
    head::{Head, damaged, size},
    payload_writer::{Finished, INLINE, PayloadWriter, oversize},
    read::{Contents, Expected, contents, read},
    unnamed::Blob,
};
