//! Two keys share an entry exactly when they are equal. The encoding has its own claims beside it; these are the
//! claims that a user of a memo sees. B25 and so on are rows in the list of required behaviours.

use std::{
    cell::Cell,
    collections::HashMap,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, FixedOffset};
use memolith::{Error, Memo, Store};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use uuid::Uuid;

/// How many of the keys the memo computes, when they are asked for in this order.
#[track_caller]
fn computed<K: Serialize>(keys: impl IntoIterator<Item = K>) -> u32 {
    let store = Store::temporary().unwrap();
    let memo: Memo<K, u32> = Memo::builder("keys").open(&store).unwrap();
    let count = Cell::new(0);
    for key in keys {
        memo.get_or_insert_with(&key, || count.replace(count.get() + 1));
    }
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    count.get()
}

/// B25
#[test]
fn a_text_is_a_key_by_its_content_whoever_holds_it() -> Result<(), Error> {
    let store = Store::temporary()?;
    let lengths: Memo<str, usize> = Memo::builder("lengths").open(&store)?;
    let owned = String::from("hello");
    assert_eq!(lengths.get_or_insert_with("hello", || 5), 5);
    assert_eq!(lengths.get_or_insert_with(&owned, || unreachable!("it is the same text")), 5);
    assert_eq!(lengths.get_or_insert_with("hellö", || 6), 6);
    Ok(())
}

/// B26, B28, B31, B32
#[test]
fn json_keys_differ_by_type_and_content() {
    let keys = [
        json!(null),
        json!(false),
        json!(0),
        json!(""),
        json!([]),
        json!({}),
        json!(true),
        json!(1),
        json!(1.0),
        json!("1"),
        json!([1]),
        json!(-1),
        json!({"1": 1}),
        json!([["1", 1]]),
    ];
    assert_eq!(computed::<Value>(keys.clone()), 14);
    assert_eq!(computed::<Value>(keys.iter().chain(&keys).cloned()), 14);
}

/// B35
#[test]
fn a_field_that_is_skipped_is_not_mistaken_for_its_neighbour() {
    #[derive(Serialize)]
    struct Range {
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<u32>,
    }
    let at_least = Range { min: Some(5), max: None };
    let at_most = Range { min: None, max: Some(5) };
    assert_eq!(computed([at_least, at_most]), 2);
}

/// B44, B45
#[test]
fn texts_side_by_side_are_not_split_anew() {
    assert_eq!(computed([("doc1", "acme"), ("doc1str:orgstr:acme", "default"), ("doc1a", "cme")]), 3);
    assert_eq!(computed([vec!["a", "b"], vec!["astr:b"], vec!["ab"], vec!["ab", ""], vec!["a", "b"]]), 4);
}

/// B27, B46
#[test]
fn zero_has_two_signs_and_nan_is_one_key() {
    assert_eq!(computed([0.1, 0.1]), 1);
    assert_eq!(computed([0.0, -0.0, f64::NAN, -f64::NAN, 0.0]), 3);
}

/// B47, B48
#[test]
fn a_map_is_found_again_in_any_order_and_after_a_restart() -> Result<(), Error> {
    let names = || (0..50).map(|n| (format!("name {n}"), n));
    let directory = tempfile::tempdir().unwrap();
    {
        let store = Store::open(directory.path())?;
        let memo: Memo<HashMap<String, u32>, u32> = Memo::builder("maps").open(&store)?;
        assert_eq!(memo.get_or_insert_with(&names().collect(), || 1), 1);
        assert_eq!(memo.get_or_insert_with(&names().rev().collect(), || 2), 1);
    }
    let store = Store::open(directory.path())?;
    let memo: Memo<HashMap<String, u32>, u32> = Memo::builder("maps").open(&store)?;
    assert_eq!(memo.get(&names().collect())?, Some(1));
    Ok(())
}

/// B42, B43
#[test]
fn one_element_of_a_large_list_makes_another_key() {
    let large: Vec<u64> = (0..100_000).collect();
    let mut other = large.clone();
    other[70_000] += 1;
    assert_eq!(computed([large.clone(), other, large]), 2);
}

/// B34
#[test]
fn variants_with_equal_content_differ() {
    #[derive(Serialize)]
    enum Length {
        Metres(u32),
        Feet(u32),
        Unknown,
    }
    assert_eq!(computed([Length::Metres(1), Length::Feet(1), Length::Unknown, Length::Metres(1)]), 3);
}

/// B29, B30
#[test]
fn identifiers_are_keys_by_value_and_times_by_value_and_zone() {
    let uuid = Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8);
    assert_eq!(computed([uuid, "67E55044-10B1-426F-9247-BB680E5FE0C8".parse().unwrap(), Uuid::nil()]), 2);

    let time = |text: &str| -> DateTime<FixedOffset> { text.parse().unwrap() };
    let (rome, utc) = (time("2026-03-29T03:30:00+02:00"), time("2026-03-29T01:30:00Z"));
    assert_eq!(rome, utc);
    assert_eq!(computed([rome, utc, rome]), 2);
}

