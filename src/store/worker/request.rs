//! Requests: every change of a store's directory, and the questions that only its worker can answer.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{hand_overs::HandOvers, used::UsedMarks};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    flight::{Claim, FlightKey, fresh_owner},
    key::Digest,
    readings::Readings,
    record::{Body, Record},
    stats::{Counters, Stats},
    store::{
        blob::{self, Finished},
        engine::Bytes,
        generation::{Bounds, CatalogRow, GenerationId, Number, Tally},
        pending::PendingValue,
    },
    sync::{Mutex, lock},
};

/// Where the worker sends the outcome of a request. A reply that was asked for after a flush comes after the flush.
pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// Called at the end of a round, with the outcome of its flush.
pub(super) type Acknowledgement = Box<dyn FnOnce(&Result<()>) + Send>;

/// The entries and files that [`Store::sweep`](crate::Store::sweep) took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Entries whose time to live was over.
    pub expired: u64,
    /// Entries of retired generations: of versions, shapes or codecs that another took the place of.
    pub retired: u64,
    /// Payload files that belonged to no entry.
    pub orphaned: u64,
    /// The size of all of these, in bytes.
    pub bytes: u64,
}

pub(crate) enum Request {
    Put(Put),
    /// Removes the entry of a key. The reply says whether it was fresh.
    Remove {
        memo: Arc<Registration>,
        digest: Digest,
        reply: Reply<bool>,
    },
    /// Removes the entry of a key of a generation that this process may not have open. One that was created at `unless_since` or
    /// later stays.
    RemoveOf {
        generation: GenerationId,
        digest: Digest,
        unless_since: Option<Timestamp>,
        reply: Reply<()>,
    },
    /// Removes all entries of a generation that this process may not have open.
    ClearOf {
        generation: GenerationId,
        reply: Reply<()>,
    },
    /// Removes all entries of a generation.
    Clear {
        memo: Arc<Registration>,
        reply: Reply<()>,
    },
    /// Removes all entries of all generations of a memo, or of every memo. The reply says whether there was one.
    Forget {
        name: Option<String>,
        reply: Reply<bool>,
    },
    /// A memo is opened, by this process or by a guest. A generation may be open several times.
    Adopt {
        memo: Arc<Registration>,
        row: CatalogRow,
        bounds: Bounds,
        adopter: Adopter,
        reply: Reply<()>,
    },
    /// One of those that had a memo open dropped it.
    Disown {
        memo: Arc<Registration>,
        adopter: Adopter,
    },
    /// The record of a key, read between two changes.
    Read {
        memo: Arc<Registration>,
        digest: Digest,
        reply: Reply<Option<Bytes>>,
    },
    /// Counts the fresh entries of a memo's generation, or of the whole store.
    Count {
        memo: Option<Arc<Registration>>,
        reply: Reply<Tally>,
    },
    /// The counters of all runs.
    Totals {
        reply: Reply<Stats>,
    },
    /// The names of all memos.
    Names {
        reply: Reply<Vec<String>>,
    },
    /// Makes everything so far survive the process.
    Flush {
        reply: Reply<()>,
    },
    /// Replies when everything before it was applied.
    Barrier {
        reply: Reply<()>,
    },
    /// Removes entries, generations and files that are of no use, and makes the index smaller.
    Sweep {
        reply: Reply<Swept>,
    },
    /// The bound of a memo, or of the store, may be exceeded at its open. The reply comes when it holds.
    MakeRoom {
        name: Option<String>,
        reply: Reply<()>,
    },
    Close {
        reply: Reply<()>,
    },
}

/// One that has a memo open: a memo of this process, or of a guest. Unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Adopter(u64);

impl Adopter {
    pub(crate) fn fresh() -> Self {
        Self(fresh_owner())
    }
}

/// An open generation, as the worker knows it: one for all that have it open, in this process or as guests.
pub(crate) struct Registration {
    pub(crate) memo: Arc<str>,
    /// Name, key type and value type, for the front of every error.
    pub(crate) place: Arc<str>,
    pub(crate) generation: GenerationId,
    /// The owner of the memo's entries in memory and of its claims. Unique in the process.
    pub(crate) owner: u64,
    pub(crate) counters: Arc<Counters>,
    /// Those that were not applied yet.
    pub(crate) hand_overs: HandOvers,
    /// Of the generation. 0 until the worker has adopted the memo. Only the worker changes it.
    number: AtomicU32,
    /// Where entries that were read are spared.
    used: OnceLock<UsedMarks>,
    /// The numbers of other generations of the memo: an entry of one of these makes a miss *outdated*.
    siblings: Mutex<Arc<[Number]>>,
}

