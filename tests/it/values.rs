//! A value that comes back equals the stored one. A value that would not is returned and not stored.

#![expect(
    clippy::items_after_statements,
    clippy::needless_pass_by_value,
    clippy::trivially_copy_pass_by_ref,
    clippy::unnecessary_literal_bound,
    reason = "each claim brings its own types, with the signatures of serde's and of codecs"
)]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Debug,
    hash::{BuildHasherDefault, DefaultHasher},
    io::Write,
    net::{Ipv6Addr, SocketAddrV6},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use memolith::{
    Error, Memo, MemoBuilder, Result, Store,
    codec::{Auto, Codec, Json, Payload, Postcard, Shape},
    testing::{Fault, Operation},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
    ser::SerializeSeq as _,
};

use crate::vocabulary::{Bench, is_long};

/// No sample is such a word: a type that holds one has no sample before a real value was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Plate(String);

impl TryFrom<String> for Plate {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        if word.starts_with("plate ") { Ok(Self(word)) } else { Err(format!("`{word}` is no plate")) }
    }
}

fn plate() -> Plate {
    Plate("plate 7".into())
}

/// Written as the number of one variant, and read as another variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Status {
    New,
    #[serde(skip)]
    #[expect(dead_code, reason = "in the way of those behind it")]
    Draft,
    Paid,
    Shipped,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order<S = Status> {
    plate: Plate,
    status: S,
}

fn order<S>(status: S) -> Order<S> {
    Order { plate: plate(), status }
}

/// As elements of any codec these take more than the 64 KiB up to which every value is decoded before it is stored.
const A_LONG_RUN: u32 = 40_000;

/// Calls, inserts and restarts: every answer is the value of its key, stored or not. Returns which of them were
/// stored.
#[track_caller]
fn stored_of<V, C>(values: &[V], codec: C) -> Vec<bool>
where
    V: Clone + Debug + PartialEq + Send + Sync + 'static,
    C: Codec<V> + Clone,
{
    let bench = Bench::new();
    let open = |store: &Store| -> Memo<u64, V> {
        let builder: MemoBuilder<u64, V> = Memo::builder("values").version(1);
        builder.codec(codec.clone()).open(store).unwrap()
    };
    for round in 0..3 {
        let store = bench.diskful();
        let memo = open(&store);
        for (key, value) in (0..).zip(values) {
            let answer = memo.get_or_insert_with(&key, || value.clone());
            assert_eq!(answer, *value, "of key {key}, in round {round}");
            let inserted = memo.insert(&(key + 1_000), value);
            let kept = memo.get(&key).unwrap();
            assert_eq!(memo.get(&(key + 1_000)).unwrap().is_some(), kept.is_some());
            match inserted {
                Ok(()) => assert_eq!(kept.as_ref(), Some(value)),
                Err(error) => assert!(kept.is_none() && !error.is_corrupt(), "{error}"),
            }
        }
        assert_eq!(
            memo.stats().failures.decode + memo.stats().misses.damaged,
            0,
            "nothing unreadable is stored"
        );
    }
    let store = bench.store();
    let memo = open(&store);
    (0..values.len() as u64).map(|key| memo.contains_key(&key).unwrap()).collect()
}

#[track_caller]
fn all_are_stored<V, C>(values: &[V], codec: C)
where
    V: Clone + Debug + PartialEq + Send + Sync + 'static,
    C: Codec<V> + Clone,
{
    let stored = stored_of(values, codec);
    assert!(stored.iter().all(|stored| *stored), "{stored:?}");
}

#[track_caller]
fn none_is_stored<V, C>(values: &[V], codec: C)
where
    V: Clone + Debug + PartialEq + Send + Sync + 'static,
    C: Codec<V> + Clone,
{
    let stored = stored_of(values, codec);
    assert!(!stored.iter().any(|stored| *stored), "{stored:?}");
}

const STATUSES: [Status; 3] = [Status::New, Status::Paid, Status::Shipped];

#[test]
fn a_skipped_variant_beside_a_part_that_refuses_every_sample_never_comes_back_as_another_one() {
    assert_eq!(stored_of(&STATUSES.map(order), Postcard), [true, false, false]);
    assert_eq!(stored_of(&STATUSES.map(order), Json), [true; 3]);
}

