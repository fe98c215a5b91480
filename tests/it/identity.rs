//! The value type and the entries of a memo: which types are accepted, and what a changed type finds. B64 is a row in
//! the list of required behaviours.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt::Debug,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use memolith::{Error, Memo, Store, codec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

trait Plain: Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync + 'static {}

impl<V: Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync + 'static> Plain for V {}

/// Stores the value, and reads it back after the store was closed.
#[track_caller]
fn comes_back<V: Plain>(value: &V) {
    let directory = tempfile::tempdir().unwrap();
    with_memo(directory.path(), |memo: &Memo<str, V>| memo.insert("key", value).unwrap());
    with_memo(directory.path(), |memo: &Memo<str, V>| {
        assert_eq!(memo.get("key").unwrap().as_ref(), Some(value));
        assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    });
}

/// Each call opens and closes the store, like a process of its own.
#[track_caller]
fn with_memo<V: Plain>(directory: &Path, work: impl FnOnce(&Memo<str, V>)) {
    let store = Store::open(directory).unwrap();
    work(&Memo::builder("values").open(&store).unwrap());
}

/// The message with which `open` refuses the type.
#[track_caller]
fn refused<V: Plain>() -> String {
    let store = Store::temporary().unwrap();
    let error = Memo::<str, V>::builder("values").open(&store).unwrap_err();
    assert!(error.is_unsupported_type(), "{error}");
    error.to_string()
}

mod before {
    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub(super) struct Ride {
        pub(super) minutes: u32,
    }
}

mod after {
    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub(super) struct Ride {
        pub(super) minutes: u64,
    }
}

/// B64
#[test]
fn a_changed_struct_is_a_clean_miss_and_both_versions_live_side_by_side() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (before::Ride { minutes: 7 }, after::Ride { minutes: 8 });
    with_memo(directory.path(), |memo: &Memo<str, before::Ride>| memo.insert("home", &old).unwrap());
    with_memo(directory.path(), |memo: &Memo<str, after::Ride>| {
        assert_eq!(memo.get("home").unwrap(), None);
        memo.insert("home", &new).unwrap();
        assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    });
    with_memo(directory.path(), |memo| assert_eq!(memo.get("home").unwrap(), Some(old)));
    with_memo(directory.path(), |memo| assert_eq!(memo.get("home").unwrap(), Some(new)));
}

/// B64
#[test]
fn a_live_name_is_not_opened_with_another_value_type() -> Result<(), Error> {
    let store = Store::temporary()?;
    let rides: Memo<str, before::Ride> = Memo::builder("rides").open(&store)?;
    rides.insert("home", &before::Ride { minutes: 7 })?;
    let error = Memo::<str, after::Ride>::builder("rides").open(&store).unwrap_err();
    assert!(error.is_config(), "{error}");
    assert_eq!(rides.get("home")?, Some(before::Ride { minutes: 7 }));
    Ok(())
}

#[test]
fn what_is_stored_alike_is_found_by_either_type() {
    let directory = tempfile::tempdir().unwrap();
    with_memo(directory.path(), |memo| memo.insert("key", &vec![1_u8, 2]).unwrap());
    with_memo(directory.path(), |memo| assert_eq!(memo.get("key").unwrap(), Some(VecDeque::from([1_u8, 2]))));
    with_memo(directory.path(), |memo| assert_eq!(memo.get("key").unwrap(), Some(Arc::new(vec![1_u8, 2]))));
}

#[test]
fn types_of_the_standard_library_come_back() {
    comes_back(&(true, 'x', -1_i8, u128::MAX, i128::MIN, 0.5_f32, ()));
    comes_back(&(String::from("text"), Box::<str>::from("boxed"), PathBuf::from("a/b")));
    comes_back(&(Some(vec![Some(1_u8), None]), [1_u16; 3], Arc::new(String::from("shared"))));
    comes_back(&(HashMap::from([(1_u8, 'a')]), BTreeMap::from([(String::new(), vec![0_u64])])));
    comes_back(&(Duration::from_nanos(1_500_000_001), SystemTime::UNIX_EPOCH + Duration::from_secs(9)));
    comes_back(&(
        IpAddr::from([127, 0, 0, 1]),
        SocketAddr::from(([0_u16; 8], 80)),
        Range { start: 3, end: 9 },
    ));
    comes_back(&(Ok::<u8, String>(1), Err::<u8, String>("no".into()), NonZeroU32::MIN));
}

