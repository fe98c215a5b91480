//! The visitor of a packed vector.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserializer,
    de::{Error, Visitor},
};

use super::{copy, number::Number};
use crate::codec::verified_reader::ByteRun;

/// The visitor of a packed vector. The codec `Postcard` recognizes it, and verifies the bytes that it copies. Its name is
/// part of stored shapes.
pub(crate) struct Numbers<T>(PhantomData<T>);

impl<T> Numbers<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Number> Visitor<'de> for Numbers<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bytes of whole numbers ({})", T::NAME)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_bytes(self)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<T>, E> {
        if !bytes.len().is_multiple_of(size_of::<T>()) {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        copy::numbers(&ByteRun::verified(bytes)).ok_or_else(|| E::custom("the numbers are damaged"))
    }
}
