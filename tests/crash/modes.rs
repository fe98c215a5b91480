//! The files of the store are for its owner alone, under any umask of the process.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    child::{self, Child, directory, say, wait_for_release},
    harness::Claim,
    values::{self, value},
};

pub const CLAIMS: &[Claim] = &[("modes::what_it_makes_is_for_the_owner_alone", owner_alone)];

/// Puts, overwrites and removes entries of both sizes. The folder above the directory is missing, too.
pub fn fill_and_hold() {
    let (store, memo) = values::open(&directory());
    let control = directory().with_file_name("control");
    fs::write(control, "as the umask has it").unwrap();
    for version in 0..3 {
        (0..60).for_each(|key| memo.insert(&key, &value(key, version)).unwrap());
    }
    (0..10).for_each(|key| assert!(memo.remove(&key).unwrap()));
    say("filled");
    wait_for_release();
    store.close().unwrap();
    child::say("closed");
}

fn owner_alone() {
    for (umask, usual) in [("022", 0o644), ("000", 0o666)] {
        let bench = tempfile::tempdir().unwrap();
        let made = bench.path().join("missing");
        let mut child = Child::play_under(umask, "fill and hold", &made.join("store"));
        child.expect("filled");
        assert_eq!(mode(&made.join("control")), usual, "the umask is not that of the test");
        fs::remove_file(made.join("control")).unwrap();
        assert!(assert_closed_to_others(&made) > 20, "there are too few files");
        child.release();
        child.expect("closed");
        assert!(assert_closed_to_others(&made) > 20, "there are too few files");
        assert!(child.end().0.success());
        let (_store, memo) = values::open(&made.join("store"));
        assert_eq!(memo.len().unwrap(), 50);
        assert_closed_to_others(&made);
    }
}

/// The number of files below `path`.
#[track_caller]
fn assert_closed_to_others(path: &Path) -> usize {
    let mut folders = vec![path.to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for path in fs::read_dir(&folder).unwrap().flatten().map(|file| file.path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                files += usize::from(is_closed(&path));
            }
        }
    }
    files
}

/// `false` for a file that was unlinked meanwhile.
#[track_caller]
fn is_closed(path: &PathBuf) -> bool {
    let Ok(found) = fs::symlink_metadata(path) else { return false };
    assert_eq!(found.permissions().mode() & 0o777, 0o600, "{}", path.display());
    true
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
