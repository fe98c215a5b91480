//! SOCKET: the Unix stream socket of a host in the store's directory, and the frames on its connections.
//!
//! * **Ownership.** LOCK decides which process is the host, never the socket. Only the holder of LOCK calls
//!   [`Listener::bind`]. The socket gets a draft name, its mode 0600 and its backlog before a rename gives it its name, so a
//!   guest connects to a whole one or to none.
//! * **Peers.** Both ends compare the effective user of the other process with their own. Root is no exception: files that
//!   a guest of another user makes for the host would belong to that user. On Linux and the BSDs the kernel tells the
//!   user. It translates the user between containers.
//! * **Frames.** Four bytes, little-endian, tell the length of the bytes that follow: from 1 to [`MAX_FRAME`]. A frame is
//!   sent by one system call. A receiver allocates for bytes that arrived, never for bytes that were announced.
//! * **Waiting.** No operation waits on the host's side: [`Listener`] and [`Channel`] do what they can at once, and
//!   [`poll`] waits for all of them. [`Writer`] and [`Reader`], the two halves on a guest's side, wait with a timeout.
//! * **Fork.** A child's copies of all descriptors are closed by the handler of `fork.rs`, which has 256 places for a
//!   process. In a child every operation is an error, and a drop closes and unlinks nothing.
//! * **Other systems.** Without Unix sockets every attempt is an error of the kind `Unsupported`.

#[cfg(unix)]
mod address;
#[cfg(unix)]
mod bell;
#[cfg(unix)]
mod channel;
#[cfg(not(unix))]
mod elsewhere;
#[cfg(unix)]
mod frames;
#[cfg(unix)]
mod listener;
#[cfg(unix)]
mod peer;
#[cfg(unix)]
mod stream;
#[cfg(test)]
mod tests;
#[cfg(unix)]
mod wait;
#[cfg(unix)]
mod watch;

#[cfg(not(unix))]
pub(crate) use self::elsewhere::{Listener, Stream, connect};
#[cfg(unix)]
pub(crate) use self::{
    bell::Bell,
    channel::{Channel, Reader, Writer, split},
    listener::{Listener, connect},
    stream::Stream,
    wait::{Interest, Ready, poll, wait_for_hangup},
    watch::Watch,
};

/// The largest frame: a record with its key head, or a stretch of a walk.
pub(crate) const MAX_FRAME: usize = 256 << 10;

/// The name of the socket in the store's directory.
pub(crate) const SOCKET: &str = "SOCKET";

/// Its name until it listens. One name is enough: only the holder of LOCK makes one.
pub(crate) const DRAFT: &str = "SOCKET.draft";

/// The reason why a host cannot be reached.
#[derive(Debug)]
pub(crate) enum Unreachable {
    /// There is no SOCKET, or no process listens on it.
    Nobody,
    /// The backlog is full: the host accepts no connections at the moment. On the BSDs this is `Nobody`.
    Busy,
    /// SOCKET or its host belongs to another user.
    Foreign,
    /// The file system has no sockets, or another error.
    Failed(std::io::Error),
}
