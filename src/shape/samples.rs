//! What is handed to a type that asks for a leaf, in the order in which it is tried.
//!
//! The first sample is what most types take. The others are there for types that validate: each was put in for a
//! format that occurs in the field. More may be added at any time; the description of a type does not hold them.

/// Text, for dates, identifiers, addresses, codes and whatever else is parsed from a string.
pub(super) const STRINGS: &[&str] = &[
    "",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00",
    "2026-01-01 00:00:00",
    "00:00:00",
    "01234567-89ab-4cde-8f01-23456789abcd",
    "http://example.com/",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "[::1]:80",
    "127.0.0.0/8",
    "1",
    "a",
    "A",
    "someone@example.com",
    "example.com",
    "1.0",
    "1.0.0",
    "-1",
    "true",
    "UTC",
    "+00:00",
    "Europe/Berlin",
    "1s",
    "PT1S",
    "en",
    "en-US",
    "US",
    "USD",
    "GET",
    "text/plain",
    "/",
    "/a",
    "#000000",
    "+14155550100",
    "01:23:45:67:89:ab",
    "deadbeef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef01234567",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "AAAA",
    "Mon",
    "Jan",
    "2026-01-01T00:00:00+00:00[UTC]",
    "{}",
    "[]",
];

/// Bytes, mostly of the lengths that identifiers, addresses and digests have.
pub(super) const BYTES: &[&[u8]] = &[
    &[],
    &[1; 16],
    &[1; 32],
    &[1; 1],
    &[1; 4],
    &[1; 8],
    &[1; 6],
    &[1; 12],
    &[1; 20],
    &[1; 24],
    &[1; 28],
    &[1; 33],
    &[1; 48],
    &[1; 64],
    &[0; 16],
    &[0; 32],
];

pub(super) const BOOLS: &[bool] = &[false, true];

pub(super) const CHARS: &[char] = &['a', 'A', '1', ' ', '\0'];

pub(super) const FLOATS: &[f64] = &[1.0, 0.0, 0.5, -1.0, 2.0, 10.0, 100.0, 1000.0];

/// How many entries a list or a map has: one shows the type of its entries, none ends a recursion.
pub(super) const COUNTS: &[usize] = &[1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 20, 24, 32, 48, 64, 128, 256];

/// The place of an empty list in [`COUNTS`].
pub(super) const EMPTY: usize = 1;

/// 1 is a month, a day, a divisor and not zero, so it comes first.
const INTEGERS: &[i128] = &[
    1,
    0,
    2,
    3,
    4,
    -1,
    7,
    8,
    10,
    12,
    16,
    32,
    64,
    100,
    128,
    200,
    255,
    256,
    443,
    1000,
    1024,
    2026,
    4096,
    8080,
    65_535,
    65_536,
    1_000_000,
    1_767_225_600,
    1_767_225_600_000,
];

/// Those of the integers that `T` can hold.
pub(super) fn integers<T: TryFrom<i128>>() -> impl Iterator<Item = T> + Clone {
    INTEGERS.iter().filter_map(|&integer| T::try_from(integer).ok())
}
