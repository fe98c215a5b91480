//! The last step of a hit: its value leaves the memo.

use std::sync::Arc;

use super::{
    Hit, MemoInner,
    content::{Decoded, WithEffects},
};
use crate::{context, memory::CachedValue};

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// A copy of a value in memory. `None` if its `Clone` panics.
    pub(super) fn copy_of_cached(&self, cached: &CachedValue) -> Option<Decoded<V>> {
        if self.effects.is_none() {
            return Some(Decoded { value: self.copy_of(cached.value::<V>())?, effects: None });
        }
        let WithEffects { value, effects } = cached.value()?;
        Some(Decoded { value: self.copy_of(Some(value))?, effects: Some(Arc::clone(effects)) })
    }

    /// Hands a value out: its effects are handled before, and its inputs are those of the computations around the call.
    pub(crate) fn show(&self, hit: Hit<V>) -> V {
        if let (Some(types), Some(effects)) = (&self.effects, &hit.effects) {
            for error in context::repeat(effects, types) {
                self.record_failure(&error);
            }
        }
        if let Some(readings) = hit.inputs.as_ref().and_then(|inputs| inputs.readings()) {
            context::note_readings(readings);
        }
        hit.value
    }
}
