//! The keys that left for room a short while ago, so that a miss can be explained.

use std::collections::{HashSet, VecDeque};

use crate::{
    key::Digest,
    store::generation::Number,
    sync::{Mutex, lock},
};

/// 40 KiB.
const MOST: usize = 1_024;

type Key = (Number, Digest);

/// Changed by the worker only.
#[derive(Default)]
pub(crate) struct Evicted(Mutex<Keys>);

#[derive(Default)]
struct Keys {
    known: HashSet<Key>,
    /// The oldest first. It may name keys that are known no more.
    order: VecDeque<Key>,
}

impl Evicted {
    pub(super) fn note(&self, number: Number, digest: &Digest) {
        let mut keys = lock(&self.0);
        if keys.known.insert((number, *digest)) {
            keys.order.push_back((number, *digest));
        }
        if keys.order.len() > MOST
            && let Some(oldest) = keys.order.pop_front()
        {
            keys.known.remove(&oldest);
        }
    }

    /// The key is there again, or was removed.
    pub(super) fn forget(&self, number: Number, digest: &Digest) {
        lock(&self.0).known.remove(&(number, *digest));
    }

    pub(crate) fn contains(&self, number: Number, digest: &Digest) -> bool {
        lock(&self.0).known.contains(&(number, *digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u16) -> Digest {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        Digest::from_bytes(bytes)
    }

    #[test]
    fn the_last_keys_are_known_until_they_are_forgotten() {
        let (evicted, number) = (Evicted::default(), Number(1));
        (0..2_000).for_each(|key| evicted.note(number, &digest(key)));
        assert!(!evicted.contains(number, &digest(975)) && evicted.contains(number, &digest(976)));
        assert!(evicted.contains(number, &digest(1_999)) && !evicted.contains(Number(2), &digest(1_999)));
        evicted.forget(number, &digest(1_999));
        assert!(!evicted.contains(number, &digest(1_999)));
        for _ in 0..3_000 {
            evicted.note(number, &digest(7));
            evicted.forget(number, &digest(7));
        }
        assert!(lock(&evicted.0).order.len() <= MOST, "it does not grow");
    }
}