#[test]
fn the_refusal_names_type_cause_and_remedy_and_is_counted() -> Result<()> {
    let store = Store::temporary()?;
    let memo: Memo<str, Order> = Memo::builder("orders").version(1).open(&store)?;
    let error = memo.insert("key", &order(Status::Paid)).unwrap_err().to_string();
    for part in ["memo `orders`", "Order", "`Serialize` and `Deserialize`", "disagree", "`Auto`", "`Json`"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    memo.get_or_insert_with("key", || order(Status::Paid));
    assert_eq!((memo.stats().failures.encode, memo.stats().inserts, memo.len().unwrap()), (1, 0, 0));
    assert_eq!(memo.last_failure().unwrap().error.to_string(), error);
    Ok(())
}

#[test]
fn a_weekday_beside_a_skipped_variant_is_refused_at_open() {
    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Dated {
        status: Status,
        day: chrono::Weekday,
        month: chrono::Month,
    }
    let store = Store::temporary().unwrap();
    let error = Memo::<str, Dated>::builder("orders").open(&store).unwrap_err();
    assert!(error.is_unsupported_type() && error.to_string().contains("disagree"), "{error}");
}

#[test]
fn the_attribute_hands_over_what_would_come_back_wrong() {
    #[memolith::memo(store = &*STORE)]
    fn status(number: usize) -> Order {
        order(STATUSES[number].clone())
    }
    static STORE: std::sync::LazyLock<Store> = std::sync::LazyLock::new(|| Store::temporary().unwrap());
    for _ in 0..2 {
        for (number, expected) in STATUSES.into_iter().enumerate() {
            assert_eq!(status(number), order(expected));
        }
    }
    assert!(status_memo().stats().failures.encode > 0);
}

#[test]
fn one_sided_fields_beside_a_part_that_refuses_every_sample_are_never_stored_wrongly() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Written {
        plate: Plate,
        #[serde(skip_serializing, default)]
        secret: u8,
        shown: u8,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Read {
        #[serde(skip_deserializing)]
        derived: u8,
        shown: u8,
        plate: Plate,
    }
    none_is_stored(&[Written { plate: plate(), secret: 1, shown: 2 }], Postcard);
    none_is_stored(&[Read { derived: 7, shown: 2, plate: plate() }], Postcard);
    none_is_stored(&[Read { derived: 7, shown: 2, plate: plate() }], Json);
}

#[test]
fn a_part_that_comes_back_as_another_one_is_seen_wherever_it_stands() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Newtype<T>(T);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Generic<T> {
        Some(Box<T>),
        Named { within: Vec<T> },
    }
    let paid = || order(Status::Paid);
    none_is_stored(&[Newtype(paid())], Postcard);
    none_is_stored(&[Some(Arc::new(paid()))], Postcard);
    none_is_stored(&[(1_u8, [paid(), paid()])], Postcard);
    none_is_stored(&[vec![order(Status::New), paid()]], Postcard);
    none_is_stored(&[BTreeMap::from([("a".to_owned(), paid())])], Postcard);
    none_is_stored(&[HashMap::from([(1, vec![Some(paid())])])], Postcard);
    none_is_stored(&[Generic::Some(Box::new(paid())), Generic::Named { within: vec![paid()] }], Postcard);
    none_is_stored(&[Ok::<_, String>(Newtype(Generic::Some(Box::new(paid()))))], Postcard);
}

/// Written as an enum, and read from a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
enum Cached {
    Ok(u16),
    Error(Option<u16>),
    Excluded,
    Unsupported,
}

impl<'de> Deserialize<'de> for Cached {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "Excluded" => Self::Excluded,
            "Unsupported" | "\u{1}" => Self::Unsupported,
            text => text.parse().map_or(Self::Error(None), Self::Ok),
        })
    }
}

fn cached() -> Vec<Cached> {
    let codes = [0, 1, 2, 3, 65, 127, 128, 200, 404]
        .into_iter()
        .flat_map(|code| [Cached::Ok(code), Cached::Error(Some(code))]);
    codes.chain([Cached::Error(None), Cached::Excluded, Cached::Unsupported]).collect()
}

