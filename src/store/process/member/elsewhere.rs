//! A member as the rest of its store asks it.

use std::sync::{Arc, atomic::Ordering};

use super::{
    super::{calls, message::Call},
    Member, Need, Reached, Role,
    seek::lost_values,
};
use crate::{
    error::{Error, ErrorKind, Result},
    flight::Words,
    key::Digest,
    store::worker::{self, Elsewhere, LookedUp, Query, Registration, Request, Stretch},
    sync::lock,
};

/// How often a call is made on another connection, when its own is lost.
const ATTEMPTS: usize = 8;

impl Elsewhere for Member {
    fn carry_out(&self, request: Request) -> std::result::Result<(), Box<Request>> {
        if matches!(request, Request::Flush { .. } | Request::Barrier { .. }) {
            self.await_resends();
        }
        let mut request = Box::new(request);
        for _ in 0..ATTEMPTS {
            let was_closed = self.closed_store().is_some();
            match self.answer_closed(*request) {
                Ok(()) => return Ok(()),
                Err(unanswered) => request = unanswered,
            }
            match self.reach(if was_closed { Need::Host } else { need_of(&request) }) {
                Ok(Reached::Here) => return self.bring_home(*request),
                Ok(Reached::Closed) => {}
                Err(error) => {
                    calls::refuse(*request, &error);
                    return Ok(());
                }
                Ok(Reached::Link(link)) => match self.carry_out_on(&link, *request) {
                    Ok(()) => return Ok(()),
                    Err(unanswered) => request = unanswered,
                },
            }
        }
        calls::refuse(*request, &lost_again());
        Ok(())
    }

    fn look_up(&self, query: &Query<'_>) -> Result<LookedUp> {
        for _ in 0..ATTEMPTS {
            let was_closed = self.closed_store().is_some();
            if let Some(looked_up) = self.look_at_closed(query) {
                return Ok(looked_up);
            }
            match self.reach(if was_closed { Need::Host } else { Need::Look })? {
                Reached::Here => return Ok(LookedUp::Here),
                Reached::Closed => {}
                Reached::Link(link) => {
                    if let Ok(looked_up) = self.ask_on(&link, query) {
                        return looked_up;
                    }
                }
            }
        }
        Err(lost_again())
    }

    fn walk(&self, memo: &Registration, after: Option<u64>) -> Result<Option<Stretch>> {
        for _ in 0..ATTEMPTS {
            match self.reach(Need::Host)? {
                Reached::Here => return Ok(None),
                Reached::Closed => {}
                Reached::Link(link) => {
                    let call = Call::Walk { memo: self.number_of(memo), after };
                    if let Ok(answer) = link.call(&call) {
                        return calls::stretch(&answer).map(Some);
                    }
                }
            }
        }
        Err(lost_again())
    }

    fn check(&self) -> Result<()> {
        self.reach(Need::Host).map(drop)
    }

    fn is_reader(&self) -> bool {
        self.closed_store().is_some()
    }

    #[cfg(feature = "redis")]
    fn ask_server(&self, request: &[u8]) -> Option<Result<Vec<u8>>> {
        self.ask_through_host(request)
    }

    #[cfg(feature = "redis")]
    fn connection(&self) -> Option<u64> {
        self.link().map(|link| link.id)
    }

    fn why_alone(&self) -> Option<Error> {
        match &*lock(&self.role) {
            Role::Alone { why, .. } => Some(why.clone()),
            Role::Closed => Some(worker::closed()),
            Role::Reader(_) | Role::Guest(_) | Role::Host(_) => None,
        }
    }

    fn words(&self, memo: &Registration, digest: &Digest) -> Option<Words> {
        match self.epochs.get() {
            Some(epochs) if !self.epochs_are_lost.load(Ordering::Acquire) => {
                Some(epochs.note(&memo.generation.0, digest).words())
            }
            // Equal to none that was noted.
            _ => Some((u64::MAX, self.no_words.fetch_add(1, Ordering::Relaxed))),
        }
    }

    fn renew(&self) {
        // While a host is looked for there is no server yet.
        if let Ok(role) = self.role.try_lock()
            && let Role::Host(server) = &*role
        {
            server.renew();
        }
    }

    fn close(&self) -> Result<()> {
        self.is_closing.store(true, Ordering::Release);
        let flushed = self.flush_sent();
        let role = std::mem::replace(&mut *lock(&self.role), Role::Closed);
        if let Some(stop) = self.stop.get() {
            stop.ring();
        }
        match role {
            Role::Host(server) => {
                server.end();
                return Ok(());
            }
            Role::Guest(link) => link.lose(),
            Role::Reader(_) | Role::Alone { .. } => {}
            // Another caller closes it.
            Role::Closed => return Ok(()),
        }
        if let Some(directory) = self.directory() {
            directory.close_as_guest();
        }
        flushed
    }
}

impl Member {
    /// Has everything that was sent flushed by the host, or by the next one if that ended before it had it.
    fn flush_sent(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            self.await_resends();
            let link = match &*lock(&self.role) {
                Role::Guest(link) if link.is_unflushed() => Arc::clone(link),
                _ => return Ok(()),
            };
            if let Ok(answer) = link.call(&Call::Flush) {
                return calls::done(&answer);
            }
            if link.is_owed() {
                self.reach(Need::Look).map_err(|_| lost_values())?;
            } else if matches!(&*lock(&self.role), Role::Guest(last) if Arc::ptr_eq(last, &link)) {
                // No other thread took them for the next host.
                return Ok(());
            }
        }
        Err(lost_values())
    }
}

/// Requests that a closed store may answer.
fn need_of(request: &Request) -> Need {
    match request {
        Request::Adopt { .. }
        | Request::MakeRoom { .. }
        | Request::Names { .. }
        | Request::Flush { .. }
        | Request::Barrier { .. }
        | Request::Disown { .. } => Need::Look,
        _ => Need::Host,
    }
}

fn lost_again() -> Error {
    let message = "the connection to the process that hosts the store was lost again and again";
    Error::new(ErrorKind::Engine, message)
}
