//! The file `REMOTE-…` of a store, one for each namespace: how far it has read the stream of changes, what the server does not know yet, and what this
//! store told last.
//!
//! ```text
//! "MREMOTE1", the journal as postcard, 8 bytes XXH3 of both
//! ```
//!
//! A store that lost it reads the stream from its end, as a new one. One with damaged bytes has missed an unknown number of
//! changes: its entries that the server may know are forgotten.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{position::Position, retries::Waiting, stream::LocalChange};
use crate::{checksum::checksum, random::random_id};

const MAGIC: &[u8; 8] = b"MREMOTE1";

/// The changes of this store that it can tell once more, to a server that has lost them.
pub(super) const MAX_TOLD: usize = 1_024;

/// Longer files are none of ours.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) namespace: String,
    /// The random name of the directory.
    pub(super) directory: [u8; 16],
    /// `None` before the first look at the stream.
    pub(super) position: Option<Position>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) told: Vec<Told>,
    /// The memos that the server may know.
    pub(super) memos: BTreeSet<String>,
}

/// A change that the server has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) change: LocalChange,
    pub(super) at: u64,
    /// Of the message.
    pub(super) position: Position,
    /// In this process, from 1 on; 0 for those of earlier ones.
    #[serde(skip)]
    pub(super) serial: u64,
}

pub(super) enum Found {
    Nothing,
    Damaged,
    Journal(Journal),
}

/// The name of the file for a namespace.
pub(super) fn path(folder: &Path, namespace: &str) -> PathBuf {
    folder.join(format!("REMOTE-{:016x}", checksum(namespace.as_bytes())))
}

pub(super) fn read(folder: &Path, namespace: &str) -> Found {
    let path = path(folder, namespace);
    match fs::metadata(&path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Found::Nothing,
        Ok(found) if found.is_file() && found.len() <= MAX_BYTES => {}
        _ => return Found::Damaged,
    }
    let bytes = fs::read(path).unwrap_or_default();
    let found = decode(&bytes).filter(|found| found.namespace == namespace);
    found.map_or(Found::Damaged, Found::Journal)
}

/// In one step: a reader finds the one before, or this one.
pub(super) fn write(folder: &Path, journal: &Journal) -> io::Result<()> {
    let id = u128::from_be_bytes(random_id());
    let trash = folder.join("trash");
    // A draft that stays behind in `trash/` is removed as all drafts are.
    let draft = if trash.is_dir() {
        trash.join(format!("draft-{id:032x}"))
    } else {
        folder.join(format!("REMOTE-draft-{id:032x}"))
    };
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&draft).and_then(|mut file| file.write_all(&encode(journal)));
    written
        .and_then(|()| fs::rename(&draft, path(folder, &journal.namespace)))
        .inspect_err(|_| drop(fs::remove_file(&draft)))
}

fn encode(journal: &Journal) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(postcard::to_stdvec(journal).unwrap_or_default());
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Journal> {
    let (content, sum) = bytes.split_last_chunk::<8>()?;
    if checksum(content) != u64::from_le_bytes(*sum) {
        return None;
    }
    postcard::from_bytes(content.strip_prefix(MAGIC)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        let change = LocalChange::Remove { memo: "m".into(), generation: [1; 16], digest: [2; 32] };
        Journal {
            namespace: "shop".into(),
            directory: [9; 16],
            position: Some(Position { life: "l".into(), number: 7, id: "1-1".into() }),
            waiting: vec![Waiting { change: change.clone(), at: 3, since: None }],
            told: vec![Told { change, at: 4, position: Position::start(), serial: 0 }],
            memos: BTreeSet::from(["m".to_owned()]),
        }
    }

    #[test]
    fn a_journal_survives_its_file_and_a_damaged_one_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path(), "shop"), Found::Nothing));
        write(folder.path(), &journal()).unwrap();
        assert!(matches!(read(folder.path(), "shop"), Found::Journal(found) if found == journal()));
        let whole = encode(&journal());
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length]), None, "cut to {length}");
        }
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes), None, "bit {bit}");
        }
        fs::write(path(folder.path(), "shop"), b"").unwrap();
        assert!(matches!(read(folder.path(), "shop"), Found::Damaged));
    }
}
