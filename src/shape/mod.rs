//! The fingerprint of a value type, from the calls of its `Deserialize`.
//!
//! This room deserializes `V` from samples, and records the calls: names, fields, types and every variant. The hash of the
//! record is part of the identity of a memo's generation, so after a change of a struct its entries are misses, and no bytes
//! are read as another type.
//!
//! The crate serde-reflection has the same idea, and was tested: it fails on `DateTime`, `NonZeroU32`, `Uuid`, a generic
//! type used twice and two types of one name. Here types are distinguished by their visitors, and after a refused sample
//! another one is tried.

mod deserializer;
mod hints;
mod node;
mod parts;
mod pattern;
mod readers;
mod samples;
mod search;
#[cfg(test)]
mod tests;
mod texts;
mod trace_state;
mod tracer;
mod variations;

use std::{
    any::{TypeId, type_name},
    fmt,
    hash::{Hash, Hasher},
};

use serde::de::DeserializeOwned;

pub(crate) use self::trace_state::FormatKind;
use self::{
    node::Extent,
    trace_state::{TraceFailure, TraceState},
};
use crate::{
    error::{Error, ErrorKind, Result},
    key,
};

/// The fingerprint of a value type, for implementors of [`Codec`](crate::codec::Codec).
///
/// Entries of another shape are never read. If a field or a variant is added, removed, renamed, moved or given another type,
/// every older entry is a miss. Names of structs and enums count, but not their modules. Types of serde and the standard
/// library with equal bytes have equal shapes: `Vec<T>` and `VecDeque<T>`, `Arc<T>` and `T`.
///
/// # Functions that read fields
///
/// A shape also depends on the code that reads a field, as far as names of types show it:
///
/// | change | detected |
/// |---|---|
/// | `#[serde(with = "..")]` or `deserialize_with` is added to a field, or removed | yes, except in a newtype struct |
/// | `with` names another function with its own visitor, such as `ts_seconds` and `ts_milliseconds` of chrono | yes |
/// | a field becomes a type that is read through another one (`from`, `try_from`, `transparent`, a wrapper), or such a type is renamed | yes |
/// | the elements of a list get another adapter of `serde_with` | yes |
/// | `with` names another function that reads the same plain type: a number of cents, a number of mills | **no** |
/// | the adapter of a whole field is replaced by one that reads the same plain type | **no** |
/// | the body of such a function, of a `From`, or of a hand-written `Deserialize` changes, and the visitor keeps its name | **no** |
/// | two variants of an enum that is stored as a number (`serde_repr`) are swapped | **no** |
/// | the meaning of a field changes: degrees become radians | **no** |
///
/// Raise [`version`](crate::MemoBuilder::version) after a change that is not detected. If a new release of a crate renames a
/// visitor, the entries of its types are misses.
///
/// # Examples
///
/// ```
/// use memolith::codec::Shape;
///
/// mod before {
///     #[derive(serde::Deserialize)]
///     pub struct Ride { pub minutes: u32 }
/// }
/// mod after {
///     #[derive(serde::Deserialize)]
///     pub struct Ride { pub minutes: u64 }
/// }
/// assert_ne!(Shape::of::<before::Ride>()?, Shape::of::<after::Ride>()?);
/// assert_eq!(Shape::of::<Vec<u8>>()?, Shape::of::<std::collections::VecDeque<u8>>()?);
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Shape {
    /// Two shapes are equal if their digests are.
    digest: [u8; 16],
    /// The knowledge of a codec about the type, for the checks of its values. It is valid for this codec only.
    proof: Option<(TypeId, Proof)>,
}

/// The evidence that values of a type can be read back, before the first of them is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// There is none.
    Missing,
    /// Samples with every part of the type were read back unchanged.
    Samples,
    /// The format is made for this type.
    Format,
}

impl Shape {
    /// The shape of `V` in a format that is not self-describing, such as postcard.
    ///
    /// Values of `V` are made from sample data and dropped. For a type with validation, dates, addresses, identifiers and
    /// similar samples are tried until it accepts one; words, lengths and patterns in its error messages become samples too.
    /// This takes microseconds, or milliseconds for a type that accepts few values, and is bounded for every type. If a
    /// `Deserialize` chooses the next type by the values that it has read, only the choices of the samples are traced.
    ///
    /// # Errors
    ///
    /// With the remedy in the message:
    ///
    /// - [`UnsupportedType`](crate::ErrorKind::UnsupportedType) for a type that asks the format for the next type
    ///   (`serde_json::Value`, and enums and structs that are untagged, internally tagged or flattened), which such a
    ///   format does not know.
    /// - [`UntraceableType`](crate::ErrorKind::UntraceableType) for a type that reads its fields only by their names,
    ///   and for a type that panics, or that refuses every sample before all of its parts were traced.
    ///
    /// # Examples
    ///
    /// ```
    /// use memolith::codec::Shape;
    ///
    /// assert!(Shape::of::<Option<String>>().is_ok());
    /// assert!(Shape::of::<serde_json::Value>().unwrap_err().is_unsupported_type());
    /// ```
    pub fn of<V: DeserializeOwned>() -> Result<Self> {
        Self::digest("traced", &describe::<V>()?)
    }

