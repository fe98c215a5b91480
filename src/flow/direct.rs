//! The operations without a closure. They return their errors.

use std::time::Duration;

use super::{
    Hit, MemoInner,
    content::Content,
    find::{HitOrMiss, Miss},
    place::Place,
    terms::ThreadTerms,
    variant_list::list_of,
};
use crate::{
    clock::Expiry,
    effect_log::EffectLog,
    error::{Error, ErrorKind, Result},
    key::Digest,
    memory::CachedValue,
    stats::{Stats, Usage},
    store::{Contained, Durability, Entries, Entry},
};

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// By which a stale entry counts as gone.
    fn fresh_only(&self, digest: &Digest) -> Expiry {
        self.expiry(digest).without_stale()
    }

    /// The value of the key, if there is one. It waits for no computation.
    pub(crate) fn get(&self, digest: &Digest) -> Result<Option<Hit<V>>> {
        self.check_open()?;
        if self.is_disabled {
            return Ok(None);
        }
        let mut place = self.place(digest);
        loop {
            match self.get_at(&place)? {
                Ok(hit) => {
                    let hit = hit.at(&place);
                    self.record_hit(&hit);
                    return Ok(Some(hit));
                }
                Err(Miss::Variants(list)) => place = Place::by(digest, &list),
                // The list in memory may lack a variant.
                Err(Miss::Of(reason)) => match self.guard(&place) {
                    Ok(_) => {
                        if let Some(hit) = self.get_from_server(&place) {
                            self.record_hit(&hit);
                            return Ok(Some(hit));
                        }
                        self.record_miss_at(&place, reason);
                        return Ok(None);
                    }
                    Err(next) => place = next,
                },
            }
        }
    }

    fn get_at(&self, place: &Place) -> Result<HitOrMiss<V>> {
        let (digest, terms) = (&place.digest, ThreadTerms::default());
        let expiry = self.fresh_only(digest);
        if let Some(hit) = self.in_memory_under(digest, expiry, &terms) {
            return Ok(Ok(hit));
        }
        let claim = self.guard_of(digest);
        self.read(digest, expiry, &claim, &terms).map_err(|error| error.with_context(&self.place))
    }

    pub(crate) fn insert(&self, digest: &Digest, key_head: Vec<u8>, value: &V) -> Result<()> {
        let ttl = None;
        self.check_open()?;
        let limit = self.partition.limit(&self.bounds);
        let trailer = self.trailer(&EffectLog::default());
        let content = Content { value, trailer: &trailer };
        let payload = self
            .encode(content, limit, &key_head, Duration::ZERO)
            .map_err(|error| error.with_context(&self.place))?;
        let compute_time = Duration::ZERO;
        let told = self.insert_on_server(digest, &payload);
        let (digest, replaces, age, lease, variant) = (*digest, true, None, None, None);
        let entry = Entry { digest, key_head, ttl, replaces, compute_time, age, lease, variant };
        let inserted = match self.durability {
            Durability::Soon => self.partition.insert_soon(entry, payload, limit),
            Durability::Immediate => self.partition.insert(entry, payload, limit),
        };
        self.settle_with_server(&digest, &told);
        inserted.map_err(|error| error.with_context(&self.place))?;
        self.counters.inserted();
        told.map(drop).map_err(|error| error.with_context(&self.place))
    }

    pub(crate) fn remove(&self, digest: &Digest) -> Result<bool> {
        self.check_open()?;
        let is_in_memory = self.is_in_memory(digest, |_| true);
        let was_on_server = self.remove_on_server(digest);
        let was_on_disk = self.partition.remove(digest, self.fresh_only(digest));
        let was_here = was_on_disk.map_err(|error| error.with_context(&self.place))? || is_in_memory;
        was_on_server
            .map(|was_on_server| was_on_server || was_here)
            .map_err(|error| error.with_context(&self.place))
    }

    pub(crate) fn contains(&self, digest: &Digest) -> Result<bool> {
        self.check_open()?;
        if self.is_disabled {
            return Ok(false);
        }
        let mut place = self.place(digest);
        loop {
            let is_value = |cached: &CachedValue| list_of(cached).is_none();
            if !place.is_seat() && self.is_in_memory(&place.digest, is_value) {
                return Ok(true);
            }
            let contained = self.partition.contains(&place.digest, self.fresh_only(&place.digest));
            match contained.map_err(|error| error.with_context(&self.place))? {
                Contained::Yes => return Ok(true),
                Contained::No => match self.guard(&place) {
                    Ok(_) => return Ok(self.get_from_server(&place).is_some()),
                    Err(next) => place = next,
                },
                Contained::Variants => match self.list_on_disk(digest) {
                    Some(list) => place = Place::by(digest, &list),
                    None => return Ok(false),
                },
            }
        }
    }

    /// Whether something fresh is in memory that `counts`.
    fn is_in_memory(&self, digest: &Digest, counts: impl FnOnce(&CachedValue) -> bool) -> bool {
        let cached = self.cached(digest);
        let lifetime = cached.as_ref().filter(|cached| counts(cached)).map(|cached| cached.lifetime);
        self.session().release(cached);
        lifetime
            .is_some_and(|lifetime| !lifetime.is_over(self.session().clock.now(), self.fresh_only(digest)))
    }

    pub(crate) fn clear(&self) -> Result<()> {
        self.check_open()?;
        let told = self.clear_on_server();
        let cleared = self.partition.clear();
        cleared.and(told).map_err(|error| error.with_context(&self.place))
    }

    pub(crate) fn flush(&self) -> Result<()> {
        self.partition.flush().map_err(|error| error.with_context(&self.place))
    }

    pub(super) fn check_open(&self) -> Result<()> {
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
