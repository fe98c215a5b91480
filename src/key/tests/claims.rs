use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::SocketAddrV6,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use chrono::{DateTime, FixedOffset, NaiveDateTime, Utc};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{differ, key, same, written};

/// A map that lists its entries in a given order.
struct Pairs<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Pairs<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[test]
fn texts_are_the_same_by_content_alone() {
    let text = String::from("hello");
    same!("hello", text, Cow::Borrowed("hello"), Box::<str>::from("hello"), Rc::<str>::from("hello"), &&text);
    differ!("hello", "hellö", "hello ", "Hello", "", "hell\0o");
}

#[test]
fn text_of_pieces_is_the_text() {
    same!("1.5 of 2", format_args!("{} of {}", 1.5, 2), written!(|s| s.collect_str(&"1.5 of 2")));
}

#[test]
fn numbers_differ_by_value_width_and_sign() {
    differ!(1i64, -1i64, 127i64, 128i64, 129i64, i64::MAX, i64::MIN, 0i64);
    differ!(1u8, 1u16, 1u32, 1u64, 1u128, 1i8, 1i16, 1i32, 1i64, 1i128, 1f32, 1f64, true, "1", '1', ());
    same!(1usize, 1u64);
    same!(1isize, 1i64);
}

#[test]
fn numbers_are_not_the_texts_and_lists_of_them() {
    differ!(1, 1.0, "1", true, '1', [1], vec![1], (1, 1), Some(1), b"1");
}

#[test]
fn floats_differ_by_their_last_bit_and_by_the_sign_of_zero() {
    same!(0.1, 0.1);
    differ!(
        23.5234,
        23.5235,
        1.0,
        f64::from_bits(1.0f64.to_bits() + 1),
        0.0,
        -0.0,
        f64::INFINITY,
        -f64::INFINITY
    );
    differ!(0.0f32, -0.0f32, f32::MIN_POSITIVE);
}

#[test]
fn there_is_one_nan_of_each_width() {
    same!(f64::NAN, -f64::NAN, f64::INFINITY - f64::INFINITY, f64::from_bits(0x7ff0_0000_0000_0001));
    same!(f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001));
    differ!(f64::NAN, f32::NAN, f64::INFINITY, 0.0);
}

#[test]
fn nothing_has_many_forms_and_they_all_differ() {
    #[derive(Serialize)]
    struct Nothing;
    #[derive(Serialize)]
    struct Empty {}
    let none: Option<()> = None;
    differ!(none, Some(()), Some(none), (), false, 0u8, "", Nothing, Empty {}, Vec::<u8>::new(), [0u8; 0]);
}

#[test]
fn json_values_that_postcard_confuses_differ() {
    differ!(json!(null), json!(false), json!(0), json!(""), json!([]), json!({}), json!(0.0), json!([null]));
    differ!(json!(1), json!(true), json!("1"), json!([1]), json!({"1": null}), json!({"1": 1}));
    same!(json!({"b": [1, 2], "a": {}}), json!({"a": {}, "b": [1, 2]}));
    same!(Value::from("x"), "x");
}

#[test]
fn a_skipped_field_is_not_its_neighbour() {
    #[derive(Serialize)]
    struct Range {
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<u32>,
    }
    let range = |min, max| Range { min, max };
    differ!(
        range(Some(5), None),
        range(None, Some(5)),
        range(None, None),
        range(Some(5), Some(5)),
        range(Some(0), None)
    );
}

#[test]
fn texts_side_by_side_cannot_be_split_anew() {
    differ!(["a", "b"], ["astr:b", ""], ["ab", ""], ["", "ab"], ["a", "b\0"], ["a1\u{1}b", ""]);
    differ!(vec!["a", "b"], vec!["astr:b"], vec!["ab"], vec!["a1\u{1}b"], vec!["a", "b", ""]);
    differ!(("doc1", "acme"), ("doc1str:orgstr:acme", "default"), ("doc1a", "cme"), ("doc", "1acme"));
}

