//! Streaming, the head, and keys that cannot be serialized.

use std::{
    panic::catch_unwind,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use serde::ser::{Error as _, SerializeMap, SerializeSeq, SerializeTuple};

use super::{encoded, key, written};
use crate::{
    error::ErrorKind,
    key::{Digest, digest, head, sink::KeyHead},
};

#[test]
fn a_digest_reads_as_hex() {
    let mut bytes = [0; 32];
    bytes[0] = 0xab;
    let digest = Digest::from_bytes(bytes);
    assert_eq!(format!("{digest:?}"), format!("ab{}", "00".repeat(31)));
    assert_eq!(digest.as_bytes(), &bytes);
}

proptest! {
    #[test]
    fn the_head_is_how_the_encoding_begins(texts in proptest::collection::vec("[a-zö]{0,90}", 0..30)) {
        let whole = encoded(&texts);
        let begin = &whole[..whole.len().min(KeyHead::LIMIT)];
        prop_assert_eq!(head(&texts), begin);
    }
}

#[test]
fn the_head_shows_a_short_key_whole_and_legibly() {
    assert_eq!(head("rides.csv"), b"\x01\x31\x09rides.csv");
    assert_eq!(head(&(1u8, "a")), b"\x01\x41\x10\x01\x31\x01a\x00");
}

#[test]
fn the_head_stops_an_endless_key() {
    let endless = written!(|s| s.collect_seq(std::iter::repeat(1u64)));
    assert_eq!(head(&endless).len(), KeyHead::LIMIT);
}

#[test]
fn the_head_stays_full_when_a_key_overlooks_that() {
    let stubborn = written!(|s| {
        let mut list = s.serialize_seq(None)?;
        for _ in 0..2000 {
            let _ = list.serialize_element(&1u64);
        }
        list.end()
    });
    assert_eq!(head(&stubborn), encoded(&stubborn)[..KeyHead::LIMIT]);
}

#[test]
fn the_head_of_a_key_that_fails_is_the_part_before_the_error() {
    let broken = written!(|s| {
        let mut pair = s.serialize_tuple(2)?;
        pair.serialize_element("a")?;
        Err(S::Error::custom("no second"))
    });
    assert_eq!(head(&broken), b"\x01\x41\x31\x01a");
}

#[test]
fn a_key_that_gives_up_is_an_error_with_a_reason_and_a_remedy() {
    let before_the_epoch = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let error = digest(&before_the_epoch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
    let message = error.to_string();
    assert!(message.contains("SystemTime must be later than UNIX_EPOCH"), "{message}");
    assert!(message.contains("use a key type whose `Serialize` succeeds"), "{message}");
    assert!(std::error::Error::source(&error).is_some());
}

#[cfg(unix)]
#[test]
fn a_path_that_is_no_text_and_hides_in_another_type_is_an_error_with_its_remedy() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

    #[derive(serde::Serialize)]
    #[serde(transparent)]
    struct Hidden<'a>(&'a Path);

    let error = digest(&Hidden(Path::new(OsStr::from_bytes(b"\xff")))).unwrap_err();
    assert!(error.kind() == ErrorKind::Key && error.to_string().contains("memolith::path"), "{error}");
}

#[test]
fn a_map_that_loses_a_half_of_an_entry_is_an_error() {
    let two_keys = written!(|s| {
        let mut map = s.serialize_map(None)?;
        map.serialize_key(&1)?;
        map.serialize_key(&2)?;
        map.end()
    });
    let no_key = written!(|s| {
        let mut map = s.serialize_map(None)?;
        map.serialize_value(&1)?;
        map.end()
    });
    let no_value = written!(|s| {
        let mut map = s.serialize_map(None)?;
        map.serialize_key(&1)?;
        map.end()
    });
    assert!(digest(&two_keys).unwrap_err().to_string().contains("two keys before a value"));
    assert!(digest(&no_key).unwrap_err().to_string().contains("without its key"));
    assert!(digest(&no_value).unwrap_err().to_string().contains("without its value"));
}

#[test]
fn a_key_that_panics_unwinds_and_the_next_key_is_well() {
    let panicking =
        written!(|s| if s.is_human_readable() { panic!("in Serialize") } else { s.serialize_unit() });
    assert!(catch_unwind(|| digest(&panicking)).is_err());
    assert_eq!(key("next"), key("next"));
}
