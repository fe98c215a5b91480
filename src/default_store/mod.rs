//! The default store of the process.
//!
//! `program` identifies the program, and detects tests. `folders` gives each program a folder, and removes the folders of
//! deleted programs.

mod folders;
mod program;

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Write as _},
    path::PathBuf,
    sync::OnceLock,
};

use crate::{
    error::{Error, ErrorKind, Result},
    leftovers::Marker,
    observe::hears_failures,
    store::Store,
};

/// The environment variable with the directory of the default store.
const VARIABLE: &str = "MEMOLITH_DIR";

static DEFAULT: OnceLock<Store> = OnceLock::new();

/// Marks the folder of this program as used until the process ends.
static USED: OnceLock<Marker> = OnceLock::new();

/// The store of the process: the store given to [`set_default_store`], or one that the first call opens.
///
/// Functions under [`#[memo]`](macro@crate::memo) use it, unless they name another store. It is closed at the end of the
/// program. Its directory is:
///
/// 1. The value of the environment variable `MEMOLITH_DIR`, if it is set and not empty.
/// 2. In a test, a [temporary](Store::temporary) directory.
/// 3. Otherwise a folder of the program in the platform's cache folder: on Linux `~/.cache/memolith/<name>-<hash>/store`,
///    with the file name of the program and a hash of its path.
///
/// It never fails. If the directory cannot be opened, for example because another run of the program uses it, the store is a
/// [temporary](Store::temporary) one. The cause is in its [`last_failure`](Store::last_failure), and is said once on
/// stderr, unless a subscriber of `tracing` hears it. To see the error, or to
/// set options, open a store yourself and give it to [`set_default_store`].
///
/// # Programs that share a store
///
/// The canonical path of its file identifies a program. These share a store:
///
/// - Runs of one file, also after it was built or installed again in the same place, and while an older build still runs.
/// - Names of one file: symbolic links to it are one program.
///
/// These do not share a store, and the second computes again:
///
/// - Two packages of one name, two checkouts or work trees, a debug and a release build, a program and its example: their
///   files differ. `#[memo]` knows a function by its code, and two files may call different helpers of one name.
/// - A program that was moved or renamed, and an installed one beside the one in `target`.
///
/// Two packages that are built to the same path, by a common `CARGO_TARGET_DIR` or in containers with a common cache folder,
/// count as one program. Programs with the same `MEMOLITH_DIR` share a store too. Give each of them its own directory. A
/// program that has another path at each start, such as an `AppImage`, needs a `MEMOLITH_DIR` to find its values again.
///
/// If the file of a program is deleted, and the program was not started for 30 days, its folder is removed at a later start
/// of any program that uses a default store.
///
/// # In tests
///
/// Tests, benchmarks, doc tests, and programs that are started by nextest or by an integration test of a package with
/// programs, keep nothing from one run to the next, unless `MEMOLITH_DIR` is set. See [Testing code that uses
/// memolith][testing].
///
/// [testing]: https://docs.rs/crate/memolith/latest/source/docs/testing.md
///
/// # Examples
///
/// ```
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
/// println!("stored in {:?}", memolith::default_store().path());
/// assert!(memolith::default_store().last_failure().is_none());
/// # Ok::<(), memolith::Error>(())
/// ```
pub fn default_store() -> &'static Store {
    DEFAULT.get_or_init(open)
}

/// Makes `store` the default store of the process. Call it at the beginning of `main`.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) if there already is a default store, because it was set, or because
/// [`default_store`] was called.
///
/// ```
/// use memolith::Store;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// memolith::set_default_store(Store::builder().max_bytes(1 << 30).open(path)?)?;
/// assert!(memolith::set_default_store(Store::temporary()?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn set_default_store(store: Store) -> Result<()> {
    DEFAULT.set(store).map_err(|_| {
        let message = "the default store is already in use: set it once, at the beginning of `main`";
        Error::new(ErrorKind::Config, message)
    })
}

fn open() -> Store {
    let executable = || env::current_exe().and_then(|path| program::canonical(&path));
    let names: Vec<OsString> = env::vars_os().map(|(name, _)| name).collect();
    let location = location(env::var_os(VARIABLE), names.iter().map(OsString::as_os_str), caches, executable);
    location.and_then(StoreLocation::open).unwrap_or_else(|why| instead(&why))
}

/// A store for this run only, in place of one that could not be opened. The store has no observer yet, and few programs
/// look at its last failure. So it is said once on stderr, unless a subscriber of `tracing` hears it.
fn instead(why: &Error) -> Store {
    let store = Store::builder().instead(why);
    if !hears_failures() {
        let _ = writeln!(
            io::stderr(),
            "memolith: the default store cannot be opened, results are kept for this run only: {why}"
        );
    }
    store
}

