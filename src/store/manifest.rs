//! LOCK and MANIFEST: who may touch a store, and what it was when it was last left.
//!
//! The manifest is text, one fact a line, with a checksum of the lines before it at the end:
//!
//! ```text
//! memolith 1
//! index 3
//! closed
//! sequence 1201
//! unrecovered
//! generation 9f86d081884c7d659a2feaa0c55ad015 40 11520 ordered
//! file conf 63 a1b2c3d4e5f60718
//! file db 524288 0011223344556677
//! file snap.0000000000001C20 418 8899aabbccddeeff
//! check 6c62272e07bb0142
//! ```
//!
//! It says `open` while the store is in use, and then ends behind that line. `unrecovered` is only there when an unclean end
//! before had left files that nobody has looked through yet. It is only ever replaced whole: a
//! temporary file, then a rename; it goes away only while a new index is filled. An unknown format is an error, never a wipe; bytes that are no manifest at all are
//! damage, and damage costs the index, not the store.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    checksum::{Running, checksum},
    clock::Deadline,
    error::{Error, Kind, Result},
    store::order::Tally,
};

/// What the name of a manifest begins with until it takes the place of the old one.
pub(crate) const UNNAMED: &str = "MANIFEST.draft-";

const FORMAT: u64 = 1;

/// Takes the lock of `directory`, waiting for at most `patience`. It goes with the file that is returned.
pub(crate) fn lock(directory: &Path, patience: Duration) -> Result<File> {
    let path = directory.join("LOCK");
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(|cause| Error::io(path.display(), cause))?;
    let deadline = Deadline::after(patience);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(cause)) => return Err(Error::io(path.display(), cause)),
            Err(TryLockError::WouldBlock) => {}
        }
        let Some(left) = deadline.remaining() else {
            return Err(in_use(directory, patience));
        };
        thread::sleep(left.min(Duration::from_millis(5)));
    }
}

/// Whether the file that is locked is still the one that others would try.
#[cfg(unix)]
pub(crate) fn is_locked_by(file: &File, directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let place = |found: fs::Metadata| (found.dev(), found.ino());
    let found = fs::metadata(directory.join("LOCK")).map(place);
    found.is_ok_and(|found| file.metadata().map(place).is_ok_and(|held| held == found))
}

/// Elsewhere a file that is open cannot be deleted.
#[cfg(not(unix))]
pub(crate) fn is_locked_by(_: &File, _: &Path) -> bool {
    true
}

fn in_use(directory: &Path, patience: Duration) -> Error {
    let message = format!(
        "the store at {} is in use by another process (waited {patience:?}): close it there, raise `lock_timeout`, \
         use another directory, or use `Store::open_or_temporary`",
        directory.display(),
    );
    Error::new(Kind::InUse, message)
}

/// What a store was when it was last left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The number of the live index.
    pub(crate) index: u64,
    /// `None` while the store is in use, and after an end that was not a close.
    pub(crate) closed: Option<Closed>,
}

/// What a clean close knows and an unclean end loses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Closed {
    /// The next sequence to give.
    pub(crate) sequence: u64,
    /// Whether it was closed before all files had been looked through that an unclean end had left.
    pub(crate) unrecovered: bool,
    /// Per generation: what it holds, and whether it may expire out of order.
    pub(crate) generations: BTreeMap<String, (Tally, bool)>,
    /// The settled files of the index: name to length and checksum.
    pub(crate) files: BTreeMap<String, (u64, u64)>,
}

