//! Paths that are not UTF-8: `#[serde(with = "memolith::path")]`, and [`Lossless`] for a whole value.
//!
//! serde's own `Serialize` of a path fails if the path is not UTF-8, so a value with such a path cannot be stored. This
//! module writes every path, and reads it back unchanged. A UTF-8 path is written as its text. In any other path, each unit
//! that is no text is written as `NUL` and its hexadecimal digits. On Unix such a unit is a byte, on Windows an unpaired
//! surrogate.
//!
//! A *key* seldom needs it: a path by itself, in a tuple or in a struct with a derived `Serialize` is a key with all its
//! bytes. memolith does not recognize the path in a `#[serde(transparent)]` or `#[serde(untagged)]` type, or in a
//! `Serialize` written by hand. `OsStr` and `OsString` never need it.
//!
//! ```
//! use std::path::{Path, PathBuf};
//!
//! use memolith::{Memo, Store, path::Lossless};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
//! struct Found {
//!     #[serde(with = "memolith::path")]
//!     newest: PathBuf,
//!     #[serde(with = "memolith::path")]
//!     others: Vec<PathBuf>,
//! }
//!
//! let store = Store::temporary()?;
//! let found: Memo<Path, Found> = Memo::builder("found").open(&store)?;
//! # #[cfg(unix)]
//! # let name = <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(b"caf\xe9".to_vec());
//! # #[cfg(not(unix))]
//! # let name = std::ffi::OsString::from("caf");
//! let newest = PathBuf::from(name); // not UTF-8
//! let value = found.get_or_insert_with(Path::new("/photos"), || Found { newest, others: vec![] });
//! assert_eq!(found.get(Path::new("/photos"))?, Some(value));
//!
//! let parents: Memo<Path, Lossless<PathBuf>> = Memo::builder("parents").open(&store)?;
//! parents.insert(Path::new("/a/b"), &Lossless("/a".into()))?;
//! # assert!(found.last_failure().is_none());
//! # Ok::<(), memolith::Error>(())
//! ```

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(unix, windows)), path = "elsewhere.rs")]
mod system;

use std::{
    borrow::Cow,
    fmt::Write as _,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Begins a unit that is no text. No path of the system contains it.
const ESCAPE: char = '\0';

/// A path, or paths, as a value or a key that always serializes.
///
/// ```
/// use std::path::PathBuf;
///
/// use memolith::{Memo, Store, path::Lossless};
///
/// let store = Store::temporary()?;
/// let memo: Memo<str, Lossless<Vec<PathBuf>>> = Memo::builder("listing").open(&store)?;
/// memo.insert("photos", &Lossless(vec!["a.jpg".into()]))?;
/// assert_eq!(memo.get("photos")?, Some(Lossless(vec!["a.jpg".into()])));
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lossless<T>(pub T);

impl<T: Paths> Serialize for Lossless<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

impl<'de, T: OwnedPaths> Deserialize<'de> for Lossless<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

/// Writes a field. Serde's derive calls it.
///
/// # Errors
///
/// The errors of the serializer.
pub fn serialize<T: Paths + ?Sized, S: Serializer>(field: &T, serializer: S) -> Result<S::Ok, S::Error> {
    field.write(serializer)
}

/// Reads a field back. Serde's derive calls it.
///
/// # Errors
///
/// The errors of the deserializer, and an error for a text that [`serialize`] does not write.
pub fn deserialize<'de, T: OwnedPaths, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::read(deserializer)
}

/// The types that [`serialize`] writes: `Path`, `PathBuf`, references, `Box`, `Rc`, `Arc` and `Cow` of a path, and an
/// `Option` and a `Vec` of these. Sealed: it cannot be implemented elsewhere.
///
/// ```
/// #[derive(serde::Serialize)]
/// struct Asked<'a> {
///     #[serde(serialize_with = "memolith::path::serialize")]
///     folder: &'a std::path::Path,
///     #[serde(serialize_with = "memolith::path::serialize")]
///     also: Option<std::path::PathBuf>,
/// }
/// ```
#[expect(private_bounds, reason = "sealed")]
pub trait Paths: Write {}

/// The types that [`deserialize`] reads: the owned types of [`Paths`]. Sealed: it cannot be implemented elsewhere.
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Found {
///     #[serde(with = "memolith::path")]
///     newest: Option<std::sync::Arc<std::path::Path>>,
/// }
/// ```
#[expect(private_bounds, reason = "sealed")]
pub trait OwnedPaths: Read {}

trait Write {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
}

trait Read: Sized {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

macro_rules! written {
    ($($path:ty),*) => {$(
        impl Paths for $path {}

        impl Write for $path {
            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&text_of(self.as_ref()))
            }
        }
    )*};
}

