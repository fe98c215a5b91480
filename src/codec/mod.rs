//! How a value becomes bytes and comes back.
//!
//! A memo encodes with [`Postcard`] unless [`MemoBuilder::codec`](crate::MemoBuilder::codec) says otherwise.
//! Take [`Auto`] or `Json` (feature `json`) for values that postcard cannot carry, and write a [`Codec`] of your own for
//! values that have a format already, or that should be read without a copy.
//!
//! # What is checked
//!
//! A value is stored only if it was shown to come back. Before it is stored, its bytes are decoded, and what comes of
//! them is compared with it by [`Codec::is_same`]; a value that came back as another one, or not at all, is handed over
//! and not stored: counted as [`encode`](crate::stats::Failures::encode), and the reason is in
//! [`last_failure`](crate::Memo::last_failure). [`insert`](crate::Memo::insert) returns it.
//!
//! - Up to 64 KiB of encoded bytes that is done with every value.
//! - Above that, with every value of a type of which no samples could be made when the memo was opened, and with every
//!   value under a codec of your own. While that is done the value is in memory twice, and its bytes once.
//! - Of a type whose samples came back: long runs of numbers (`Vec<f64>` and the like) are copied as they are, and are
//!   left out but for their beginning. A value that is large by something else is looked at when it is the 1st, 2nd, 4th,
//!   8th... of its memo, and when computing it took long enough; over 64 MiB it is not.
//! - Under `Arrow` nothing is: it is the format of its values.
//!
//! What is compared is what the `Serialize` of a value shows. What that leaves out, be it a field under `serde(skip)` or
//! the digits that a conversion rounds away, is not part of the value for any codec.

#[cfg(feature = "arrow")]
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

#[cfg(feature = "arrow")]
pub use self::arrow::{Arrow, VerifiedArrow};
#[cfg(feature = "json")]
pub use self::json::Json;
pub(crate) use self::round_trip::RoundTrip;
pub use self::{auto::Auto, payload::Payload, postcard::Postcard};
pub use crate::shape::Shape;

/// How values of type `V` become bytes and come back.
///
/// What is decoded must be what was encoded: a value that would not come back as it was is an error of
/// [`encode`](Self::encode), and bytes that are not whole are an error of [`decode`](Self::decode), never a
/// panic and never another value. The memo turns both into a computation, counts them, and keeps them for
/// [`Memo::last_failure`](crate::Memo::last_failure); it names itself and its types in front of the message.
///
/// Both are called from any thread, several at a time.
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
    /// The name and version of the format. Entries of another `id` are never decoded: change it with the
    /// bytes.
    fn id(&self) -> &str;

    /// What a stored value must look like to be read back. Entries of another shape are never decoded, so a
    /// changed type is a clean miss. Asked once, when the memo is opened.
    ///
    /// # Errors
    ///
    /// When values of `V` could be encoded and never be decoded, or when that cannot be told: opening the
    /// memo fails with it.
    fn shape(&self) -> Result<Shape>;

    /// Writes `value` to `out`, in as many pieces as it likes.
    ///
    /// # Errors
    ///
    /// Those of `out`, passed on with `?`, and [`Error::other`](crate::Error::other) for a value that would
    /// not come back as it is. What was written until then is dropped.
    fn encode(&self, value: &V, out: &mut dyn Write) -> Result<()>;

    /// Reads a value back from all the bytes that `encode` wrote for it. What can be seen of them passed a
    /// checksum; yet a codec does not trust them with an allocation or a panic.
    ///
    /// # Errors
    ///
    /// When the bytes are not exactly one value.
    fn decode(&self, payload: &Payload) -> Result<V>;

    /// Whether `back`, which was decoded from the bytes of `value`, is the same value. Asked before a value is stored;
    /// when it is not, the value is handed over and not stored.
    ///
    /// Unless it is overwritten, it encodes both and compares the bytes. Overwrite it with a comparison by `==` where equal
    /// values may have other bytes, as those of a compressor that notes the time; a hash map, whose order differs, is
    /// dealt with. [`Postcard`] and `Json` compare by what the `Serialize` of the two values tells.
    ///
    /// # Errors
    ///
    /// When it cannot be told, which counts as `false`.
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

    /// Writes a value with long runs of numbers cut short, for a look at the rest of it. `false` when the codec cannot.
    #[doc(hidden)]
    fn encode_abridged(&self, value: &V, out: &mut dyn Write) -> Result<bool> {
        let _ = (value, out);
        Ok(false)
    }
}
