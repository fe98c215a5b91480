//! Other processes that use a directory: whether one of them hosts it, and what they must learn of changes.

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    elsewhere::{Elsewhere, OpenMemo},
    request::{Adopter, Registration},
};
use crate::{
    clock::Deadline,
    error::{Error, Result},
    flight::Words,
    key::Digest,
    store::{epochs::Epochs, generation::GenerationId, session::Session},
    sync::{Condvar, Mutex, PoisonError, lock},
};

/// The part of a process among those that use the directory of a store, from [`Store::role`](crate::Store::role).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Role {
    /// It makes the changes, for the other processes too. A store in memory, and one that is
    /// [exclusive](crate::StoreBuilder::exclusive), has a host only.
    Host,
    /// It asks the host.
    Guest,
    /// No process hosts the store, and this one reads it as the last host left it, without a lock, a thread or the storage engine.
    /// With its first change, or at its first look for something that is not there, it becomes the host or a guest.
    Reader,
    /// It reaches no host and cannot become one, for this reason. Values are computed and kept in memory. The next attempt is
    /// made after a pause of 1 s to a minute.
    Alone(Error),
}

#[derive(Default)]
pub(crate) struct Sharing {
    /// The way to the host. Set once, before the directory has any caller; never set in a store that no other process shares.
    elsewhere: OnceLock<Arc<dyn Elsewhere>>,
    /// Whether this process is a guest. Once it hosts the directory it does so until its end.
    is_guest: AtomicBool,
    /// The memos that are open in this process.
    open_memos: Mutex<Vec<OpenMemo>>,
    /// Set when this process begins to host the directory.
    epochs: Mutex<Option<Arc<Epochs>>>,
    /// Whether guests of an earlier host may still come and say what they lead.
    awaits_guests: AtomicBool,
    /// Until when. `None` when all are there.
    grace: Mutex<Option<Deadline>>,
    /// There is no grace any more.
    all_there: Condvar,
}

impl Sharing {
    /// Another process hosts the directory, for now.
    pub(crate) fn become_guest(&self, elsewhere: Arc<dyn Elsewhere>) {
        let _ = self.elsewhere.set(elsewhere);
        self.is_guest.store(true, Ordering::Release);
    }

    pub(super) fn become_host(&self) {
        self.is_guest.store(false, Ordering::Release);
    }

    pub(crate) fn role(&self) -> Role {
        match self.host().map(|host| (host.why_alone(), host.is_reader())) {
            None => Role::Host,
            Some((None, true)) => Role::Reader,
            Some((None, false)) => Role::Guest,
            Some((Some(why), _)) => Role::Alone(why),
        }
    }

    /// The store is closed here: no guest is served any more.
    pub(super) fn stop_serving(&self) {
        if let Some(elsewhere) = self.elsewhere.get() {
            let _ = elsewhere.close();
        }
    }

    /// The way to the host; `None` while this process hosts the directory.
    pub(crate) fn host(&self) -> Option<&Arc<dyn Elsewhere>> {
        if self.is_guest.load(Ordering::Acquire) { self.elsewhere.get() } else { None }
    }

    pub(crate) fn note_open(&self, memo: OpenMemo) {
        lock(&self.open_memos).push(memo);
    }

    pub(crate) fn note_closed(&self, adopter: Adopter) {
        lock(&self.open_memos).retain(|open| open.adopter != adopter);
    }

    /// Whether this process has a generation open.
    pub(crate) fn has_open(&self, generation: GenerationId) -> bool {
        lock(&self.open_memos).iter().any(|open| open.memo.generation == generation)
    }

    pub(crate) fn open_memos(&self) -> Vec<OpenMemo> {
        lock(&self.open_memos).clone()
    }

    /// The words of EPOCHS as they are now, for a guest.
    pub(crate) fn words(&self, memo: &Registration, digest: &Digest) -> Option<Words> {
        self.host()?.words(memo, digest)
    }

    /// Whether nothing changed at another host since the words were noted.
    pub(crate) fn is_current(&self, memo: &Registration, digest: &Digest, noted: Option<Words>) -> bool {
        let Some(noted) = noted else { return true };
        self.elsewhere.get().is_none_or(|elsewhere| elsewhere.words(memo, digest) == Some(noted))
    }

