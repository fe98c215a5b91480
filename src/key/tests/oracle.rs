//! A value of every form that serde knows, and a parser of the grammar that shares nothing with the encoder.
//!
//! What can be parsed back to the value that was written has one encoding for one value: that is what "two different
//! keys never encode alike" means.

use proptest::{collection::vec, prelude::*, sample::select};
use serde::{
    Serialize, Serializer,
    ser::{
        SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::{encoded, key};

type Name = &'static str;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Oracle {
    Unit,
    None,
    Some(Box<Oracle>),
    Bool(bool),
    /// Its width in bytes, 1 to 16; no bit above it is set.
    Unsigned(u32, u128),
    Signed(u32, i128),
    F32(u32),
    F64(u64),
    Char(char),
    Text(String),
    Bytes(Vec<u8>),
    Sequence(Vec<Oracle>),
    Tuple(Vec<Oracle>),
    Map(Vec<(Oracle, Oracle)>),
    Struct(Name, Body),
    Variant(Name, u32, Name, Body),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Body {
    Unit,
    Newtype(Box<Oracle>),
    Tuple(Vec<Oracle>),
    /// A field without a value is skipped.
    Fields(Vec<(Name, Option<Oracle>)>),
}

const NAMES: &[Name] = &["", "a", "b", "ab", "ö", "a rather long name, as a rename can have"];

impl Serialize for Oracle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unit => serializer.serialize_unit(),
            Self::None => serializer.serialize_none(),
            Self::Some(value) => serializer.serialize_some(value),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Unsigned(1, n) => serializer.serialize_u8(*n as u8),
            Self::Unsigned(2, n) => serializer.serialize_u16(*n as u16),
            Self::Unsigned(4, n) => serializer.serialize_u32(*n as u32),
            Self::Unsigned(8, n) => serializer.serialize_u64(*n as u64),
            Self::Unsigned(_, n) => serializer.serialize_u128(*n),
            Self::Signed(1, n) => serializer.serialize_i8(*n as i8),
            Self::Signed(2, n) => serializer.serialize_i16(*n as i16),
            Self::Signed(4, n) => serializer.serialize_i32(*n as i32),
            Self::Signed(8, n) => serializer.serialize_i64(*n as i64),
            Self::Signed(_, n) => serializer.serialize_i128(*n),
            Self::F32(bits) => serializer.serialize_f32(f32::from_bits(*bits)),
            Self::F64(bits) => serializer.serialize_f64(f64::from_bits(*bits)),
            Self::Char(value) => serializer.serialize_char(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Sequence(elements) => serializer.collect_seq(elements),
            Self::Tuple(elements) => {
                let mut tuple = serializer.serialize_tuple(elements.len())?;
                elements.iter().try_for_each(|element| tuple.serialize_element(element))?;
                tuple.end()
            }
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
            Self::Struct(name, body) => body.serialize_struct(name, serializer),
            Self::Variant(name, index, variant, body) => {
                body.serialize_variant(name, *index, variant, serializer)
            }
        }
    }
}

impl Body {
    fn serialize_struct<S: Serializer>(&self, name: Name, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unit => serializer.serialize_unit_struct(name),
            Self::Newtype(value) => serializer.serialize_newtype_struct(name, value),
            Self::Tuple(elements) => {
                let mut tuple = serializer.serialize_tuple_struct(name, elements.len())?;
                elements.iter().try_for_each(|element| tuple.serialize_field(element))?;
                tuple.end()
            }
            Self::Fields(fields) => {
                let mut written = serializer.serialize_struct(name, fields.len())?;
                fields.iter().try_for_each(|(name, value)| match value {
                    Some(value) => written.serialize_field(name, value),
                    None => written.skip_field(name),
                })?;
                written.end()
            }
        }
    }

    fn serialize_variant<S: Serializer>(
        &self,
        name: Name,
        index: u32,
        variant: Name,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unit => serializer.serialize_unit_variant(name, index, variant),
            Self::Newtype(value) => serializer.serialize_newtype_variant(name, index, variant, value),
            Self::Tuple(elements) => {
                let mut tuple = serializer.serialize_tuple_variant(name, index, variant, elements.len())?;
                elements.iter().try_for_each(|element| tuple.serialize_field(element))?;
                tuple.end()
            }
            Self::Fields(fields) => {
                let mut written = serializer.serialize_struct_variant(name, index, variant, fields.len())?;
                fields.iter().try_for_each(|(name, value)| match value {
                    Some(value) => written.serialize_field(name, value),
                    None => written.skip_field(name),
                })?;
                written.end()
            }
        }
    }
}