#[test]
fn a_type_that_is_written_as_an_enum_and_read_from_a_text_never_comes_back_as_another_value() {
    let alone = cached();
    let behind: Vec<_> = cached().into_iter().map(|status| (plate(), status, 65_u8)).collect();
    let lists: Vec<_> = cached().chunks(2).map(<[_]>::to_vec).map(order).collect();
    for values in [stored_of(&alone, Json), stored_of(&behind, Json), stored_of(&lists, Json)] {
        assert!(values.iter().any(|stored| !stored));
    }
    stored_of(&behind, Postcard);
    stored_of(&lists, Postcard);
}

#[test]
fn the_same_type_is_seen_by_a_codec_of_the_users_own() {
    #[derive(Clone)]
    struct Plain;
    impl<V: Serialize + DeserializeOwned> Codec<V> for Plain {
        fn id(&self) -> &str {
            "plain/1"
        }
        fn shape(&self) -> Result<Shape> {
            Ok(Shape::named("anything"))
        }
        fn encode(&self, value: &V, out: &mut dyn Write) -> Result<()> {
            serde_json::to_writer(out, value).map_err(Error::other)
        }
        fn decode(&self, payload: &Payload) -> Result<V> {
            serde_json::from_slice(payload).map_err(Error::other)
        }
    }
    let stored = stored_of(&cached(), Plain);
    assert_eq!(stored.iter().filter(|stored| **stored).count(), 2, "those without contents");
    all_are_stored(&[HashMap::from([(1, 2), (3, 4), (5, 6)]), HashMap::new()], Plain);
    all_are_stored(&[(0..100).collect::<HashSet<u32>>()], Plain);
}

#[test]
fn what_was_shown_wrong_once_is_looked_at_ever_after() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(from = "Vec<String>")]
    struct Trimmed(Vec<String>);
    impl From<Vec<String>> for Trimmed {
        fn from(words: Vec<String>) -> Self {
            Self(words.iter().map(|word| word.trim().to_owned()).collect())
        }
    }
    let words = |word: &str| Trimmed(vec![word.to_owned(); 20_000]);
    let values: Vec<_> = (0..5).map(|number| words(&format!(" {number} "))).collect();
    none_is_stored(&values, Postcard);
    all_are_stored(&[words("word")], Postcard);
}

#[test]
fn a_conversion_that_loses_something_on_the_way_back_is_seen() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(from = "u32", into = "u32")]
    struct Percent(u32);
    impl From<u32> for Percent {
        fn from(number: u32) -> Self {
            Self(number.min(100))
        }
    }
    impl From<Percent> for u32 {
        fn from(percent: Percent) -> Self {
            percent.0
        }
    }
    assert_eq!(stored_of(&[Percent(7), Percent(100), Percent(250)], Postcard), [true, true, false]);
    assert_eq!(stored_of(&[Percent(7), Percent(100), Percent(250)], Json), [true, true, false]);

    mod celsius {
        use super::*;
        pub(super) fn serialize<S: Serializer>(degrees: &f64, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_f64(*degrees)
        }
        pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
            f64::deserialize(deserializer).map(|degrees| degrees.clamp(-200.0, 200.0))
        }
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Reading {
        #[serde(with = "celsius")]
        degrees: f64,
    }
    let readings = [0.5, -273.0].map(|degrees| Reading { degrees });
    assert_eq!(stored_of(&readings, Postcard), [true, false]);
}

#[test]
fn what_only_one_of_the_two_forms_of_a_type_keeps_is_not_lost() {
    let address = |scope| SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0, scope);
    assert_eq!(stored_of(&[address(0), address(3)], Postcard), [true, false]);
    assert_eq!(stored_of(&[address(0), address(3)], Json), [true, true]);

    /// A text with one digit, or the number.
    #[derive(Clone, Debug, PartialEq)]
    struct Rounded(f64);
    impl Serialize for Rounded {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if serializer.is_human_readable() {
                serializer.collect_str(&format_args!("{:.1}", self.0))
            } else {
                self.0.serialize(serializer)
            }
        }
    }
    impl<'de> Deserialize<'de> for Rounded {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            if deserializer.is_human_readable() {
                String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
            } else {
                f64::deserialize(deserializer).map(Self)
            }
        }
    }
    assert_eq!(stored_of(&[Rounded(0.5), Rounded(0.25)], Json), [true, false]);
    all_are_stored(&[Rounded(0.5), Rounded(0.25)], Postcard);
}

