//! How the values of a memo age.

use std::time::Duration;

use crate::{
    clock::{Expiry, Lifetime, Timestamp},
    key::Digest,
};

/// How the values of a memo age, beside its ttl and the time that they are kept after that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Aging {
    /// The most by which an entry is stale earlier than its ttl says.
    pub(crate) jitter: Duration,
    /// The part of its ttl after which a loading memo refreshes an entry.
    pub(crate) refresh_at: Option<f64>,
    /// After a refresh that failed there is no other one for so long.
    pub(crate) retry_after: Duration,
}

impl Default for Aging {
    fn default() -> Self {
        Self { jitter: Duration::ZERO, refresh_at: None, retry_after: Duration::from_secs(30) }
    }
}

impl Aging {
    /// The share of a key in milliseconds, which is the same in every process and at any time.
    #[inline]
    pub(super) fn early(&self, digest: &Digest) -> u64 {
        if self.jitter.is_zero() { 0 } else { self.share(digest) }
    }

    #[cold]
    #[inline(never)]
    fn share(&self, digest: &Digest) -> u64 {
        let [_, _, _, _, a, b, c, d, ..] = *digest.as_bytes();
        let share = u128::from(u32::from_le_bytes([a, b, c, d]));
        let early = self.jitter.as_millis().saturating_mul(share) / u128::from(u32::MAX);
        u64::try_from(early).unwrap_or(u64::MAX)
    }

    /// Whether an entry is to be refreshed though it is fresh.
    #[cold]
    #[inline(never)]
    pub(super) fn is_due(&self, lifetime: &Lifetime, now: Timestamp, expiry: Expiry) -> bool {
        let end = lifetime.fresh_until(expiry);
        let part = self.refresh_at.filter(|_| end != Timestamp::NEVER);
        part.is_some_and(|part| now >= lifetime.created.after(end.since(lifetime.created).mul_f64(part)))
    }
}
