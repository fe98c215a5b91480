//! Folders of temporary stores: made, removed at the end, and removed by a later process when their own was killed.

use std::{io, path::Path, sync::Once};

use tempfile::TempDir;

use crate::{
    error::{Error, Result},
    leftovers::{self, FolderSweep, Marker},
};

/// How the name of each folder begins.
const PREFIX: &str = "memolith-";

/// Tells the folder of a temporary store from a store that a user put among the temporary files.
const MARKER: &str = "TEMPORARY";

/// A folder of its own for a store, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Temporary {
    /// Locked until the folder is about to be removed: it is let go first.
    _marker: Marker,
    folder: TempDir,
}

impl Temporary {
    /// The first call of a process removes what killed processes left behind.
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
        // One in use costs a look too, so each start begins at another place.
        let turn = u64::from(std::process::id());
        for folder in leftovers::some_in(inside, turn, |name| name.starts_with(PREFIX)) {
            sweep.remove(&folder, |_| true);
            if !sweep.is_complete() {
                break;
            }
        }
    }
}
