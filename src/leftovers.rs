//! Detects and removes folders that no process uses.
//!
//! Each such folder contains a marker file. Every process that uses the folder keeps the marker locked. The system releases
//! the lock at the end of the process, also after `kill -9`. A folder whose marker can be locked is unused.
//!
//! The marker is removed last, so that a later sweep finishes an interrupted removal. Links are never followed. Folders
//! that other users own or may write to are never removed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// Maximum number of folders that one sweep checks.
pub(crate) const LOOKS: usize = 256;

/// Maximum number of files and folders that one sweep removes.
const REMOVALS: usize = 2_000;

/// The lock of a folder in use. Dropping it marks the folder as unused by this process.
#[derive(Debug)]
pub(crate) struct Marker {
    /// Locked as long as it is open.
    pub(crate) file: File,
}

impl Marker {
    /// Marks a folder without a marker as used by this process alone. The marker is locked before it gets its name.
    pub(crate) fn alone(folder: &Path, name: &str) -> io::Result<Self> {
        let unnamed = folder.join(format!("{name}.new"));
        let file = options().create_new(true).open(&unnamed)?;
        file.try_lock()?;
        fs::rename(unnamed, folder.join(name))?;
        Ok(Self { file })
    }

    /// Marks a folder as used by this process too. Creates the marker if there is none.
    pub(crate) fn shared(folder: &Path, name: &str) -> io::Result<Self> {
        let file = options().create(true).truncate(false).open(folder.join(name))?;
        file.try_lock_shared()?;
        Ok(Self { file })
    }

    /// The marker of a folder that no process uses.
    fn of_unused(folder: &Path, name: &str) -> Option<Self> {
        let path = folder.join(name);
        if !fs::symlink_metadata(&path).ok()?.is_file() {
            return None;
        }
        let file = options().open(path).ok()?;
        file.try_lock().ok()?;
        Some(Self { file })
    }
}

fn options() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Creates a folder, and its missing parents, for this user alone.
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Removes unused folders beside one that is in use.
pub(crate) struct FolderSweep<'a> {
    /// A folder of this user. Only folders with the same owner are removed.
    ours: &'a Path,
    /// The name of the marker in each folder.
    marker: &'static str,
    /// Number of files and folders that may still be removed.
    budget: usize,
}

impl<'a> FolderSweep<'a> {
    pub(crate) fn beside(ours: &'a Path, marker: &'static str) -> Self {
        Self { ours, marker, budget: REMOVALS }
    }

    /// Whether no folder was left because of the budget.
    pub(crate) fn is_complete(&self) -> bool {
        self.budget > 0
    }

    /// Removes an unused folder, if `agrees` returns `true` while its marker is locked.
    pub(crate) fn remove(&mut self, folder: &Path, agrees: impl FnOnce(&File) -> bool) {
        if folder == self.ours || !self.is_ours_alone(folder) {
            return;
        }
        let Some(marker) = Marker::of_unused(folder, self.marker) else { return };
        if !agrees(&marker.file) {
            return;
        }
        let removed = self.empty(folder, Some(self.marker)).and_then(|()| {
            let path = folder.join(self.marker);
            // On systems that cannot remove an open file, the lock is released first.
            #[cfg(not(unix))]
            drop(marker);
            fs::remove_file(path)?;
            fs::remove_dir(folder)
        });
        // The next sweep tries again after an error.
        drop(removed);
    }

    /// Whether this is a folder, not a link, of the same owner, that no other user may write to.
    fn is_ours_alone(&self, folder: &Path) -> bool {
        let (Ok(found), Ok(ours)) = (fs::symlink_metadata(folder), fs::symlink_metadata(self.ours)) else {
            return false;
        };
        found.is_dir() && has_owner_of(&found, &ours)
    }