macro_rules! read {
    ($($path:ty),*) => {$(
        impl OwnedPaths for $path {}

        impl Read for $path {
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let path = path_of(&text).ok_or_else(|| D::Error::custom("the text is no escaped path"))?;
                Ok(path.into())
            }
        }
    )*};
}

written!(Path, PathBuf, Box<Path>, Rc<Path>, Arc<Path>, Cow<'_, Path>);
read!(PathBuf, Box<Path>, Rc<Path>, Arc<Path>, Cow<'_, Path>);

impl<T: Paths + ?Sized> Paths for &T {}

impl<T: Write + ?Sized> Write for &T {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).write(serializer)
    }
}

impl<T: Paths> Paths for Option<T> {}

impl<T: Paths> Write for Option<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Lossless).serialize(serializer)
    }
}

impl<T: OwnedPaths> OwnedPaths for Option<T> {}

impl<T: OwnedPaths> Read for Option<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Lossless<T>>::deserialize(deserializer)?.map(|some| some.0))
    }
}

impl<T: Paths> Paths for Vec<T> {}

impl<T: Paths> Write for Vec<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Lossless))
    }
}

impl<T: OwnedPaths> OwnedPaths for Vec<T> {}

impl<T: OwnedPaths> Read for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let paths = Vec::<Lossless<T>>::deserialize(deserializer)?;
        Ok(paths.into_iter().map(|path| path.0).collect())
    }
}

/// A path of text without the escape is written unchanged.
fn text_of(path: &Path) -> Cow<'_, str> {
    match path.to_str() {
        Some(text) if !text.contains(ESCAPE) => Cow::Borrowed(text),
        _ => Cow::Owned(system::escaped(path)),
    }
}

/// Reads exactly the texts that `text_of` writes.
fn path_of(text: &str) -> Option<PathBuf> {
    if !text.contains(ESCAPE) {
        return Some(text.into());
    }
    let path = PathBuf::from(system::unescaped(text)?);
    (text_of(&path) == text).then_some(path)
}

fn escape(unit: u32, digits: usize, text: &mut String) {
    // Writing into a text does not fail.
    let _ = write!(text, "{ESCAPE}{unit:0digits$x}");
}

/// Splits a text into the part before the first escape, and the unit and the text after each escape.
fn pieces(text: &str, digits: usize) -> Option<(&str, Vec<(u32, &str)>)> {
    let (before, rest) = text.split_once(ESCAPE)?;
    let piece = |piece: &'_ str| -> Option<u32> { u32::from_str_radix(piece.get(..digits)?, 16).ok() };
    let units = rest.split(ESCAPE).map(|part| Some((piece(part)?, part.get(digits..)?)));
    Some((before, units.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back<T: Paths + OwnedPaths>(paths: T) -> T {
        let text = serde_json::to_string(&Lossless(paths)).unwrap();
        serde_json::from_str::<Lossless<T>>(&text).unwrap().0
    }

    #[test]
    fn a_path_that_is_text_is_written_as_its_text() {
        assert_eq!(serde_json::to_string(&Lossless(Path::new("/a/ö"))).unwrap(), "\"/a/ö\"");
        assert_eq!(read_back(PathBuf::from("/a/ö")), Path::new("/a/ö"));
        assert_eq!(read_back(vec![Some(PathBuf::from("")), None]), [Some(PathBuf::new()), None]);
    }

    #[test]
    fn only_texts_that_are_written_are_read() {
        for text in ["\0", "a\0zz", "\0f", "\0é1", "\0+f"] {
            assert_eq!(path_of(text), None, "{text:?}");
        }
    }

    #[cfg(unix)]
    mod unix {
        use std::{
            ffi::OsString,
            os::unix::ffi::{OsStrExt as _, OsStringExt as _},
        };

        use proptest::prelude::*;

        use super::*;

        #[test]
        fn text_within_an_escape_is_no_path() {
            assert_eq!(path_of("\x0041"), None, "an `A` is written as it is");
            assert_eq!(path_of("\0FF"), None, "digits are small");
            assert_eq!(path_of("a\0ff").unwrap().as_os_str().as_bytes(), b"a\xff");
        }

        proptest! {
            #[test]
            fn every_path_is_read_back_and_written_as_no_other(
                one in proptest::collection::vec(any::<u8>(), 0..12),
                other in proptest::collection::vec(any::<u8>(), 0..12),
            ) {
                let [one, other] = [one, other].map(|bytes| PathBuf::from(OsString::from_vec(bytes)));
                prop_assert_eq!(path_of(&text_of(&one)), Some(one.clone()));
                prop_assert_eq!(text_of(&one) == text_of(&other), one.as_os_str() == other.as_os_str());
            }
        }
    }
}
