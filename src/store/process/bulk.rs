//! Bytes that are longer than a frame travel as files in `trash/`.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use super::{message::Bulk, socket::MAX_FRAME};
use crate::random::random_id;

/// What is left of a frame beside the bytes.
const BESIDE: usize = 1 << 10;

/// The beginning of the name of each file: a draft, so that one that stays behind is removed as drafts are.
const DRAFT: &str = "draft-";

/// Longer files are none of ours: a server has no values that are as long.
const LONGEST: u64 = 600 << 20;

/// Bytes on their way, and the draft that they lie in, with its lock.
pub(super) struct Sending<'a> {
    bytes: &'a [u8],
    draft: Option<(String, File)>,
}

impl<'a> Sending<'a> {
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(super) fn new(trash: &Path, bytes: &'a [u8]) -> io::Result<Self> {
        if bytes.len() <= MAX_FRAME - BESIDE {
            return Ok(Self { bytes, draft: None });
        }
        let name = format!("{DRAFT}{:032x}", u128::from_be_bytes(random_id()));
        let path = trash.join(&name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        // Drafts on which no process holds a lock may be removed.
        let _ = file.try_lock();
        file.write_all(bytes).inspect_err(|_| drop(std::fs::remove_file(&path)))?;
        Ok(Self { bytes, draft: Some((name, file)) })
    }

    pub(super) fn bulk(&self) -> Bulk<'_> {
        self.draft.as_ref().map_or(Bulk::Inline(self.bytes), |(name, _)| Bulk::File(name))
    }

    /// The reader has answered, or is gone: a draft that it did not take is removed.
    #[cfg(feature = "redis")]
    pub(super) fn end(self, trash: &Path) {
        if let Some((name, _)) = &self.draft {
            let _ = std::fs::remove_file(trash.join(name));
        }
    }
}

/// The bytes; a file is removed.
pub(super) fn receive(trash: &Path, bulk: Bulk<'_>) -> io::Result<Vec<u8>> {
    let name = match bulk {
        Bulk::Inline(bytes) => return Ok(bytes.to_vec()),
        Bulk::File(name) => name,
    };
    let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    let is_name = |rest: &str| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !name.strip_prefix(DRAFT).is_some_and(is_name) {
        return wrong("no name of a draft");
    }
    let path = trash.join(name);
    if !std::fs::symlink_metadata(&path)?.is_file() {
        return wrong("no file");
    }
    let mut file = File::open(&path)?;
    let _ = std::fs::remove_file(&path);
    if file.metadata()?.len() > LONGEST {
        return wrong("longer than any value");
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bytes_travel_as_a_file_which_is_gone_afterwards() {
        let trash = tempfile::tempdir().unwrap();
        for length in [0, 1_000, MAX_FRAME - BESIDE, MAX_FRAME, 1 << 20] {
            let bytes = vec![7; length];
            let sending = Sending::new(trash.path(), &bytes).unwrap();
            assert_eq!(matches!(sending.bulk(), Bulk::File(_)), length > MAX_FRAME - BESIDE);
            assert_eq!(receive(trash.path(), sending.bulk()).unwrap(), bytes);
            assert_eq!(trash.path().read_dir().unwrap().count(), 0);
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let trash = tempfile::tempdir().unwrap();
        let secret = trash.path().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        let link = format!("{DRAFT}{:032x}", 1);
        std::os::unix::fs::symlink(&secret, trash.path().join(&link)).unwrap();
        for name in ["../secret", "secret", "draft-../secret", &link, ""] {
            assert!(receive(trash.path(), Bulk::File(name)).is_err(), "{name}");
        }
    }
}
