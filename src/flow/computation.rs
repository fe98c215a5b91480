//! The computation of one value.

use super::inner::MemoInner;
use crate::{
    clock::Stopwatch,
    flight::{Claim, Outcome},
    key::{Digest, KeyText},
    observe::{Event, Span},
    store::Entry,
};

/// A guard around the closure. If it is dropped without [`keep`](Self::keep), by an error or a panic of the closure, one of
/// the waiters leads.
pub(crate) struct Computation<'a, V: 'static> {
    memo: &'a MemoInner<V>,
    /// `None` if the value cannot be stored: the store is closed, or the key has no digest.
    claim: Option<(Digest, Claim<'static>)>,
    /// The head of the key, stored beside the value and told to observers. Empty if the key cannot be serialized.
    key_head: Vec<u8>,
    pub(super) span: Span,
    stopwatch: Stopwatch,
    /// Whether the end of the closure was reported.
    done: bool,
}

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// Begins a computation. Without a claim its value is not stored.
    pub(crate) fn compute(
        &self,
        claim: Option<(Digest, Claim<'static>)>,
        key_head: Vec<u8>,
    ) -> Computation<'_, V> {
        self.notify(&Event::ComputeStarted { memo: &self.name, key: KeyText::of(&key_head) });
        let (span, stopwatch) = (Span::of_computing(&self.name), self.session().clock.stopwatch());
        Computation { memo: self, claim, key_head, span, stopwatch, done: false }
    }
}

impl<V: Clone + Send + Sync + 'static> Computation<'_, V> {
    /// Stores the value of the closure, and wakes the waiters.
    pub(crate) fn keep(&mut self, value: &V) {
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
        let key_head = std::mem::take(&mut self.key_head);
        memo.keep(Entry { digest, key_head, ttl: memo.bounds.ttl, compute_time }, value, claim);
    }
}

impl<V: 'static> Computation<'_, V> {
    fn end(&mut self, succeeded: bool) {
        if !std::mem::replace(&mut self.done, true) && !self.memo.session().is_inherited() {
            let took = self.stopwatch.elapsed();
            self.span.ended(took, succeeded);
            let (memo, key) = (&*self.memo.name, KeyText::of(&self.key_head));
            self.memo.notify(&Event::ComputeFinished { memo, key, took, succeeded });
        }
    }
}

impl<V: 'static> Drop for Computation<'_, V> {
    fn drop(&mut self) {
        self.end(false);
    }
}
