use proptest::prelude::*;

use super::{copy::reverse, *};
use crate::codec::{Codec, Payload, Postcard, Shape};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "P: Packed")]
struct Field<P> {
    before: u8,
    #[serde(with = "crate::packed")]
    numbers: P,
    after: u8,
}

fn field<P>(numbers: P) -> Field<P> {
    Field { before: 1, numbers, after: 2 }
}

fn encoded<V, C: Codec<V>>(codec: &C, value: &V) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode(value, &mut bytes).unwrap();
    bytes
}

/// There and back, with what stands before and after it untouched.
#[track_caller]
fn comes_back<P: Packed + PartialEq + fmt::Debug>(numbers: P) {
    let there = field(numbers);
    let bytes = encoded(&Postcard, &there);
    let back: Field<P> = Postcard.decode(&bytes.into()).unwrap();
    assert_eq!(back, there);
    Codec::<Field<P>>::shape(&Postcard).unwrap();
    #[cfg(feature = "json")]
    {
        let json = crate::codec::Json;
        let back: Field<P> = json.decode(&encoded(&json, &there).into()).unwrap();
        assert_eq!(back, there);
    }
}

proptest! {
    #[test]
    fn numbers_come_back_bit_by_bit(floats: Vec<f64>, singles: Vec<f32>, longs: Vec<i64>, wide: Vec<u128>) {
        let bits = |floats: &[f64]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
        let back: Field<Vec<f64>> = Postcard.decode(&encoded(&Postcard, &field(floats.clone())).into()).unwrap();
        prop_assert_eq!(bits(&back.numbers), bits(&floats));
        comes_back(singles);
        comes_back(longs);
        comes_back(wide);
    }

    #[test]
    fn no_bytes_are_a_panic(bytes: Vec<u8>) {
        let _: crate::Result<Field<Vec<f64>>> = Postcard.decode(&bytes.clone().into());
        let _: crate::Result<Field<Vec<Vec<u16>>>> = Postcard.decode(&bytes.into());
    }
}

#[test]
fn every_number_and_every_place_for_numbers_comes_back() {
    comes_back(vec![i8::MIN, 0, i8::MAX]);
    comes_back(vec![i16::MIN, 0, i16::MAX]);
    comes_back(vec![i32::MIN, 0, i32::MAX]);
    comes_back(vec![i64::MIN, 0, i64::MAX]);
    comes_back(vec![i128::MIN, 0, i128::MAX]);
    comes_back(vec![0, u8::MAX]);
    comes_back(vec![0, u16::MAX]);
    comes_back(vec![0, u32::MAX]);
    comes_back(vec![0, u64::MAX]);
    comes_back(vec![0, u128::MAX]);
    comes_back(vec![f32::MIN_POSITIVE, -0.0]);
    comes_back(vec![f64::MIN_POSITIVE, -0.0]);
    comes_back(vec![1.5_f64].into_boxed_slice());
    comes_back(Vec::<f64>::new());
    comes_back(vec![vec![1.5_f64], vec![], vec![2.5; 1000]]);
    comes_back(Some(vec![1.5_f64]));
    comes_back(None::<Vec<f64>>);
    comes_back(BTreeMap::from([("a".to_owned(), Some(vec![1_u16])), ("b".to_owned(), None)]));
    comes_back(HashMap::<String, Vec<Vec<i32>>>::from([("a".to_owned(), vec![vec![-1]])]));
}

#[test]
fn a_nan_keeps_its_bits() {
    for bits in [f64::NAN.to_bits(), 0x7FF0_0000_0000_0001, 0xFFFF_FFFF_FFFF_FFFF] {
        let bytes = encoded(&Postcard, &field(vec![f64::from_bits(bits)]));
        let back: Field<Vec<f64>> = Postcard.decode(&bytes.into()).unwrap();
        assert_eq!(back.numbers[0].to_bits(), bits);
    }
}