/// The values that are one key are one value: maps in order, one NaN.
impl Oracle {
    fn canonical(self) -> Self {
        match self {
            Self::F32(bits) if f32::from_bits(bits).is_nan() => Self::F32(0x7fc0_0000),
            Self::F64(bits) if f64::from_bits(bits).is_nan() => Self::F64(0x7ff8_0000_0000_0000),
            Self::Some(value) => Self::Some(Box::new(value.canonical())),
            Self::Sequence(elements) => Self::Sequence(canonical(elements)),
            Self::Tuple(elements) => Self::Tuple(canonical(elements)),
            Self::Map(entries) => {
                let mut entries: Vec<_> =
                    entries.into_iter().map(|(key, value)| (key.canonical(), value.canonical())).collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                Self::Map(entries)
            }
            Self::Struct(name, body) => Self::Struct(name, body.canonical()),
            Self::Variant(name, index, variant, body) => {
                Self::Variant(name, index, variant, body.canonical())
            }
            other => other,
        }
    }
}

impl Body {
    fn canonical(self) -> Self {
        match self {
            Self::Unit => Self::Unit,
            Self::Newtype(value) => Self::Newtype(Box::new(value.canonical())),
            Self::Tuple(elements) => Self::Tuple(canonical(elements)),
            Self::Fields(fields) => Self::Fields(
                fields.into_iter().map(|(name, value)| (name, value.map(Oracle::canonical))).collect(),
            ),
        }
    }
}

fn canonical(elements: Vec<Oracle>) -> Vec<Oracle> {
    elements.into_iter().map(Oracle::canonical).collect()
}

/// Reads the grammar as the module documentation draws it.
struct Parser<'a>(&'a [u8]);

impl Parser<'_> {
    fn parse(encoding: &[u8]) -> Oracle {
        let mut parser = Parser(encoding);
        assert_eq!(parser.byte(), 0x01, "the format");
        let value = parser.value();
        assert!(parser.0.is_empty(), "left over: {:?}", parser.0);
        value
    }

    fn bytes(&mut self, count: usize) -> &[u8] {
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1)[0]
    }

    fn number(&mut self, width: u32) -> u128 {
        let mut bytes = [0; 16];
        bytes[..width as usize].copy_from_slice(self.bytes(width as usize));
        u128::from_le_bytes(bytes)
    }

    fn count(&mut self) -> u64 {
        let byte = u64::from(self.byte());
        if byte < 0x80 { byte } else { (byte & 0x7f) | (self.count() << 7) }
    }

    fn text(&mut self) -> String {
        let count = self.count() as usize;
        String::from_utf8(self.bytes(count).to_vec()).unwrap()
    }

    fn name(&mut self) -> Name {
        let name = self.text();
        NAMES.iter().find(|known| **known == name).unwrap()
    }

    fn boxed(&mut self) -> Box<Oracle> {
        Box::new(self.value())
    }

    fn until_end<T>(&mut self, mut element: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut elements = Vec::new();
        while self.0[0] != 0x00 {
            elements.push(element(self));
        }
        self.byte();
        elements
    }

    fn field(&mut self) -> (Name, Option<Oracle>) {
        match self.byte() {
            0x60 => (self.name(), Some(self.value())),
            0x61 => (self.name(), None),
            other => panic!("{other:x} is no field"),
        }
    }

    fn body(&mut self, form: u8) -> Body {
        match form {
            0 => Body::Unit,
            1 => Body::Newtype(self.boxed()),
            2 => Body::Tuple(self.until_end(Self::value)),
            _ => Body::Fields(self.until_end(Self::field)),
        }
    }

    fn value(&mut self) -> Oracle {
        match self.byte() {
            0x01 => Oracle::Unit,
            0x02 => Oracle::None,
            0x03 => Oracle::Some(self.boxed()),
            0x04 => Oracle::Bool(false),
            0x05 => Oracle::Bool(true),
            tag @ 0x10..=0x14 => Oracle::Unsigned(1 << (tag - 0x10), self.number(1 << (tag - 0x10))),
            tag @ 0x18..=0x1c => {
                let width = 1 << (tag - 0x18);
                let above = 128 - 8 * width;
                Oracle::Signed(width, (self.number(width) << above).cast_signed() >> above)
            }
            0x20 => Oracle::F32(self.number(4) as u32),
            0x21 => Oracle::F64(self.number(8) as u64),
            0x30 => Oracle::Char(char::from_u32(self.number(4) as u32).unwrap()),
            0x31 => Oracle::Text(self.text()),
            0x32 => {
                let count = self.count() as usize;
                Oracle::Bytes(self.bytes(count).to_vec())
            }
            0x40 => Oracle::Sequence(self.until_end(Self::value)),
            0x41 => Oracle::Tuple(self.until_end(Self::value)),
            0x42 => Oracle::Map(self.until_end(|entry| (entry.value(), entry.value()))),
            tag @ 0x50..=0x53 => {
                let name = self.name();
                Oracle::Struct(name, self.body(tag - 0x50))
            }
            tag @ 0x58..=0x5b => {
                let (name, index, variant) = (self.name(), self.count() as u32, self.name());
                Oracle::Variant(name, index, variant, self.body(tag - 0x58))
            }
            other => panic!("{other:x} is no value"),
        }
    }
}

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