#[test]
fn the_bounds_of_tuples_and_lists_count() {
    differ!(((1, 2), 3), (1, (2, 3)), (1, 2, 3), ((1,), 2, 3), ((1, 2, 3),));
    differ!(vec![vec![1], vec![2]], vec![vec![1, 2]], vec![vec![1, 2], vec![]], vec![vec![], vec![1, 2]]);
    differ!(vec![1, 2], vec![2, 2], vec![2, 1], vec![1], vec![1, 2, 0]);
    differ!((1,), vec![1], 1, Some(1), (1, ()));
}

#[test]
fn a_list_is_the_same_however_it_is_held_and_an_array_is_a_tuple() {
    let list = vec![1, 2, 3];
    same!(
        list,
        list[..],
        Box::<[i32]>::from([1, 2, 3]),
        Arc::<[i32]>::from([1, 2, 3]),
        BTreeSet::from([3, 2, 1])
    );
    same!([1, 2, 3], (1, 2, 3));
    differ!(list, [1, 2, 3]);
}

#[test]
fn a_list_of_unknown_length_is_the_list() {
    let odd = written!(|s| s.collect_seq((0..10).filter(|n| n % 2 == 1)));
    let lying = written!(|s| {
        use serde::ser::SerializeSeq;
        let mut list = s.serialize_seq(Some(77))?;
        (1..10).step_by(2).try_for_each(|n| list.serialize_element(&n))?;
        list.end()
    });
    same!(vec![1, 3, 5, 7, 9], odd, lying);
}

#[test]
fn bytes_are_not_a_list_of_numbers_nor_a_text() {
    differ!(
        written!(|s| s.serialize_bytes(b"ab")),
        written!(|s| s.serialize_bytes(b"ab\0")),
        *b"ab",
        b"ab"[..],
        "ab"
    );
}

#[test]
fn the_order_of_a_map_does_not_count_but_its_entries_do() {
    let names = || (0..100).map(|n| (format!("name {n}"), n));
    let hashed: HashMap<_, _> = names().collect();
    let hashed_again: HashMap<_, _> = names().rev().collect();
    let sorted: BTreeMap<_, _> = names().collect();
    let backwards = Pairs(names().rev().collect());
    same!(sorted, hashed, hashed_again, backwards);
    differ!(
        BTreeMap::from([(1, 1)]),
        BTreeMap::from([(1, 2)]),
        BTreeMap::from([(1, 1), (2, 2)]),
        vec![(1, 1)],
        BTreeMap::from([(1, BTreeMap::from([(1, 1)]))])
    );
}

#[test]
fn keys_and_values_of_a_map_do_not_change_places() {
    differ!(BTreeMap::from([("a", "b"), ("c", "d")]), BTreeMap::from([("a", "d"), ("c", "b")]));
    differ!(BTreeMap::from([("a", "b")]), BTreeMap::from([("b", "a")]), BTreeMap::from([("ab", "")]));
}

#[test]
fn maps_within_maps_are_sorted_too() {
    let set = |elements: [u8; 3]| Pairs(elements.map(|element| (element, ())).into());
    let nested = |elements| Pairs(vec![(set(elements), set(elements)), (set([7, 8, 9]), set(elements))]);
    same!(nested([1, 2, 3]), nested([3, 1, 2]));
    differ!(nested([1, 2, 3]), nested([1, 2, 4]));
}

#[test]
fn of_a_key_that_a_map_has_twice_both_entries_count_in_their_order() {
    differ!(
        Pairs(vec![(1, "a"), (1, "b")]),
        Pairs(vec![(1, "b"), (1, "a")]),
        Pairs(vec![(1, "a")]),
        Pairs(vec![(1, "b")])
    );
}

#[test]
fn a_map_in_two_steps_is_the_map_in_one() {
    let stepwise = written!(|s| {
        let mut map = s.serialize_map(None)?;
        map.serialize_key("b")?;
        map.serialize_value(&2)?;
        map.serialize_entry("a", &1)?;
        map.end()
    });
    same!(BTreeMap::from([("a", 1), ("b", 2)]), stepwise);
}

