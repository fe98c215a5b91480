//! The claims of contexts.

use super::*;
use crate::{
    readings::{Answer, Input, Reading, Unstorable},
    sync::{explore, thread},
};

/// Runs a computation, and tells whether it read a stale value.
fn during<T>(compute: impl FnOnce() -> T) -> (T, bool) {
    let context = Context::current().within(Caller::of_thread());
    (context.run(compute), context.has_read_stale())
}

#[test]
fn what_an_inner_computation_reads_the_outer_one_has_read() {
    explore(|| {
        let (((), inner), outer) = during(|| during(note_stale));
        assert!(inner && outer);
        let (((), inner), outer) = during(|| {
            note_stale();
            during(|| ())
        });
        assert!(!inner && outer);
        assert!(!during(|| ()).1, "nothing is left of it");
    });
}

#[test]
fn a_panic_leaves_the_computation_around_it() {
    explore(|| {
        let (_, outer) = during(|| {
            note_stale();
            std::panic::catch_unwind(|| during(|| panic!("inner")))
        });
        assert!(outer);
        assert!(!during(|| ()).1);
    });
}

#[test]
fn computations_that_are_nested_by_the_thousand_are_dropped_one_by_one() {
    let nested = (0..1_000_000).fold(Context::default(), |outer, _| outer.within(Caller::fresh()));
    assert_eq!(nested.callers().count(), 1_000_000);
    drop(nested);
}

#[test]
fn the_computations_of_one_thread_are_one_caller() {
    let [thread, task] = [Caller::fresh(), Caller::fresh()];
    let context = [thread, thread, task, thread].into_iter().fold(Context::default(), Context::within);
    assert_eq!(context.callers().collect::<Vec<_>>(), [thread, task, thread]);
}

fn input(name: &str, answer: u8) -> Reading {
    Reading { input: Input::variable(name), answer: Answer::new(Fingerprint::contents(&[answer])) }
}

fn value(name: &str, answer: u8) -> Reading {
    Reading { input: Input::provided(name), answer: Answer::new(Fingerprint::contents(&[answer])) }
}

/// A scope with one value.
fn scope(name: &str, answer: u8) -> Arc<ScopeValues> {
    let values = ScopeValues::default();
    let Reading { answer, .. } = value(name, answer);
    let value = ProvidedValue { fingerprint: answer.fingerprint, payload: Vec::new(), type_name: "" };
    values.provide(name.into(), Ok(value));
    Arc::new(values)
}

fn computation(around: &Context) -> Context {
    around.clone().within(Caller::fresh())
}

#[track_caller]
fn assert_notes(context: &Context, readings: &[Reading]) {
    assert_eq!(context.readings().iter().cloned().collect::<Vec<_>>(), readings);
}

#[test]
fn an_input_is_noted_in_all_computations_around() {
    explore(|| {
        let outer = computation(&Context::default());
        let [inner, other] = [computation(&outer), computation(&outer)];
        inner.run(|| note_reading(&input("A", 1)));
        other.run(|| note_reading(&input("B", 1)));
        assert_notes(&inner, &[input("A", 1)]);
        assert_notes(&outer, &[input("A", 1), input("B", 1)]);
        assert!(inner.run(is_noting) && !is_noting());
        note_reading(&input("C", 1));
    });
}

#[test]
fn inputs_of_an_inner_result_are_noted_and_so_is_the_reason_not_to_store_it() {
    explore(|| {
        let outer = computation(&Context::default());
        let mut inner: Readings = [input("A", 1), input("B", 1)].into_iter().collect();
        outer.run(|| note_readings(&inner));
        assert_notes(&outer, &[input("A", 1), input("B", 1)]);
        inner.refuse(Unstorable::TooMany);
        outer.run(|| note_readings(&inner));
        assert_eq!(outer.readings().unstorable(), Some(&Unstorable::TooMany));
    });
}

