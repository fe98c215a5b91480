use std::{
    cell::Cell,
    collections::{BTreeMap, LinkedList},
    ffi::{CString, OsString},
    fmt::Debug,
    fs,
    marker::PhantomData,
    num::{NonZeroU8, Wrapping},
    ops::Bound,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use memolith::{Memo, memo};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, ser::SerializeSeq};

use crate::vocabulary::*;

/// Each value is read from disk as it was, by its `Debug`.
#[track_caller]
fn come_back<V>(values: &[V])
where
    V: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    assert_eq!(hits(values), values.len(), "{values:?}");
}

/// How many of the values are read from disk as they were. None is read as another one.
#[track_caller]
fn hits<V>(values: &[V]) -> usize
where
    V: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let bench = Bench::new();
    let store = bench.diskful();
    let memo: Memo<usize, V> = Memo::builder("values").open(&store).unwrap();
    for (key, value) in values.iter().enumerate() {
        memo.get_or_insert_with(&key, || value.clone());
    }
    let is_hit = |(key, value): &(usize, &V)| {
        let is_hit = Cell::new(true);
        let found = memo.get_or_insert_with(key, || {
            is_hit.set(false);
            (*value).clone()
        });
        assert_eq!(format!("{found:?}"), format!("{value:?}"));
        is_hit.get()
    };
    values.iter().enumerate().filter(is_hit).count()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Never {}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Pair(Box<Self>, Box<Self>),
    Many(Vec<Self>),
    Named(BTreeMap<String, Self>),
    Perhaps(Option<Box<Self>>),
}

#[test]
fn types_of_no_size_of_all_sizes_and_of_themselves_come_back() {
    come_back(&[None, Some(None), Some(Some(()))]);
    come_back(&[vec![], vec![(); 3], vec![(); 100_000]]);
    come_back(&[vec![vec![Vec::<()>::new()]], vec![vec![], vec![vec![]]]]);
    come_back(&[[(); 0]]);
    come_back(&[PhantomData::<u8>]);
    come_back(&[None::<Never>]);
    come_back(&[Vec::<Never>::new()]);
    come_back(&[u128::MAX, 1 << 127, 0]);
    come_back(&[i128::MIN, -1]);
    come_back(&['\0', char::MAX]);
    let pair = Tree::Pair(Box::new(Tree::Leaf), Box::new(Tree::Many(vec![Tree::Perhaps(None)])));
    let named = Tree::Named(BTreeMap::from([(String::new(), Tree::Perhaps(Some(Box::new(pair.clone()))))]));
    come_back(&[Tree::Leaf, pair, named]);
}

#[test]
fn types_that_hide_what_they_hold_come_back() {
    come_back(&[(Bound::Included(1), Bound::Excluded(2)), (Bound::Unbounded, Bound::Unbounded)]);
    come_back(&[Some(NonZeroU8::MAX), None]);
    come_back(&[Wrapping(u8::MAX)]);
    come_back(&[CString::new("text").unwrap()]);
    come_back(&[Arc::new(Mutex::new(5))]);
    come_back(&[Duration::MAX, Duration::new(1, 999_999_999)]);
    come_back(&[SystemTime::UNIX_EPOCH + Duration::new(u64::from(u32::MAX), 999_999_999)]);
    come_back(&[LinkedList::from([1, 2, 3]), LinkedList::new()]);
    come_back(&[BTreeMap::from([((1, String::from("a")), vec![Some(1.5)]), ((1, String::new()), vec![])])]);
    come_back(&[BTreeMap::from([(BTreeMap::from([(1, 2)]), 3), (BTreeMap::new(), 4)])]);
    come_back(&[f64::from_bits(0x7ff0_0000_0000_0001), f64::from_bits(0xfff8_0000_0000_0001), -0.0, 5e-324]);
    #[cfg(unix)]
    come_back(&[<OsString as std::os::unix::ffi::OsStringExt>::from_vec(vec![0xff, 0xfe])]);
}

/// A list that announces another length than it has.
#[derive(Clone, Debug)]
struct Announced(Vec<u8>, usize);

impl Serialize for Announced {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.1))?;
        self.0.iter().try_for_each(|byte| sequence.serialize_element(byte))?;
        sequence.end()
    }
}

impl<'de> Deserialize<'de> for Announced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        let length = bytes.len();
        Ok(Self(bytes, length))
    }
}

#[test]
fn a_list_that_announces_another_length_is_never_read_back() {
    let announced = |length: usize, announced| Announced(vec![7; length], announced);
    assert_eq!(
        hits(&[announced(3, 3), announced(3, 2), announced(3, 4), announced(0, 1), announced(100_000, 5)]),
        1
    );
}

#[memo]
fn of_constants<const NUMBER: i128, const LETTER: char, const FLAG: bool>(times: u32) -> String {
    format!("{NUMBER}{LETTER}{FLAG}").repeat(times as usize)
}

#[test]
fn instances_for_constants_that_look_alike_do_not_share() {
    for _ in 0..2 {
        assert_eq!(of_constants::<1, '1', true>(1), "11true");
        assert_eq!(of_constants::<-1, '1', true>(1), "-11true");
        assert_eq!(of_constants::<1, '\'', true>(1), "1'true");
        assert_eq!(of_constants::<1, ',', true>(1), "1,true");
        assert_eq!(of_constants::<1, '>', false>(1), "1>false");
        assert_eq!(of_constants::<{ i128::MIN }, '<', false>(1), format!("{}<false", i128::MIN));
    }
    assert!(of_constants_memo::<1, '<', true>().stats().failures.total() == 0);
}

/// A backup as `cp -al` makes it: the same files under two names.
#[cfg(unix)]
fn link_all(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            link_all(&entry.path(), &target);
        } else {
            fs::hard_link(entry.path(), target).unwrap();
        }
    }
}

/// One file cannot be the index of two stores: either may lose what the other one wrote, or find it. No value is torn, and none is
/// that of another key.
#[cfg(unix)]
#[test]
fn a_backup_of_hard_links_and_its_store_hand_out_whole_values_of_their_keys_only() {
    let bench = Bench::new();
    let (here, backup) = (bench.path(), bench.directory.path().join("backup"));
    let value = |key: u32, version: u8| {
        vec![key as u8 + 100 * version; if key.is_multiple_of(2) { 10 } else { 50_000 }]
    };
    let filled = |path: &Path, version| {
        let store = bench.options().open(path).unwrap();
        let memo: Memo<u32, Vec<u8>> = Memo::builder("values").open(&store).unwrap();
        for key in 0..4 {
            let found = memo.get_or_insert_with(&key, || value(key, version));
            assert!(
                [0, 1, 2].iter().any(|version| found == value(key, *version)),
                "{key} in {}",
                path.display()
            );
            memo.insert(&key, &value(key, version)).unwrap();
        }
        store.close().unwrap();
    };
    filled(&here, 0);
    link_all(&here, &backup);
    filled(&here, 1);
    filled(&backup, 2);
    filled(&here, 0);
}
