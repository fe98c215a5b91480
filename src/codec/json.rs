//! The codec for values that need a self-describing format. Only this file names `serde_json`.

use std::{
    any::type_name,
    io::{self, Write},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Serializer, ser::Formatter};

use super::{
    Codec, Payload, Shape, round_trip,
    strict::{self, FormatRules, StrictError},
    symmetry::{self, Sampled},
    write_buffer::WriteBuffer,
};
use crate::{
    error::{Error, ErrorKind, Result},
    key::Form,
    shape::{self, Proof},
};

/// A codec for values that [`Postcard`](super::Postcard) refuses: `serde_json::Value`, untagged and
/// internally tagged enums, flattened structs, fields that are skipped while they are empty.
///
/// Its bytes are larger and slower to read, and contain the names of fields. Values that JSON would change are refused when
/// they are encoded, and never stored: a float that is not finite, and a `Some` of nothing (`Some(None)`, `Some(())`),
/// because both would be read back as `None`; a map whose keys cannot be written as strings; and a value nested deeper than
/// 127 levels, because it could not be read back.
///
/// An untagged enum is read back as the first variant that fits, as serde defines it. If the result differs visibly (a
/// number of another width, a character in place of a text), the value is not stored. Two variants with the same type
/// cannot be distinguished: put the variant with more fields first.
///
/// # Examples
///
/// ```
/// use memolith::{Memo, Store, codec::Json};
/// use serde_json::{Value, json};
///
/// let store = Store::temporary()?;
/// let replies: Memo<str, Value> = Memo::builder("replies").codec(Json::new()).open(&store)?;
/// let reply = replies.get_or_insert_with("/users/1", || json!({ "name": "Ada", "born": 1815 }));
/// assert_eq!(reply["born"], 1815);
/// assert!(replies.last_failure().is_none());
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Json {}

impl Json {
    /// The codec with its default options; there are no others yet.
    ///
    /// ```
    /// use memolith::{Memo, Store, codec::Json};
    ///
    /// let store = Store::temporary()?;
    /// let memo: Memo<str, u8> = Memo::builder("numbers").codec(Json::new()).open(&store)?;
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

/// The value of the name alone, for `#[memo(codec = Json)]`.
#[doc(hidden)]
#[expect(non_upper_case_globals, reason = "the type has the same name, in the other namespace")]
pub const Json: Json = Json::new();

/// The rules of JSON, which has one null.
struct OneNull;

impl FormatRules for OneNull {
    const POSITIONAL: bool = false;
    const NULL: bool = true;
    const REMEDY: &'static str = "use the codec `Postcard`";
    /// [`DepthLimited`] counts the levels, as the parser does.
    const MAX_DEPTH: u16 = u16::MAX;
}

impl Sampled for Json {
    const FORMAT: shape::FormatKind = shape::FormatKind::SelfDescribing;
}

impl<V: Serialize + DeserializeOwned> Codec<V> for Json {
    fn id(&self) -> &'static str {
        "json/1"
    }

    fn shape(&self) -> Result<Shape> {
        // Samples that cannot be read back are no error here: each value is checked before it is stored.
        let is_shown = symmetry::samples::<V, Self>().is_ok_and(|samples| samples.are_whole);
        let proof = if is_shown { Proof::Samples } else { Proof::Missing };
        Ok(Shape::self_describing::<V>().with::<Self>(proof))
    }

    fn encode(&self, value: &V, out: &mut dyn Write) -> Result<()> {
        let mut buffer = WriteBuffer::new(out);
        let mut serializer = Serializer::with_formatter(&mut buffer, DepthLimited::default());
        let outcome = strict::serialize::<OneNull, _, _>(value, &mut serializer);
        buffer.finish(outcome, type_name::<V>(), unwritable::<V>)
    }

    /// Compares the output of `Serialize` in the readable and in the compact form.
    fn is_same(&self, value: &V, back: &V) -> Result<bool> {
        round_trip::same_prints(value, back, Form::Readable)
    }

    fn decode(&self, payload: &Payload) -> Result<V> {
        serde_json::from_slice(payload).map_err(|cause| unreadable::<V>(payload, cause))
    }
}

#[cold]
fn unwritable<V>(refusal: StrictError<serde_json::Error>) -> Error {
    let message = format!("a value of type `{}` cannot be encoded: {refusal}", type_name::<V>());
    Error::new(ErrorKind::Encode, message).caused_by(refusal)
}

#[cold]
fn unreadable<V>(payload: &Payload, cause: serde_json::Error) -> Error {
    let (len, value_type) = (payload.len(), type_name::<V>());
    Error::new(ErrorKind::Decode, format!("{len} bytes are no value of type `{value_type}`: {cause}"))
        .caused_by(cause)
}

/// Refuses values that are nested deeper than the parser reads.
#[derive(Default)]
struct DepthLimited {
    /// Number of open arrays and objects.
    depth: usize,
}

impl DepthLimited {
    /// The parser fails at the 128th level.
    const MAX_DEPTH: usize = 127;

    fn open<W: Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        if self.depth > Self::MAX_DEPTH {
            return Err(io::Error::other(
                "nested too deep to be read back (127 levels); use the codec `Postcard`",
            ));
        }
        writer.write_all(bracket)
    }

    fn close<W: Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        writer.write_all(bracket)
    }
}