#[test]
fn a_value_that_is_written_differently_each_time_is_not_stored() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    #[derive(Clone, Debug, PartialEq, Deserialize)]
    struct Counting(u32);
    impl Serialize for Counting {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_newtype_struct("Counting", &CALLS.fetch_add(1, Relaxed))
        }
    }
    let store = Store::temporary().unwrap();
    let opened = [
        Memo::<str, Counting>::builder("postcard").open(&store),
        Memo::builder("json").codec(Json::new()).open(&store),
    ];
    for memo in opened.into_iter().flatten() {
        assert_eq!(memo.get_or_insert_with("key", || Counting(7)), Counting(7));
        assert!(memo.is_empty().unwrap() && memo.insert("key", &Counting(7)).is_err());
    }
}

#[test]
fn floats_come_back_by_their_bits_or_not_at_all() {
    #[derive(Clone, Copy, Debug, Serialize, Deserialize)]
    struct Bits(f64, f32);
    impl PartialEq for Bits {
        fn eq(&self, other: &Self) -> bool {
            self.0.to_bits() == other.0.to_bits() && self.1.to_bits() == other.1.to_bits()
        }
    }
    let odd = [0x7FF0_0000_0000_0001, 0x7FF8_0000_0000_0001, f64::INFINITY.to_bits(), 1];
    let mut values = odd.map(|bits| Bits(f64::from_bits(bits), f32::from_bits(bits as u32 | 1))).to_vec();
    values.extend([Bits(-0.0, -0.0), Bits(0.1, 0.1), Bits(f64::MAX, f32::MIN_POSITIVE)]);
    all_are_stored(&values, Postcard);
    assert_eq!(stored_of(&values, Json), [false, false, false, true, true, true, true]);
}

#[test]
fn sets_and_maps_come_back_in_any_order() {
    type Fixed<T> = HashSet<T, BuildHasherDefault<DefaultHasher>>;
    let maps: HashMap<String, HashSet<(u8, i64)>> =
        (0..20_u8).map(|key| (key.to_string(), (0..key).map(|n| (n, -1)).collect())).collect();
    all_are_stored(&[maps.clone(), HashMap::new()], Postcard);
    let mut fixed: Fixed<String> = (0..1_000).map(|number| number.to_string()).collect();
    fixed.retain(|word| word.len() < 3);
    all_are_stored(&[fixed.clone()], Postcard);
    all_are_stored(&[fixed], Json);
    all_are_stored(&[vec![Some(maps.clone())], vec![]], Postcard);
    all_are_stored(&[(0..30_000_u32).map(|n| (n, n.to_string())).collect::<HashMap<_, _>>()], Postcard);

    /// A set that serde does not know.
    #[derive(Clone, Debug, PartialEq, Deserialize)]
    struct Bag(HashSet<u32>);
    impl Serialize for Bag {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut elements = serializer.serialize_seq(Some(self.0.len()))?;
            self.0.iter().try_for_each(|element| elements.serialize_element(element))?;
            elements.end()
        }
    }
    let bags: Vec<_> = (0..20).map(|count| Bag((0..count).collect())).collect();
    all_are_stored(&bags, Postcard);
    all_are_stored(&bags, Json);
}

#[test]
fn a_list_that_comes_back_in_another_order_is_another_value() {
    /// Written from the back, and read from the front.
    #[derive(Clone, Debug, PartialEq, Deserialize)]
    struct Backwards<T>(Vec<T>);
    impl<T: Serialize> Serialize for Backwards<T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(self.0.iter().rev())
        }
    }
    for count in [2, 100, A_LONG_RUN] {
        none_is_stored(&[Backwards((0..u64::from(count)).collect::<Vec<u64>>())], Postcard);
        none_is_stored(&[Backwards((0..count).map(f64::from).collect())], Postcard);
        none_is_stored(&[Backwards((0..count).map(|n| n as u8).collect())], Json);
    }
    all_are_stored(&[Backwards(vec![1, 2, 1]), Backwards(vec![])], Postcard);
}

