//! Keys: the digest of any `Serialize`. Different keys have different digests.
//!
//! # Why not the bytes of postcard
//!
//! The bytes of postcard can be read only with their type, so two keys of one type can have equal bytes. Tested: as
//! `serde_json::Value` the keys `false`, `0`, `""`, `[]` and `{}` are all one zero byte, and in a struct with two
//! `skip_serializing_if` fields min=5 and max=5 have equal bytes. One such pair is one wrong answer. The encoding below
//! can be parsed without the type, hence it is injective. It is streamed into SHA-256, so keys of any size work.
//!
//! # The grammar, format 1
//!
//! It never changes, because the entries on disk are found by it. Golden digests in the tests pin it. A change would be a
//! new format number, and every lookup would miss.
//!
//! ```text
//! key       = 01 value                        the format number
//!
//! value     = 01                              ()
//!           | 02                              None
//!           | 03 value                        Some
//!           | 04 | 05                         false, true
//!           | 10 | 11 | 12 | 13 | 14  number  u8, u16, u32, u64 (and usize), u128: little-endian, 1 to 16 bytes
//!           | 18 | 19 | 1a | 1b | 1c  number  i8, i16, i32, i64 (and isize), i128: likewise, two's complement
//!           | 20 | 21  number                 f32, f64: IEEE bits, little-endian; each NaN is the one quiet NaN
//!           | 30 number                       char: its code point in 4 bytes, little-endian
//!           | 31 text                         str, String, what is displayed into one, and a path that is UTF-8
//!           | 32 count byte*                  bytes, as `serde_bytes` writes them, and a path that is not UTF-8
//!           | 40 value* 00                    sequence: slice, Vec, BTreeSet; HashSet: values by their bytes
//!           | 41 value* 00                    tuple, array
//!           | 42 (value value)* 00            map: entries by the bytes of their keys, equal keys as they came
//!           | 50 name                         struct A;
//!           | 51 name value                   struct A(x);
//!           | 52 name value* 00               struct A(x, y);
//!           | 53 name field* 00               struct A { .. }
//!           | 58 variant                      E::A
//!           | 59 variant value                E::A(x)
//!           | 5a variant value* 00            E::A(x, y)
//!           | 5b variant field* 00            E::A { .. }
//! field     = 60 name value                   as serialized, in the order of declaration
//!           | 61 name                         left out by `skip_serializing_if`
//! variant   = name count name                 of the enum; index and name of the variant
//! text, name = count byte*                    UTF-8
//! count     = byte+                           LEB128: 7 bits a byte, the lowest first, the high bit says that more follow
//! ```
//!
//! No value starts with `00`, so an end differs from every element. A sequence streams with and without a known length, and
//! has the same bytes in both cases.
//!
//! # Equal keys
//!
//! - `String`, `&str`, `Cow<str>`, `Box<str>`; `Vec`, slice, `Box<[T]>`; `&T`, `Box<T>`, `Arc<T>` and `T`. A
//!   `HashMap` and a `BTreeMap` of equal entries. Two `HashSet`s of equal elements.
//! - A path and its text.
//! - All NaN of one width.
//!
//! # Different keys
//!
//! - 1u8 and 1u32; 1 and 1.0 and true and "1"; `'a'` and "a"; `None`, `()` and `Some(())`; 0.0 and -0.0; an array or a
//!   tuple and a slice of the same elements (serde writes an array as a tuple).
//! - Keys before and after some refactorings: another serialized name of a struct, an enum, a field or a variant (`rename`
//!   keeps the old one), another order of fields, another index of a variant, a field that is added or removed. Names of
//!   modules and crates are not part of the key.
//! - A hashed set and a list or a `BTreeSet` of the same elements. Equal hashed sets in different orders, if their type is
//!   not recognized: in a `#[serde(transparent)]` or untagged type, in one with a `Serialize` written by hand, in a crate
//!   that `kinds` does not know. [`unordered`](crate::unordered) is for these.
//!
//! # Limits of every encoding
//!
//! Parts that `Serialize` leaves out are not part of the key: a `#[serde(skip)]` field, the variant of an untagged enum, the
//! flow information of a `SocketAddrV6`. The encoder is human-readable for serde, because the readable form keeps more (only
//! it has the scope of a `SocketAddrV6`), and because it makes the head legible.

mod canonical;
mod compact;
mod kinds;
mod print;
mod serializer;
mod sink;
#[cfg(test)]
mod tests;
mod text;

use serde::Serialize;

#[cfg(feature = "testing")]
use self::sink::{Buffer, ForKeys};
pub use self::text::KeyText;
use self::{
    canonical::{encode, unserializable},
    sink::{DigestHasher, KeyHead},
};
pub(crate) use self::{
    compact::{MemoKey, PoolKey, compact, compact_and_head, hash_words},
    print::{Form, print},
    serializer::UNORDERED,
    sink::Digest,
};
use crate::{error::Result, hash::Hasher};

/// The digest of `key`. It allocates only for maps, sets and parts that are displayed into a string.
///
/// It fails if the `Serialize` of the key fails. A panic of it unwinds, and the caller contains it.
pub(crate) fn digest<K: Serialize + ?Sized>(key: &K) -> Result<Digest> {
    let mut hasher = DigestHasher::new();
    encode(key, &mut hasher).map_err(unserializable)?;
    Ok(hasher.finish())
}

/// The first [`KeyHead::LIMIT`] bytes of the canonical encoding, for inspection.
///
/// The serializer is stopped after them. For a key that cannot be serialized it is the part before the error.
pub(crate) fn head<K: Serialize + ?Sized>(key: &K) -> Vec<u8> {
    let mut head = KeyHead::with_room();
    // The error is either a full head, or one that `digest` reports.
    let _ = encode(key, &mut head);
    head.into_bytes()
}

/// A digest that is made from that of a key and from `content`. Each `domain` is a kind of content.
///
/// No key has the digest: an encoding begins with its format number, and this begins with a letter.
pub(crate) fn derived(key: &Digest, domain: &str, content: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    for part in [domain.as_bytes(), b"\0", key.as_bytes(), content] {
        hasher.update(part);
    }
    Digest::from_bytes(hasher.finish())
}

/// The whole canonical encoding.
#[cfg(feature = "testing")]
pub(crate) fn encoding<K: Serialize + ?Sized>(key: &K) -> Result<Vec<u8>> {
    let mut buffer = Buffer::<ForKeys>::default();
    encode(key, &mut buffer).map_err(unserializable)?;
    Ok(buffer.bytes)
}
