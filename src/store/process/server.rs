//! The host's side as the rest of its process sees it: where other processes call, and the thread that serves them.
//!
//! The thread lives while there are guests. At other times the worker of the store waits for calls, as a [`Door`], beside its queue.

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
    task::Waker,
};

use super::{
    host::Host,
    service::{Calls, Service, cannot_serve},
};
use crate::{
    store::{
        session::Session,
        worker::{Directory, Door as _},
    },
    sync::{lock, thread},
};

/// What serves guests, as its process sees it. `None` where none can be served: other processes find the store in use.
pub(super) struct Server(Option<Arc<Calls>>);

impl Server {
    /// Begins to serve. `expected` guests of an earlier host may come and say what they lead. A worker that is not `ready` to
    /// wait for calls has a thread do it from the beginning.
    pub(super) fn start(
        directory: &Arc<Directory>,
        session: &Arc<Session>,
        path: &Path,
        expected: u64,
        is_ready: bool,
    ) -> Self {
        let begin = || -> io::Result<Arc<Calls>> {
            let calls = Arc::new(Calls::new()?);
            let host = Host::new(directory, session, Waker::from(Arc::clone(&calls)), expected);
            let service = Box::new(Service::new(&calls, host, path)?);
            if expected > 0 || !is_ready {
                service.open();
            } else {
                directory.serve_at(service);
            }
            Ok(calls)
        };
        Self(begin().map_err(|cause| session.note_failed(&cannot_serve(cause))).ok())
    }

    /// Of a process that serves no other.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// The directory was made anew: its socket too. The guests of the old one go.
    pub(super) fn renew(&self) {
        if let Some(calls) = &self.0 {
            calls.renews.store(true, Ordering::Release);
            calls.bell.ring();
        }
    }

    /// Lets all guests go. They look for another host. A worker that waits for calls lets SOCKET go before LOCK.
    pub(super) fn end(&self) {
        let Some(calls) = &self.0 else { return };
        let thread = {
            let mut thread = lock(&calls.thread);
            calls.ends.store(true, Ordering::Release);
            thread.take()
        };
        calls.bell.ring();
        // A thread of the store that runs code of the user may close it: that is never this one.
        drop(thread.map(thread::JoinHandle::join));
    }
}