    fn empty(&mut self, folder: &Path, but: Option<&str>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if but.is_some_and(|kept| entry.file_name() == kept) {
                continue;
            }
            // The type of a link itself, not of its target.
            if entry.file_type()?.is_dir() {
                self.empty(&entry.path(), None)?;
                fs::remove_dir(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
            self.budget = self.budget.saturating_sub(1);
            if self.budget == 0 {
                return Err(io::Error::other("the rest is left to the next sweep"));
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
fn has_owner_of(found: &fs::Metadata, ours: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    found.uid() == ours.uid() && found.mode() & WRITABLE_BY_OTHERS == 0
}

/// On other systems the folder for temporary files and the cache folder belong to one user.
#[cfg(not(unix))]
fn has_owner_of(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

/// Up to [`LOOKS`] paths in a folder. Different values of `turn` begin at different places of the sorted paths.
pub(crate) fn some_in(folder: &Path, turn: u64, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    /// Maximum number of names that are read.
    const NAMES: usize = 16_384;
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let named = entries.take(NAMES).flatten().filter(|entry| entry.file_name().to_str().is_some_and(&wanted));
    let mut paths: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    paths.sort();
    let turns = paths.len().div_ceil(LOOKS).max(1);
    let start = usize::try_from(turn).map_or(0, |turn| turn % turns) * LOOKS;
    paths.into_iter().skip(start).take(LOOKS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: &str = "MARKER";

    /// A folder with something in it, and whether it is gone after a sweep of `ours`.
    fn filled(inside: &Path, name: &str) -> PathBuf {
        let folder = inside.join(name);
        make_private(&folder.join("below")).unwrap();
        fs::write(folder.join("below/file"), "x").unwrap();
        fs::write(folder.join(MARKER), "").unwrap();
        folder
    }

    fn is_removed(ours: &Path, folder: &Path) -> bool {
        FolderSweep::beside(ours, MARKER).remove(folder, |_| true);
        !folder.exists()
    }

    #[test]
    fn a_folder_is_removed_when_its_marker_can_be_locked_and_not_before() {
        let inside = tempfile::tempdir().unwrap();
        let (ours, folder) = (inside.path().join("ours"), filled(inside.path(), "other"));
        make_private(&ours).unwrap();
        let (one, other) =
            (Marker::shared(&folder, MARKER).unwrap(), Marker::shared(&folder, MARKER).unwrap());
        assert!(!is_removed(&ours, &folder));
        drop(one);
        assert!(!is_removed(&ours, &folder), "one of two uses it still");
        drop(other);
        assert!(is_removed(&ours, &folder));
    }

    #[test]
    fn a_marker_of_one_user_is_locked_from_its_first_moment() {
        let inside = tempfile::tempdir().unwrap();
        let (ours, folder) = (inside.path().join("ours"), inside.path().join("other"));
        make_private(&ours).unwrap();
        make_private(&folder).unwrap();
        let marker = Marker::alone(&folder, MARKER).unwrap();
        assert!(!is_removed(&ours, &folder));
        drop(marker);
        assert!(is_removed(&ours, &folder));
    }

    #[test]
    fn without_a_marker_or_without_agreement_a_folder_stays() {
        let inside = tempfile::tempdir().unwrap();
        let (ours, folder) = (inside.path().join("ours"), filled(inside.path(), "other"));
        make_private(&ours).unwrap();
        FolderSweep::beside(&ours, MARKER).remove(&folder, |_| false);
        assert!(folder.exists());
        fs::remove_file(folder.join(MARKER)).unwrap();
        assert!(!is_removed(&ours, &folder));
        assert!(folder.join("below/file").exists());
    }

    #[test]
    fn a_removal_that_ran_out_of_budget_is_finished_by_the_next() {
        let inside = tempfile::tempdir().unwrap();
        let (ours, folder) = (inside.path().join("ours"), filled(inside.path(), "other"));
        make_private(&ours).unwrap();
        let mut sweep = FolderSweep { budget: 1, ..FolderSweep::beside(&ours, MARKER) };
        sweep.remove(&folder, |_| true);
        assert!(!sweep.is_complete() && folder.join(MARKER).exists());
        assert!(is_removed(&ours, &folder));
    }

    #[test]
    fn many_folders_are_looked_at_in_turns() {
        let inside = tempfile::tempdir().unwrap();
        for number in 0..LOOKS + 3 {
            fs::create_dir(inside.path().join(format!("{number}"))).unwrap();
        }
        let seen = |turn| some_in(inside.path(), turn, |_| true);
        assert_eq!((seen(0).len(), seen(1).len(), seen(2)), (LOOKS, 3, seen(0)));
        assert!(seen(1).iter().all(|path| !seen(0).contains(path)));
        assert!(some_in(inside.path(), 0, |name| name == "none").is_empty());
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        use super::*;

        #[test]
        fn links_are_never_followed() {
            let inside = tempfile::tempdir().unwrap();
            let (ours, kept) = (inside.path().join("ours"), filled(inside.path(), "kept"));
            make_private(&ours).unwrap();
            let link = inside.path().join("link");
            symlink(&kept, &link).unwrap();
            assert!(!is_removed(&ours, &link), "the folder is a link");

            let folder = filled(inside.path(), "other");
            symlink(&kept, folder.join("to a folder")).unwrap();
            symlink(kept.join("below/file"), folder.join("to a file")).unwrap();
            assert!(is_removed(&ours, &folder));
            assert!(kept.join("below/file").exists(), "a link within was removed, and not its target");

            let folder = filled(inside.path(), "third");
            fs::remove_file(folder.join(MARKER)).unwrap();
            symlink(kept.join(MARKER), folder.join(MARKER)).unwrap();
            assert!(!is_removed(&ours, &folder), "the marker is a link");
        }

        #[test]
        fn a_folder_that_others_may_write_to_stays() {
            let inside = tempfile::tempdir().unwrap();
            let (ours, folder) = (inside.path().join("ours"), filled(inside.path(), "other"));
            make_private(&ours).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
            assert!(!is_removed(&ours, &folder));
        }
    }
}
