//! A closure that computes one value.

use super::{
    MemoInner,
    lead::Lead,
    terms::{EntryTtl, ThreadTerms},
    work::Work,
};
use crate::{
    context::{Caller, Entered},
    observe::Span,
};

/// A guard around the closure. If it is dropped without [`keep`](Self::keep), by an error or a panic of the closure, one of
/// the waiters leads.
pub(crate) struct Computation<'a, V: 'static> {
    memo: &'a MemoInner<V>,
    work: Work<V>,
    /// By which a stale value is judged that is there if the closure fails.
    terms: ThreadTerms<'a, V>,
    ttl: EntryTtl<'a, V>,
    _entered: Entered,
}

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// Begins a computation. Without a lead its value is not stored.
    pub(crate) fn compute<'a>(
        &'a self,
        lead: Option<Box<Lead<V>>>,
        key_head: Vec<u8>,
        terms: ThreadTerms<'a, V>,
        ttl: EntryTtl<'a, V>,
    ) -> Computation<'a, V> {
        let work = self.begin_work(lead, key_head, Caller::of_thread());
        let entered = work.context().enter();
        Computation { memo: self, work, terms, ttl, _entered: entered }
    }
}

impl<V: Clone + Send + Sync + 'static> Computation<'_, V> {
    pub(super) fn span(&self) -> &Span {
        &self.work.span
    }

    /// Stores the value of the closure, and wakes the waiters.
    pub(crate) fn keep(&mut self, value: &V) {
        let ttl = std::mem::replace(&mut self.ttl, EntryTtl::OfMemo);
        self.memo.keep_value(&mut self.work, value, ttl);
    }

    /// The value that is there, at any age.
    pub(super) fn old_value(&self) -> Option<V> {
        self.memo.old_value(&self.work)
    }

    /// The closure failed: the stale value, if there is one.
    pub(super) fn fall_back(&mut self) -> Option<V> {
        let (place, stale) = self.memo.fail(&mut self.work)?;
        let hit = self.memo.fall_back(&place, &self.terms, stale)?;
        Some(self.memo.show(hit))
    }
}

impl<V: 'static> Drop for Computation<'_, V> {
    fn drop(&mut self) {
        self.memo.fail(&mut self.work);
    }
}
