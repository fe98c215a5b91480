//! Which keys a table has, as far as that is known: a look for a key that is not there need not ask the engine.
//!
//! A miss asks for a key that is absent, and sled answers that in 2 to 3 us while the worker changes its nodes: the longest part of
//! a quick miss. Known are the keys of the groups that began in this process, so that every key of theirs came through here. A
//! group that was there when the engine was opened is not known: all of it would have to be read.
//!
//! A key is noted before its row is in, and forgotten after its row is gone. So a key that is not noted is not there, and one
//! that is noted may be there.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use crate::sync::{RwLock, read, write};

const SHARDS: usize = 8;

/// So many keys are known in one shard, which takes 300 to 600 kB. Where there are more, the keys of the largest group are not
/// known.
const LIMIT: usize = 1 << 14;

#[derive(Default)]
pub(super) struct Presence {
    shards: [RwLock<Shard>; SHARDS],
}

/// It knows a group or does not, whatever the others do.
#[derive(Default)]
struct Shard {
    groups: HashMap<Group, HashTable<Fingerprint>, RandomState>,
    /// The keys of all groups.
    known: usize,
}

/// The bytes that the keys of one group begin with.
type Group = [u8; 4];

/// The rest of a key: half of a digest, and so its own hash.
type Fingerprint = u128;

impl Presence {
    /// A group of which no key is there.
    pub(super) fn begin(&self, group: Group) {
        for shard in &self.shards {
            write(shard).groups.entry(group).or_default();
        }
    }

    /// A group of which no key is asked for any more.
    pub(super) fn end(&self, group: Group) {
        self.shards.iter().for_each(|shard| write(shard).give_up(group));
    }

    /// Whether the key is known to be absent.
    pub(super) fn lacks(&self, key: &[u8]) -> bool {
        let Some((group, fingerprint)) = split(key) else { return false };
        let shard = read(self.shard(fingerprint));
        let keys = shard.groups.get(&group);
        keys.is_some_and(|keys| keys.find(hash(fingerprint), |known| *known == fingerprint).is_none())
    }

    /// The row of the key will be there.
    pub(super) fn note(&self, key: &[u8]) {
        if let Some((group, fingerprint)) = split(key) {
            write(self.shard(fingerprint)).note(group, fingerprint);
        }
    }

    /// The row of the key is gone.
    pub(super) fn forget(&self, key: &[u8]) {
        if let Some((group, fingerprint)) = split(key) {
            write(self.shard(fingerprint)).forget(group, fingerprint);
        }
    }

    fn shard(&self, fingerprint: Fingerprint) -> &RwLock<Shard> {
        let [first, ..] = &self.shards;
        // The hash is made of the other half.
        self.shards.get((fingerprint >> 64) as usize % SHARDS).unwrap_or(first)
    }
}

impl Shard {
    fn note(&mut self, group: Group, fingerprint: Fingerprint) {
        let Some(keys) = self.groups.get_mut(&group) else { return };
        let entry = keys.entry(hash(fingerprint), |known| *known == fingerprint, |known| hash(*known));
        if let Entry::Vacant(entry) = entry {
            entry.insert(fingerprint);
            self.known += 1;
        }
        if self.known > LIMIT
            && let Some((largest, _)) = self.groups.iter().max_by_key(|(_, keys)| keys.len())
        {
            self.give_up(*largest);
        }
    }

    fn forget(&mut self, group: Group, fingerprint: Fingerprint) {
        if let Some(keys) = self.groups.get_mut(&group)
            && let Ok(found) = keys.find_entry(hash(fingerprint), |known| *known == fingerprint)
        {
            found.remove();
            self.known -= 1;
            if keys.is_empty() {
                // A table does not shrink.
                *keys = HashTable::new();
            }
        }
    }

    fn give_up(&mut self, group: Group) {
        self.known -= self.groups.remove(&group).map_or(0, |keys| keys.len());
    }
}

fn split(key: &[u8]) -> Option<(Group, Fingerprint)> {
    let (group, digest) = key.split_first_chunk()?;
    Some((*group, Fingerprint::from_le_bytes(digest.try_into().ok()?)))
}

fn hash(fingerprint: Fingerprint) -> u64 {
    fingerprint as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: u8, number: u64) -> Vec<u8> {
        let digest = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        [&[0, 0, 0, group], digest.to_le_bytes().as_slice(), &digest.to_le_bytes()].concat()
    }

    #[test]
    fn a_key_is_lacking_only_in_a_group_that_began_and_while_it_is_not_noted() {
        let presence = Presence::default();
        assert!(!presence.lacks(&key(1, 5)), "nothing is known of the group");
        presence.note(&key(1, 5));
        presence.begin([0, 0, 0, 1]);
        assert!(presence.lacks(&key(1, 5)) && !presence.lacks(&key(2, 5)));
        presence.note(&key(1, 5));
        presence.note(&key(1, 5));
        assert!(!presence.lacks(&key(1, 5)) && presence.lacks(&key(1, 6)));
        presence.begin([0, 0, 0, 1]);
        assert!(!presence.lacks(&key(1, 5)), "it began before");
        presence.forget(&key(1, 6));
        presence.forget(&key(1, 5));
        assert!(presence.lacks(&key(1, 5)));
        presence.end([0, 0, 0, 1]);
        assert!(!presence.lacks(&key(1, 5)));
        assert!(!presence.lacks(&[1, 2, 3]), "no key of a record");
    }

    #[test]
    fn a_group_that_is_too_large_is_not_known_and_leaves_room_for_others() {
        let presence = Presence::default();
        let known = || -> usize { presence.shards.iter().map(|shard| read(shard).known).sum() };
        presence.begin([0, 0, 0, 1]);
        presence.begin([0, 0, 0, 2]);
        (0..1000).for_each(|number| presence.note(&key(2, number)));
        assert_eq!(known(), 1000);
        let all = (SHARDS * LIMIT) as u64 + SHARDS as u64 * 4096;
        (0..all).for_each(|number| presence.note(&key(1, number)));
        assert!((all..all + 1000).all(|number| !presence.lacks(&key(1, number))));
        assert!((0..1000).all(|number| !presence.lacks(&key(2, number))));
        assert!((1000..2000).all(|number| presence.lacks(&key(2, number))));
        assert_eq!(known(), 1000);
        (0..1000).for_each(|number| presence.forget(&key(2, number)));
        assert_eq!(known(), 0);
        let capacity = |shard: &RwLock<Shard>| read(shard).groups.values().map(HashTable::capacity).sum();
        let capacities: Vec<usize> = presence.shards.iter().map(capacity).collect();
        assert_eq!(capacities, [0; SHARDS]);
    }
}
