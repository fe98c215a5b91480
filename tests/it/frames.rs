//! Large values: packed vectors, record batches without a copy, damaged files, files that do not fit, space that
//! comes back.

#![allow(clippy::cast_precision_loss, clippy::indexing_slicing, reason = "a test")]

use std::{
    fs,
    io::Write,
    path::PathBuf,
    sync::{Arc, Barrier, Mutex},
};

use arrow_array::{Array as _, ArrayRef, Float64Array, RecordBatch};
use memolith::{
    Error, Memo, Store,
    codec::{Arrow, Codec, Payload, Shape},
    observe::Event,
    testing::{Fault, Operation},
};
use serde::{Deserialize, Serialize};

use crate::vocabulary::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Frame {
    names: Vec<String>,
    #[serde(with = "memolith::packed")]
    columns: Vec<Vec<f64>>,
    plain: Vec<f64>,
}

/// About 11 MB: many blocks, and runs on two threads.
fn frame(seed: f64) -> Frame {
    let column = |rows: usize| (0..rows).map(|row| row as f64 + seed).collect::<Vec<f64>>();
    let names = ["a", "b", "c"].map(String::from).to_vec();
    Frame { names, columns: vec![column(800_000), column(7), column(600_000)], plain: column(30_000) }
}

fn batch(rows: u32) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values((0..rows).map(f64::from)));
    RecordBatch::try_from_iter([("x", numbers)]).unwrap()
}

/// Larger than the part that is verified at once.
const MANY: u32 = 3_000_000;

/// The payload files of a store.
fn files(bench: &Bench) -> Vec<PathBuf> {
    let folders = fs::read_dir(bench.path().join("blobs")).unwrap().flatten();
    folders
        .flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten())
        .map(|file| file.path())
        .collect()
}

#[track_caller]
fn only_file(bench: &Bench) -> PathBuf {
    let files = files(bench);
    assert_eq!(files.len(), 1);
    files[0].clone()
}

fn flip(path: &PathBuf, at: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_packed_frame_comes_back_after_a_restart_from_disk_and_from_memory() -> Result<(), Error> {
    let bench = Bench::new();
    let frames: Memo<str, Frame> = Memo::builder("frames").open(&bench.store())?;
    miss!(frames, "rides" => frame(0.5));
    hit!(frames, "rides" => frame(0.5));
    hit!(frames, "rides" => frame(0.5));
    drop(frames);
    let frames: Memo<str, Frame> = Memo::builder("frames").open(&bench.store())?;
    hit!(frames, "rides" => frame(0.5));
    let mut own = frames.get("rides")?.unwrap();
    own.columns[0][0] = 7.0;
    hit!(frames, "rides" => frame(0.5));
    assert!(frames.last_failure().is_none());
    Ok(())
}

#[test]
fn a_flip_anywhere_in_a_large_file_is_a_miss_that_is_counted_as_damaged() -> Result<(), Error> {
    // The head, a name, both packed runs, the plain numbers, the block table.
    let places: [fn(usize) -> usize; 6] =
        [|_| 40, |_| 150, |_| 3_000_000, |_| 9_000_000, |length| length - 200_000, |length| length - 1];
    for (number, place) in places.into_iter().enumerate() {
        let bench = Bench::new();
        let frames: Memo<str, Frame> = Memo::builder("frames").open(&bench.diskful())?;
        miss!(frames, "rides" => frame(0.5));
        frames.flush().unwrap();
        flip(&only_file(&bench), place);
        miss!(frames, "rides" => frame(1.5));
        assert_eq!(frames.stats().misses.damaged, 1, "place {number}");
        assert!(frames.last_failure().unwrap().error.is_corrupt(), "place {number}");
        hit!(frames, "rides" => frame(1.5));
    }
    Ok(())
}

#[test]
fn a_cut_emptied_or_missing_file_is_a_miss_and_so_is_that_of_another_memo() -> Result<(), Error> {
    let damages: [fn(&PathBuf); 4] = [
        |path| fs::write(path, &fs::read(path).unwrap()[..5_000_000]).unwrap(),
        |path| fs::write(path, "").unwrap(),
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, "MB of another program").unwrap(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let bench = Bench::new();
        let frames: Memo<str, Frame> = Memo::builder("frames").open(&bench.diskful())?;
        miss!(frames, "rides" => frame(0.5));
        frames.flush().unwrap();
        damage(&only_file(&bench));
        miss!(frames, "rides" => frame(1.5));
        assert_eq!(frames.stats().misses.damaged, 1, "damage {number}");
        hit!(frames, "rides" => frame(1.5));
    }
    let bench = Bench::new();
    let store = bench.diskful();
    let frames: Memo<str, Frame> = Memo::builder("frames").open(&store)?;
    miss!(frames, "rides" => frame(0.5));
    frames.flush().unwrap();
    let first = only_file(&bench);
    let others: Memo<str, Frame> = Memo::builder("others").open(&store)?;
    miss!(others, "rides" => frame(1.5));
    let second = files(&bench).into_iter().find(|file| *file != first).unwrap();
    fs::copy(&first, second).unwrap();
    miss!(others, "rides" => frame(2.5));
    assert_eq!((others.stats().misses.damaged, frames.stats().misses.damaged), (1, 0));
    Ok(())
}

#[test]
fn a_value_that_does_not_fit_on_the_disk_is_handed_over_and_leaves_no_file() -> Result<(), Error> {
    let bench = Bench::new();
    let frames: Memo<str, Frame> = Memo::builder("frames").open(&bench.diskful())?;
    bench.faults.plant(Operation::BlobWrite, Fault::NoSpace);
    miss!(frames, "rides" => frame(0.5));
    assert_eq!((frames.stats().failures.total(), frames.usage().unwrap().entries), (1, 0));
    assert!(frames.last_failure().unwrap().error.is_io());
    assert!(fs::read_dir(bench.path().join("trash")).unwrap().next().is_none(), "a partial file");
    bench.faults.heal();
    miss!(frames, "rides" => frame(0.5));
    hit!(frames, "rides" => frame(0.5));
    Ok(())
}

#[test]
fn a_value_over_the_bound_is_handed_over_is_not_stored_and_is_told_once() -> Result<(), Error> {
    let (bench, told) = (Bench::new(), Arc::new(Mutex::new(0)));
    let counted = Arc::clone(&told);
    let count = move |event: &Event<'_>| {
        *counted.lock().unwrap() += u32::from(matches!(event, Event::Failed { .. }));
    };
    let store = bench.options().observer(count).open(bench.path())?;
    let frames: Memo<str, Frame> = Memo::builder("frames").max_bytes(1 << 20).open(&store)?;
    for _ in 0..3 {
        miss!(frames, "rides" => frame(0.5));
    }
    assert_eq!((frames.len().unwrap(), files(&bench).len(), *told.lock().unwrap()), (0, 0, 1));
    assert_eq!(frames.stats().failures.oversize, 3);
    Ok(())
}

