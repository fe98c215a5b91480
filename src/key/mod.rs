//! Keys: any `Serialize` becomes 32 bytes, and two keys that differ never become the same ones.
//!
//! # Why not the bytes of postcard
//!
//! They are made to be read back by somebody who knows the type; they do not describe themselves, so keys of one
//! type can share them. Tried: as `serde_json::Value` the keys `false`, `0`, `""`, `[]` and `{}` are all one zero
//! byte, and in a struct with two `skip_serializing_if` fields min=5 is the same as max=5. One such pair is one
//! wrong answer. So the encoding below says what it writes: it can be parsed without the type, hence it is
//! injective, and it is streamed into SHA-256, so no key is ever too large and the digest stands for the key.
//!
//! # The grammar, format 1
//!
//! Stable for ever: the entries on disk are found by it, and golden digests in the tests pin it. A change is a new
//! format number, and with it a miss for every entry.
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
//! No value starts with `00`, so an end can be told from an element, and a sequence streams whether or not its
//! length is known: both give the same bytes.
//!
//! # What is the same key
//!
//! - `String`, `&str`, `Cow<str>`, `Box<str>`; `Vec`, slice, `Box<[T]>`; `&T`, `Box<T>`, `Arc<T>` and `T`. A
//!   `HashMap` and a `BTreeMap` of equal entries. Two `HashSet`s of equal elements.
//! - A path and the text of it.
//! - All NaN of one width.
//!
//! # What is another key
//!
//! - 1u8 and 1u32; 1 and 1.0 and true and "1"; `'a'` and "a"; `None`, `()` and `Some(())`; 0.0 and -0.0; an array or a
//!   tuple and a slice of the same elements (serde writes an array as a tuple).
//! - After a refactoring, and then each entry is computed anew: a struct, an enum, a field or a variant under
//!   another serialized name (`rename` keeps the old one), fields in another order, a variant at another index, a
//!   field that was added or removed. Names of modules and crates are not part of it.
//! - A hashed set and a list or a `BTreeSet` of the same elements. A hashed set in another order, where its type is not seen:
//!   in a `#[serde(transparent)]` or untagged type, in one with a `Serialize` written by hand, in a crate that `kinds` does not
//!   know. [`unordered`](crate::unordered) is for these.
//!
//! # What no encoding can repair
//!
//! What a `Serialize` leaves out is not part of the key: a `#[serde(skip)]` field, the variant of an untagged enum, the
//! flow information of a `SocketAddrV6`. The encoding calls itself human-readable, because the readable form is the
//! one that keeps more (the scope of a `SocketAddrV6` is in no other), and because it makes the head legible.

mod canonical;
mod compact;
mod kinds;
mod print;
mod serializer;
mod sink;
#[cfg(test)]
mod tests;

use serde::Serialize;

#[cfg(feature = "testing")]
use self::sink::{Buffer, ForKeys};
use self::{
    canonical::{encode, unserializable},
    sink::{DigestHasher, KeyHead},
};
pub(crate) use self::{
    compact::{Compact, compact},
    print::{Form, print},
    serializer::UNORDERED,
    sink::Digest,
};
use crate::error::Result;

/// The digest of `key`, without an allocation unless the key holds a map or is displayed into a string.
///
/// An error is the `Serialize` of the key giving up. Its panic unwinds: the caller has the fence.
pub(crate) fn digest<K: Serialize + ?Sized>(key: &K) -> Result<Digest> {
    let mut hasher = DigestHasher::new();
    encode(key, &mut hasher).map_err(unserializable)?;
    Ok(hasher.finish())
}

/// The first [`KeyHead::LIMIT`] bytes of what the digest is taken from, for inspection.
///
/// The serializer is stopped once they are there. Of a key that cannot be serialized it is what came before.
pub(crate) fn head<K: Serialize + ?Sized>(key: &K) -> Vec<u8> {
    let mut head = KeyHead::default();
    // Either stop is an end: a full head, or a key for which `digest` reports the error.
    let _ = encode(key, &mut head);
    head.into_bytes()
}

/// The whole of what the digest is taken from.
#[cfg(feature = "testing")]
pub(crate) fn encoding<K: Serialize + ?Sized>(key: &K) -> Result<Vec<u8>> {
    let mut buffer = Buffer::<ForKeys>::default();
    encode(key, &mut buffer).map_err(unserializable)?;
    Ok(buffer.bytes)
}
