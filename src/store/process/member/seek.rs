//! The way to the host: this process is its guest, or becomes the host. Where the host closed the store, and this process only wants
//! to see it, none is needed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    super::{
        calls,
        closed::ClosedStore,
        link::{Link, Lost, Unanswered},
        message::{Answer, Call, GREETING, PROTOCOL, decode, error},
        server::Server,
        socket::{Unreachable, connect},
    },
    Member, Need, Reached, Role, Unjoined,
};
use crate::{
    clock::Deadline,
    error::{Error, ErrorKind, Result},
    flight::RemoteNumber,
    store::{
        epochs::Epochs,
        lock::{self as lock_of, LockFile},
        manifest::Manifest,
        worker::{self, Directory, Elsewhere as _, OpenMemo, Request, pause},
    },
    sync::{PoisonError, lock, thread},
};

/// How long a process that wants something waits for a host that is just coming or going.
const SEEK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a host may say nothing at the beginning: it may be stopped.
const GREETING_TIMEOUT: Duration = Duration::from_secs(1);

/// Between two attempts.
const STEP: Duration = Duration::from_millis(1);

/// How long a new host waits for guests of its predecessor before it grants a lead.
const GRACE: Duration = Duration::from_millis(100);

/// A value of a lost connection that is being sent to the next host.
struct Resend<'a>(&'a Member);

impl Drop for Resend<'_> {
    fn drop(&mut self) {
        *lock(&self.0.resends) -= 1;
        self.0.resent.notify_all();
    }
}

/// Why values that were sent are lost.
pub(super) fn lost_values() -> Error {
    let message =
        "the process that hosted the store ended before it had every value: they are computed again";
    Error::new(ErrorKind::Engine, message)
}

impl Member {
    /// The host, looked for if there is none.
    pub(super) fn reach(&self, need: Need) -> Result<Reached> {
        let mut role = lock(&self.role);
        match &*role {
            Role::Guest(link) if !link.is_lost() => return Ok(Reached::Link(Arc::clone(link))),
            // Another thread found it closed.
            Role::Reader(_) if need == Need::Look => return Ok(Reached::Closed),
            Role::Guest(_) | Role::Reader(_) => {}
            Role::Host(_) => return Ok(Reached::Here),
            Role::Alone { why, since, failures } => {
                if since.elapsed() < pause(*failures, false) {
                    return Err(why.clone());
                }
            }
            Role::Closed => return Err(worker::closed()),
        }
        let failures = if let Role::Alone { failures, .. } = &*role { failures + 1 } else { 0 };
        let unanswered = match &*role {
            Role::Guest(link) => link.take_unanswered(),
            _ => Unanswered::default(),
        };
        // The next host knows the memos that are open here, and no others.
        let (puts, lost): (Vec<_>, Vec<_>) =
            unanswered.puts.into_iter().partition(|put| self.has_open(&put.memo));
        *lock(&self.resends) += puts.len();
        let need = if puts.is_empty() { need } else { Need::Owed };
        let sought = self.seek(SEEK_TIMEOUT, need, true);
        *role = sought.unwrap_or_else(|why| {
            let why = Error::from(why);
            self.session.note_failed(&why);
            // Its host may go on and count without this process.
            self.counted_by.store(0, Ordering::Release);
            Role::Alone { why, since: self.session.clock.stopwatch(), failures }
        });
        let reached = match &*role {
            Role::Guest(link) => Ok(Reached::Link(Arc::clone(link))),
            Role::Alone { why, .. } => Err(why.clone()),
            Role::Host(_) => Ok(Reached::Here),
            Role::Reader(_) => Ok(Reached::Closed),
            Role::Closed => Err(worker::closed()),
        };
        drop(role);
        for put in lost {
            calls::refuse(Request::Put(put), &lost_values());
        }
        // They are judged by the counters, and may be there already.
        for put in puts {
            let _resend = Resend(self);
            drop(self.carry_out(Request::Put(put)));
        }
        reached
    }

