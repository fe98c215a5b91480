//! Files, folders and the environment.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    context::{is_noting, note_reading, note_unstorable},
    readings::{self, Answer, Input, Reading, Unstorable},
};

/// Reads a file, as [`std::fs::read`] does. The computations around it note the contents.
///
/// A file that is not there is an answer as well: the computation may go on without it, and the file is noticed once it is there.
///
/// # Errors
///
/// Those of [`std::fs::read`].
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("logo.png");
/// # std::fs::write(&path, [1, 2, 3])?;
/// assert_eq!(memolith::inputs::read(&path)?, [1, 2, 3]);
/// assert!(memolith::inputs::read("no/such/file").is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    if !is_noting() {
        return fs::read(path);
    }
    let (contents, answer) = readings::read(path);
    note(Input::file(path), answer);
    contents
}

/// Reads a file of UTF-8 text, as [`std::fs::read_to_string`] does. The computations around it note the contents.
///
/// # Errors
///
/// Those of [`std::fs::read_to_string`]; [`InvalidData`](io::ErrorKind::InvalidData) if the file is not UTF-8.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("units");
/// # std::fs::write(&path, "metric")?;
/// assert_eq!(memolith::inputs::read_to_string(&path)?, "metric");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))
}

/// Whether there is a file or a folder. The computations around it note the answer. A link counts as its target.
///
/// # Errors
///
/// If the system does not tell, for example without permission for a parent folder. A path below a file does not exist.
///
/// ```
/// assert!(memolith::inputs::exists(".")?);
/// assert!(!memolith::inputs::exists("no/such/file")?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    let path = path.as_ref();
    let (exists, answer) = readings::exists(path);
    if is_noting() {
        note(Input::existence(path), answer);
    }
    exists
}

/// The paths of the files and folders in a folder, sorted: `folder` joined with each name. The computations around it note the
/// names, not the contents, and not whether a name is that of a file or of a folder.
///
/// # Errors
///
/// Those of [`std::fs::read_dir`].
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// std::fs::write(folder.join("b.csv"), "")?;
/// std::fs::write(folder.join("a.csv"), "")?;
/// assert_eq!(memolith::inputs::list(folder)?, [folder.join("a.csv"), folder.join("b.csv")]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn list(folder: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    let (names, answer) = readings::list(folder);
    if is_noting() {
        note(Input::names(folder), answer);
    }
    Ok(names?.into_iter().map(|name| folder.join(name)).collect())
}

/// An environment variable. The computations around it note its value. `None` if it is not set, or not Unicode.
///
/// ```
/// use memolith::inputs;
///
/// assert_eq!(inputs::env("PATH"), std::env::var("PATH").ok());
/// assert_eq!(inputs::env("NO_SUCH_VARIABLE"), None);
/// ```
#[must_use]
pub fn env(name: impl AsRef<str>) -> Option<String> {
    let name = name.as_ref();
    let (value, answer) = readings::variable(name);
    if is_noting() {
        note(Input::variable(name), Some(answer));
    }
    value?.into_string().ok()
}

fn note(input: Input, answer: Option<Answer>) {
    match answer {
        Some(answer) => note_reading(&Reading { input, answer }),
        None => note_unstorable(&Unstorable::Failed(input)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        context::{Caller, Context},
        readings::{Readings, today},
    };

    /// The result of a computation, and its readings.
    fn computed<T>(compute: impl FnOnce() -> T) -> (T, Readings) {
        let context = Context::current().within(Caller::fresh());
        (context.run(compute), context.readings())
    }

    /// Whether each input has the same answer today.
    fn is_current(readings: &Readings) -> bool {
        assert_eq!(readings.unstorable(), None);
        let is_same = |Reading { input, answer }: &Reading| {
            let today = today(input, answer.state.as_ref(), &answer.fingerprint, |_| None);
            today.is_some_and(|today| today.fingerprint == answer.fingerprint)
        };
        readings.iter().all(is_same)
    }

    #[test]
    fn a_file_is_current_until_its_contents_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let (missing, absent) = computed(|| read(&path));
        assert!(missing.is_err() && is_current(&absent));
        fs::write(&path, "one").unwrap();
        let (contents, first) = computed(|| read_to_string(&path));
        assert_eq!(contents.unwrap(), "one");
        assert!(is_current(&first) && !is_current(&absent));
        fs::write(&path, "two").unwrap();
        assert!(!is_current(&first), "an edit of equal length at once");
        fs::write(&path, "one").unwrap();
        assert!(is_current(&first));
    }

    #[test]
    fn a_list_is_current_until_a_name_comes_or_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let (names, readings) = computed(|| list(folder.path()));
        assert!(names.unwrap().is_empty() && is_current(&readings));
        fs::write(&path, "").unwrap();
        assert!(!is_current(&readings));
        let (names, readings) = computed(|| list(folder.path()));
        assert_eq!(names.unwrap(), [path]);
        assert!(is_current(&readings));
    }

    #[test]
    fn existence_is_current_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let (there, readings) = computed(|| exists(&path));
        assert!(!there.unwrap() && is_current(&readings));
        fs::write(&path, "").unwrap();
        assert!(!is_current(&readings));
    }

    #[test]
    fn each_kind_of_reading_is_noted() {
        let ((), readings) = computed(|| {
            let _ = (read("no/a"), read_to_string("no/b"), exists("no/a"), list("no/a"));
            let _ = (env("PATH"), env("NO_SUCH_VARIABLE"));
        });
        let noted: Vec<String> = readings.iter().map(|reading| reading.input.to_string()).collect();
        assert_eq!(
            noted,
            [
                "file `no/a`",
                "file `no/b`",
                "existence of `no/a`",
                "folder `no/a`",
                "environment variable `PATH`",
                "environment variable `NO_SUCH_VARIABLE`",
            ]
        );
        assert!(is_current(&readings));
    }

    #[test]
    fn a_folder_that_is_read_as_a_file_is_not_comparable() {
        let folder = tempfile::tempdir().unwrap();
        let (contents, readings) = computed(|| read(folder.path()));
        assert!(contents.is_err());
        assert_eq!(readings.unstorable(), Some(&Unstorable::Failed(Input::file(folder.path()))));
    }

    #[test]
    fn a_file_that_is_edited_during_the_computation_is_not_comparable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let ((), readings) = computed(|| {
            for contents in ["one", "two"] {
                fs::write(&path, contents).unwrap();
                assert_eq!(read_to_string(&path).unwrap(), contents);
            }
        });
        assert_eq!(readings.unstorable(), Some(&Unstorable::Changed(Input::file(&path))));
    }

    #[test]
    fn text_that_is_not_utf8_is_an_error_and_noted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, b"\xff").unwrap();
        let (text, readings) = computed(|| read_to_string(&path));
        assert_eq!(text.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(is_current(&readings) && readings.iter().len() == 1);
        assert_eq!(read_to_string(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
