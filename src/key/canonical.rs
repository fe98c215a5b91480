//! The canonical encoding of a whole key, and the error of a key that cannot be serialized.

use serde::Serialize;

use super::{
    kinds,
    serializer::Encoder,
    sink::{EncodeError, Sink},
};
use crate::error::{Error, ErrorKind};

/// The first byte of each encoding, so that keys of two formats never match.
const FORMAT: u8 = 1;

pub(super) fn encode<K: Serialize + ?Sized, S: Sink>(key: &K, sink: &mut S) -> Result<(), EncodeError> {
    sink.write(&[FORMAT])?;
    Encoder::new(sink).whole(key)
}

pub(super) fn unserializable(failure: EncodeError) -> Error {
    let remedy = if failure.to_string() == kinds::NOT_TEXT {
        "a path that is not UTF-8 is a key by itself, in a tuple or in a derived struct; elsewhere write it by \
         `#[serde(with = \"memolith::path\")]` or as `memolith::path::Lossless`"
    } else {
        "use a key type whose `Serialize` succeeds for every key, such as a `String` or a tuple made from it"
    };
    Error::new(ErrorKind::Key, format!("the key cannot be serialized ({failure}): {remedy}"))
        .caused_by(failure)
}
