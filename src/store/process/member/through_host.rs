//! What a guest asks the server that several machines share: its host does it.

use std::sync::Arc;

use super::{
    super::{
        bulk::{self, Sending},
        link::Link,
        message::{Answer, Call, decode, error},
    },
    Member, Role,
};
use crate::{
    error::{Error, Result},
    sync::lock,
};

impl Member {
    /// `None` if the host has no such server, or there is no host.
    pub(super) fn ask_through_host(&self, request: &[u8]) -> Option<Result<Vec<u8>>> {
        let link = self.link()?;
        let trash = self.path.join("trash");
        let failed = |cause| Some(Err(Error::io("a message between processes", cause)));
        let sending = match Sending::new(&trash, request) {
            Ok(sending) => sending,
            Err(cause) => return failed(cause),
        };
        let answer = link.call(&Call::Server(sending.bulk()));
        sending.end(&trash);
        match decode(&answer.ok()?)? {
            Answer::Server(bulk) => bulk::receive(&trash, bulk).map_or_else(failed, |bytes| Some(Ok(bytes))),
            Answer::Failed { kind, message } => Some(Err(error(kind, message))),
            _ => None,
        }
    }

    /// The connection to the host, without a look for another one.
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        match &*lock(&self.role) {
            Role::Guest(link) if !link.is_lost() => Some(Arc::clone(link)),
            _ => None,
        }
    }
}
