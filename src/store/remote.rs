//! The store as the tier on a server changes it, and the start of the tier.

use std::sync::{Arc, Weak};

use super::{
    generation::GenerationId,
    session::Session,
    worker::{self, Directory, Request},
};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    key::Digest,
    remote::{Local, LocalChange, Redis, RedisServer, Server, ToApply},
};

/// The directory and its session, as long as the store is open.
struct OpenStore {
    directory: Weak<Directory>,
    session: Weak<Session>,
}

/// The reply to one change.
enum Applied {
    Done(oneshot::Receiver<Result<()>>),
    Forgotten(oneshot::Receiver<Result<bool>>),
}

impl OpenStore {
    fn send(directory: &Directory, ToApply { change, unless_since }: ToApply) -> Applied {
        let (reply, done) = oneshot::channel();
        let request = match change {
            LocalChange::Remove { generation, digest, .. } => Request::RemoveOf {
                generation: GenerationId(generation),
                digest: Digest::from_bytes(digest),
                unless_since: unless_since.map(Timestamp),
                reply,
            },
            LocalChange::Clear { generation, .. } => {
                Request::ClearOf { generation: GenerationId(generation), reply }
            }
            LocalChange::Forget { memo } => {
                let (reply, forgotten) = oneshot::channel();
                // One that cannot be sent has its reply dropped.
                let _ = directory.send(Request::Forget { name: memo, reply });
                return Applied::Forgotten(forgotten);
            }
        };
        let _ = directory.send(request);
        Applied::Done(done)
    }
}

impl Local for OpenStore {
    /// All are sent before the first reply is waited for: one flush serves them all.
    fn apply(&self, changes: Vec<ToApply>) -> Result<()> {
        let Some(directory) = self.directory.upgrade() else { return Err(worker::closed()) };
        let sent: Vec<Applied> = changes.into_iter().map(|change| Self::send(&directory, change)).collect();
        let timeout = directory.tuning.reply_timeout;
        let mut outcome = Ok(());
        for applied in &sent {
            let done = match applied {
                Applied::Done(done) => directory.wait(done, timeout),
                Applied::Forgotten(forgotten) => directory.wait(forgotten, timeout).map(drop),
            };
            outcome = outcome.and(done);
        }
        if let Some(session) = self.session.upgrade().filter(|session| session.has_leftover()) {
            // Code of the user does not run on the thread of the tier, which has leases to renew.
            directory.janitor.run(move || session.settle());
        }
        outcome
    }

    fn failed(&self, error: &Error) {
        let Some(session) = self.session.upgrade() else { return };
        session.note_failed(error);
        if let Some(directory) = self.directory.upgrade() {
            directory.janitor.run(move || session.settle());
        }
    }

    fn host(&self) -> Option<u64> {
        self.directory.upgrade()?.sharing.host()?.connection()
    }

    fn is_host(&self) -> bool {
        self.directory.upgrade().is_some_and(|directory| directory.sharing.host().is_none())
    }

    fn ask_host(&self, request: &[u8]) -> Option<Result<Vec<u8>>> {
        self.directory.upgrade()?.sharing.host()?.ask_server(request)
    }
}

/// Begins to share the store of a directory with other machines. `None` if no thread can be started, which is told.
pub(super) fn start(
    redis: &Redis,
    directory: &Arc<Directory>,
    session: &Arc<Session>,
) -> Option<Arc<dyn Server>> {
    let folder = directory.place.as_ref().map(|place| place.home().to_owned());
    let server = RedisServer::new(redis.clone(), &session.clock, folder);
    let (weak_directory, weak_session) = (Arc::downgrade(directory), Arc::downgrade(session));
    let local = Box::new(OpenStore { directory: weak_directory, session: weak_session });
    match server.start(local) {
        Ok(()) => {
            directory.set_server(Arc::clone(&server) as Arc<dyn Server>);
            Some(server)
        }
        Err(error) => {
            session.failed(&error);
            None
        }
    }
}
