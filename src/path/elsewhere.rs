//! Paths of text, on systems other than Unix and Windows.

use std::{ffi::OsString, path::Path};

use super::{ESCAPE, escape, pieces};

pub(super) fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for character in path.to_string_lossy().chars() {
        if character == ESCAPE { escape(0, 2, &mut text) } else { text.push(character) }
    }
    text
}

pub(super) fn unescaped(text: &str) -> Option<OsString> {
    let (before, rest) = pieces(text, 2)?;
    let mut path = before.to_owned();
    for (unit, part) in rest {
        path.push(char::from_u32(unit)?);
        path.push_str(part);
    }
    Some(path.into())
}
