//! Values of every form of serde's data model. Equal keys are equal values once they are `canonical`.

use serde::{
    Serialize, Serializer,
    ser::{
        SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
    },
};

pub(crate) type Name = &'static str;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Oracle {
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
pub(crate) enum Body {
    Unit,
    Newtype(Box<Oracle>),
    Tuple(Vec<Oracle>),
    /// A field without a value is skipped.
    Fields(Vec<(Name, Option<Oracle>)>),
}

pub(crate) const NAMES: &[Name] = &["", "a", "b", "ab", "ö", "a rather long name, as a rename can have"];

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
    pub(crate) fn canonical(self) -> Self {
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