#[test]
fn types_that_validate_come_back() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(try_from = "String", into = "String")]
    struct Email(String);

    impl TryFrom<String> for Email {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            if text.contains('@') { Ok(Self(text)) } else { Err(format!("no address: {text}")) }
        }
    }

    impl From<Email> for String {
        fn from(email: Email) -> Self {
            email.0
        }
    }

    comes_back(&(DateTime::<Utc>::UNIX_EPOCH, NaiveDate::MIN, NaiveTime::MIN, 1_u8));
    comes_back(&(Uuid::from_u128(7), Url::parse("https://example.org/a?b#c").unwrap(), 1_u8));
    comes_back(&(Email("a@b".into()), vec![Email("c@d".into())], 1_u8));
}

#[test]
fn recursive_and_generic_types_come_back() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Expression {
        Product(Box<Expression>, Box<Expression>),
        Call { name: String, arguments: Vec<Expression> },
        Number(f64),
        Nothing,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Pair<T> {
        left: T,
        right: T,
    }

    let call = Expression::Call { name: "f".into(), arguments: vec![Expression::Nothing] };
    comes_back(&Expression::Product(Box::new(call), Box::new(Expression::Number(2.0))));
    comes_back(&(Pair { left: 1_u8, right: 2 }, Pair { left: String::new(), right: "b".into() }));
    comes_back(&(before::Ride { minutes: 1 }, after::Ride { minutes: 2 }));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Square { side: u8 },
}

#[test]
fn a_type_that_could_not_be_read_back_is_refused_at_open_with_the_remedy() {
    for message in [refused::<Value>(), refused::<Option<Untagged>>(), refused::<Vec<Tagged>>()] {
        assert!(
            message.contains("memolith::codec::Json") && message.contains("externally tagged"),
            "{message}"
        );
    }
    assert!(refused::<Vec<(u8, Value)>>().contains("`serde_json::value::Value` inside"));
}

#[test]
fn another_codec_takes_what_postcard_cannot_read_back() -> Result<(), Error> {
    let store = Store::temporary()?;
    let values: Memo<str, Value> = Memo::builder("values").codec(codec::Json::new()).open(&store)?;
    values.insert("key", &json!({ "a": [1, null, "b"] }))?;
    assert_eq!(values.get("key")?, Some(json!({ "a": [1, null, "b"] })));
    let untagged: Memo<str, Untagged> = Memo::builder("untagged").codec(codec::Json::new()).open(&store)?;
    untagged.insert("key", &Untagged::Text("x".into()))?;
    assert_eq!(untagged.get("key")?, Some(Untagged::Text("x".into())));
    Ok(())
}

/// Accepts one text only. No sample is that text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Secret;

impl TryFrom<String> for Secret {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "open sesame" { Ok(Self) } else { Err("another text was expected") }
    }
}

impl From<Secret> for String {
    fn from(_: Secret) -> Self {
        "open sesame".into()
    }
}

#[test]
fn a_type_that_cannot_be_traced_is_taken_when_a_version_vouches_for_it() -> Result<(), Error> {
    let message = refused::<(Secret, u8)>();
    for word in ["Secret", "another text was expected", ".version(n)"] {
        assert!(message.contains(word), "{message}");
    }
    let store = Store::temporary()?;
    let memo: Memo<str, (Secret, u8)> = Memo::builder("values").version(1).open(&store)?;
    memo.insert("key", &(Secret, 1))?;
    assert_eq!(memo.get("key")?, Some((Secret, 1)));
    Ok(())
}

#[test]
fn a_version_does_not_vouch_for_what_could_never_be_read_back() -> Result<(), Error> {
    let store = Store::temporary()?;
    let error = Memo::<str, Value>::builder("values").version(1).open(&store).unwrap_err();
    assert!(error.is_unsupported_type(), "{error}");
    Ok(())
}
