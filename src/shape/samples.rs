//! The samples for leaves, in the order in which they are tried.
//!
//! Most types accept the first sample. The others are for types that validate: each is valid in a format that is in use.
//! More may be added at any time, because they are not part of the description of a type. [`Hints`] makes more samples from
//! error messages.

use super::{
    hints::Hints,
    texts::{ALPHABET, ALPHABETS, TEXTS, of_length},
};

/// The samples of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SamplePool {
    /// This many alternatives of the type: its variants, or `Some` and `None`.
    Alternatives(usize),
    /// The number of entries of a list or a map.
    Counts,
    Bools,
    Integers,
    Floats,
    Chars,
    Texts,
    Bytes,
    /// A unit or a text, for a place of any type.
    Any,
}

impl SamplePool {
    /// Whether another pick changes only this leaf, and not the parts after it.
    pub(super) fn is_leaf(self) -> bool {
        !matches!(self, Self::Alternatives(_) | Self::Counts)
    }

    /// Number of samples. Hints come after them.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Alternatives(count) => count,
            Self::Counts => COUNTS + LONG_COUNTS.len(),
            Self::Bools => 2,
            Self::Integers => INTEGERS.len(),
            Self::Floats => FLOATS.len(),
            Self::Chars => CHARS.len(),
            Self::Texts => texts(),
            Self::Bytes => LENGTHS + BYTES.len() + TEXTS.len(),
            Self::Any => 1 + texts(),
        }
    }

    /// Whether hints come after the samples.
    pub(super) fn is_hinted(self) -> bool {
        !matches!(self, Self::Alternatives(_) | Self::Bools)
    }

    /// Whether a hint is a sample of this pool.
    pub(super) fn suits(self, hint: &str) -> bool {
        match self {
            Self::Alternatives(_) | Self::Bools => false,
            Self::Counts => hint.parse::<usize>().is_ok_and(|count| count <= LONGEST),
            Self::Integers => hint.parse::<i128>().is_ok(),
            Self::Floats => hint.parse::<f64>().is_ok(),
            Self::Chars => hint.chars().nth(1).is_none(),
            Self::Texts | Self::Bytes | Self::Any => true,
        }
    }
}

/// A choice of a sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) pick: usize,
    pub(super) pool: SamplePool,
}

/// The text of a leaf in an error message.
pub(super) fn shown(hints: &Hints, choice: Choice) -> String {
    let pick = choice.pick;
    match choice.pool {
        SamplePool::Integers => integer::<i128>(hints, pick).to_string(),
        SamplePool::Floats => float(hints, pick).to_string(),
        SamplePool::Chars => char(hints, pick).into(),
        SamplePool::Texts => text(hints, pick).into(),
        SamplePool::Any => any(hints, pick).unwrap_or_default().into(),
        SamplePool::Alternatives(_) | SamplePool::Counts | SamplePool::Bools | SamplePool::Bytes => {
            String::new()
        }
    }
}

pub(super) fn bool(_: &Hints, pick: usize) -> bool {
    pick == 1
}

/// A number out of range becomes one in range.
pub(super) fn integer<T: TryFrom<i128> + Default>(hints: &Hints, pick: usize) -> T {
    let hint = || hints.get(pick - INTEGERS.len())?.parse().ok();
    let integer = INTEGERS.get(pick).copied().or_else(hint).unwrap_or(1);
    T::try_from(integer).or_else(|_| T::try_from(integer.rem_euclid(128))).unwrap_or_default()
}

pub(super) fn float(hints: &Hints, pick: usize) -> f64 {
    let hint = || hints.get(pick - FLOATS.len())?.parse().ok();
    FLOATS.get(pick).copied().or_else(hint).unwrap_or(1.0)
}

pub(super) fn char(hints: &Hints, pick: usize) -> char {
    let hint = || hints.get(pick - CHARS.len())?.chars().next();
    CHARS.get(pick).copied().or_else(hint).unwrap_or('a')
}

pub(super) fn text(hints: &Hints, pick: usize) -> &str {
    let of_a_length = || of_length(pick - TEXTS.len());
    let hint = || hints.get(pick - texts());
    TEXTS.get(pick).copied().or_else(of_a_length).or_else(hint).unwrap_or_default()
}

pub(super) fn bytes(hints: &Hints, pick: usize) -> &[u8] {
    if pick < LENGTHS {
        return ONES.get(..length(pick)).unwrap_or_default();
    }
    let pick = pick - LENGTHS;
    let text = || TEXTS.get(pick - BYTES.len()).map(|text| text.as_bytes());
    let hint = || hints.get(pick - BYTES.len() - TEXTS.len()).map(as_bytes);
    BYTES.get(pick).copied().or_else(text).or_else(hint).unwrap_or_default()
}

pub(super) fn any(hints: &Hints, pick: usize) -> Option<&str> {
    pick.checked_sub(1).map(|pick| text(hints, pick))
}