#[test]
fn a_value_is_noted_within_the_scope_that_provides_it() {
    explore(|| {
        let outside = computation(&Context::default());
        let between = computation(&outside.clone().within_scope(scope("units", 1)));
        let inside = computation(&between.clone().within_scope(scope("other", 1)));
        inside.run(|| {
            note_reading(&value("units", 1));
            note_readings(&[value("other", 1), input("A", 1)].into_iter().collect());
        });
        assert_notes(&inside, &[value("units", 1), value("other", 1), input("A", 1)]);
        assert_notes(&between, &[value("units", 1), input("A", 1)]);
        assert_notes(&outside, &[input("A", 1)]);
    });
}

#[test]
fn a_value_of_an_outer_scope_is_noted_up_to_that_scope() {
    explore(|| {
        let outside = computation(&Context::default());
        let between = computation(&outside.clone().within_scope(scope("units", 1)));
        // A value of the same name was provided in between, after the reading.
        let inside = computation(&between.clone().within_scope(scope("units", 2)));
        assert_eq!(inside.provided("units"), Some(value("units", 2).answer.fingerprint));
        inside.run(|| note_reading(&value("units", 1)));
        assert_notes(&between, &[value("units", 1)]);
        assert_notes(&outside, &[]);
    });
}

#[test]
fn a_value_that_failed_is_noted_within_its_scope_and_an_absent_one_everywhere() {
    explore(|| {
        let values = Arc::new(ScopeValues::default());
        values.provide("units".into(), Err(crate::error::Error::other("no value")));
        let outside = computation(&Context::default());
        let inside = computation(&outside.clone().within_scope(values));
        let failed = Unstorable::Failed(Input::provided("units"));
        inside.run(|| note_unstorable(&failed));
        assert_eq!(inside.readings().unstorable(), Some(&failed));
        assert!(outside.readings().unstorable().is_none() && inside.provided("units").is_none());
        let absent = Unstorable::Absent("other".into());
        inside.run(|| note_unstorable(&absent));
        assert_eq!(outside.readings().unstorable(), Some(&absent));
    });
}

#[test]
fn scopes_are_no_callers_and_hide_no_stale_mark() {
    explore(|| {
        let outer = Context::default().within(Caller(1));
        let scoped = outer.clone().within_scope(scope("units", 1));
        let inner = scoped.clone().within(Caller(2)).within_scope(scope("units", 2));
        assert_eq!(inner.callers().collect::<Vec<_>>(), [Caller(2), Caller(1)]);
        assert_eq!(scoped.clone().within(Caller(1)).callers().count(), 1, "one thread is one caller");
        inner.run(note_stale);
        assert!(inner.has_read_stale() && outer.has_read_stale());
    });
}

#[test]
fn behind_a_call_the_scopes_are_left() {
    explore(|| {
        let outer = computation(&Context::default().within_scope(scope("units", 1)));
        let inner = computation(&outer.clone().within_scope(scope("units", 2)).within_scope(scope("a", 1)));
        let behind = inner.scopes_only();
        assert_eq!(behind.callers().count(), 0);
        assert_eq!(behind.provided("units"), inner.provided("units"));
        let refresh = computation(&behind);
        refresh.run(|| note_reading(&input("A", 1)));
        assert_notes(&refresh, &[input("A", 1)]);
        assert_notes(&inner, &[]);
        assert!(Context::default().scopes_only().provided("units").is_none());
    });
}

#[test]
fn threads_of_a_computation_note_their_inputs_side_by_side() {
    explore(|| {
        let context = computation(&Context::default());
        let threads = ["A", "B"].map(|name| {
            let context = context.clone();
            thread::spawn(move || context.run(|| note_reading(&input(name, 1))))
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let mut noted: Vec<_> = context.readings().iter().map(|reading| reading.input.clone()).collect();
        noted.sort();
        assert_eq!(noted, [Input::variable("A"), Input::variable("B")]);
    });
}

#[test]
fn a_wrapped_future_is_polled_and_dropped_within() {
    explore(|| {
        struct Notes;
        impl Drop for Notes {
            fn drop(&mut self) {
                note_stale();
            }
        }
        let context = Context::default().within(Caller::fresh());
        let notes = Notes;
        let future = context.wrap(async move {
            let _notes = notes;
            std::future::pending::<()>().await;
        });
        assert!(!context.has_read_stale());
        drop(future);
        assert!(context.has_read_stale());
        assert_eq!(Context::current().callers().count(), 0);
    });
}
