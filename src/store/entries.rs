//! A walk over the entries of a memo, in stretches, on the thread of the caller.

use std::{
    collections::VecDeque,
    fmt,
    iter::FusedIterator,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    clock::{Expiry, Timestamp},
    error::Result,
    key::{Digest, KeyText},
    record::Record,
    store::{
        engine::Bytes,
        generation::Number,
        partition::{Partition, closed},
        session::Session,
        worker::{Directory, OrderRow, Registration, Stretch},
    },
};

/// The number of entries that are read in one stretch, about a tenth of a millisecond.
const STRETCH: usize = 64;

/// The bytes of records after which a stretch ends: it is sent to another process in one message.
const STRETCH_BYTES: usize = 64 << 10;

/// One entry of a memo, from [`Memo::entries`](crate::Memo::entries).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// The key as text, as [`KeyText`](crate::observe::KeyText) writes it: its first kilobyte, and `…` where it is cut.
    /// Empty with [`private_keys`](crate::MemoBuilder::private_keys).
    pub key: String,
    /// When the value was stored.
    pub created: SystemTime,
    /// When it expires, by its own ttl or else by that of the memo today; `None` without one.
    pub expires: Option<SystemTime>,
    /// The bytes that count for [`max_bytes`](crate::MemoBuilder::max_bytes).
    pub bytes: u64,
    /// How long its computation took; zero for a value that was inserted.
    pub compute_time: Duration,
}

/// The entries of a memo, the oldest first: see [`Memo::entries`](crate::Memo::entries).
pub struct Entries {
    session: Arc<Session>,
    /// `None` in a store without a worker, and at the end.
    directory: Option<Arc<Directory>>,
    memo: Arc<Registration>,
    expiry: Expiry,
    /// The sequence that was looked at last; `None` before the first stretch.
    seen: Option<u64>,
    /// The entries of the last stretch that were not given yet.
    ahead: VecDeque<EntryInfo>,
}

impl Partition {
    /// A stretch of the entries behind a sequence, for another process.
    pub(crate) fn stretch(&self, after: Option<u64>) -> Result<Stretch> {
        let directory = self.directory.as_ref().ok_or_else(closed)?;
        read_stretch(directory, &self.memo, after)
    }

    /// A walk over the fresh entries, and over those that come while it goes on.
    pub(crate) fn entries(&self, expiry: Expiry) -> Entries {
        self.catch_up();
        Entries {
            session: Arc::clone(&self.session),
            directory: self.directory.clone(),
            memo: Arc::clone(&self.memo),
            expiry,
            seen: None,
            ahead: VecDeque::new(),
        }
    }
}

impl Entries {
    /// Reads the next stretch. `false` at the end.
    fn read_ahead(&mut self, directory: &Directory) -> Result<bool> {
        if self.session.is_closed() {
            return Err(closed());
        }
        let elsewhere = directory.sharing.host().map(|host| host.walk(&self.memo, self.seen)).transpose()?;
        let Stretch { rows, next } = match elsewhere.flatten() {
            Some(stretch) => stretch,
            None => read_stretch(directory, &self.memo, self.seen)?,
        };
        for (size, digest, record) in &rows {
            self.ahead.extend(self.entry(*size, digest, record));
        }
        self.seen = next.or(self.seen);
        Ok(next.is_some())
    }

    /// `None` for an entry that is damaged or has expired.
    fn entry(&self, bytes: u64, digest: &Digest, record: &[u8]) -> Option<EntryInfo> {
        let record = Record::decode(record, digest)?;
        if record.lifetime.is_over(self.session.clock.now(), self.expiry) {
            return None;
        }
        let expires = record.lifetime.fresh_until(self.expiry);
        Some(EntryInfo {
            key: KeyText::of(record.key_head).map(|key| key.to_string()).unwrap_or_default(),
            created: record.lifetime.created.into(),
            expires: (expires != Timestamp::NEVER).then(|| expires.into()),
            bytes,
            compute_time: record.compute_time,
        })
    }
}

/// The next entries behind a sequence. The engine is held for the stretch only, so that a close does not wait for a walk.
fn read_stretch(directory: &Directory, memo: &Registration, after: Option<u64>) -> Result<Stretch> {
    let (engine, number) = (directory.reader()?, memo.number());
    let after = after.map(|sequence| number.order_key(sequence));
    let rows = engine.order.rows(&number.prefix(), after.as_ref().map(<[u8; 12]>::as_slice), STRETCH);
    let (mut stretch, mut size) = (Stretch { rows: Vec::new(), next: None }, 0);
    for (key, value) in directory.observe(&engine, rows)? {
        stretch.next = Some(Number::sequence_of_order_key(&key));
        let Some(row) = OrderRow::decode(&key, &value) else { continue };
        let record = directory.observe(&engine, engine.records.get(&number.record_key(&row.digest)))?;
        let is_of_row = |bytes: &Bytes| {
            Record::decode(bytes, &row.digest).is_some_and(|record| record.sequence == row.sequence)
        };
        // Else it was replaced: its own row comes later.
        if let Some(record) = record.filter(|record| !row.is_list && is_of_row(record)) {
            size += record.len();
            stretch.rows.push((row.size, row.digest, record));
        }
        if size > STRETCH_BYTES {
            break;
        }
    }
    Ok(stretch)
}

impl Iterator for Entries {
    type Item = Result<EntryInfo>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ahead.is_empty() {
            let directory = self.directory.take()?;
            match self.read_ahead(&directory) {
                Ok(true) => self.directory = Some(directory),
                Ok(false) => return None,
                Err(error) => return Some(Err(error.with_context(&self.memo.place))),
            }
        }
        self.ahead.pop_front().map(Ok)
    }
}

impl FusedIterator for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("memo", &self.memo.place).finish_non_exhaustive()
    }
}