/// B51, B55
#[test]
fn a_key_that_cannot_be_serialized_is_computed_each_time_and_told() -> Result<(), Error> {
    let store = Store::temporary()?;
    let memo: Memo<SystemTime, u32> = Memo::builder("by time").open(&store)?;
    let before_the_epoch = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(memo.get_or_insert_with(&before_the_epoch, || 1), 1);
    assert_eq!(memo.get_or_insert_with(&before_the_epoch, || 2), 2);

    let told = memo.last_failure().unwrap().to_string();
    assert!(told.contains("by time") && told.contains("SystemTime"), "{told}");
    assert!(told.contains("use a key type whose `Serialize` succeeds"), "{told}");
    assert!(memo.get(&before_the_epoch).is_err());
    assert!(memo.insert(&before_the_epoch, &3).is_err());
    Ok(())
}

/// A path that is not UTF-8.
#[cfg(unix)]
fn no_text(byte: u8) -> std::path::PathBuf {
    std::path::PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(vec![
        b'a', byte,
    ]))
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_text_is_a_key() {
    assert_eq!(computed([no_text(0xe9), no_text(0xe8), no_text(0xe9)]), 2);
    assert_eq!(computed([(no_text(0xe9), 1), (no_text(0xe8), 1), (no_text(0xe9), 1)]), 2);
}

#[cfg(unix)]
#[test]
fn a_path_that_memolith_does_not_see_is_told_with_its_remedy_and_the_remedy_helps() -> Result<(), Error> {
    #[derive(Serialize)]
    #[serde(transparent)]
    struct Hidden(std::path::PathBuf);

    #[derive(Serialize)]
    #[serde(transparent)]
    struct Mended(#[serde(with = "memolith::path")] std::path::PathBuf);

    let store = Store::temporary()?;
    let memo: Memo<Hidden, u32> = Memo::builder("by path").open(&store)?;
    assert_eq!(memo.get_or_insert_with(&Hidden(no_text(0xe9)), || 1), 1);
    let told = memo.last_failure().unwrap().to_string();
    assert!(told.contains("memolith::path"), "{told}");

    let mended = [0xe9, 0xe8, 0xe9].map(|byte| Mended(no_text(byte)));
    assert_eq!(computed(mended), 2);
    assert_eq!(computed([0xe9, 0xe8, 0xe9].map(|byte| memolith::path::Lossless(no_text(byte)))), 2);
    Ok(())
}

#[cfg(unix)]
#[test]
fn paths_that_are_not_text_are_values_under_both_codecs() -> Result<(), Error> {
    use std::path::PathBuf;

    use memolith::{codec::Json, path::Lossless};
    use serde::Deserialize;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Found {
        #[serde(with = "memolith::path")]
        newest: PathBuf,
        #[serde(with = "memolith::path")]
        others: Vec<Option<PathBuf>>,
    }

    let directory = tempfile::tempdir().unwrap();
    let found = || Found { newest: no_text(0xe9), others: vec![Some("b".into()), Some(no_text(0)), None] };
    for run in 0..2 {
        let store = Store::open(directory.path())?;
        let postcard: Memo<u8, Found> = Memo::builder("postcard").open(&store)?;
        let json: Memo<u8, Found> = Memo::builder("json").codec(Json::new()).open(&store)?;
        let whole: Memo<u8, Lossless<PathBuf>> = Memo::builder("whole").open(&store)?;
        if run == 0 {
            miss!(postcard, &1 => found());
            miss!(json, &1 => found());
            miss!(whole, &1 => Lossless(no_text(0xff)));
        }
        hit!(postcard, &1 => found());
        hit!(json, &1 => found());
        hit!(whole, &1 => Lossless(no_text(0xff)));
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    }
    Ok(())
}

#[test]
fn equal_sets_are_one_key_however_they_were_filled() {
    use std::collections::HashSet;

    #[derive(Serialize)]
    struct Query {
        words: HashSet<String>,
    }
    let words = || (0..50).map(|number| format!("word {number}")).collect::<HashSet<String>>();
    assert_eq!(computed((0..5).map(|_| words())), 1);
    assert_eq!(computed((0..5).map(|_| (words(), 1))), 1);
    assert_eq!(computed((0..5).map(|_| Query { words: words() })), 1);
    assert_eq!(computed([words(), HashSet::new(), HashSet::from(["word 1".into()])]), 3);
}

#[test]
fn an_unordered_value_is_read_back() -> Result<(), Error> {
    use memolith::unordered::Unordered;

    let store = Store::temporary()?;
    let memo: Memo<u8, Unordered<Vec<u8>>> = Memo::builder("lists").open(&store)?;
    miss!(memo, &1 => Unordered(vec![3, 1, 2]));
    hit!(memo, &1 => Unordered(vec![3, 1, 2]));
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    Ok(())
}

#[test]
fn a_key_that_panics_while_it_is_serialized_still_gets_its_value() -> Result<(), Error> {
    struct Panicking;
    impl Serialize for Panicking {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("in the key's own Serialize")
        }
    }
    let store = Store::temporary()?;
    let memo: Memo<Panicking, u32> = Memo::builder("panicking").open(&store)?;
    assert_eq!(memo.get_or_insert_with(&Panicking, || 1), 1);
    assert_eq!(memo.get_or_insert_with(&Panicking, || 2), 2);
    assert!(memo.last_failure().is_some());
    Ok(())
}
