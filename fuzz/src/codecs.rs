//! The codecs: decoding any bytes is an error or a value, never a panic.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use memolith::codec::{Codec, Json, Payload, Postcard};
use serde::{Deserialize, Serialize};

/// A field of every kind in serde's data model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Rich {
    numbers: (u8, i16, u32, i64, u128, i128),
    letter: char,
    text: Arc<str>,
    choices: Vec<Choice>,
    named: BTreeMap<String, Option<Vec<bool>>>,
    address: IpAddr,
    took: Duration,
    unit: (),
    result: Result<u8, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Unit,
    Newtype(Box<Choice>),
    Tuple(u8, String),
    Struct { left: Option<i32>, right: Vec<u16> },
}

/// Decodes bytes as a value of some type, and checks the value.
type Decode = fn(&[u8]);

/// Lengths of lists, maps and texts, where an attacker would lie; a tree, where the stack ends.
pub const CODECS: [(&str, Decode); 12] = [
    ("postcard: rich", |bytes| decode::<Rich>(&Postcard, bytes)),
    ("postcard: wide elements", |bytes| decode::<Vec<[u64; 32]>>(&Postcard, bytes)),
    ("postcard: lists of lists", |bytes| decode::<Vec<Vec<Vec<u8>>>>(&Postcard, bytes)),
    ("postcard: texts", |bytes| decode::<Vec<String>>(&Postcard, bytes)),
    ("postcard: map", |bytes| decode::<BTreeMap<u64, (String, u128)>>(&Postcard, bytes)),
    ("postcard: set", |bytes| decode::<BTreeSet<Option<u64>>>(&Postcard, bytes)),
    ("postcard: slice", |bytes| decode::<Arc<[u64]>>(&Postcard, bytes)),
    ("postcard: boxes", |bytes| decode::<Vec<Box<(u8, Option<Box<u64>>)>>>(&Postcard, bytes)),
    ("json: rich", |bytes| decode::<Rich>(&Json, bytes)),
    ("json: any", |bytes| decode::<serde_json::Value>(&Json, bytes)),
    ("json: texts", |bytes| decode::<Vec<String>>(&Json, bytes)),
    ("json: wide elements", |bytes| decode::<Vec<[u64; 32]>>(&Json, bytes)),
];

/// A decoded value is encoded and decoded to itself.
fn decode<V: Debug + PartialEq>(codec: &impl Codec<V>, bytes: &[u8]) {
    let Ok(value) = codec.decode(&Payload::from(bytes.to_vec())) else { return };
    let mut again = Vec::new();
    // JSON refuses a value that it could not read back: then there is nothing to check.
    if codec.encode(&value, &mut again).is_ok() {
        assert_eq!(codec.decode(&Payload::from(again)).unwrap(), value);
    }
}

/// The first byte chooses the codec and the type.
pub fn codec(data: &[u8]) {
    if let Some((first, bytes)) = data.split_first() {
        CODECS[usize::from(*first) % CODECS.len()].1(bytes);
    }
}
