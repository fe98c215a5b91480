//! The deserializer that provides samples and records the calls.

use std::any::type_name;

use serde::de::{Deserializer, Visitor};

use super::{
    hints::Hints,
    node::{Extent, NodeHead},
    parts::{PartsAccess, Variant},
    readers,
    samples::{self, SamplePool},
    trace_state::{FormatKind, SampleError, TraceFailure},
    tracer::Tracer,
};

impl<'h> Tracer<'_, 'h> {
    fn leaf<V: Visitor<'h>, T>(
        mut self,
        head: NodeHead,
        (pool, sample): (SamplePool, impl FnOnce(&'h Hints, usize) -> T),
        visitor: V,
        visit: impl FnOnce(V, T) -> Result<V::Value, SampleError>,
    ) -> Result<V::Value, SampleError> {
        self.meet::<V>(head)?;
        self.state.latest = self.inside;
        self.state.record_expectation(&visitor);
        let before = self.node.pick;
        let preferred = before.unwrap_or_else(|| self.state.remembered_sample(type_name::<V>(), self.inside));
        let pick = self.choose(preferred, pool);
        if before != Some(pick) {
            self.state.remember_sample(type_name::<V>(), self.inside, pick);
        }
        let result = visit(visitor, sample(self.hints, pick));
        self.close(Extent::of(result.is_ok(), true));
        result
    }

    /// A fixed number of parts.
    fn row<V: Visitor<'h>>(
        mut self,
        head: NodeHead,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, SampleError> {
        self = self.enter::<V>(head)?;
        let mut parts = PartsAccess::new(&mut self, count);
        let result = visitor.visit_seq(&mut parts);
        let handed = parts.handed;
        let handed_out = handed >= count;
        let result = self.state.check_row(result, handed, self.inside);
        self.leave(Extent::of(result.is_ok(), handed_out));
        result
    }

    /// One entry, or another number if the type refuses one.
    fn entries<V: Visitor<'h>>(
        mut self,
        head: NodeHead,
        visitor: V,
        visit: impl FnOnce(V, &mut PartsAccess<'_, '_, 'h>) -> Result<V::Value, SampleError>,
    ) -> Result<V::Value, SampleError> {
        self = self.enter::<V>(head)?;
        let preferred = self.node.pick.unwrap_or(if self.brief { samples::EMPTY } else { 0 });
        self.state.record_expectation(&visitor);
        let pick = self.choose(preferred, SamplePool::Counts);
        let count = samples::count(self.hints, pick);
        let mut parts = PartsAccess::new(&mut self, count);
        let result = visit(visitor, &mut parts);
        let handed_out = parts.handed > 0;
        self.leave(Extent::of(result.is_ok() && count > 0, handed_out));
        result
    }

    /// The variant of this sample: the least explored one, or one that certainly makes a value.
    fn variant(&mut self, kind: usize, variants: usize) -> usize {
        if !self.brief {
            self.node.extend(variants);
        }
        let preferred = if self.brief { None } else { self.node.least_seen() };
        let preferred =
            preferred.or(self.node.pick).unwrap_or_else(|| self.state.shortest_variant(kind, variants));
        let pick = self.choose(preferred, SamplePool::Alternatives(variants.max(1)));
        self.state.enter_variant(pick);
        pick
    }

    /// A value of any type, which only a self-describing format knows.
    fn any<V: Visitor<'h>>(self, visitor: V) -> Result<V::Value, SampleError> {
        if self.state.format == FormatKind::Positional {
            return Err(self.state.fail(TraceFailure::Unsupported(self.inside)));
        }
        let head = NodeHead::Any(self.inside);
        self.leaf(head, (SamplePool::Any, samples::any), visitor, |visitor, sample| match sample {
            Some(text) => visitor.visit_borrowed_str(text),
            None => visitor.visit_unit(),
        })
    }
}

