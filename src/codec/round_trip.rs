//! Checks before a value is stored that it can be read back unchanged.
//!
//! The `Serialize` and the `Deserialize` of a type may disagree, and samples do not show this for every type. So the bytes
//! of a value are decoded as a later call would decode them, and the result is compared with the value. Up to
//! [`ALWAYS_CHECKED`] bytes every value is checked: a check costs a hundredth of the write. For a larger value a check costs
//! as much as the write. A large value is checked
//!
//! - always, if samples showed nothing when the memo was opened;
//! - with only the beginning of long runs of numbers, if these make the value large: the runs are copied byte by byte;
//! - otherwise only the first ones, and then ever more rarely, and also if the computation took much longer than a check.

use std::{
    any::type_name,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::Serialize;

use super::{Codec, Payload, Shape};
use crate::{
    error::{Error, ErrorKind, Result},
    key::{Form, print},
    shape::Proof,
};

/// Every value up to this size in bytes is checked.
const ALWAYS_CHECKED: usize = 64 << 10;

/// Maximum size in bytes of a value with its runs of numbers abridged.
const MAX_ABRIDGED: usize = 32 << 10;

/// A larger value is not kept in memory a second time for a check that is optional.
const MAX_CHECKED: u64 = 64 << 20;

/// Maximum cost of a check for each byte of a large value, in nanoseconds.
const NANOS_PER_BYTE: u64 = 8;

/// A check may take one part in this many of the compute time.
const TIME_SHARE: u64 = 8;

/// Number of decodings with equal order after which the order of elements counts as significant.
const ORDERS: usize = 16;

/// The knowledge of a memo whether its values can be read back.
#[derive(Debug)]
pub(crate) struct RoundTrip {
    proof: Proof,
    /// Number of large values whose check was optional.
    large: AtomicU64,
    /// Set when a value failed the check. From then on every value is checked.
    suspect: AtomicBool,
}

impl RoundTrip {
    /// For values that the codec `C` stores.
    pub(crate) fn new<C: 'static>(shape: &Shape) -> Self {
        Self { proof: shape.proof::<C>(), large: AtomicU64::new(0), suspect: AtomicBool::new(false) }
    }

    /// A writer to `out` that keeps the bytes that the check needs.
    pub(crate) fn tee<'a>(&self, out: &'a mut dyn Write) -> Tee<'a> {
        let room = if self.proof == Proof::Format { 0 } else { ALWAYS_CHECKED };
        Tee { out, room, bytes: Vec::new(), length: 0 }
    }

    /// Refuses a value that cannot be read back unchanged. `prefix` comes from [`tee`](Self::tee).
    ///
    /// # Errors
    ///
    /// Of the kind `Encode`. A panic of user code unwinds, and the caller contains it.
    pub(crate) fn check<V: 'static>(
        &self,
        codec: &dyn Codec<V>,
        value: &V,
        prefix: EncodedPrefix,
        compute_time: Duration,
    ) -> Result<()> {
        if self.proof == Proof::Format {
            return Ok(());
        }
        let EncodedPrefix { bytes, length } = prefix;
        let checked = if bytes.len() as u64 == length {
            came_back(codec, value, &bytes.into())
        } else {
            self.check_large(codec, value, &bytes, length, compute_time)
        };
        checked.inspect_err(|_| self.suspect.store(true, Relaxed)).map_err(unstorable::<V>)
    }

    fn check_large<V: 'static>(
        &self,
        codec: &dyn Codec<V>,
        value: &V,
        head: &[u8],
        length: u64,
        compute_time: Duration,
    ) -> Result<()> {
        let is_trusted = self.proof == Proof::Samples && !self.suspect.load(Relaxed);
        if is_trusted && (abridged_came_back(codec, value) || !self.is_due(length, compute_time)) {
            return Ok(());
        }
        let mut whole = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        codec.encode(value, &mut whole)?;
        if whole.len() as u64 != length || !whole.starts_with(head) {
            return Err(Error::other("it is encoded differently each time"));
        }
        came_back(codec, value, &whole.into())
    }

    /// Whether a large value is checked although its type is trusted.
    fn is_due(&self, length: u64, compute_time: Duration) -> bool {
        if length > MAX_CHECKED {
            return false;
        }
        let before = self.large.fetch_add(1, Relaxed);
        let cost = Duration::from_nanos(length.saturating_mul(NANOS_PER_BYTE * TIME_SHARE));
        (before + 1).is_power_of_two() || cost <= compute_time
    }
}

/// The first bytes of an encoded value.
pub(crate) struct EncodedPrefix {
    /// All bytes, or the first of them.
    bytes: Vec<u8>,
    /// Number of all bytes.
    length: u64,
}

/// A writer that keeps a prefix of the written bytes.
pub(crate) struct Tee<'a> {
    out: &'a mut dyn Write,
    /// Maximum length of `bytes`.
    room: usize,
    bytes: Vec<u8>,
    length: u64,
}