fn batches(store: &Store) -> Result<Memo<str, RecordBatch>, Error> {
    Memo::builder("batches").codec(Arrow::new()).open(store)
}

fn lazy_batches(store: &Store) -> Result<Memo<str, RecordBatch>, Error> {
    Memo::builder("batches").codec(Arrow::lazy()).open(store)
}

#[test]
fn a_record_batch_is_a_view_of_its_file_after_a_restart_too() -> Result<(), Error> {
    let bench = Bench::new();
    for rows in [3, 50_000, MANY] {
        let key = rows.to_string();
        miss!(batches(&bench.store())?, &key => batch(rows));
        let again = batches(&bench.store())?;
        hit!(again, &key => batch(rows));
        assert!(again.last_failure().is_none());
    }
    Ok(())
}

#[test]
fn a_view_stays_readable_when_its_entry_is_evicted_overwritten_or_cleared() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.diskful();
    let memo: Memo<str, RecordBatch> =
        Memo::builder("batches").codec(Arrow::new()).max_entries(1).open(&store)?;
    let mut views = Vec::new();
    let mut view = |memo: &Memo<str, RecordBatch>| {
        memo.insert("rides", &batch(100_000))?;
        views.push(memo.get("rides")?.unwrap());
        Ok::<(), Error>(())
    };
    view(&memo)?;
    memo.insert("other", &batch(1))?;
    view(&memo)?;
    memo.insert("rides", &batch(2))?;
    view(&memo)?;
    memo.clear()?;
    store.sweep()?;
    assert!(files(&bench).is_empty());
    store.close()?;
    for view in views {
        assert_eq!(view, batch(100_000));
    }
    Ok(())
}

#[test]
fn views_of_one_file_share_its_bytes() -> Result<(), Error> {
    let bench = Bench::new();
    let memo = batches(&bench.store())?;
    memo.insert("rides", &batch(100_000))?;
    // From disk, then from memory.
    let views = [memo.get("rides")?.unwrap(), memo.get("rides")?.unwrap()];
    let address = |batch: &RecordBatch| batch.column(0).to_data().buffers()[0].as_ptr();
    assert_eq!(address(&views[0]), address(&views[1]));
    assert_eq!((memo.stats().hits.disk, memo.stats().hits.memory), (1, 1));
    Ok(())
}

#[test]
fn damage_of_a_small_batch_and_of_the_layout_of_a_large_one_is_a_miss_at_once() -> Result<(), Error> {
    for (rows, place) in [(50_000, 200_000), (MANY, 200)] {
        let bench = Bench::new();
        let memo = lazy_batches(&bench.diskful())?;
        miss!(memo, "rides" => batch(rows));
        memo.flush().unwrap();
        flip(&only_file(&bench), |_| place);
        miss!(memo, "rides" => batch(1));
        assert_eq!(memo.stats().misses.damaged, 1);
    }
    Ok(())
}