macro_rules! numbers {
    ($($method:ident, $visit:ident, $kind:ident, $pool:ident, $sample:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SampleError> {
            self.leaf(NodeHead::Leaf(stringify!($kind)), (SamplePool::$pool, $sample), visitor, V::$visit)
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_, 'de> {
    type Error = SampleError;

    numbers! {
        deserialize_bool, visit_bool, bool, Bools, samples::bool;
        deserialize_i8, visit_i8, i8, Integers, samples::integer;
        deserialize_i16, visit_i16, i16, Integers, samples::integer;
        deserialize_i32, visit_i32, i32, Integers, samples::integer;
        deserialize_i64, visit_i64, i64, Integers, samples::integer;
        deserialize_i128, visit_i128, i128, Integers, samples::integer;
        deserialize_u8, visit_u8, u8, Integers, samples::integer;
        deserialize_u16, visit_u16, u16, Integers, samples::integer;
        deserialize_u32, visit_u32, u32, Integers, samples::integer;
        deserialize_u64, visit_u64, u64, Integers, samples::integer;
        deserialize_u128, visit_u128, u128, Integers, samples::integer;
        deserialize_f32, visit_f32, f32, Floats, |hints, pick| samples::float(hints, pick) as f32;
        deserialize_f64, visit_f64, f64, Floats, samples::float;
        deserialize_char, visit_char, char, Chars, samples::char;
        deserialize_str, visit_borrowed_str, str, Texts, samples::text;
        deserialize_string, visit_borrowed_str, str, Texts, samples::text;
        deserialize_bytes, visit_borrowed_bytes, bytes, Bytes, samples::bytes;
        deserialize_byte_buf, visit_borrowed_bytes, bytes, Bytes, samples::bytes;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SampleError> {
        self.any(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SampleError> {
        self.any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SampleError> {
        self.any(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SampleError> {
        self.leaf(NodeHead::Leaf("unit"), (SamplePool::Alternatives(1), |_, _| ()), visitor, |visitor, ()| {
            visitor.visit_unit()
        })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, SampleError> {
        self.leaf(
            NodeHead::UnitStruct(name),
            (SamplePool::Alternatives(1), |_, _| ()),
            visitor,
            |visitor, ()| visitor.visit_unit(),
        )
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, SampleError> {
        self = self.enter::<V>(NodeHead::Option)?;
        let preferred = self.node.pick.unwrap_or(usize::from(self.brief));
        let some = self.choose(preferred, SamplePool::Alternatives(2)) == 0;
        let result = if some {
            let name = type_name::<V::Value>();
            visitor.visit_some(self.part(0, name, readers::inside_option(name))?)
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
    ) -> Result<V::Value, SampleError> {
        self = self.enter::<V>(NodeHead::NewtypeStruct(name))?;
        let result = visitor.visit_newtype_struct(self.part(0, type_name::<V::Value>(), "")?);
        let handed = usize::from(self.node.parts.first().is_some_and(|part| part.head.is_some()));
        let result = self.state.check_row(result, handed, self.inside);
        self.leave(Extent::of(result.is_ok(), true));
        result
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SampleError> {
        self.entries(NodeHead::Seq, visitor, |visitor, parts| visitor.visit_seq(parts))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SampleError> {
        self.entries(NodeHead::Map, visitor, |visitor, parts| visitor.visit_map(parts))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, SampleError> {
        self.row(NodeHead::Tuple(len), len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, SampleError> {
        self.row(NodeHead::TupleStruct(name, len), len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SampleError> {
        self.row(NodeHead::Struct(name, fields), fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SampleError> {
        self = self.enter::<V>(NodeHead::Enum(name, variants))?;
        let kind = self.node.kind.unwrap_or_default();
        let pick = self.variant(kind, variants.len());
        let name = variants.get(pick).copied().unwrap_or_default();
        let mut content = self.part(pick, type_name::<V::Value>(), "")?;
        let result = visitor.visit_enum(Variant { content: &mut content, name, index: pick });
        // A variant that is refused before its contents are read has no possible values.
        let read = content.node.head.is_some();
        content.close(Extent::of(result.is_ok() || !read, false));
        if result.is_ok() {
            self.state.mark_constructible(kind, pick);
        }
        self.leave(Extent::of(result.is_ok() || variants.is_empty(), read));
        result
    }

    fn is_human_readable(&self) -> bool {
        self.state.format == FormatKind::SelfDescribing
    }
}