#[test]
fn large_values_of_a_type_that_no_sample_was_made_of_are_looked_at_each_time() {
    let text = |length| "x".repeat(length);
    for length in [5_000, 100_000, if is_long() { 1_500_000 } else { 250_000 }] {
        let values: Vec<_> =
            [Status::New, Status::New, Status::New, Status::Paid, Status::New, Status::Paid, Status::Shipped]
                .into_iter()
                .map(|status| (order(status), text(length), vec![0.5_f64; length / 8]))
                .collect();
        assert_eq!(stored_of(&values, Postcard), [true, true, true, false, true, false, false]);
    }
}

#[test]
fn a_small_part_that_is_wrong_is_seen_beside_runs_of_numbers_of_any_length() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(from = "u32")]
    struct Level(u32);
    impl From<u32> for Level {
        fn from(level: u32) -> Self {
            Self(level.min(1_000))
        }
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Frame {
        columns: Vec<Vec<f64>>,
        #[serde(with = "memolith::packed")]
        counts: Vec<u32>,
        level: Level,
    }
    let run = A_LONG_RUN as usize;
    let frame =
        |level| Frame { columns: vec![vec![0.25; run]; 3], counts: vec![9; run], level: Level(level) };
    let values: Vec<_> = [1, 2, 3, 4, 2_000, 5, 6, 7, 3_000].map(frame).into();
    assert_eq!(stored_of(&values, Postcard), [true, true, true, true, false, true, true, true, false]);
}

#[test]
fn numbers_that_a_type_changes_are_seen_in_a_long_run_too() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(from = "Vec<f64>")]
    struct Sorted(Vec<f64>);
    impl From<Vec<f64>> for Sorted {
        fn from(mut numbers: Vec<f64>) -> Self {
            numbers.sort_by(f64::total_cmp);
            Self(numbers)
        }
    }
    let up: Vec<f64> = (0..A_LONG_RUN).map(f64::from).collect();
    let down = up.iter().rev().copied().collect();
    assert_eq!(stored_of(&[Sorted(up), Sorted(down)], Postcard), [true, false]);
}

#[test]
fn a_frame_that_insists_on_its_length_is_stored() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Parts {
        rows: usize,
        column: Vec<f64>,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(try_from = "Parts")]
    struct Refusing(Parts);
    impl TryFrom<Parts> for Refusing {
        type Error = &'static str;
        fn try_from(parts: Parts) -> Result<Self, &'static str> {
            if parts.rows == parts.column.len() { Ok(Self(parts)) } else { Err("rows are missing") }
        }
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(from = "Parts")]
    struct Counting(Parts);
    impl From<Parts> for Counting {
        fn from(parts: Parts) -> Self {
            Self(Parts { rows: parts.column.len(), ..parts })
        }
    }
    let parts = |rows| Parts { rows, column: vec![0.5; rows] };
    all_are_stored(&[100_000, 100_001, 100_002].map(|rows| Refusing(parts(rows))), Postcard);
    all_are_stored(&[100_000, 100_001, 100_002].map(|rows| Counting(parts(rows))), Postcard);
}

#[test]
fn an_untagged_number_is_not_read_back_with_another_width() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Size {
        Small(u8),
        Large(u64),
        Letter(char),
        Text(String),
    }
    let text = |text: &str| Size::Text(text.into());
    let values = [Size::Small(5), Size::Large(5), Size::Large(500), Size::Letter('a'), text("a"), text("ab")];
    assert_eq!(stored_of(&values, Json), [true, false, true, true, false, true]);
}

#[test]
fn nothing_in_something_is_told_apart_or_refused() {
    all_are_stored(&[None, Some(())], Postcard);
    assert_eq!(stored_of(&[None, Some(())], Json), [true, false]);
    all_are_stored(&[None, Some(None), Some(Some(1_u8))], Postcard);
}