impl Tee<'_> {
    pub(crate) fn into_prefix(self) -> EncodedPrefix {
        EncodedPrefix { bytes: self.bytes, length: self.length }
    }
}

impl Write for Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        let left = self.room - self.bytes.len();
        self.bytes.extend_from_slice(bytes.get(..written.min(left)).unwrap_or_default());
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Decodes the bytes of a value, and compares the result with it.
pub(super) fn came_back<V, C: Codec<V> + ?Sized>(codec: &C, value: &V, payload: &Payload) -> Result<()> {
    let is_same = decoded(codec, payload, |back| {
        Ok(codec.is_same(value, back)? || is_in_any_order(codec, payload, back)?)
    });
    if is_same? { Ok(()) } else { Err(Error::other("it comes back as another value")) }
}

/// Decodes a value, inspects it and drops it. A panic of its `Drop` is no reason not to store the original.
fn decoded<V, T, C: Codec<V> + ?Sized>(
    codec: &C,
    payload: &Payload,
    inspect: impl FnOnce(&V) -> Result<T>,
) -> Result<T> {
    let back = codec.decode(payload)?;
    let seen = catch_unwind(AssertUnwindSafe(|| inspect(&back)));
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(back))) {
        drop(Error::panicked("the `Drop` of a value", panic));
    }
    seen.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Whether a value with abridged runs of numbers can be read back. `false` if that cannot be tested.
fn abridged_came_back<V: 'static>(codec: &dyn Codec<V>, value: &V) -> bool {
    let abridged = |value: &V| {
        let mut bytes = LimitedWriter { bytes: Vec::new(), room: MAX_ABRIDGED };
        codec.encode_abridged(value, &mut bytes).is_ok_and(|is_able| is_able).then_some(bytes.bytes)
    };
    let Some(there) = abridged(value) else { return false };
    // A type may refuse a value without all of its numbers.
    let payload = there.clone().into();
    let inspect = || decoded(codec, &payload, |back| Ok(abridged(back).is_some_and(|again| again == there)));
    match catch_unwind(AssertUnwindSafe(inspect)) {
        Ok(seen) => seen.unwrap_or(false),
        Err(panic) => {
            drop(Error::panicked("the `Deserialize` of a value", panic));
            false
        }
    }
}

/// A writer with a maximum size.
struct LimitedWriter {
    bytes: Vec<u8>,
    /// Maximum length of `bytes`.
    room: usize,
}

impl Write for LimitedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.room - self.bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the values differ only in the order of elements that each instance chooses for itself, such as that of a hash map: each
/// decoding then has another order. A list that is reversed or sorted has the same order in each decoding.
fn is_in_any_order<V, C: Codec<V> + ?Sized>(codec: &C, payload: &Payload, back: &V) -> Result<bool> {
    let mut sorted = payload.to_vec();
    sorted.sort_unstable();
    let again = bytes(codec, back)?;
    let is_shuffled = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.sort_unstable();
        bytes == sorted
    };
    if *again == **payload || !is_shuffled(&again) {
        return Ok(false);
    }
    for _ in 0..ORDERS {
        let other = decoded(codec, payload, |other| bytes(codec, other))?;
        if other != again {
            return Ok(is_shuffled(&other));
        }
    }
    Ok(false)
}

fn bytes<V, C: Codec<V> + ?Sized>(codec: &C, value: &V) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    codec.encode(value, &mut bytes)?;
    Ok(bytes)
}

/// Whether the output of `Serialize` is equal in both forms of serde.
///
/// # Errors
///
/// If a value cannot be serialized in the form of its codec.
pub(super) fn same_prints<V: Serialize>(value: &V, back: &V, own: Form) -> Result<bool> {
    let other = if own == Form::Compact { Form::Readable } else { Form::Compact };
    let there = print(value, own).ok_or_else(|| Error::other("it cannot be written twice"))?;
    if print(back, own) != Some(there) {
        return Ok(false);
    }
    // A type may have only one form, or fail in the other.
    Ok(!there.has_forms || print(value, other).is_none_or(|there| print(back, other) == Some(there)))
}

