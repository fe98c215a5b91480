//! The operations without a closure. They return their errors.

use std::time::Duration;

use super::MemoInner;
use crate::{
    error::{Error, ErrorKind, Result},
    flight::flight,
    key::Digest,
    stats::{Stats, Usage},
    store::{Durability, Entries, Entry},
};

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// The value of the key, if there is one. It waits for no computation.
    pub(crate) fn get(&self, digest: &Digest) -> Result<Option<V>> {
        self.check_open()?;
        if self.is_disabled {
            return Ok(None);
        }
        let look = if let Some(hit) = self.in_memory(digest) {
            Ok(hit)
        } else {
            let mut claim = flight().register_reader(self.flight_key(digest));
            claim.note(self.partition.words(digest));
            self.read(digest, &claim).map_err(|error| error.with_context(&self.place))?
        };
        match look {
            Ok(hit) => Ok(Some(self.record_hit(hit))),
            Err(reason) => {
                self.record_miss(reason);
                Ok(None)
            }
        }
    }

    pub(crate) fn insert(&self, digest: &Digest, key_head: Vec<u8>, value: &V) -> Result<()> {
        self.check_open()?;
        let limit = self.partition.limit(&self.bounds);
        let payload = self
            .encode(value, limit, &key_head, Duration::ZERO)
            .map_err(|error| error.with_context(&self.place))?;
        let entry = Entry { digest: *digest, key_head, ttl: self.bounds.ttl, compute_time: Duration::ZERO };
        let inserted = match self.durability {
            Durability::Soon => self.partition.insert_soon(entry, payload, limit),
            Durability::Immediate => self.partition.insert(entry, payload, limit),
        };
        inserted.map_err(|error| error.with_context(&self.place))?;
        self.counters.inserted();
        Ok(())
    }

    pub(crate) fn remove(&self, digest: &Digest) -> Result<bool> {
        self.check_open()?;
        let is_in_memory = self.is_in_memory(digest);
        let was_on_disk = self.partition.remove(digest, self.bounds.ttl);
        was_on_disk
            .map(|was_on_disk| was_on_disk || is_in_memory)
            .map_err(|error| error.with_context(&self.place))
    }

    pub(crate) fn contains(&self, digest: &Digest) -> Result<bool> {
        self.check_open()?;
        if self.is_disabled {
            return Ok(false);
        }
        if self.is_in_memory(digest) {
            return Ok(true);
        }
        self.partition.contains(digest, self.bounds.ttl).map_err(|error| error.with_context(&self.place))
    }

    fn is_in_memory(&self, digest: &Digest) -> bool {
        let cached = self.cached(digest);
        let lifetime = cached.as_ref().map(|cached| cached.lifetime);
        self.session().release(cached);
        lifetime.is_some_and(|lifetime| !lifetime.is_over(self.session().clock.now(), self.bounds.ttl))
    }

    pub(crate) fn clear(&self) -> Result<()> {
        self.check_open()?;
        self.partition.clear().map_err(|error| error.with_context(&self.place))
    }

    fn check_open(&self) -> Result<()> {
        self.session().check_origin().map_err(|error| error.with_context(&self.place))?;
        if self.partition.is_closed() {
            return Err(
                Error::new(ErrorKind::Closed, "the store is closed: open it again").with_context(&self.place)
            );
        }
        Ok(())
    }

    pub(crate) fn stats(&self) -> Stats {
        if self.session().is_inherited() {
            return Stats::default();
        }
        self.counters.snapshot()
    }

    pub(crate) fn entries(&self) -> Result<Entries> {
        self.check_open()?;
        Ok(self.partition.entries(self.bounds.ttl))
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        self.check_open()?;
        self.partition.usage().map_err(|error| error.with_context(&self.place))
    }

    pub(crate) fn len(&self) -> Result<usize> {
        self.check_open()?;
        let tally = self.partition.count().map_err(|error| error.with_context(&self.place))?;
        Ok(usize::try_from(tally.entries).unwrap_or(usize::MAX))
    }
}
