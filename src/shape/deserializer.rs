//! The deserializer that hands out samples and records what it is asked for.

use std::any::type_name;

use serde::de::{Deserializer, Error as _, Visitor};

use super::{
    node::{Extent, Head},
    parts::{Parts, Variant},
    samples,
    session::{Failure, Format, Refusal},
    tracer::Tracer,
};

impl Tracer<'_> {
    fn leaf<'de, V: Visitor<'de>, T>(
        mut self,
        head: Head,
        mut samples: impl Iterator<Item = T> + Clone,
        visitor: V,
        visit: impl FnOnce(V, T) -> Result<V::Value, Refusal>,
    ) -> Result<V::Value, Refusal> {
        self.reach(head)?;
        self.session.latest = self.inside;
        let before = self.node.pick;
        let preferred = before.unwrap_or_else(|| self.session.custom(type_name::<V>(), self.inside));
        let pick = self.choose(preferred, samples.clone().count(), true);
        if before != Some(pick) {
            self.session.accustom(type_name::<V>(), self.inside, pick);
        }
        let sample = samples.nth(pick).ok_or_else(|| Refusal::custom("there is no such sample"))?;
        let result = visit(visitor, sample);
        self.close(Extent::of(result.is_ok(), true));
        result
    }

    /// A fixed number of parts in a row.
    fn row<'de, V: Visitor<'de>>(
        mut self,
        head: Head,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self = self.enter::<V>(head)?;
        let mut parts = Parts::new(&mut self, count);
        let result = visitor.visit_seq(&mut parts);
        let handed_out = parts.handed >= count;
        self.leave(Extent::of(result.is_ok(), handed_out));
        result
    }

    /// As many entries as the type can be brought to accept, at best one.
    fn entries<'de, V: Visitor<'de>>(
        mut self,
        head: Head,
        visit: impl FnOnce(&mut Parts<'_, '_>) -> Result<V::Value, Refusal>,
    ) -> Result<V::Value, Refusal> {
        self = self.enter::<V>(head)?;
        let preferred = self.node.pick.unwrap_or(if self.brief { samples::EMPTY } else { 0 });
        let pick = self.choose(preferred, samples::COUNTS.len(), false);
        let count = samples::COUNTS.get(pick).copied().unwrap_or_default();
        let mut parts = Parts::new(&mut self, count);
        let result = visit(&mut parts);
        let handed_out = parts.handed > 0;
        self.leave(Extent::of(result.is_ok() && count > 0, handed_out));
        result
    }

    /// The variant to look at now: of which the least was seen, or by which a value is surely made.
    fn variant(&mut self, kind: usize, variants: usize) -> usize {
        if !self.brief {
            self.node.extend(variants);
        }
        let preferred = if self.brief { None } else { self.node.least_seen() };
        let preferred =
            preferred.or(self.node.pick).unwrap_or_else(|| self.session.shortest_variant(kind, variants));
        let pick = self.choose(preferred, variants.max(1), false);
        self.session.enter_variant(pick);
        pick
    }

    /// What a format that describes itself would tell.
    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if self.session.format == Format::Positional {
            return Err(self.session.fail(Failure::Unsupported(self.inside)));
        }
        let samples = std::iter::once(None).chain(samples::STRINGS.iter().map(Some));
        let head = Head::Any(self.inside);
        self.leaf(head, samples, visitor, |visitor, sample| match sample {
            Some(text) => visitor.visit_borrowed_str(text),
            None => visitor.visit_unit(),
        })
    }
}

macro_rules! numbers {
    ($($method:ident, $visit:ident, $kind:ident, $samples:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            self.leaf(Head::Leaf(stringify!($kind)), $samples, visitor, V::$visit)
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Refusal;

    numbers! {
        deserialize_bool, visit_bool, bool, samples::BOOLS.iter().copied();
        deserialize_i8, visit_i8, i8, samples::integers();
        deserialize_i16, visit_i16, i16, samples::integers();
        deserialize_i32, visit_i32, i32, samples::integers();
        deserialize_i64, visit_i64, i64, samples::integers();
        deserialize_i128, visit_i128, i128, samples::integers();
        deserialize_u8, visit_u8, u8, samples::integers();
        deserialize_u16, visit_u16, u16, samples::integers();
        deserialize_u32, visit_u32, u32, samples::integers();
        deserialize_u64, visit_u64, u64, samples::integers();
        deserialize_u128, visit_u128, u128, samples::integers();
        deserialize_f32, visit_f32, f32, samples::FLOATS.iter().map(|&float| float as f32);
        deserialize_f64, visit_f64, f64, samples::FLOATS.iter().copied();
        deserialize_char, visit_char, char, samples::CHARS.iter().copied();
        deserialize_str, visit_borrowed_str, str, samples::STRINGS.iter().copied();
        deserialize_string, visit_borrowed_str, str, samples::STRINGS.iter().copied();
        deserialize_bytes, visit_borrowed_bytes, bytes, samples::BYTES.iter().copied();
        deserialize_byte_buf, visit_borrowed_bytes, bytes, samples::BYTES.iter().copied();
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.any(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.any(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.leaf(Head::Leaf("unit"), std::iter::once(()), visitor, |visitor, ()| visitor.visit_unit())
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.leaf(Head::UnitStruct(name), std::iter::once(()), visitor, |visitor, ()| visitor.visit_unit())
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refusal> {
        self = self.enter::<V>(Head::Option)?;
        let preferred = self.node.pick.unwrap_or(usize::from(self.brief));
        let some = self.choose(preferred, 2, false) == 0;
        let result = if some {
            visitor.visit_some(self.part(0, type_name::<V::Value>())?)
        } else {
            visitor.visit_none()
        };
        self.leave(Extent::of(some && result.is_ok(), some));
        result
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self = self.enter::<V>(Head::NewtypeStruct(name))?;
        let result = visitor.visit_newtype_struct(self.part(0, type_name::<V::Value>())?);
        self.leave(Extent::of(result.is_ok(), true));
        result
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.entries::<V>(Head::Seq, |parts| visitor.visit_seq(parts))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.entries::<V>(Head::Map, |parts| visitor.visit_map(parts))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.row(Head::Tuple(len), len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.row(Head::TupleStruct(name, len), len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.row(Head::Struct(name, fields), fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self = self.enter::<V>(Head::Enum(name, variants))?;
        let kind = self.node.kind.unwrap_or_default();
        let pick = self.variant(kind, variants.len());
        let name = variants.get(pick).copied().unwrap_or_default();
        let mut content = self.part(pick, type_name::<V::Value>())?;
        let result = visitor.visit_enum(Variant { content: &mut content, name, index: pick });
        // A variant that is refused unread has no contents that a value could have.
        let read = content.node.head.is_some();
        content.close(Extent::of(result.is_ok() || !read, false));
        if result.is_ok() {
            self.session.prove(kind, pick);
        }
        self.leave(Extent::of(result.is_ok() || variants.is_empty(), read));
        result
    }

    fn is_human_readable(&self) -> bool {
        self.session.format == Format::SelfDescribing
    }
}