impl Formatter for DepthLimited {
    fn begin_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, HashMap},
        io,
    };

    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::codec::testing::{FullDisk, encoded, hostile, rich, round_trip};

    fn refused<V: Serialize + DeserializeOwned>(value: &V) -> String {
        let error = encoded(&Json, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert!(error.to_string().contains(type_name::<V>()), "{error}");
        error.to_string()
    }

    proptest! {
        #[test]
        fn a_decoded_value_is_the_encoded_one(value in rich()) {
            prop_assert_eq!(round_trip(&Json, &value).unwrap(), value);
        }

        #[test]
        fn the_bytes_are_those_of_plain_json(value in rich()) {
            prop_assert_eq!(encoded(&Json, &value).unwrap(), serde_json::to_vec(&value).unwrap());
        }

        #[test]
        fn floats_come_back_bit_by_bit(floats: Vec<f64>, singles: Vec<f32>) {
            let bits = |(floats, singles): (Vec<f64>, Vec<f32>)| {
                (floats.into_iter().map(f64::to_bits).collect(), singles.into_iter().map(f32::to_bits).collect())
            };
            let value = (floats, singles);
            let (back, there): ((Vec<u64>, Vec<u32>), _) = (bits(round_trip(&Json, &value).unwrap()), bits(value));
            prop_assert_eq!(back, there);
        }

        #[test]
        fn a_prefix_of_a_payload_or_a_longer_one_is_an_error(value in rich(), cut in any::<prop::sample::Index>()) {
            let mut bytes = encoded(&Json, &value).unwrap();
            let prefix = bytes[..cut.index(bytes.len())].to_vec();
            prop_assert!(hostile(&Json, &value, prefix).is_err());
            bytes.push(b'0');
            prop_assert_eq!(hostile(&Json, &value, bytes).unwrap_err().kind(), ErrorKind::Decode);
        }

        #[test]
        fn whatever_is_encoded_can_be_decoded_however_deep(depth in 1_usize..140) {
            let mut value = json!(1);
            for level in 0..depth {
                value = if level % 2 == 0 { json!([value]) } else { json!({ "level": value }) };
            }
            match encoded(&Json, &value) {
                Ok(_) => prop_assert_eq!(round_trip(&Json, &value).unwrap(), value),
                Err(error) => {
                    prop_assert!(depth > DepthLimited::MAX_DEPTH);
                    prop_assert!(error.to_string().contains("nested too deep"));
                }
            }
        }
    }

    #[test]
    fn the_deepest_value_that_can_be_read_is_written() {
        let nested = |depth| (0..depth).fold(json!(1), |value, _| json!([value]));
        assert!(round_trip(&Json, &nested(DepthLimited::MAX_DEPTH)).is_ok());
        assert!(
            serde_json::from_slice::<Value>(
                &serde_json::to_vec(&nested(DepthLimited::MAX_DEPTH + 1)).unwrap()
            )
            .is_err()
        );
        refused(&nested(DepthLimited::MAX_DEPTH + 1));
    }

    #[test]
    fn a_float_that_is_not_finite_is_refused_at_any_depth() {
        for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(refused(&float).contains("use the codec `Postcard`"));
            refused(&Some(float));
            refused(&vec![(1, Some(float))]);
            refused(&BTreeMap::from([("key", vec![float])]).into_values().collect::<Vec<_>>());
        }
        refused(&vec![Some(f32::NAN)]);
    }

    #[test]
    fn a_some_of_nothing_is_refused_and_nothing_is_not() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Unit;
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Newtype(Option<u8>);
        assert!(refused(&Some(None::<u8>)).contains("`Some` of nothing"));
        refused(&vec![Some(())]);
        refused(&Some(Unit));
        refused(&Some(Newtype(None)));
        refused(&Some(Value::Null));
        refused(&Some(Some(None::<u8>)));
        assert_eq!(round_trip(&Json, &None::<Option<u8>>).unwrap(), None);
        assert_eq!(round_trip(&Json, &Some(Some(1))).unwrap(), Some(Some(1)));
        assert_eq!(round_trip(&Json, &Some(vec![None::<u8>])).unwrap(), Some(vec![None]));
        assert_eq!(round_trip(&Json, &Some((None::<u8>, ()))).unwrap(), Some((None, ())));
        assert_eq!(round_trip(&Json, &(Unit, Newtype(None))).unwrap(), (Unit, Newtype(None)));
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(f64),
        Text(String),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Named { name: String },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        skipped: Option<u8>,
        last: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, Value>,
    }

    #[test]
    fn what_postcard_cannot_carry_comes_back() {
        let value = vec![Untagged::Number(1.0), Untagged::Text("1".into())];
        assert_eq!(round_trip(&Json, &value).unwrap(), value);
        let value = Tagged::Named { name: "x".into() };
        assert_eq!(round_trip(&Json, &value).unwrap(), value);
        let value = Flat { skipped: None, last: 1, rest: [("x".into(), json!([null, 1.5, "y"]))].into() };
        assert_eq!(round_trip(&Json, &value).unwrap(), value);
    }

    #[test]
    fn a_key_that_is_no_string_is_refused_and_a_number_is_one() {
        assert!(refused(&HashMap::from([((1, 2), 3)])).contains("key must be a string"));
        let numbers = HashMap::from([(-1_i64, 'a'), (i64::MAX, 'b')]);
        assert_eq!(round_trip(&Json, &numbers).unwrap(), numbers);
    }

    #[test]
    fn a_refusal_of_the_writer_stays_one_with_its_cause() {
        for value in ["x".to_owned(), "x".repeat(100_000)] {
            let error = Json.encode(&value, &mut FullDisk).unwrap_err();
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            assert_eq!(cause, Some(io::ErrorKind::StorageFull.to_string()));
            assert!(error.is_io(), "{error}");
        }
    }
}
