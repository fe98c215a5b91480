//! The head of a key as text, for observers.

use std::fmt::{self, Write as _};

/// The first 1,024 bytes of a key's encoding as text, in the manner of `Debug`: `("rides", Query { month: Some(3) })`.
///
/// It is formatted only when it is written. A longer key ends with `…`. The fields that `Serialize` leaves out are not
/// part of a key, and the order of a set or a map is that of its encoding. Keys may hold secrets: think before you log
/// them.
///
/// # Examples
///
/// ```
/// use memolith::{Memo, Store, observe::Event};
///
/// let store = Store::temporary()?;
/// let frames: Memo<(String, u32), u64> = Memo::builder("frames")
///     .observer(|event| {
///         if let Event::ComputeStarted { memo, key: Some(key), .. } = event {
///             println!("{memo} computes {key}"); // frames computes ("rides", 3)
///         }
///     })
///     .open(&store)?;
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyText<'a> {
    /// The head of a canonical encoding, or any other bytes.
    head: &'a [u8],
}

impl<'a> KeyText<'a> {
    /// `None` for an empty head, which is that of a key without one.
    pub(crate) fn of(head: &'a [u8]) -> Option<Self> {
        (!head.is_empty()).then_some(Self { head })
    }
}

impl fmt::Display for KeyText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer { rest: self.head, out: f };
        match printer.key() {
            Ok(()) => Ok(()),
            Err(Stop::Cut) => f.write_char('…'),
            Err(Stop::Failed) => Err(fmt::Error),
        }
    }
}

impl fmt::Debug for KeyText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why the text ends early.
enum Stop {
    /// The rest is missing, is no encoding, or is nested too deeply.
    Cut,
    /// The writer failed.
    Failed,
}

impl From<fmt::Error> for Stop {
    fn from(_: fmt::Error) -> Self {
        Self::Failed
    }
}

type Step = Result<(), Stop>;

/// Deeper values are cut: a head of 1,024 bytes can be nested 1,000 times.
const MAX_DEPTH: usize = 64;

/// Reads the grammar of the parent module, and writes it as text.
struct Printer<'a, 'f, 'o> {
    /// The bytes that were not read yet.
    rest: &'a [u8],
    out: &'f mut fmt::Formatter<'o>,
}

impl<'a> Printer<'a, '_, '_> {
    fn key(&mut self) -> Step {
        match self.byte()? {
            1 => self.value(0),
            _ => Err(Stop::Cut),
        }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(Stop::Cut)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let (byte, rest) = self.rest.split_first().ok_or(Stop::Cut)?;
        self.rest = rest;
        Ok(*byte)
    }

    /// A little-endian number of 2 to the power of `log` bytes.
    fn number(&mut self, log: u8) -> Result<u128, Stop> {
        let bytes = self.bytes(1 << log)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }

    fn signed(&mut self, log: u8) -> Result<i128, Stop> {
        let unused = 128 - (8 << log);
        Ok(self.number(log)?.cast_signed() << unused >> unused)
    }

