//! A deserializer for the format of postcard.
//!
//! postcard's own deserializer reads a `Vec<f64>` number by number, as serde does: for a frame this takes 1.2 to 1.3 times
//! a `clone()`, a third of it for the loop. This one copies such a vector as a run of bytes (see [`runs`]), in half the
//! time of a `clone()`. A test compares both deserializers on arbitrary bytes.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer as _, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use crate::codec::{
    runs,
    verified_reader::{Unreadable, VerifiedReader},
};

/// Maximum length of a sequence of elements without bytes, so that a forged length cannot cause an endless loop.
const MOST_OF_NOTHING: usize = u32::MAX as usize;

/// Maximum nesting of sequences, maps, options and enums. Each level takes a few hundred bytes of the stack, and one or two
/// kilobytes in a debug build. The stack of a thread has 2 MiB.
pub(super) const MAX_DEPTH: u16 = 512;

pub(super) struct PostcardReader<'scope, 'env> {
    input: VerifiedReader<'scope, 'env>,
    depth: u16,
}

type Result<T> = std::result::Result<T, Unreadable>;

#[cold]
fn unreadable(what: &str) -> Unreadable {
    Unreadable::custom(what)
}

impl<'scope, 'env> PostcardReader<'scope, 'env> {
    pub(super) fn new(input: VerifiedReader<'scope, 'env>) -> Self {
        Self { input, depth: 0 }
    }

    /// Number of bytes that were not read.
    pub(super) fn left_over(&self) -> usize {
        self.input.remaining()
    }

    #[inline]
    fn take(&mut self, count: usize) -> Result<&'scope [u8]> {
        self.input.take(count).ok_or_else(|| unreadable("the bytes end too early"))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.first_chunk().copied().ok_or_else(|| unreadable("the bytes end too early"))
    }

    #[inline]
    fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    /// Each byte has seven bits of the number, the lowest first. All bytes except the last have their highest bit set.
    #[inline]
    fn varint(&mut self, bits: u32) -> Result<u64> {
        let mut number = 0;
        for shift in (0..bits).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7F);
            if byte & 0x80 == 0 {
                let fits = shift + 7 <= bits || part >> (bits - shift) == 0;
                return if fits {
                    Ok(number | part << shift)
                } else {
                    Err(unreadable("a number is too large"))
                };
            }
            number |= part << shift;
        }
        Err(unreadable("a number is too long"))
    }

    fn wide_varint(&mut self) -> Result<u128> {
        let mut number = 0;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7F);
            if byte & 0x80 == 0 {
                let fits = shift + 7 <= 128 || part >> (128 - shift) == 0;
                return if fits {
                    Ok(number | part << shift)
                } else {
                    Err(unreadable("a number is too large"))
                };
            }
            number |= part << shift;
        }
        Err(unreadable("a number is too long"))
    }

    #[inline]
    fn length(&mut self) -> Result<usize> {
        let length = self.varint(u64::BITS)?;
        usize::try_from(length)
            .map_err(|_| unreadable("a length is beyond the address space of this machine"))
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'scope [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    #[inline]
    fn text(&mut self) -> Result<&'scope str> {
        str::from_utf8(self.bytes()?).map_err(|_| unreadable("a text is not UTF-8"))
    }

    /// Reads a value that may be nested in itself.
    #[inline]
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth > MAX_DEPTH {
            return Err(unreadable("it is nested too deep"));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn elements(&mut self, left: usize) -> Result<PostcardElements<'_, 'scope, 'env>> {
        if left > self.input.remaining().max(MOST_OF_NOTHING) {
            return Err(unreadable("a sequence or map is longer than its bytes"));
        }
        Ok(PostcardElements { reader: self, left })
    }
}

/// -1 as 1, 1 as 2, -2 as 3.
#[inline]
fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

macro_rules! numbers {
    ($($method:ident, $visit:ident, $type:ty, $read:expr;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'scope>>(self, visitor: V) -> Result<V::Value> {
            let read: fn(&mut PostcardReader<'scope, '_>) -> Result<$type> = $read;
            visitor.$visit(read(self)?)
        }
    )*};
}

impl<'scope> Deserializer<'scope> for &mut PostcardReader<'scope, '_> {
    type Error = Unreadable;

