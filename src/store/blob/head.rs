//! What a blob says about itself, byte by byte.

use std::{fs::File, io::Read as _, path::Path, time::Duration};

use crate::{
    checksum::{BLOCK, checksum},
    clock::Lifetime,
    error::{Error, ErrorKind, Result},
    key::Digest,
    record::{Fields, put_lifetime},
};

const MAGIC: [u8; 2] = *b"MB";
const FORMAT: u8 = 2;
/// The flag of a variant's value.
const VARIANT: u8 = 1;
const FIXED: usize = 108;
const ALIGNMENT: usize = 64;

/// What a blob says about its payload.
#[expect(clippy::struct_field_names, reason = "the head of the key stands in the head of the blob")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) generation: [u8; 16],
    pub(crate) digest: Digest,
    pub(crate) sequence: u64,
    pub(crate) lifetime: Lifetime,
    pub(crate) compute_time: Duration,
    pub(crate) length: u64,
    pub(crate) table_checksum: u64,
    pub(crate) memo: String,
    pub(crate) key_head: Vec<u8>,
    /// Whether it is the value of a variant: of no use without the variant list of its key.
    pub(crate) is_variant: bool,
}

/// What the file of such a payload takes on disk.
pub(crate) fn size(memo: &str, key_head: &[u8], length: u64) -> u64 {
    file_size(Head::size(memo, key_head), length)
}

pub(super) fn file_size(head_size: usize, length: u64) -> u64 {
    head_size as u64 + length + length.div_ceil(BLOCK as u64) * 8
}

pub(crate) fn damaged(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the payload file {} is damaged ({what})", path.display()))
}

impl Head {
    /// Where the payload begins.
    pub(crate) fn size(memo: &str, key_head: &[u8]) -> usize {
        (FIXED + memo.len() + key_head.len() + 8).next_multiple_of(ALIGNMENT)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let size = Self::size(&self.memo, &self.key_head);
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[FORMAT, if self.is_variant { VARIANT } else { 0 }]);
        bytes.extend_from_slice(&(size as u32).to_le_bytes());
        bytes.extend_from_slice(&self.generation);
        bytes.extend_from_slice(self.digest.as_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        put_lifetime(&mut bytes, self.lifetime, self.compute_time);
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&self.table_checksum.to_le_bytes());
        bytes.extend_from_slice(&(self.memo.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(self.key_head.len() as u16).to_le_bytes());
        bytes.extend_from_slice(self.memo.as_bytes());
        bytes.extend_from_slice(&self.key_head);
        bytes.resize(size - 8, 0);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The head at the front of `bytes`, and where the payload begins; `None` for anything `encode` did not write.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut fields = Fields(bytes);
        if fields.array()? != MAGIC || fields.byte()? != FORMAT {
            return None;
        }
        let flags = fields.byte()?;
        if flags & !VARIANT != 0 {
            return None;
        }
        let size = u32::from_le_bytes(fields.array()?) as usize;
        let (content, sum) = bytes.get(..size)?.split_last_chunk::<8>()?;
        if checksum(content) != u64::from_le_bytes(*sum) {
            return None;
        }
        let generation = fields.array()?;
        let digest = Digest::from_bytes(fields.array()?);
        let sequence = fields.number()?;
        let (lifetime, compute_time) = fields.lifetime()?;
        let length = fields.number()?;
        let table_checksum = fields.number()?;
        let name = u16::from_le_bytes(fields.array()?);
        let key = u16::from_le_bytes(fields.array()?);
        let memo = String::from_utf8(fields.slice(name.into())?.to_vec()).ok()?;
        let key_head = fields.slice(key.into())?.to_vec();
        let zeros = Self::size(&memo, &key_head).checked_sub(FIXED + memo.len() + key_head.len() + 8)?;
        if size != Self::size(&memo, &key_head) || fields.slice(zeros)?.iter().any(|byte| *byte != 0) {
            return None;
        }
        let head = Self {
            generation,
            digest,
            sequence,
            lifetime,
            compute_time,
            length,
            table_checksum,
            memo,
            key_head,
            is_variant: flags == VARIANT,
        };
        Some((head, size))
    }

    /// Of the file at `path`, without its payload.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut bytes = Vec::with_capacity(4 << 10);
        let largest = (FIXED + usize::from(u16::MAX) * 2 + ALIGNMENT) as u64;
        let read = File::open(path).and_then(|file| file.take(largest).read_to_end(&mut bytes));
        read.map_err(|cause| Error::io(path.display(), cause))?;
        Self::decode(&bytes).map(|(head, _)| head).ok_or_else(|| damaged(path, "its head"))
    }
}
