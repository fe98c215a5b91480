//! The measurements: each beside its reference, the median of a few rounds.

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use indicatif::{ProgressBar, ProgressStyle};
use memolith::{Memo, MemoBuilder, Store, codec::Arrow};
use serde::{Serialize, de::DeserializeOwned};
use tempfile::TempDir;

use crate::{
    Result,
    frame::{Packed, Plain, ROW, batch, batch_columns, columns, sample},
    machine::{self, count},
};

pub(crate) const AFTER_RESTART: &str = "--after-restart";
const KEY: &str = "rides";

/// The measurements of one size.
pub(crate) struct Costs {
    pub rows: usize,
    pub write: Duration,
    pub clone: Duration,
    pub plain: Cost,
    pub packed: Cost,
    /// `V = Arc<Packed>`: its later run is a hit from memory.
    pub shared: Cost,
    /// Record batches over the mapped file.
    pub zero_copy: Cost,
}

/// The measurements of one form.
pub(crate) struct Cost {
    /// The call that stored it, without its closure.
    pub first: Duration,
    /// A later call of the same process.
    pub later: Duration,
    /// The first call of a new process.
    pub restarted: Duration,
    /// The memory for storing, beside the frame itself.
    pub extra: Option<u64>,
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn timed<T>(operation: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let outcome = operation();
    (began.elapsed(), outcome)
}

/// The median time of an operation. Its result is dropped outside of the measurement.
fn several<T>(rounds: usize, mut operation: impl FnMut() -> T) -> Duration {
    median((0..rounds).map(|_| timed(&mut operation).0).collect())
}

/// Shows on the screen the step under way.
struct Progress(ProgressBar);

impl Progress {
    fn of(rows: usize) -> Self {
        let bar = ProgressBar::new(6);
        let style = ProgressStyle::with_template("{prefix:>5} rows  {bar:24} {pos}/{len}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(count(rows));
        Self(bar)
    }

    fn step<T>(&self, what: &'static str, work: impl FnOnce() -> T) -> T {
        self.0.set_message(what);
        let outcome = work();
        self.0.inc(1);
        outcome
    }
}

pub(crate) fn costs(rows: usize, rounds: usize) -> Result<Costs> {
    let progress = Progress::of(rows);
    let frame = progress.step("clone()", || Plain { columns: columns(rows) });
    let clone = several(rounds, || frame.clone());
    let write = progress.step("write()", || raw_write(&frame, rounds))?;
    let expected = sample(frame.columns.iter().map(Vec::as_slice));
    let is_whole = |columns: &[Vec<f64>]| sample(columns.iter().map(Vec::as_slice)) == expected;

    let (plain, frame) = progress.step("plain vectors", || {
        let variant = Variant { name: "plain", memory: 0, memo: plain_memo };
        measure(&variant, frame, rounds, |frame| is_whole(&frame.columns))
    })?;
    let frame = Packed { columns: frame.columns };
    let (packed, frame) = progress.step("packed vectors", || {
        let variant = Variant { name: "packed", memory: 0, memo: packed_memo };
        measure(&variant, frame, rounds, |frame| is_whole(&frame.columns))
    })?;
    let (shared, frame) = progress.step("shared", || {
        let variant = Variant { name: "shared", memory: 2 * (rows * ROW) as u64, memo: shared_memo };
        measure(&variant, Arc::new(frame), rounds, |frame| is_whole(&frame.columns))
    })?;
    let frame = batch(Arc::into_inner(frame).ok_or("the frame is still shared")?.columns);
    let (zero_copy, _) = progress.step("record batches", || {
        let variant = Variant { name: "zero-copy", memory: 0, memo: batch_memo };
        measure(&variant, frame, rounds, |batch| sample(batch_columns(batch)) == expected)
    })?;
    progress.0.finish_with_message("done");
    Ok(Costs { rows, write, clone, plain, packed, shared, zero_copy })
}

fn raw_write(frame: &Plain, rounds: usize) -> Result<Duration> {
    let directory = TempDir::new()?;
    let path = directory.path().join("frame");
    let mut times = Vec::new();
    for _ in 0..rounds {
        let (time, written) = timed(|| {
            let mut file = File::create_new(&path)?;
            frame.columns.iter().try_for_each(|column| file.write_all(bytemuck::cast_slice(column)))
        });
        written?;
        times.push(time);
        fs::remove_file(&path)?;
    }
    Ok(median(times))
}

/// One form of a frame, and the memo for it.
struct Variant<V: 'static> {
    name: &'static str,
    /// For the memory tier of the store.
    memory: u64,
    memo: fn(&Store) -> memolith::Result<Memo<str, V>>,
}

fn postcard<V>(name: &str, store: &Store) -> memolith::Result<Memo<str, V>>
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let builder: MemoBuilder<str, V> = Memo::builder(name);
    builder.open(store)
}

