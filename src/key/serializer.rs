//! The canonical encoding of every serde value, by the grammar of the [parent module](super).

use std::ops::Range;

use serde::{
    Serialize, Serializer,
    ser::{
        Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::{
    kinds,
    sink::{Buffer, EncodeError, Rules, Sink},
};

type Result<T = (), E = EncodeError> = std::result::Result<T, E>;

/// A newtype struct of this name contains a sequence, and is written as that sequence without regard to its order.
pub(crate) const UNORDERED: &str = "memolith::unordered";

/// The first byte of each value and each field. The numbers determine keys on disk, so they never change.
#[derive(Clone, Copy)]
enum Tag {
    /// Ends a value with elements. No value starts with it.
    End = 0x00,
    Unit = 0x01,
    None = 0x02,
    Some = 0x03,
    False = 0x04,
    True = 0x05,
    U8 = 0x10,
    U16 = 0x11,
    U32 = 0x12,
    U64 = 0x13,
    U128 = 0x14,
    I8 = 0x18,
    I16 = 0x19,
    I32 = 0x1a,
    I64 = 0x1b,
    I128 = 0x1c,
    F32 = 0x20,
    F64 = 0x21,
    Char = 0x30,
    Text = 0x31,
    Bytes = 0x32,
    Sequence = 0x40,
    Tuple = 0x41,
    Map = 0x42,
    UnitStruct = 0x50,
    NewtypeStruct = 0x51,
    TupleStruct = 0x52,
    Struct = 0x53,
    UnitVariant = 0x58,
    NewtypeVariant = 0x59,
    TupleVariant = 0x5a,
    StructVariant = 0x5b,
    Field = 0x60,
    Skipped = 0x61,
}

/// Writes one value into a sink. The elements of a value are written one after the other.
pub(super) struct Encoder<'a, S> {
    sink: &'a mut S,
    /// Whether the value is a set: a sequence whose order is irrelevant.
    set: bool,
}

impl<'a, S: Sink> Encoder<'a, S> {
    pub(super) fn new(sink: &'a mut S) -> Self {
        Self { sink, set: false }
    }

    /// Writes the value. Paths and sets are recognized by their type.
    #[inline]
    pub(super) fn whole<T: Serialize + ?Sized>(mut self, value: &T) -> Result {
        if let Some(path) = kinds::path(value) {
            return match path.to_str() {
                Some(text) => self.serialize_str(text),
                None => self.serialize_bytes(path.as_os_str().as_encoded_bytes()),
            };
        }
        self.set = kinds::is_set::<T>();
        value.serialize(self)
    }

    #[inline]
    fn tag(&mut self, tag: Tag) -> Result {
        self.sink.write(&[tag as u8])
    }

    #[inline]
    fn number<const WIDTH: usize>(&mut self, tag: Tag, little_endian: [u8; WIDTH]) -> Result {
        self.sink.number(tag as u8, &little_endian)
    }

    #[inline]
    fn count(&mut self, mut count: u64) -> Result {
        while count >= 0x80 {
            self.sink.write(&[count as u8 | 0x80])?;
            count >>= 7;
        }
        self.sink.write(&[count as u8])
    }

    #[inline]
    fn counted(&mut self, bytes: &[u8]) -> Result {
        self.count(bytes.len() as u64)?;
        self.sink.write(bytes)
    }

    #[inline]
    fn named(&mut self, tag: Tag, name: &str) -> Result {
        // Tag and count in one write, because nearly every text and name is this short.
        if let Ok(count @ ..0x80) = u8::try_from(name.len()) {
            self.sink.write(&[tag as u8, count])?;
            return self.sink.write(name.as_bytes());
        }
        self.tag(tag)?;
        self.counted(name.as_bytes())
    }

    fn variant(&mut self, tag: Tag, name: &str, index: u32, variant: &str) -> Result {
        self.named(tag, name)?;
        self.count(index.into())?;
        self.counted(variant.as_bytes())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        Encoder::new(&mut *self.sink).whole(value)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result {
        self.named(Tag::Field, name)?;
        self.value(value)
    }

    /// Passes on to the sink that a value in the buffer asked for its form.
    fn tell_of(&self, encoded: &Buffer<S::Rules>) {
        if encoded.asked.get() {
            self.sink.form_was_asked_for();
        }
    }
}

macro_rules! numbers {
    ($($method:ident: $number:ty => $tag:ident,)*) => {$(
        #[inline]
        fn $method(mut self, number: $number) -> Result {
            self.number(Tag::$tag, number.to_le_bytes())
        }
    )*};
}

impl<'a, S: Sink> Serializer for Encoder<'a, S> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = SequenceEncoder<'a, S>;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = MapEncoder<'a, S>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    numbers! {
        serialize_u8: u8 => U8,
        serialize_u16: u16 => U16,
        serialize_u32: u32 => U32,
        serialize_u64: u64 => U64,
        serialize_u128: u128 => U128,
        serialize_i8: i8 => I8,
        serialize_i16: i16 => I16,
        serialize_i32: i32 => I32,
        serialize_i64: i64 => I64,
        serialize_i128: i128 => I128,
    }

    // The bits of NaN are written out, because those of `f32::NAN` may change.
    fn serialize_f32(mut self, number: f32) -> Result {
        let bits = if number.is_nan() && !S::Rules::EXACT { 0x7fc0_0000 } else { number.to_bits() };
        self.number(Tag::F32, bits.to_le_bytes())
    }

    fn serialize_f64(mut self, number: f64) -> Result {
        let one = number.is_nan() && !S::Rules::EXACT;
        let bits = if one { 0x7ff8_0000_0000_0000 } else { number.to_bits() };
        self.number(Tag::F64, bits.to_le_bytes())
    }

    fn serialize_bool(mut self, value: bool) -> Result {
        self.tag(if value { Tag::True } else { Tag::False })
    }

    fn serialize_char(mut self, value: char) -> Result {
        self.number(Tag::Char, u32::from(value).to_le_bytes())
    }

    #[inline]
    fn serialize_str(mut self, text: &str) -> Result {
        self.named(Tag::Text, text)
    }

    fn serialize_bytes(mut self, bytes: &[u8]) -> Result {
        self.tag(Tag::Bytes)?;
        self.counted(bytes)
    }

    fn serialize_unit(mut self) -> Result {
        self.tag(Tag::Unit)
    }

    fn serialize_none(mut self) -> Result {
        self.tag(Tag::None)
    }

    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result {
        self.tag(Tag::Some)?;
        self.value(value)
    }

    fn serialize_unit_struct(mut self, name: &'static str) -> Result {
        self.named(Tag::UnitStruct, name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(mut self, name: &'static str, value: &T) -> Result {
        if name == UNORDERED {
            return value.serialize(Encoder { set: true, ..self });
        }
        self.named(Tag::NewtypeStruct, name)?;
        self.value(value)
    }

    fn serialize_unit_variant(mut self, name: &'static str, index: u32, variant: &'static str) -> Result {
        self.variant(Tag::UnitVariant, name, index, variant)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result {
        self.variant(Tag::NewtypeVariant, name, index, variant)?;
        self.value(value)
    }

    // The length is not written, because it may be unknown or wrong.
    fn serialize_seq(mut self, _: Option<usize>) -> Result<SequenceEncoder<'a, S>> {
        self.tag(Tag::Sequence)?;
        let set = self.set.then(SetElements::default);
        Ok(SequenceEncoder { encoder: self, set })
    }

    fn serialize_tuple(mut self, _: usize) -> Result<Self> {
        self.tag(Tag::Tuple).map(|()| self)
    }

    fn serialize_tuple_struct(mut self, name: &'static str, _: usize) -> Result<Self> {
        self.named(Tag::TupleStruct, name).map(|()| self)
    }

    fn serialize_tuple_variant(
        mut self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self> {
        self.variant(Tag::TupleVariant, name, index, variant).map(|()| self)
    }

    fn serialize_map(mut self, _: Option<usize>) -> Result<Self::SerializeMap> {
        self.tag(Tag::Map)?;
        Ok(MapEncoder { encoder: self, encoded: Buffer::default(), spans: Vec::new(), unpaired: None })
    }

    fn serialize_struct(mut self, name: &'static str, _: usize) -> Result<Self> {
        self.named(Tag::Struct, name).map(|()| self)
    }

    fn serialize_struct_variant(
        mut self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self> {
        self.variant(Tag::StructVariant, name, index, variant).map(|()| self)
    }

    fn is_human_readable(&self) -> bool {
        self.sink.form_was_asked_for();
        S::Rules::READABLE
    }
}

macro_rules! elements {
    ($($compound:ident::$method:ident,)*) => {$(
        impl<S: Sink> $compound for Encoder<'_, S> {
            type Ok = ();
            type Error = EncodeError;

            fn $method<T: Serialize + ?Sized>(&mut self, element: &T) -> Result {
                self.value(element)
            }

            fn end(mut self) -> Result {
                self.tag(Tag::End)
            }
        }
    )*};
}

elements! {
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

macro_rules! fields {
    ($($compound:ident,)*) => {$(
        impl<S: Sink> $compound for Encoder<'_, S> {
            type Ok = ();
            type Error = EncodeError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result {
                self.field(name, value)
            }

            fn skip_field(&mut self, name: &'static str) -> Result {
                self.named(Tag::Skipped, name)
            }

            fn end(mut self) -> Result {
                self.tag(Tag::End)
            }
        }
    )*};
}

fields! { SerializeStruct, SerializeStructVariant, }

/// Writes the elements of a sequence in their order. The elements of a set are collected and sorted, because equal sets may
/// list them in different orders.
pub(super) struct SequenceEncoder<'a, S: Sink> {
    encoder: Encoder<'a, S>,
    /// `Some` for a set.
    set: Option<SetElements<S::Rules>>,
}

/// The collected elements of a set.
struct SetElements<R> {
    /// The elements in their order.
    encoded: Buffer<R>,
    /// The end of each element in `encoded`.
    ends: Vec<usize>,
}

impl<R> Default for SetElements<R> {
    fn default() -> Self {
        Self { encoded: Buffer::default(), ends: Vec::new() }
    }
}

impl<S: Sink> SerializeSeq for SequenceEncoder<'_, S> {
    type Ok = ();
    type Error = EncodeError;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result {
        let Some(set) = &mut self.set else { return self.encoder.value(element) };
        Encoder::new(&mut set.encoded).whole(element)?;
        set.ends.push(set.encoded.bytes.len());
        Ok(())
    }

    fn end(mut self) -> Result {
        if let Some(SetElements { encoded, ends }) = &self.set {
            self.encoder.tell_of(encoded);
            let starts = [0].into_iter().chain(ends.iter().copied());
            let mut elements: Vec<&[u8]> = starts
                .zip(ends)
                .map(|(start, end)| encoded.bytes.get(start..*end).unwrap_or_default())
                .collect();
            elements.sort_unstable();
            elements.into_iter().try_for_each(|element| self.encoder.sink.write(element))?;
        }
        self.encoder.tag(Tag::End)
    }
}

/// Collects and sorts the entries of a map, because equal maps may list them in different orders.
pub(super) struct MapEncoder<'a, S: Sink> {
    encoder: Encoder<'a, S>,
    /// The entries in their order, each as its key and then its value.
    encoded: Buffer<S::Rules>,
    /// The places of the entries in `encoded`.
    spans: Vec<EntrySpan>,
    /// The place in `encoded` of a key that has no value yet.
    unpaired: Option<Range<usize>>,
}

/// The place of one entry.
struct EntrySpan {
    key: Range<usize>,
    /// The end of the value, which follows the key.
    end: usize,
}

impl<S: Sink> SerializeMap for MapEncoder<'_, S> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result {
        let start = self.encoded.bytes.len();
        Encoder::new(&mut self.encoded).whole(key)?;
        match self.unpaired.replace(start..self.encoded.bytes.len()) {
            None => Ok(()),
            Some(_) => Err(EncodeError::custom("a map gives two keys before a value")),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        let key =
            self.unpaired.take().ok_or_else(|| EncodeError::custom("a map gives a value without its key"))?;
        Encoder::new(&mut self.encoded).whole(value)?;
        self.spans.push(EntrySpan { key, end: self.encoded.bytes.len() });
        Ok(())
    }

    fn end(self) -> Result {
        let Self { mut encoder, encoded, mut spans, unpaired } = self;
        if unpaired.is_some() {
            return Err(EncodeError::custom("a map gives a key without its value"));
        }
        encoder.tell_of(&encoded);
        let bytes = |range: Range<usize>| encoded.bytes.get(range).unwrap_or_default();
        // Stable, because a reader of a map with equal keys may take the later entry.
        spans.sort_by(|a, b| bytes(a.key.clone()).cmp(bytes(b.key.clone())));
        for span in spans {
            encoder.sink.write(bytes(span.key.start..span.end))?;
        }
        encoder.tag(Tag::End)
    }
}
