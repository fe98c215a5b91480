//! Compares two values by their `Serialize`.
//!
//! A print is a hash of the canonical encoding of the [parent module](super), which is injective. So two values of one type
//! with equal prints serialize alike, except for a collision of probability 1 in 2^64. A print distinguishes more than the
//! bytes of a codec: postcard writes 1u8 and 1i8 alike, and JSON the numbers of every width.

use std::{cell::Cell, marker::PhantomData};

use serde::Serialize;

use super::{
    compact::word,
    serializer::Encoder,
    sink::{EncodeError, Rules, Sink},
};

/// The form of a type with two forms, such as an address. Each may leave out something that the other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The form of text formats.
    Readable,
    /// The form of binary formats.
    Compact,
}

/// The hash of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Print {
    mixed: u64,
    /// Whether a part of the value asked for its form. It may then have another form.
    pub(crate) has_forms: bool,
}

/// The print of `value`. `None` if its `Serialize` fails. A panic of it unwinds, and the caller contains it.
pub(crate) fn print<T: Serialize + ?Sized>(value: &T, form: Form) -> Option<Print> {
    match form {
        Form::Readable => print_by::<ReadableRules, T>(value),
        Form::Compact => print_by::<CompactRules, T>(value),
    }
}

fn print_by<R: Rules, T: Serialize + ?Sized>(value: &T) -> Option<Print> {
    let mut mixer = Mixer::<R> { state: SEED, asked: Cell::new(false), rules: PhantomData };
    Encoder::new(&mut mixer).whole(value).ok()?;
    Some(Print { mixed: mixer.state, has_forms: mixer.asked.get() })
}

struct ReadableRules;

impl Rules for ReadableRules {
    const READABLE: bool = true;
    const EXACT: bool = true;
}

struct CompactRules;

impl Rules for CompactRules {
    const READABLE: bool = false;
    const EXACT: bool = true;
}

/// The fraction of pi in two words.
const SEED: u64 = 0x243f_6a88_85a3_08d3;
const FACTOR: u64 = 0x1319_8a2e_0370_7345;

/// Hashes an encoding into 64 bits. Fast, and not cryptographic: an adversary that chooses values could store any value
/// anyway.
struct Mixer<R> {
    /// The hash of all bytes so far.
    state: u64,
    /// Whether a value asked for its form.
    asked: Cell<bool>,
    rules: PhantomData<R>,
}

impl<R> Mixer<R> {
    #[inline]
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(FACTOR);
        // The rotation makes the state depend on the order of words.
        self.state = (product as u64 ^ (product >> 64) as u64).rotate_left(23).wrapping_add(SEED);
    }
}

impl<R: Rules> Sink for Mixer<R> {
    type Rules = R;

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let (chunks, rest) = bytes.as_chunks();
        for chunk in chunks {
            self.mix(u64::from_le_bytes(*chunk));
        }
        // At most seven bytes and their number.
        if !rest.is_empty() {
            self.mix(word(rest) | (rest.len() as u64) << 56);
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self, tag: u8, little_endian: &[u8]) -> Result<(), EncodeError> {
        self.state = self.state.rotate_left(u32::from(tag)).wrapping_add(u64::from(tag));
        self.write(little_endian)
    }

    #[inline]
    fn form_was_asked_for(&self) {
        self.asked.set(true);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeSet, HashMap, HashSet},
        net::SocketAddrV6,
    };

    use super::*;

    fn both<T: Serialize + ?Sized>(value: &T) -> [u64; 2] {
        [Form::Readable, Form::Compact].map(|form| print(value, form).unwrap().mixed)
    }

    fn set(elements: impl Iterator<Item = u32>) -> HashSet<u32> {
        elements.collect()
    }

    #[test]
    fn hash_sets_and_maps_are_the_same_in_any_order_and_lists_are_not() {
        let (up, down) = (set(0..100), set((0..100).rev()));
        assert_eq!(both(&(1, vec![&up])), both(&(1, vec![&down])));
        assert_ne!(both(&up), both(&set(1..101)));
        assert_ne!(both(&vec![1, 2]), both(&vec![2, 1]));
        assert_ne!(both(&vec![set(0..1), set(1..2)]), both(&vec![set(1..2), set(0..1)]));
        assert_eq!(both(&BTreeSet::from([1, 2])), both(&vec![1, 2]));
        let of = |keys: &mut dyn Iterator<Item = u32>| {
            keys.map(|key| (key, set(0..key))).collect::<HashMap<_, _>>()
        };
        assert_eq!(both(&of(&mut (0..50))), both(&of(&mut (0..50).rev())));
    }

    #[test]
    fn what_looks_alike_in_bytes_is_told_apart() {
        assert_ne!(both(&1_u8), both(&1_i8));
        assert_ne!(both(&1_u8), both(&1_u64));
        assert_ne!(both(&0.0_f64), both(&-0.0_f64));
        assert_ne!(both(&"a"), both(&'a'));
        assert_ne!(both(&f64::NAN), both(&f64::from_bits(f64::NAN.to_bits() | 1)));
        let texts: HashSet<[u64; 2]> = (0..100).map(|length| both(&"\0".repeat(length))).collect();
        assert_eq!(texts.len(), 100);
    }

    #[test]
    fn each_form_has_parts_that_the_other_one_leaves_out() {
        let address = |scope| SocketAddrV6::new(std::net::Ipv6Addr::LOCALHOST, 80, 0, scope);
        assert_eq!(print(&address(1), Form::Compact), print(&address(2), Form::Compact));
        let within = HashMap::from([(1, HashSet::from([address(1)]))]);
        assert!(print(&within, Form::Compact).unwrap().has_forms);
        assert!(!print(&HashMap::from([(1, "text")]), Form::Compact).unwrap().has_forms);
        assert_ne!(print(&address(1), Form::Readable), print(&address(2), Form::Readable));
    }

    #[test]
    fn a_serialize_that_gives_up_has_no_print() {
        struct Refusing;
        impl Serialize for Refusing {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("no"))
            }
        }
        assert_eq!(print(&Refusing, Form::Compact), None);
    }
}
