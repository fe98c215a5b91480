//! Paths of UTF-16 with unpaired surrogates.

use std::{
    ffi::OsString,
    os::windows::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
};

use super::{ESCAPE, escape, pieces};

const DIGITS: usize = 4;

pub(super) fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for unit in char::decode_utf16(path.as_os_str().encode_wide()) {
        match unit {
            Ok(ESCAPE) => escape(0, DIGITS, &mut text),
            Ok(character) => text.push(character),
            Err(unpaired) => escape(u32::from(unpaired.unpaired_surrogate()), DIGITS, &mut text),
        }
    }
    text
}

pub(super) fn unescaped(text: &str) -> Option<OsString> {
    let (before, rest) = pieces(text, DIGITS)?;
    let mut units: Vec<u16> = before.encode_utf16().collect();
    for (unit, part) in rest {
        units.push(u16::try_from(unit).ok()?);
        units.extend(part.encode_utf16());
    }
    Some(OsString::from_wide(&units))
}
