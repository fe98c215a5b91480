//! MANIFEST: how a store was left.
//!
//! It is text, one fact a line, with a checksum of the lines before it at the end:
//!
//! ```text
//! memolith 7
//! index 3
//! closed
//! sequence 1201
//! unrecovered
//! snapshot 3 1638400 5d41402abc4b2a76
//! file conf 63 a1b2c3d4e5f60718
//! file db 524288 0011223344556677
//! file snap.0000000000001C20 418 8899aabbccddeeff
//! check 6c62272e07bb0142
//! ```
//!
//! It says `open` from the first change on, and ends behind that line then. `unrecovered` is there only when an unclean end
//! before had left files that were not looked through yet. `snapshot` is there only when one was written, with its number,
//! its length and its last checksum. A MANIFEST is only ever replaced whole: a temporary file, then a rename. It goes away
//! only while a new index is filled. An unknown format is an error, never a wipe. Bytes that are no manifest are damage,
//! and damage costs the index, not the store.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{self, Write},
    path::Path,
};

use crate::{
    checksum::checksum,
    error::{Error, ErrorKind, Result},
};

/// How the name of a manifest begins until it takes the place of the old one.
pub(crate) const UNNAMED: &str = "MANIFEST.draft-";

const FORMAT: u64 = 7;

/// How a store was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The number of the live index.
    pub(crate) index: u64,
    /// `None` while the store is in use, and after an end that was not a close.
    pub(crate) closed: Option<Closed>,
}

/// Known after a clean close, and lost by an unclean end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Closed {
    /// The last sequence that was given.
    pub(crate) sequence: u64,
    /// Whether it was closed before all files had been looked through that an unclean end had left.
    pub(crate) unrecovered: bool,
    /// The snapshot of all rows.
    pub(crate) snapshot: Option<Snapshot>,
    /// The settled files of the index: name to length and checksum.
    pub(crate) files: BTreeMap<String, (u64, u64)>,
}

/// The file that holds all rows of a closed store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) number: u64,
    /// In bytes, deltas included.
    pub(crate) length: u64,
    /// That of its last part, which covers those before it.
    pub(crate) checksum: u64,
}

/// The manifest of a directory.
pub(crate) enum Found {
    Nothing,
    Damaged,
    Whole(Manifest),
}

impl Manifest {
    pub(crate) fn open(index: u64) -> Self {
        Self { index, closed: None }
    }

    pub(crate) fn encode(&self) -> String {
        let mut text = format!("memolith {FORMAT}\nindex {}\n", self.index);
        match &self.closed {
            None => text.push_str("open\n"),
            Some(closed) => closed.encode(&mut text),
        }
        let sum = checksum(text.as_bytes());
        text + &format!("check {sum:016x}\n")
    }

    /// `None` for bytes that `encode` did not write; an error for another format.
    pub(crate) fn decode(text: &str) -> Result<Option<Self>> {
        let format = text.lines().next().and_then(|line| line.strip_prefix("memolith "));
        match format.map(str::parse::<u64>) {
            Some(Ok(FORMAT)) => Ok(Self::parse(text)),
            // Its checksum is right for our own format: a bit of the number flipped.
            Some(Ok(other)) if Self::parse(&renumbered(text, other)).is_some() => Ok(None),
            Some(Ok(other)) => Err(unknown_format(other)),
            _ => Ok(None),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (content, check) = text.split_at_checked(text.rfind("check ")?)?;
        let sum = check.strip_prefix("check ")?.strip_suffix('\n')?;
        if sum != format!("{:016x}", checksum(content.as_bytes())) {
            return None;
        }
        let mut lines = content.lines().skip(1);
        let index = lines.next()?.strip_prefix("index ")?.parse().ok()?;
        let closed = match lines.next()? {
            "open" => None,
            "closed" => Some(Closed::parse(lines)?),
            _ => return None,
        };
        Some(Self { index, closed })
    }

    pub(crate) fn read(directory: &Path) -> Result<Found> {
        let path = directory.join("MANIFEST");
        match fs::read(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
            Err(cause) => Err(Error::io(path.display(), cause)),
            Ok(bytes) => {
                let manifest = Self::decode(&String::from_utf8_lossy(&bytes))?;
                Ok(manifest.map_or(Found::Damaged, Found::Whole))
            }
        }
    }

    /// The next open begins a new index and fills it from the payload files.
    pub(crate) fn remove(directory: &Path) -> Result<()> {
        let path = directory.join("MANIFEST");
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(Error::io(path.display(), cause)),
            _ => Ok(()),
        }
    }

