//! The computation of one value.

use super::inner::MemoInner;
use crate::{
    clock::Stopwatch,
    flight::{Claim, Outcome},
    key::Digest,
    observe::{Event, Span},
    stats::Reason,
    store::Entry,
};

/// A guard around the closure. If it is dropped without [`keep`](Self::keep), by an error or a panic of the closure, one of
/// the waiters leads.
pub(crate) struct Computation<'a, V: 'static> {
    memo: &'a MemoInner<V>,
    /// `None` if the value cannot be stored: the store is closed, or the key has no digest.
    claim: Option<(Digest, Claim<'static>)>,
    pub(super) span: Span,
    stopwatch: Stopwatch,
    /// Whether the end of the closure was reported.
    done: bool,
}

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// A computation whose value is not stored.
    pub(crate) fn compute_unstored(&self) -> Computation<'_, V> {
        self.compute(None, Reason::Absent)
    }

    pub(super) fn compute(
        &self,
        claim: Option<(Digest, Claim<'static>)>,
        reason: Reason,
    ) -> Computation<'_, V> {
        self.record_miss(reason);
        self.notify(&Event::ComputingBegan { memo: &self.name });
        let (span, stopwatch) = (Span::of_computing(&self.name), self.session().clock.stopwatch());
        Computation { memo: self, claim, span, stopwatch, done: false }
    }
}

impl<V: Clone + Send + Sync + 'static> Computation<'_, V> {
    /// Stores the value of the closure, and wakes the waiters.
    pub(crate) fn keep(mut self, key_head: Vec<u8>, value: &V) {
        if self.memo.session().is_inherited() {
            // The closure forked, and this is the child process.
            return;
        }
        let compute_time = self.stopwatch.elapsed();
        self.end(true);
        let Some((digest, claim)) = self.claim.take() else { return };
        let memo = self.memo;
        let wanted = memo.cache_if.as_ref().is_none_or(|cache_if| {
            let wanted = memo.guarded("cache_if", || Ok(cache_if(value)));
            wanted.unwrap_or_else(|error| {
                memo.record_failure(&error);
                false
            })
        });
        if !wanted {
            return claim.complete(Outcome::Unstored);
        }
        memo.keep(Entry { digest, key_head, ttl: memo.bounds.ttl, compute_time }, value, claim);
    }
}

impl<V: 'static> Computation<'_, V> {
    fn end(&mut self, succeeded: bool) {
        if !std::mem::replace(&mut self.done, true) && !self.memo.session().is_inherited() {
            let took = self.stopwatch.elapsed();
            self.span.ended(took, succeeded);
            self.memo.notify(&Event::ComputingEnded { memo: &self.memo.name, took, succeeded });
        }
    }
}

impl<V: 'static> Drop for Computation<'_, V> {
    fn drop(&mut self) {
        self.end(false);
    }
}
