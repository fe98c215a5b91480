//! The value that a computed one takes the place of: to renew it, or in place of the result of a computation that failed.

use super::{
    Hit, MemoInner, Work,
    find::Miss,
    place::Place,
    terms::{Terms, ThreadTerms},
};
use crate::clock::Expiry;

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// The value that is there, at any age. The computation knows its inputs from here on.
    pub(super) fn old_value(&self, work: &Work<V>) -> Option<V> {
        match work.stale() {
            Some(stale) => self.copy_of(Some(stale)),
            None => Some(work.know(self.old_value_at(work.place()?)?)),
        }
    }

    pub(super) fn old_value_at(&self, place: &Place) -> Option<Hit<V>> {
        let (terms, mut place) = (ThreadTerms::default(), place.clone());
        loop {
            let digest = &place.digest;
            if let Some(hit) = self.in_memory_under(digest, Expiry::ANY_AGE, &terms) {
                return Some(hit.at(&place));
            }
            let reader = self.guard_of(digest);
            match self.read(digest, Expiry::ANY_AGE, &reader, &terms) {
                Ok(Ok(hit)) => return Some(hit.at(&place)),
                Ok(Err(Miss::Variants(list))) => place = Place::by(place.key(), &list),
                Ok(Err(Miss::Of(_))) => return None,
                Err(error) => {
                    self.record_failure(&error);
                    return None;
                }
            }
        }
    }

    /// The stale value in place of that of a computation that failed, if it is still there and the call accepts it.
    pub(super) fn fall_back(
        &self,
        place: &Place,
        terms: &Terms<impl Fn(&V) -> bool>,
        stale: Option<Hit<V>>,
    ) -> Option<Hit<V>> {
        let digest = &place.digest;
        let reader = self.guard_of(digest);
        let found = self.find(digest, &reader, terms).ok().filter(Hit::is_of_use);
        let hit = found.map(|hit| hit.at(place)).or(stale)?;
        hit.hand_out();
        Some(hit)
    }
}