#[test]
fn shared_parts_come_back_as_parts() {
    let shared = Arc::new(vec![1.5_f32, -0.0]);
    all_are_stored(&[vec![Arc::clone(&shared), shared]], Postcard);
    all_are_stored(&[Arc::<str>::from("x".repeat(2_000_000))], Postcard);
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Color {
    red: u8,
    green: u8,
    blue: u8,
}

/// The mistakes of a codec.
#[derive(Clone, Copy)]
enum Liar {
    Swaps,
    Forgets,
    Panics,
    Cuts,
}

impl Codec<Vec<Color>> for Liar {
    fn id(&self) -> &'static str {
        "liar/1"
    }

    fn shape(&self) -> Result<Shape> {
        Ok(Shape::named("colors"))
    }

    fn encode(&self, colors: &Vec<Color>, out: &mut dyn Write) -> Result<()> {
        Ok(colors.iter().try_for_each(|color| out.write_all(&[color.red, color.green, color.blue]))?)
    }

    fn decode(&self, payload: &Payload) -> Result<Vec<Color>> {
        let chunks = payload.as_chunks::<3>().0.iter();
        let mut colors: Vec<_> = match self {
            Self::Swaps => chunks.map(|&[blue, green, red]| Color { red, green, blue }).collect(),
            Self::Forgets => chunks.map(|&[red, green, _]| Color { red, green, blue: 0 }).collect(),
            Self::Panics => panic!("no color"),
            Self::Cuts => chunks.map(|&[red, green, blue]| Color { red, green, blue }).collect(),
        };
        if matches!(self, Self::Cuts) && colors.len() > 50_000 {
            colors.pop();
        }
        Ok(colors)
    }
}

#[test]
fn a_codec_that_lies_stores_nothing_but_what_it_brings_back() {
    let colors = |count, blue| vec![Color { red: 1, green: 2, blue }; count];
    for count in [1, 10_000, 40_000] {
        assert_eq!(stored_of(&[colors(count, 3), colors(count, 1)], Liar::Swaps), [false, true]);
        assert_eq!(stored_of(&[colors(count, 3), colors(count, 0)], Liar::Forgets), [false, true]);
    }
    assert_eq!(stored_of(&[colors(50_000, 3), colors(100_000, 3)], Liar::Cuts), [true, false]);
}

#[test]
fn a_codec_that_hands_on_the_shape_of_another_one_has_shown_nothing() {
    /// Removes the spaces at the end of a text.
    #[derive(Clone)]
    struct Trimming;
    impl Codec<String> for Trimming {
        fn id(&self) -> &'static str {
            "trimming/1"
        }
        fn shape(&self) -> Result<Shape> {
            Codec::<String>::shape(&Postcard)
        }
        fn encode(&self, text: &String, out: &mut dyn Write) -> Result<()> {
            Ok(out.write_all(text.as_bytes())?)
        }
        fn decode(&self, payload: &Payload) -> Result<String> {
            String::from_utf8(payload.to_vec()).map(|text| text.trim_end().to_owned()).map_err(Error::other)
        }
    }
    let text = |end: &str| "x".repeat(100_000) + end;
    assert_eq!(stored_of(&[text(""), text("a"), text(" "), text("b")], Trimming), [true, true, false, true]);
}

#[test]
fn a_decode_that_panics_is_contained() -> Result<()> {
    let store = Store::temporary()?;
    let memo: Memo<str, Vec<Color>> = Memo::builder("colors").codec(Liar::Panics).open(&store)?;
    let color = vec![Color { red: 1, green: 2, blue: 3 }];
    for calls in 1..=2 {
        miss!(memo, "key" => color.clone());
        assert_eq!(memo.stats().failures.panic, calls);
    }
    assert!(memo.insert("key", &color).unwrap_err().to_string().contains("no color"));
    Ok(())
}

#[test]
fn a_codec_may_compare_by_itself() {
    /// Its bytes differ each time.
    #[derive(Clone)]
    struct Stamped;
    static STAMP: AtomicU32 = AtomicU32::new(0);
    impl Codec<u8> for Stamped {
        fn id(&self) -> &'static str {
            "stamped/1"
        }
        fn shape(&self) -> Result<Shape> {
            Shape::of::<u8>()
        }
        fn encode(&self, number: &u8, out: &mut dyn Write) -> Result<()> {
            out.write_all(&STAMP.fetch_add(1, Relaxed).to_le_bytes())?;
            Ok(out.write_all(&[*number])?)
        }
        fn decode(&self, payload: &Payload) -> Result<u8> {
            payload.last().copied().ok_or_else(|| Error::other("too short"))
        }
        fn is_same(&self, number: &u8, back: &u8) -> Result<bool> {
            Ok(number == back)
        }
    }
    all_are_stored(&[1, 2, 255], Stamped);
}

