//! A parser of the grammar that shares nothing with the encoder.

use super::value::{Body, NAMES, Name, Oracle};

/// Reads the grammar as the module documentation draws it.
pub(crate) struct Parser<'a>(&'a [u8]);

impl Parser<'_> {
    pub(crate) fn parse(encoding: &[u8]) -> Oracle {
        let mut parser = Parser(encoding);
        assert_eq!(parser.byte(), 0x01, "the format");
        let value = parser.value();
        assert!(parser.0.is_empty(), "left over: {:?}", parser.0);
        value
    }

    fn bytes(&mut self, count: usize) -> &[u8] {
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1)[0]
    }

    fn number(&mut self, width: u32) -> u128 {
        let mut bytes = [0; 16];
        bytes[..width as usize].copy_from_slice(self.bytes(width as usize));
        u128::from_le_bytes(bytes)
    }

    fn count(&mut self) -> u64 {
        let byte = u64::from(self.byte());
        if byte < 0x80 { byte } else { (byte & 0x7f) | (self.count() << 7) }
    }

    fn text(&mut self) -> String {
        let count = self.count() as usize;
        String::from_utf8(self.bytes(count).to_vec()).unwrap()
    }

    fn name(&mut self) -> Name {
        let name = self.text();
        NAMES.iter().find(|known| **known == name).unwrap()
    }

    fn boxed(&mut self) -> Box<Oracle> {
        Box::new(self.value())
    }

    fn until_end<T>(&mut self, mut element: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut elements = Vec::new();
        while self.0[0] != 0x00 {
            elements.push(element(self));
        }
        self.byte();
        elements
    }

    fn field(&mut self) -> (Name, Option<Oracle>) {
        match self.byte() {
            0x60 => (self.name(), Some(self.value())),
            0x61 => (self.name(), None),
            other => panic!("{other:x} is no field"),
        }
    }

    fn body(&mut self, form: u8) -> Body {
        match form {
            0 => Body::Unit,
            1 => Body::Newtype(self.boxed()),
            2 => Body::Tuple(self.until_end(Self::value)),
            _ => Body::Fields(self.until_end(Self::field)),
        }
    }

    fn value(&mut self) -> Oracle {
        match self.byte() {
            0x01 => Oracle::Unit,
            0x02 => Oracle::None,
            0x03 => Oracle::Some(self.boxed()),
            0x04 => Oracle::Bool(false),
            0x05 => Oracle::Bool(true),
            tag @ 0x10..=0x14 => Oracle::Unsigned(1 << (tag - 0x10), self.number(1 << (tag - 0x10))),
            tag @ 0x18..=0x1c => {
                let width = 1 << (tag - 0x18);
                let above = 128 - 8 * width;
                Oracle::Signed(width, (self.number(width) << above).cast_signed() >> above)
            }
            0x20 => Oracle::F32(self.number(4) as u32),
            0x21 => Oracle::F64(self.number(8) as u64),
            0x30 => Oracle::Char(char::from_u32(self.number(4) as u32).unwrap()),
            0x31 => Oracle::Text(self.text()),
            0x32 => {
                let count = self.count() as usize;
                Oracle::Bytes(self.bytes(count).to_vec())
            }
            0x40 => Oracle::Sequence(self.until_end(Self::value)),
            0x41 => Oracle::Tuple(self.until_end(Self::value)),
            0x42 => Oracle::Map(self.until_end(|entry| (entry.value(), entry.value()))),
            tag @ 0x50..=0x53 => {
                let name = self.name();
                Oracle::Struct(name, self.body(tag - 0x50))
            }
            tag @ 0x58..=0x5b => {
                let (name, index, variant) = (self.name(), self.count() as u32, self.name());
                Oracle::Variant(name, index, variant, self.body(tag - 0x58))
            }
            other => panic!("{other:x} is no value"),
        }
    }
}
