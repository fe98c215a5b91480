//! Keys: a value of any form is built from the data, and parsed back from its encoding by the crate's own oracle, a
//! parser that shares nothing with the encoder.

#[path = "../../src/key/tests/oracle/parser.rs"]
mod parser;
#[path = "../../src/key/tests/oracle/value.rs"]
mod value;

use memolith::fuzzing;

use parser::Parser;
use value::{Body, NAMES, Name, Oracle};

/// Two values from one input. Each comes back from its encoding, and they encode alike exactly when they are one.
pub fn key(data: &[u8]) {
    let mut source = Source(data);
    let [one, other] = [(); 2].map(|()| source.value(5));
    let [left, right] = [&one, &other].map(|value| fuzzing::key(value).unwrap());
    let (one, other) = (one.canonical(), other.canonical());
    assert_eq!(left == right, one == other, "{one:?} and {other:?}");
    assert_eq!(Parser::parse(&left).canonical(), one);
    assert_eq!(Parser::parse(&right).canonical(), other);
}

/// Data that is used up byte by byte. After its end there are zeros.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self, width: u32) -> u128 {
        (0..width).fold(0, |number, _| number << 8 | u128::from(self.byte()))
    }

    fn text(&mut self) -> String {
        let length = self.byte() % 8;
        (0..length).map(|_| char::from(self.byte())).collect()
    }

    fn name(&mut self) -> Name {
        NAMES[usize::from(self.byte()) % NAMES.len()]
    }

    fn several<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.byte() % 5).map(|_| one(self)).collect()
    }

    fn value(&mut self, depth: u32) -> Oracle {
        let forms = if depth == 0 { 10 } else { 16 };
        let width = |byte: u8| 1 << (byte % 5);
        match self.byte() % forms {
            0 => Oracle::Unit,
            1 => Oracle::None,
            2 => Oracle::Bool(self.byte().is_multiple_of(2)),
            3 => {
                let width = width(self.byte());
                Oracle::Unsigned(width, self.number(width))
            }
            4 => {
                let width = width(self.byte());
                let above = 128 - 8 * width;
                Oracle::Signed(width, (self.number(width) << above).cast_signed() >> above)
            }
            5 => Oracle::F32(self.number(4) as u32),
            6 => Oracle::F64(self.number(8) as u64),
            7 => Oracle::Char(char::from_u32(self.number(3) as u32).unwrap_or('x')),
            8 => Oracle::Text(self.text()),
            9 => Oracle::Bytes(self.text().into_bytes()),
            10 => Oracle::Some(Box::new(self.value(depth - 1))),
            11 => Oracle::Sequence(self.several(|source| source.value(depth - 1))),
            12 => Oracle::Tuple(self.several(|source| source.value(depth - 1))),
            13 => Oracle::Map(self.several(|source| (source.value(depth - 1), source.value(depth - 1)))),
            14 => Oracle::Struct(self.name(), self.body(depth - 1)),
            _ => {
                let (name, index, variant) = (self.name(), self.number(4) as u32, self.name());
                Oracle::Variant(name, index, variant, self.body(depth - 1))
            }
        }
    }

    fn body(&mut self, depth: u32) -> Body {
        match self.byte() % 4 {
            0 => Body::Unit,
            1 => Body::Newtype(Box::new(self.value(depth))),
            2 => Body::Tuple(self.several(|source| source.value(depth))),
            _ => Body::Fields(self.several(|source| {
                let given = source.byte().is_multiple_of(2);
                (source.name(), given.then(|| source.value(depth)))
            })),
        }
    }
}
