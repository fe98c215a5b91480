//! The codec for record batches that are read without a copy. Only this file names Arrow.

use std::{
    any::type_name,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::{reader::StreamDecoder, root_as_message, writer::StreamWriter};
use arrow_schema::{ArrowError, Schema};

use super::{Codec, Payload, Shape};
use crate::{
    error::{Error, ErrorKind, Result},
    shape::Proof,
};

/// A codec for `RecordBatch` and `Vec<RecordBatch>` of the `arrow` crates 60 that returns views of the mapped file instead of
/// copies (feature `arrow-60`). The stored bytes are those of the IPC format, which all major versions of arrow read.
///
/// The bytes are an Arrow IPC stream. Columns point into the file. The file stays readable while any batch of it lives, also
/// after its entry is removed, evicted or overwritten. A page is read from disk at its first access. The columns are
/// immutable, as columns of Arrow always are.
///
/// # Verification
///
/// Every byte of a value is verified before a call returns it, at each read from disk: about 30 ms for 320 MB. A hit
/// from the memory tier verifies nothing again. [`Arrow::lazy`] is for files that are larger than a call has time for.
///
/// Arrow itself validates texts, lists and dictionaries at each hit, so that all texts are valid. This takes time in
/// proportion to their size. Columns of numbers need no validation.
///
/// # Errors
///
/// All batches of one value must have the same schema; the message names the first batch with another one. A column type
/// that Arrow's writer refuses is an error of `encode`. In both cases the value is returned and not stored.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use arrow_array::{ArrayRef, Float64Array, RecordBatch};
/// use memolith::{Memo, Store, codec::Arrow};
///
/// let store = Store::temporary()?;
/// let rides: Memo<str, RecordBatch> = Memo::builder("rides").codec(Arrow::new()).open(&store)?;
/// let minutes: ArrayRef = Arc::new(Float64Array::from_iter_values((0..10_000).map(f64::from)));
/// let batch = rides.get_or_insert_with("2026-01", || RecordBatch::try_from_iter([("minutes", minutes)]).unwrap());
/// assert_eq!(rides.get("2026-01")?, Some(batch)); // a view
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// # Polars
///
/// A `DataFrame` of polars needs no codec of its own. With polars' feature `serde` (tested with 0.51) it works under
/// [`Postcard`](super::Postcard), which copies it: open a `Memo<str, DataFrame>` like any other memo.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Arrow {}

impl Arrow {
    /// The codec that verifies every byte before a call returns.
    ///
    /// ```
    /// use arrow_array::RecordBatch;
    /// use memolith::{Memo, Store, codec::Arrow};
    ///
    /// let store = Store::temporary()?;
    /// let rides: Memo<str, Vec<RecordBatch>> = Memo::builder("rides").codec(Arrow::new()).open(&store)?;
    /// assert!(rides.get_or_insert_with("none", Vec::new).is_empty());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }

    /// The codec that leaves most bytes of a large value unverified until after the call: see [`LazyArrow`].
    ///
    /// ```
    /// use arrow_array::RecordBatch;
    /// use memolith::{Memo, Store, codec::Arrow};
    ///
    /// let store = Store::temporary()?;
    /// let rides: Memo<str, Vec<RecordBatch>> = Memo::builder("rides").codec(Arrow::lazy()).open(&store)?;
    /// assert!(rides.get_or_insert_with("none", Vec::new).is_empty());
    /// # Ok::<(), memolith::Error>(())
    /// ```
    #[must_use]
    pub const fn lazy() -> LazyArrow {
        LazyArrow {}
    }
}

/// The value of the name alone, for `#[memo(codec = Arrow)]`.
#[doc(hidden)]
#[expect(non_upper_case_globals, reason = "the type has the same name, in the other namespace")]
pub const Arrow: Arrow = Arrow::new();

/// [`Arrow`] with less verified before a call returns: made by [`Arrow::lazy`]. A hit takes well under a millisecond at
/// any size, also after a restart.
///
/// | payload | verified before the call returns | verified afterwards |
/// |---|---|---|
/// | up to 8 MiB | every byte | |
/// | larger | the head of the file, its block table, the schema and the layout of the columns | the rest, by a thread of the store, once for each process and file |
///
/// So the first callers of a process may get damaged numbers of a large file. The damage is found in the background
/// soon after. It is then counted and kept in [`last_failure`](crate::Memo::last_failure), and the entry is a miss from
/// then on. The lengths, the schema, the offsets and the texts of a batch are those that were written, so no damage is
/// a panic or an access beyond the file.
///
/// Its bytes are those of [`Arrow`]: each reads the entries of the other.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LazyArrow {}

/// Payloads up to this size are verified at once, which takes well under a millisecond.
const VERIFIED_AT_ONCE: usize = 8 << 20;

const ID: &str = "arrow-ipc/1";

/// Types that convert to record batches and back.
trait Batches: Sized {
    const SHAPE: &'static str;
    fn as_batches(&self) -> &[RecordBatch];
    fn of(batches: Vec<RecordBatch>) -> Option<Self>;
}

impl Batches for Vec<RecordBatch> {
    const SHAPE: &'static str = "arrow record batches";

    fn as_batches(&self) -> &[RecordBatch] {
        self
    }

    fn of(batches: Vec<RecordBatch>) -> Option<Self> {
        Some(batches)
    }
}

impl Batches for RecordBatch {
    const SHAPE: &'static str = "arrow record batch";

    fn as_batches(&self) -> &[RecordBatch] {
        std::slice::from_ref(self)
    }

    fn of(batches: Vec<RecordBatch>) -> Option<Self> {
        <[Self; 1]>::try_from(batches).ok().map(|[batch]| batch)
    }
}

macro_rules! codecs {
    ($($codec:ty, $value:ty, $verify:expr;)*) => {$(
        impl Codec<$value> for $codec {
            fn id(&self) -> &'static str {
                ID
            }

            fn shape(&self) -> Result<Shape> {
                Ok(Shape::named(<$value>::SHAPE).with::<Self>(Proof::Format))
            }

            /// Writes the columns without a copy.
            fn encode(&self, value: &$value, out: &mut dyn Write) -> Result<()> {
                write(value.as_batches(), out).map_err(unwritable::<$value>)
            }

            fn decode(&self, payload: &Payload) -> Result<$value> {
                if !$verify(payload) {
                    return Err(unreadable::<$value>(payload, "its bytes are not those that were written"));
                }
                let batches = guarded(payload).map_err(|cause| unreadable::<$value>(payload, cause))?;
                Batches::of(batches).ok_or_else(|| unreadable::<$value>(payload, "not one batch"))
            }
        }
    )*};
}