    numbers! {
        deserialize_u8, visit_u8, u8, |reader| reader.byte();
        deserialize_u16, visit_u16, u16, |reader| reader.varint(16).map(|number| number as u16);
        deserialize_u32, visit_u32, u32, |reader| reader.varint(32).map(|number| number as u32);
        deserialize_u64, visit_u64, u64, |reader| reader.varint(64);
        deserialize_u128, visit_u128, u128, |reader| reader.wide_varint();
        deserialize_i8, visit_i8, i8, |reader| reader.byte().map(u8::cast_signed);
        deserialize_i16, visit_i16, i16, |reader| reader.varint(16).map(|number| zigzag(number) as i16);
        deserialize_i32, visit_i32, i32, |reader| reader.varint(32).map(|number| zigzag(number) as i32);
        deserialize_i64, visit_i64, i64, |reader| reader.varint(64).map(zigzag);
        deserialize_i128, visit_i128, i128, |reader| {
            let number = reader.wide_varint()?;
            Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
        };
        deserialize_f32, visit_f32, f32, |reader| reader.array().map(f32::from_le_bytes);
        deserialize_f64, visit_f64, f64, |reader| reader.array().map(f64::from_le_bytes);
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'scope>>(self, visitor: V) -> Result<V::Value> {
        match self.byte()? {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            _ => Err(unreadable("a bool has an invalid tag")),
        }
    }

    fn deserialize_char<V: Visitor<'scope>>(self, visitor: V) -> Result<V::Value> {
        let length = self.length()?;
        let text = if length <= 4 { str::from_utf8(self.take(length)?).ok() } else { None };
        let letter = text.and_then(|text| text.chars().next());
        visitor.visit_char(letter.ok_or_else(|| unreadable("a character is invalid"))?)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'scope>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'scope>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_str(self.text()?)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'scope>>(self, visitor: V) -> Result<V::Value> {
        if let Some(copy) = runs::packed::<V>() {
            let length = self.length()?;
            return copy(&mut self.input, length);
        }
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'scope>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_bytes(self.bytes()?)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'scope>>(self, visitor: V) -> Result<V::Value> {
        match self.byte()? {
            0 => visitor.visit_none(),
            1 => self.nested(|reader| visitor.visit_some(reader)),
            _ => Err(unreadable("an option has an invalid tag")),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'scope>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'scope>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'scope>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'scope>>(self, visitor: V) -> Result<V::Value> {
        let length = self.length()?;
        if let Some(copy) = runs::vector::<V>() {
            return copy(&mut self.input, length);
        }
        self.nested(|reader| visitor.visit_seq(reader.elements(length)?))
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'scope>>(self, length: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(PostcardElements { reader: self, left: length })
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'scope>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'scope>>(self, visitor: V) -> Result<V::Value> {
        let length = self.length()?;
        self.nested(|reader| visitor.visit_map(reader.elements(length)?))
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'scope>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'scope>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.nested(|reader| visitor.visit_enum(reader))
    }

    fn deserialize_any<V: Visitor<'scope>>(self, _: V) -> Result<V::Value> {
        Err(unreadable("the format does not describe the types of its values"))
    }

    fn deserialize_identifier<V: Visitor<'scope>>(self, _: V) -> Result<V::Value> {
        Err(unreadable("the bytes contain no names"))
    }

    fn deserialize_ignored_any<V: Visitor<'scope>>(self, _: V) -> Result<V::Value> {
        Err(unreadable("a value of unknown type cannot be skipped"))
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of a sequence, map, tuple or struct.
struct PostcardElements<'a, 'scope, 'env> {
    reader: &'a mut PostcardReader<'scope, 'env>,
    left: usize,
}

impl PostcardElements<'_, '_, '_> {
    #[inline]
    fn is_over(&mut self) -> bool {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                false
            }
            None => true,
        }
    }

    /// `None` if the bytes are fewer than the elements, so that no allocation exceeds the payload.
    #[inline]
    fn hint(&self) -> Option<usize> {
        (self.left <= self.reader.input.remaining()).then_some(self.left)
    }
}

impl<'scope> SeqAccess<'scope> for PostcardElements<'_, 'scope, '_> {
    type Error = Unreadable;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'scope>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.is_over() { Ok(None) } else { seed.deserialize(&mut *self.reader).map(Some) }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'scope> MapAccess<'scope> for PostcardElements<'_, 'scope, '_> {
    type Error = Unreadable;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'scope>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.is_over() { Ok(None) } else { seed.deserialize(&mut *self.reader).map(Some) }
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'scope>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.reader)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'scope> EnumAccess<'scope> for &mut PostcardReader<'scope, '_> {
    type Error = Unreadable;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'scope>>(self, seed: V) -> Result<(V::Value, Self)> {
        let number = self.varint(u32::BITS)? as u32;
        Ok((seed.deserialize(number.into_deserializer())?, self))
    }
}

impl<'scope> VariantAccess<'scope> for &mut PostcardReader<'scope, '_> {
    type Error = Unreadable;

    #[inline]
    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'scope>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'scope>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'scope>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}

#[cfg(test)]
mod tests;
