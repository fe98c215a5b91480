//! Provides the parts of a place: elements, fields, entries, variants.

use std::any::type_name;

use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
    value::{BorrowedStrDeserializer, U32Deserializer},
};

use super::{
    node::{Extent, NodeHead},
    trace_state::{FormatKind, SampleError},
    tracer::Tracer,
};

/// This many elements of a tuple have a node each. Of the elements after them, neighbours of one type share a node.
const DISTINCT: usize = 16;

/// Provides the parts of one place.
pub(super) struct PartsAccess<'p, 't, 'h> {
    /// The place of the parts.
    whole: &'p mut Tracer<'t, 'h>,
    /// Number of parts.
    count: usize,
    /// Number of requested parts. At most `count`.
    pub(super) handed: usize,
    /// Number of nodes of the elements so far.
    nodes: usize,
    /// Number of elements of the latest of these nodes.
    run: usize,
    /// The type of the element before.
    neighbour: &'static str,
}

impl<'p, 't, 'h> PartsAccess<'p, 't, 'h> {
    pub(super) fn new(whole: &'p mut Tracer<'t, 'h>, count: usize) -> Self {
        Self { whole, count, handed: 0, nodes: 0, run: 0, neighbour: "" }
    }

    /// The next element. Fields of a struct have a node each, and elements of a list share theirs.
    fn element(&mut self, inside: &'static str) -> Result<Tracer<'_, 'h>, SampleError> {
        let distinct = match self.whole.node.head {
            Some(NodeHead::Seq) => 1,
            Some(NodeHead::Struct(..) | NodeHead::Fields(_)) => self.count,
            _ => DISTINCT,
        };
        let repeated = self.handed >= distinct && inside == self.neighbour;
        self.neighbour = inside;
        self.handed += 1;
        self.nodes += usize::from(!repeated);
        self.run = if repeated { self.run + 1 } else { 1 };
        let run = self.run;
        let mut element = self.whole.part(self.nodes.saturating_sub(1), inside, inside)?;
        element.node.run = element.node.run.max(run);
        element.repeated |= repeated;
        Ok(element)
    }
}

impl<'de> SeqAccess<'de> for PartsAccess<'_, '_, 'de> {
    type Error = SampleError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, SampleError> {
        if self.handed >= self.count {
            return Ok(None);
        }
        seed.deserialize(self.element(type_name::<T::Value>())?).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count.saturating_sub(self.handed))
    }
}

impl<'de> MapAccess<'de> for PartsAccess<'_, '_, 'de> {
    type Error = SampleError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, SampleError> {
        if self.handed >= self.count {
            return Ok(None);
        }
        let name = type_name::<K::Value>();
        seed.deserialize(self.whole.part(0, name, name)?).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, SampleError> {
        self.handed += 1;
        let name = type_name::<S::Value>();
        seed.deserialize(self.whole.part(1, name, name)?)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count.saturating_sub(self.handed))
    }
}

/// Provides one variant of an enum.
pub(super) struct Variant<'v, 't, 'h> {
    pub(super) content: &'v mut Tracer<'t, 'h>,
    pub(super) name: &'static str,
    pub(super) index: usize,
}

impl<'de> EnumAccess<'de> for Variant<'_, '_, 'de> {
    type Error = SampleError;
    type Variant = Self;

    /// Identifies the variant as the formats do: postcard by number, JSON by name.
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), SampleError> {
        let variant = match self.content.state.format {
            FormatKind::Positional => {
                let number: U32Deserializer<SampleError> = (self.index as u32).into_deserializer();
                seed.deserialize(number)
            }
            FormatKind::SelfDescribing => seed.deserialize(BorrowedStrDeserializer::new(self.name)),
        };
        Ok((variant?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_, 'de> {
    type Error = SampleError;

    fn unit_variant(self) -> Result<(), SampleError> {
        self.content.reach(NodeHead::Unit)?;
        self.content.close(Extent::Seen);
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, SampleError> {
        self.content.reach(NodeHead::Newtype)?;
        let name = type_name::<T::Value>();
        let value = seed.deserialize(self.content.part(0, name, name)?);
        self.content.close(Extent::Seen);
        value
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, SampleError> {
        self.row(NodeHead::Tuple(len), len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SampleError> {
        self.row(NodeHead::Fields(fields), fields.len(), visitor)
    }
}

impl<'de> Variant<'_, '_, 'de> {
    fn row<V: Visitor<'de>>(self, head: NodeHead, count: usize, visitor: V) -> Result<V::Value, SampleError> {
        self.content.reach(head)?;
        let mut parts = PartsAccess::new(self.content, count);
        let result = visitor.visit_seq(&mut parts);
        let handed_out = parts.handed >= count;
        self.content.close(Extent::of(result.is_ok(), handed_out));
        result
    }
}
