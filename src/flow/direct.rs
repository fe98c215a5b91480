//! The operations without a closure. They return their errors.

use std::time::Duration;

use super::{MemoInner, terms::ThreadTerms};
use crate::{
    clock::Expiry,
    error::{Error, ErrorKind, Result},
    flight::flight,
    key::Digest,
    stats::{Stats, Usage},
    store::{Durability, Entries, Entry},
};

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// By which a stale entry counts as gone.
    fn fresh_only(&self, digest: &Digest) -> Expiry {
        self.expiry(digest).without_stale()
    }

    /// The value of the key, if there is one. It waits for no computation.
    pub(crate) fn get(&self, digest: &Digest) -> Result<Option<V>> {
        self.check_open()?;
        if self.is_disabled {
            return Ok(None);
        }
        let (expiry, terms) = (self.fresh_only(digest), ThreadTerms::default());
        let look = if let Some(hit) = self.in_memory_under(digest, expiry, &terms) {
            Ok(hit)
        } else {
            let mut claim = flight().register_reader(self.flight_key(digest));
            claim.note(self.partition.words(digest));
            self.read(digest, expiry, &claim, &terms).map_err(|error| error.with_context(&self.place))?
        };
        match look {
            Ok(hit) => {
                self.record_hit(&hit);
                Ok(Some(hit.value))
            }
            Err(reason) => {
                self.record_miss(reason);
                Ok(None)
            }
        }
    }

    pub(crate) fn insert(&self, digest: &Digest, key_head: Vec<u8>, value: &V) -> Result<()> {
        let ttl = None;
        self.check_open()?;
        let limit = self.partition.limit(&self.bounds);
        let payload = self
            .encode(value, limit, &key_head, Duration::ZERO)
            .map_err(|error| error.with_context(&self.place))?;
        let compute_time = Duration::ZERO;
        let entry = Entry { digest: *digest, key_head, ttl, replaces: true, compute_time };
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
        let was_on_disk = self.partition.remove(digest, self.fresh_only(digest));
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
        self.partition
            .contains(digest, self.fresh_only(digest))
            .map_err(|error| error.with_context(&self.place))
    }

    fn is_in_memory(&self, digest: &Digest) -> bool {
        let cached = self.cached(digest);
        let lifetime = cached.as_ref().map(|cached| cached.lifetime);
        self.session().release(cached);
        lifetime
            .is_some_and(|lifetime| !lifetime.is_over(self.session().clock.now(), self.fresh_only(digest)))
    }

    pub(crate) fn clear(&self) -> Result<()> {
        self.check_open()?;
        self.partition.clear().map_err(|error| error.with_context(&self.place))
    }

    pub(crate) fn flush(&self) -> Result<()> {
        self.partition.flush().map_err(|error| error.with_context(&self.place))
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
        Ok(self.partition.entries(self.bounds.expiry().without_stale()))
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
