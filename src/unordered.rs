//! Sets as keys: `#[serde(with = "memolith::unordered")]`, and [`Unordered`] for a whole key.
//!
//! A key that holds a `HashSet` needs neither: by itself, in a tuple or in a struct with a derived `Serialize`, the order of its
//! elements is left out of the key. memolith sees that by the type, and so it does not see it in these, where equal keys are
//! never a hit unless this module is used:
//!
//! - a field of a `#[serde(transparent)]` or `#[serde(untagged)]` type,
//! - a `Serialize` written by hand that lists a set,
//! - a set of a crate that memolith does not know (known are std, hashbrown, ahash, dashmap, im and imbl),
//! - a list whose order means nothing to the memoized function.
//!
//! Equal elements all count: `[1, 1, 2]` is another key than `[1, 2]`. In a value nothing changes: the elements are stored in the
//! order in which they come.
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

/// A collection as a key in which the order of the elements does not count.
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

/// Writes a field. Named by serde's derive.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<T: Serialize + ?Sized, S: Serializer>(field: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(UNORDERED, field)
}

/// Reads a field back. Named by serde's derive.
///
/// # Errors
///
/// Those of the deserializer.
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