    fn raise_in(&self, epochs: Epochs) {
        *lock(&self.epochs) = Some(Arc::new(epochs));
    }

    /// Begins to raise the words of the file in a directory of which this process holds LOCK. Whether that is possible: without it
    /// no other process would see a change.
    pub(crate) fn raise_in_file(&self, session: &Session, path: &Path) -> bool {
        match Epochs::create(path) {
            Ok(epochs) => {
                self.raise_in(epochs);
                true
            }
            Err(cause) => {
                session.note_failed(&Error::io("EPOCHS", cause));
                false
            }
        }
    }

    /// A new index takes the place of one that was left closed.
    pub(super) fn raise_snapshot(&self) -> Result<()> {
        let raised = self.epochs().map(|epochs| epochs.raise_snapshot());
        raised.unwrap_or(Ok(())).map_err(|cause| Error::io("EPOCHS", cause))
    }

    /// LOCK is let go: another process may raise the words.
    pub(super) fn stop_raising(&self) {
        *lock(&self.epochs) = None;
    }

    /// The number of guests that the last host had. A next look finds none.
    pub(crate) fn take_guests(&self) -> u64 {
        let Some(epochs) = self.epochs() else { return 0 };
        let guests = epochs.guests();
        if guests > 0 {
            // Without it the next host waits for a moment in vain.
            let _ = epochs.set_guests(0);
        }
        guests
    }

    /// Whether other processes are guests of this one.
    pub(crate) fn has_guests(&self) -> bool {
        self.epochs().is_some_and(|epochs| epochs.guests() > 0)
    }

    /// Those of the directory, while this process has them open.
    pub(crate) fn epochs(&self) -> Option<Arc<Epochs>> {
        lock(&self.epochs).clone()
    }

    /// The directory was deleted, and made anew by this process, which hosts the new one.
    pub(super) fn renew(&self, session: &Session, path: &Path) {
        let Some(elsewhere) = self.elsewhere.get() else { return };
        if self.raise_in_file(session, path) {
            elsewhere.renew();
        }
    }

    /// The entry of a key was removed or replaced. Other processes take nothing older out of their memory from here on.
    pub(crate) fn raise_key(&self, session: &Session, digest: &Digest) {
        if let Some(Err(cause)) = self.epochs().map(|epochs| epochs.raise_key(digest)) {
            session.note_failed(&Error::io("EPOCHS", cause));
        }
    }

    /// The same for all entries of a memo's generation.
    pub(super) fn raise_memo(&self, session: &Session, id: GenerationId) {
        if let Some(Err(cause)) = self.epochs().map(|epochs| epochs.raise_memo(&id.0)) {
            session.note_failed(&Error::io("EPOCHS", cause));
        }
    }

    /// The same for all entries of all memos.
    pub(super) fn raise_all(&self, session: &Session) {
        if let Some(Err(cause)) = self.epochs().map(|epochs| epochs.raise_all_memos()) {
            session.note_failed(&Error::io("EPOCHS", cause));
        }
    }

    /// Grants no lead until guests of the last host have said what they lead, or until some time passed.
    pub(crate) fn await_guests_for(&self, time: Duration) {
        *lock(&self.grace) = Some(Deadline::after(time));
        self.awaits_guests.store(true, Ordering::Release);
    }

    /// All guests are there.
    pub(crate) fn all_are_there(&self) {
        self.awaits_guests.store(false, Ordering::Release);
        *lock(&self.grace) = None;
        self.all_there.notify_all();
    }

    /// Whether leads may be granted.
    pub(crate) fn may_lead(&self) -> bool {
        if !self.awaits_guests.load(Ordering::Acquire) {
            return true;
        }
        let is_over = lock(&self.grace).is_none_or(|deadline| deadline.remaining().is_none());
        if is_over {
            self.all_are_there();
        }
        is_over
    }

    /// Waits until leads may be granted.
    pub(crate) fn await_guests(&self) {
        while !self.may_lead() {
            let grace = lock(&self.grace);
            let Some(left) = grace.and_then(Deadline::remaining) else { continue };
            drop(self.all_there.wait_timeout(grace, left).unwrap_or_else(PoisonError::into_inner));
        }
    }
}
