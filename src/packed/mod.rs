//! Vectors of plain numbers, stored as the bytes that they are: `#[serde(with = "memolith::packed")]`.
//!
//! A packed vector is one run of little-endian bytes. It is written without a copy, and read back by a copy on two threads.
//! A frame of 320 MB is stored at about the speed of a plain `write`, and read in about half the time of its `clone()`,
//! also after a restart.
//!
//! Under the codec [`Postcard`](crate::codec::Postcard), vectors of `f32`, `f64`, `u8` and `i8` are as fast without being
//! packed. Vectors of wider integers are not, because postcard writes small integers in fewer bytes. Neither is any vector
//! under a codec of your own on top of serde.
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
//! `i128`) or a float, and an `Option` of these: see [`Packed`]. Integers take their full width. If most of them are small,
//! plain vectors under postcard take less space and more time.
//!
//! A packed and a plain field have different shapes: after a change from one to the other, older entries are misses. Under
//! a human-readable codec, such as `Json`, a packed field is a plain list.
//!
//! # Memory
//!
//! A read takes the size of the vector in memory and no more. An `Arc<[T]>` takes twice that while it is made. If callers
//! only read, use `V = Arc<Frame>`: hits from memory then share one value.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use crate::codec::runs::Number;
use crate::codec::runs::{Numbers, little_endian};

/// The types of fields under `#[serde(with = "memolith::packed")]`. Sealed: it cannot be implemented elsewhere.
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

/// Writes and reads a packed field.
trait Sealed: Sized {
    fn pack<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Writes a field as a run of bytes. Serde's derive calls it.
///
/// # Errors
///
/// The errors of the serializer.
pub fn serialize<P: Packed, S: Serializer>(field: &P, serializer: S) -> Result<S::Ok, S::Error> {
    field.pack(serializer)
}

/// Reads a field back. Serde's derive calls it.
///
/// # Errors
///
/// The errors of the deserializer, and an error if the length is no multiple of the size of the numbers.
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

/// Serializes a packed field inside another value.
struct PackedPart<'a, P>(&'a P);

impl<P: Packed> Serialize for PackedPart<'_, P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.pack(serializer)
    }
}

/// Deserializes a packed field inside another value. Its name is part of stored shapes.
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
