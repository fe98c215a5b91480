//! The events of an observer, of a memo or of its store.

use std::{
    cell::Cell,
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use memolith::{Error, Memo, MemoBuilder, observe::Event};

use crate::vocabulary::*;

/// The events in words, one a line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    /// An observer that writes down its events, behind its own name.
    fn observer(&self, name: &'static str) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
        let log = Arc::clone(&self.0);
        move |event| writeln!(log.lock().unwrap(), "{name}: {}", words(event)).unwrap()
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn words(event: &Event<'_>) -> String {
    match event {
        Event::Hit { memo, tier, saved, .. } => format!("{memo} hit in {tier:?}, saved {saved:?}"),
        Event::Miss { memo, reason, .. } => format!("{memo} missed, {reason:?}"),
        Event::ComputeStarted { memo, .. } => format!("{memo} began"),
        Event::ComputeFinished { memo, took, succeeded: true, .. } => format!("{memo} ended after {took:?}"),
        Event::ComputeFinished { memo, took, .. } => format!("{memo} failed after {took:?}"),
        Event::Evicted { memo, entries, .. } => format!("{memo} evicted {entries}"),
        Event::Expired { memo, entries, .. } => format!("{memo} expired {entries}"),
        Event::TooLargeForMemory { memo, .. } => format!("{memo} too large for memory"),
        Event::Failed { memo, error, .. } => format!("{memo:?} {error}"),
        other => format!("{other:?}"),
    }
}

fn numbers() -> MemoBuilder<str, u64> {
    Memo::builder("numbers")
}

#[test]
fn the_observer_of_a_memo_is_told_before_that_of_its_store_and_of_nothing_else() -> Result<(), Error> {
    let (bench, log) = (Bench::new(), Log::default());
    let store = bench.options().observer(log.observer("store")).open(bench.path())?;
    let numbers = numbers().observer(log.observer("memo")).open(&store)?;
    let others = plain(&store, "others");
    miss!(numbers, "one" => 1);
    assert_eq!(
        log.take(),
        "memo: numbers missed, Absent\nstore: numbers missed, Absent\nmemo: numbers began\nstore: numbers began\n\
         memo: numbers ended after 0ns\nstore: numbers ended after 0ns\n"
    );
    hit!(numbers, "one" => 1);
    assert_eq!(log.take(), "memo: numbers hit in Disk, saved 0ns\nstore: numbers hit in Disk, saved 0ns\n");
    others.insert("two", &2)?;
    hit!(others, "two" => 2);
    assert_eq!(log.take(), "store: others hit in Disk, saved 0ns\n");
    Ok(())
}

#[test]
fn observers_are_told_in_the_order_they_were_set() -> Result<(), Error> {
    let (bench, log) = (Bench::new(), Log::default());
    let options = bench.options().observer(log.observer("first")).observer(log.observer("second"));
    let store = options.open(bench.path())?;
    let numbers = numbers().observer(log.observer("third")).observer(log.observer("fourth")).open(&store)?;
    assert_eq!(numbers.get("one")?, None);
    let told = log.take();
    let names: Vec<&str> = told.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names, ["third", "fourth", "first", "second"]);
    Ok(())
}

#[test]
fn a_computation_tells_how_long_it_ran_and_a_hit_how_long_it_would_have() -> Result<(), Error> {
    let (bench, log) = (Bench::new(), Log::default());
    let store = bench.store();
    let numbers = numbers().observer(log.observer("memo")).open(&store)?;
    numbers.get_or_insert_with("one", || {
        bench.clock.advance(3 * SECOND);
        1
    });
    assert!(log.take().ends_with("memo: numbers ended after 3s\n"));
    hit!(numbers, "one" => 1);
    hit!(numbers, "one" => 1);
    assert_eq!(log.take(), "memo: numbers hit in Disk, saved 3s\nmemo: numbers hit in Memory, saved 3s\n");
    Ok(())
}

#[test]
fn a_computation_that_fails_or_panics_tells_its_end() -> Result<(), Error> {
    let (bench, log) = (Bench::new(), Log::default());
    let store = bench.store();
    let numbers = numbers().observer(log.observer("memo")).open(&store)?;
    let told = "memo: numbers missed, Absent\nmemo: numbers began\nmemo: numbers failed after 0ns\n";
    assert_eq!(numbers.get_or_try_insert_with("one", || Err("no")), Err("no"));
    assert_eq!(log.take(), told);
    catch_unwind(AssertUnwindSafe(|| numbers.get_or_insert_with("one", || panic!("in the closure"))))
        .unwrap_err();
    assert_eq!(log.take(), told);
    Ok(())
}

#[test]
fn a_computation_tells_its_key_as_text() -> Result<(), Error> {
    let (bench, log) = (Bench::new(), Log::default());
    let store = bench.store();
    let told = Arc::clone(&log.0);
    let trips: Memo<(String, Option<u32>), u64> = Memo::builder("trips")
        .observer(move |event| match event {
            Event::ComputeStarted { key: Some(key), .. } => {
                writeln!(told.lock().unwrap(), "starts {key}").unwrap();
            }
            Event::ComputeFinished { key: Some(key), .. } => {
                writeln!(told.lock().unwrap(), "ends {key:?}").unwrap();
            }
            _ => {}
        })
        .open(&store)?;
    miss!(trips, &("rides".to_owned(), Some(3)) => 1);
    assert_eq!(log.take(), "starts (\"rides\", Some(3))\nends (\"rides\", Some(3))\n");
    Ok(())
}

#[test]
fn a_miss_tells_its_reason() -> Result<(), Error> {
    let (bench, log) = (Bench::new(), Log::default());
    let store = bench.store();
    let numbers = numbers().ttl(MINUTE).observer(log.observer("memo")).open(&store)?;
    assert_eq!(numbers.get("one")?, None);
    numbers.insert("one", &1)?;
    bench.clock.advance(MINUTE);
    assert_eq!(numbers.get("one")?, None);
    assert_eq!(log.take(), "memo: numbers missed, Absent\nmemo: numbers missed, Expired\n");
    Ok(())
}

#[test]
fn what_leaves_for_room_is_told_as_evicted_and_as_expired_when_its_time_was_over() -> Result<(), Error> {
    let (bench, log) = (Bench::new(), Log::default());
    let store = bench.options().observer(log.observer("store")).open(bench.path())?;
    let numbers = numbers().ttl(MINUTE).max_entries(2).observer(log.observer("memo")).open(&store)?;
    for (number, key) in ["a", "b", "c"].iter().enumerate() {
        numbers.insert(key, &(number as u64))?;
    }
    assert_eq!(log.take(), "memo: numbers evicted 1\nstore: numbers evicted 1\n");
    bench.clock.advance(MINUTE);
    numbers.insert("d", &3)?;
    assert_eq!(log.take(), "memo: numbers expired 1\nstore: numbers expired 1\n");
    assert_eq!(numbers.stats().evictions, 2, "both left because of the bound");
    Ok(())
}

#[test]
fn what_a_sweep_takes_away_is_told_as_expired_also_to_who_observes_the_memo() -> Result<(), Error> {
    let (bench, log) = (Bench::new(), Log::default());
    let store = bench.store();
    let numbers = numbers().ttl(MINUTE).observer(log.observer("memo")).open(&store)?;
    ["a", "b"].iter().try_for_each(|key| numbers.insert(key, &1))?;
    bench.clock.advance(MINUTE);
    numbers.insert("c", &1)?;
    assert_eq!(store.sweep()?.expired, 2);
    assert_eq!(log.take(), "memo: numbers expired 2\n");
    Ok(())
}

#[test]
fn a_failure_is_told_to_who_observes_the_memo() -> Result<(), Error> {
    let (bench, log) = (Bench::new(), Log::default());
    let store = bench.store();
    let numbers = numbers().max_bytes(1).observer(log.observer("memo")).open(&store)?;
    miss!(numbers, "one" => 1);
    let told = log.take();
    assert!(told.contains("memo: Some(\"numbers\") memo `numbers`"), "{told}");
    Ok(())
}

#[test]
fn an_open_memo_keeps_its_observers_and_refuses_others() -> Result<(), Error> {
    let (bench, log) = (Bench::new(), Log::default());
    let store = bench.store();
    let memo = numbers().observer(log.observer("memo")).open(&store)?;
    let same = numbers().observer(log.observer("again")).open(&store)?;
    let without = numbers().open(&store)?;
    for refused in
        [numbers().observer(|_| {}), numbers().observer(log.observer("memo")).observer(log.observer("again"))]
    {
        let error = refused.open(&store).unwrap_err();
        assert!(error.is_config() && error.to_string().contains("observer"), "{error}");
    }
    for handle in [&memo, &same, &without] {
        assert_eq!(handle.get("one")?, None);
    }
    assert_eq!(log.take(), "memo: numbers missed, Absent\n".repeat(3));
    Ok(())
}

#[test]
fn an_observer_goes_with_the_last_handle_of_its_memo() -> Result<(), Error> {
    let (bench, log) = (Bench::new(), Log::default());
    let store = bench.store();
    let memo = numbers().max_entries(1).observer(log.observer("memo")).open(&store)?;
    let other = memo.clone();
    memo.insert("one", &1)?;
    drop(memo);
    assert_eq!(Arc::strong_count(&log.0), 2);
    drop(other);
    assert_eq!(Arc::strong_count(&log.0), 1);
    let memo = numbers().observer(log.observer("anew")).open(&store)?;
    assert_eq!(memo.get("one")?, Some(1));
    assert_eq!(log.take(), "anew: numbers hit in Disk, saved 0ns\n");
    Ok(())
}

/// It asks for the length and inserts an entry, at each event that it does not cause itself. Evictions are told by another
/// thread, at the same time as the events of the calls.
#[test]
fn the_observer_of_a_memo_may_use_the_memo() -> Result<(), Error> {
    thread_local! {
        static IS_OBSERVED: Cell<bool> = const { Cell::new(false) };
    }
    let bench = Bench::new();
    let store = bench.store();
    let door: Arc<Mutex<Option<Memo<str, u64>>>> = Arc::default();
    let lengths = Arc::new(Mutex::new(Vec::new()));
    let (open, noted) = (Arc::clone(&door), Arc::clone(&lengths));
    let memo = numbers().max_entries(2).observer(move |_| {
        let memo = open.lock().unwrap().clone();
        let Some(memo) = memo.filter(|_| !IS_OBSERVED.replace(true)) else { return };
        memo.insert("of the observer", &0).unwrap();
        noted.lock().unwrap().push(memo.len().unwrap());
        IS_OBSERVED.set(false);
    });
    let memo = memo.open(&store)?;
    *door.lock().unwrap() = Some(memo.clone());
    for key in ["a", "b", "c"] {
        miss!(memo, key => 1);
    }
    let lengths = std::mem::take(&mut *lengths.lock().unwrap());
    assert!(lengths.len() >= 9 && lengths.iter().all(|length| *length <= 2), "{lengths:?}");
    door.lock().unwrap().take();
    Ok(())
}

fn warnings_at(bench: &Bench) -> Vec<String> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let options = bench.options().observer(move |event| {
        if let Event::Warned { warning, .. } = event {
            log.lock().unwrap().push(warning.to_string());
        }
    });
    drop(options.open(bench.path()).unwrap());
    std::mem::take(&mut told.lock().unwrap())
}

#[test]
fn a_store_beside_files_of_others_is_told_and_leaves_them_alone() {
    let bench = Bench::new();
    assert!(warnings_at(&bench).is_empty());
    assert!(warnings_at(&bench).is_empty(), "its own files are no others");
    std::fs::write(bench.path().join(".DS_Store"), "").unwrap();
    assert!(warnings_at(&bench).is_empty());
    let other = bench.path().join("index.html");
    std::fs::write(&other, "<p>").unwrap();
    for _ in 0..2 {
        let told = warnings_at(&bench);
        assert!(matches!(told.as_slice(), [one] if one.contains("index.html")), "{told:?}");
    }
    assert_eq!(std::fs::read_to_string(other).unwrap(), "<p>");
}
