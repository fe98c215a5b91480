//! A file as a key: an edit is a miss, and nothing else is.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use memolith::{FileStamp, Memo, Result, Store};

/// Writes the file, and dates it by seconds after the epoch.
fn write(path: &Path, contents: &str, seconds: u64) {
    fs::write(path, contents).unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

/// The memo's answer for the present file, and whether it read the file.
fn read(memo: &Memo<FileStamp, String>, path: &Path) -> Result<(String, bool)> {
    let mut computed = false;
    let contents = memo.get_or_insert_with(&FileStamp::of(path)?, || {
        computed = true;
        fs::read_to_string(path).unwrap()
    });
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    Ok((contents, computed))
}

#[test]
fn an_edited_file_is_a_miss_and_an_untouched_one_a_hit() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rides.csv");
    let store = Store::temporary()?;
    let memo = Memo::builder("rides").open(&store)?;
    write(&path, "one", 1);
    assert_eq!(read(&memo, &path)?, ("one".into(), true));
    assert_eq!(read(&memo, &path)?, ("one".into(), false));
    write(&path, "two", 2);
    assert_eq!(read(&memo, &path)?, ("two".into(), true), "the time alone changed");
    write(&path, "three", 2);
    assert_eq!(read(&memo, &path)?, ("three".into(), true), "the length alone changed");
    assert_eq!(read(&memo, &path)?, ("three".into(), false));
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_file_renamed_over_another_of_equal_length_and_time_is_a_miss() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("rides.csv"), folder.path().join("other"));
    let store = Store::temporary()?;
    let memo = Memo::builder("rides").open(&store)?;
    write(&path, "one", 1);
    assert_eq!(read(&memo, &path)?, ("one".into(), true));
    write(&other, "two", 1);
    fs::rename(&other, &path).unwrap();
    assert_eq!(read(&memo, &path)?, ("two".into(), true));
    Ok(())
}

#[cfg(unix)]
#[test]
fn an_edit_with_its_time_put_back_is_a_miss() -> Result<()> {
    use std::os::unix::fs::MetadataExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rides.csv");
    let store = Store::temporary()?;
    let memo = Memo::builder("rides").open(&store)?;
    write(&path, "one", 1);
    assert_eq!(read(&memo, &path)?, ("one".into(), true));
    let changed = || fs::metadata(&path).map(|found| (found.ctime(), found.ctime_nsec())).unwrap();
    let before = changed();
    // Until the system's clock has ticked.
    while before == changed() {
        write(&path, "two", 1);
    }
    assert_eq!(read(&memo, &path)?, ("two".into(), true));
    Ok(())
}

#[test]
fn one_file_is_one_key_however_it_is_named() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rides.csv");
    write(&path, "one", 1);
    fs::create_dir(folder.path().join("inner")).unwrap();
    let store = Store::temporary()?;
    let memo = Memo::builder("rides").open(&store)?;
    assert!(read(&memo, &path)?.1);
    assert!(!read(&memo, &folder.path().join("inner/../rides.csv"))?.1);
    assert!(!read(&memo, &folder.path().join("./rides.csv"))?.1);
    Ok(())
}

#[test]
fn two_files_alike_in_all_but_their_path_are_two_keys() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::temporary()?;
    let memo = Memo::builder("rides").open(&store)?;
    for name in ["first", "other"] {
        write(&folder.path().join(name), name, 1);
        assert_eq!(read(&memo, &folder.path().join(name))?, (name.into(), true));
    }
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_not_text_is_a_key() -> Result<()> {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let folder = tempfile::tempdir().unwrap();
    let store = Store::temporary()?;
    let memo = Memo::builder("rides").open(&store)?;
    let paths = [b"\xff", b"\xfe"].map(|name| folder.path().join(OsStr::from_bytes(name)));
    for (path, contents) in paths.iter().zip(["one", "two"]) {
        write(path, contents, 1);
    }
    for computed in [true, false] {
        for (path, contents) in paths.iter().zip(["one", "two"]) {
            assert_eq!(read(&memo, path)?, (contents.into(), computed));
        }
    }
    Ok(())
}

#[test]
fn a_file_that_is_not_there_is_an_error_that_names_it_and_a_directory_one_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let missing = FileStamp::of(folder.path().join("rides.csv")).unwrap_err();
    assert!(missing.is_io() && missing.to_string().contains("rides.csv"), "{missing}");
    let directory = FileStamp::of(folder.path()).unwrap_err();
    assert!(directory.is_config() && directory.to_string().contains("stamp the files in it"), "{directory}");
}
