//! Warnings: circumstances under which a store works, and that its user should know.

use std::{fmt, path::PathBuf};

/// A circumstance that a store was opened in. It works, but not as well as it could.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// use memolith::{Store, observe::Event};
///
/// std::fs::write(directory.path().join("report.csv"), "1,2,3")?;
/// let store = Store::builder()
///     .observer(|event| {
///         if let Event::Warned { warning, .. } = event {
///             eprintln!("{warning}"); // ".. holds files that are not the store's, such as report.csv: .."
///         }
///     })
///     .open(directory.path())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The directory holds files or folders that are not the store's, and whose names do not begin with a dot. The store
    /// leaves them alone. They are lost when the cache is deleted with its directory.
    #[non_exhaustive]
    ForeignFiles {
        /// The directory of the store.
        directory: PathBuf,
        /// The name of one of them.
        name: String,
    },
    /// The program is compiled with `panic = "abort"`. The storage engine panics on some damaged files, and a `Serialize`
    /// or `Drop` of a value may panic: then the program ends, where it would go on otherwise.
    #[non_exhaustive]
    PanicAborts,
}

impl Warning {
    pub(crate) fn foreign_files(directory: PathBuf, name: String) -> Self {
        Self::ForeignFiles { directory, name }
    }

    /// That of a program in which panics end the process.
    pub(crate) fn of_panics() -> Option<Self> {
        cfg!(panic = "abort").then_some(Self::PanicAborts)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignFiles { directory, name } => write!(
                f,
                "{} holds files that are not the store's, such as {name}: give the store a directory of its own",
                directory.display()
            ),
            Self::PanicAborts => f.write_str(
                "with `panic = \"abort\"` damaged files of the index may end the program: leave it out where a cache must \
                 never fail",
            ),
        }
    }
}
