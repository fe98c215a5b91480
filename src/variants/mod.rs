//! The variants of a key: one for each list of inputs with their answers that a value was computed from.
//!
//! The value of a variant is stored under a digest that is derived from the key, the salt of the list, and the inputs with
//! their fingerprints. A lookup compares the answers of today with those of each variant, the newest first. The bytes:
//!
//! ```text
//! size
//!    2  magic "MV"
//!    1  format, 1
//!    1  number of variants, at most 64
//!    2  number n of inputs
//!    8  salt
//!       n inputs: 1 byte kind, 2 bytes length, the name
//!       the variants, the oldest first:
//!    2    number of readings, at most 1,024
//!         readings, in the order in which they were read:
//!    2      index of the input
//!   16      fingerprint
//!    1      1 if a state follows, else 0
//!   32      state of the file: length, modified, changed, inode
//! ```
//!
//! Every number is little-endian. The kinds of inputs are in `readings/input.rs`. A checksum is around the bytes, so that
//! damage is found before; they are read as if they came from anywhere all the same.

mod bytes;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::{
    key::{Digest, derived},
    readings::{Answer, FileState, Fingerprint, Input, Reading, Readings},
};

pub(crate) use self::resolve::Resolved;

/// The domain of the digests of variants.
const VARIANT: &str = "variant";

/// An input of the table, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Noted {
    /// In the table.
    input: usize,
    answer: Answer,
}

/// The variants of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variants {
    /// Random, so that the values of an earlier list of the key are not found by this one.
    salt: u64,
    /// Distinct. Each of them is in a variant.
    inputs: Vec<Input>,
    /// The oldest first, at most [`MOST`](Self::MOST). No two have the same inputs with the same fingerprints in the same
    /// order. The inputs of one are distinct.
    lists: Vec<Vec<Noted>>,
}

/// The change that a variant made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Added {
    /// Of the variant's value.
    pub(crate) digest: Digest,
    /// Of the values of the variants that left.
    pub(crate) dropped: Vec<Digest>,
}

impl Variants {
    /// The most variants of one key.
    pub(crate) const MOST: usize = 64;

    /// The most bytes of their encoding.
    pub(crate) const MOST_BYTES: usize = 64 << 10;

    /// No variants yet. `salt` is random.
    pub(crate) fn new(salt: u64) -> Self {
        Self { salt, inputs: Vec::new(), lists: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.lists.len()
    }

    /// The list of one variant, as it is sent to another process.
    pub(crate) fn of(readings: &Readings) -> Self {
        let mut list = Self::new(0);
        let variant = list.noted(readings);
        list.lists.push(variant);
        list
    }

    /// The bytes of its encoding.
    pub(crate) fn weight(&self) -> u64 {
        self.encoded_length() as u64
    }

    /// The inputs of the newest variant with their answers.
    pub(crate) fn newest(&self) -> Option<Readings> {
        let reading = |noted: &Noted| {
            let input = self.inputs.get(noted.input)?.clone();
            Some(Reading { input, answer: noted.answer })
        };
        Some(self.lists.last()?.iter().filter_map(reading).collect())
    }

    /// Makes the variant of these readings the newest one. An equal one moves, with the states of the files renewed. The oldest
    /// leave while the list is out of bounds. The readings are not unstorable.
    pub(crate) fn add(&mut self, key: &Digest, readings: &Readings) -> Added {
        let variant = self.noted(readings);
        self.lists.retain(|other| !is_same(other, &variant));
        let digest = self.digest(key, &variant);
        self.lists.push(variant);
        self.drop_unused_inputs();
        let mut dropped = Vec::new();
        while self.lists.len() > Self::MOST
            || self.encoded_length() > Self::MOST_BYTES && self.lists.len() > 1
        {
            let oldest = self.lists.remove(0);
            dropped.push(self.digest(key, &oldest));
            self.drop_unused_inputs();
        }
        Added { digest, dropped }
    }

    /// The digests of the values of all variants, the oldest first.
    pub(crate) fn digests(&self, key: &Digest) -> impl Iterator<Item = Digest> {
        self.lists.iter().map(|variant| self.digest(key, variant))
    }

    /// The readings as a variant. New inputs get a place in the table.
    fn noted(&mut self, readings: &Readings) -> Vec<Noted> {
        let mut places: HashMap<Input, usize> = self.inputs.iter().cloned().zip(0..).collect();
        let noted = readings.iter().map(|reading| {
            let place = *places.entry(reading.input.clone()).or_insert_with(|| {
                self.inputs.push(reading.input.clone());
                self.inputs.len() - 1
            });
            Noted { input: place, answer: reading.answer }
        });
        noted.collect()
    }

    fn drop_unused_inputs(&mut self) {
        let mut places = vec![None; self.inputs.len()];
        for noted in self.lists.iter().flatten() {
            if let Some(place) = places.get_mut(noted.input) {
                *place = Some(0);
            }
        }
        places.iter_mut().flatten().zip(0..).for_each(|(place, number)| *place = number);
        for noted in self.lists.iter_mut().flatten() {
            if let Some(Some(place)) = places.get(noted.input) {
                noted.input = *place;
            }
        }
        let mut is_used = places.iter().map(Option::is_some);
        self.inputs.retain(|_| is_used.next().unwrap_or_default());
    }

    /// The states of the files are not part of it.
    fn digest(&self, key: &Digest, variant: &[Noted]) -> Digest {
        let mut content = self.salt.to_le_bytes().to_vec();
        for noted in variant {
            self.put_input(noted.input, &mut content);
            content.extend_from_slice(noted.answer.fingerprint.as_bytes());
        }
        derived(key, VARIANT, &content)
    }

    fn put_input(&self, place: usize, bytes: &mut Vec<u8>) {
        // Readings have only inputs that can be written.
        let _ = self.inputs.get(place).is_some_and(|input| input.encode(bytes));
    }
}

/// Whether both have the same inputs with the same fingerprints.
fn is_same(one: &[Noted], other: &[Noted]) -> bool {
    let parts = |noted: &Noted| (noted.input, noted.answer.fingerprint);
    one.iter().map(parts).eq(other.iter().map(parts))
}
