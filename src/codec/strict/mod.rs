//! A serializer in front of another one. It forwards values, and refuses those that the format would change without an
//! error.
//!
//! A cache may lose a value, but must not return another one. Formats do change values silently: a positional format reads
//! the wrong fields after a skipped one, and a format with a single null cannot distinguish `Some(None)` from `None`. The
//! checks that a format does not need are constants, and are removed at compile time: a million floats cost the same with
//! and without this serializer.

mod context;
mod parts;

use std::{fmt, marker::PhantomData};

use serde::ser::{Serialize, SerializeSeq as _, Serializer};

pub(super) use self::context::{FormatRules, StrictError};
use self::{
    context::{Context, Nested, SerializationState, refuse},
    parts::Compound,
};
use super::runs;

/// Length in bytes of an abridged run: a multiple of every number's size.
const SHORT: usize = 256;

/// Serializes `value` into `format`, strictly by the rules of `F`.
pub(super) fn serialize<F: FormatRules, T, S>(value: &T, format: S) -> Result<S::Ok, StrictError<S::Error>>
where
    T: Serialize + ?Sized,
    S: Serializer,
{
    serialize_by::<F, T, S>(value, format, &SerializationState::new(usize::MAX))
}

/// The same, with only the beginning of long runs of numbers and bytes.
pub(super) fn serialize_abridged<F: FormatRules, T, S>(
    value: &T,
    format: S,
) -> Result<S::Ok, StrictError<S::Error>>
where
    T: Serialize + ?Sized,
    S: Serializer,
{
    serialize_by::<F, T, S>(value, format, &SerializationState::new(SHORT))
}

fn serialize_by<F: FormatRules, T, S>(
    value: &T,
    format: S,
    state: &SerializationState,
) -> Result<S::Ok, StrictError<S::Error>>
where
    T: Serialize + ?Sized,
    S: Serializer,
{
    let context = Context::<F> { state, under_some: false, depth: 0, format: PhantomData };
    value.serialize(Strict { inner: format, context }).map_err(|refusal| {
        match (refusal, state.message.take()) {
            (StrictError::Format(_), Some(message)) => StrictError::Message(message),
            (refusal, _) => refusal,
        }
    })
}

#[cold]
fn too_deep<F: FormatRules, E: serde::ser::Error>() -> StrictError<E> {
    StrictError::Message(format!("it is nested deeper than {} levels: make it flatter", F::MAX_DEPTH))
}

impl<T: Serialize + ?Sized, F: FormatRules> Serialize for Nested<'_, '_, T, F> {
    #[inline]
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        if self.context.depth > F::MAX_DEPTH {
            return Err(too_deep::<F, _>().stash(self.context.state));
        }
        let strict = Strict { inner, context: self.context };
        self.value.serialize(strict).map_err(|refusal| refusal.stash(self.context.state))
    }
}

/// The serializer in front of `S`.
struct Strict<'a, S, F> {
    /// The serializer of the format.
    inner: S,
    context: Context<'a, F>,
}

/// Methods without a check.
macro_rules! forward {
    ($($method:ident($type:ty)),* $(,)?) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<S::Ok, Self::Error> {
            self.inner.$method(value).map_err(StrictError::Format)
        }
    )*};
}

impl<'a, S: Serializer, F: FormatRules> Serializer for Strict<'a, S, F> {
    type Ok = S::Ok;
    type Error = StrictError<S::Error>;
    type SerializeSeq = Compound<'a, S::SerializeSeq, F>;
    type SerializeTuple = Compound<'a, S::SerializeTuple, F>;
    type SerializeTupleStruct = Compound<'a, S::SerializeTupleStruct, F>;
    type SerializeTupleVariant = Compound<'a, S::SerializeTupleVariant, F>;
    type SerializeMap = Compound<'a, S::SerializeMap, F>;
    type SerializeStruct = Compound<'a, S::SerializeStruct, F>;
    type SerializeStructVariant = Compound<'a, S::SerializeStructVariant, F>;

