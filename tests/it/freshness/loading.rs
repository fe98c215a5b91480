//! A memo that computes its values itself, behind its callers where that is possible.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use memolith::{LoadingMemo, Memo, Store, observe::Event};

use super::{Down, builder, each_store};
use crate::vocabulary::*;

/// A memo that tells the end of each refresh, and its loader, which counts and can be told to fail.
struct Loaded {
    memo: LoadingMemo<str, u64, Down>,
    loads: Arc<AtomicU64>,
    is_down: Arc<Mutex<bool>>,
    ended: mpsc::Receiver<&'static str>,
}

impl Loaded {
    fn new(store: &Store) -> Self {
        let (told, ended) = mpsc::channel();
        let memo = builder()
            .refresh_at(0.5)
            .observer(move |event| {
                let end = match event {
                    Event::Refreshed { .. } => "refreshed",
                    Event::RefreshFailed { .. } => "failed",
                    _ => return,
                };
                told.send(end).unwrap();
            })
            .open(store)
            .unwrap();
        let (loads, is_down) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(false)));
        let (counted, down) = (Arc::clone(&loads), Arc::clone(&is_down));
        let memo = memo.with_try_loader(move |_| {
            let load = counted.fetch_add(1, SeqCst) + 1;
            if *down.lock().unwrap() { Err(Down) } else { Ok(load) }
        });
        Self { memo, loads, is_down, ended }
    }

    #[track_caller]
    fn has(&self, value: u64) {
        assert_eq!(self.memo.try_load("a"), Ok(value));
    }

    #[track_caller]
    fn ends(&self, how: &str) {
        assert_eq!(self.ended.recv_timeout(MINUTE), Ok(how));
    }
}

#[test]
fn a_stale_value_is_handed_out_at_once_and_refreshed_behind() {
    each_store(|bench, store| {
        let loaded = Loaded::new(&store);
        loaded.has(1);
        loaded.has(1);
        bench.clock.advance(2 * HOUR);
        loaded.has(1);
        loaded.ends("refreshed");
        loaded.has(2);
        assert_eq!(loaded.loads.load(SeqCst), 2);
        let stats = loaded.memo.memo().stats();
        assert_eq!((stats.refreshes.stale_hits, stats.refreshes.succeeded, stats.misses.total()), (1, 1, 1));
    });
}

#[test]
fn a_fresh_value_is_refreshed_early() {
    let bench = Bench::new();
    let loaded = Loaded::new(&bench.store());
    loaded.has(1);
    bench.clock.advance(30 * MINUTE - SECOND);
    loaded.has(1);
    assert_eq!(loaded.loads.load(SeqCst), 1);
    bench.clock.advance(SECOND);
    loaded.has(1);
    loaded.ends("refreshed");
    loaded.has(2);
    assert_eq!(loaded.memo.memo().stats().refreshes.stale_hits, 0, "it was fresh");
}

#[test]
fn an_early_refresh_waits_for_the_part_of_the_ttl_that_an_entry_has_of_its_own() {
    let bench = Bench::new();
    let loaded = Loaded::new(&bench.store());
    loaded.memo.memo().entry("a").ttl(MINUTE).or_insert_with(|| 7);
    bench.clock.advance(29 * SECOND);
    loaded.has(7);
    assert_eq!(loaded.loads.load(SeqCst), 0);
    bench.clock.advance(SECOND);
    loaded.has(7);
    loaded.ends("refreshed");
    loaded.has(1);
}

#[test]
fn a_refresh_that_fails_or_panics_is_counted_and_tried_again_later() {
    let bench = Bench::new();
    let loaded = Loaded::new(&bench.store());
    loaded.has(1);
    bench.clock.advance(2 * HOUR);
    *loaded.is_down.lock().unwrap() = true;
    loaded.has(1);
    loaded.ends("failed");
    loaded.has(1);
    assert_eq!(loaded.loads.load(SeqCst), 2, "not at once");
    bench.clock.advance(30 * SECOND);
    // A poisoned lock: the loader panics.
    let is_down = Arc::clone(&loaded.is_down);
    let _ = thread::spawn(move || {
        let _held = is_down.lock().unwrap();
        panic!("poisoned");
    })
    .join();
    loaded.has(1);
    loaded.ends("failed");
    loaded.is_down.clear_poison();
    *loaded.is_down.lock().unwrap() = false;
    bench.clock.advance(30 * SECOND);
    loaded.has(1);
    loaded.ends("refreshed");
    assert_eq!(loaded.memo.memo().stats().refreshes.failed, 2);
    loaded.has(4);
    // Over: the caller computes, and gets the error.
    *loaded.is_down.lock().unwrap() = true;
    bench.clock.advance(10 * DAY);
    assert_eq!(loaded.memo.try_load("a"), Err(Down));
}

#[test]
fn there_is_one_refresh_of_a_key_at_a_time_and_a_bounded_number_of_all() {
    let bench = Bench::new();
    let memo: Memo<u64, u64> = Memo::builder("many").ttl(HOUR).stale_for(DAY).open(&bench.store()).unwrap();
    let keys: Vec<u64> = (0..200).collect();
    for key in &keys {
        memo.insert(key, &0).unwrap();
    }
    bench.clock.advance(2 * HOUR);
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let (loads, shut) = (Arc::new(AtomicU64::new(0)), Arc::clone(&gate));
    let counted = Arc::clone(&loads);
    let loading = memo.with_loader(move |key: &u64| {
        counted.fetch_add(1, SeqCst);
        drop(shut.lock());
        key + 1
    });
    for _ in 0..3 {
        for key in &keys {
            assert_eq!(loading.load(key), 0);
        }
    }
    let skipped = memo.stats().refreshes.skipped;
    // Another test of this process may have work for the same threads.
    assert!((3 * (200 - 68)..=600).contains(&skipped), "{skipped}");
    drop(held);
    while memo.stats().refreshes.succeeded + skipped / 3 < 200 {
        thread::yield_now();
    }
    assert!(loads.load(SeqCst) <= 68);
}

/// A refresh behind a call is under way, until it is told to end.
fn refreshing(bench: &Bench, memo: &Memo<str, u64>) -> (LoadingMemo<str, u64>, mpsc::SyncSender<()>) {
    let (began, begins) = mpsc::sync_channel(0);
    let (end, ends) = mpsc::sync_channel::<()>(0);
    let ends = Mutex::new(ends);
    miss!(memo, "a" => 1);
    bench.clock.advance(2 * HOUR);
    let loading = memo.with_loader(move |_| {
        began.send(()).unwrap();
        ends.lock().unwrap().recv().unwrap();
        2
    });
    assert_eq!(loading.load("a"), 1);
    begins.recv_timeout(MINUTE).unwrap();
    (loading, end)
}

#[test]
fn a_store_that_closes_waits_for_no_refresh() {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<str, u64> = builder().open(&store).unwrap();
    let (loading, end) = refreshing(&bench, &memo);
    drop((loading, memo));
    store.close().unwrap();
    let store = bench.store();
    let memo: Memo<str, u64> = builder().open(&store).unwrap();
    end.send(()).unwrap();
    miss!(memo, "a" => 3);
}

#[test]
fn what_is_changed_during_a_refresh_behind_stays() {
    let bench = Bench::new();
    let memo: Memo<str, u64> = builder().open(&bench.store()).unwrap();
    let (loading, end) = refreshing(&bench, &memo);
    memo.insert("a", &9).unwrap();
    end.send(()).unwrap();
    drop(loading);
    hit!(memo, "a" => 9);
    memo.flush().unwrap();
    hit!(memo, "a" => 9);
}
