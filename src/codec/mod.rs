//! Codecs turn values into bytes and back.
//!
//! A memo uses [`Postcard`] unless [`MemoBuilder::codec`](crate::MemoBuilder::codec) sets another codec. Use [`Auto`] or
//! `Json` (feature `json`) for values that postcard cannot store. Write a [`Codec`] of your own for values that already
//! have a format, or that should be read without a copy.
//!
//! # The check before a value is stored
//!
//! A value is stored only if it can be read back unchanged. The check decodes its bytes, and compares the result with the
//! value by [`Codec::is_same`]. A value that fails the check is returned and not stored. The failure counts as
//! [`encode`](crate::stats::Failures::encode), and is in [`last_failure`](crate::Memo::last_failure);
//! [`insert`](crate::Memo::insert) returns it.
//!
//! - Up to 64 KiB of encoded bytes, every value is checked.
//! - Above that, every value is checked if no samples of its type could be made when the memo was opened, or if the codec
//!   is one of your own. During the check the value is in memory twice, and its bytes once.
//! - If the samples of the type were read back, the check leaves out long runs of numbers (`Vec<f64>` and the like) except
//!   their beginning. A value that is still large without them is checked if it is the 1st, 2nd, 4th, 8th... of its memo,
//!   or if its computation took long enough. Over 64 MiB it is not checked.
//! - Under `Arrow` no value is checked, because Arrow is the format of its values.
//!
//! The check compares the output of the `Serialize` of both values. Anything that `Serialize` leaves out, such as a field
//! under `serde(skip)` or digits that a conversion rounds away, is not part of the value for any codec.

#[cfg(feature = "arrow-60")]
mod arrow;
mod auto;
#[cfg(feature = "json")]
mod json;
mod payload;
mod postcard;
mod round_trip;
pub(crate) mod runs;
mod same_bytes;
mod strict;
mod symmetry;
#[cfg(test)]
mod testing;
mod verified_reader;
mod write_buffer;

use std::io::Write;

use crate::error::Result;

#[cfg(feature = "arrow-60")]
pub use self::arrow::{Arrow, LazyArrow};
#[cfg(feature = "json")]
pub use self::json::Json;
pub use self::{auto::Auto, payload::Payload, postcard::Postcard};
pub(crate) use self::{postcard::write_postcard, round_trip::RoundTrip};
pub use crate::shape::Shape;