/// What was found in place of a manifest.
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

    /// `None` for what `encode` did not write; an error for another format.
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

    /// The next open begins a new index and fills it from the blobs.
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
        for (name, (tally, unordered)) in &self.generations {
            let order = if *unordered { "unordered" } else { "ordered" };
            let _ = writeln!(text, "generation {name} {} {} {order}", tally.entries, tally.bytes);
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
                ["generation", name, entries, bytes, order] => {
                    let tally = Tally { entries: entries.parse().ok()?, bytes: bytes.parse().ok()? };
                    closed.generations.insert(name.into(), (tally, order == "unordered"));
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
    Error::new(Kind::Config, message)
}

/// The files of a settled index with what must not have changed. The log itself is not read whole (that would cost 7.7
/// times sled's own open): its segment heads are, which tells an older log that was put in its place.
pub(crate) fn fingerprint(index: &Path) -> Result<BTreeMap<String, (u64, u64)>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(index.to_path_buf(), String::new())];
    let walk = |folder: &PathBuf| fs::read_dir(folder).map_err(|cause| Error::io(folder.display(), cause));
    while let Some((folder, prefix)) = folders.pop() {
        for file in walk(&folder)?.flatten() {
            let name = format!("{prefix}{}", file.file_name().to_string_lossy());
            if file.path().is_dir() {
                folders.push((file.path(), format!("{name}/")));
            } else if is_of_sled(&name) {
                let path = file.path();
                let print = print_of(&path, &name).map_err(|cause| Error::io(path.display(), cause))?;
                files.insert(name, print);
            }
        }
    }
    Ok(files)
}

/// What a user, or a desktop, leaves beside sled's files does not concern it.
fn is_of_sled(name: &str) -> bool {
    matches!(name, "db" | "conf") || name.starts_with("snap.") || name.starts_with("blobs/")
}

/// Length, and a checksum of what sled replays or trusts.
fn print_of(path: &Path, name: &str) -> io::Result<(u64, u64)> {
    const SEGMENT: u64 = 512 << 10;
    const SEGMENT_HEAD: u64 = 20;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if name != "db" {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        return Ok((length, checksum(&bytes)));
    }
    let mut running = Running::new();
    for segment in 0..length.div_ceil(SEGMENT) {
        let mut head = Vec::with_capacity(SEGMENT_HEAD as usize);
        file.seek(SeekFrom::Start(segment * SEGMENT))?;
        (&mut file).take(SEGMENT_HEAD).read_to_end(&mut head)?;
        running.update(&head);
    }
    Ok((length, running.take()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed() -> Manifest {
        let generations =
            [("9f86d081884c7d659a2feaa0c55ad015".into(), (Tally { entries: 40, bytes: 11520 }, true))];
        let files = [("conf".into(), (63, 0xa1b2)), ("db".into(), (524_288, 1))];
        let (generations, files) = (generations.into(), files.into());
        let closed = Closed { sequence: 1201, unrecovered: false, generations, files };
        Manifest { index: 3, closed: Some(closed) }
    }

    #[test]
    fn the_bytes_are_golden() {
        assert_eq!(Manifest::open(1).encode(), "memolith 1\nindex 1\nopen\ncheck 5b8a2682ca2e922c\n");
        let golden = "memolith 1\nindex 3\nclosed\nsequence 1201\n\
            generation 9f86d081884c7d659a2feaa0c55ad015 40 11520 unordered\n\
            file conf 63 000000000000a1b2\nfile db 524288 0000000000000001\ncheck a88d6efadeb0c30a\n";
        assert_eq!(closed().encode(), golden);
    }

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Manifest::read(directory.path()).unwrap(), Found::Nothing));
        let mut unrecovered = closed();
        unrecovered.closed.as_mut().unwrap().unrecovered = true;
        for manifest in [Manifest::open(9), closed(), unrecovered] {
            manifest.write(directory.path()).unwrap();
            assert!(
                matches!(Manifest::read(directory.path()).unwrap(), Found::Whole(read) if read == manifest)
            );
        }
    }

    #[test]
    fn another_format_is_an_error_and_anything_else_is_damage() {
        let error = Manifest::decode("memolith 2\nanything at all").unwrap_err();
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

    #[test]
    fn a_held_lock_is_told_with_the_path_and_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let _held = lock(directory.path(), Duration::ZERO).unwrap();
        let error = lock(directory.path(), Duration::ZERO).unwrap_err();
        assert!(error.is_in_use());
        assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
    }
}
