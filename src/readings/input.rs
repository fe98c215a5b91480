//! The inputs of a computation, and their bytes.

use std::{ffi::OsStr, fmt, path::Path, sync::Arc};

/// The first byte of an encoded input.
mod kind {
    pub(super) const FILE: u8 = 1;
    pub(super) const EXISTS: u8 = 2;
    pub(super) const LIST: u8 = 3;
    pub(super) const ENV: u8 = 4;
    pub(super) const PROVIDED: u8 = 5;
}

/// Something that a computation reads. Cheap to clone.
///
/// A path is kept as it was given: a relative one names another file in another current directory. Two spellings of a path are two
/// inputs, since `a/` and `a` have different answers where `a` is a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Input {
    /// The contents of a file.
    File(Arc<OsStr>),
    /// Whether there is a file or a folder.
    Exists(Arc<OsStr>),
    /// The names in a folder.
    List(Arc<OsStr>),
    /// An environment variable.
    Env(Arc<str>),
    /// A value that a scope provides by name.
    Provided(Arc<str>),
}

impl Input {
    /// Of the length that follows the kind in the bytes.
    const LENGTH: usize = 2;

    pub(crate) fn file(path: &Path) -> Self {
        Self::File(path.as_os_str().into())
    }

    pub(crate) fn existence(path: &Path) -> Self {
        Self::Exists(path.as_os_str().into())
    }

    pub(crate) fn names(folder: &Path) -> Self {
        Self::List(folder.as_os_str().into())
    }

    pub(crate) fn variable(name: &str) -> Self {
        Self::Env(name.into())
    }

    pub(crate) fn provided(name: &str) -> Self {
        Self::Provided(name.into())
    }

    fn parts(&self) -> Option<(u8, &[u8])> {
        match self {
            Self::File(path) => Some((kind::FILE, path_bytes(path)?)),
            Self::Exists(path) => Some((kind::EXISTS, path_bytes(path)?)),
            Self::List(path) => Some((kind::LIST, path_bytes(path)?)),
            Self::Env(name) => Some((kind::ENV, name.as_bytes())),
            Self::Provided(name) => Some((kind::PROVIDED, name.as_bytes())),
        }
    }

    /// The number of bytes that [`encode`](Self::encode) appends. `None` if it refuses the input.
    pub(crate) fn encoded_length(&self) -> Option<usize> {
        let (_, name) = self.parts()?;
        u16::try_from(name.len()).ok()?;
        Some(1 + Self::LENGTH + name.len())
    }

    /// Appends the kind, the length of the name in two bytes, little-endian, and the name. `false`, and nothing is appended, for a
    /// name of more than 65,535 bytes, and on other systems than Unix for a path that is not text.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) -> bool {
        let Some((kind, name)) = self.parts() else { return false };
        let Ok(length) = u16::try_from(name.len()) else { return false };
        bytes.push(kind);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(name);
        true
    }

    /// The input at the beginning of the bytes, and the rest of them.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let ([kind, low, high], rest) = bytes.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
        let text = || std::str::from_utf8(name).ok();
        let input = match *kind {
            kind::FILE => Self::File(path_of(name)?.into()),
            kind::EXISTS => Self::Exists(path_of(name)?.into()),
            kind::LIST => Self::List(path_of(name)?.into()),
            kind::ENV => Self::Env(text()?.into()),
            kind::PROVIDED => Self::Provided(text()?.into()),
            _ => return None,
        };
        Some((input, rest))
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "on other systems not all paths are text")]
fn path_bytes(path: &OsStr) -> Option<&[u8]> {
    Some(std::os::unix::ffi::OsStrExt::as_bytes(path))
}

#[cfg(not(unix))]
fn path_bytes(path: &OsStr) -> Option<&[u8]> {
    path.to_str().map(str::as_bytes)
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "on other systems not all bytes are a path")]
fn path_of(bytes: &[u8]) -> Option<&OsStr> {
    Some(std::os::unix::ffi::OsStrExt::from_bytes(bytes))
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> Option<&OsStr> {
    std::str::from_utf8(bytes).ok().map(OsStr::new)
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file `{}`", path.display()),
            Self::Exists(path) => write!(f, "existence of `{}`", path.display()),
            Self::List(path) => write!(f, "folder `{}`", path.display()),
            Self::Env(name) => write!(f, "environment variable `{name}`"),
            Self::Provided(name) => write!(f, "provided value `{name}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> [Input; 6] {
        let path = Path::new("config/app.toml");
        [
            Input::file(path),
            Input::existence(path),
            Input::names(path),
            Input::variable("HOME"),
            Input::provided("units"),
            Input::provided(""),
        ]
    }

    fn encoded(input: &Input) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(input.encode(&mut bytes));
        assert_eq!(input.encoded_length(), Some(bytes.len()));
        bytes
    }

    #[test]
    fn an_encoded_input_is_decoded_and_the_rest_is_left() {
        for input in inputs() {
            let bytes = [encoded(&input), b"rest".to_vec()].concat();
            assert_eq!(Input::decode(&bytes), Some((input, b"rest".as_slice())));
        }
    }

    #[test]
    fn the_bytes_of_an_input_are_golden() {
        assert_eq!(encoded(&Input::file(Path::new("a/b"))), b"\x01\x03\x00a/b");
        assert_eq!(encoded(&Input::variable("HOME")), b"\x04\x04\x00HOME");
    }

    #[test]
    fn a_cut_input_and_one_of_an_unknown_kind_are_refused() {
        for input in inputs() {
            let bytes = encoded(&input);
            assert!((0..bytes.len()).all(|length| Input::decode(&bytes[..length]).is_none()));
        }
        assert_eq!(Input::decode(b"\x00\x00\x00"), None);
        assert_eq!(Input::decode(b"\x06\x00\x00"), None);
        assert_eq!(Input::decode(b"\x04\x01\x00\xff"), None, "a name that is no text");
    }

    #[test]
    fn a_name_that_is_too_long_is_refused() {
        let mut bytes = Vec::new();
        assert!(!Input::variable(&"x".repeat(65_536)).encode(&mut bytes) && bytes.is_empty());
        assert_eq!(Input::variable(&"x".repeat(65_536)).encoded_length(), None);
        assert!(Input::variable(&"x".repeat(65_535)).encode(&mut bytes));
    }

    #[test]
    fn two_spellings_of_a_path_are_two_inputs() {
        assert_ne!(Input::file(Path::new("a/")), Input::file(Path::new("a")));
        assert_ne!(Input::file(Path::new("./a")), Input::file(Path::new("a")));
    }

    #[test]
    fn an_input_is_named_in_a_message() {
        assert_eq!(
            inputs().map(|input| input.to_string())[..5],
            [
                "file `config/app.toml`",
                "existence of `config/app.toml`",
                "folder `config/app.toml`",
                "environment variable `HOME`",
                "provided value `units`",
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_text_comes_back() {
        let path: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"caf\xe9");
        let input = Input::file(Path::new(path));
        assert_eq!(Input::decode(&encoded(&input)), Some((input, [].as_slice())));
    }
}
