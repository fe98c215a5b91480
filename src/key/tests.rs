//! Equal and different keys; the golden digests of format 1; and, in `oracle`, that the encoding of every value can be
//! parsed back.

mod claims;
mod golden;
mod mechanics;
mod oracle;

use serde::Serialize;

use super::{
    Digest, MemoKey, compact_and_head, digest, encode, head,
    sink::{Buffer, ForKeys},
};

/// The digest of a key that can be serialized, which one run of its serializer gives beside its head.
#[track_caller]
fn key<K: Serialize + ?Sized>(key: &K) -> Digest {
    let digest = digest(key).unwrap();
    let (mut encoded, mut long_head) = (MemoKey::default(), Vec::new());
    compact_and_head(key, &mut encoded, &mut long_head).unwrap();
    let its_head = if encoded.words().is_some() { encoded.bytes() } else { long_head };
    assert_eq!((encoded.digest(), its_head), (digest, head(key)));
    digest
}

/// The whole encoding, of which the digest and the head are made.
#[track_caller]
fn encoded<K: Serialize + ?Sized>(key: &K) -> Vec<u8> {
    let mut buffer = Buffer::<ForKeys>::default();
    encode(key, &mut buffer).unwrap();
    buffer.bytes
}

/// All of them are one key.
macro_rules! same {
    ($first:expr, $($other:expr),+ $(,)?) => {$(
        assert_eq!(key(&$first), key(&$other), "{} and {}", stringify!($first), stringify!($other));
    )+};
}

/// No two of them are one key.
macro_rules! differ {
    ($($key:expr),+ $(,)?) => {{
        let keys = [$((key(&$key), stringify!($key))),+];
        for (at, (one, name)) in keys.iter().enumerate() {
            for (other, other_name) in &keys[..at] {
                assert_ne!(one, other, "{name} and {other_name}");
            }
        }
    }};
}

/// A key with a `Serialize` written on the spot.
macro_rules! written {
    (|$serializer:ident| $body:expr) => {{
        struct Written;
        impl serde::Serialize for Written {
            fn serialize<S: serde::Serializer>(&self, $serializer: S) -> Result<S::Ok, S::Error> {
                $body
            }
        }
        Written
    }};
}

use {differ, same, written};