codecs! {
    Arrow, RecordBatch, Payload::verify_all;
    Arrow, Vec<RecordBatch>, Payload::verify_all;
    LazyArrow, RecordBatch, verify_layout;
    LazyArrow, Vec<RecordBatch>, verify_layout;
}

fn write(batches: &[RecordBatch], out: &mut dyn Write) -> Result<(), ArrowError> {
    let schema = batches.first().map_or_else(|| Schema::empty().into(), RecordBatch::schema);
    let other = batches.iter().position(|batch| batch.schema() != schema);
    if let Some(number) = other {
        let reason =
            format!("batch {number} has another schema than batch 0: keep them under keys of their own");
        return Err(ArrowError::SchemaError(reason));
    }
    let mut writer = StreamWriter::try_new(out, &schema)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()
}

/// A payload as the owner of a buffer of Arrow. Its bytes may be unverified.
struct PayloadBytes(Payload);

impl AsRef<[u8]> for PayloadBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.unverified()
    }
}

fn read(payload: &Payload) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut buffer = Buffer::from(bytes::Bytes::from_owner(PayloadBytes(payload.clone())));
    let mut decoder = StreamDecoder::new();
    let mut batches = Vec::new();
    while let Some(batch) = decoder.decode(&mut buffer)? {
        batches.push(batch);
    }
    decoder.finish()?;
    Ok(batches)
}