#[test]
fn one_element_of_a_large_list_changes_the_key() {
    let large: Vec<u64> = (0..100_000).collect();
    same!(large, large.clone());
    for at in [0, 50_000, 99_999] {
        let mut other = large.clone();
        other[at] ^= 1 << 63;
        differ!(large, other);
    }
}

#[test]
fn names_of_types_fields_and_variants_count() {
    #[derive(Serialize)]
    struct Metres(u32);
    #[derive(Serialize)]
    struct Feet(u32);
    #[derive(Serialize)]
    struct Named {
        metres: u32,
    }
    #[derive(Serialize)]
    #[serde(rename = "Named")]
    struct Refactored {
        #[serde(rename = "metres")]
        length: u32,
    }
    differ!(Metres(1), Feet(1), 1u32, Named { metres: 1 }, BTreeMap::from([("metres", 1u32)]));
    same!(Named { metres: 1 }, Refactored { length: 1 });
}

#[test]
fn variants_differ_by_enum_name_index_and_content() {
    #[derive(Serialize)]
    enum Colour {
        Red,
        Rgb(u8, u8, u8),
        Grey(u8),
        Named { name: &'static str },
    }
    #[derive(Serialize)]
    enum Wine {
        Red,
    }
    #[derive(Serialize)]
    #[serde(rename = "Colour")]
    enum Shifted {
        #[expect(dead_code, reason = "moves the next one")]
        Blue,
        Red,
    }
    #[derive(Serialize)]
    #[serde(rename = "Colour")]
    enum Alike {
        Red,
        #[serde(rename = "Red")]
        AlsoRed,
    }
    differ!(
        Colour::Red,
        Colour::Rgb(1, 2, 3),
        Colour::Rgb(1, 2, 4),
        Colour::Grey(1),
        Colour::Named { name: "red" },
        Wine::Red,
        Shifted::Red,
        "Red",
        0u32
    );
    same!(Colour::Red, Alike::Red);
    differ!(Alike::Red, Alike::AlsoRed);
}

#[test]
fn a_uuid_is_its_value() {
    let uuid = Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8);
    same!(uuid, Uuid::parse_str("67E55044-10B1-426F-9247-BB680E5FE0C8").unwrap());
    differ!(uuid, Uuid::from_u128(uuid.as_u128() + 1), Uuid::nil(), uuid.as_u128());
}

#[test]
fn a_point_in_time_counts_its_zone_and_its_fraction() {
    let utc: DateTime<Utc> = "2026-03-29T01:30:00Z".parse().unwrap();
    let rome: DateTime<FixedOffset> = "2026-03-29T03:30:00+02:00".parse().unwrap();
    let naive: NaiveDateTime = utc.naive_utc();
    assert_eq!(utc, rome);
    same!(utc, rome.with_timezone(&Utc));
    differ!(utc, rome, naive, rome.naive_local(), utc.timestamp());
    differ!(utc, utc + chrono::TimeDelta::nanoseconds(1), utc + chrono::TimeDelta::microseconds(1));
}

#[test]
fn the_scope_of_an_address_counts() {
    let address = |scope| SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, scope);
    differ!(address(1), address(2), address(0));
}

#[test]
fn a_frame_counts_names_order_types_shape_and_values() {
    #[derive(Serialize)]
    enum Column {
        Floats(Vec<f64>),
        Integers(Vec<i64>),
    }
    let (floats, integers) =
        (|values: &[f64]| Column::Floats(values.into()), |v: &[i64]| Column::Integers(v.into()));
    differ!(
        vec![("a", floats(&[1.0, 2.0])), ("b", integers(&[3, 4]))],
        vec![("a", floats(&[1.0, 2.5])), ("b", integers(&[3, 4]))],
        vec![("a", floats(&[1.0, 2.0])), ("c", integers(&[3, 4]))],
        vec![("b", integers(&[3, 4])), ("a", floats(&[1.0, 2.0]))],
        vec![("a", integers(&[1, 2])), ("b", integers(&[3, 4]))],
        vec![("a", floats(&[1.0, 2.0, 3.0])), ("b", integers(&[4]))],
        vec![("a", floats(&[1.0, 2.0]))]
    );
}