#[test]
fn a_full_disk_does_not_bring_another_value_into_memory() {
    let bench = Bench::new();
    let store = bench.store();
    bench.faults.plant(Operation::Write, Fault::NoSpace);
    let memo: Memo<usize, Order> = Memo::builder("orders").version(1).open(&store).unwrap();
    for _ in 0..2 {
        for (key, status) in STATUSES.into_iter().enumerate() {
            assert_eq!(memo.get_or_insert_with(&key, || order(status.clone())), order(status.clone()));
        }
    }
    hit!(memo, &0 => order(Status::New));
}

mod auto {
    //! The codec that chooses: `Auto`.

    use serde_json::{Value, json};

    use super::*;

    /// A memo under `Auto` stores the value, and `of` reads the stored bytes.
    #[track_caller]
    fn is_kept_by<V, C>(value: &V, of: C)
    where
        V: Clone + Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static,
        C: Codec<V>,
    {
        let bench = Bench::new();
        let memo: Memo<str, V> = Memo::builder("values").codec(Auto::new()).open(&bench.store()).unwrap();
        memo.get_or_insert_with("key", || value.clone());
        assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
        drop(memo);
        let memo: Memo<str, V> = Memo::builder("values").codec(of).open(&bench.store()).unwrap();
        assert_eq!(memo.get("key").unwrap().as_ref(), Some(value));
    }

    #[test]
    fn a_type_that_postcard_keeps_is_kept_by_postcard() {
        is_kept_by(&vec![(1_u8, "one".to_owned())], Postcard);
        is_kept_by(&HashMap::from([(1, f64::NAN.to_bits())]), Postcard);
        is_kept_by(&order(Cached::Error(None)).plate, Postcard);
    }

    #[test]
    fn a_type_that_asks_what_comes_next_is_kept_by_json() {
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        enum Internally {
            Point { x: i64 },
        }
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "of")]
        enum Adjacently {
            Point(i64),
        }
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(untagged)]
        enum Untagged {
            Number(i64),
            Text(String),
        }
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        struct Flattened {
            #[serde(flatten)]
            rest: BTreeMap<String, Value>,
        }
        is_kept_by(&json!({ "name": "Ada", "shares": [0.1, -0.0, null] }), Json);
        is_kept_by(&json!(1).as_number().cloned(), Json);
        is_kept_by(&Internally::Point { x: 1 }, Json);
        is_kept_by(&vec![Adjacently::Point(1)], Json);
        is_kept_by(&[Untagged::Number(1), Untagged::Text("1".into())], Json);
        is_kept_by(&Flattened { rest: BTreeMap::from([("a".into(), json!(1))]) }, Json);
        is_kept_by(&Status::Shipped, Json);
    }

    #[test]
    fn a_type_that_skips_a_field_now_and_then_is_kept_by_json() {
        #[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
        #[serde(default)]
        struct Sparse<T: Default + PartialEq> {
            #[serde(skip_serializing_if = "is_default")]
            field: T,
            after: u8,
        }
        fn is_default<T: Default + PartialEq>(value: &T) -> bool {
            *value == T::default()
        }
        is_kept_by(&Sparse::<Option<u8>>::default(), Json);
        is_kept_by(&Sparse::<Vec<u16>>::default(), Json);
        is_kept_by(&Sparse::<BTreeMap<String, Vec<u8>>>::default(), Json);
        is_kept_by(&Sparse::<String>::default(), Json);
        is_kept_by(&Sparse::<bool>::default(), Json);
        is_kept_by(&Sparse::<u64>::default(), Json);
        is_kept_by(&Sparse::<f64>::default(), Json);
        is_kept_by(&vec![Some((Sparse::<Option<String>>::default(), 1_u8))], Json);
    }

    #[test]
    fn what_auto_refuses_at_open_is_a_type_that_cannot_be_traced() {
        let store = Store::temporary().unwrap();
        let refused = Memo::<str, Order>::builder("orders").codec(Auto::new()).open(&store);
        assert!(refused.unwrap_err().to_string().contains("version"));
    }

    #[test]
    fn postcard_names_auto_as_the_remedy() {
        let store = Store::temporary().unwrap();
        let refused = Memo::<str, Value>::builder("values").open(&store).unwrap_err();
        assert!(refused.to_string().contains("memolith::codec::Auto"), "{refused}");
    }
}
