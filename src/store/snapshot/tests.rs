//! The format of a snapshot, and damage to it. The golden bytes are checked without the constants of the room.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;

use super::*;
use crate::{
    checksum::checksum,
    error::Result,
    store::{
        engine::{Row, TableId},
        manifest,
    },
};

/// Table and key to value.
type Model = BTreeMap<(TableId, Vec<u8>), Vec<u8>>;

fn write(directory: &Path, model: &Model) -> manifest::Snapshot {
    let mut writer = Writer::create(directory).unwrap();
    for ((table, key), value) in model {
        writer.push(*table, key, value).unwrap();
    }
    writer.finish(directory, 1).unwrap()
}

fn append(
    directory: &Path,
    named: &manifest::Snapshot,
    changes: &BTreeMap<(TableId, Vec<u8>), Option<Vec<u8>>>,
) -> manifest::Snapshot {
    let mut delta = Delta::new();
    for ((table, key), value) in changes {
        delta.push(&RowKey::new(*table, key), value.as_deref()).unwrap();
    }
    let length = delta.length();
    let extended = delta.append(directory, named).unwrap();
    assert_eq!(extended.length, named.length + length);
    extended
}

/// All rows, by walks in stretches of `limit` rows.
fn rows(snapshot: &Snapshot, table: TableId, limit: usize) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let after = rows.last().map(|(key, _)| key.to_vec());
        let more = snapshot.rows(table, &[], after.as_deref(), limit)?;
        if more.is_empty() {
            return Ok(rows);
        }
        rows.extend(more);
    }
}

fn all(snapshot: &Snapshot, limit: usize) -> Result<Model> {
    let mut model = Model::new();
    for table in TableId::ALL {
        let rows = rows(snapshot, table, limit)?;
        model.extend(rows.into_iter().map(|(key, value)| ((table, key.to_vec()), value.to_vec())));
    }
    Ok(model)
}

fn apply(model: &mut Model, changes: impl IntoIterator<Item = ((TableId, Vec<u8>), Option<Vec<u8>>)>) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(model.insert(key, value)),
            None => drop(model.remove(&key)),
        }
    }
}

fn small() -> Model {
    let rows = [
        (TableId::Catalog, &b"a generation, 16"[..], &b"a row"[..]),
        (TableId::Catalog, b"index", b"totals"),
        (TableId::Records, b"\0\0\0\x01sixteen bytes of", b"a record"),
        (TableId::Records, b"\0\0\0\x01sixteen bytes too", b""),
        (TableId::Order, b"\0\0\0\x01sequence", b"an order row"),
    ];
    rows.into_iter().map(|(table, key, value)| ((table, key.to_vec()), value.to_vec())).collect()
}

fn changes() -> BTreeMap<(TableId, Vec<u8>), Option<Vec<u8>>> {
    let mut changes: BTreeMap<_, _> = BTreeMap::new();
    changes.insert((TableId::Catalog, b"index".to_vec()), Some(b"more".to_vec()));
    changes.insert((TableId::Records, b"\0\0\0\x01sixteen bytes of".to_vec()), None);
    changes.insert((TableId::Records, b"\0\0\0\x01sixteen bytes on".to_vec()), Some(b"new".to_vec()));
    changes
}

#[test]
fn the_bytes_are_golden() {
    let directory = tempfile::tempdir().unwrap();
    let model: Model = [((TableId::Records, b"key".to_vec()), b"value".to_vec())].into();
    let named = write(directory.path(), &model);
    let gone = BTreeMap::from([((TableId::Records, b"key".to_vec()), None)]);
    let extended = append(directory.path(), &named, &gone);
    let bytes = fs::read(directory.path().join("snapshot-1")).unwrap();

    let block = b"\x01\x03\x05\0\0\0keyvalue";
    let mut table = [40u64, checksum(block)].map(u64::to_le_bytes).concat();
    table.extend(b"\x0e\0\0\0\x01\x03\0\0\0\0key\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let mut head = b"MS\x01\0\x01\0\0\0".to_vec();
    head.extend([1, 54, checksum(&table)].map(u64::to_le_bytes).concat());
    let head_sum = checksum(&head);
    let mut delta = b"MD\x01\0\x01\0\0\0".to_vec();
    delta.extend([41, head_sum].map(u64::to_le_bytes).concat());
    delta.extend(b"\x01\x03\xff\xff\xff\xffkey");
    let delta_sum = checksum(&delta);
    let golden = [&head[..], &head_sum.to_le_bytes(), block, &table, &delta, &delta_sum.to_le_bytes()];
    assert_eq!(bytes, golden.concat());
    assert_eq!(named, manifest::Snapshot { number: 1, length: 102, checksum: head_sum });
    assert_eq!(extended, manifest::Snapshot { number: 1, length: 143, checksum: delta_sum });
}

#[test]
fn rows_are_found_by_key_and_by_a_walk_with_the_changes_of_all_deltas() {
    let directory = tempfile::tempdir().unwrap();
    let mut model = small();
    let named = write(directory.path(), &model);
    let first = append(directory.path(), &named, &changes());
    let again = BTreeMap::from([((TableId::Catalog, b"index".to_vec()), Some(b"most".to_vec()))]);
    let named = append(directory.path(), &first, &again);
    apply(&mut model, changes().into_iter().chain(again));
    let snapshot = Snapshot::open(directory.path(), &named).unwrap();
    assert_eq!(all(&snapshot, 1).unwrap(), model);
    assert_eq!(snapshot.catalog().unwrap().len(), 2);
    assert_eq!(snapshot.records(None, 10).unwrap().len(), 2);
    let key = b"\0\0\0\x01sixteen bytes of".to_owned();
    assert_eq!(snapshot.record(&key).unwrap(), None);
    assert_eq!(snapshot.entries(), 2);
}

/// A shorter or longer file, an older one, one of another number.
#[test]
fn only_the_file_that_is_named_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let named = write(directory.path(), &small());
    let extended = append(directory.path(), &named, &changes());
    let open = |named: &manifest::Snapshot| Snapshot::open(directory.path(), named);
    assert!(open(&extended).is_ok());
    assert!(open(&named).is_err_and(|error| error.is_corrupt()), "it is longer");
    assert!(open(&manifest::Snapshot { number: 2, ..extended }).is_err_and(|error| error.is_io()));
    assert!(open(&manifest::Snapshot { checksum: 1, ..extended }).is_err_and(|error| error.is_corrupt()));
    let path = directory.path().join("snapshot-1");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(open(&extended).is_err_and(|error| error.is_corrupt()));
    assert!(Delta::new().append(directory.path(), &extended).is_err());
}

