use std::{
    fmt,
    sync::{Arc, Barrier},
    thread,
};

use memolith::memo;
use serde::{Deserialize, Serialize};

use super::{Runs, store};

/// An ordinary error: without serde, without `Clone`, and with a borrowed field.
#[derive(Debug, PartialEq)]
struct Refused<'a>(&'a str);

#[memo(store = store())]
fn parsed<'a>(text: &'a str, _runs: &Runs) -> Result<i32, Refused<'a>> {
    _runs.count();
    if text.is_empty() {
        return Err(Refused("nothing"));
    }
    let number = text.parse::<i32>().map_err(|_| Refused(text))?;
    Ok(number)
}

#[test]
fn an_error_is_passed_on_untouched_and_never_remembered() {
    let runs = Runs::default();
    assert_eq!(
        (parsed("x", &runs), parsed("x", &runs), runs.take()),
        (Err(Refused("x")), Err(Refused("x")), 2)
    );
    assert_eq!((parsed("", &runs), runs.take()), (Err(Refused("nothing")), 1));
    assert_eq!((parsed("42", &runs), parsed("42", &runs), runs.take()), (Ok(42), Ok(42), 1));
    assert_eq!(parsed_memo().len().unwrap(), 1);
    assert!(parsed_memo().last_failure().is_none());
}

type Answer<T> = std::result::Result<T, fmt::Error>;

mod aliased {
    use super::{Answer, Runs, memo, store};

    type Result<T = u8> = Answer<T>;

    #[memo(store = store())]
    pub fn with_argument(ok: bool, _runs: &Runs) -> Result<u16> {
        _runs.count();
        if ok { Ok(1) } else { Err(std::fmt::Error) }
    }

    #[memo(store = store())]
    pub fn without(ok: bool, _runs: &Runs) -> Result {
        _runs.count();
        if ok { Ok(1) } else { Err(std::fmt::Error) }
    }
}

#[test]
fn an_alias_called_result_is_one() {
    let runs = Runs::default();
    for _ in 0..2 {
        assert_eq!((aliased::with_argument(true, &runs), aliased::without(true, &runs)), (Ok(1), Ok(1)));
    }
    assert_eq!(runs.take(), 2);
    assert!(aliased::with_argument(false, &runs).is_err() && aliased::without(false, &runs).is_err());
    assert_eq!(aliased::without_memo().get(&false).unwrap(), None);
    assert_eq!(aliased::with_argument_memo().get(&true).unwrap(), Some(1_u16));
}

#[memo(store = store())]
fn found(text: &str, _runs: &Runs) -> Option<char> {
    _runs.count();
    let first = text.chars().next()?;
    Some(first)
}

#[test]
fn none_is_a_value_like_any_other() {
    let runs = Runs::default();
    assert_eq!((found("", &runs), found("", &runs), runs.take()), (None, None, 1));
}

#[derive(Serialize, Deserialize)]
struct Model {
    weights: Vec<f32>,
}

#[memo(store = store())]
fn model(name: &str, _runs: &Runs) -> Arc<Model> {
    _runs.count();
    Arc::new(Model { weights: vec![0.5; name.len()] })
}

#[test]
fn hits_of_an_arc_share_one_value() {
    let runs = Runs::default();
    model("small", &runs);
    let (one, two) = (model("small", &runs), model("small", &runs));
    assert!(Arc::ptr_eq(&one, &two) && runs.take() == 1 && one.weights.len() == 5);
}

#[memo(store = store())]
fn fibonacci(number: u64) -> u64 {
    if number < 2 { number } else { fibonacci(number - 1) + fibonacci(number - 2) }
}

#[test]
fn a_function_may_call_itself() {
    assert_eq!(fibonacci(80), 23_416_728_348_467_685);
    assert_eq!(fibonacci_memo().stats().inserts, 81, "each number once");
}

#[memo(store = store())]
fn slow(key: u8, _began: &Barrier, _go_on: &Barrier) -> u8 {
    _began.wait();
    _go_on.wait();
    key
}

#[test]
fn callers_at_the_same_time_compute_once() {
    let (began, go_on) = (Barrier::new(2), Barrier::new(2));
    let values = thread::scope(|scope| {
        let first = scope.spawn(|| slow(1, &began, &go_on));
        began.wait();
        // A second computation would wait at the barrier for ever.
        let second = scope.spawn(|| slow(1, &began, &go_on));
        go_on.wait();
        [first.join().unwrap(), second.join().unwrap()]
    });
    assert_eq!((values, slow_memo().stats().inserts), ([1, 1], 1));
}

#[memo(store = store())]
fn panicking(key: u8, _panic: bool) -> u8 {
    assert!(!_panic, "as asked");
    key
}

#[test]
fn a_panic_unwinds_to_its_caller_and_poisons_nothing() {
    assert!(std::panic::catch_unwind(|| panicking(1, true)).is_err());
    assert_eq!(panicking(1, false), 1);
}
