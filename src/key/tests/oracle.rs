//! Any value can be parsed back from its encoding.
//!
//! What can be parsed back to the value that was written has one encoding for one value: that is what "two different
//! keys never encode alike" means.

mod parser;
mod value;

use proptest::{collection::vec, prelude::*, sample::select};

use self::{
    parser::Parser,
    value::{Body, NAMES, Oracle},
};
use super::{encoded, key};

fn leaf() -> impl Strategy<Value = Oracle> {
    let unsigned = (select(&[1u32, 2, 4, 8, 16][..]), any::<u128>())
        .prop_map(|(width, n)| Oracle::Unsigned(width, n >> (128 - 8 * width)));
    let signed = (select(&[1u32, 2, 4, 8, 16][..]), any::<i128>())
        .prop_map(|(width, n)| Oracle::Signed(width, n >> (128 - 8 * width)));
    prop_oneof![
        Just(Oracle::Unit),
        Just(Oracle::None),
        any::<bool>().prop_map(Oracle::Bool),
        (0..3u128).prop_map(|n| Oracle::Unsigned(1, n)),
        unsigned,
        signed,
        prop_oneof![any::<u32>(), Just(f32::NAN.to_bits()), Just((-f32::NAN).to_bits())]
            .prop_map(Oracle::F32),
        prop_oneof![any::<u64>(), Just((-0.0f64).to_bits()), Just((-f64::NAN).to_bits())]
            .prop_map(Oracle::F64),
        any::<char>().prop_map(Oracle::Char),
        "[ab\u{0}\u{31}ö]{0,3}".prop_map(Oracle::Text),
        "[a]{120,300}".prop_map(Oracle::Text),
        vec(select(&[0u8, 1, 0x31, 0x40, 0xff][..]), 0..4).prop_map(Oracle::Bytes),
    ]
}

fn body(inner: impl Strategy<Value = Oracle> + Clone) -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::Unit),
        inner.clone().prop_map(|value| Body::Newtype(Box::new(value))),
        vec(inner.clone(), 0..4).prop_map(Body::Tuple),
        vec((select(NAMES), proptest::option::of(inner)), 0..4).prop_map(Body::Fields),
    ]
}

fn oracle() -> impl Strategy<Value = Oracle> {
    leaf().prop_recursive(4, 48, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|value| Oracle::Some(Box::new(value))),
            vec(inner.clone(), 0..4).prop_map(Oracle::Sequence),
            vec(inner.clone(), 0..4).prop_map(Oracle::Tuple),
            vec((inner.clone(), inner.clone()), 0..4).prop_map(Oracle::Map),
            (select(NAMES), body(inner.clone())).prop_map(|(name, body)| Oracle::Struct(name, body)),
            (select(NAMES), any::<u32>(), select(NAMES), body(inner))
                .prop_map(|(name, index, variant, body)| Oracle::Variant(name, index, variant, body)),
        ]
    })
}

/// Pairs of them are equal about as often as not.
fn small() -> impl Strategy<Value = Oracle> {
    let leaf =
        prop_oneof![Just(Oracle::Unit), Just(Oracle::Text(String::new())), Just(Oracle::Unsigned(1, 0))];
    leaf.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..2).prop_map(Oracle::Sequence),
            vec(inner.clone(), 0..2).prop_map(Oracle::Tuple),
            vec((inner.clone(), inner), 0..3).prop_map(Oracle::Map),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_value_can_be_parsed_back_from_its_encoding(value in oracle()) {
        prop_assert_eq!(Parser::parse(&encoded(&value)).canonical(), value.canonical());
    }

    #[test]
    fn two_values_are_one_key_exactly_when_they_are_one_value(one in small(), other in small()) {
        let (keys, encodings) = (key(&one) == key(&other), encoded(&one) == encoded(&other));
        let values = one.canonical() == other.canonical();
        prop_assert_eq!(keys, values);
        prop_assert_eq!(encodings, values);
    }
}
