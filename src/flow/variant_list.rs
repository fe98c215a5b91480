//! Variant lists in the memory tier.

use std::sync::{
    Arc,
    atomic::{
        AtomicBool,
        Ordering::{Acquire, Release},
    },
};

use crate::{
    clock::Lifetime,
    memory::CachedValue,
    store::{CachedList, FoundVariants},
    variants::Variants,
};

/// Whether a key of a memo may have variants: one was stored or found in this process. Until then no call looks for a list.
#[derive(Debug, Default)]
pub(crate) struct HasVariants(AtomicBool);

impl HasVariants {
    pub(crate) fn note(&self) {
        self.0.store(true, Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Acquire)
    }
}

/// The list, if that is what is in memory.
pub(super) fn list_of(cached: &CachedValue) -> Option<Arc<Variants>> {
    cached.value::<CachedList>().map(|cached| Arc::clone(&cached.list))
}

/// A list that could not be written.
pub(super) fn unwritten_list(cached: &CachedValue) -> Option<Arc<Variants>> {
    cached.value::<CachedList>().filter(|cached| !cached.is_written).map(|cached| Arc::clone(&cached.list))
}

/// A list that could not be written, if it is newer than another one. Of two that were made in one millisecond the longer one
/// is: a list grows.
pub(super) fn newer_unwritten_list(cached: &CachedValue, than: &FoundVariants) -> Option<Arc<Variants>> {
    let age = |lifetime: Lifetime, list: &Variants| (lifetime.created, list.len());
    unwritten_list(cached).filter(|list| age(cached.lifetime, list) > age(than.lifetime, &than.list))
}
