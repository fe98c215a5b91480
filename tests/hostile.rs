//! Random bytes and changed golden bytes: the claims of the targets in `fuzz/`, and the memory that decoding such
//! bytes may take. And the memory that a store in memory takes.
//!
//! A binary of its own, because it counts allocated bytes. `MEMOLITH_SOAK=1` takes more cases.

#![allow(
    unreachable_pub,
    unused_imports,
    dead_code,
    missing_docs,
    reason = "a test binary, which mounts the properties"
)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::missing_panics_doc, reason = "a test binary")]

#[path = "../fuzz/src/lib.rs"]
mod properties;

use std::{
    alloc::System,
    env, fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use memolith::{Memo, Store, Usage};
use proptest::{collection::vec, prelude::*, sample::Index};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test at a time: allocations are counted for the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(if env::var_os("MEMOLITH_SOAK").is_some() { 100_000 } else { 1_000 })
}

/// The golden bytes that the fuzzers begin with.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A golden input with a few bytes changed, inserted or removed; or random bytes.
fn inputs(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((any::<Index>(), any::<u8>(), 0..4u8), 0..4);
    let changed = (prop::sample::select(seeds(target)), edits).prop_map(|(mut bytes, edits)| {
        for (at, byte, how) in edits {
            let at = at.index(bytes.len() + 1);
            match how {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                _ if at == bytes.len() => {}
                2 => drop(bytes.remove(at)),
                _ => bytes[at] = byte,
            }
        }
        bytes
    });
    prop_oneof![3 => changed, 1 => vec(any::<u8>(), 0..200)]
}

/// The bytes that a call allocates, freed ones too.
fn allocated(call: impl FnOnce()) -> usize {
    let region = Region::new(COUNTED);
    call();
    let change = region.change();
    change.bytes_allocated + usize::try_from(change.bytes_reallocated).unwrap_or(0)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_record_is_read_as_it_would_be_written_or_not_at_all(data in inputs("record")) {
        let _alone = alone();
        properties::record(&data);
    }

    #[test]
    fn a_blob_head_is_read_as_it_would_be_written_or_not_at_all(data in inputs("blob_head")) {
        let _alone = alone();
        properties::blob_head(&data);
    }

    #[test]
    fn a_row_is_read_as_it_would_be_written_or_not_at_all(data in inputs("rows")) {
        let _alone = alone();
        properties::rows(&data);
    }

    #[test]
    fn a_variant_list_of_any_bytes_is_read_or_refused_in_little_more_memory_than_it_takes(data in inputs("variants")) {
        let _alone = alone();
        let bytes = allocated(|| properties::variants(&data));
        prop_assert!(bytes <= (64 << 10) + 512 * data.len(), "{bytes} bytes for {}", data.len());
    }

    #[test]
    fn a_manifest_is_read_as_something_that_is_read_as_itself_or_not_at_all(data in inputs("manifest")) {
        let _alone = alone();
        properties::manifest(&data);
    }

    #[test]
    fn a_message_of_any_bytes_is_read_or_refused_in_little_more_memory_than_it_takes(data in inputs("message")) {
        let _alone = alone();
        let bytes = allocated(|| properties::message(&data));
        prop_assert!(bytes <= (64 << 10) + 512 * data.len(), "{bytes} bytes for {}", data.len());
    }

    #[test]
    fn a_snapshot_of_any_bytes_is_read_or_refused_in_little_more_memory_than_they_take(data in inputs("snapshot")) {
        let _alone = alone();
        let bytes = allocated(|| properties::snapshot(&data));
        prop_assert!(bytes <= (64 << 10) + 512 * data.len(), "{bytes} bytes for {}", data.len());
    }

    #[test]
    fn two_keys_from_any_bytes_encode_alike_exactly_when_they_are_one(data in inputs("key")) {
        let _alone = alone();
        properties::key(&data);
    }

    #[test]
    fn a_value_decoded_from_any_bytes_takes_little_more_memory_than_they_do(data in inputs("codec")) {
        let _alone = alone();
        for (name, decode) in properties::CODECS {
            let bytes = allocated(|| decode(&data));
            prop_assert!(bytes <= allowed(data.len()), "{name}: {bytes} bytes for {}", data.len());
        }
    }
}

/// The input is decoded three times. serde reserves up to 1 MiB for a list by its length alone, and lists of lists
/// are three deep here. Beyond that an empty text of one byte takes 24 bytes, and a narrow entry of a map over 100.
fn allowed(input: usize) -> usize {
    (8 << 20) + 512 * input
}

#[test]
fn a_length_that_lies_reserves_no_more_than_that() {
    let _alone = alone();
    for first in [0x7f_u8, 0xff, 0x01] {
        for tail in 0..12 {
            let lie = [vec![first; 9], vec![1; tail], vec![0xff; 9], vec![1]].concat();
            for (name, decode) in properties::CODECS {
                let bytes = allocated(|| decode(&lie));
                assert!(bytes <= allowed(lie.len()), "{name}: {bytes} bytes for {}", lie.len());
            }
        }
    }
}

/// Without this claim the bound above proves nothing.
#[test]
fn what_is_allocated_is_counted() {
    let _alone = alone();
    assert!(allocated(|| drop(Vec::<u8>::with_capacity(64 << 20))) >= 64 << 20);
}

/// The rows of cleared entries are deleted between requests, also the many that on disk are left to a compaction.
#[test]
fn a_store_in_memory_takes_memory_by_its_bound_and_gives_it_back_when_it_is_cleared() {
    let _alone = alone();
    let store = Store::builder().memory(0).max_bytes(1 << 20).in_memory().unwrap();
    let memo: Memo<u32, u32> = Memo::builder("values").open(&store).unwrap();
    let region = Region::new(COUNTED);
    let taken = || {
        let change = region.change();
        change.bytes_allocated.saturating_sub(change.bytes_deallocated)
    };
    for key in 0..25_000 {
        memo.get_or_insert_with(&key, || key);
    }
    store.flush().unwrap();
    let Usage { entries, bytes, .. } = store.usage().unwrap();
    assert!(entries > 12_000 && bytes <= 1 << 20, "{entries} entries of {bytes} bytes");
    let (full, entries) = (taken(), entries as usize);
    // Some 350 bytes an entry beside its own, and 2 MB that do not grow with the entries.
    assert!(full < bytes as usize + 600 * entries, "{full} bytes for {entries} entries");
    memo.clear().unwrap();
    // Each flush is a request between two stretches of the deletion.
    let is_given_back = || full.saturating_sub(taken()) > 300 * entries;
    assert!((0..entries).any(|_| store.flush().is_ok() && is_given_back()), "{} of {full} are left", taken());
}

#[test]
fn the_seeds_of_rows_and_lists_are_read() {
    let _alone = alone();
    let is_read = |seed: &[u8]| {
        let (key, value) = seed.split_at(seed.len().min(12));
        memolith::fuzzing::order_row(key, value).is_some() || memolith::fuzzing::catalog_row(seed).is_some()
    };
    assert!(seeds("rows").iter().all(|seed| is_read(seed)));
    assert!(seeds("variants").iter().all(|seed| memolith::fuzzing::variants(seed).is_some()));
}

/// A seed that no reader takes would leave the fuzzers at the first byte.
#[test]
fn the_seeds_of_messages_are_calls() {
    for seed in seeds("message") {
        assert_eq!(memolith::fuzzing::call(&seed).as_ref(), Some(&seed));
    }
}