/// Sets of equal elements that list them in two orders.
fn sets() -> [HashSet<u32>; 2] {
    let listed = |set: &HashSet<u32>| set.iter().copied().collect::<Vec<_>>();
    let one: HashSet<u32> = (0..20).collect();
    let mut others = std::iter::repeat_with(|| (0..20).collect::<HashSet<u32>>());
    let other = others.find(|other| listed(other) != listed(&one)).unwrap();
    [one, other]
}

#[test]
fn equal_hashed_sets_are_one_key_wherever_they_stand() {
    #[derive(Serialize)]
    struct Query<'a> {
        tags: &'a HashSet<u32>,
        all: Option<Arc<HashSet<u32>>>,
    }
    let [one, other] = sets();
    same!(one, other, &other, Box::new(other.clone()), Cow::Borrowed(&other));
    same!((1, &one), (1, &other));
    same!([Some(&one)], [Some(&other)]);
    same!(HashMap::from([(1, &one)]), HashMap::from([(1, &other)]));
    same!(vec![(&one, &other)], vec![(&other, &one)]);
    let query = |tags, all: &HashSet<u32>| Query { tags, all: Some(Arc::new(all.clone())) };
    same!(query(&one, &other), query(&other, &one));
}

#[test]
fn hashed_sets_of_other_elements_are_other_keys() {
    let [one, _] = sets();
    let mut larger = one.clone();
    larger.insert(20);
    differ!(one, larger, HashSet::<u32>::new(), HashSet::from(["01"]), HashSet::from(["0", "1"]));
    differ!((HashSet::from([1]), HashSet::from([2])), (HashSet::from([2]), HashSet::from([1])));
}

#[test]
fn the_order_of_a_list_or_an_ordered_set_of_sets_counts() {
    let [one, other] = sets();
    let list: Vec<u32> = other.iter().copied().collect();
    let turned: Vec<u32> = list.iter().rev().copied().collect();
    differ!(list, turned);
    same!(vec![one.clone(), HashSet::new()], vec![other.clone(), HashSet::new()]);
    differ!(vec![one.clone(), HashSet::new()], vec![HashSet::new(), other.clone()]);
}

#[test]
fn what_is_called_unordered_is_a_key_without_its_order() {
    use crate::unordered::Unordered;

    #[derive(Serialize)]
    #[serde(transparent)]
    struct Tags(#[serde(with = "crate::unordered")] HashSet<u32>);

    let [one, other] = sets();
    same!(Tags(one), Tags(other));
    same!(Unordered(vec![1, 2]), Unordered(&[2, 1][..]), Unordered(HashSet::from([1, 2])));
    differ!(Unordered(vec![1, 2]), Unordered(vec![1, 1, 2]), Unordered(vec![12]));
    differ!(Unordered(vec![vec![1, 2]]), Unordered(vec![vec![2, 1]]));
}

#[cfg(unix)]
#[test]
fn paths_that_are_not_text_are_keys_by_all_their_bytes() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    #[derive(Serialize)]
    struct Asked<'a> {
        path: &'a Path,
        others: Vec<PathBuf>,
    }
    let [one, other] = [b"caf\xe9", b"caf\xe8"].map(|name| Path::new(OsStr::from_bytes(name)));
    differ!(*one, *other, Path::new("caf\u{fffd}"), b"caf\xe9", "caf");
    differ!((1, one), (1, other));
    same!(*one, one, one.to_owned(), Arc::<Path>::from(one), Cow::Borrowed(one), &&one);
    let asked = |path, other: &Path| Asked { path, others: vec![other.into()] };
    differ!(asked(one, other), asked(other, one), asked(one, one));
    differ!(HashMap::from([(one, 1)]), HashMap::from([(other, 1)]));
}

#[test]
fn a_path_that_is_text_is_its_text() {
    same!("a/b", Path::new("a/b"), PathBuf::from("a/b"), crate::path::Lossless(PathBuf::from("a/b")));
}
