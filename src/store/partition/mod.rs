//! A partition: the entries of one memo's generation. Callers read them on their own threads (`read`), and send changes to
//! the worker; computed values are handed over (`hand_over`).

mod bring_home;
mod fresh;
mod hand_over;
mod read;
mod send;
mod variant;

pub(super) use self::{bring_home::bring_home, read::FoundRecord};
pub(crate) use self::{fresh::FreshRecord, hand_over::WORTH_A_FLUSH, variant::CachedList};

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    clock::{Expiry, Lifetime, Timestamp},
    codec::Payload,
    error::{Error, ErrorKind, Result},
    flight::{Claim, FlightKey, Words},
    key::Digest,
    remote::Lease,
    stats::{Reason, Usage},
    store::{
        blob::{self, PayloadWriter},
        forgetting::Forgetting,
        generation::{Bounds, Tally},
        session::Session,
        worker::{Adopter, Directory, KeepInMemory, OfVariant, Place, Registration, Request},
    },
    variants::Variants,
};

pub(crate) struct Partition {
    pub(super) session: Arc<Session>,
    /// `None` in a store without a worker.
    pub(super) directory: Option<Arc<Directory>>,
    pub(super) memo: Arc<Registration>,
    /// For values of this memo that cannot be written.
    pub(crate) keep_in_memory: KeepInMemory,
    /// Under which it was opened.
    pub(super) bounds: Bounds,
    pub(super) adopter: Adopter,
}

/// The outcome of a look at the disk.
pub(crate) enum Found {
    Item(Item),
    /// The key has variants: their list, and when it was found.
    Variants(Box<FoundVariants>),
    Missing(Reason),
    /// There was something, but not the bytes that had been written.
    Damaged(Error),
}

/// Whether the index has something for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contained {
    Yes,
    No,
    /// A list of variants.
    Variants,
}

/// The variant list of a key, as it was read.
pub(crate) struct FoundVariants {
    pub(crate) list: Arc<Variants>,
    pub(crate) lifetime: Lifetime,
    /// In bytes.
    pub(crate) size: u64,
}

/// One entry that was read back whole.
pub(crate) struct Item {
    /// Verified as far as it is looked at.
    pub(crate) payload: Payload,
    /// The file that it lies in, when it has one of its own.
    pub(crate) file: Option<PathBuf>,
    pub(crate) lifetime: Lifetime,
    pub(crate) compute_time: Duration,
    /// That of its record; 0 on its way to the index.
    pub(crate) sequence: u64,
    /// When it was found to be of use.
    pub(crate) now: Timestamp,
}

/// Whether a stale value may be refreshed by this process.
pub(crate) enum RefreshTurn {
    Lead,
    /// Another caller leads.
    Led,
    /// There is another value by now.
    Newer(Found),
    /// This process hosts the store by now: the call begins anew.
    Here,
}

impl Item {
    /// The damage that showed when the payload was looked at.
    pub(crate) fn damage(&self) -> Option<Error> {
        let path = self.file.as_deref().unwrap_or(Path::new(""));
        self.payload.is_damaged().then(|| blob::damaged(path, "its payload"))
    }
}

/// When an [`insert`](crate::Memo::insert) returns: see [`MemoBuilder::durability`](crate::MemoBuilder::durability).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// When the value survives the end of the process.
    #[default]
    Immediate,
    /// When the value was handed to the store. It survives the end of the process 200 ms later, or after a
    /// [`flush`](crate::Memo::flush).
    Soon,
}

/// Everything that is put beside a payload.
pub(crate) struct Entry {
    pub(crate) digest: Digest,
    pub(crate) key_head: Vec<u8>,
    /// How long it is fresh, if that is its own. With zero it is stale from the beginning.
    pub(crate) ttl: Option<Duration>,
    /// Whether it takes the place of a value that was found, stale or refused.
    pub(crate) replaces: bool,
    pub(crate) compute_time: Duration,
    /// Of a value that comes from a server: how long ago it was created.
    pub(crate) age: Option<Duration>,
    /// Under which it goes to a server first.
    pub(crate) lease: Option<Box<Lease>>,
    /// If it is computed from tracked inputs. The digest is that of its claim then.
    pub(crate) variant: Option<Box<OfVariant>>,
}

