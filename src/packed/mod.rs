//! Plain numbers as one run of bytes: a serde form for the columns of a frame.
//!
//! Serde has no word for "a slice of numbers", so a `Vec<f64>` goes through a codec one element a call: it is gathered in
//! small pieces on its way to the disk, and made by one thread on its way back. Put the attribute on the field, and it
//! goes as a whole, from the vector into the file and from the file into the vector:
//!
//! ```
//! use memolith::{Memo, Store};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Rides {
//!     names: Vec<String>,
//!     #[serde(with = "memolith::packed")]
//!     minutes: Vec<f64>,
//!     #[serde(with = "memolith::packed")]
//!     features: Vec<Vec<f32>>, // each column by itself
//! }
//!
//! let store = Store::temporary()?;
//! let rides: Memo<str, Rides> = Memo::builder("rides").open(&store)?;
//! let read = || Rides { names: vec!["Ada".into()], minutes: vec![12.5], features: vec![vec![1.0], vec![f32::NAN]] };
//! rides.get_or_insert_with("rides.csv", read);
//! assert_eq!(rides.get_or_insert_with("rides.csv", || unreachable!("remembered")).minutes, [12.5]);
//! # Ok::<(), memolith::Error>(())
//! ```
//!
//! # When to use it
//!
//! For vectors of numbers from about a megabyte on. On 320 MB of `f64` (2 cores; the unit is `frame.clone()`, into fresh
//! memory, of the same run):
//!
//! | | plain | packed |
//! |---|---|---|
//! | the first run, what storing adds | 1.0 | 0.5 |
//! | a later run, from disk | 1.1 | 0.5 |
//!
//! A plain `Vec<f64>` is not slow, then: faulting the memory in hides most of what serde costs. Integers gain more, and
//! lose something: postcard writes them in as few bytes as each of them needs, which for full-width `i64` takes three
//! times as long as a copy, and for small ones takes a quarter of the space. A plain `Vec<u8>` is 2 to 2.5 times slower
//! than a packed one.
//!
//! # What it is in the bytes
//!
//! In formats for machines, such as [`Postcard`](crate::codec::Postcard): the length in bytes, then the numbers, little-endian
//! on every machine, with every bit of a NaN. That is another form than the plain vector's, and of another
//! [`Shape`](crate::codec::Shape): to put the attribute on, to take it off, and to change the type of the numbers are
//! clean misses. In formats for humans, such as `Json`, it is the plain list of numbers, with the rules of that format.
//!
//! # What it can be put on
//!
//! Whatever is [`Packed`]: vectors of numbers, and lists, maps and options of them. For other places make a type of it:
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Column(#[serde(with = "memolith::packed")] Vec<f64>);
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Frame {
//!     columns: Vec<(String, Column)>,
//! }
//! ```

mod copy;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::{BuildHasher, Hash},
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, SeqAccess, Visitor},
};

use self::sealed::Number;

/// For `#[serde(with = "memolith::packed")]`.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<P: Packed, S: Serializer>(numbers: &P, serializer: S) -> Result<S::Ok, S::Error> {
    numbers.pack(serializer)
}

/// For `#[serde(with = "memolith::packed")]`.
///
/// # Errors
///
/// Those of the deserializer, and when the bytes are no whole number of numbers.
pub fn deserialize<'de, P: Packed, D: Deserializer<'de>>(deserializer: D) -> Result<P, D::Error> {
    P::unpack(deserializer)
}

/// What `#[serde(with = "memolith::packed")]` can be put on.
///
/// That is `Vec<T>` and `Box<[T]>` of the numbers that have one size everywhere (`i8` to `i128`, `u8` to `u128`, `f32`,
/// `f64`), and `Option`, `Vec`, `BTreeMap` and `HashMap` of what is packed. Sealed: no other type can be.
///
/// ```
/// use std::collections::BTreeMap;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Frame {
///     #[serde(with = "memolith::packed")]
///     columns: BTreeMap<String, Option<Vec<f64>>>,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be packed",
    note = "packed are vectors of numbers of one size everywhere (`f64`, not `usize`), and lists, maps and options of them"
)]
pub trait Packed: sealed::Packable {}

