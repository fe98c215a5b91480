//! Values with parts. Each part has the same checks as the whole value.

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

use super::context::{Context, FormatRules, StrictError, refuse};

/// A value with parts during its serialization.
pub(super) struct Compound<'a, C, F> {
    /// The state of the format.
    pub(super) inner: C,
    pub(super) context: Context<'a, F>,
    /// The name of the type, for messages.
    pub(super) of: &'static str,
    /// The name of the variant, or empty.
    pub(super) variant: &'static str,
    /// Number of announced elements of a sequence or map that are missing. It wraps below zero, which is an error too.
    pub(super) left: usize,
}

impl<'a, F> Context<'a, F> {
    pub(super) fn compound<C>(
        self,
        inner: C,
        of: &'static str,
        variant: &'static str,
        left: Option<usize>,
    ) -> Compound<'a, C, F> {
        let left = left.unwrap_or_default();
        Compound { inner, context: self, of, variant, left }
    }
}

impl<C, F: FormatRules> Compound<'_, C, F> {
    #[inline]
    fn count(&mut self) {
        self.left = self.left.wrapping_sub(1);
    }

    #[inline]
    fn counted<E: Error>(&self) -> Result<(), StrictError<E>> {
        if F::POSITIONAL && self.left != 0 {
            return Err(refuse::<F, _>(&format!("{} does not have the length that it announced", self.of)));
        }
        Ok(())
    }

    #[cold]
    fn skipped<E: Error>(&self, field: &str) -> StrictError<E> {
        let separator = if self.variant.is_empty() { "" } else { "::" };
        let why = format!(
            "the field `{field}` of `{}{separator}{}` is skipped by `skip_serializing_if`, \
             and the fields behind it would be read in its place: remove the attribute",
            self.of, self.variant
        );
        refuse::<F, _>(&why)
    }
}

impl<C: SerializeSeq, F: FormatRules> Compound<'_, C, F> {
    /// All elements of a sequence.
    pub(super) fn collect<I>(mut self, elements: I) -> Result<C::Ok, StrictError<C::Error>>
    where
        I: IntoIterator<Item: Serialize>,
    {
        elements.into_iter().try_for_each(|element| self.serialize_element(&element))?;
        SerializeSeq::end(self)
    }
}

/// The traits of values whose parts have no names.
macro_rules! forward_parts {
    ($($trait:ident::$method:ident),* $(,)?) => {$(
        impl<C: $trait, F: FormatRules> $trait for Compound<'_, C, F> {
            type Ok = C::Ok;
            type Error = StrictError<C::Error>;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error> {
                self.count();
                self.inner.$method(&self.context.below(value)).map_err(StrictError::Format)
            }

            #[inline]
            fn end(self) -> Result<C::Ok, Self::Error> {
                self.counted()?;
                self.inner.end().map_err(StrictError::Format)
            }
        }
    )*};
}

forward_parts! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

/// The traits of values with named fields.
macro_rules! forward_fields {
    ($($trait:ident),*) => {$(
        impl<C: $trait, F: FormatRules> $trait for Compound<'_, C, F> {
            type Ok = C::Ok;
            type Error = StrictError<C::Error>;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                field: &'static str,
                value: &T,
            ) -> Result<(), Self::Error> {
                self.inner.serialize_field(field, &self.context.below(value)).map_err(StrictError::Format)
            }

            fn skip_field(&mut self, field: &'static str) -> Result<(), Self::Error> {
                if F::POSITIONAL {
                    return Err(self.skipped(field));
                }
                self.inner.skip_field(field).map_err(StrictError::Format)
            }

            #[inline]
            fn end(self) -> Result<C::Ok, Self::Error> {
                self.inner.end().map_err(StrictError::Format)
            }
        }
    )*};
}

forward_fields!(SerializeStruct, SerializeStructVariant);

impl<C: SerializeMap, F: FormatRules> SerializeMap for Compound<'_, C, F> {
    type Ok = C::Ok;
    type Error = StrictError<C::Error>;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Self::Error> {
        self.count();
        self.inner.serialize_key(&self.context.below(key)).map_err(StrictError::Format)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error> {
        self.inner.serialize_value(&self.context.below(value)).map_err(StrictError::Format)
    }

    #[inline]
    fn end(self) -> Result<C::Ok, Self::Error> {
        self.counted()?;
        self.inner.end().map_err(StrictError::Format)
    }
}
