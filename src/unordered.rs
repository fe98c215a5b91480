//! Sets as keys: `#[serde(with = "memolith::unordered")]`, and [`Unordered`] for a whole key.
//!
//! A key that contains a `HashSet` mostly needs neither. By itself, in a tuple or in a struct with a derived `Serialize`, the
//! order of its elements is not part of the key. memolith recognizes the type. It does not recognize it in these cases, and
//! without this module equal keys then miss:
//!
//! - a field of a `#[serde(transparent)]` or `#[serde(untagged)]` type,
//! - a `Serialize` written by hand that lists a set,
//! - a set of a crate that memolith does not know (known are std, hashbrown, ahash, dashmap, im and imbl),
//! - a list whose order is irrelevant for the memoized function.
//!
//! Equal elements all count: `[1, 1, 2]` is another key than `[1, 2]`. In a value the module has no effect: the elements are
//! stored in their order.
//!
//! ```
//! use memolith::{Memo, Store, unordered::Unordered};
//! use serde::Serialize;
//!
//! #[derive(Serialize)]
//! struct Query {
//!     #[serde(with = "memolith::unordered")]
//!     words: Vec<String>,
//!     page: u32,
//! }
//!
//! let store = Store::temporary()?;
//! let pages: Memo<Query, String> = Memo::builder("pages").open(&store)?;
//! let query = |words: [&str; 2]| Query { words: words.map(String::from).into(), page: 1 };
//! pages.get_or_insert_with(&query(["rust", "cache"]), || "ten pages".into());
//! pages.get_or_insert_with(&query(["cache", "rust"]), || unreachable!("the same words"));
//!
//! let sums: Memo<Unordered<Vec<u32>>, u32> = Memo::builder("sums").open(&store)?;
//! sums.get_or_insert_with(&Unordered(vec![1, 2]), || 3);
//! assert_eq!(sums.get(&Unordered(vec![2, 1]))?, Some(3));
//! # Ok::<(), memolith::Error>(())
//! ```

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

use crate::key::UNORDERED;

/// A collection as a key, without regard to the order of its elements.
///
/// ```
/// use memolith::{Memo, Store, unordered::Unordered};
///
/// let store = Store::temporary()?;
/// let sums: Memo<Unordered<Vec<u32>>, u32> = Memo::builder("sums").open(&store)?;
/// sums.insert(&Unordered(vec![3, 4]), &7)?;
/// assert_eq!(sums.get(&Unordered(vec![4, 3]))?, Some(7));
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unordered<T>(pub T);

impl<T: Serialize> Serialize for Unordered<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

/// Writes a field. Serde's derive calls it.
///
/// # Errors
///
/// The errors of the serializer.
pub fn serialize<T: Serialize + ?Sized, S: Serializer>(field: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(UNORDERED, field)
}

/// Reads a field back. Serde's derive calls it.
///
/// # Errors
///
/// The errors of the deserializer.
pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Inside<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Inside<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a collection")
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
            T::deserialize(deserializer)
        }
    }

    deserializer.deserialize_newtype_struct(UNORDERED, Inside(PhantomData))
}
