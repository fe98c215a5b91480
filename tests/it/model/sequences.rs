//! Sequences that were found to matter, run through the model like the random ones. Each also states its claim
//! directly.

use std::time::Duration;

use super::{
    answers,
    operations::{Answer, MemoSetup, Operation, Scenario, Setup, Slot, Value},
};
use crate::vocabulary::*;

const NO_BOUNDS: MemoSetup = MemoSetup { ttl: None, max_entries: None, max_bytes: None, version: 1 };

/// Of the first memo; the second has no options.
fn setup(first: MemoSetup) -> Setup {
    Setup { memory: 1 << 20, max_bytes: None, memos: [first, NO_BOUNDS] }
}

fn insert(memo: usize, key: u8) -> Operation {
    Operation::Insert(Slot { memo, key }, false)
}

fn insert_large(memo: usize, key: u8) -> Operation {
    Operation::Insert(Slot { memo, key }, true)
}

fn get(memo: usize, key: u8) -> Operation {
    Operation::Get(Slot { memo, key })
}

fn reopen(setup: Setup) -> Operation {
    Operation::Reopen(Some(setup))
}

/// The result of each `get` of the sequence, as the serial of the operation that stored it.
fn found(setup: Setup, operations: &[Operation]) -> Vec<Option<u64>> {
    let found = |answer: &Answer| match answer {
        Answer::Found(value) => Some(value.map(|Value { serial, .. }| serial)),
        _ => None,
    };
    answers(&Scenario { setup, operations: operations.to_vec() }).iter().filter_map(found).collect()
}

// B85, B86, B93
#[test]
fn the_oldest_insertion_leaves_first_and_an_overwrite_is_young_again() {
    let two = setup(MemoSetup { max_entries: Some(2), ..NO_BOUNDS });
    let sequence = [
        insert(0, 1),
        insert(0, 2),
        get(0, 2),
        insert(0, 1),
        reopen(two),
        get(0, 2),
        insert(0, 3),
        get(0, 1),
        get(0, 2),
        get(0, 3),
    ];
    assert_eq!(found(two, &sequence), [Some(1), Some(1), Some(3), None, Some(6)]);
}

// B70, B71, B76
#[test]
fn a_shorter_ttl_of_today_hides_what_a_longer_one_of_tomorrow_shows() {
    let (ever, short) = (setup(NO_BOUNDS), setup(MemoSetup { ttl: Some(10 * SECOND), ..NO_BOUNDS }));
    let nearly = Duration::from_millis(9_999);
    let sequence = [
        insert(0, 1),
        Operation::Advance(nearly),
        reopen(short),
        get(0, 1),
        Operation::Advance(Duration::from_millis(1)),
        get(0, 1),
        reopen(ever),
        get(0, 1),
    ];
    assert_eq!(found(ever, &sequence), [Some(0), None, Some(0)]);
}

// B79
#[test]
fn a_clock_set_back_hides_what_lies_over_a_minute_ahead_until_it_has_caught_up() {
    let sequence = [
        insert(0, 1),
        Operation::Advance(HOUR),
        insert(0, 2),
        Operation::SetBack(MINUTE),
        get(0, 2),
        Operation::SetBack(Duration::from_millis(1)),
        get(0, 2),
        get(0, 1),
        Operation::Advance(Duration::from_millis(1)),
        get(0, 2),
    ];
    assert_eq!(found(setup(NO_BOUNDS), &sequence), [Some(2), None, Some(0), Some(2)]);
}

// B77
#[test]
fn what_lies_ahead_of_a_clock_set_back_leaves_before_what_can_be_read() {
    let two = setup(MemoSetup { max_entries: Some(2), ..NO_BOUNDS });
    let sequence = [
        insert(0, 1),
        Operation::Advance(HOUR),
        insert(0, 2),
        Operation::SetBack(HOUR),
        insert(0, 3),
        get(0, 1),
    ];
    assert_eq!(found(two, &sequence), [Some(0)]);
}

// B77: the entries of each memo expire in another order than they were put.
#[test]
fn every_expired_entry_of_every_memo_leaves_before_a_live_one() {
    let memo = |ttl| MemoSetup { ttl, ..NO_BOUNDS };
    let timed = memo(Some(10 * SECOND));
    let bounded = Setup { memory: 0, max_bytes: Some(16_000), memos: [timed, timed] };
    let sequence = [
        insert(0, 1),
        insert(1, 1),
        Operation::SetBack(9 * SECOND),
        insert(0, 2),
        insert(1, 2),
        Operation::Advance(9 * SECOND),
        insert_large(0, 3),
        insert_large(0, 4),
        insert_large(0, 5),
        Operation::Advance(5 * SECOND),
        insert(1, 4),
        insert(1, 5),
        insert(1, 0),
        get(0, 1),
        get(1, 1),
    ];
    assert_eq!(found(bounded, &sequence), [Some(0), Some(1)]);
}

// B91
#[test]
fn a_bound_that_was_lowered_is_obeyed_at_the_next_open() {
    let bounded = |max_bytes| Setup { max_bytes: Some(max_bytes), ..setup(NO_BOUNDS) };
    let sequence = [
        insert_large(1, 1),
        insert_large(0, 1),
        insert_large(1, 2),
        reopen(bounded(11_000)),
        get(1, 1),
        get(0, 1),
    ];
    assert_eq!(found(bounded(16_000), &sequence), [None, Some(1)]);
    let two = setup(MemoSetup { max_entries: Some(2), ..NO_BOUNDS });
    let sequence = [insert(0, 1), insert(0, 2), insert(0, 3), reopen(two), get(0, 1), get(0, 2)];
    assert_eq!(found(setup(NO_BOUNDS), &sequence), [None, Some(1)]);
}

// B59
#[test]
fn another_version_stays_for_a_day_after_it_was_of_use() {
    let version = |version| setup(MemoSetup { version, ..NO_BOUNDS });
    let sequence = [
        insert(0, 1),
        Operation::Advance(3 * DAY),
        reopen(version(2)),
        get(0, 1),
        Operation::Advance(20 * HOUR),
        reopen(version(1)),
        get(0, 1),
        reopen(version(2)),
        Operation::Advance(26 * HOUR),
        reopen(version(2)),
        reopen(version(1)),
        get(0, 1),
    ];
    assert_eq!(found(version(1), &sequence), [None, Some(0), None]);
}

// B77
#[test]
fn another_version_leaves_before_the_oldest_of_this_one() {
    let three = |version| setup(MemoSetup { version, max_entries: Some(3), ..NO_BOUNDS });
    let sequence = [
        insert(0, 1),
        reopen(three(2)),
        insert(0, 1),
        insert(0, 2),
        reopen(three(1)),
        insert(0, 2),
        get(0, 1),
        reopen(three(2)),
        get(0, 1),
        get(0, 2),
    ];
    assert_eq!(found(three(1), &sequence), [Some(0), None, Some(3)]);
}
