use std::{fs, path::Path, thread, time::Duration};

use memolith::{Memo, Store};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeSeq};

use crate::vocabulary::*;

/// All files below a folder.
fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// Bounds of one memo and of its store: entries, bytes, a time to live.
type Bounds = (Option<u64>, Option<u64>, Option<Duration>, Option<u64>);

#[test]
fn bounds_below_a_head_a_life_of_a_millisecond_and_a_clock_that_leaps_hold_together() {
    let all: [Bounds; 7] = [
        (Some(1), None, None, None),
        (Some(1), Some(1), None, None),
        (None, Some(100), None, None),
        (Some(3), Some(10_000), Some(MILLISECOND), Some(9_000)),
        (Some(1), None, Some(Duration::MAX), Some(1)),
        (Some(2), Some(u64::MAX), Some(MILLISECOND), Some(u64::MAX)),
        (None, None, None, Some(6_000)),
    ];
    for bounds in all {
        let bench = Bench::new();
        for _run in 0..2 {
            crowd_within(&bench, bounds);
        }
    }
}

/// Four threads use three memos of a store, which never exceed their bounds when it is looked.
fn crowd_within(bench: &Bench, (entries, bytes, ttl, of_store): Bounds) {
    let options = bench.options();
    let options = if let Some(bytes) = of_store { options.max_bytes(bytes) } else { options };
    let store = options.open(bench.path()).unwrap();
    let open = |name: &str| -> Memo<u64, Vec<u8>> {
        let builder = Memo::builder(name);
        let builder = if let Some(entries) = entries { builder.max_entries(entries) } else { builder };
        let builder = if let Some(bytes) = bytes { builder.max_bytes(bytes) } else { builder };
        let builder = if let Some(ttl) = ttl { builder.ttl(ttl) } else { builder };
        builder.open(&store).unwrap()
    };
    let memos = ["first", "second", "third"].map(open);
    let check = || {
        let usage = memos.each_ref().map(|memo| memo.usage().unwrap());
        assert!(usage.iter().all(|usage| entries.is_none_or(|bound| usage.entries <= bound)), "{usage:?}");
        assert!(usage.iter().all(|usage| bytes.is_none_or(|bound| usage.bytes <= bound)), "{usage:?}");
        let total: u64 = usage.iter().map(|usage| usage.bytes).sum();
        assert!(of_store.is_none_or(|bound| total <= bound), "{usage:?}");
    };
    thread::scope(|scope| {
        for thread in 0..4 {
            let (memos, clock) = (&memos, &bench.clock);
            scope.spawn(move || {
                for (call, memo) in (0..12_u64).zip(memos.iter().cycle()) {
                    let key = call % 7;
                    let size = ((call * 7_919 + thread * 31) % 7_000) as usize;
                    let value = memo.get_or_insert_with(&key, || vec![key as u8; size]);
                    assert!(value.iter().all(|byte| u64::from(*byte) == key));
                    match call % 10 {
                        3 => drop(memo.insert(&key, &vec![key as u8; size / 2])),
                        5 => clock.advance(MILLISECOND),
                        9 => clock.set_back(HOUR),
                        _ => {}
                    }
                }
            });
        }
    });
    check();
    store.sweep().unwrap();
    check();
    store.close().unwrap();
}

fn deep(memo: &Memo<u64, Vec<u8>>, level: u64) -> Vec<u8> {
    memo.get_or_insert_with(&level, || {
        let below = level.checked_sub(1).map_or_else(Vec::new, |below| deep(memo, below));
        let usage = memo.usage().unwrap();
        assert!(usage.entries <= 3 && usage.bytes <= 20_000, "{usage:?}");
        [below, vec![level as u8; 200]].concat()
    })
}

#[test]
fn a_recursion_through_a_bounded_memo_stays_within_its_bounds_at_each_level() {
    let bench = Bench::new();
    let store = bench.store();
    let builder = Memo::builder("levels").max_entries(3).max_bytes(20_000);
    let memo: Memo<u64, Vec<u8>> = builder.open(&store).unwrap();
    assert_eq!(deep(&memo, 60).len(), 61 * 200);
    assert!(memo.len().unwrap() <= 3 && !memo.is_empty().unwrap());
}

/// So many bytes, of which the last one panics above a bound.
#[derive(Clone, Debug, PartialEq)]
struct Bytes(usize);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.0))?;
        for at in 0..self.0 {
            assert!(at < 20_000, "half way");
            sequence.serialize_element(&(at as u8))?;
        }
        sequence.end()
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(|bytes| Self(bytes.len()))
    }
}

#[test]
fn payload_files_that_a_panic_or_a_change_left_without_an_entry_take_no_space() {
    let bench = Bench::new();
    let store: Store = bench.store();
    let memo: Memo<u32, Bytes> = Memo::builder("values").version(1).open(&store).unwrap();
    for key in 0..5 {
        miss!(memo, &key => Bytes(30_000));
        memo.get_or_insert_with(&key, || {
            memo.remove(&key).unwrap();
            Bytes(10_000)
        });
        memo.get_or_insert_with(&key, || {
            memo.insert(&key, &Bytes(15_000)).unwrap();
            Bytes(10_000)
        });
    }
    assert_eq!((memo.len().unwrap(), memo.get(&3).unwrap()), (5, Some(Bytes(15_000))));
    store.sweep().unwrap();
    assert_eq!((files(&bench.path().join("blobs")), files(&bench.path().join("trash"))), (5, 0));
    store.clear().unwrap();
    assert_eq!((files(&bench.path().join("blobs")), files(&bench.path().join("trash"))), (0, 0));
}
