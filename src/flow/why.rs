//! Explains whether a key is a hit.

use super::{MemoInner, place::Place, variant_list::list_of};
use crate::{
    clock::{Expiry, Freshness, Lifetime},
    error::Result,
    key::Digest,
    stats::{Reason, Tier, Why},
    store::Found,
};

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// Whether a call would find a value, and why not. It counts nothing, and hands nothing out.
    pub(crate) fn why(&self, key: &Digest) -> Result<Why> {
        self.check_open()?;
        if self.is_disabled {
            return Ok(Why::Disabled);
        }
        let mut place = self.place(key);
        loop {
            if let Some(lifetime) = self.lifetime_in_memory(&place.digest) {
                return Ok(self.explain(&place.digest, lifetime, Tier::Memory));
            }
            let found = self.partition.read(&place.digest, Expiry::ANY_AGE);
            let reason = match found.map_err(|error| error.with_context(&self.place))? {
                Found::Item(item) => {
                    let decoded = self.decode(&item);
                    let explained = decoded.map(|_| self.explain(&place.digest, item.lifetime, Tier::Disk));
                    return Ok(explained.unwrap_or_else(|error| Why::Damaged { error }));
                }
                Found::Damaged(error) => return Ok(Why::Damaged { error: error.with_context(&self.place) }),
                Found::Variants(found) => {
                    self.has_variants.note();
                    place = Place::by(key, &found.list);
                    continue;
                }
                Found::Missing(reason) => reason,
            };
            match self.guard(&place) {
                Ok(_) => return Ok(self.explain_miss(&place, reason)),
                Err(next) => place = next,
            }
        }
    }

    fn lifetime_in_memory(&self, digest: &Digest) -> Option<Lifetime> {
        let cached = if self.has_memory() { self.cached(digest) } else { None }?;
        let lifetime = list_of(&cached).is_none().then_some(cached.lifetime);
        self.session().release([cached]);
        lifetime
    }

    fn explain(&self, digest: &Digest, lifetime: Lifetime, tier: Tier) -> Why {
        let now = self.session().clock.now();
        let (age, freshness) = (now.since(lifetime.created), lifetime.freshness(now, self.expiry(digest)));
        match freshness {
            Freshness::Over => Why::Expired { age },
            Freshness::Fresh | Freshness::Stale => {
                Why::Hit { tier, age, is_stale: freshness == Freshness::Stale }
            }
        }
    }

    fn explain_miss(&self, place: &Place, reason: Reason) -> Why {
        match (place.changed(), reason) {
            (Some(input), _) => Why::Changed { input: input.to_string() },
            (None, Reason::Outdated) => Why::Outdated,
            // The list names the variant.
            (None, _) if place.is_variant() && !place.is_seat() => Why::Evicted,
            (None, _) if self.partition.was_evicted(&place.digest) => Why::Evicted,
            (None, _) => Why::Absent,
        }
    }
}
