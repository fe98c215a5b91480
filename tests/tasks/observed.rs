//! What observers hear of tasks.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use memolith::{Memo, observe::Event};

use crate::vocabulary::Bench;

/// Each computation that began has ended once, however its task ended.
#[test]
fn a_computation_is_told_from_its_beginning_to_its_end() {
    let bench = Bench::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let store = bench
        .options()
        .observer(move |event| {
            let line = match event {
                Event::Hit { .. } => "hit",
                Event::Miss { .. } => "miss",
                Event::ComputeStarted { .. } => "started",
                Event::ComputeFinished { succeeded: true, .. } => "computed",
                Event::ComputeFinished { .. } => "ended",
                _ => return,
            };
            heard.lock().unwrap().push(line);
        })
        .open(bench.path())
        .unwrap();
    let memo: memolith::future::Memo<u8, u8> = Memo::builder("numbers").open(&store).unwrap().into();
    let take = || std::mem::take(&mut *told.lock().unwrap());
    {
        let mut dropped = pin!(memo.get_or_insert_with(&1, std::future::pending));
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(take(), ["miss", "started"]);
    }
    assert_eq!(take(), ["ended"]);
    assert!(smol::block_on(memo.get_or_try_insert_with(&1, || async { Err(()) })).is_err());
    assert_eq!(take(), ["miss", "started", "ended"]);
    smol::block_on(memo.get_or_insert_with(&1, || async { 1 }));
    assert_eq!(take(), ["miss", "started", "computed"]);
    smol::block_on(memo.get_or_insert_with(&1, || async { unreachable!() }));
    assert_eq!(take(), ["hit"]);
}
