//! The fingerprints of files that this process has hashed.
//!
//! A file that is younger than 2 s when a computation reads it has no state in the variant list of the key. So has a file that was
//! touched since. Its first lookup hashes it, and later ones find the fingerprint here by its state.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use super::{FileState, Fingerprint};
use crate::sync::{Mutex, lock};

/// The most files of one generation. With its path and state a file takes about 200 bytes, so both take less than 1 MB.
const MOST: usize = 2048;

static KNOWN: Mutex<Known> = Mutex::new(Known::new());

/// Files in two generations: files that are asked for move to the young one, and when that is full the old one is forgotten.
struct Known {
    young: BTreeMap<PathBuf, (FileState, Fingerprint)>,
    old: BTreeMap<PathBuf, (FileState, Fingerprint)>,
}

impl Known {
    const fn new() -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new() }
    }

    fn get(&mut self, path: &Path, state: FileState) -> Option<Fingerprint> {
        if let Some((path, known)) = self.old.remove_entry(path) {
            self.insert(path, known);
        }
        self.young.get(path).filter(|(known, _)| *known == state).map(|(_, fingerprint)| *fingerprint)
    }

    fn insert(&mut self, path: PathBuf, known: (FileState, Fingerprint)) {
        self.old.remove(&path);
        self.young.insert(path, known);
        if self.young.len() >= MOST {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

/// The fingerprint of the file in a settled state.
pub(super) fn get(path: &Path, state: FileState) -> Option<Fingerprint> {
    let path = absolute(path)?;
    lock(&KNOWN).get(&path, state)
}

pub(super) fn insert(path: &Path, state: FileState, fingerprint: Fingerprint) {
    if let Some(path) = absolute(path) {
        lock(&KNOWN).insert(path, (state, fingerprint));
    }
}

fn absolute(path: &Path) -> Option<PathBuf> {
    if path.is_absolute() {
        Some(path.to_owned())
    } else {
        env::current_dir().ok().map(|folder| folder.join(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(number: usize) -> PathBuf {
        PathBuf::from(format!("/made/up/{number}"))
    }

    fn known(number: usize) -> (FileState, Fingerprint) {
        (FileState::made_up(number as u64), Fingerprint::contents(&number.to_le_bytes()))
    }

    #[test]
    fn a_file_is_known_in_its_state_only() {
        let mut files = Known::new();
        files.insert(path(1), known(1));
        assert_eq!(files.get(&path(1), known(1).0), Some(known(1).1));
        assert_eq!(files.get(&path(1), known(2).0), None);
        assert_eq!(files.get(&path(2), known(1).0), None);
        files.insert(path(1), known(2));
        assert_eq!(files.get(&path(1), known(1).0), None);
        assert_eq!(files.get(&path(1), known(2).0), Some(known(2).1));
    }

    #[test]
    fn many_files_take_bounded_memory_and_those_in_use_stay() {
        let mut files = Known::new();
        for number in 0..10 * MOST {
            files.insert(path(number), known(number));
            assert!(files.young.len() + files.old.len() <= 2 * MOST);
            assert_eq!(files.get(&path(0), known(0).0), Some(known(0).1), "after {number}");
        }
        assert_eq!(files.get(&path(1), known(1).0), None);
    }

    #[test]
    fn a_relative_path_is_one_in_the_current_folder() {
        let (state, fingerprint) = known(1);
        let name = Path::new("no/such/file/but/known");
        insert(name, state, fingerprint);
        assert_eq!(get(&env::current_dir().unwrap().join(name), state), Some(fingerprint));
    }
}