    /// The shape of `V` in a self-describing format, such as JSON.
    ///
    /// Parts whose type depends on the bytes are left open. If `V` cannot be traced, the name of the type replaces its
    /// shape.
    ///
    /// # Examples
    ///
    /// ```
    /// use memolith::codec::Shape;
    ///
    /// assert_eq!(Shape::self_describing::<serde_json::Value>(), Shape::self_describing::<serde_json::Value>());
    /// assert_ne!(Shape::self_describing::<serde_json::Value>(), Shape::self_describing::<String>());
    /// ```
    #[must_use]
    pub fn self_describing<V: DeserializeOwned>() -> Self {
        match trace::<V>(FormatKind::SelfDescribing) {
            Ok(description) => Self::infallible("self-describing", &description),
            Err(_) => Self::infallible("type", type_name::<V>()),
        }
    }

    /// A shape identified by a name, for codecs with their own notion of identity.
    ///
    /// ```
    /// use memolith::codec::Shape;
    ///
    /// assert_ne!(Shape::named("arrow schema 1"), Shape::named("arrow schema 2"));
    /// ```
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::infallible("named", name)
    }

    /// The shape of a type that cannot be traced, and has a `version(n)`.
    pub(crate) fn untraced() -> Self {
        Self::of_digest([0; 16])
    }

    fn of_digest(digest: [u8; 16]) -> Self {
        Self { digest, proof: None }
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.digest
    }

    /// The same shape, with the knowledge of the codec `C` about its values.
    pub(crate) fn with<C: 'static>(self, proof: Proof) -> Self {
        Self { proof: Some((TypeId::of::<C>(), proof)), ..self }
    }

    /// The knowledge of `C` about its values.
    pub(crate) fn proof<C: 'static>(&self) -> Proof {
        self.proof.filter(|(codec, _)| *codec == TypeId::of::<C>()).map_or(Proof::Missing, |(_, proof)| proof)
    }

    fn digest(origin: &str, description: &str) -> Result<Self> {
        let digest = key::digest(&(origin, description))?;
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest.as_bytes()).for_each(|(byte, digested)| *byte = *digested);
        Ok(Self::of_digest(bytes))
    }

    /// A pair of strings always serializes.
    fn infallible(origin: &str, description: &str) -> Self {
        Self::digest(origin, description).unwrap_or_else(|_| Self::untraced())
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Shape {}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The canonical text of a type in a positional format. Its hash is the shape.
fn describe<V: DeserializeOwned>() -> Result<String> {
    trace::<V>(FormatKind::Positional).map_err(|failure| explain(type_name::<V>(), failure))
}

fn trace<V: DeserializeOwned>(format: FormatKind) -> Result<String, TraceFailure> {
    search::trace::<V>(&mut TraceState::new(format)).map(|root| root.describe())
}

/// Makes a `V` from one sample after the other, like a trace. Returns whether one of them had every part of the type.
pub(crate) fn samples<V: DeserializeOwned>(format: FormatKind) -> bool {
    search::trace::<V>(&mut TraceState::new(format)).is_ok_and(|root| root.extent() == Extent::Whole)
}

/// Makes a `V` with as few parts as the type allows: lists without elements, options without values.
pub(crate) fn least_sample<V: DeserializeOwned>(format: FormatKind) {
    search::least::<V>(&mut TraceState::new(format));
}

fn explain(type_name: &str, failure: TraceFailure) -> Error {
    let reason = match failure {
        TraceFailure::Unsupported(part) => return unsupported(type_name, part, ASKS),
        TraceFailure::Mismatched(part) => return unsupported(type_name, part, NAMES),
        TraceFailure::Inconsistent(part) => format!("`{part}` reads different things in different samples"),
        TraceFailure::Panicked(message) => format!("its `Deserialize` panicked: {message}"),
        TraceFailure::Refused(message) => message,
    };
    let remedy = "give the memo a `.version(n)`, and raise n whenever the type changes";
    Error::new(
        ErrorKind::UntraceableType,
        format!("the shape of `{type_name}` cannot be traced, {reason}; {remedy}"),
    )
}

const ASKS: &str = "asks the format for the next type, as untagged, internally tagged and flattened types do";
const NAMES: &str = "reads its parts only by their names, or in a way that only one format supports";

fn unsupported(type_name: &str, part: &str, why: &str) -> Error {
    let place = if part == type_name { String::new() } else { format!(" inside `{type_name}`") };
    Error::new(
        ErrorKind::UnsupportedType,
        format!(
            "`{part}`{place} {why}, which postcard does not support: use another codec, `memolith::codec::Auto` or \
             `memolith::codec::Json` with the feature `json`, or a plain or externally tagged type"
        ),
    )
}