/// The parent of the folders of all programs.
fn caches() -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::home_dir().filter(|path| path.is_absolute());
    let of_user = if cfg!(windows) {
        set("LOCALAPPDATA")
    } else if cfg!(target_vendor = "apple") {
        home().map(|home| home.join("Library/Caches"))
    } else {
        set("XDG_CACHE_HOME").or_else(|| home().map(|home| home.join(".cache")))
    };
    of_user.map(|folder| folder.join("memolith"))
}

/// The location of the default store.
#[derive(Debug, PartialEq, Eq)]
enum StoreLocation {
    /// A directory that the user chose.
    Chosen(PathBuf),
    /// The folder of the program, and the path of the program.
    OfProgram(PathBuf, PathBuf),
    /// A temporary directory, because a test must not depend on earlier runs.
    OfTest,
}

impl StoreLocation {
    fn open(self) -> Result<Store> {
        match self {
            Self::Chosen(directory) => Store::open(directory),
            Self::OfTest => Store::temporary(),
            Self::OfProgram(folder, program) => {
                // If the folder cannot be marked, the open of the store fails too, and reports the cause.
                let marked = folders::claim(&folder, &program).map(|marker| USED.set(marker).is_ok());
                let store = Store::open(folder.join("store"));
                if marked.is_ok() {
                    folders::sweep(&folder);
                }
                store
            }
        }
    }
}

/// An empty variable counts as not set, as with other variables of this kind.
fn location<'a>(
    asked: Option<OsString>,
    variables: impl Iterator<Item = &'a OsStr>,
    caches: impl FnOnce() -> Option<PathBuf>,
    executable: impl FnOnce() -> io::Result<PathBuf>,
) -> Result<StoreLocation> {
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        return Ok(StoreLocation::Chosen(asked.into()));
    }
    let program = executable().map_err(|cause| unknown_program(&cause))?;
    if program::is_test(&program, variables) {
        return Ok(StoreLocation::OfTest);
    }
    let folder = caches().and_then(|caches| Some(caches.join(program::folder_name(&program)?)));
    let folder = folder.ok_or_else(|| {
        let message = format!("no folder for the default store: the user has no home folder; set {VARIABLE}");
        Error::new(ErrorKind::Config, message)
    })?;
    Ok(StoreLocation::OfProgram(folder, program))
}

#[cold]
fn unknown_program(cause: &io::Error) -> Error {
    let message = format!(
        "no folder for the default store: the file of this program cannot be found ({cause}), so the program cannot be \
         identified; set {VARIABLE}"
    );
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn of(asked: Option<&str>, cache: Option<&str>, program: io::Result<&str>) -> Result<StoreLocation> {
        location(
            asked.map(OsString::from),
            [].into_iter(),
            || cache.map(PathBuf::from),
            || program.map(PathBuf::from),
        )
    }

    #[test]
    fn the_variable_comes_before_the_cache_folder_and_before_a_test() {
        let chosen = StoreLocation::Chosen("/a".into());
        assert_eq!(of(Some("/a"), Some("/c"), Ok("/bin/rides")).unwrap(), chosen);
        assert_eq!(of(Some("/a"), None, Err(io::ErrorKind::NotFound.into())).unwrap(), chosen);
        let test = "/target/debug/deps/rides-0123456789abcdef";
        assert_eq!(of(Some("/a"), Some("/c"), Ok(test)).unwrap(), chosen);
        assert_eq!(of(Some(""), Some("/c"), Ok(test)).unwrap(), StoreLocation::OfTest);
    }

    #[test]
    fn each_program_has_a_folder_of_its_own() {
        let folder = |program| match of(None, Some("/c"), Ok(program)).unwrap() {
            StoreLocation::OfProgram(folder, known) if known == Path::new(program) => folder,
            other => panic!("{other:?}"),
        };
        assert!(folder("/a/demo").starts_with("/c"));
        assert_ne!(folder("/a/demo"), folder("/b/demo"));
        assert_ne!(folder("/a/org.foo.App"), folder("/a/org.foo.Tool"));
    }

    #[test]
    fn without_a_home_or_a_program_the_remedy_is_told() {
        for error in [
            of(None, None, Ok("/bin/rides")).unwrap_err(),
            of(None, Some("/c"), Err(io::ErrorKind::NotFound.into())).unwrap_err(),
        ] {
            assert!(error.is_config() && error.to_string().contains("MEMOLITH_DIR"), "{error}");
        }
    }
}
