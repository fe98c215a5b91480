//! The default codec: compact and fast.

mod reader;

use std::{any::type_name, io::Write};

use ::postcard::{Serializer, ser_flavors};
use serde::{Serialize, de::DeserializeOwned};

use self::reader::PostcardReader;
use super::{
    Codec, Payload, Shape, round_trip,
    strict::{self, FormatRules, StrictError},
    symmetry::{self, Sampled, Samples},
    verified_reader::{self, Unreadable},
    write_buffer::WriteBuffer,
};
use crate::{
    error::{Error, ErrorKind, Result},
    key::Form,
    shape::{self, Proof},
};

/// The default codec of a memo: any `Serialize + DeserializeOwned` value as [postcard] bytes.
///
/// The bytes contain no names and no types. So they are small and fast, and some values cannot be read back from them. Such
/// values are never stored:
///
/// - Types that ask the bytes for their type (`serde_json::Value`; `#[serde(untagged)]`, `#[serde(tag = "...")]` on an enum,
///   `#[serde(flatten)]`) are refused when the memo is opened.
/// - Types whose `Serialize` and `Deserialize` disagree are refused when the memo is opened: because of `skip` on a variant
///   that is not the last, `skip_serializing` or `skip_deserializing` on a field, or `skip_serializing_if` in a tuple
///   struct. Samples of the type are encoded and decoded to detect this. If no sample of a type can be made, each value is
///   checked before it is stored (see [`codec`](crate::codec)).
/// - A value with a field left out by `skip_serializing_if` is refused when it is encoded, because the following fields
///   would be read in its place. A sequence or map that does not know its length beforehand, or announces a wrong length,
///   is refused too. The message names the field and the remedy.
/// - A value that is nested deeper than 512 levels is refused, because it could overflow the stack of a reading thread.
/// - A payload with bytes left over is an error.
///
/// For such values use the codec `Json` of the feature `json`, or [`Auto`](super::Auto), which chooses between the two, or
/// [one of your own](Codec).
///
/// A field under `#[serde(skip)]` is not part of the value for any codec: it is read back as its `Default`.
///
/// # Examples
///
/// ```
/// use memolith::{Memo, Store, codec::Postcard};
///
/// let store = Store::temporary()?;
/// let primes: Memo<u32, Vec<u32>> = Memo::builder("primes").codec(Postcard::new()).open(&store)?; // as without `codec`
/// assert_eq!(primes.get_or_insert_with(&10, || vec![2, 3, 5, 7]), [2, 3, 5, 7]);
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// [postcard]: https://postcard.jamesmunns.com
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Postcard {}

impl Postcard {
    /// The codec with its default options; there are no others yet.
    ///
    /// ```
    /// use memolith::{Memo, Store, codec::Postcard};
    ///
    /// let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").codec(Postcard::new()).open(&store)?;
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

/// The value of the name alone, for `#[memo(codec = Postcard)]`.
#[doc(hidden)]
#[expect(non_upper_case_globals, reason = "the type has the same name, in the other namespace")]
pub const Postcard: Postcard = Postcard::new();

/// The rules of postcard.
struct Positional;

impl FormatRules for Positional {
    const POSITIONAL: bool = true;
    const NULL: bool = false;
    const REMEDY: &'static str = "or use the codec `Json` or `Auto` (feature `json`)";
    const MAX_DEPTH: u16 = reader::MAX_DEPTH;
}

impl<V: Serialize + DeserializeOwned> Codec<V> for Postcard {
    fn id(&self) -> &'static str {
        "postcard/1"
    }

    fn shape(&self) -> Result<Shape> {
        examine::<V>().map(|(shape, _)| shape)
    }

    /// Streams the value: at most a few kilobytes of the payload are in memory here.
    fn encode(&self, value: &V, out: &mut dyn Write) -> Result<()> {
        write_postcard(value, out)
    }

