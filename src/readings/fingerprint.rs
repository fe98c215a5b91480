//! The fingerprint of an answer.

use std::{
    ffi::{OsStr, OsString},
    io,
};

use crate::hash::Hasher;

/// The kinds of answers. A fingerprint is the hash of this byte and of the bytes of the answer.
mod kind {
    pub(super) const CONTENTS: u8 = 1;
    pub(super) const ABSENT: u8 = 2;
    pub(super) const EXISTS: u8 = 3;
    pub(super) const NAMES: u8 = 4;
    pub(super) const VARIABLE: u8 = 5;
    pub(super) const UNSET: u8 = 6;
    pub(super) const PROVIDED: u8 = 7;
}

/// The first half of a SHA-256 over the kind and the bytes of an answer. Answers that a function can tell apart have different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; Self::SIZE]);

impl Fingerprint {
    pub(crate) const SIZE: usize = 16;

    pub(crate) const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    fn of(kind: u8, answer: &[u8]) -> Self {
        let mut hasher = FingerprintHasher::starting(kind);
        hasher.update(answer);
        hasher.finish()
    }

    /// Of the contents of a file.
    pub(crate) fn contents(bytes: &[u8]) -> Self {
        Self::of(kind::CONTENTS, bytes)
    }

    /// Of a file or a folder that is not there. `None` for an error of another kind.
    ///
    /// A function may tell a missing file from one below a file, so the two differ.
    pub(crate) fn absent(error: io::ErrorKind) -> Option<Self> {
        match error {
            io::ErrorKind::NotFound => Some(Self::of(kind::ABSENT, &[0])),
            io::ErrorKind::NotADirectory => Some(Self::of(kind::ABSENT, &[1])),
            _ => None,
        }
    }

    pub(crate) fn existence(exists: bool) -> Self {
        Self::of(kind::EXISTS, &[u8::from(exists)])
    }

    /// Of the names in a folder, sorted.
    pub(crate) fn names(names: &[OsString]) -> Self {
        let mut hasher = FingerprintHasher::starting(kind::NAMES);
        for name in names {
            let name = name.as_encoded_bytes();
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name);
        }
        hasher.finish()
    }

    /// Of an environment variable.
    pub(crate) fn variable(value: Option<&OsStr>) -> Self {
        value.map_or_else(
            || Self::of(kind::UNSET, &[]),
            |value| Self::of(kind::VARIABLE, value.as_encoded_bytes()),
        )
    }

    /// Of a provided value, by the digest of its encoding as a key.
    pub(crate) fn provided(digest: &[u8; 32]) -> Self {
        Self::of(kind::PROVIDED, digest)
    }
}

/// Takes the answer in pieces.
pub(super) struct FingerprintHasher(Hasher);

impl FingerprintHasher {
    /// For the contents of a file.
    pub(super) fn contents() -> Self {
        Self::starting(kind::CONTENTS)
    }

    fn starting(kind: u8) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&[kind]);
        Self(hasher)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Fingerprint {
        let digest = self.0.finish();
        let mut half = [0; Fingerprint::SIZE];
        half.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Fingerprint(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_differ_have_different_fingerprints() {
        let names =
            |names: &[&str]| Fingerprint::names(&names.iter().map(OsString::from).collect::<Vec<_>>());
        let all = [
            Fingerprint::contents(b""),
            Fingerprint::contents(b"a"),
            Fingerprint::absent(io::ErrorKind::NotFound).unwrap(),
            Fingerprint::absent(io::ErrorKind::NotADirectory).unwrap(),
            Fingerprint::existence(false),
            Fingerprint::existence(true),
            names(&[]),
            names(&[""]),
            names(&["ab"]),
            names(&["a", "b"]),
            Fingerprint::variable(None),
            Fingerprint::variable(Some(OsStr::new(""))),
            Fingerprint::variable(Some(OsStr::new("a"))),
            Fingerprint::provided(&[0; 32]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
    }

    #[test]
    fn the_pieces_of_a_file_do_not_matter() {
        let mut hasher = FingerprintHasher::contents();
        for piece in [b"ab".as_slice(), b"", b"c"] {
            hasher.update(piece);
        }
        assert_eq!(hasher.finish(), Fingerprint::contents(b"abc"));
    }

    #[test]
    fn the_fingerprint_of_a_file_is_golden() {
        // `printf '\\x01hello' | sha256sum`
        let golden = 0xccee_b7a9_85ec_c3da_bcb4_c8f6_66cd_637f_u128;
        assert_eq!(u128::from_be_bytes(Fingerprint::contents(b"hello").0), golden);
    }

    #[test]
    fn other_errors_are_no_answer() {
        assert!(Fingerprint::absent(io::ErrorKind::PermissionDenied).is_none());
    }
}
