//! Large frames: packed columns, damage to them, and the space that churn takes. The churn is short unless
//! `MEMOLITH_SOAK=1` asks for all of it.

use std::{collections::BTreeMap, fs, path::PathBuf};

use memolith::{Memo, Store};
use serde::{Deserialize, Serialize};

use crate::vocabulary::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Frame {
    names: Vec<String>,
    #[serde(with = "memolith::packed")]
    minutes: Vec<f64>,
    #[serde(with = "memolith::packed")]
    features: BTreeMap<String, Vec<Option<Vec<f32>>>>,
    #[serde(with = "memolith::packed")]
    ids: Box<[u64]>,
}

fn frame(rows: u16) -> Frame {
    let column: Vec<f32> = (0..rows).map(f32::from).collect();
    Frame {
        names: vec!["Ada".into(), "Grace".into()],
        minutes: (0..rows).map(|row| f64::from(row) / 7.0).collect(),
        features: BTreeMap::from([("all".into(), vec![Some(column), None, Some(vec![])])]),
        ids: (0..u64::from(rows)).map(|row| u64::MAX - row).collect(),
    }
}

#[test]
fn packed_columns_come_back_from_memory_from_the_index_and_from_a_file() {
    let bench = Bench::new();
    for rows in [0, 3, 100, 50_000] {
        let store = bench.store();
        let frames: Memo<u16, Frame> = Memo::builder("frames").open(&store).unwrap();
        miss!(frames, &rows => frame(rows));
        hit!(frames, &rows => frame(rows));
        hit!(frames, &rows => frame(rows));
        drop((frames, store));
        let store = bench.diskful();
        let frames: Memo<u16, Frame> = Memo::builder("frames").open(&store).unwrap();
        hit!(frames, &rows => frame(rows));
        assert!(frames.last_failure().is_none(), "{:?}", frames.last_failure());
    }
}

#[test]
fn a_frame_of_many_megabytes_comes_back_packed_and_plain() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Both {
        #[serde(with = "memolith::packed")]
        packed: Vec<Vec<u64>>,
        plain: Vec<f64>,
    }
    let column =
        |seed: u64| (0..(10u64 << 20) / 8).map(|row| (row ^ seed).wrapping_mul(0x9E37_79B9)).collect();
    let both = Both { packed: vec![column(1), column(2)], plain: vec![0.5; 1 << 20] };
    let bench = Bench::new();
    let store = bench.diskful();
    let frames: Memo<str, Both> = Memo::builder("frames").open(&store).unwrap();
    let first = frames.get_or_insert_with("rides", || both.clone());
    assert!(first == both);
    let second = frames.get_or_insert_with("rides", || panic!("computed, though it is remembered"));
    assert!(second == both, "not what was stored");
}

/// The only payload file of the store.
fn payload_file(bench: &Bench) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(bench.path().join("blobs"))
        .unwrap()
        .flat_map(|generation| fs::read_dir(generation.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.pop().unwrap()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Column(#[serde(with = "memolith::packed")] Vec<u64>);

#[test]
fn a_packed_column_that_was_damaged_anywhere_is_a_miss() {
    let bench = Bench::new();
    let column = |seed: u64| Column((0..(10 << 20) / 8).map(|row| row * seed).collect());
    let store = bench.diskful();
    let columns: Memo<str, Column> = Memo::builder("columns").open(&store).unwrap();
    columns.insert("rides", &column(3)).unwrap();
    let length = fs::metadata(payload_file(&bench)).unwrap().len() as usize;
    for (damages, at) in (1..).zip([200, length / 3, length / 2 + 1, length - 500_000, length - 1]) {
        let path = payload_file(&bench);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 0x40;
        fs::write(&path, bytes).unwrap();
        miss!(columns, "rides" => column(3));
        assert_eq!(columns.stats().misses.damaged, damages, "byte {at} of {length}");
        hit!(columns, "rides" => column(3));
    }
}

#[test]
fn to_pack_a_column_or_to_change_its_numbers_is_a_clean_miss() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Column")]
    struct Signed(#[serde(with = "memolith::packed")] Vec<i64>);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Column")]
    struct Plain(Vec<u64>);

    let bench = Bench::new();
    let open = || bench.store();
    {
        let store = open();
        let columns: Memo<str, Plain> = Memo::builder("columns").open(&store).unwrap();
        miss!(columns, "rides" => Plain(vec![1, 2, 3]));
    }
    {
        let store = open();
        let columns: Memo<str, Column> = Memo::builder("columns").open(&store).unwrap();
        miss!(columns, "rides" => Column(vec![1, 2, 3]));
    }
    let store = open();
    let columns: Memo<str, Signed> = Memo::builder("columns").open(&store).unwrap();
    miss!(columns, "rides" => Signed(vec![1, 2, 3]));
    assert_eq!(columns.stats().misses.outdated, 1);
    assert!(columns.last_failure().is_none(), "{:?}", columns.last_failure());
}

/// As many rounds as there is time for.
fn rounds(quick: u64, soak: u64) -> u64 {
    if std::env::var_os("MEMOLITH_SOAK").is_some() { soak } else { quick }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn value(bytes: u64, seed: u64) -> Column {
    Column((0..bytes / 8).map(|row| row.wrapping_add(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect())
}

/// What is on disk when everything that was retired is gone.
#[track_caller]
fn settled_size(bench: &Bench, store: &Store) -> u64 {
    store.sweep().unwrap();
    let swept = store.size_on_disk().unwrap();
    store.close().unwrap();
    let again = bench.diskful();
    swept.max(again.size_on_disk().unwrap())
}

#[test]
fn overwriting_one_value_of_a_mebibyte_takes_no_more_than_three() {
    let bench = Bench::new();
    let store = bench.diskful();
    let columns: Memo<str, Column> = Memo::builder("columns").open(&store).unwrap();
    let rounds = rounds(100, 10_000);
    for round in 0..rounds {
        columns.insert("newest", &value(MIB, round)).unwrap();
    }
    hit!(columns, "newest" => value(MIB, rounds - 1));
    drop(columns);
    let size = settled_size(&bench, &store);
    assert!((MIB..=3 * MIB).contains(&size), "{size} bytes on disk");
}

#[test]
fn eviction_and_overwriting_of_values_of_256_kib_stay_within_12_mib_for_8_that_live() {
    let bench = Bench::new();
    let store = bench.diskful();
    let columns: Memo<u64, Column> = Memo::builder("columns").max_entries(32).open(&store).unwrap();
    let rounds = rounds(150, 20_000);
    for round in 0..rounds {
        // Every third write is of a key that is there.
        let key = if round % 3 == 2 { round - 2 } else { round };
        columns.insert(&key, &value(256 * KIB, round)).unwrap();
    }
    assert_eq!(columns.len(), 32);
    hit!(columns, &(rounds - 3) => value(256 * KIB, rounds - 1));
    drop(columns);
    let size = settled_size(&bench, &store);
    assert!((8 * MIB..=12 * MIB).contains(&size), "{size} bytes on disk");
}
