//! The bytes of a variant list.

use std::collections::HashSet;

use super::{Answer, FileState, Fingerprint, Input, Noted, Variants, is_same};
use crate::readings::Readings;

const MAGIC: [u8; 2] = *b"MV";
const FORMAT: u8 = 1;
/// The bytes before the inputs.
const HEAD: usize = 14;
/// The bytes of a reading without a state.
const READING: usize = 2 + Fingerprint::SIZE + 1;

impl Variants {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_length());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[FORMAT, self.lists.len() as u8]);
        bytes.extend_from_slice(&(self.inputs.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        (0..self.inputs.len()).for_each(|place| self.put_input(place, &mut bytes));
        for variant in &self.lists {
            bytes.extend_from_slice(&(variant.len() as u16).to_le_bytes());
            for noted in variant {
                put(noted, &mut bytes);
            }
        }
        bytes
    }

    /// The length of [`encode`](Self::encode)'s bytes.
    pub(crate) fn encoded_length(&self) -> usize {
        let inputs = self.inputs.iter().filter_map(Input::encoded_length);
        let state = |noted: &Noted| noted.answer.state.map_or(0, |_| FileState::SIZE);
        let variants = self
            .lists
            .iter()
            .map(|variant| 2 + variant.iter().map(|noted| READING + state(noted)).sum::<usize>());
        HEAD + inputs.sum::<usize>() + variants.sum::<usize>()
    }

    /// `None` for bytes that [`encode`](Self::encode) does not write. Takes memory in proportion to the bytes, and refuses
    /// more than [`MOST_BYTES`](Self::MOST_BYTES) of them.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > Self::MOST_BYTES {
            return None;
        }
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let [m, v, format, variants, low, high, salt @ ..] = *head;
        if [m, v] != MAGIC || format != FORMAT {
            return None;
        }
        let inputs = usize::from(u16::from_le_bytes([low, high]));
        let mut fields = Fields(rest);
        let inputs: Option<Vec<Input>> = (0..inputs).map(|_| fields.input()).collect();
        let inputs = inputs.filter(|inputs| are_distinct(inputs))?;
        let variants: Option<Vec<Vec<Noted>>> = (0..variants).map(|_| fields.variant(inputs.len())).collect();
        let decoded = Self { salt: u64::from_le_bytes(salt), inputs, lists: variants? };
        (fields.0.is_empty() && decoded.is_sound()).then_some(decoded)
    }

    /// Whether the bounds are kept, no variant is twice in the list, and each input is in use.
    fn is_sound(&self) -> bool {
        let used: HashSet<usize> = self.lists.iter().flatten().map(|noted| noted.input).collect();
        let mut others = self.lists.as_slice();
        let mut are_new = std::iter::from_fn(|| {
            let (variant, rest) = others.split_first()?;
            others = rest;
            Some(!rest.iter().any(|other| is_same(other, variant)))
        });
        self.lists.len() <= Self::MOST && used.len() == self.inputs.len() && are_new.all(|is_new| is_new)
    }
}

fn put(noted: &Noted, bytes: &mut Vec<u8>) {
    let Answer { fingerprint, state } = noted.answer;
    bytes.extend_from_slice(&(noted.input as u16).to_le_bytes());
    bytes.extend_from_slice(fingerprint.as_bytes());
    bytes.push(u8::from(state.is_some()));
    bytes.extend_from_slice(state.map(FileState::to_bytes).as_ref().map_or(&[], |state| state));
}

fn are_distinct<T: Eq + std::hash::Hash>(values: &[T]) -> bool {
    values.iter().collect::<HashSet<_>>().len() == values.len()
}

/// The bytes that are not read yet. A read past the end is `None`.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn short(&mut self) -> Option<usize> {
        self.array().map(|bytes| usize::from(u16::from_le_bytes(bytes)))
    }

    fn input(&mut self) -> Option<Input> {
        let (input, rest) = Input::decode(self.0)?;
        self.0 = rest;
        Some(input)
    }

    /// `inputs` is the length of the table.
    fn variant(&mut self, inputs: usize) -> Option<Vec<Noted>> {
        let length = self.short().filter(|length| *length <= Readings::MOST)?;
        let variant: Option<Vec<Noted>> = (0..length).map(|_| self.noted(inputs)).collect();
        let places = |variant: &[Noted]| variant.iter().map(|noted| noted.input).collect::<Vec<_>>();
        variant.filter(|variant| are_distinct(&places(variant)))
    }

    fn noted(&mut self, inputs: usize) -> Option<Noted> {
        let input = self.short().filter(|input| *input < inputs)?;
        let fingerprint = Fingerprint::from_bytes(self.array()?);
        let state = match self.array()? {
            [0] => None,
            [1] => Some(FileState::from_bytes(self.array()?)?),
            _ => return None,
        };
        Some(Noted { input, answer: Answer { fingerprint, state } })
    }
}
