//! The files of snapshots in the directory of a store.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// How the name of a snapshot begins until it is whole.
pub(super) const DRAFT: &str = "snapshot.draft-";

pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("snapshot-{number}"))
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("snapshot-")?.parse().ok()
}

/// Whether a file of that name is a snapshot, or was to become one.
pub(crate) fn draft_or_snapshot(name: &str) -> bool {
    name.starts_with(DRAFT) || number_of(name).is_some()
}

fn files(directory: &Path) -> impl Iterator<Item = (PathBuf, String)> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| Some((file.path(), file.file_name().to_str()?.to_owned())))
}

/// A number that no snapshot has.
pub(crate) fn unused_number(directory: &Path) -> u64 {
    files(directory).filter_map(|(_, name)| number_of(&name)).max().unwrap_or(0) + 1
}

/// Removes all snapshots but one.
pub(crate) fn remove_others(directory: &Path, kept: Option<u64>) {
    remove(directory, |name| number_of(name).is_some_and(|number| Some(number) != kept));
}

/// Removes snapshots that were never whole.
pub(crate) fn remove_drafts(directory: &Path) {
    remove(directory, |name| name.starts_with(DRAFT));
}

fn remove(directory: &Path, is_old: impl Fn(&str) -> bool) {
    for (path, _) in files(directory).filter(|(_, name)| is_old(name)) {
        let _ = fs::remove_file(path);
    }
}
