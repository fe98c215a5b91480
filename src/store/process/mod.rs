//! Several processes on one directory. The process that holds LOCK is the host and has the worker; every other process is its
//! guest, and talks to it over SOCKET. Every process works without the others, and none is started for another.
//!
//! * `member`: which of the two this process is, and how that changes.
//! * `closed`: a store that no process hosts, as it is read until something changes.
//! * `link`, `calls`, `leads`: the guest's side. `server`, `guest`: the host's side.
//! * `message`, `socket`: what goes over the wire, and how. `docs/protocol.md` is the document.
//!
//! A guest claims a key in the flight of its own process first. The caller that leads there asks the host, which claims it for
//! the guest in its own flight: so one caller in all processes computes. What a guest keeps in memory it compares with the words
//! of EPOCHS at each hit.

mod answers;
mod bulk;
mod calls;
mod closed;
mod guest;
mod host;
mod leads;
mod link;
mod member;
mod message;
mod server;
mod service;
mod socket;

pub(super) use self::member::{Unjoined, join};
#[cfg(feature = "testing")]
pub(crate) use self::message::{read_answer, read_call};