fn plain_memo(store: &Store) -> memolith::Result<Memo<str, Plain>> {
    postcard("plain", store)
}

fn packed_memo(store: &Store) -> memolith::Result<Memo<str, Packed>> {
    postcard("packed", store)
}

fn shared_memo(store: &Store) -> memolith::Result<Memo<str, Arc<Packed>>> {
    postcard("shared", store)
}

fn batch_memo(store: &Store) -> memolith::Result<Memo<str, RecordBatch>> {
    Memo::builder("zero-copy").codec(Arrow::lazy()).open(store)
}

fn open(directory: &Path, memory: u64) -> memolith::Result<Store> {
    Store::builder().memory(memory).open(directory)
}

/// Stores the frame, reads it back here and in new processes, and gives it back.
fn measure<V: Clone + Send + Sync + 'static>(
    variant: &Variant<V>,
    mut frame: V,
    rounds: usize,
    is_whole: impl Fn(&V) -> bool,
) -> Result<(Cost, V)> {
    let directory = TempDir::new()?;
    let store = open(directory.path(), variant.memory)?;
    let memo = (variant.memo)(&store)?;
    let (mut firsts, mut extra) = (Vec::new(), None);
    for round in 0..rounds {
        if round > 0 {
            memo.clear()?;
            store.sweep()?;
        }
        machine::forget_peak();
        let before = machine::resident();
        let (time, kept) = timed(|| memo.get_or_insert_with(KEY, || frame));
        frame = kept;
        firsts.push(time);
        let taken = before.zip(machine::resident()).map(|((held, _), (_, most))| most.saturating_sub(held));
        extra = extra.max(taken);
    }
    let hit = || memo.get_or_insert_with(KEY, || unreachable!("it was stored"));
    // The first hit comes from disk, and fills the memory tier where there is one.
    assert!(is_whole(&hit()), "another frame came back");
    let later = several(rounds, hit);
    if let Some(failure) = memo.last_failure() {
        return Err(failure.into());
    }
    drop(memo);
    store.close()?;
    let restarted: Result<Vec<Duration>> =
        (0..rounds).map(|_| in_a_new_process(variant.name, directory.path())).collect();
    Ok((Cost { first: median(firsts), later, restarted: median(restarted?), extra }, frame))
}

/// Runs this program again, as if it had been started the next day.
fn in_a_new_process(variant: &str, directory: &Path) -> Result<Duration> {
    let child = Command::new(env::current_exe()?)
        .args([AFTER_RESTART, variant])
        .arg(directory)
        .stderr(Stdio::inherit())
        .output()?;
    let answer = String::from_utf8(child.stdout)?;
    let nanoseconds = answer.trim().parse().map_err(|_| format!("the new process answered `{answer}`"))?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// In the new process: how long the first hit takes.
pub(crate) fn answer_the_parent(variant: &str, directory: &Path) -> Result<()> {
    let store = open(directory, 0)?;
    let time = match variant {
        "plain" => first_hit(&plain_memo(&store)?),
        "packed" => first_hit(&packed_memo(&store)?),
        "shared" => first_hit(&shared_memo(&store)?),
        "zero-copy" => first_hit(&batch_memo(&store)?),
        other => return Err(format!("there is no variant {other}").into()),
    };
    println!("{}", time.as_nanos());
    Ok(())
}

fn first_hit<V: Clone + Send + Sync + 'static>(memo: &Memo<str, V>) -> Duration {
    timed(|| memo.get_or_insert_with(KEY, || unreachable!("it was stored by another process"))).0
}
