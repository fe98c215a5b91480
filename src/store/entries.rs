//! A walk over the entries of a memo, in stretches, on the thread of the caller.

use std::{
    collections::VecDeque,
    fmt,
    iter::FusedIterator,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    clock::Timestamp,
    error::Result,
    key::KeyText,
    record::Record,
    store::{
        engine::Engine,
        generation::Number,
        partition::{Partition, closed},
        session::Session,
        worker::{Directory, OrderRow, Registration},
    },
};

/// The number of entries that are read in one stretch, about a tenth of a millisecond.
const STRETCH: usize = 64;

/// One entry of a memo, from [`Memo::entries`](crate::Memo::entries).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// The key as text, as [`KeyText`](crate::observe::KeyText) writes it: its first kilobyte, and `…` where it is cut.
    /// Empty with [`private_keys`](crate::MemoBuilder::private_keys).
    pub key: String,
    /// When the value was stored.
    pub created: SystemTime,
    /// When it expires by the ttl of today; `None` without one.
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
    ttl: Option<Duration>,
    /// The sequence that was looked at last; `None` before the first stretch.
    seen: Option<u64>,
    /// The entries of the last stretch that were not given yet.
    ahead: VecDeque<EntryInfo>,
}

impl Partition {
    /// A walk over the fresh entries, and over those that come while it goes on.
    pub(crate) fn entries(&self, ttl: Option<Duration>) -> Entries {
        self.catch_up();
        Entries {
            session: Arc::clone(&self.session),
            directory: self.directory.clone(),
            memo: Arc::clone(&self.memo),
            ttl,
            seen: None,
            ahead: VecDeque::new(),
        }
    }
}

impl Entries {
    /// Reads the next stretch. `false` at the end. The engine is held for the stretch only, so that a close does not wait for
    /// a walk.
    fn read_ahead(&mut self, directory: &Directory) -> Result<bool> {
        if self.session.is_closed() {
            return Err(closed());
        }
        let (engine, number) = (directory.reader()?, self.memo.number());
        let after = self.seen.map(|sequence| number.order_key(sequence));
        let rows = engine.order.rows(&number.prefix(), after.as_ref().map(<[u8; 12]>::as_slice), STRETCH);
        let rows = directory.observe(&engine, rows)?;
        for (key, value) in &rows {
            self.seen = Some(Number::sequence_of_order_key(key));
            if let Some(row) = OrderRow::decode(key, value) {
                self.ahead.extend(self.entry(directory, &engine, number, &row)?);
            }
        }
        Ok(!rows.is_empty())
    }

    /// `None` for a row whose entry was replaced, is damaged or has expired.
    fn entry(
        &self,
        directory: &Directory,
        engine: &Arc<Engine>,
        number: Number,
        row: &OrderRow,
    ) -> Result<Option<EntryInfo>> {
        let bytes = engine.records.get(&number.record_key(&row.digest));
        let Some(bytes) = directory.observe(engine, bytes)? else { return Ok(None) };
        let now = self.session.clock.now();
        let whole = Record::decode(&bytes, &row.digest)
            .filter(|record| record.sequence == row.sequence && !record.lifetime.is_over(now, self.ttl));
        Ok(whole.map(|record| {
            let lifetime = record.lifetime.under(self.ttl);
            EntryInfo {
                key: KeyText::of(record.key_head).map(|key| key.to_string()).unwrap_or_default(),
                created: lifetime.created.into(),
                expires: (lifetime.expires != Timestamp::NEVER).then(|| lifetime.expires.into()),
                bytes: row.size,
                compute_time: record.compute_time,
            }
        }))
    }
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
