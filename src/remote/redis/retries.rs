//! Changes that the server did not get. They are made there when it answers again: a removal takes away what was there before
//! the change, and leaves a newer value of another machine.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{super::Target, stream::LocalChange};
use crate::{clock::moment, sync::lock};

/// More removals than this become a clear of their memos.
const MAX: usize = 1_024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) change: LocalChange,
    /// When it was made, in milliseconds since 1970.
    pub(super) at: u64,
    /// The same by the monotonic clock, if it was made in this run: the other one may be set.
    #[serde(skip)]
    pub(super) since: Option<Instant>,
}

impl Waiting {
    pub(super) fn made_now(change: LocalChange, at: u64) -> Self {
        Self { change, at, since: Some(moment()) }
    }

    /// How long ago it was made.
    pub(super) fn ago(&self, now: u64) -> Duration {
        self.since.map_or_else(|| Duration::from_millis(now.saturating_sub(self.at)), |since| since.elapsed())
    }
}

#[derive(Default)]
pub(super) struct Retries {
    waiting: Mutex<Vec<Waiting>>,
    /// The last ones that the server has got: a journal that was written before may have them still.
    finished: Mutex<VecDeque<(LocalChange, u64)>>,
    is_some: AtomicBool,
}

impl Retries {
    pub(super) fn take_over(&self, waiting: Vec<Waiting>) {
        for waiting in waiting {
            let is_same = |(change, at): &(LocalChange, u64)| *change == waiting.change && *at == waiting.at;
            if !lock(&self.finished).iter().any(is_same) {
                self.add(waiting);
            }
        }
    }

    pub(super) fn add(&self, added: Waiting) {
        let mut waiting = lock(&self.waiting);
        if waiting.iter().any(|known| known.change == added.change && known.at >= added.at) {
            return;
        }
        waiting.retain(|waiting| waiting.change != added.change);
        waiting.push(added);
        if waiting.len() > MAX {
            let (at, since) = waiting.last().map_or((0, None), |last| (last.at, last.since));
            let memos: BTreeSet<Option<String>> =
                waiting.iter().map(|waiting| waiting.change.memo().map(str::to_owned)).collect();
            let all = memos.len() > MAX / 2 || memos.contains(&None);
            let memos = if all { BTreeSet::from([None]) } else { memos };
            let forget = |memo| Waiting { change: LocalChange::Forget { memo }, at, since };
            *waiting = memos.into_iter().map(forget).collect();
        }
        self.is_some.store(true, Ordering::Release);
    }

    /// Whether one of them concerns an entry: the server still has what was there before.
    pub(super) fn concern(&self, target: &Target<'_>) -> bool {
        self.is_some.load(Ordering::Acquire)
            && lock(&self.waiting).iter().any(|waiting| waiting.change.concerns(target))
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_some.load(Ordering::Acquire)
    }

    pub(super) fn all(&self) -> Vec<Waiting> {
        lock(&self.waiting).clone()
    }

    /// The server has it.
    pub(super) fn done(&self, done: &Waiting) {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|waiting| waiting != done);
        let mut finished = lock(&self.finished);
        finished.push_back((done.change.clone(), done.at));
        if finished.len() > MAX {
            finished.pop_front();
        }
        self.is_some.store(!waiting.is_empty(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removal(memo: &str, key: u32) -> Waiting {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&key.to_le_bytes());
        let memo = memo.to_owned();
        let change = LocalChange::Remove { memo, generation: [1; 16], digest };
        Waiting { change, at: u64::from(key), since: None }
    }

    fn concerned(retries: &Retries, memo: &str, key: u32) -> bool {
        let LocalChange::Remove { generation, digest, .. } = removal(memo, key).change else { return false };
        retries.concern(&Target { memo, generation, digest })
    }

    #[test]
    fn a_key_waits_until_the_server_has_its_removal() {
        let retries = Retries::default();
        retries.add(removal("m", 1));
        retries.add(removal("m", 1));
        assert!(concerned(&retries, "m", 1) && !concerned(&retries, "m", 2));
        retries.done(&removal("m", 1));
        assert!(!concerned(&retries, "m", 1) && retries.is_empty());
    }

    #[test]
    fn too_many_removals_become_a_clear_of_their_memos() {
        let retries = Retries::default();
        (0..=MAX as u32).for_each(|key| retries.add(removal(if key % 2 == 0 { "m" } else { "n" }, key)));
        assert_eq!(retries.all().len(), 2);
        assert!(concerned(&retries, "m", 99_999) && !concerned(&retries, "o", 1));
        (0..2 * MAX as u32).for_each(|memo| retries.add(removal(&memo.to_string(), 0)));
        assert!(retries.all().len() <= MAX && concerned(&retries, "m", 1));
    }
}