    fn encode_abridged(&self, value: &V, out: &mut dyn Write) -> Result<bool> {
        let mut serializer = Serializer { output: WriteBuffer::new(out) };
        let outcome = strict::serialize_abridged::<Positional, _, _>(value, &mut serializer);
        serializer.output.finish(outcome, type_name::<V>(), unwritable::<V>).map(|()| true)
    }

    /// Compares the output of `Serialize` in the compact and in the readable form.
    fn is_same(&self, value: &V, back: &V) -> Result<bool> {
        round_trip::same_prints(value, back, Form::Compact)
    }

    fn decode(&self, payload: &Payload) -> Result<V> {
        verified_reader::read(payload, |source| {
            let mut reader = PostcardReader::new(source);
            let value = V::deserialize(&mut reader).map_err(|cause| unreadable::<V>(payload, cause))?;
            match reader.left_over() {
                // All bytes were read. They must all be verified too.
                0 if payload.verify_all() => Ok(value),
                left => Err(unread::<V>(left)),
            }
        })
    }
}

/// Writes a value that need not be readable, with the checks of [`Postcard`].
pub(crate) fn write_postcard<V: Serialize>(value: &V, out: &mut dyn Write) -> Result<()> {
    let mut serializer = Serializer { output: WriteBuffer::new(out) };
    let outcome = strict::serialize::<Positional, _, _>(value, &mut serializer);
    serializer.output.finish(outcome, type_name::<V>(), unwritable::<V>)
}

/// The shape of a type that can be stored, and the results of its samples.
pub(super) fn examine<V: Serialize + DeserializeOwned>() -> Result<(Shape, Samples)> {
    let shape = Shape::of::<V>()?;
    let samples = symmetry::check::<V, Postcard>()?;
    let proof = if samples.are_whole { Proof::Samples } else { Proof::Missing };
    Ok((shape.with::<Postcard>(proof), samples))
}

impl Sampled for Postcard {
    const FORMAT: shape::FormatKind = shape::FormatKind::Positional;

    fn lesser<V: DeserializeOwned>(bytes: &[u8]) -> impl Iterator<Item = V> {
        symmetry::emptied(bytes).filter_map(|bytes| leading(&bytes))
    }
}

/// The value at the beginning of the bytes.
fn leading<V: DeserializeOwned>(bytes: &[u8]) -> Option<V> {
    verified_reader::read(&Payload::from(bytes.to_vec()), |source| {
        V::deserialize(&mut PostcardReader::new(source)).ok()
    })
}

#[cold]
fn unwritable<V>(refusal: StrictError<::postcard::Error>) -> Error {
    let message = format!("a value of type `{}` cannot be encoded: {refusal}", type_name::<V>());
    Error::new(ErrorKind::Encode, message).caused_by(refusal)
}

#[cold]
fn unreadable<V>(payload: &Payload, cause: Unreadable) -> Error {
    let (len, value_type) = (payload.size(), type_name::<V>());
    Error::new(ErrorKind::Decode, format!("{len} bytes are no value of type `{value_type}`: {cause}"))
        .caused_by(cause)
}

#[cold]
fn unread<V>(left: usize) -> Error {
    let message = format!("{left} bytes left over after a value of type `{}` was decoded", type_name::<V>());
    Error::new(ErrorKind::Decode, message)
}

impl ser_flavors::Flavor for WriteBuffer<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> ::postcard::Result<()> {
        self.try_extend(&[byte])
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> ::postcard::Result<()> {
        if self.put(bytes) { Ok(()) } else { Err(::postcard::Error::SerializeBufferFull) }
    }

