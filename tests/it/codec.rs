//! Which values can be remembered, and what happens to a value that cannot be.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
};

use memolith::{
    Error, Memo, Result, Store,
    codec::{Codec, Json, Payload, Postcard, Shape},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Opening a memo of such values fails, and the error says why.
#[track_caller]
fn unsupported<V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static>() -> String {
    let store = Store::temporary().unwrap();
    let error = Memo::<str, V>::builder("values").open(&store).unwrap_err();
    assert!(error.is_unsupported_type(), "{error}");
    error.to_string()
}

/// Each call returns the value, and it is never stored. The failure is counted, and its message has these words.
#[track_caller]
fn computed_and_told<V>(memo: &Memo<str, V>, value: &V, words: &str)
where
    V: Clone + Send + Sync + PartialEq + std::fmt::Debug + 'static,
{
    for calls in 1..=3 {
        let mut computed = false;
        let returned = memo.get_or_insert_with("key", || {
            computed = true;
            value.clone()
        });
        assert!(computed, "call {calls} was answered without computing");
        assert_eq!(returned, *value);
        assert_eq!(memo.get("key").unwrap(), None);
        assert_eq!(memo.stats().failures.encode, calls);
    }
    assert_eq!((memo.stats().inserts, memo.len().unwrap()), (0, 0));
    let failure = memo.last_failure().unwrap().to_string();
    assert!(failure.contains(words) && failure.contains(memo.name()), "{failure}");
    let error = memo.insert("key", value).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Limits {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    min: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    max: Option<u8>,
}

const AT_MOST_FIVE: Limits = Limits { min: None, max: Some(5) };

#[test]
fn a_skipped_field_is_computed_counted_and_told_and_never_stored() -> Result<()> {
    let store = Store::temporary()?;
    computed_and_told(&Memo::builder("limits").open(&store)?, &AT_MOST_FIVE, "field `min` of `Limits`");
    computed_and_told(&Memo::builder("lists").open(&store)?, &vec![(1, Some(AT_MOST_FIVE))], "codec `Json`");
    Ok(())
}

#[test]
fn a_value_whose_fields_are_all_there_is_stored_by_the_same_memo() -> Result<()> {
    let store = Store::temporary()?;
    let memo: Memo<str, Limits> = Memo::builder("limits").open(&store)?;
    let both = Limits { min: Some(1), max: Some(5) };
    memo.get_or_insert_with("both", || both.clone());
    memo.get_or_insert_with("one", || AT_MOST_FIVE);
    assert_eq!((memo.get("both")?, memo.get("one")?), (Some(both), None));
    Ok(())
}

#[test]
fn json_carries_skipped_fields() -> Result<()> {
    let store = Store::temporary()?;
    let memo: Memo<str, Limits> = Memo::builder("limits").codec(Json::new()).open(&store)?;
    memo.get_or_insert_with("key", || AT_MOST_FIVE);
    assert_eq!(memo.get_or_insert_with("key", || unreachable!("it is stored")), AT_MOST_FIVE);
    assert!(memo.last_failure().is_none());
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(f64),
    Text(String),
}

#[test]
fn what_postcard_cannot_read_back_is_refused_at_open_and_json_is_the_remedy() -> Result<()> {
    assert!(unsupported::<Value>().contains("Json"));
    assert!(unsupported::<Vec<Untagged>>().contains("Json"));

    let store = Store::temporary()?;
    let replies: Memo<str, Value> = Memo::builder("replies").codec(Json::new()).open(&store)?;
    let reply = json!({ "name": "Ada", "born": 1815, "shares": [0.1, -0.0, 1e300, null] });
    replies.get_or_insert_with("key", || reply.clone());
    assert_eq!(replies.get("key")?, Some(reply));

    let cells: Memo<str, Vec<Untagged>> = Memo::builder("cells").codec(Json::new()).open(&store)?;
    let row = vec![Untagged::Number(0.1), Untagged::Text("0.1".into())];
    cells.get_or_insert_with("key", || row.clone());
    assert_eq!(cells.get("key")?, Some(row));
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Idle,
    #[serde(skip)]
    #[expect(dead_code, reason = "never stored, and in the way of those behind it")]
    Busy,
    Done(u8),
    Failed(u8),
}

#[test]
fn a_type_that_postcard_would_read_as_another_value_is_refused_at_open() -> Result<()> {
    assert!(unsupported::<State>().contains("variant"));
    assert!(unsupported::<HashMap<u8, Option<State>>>().contains("Json"));

    let store = Store::temporary()?;
    let memo: Memo<str, State> = Memo::builder("states").codec(Json::new()).open(&store)?;
    memo.get_or_insert_with("key", || State::Done(7));
    assert_eq!(memo.get("key")?, Some(State::Done(7)));
    Ok(())
}

#[test]
fn what_json_would_read_back_as_nothing_is_computed_counted_and_told() -> Result<()> {
    let store = Store::temporary()?;
    let floats: Memo<str, Option<f64>> = Memo::builder("floats").codec(Json::new()).open(&store)?;
    computed_and_told(&floats, &Some(f64::INFINITY), "Postcard");
    let nested: Memo<str, Vec<Option<Option<u8>>>> =
        Memo::builder("nested").codec(Json::new()).open(&store)?;
    computed_and_told(&nested, &vec![Some(None)], "Postcard");
    let pairs: Memo<str, BTreeMap<(u8, u8), u8>> = Memo::builder("pairs").codec(Json::new()).open(&store)?;
    computed_and_told(&pairs, &BTreeMap::from([((1, 2), 3)]), "key must be a string");
    Ok(())
}

#[test]
fn every_float_comes_back_bit_by_bit() -> Result<()> {
    let store = Store::temporary()?;
    let floats: Vec<f64> =
        (1..2_000_u64).map(|n| f64::from_bits(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2)).collect();
    let bits = |floats: &[f64]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
    let postcard: Memo<str, Vec<f64>> = Memo::builder("postcard").codec(Postcard::new()).open(&store)?;
    let json: Memo<str, Vec<f64>> = Memo::builder("json").codec(Json::new()).open(&store)?;
    for memo in [postcard, json] {
        memo.insert("key", &floats)?;
        assert_eq!(memo.get("key")?.map(|back| bits(&back)), Some(bits(&floats)), "{}", memo.name());
    }
    Ok(())
}

/// Not serializable by serde.
#[derive(Clone, Debug, PartialEq)]
struct Color {
    red: u8,
    green: u8,
    blue: u8,
}

const SLATE: Color = Color { red: 112, green: 128, blue: 144 };

/// Colors as `112,128,144`. Black cannot be written.
struct Csv(&'static str);

impl Codec<Color> for Csv {
    fn id(&self) -> &str {
        self.0
    }

    fn shape(&self) -> Result<Shape> {
        Ok(Shape::named("red,green,blue"))
    }

    fn encode(&self, color: &Color, out: &mut dyn Write) -> Result<()> {
        if *color == (Color { red: 0, green: 0, blue: 0 }) {
            return Err(Error::other("there is no black"));
        }
        write!(out, "{},{},{}", color.red, color.green, color.blue)?;
        Ok(())
    }

    fn decode(&self, payload: &Payload) -> Result<Color> {
        let text = std::str::from_utf8(payload).map_err(Error::other)?;
        let channels: Result<Vec<u8>, _> = text.split(',').map(str::parse).collect();
        match channels.map_err(Error::other)?[..] {
            [red, green, blue] => Ok(Color { red, green, blue }),
            _ => Err(Error::other(format!("`{text}` is not a color"))),
        }
    }
}

#[test]
fn a_codec_of_the_users_own_works_and_survives_a_restart() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    for computations in [1, 0] {
        let store = Store::open(folder.path())?;
        let colors: Memo<str, Color> = Memo::builder("colors").codec(Csv("csv/1")).open(&store)?;
        assert_eq!(colors.get_or_insert_with("slate", || SLATE), SLATE);
        assert_eq!(colors.stats().misses.total(), computations);
        assert!(colors.last_failure().is_none());
        drop(colors);
        store.close()?;
    }
    Ok(())
}

#[test]
fn a_codec_of_the_users_own_may_refuse_a_value() -> Result<()> {
    let store = Store::temporary()?;
    let colors = Memo::builder("colors").codec(Csv("csv/1")).open(&store)?;
    computed_and_told(&colors, &Color { red: 0, green: 0, blue: 0 }, "there is no black");
    Ok(())
}

#[test]
fn what_another_codec_wrote_is_a_miss() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    for id in ["csv/1", "csv/2"] {
        let store = Store::open(folder.path())?;
        let colors: Memo<str, Color> = Memo::builder("colors").codec(Csv(id)).open(&store)?;
        assert_eq!(colors.get("slate")?, None);
        colors.insert("slate", &SLATE)?;
        drop(colors);
        store.close()?;
    }
    Ok(())
}

/// A text that is a view of the stored bytes.
#[derive(Clone)]
struct Text(Payload);

struct Views;

impl Codec<Text> for Views {
    fn id(&self) -> &'static str {
        "views/1"
    }

    fn shape(&self) -> Result<Shape> {
        Ok(Shape::named("bytes"))
    }

    fn encode(&self, text: &Text, out: &mut dyn Write) -> Result<()> {
        Ok(out.write_all(&text.0)?)
    }

    fn decode(&self, payload: &Payload) -> Result<Text> {
        Ok(Text(payload.clone()))
    }
}

#[test]
fn a_view_of_the_bytes_outlives_its_entry_and_its_store() -> Result<()> {
    let store = Store::temporary()?;
    let texts: Memo<str, Text> = Memo::builder("texts").memory(0).codec(Views).open(&store)?;
    for (key, len) in [("record", 100), ("blob", 1_000_000)] {
        texts.insert(key, &Text(vec![7; len].into()))?;
    }
    let (small, large) = (texts.get("record")?.unwrap(), texts.get("blob")?.unwrap());
    texts.clear()?;
    drop(texts);
    store.close()?;
    assert_eq!((&small.0[..], &large.0[..]), (&vec![7; 100][..], &vec![7; 1_000_000][..]));
    Ok(())
}
