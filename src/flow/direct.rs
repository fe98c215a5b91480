//! What has no closure to fall back on, and so returns what went wrong.

use std::time::Duration;

use super::Inner;
use crate::{
    error::{Error, Kind, Result},
    flight::flight,
    key::Digest,
    stats::Stats,
    store::{Calls, Entry},
};

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    /// The value of the key, if there is one; nobody is waited for.
    pub(crate) fn get(&self, digest: &Digest) -> Result<Option<V>> {
        self.check_open()?;
        let look = if let Some(seen) = self.in_memory(digest) {
            Ok(seen)
        } else {
            let claim = flight().attend(self.seat(digest));
            self.read(digest, &claim).map_err(|error| error.at(&self.place))?
        };
        match look {
            Ok(seen) => Ok(Some(self.hit(seen))),
            Err(reason) => {
                self.missed(reason);
                Ok(None)
            }
        }
    }

    pub(crate) fn insert(&self, digest: &Digest, key_head: &[u8], value: &V) -> Result<()> {
        self.check_open()?;
        let entry = Entry { digest, key_head, ttl: self.bounds.ttl, compute_time: Duration::ZERO };
        self.put(&entry, value, None, true).map(|_| ()).map_err(|error| error.at(&self.place))
    }

    pub(crate) fn remove(&self, digest: &Digest) -> Result<bool> {
        self.check_open()?;
        let present = self.is_in_memory(digest)
            || self.shelf.contains(digest, self.bounds.ttl, Calls::Aside).unwrap_or(false);
        self.shelf.remove(digest).map_err(|error| error.at(&self.place))?;
        Ok(present)
    }

    pub(crate) fn contains(&self, digest: &Digest) -> Result<bool> {
        self.check_open()?;
        if self.is_in_memory(digest) {
            return Ok(true);
        }
        self.shelf.contains(digest, self.bounds.ttl, Calls::Here).map_err(|error| error.at(&self.place))
    }

    fn is_in_memory(&self, digest: &Digest) -> bool {
        let held = self.core().memory.get(self.shelf.owner(), digest);
        let lifetime = held.as_ref().map(|held| held.lifetime);
        self.core().release(held);
        lifetime.is_some_and(|lifetime| !lifetime.is_over(self.core().clock.now(), self.bounds.ttl))
    }

    pub(crate) fn clear(&self) -> Result<()> {
        self.check_open()?;
        self.shelf.clear().map_err(|error| error.at(&self.place))
    }

    fn check_open(&self) -> Result<()> {
        if self.core().is_closed() {
            return Err(Error::new(Kind::Closed, "the store is closed: open it again").at(&self.place));
        }
        Ok(())
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.counters.snapshot();
        let held = self.shelf.count().unwrap_or_default();
        (stats.entries, stats.bytes) = (held.entries, held.bytes);
        stats
    }

    pub(crate) fn len(&self) -> usize {
        self.shelf.count().map_or(0, |held| usize::try_from(held.entries).unwrap_or(usize::MAX))
    }
}