/// Takes a value into the memory tier that could not be stored, unless its claim was revoked meanwhile. Whether it was kept.
/// It runs code of the user.
pub(crate) type KeepInMemory =
    Arc<dyn Fn(&Digest, &PendingValue, Option<&OfVariant>, &Claim<'_>) -> bool + Send + Sync>;

impl Registration {
    pub(crate) fn new(
        memo: Arc<str>,
        place: Arc<str>,
        generation: GenerationId,
        owner: u64,
        counters: Arc<Counters>,
    ) -> Self {
        let (number, siblings) = (AtomicU32::new(0), Mutex::new(Arc::from([])));
        let (hand_overs, used) = (HandOvers::default(), OnceLock::new());
        Self { memo, place, generation, owner, counters, hand_overs, number, used, siblings }
    }

    pub(crate) fn number(&self) -> Number {
        Number(self.number.load(Ordering::Acquire))
    }

    pub(super) fn set_number(&self, number: Number) {
        self.number.store(number.0, Ordering::Release);
    }

    /// Reads are noted from here on.
    pub(super) fn mark_used(&self) {
        self.used.get_or_init(UsedMarks::default);
    }

    pub(crate) fn used_marks(&self) -> Option<&UsedMarks> {
        self.used.get()
    }

    pub(crate) fn siblings(&self) -> Arc<[Number]> {
        Arc::clone(&lock(&self.siblings))
    }

    pub(super) fn set_siblings(&self, siblings: Arc<[Number]>) {
        *lock(&self.siblings) = siblings;
    }

    pub(crate) fn flight_key(&self, digest: &Digest) -> FlightKey {
        FlightKey { owner: self.owner, digest: *digest.as_bytes() }
    }

    /// Counts a failure of this memo.
    pub(crate) fn failed(&self, error: &Error) -> Error {
        let error = error.clone().with_context(&self.place);
        self.counters.failed(&error);
        error
    }
}

/// An entry to be put in.
pub(crate) struct Put {
    pub(crate) memo: Arc<Registration>,
    pub(crate) digest: Digest,
    pub(crate) key_head: Vec<u8>,
    pub(crate) value: Arc<PendingValue>,
    /// Of a value that comes from a server: how long ago it was created.
    pub(crate) age: Option<Duration>,
    /// `None` for a value that was inserted.
    pub(crate) computed: Option<Computed>,
    /// With the value of a variant: the list that names it.
    pub(crate) list: Option<Box<ListPut>>,
    /// For a caller that waits until the entry survives the process.
    pub(crate) reply: Option<Reply<()>>,
    /// On its way to the process that hosts the store, the digest is that of the key, and the value becomes a variant there.
    pub(crate) variant: Option<Box<OfVariant>>,
}

/// Whether a value, and a list, took the place of something else.
#[derive(Clone, Copy)]
pub(super) struct Replaced {
    pub(super) value: bool,
    pub(super) list: bool,
}

/// The list of a key's variants, the newest of which is the value that it comes with.
pub(crate) struct ListPut {
    pub(crate) key: Digest,
    pub(crate) value: Arc<PendingValue>,
}

/// What the value of a variant has beside another one.
pub(crate) struct OfVariant {
    /// Of the key, under which its variant list stands.
    pub(crate) key: Digest,
    /// The inputs that it was computed from. They are storable.
    pub(crate) readings: Readings,
    /// On the key, if the claim of the computation is on a variant.
    pub(crate) guard: Option<Claim<'static>>,
}

/// What a computed value has beside one that was inserted.
pub(crate) struct Computed {
    /// Under which the value was computed. A revoked one is not put.
    pub(crate) claim: Claim<'static>,
    /// For a value that cannot be written.
    pub(crate) keep_in_memory: KeepInMemory,
    /// Whether it takes the place of a value that was there.
    pub(crate) replaces: bool,
}

impl Computed {
    /// The waiters of this process find the value.
    pub(crate) fn detach(self) -> Self {
        Self { claim: self.claim.detach(), ..self }
    }
}

impl Put {
    /// The bytes of memory that it takes while it waits.
    pub(super) fn queued_bytes(&self) -> u64 {
        let payload = self.value.payload.length();
        let list = self.list.as_ref().map_or(0, |list| list.value.payload.length());
        (payload + list + self.key_head.len() + size_of::<Request>()) as u64
    }

    /// Another process has the value: its draft is no longer this one's, and the claim there is at its end.
    pub(crate) fn has_arrived(&mut self) {
        if let Some(computed) = &mut self.computed {
            computed.claim.surrender();
        }
        if let Finished::Blob(blob) = &self.value.payload {
            blob.give_away();
        }
    }

    pub(super) fn has_file(&self) -> bool {
        self.file_bytes() > 0
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.value.payload.file_bytes()
    }
}

/// What an entry counts: its record, and its payload file.
pub(super) fn record_size(record: &Record<'_>, length: usize, memo: &str) -> u64 {
    let blob = match record.body {
        Body::Inline(_) | Body::Variants(_) => 0,
        Body::Blob { length, .. } => blob::size(memo, record.key_head, length),
    };
    length as u64 + blob
}
