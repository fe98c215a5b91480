//! Values that hold their key and their version, and show damage.

use std::path::Path;

use memolith::{Memo, Store};

pub type Values = Memo<u32, Vec<u8>>;

/// Every third value is large enough for a file of its own.
pub fn value(key: u32, version: u64) -> Vec<u8> {
    let mut rolls = Rolls(u64::from(key) << 40 ^ version);
    let length = if is_blob(key, version) { 4_500 + rolls.below(2_000) } else { rolls.below(300) };
    let mut value = [&key.to_le_bytes()[..], &version.to_le_bytes()].concat();
    let end = value.len() + length as usize;
    while value.len() < end {
        value.extend_from_slice(&rolls.next().to_le_bytes());
    }
    value.truncate(end);
    value
}

pub fn is_blob(key: u32, version: u64) -> bool {
    (u64::from(key) + version).is_multiple_of(3)
}

/// The version of a value of `key`. Every byte must be as it was made.
#[track_caller]
pub fn version_of(key: u32, found: &[u8]) -> u64 {
    let version = u64::from_le_bytes(found[4..12].try_into().unwrap());
    assert!(found == value(key, version), "the value of {key} is not whole, or not its own");
    version
}

#[track_caller]
pub fn open(directory: &Path) -> (Store, Values) {
    let store = Store::open(directory).unwrap();
    let memo = Memo::builder("values").open(&store).unwrap();
    (store, memo)
}

/// Random numbers (splitmix64).
pub struct Rolls(pub u64);

impl Rolls {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
