//! Systems without Unix sockets: there is no host to be reached, and none to be.

use std::{convert::Infallible, io, path::Path};

use super::Unreachable;

/// There is none.
#[derive(Debug)]
pub(crate) struct Listener(Infallible);

/// There is none.
#[derive(Debug)]
pub(crate) struct Stream(Infallible);

impl Listener {
    pub(crate) fn bind(_: &Path) -> io::Result<Self> {
        Err(unsupported())
    }

    pub(crate) fn accept(&self) -> io::Result<Option<Stream>> {
        match self.0 {}
    }

    pub(crate) fn is_of(&self, _: &Path) -> bool {
        match self.0 {}
    }
}

pub(crate) fn connect(_: &Path) -> Result<Stream, Unreachable> {
    Err(Unreachable::Failed(unsupported()))
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets")
}
