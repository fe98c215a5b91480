//! Provided values, the computations that note them, and futures within scopes.

use std::{collections::BTreeMap, pin::pin, task::Waker};

use serde::{Deserialize, Serializer};

use super::*;
use crate::{context::Caller, readings::Readings};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Settings {
    units: String,
    digits: u8,
    shares: BTreeMap<String, f64>,
}

fn settings() -> Settings {
    Settings { units: "metric".into(), digits: 2, shares: [("a".into(), 0.1)].into() }
}

/// Its `Serialize` fails.
struct Refusing;

impl Serialize for Refusing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

fn computed<T>(compute: impl FnOnce() -> T) -> (T, Readings) {
    let context = Context::current().within(Caller::fresh());
    (context.run(compute), context.readings())
}

fn noted(readings: &Readings) -> Vec<String> {
    assert_eq!(readings.unstorable(), None);
    readings.iter().map(|reading| reading.input.to_string()).collect()
}

fn polled<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut task::Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn the_innermost_scope_with_the_name_provides() {
    scope(|outer| {
        outer.provide("a", 1_u8).provide("b", settings());
        let inner = Scope::new();
        inner.provide("a", 2_u8);
        inner.run(|| {
            assert_eq!((get::<u8>("a").unwrap(), get::<Settings>("b").unwrap()), (2, settings()));
        });
        assert_eq!(get::<u8>("a").unwrap(), 1);
    });
    assert!(get::<u8>("a").is_err());
}

#[test]
fn a_value_is_noted_by_the_computations_within_its_scope() {
    let (inner, outer) = computed(|| {
        scope(|scope| {
            scope.provide("a", 1_u8);
            computed(|| get::<u8>("a").unwrap()).1
        })
    });
    assert_eq!(noted(&inner), ["provided value `a`"]);
    assert!(outer.is_empty());
}

#[test]
fn another_value_has_another_fingerprint_and_an_equal_one_has_the_same() {
    let reading = |value: f64| {
        scope(|scope| {
            scope.provide("a", value);
            computed(|| get::<f64>("a").unwrap()).1.iter().next().cloned().unwrap()
        })
    };
    assert_eq!(reading(0.5), reading(0.5));
    assert_ne!(reading(0.5), reading(0.25));
}

#[test]
fn a_value_that_is_replaced_during_a_computation_is_not_comparable() {
    scope(|scope| {
        let ((), readings) = computed(|| {
            for value in 0..2_u8 {
                scope.provide("a", value);
                assert_eq!(get::<u8>("a").unwrap(), value);
            }
        });
        assert_eq!(readings.unstorable(), Some(&Unstorable::Changed(Input::provided("a"))));
    });
}

#[test]
fn a_value_of_another_type_is_an_error_that_names_both() {
    scope(|scope| {
        scope.provide("a", -1_i32).provide("text", "some");
        let (error, readings) = computed(|| get::<u32>("a").unwrap_err());
        assert!(error.is_config());
        assert!(error.to_string().contains("`i32`") && error.to_string().contains("`u32`"), "{error}");
        assert_eq!(noted(&readings), ["provided value `a`"], "the error is an answer too");
        assert!(get::<(i32, i32)>("a").unwrap_err().is_config(), "bytes are missing");
        assert!(get::<()>("a").unwrap_err().is_config(), "bytes are left over");
        assert_eq!(get::<String>("text").unwrap(), "some");
    });
}

#[test]
fn a_type_whose_halves_disagree_is_named() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Halved {
        #[serde(skip_deserializing)]
        number: u8,
    }
    scope(|scope| {
        scope.provide("a", Halved { number: 1 });
        let error = get::<Halved>("a").unwrap_err();
        assert!(error.is_config() && error.to_string().contains("disagree"), "{error}");
    });
}

#[test]
fn an_absent_value_is_an_error_with_the_remedy_and_not_comparable() {
    let (error, readings) = computed(|| get::<u8>("a").unwrap_err());
    assert!(error.is_config() && error.to_string().contains("inputs::scope"), "{error}");
    assert_eq!(readings.unstorable(), Some(&Unstorable::Absent("a".into())));
}

#[test]
fn a_value_that_cannot_be_serialized_is_an_error_of_each_get() {
    scope(|scope| {
        scope.provide("a", 1_u8).provide("a", Refusing);
        let (error, readings) = computed(|| get::<u8>("a").unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert!(error.to_string().contains("Refusing") && error.to_string().contains("not today"), "{error}");
        assert_eq!(readings.unstorable(), Some(&Unstorable::Failed(Input::provided("a"))));
    });
}

#[test]
fn a_wrapped_future_reads_its_scope_and_is_noted_where_it_is_awaited() {
    let scope = Scope::new();
    scope.provide("a", 1_u8);
    let inner = || async { (get::<u8>("a").unwrap(), crate::inputs::env("PATH")).0 };
    let future = scope.wrap(inner());
    let (value, readings) = computed(|| polled(future));
    assert_eq!((value, noted(&readings)), (1, vec!["environment variable `PATH`".into()]));
    assert!(get::<u8>("a").is_err());
}

#[test]
fn a_wrapped_future_that_is_spawned_is_noted_where_it_was_wrapped() {
    let scope = Scope::new();
    let context = Context::default().within(Caller::fresh());
    let future = context.run(|| scope.wrap(async { crate::inputs::env("PATH") }));
    polled(future);
    assert_eq!(noted(&context.readings()), ["environment variable `PATH`"]);
}

#[test]
fn a_wrapped_future_is_dropped_within_its_scope() {
    struct Reads(Arc<std::sync::Mutex<Option<u8>>>);
    impl Drop for Reads {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = get("a").ok();
        }
    }
    let scope = Scope::new();
    scope.provide("a", 1_u8);
    let read = Arc::default();
    let reads = Reads(Arc::clone(&read));
    drop(scope.wrap(async move { drop(reads) }));
    assert_eq!(*read.lock().unwrap(), Some(1));
}

#[test]
fn a_wrapped_future_may_be_spawned() {
    fn sent<T: Send + 'static>(future: T) -> T {
        future
    }
    let scope = Scope::new();
    scope.provide("a", 1_u8);
    assert_eq!(polled(sent(scope.wrap(async { get::<u8>("a").unwrap() }))), 1);
}

#[test]
fn a_debug_form_shows_no_value() {
    let scope = Scope::new();
    scope.provide("password", "secret");
    assert_eq!(format!("{scope:?}"), "Scope { .. }");
}
