//! How a value becomes bytes and comes back.
//!
//! A memo encodes with [`Postcard`] unless [`MemoBuilder::codec`](crate::MemoBuilder::codec) says otherwise.
//! Take `Json` (feature `json`) for values that postcard cannot carry, and write a [`Codec`] of your own for
//! values that have a format already, or that should be read without a copy.

#[cfg(feature = "arrow")]
mod arrow;
#[cfg(feature = "json")]
mod json;
mod payload;
mod postcard;
mod reader;
pub(crate) mod runs;
mod source;
mod stage;
mod strict;
mod symmetry;
#[cfg(test)]
mod testing;

use std::io::Write;

use crate::error::Result;

#[cfg(feature = "arrow")]
pub use self::arrow::{Arrow, VerifiedArrow};
#[cfg(feature = "json")]
pub use self::json::Json;
pub use self::{payload::Payload, postcard::Postcard};
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
}
