//! Two files for other programs: by `CACHEDIR.TAG` backup programs know a cache and leave it out, and `.gitignore` keeps it
//! out of version control.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
};

/// The names and contents. The first line of `CACHEDIR.TAG` is the signature of its specification.
const TAGS: [(&str, &str); 2] = [
    (
        "CACHEDIR.TAG",
        "Signature: 8a477f597d28d172789f06886806bc55\n\
         # This file is a cache directory tag created by memolith.\n\
         # For information about cache directory tags see https://bford.info/cachedir/\n",
    ),
    (".gitignore", "*\n"),
];

/// Whether a file in a store's directory has the name of a tag.
pub(crate) fn is_tag(path: &Path) -> bool {
    TAGS.iter().any(|(name, _)| path.file_name().is_some_and(|file| file == *name))
}

/// Tags a directory that was just made. A file of that name is left as it is. A tag that cannot be written is left out: the
/// store works without it.
pub(crate) fn write(directory: &Path) {
    for (name, content) in TAGS {
        let _ = write_new(&directory.join(name), content);
    }
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    let mut options = File::options();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(content.as_bytes())
}
