//! The fingerprint of a value type: what its `Deserialize` reads.
//!
//! `V` is deserialized from samples by a deserializer of our own that records what it is asked for: names, fields,
//! types and every variant. Its hash is part of the identity of a memo's generation, so that a changed struct is a
//! clean miss instead of bytes read wrongly.
//!
//! The crate serde-reflection follows the same idea and was tried: it fails on `DateTime`, `NonZeroU32`, `Uuid`, a
//! generic type used twice and two types of one name. Here types are told apart by their visitor, and a refused
//! sample is followed by another one.

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
    error::{Error, Kind, Result},
    key,
};

/// The fingerprint of a value type, for implementors of [`Codec`](crate::codec::Codec).
///
/// Entries of another shape are never read: a field or a variant that is added, removed, renamed, moved or given
/// another type makes every older entry a miss. Names of structs and enums count, the modules they live in do
/// not. Types of serde and the standard library that are stored alike are alike: `Vec<T>` and `VecDeque<T>`, `Arc<T>`
/// and `T`.
///
/// # Functions that read
///
/// A shape also holds the code that reads a field, as far as the names of types tell it:
///
/// | change | seen |
/// |---|---|
/// | `#[serde(with = "..")]` or `deserialize_with` is added to a field, or removed | yes, except in a newtype struct |
/// | `with` names another function with a visitor of its own, as `ts_seconds` and `ts_milliseconds` of chrono | yes |
/// | a field becomes a type that is read through another one (`from`, `try_from`, `transparent`, a wrapper), or such a type is renamed | yes |
/// | the elements of a list get another adapter of `serde_with` | yes |
/// | `with` names another function that reads the same plain type: a number of cents, a number of mills | **no** |
/// | the adapter of a whole field is replaced by one that reads the same plain type | **no** |
/// | the body of such a function, of a `From` or of a `Deserialize` by hand; its visitor keeps its name | **no** |
/// | two variants of an enum that is stored as a number (`serde_repr`) change places | **no** |
/// | the meaning of a field: degrees become radians | **no** |
///
/// Raise [`version`](crate::MemoBuilder::version) for these. A new release of a crate that renames a visitor makes the entries
/// of its types misses.
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
    /// All that a shape is told apart by.
    digest: [u8; 16],
    /// What a codec found out about the type, for the checks of its values, and which codec. Another one that takes over
    /// the shape has shown nothing.
    proof: Option<(TypeId, Proof)>,
}

/// What is known about the values of a type before the first of them is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing.
    Missing,
    /// Samples with every part of the type came back as they were.
    Samples,
    /// The format was made for this type, and keeps all of it.
    Format,
}

impl Shape {
    /// The shape of `V` in a format that does not describe itself, such as postcard.
    ///
    /// Values of `V` are made from sample data and dropped. A type that validates is offered dates, addresses,
    /// identifiers and the like until it accepts one; words, lengths and patterns in its refusals become samples as well.
    /// It takes microseconds, for a type that accepts hardly anything milliseconds, and is bounded for every type. Of a
    /// `Deserialize` that decides by what it has read what to read next, only what the samples lead to is seen.
    ///
    /// # Errors
    ///
    /// [`is_unsupported_type`](Error::is_unsupported_type), with the remedy in the message: for a type that asks
    /// the format what comes next (`serde_json::Value`, and enums and structs that are untagged, internally tagged
    /// or flattened), which such a format cannot tell; for a type that reads its fields by their names alone; and
    /// for a type that refuses every sample before all of its parts were seen, or panics.
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

    /// The shape of `V` in a format that describes itself, such as JSON.
    ///
    /// What is not known before the bytes are there is left open. Where tracing is impossible, the name of the
    /// type takes the place of its shape.
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

    /// The shape of a type that is known by a name, for codecs that have their own idea of identity.
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

    /// The shape of a type for which `version(n)` vouches.
    pub(crate) fn untraced() -> Self {
        Self::of_digest([0; 16])
    }

    fn of_digest(digest: [u8; 16]) -> Self {
        Self { digest, proof: None }
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.digest
    }

    /// The same shape, with what the codec `C` knows about its values.
    pub(crate) fn with<C: 'static>(self, proof: Proof) -> Self {
        Self { proof: Some((TypeId::of::<C>(), proof)), ..self }
    }

    /// What `C` knows about its values.
    pub(crate) fn proof<C: 'static>(&self) -> Proof {
        self.proof.filter(|(codec, _)| *codec == TypeId::of::<C>()).map_or(Proof::Missing, |(_, proof)| proof)
    }

    fn digest(origin: &str, description: &str) -> Result<Self> {
        let digest = key::digest(&(origin, description))?;
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest.as_bytes()).for_each(|(byte, digested)| *byte = *digested);
        Ok(Self::of_digest(bytes))
    }

    /// A pair of strings can always be digested.
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

/// The canonical text that is hashed, as read by position.
fn describe<V: DeserializeOwned>() -> Result<String> {
    trace::<V>(FormatKind::Positional).map_err(|failure| explain(type_name::<V>(), failure))
}

fn trace<V: DeserializeOwned>(format: FormatKind) -> Result<String, TraceFailure> {
    search::trace::<V>(&mut TraceState::new(format)).map(|root| root.describe())
}

/// Makes a `V` of sample after sample, as a trace does. Whether one was made with every part that the type has.
pub(crate) fn samples<V: DeserializeOwned>(format: FormatKind) -> bool {
    search::trace::<V>(&mut TraceState::new(format)).is_ok_and(|root| root.extent() == Extent::Whole)
}

/// Makes a `V` with as little in it as the type allows: no list has an element, no option a value.
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
    Error::new(Kind::Untraceable, format!("the shape of `{type_name}` cannot be traced, {reason}; {remedy}"))
}

const ASKS: &str = "asks the format what comes next, as untagged, internally tagged and flattened types do";
const NAMES: &str = "reads its parts by their names alone, or in a way that one format has";

fn unsupported(type_name: &str, part: &str, why: &str) -> Error {
    let place = if part == type_name { String::new() } else { format!(" inside `{type_name}`") };
    Error::new(
        Kind::Unsupported,
        format!(
            "`{part}`{place} {why}, and postcard cannot tell: use another codec, `memolith::codec::Auto` or \
             `memolith::codec::Json` with the feature `json`, or a plain or externally tagged type"
        ),
    )
}
