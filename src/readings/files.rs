//! Reading files, folders and the environment, with the answer to note. A computation and a lookup get equal answers.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    time::SystemTime,
};

use super::{Answer, FileState, Fingerprint, fingerprint::FingerprintHasher};
use crate::clock;

/// A file is hashed in pieces of this size.
const PIECE: usize = 64 << 10;

/// A file that grows by more than this while it is hashed has no answer. So has a file of `/proc` with more contents.
const MOST_GROWTH: u64 = 1 << 20;

/// The contents of a file as [`fs::read`] gives them, and the answer. Without an answer the file cannot be compared later.
pub(crate) fn read(path: &Path) -> (io::Result<Vec<u8>>, Option<Answer>) {
    read_at(path, clock::system_time())
}

fn read_at(path: &Path, now: SystemTime) -> (io::Result<Vec<u8>>, Option<Answer>) {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(cause) => {
            let answer = Fingerprint::absent(cause.kind()).map(Answer::new);
            return (Err(cause), answer);
        }
    };
    let before = file.metadata();
    let mut bytes = Vec::new();
    if let Err(cause) = file.read_to_end(&mut bytes) {
        return (Err(cause), None);
    }
    let answer = before.ok().filter(fs::Metadata::is_file).map(|before| Answer {
        fingerprint: Fingerprint::contents(&bytes),
        state: file
            .metadata()
            .ok()
            .and_then(|after| FileState::settled(&before, &after, bytes.len() as u64, now)),
    });
    (Ok(bytes), answer)
}

/// The answer of a file without its contents. `None` for an error, and for anything but a regular file.
///
/// A reading that the file's writer overtakes has an answer without a state: the hash of the bytes that were seen.
pub(super) fn hash(path: &Path, now: SystemTime) -> Option<Answer> {
    let mut file = match open_regular(path) {
        Ok(file) => file?,
        Err(cause) => return Fingerprint::absent(cause.kind()).map(Answer::new),
    };
    let before = file.metadata().ok().filter(fs::Metadata::is_file)?;
    let most = before.len().saturating_add(MOST_GROWTH);
    let (mut hasher, mut length, mut piece) = (FingerprintHasher::contents(), 0_u64, vec![0; PIECE]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(piece.get(..count)?);
                length += count as u64;
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        if length > most {
            return None;
        }
    }
    let after = file.metadata().ok()?;
    Some(Answer { fingerprint: hasher.finish(), state: FileState::settled(&before, &after, length, now) })
}

/// Opens a regular file. `None` for anything else: an open waits for the other end of a pipe, and may rewind a tape.
///
/// Between the look and the open the file may be replaced. Then the open does not wait, and the caller looks again.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(path).map(Some)
}

/// Whether there is a file or a folder. A link counts as its target.
pub(crate) fn exists(path: &Path) -> (io::Result<bool>, Option<Answer>) {
    let exists = match fs::metadata(path) {
        Ok(_) => true,
        Err(cause) if Fingerprint::absent(cause.kind()).is_some() => false,
        Err(cause) => return (Err(cause), None),
    };
    (Ok(exists), Some(Answer::new(Fingerprint::existence(exists))))
}

/// The names in a folder, sorted.
pub(crate) fn list(folder: &Path) -> (io::Result<Vec<OsString>>, Option<Answer>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) => {
            let answer = Fingerprint::absent(cause.kind()).map(Answer::new);
            return (Err(cause), answer);
        }
    };
    match entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>() {
        Ok(mut names) => {
            names.sort_unstable();
            let answer = Answer::new(Fingerprint::names(&names));
            (Ok(names), Some(answer))
        }
        Err(cause) => (Err(cause), None),
    }
}

/// An environment variable.
pub(crate) fn variable(name: &str) -> (Option<OsString>, Answer) {
    let value = env::var_os(OsStr::new(name));
    let answer = Answer::new(Fingerprint::variable(value.as_deref()));
    (value, answer)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn later() -> SystemTime {
        clock::system_time() + Duration::from_secs(10)
    }

    #[test]
    fn a_computation_and_a_lookup_have_equal_answers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        assert_eq!(read_at(&path, later()).1, hash(&path, later()), "not there");
        for contents in [Vec::new(), b"hello".to_vec(), vec![7; 3 * PIECE + 1]] {
            fs::write(&path, &contents).unwrap();
            let (bytes, answer) = read_at(&path, later());
            assert_eq!(bytes.unwrap(), contents);
            assert_eq!(answer, hash(&path, later()));
            let answer = answer.unwrap();
            assert_eq!(answer.fingerprint, Fingerprint::contents(&contents));
            assert_eq!(answer.state.is_some(), !contents.is_empty());
        }
    }

    #[test]
    fn a_file_that_was_just_written_has_an_answer_without_a_state() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hello").unwrap();
        let written = file.as_file().metadata().unwrap().modified().unwrap();
        assert_eq!(read_at(file.path(), written).1.unwrap().state, None);
        assert_eq!(hash(file.path(), written).unwrap().state, None);
    }

    #[cfg(unix)]
    #[test]
    fn a_missing_file_and_one_below_a_file_have_answers_that_differ() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let below = file.path().join("below");
        let (missing, answer) = read(Path::new("no/such/file"));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
        let (refused, other) = read(&below);
        assert!(refused.is_err());
        assert!(answer.is_some() && other.is_some() && answer != other);
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let (bytes, answer) = read(folder.path());
        assert!(bytes.is_err() && answer.is_none());
        assert!(hash(folder.path(), later()).is_none());
    }

    #[test]
    fn the_existence_of_a_file_a_folder_and_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let (before, there) = (exists(&path), exists(folder.path()));
        assert!(!before.0.unwrap() && there.0.unwrap());
        fs::write(&path, "").unwrap();
        let after = exists(&path);
        assert!(after.0.unwrap() && after.1 == there.1 && after.1 != before.1);
        assert!(!exists(&path.join("below")).0.unwrap());
    }

    #[test]
    fn a_list_is_sorted_and_its_answer_is_a_matter_of_the_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let (names, first) = list(folder.path());
        assert_eq!(names.unwrap(), ["a", "b"]);
        fs::write(folder.path().join("a"), "edited").unwrap();
        assert_eq!(list(folder.path()).1, first);
        fs::write(folder.path().join("c"), "").unwrap();
        assert_ne!(list(folder.path()).1, first);
        let (missing, answer) = list(&folder.path().join("no"));
        assert!(missing.is_err() && answer.is_some() && answer != first);
    }

    #[test]
    fn a_variable_is_its_value_or_unset() {
        let (value, set) = variable("PATH");
        assert_eq!(value, env::var_os("PATH"));
        let (nothing, unset) = variable("MEMOLITH_NO_SUCH_VARIABLE");
        assert!(nothing.is_none() && set != unset);
        assert_eq!(variable("a=b\0").0, None, "a name from a record may be invalid");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_of_proc_has_no_state_and_an_endless_one_no_answer() {
        let (bytes, answer) = read_at(Path::new("/proc/self/status"), later());
        assert!(!bytes.unwrap().is_empty());
        assert_eq!(answer.unwrap().state, None);
        assert!(hash(Path::new("/dev/zero"), later()).is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_lookup_does_not_open_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert!(hash(&path, later()).is_none());
        assert!(list(&path).1.is_some_and(|answer| answer.state.is_none()), "it is no folder");
    }
}
