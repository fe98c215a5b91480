//! Checks that the `Serialize` and the `Deserialize` of a type agree.
//!
//! They may disagree. For `enum { A, #[serde(skip)] B, C, D }` serde writes `C` as number 2, and reads number 2 as `D`:
//! postcard returns another value without an error. `skip_serializing` and `skip_deserializing` on a field, and any skip
//! in a tuple struct, have the same effect, and serializers do not see them. So when a memo is opened, the samples by
//! which [`Shape`] traces a type, which reach every variant and every field, are encoded and decoded. This does not slow
//! down the encoding of values.

use std::{any::type_name, cell::Cell, marker::PhantomData, mem::ManuallyDrop};

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use super::{Codec, round_trip};
use crate::{
    error::{Error, ErrorKind, Result},
    shape::{self, FormatKind},
};

/// Maximum number of emptier samples made from one sample.
const LESSER: usize = 64;

thread_local! {
    /// Why a sample could not be read back. A `Deserialize` can return this no other way. It is never dropped, and empty
    /// between two calls: a memo may be opened by the destructor of another thread-local, or at the end of the program.
    static DISAGREEMENT: Cell<ManuallyDrop<Option<String>>> = const { Cell::new(ManuallyDrop::new(None)) };
    /// Whether the codec refused to encode a sample.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// The results of the samples of a type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Samples {
    /// Samples with every part of the type were made and read back.
    pub(super) are_whole: bool,
    /// The codec refused to encode a sample, so it will refuse values.
    #[cfg_attr(
        not(feature = "json"),
        expect(dead_code, reason = "only `Auto` asks, where there is a choice")
    )]
    pub(super) was_refused: bool,
}

/// A codec whose types can be tested by samples.
pub(super) trait Sampled: Default {
    /// Kind of its format.
    const FORMAT: FormatKind;

    /// Emptier values than the value of these bytes.
    fn lesser<V: DeserializeOwned>(_: &[u8]) -> impl Iterator<Item = V> {
        std::iter::empty()
    }
}

/// Refuses a type if a sample of it cannot be read back unchanged.
pub(super) fn check<V, C>() -> Result<Samples>
where
    V: Serialize + DeserializeOwned,
    C: Codec<V> + Sampled,
{
    samples::<V, C>().map_err(|how| unsupported::<V>(&how))
}

/// The results of the samples of `V`, or why one of them could not be read back. Other failures, such as a `Serialize` that
/// panics on a sample, are no disagreement.
pub(super) fn samples<V, C>() -> Result<Samples, String>
where
    V: Serialize + DeserializeOwned,
    C: Codec<V> + Sampled,
{
    let _ = left();
    REFUSED.take();
    let are_whole = shape::samples::<Sample<V, C>>(C::FORMAT);
    shape::least_sample::<Sample<V, C>>(C::FORMAT);
    left().map_or(Ok(Samples { are_whole, was_refused: REFUSED.take() }), Err)
}

/// The disagreement that was left, which is taken away.
fn left() -> Option<String> {
    ManuallyDrop::into_inner(DISAGREEMENT.take())
}

/// Deserializes a `V`, and checks that it can be encoded and decoded.
struct Sample<V, C>(PhantomData<(V, C)>);

impl<'de, V, C> Deserialize<'de> for Sample<V, C>
where
    V: Serialize + DeserializeOwned,
    C: Codec<V> + Sampled,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sample = V::deserialize(deserializer)?;
        if let Some(how) = disagreement(&C::default(), &sample) {
            drop(left());
            DISAGREEMENT.set(ManuallyDrop::new(Some(how)));
        }
        Ok(Self(PhantomData))
    }
}

/// Why a sample, or an emptier one, cannot be read back.
fn disagreement<V, C>(codec: &C, sample: &V) -> Option<String>
where
    V: Serialize + DeserializeOwned,
    C: Codec<V> + Sampled,
{
    let there = bytes(codec, sample)?;
    lost(codec, sample).or_else(|| C::lesser(&there).find_map(|lesser| lost(codec, &lesser)))
}

/// A value that the codec refuses to encode is never stored, so it need not be read back.
fn lost<V, C: Codec<V>>(codec: &C, value: &V) -> Option<String> {
    let there = bytes(codec, value)?;
    round_trip::came_back(codec, value, &there.into()).err().map(|error| error.to_string())
}

/// Makes bytes of emptier samples in a positional format. Samples are full, but fields are usually skipped when they are
/// empty or zero. A byte 1 may be a `Some` or the length of a single element: each is set to zero in turn. So is each `1.0`.
pub(super) fn emptied(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let float = 1.0_f64.to_le_bytes();
    let ones = bytes.iter().enumerate().filter(|(_, byte)| **byte == 1).map(|(place, _)| place..place + 1);
    let floats = bytes.windows(float.len()).enumerate().filter(move |(_, window)| **window == float);
    let places = ones.chain(floats.map(|(place, _)| place..place + size_of::<f64>()));
    places.take(LESSER).map(|place| {
        let mut lesser = bytes.to_vec();
        lesser.get_mut(place).unwrap_or_default().fill(0);
        lesser
    })
}