/// Why a computed value was not handed over.
pub(crate) enum Refused {
    /// The queue had no room in time.
    Full(Unsent),
    Failed(Error, Unsent),
    /// It was handed over, and its entry could not be written, or not in time. It is kept in memory.
    Unwritten(Error),
}

/// What is left of a value that was not handed over.
pub(crate) struct Unsent {
    pub(crate) claim: Claim<'static>,
    pub(crate) variant: Option<Box<OfVariant>>,
}

impl Partition {
    /// The entries of a memo that a guest has open.
    pub(crate) fn of_guest(
        session: &Arc<Session>,
        directory: &Arc<Directory>,
        memo: &Arc<Registration>,
        bounds: Bounds,
    ) -> Self {
        Self {
            session: Arc::clone(session),
            directory: Some(Arc::clone(directory)),
            memo: Arc::clone(memo),
            // The values of a guest are decoded by nobody here.
            keep_in_memory: Arc::new(|_, _, _, _| false),
            bounds,
            adopter: Adopter::fresh(),
        }
    }

    pub(crate) fn registration(&self) -> Arc<Registration> {
        Arc::clone(&self.memo)
    }

    pub(crate) fn adopter(&self) -> Adopter {
        self.adopter
    }

    pub(crate) fn flight_key(&self, digest: &Digest) -> FlightKey {
        self.memo.flight_key(digest)
    }

    /// Whether no change of the key, or of the whole memo, came since a guest noted the words.
    pub(crate) fn is_unchanged(&self, digest: &Digest, noted: Words) -> bool {
        let epochs = self.directory.as_ref().and_then(|directory| directory.sharing.epochs());
        epochs.is_none_or(|epochs| epochs.note(&self.memo.generation.0, digest).words() == noted)
    }

    pub(crate) fn owner(&self) -> u64 {
        self.memo.owner
    }

    /// The folder in which a payload file is begun; `None` in memory.
    ///
    /// # Errors
    ///
    /// Why nothing can be stored now.
    pub(crate) fn room(&self) -> Result<Option<&Path>> {
        let directory = self.directory()?;
        directory.check_writable()?;
        Ok(directory.place.as_ref().map(Place::trash))
    }

    fn directory(&self) -> Result<&Arc<Directory>> {
        self.directory.as_ref().ok_or_else(without_worker)
    }