/// Turns values of type `V` into bytes and back.
///
/// `decode` must return the value that was encoded. A value that could not be read back unchanged is an error of
/// [`encode`](Self::encode). Damaged bytes are an error of [`decode`](Self::decode), never a panic and never another
/// value. After either error the memo computes, counts the failure, and keeps it for
/// [`Memo::last_failure`](crate::Memo::last_failure), with its name and types in front of the message.
///
/// Both methods are called from any thread, and by several threads at once.
///
/// # Examples
///
/// A codec for a type that has a text form:
///
/// ```
/// use std::io::Write;
///
/// use memolith::{
///     Error, Memo, Result, Store,
///     codec::{Codec, Payload, Shape},
/// };
///
/// #[derive(Clone, Debug, PartialEq)]
/// struct Color { red: u8, green: u8, blue: u8 }
///
/// /// Colors as `17,34,51`.
/// struct Csv;
///
/// impl Codec<Color> for Csv {
///     fn id(&self) -> &str {
///         "csv/1"
///     }
///
///     fn shape(&self) -> Result<Shape> {
///         Ok(Shape::named("red,green,blue"))
///     }
///
///     fn encode(&self, color: &Color, out: &mut dyn Write) -> Result<()> {
///         write!(out, "{},{},{}", color.red, color.green, color.blue)?;
///         Ok(())
///     }
///
///     fn decode(&self, payload: &Payload) -> Result<Color> {
///         let text = std::str::from_utf8(payload).map_err(Error::other)?;
///         let channels: Result<Vec<u8>, _> = text.split(',').map(str::parse).collect();
///         match channels.map_err(Error::other)?[..] {
///             [red, green, blue] => Ok(Color { red, green, blue }),
///             _ => Err(Error::other(format!("`{text}` is not a color"))),
///         }
///     }
/// }
///
/// let store = Store::temporary()?;
/// let colors: Memo<str, Color> = Memo::builder("colors").codec(Csv).open(&store)?;
/// let slate = Color { red: 112, green: 128, blue: 144 };
/// assert_eq!(colors.get_or_insert_with("slate", || slate.clone()), slate);
/// assert_eq!(colors.get("slate")?, Some(slate));
/// # Ok::<(), Error>(())
/// ```
pub trait Codec<V>: Send + Sync + 'static {
    /// The name and version of the format. Entries of another `id` are never decoded, so change it whenever the bytes
    /// change.
    fn id(&self) -> &str;

    /// The shape of stored values. Entries of another shape are never decoded, so after a change of the type they are
    /// misses. Called once, when the memo is opened.
    ///
    /// # Errors
    ///
    /// [`UnsupportedType`](crate::ErrorKind::UnsupportedType) if values of `V` can be encoded but not decoded,
    /// [`UntraceableType`](crate::ErrorKind::UntraceableType) if that is not known. The open of the memo then fails
    /// with this error.
    fn shape(&self) -> Result<Shape>;

    /// Writes `value` to `out`, in as many pieces as it likes.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) for errors of `out`, returned with `?`. [`Encode`](crate::ErrorKind::Encode), by
    /// [`Error::other`](crate::Error::other), for a value that could not be read back unchanged. The bytes written so
    /// far are discarded.
    fn encode(&self, value: &V, out: &mut dyn Write) -> Result<()>;

    /// Decodes a value from all the bytes that `encode` wrote. Visible bytes have passed a checksum. A codec must still not
    /// panic, or allocate an unbounded size, for any bytes.
    ///
    /// # Errors
    ///
    /// If the bytes are not exactly one value. Whatever its kind, the error counts as
    /// [`Decode`](crate::ErrorKind::Decode).
    fn decode(&self, payload: &Payload) -> Result<V>;

    /// Whether `back`, which was decoded from the bytes of `value`, equals it. Called before a value is stored. If it
    /// returns `false`, the value is returned and not stored.
    ///
    /// The default encodes both values and compares the bytes. Implement it with `==` if equal values may have different
    /// bytes, such as those of a compressor that writes the time. The different orders of equal hash maps are recognized
    /// without that. [`Postcard`] and `Json` compare the output of the `Serialize` of both values.
    ///
    /// # Errors
    ///
    /// If the values cannot be compared. An error counts as `false`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::io::Write;
    /// # use memolith::{Error, Result, codec::{Codec, Payload, Shape}};
    /// # struct Text;
    /// impl Codec<String> for Text {
    ///     fn is_same(&self, value: &String, back: &String) -> Result<bool> {
    ///         Ok(value == back)
    ///     }
    /// #   fn id(&self) -> &str { "text/1" }
    /// #   fn shape(&self) -> Result<Shape> { Shape::of::<String>() }
    /// #   fn encode(&self, text: &String, out: &mut dyn Write) -> Result<()> { Ok(out.write_all(text.as_bytes())?) }
    /// #   fn decode(&self, payload: &Payload) -> Result<String> {
    /// #       String::from_utf8(payload.to_vec()).map_err(Error::other)
    /// #   }
    ///     // and the rest
    /// }
    /// assert!(Text.is_same(&"a".into(), &"a".into())?);
    /// # Ok::<(), Error>(())
    /// ```
    fn is_same(&self, value: &V, back: &V) -> Result<bool> {
        same_bytes::same_bytes(value, back, |value, out| self.encode(value, out))
    }

    /// Writes a value with only the beginning of long runs of numbers, to check the rest of it. `false` if the codec has no
    /// such form.
    #[doc(hidden)]
    fn encode_abridged(&self, value: &V, out: &mut dyn Write) -> Result<bool> {
        let _ = (value, out);
        Ok(false)
    }
}