#[cold]
fn unstorable<V>(how: Error) -> Error {
    let message = format!(
        "a value of type `{}` would not come back as it is ({how}): its `Serialize` and `Deserialize`, or `encode` and \
         `decode` of the codec, disagree, so it is not stored; make them agree (`serde(skip)` on a variant and one-sided \
         attributes are the usual cause), or use the codec `Auto` or `Json` (feature `json`)",
        type_name::<V>()
    );
    Error::new(ErrorKind::Encode, message).caused_by(how)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Encodes a number as that many bytes, and counts decodings. A multiple of 1,000 is read back as another number.
    struct Zeros(&'static AtomicUsize);

    impl Codec<usize> for Zeros {
        fn id(&self) -> &'static str {
            "zeros/1"
        }

        fn shape(&self) -> Result<Shape> {
            Ok(Shape::named("zeros"))
        }

        fn encode(&self, count: &usize, out: &mut dyn Write) -> Result<()> {
            Ok(out.write_all(&vec![0; *count])?)
        }

        fn decode(&self, payload: &Payload) -> Result<usize> {
            self.0.fetch_add(1, Relaxed);
            let count = payload.size();
            Ok(if count.is_multiple_of(1_000) { count - 1 } else { count })
        }
    }

    fn knowing(proof: Proof) -> RoundTrip {
        RoundTrip::new::<Zeros>(&Shape::named("zeros").with::<Zeros>(proof))
    }

    /// Which of these values are decoded.
    fn checked_values(round_trip: &RoundTrip, counts: &[usize], compute_time: Duration) -> Vec<usize> {
        let decoded: &'static AtomicUsize = Box::leak(Box::default());
        let codec: &dyn Codec<usize> = &Zeros(decoded);
        let is_looked_at = |count: &&usize| {
            let before = decoded.load(Relaxed);
            let mut nowhere = io::sink();
            let mut tee = round_trip.tee(&mut nowhere);
            codec.encode(count, &mut tee).unwrap();
            let checked = round_trip.check(codec, count, tee.into_prefix(), compute_time);
            let is_decoded = decoded.load(Relaxed) > before;
            assert_eq!(checked.is_err(), is_decoded && count.is_multiple_of(1_000));
            is_decoded
        };
        counts.iter().filter(is_looked_at).copied().collect()
    }

    fn from(first: usize) -> Vec<usize> {
        (first..first + 9).collect()
    }

    #[test]
    fn every_small_value_is_looked_at() {
        for proof in [Proof::Missing, Proof::Samples] {
            assert_eq!(
                checked_values(&knowing(proof), &from(ALWAYS_CHECKED - 8), Duration::ZERO),
                from(ALWAYS_CHECKED - 8)
            );
        }
    }

    #[test]
    fn large_values_are_looked_at_ever_more_rarely_where_samples_came_back_and_always_elsewhere() {
        let large = from(ALWAYS_CHECKED + 1);
        assert_eq!(checked_values(&knowing(Proof::Missing), &large, Duration::ZERO), large);
        let due = [1, 2, 4, 8].map(|nth| ALWAYS_CHECKED + nth);
        assert_eq!(checked_values(&knowing(Proof::Samples), &large, Duration::ZERO), due);
    }

    #[test]
    fn a_value_that_took_long_is_looked_at() {
        let large = from(ALWAYS_CHECKED + 1);
        assert_eq!(checked_values(&knowing(Proof::Samples), &large, Duration::from_millis(5)), large);
    }

    #[test]
    fn after_one_that_did_not_come_back_each_is_looked_at() {
        let round_trip = knowing(Proof::Samples);
        assert_eq!(checked_values(&round_trip, &[1_000], Duration::ZERO), [1_000]);
        let large = from(ALWAYS_CHECKED + 1);
        assert_eq!(checked_values(&round_trip, &large, Duration::ZERO), large);
    }

    #[test]
    fn a_very_large_one_is_not_held_a_second_time() {
        let round_trip = knowing(Proof::Samples);
        assert!(
            round_trip.is_due(MAX_CHECKED, Duration::ZERO)
                && !round_trip.is_due(MAX_CHECKED + 1, Duration::MAX)
        );
    }

    #[test]
    fn the_format_of_its_values_is_trusted() {
        assert!(checked_values(&knowing(Proof::Format), &[1, 1_000, 100_000], Duration::MAX).is_empty());
    }

    #[test]
    fn a_large_value_that_is_encoded_in_two_ways_is_refused() {
        struct Growing(AtomicUsize);
        impl Codec<()> for Growing {
            fn id(&self) -> &'static str {
                "growing/1"
            }
            fn shape(&self) -> Result<Shape> {
                Ok(Shape::named("growing"))
            }
            fn encode(&self, (): &(), out: &mut dyn Write) -> Result<()> {
                Ok(out.write_all(&vec![0; ALWAYS_CHECKED + self.0.fetch_add(1, Relaxed)])?)
            }
            fn decode(&self, _: &Payload) -> Result<()> {
                Ok(())
            }
            fn is_same(&self, (): &(), (): &()) -> Result<bool> {
                Ok(true)
            }
        }
        let (round_trip, codec) = (knowing(Proof::Missing), Growing(AtomicUsize::new(1)));
        let mut nowhere = io::sink();
        let mut tee = round_trip.tee(&mut nowhere);
        codec.encode(&(), &mut tee).unwrap();
        let error = round_trip.check(&codec, &(), tee.into_prefix(), Duration::ZERO).unwrap_err();
        assert!(
            error.kind() == ErrorKind::Encode && error.to_string().contains("differently each time"),
            "{error}"
        );
    }
}