/// Arrow's reader panics on some invalid bytes, such as a column beyond the end.
fn guarded(payload: &Payload) -> Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>> {
    match catch_unwind(AssertUnwindSafe(|| read(payload))) {
        Ok(batches) => batches.map_err(Into::into),
        Err(panic) => Err(Error::panicked("the reader of Arrow", panic).into()),
    }
}

/// Verifies the layout of the columns, and all bytes of a small payload.
fn verify_layout(payload: &Payload) -> bool {
    if payload.size() <= VERIFIED_AT_ONCE {
        return payload.verify_all();
    }
    if let Some(checksums) = payload.checksums() {
        checksums.defer();
    }
    let mut at = Some(0);
    while let Some(begin) = at.filter(|begin| *begin < payload.size()) {
        let Some(next) = behind_message(payload, begin) else { return false };
        at = Some(next);
    }
    true
}

/// The end of the message that begins at `begin`. Verifies the message except its columns.
fn behind_message(payload: &Payload, begin: usize) -> Option<usize> {
    /// A mark, and the length of the metadata.
    const PREFIX: usize = 8;
    let verified = |begin: usize, length: usize| {
        let end = begin.checked_add(length)?;
        payload.verify(begin..end).then(|| payload.unverified().get(begin..end)).flatten()
    };
    let prefix = verified(begin, PREFIX)?;
    let length = u32::from_le_bytes(*prefix.last_chunk()?) as usize;
    if length == 0 {
        return Some(payload.size());
    }
    let message = root_as_message(verified(begin + PREFIX, length)?).ok()?;
    let body = usize::try_from(message.bodyLength()).ok()?;
    (begin + PREFIX + length).checked_add(body)
}

#[cold]
fn unwritable<V>(cause: ArrowError) -> Error {
    let message = format!("a value of type `{}` cannot be encoded: {cause}", type_name::<V>());
    Error::new(ErrorKind::Encode, message).caused_by(cause)
}