    /// Replaces the manifest as one.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join("MANIFEST");
        let replace = || -> io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(UNNAMED).tempfile_in(directory)?;
            file.write_all(self.encode().as_bytes())?;
            file.persist(&path)?;
            Ok(())
        };
        replace().map_err(|cause| Error::io(path.display(), cause))
    }
}

impl Closed {
    fn encode(&self, text: &mut String) {
        let _ = writeln!(text, "closed\nsequence {}", self.sequence);
        if self.unrecovered {
            text.push_str("unrecovered\n");
        }
        if let Some(Snapshot { number, length, checksum }) = self.snapshot {
            let _ = writeln!(text, "snapshot {number} {length} {checksum:016x}");
        }
        for (name, (length, sum)) in &self.files {
            let _ = writeln!(text, "file {name} {length} {sum:016x}");
        }
    }

    fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut closed = Self::default();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            match *words {
                ["sequence", sequence] => closed.sequence = sequence.parse().ok()?,
                ["unrecovered"] => closed.unrecovered = true,
                ["snapshot", number, length, sum] => {
                    let (number, length) = (number.parse().ok()?, length.parse().ok()?);
                    let checksum = u64::from_str_radix(sum, 16).ok()?;
                    closed.snapshot = Some(Snapshot { number, length, checksum });
                }
                ["file", name, length, sum] => {
                    let sum = u64::from_str_radix(sum, 16).ok()?;
                    closed.files.insert(name.into(), (length.parse().ok()?, sum));
                }
                _ => return None,
            }
        }
        Some(closed)
    }
}

/// With our own format in place of `other`.
fn renumbered(text: &str, other: u64) -> String {
    text.replacen(&format!("memolith {other}\n"), &format!("memolith {FORMAT}\n"), 1)
}

fn unknown_format(format: u64) -> Error {
    let message = format!(
        "the store has format {format}, this version of memolith reads format {FORMAT}: use the version that wrote it, \
         or another directory; nothing was touched"
    );
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed() -> Manifest {
        let files = [("conf".into(), (63, 0xa1b2)), ("db".into(), (524_288, 1))].into();
        let snapshot = Some(Snapshot { number: 7, length: 16_384, checksum: 0xc3 });
        let closed = Closed { sequence: 1201, unrecovered: false, snapshot, files };
        Manifest { index: 3, closed: Some(closed) }
    }

    #[test]
    fn the_bytes_are_golden() {
        assert_eq!(Manifest::open(1).encode(), "memolith 7\nindex 1\nopen\ncheck 7c8d2235f158a4c3\n");
        let golden = "memolith 7\nindex 3\nclosed\nsequence 1201\nsnapshot 7 16384 00000000000000c3\n\
            file conf 63 000000000000a1b2\nfile db 524288 0000000000000001\ncheck be632ef65b58dfc7\n";
        assert_eq!(closed().encode(), golden);
    }

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Manifest::read(directory.path()).unwrap(), Found::Nothing));
        let mut unrecovered = closed();
        unrecovered.closed.as_mut().unwrap().unrecovered = true;
        let mut without_snapshot = closed();
        without_snapshot.closed.as_mut().unwrap().snapshot = None;
        for manifest in [Manifest::open(9), closed(), unrecovered, without_snapshot] {
            manifest.write(directory.path()).unwrap();
            assert!(
                matches!(Manifest::read(directory.path()).unwrap(), Found::Whole(read) if read == manifest)
            );
        }
    }

    #[test]
    fn another_format_is_an_error_and_anything_else_is_damage() {
        let error = Manifest::decode("memolith 99\nanything at all").unwrap_err();
        assert!(error.is_config(), "{error}");
        let whole = closed().encode();
        for cut in 0..whole.len() {
            assert!(!matches!(Manifest::decode(&whole[..cut]), Ok(Some(_))), "cut to {cut}");
        }
        assert_eq!(Manifest::decode(&whole.replace("1201", "1202")).unwrap(), None);
    }

    #[test]
    fn a_flipped_bit_is_damage_and_never_another_format() {
        let whole = closed().encode().into_bytes();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let decoded = Manifest::decode(&String::from_utf8_lossy(&bytes));
            assert_eq!(decoded.unwrap(), None, "bit {bit}");
        }
    }
}
