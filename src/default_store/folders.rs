//! The folders of programs in the user's cache folder, and the removal of the folders of deleted programs.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    clock,
    leftovers::{self, FolderSweep, Marker},
};

/// The marker file. It contains the path of the program, is locked by every process of it, and has the date of its last
/// start.
const MARKER: &str = "PROGRAM";

/// A file with the date of the last sweep.
const SWEPT: &str = "SWEPT";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The folder of a deleted program stays for this time after the last start.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Maximum length in bytes of the path in a marker.
const LONGEST_PATH: u64 = 65_536;

/// Marks the folder as used by this process, which runs `program`.
pub(super) fn claim(folder: &Path, program: &Path) -> io::Result<Marker> {
    leftovers::make_private(folder)?;
    let mut marker = Marker::shared(folder, MARKER)?;
    if written(&marker.file).is_none_or(|known| known != program) {
        marker.file.set_len(0)?;
        marker.file.rewind()?;
        marker.file.write_all(program.as_os_str().as_encoded_bytes())?;
    }
    clock::date(&marker.file)?;
    Ok(marker)
}

/// The path of the program in a marker.
fn written(mut marker: &File) -> Option<PathBuf> {
    let mut bytes = Vec::new();
    marker.rewind().ok()?;
    marker.take(LONGEST_PATH).read_to_end(&mut bytes).ok()?;
    #[cfg(unix)]
    let path = PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes));
    // A program whose path is not text never counts as deleted.
    #[cfg(not(unix))]
    let path = PathBuf::from(String::from_utf8(bytes).ok()?);
    path.is_absolute().then_some(path)
}

/// Removes, at most once a day, folders beside `ours` whose program is deleted and was not started for 30 days.
pub(super) fn sweep(ours: &Path) {
    let Some(inside) = ours.parent() else { return };
    let Ok(swept) = File::options().create(true).truncate(false).write(true).open(inside.join(SWEPT)) else {
        return;
    };
    // If another process holds the lock, it sweeps.
    if swept.try_lock().is_err() {
        return;
    }
    // A new file is empty, and its date is no date of a sweep.
    let is_new = swept.metadata().is_ok_and(|found| found.len() == 0);
    if !is_new && clock::age(&swept).is_none_or(|age| age < DAY) {
        return;
    }
    if sweep_now(ours, inside) {
        let _ = (&swept).write_all(b"swept\n").and_then(|()| clock::date(&swept));
    }
}

/// Returns whether all checked folders that can be removed were removed.
fn sweep_now(ours: &Path, inside: &Path) -> bool {
    let mut sweep = FolderSweep::beside(ours, MARKER);
    for folder in leftovers::some_in(inside, clock::day(), |_| true) {
        sweep.remove(&folder, is_forsaken);
        if !sweep.is_complete() {
            return false;
        }
    }
    true
}

/// Whether the program of a marker is deleted, and was not started for a long time.
fn is_forsaken(marker: &File) -> bool {
    let is_old = || clock::age(marker).is_some_and(|age| age >= KEPT);
    let is_gone = |program: PathBuf| {
        fs::symlink_metadata(program).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    is_old() && written(marker).is_some_and(is_gone)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// A cache folder with a program of ours in it, and another whose file is `program`, last started `days` ago.
    struct Cache {
        inside: tempfile::TempDir,
        ours: PathBuf,
        other: PathBuf,
    }

    fn cache(program: Option<&str>, days: u64) -> Cache {
        let inside = tempfile::tempdir().unwrap();
        let (ours, other) = (inside.path().join("ours"), inside.path().join("other"));
        drop(claim(&ours, Path::new("/bin/ours")).unwrap());
        let path = inside.path().join("bin");
        drop(claim(&other, program.map_or(&path, |program| Path::new(program))).unwrap());
        fs::create_dir(other.join("store")).unwrap();
        date(&other.join(MARKER), days);
        Cache { inside, ours, other }
    }

    fn date(path: &Path, days: u64) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - DAY * u32::try_from(days).unwrap()).unwrap();
    }

    #[test]
    fn the_folder_of_a_program_that_is_long_gone_is_removed() {
        let cache = cache(None, 31);
        sweep(&cache.ours);
        assert!(!cache.other.exists() && cache.ours.exists());
    }

    #[test]
    fn a_program_that_is_there_keeps_its_folder_however_old_it_is() {
        let program = std::env::current_exe().unwrap();
        let cache = cache(program.to_str(), 3_000);
        sweep(&cache.ours);
        assert!(cache.other.exists());
    }

    #[test]
    fn a_program_that_is_gone_for_a_short_time_keeps_its_folder() {
        let cache = cache(None, 29);
        sweep(&cache.ours);
        assert!(cache.other.exists());
    }

    #[test]
    fn a_program_that_runs_keeps_its_folder_though_its_file_is_gone() {
        let cache = cache(None, 31);
        let running = Marker::shared(&cache.other, MARKER).unwrap();
        sweep(&cache.ours);
        assert!(cache.other.exists());
        drop(running);
    }

    #[test]
    fn there_is_one_sweep_a_day() {
        let cache = cache(None, 1);
        sweep(&cache.ours);
        date(&cache.other.join(MARKER), 31);
        sweep(&cache.ours);
        assert!(cache.other.exists(), "it was swept today");
        date(&cache.inside.path().join(SWEPT), 2);
        sweep(&cache.ours);
        assert!(!cache.other.exists());
    }

    #[test]
    fn two_processes_do_not_sweep_at_once() {
        let cache = cache(None, 31);
        let swept = File::create(cache.inside.path().join(SWEPT)).unwrap();
        swept.lock().unwrap();
        sweep(&cache.ours);
        assert!(cache.other.exists());
    }

    #[test]
    fn what_is_not_ours_in_the_folder_stays() {
        let cache = cache(None, 31);
        fs::create_dir(cache.inside.path().join("mine")).unwrap();
        fs::write(cache.inside.path().join("notes"), "x").unwrap();
        sweep(&cache.ours);
        assert!(cache.inside.path().join("mine").exists() && cache.inside.path().join("notes").exists());
    }

    #[test]
    fn a_start_names_its_program_and_counts_as_a_use() {
        let cache = cache(None, 31);
        drop(claim(&cache.other, Path::new("/bin/gone")).unwrap());
        assert_eq!(fs::read(cache.other.join(MARKER)).unwrap(), b"/bin/gone");
        sweep(&cache.ours);
        assert!(cache.other.exists());
    }
}
