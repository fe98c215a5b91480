//! The store of the process, for functions that name none.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use etcetera::BaseStrategy;

use crate::{
    error::{Error, Kind, Result},
    store::Store,
};

/// The variable that says where the default store is.
const VARIABLE: &str = "MEMOLITH_DIR";

static DEFAULT: OnceLock<Store> = OnceLock::new();

/// The store of the process: the one given to [`set_default_store`], or one that is opened at the first call.
///
/// Functions under [`#[memo]`](macro@crate::memo) remember in it, unless they name another. It is opened in the directory that the
/// environment variable `MEMOLITH_DIR` names, else in the platform's cache folder, under the name of the program: on Linux
/// `~/.cache/<program>/memolith`. It is closed at the end of the program.
///
/// It never fails: when the directory cannot be opened, because another run of the program has it open, say, then the store is a
/// [temporary](Store::temporary) one, and its [`last_failure`](Store::last_failure) says why. A program that wants to
/// know, or wants options, opens a store itself and gives it to [`set_default_store`].
///
/// ```
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
/// println!("remembering in {:?}", memolith::default_store().path());
/// assert!(memolith::default_store().last_failure().is_none());
/// # Ok::<(), memolith::Error>(())
/// ```
pub fn default_store() -> &'static Store {
    DEFAULT.get_or_init(open)
}

/// Makes `store` the one of the process. Call it at the beginning of `main`.
///
/// # Errors
///
/// [`is_config`](Error::is_config) when there is one already: it was set, or [`default_store`] was asked for it.
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
        let message = "the default store is in use already: set it once, at the beginning of `main`";
        Error::new(Kind::Config, message)
    })
}

fn open() -> Store {
    let cache = || etcetera::base_strategy::choose_native_strategy().ok().map(|folders| folders.cache_dir());
    let directory = directory(env::var_os(VARIABLE), cache, || env::current_exe().ok());
    directory.map_or_else(|why| Store::builder().instead(&why), Store::open_or_temporary)
}

/// Where the default store is. An empty variable is none, as with other variables of this kind.
fn directory(
    asked: Option<OsString>,
    cache: impl FnOnce() -> Option<PathBuf>,
    program: impl FnOnce() -> Option<PathBuf>,
) -> Result<PathBuf> {
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        return Ok(asked.into());
    }
    let program = program();
    let name = program.as_deref().and_then(Path::file_stem);
    let directory = cache().and_then(|cache| Some(cache.join(name?).join("memolith")));
    directory.ok_or_else(|| {
        let message =
            format!("no folder for the default store: there is no home of the user; set {VARIABLE}");
        Error::new(Kind::Config, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(asked: Option<&str>, cache: Option<&str>) -> Result<PathBuf> {
        directory(asked.map(OsString::from), || cache.map(PathBuf::from), || Some("/bin/rides.exe".into()))
    }

    #[test]
    fn the_variable_comes_before_the_cache_folder_of_the_program() {
        assert_eq!(of(Some("/a"), Some("/home/me/.cache")).unwrap(), Path::new("/a"));
        assert_eq!(of(None, Some("/home/me/.cache")).unwrap(), Path::new("/home/me/.cache/rides/memolith"));
        assert_eq!(of(Some(""), Some("/c")).unwrap(), Path::new("/c/rides/memolith"));
    }

    #[test]
    fn without_a_home_the_remedy_is_told() {
        let error = of(None, None).unwrap_err();
        assert!(error.is_config() && error.to_string().contains("MEMOLITH_DIR"), "{error}");
    }
}
