//! The codec that chooses between `Postcard` and `Json` by the type.

use std::io::Write;
#[cfg(feature = "json")]
use std::{
    any::TypeId,
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use serde::{Serialize, de::DeserializeOwned};

#[cfg(feature = "json")]
use super::postcard;
use super::{Codec, Payload, Postcard, Shape};
#[cfg(feature = "json")]
use crate::error::ErrorKind;
use crate::{error::Result, shape::Proof};

/// [`Postcard`] for every type that it can store, and `Json` for the others, if the feature `json` is on.
///
/// `Json` is used for a type that [`Postcard`] refuses when a memo is opened (`serde_json::Value`, untagged, tagged and
/// flattened types, skipped variants), and for a type of which it would refuse some values (`skip_serializing_if`). Samples
/// of the type decide, once for each type and process, and always with the same result. [`id`](Codec::id) is the id of the
/// chosen codec, so neither codec reads bytes of the other. A type whose shape cannot be traced stays with [`Postcard`],
/// and needs a [`version`](crate::MemoBuilder::version). Without the feature, `Auto` is [`Postcard`] for all types.
///
/// # Examples
///
/// ```
/// use memolith::{Memo, Store, codec::Auto};
///
/// #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// struct Page {
///     title: String,
///     #[serde(skip_serializing_if = "Option::is_none")]
///     author: Option<String>,
/// }
///
/// let store = Store::temporary()?;
/// let pages: Memo<str, Page> = Memo::builder("pages").codec(Auto::new()).open(&store)?;
/// let page = Page { title: "Home".into(), author: None };
/// pages.insert("/", &page)?;
/// assert_eq!(pages.get("/")?, Some(page));
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Auto {}

impl Auto {
    /// The codec with its default options; there are no others yet.
    ///
    /// ```
    /// use memolith::{Memo, Store, codec::Auto};
    ///
    /// let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").codec(Auto::new()).open(&store)?;
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

/// The value of the name alone, for `#[memo(codec = Auto)]`.
#[doc(hidden)]
#[expect(non_upper_case_globals, reason = "the type has the same name, in the other namespace")]
pub const Auto: Auto = Auto::new();

impl<V: Serialize + DeserializeOwned + 'static> Codec<V> for Auto {
    fn id(&self) -> &str {
        chosen::<V>().id()
    }

    fn shape(&self) -> Result<Shape> {
        let shape = chosen::<V>().shape()?;
        Ok(shape.with::<Self>(of_chosen::<V>(&shape)))
    }

    fn encode(&self, value: &V, out: &mut dyn Write) -> Result<()> {
        chosen().encode(value, out)
    }

    fn decode(&self, payload: &Payload) -> Result<V> {
        chosen().decode(payload)
    }

    fn is_same(&self, value: &V, back: &V) -> Result<bool> {
        chosen().is_same(value, back)
    }

    fn encode_abridged(&self, value: &V, out: &mut dyn Write) -> Result<bool> {
        chosen().encode_abridged(value, out)
    }
}

/// The knowledge of the chosen codec about its values.
#[cfg(feature = "json")]
fn of_chosen<V: Serialize + DeserializeOwned + 'static>(shape: &Shape) -> Proof {
    if is_kept_by_position::<V>() { shape.proof::<Postcard>() } else { shape.proof::<super::Json>() }
}

#[cfg(not(feature = "json"))]
#[expect(clippy::extra_unused_type_parameters, reason = "with the feature `json` it is asked for")]
fn of_chosen<V: Serialize + DeserializeOwned + 'static>(shape: &Shape) -> Proof {
    shape.proof::<Postcard>()
}

/// The codec of all values of one type.
#[cfg(feature = "json")]
fn chosen<V: Serialize + DeserializeOwned + 'static>() -> &'static dyn Codec<V> {
    if is_kept_by_position::<V>() { &Postcard } else { &super::Json }
}

#[cfg(not(feature = "json"))]
fn chosen<V: Serialize + DeserializeOwned + 'static>() -> &'static dyn Codec<V> {
    &Postcard
}

/// Called at each call, and decided once for each type, by samples. Two threads that decide at once get the same result.
#[cfg(feature = "json")]
fn is_kept_by_position<V: Serialize + DeserializeOwned + 'static>() -> bool {
    static KNOWN: RwLock<Option<HashMap<TypeId, bool>>> = RwLock::new(None);
    let of_type = TypeId::of::<V>();
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(answer) = known.as_ref().and_then(|known| known.get(&of_type)) {
        return *answer;
    }
    // The type's own code runs without the lock.
    drop(known);
    let answer = match postcard::examine::<V>() {
        Ok((_, samples)) => !samples.was_refused,
        Err(error) => error.kind() == ErrorKind::UntraceableType,
    };
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    known.get_or_insert_default().insert(of_type, answer);
    answer
}
