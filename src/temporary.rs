//! Folders of temporary stores. They are removed at the end of the process, or by a later process if theirs was killed.

use std::{io, path::Path, sync::Once};

use tempfile::TempDir;

use crate::{
    error::{Error, Result},
    leftovers::{self, FolderSweep, Marker},
};

/// The prefix of the name of each folder.
const PREFIX: &str = "memolith-";

/// The marker of a temporary store. A store that a user put among the temporary files has none.
const MARKER: &str = "TEMPORARY";

/// The folder of one temporary store. It is removed on drop.
#[derive(Debug)]
pub(crate) struct Temporary {
    /// Locked until directly before the folder is removed: it is dropped first.
    _marker: Marker,
    folder: TempDir,
}

impl Temporary {
    /// The first call of a process also removes the folders of killed processes.
    pub(crate) fn new() -> Result<Self> {
        static LEFTOVERS: Once = Once::new();
        let made = Self::made().map_err(|cause| Error::io("making a temporary directory", cause))?;
        LEFTOVERS.call_once(|| made.remove_leftovers());
        Ok(made)
    }

    fn made() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        Ok(Self { _marker: Marker::alone(folder.path(), MARKER)?, folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn remove_leftovers(&self) {
        let Some(inside) = self.path().parent() else { return };
        let mut sweep = FolderSweep::beside(self.path(), MARKER);
        // A folder in use takes a share of the sweep too, so each process begins at another place.
        let turn = u64::from(std::process::id());
        for folder in leftovers::some_in(inside, turn, |name| name.starts_with(PREFIX)) {
            sweep.remove(&folder, |_| true);
            if !sweep.is_complete() {
                break;
            }
        }
    }
}
