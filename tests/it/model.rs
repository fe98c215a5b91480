//! The model test: random operations on a store, compared with a plain `HashMap` and `VecDeque`.
//!
//! While nothing fails the model is exact: it predicts every answer, every hit and miss, every eviction. With faults
//! it is one-sided: no answer is wrong, stale or resurrected, and the closure's own answer always arrives.
//! `MEMOLITH_SOAK=1` runs twenty times as many sequences.

#![allow(clippy::indexing_slicing, reason = "memos and keys are numbered")]

mod operations;
mod reference;
mod sequences;
mod subject;
mod suspicion;

use proptest::{
    prelude::*,
    test_runner::{TestError, TestRunner},
};

use self::{
    operations::{Answer, KEYS, MEMOS, Operation, Scenario, Slot, Value},
    reference::Reference,
    subject::{Place, Subject, weights_in},
    suspicion::Suspicion,
};
use crate::vocabulary::*;

/// Shrinkable sequences, `cases` of them.
fn check(cases: u32, scenarios: impl Strategy<Value = Scenario>, run: fn(&Scenario)) {
    let soak = std::env::var("MEMOLITH_SOAK").is_ok_and(|soak| soak != "0");
    let cases = if soak { cases * 20 } else { cases };
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&scenarios, |scenario| {
        run(&scenario);
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, scenario)) => panic!("{why}\n{scenario:?}"),
        Err(abort) => panic!("{abort}"),
    }
}

/// Answers, hits and misses, evictions and files are exactly those of the model.
fn exactly(scenario: &Scenario) {
    answers(scenario);
}

fn exactly_in_memory(scenario: &Scenario) {
    answers_in(Place::Memory, scenario, &[Operation::Sweep]);
}

fn answers(scenario: &Scenario) -> Vec<Answer> {
    answers_in(Place::Disk, scenario, &[Operation::Reopen(None), Operation::Sweep])
}

fn answers_in(place: Place, scenario: &Scenario, end: &[Operation]) -> Vec<Answer> {
    let mut subject = Subject::new(place, scenario.setup);
    let mut reference = Reference::new(weights_in(place), scenario.setup);
    let mut answers = Vec::new();
    for (serial, operation) in scenario.operations.iter().chain(end).enumerate() {
        prepare(operation, &mut reference, &mut subject);
        let answer = both(operation, serial as u64, &mut reference, &mut subject);
        if let Operation::Reopen(_) | Operation::Sweep = operation {
            look_at_files(operation, &reference, &subject);
        }
        answers.push(answer);
    }
    answers
}

/// Avoids the cases that the contract leaves to the store. The choice among expired entries for an eviction shows
/// when they become valid again. While no memo is open, either of two generations may be the present one. The unused
/// day of a generation ends within an hour, at no exact time.
fn prepare(operation: &Operation, reference: &mut Reference, subject: &mut Subject) {
    let revives = matches!(operation, Operation::Advance(_) | Operation::SetBack(_) | Operation::Reopen(_));
    let lowers = matches!(operation, Operation::Reopen(Some(setup)) if reference.is_lowered_by(*setup));
    if lowers || (revives && !reference.knows_what_is_over()) {
        both(&Operation::Sweep, 0, reference, subject);
    }
    if matches!(operation, Operation::Reopen(_)) && reference.is_about_a_day_old() {
        both(&Operation::Advance(DAY), 0, reference, subject);
    }
}

fn both(operation: &Operation, serial: u64, reference: &mut Reference, subject: &mut Subject) -> Answer {
    let known = !matches!(operation, Operation::Sweep) || reference.knows_what_is_over();
    let expected = reference.perform(operation, serial);
    let answer = subject.perform(operation, serial);
    assert!(answer == expected || !known, "{operation:?} ({serial}): {answer:?}, not {expected:?}");
    audit(operation, reference, subject);
    answer
}

