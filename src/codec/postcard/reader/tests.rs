use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::*;
use crate::codec::{
    Payload,
    testing::{Rich, rich},
    verified_reader,
};

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, usize)> {
    verified_reader::read(&Payload::from(bytes.to_vec()), |input| {
        let mut reader = PostcardReader::new(input);
        let value = T::deserialize(&mut reader).ok()?;
        Some((value, reader.left_over()))
    })
}

/// This reader and postcard's own give the same value, or both fail.
#[track_caller]
fn reads_as_postcard<T: DeserializeOwned + PartialEq>(bytes: &[u8]) {
    let theirs: Option<(T, &[u8])> = postcard::take_from_bytes(bytes).ok();
    // Floats that are no numbers do not equal themselves.
    let alike = |one: &T, other: &T| T::eq(one, other) || !(T::eq(one, one) || T::eq(other, other));
    let is_alike = match (read::<T>(bytes), theirs) {
        (Some((ours, left)), Some((theirs, rest))) => left == rest.len() && alike(&ours, &theirs),
        (ours, theirs) => ours.is_none() && theirs.is_none(),
    };
    assert!(is_alike, "{bytes:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_value_is_read_as_postcard_reads_it(value in rich(), cut in any::<prop::sample::Index>()) {
        let bytes = postcard::to_stdvec(&value).unwrap();
        reads_as_postcard::<Rich>(&bytes);
        reads_as_postcard::<Rich>(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn a_damaged_value_is_read_as_postcard_reads_it(
        value in rich(),
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let mut bytes = postcard::to_stdvec(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        reads_as_postcard::<Rich>(&bytes);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_as_postcard_reads_them(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..3, 0x7E_u8..0x82], 0..24)) {
        reads_as_postcard::<u8>(&bytes);
        reads_as_postcard::<(u16, i16)>(&bytes);
        reads_as_postcard::<(u32, i32)>(&bytes);
        reads_as_postcard::<(u64, i64)>(&bytes);
        reads_as_postcard::<u128>(&bytes);
        reads_as_postcard::<i128>(&bytes);
        reads_as_postcard::<(bool, i8, f32)>(&bytes);
        reads_as_postcard::<char>(&bytes);
        reads_as_postcard::<String>(&bytes);
        reads_as_postcard::<Option<Option<u8>>>(&bytes);
        reads_as_postcard::<Vec<u8>>(&bytes);
        reads_as_postcard::<Vec<i8>>(&bytes);
        reads_as_postcard::<Vec<f32>>(&bytes);
        reads_as_postcard::<Vec<Vec<f64>>>(&bytes);
        reads_as_postcard::<Box<[f32]>>(&bytes);
        reads_as_postcard::<Vec<u16>>(&bytes);
        reads_as_postcard::<BTreeMap<u8, bool>>(&bytes);
        reads_as_postcard::<std::result::Result<u16, String>>(&bytes);
    }
}

#[test]
fn a_made_up_length_of_elements_without_bytes_is_not_counted_to_its_end() {
    let endless = postcard::to_stdvec(&u64::MAX).unwrap();
    assert!(read::<Vec<()>>(&endless).is_none());
    let many = postcard::to_stdvec(&vec![(); 10_000]).unwrap();
    assert_eq!(read::<Vec<()>>(&many).unwrap().0.len(), 10_000);
}

#[test]
fn the_words_of_a_deserialize_of_its_own_are_kept() {
    let refused = verified_reader::read(&Payload::from(vec![0]), |input| {
        <std::num::NonZeroU8 as serde::Deserialize>::deserialize(&mut PostcardReader::new(input)).unwrap_err()
    });
    assert!(refused.to_string().contains("nonzero"), "{refused}");
}