impl<P: sealed::Packable> Packed for P {}

mod sealed {
    use serde::{Deserializer, Serialize, Serializer, de::DeserializeOwned};

    /// A number whose bytes are all there is to it, and any of which is one.
    pub(super) trait Number: bytemuck::Pod + Serialize + DeserializeOwned + Send + Sync {
        /// What tells the shapes apart.
        const NAME: &'static str;
    }

    pub trait Packable: Sized {
        fn pack<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
        fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
    }
}

macro_rules! numbers {
    ($($number:ident)*) => {$(
        impl Number for $number {
            const NAME: &'static str = concat!("packed ", stringify!($number));
        }

        impl sealed::Packable for Vec<$number> {
            fn pack<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                pack(self.as_slice(), serializer)
            }

            fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                unpack(deserializer)
            }
        }

        impl sealed::Packable for Box<[$number]> {
            fn pack<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                pack(self, serializer)
            }

            fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                unpack(deserializer).map(Vec::into_boxed_slice)
            }
        }
    )*};
}

numbers! { i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 }

fn pack<T: Number, S: Serializer>(numbers: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        numbers.serialize(serializer)
    } else {
        serializer.serialize_newtype_struct(T::NAME, &Run(numbers))
    }
}

fn unpack<'de, T: Number, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    if deserializer.is_human_readable() {
        Vec::deserialize(deserializer)
    } else {
        deserializer.deserialize_newtype_struct(T::NAME, Numbers(PhantomData))
    }
}

/// Numbers as one run of little-endian bytes.
struct Run<'a, T>(&'a [T]);

impl<T: Number> Serialize for Run<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&copy::little_endian(self.0))
    }
}

struct Numbers<T>(PhantomData<T>);

impl<T: Number> Numbers<T> {
    fn copied<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<T>, E> {
        copy::numbers(bytes).ok_or_else(|| E::invalid_length(bytes.len(), &self))
    }
}

impl<'de, T: Number> Visitor<'de> for Numbers<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} numbers of {} bytes each", T::NAME, size_of::<T>())
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_bytes(self)
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<T>, E> {
        self.copied(bytes)
    }

    /// Formats without a word for bytes write them as a list of small numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = list.next_element()? {
            bytes.push(byte);
        }
        self.copied(&bytes).map_err(|error: A::Error| A::Error::custom(error))
    }
}

/// Something packed that is part of something else.
#[repr(transparent)]
struct Part<P>(P);

impl<P: Packed> Serialize for Part<&P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.pack(serializer)
    }
}

impl<'de, P: Packed> Deserialize<'de> for Part<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        P::unpack(deserializer).map(Self)
    }
}

impl<P: Packed> sealed::Packable for Vec<P> {
    fn pack<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Part))
    }

    fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Vec::<Part<P>>::deserialize(deserializer)?;
        Ok(parts.into_iter().map(|part| part.0).collect())
    }
}

impl<P: Packed> sealed::Packable for Option<P> {
    fn pack<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Part).serialize(serializer)
    }

    fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Part<P>>::deserialize(deserializer)?.map(|part| part.0))
    }
}

impl<K: Serialize + for<'de> Deserialize<'de> + Ord, P: Packed> sealed::Packable for BTreeMap<K, P> {
    fn pack<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, part)| (key, Part(part))))
    }

    fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = BTreeMap::<K, Part<P>>::deserialize(deserializer)?;
        Ok(parts.into_iter().map(|(key, part)| (key, part.0)).collect())
    }
}

impl<K, P, H> sealed::Packable for HashMap<K, P, H>
where
    K: Serialize + for<'de> Deserialize<'de> + Eq + Hash,
    P: Packed,
    H: BuildHasher + Default,
{
    fn pack<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, part)| (key, Part(part))))
    }

    fn unpack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = HashMap::<K, Part<P>, H>::deserialize(deserializer)?;
        Ok(parts.into_iter().map(|(key, part)| (key, part.0)).collect())
    }
}