#[test]
fn damage_among_the_numbers_of_a_large_batch_is_found_after_the_call_and_told() -> Result<(), Error> {
    let (bench, found) = (Bench::new(), Arc::new(Barrier::new(2)));
    let reached = Arc::clone(&found);
    let tell = move |event: &Event<'_>| {
        if matches!(event, Event::Failed { memo: Some("batches"), error, .. } if error.is_corrupt()) {
            reached.wait();
        }
    };
    drop(lazy_batches(&bench.store())?.insert("rides", &batch(MANY)));
    flip(&only_file(&bench), |length| length / 2);
    let store = bench.options().observer(tell).open(bench.path())?;
    let memo = lazy_batches(&store)?;
    assert!(memo.get("rides")?.is_some_and(|batch| batch.num_rows() == MANY as usize));
    found.wait();
    assert_eq!(memo.stats().failures.total(), 1);
    drop(store);
    // The observer waits at the barrier for the second failure too.
    std::thread::scope(|scope| {
        scope.spawn(|| found.wait());
        miss!(memo, "rides" => batch(1));
    });
    assert_eq!(memo.stats().misses.damaged, 1);
    hit!(memo, "rides" => batch(1));
    Ok(())
}

#[test]
fn arrow_hands_out_nothing_that_is_damaged() -> Result<(), Error> {
    let bench = Bench::new();
    let memo = batches(&bench.diskful())?;
    miss!(memo, "rides" => batch(MANY));
    memo.flush().unwrap();
    flip(&only_file(&bench), |length| length / 2);
    miss!(memo, "rides" => batch(1));
    assert_eq!(memo.stats().misses.damaged, 1);
    Ok(())
}

#[test]
fn arrow_and_its_lazy_form_read_the_entries_of_each_other() -> Result<(), Error> {
    let bench = Bench::new();
    miss!(batches(&bench.store())?, "rides" => batch(MANY));
    hit!(lazy_batches(&bench.store())?, "rides" => batch(MANY));
    hit!(batches(&bench.store())?, "rides" => batch(MANY));
    Ok(())
}

#[test]
fn lazy_arrow_on_a_memo_that_is_open_without_it_is_an_error() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let _open = batches(&store)?;
    assert!(lazy_batches(&store).is_err_and(|error| error.is_config()));
    Ok(())
}

/// Keeps the bytes, and reads them only on demand.
#[derive(Clone)]
struct View(Payload);

struct Views;

impl Codec<View> for Views {
    fn id(&self) -> &'static str {
        "views/1"
    }

    fn shape(&self) -> Result<Shape, Error> {
        Ok(Shape::named("bytes"))
    }

    fn encode(&self, value: &View, out: &mut dyn Write) -> Result<(), Error> {
        Ok(out.write_all(&value.0)?)
    }

    fn decode(&self, payload: &Payload) -> Result<View, Error> {
        Ok(View(payload.clone()))
    }
}

#[test]
fn a_codec_that_keeps_the_bytes_without_a_look_hands_out_whole_ones_only() -> Result<(), Error> {
    let bench = Bench::new();
    let memo: Memo<str, View> = Memo::builder("views").codec(Views).open(&bench.diskful())?;
    let value = |seed| View(Payload::from(vec![seed; 5 << 20]));
    memo.insert("bytes", &value(1))?;
    assert_eq!(memo.get("bytes")?.unwrap().0.len(), 5 << 20);
    flip(&only_file(&bench), |length| length / 2);
    assert!(memo.get("bytes")?.is_none(), "damaged, and handed out");
    assert_eq!(memo.stats().misses.damaged, 1);
    Ok(())
}

/// All files below a folder, in bytes.
fn on_disk(folder: PathBuf) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => on_disk(entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The largest size on disk between two calls.
fn most_on_disk(bench: &Bench, calls: u32, mut call: impl FnMut(u32)) -> u64 {
    let after = |number| {
        call(number);
        if number % 50 == 0 { on_disk(bench.path()) } else { 0 }
    };
    let most = (0..calls).map(after).max().unwrap_or_default();
    most.max(on_disk(bench.path()))
}

#[test]
fn churn_of_values_of_256_kib_with_8_mib_live_stays_within_12_mib() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<u32, String> = Memo::builder("churn").max_entries(32).open(&store)?;
    let value = |number: u32| number.to_string().repeat((256 << 10) / number.to_string().len());
    let overwriting =
        most_on_disk(&bench, 300, |number| memo.insert(&(number % 32), &value(number)).unwrap());
    let evicting = most_on_disk(&bench, 300, |number| {
        memo.get_or_insert_with(&(1_000 + number), || value(number));
    });
    assert!(memo.last_failure().is_none() && memo.len().unwrap() == 32);
    assert!(overwriting.max(evicting) <= 12 << 20, "{overwriting} and {evicting} bytes");
    Ok(())
}

#[test]
fn overwriting_one_value_of_1_mib_again_and_again_stays_within_3_mib() -> Result<(), Error> {
    let rounds = if std::env::var_os("MEMOLITH_SOAK").is_some() { 10_000 } else { 500 };
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<str, String> = Memo::builder("churn").open(&store)?;
    let value = |number: u32| format!("{number:08}").repeat((1 << 20) / 8);
    let most = most_on_disk(&bench, rounds, |number| memo.insert("one", &value(number)).unwrap());
    assert!(memo.last_failure().is_none() && memo.len().unwrap() == 1);
    assert!(most <= 3 << 20, "{most} bytes");
    Ok(())
}
