//! Refreshes that failed a short while ago: their keys are not computed again at once, and the stale value is handed out.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{
    clock::Timestamp,
    key::Digest,
    sync::{Mutex, lock},
};

/// More keys than that are not noted: they are tried again at each call.
const MOST: usize = 16_384;

/// The last failed refresh of each key.
#[derive(Default)]
pub(crate) struct Retries {
    failed: Mutex<HashMap<Digest, Timestamp>>,
    /// Whether any is noted: most looks find none and take no lock.
    has_any: AtomicBool,
}

impl Retries {
    pub(super) fn note(&self, digest: &Digest, now: Timestamp, retry_after: Duration) {
        let mut failed = lock(&self.failed);
        if failed.len() >= MOST {
            failed.retain(|_, time| is_waiting(*time, now, retry_after));
        }
        if failed.len() < MOST {
            failed.insert(*digest, now);
        }
        self.has_any.store(!failed.is_empty(), Ordering::Release);
    }

    pub(super) fn forget(&self, digest: &Digest) {
        if self.has_any.load(Ordering::Acquire) {
            let mut failed = lock(&self.failed);
            failed.remove(digest);
            self.has_any.store(!failed.is_empty(), Ordering::Release);
        }
    }

    /// Whether the key is not to be computed yet.
    pub(super) fn is_waiting(&self, digest: &Digest, now: Timestamp, retry_after: Duration) -> bool {
        self.has_any.load(Ordering::Acquire)
            && lock(&self.failed).get(digest).is_some_and(|time| is_waiting(*time, now, retry_after))
    }
}

/// A clock that was set back ends the wait.
fn is_waiting(failed: Timestamp, now: Timestamp, retry_after: Duration) -> bool {
    failed <= now && now < failed.after(retry_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(30);

    fn digest(number: u32) -> Digest {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        Digest::from_bytes(bytes)
    }

    #[test]
    fn a_key_waits_for_its_time_and_no_other_key_does() {
        let retries = Retries::default();
        assert!(!retries.is_waiting(&digest(1), Timestamp(100), WAIT));
        retries.note(&digest(1), Timestamp(100), WAIT);
        let waits = |now| retries.is_waiting(&digest(1), Timestamp(now), WAIT);
        assert_eq!([99, 100, 129, 130].map(waits), [false, true, true, false]);
        assert!(!retries.is_waiting(&digest(2), Timestamp(100), WAIT));
        retries.forget(&digest(1));
        assert!(!retries.is_waiting(&digest(1), Timestamp(100), WAIT));
    }

    #[test]
    fn keys_that_fail_do_not_pile_up() {
        let retries = Retries::default();
        for number in 0..MOST as u32 {
            retries.note(&digest(number), Timestamp(0), WAIT);
        }
        retries.note(&digest(u32::MAX), Timestamp(10), WAIT);
        assert_eq!(lock(&retries.failed).len(), MOST);
        retries.note(&digest(u32::MAX), Timestamp(30), WAIT);
        assert_eq!(lock(&retries.failed).len(), 1);
    }
}
