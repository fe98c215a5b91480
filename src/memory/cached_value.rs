//! A value in the memory tier.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{clock::Lifetime, flight::Words, key::Digest};

/// Bytes of an entry beside its encoded value. Measured with an empty value: 373 to 409 B, depending on the load of the
/// tables; about a third each for the table of the shard, the row of the sieve and the header of [`CachedValue`].
pub(super) const OVERHEAD: u64 = 392;

/// A value in memory, with fields of its record on disk. In the order in which hits need them.
#[repr(C)]
pub(crate) struct CachedValue<V: ?Sized = dyn Any + Send + Sync> {
    /// Not checked in this room: the reader checks whether the value has expired.
    pub(crate) lifetime: Lifetime,
    pub(crate) compute_time: Duration,
    /// Whether it was hit since the hand of the sieve last passed it.
    hit: AtomicBool,
    /// The words of EPOCHS before it was read, if another process hosted the store then. The reader compares them.
    pub(crate) noted: Option<Words>,
    /// Size of the encoded value in bytes.
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    /// Last, and possibly unsized, so that value and header are one allocation.
    value: V,
}

impl CachedValue {
    /// `size` is the size of the encoded value in bytes.
    pub(crate) fn new<V>(
        digest: &Digest,
        value: V,
        lifetime: Lifetime,
        compute_time: Duration,
        size: u64,
        noted: Option<Words>,
    ) -> Arc<Self>
    where
        V: Send + Sync + 'static,
    {
        let (digest, hit) = (*digest, AtomicBool::new(false));
        Arc::new(CachedValue { lifetime, compute_time, hit, noted, size, digest, value })
    }

    /// The value, if it is a `V`. The caller clones it while it holds no lock.
    pub(crate) fn value<V: 'static>(&self) -> Option<&V> {
        self.value.downcast_ref()
    }

    pub(super) fn charge(&self) -> u64 {
        self.size.saturating_add(OVERHEAD)
    }

    /// Most marks are there already: only then is nothing written, which other threads would have to fetch.
    #[inline]
    pub(super) fn note_hit(&self) {
        if !self.hit.load(Relaxed) {
            self.hit.store(true, Relaxed);
        }
    }

    pub(super) fn take_hit(&self) -> bool {
        self.hit.swap(false, Relaxed)
    }
}

impl fmt::Debug for CachedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedValue")
            .field("lifetime", &self.lifetime)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