/// Checks everything that can be read without a change.
fn audit(operation: &Operation, reference: &Reference, subject: &Subject) {
    for memo in 0..MEMOS {
        for key in 0..KEYS {
            let contains = subject.memo(memo).contains_key(&key).unwrap();
            assert_eq!(contains, reference.contains(Slot { memo, key }), "{operation:?}: {memo}/{key}");
        }
        assert_eq!(
            subject.memo(memo).len().unwrap(),
            reference.len(memo),
            "{operation:?}: how many are in {memo}"
        );
        let counts = subject.counts(memo);
        assert_eq!(counts, reference.counts(memo, counts), "{operation:?}: the counters of {memo}");
    }
    subject.assert_bounded();
    assert!(subject.store().last_failure().is_none(), "{:?}", subject.store().last_failure());
}

/// There must be as many files as large values and, after a sweep, as many bytes as expected.
fn look_at_files(operation: &Operation, reference: &Reference, subject: &Subject) {
    if reference.knows_what_is_over() {
        subject.assert_files(reference.files());
    }
    if let Operation::Sweep = operation {
        assert_eq!(
            subject.store().usage().unwrap().bytes,
            reference.bytes(),
            "{operation:?}: bytes in the store"
        );
    }
}

/// Under any fault: never wrong, never stale, never resurrected, and the closure's answer arrives.
fn never_wrong(scenario: &Scenario) {
    never_wrong_in(Place::Disk, scenario);
}

fn never_wrong_in_memory(scenario: &Scenario) {
    never_wrong_in(Place::Memory, scenario);
}

fn never_wrong_in(place: Place, scenario: &Scenario) {
    let mut subject = Subject::new(place, scenario.setup);
    let mut suspicion = Suspicion::new(scenario.setup);
    let end = [Operation::Heal, Operation::Reopen(None)];
    for (serial, operation) in (0..).step_by(2).zip(scenario.operations.iter().chain(&end)) {
        let answer = subject.perform(operation, serial);
        suspicion.judge(operation, serial, answer);
        look_around(&suspicion, &subject);
        if matches!(operation, Operation::Reopen(_)) && !subject.failing {
            look_at_healed_files(&mut suspicion, &mut subject, serial + 1);
        }
    }
}

fn look_around(suspicion: &Suspicion, subject: &Subject) {
    for memo in 0..MEMOS {
        for key in 0..KEYS {
            let contains = subject.memo(memo).contains_key(&key).unwrap_or(false);
            assert!(!contains || suspicion.may_contain(Slot { memo, key }), "{memo}/{key} was resurrected");
        }
    }
}

/// After the fault a store is whole again: it works, within its bounds, without superfluous files.
fn look_at_healed_files(suspicion: &mut Suspicion, subject: &mut Subject, serial: u64) {
    let counted = subject.store().usage().unwrap();
    for memo in 0..MEMOS {
        let insert = Operation::Insert(Slot { memo, key: 0 }, false);
        let answer = subject.perform(&insert, serial);
        assert_eq!(answer, Answer::Done, "a healed store of {} entries refuses", counted.entries);
        suspicion.judge(&insert, serial, answer);
    }
    subject.assert_bounded();
    subject.store().sweep().unwrap();
    for (memo, key) in (0..MEMOS).flat_map(|memo| (0..KEYS).map(move |key| (memo, key))) {
        if let Some(value) = subject.memo(memo).get(&key).unwrap() {
            suspicion.check(Slot { memo, key }, Value::read(&value));
        }
    }
    subject.assert_files(subject.large_values());
}

#[test]
fn a_store_answers_as_a_map_and_a_queue_would() {
    check(32, operations::faultless(), exactly);
}

#[test]
fn a_full_disk_makes_no_answer_wrong() {
    check(16, operations::with_a_full_disk(), never_wrong);
}

#[test]
fn a_broken_engine_makes_no_answer_wrong() {
    check(16, operations::with_a_broken_engine(), never_wrong);
}

#[test]
fn a_store_in_memory_answers_as_a_map_and_a_queue_would() {
    check(32, operations::faultless_in_one_run(), exactly_in_memory);
}

#[test]
fn a_broken_engine_makes_no_answer_in_memory_wrong() {
    check(16, operations::with_a_broken_engine(), never_wrong_in_memory);
}