    /// A payload to be encoded into. Without a room it stays in memory.
    pub(crate) fn draft<'a>(
        &'a self,
        room: Option<&'a Path>,
        limit: u64,
        key_head: &'a [u8],
    ) -> PayloadWriter<'a> {
        let faults = self.directory.as_ref().map(|directory| directory.tuning.faults.clone());
        PayloadWriter::new(room, limit, &self.memo.memo, key_head, faults.unwrap_or_default())
    }

    /// The largest payload that can be stored at all.
    pub(crate) fn limit(&self, bounds: &Bounds) -> u64 {
        let of_store = self.session.max_bytes.unwrap_or(u64::MAX);
        bounds.max_bytes.unwrap_or(u64::MAX).min(of_store)
    }

    /// Whether the index, or a value on its way there, was fresh.
    pub(crate) fn remove(&self, digest: &Digest, expiry: Expiry) -> Result<bool> {
        let Some(directory) = &self.directory else {
            self.in_memory().forget_key(self.owner(), digest);
            self.session.settle();
            return Ok(false);
        };
        let is_pending = matches!(self.pending(directory, digest, expiry), Ok(Some(Found::Item(_))));
        let (memo, digest) = (Arc::clone(&self.memo), *digest);
        let removed = directory.ask(|reply| Request::Remove { memo, digest, reply });
        self.forget_own(&digest);
        self.session.settle();
        removed.map(|was_fresh| was_fresh || is_pending)
    }

    pub(crate) fn clear(&self) -> Result<()> {
        let Some(directory) = &self.directory else {
            self.in_memory().forget_owner(self.owner());
            self.session.settle();
            return Ok(());
        };
        let memo = Arc::clone(&self.memo);
        let cleared = directory.ask(|reply| Request::Clear { memo, reply });
        if self.is_guest() {
            self.in_memory().forget_owner(self.owner());
        }
        self.session.settle();
        cleared
    }

    fn in_memory(&self) -> Forgetting<'_> {
        Forgetting { pending: None, session: &self.session }
    }

    /// Whether the entry of the key left for room a short while ago. Only the process that hosts the store knows.
    pub(crate) fn was_evicted(&self, digest: &Digest) -> bool {
        self.directory
            .as_ref()
            .is_some_and(|directory| directory.evicted.contains(self.memo.number(), digest))
    }

    /// Fresh entries and their bytes, within the bounds also when an unclean end left them uncounted.
    pub(crate) fn count(&self) -> Result<Tally> {
        let Some(directory) = &self.directory else { return Ok(Tally::default()) };
        count(directory, &self.session, Some(&self.memo))
    }

    /// The same, and the size of the memo's payload files.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let Tally { entries, bytes, .. } = self.count()?;
        let place = self.directory.as_ref().and_then(|directory| directory.place.as_ref());
        let blobs = place.map(|place| place.blobs_of(self.memo.generation));
        let disk_bytes = blobs.map_or(Ok(0), |blobs| blob::disk_size(&blobs))?;
        Ok(Usage { entries, bytes, disk_bytes })
    }

    /// Waits until everything that was handed over so far was applied, and its events told.
    pub(crate) fn catch_up(&self) {
        if let Some(directory) = &self.directory {
            directory.catch_up();
        }
        self.session.settle();
    }

    pub(crate) fn flush(&self) -> Result<()> {
        flush(self.directory.as_ref(), &self.session)
    }

    /// The words of EPOCHS for a key, while another process hosts the store: to be noted before a claim of this process does or
    /// reads anything.
    pub(crate) fn words(&self, digest: &Digest) -> Option<Words> {
        self.directory.as_ref().and_then(|directory| directory.sharing.words(&self.memo, digest))
    }

    /// Whether no change of another process came since the words were noted.
    pub(crate) fn is_current(&self, digest: &Digest, noted: Option<Words>) -> bool {
        noted.is_none()
            || self
                .directory
                .as_ref()
                .is_none_or(|directory| directory.sharing.is_current(&self.memo, digest, noted))
    }

    /// An entry was read.
    pub(crate) fn mark_used(&self, digest: &Digest) {
        if let Some(marks) = self.memo.used_marks() {
            marks.mark(digest);
        }
    }

    /// Whether no guest of an earlier host may still say that it computes a key.
    pub(crate) fn may_lead(&self) -> bool {
        self.directory.as_ref().is_none_or(|directory| directory.sharing.may_lead())
    }

    /// Waits until the guests of an earlier host have said what they compute, if there may be any.
    pub(crate) fn await_guests(&self) {
        if let Some(directory) = &self.directory {
            directory.sharing.await_guests();
        }
    }

    /// Whether a look has to wait until the engine is opened anew.
    pub(crate) fn is_to_reopen(&self) -> bool {
        self.directory.as_ref().is_some_and(|directory| directory.is_to_reopen())
    }

    /// Whether another process hosts the store.
    pub(crate) fn is_guest(&self) -> bool {
        self.directory.as_ref().is_some_and(|directory| directory.sharing.host().is_some())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.session.is_closed() || self.directory.as_ref().is_some_and(|directory| directory.is_closed())
    }

    /// The memo was dropped: its entries in memory and its claims have no owner any more.
    pub(crate) fn release(&self) {
        if self.session.is_inherited() {
            return;
        }
        self.session.release(self.session.memory.remove_owner(self.owner()));
        if let Some(directory) = &self.directory {
            directory.sharing.note_closed(self.adopter);
            let _ = directory.send(Request::Disown { memo: Arc::clone(&self.memo), adopter: self.adopter });
        }
    }
}

/// Makes everything that was acknowledged survive the process.
pub(super) fn flush(directory: Option<&Arc<Directory>>, session: &Session) -> Result<()> {
    session.check_origin()?;
    let Some(directory) = directory else { return Ok(()) };
    let flushed = directory.ask(|reply| Request::Flush { reply });
    session.settle();
    flushed
}

/// Fresh entries of a memo's generation, or of the whole store, and their bytes.
pub(super) fn count(
    directory: &Directory,
    session: &Session,
    memo: Option<&Arc<Registration>>,
) -> Result<Tally> {
    session.check_origin()?;
    let memo = memo.cloned();
    let counted = directory.ask(|reply| Request::Count { memo, reply });
    session.settle();
    counted
}

fn without_worker() -> Error {
    Error::new(ErrorKind::Closed, "the store has no threads, values are kept in the memory tier only")
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed: open it again")
}
