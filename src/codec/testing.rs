//! Shared by the tests of the codecs: a type with many parts, and a round trip.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use serde::{Deserialize, Serialize};

use super::Codec;
use crate::error::Result;

/// Has values of every type of serde's data model that are equal to themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rich {
    numbers: (u8, i16, u32, i64, u128, i128, f32, f64),
    letter: char,
    text: Arc<str>,
    choices: Vec<Choice>,
    named: BTreeMap<String, Option<Vec<bool>>>,
    counted: HashMap<u64, [i8; 3]>,
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
    Struct { left: Option<i32>, right: Wrapper },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapper(Vec<u16>);

fn choice() -> impl Strategy<Value = Choice> {
    let leaf = prop_oneof![
        Just(Choice::Unit),
        any::<(u8, String)>().prop_map(|(number, text)| Choice::Tuple(number, text)),
        any::<(Option<i32>, Vec<u16>)>()
            .prop_map(|(left, right)| Choice::Struct { left, right: Wrapper(right) }),
    ];
    leaf.prop_recursive(4, 8, 1, |inner| inner.prop_map(|choice| Choice::Newtype(Box::new(choice))))
}

/// Any [`Rich`] value.
pub(super) fn rich() -> impl Strategy<Value = Rich> {
    let scalars = (any::<(u8, i16, u32, i64, u128, i128, f32, f64)>(), any::<char>(), any::<IpAddr>());
    let parts = (any::<String>(), vec(choice(), 0..5), any::<BTreeMap<String, Option<Vec<bool>>>>());
    let rest = (any::<HashMap<u64, [i8; 3]>>(), any::<Duration>(), any::<Result<u8, String>>());
    (scalars, parts, rest).prop_map(
        |((numbers, letter, address), (text, choices, named), (counted, took, result))| Rich {
            numbers,
            letter,
            text: text.into(),
            choices,
            named,
            counted,
            address,
            took,
            unit: (),
            result,
        },
    )
}

pub(super) fn encoded<V, C: Codec<V>>(codec: &C, value: &V) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    codec.encode(value, &mut bytes)?;
    Ok(bytes)
}

pub(super) fn round_trip<V, C: Codec<V>>(codec: &C, value: &V) -> Result<V> {
    codec.decode(&encoded(codec, value)?.into())
}

/// Decodes `bytes` as a value of the type of `like`.
pub(super) fn hostile<V, C: Codec<V>>(codec: &C, like: &V, bytes: Vec<u8>) -> Result<V> {
    let _ = like;
    codec.decode(&bytes.into())
}

/// A writer without room.
pub(super) struct FullDisk;

impl Write for FullDisk {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