    fn finalize(self) -> ::postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, HashMap, HashSet},
        io,
        path::PathBuf,
        rc::Rc,
        sync::Arc,
        time::Duration,
    };

    use proptest::prelude::*;
    use serde::{Deserialize, ser::SerializeSeq as _};

    use super::*;
    use crate::codec::testing::{FullDisk, encoded, hostile, rich, round_trip};

    fn refused<V: Serialize + DeserializeOwned>(value: &V) -> String {
        let error = encoded(&Postcard, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert!(error.to_string().contains(type_name::<V>()), "{error}");
        error.to_string()
    }

    proptest! {
        #[test]
        fn a_decoded_value_is_the_encoded_one(value in rich()) {
            prop_assert_eq!(round_trip(&Postcard, &value).unwrap(), value);
        }

        #[test]
        fn the_bytes_are_those_of_plain_postcard(value in rich()) {
            prop_assert_eq!(encoded(&Postcard, &value).unwrap(), ::postcard::to_stdvec(&value).unwrap());
        }

        #[test]
        fn a_prefix_of_a_payload_or_a_longer_one_is_an_error(value in rich(), cut in any::<prop::sample::Index>()) {
            let mut bytes = encoded(&Postcard, &value).unwrap();
            let prefix = bytes[..cut.index(bytes.len())].to_vec();
            prop_assert!(hostile(&Postcard, &value, prefix).is_err());
            bytes.push(0);
            let error = hostile(&Postcard, &value, bytes).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::Decode);
            prop_assert!(error.to_string().starts_with("1 bytes left over"));
        }

        #[test]
        fn no_bytes_are_a_panic(value in rich(), bytes: Vec<u8>) {
            let _ = hostile(&Postcard, &value, bytes);
        }
    }

    #[test]
    fn floats_come_back_bit_by_bit() {
        for bits in
            [f64::NAN.to_bits(), 0x7FF0_0000_0000_0001, f64::INFINITY.to_bits(), (-0.0_f64).to_bits(), 1]
        {
            assert_eq!(round_trip(&Postcard, &f64::from_bits(bits)).unwrap().to_bits(), bits);
        }
    }

    #[test]
    fn a_length_that_the_bytes_do_not_hold_allocates_nothing_absurd() {
        let mut endless = vec![0xFF; 9];
        endless.push(0x01);
        let payload = Payload::from(endless);
        assert!(Codec::<Vec<[u64; 32]>>::decode(&Postcard, &payload).is_err());
        assert!(Codec::<Vec<String>>::decode(&Postcard, &payload).is_err());
        assert!(Codec::<String>::decode(&Postcard, &payload).is_err());
        assert!(Codec::<HashMap<u64, u64>>::decode(&Postcard, &payload).is_err());
        assert!(Codec::<HashSet<u64>>::decode(&Postcard, &payload).is_err());
        assert!(Codec::<Arc<[u64]>>::decode(&Postcard, &payload).is_err());
    }

    #[derive(Serialize, Deserialize)]
    struct Range {
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<u8>,
    }

    const OPEN: Range = Range { min: None, max: Some(5) };

    #[test]
    fn a_skipped_field_is_refused_by_name_with_the_remedy() {
        let message = refused(&OPEN);
        for part in ["field `min` of `Range`", "remove the attribute", "codec `Json`"] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }

    #[test]
    fn a_field_that_may_be_skipped_and_is_not_is_stored() {
        assert!(encoded(&Postcard, &Range { min: Some(1), max: Some(5) }).is_ok());
    }

    #[test]
    fn a_skipped_field_is_refused_at_any_depth() {
        #[derive(Serialize, Deserialize)]
        enum Deep {
            Newtype(Box<Range>),
            Tuple(u8, Range),
            Named {
                range: Range,
            },
            Own {
                #[serde(skip_serializing_if = "Vec::is_empty")]
                list: Vec<u8>,
            },
        }
        #[derive(Serialize, Deserialize)]
        struct Wrapper(Range);
        #[derive(Serialize, Deserialize)]
        struct Pair(u8, Range);
        refused(&Some(OPEN));
        refused(&vec![OPEN]);
        refused(&(1, OPEN));
        refused(&Wrapper(OPEN));
        refused(&Pair(1, OPEN));
        refused(&BTreeMap::from([(1, Rc::new(OPEN))]));
        refused(&Deep::Newtype(Box::new(OPEN)));
        refused(&Deep::Tuple(1, OPEN));
        refused(&vec![Some(Deep::Named { range: OPEN })]);
        assert!(refused(&Deep::Own { list: vec![] }).contains("field `list` of `Deep::Own`"));
    }

    #[test]
    fn a_field_that_is_no_part_of_the_value_is_no_trouble() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Cached {
            value: u8,
            #[serde(skip)]
            scratch: Vec<u8>,
        }
        let value = Cached { value: 1, scratch: vec![2] };
        assert_eq!(round_trip(&Postcard, &value).unwrap(), Cached { value: 1, scratch: vec![] });
    }

    /// Announces a length and writes three elements.
    struct Announced(Option<usize>);

    impl Serialize for Announced {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(self.0)?;
            for element in [1_u8, 2, 3] {
                seq.serialize_element(&element)?;
            }
            seq.end()
        }
    }

    impl<'de> Deserialize<'de> for Announced {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Vec::<u8>::deserialize(deserializer).map(|elements| Self(Some(elements.len())))
        }
    }

    #[test]
    fn a_sequence_of_unknown_or_wrong_length_is_refused() {
        let unknown = refused(&Announced(None));
        assert!(
            unknown.contains("length beforehand: collect it first; or use the codec `Json`"),
            "{unknown}"
        );
        assert!(refused(&vec![Announced(Some(4))]).contains("not have the length"));
        assert!(refused(&vec![Announced(Some(2))]).contains("not have the length"));
        assert!(encoded(&Postcard, &Announced(Some(3))).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_words_of_a_serialize_of_its_own_are_kept() {
        use std::os::unix::ffi::OsStringExt;
        let path = PathBuf::from(std::ffi::OsString::from_vec(vec![0xFF]));
        assert!(refused(&path).contains("UTF-8"), "{}", refused(&path));
        assert!(refused(&vec![Some(path.clone())]).contains("UTF-8"));
    }

    #[test]
    fn a_refusal_of_the_writer_stays_one_with_its_cause() {
        for value in [vec![1_u8; 3], vec![1; 100_000]] {
            let error = Postcard.encode(&value, &mut FullDisk).unwrap_err();
            assert!(error.is_io(), "{error}");
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            assert_eq!(cause, Some(io::ErrorKind::StorageFull.to_string()));
        }
    }

    #[test]
    fn the_bytes_are_handed_on_as_they_come() {
        struct Largest(usize);
        impl Write for Largest {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.max(bytes.len());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Largest(0);
        Postcard.encode(&vec![(1.5_f64, 1_u8); 100_000], &mut out).unwrap();
        assert!((1..=4096).contains(&out.0));
        // From where they lie.
        Postcard.encode(&vec![1.5_f64; 100_000], &mut out).unwrap();
        assert_eq!(out.0, 800_000);
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Chain {
        End,
        Link(Option<Box<Chain>>),
    }

    fn chain(links: usize) -> Chain {
        (0..links).fold(Chain::End, |rest, _| Chain::Link(Some(Box::new(rest))))
    }

    #[test]
    fn whatever_is_encoded_can_be_decoded_however_deep() {
        for links in 0..300 {
            let Ok(bytes) = encoded(&Postcard, &chain(links)) else {
                assert!(links > 250, "{links}");
                continue;
            };
            assert_eq!(Codec::<Chain>::decode(&Postcard, &bytes.into()).unwrap(), chain(links));
        }
        assert!(refused(&chain(300)).contains("deeper than 512"));
    }

    #[test]
    fn no_depth_overflows_a_stack() {
        let deep = chain(1_000_000);
        assert!(encoded(&Postcard, &deep).is_err());
        // Its drop would.
        std::mem::forget(deep);
        // `Link(Some(Link(Some(...` by a forger.
        assert!(Codec::<Chain>::decode(&Postcard, &vec![1; 1_000_000].into()).is_err());
    }

    #[test]
    fn the_compact_form_of_a_type_with_two_is_taken() {
        let address = std::net::Ipv4Addr::LOCALHOST;
        assert_eq!(encoded(&Postcard, &address).unwrap(), [127, 0, 0, 1]);
        assert_eq!(round_trip(&Postcard, &Duration::MAX).unwrap(), Duration::MAX);
    }
}