#[test]
fn a_flipped_bit_or_a_cut_never_gives_another_value() {
    let directory = tempfile::tempdir().unwrap();
    let mut model = small();
    let named = append(directory.path(), &write(directory.path(), &model), &changes());
    apply(&mut model, changes());
    let whole = fs::read(directory.path().join("snapshot-1")).unwrap();
    let look = |bytes: Vec<u8>| {
        let Ok(snapshot) = Snapshot::of(bytes.into(), &named) else { return };
        if let Ok(found) = all(&snapshot, 3) {
            assert_eq!(found, model);
        }
        for ((table, key), value) in &model {
            if let Ok(found) = snapshot.get(*table, key) {
                assert_eq!(found.as_deref(), Some(&value[..]));
            }
        }
    };
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        look(bytes);
    }
    (0..whole.len()).for_each(|cut| look(whole[..cut].to_vec()));
}

#[test]
fn damage_to_one_block_costs_that_block() {
    let directory = tempfile::tempdir().unwrap();
    let key = |number: u32| [vec![0, 0, 0, 1], number.to_be_bytes().to_vec()].concat();
    let model: Model = (0..100).map(|number| ((TableId::Records, key(number)), vec![7; 1_000])).collect();
    let named = write(directory.path(), &model);
    let mut bytes = fs::read(directory.path().join("snapshot-1")).unwrap();
    bytes[50_000] ^= 1;
    let snapshot = Snapshot::of(bytes.into(), &named).unwrap();
    let found: Vec<bool> =
        (0..100).map(|number| snapshot.get(TableId::Records, &key(number)).is_ok()).collect();
    assert_eq!(found.iter().filter(|is_found| !**is_found).count(), 9);
    assert!(rows(&snapshot, TableId::Records, 10).is_err_and(|error| error.is_corrupt()));
}

#[test]
fn rows_out_of_order_and_keys_that_are_too_long_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(directory.path()).unwrap();
    writer.push(TableId::Records, b"b", b"").unwrap();
    assert!(writer.push(TableId::Records, b"b", b"").is_err());
    assert!(writer.push(TableId::Catalog, b"c", b"").is_err());
    assert!(writer.push(TableId::Order, &[1; 23], b"").is_err());
    drop(writer);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "the draft is gone");
}

#[test]
fn others_and_drafts_are_removed_and_no_file_of_another_name() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["snapshot-1", "snapshot-7", "snapshot.draft-abc", "snapshot-x", "snapshots"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    assert_eq!(unused_number(directory.path()), 8);
    remove_others(directory.path(), Some(7));
    remove_drafts(directory.path());
    let mut names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().flatten().map(|file| file.file_name()).collect();
    names.sort();
    assert_eq!(names, ["snapshot-7", "snapshot-x", "snapshots"]);
}

fn key() -> impl Strategy<Value = (TableId, Vec<u8>)> {
    let key = proptest::collection::vec(0..3u8, 0..=22);
    (prop::sample::select(&TableId::ALL[..]), key)
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        (0..12_000usize).prop_map(|length| vec![9; length])
    ]
}

proptest! {
    #[test]
    fn a_snapshot_and_its_deltas_are_the_map_that_they_were_made_of(
        first in proptest::collection::btree_map(key(), value(), 0..60),
        deltas in proptest::collection::vec(
            proptest::collection::btree_map(key(), proptest::option::of(value()), 0..10), 0..4),
        asked in proptest::collection::vec(key(), 0..20),
        limit in 1..9usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut model = first;
        let mut named = write(directory.path(), &model);
        for delta in deltas {
            named = append(directory.path(), &named, &delta);
            apply(&mut model, delta);
        }
        let snapshot = Snapshot::open(directory.path(), &named).unwrap();
        prop_assert_eq!(&all(&snapshot, limit).unwrap(), &model);
        for (table, key) in asked.iter().chain(model.keys()) {
            let expected = model.get(&(*table, key.clone()));
            let found = snapshot.get(*table, key).unwrap();
            prop_assert_eq!(found.as_deref(), expected.map(Vec::as_slice));
            let prefix = &key[..key.len() / 2];
            let found = snapshot.rows(*table, prefix, None, usize::MAX).unwrap();
            let begins = |of: &&(TableId, Vec<u8>)| of.0 == *table && of.1.starts_with(prefix);
            prop_assert_eq!(found.len(), model.keys().filter(begins).count());
        }
    }
}
