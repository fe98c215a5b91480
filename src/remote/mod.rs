//! A server behind the stores of several machines: Redis or Valkey.
//!
#![doc = include_str!("../../docs/several-machines.md")]
//!
//! # Examples
//!
//! ```
//! use memolith::{Store, remote::Redis};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("cache");
//! let redis = Redis::open("redis://cache.internal:6379/0")?.namespace("shop");
//! // A server that does not answer is no error: the store works without it until it does.
//! let store = Store::builder().remote(redis).open(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod memo;
mod operation;
#[cfg(feature = "redis")]
mod redis;
mod value;

#[cfg(feature = "redis")]
pub use self::redis::Redis;
#[cfg(feature = "redis")]
pub(crate) use self::redis::{Local, LocalChange, RedisServer, ToApply};
pub(crate) use self::{
    memo::{Fetched, Lease, ServerMemo, Turn},
    operation::{Change, Operation, Outcome, Target},
};

use std::time::Duration;

use crate::error::Result;

/// A server, as the memos of one store see it.
pub(crate) trait Server: Send + Sync {
    fn namespace(&self) -> &str;

    /// The longest record in bytes that goes to the server.
    fn max_value(&self) -> u64;

    /// # Errors
    ///
    /// Of the kind `server`: it does not answer, or refuses. Reads that are skipped because of an earlier error are none.
    fn carry_out(&self, operation: &Operation<'_>) -> Result<Outcome>;

    /// Carries out what another process of the directory asks. `None` if that one means another server.
    fn serve(&self, request: &[u8]) -> Option<Result<Vec<u8>>>;

    /// The lease is renewed no more.
    fn forget_lease(&self, token: &[u8; 16]);

    /// A memo may have values on the server from here on.
    fn note_memo(&self, name: &str);

    /// Waits until the lease of the key may have ended, at most for that long.
    fn wait(&self, target: &Target<'_>, at_most: Duration);

    /// The store is closed: leases end, and what is to be kept over a restart is written down.
    fn close(&self);
}
