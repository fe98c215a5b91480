use proptest::prelude::*;

use super::*;
use crate::codec::{Codec, Json, Payload, Postcard, Shape};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Frame {
    before: u8,
    #[serde(with = "crate::packed")]
    bytes: Vec<u8>,
    #[serde(with = "crate::packed")]
    columns: Vec<Vec<f64>>,
    #[serde(with = "crate::packed")]
    shared: Arc<[i16]>,
    #[serde(with = "crate::packed")]
    boxed: Option<Box<[u128]>>,
    after: String,
}

fn bytes<V, C: Codec<V>>(codec: &C, value: &V) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode(value, &mut bytes).unwrap();
    bytes
}

fn frames() -> impl Strategy<Value = Frame> {
    let finite = prop::num::f64::NORMAL | prop::num::f64::ZERO;
    let columns = prop::collection::vec(prop::collection::vec(finite, 0..9), 0..4);
    let parts = (any::<u8>(), any::<Vec<u8>>(), columns, any::<Vec<i16>>(), any::<Option<Vec<u128>>>(), ".*");
    parts.prop_map(|(before, bytes, columns, shared, boxed, after)| Frame {
        before,
        bytes,
        columns,
        shared: shared.into(),
        boxed: boxed.map(Into::into),
        after,
    })
}

proptest! {
    #[test]
    fn packed_fields_come_back_under_every_codec(frame in frames()) {
        let there = Payload::from(bytes(&Postcard, &frame));
        prop_assert_eq!(&Codec::<Frame>::decode(&Postcard, &there).unwrap(), &frame);
        let there = Payload::from(bytes(&Json, &frame));
        prop_assert_eq!(&Codec::<Frame>::decode(&Json, &there).unwrap(), &frame);
    }

    #[test]
    fn no_bytes_are_a_panic(bytes: Vec<u8>) {
        let _ = Codec::<Frame>::decode(&Postcard, &Payload::from(bytes));
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Packed<T: Number>(#[serde(with = "crate::packed")] Vec<T>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Plain<T>(Vec<T>);

#[test]
fn the_bytes_are_a_length_in_bytes_and_the_numbers_little_endian() {
    assert_eq!(bytes(&Postcard, &Packed(vec![0x0102_u16, 3])), [4, 2, 1, 3, 0]);
    let numbers: Vec<f64> = (0..32).map(f64::from).collect();
    let golden: Vec<u8> =
        [0x80, 0x02].into_iter().chain(numbers.iter().flat_map(|number| number.to_le_bytes())).collect();
    assert_eq!(bytes(&Postcard, &Packed(numbers)), golden);
}

#[test]
fn every_bit_of_a_float_comes_back() {
    let odd = [f64::NAN, f64::from_bits(0x7FF0_0000_0000_0001), -0.0, f64::INFINITY, f64::MIN_POSITIVE / 2.0];
    let there = Payload::from(bytes(&Postcard, &Packed(odd.to_vec())));
    let back: Packed<f64> = Codec::decode(&Postcard, &there).unwrap();
    assert_eq!(back.0.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), odd.map(f64::to_bits));
}

#[test]
fn people_read_a_list() {
    assert_eq!(bytes(&Json, &Packed(vec![1_u32, 2])), b"[1,2]");
}

#[test]
fn bytes_that_are_no_whole_numbers_are_an_error() {
    let error = Codec::<Packed<u32>>::decode(&Postcard, &Payload::from(vec![3, 1, 2, 3])).unwrap_err();
    assert!(error.to_string().contains("no value of type"), "{error}");
}

#[test]
fn packing_a_field_or_another_number_is_another_shape() {
    let shapes = [
        Shape::of::<Plain<f64>>(),
        Shape::of::<Packed<f64>>(),
        Shape::of::<Packed<u64>>(),
        Shape::of::<Packed<i64>>(),
    ];
    let shapes: Vec<Shape> = shapes.into_iter().map(Result::unwrap).collect();
    for (index, shape) in shapes.iter().enumerate() {
        assert!(!shapes[..index].contains(shape), "{index}");
    }
}

#[test]
fn a_packed_type_is_whole_for_every_codec() {
    assert!(Codec::<Frame>::shape(&Postcard).is_ok() && Codec::<Frame>::shape(&Json).is_ok());
}

#[test]
fn a_length_over_the_end_allocates_nothing() {
    let mut endless = vec![0xFF; 9];
    endless.push(0x01);
    assert!(Codec::<Packed<f64>>::decode(&Postcard, &Payload::from(endless)).is_err());
}

/// Many blocks, and runs that begin anywhere in them, with other fields before and after.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Large {
    name: String,
    #[serde(with = "crate::packed")]
    columns: Vec<Vec<f64>>,
    plain: Vec<u64>,
    #[serde(with = "crate::packed")]
    last: Vec<u8>,
}

fn large() -> Large {
    let column = |count: u32| (0..count).map(|row| f64::from(row) * 0.5).collect();
    Large {
        name: "x".repeat(200_000),
        columns: [1_300_000, 3, 0, 2_500_001, 140_000].map(column).to_vec(),
        plain: (0..700_000).collect(),
        last: vec![7; 5_000_003],
    }
}

#[test]
fn long_runs_come_back_from_a_file_and_a_flipped_byte_anywhere_is_noticed() {
    let value = large();
    let encoded = bytes(&Postcard, &value);
    let mut table = crate::checksum::BlockTable::new();
    table.update(&encoded);
    let table = table.finish().0;
    let sealed = |bytes: Vec<u8>| {
        let checksums = Arc::new(crate::checksum::BlockChecksums::new(&table, bytes.len()).unwrap());
        Payload::with_checksums(bytes, 0..encoded.len(), checksums)
    };
    let whole = sealed(encoded.clone());
    assert!(Codec::<Large>::decode(&Postcard, &whole).unwrap() == value);
    assert!(whole.is_verified() && !whole.is_damaged(), "everything was verified on the way");
    // In the text, in runs on two threads and on one, in plain numbers, in the last block.
    for at in [0, 5_000_000, 20_000_000, 31_000_000, 34_000_000, encoded.len() - 1] {
        let mut flipped = encoded.clone();
        flipped[at] ^= 0x40;
        let flipped = sealed(flipped);
        assert!(Codec::<Large>::decode(&Postcard, &flipped).is_err(), "byte {at}");
        assert!(flipped.is_damaged(), "byte {at}");
    }
}