fn bytes<V, C: Codec<V>>(codec: &C, value: &V) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoded = codec.encode(value, &mut bytes);
    encoded.inspect_err(|_| REFUSED.set(true)).ok().map(|()| bytes)
}

fn unsupported<V>(how: &str) -> Error {
    let value_type = type_name::<V>();
    let message = format!(
        "a sample of `{value_type}` could not be read back as it was written ({how}): its `Serialize` and `Deserialize` \
         disagree, for example because a variant, or one direction of a field, is skipped; remove the attribute, or use \
         the codec `Json` or `Auto` (feature `json`)"
    );
    Error::new(ErrorKind::UnsupportedType, message)
}

#[cfg(test)]
mod tests {
    #![expect(dead_code, reason = "the samples alone make these")]

    use std::{
        collections::{BTreeMap, HashMap, HashSet},
        path::PathBuf,
        sync::{Arc, Mutex},
        time::{Duration, SystemTime},
    };

    use chrono::{DateTime, NaiveDate, Utc};
    use url::Url;
    use uuid::Uuid;

    use super::*;
    use crate::codec::{Postcard, testing::Rich};

    #[track_caller]
    fn refused<V: Serialize + DeserializeOwned>() {
        let error = check::<V, Postcard>().unwrap_err();
        assert!(error.is_unsupported_type() && error.to_string().contains(type_name::<V>()), "{error}");
        assert!(Codec::<V>::shape(&Postcard).is_err());
    }

    #[track_caller]
    fn accepted<V: Serialize + DeserializeOwned>() {
        check::<V, Postcard>().unwrap();
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum SkippedInTheMiddle {
        A,
        #[serde(skip)]
        B(u8),
        C(u8),
        D(u8),
    }

    #[test]
    fn a_skipped_variant_would_be_another_one_and_is_refused() {
        use SkippedInTheMiddle::{C, D};
        let plain = ::postcard::to_stdvec(&C(7)).unwrap();
        assert_eq!(::postcard::from_bytes::<SkippedInTheMiddle>(&plain).unwrap(), D(7));
        refused::<SkippedInTheMiddle>();
        refused::<Vec<Option<SkippedInTheMiddle>>>();
        refused::<HashMap<String, (u8, SkippedInTheMiddle)>>();
    }

    #[test]
    fn a_last_variant_that_is_skipped_is_no_trouble() {
        #[derive(Serialize, Deserialize)]
        enum SkippedAtTheEnd {
            A,
            B(u8),
            #[serde(skip)]
            C,
        }
        accepted::<SkippedAtTheEnd>();
    }

    #[derive(Serialize, Deserialize)]
    struct Written {
        #[serde(skip_serializing, default)]
        secret: u8,
        shown: u8,
    }

    #[derive(Serialize, Deserialize)]
    struct Read {
        #[serde(skip_deserializing)]
        derived: u8,
        shown: u8,
    }

    #[derive(Serialize, Deserialize)]
    struct Pair(#[serde(skip_serializing_if = "Option::is_none")] Option<u8>, u8);

    #[derive(Serialize, Deserialize)]
    enum Variant {
        Whole,
        Half {
            #[serde(skip_serializing)]
            secret: u8,
            shown: u8,
        },
    }

    #[test]
    fn a_field_that_only_one_half_knows_is_refused() {
        refused::<Written>();
        refused::<Vec<Written>>();
        refused::<Read>();
        refused::<BTreeMap<u8, Read>>();
        refused::<Pair>();
        refused::<Vec<(u8, Pair)>>();
        refused::<Variant>();
    }

    #[test]
    fn a_field_that_is_skipped_by_name_is_left_to_the_encoder() {
        #[derive(Serialize, Deserialize)]
        struct Range {
            #[serde(skip_serializing_if = "Option::is_none")]
            min: Option<u8>,
            #[serde(skip)]
            scratch: Vec<u8>,
        }
        accepted::<Range>();
    }

    #[test]
    fn renames_and_aliases_are_no_trouble() {
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        enum Renamed {
            #[serde(alias = "one", alias = "uno")]
            First(u8),
            #[serde(rename(serialize = "out", deserialize = "in"))]
            Second {
                #[serde(alias = "width")]
                size: u8,
            },
            #[serde(other)]
            Rest,
        }
        accepted::<Renamed>();
    }

    #[test]
    fn types_of_the_field_come_back() {
        accepted::<Rich>();
        accepted::<(DateTime<Utc>, NaiveDate, Uuid, Url, PathBuf)>();
        accepted::<(Duration, SystemTime, Arc<str>, Mutex<u8>, Result<u8, String>)>();
        accepted::<(HashMap<u64, HashSet<String>>, [u8; 32], std::num::NonZeroU8, Box<[f32]>)>();
        accepted::<Vec<HashMap<Option<bool>, std::net::SocketAddr>>>();
    }

    #[test]
    fn a_serialize_that_panics_on_a_sample_is_no_disagreement() {
        #[derive(Deserialize)]
        struct Picky(u8);
        impl Serialize for Picky {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                assert!(self.0 > 100, "no sample is that large");
                serializer.serialize_newtype_struct("Picky", &self.0)
            }
        }
        accepted::<Picky>();
    }
}
