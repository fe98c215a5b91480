//! Vectors of plain numbers, stored as the bytes that they are: `#[serde(with = "memolith::packed")]`.
//!
//! Packed, a vector is one run of bytes, little-endian, which is written from where it lies and read back by a copy on two
//! threads: a frame of 320 MB is stored at about the speed of a plain `write`, and handed over in about half the time of
//! its `clone()`, after a restart too.
//!
//! Under the codec [`Postcard`](crate::codec::Postcard) vectors of `f32`, `f64`, `u8` and `i8` have that without being
//! packed. Wider integers have not, because postcard writes the small ones in fewer bytes; nor has any vector under a
//! codec of your own on top of serde.
//!
//! ```
//! use memolith::{Memo, Store};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
//! struct Frame {
//!     names: Vec<String>,
//!     #[serde(with = "memolith::packed")]
//!     times: Vec<i64>,
//!     #[serde(with = "memolith::packed")]
//!     columns: Vec<Vec<f64>>,
//! }
//!
//! let store = Store::temporary()?;
//! let frames: Memo<str, Frame> = Memo::builder("frames").open(&store)?;
//! let frame = frames.get_or_insert_with("rides", || Frame {
//!     names: vec!["minutes".into()],
//!     times: vec![1_767_225_600],
//!     columns: vec![vec![12.5]],
//! });
//! assert_eq!(frames.get("rides")?, Some(frame));
//! # Ok::<(), memolith::Error>(())
//! ```
//!
//! # Which fields
//!
//! `Vec<T>`, `Box<[T]>`, `Arc<[T]>` and `Vec<Vec<T>>` where `T` is an integer of a fixed size (`u8` to `u128`, `i8` to
//! `i128`) or a float, and an `Option` of these: see [`Packed`]. Integers take their full width: where most of them are
//! small, plain vectors under postcard take less space and more time.
//!
//! Packing a field that was not packed, or the other way round, is another shape: older entries are a clean miss. With
//! a codec for people to read, such as `Json`, a packed field is a plain list.
//!
//! # Memory
//!
//! A copy of one's own takes its size in memory, and nothing beside it; an `Arc<[T]>` twice that while it is made. Where several callers only read, take
//! `V = Arc<Frame>`: hits from memory then share one.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use crate::codec::runs::Number;
use crate::codec::runs::{Numbers, little_endian};

/// What `#[serde(with = "memolith::packed")]` can stand in front of. Not to be implemented elsewhere.
///
/// ```
/// use std::sync::Arc;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Model {
///     #[serde(with = "memolith::packed")]
///     weights: Vec<Vec<f32>>,
///     #[serde(with = "memolith::packed")]
///     bias: Option<Box<[f32]>>,
///     #[serde(with = "memolith::packed")]
///     labels: Arc<[u16]>,
/// }
/// ```
#[expect(private_bounds, reason = "sealed")]
pub trait Packed: Sealed {}

/// The two halves of a packed field.
trait Sealed: Sized {
    fn pack<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Writes a field as a run of bytes. Named by serde's derive.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<P: Packed, S: Serializer>(field: &P, serializer: S) -> Result<S::Ok, S::Error> {
    field.pack(serializer)
}

/// Reads a field back. Named by serde's derive.
///
/// # Errors
///
/// Those of the deserializer, and when the bytes are no whole numbers.
pub fn deserialize<'de, P: Packed, D: Deserializer<'de>>(deserializer: D) -> Result<P, D::Error> {
    P::unpack(deserializer)
}

fn pack<T: Number, S: Serializer>(numbers: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        return serializer.collect_seq(numbers);
    }
    serializer.serialize_newtype_struct(T::NAME, &RawBytes(&little_endian(numbers)))
}

fn unpack<'de, T: Number, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    if deserializer.is_human_readable() {
        return Vec::deserialize(deserializer);
    }
    deserializer.deserialize_newtype_struct(T::NAME, Numbers::new())
}

macro_rules! slices {
    ($($container:ty),*) => {$(
        impl<T: Number> Packed for $container {}

        impl<T: Number> Sealed for $container {
            fn pack<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                pack(self, serializer)
            }

            fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                unpack(deserializer).map(Into::into)
            }
        }
    )*};
}

slices!(Vec<T>, Box<[T]>, Arc<[T]>);

impl<T: Number> Packed for Vec<Vec<T>> {}

impl<T: Number> Sealed for Vec<Vec<T>> {
    fn pack<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(PackedPart))
    }

    fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let columns = Vec::<Whole<Vec<T>>>::deserialize(deserializer)?;
        Ok(columns.into_iter().map(|column| column.0).collect())
    }
}

impl<P: Packed> Packed for Option<P> {}

impl<P: Packed> Sealed for Option<P> {
    fn pack<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(PackedPart).serialize(serializer)
    }

    fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Whole<P>>::deserialize(deserializer)?.map(|some| some.0))
    }
}

/// A packed field within another value, on its way out.
struct PackedPart<'a, P>(&'a P);

impl<P: Packed> Serialize for PackedPart<'_, P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.pack(serializer)
    }
}

/// The same on its way in.
struct Whole<P>(P);

impl<'de, P: Packed> Deserialize<'de> for Whole<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        P::unpack(deserializer).map(Self)
    }
}

struct RawBytes<'a>(&'a [u8]);

impl Serialize for RawBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[cfg(test)]
mod tests;