    /// Waits until the values of a lost connection, which another thread sends again, are with the next host.
    pub(super) fn await_resends(&self) {
        let deadline = Deadline::after(self.reply_timeout);
        let mut resends = lock(&self.resends);
        while *resends > 0
            && let Some(left) = deadline.remaining()
        {
            resends = self.resent.wait_timeout(resends, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn seek(&self, timeout: Duration, need: Need, is_in_call: bool) -> Result<Role, Unjoined> {
        let deadline = Deadline::after(timeout);
        loop {
            match lock_of::lock(&self.path, Duration::ZERO) {
                Ok(lock_file) => {
                    if need == Need::Look
                        && let Some(closed) = self.closed_again()
                    {
                        return Ok(Role::Reader(Arc::new(closed)));
                    }
                    return self.host(lock_file, is_in_call).map(Role::Host);
                }
                Err(error) if error.kind() == ErrorKind::InUse => {}
                Err(error) => return Err(error.into()),
            }
            match connect(&self.path) {
                Ok(stream) => match self.greet(&Arc::new(Link::new(stream, GREETING_TIMEOUT))) {
                    Ok(link) => return Ok(Role::Guest(link)),
                    Err(Some(error)) => return Err(error.into()),
                    // The host ended in between.
                    Err(None) => {}
                },
                Err(Unreachable::Nobody | Unreachable::Busy) => {}
                Err(Unreachable::Foreign) => return Err(self.foreign().into()),
                Err(Unreachable::Failed(cause)) => {
                    return Err(Error::io(self.path.join("SOCKET").display(), cause).into());
                }
            }
            if need != Need::Owed && self.is_closing.load(Ordering::Acquire) {
                return Err(worker::closed().into());
            }
            if deadline.remaining().is_none() {
                return Err(lock_of::in_use(&self.path, timeout).into());
            }
            thread::sleep(STEP);
        }
    }

    /// This process has LOCK: the store, if the last host closed it and this process owes the next one nothing.
    fn closed_again(&self) -> Option<ClosedStore> {
        if !self.leads.is_empty() {
            return None;
        }
        let closed = ClosedStore::open(&self.path, self.find_epochs()?)?;
        // The next host need not wait for it.
        if self.was_counted() {
            let _ = Epochs::take_guest_off(&self.path);
        }
        Some(closed)
    }

    /// Whether the last host counted this process among its guests. To be asked under LOCK, before the file is opened for writing, and
    /// once.
    fn was_counted(&self) -> bool {
        let host = self.counted_by.swap(0, Ordering::AcqRel);
        host > 0 && self.find_epochs().is_some_and(|epochs| epochs.hosts() == host)
    }

    fn foreign(&self) -> Error {
        let message = format!(
            "the store at {} is in use by a process of another user: use a directory for each user",
            self.path.display()
        );
        Error::new(ErrorKind::InUse, message)
    }

    /// Says everything that a host must know of this process. Without an error the connection was lost.
    fn greet(&self, link: &Arc<Link>) -> std::result::Result<Arc<Link>, Option<Error>> {
        let answer = |call: &Call<'_>| -> std::result::Result<(), Option<Error>> {
            let bytes = link.call(call).map_err(|Lost| None)?;
            match decode(&bytes) {
                Some(Answer::Failed { kind, message }) => Err(Some(error(kind, message))),
                Some(_) => Ok(()),
                None => Err(None),
            }
        };
        answer(&Call::Hello { greeting: GREETING, protocol: PROTOCOL })?;
        self.find_epochs();
        let Some(directory) = self.directory() else { return Err(Some(worker::closed())) };
        for open in directory.sharing.open_memos() {
            let adopted = self.adopt(link, &open).map_err(|Lost| None)?;
            // A host that has no index at this moment takes the memo up with the next one.
            if calls::done(&adopted).is_err_and(|error| error.kind() == ErrorKind::Closed) {
                return Err(None);
            }
        }
        self.declare(link).map_err(|Lost| None)?;
        Ok(Arc::clone(link))
    }

    pub(super) fn adopt(&self, link: &Link, open: &OpenMemo) -> std::result::Result<Vec<u8>, Lost> {
        let row = open.row.encode();
        link.call(&calls::adopt(self.number_of(&open.memo), open, &row))
    }

    /// The leads of this process, under new numbers.
    fn declare(&self, link: &Arc<Link>) -> std::result::Result<(), Lost> {
        self.leads.renumber(link, |lead| {
            if !self.has_open(&lead.memo) {
                return Ok(lead.number);
            }
            let (memo, digest) = (self.number_of(&lead.memo), *lead.digest.as_bytes());
            let claim = link.begin(&Call::Declare {
                memo,
                digest,
                caller: lead.caller,
                is_refresh: lead.is_refresh,
            })?;
            link.answer(claim, None)?;
            Ok(RemoteNumber { connection: link.id, claim })
        })?;
        // This host, and the one before it.
        let host = self.find_epochs().map_or(0, Epochs::hosts);
        let returns = host > 1 && self.counted_by.load(Ordering::Acquire) == host - 1;
        link.call(&Call::Declared { returns })?;
        link.set_timeout(self.reply_timeout);
        self.counted_by.store(host, Ordering::Release);
        if !self.leads.is_empty() {
            self.watch();
        }
        Ok(())
    }

    /// The counters by which changes of other processes are seen: `None` if the directory has none, or has others than it had.
    pub(super) fn find_epochs(&self) -> Option<&Epochs> {
        if self.epochs.get().is_none()
            && let Ok(Some(epochs)) = Epochs::open(&self.path)
        {
            let _ = self.epochs.set(epochs);
        }
        let epochs = self.epochs.get()?;
        if !epochs.is_of(&self.path) {
            self.epochs_are_lost.store(true, Ordering::Release);
        }
        (!self.epochs_are_lost.load(Ordering::Acquire)).then_some(epochs)
    }

    /// This process has LOCK: it becomes the host.
    fn host(&self, lock_file: LockFile, is_in_call: bool) -> Result<Server, Unjoined> {
        let Some(directory) = self.directory() else { return Err(worker::closed().into()) };
        // A store of another format is left alone.
        Manifest::read(&self.path)?;
        let was_counted = self.was_counted();
        let is_shared = directory.sharing.raise_in_file(&self.session, &self.path);
        // They end with their host. What they led is theirs for a moment more.
        let guests = directory.sharing.take_guests().saturating_sub(u64::from(was_counted));
        let server = self.begin_to_host(&directory, lock_file, is_in_call, is_shared, guests);
        if let (Err(_), Some(epochs)) = (&server, directory.sharing.epochs()) {
            // The next host waits for them.
            let _ = epochs.set_guests(guests);
        }
        server
    }

    fn begin_to_host(
        &self,
        directory: &Arc<Directory>,
        lock_file: LockFile,
        is_in_call: bool,
        is_shared: bool,
        guests: u64,
    ) -> Result<Server, Unjoined> {
        directory.janitor.start().map_err(Unjoined::NoThread)?;
        let opened = worker::start(directory, &self.session, Some(lock_file)).map_err(Unjoined::NoThread)?;
        // A refusal of the operating system may pass. Anything else must be known at once.
        let opened = directory.wait_for_open(&opened, is_in_call);
        let is_open = opened.is_ok();
        opened.or_else(|error| if error.is_io() { Ok(()) } else { Err(error) })?;
        if guests > 0 {
            directory.sharing.await_guests_for(GRACE);
        }
        // Before any guest asks something.
        directory.host_from_here_on();
        let server = if is_shared {
            Server::start(directory, &self.session, &self.path, guests, is_open)
        } else {
            Server::none()
        };
        if let Some(stop) = self.stop.get() {
            stop.ring();
        }
        Ok(server)
    }
}