/// One entry explores the type of the entries. No entry ends a recursion.
pub(super) fn count(hints: &Hints, pick: usize) -> usize {
    let hint = || hints.get(pick - COUNTS - LONG_COUNTS.len())?.parse().ok();
    match pick {
        0 => 1,
        EMPTY => 0,
        2..COUNTS => pick,
        _ => LONG_COUNTS.get(pick - COUNTS).copied().or_else(hint).unwrap_or(1),
    }
}

/// The pick of an empty list.
pub(super) const EMPTY: usize = 1;

/// Every count below this one is tried.
const COUNTS: usize = 65;
const LONG_COUNTS: &[usize] = &[96, 128, 256];
/// Maximum length of a list.
const LONGEST: usize = 1024;

/// Bytes of the lengths that identifiers, addresses, keys and digests have, then of every other length up to 64.
const COMMON: &[usize] = &[0, 16, 32, 1, 4, 8, 6, 12, 20, 24, 28, 33, 48, 64];
const LENGTHS: usize = COMMON.len() + 65;
static ONES: [u8; LONGEST] = [1; LONGEST];

fn length(pick: usize) -> usize {
    COMMON.get(pick).copied().unwrap_or_else(|| pick - COMMON.len())
}

/// A hint that is a number is a length.
fn as_bytes(hint: &str) -> &[u8] {
    hint.parse().ok().and_then(|length| ONES.get(..length)).unwrap_or(hint.as_bytes())
}

fn texts() -> usize {
    TEXTS.len() + ALPHABET * ALPHABETS.len()
}

const CHARS: &[char] = &[
    'a', 'A', '1', ' ', '\0', '0', 'z', 'Z', '-', '+', '.', ',', '/', ':', '_', '#', '@', '?', '*', '=', 'x',
    'X', 'F', 'M', 'N', 'Y', 'é', 'ß', '漢', '€', '🦀',
];

#[rustfmt::skip]
const FLOATS: &[f64] = &[
    1.0, 0.0, 0.5, -1.0, 2.0, 10.0, 100.0, 1000.0, 0.1, 0.25, 0.01, 0.001, 0.000_001, 1.5, 3.0, 4.0, 5.0,
    7.0, 20.0, 37.0, 45.0, 50.0, 60.0, 90.0, 99.0, 180.0, 273.15, 300.0, 360.0, 500.0, 2026.0, 10_000.0,
    100_000.0, 1e6, 1e9, 1e12, 1e18, -0.5, -10.0, -45.0, -90.0, -100.0, -180.0, -1000.0, -1e6,
    f64::INFINITY, f64::NEG_INFINITY, f64::NAN,
];

/// 1 comes first, because it is a month, a day, a divisor and not zero. The numbers of 13 and 16 digits have valid check
/// digits, of a book and of a credit card.
#[rustfmt::skip]
const INTEGERS: &[i128] = &[
    1, 0, 2, 3, 4, -1, 7, 8, 10, 12, 16, 32, 64, 100, 128, 200, 255, 256, 443, 1000, 1024, 2026, 4096, 8080,
    65_535, 65_536, 1_000_000, 1_767_225_600, 1_767_225_600_000, 5, 6, 9, 11, 13, 15, 20, 24, 25, 30, 31,
    42, 50, 60, 80, 90, 99, 127, 150, 180, 250, 300, 360, 365, 400, 404, 500, 512, 840, 999, 1001, 1200,
    1440, 1900, 1970, 2000, 2048, 3600, 5000, 9999, 10_000, 12_345, 32_767, 32_768, 86_400, 100_000,
    202_601, 999_999, 10_000_000, 20_260_101, 1_000_000_000, 2_147_483_647, 4_294_967_295, 4_294_967_296,
    14_155_550_100, 1_000_000_000_000, 9_780_306_406_157, 4_111_111_111_111_111, 1_767_225_600_000_000,
    1_767_225_600_000_000_000, 9_223_372_036_854_775_807, 18_446_744_073_709_551_615, -2, -7, -10, -90,
    -100, -128, -180, -1000, -1_000_000,
];

/// Other bytes than ones: points on the curves of public keys, the heads of well-known files, encodings of nothing.
const BYTES: &[&[u8]] = &[
    &[0; 16],
    &[0; 32],
    &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    b"\x02\x79\xbe\x66\x7e\xf9\xdc\xbb\xac\x55\xa0\x62\x95\xce\x87\x0b\x07\x02\x9b\xfc\xdb\x2d\xce\x28\xd9\x59\xf2\x81\x5b\x16\xf8\x17\x98",
    &[0],
    &[0; 64],
    &[255; 4],
    &[255; 16],
    &[255; 32],
    &[0x30, 0],
    &[0x80],
    &[0xa0],
    &[0xc0],
    b"\x89PNG\r\n\x1a\n",
    b"\x7fELF",
    b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0",
];