    fn count(&mut self) -> Result<usize, Stop> {
        let mut count = 0_usize;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            count |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(count);
            }
        }
        Err(Stop::Cut)
    }

    /// Counted bytes, as many as are there, and whether these are all.
    fn counted(&mut self) -> Result<(&'a [u8], bool), Stop> {
        let count = self.count()?;
        let whole = count <= self.rest.len();
        Ok((self.bytes(count.min(self.rest.len()))?, whole))
    }

    fn text(&mut self) -> Step {
        let (bytes, whole) = self.counted()?;
        let text = String::from_utf8_lossy(bytes);
        if whole {
            return Ok(write!(self.out, "{text:?}")?);
        }
        write!(self.out, "\"{}", text.trim_end_matches('\u{fffd}').escape_debug())?;
        Err(Stop::Cut)
    }

    fn byte_string(&mut self) -> Step {
        let (bytes, whole) = self.counted()?;
        write!(self.out, "b\"{}", bytes.escape_ascii())?;
        if !whole {
            return Err(Stop::Cut);
        }
        Ok(self.out.write_char('"')?)
    }

    fn name(&mut self) -> Step {
        let (bytes, whole) = self.counted()?;
        write!(self.out, "{}", String::from_utf8_lossy(bytes))?;
        if whole { Ok(()) } else { Err(Stop::Cut) }
    }

    /// The name of a variant, without that of its enum.
    fn variant(&mut self) -> Step {
        if !self.counted()?.1 {
            return Err(Stop::Cut);
        }
        self.count()?;
        self.name()
    }

    fn value(&mut self, depth: usize) -> Step {
        if depth > MAX_DEPTH {
            return Err(Stop::Cut);
        }
        match self.byte()? {
            0x01 => self.out.write_str("()")?,
            0x02 => self.out.write_str("None")?,
            0x03 => {
                self.out.write_str("Some")?;
                self.within(depth)?;
            }
            0x04 => self.out.write_str("false")?,
            0x05 => self.out.write_str("true")?,
            tag @ 0x10..=0x14 => {
                let number = self.number(tag - 0x10)?;
                write!(self.out, "{number}")?;
            }
            tag @ 0x18..=0x1c => {
                let number = self.signed(tag - 0x18)?;
                write!(self.out, "{number}")?;
            }
            0x20 => {
                let number = f32::from_bits(self.number(2)? as u32);
                write!(self.out, "{number:?}")?;
            }
            0x21 => {
                let number = f64::from_bits(self.number(3)? as u64);
                write!(self.out, "{number:?}")?;
            }
            0x30 => {
                let character = char::from_u32(self.number(2)? as u32).ok_or(Stop::Cut)?;
                write!(self.out, "{character:?}")?;
            }
            0x31 => self.text()?,
            0x32 => self.byte_string()?,
            0x40 => self.list("[", "]", depth)?,
            0x41 => self.list("(", ")", depth)?,
            0x42 => self.map(depth)?,
            tag @ 0x50..=0x53 => {
                self.name()?;
                self.content(tag - 0x50, depth)?;
            }
            tag @ 0x58..=0x5b => {
                self.variant()?;
                self.content(tag - 0x58, depth)?;
            }
            _ => return Err(Stop::Cut),
        }
        Ok(())
    }

    /// What follows the name of a struct or a variant.
    fn content(&mut self, form: u8, depth: usize) -> Step {
        match form {
            0 => Ok(()),
            1 => self.within(depth),
            2 => self.list("(", ")", depth),
            _ => self.fields(depth),
        }
    }

    /// One value in parentheses.
    fn within(&mut self, depth: usize) -> Step {
        self.out.write_char('(')?;
        self.value(depth + 1)?;
        Ok(self.out.write_char(')')?)
    }

    /// Whether a list ends here. Its end is read.
    fn ends(&mut self) -> Result<bool, Stop> {
        let ends = *self.rest.first().ok_or(Stop::Cut)? == 0;
        if ends {
            self.byte()?;
        }
        Ok(ends)
    }

    fn list(&mut self, open: &str, close: &str, depth: usize) -> Step {
        self.out.write_str(open)?;
        let mut separator = "";
        while !self.ends()? {
            self.out.write_str(separator)?;
            self.value(depth + 1)?;
            separator = ", ";
        }
        Ok(self.out.write_str(close)?)
    }

    fn map(&mut self, depth: usize) -> Step {
        self.out.write_char('{')?;
        let mut separator = "";
        while !self.ends()? {
            self.out.write_str(separator)?;
            self.value(depth + 1)?;
            self.out.write_str(": ")?;
            self.value(depth + 1)?;
            separator = ", ";
        }
        Ok(self.out.write_char('}')?)
    }

    fn fields(&mut self, depth: usize) -> Step {
        let mut separator = " { ";
        while !self.ends()? {
            if self.byte()? == 0x61 {
                // A field that was left out.
                self.counted()?;
                continue;
            }
            self.out.write_str(separator)?;
            self.name()?;
            self.out.write_str(": ")?;
            self.value(depth + 1)?;
            separator = ", ";
        }
        Ok(self.out.write_str(if separator == ", " { " }" } else { "" })?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;
    use crate::key::head;

    fn text<K: Serialize + ?Sized>(key: &K) -> String {
        KeyText::of(&head(key)).unwrap().to_string()
    }

    #[derive(Debug, Serialize)]
    struct Query<'a> {
        table: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<i16>,
        max: Option<f64>,
    }

    #[derive(Debug, Serialize)]
    struct Metres(f32);

    #[derive(Debug, Serialize)]
    struct Marker;

    #[derive(Debug, Serialize)]
    enum Form {
        Point,
        Circle(u16),
        Line(i8, i64),
        Box { width: u128 },
    }

    #[derive(Serialize)]
    struct Chain(Option<Box<Chain>>);

    #[test]
    fn a_key_reads_as_its_debug_text() {
        let query = Query { table: "ri\"des", min: Some(-300), max: None };
        let keys: [(String, String); 12] = [
            (text("rides"), format!("{:?}", "rides")),
            (text(&(1_u8, -1_i8, 'ö', true, ())), format!("{:?}", (1, -1, 'ö', true, ()))),
            (
                text(&(u128::MAX, i128::MIN, f32::MIN, 0.1)),
                format!("{:?}", (u128::MAX, i128::MIN, f32::MIN, 0.1)),
            ),
            (text(&query), format!("{query:?}")),
            (text(&Metres(1.5)), format!("{:?}", Metres(1.5))),
            (text(&Marker), format!("{Marker:?}")),
            (text(&Form::Point), format!("{:?}", Form::Point)),
            (text(&Some(Form::Circle(3))), format!("{:?}", Some(Form::Circle(3)))),
            (text(&Form::Line(-1, i64::MIN)), format!("{:?}", Form::Line(-1, i64::MIN))),
            (text(&Form::Box { width: 7 }), format!("{:?}", Form::Box { width: 7 })),
            (text(&BTreeSet::from([2, 1])), "[1, 2]".to_owned()),
            (text(&BTreeMap::from([("a", vec![1]), ("b", vec![])])), "{\"a\": [1], \"b\": []}".to_owned()),
        ];
        for (text, debug) in keys {
            assert_eq!(text, debug);
        }
    }

    #[test]
    fn fields_that_are_left_out_are_not_shown() {
        let query = Query { table: "rides", min: None, max: Some(2.0) };
        assert_eq!(text(&query), "Query { table: \"rides\", max: Some(2.0) }");
    }

    #[test]
    fn a_long_key_and_a_deep_one_end_with_an_ellipsis() {
        let long = text(&("ö".repeat(1_000), 7));
        assert!(long.starts_with("(\"öö") && long.ends_with("ö…") && long.len() < 1_100, "{long}");
        assert!(text(&vec![1_u32; 1_000]).ends_with(", 1, …"));
        let deep = (0..300).fold(Chain(None), |chain, _| Chain(Some(Box::new(chain))));
        assert!(text(&deep).ends_with("(…"));
    }

    #[test]
    fn a_key_without_a_head_has_no_text() {
        assert!(KeyText::of(&[]).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_text(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [vec![1], bytes].concat();
            KeyText::of(&bytes).unwrap().to_string();
        }
    }
}