#[test]
fn the_bytes_are_golden() {
    let floats = encoded(&Postcard, &field(vec![1.5_f64, -2.0]));
    assert_eq!(floats, [1, 16, 0, 0, 0, 0, 0, 0, 0xF8, 0x3F, 0, 0, 0, 0, 0, 0, 0, 0xC0, 2]);
    assert_eq!(encoded(&Postcard, &field(vec![0x0102_u16, 0x0304])), [1, 4, 2, 1, 4, 3, 2]);
}

#[test]
fn machines_of_the_other_byte_order_turn_each_number_around() {
    let mut bytes = [1, 2, 3, 4, 5, 6, 7, 8];
    reverse::<u32>(&mut bytes);
    assert_eq!(bytes, [4, 3, 2, 1, 8, 7, 6, 5]);
}

#[test]
fn a_long_run_that_two_threads_copy_comes_back_whatever_its_alignment() {
    let numbers: Vec<u64> = (0..(40 << 20) / 8 + 3).map(|index| index * 0x9E37_79B9).collect();
    let bytes: Vec<u8> =
        std::iter::once(0).chain(numbers.iter().flat_map(|number| number.to_le_bytes())).collect();
    assert!(copy::numbers::<u64>(&bytes[1..]).unwrap() == numbers);
    assert!(copy::numbers::<u64>(&bytes).is_none(), "one byte over");
}

/// A length of `u64::MAX`, as postcard writes it, and one that is no multiple of eight.
#[test]
fn a_length_that_the_bytes_do_not_hold_allocates_nothing_and_is_an_error() {
    let endless = [vec![1], vec![0xFF; 9], vec![1]].concat();
    let decoded: crate::Result<Field<Vec<f64>>> = Postcard.decode(&Payload::from(endless));
    assert!(decoded.is_err());
    let uneven = [vec![1, 15], vec![0; 15], vec![2]].concat();
    let decoded: crate::Result<Field<Vec<f64>>> = Postcard.decode(&Payload::from(uneven));
    assert!(decoded.is_err());
}

#[test]
fn the_shape_tells_the_numbers_apart_and_packed_from_plain() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    struct Field<T> {
        before: u8,
        numbers: T,
        after: u8,
    }
    let shapes = [
        Shape::of::<super::tests::Field<Vec<f64>>>().unwrap(),
        Shape::of::<super::tests::Field<Vec<f32>>>().unwrap(),
        Shape::of::<super::tests::Field<Vec<u64>>>().unwrap(),
        Shape::of::<super::tests::Field<Vec<i64>>>().unwrap(),
        Shape::of::<super::tests::Field<Vec<Vec<f64>>>>().unwrap(),
        Shape::of::<Field<Vec<f64>>>().unwrap(),
        Shape::of::<Field<Vec<Vec<f64>>>>().unwrap(),
    ];
    let different: std::collections::HashSet<_> = shapes.iter().collect();
    assert_eq!(different.len(), shapes.len());
}

/// Pieces as a writer gets them.
struct Pieces(Vec<(*const u8, usize)>);

impl std::io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.push((bytes.as_ptr(), bytes.len()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_long_column_goes_to_the_writer_from_where_it_lies() {
    let there = field(vec![vec![1.5_f64; 100_000], vec![2.5; 100_000]]);
    let mut pieces = Pieces(Vec::new());
    Postcard.encode(&there, &mut pieces).unwrap();
    for column in &there.numbers {
        assert!(pieces.0.contains(&(column.as_ptr().cast(), 800_000)), "{:?}", pieces.0);
    }
}

#[cfg(feature = "json")]
#[test]
fn in_json_it_is_the_plain_list_of_numbers() {
    let json = crate::codec::Json;
    assert_eq!(
        encoded(&json, &field(vec![1.5_f64, -2.0])),
        br#"{"before":1,"numbers":[1.5,-2.0],"after":2}"#
    );
    assert!(json.encode(&field(vec![f64::NAN]), &mut Vec::new()).is_err());
}