    forward! {
        serialize_bool(bool), serialize_char(char), serialize_str(&str),
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64), serialize_i128(i128),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_u128(u128),
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Result<S::Ok, Self::Error> {
        self.inner.serialize_bytes(self.context.state.cut(bytes)).map_err(StrictError::Format)
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<S::Ok, Self::Error> {
        Context::<F>::finite(value.is_finite())?;
        self.inner.serialize_f32(value).map_err(StrictError::Format)
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<S::Ok, Self::Error> {
        Context::<F>::finite(value.is_finite())?;
        self.inner.serialize_f64(value).map_err(StrictError::Format)
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, Self::Error> {
        self.context.nothing()?;
        self.inner.serialize_none().map_err(StrictError::Format)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, Self::Error> {
        let context = Context { under_some: true, depth: self.context.depth + 1, ..self.context };
        self.inner.serialize_some(&Nested { value, context }).map_err(StrictError::Format)
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, Self::Error> {
        self.context.nothing()?;
        self.inner.serialize_unit().map_err(StrictError::Format)
    }

    #[inline]
    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, Self::Error> {
        self.context.nothing()?;
        self.inner.serialize_unit_struct(name).map_err(StrictError::Format)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, Self::Error> {
        self.inner.serialize_unit_variant(of, index, variant).map_err(StrictError::Format)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, Self::Error> {
        // A newtype has no bytes of its own, so a `Some` around it is directly around its contents.
        self.inner
            .serialize_newtype_struct(name, &Nested { value, context: self.context })
            .map_err(StrictError::Format)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, Self::Error> {
        let value = self.context.below(value);
        self.inner.serialize_newtype_variant(of, index, variant, &value).map_err(StrictError::Format)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Self::Error> {
        Context::<F>::length(len)?;
        let inner = self.inner.serialize_seq(len).map_err(StrictError::Format)?;
        Ok(self.context.compound(inner, "a sequence", "", len))
    }

    /// Like serde's method, but writes a run of numbers at once if the format writes them as they are in memory.
    fn collect_seq<I>(self, sequence: I) -> Result<S::Ok, Self::Error>
    where
        I: IntoIterator<Item: Serialize>,
    {
        if F::POSITIONAL
            && let Some((count, bytes)) = runs::bytes_of(&sequence)
        {
            let run = self.context.state.cut(bytes);
            let count = if run.len() < bytes.len() { count * run.len() / bytes.len() } else { count };
            let mut written = self.inner.serialize_seq(Some(count)).map_err(StrictError::Format)?;
            return match runs::put(&mut written, run) {
                Some(true) => written.end().map_err(StrictError::Format),
                Some(false) => Err(refuse::<F, _>("the writer takes no more")),
                None => self.context.compound(written, "a sequence", "", Some(count)).collect(sequence),
            };
        }
        let elements = sequence.into_iter();
        let length = match elements.size_hint() {
            (least, Some(most)) if least == most => Some(least),
            _ => None,
        };
        self.serialize_seq(length)?.collect(elements)
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, Self::Error> {
        let inner = self.inner.serialize_tuple(len).map_err(StrictError::Format)?;
        Ok(self.context.compound(inner, "a tuple", "", Some(len)))
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, Self::Error> {
        let inner = self.inner.serialize_tuple_struct(name, len).map_err(StrictError::Format)?;
        Ok(self.context.compound(inner, name, "", Some(len)))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Self::Error> {
        let inner =
            self.inner.serialize_tuple_variant(of, index, variant, len).map_err(StrictError::Format)?;
        Ok(self.context.compound(inner, of, variant, Some(len)))
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, Self::Error> {
        Context::<F>::length(len)?;
        let inner = self.inner.serialize_map(len).map_err(StrictError::Format)?;
        Ok(self.context.compound(inner, "a map", "", len))
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, Self::Error> {
        let inner = self.inner.serialize_struct(name, len).map_err(StrictError::Format)?;
        Ok(self.context.compound(inner, name, "", Some(len)))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Self::Error> {
        let inner =
            self.inner.serialize_struct_variant(of, index, variant, len).map_err(StrictError::Format)?;
        Ok(self.context.compound(inner, of, variant, Some(len)))
    }

    #[inline]
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, Self::Error> {
        self.inner.collect_str(value).map_err(StrictError::Format)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}
