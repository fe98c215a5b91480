//! The seam to the process that hosts the directory, while this one is its guest.

use std::{sync::Arc, time::Duration};

use super::request::{Adopter, Registration, Request};
use crate::{
    clock::Expiry,
    context::Caller,
    error::{Error, Result},
    flight::{RemoteClaim, Words},
    key::Digest,
    stats::Reason,
    store::{
        engine::Bytes,
        generation::{Bounds, CatalogRow},
    },
};

/// Another process that hosts the directory, as the callers of this one see it. A call finds the next host when the one that it asks ends, or
/// finds that this process hosts the directory by now.
pub(crate) trait Elsewhere: Send + Sync {
    /// Has a request carried out. Its reply, if it has one, was sent when this returns. A value that no caller waits for is only
    /// sent. The request is given back when this process hosts the directory by now.
    fn carry_out(&self, request: Request) -> std::result::Result<(), Box<Request>>;

    /// Looks a key up for a caller, and waits for the lead of the key if that is wanted.
    ///
    /// # Errors
    ///
    /// When no host can be reached, and this process cannot become one.
    fn look_up(&self, query: &Query<'_>) -> Result<LookedUp>;

    /// A stretch of the entries of a memo behind a sequence. `None` when this process hosts the directory by now.
    ///
    /// # Errors
    ///
    /// As [`look_up`](Self::look_up).
    fn walk(&self, memo: &Registration, after: Option<u64>) -> Result<Option<Stretch>>;

    /// # Errors
    ///
    /// Why there is no host at this moment.
    fn check(&self) -> Result<()>;

    /// Whether no process hosts the store, and this one reads it as the last host left it.
    fn is_reader(&self) -> bool;

    /// Has the host ask the server that several machines share. `None` if it has no such server, or there is no host.
    ///
    /// # Errors
    ///
    /// That of the server.
    #[cfg(feature = "redis")]
    fn ask_server(&self, request: &[u8]) -> Option<Result<Vec<u8>>>;

    /// A number of the connection to the host, another one for each. `None` while there is none.
    #[cfg(feature = "redis")]
    fn connection(&self) -> Option<u64>;

    /// Why no host was reached at the last attempt, without another one.
    fn why_alone(&self) -> Option<Error>;

    /// The words of EPOCHS for a key.
    fn words(&self, memo: &Registration, digest: &Digest) -> Option<Words>;

    /// The directory was deleted and made anew by this process, which hosts it.
    fn renew(&self);

    /// Lets the host go.
    ///
    /// # Errors
    ///
    /// When values that were handed over may not have reached it.
    fn close(&self) -> Result<()>;
}

/// A key that is looked up.
pub(crate) struct Query<'a> {
    pub(crate) memo: &'a Arc<Registration>,
    pub(crate) digest: &'a Digest,
    pub(crate) caller: Caller,
    pub(crate) expiry: Expiry,
    pub(crate) wants: Wants,
    /// How long to wait for one leader of the key.
    pub(crate) max_wait: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Record,
    RecordOrLead,
    /// The record of that sequence was of no use.
    Replacement(u64),
    /// The record of that sequence is stale: the lead is wanted if no caller has it.
    Refresh(u64),
}

pub(crate) enum LookedUp {
    Record(Bytes),
    Missing(Reason),
    Lead(Reason, Box<dyn RemoteClaim>),
    /// Another caller leads the key.
    Led,
    /// This process hosts the directory by now: the call begins anew.
    Here,
}

/// Some entries of a walk.
pub(crate) struct Stretch {
    /// The bytes that each counts, its digest and its record.
    pub(crate) rows: Vec<(u64, Digest, Bytes)>,
    /// The sequence to go on behind; `None` at the end.
    pub(crate) next: Option<u64>,
}

/// A memo that is open in this process, as its next host must know it.
#[derive(Clone)]
pub(crate) struct OpenMemo {
    pub(crate) memo: Arc<Registration>,
    pub(crate) row: CatalogRow,
    pub(crate) bounds: Bounds,
    pub(crate) adopter: Adopter,
}
