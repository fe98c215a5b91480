//! Paths of bytes.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
};

use super::{ESCAPE, escape, pieces};

const DIGITS: usize = 2;

pub(super) fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for (at, part) in chunk.valid().split(ESCAPE).enumerate() {
            if at > 0 {
                escape(0, DIGITS, &mut text);
            }
            text.push_str(part);
        }
        chunk.invalid().iter().for_each(|byte| escape(u32::from(*byte), DIGITS, &mut text));
    }
    text
}

pub(super) fn unescaped(text: &str) -> Option<OsString> {
    let (before, rest) = pieces(text, DIGITS)?;
    let mut bytes = before.as_bytes().to_vec();
    for (unit, part) in rest {
        bytes.push(u8::try_from(unit).ok()?);
        bytes.extend_from_slice(part.as_bytes());
    }
    Some(OsString::from_vec(bytes))
}