#[cold]
fn unreadable<V>(payload: &Payload, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let (cause, size) = (cause.into(), payload.size());
    let message = format!("{size} bytes are no value of type `{}`: {cause}", type_name::<V>());
    Error::new(ErrorKind::Decode, message).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        Array as _, ArrayRef, DictionaryArray, Float64Array, Int64Array, StringArray, types::Int32Type,
    };

    use proptest::prelude::*;

    use super::*;
    use crate::{
        checksum::{BlockChecksums, BlockTable},
        codec::testing::{encoded, round_trip},
    };

    fn batch(rows: u32) -> RecordBatch {
        let rows = || 0..i64::from(rows);
        let numbers: Int64Array = rows().map(|row| (row % 7 != 3).then_some(row)).collect();
        let floats: Float64Array = (0..rows().end as i32).map(|row| Some(f64::from(row) * 0.5)).collect();
        let texts: StringArray = rows().map(|row| Some(format!("row {row}"))).collect();
        let kinds: DictionaryArray<Int32Type> =
            rows().map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("n", Arc::new(numbers)),
            ("x", Arc::new(floats)),
            ("text", Arc::new(texts)),
            ("kind", Arc::new(kinds)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn with_checksums(encoded: &[u8], flip: Option<usize>) -> Payload {
        let mut table = BlockTable::new();
        table.update(encoded);
        let checksums = BlockChecksums::new(&table.finish().0, encoded.len()).unwrap();
        let mut bytes = encoded.to_vec();
        if let Some(byte) = flip.and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1;
        }
        let length = bytes.len();
        Payload::with_checksums(bytes, 0..length, Arc::new(checksums))
    }

    #[test]
    fn batches_come_back_with_nulls_texts_and_dictionaries() {
        for rows in [0, 1, 1000] {
            assert_eq!(round_trip(&Arrow, &batch(rows)).unwrap(), batch(rows));
            assert_eq!(round_trip(&Arrow::lazy(), &batch(rows)).unwrap(), batch(rows));
        }
        let several = vec![batch(5), batch(5).slice(0, 0), batch(500)];
        assert_eq!(round_trip(&Arrow, &several).unwrap(), several);
        assert_eq!(round_trip(&Arrow, &Vec::<RecordBatch>::new()).unwrap(), []);
    }

    #[test]
    fn columns_are_views_of_the_payload() {
        let bytes = encoded(&Arrow, &batch(100_000)).unwrap();
        let payload = Payload::from(bytes);
        let decoded: RecordBatch = Arrow.decode(&payload).unwrap();
        let column = decoded.column(1).to_data().buffers()[0].as_slice().as_ptr_range();
        let owner = payload.as_ptr_range();
        assert!(owner.start <= column.start && column.end <= owner.end);
        drop(payload);
        assert_eq!(decoded, batch(100_000), "the batch keeps the bytes alive");
    }

    #[test]
    fn batches_of_several_schemas_are_refused_by_number() {
        let other =
            RecordBatch::try_from_iter([("y", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
        let error = encoded(&Arrow, &vec![batch(1), batch(2), other]).unwrap_err();
        assert!(error.to_string().contains("batch 2"), "{error}");
    }

    #[test]
    fn several_batches_are_no_single_one() {
        let bytes = encoded(&Arrow, &vec![batch(1), batch(2)]).unwrap();
        assert!(Codec::<RecordBatch>::decode(&Arrow, &Payload::from(bytes)).is_err());
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let bytes = encoded(&Arrow, &batch(50)).unwrap();
        for length in (0..bytes.len() - 8).step_by(7) {
            let cut = Payload::from(bytes[..length].to_vec());
            assert!(Codec::<RecordBatch>::decode(&Arrow, &cut).is_err(), "{length} of {}", bytes.len());
        }
    }

    proptest! {
        /// Forged bytes with valid checksums.
        #[test]
        fn forged_bytes_are_an_error_or_sound_batches(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = encoded(&Arrow, &vec![batch(9), batch(30)]).unwrap();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.map_or(usize::MAX, |cut| cut.index(bytes.len())));
            let batches: Result<Vec<RecordBatch>> = Arrow.decode(&bytes.into());
            for batch in batches.into_iter().flatten() {
                for column in batch.columns() {
                    column.to_data().validate_full().unwrap();
                }
            }
        }
    }

    #[test]
    fn of_a_large_payload_the_layout_is_verified_and_the_rest_is_left_for_later() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..3_000_000));
        let large = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let bytes = encoded(&Arrow, &large).unwrap();
        let whole = with_checksums(&bytes, None);
        assert_eq!(Codec::<RecordBatch>::decode(&Arrow::lazy(), &whole).unwrap(), large);
        assert!(!whole.is_verified() && !whole.is_damaged());
        assert!(whole.verify_all());
        for (at, lazily) in [(9, false), (bytes.len() / 2, true), (bytes.len() - 1, false)] {
            let flipped = with_checksums(&bytes, Some(at));
            assert_eq!(Codec::<RecordBatch>::decode(&Arrow::lazy(), &flipped).is_ok(), lazily, "byte {at}");
            assert!(Codec::<RecordBatch>::decode(&Arrow, &flipped).is_err(), "byte {at}");
            assert!(flipped.is_damaged());
        }
    }

    #[test]
    fn of_a_small_payload_everything_is_verified() {
        let bytes = encoded(&Arrow, &batch(2000)).unwrap();
        for at in (0..bytes.len()).step_by(997) {
            let flipped = with_checksums(&bytes, Some(at));
            assert!(Codec::<RecordBatch>::decode(&Arrow::lazy(), &flipped).is_err(), "byte {at}");
            assert!(flipped.is_damaged());
        }
    }
}
