//! `#[memo(effects = ..)]`: each call shows the same, whether its body runs or not.

use std::{
    cell::RefCell,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use memolith::{Memo, Store, effects, memo};
use serde::{Deserialize, Serialize};

use super::{Runs, store};
use crate::vocabulary::{Bench, HOUR, MINUTE};

#[derive(Serialize, Deserialize)]
enum Shown {
    Header(String),
}

thread_local! {
    static SCREEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn write(line: String) {
    SCREEN.with_borrow_mut(|screen| screen.push(line));
}

/// The lines that this thread has written since the last look.
#[track_caller]
fn shows(expected: &[&str]) {
    assert_eq!(SCREEN.take(), expected);
}

fn draw(Shown::Header(text): &Shown) {
    write(format!("# {text}"));
}

#[expect(clippy::ptr_arg, reason = "the handler of this type")]
fn log(line: &String) {
    write(line.clone());
}

/// For types that [`effects::emit`] takes by value.
fn header(text: &str) {
    assert!(effects::emit(Shown::Header(text.to_owned())));
}

#[memo(store = store(), effects = draw)]
fn report(day: u32, _runs: &Runs) -> u32 {
    _runs.count();
    header(&format!("Day {day}"));
    day * 2
}

#[test]
fn a_call_shows_the_same_whether_its_body_runs_or_not() {
    let runs = Runs::default();
    for _ in 0..2 {
        assert_eq!(report(3, &runs), 6);
        shows(&["# Day 3"]);
    }
    assert_eq!((runs.take(), report_memo().get(&3).unwrap()), (1, Some(6)));
    shows(&["# Day 3"]);
    assert!(report_memo().last_failure().is_none(), "the function and its handle have the same handler");
}

#[memo(store = store(), effects(draw, log, |bar: &u8| write("|".repeat((*bar).into()))))]
fn several(text: &str) -> Result<usize, String> {
    header(text);
    effects::emit(text.to_uppercase());
    effects::emit(3_u8);
    if text.is_empty() { Err("nothing to show".into()) } else { Ok(text.len()) }
}

#[test]
fn several_handlers_keep_the_order_of_their_effects() {
    for _ in 0..2 {
        assert_eq!(several("abc"), Ok(3));
        shows(&["# abc", "ABC", "|||"]);
        assert!(several("").is_err());
        shows(&["# ", "", "|||"]);
    }
    assert_eq!(several_memo().len().unwrap(), 1);
    assert!(several_memo().last_failure().is_none());
}

/// A handler for each instance of a generic function.
fn show<T: ToString>(value: &T) {
    write(value.to_string());
}

#[memo(store = store(), effects = show::<T>)]
fn generic<T>(value: T) -> u8
where
    T: ToString + Copy + Serialize + for<'de> Deserialize<'de> + 'static,
{
    effects::emit(value);
    1
}

#[test]
fn each_instance_of_a_generic_function_has_its_own_handler() {
    for _ in 0..2 {
        assert_eq!(generic(7_u8) + generic(2.5_f64) + generic('c'), 3);
        shows(&["7", "2.5", "c"]);
    }
}

struct Reports;

impl Reports {
    fn draw(shown: &Shown) {
        draw(shown);
    }

    #[memo(store = store(), skip(self), effects = Self::draw)]
    fn of(&self, day: u32) -> u32 {
        header("of");
        day
    }
}

#[test]
fn a_method_may_name_a_handler_of_its_type() {
    for _ in 0..2 {
        assert_eq!(Reports.of(3), 3);
        shows(&["# of"]);
    }
}

/// The clock of one test.
static TIMED: LazyLock<(Bench, Store)> = LazyLock::new(|| {
    let bench = Bench::new();
    let store = bench.store();
    (bench, store)
});

static REFRESHED: AtomicBool = AtomicBool::new(false);

#[memo(store = &TIMED.1, ttl = MINUTE, stale_for = HOUR, effects = draw)]
fn behind(key: u8) -> bool {
    let refreshed = key > 0 && REFRESHED.load(Relaxed);
    header(if refreshed { "new" } else { "old" });
    refreshed
}

#[test]
fn a_refresh_behind_a_call_shows_nothing_until_its_value_is_handed_out() {
    for _ in 0..2 {
        assert!(!behind(1));
        shows(&["# old"]);
    }
    TIMED.0.clock.advance(2 * MINUTE);
    REFRESHED.store(true, Relaxed);
    assert!(!behind(1), "stale");
    shows(&["# old"]);
    while behind_memo().stats().inserts < 2 {
        std::thread::yield_now();
    }
    assert!(behind(1));
    shows(&["# new"]);
}

/// The failures of functions that are refused.
static REFUSING: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());

#[memo(store = &*REFUSING, effects = draw)]
fn unreadable(to: &str, _runs: &Runs) -> serde_json::Value {
    _runs.count();
    header(to);
    serde_json::json!({ "to": to })
}

#[memo(store = &*REFUSING, effects(draw, |_: &serde_json::Value| write("json".to_owned()), |_: &Shown| ()))]
fn undrawable(to: &str, _runs: &Runs) -> usize {
    _runs.count();
    header(to);
    effects::emit(serde_json::json!({ "to": to }));
    to.len()
}

#[test]
fn a_function_that_cannot_be_cached_shows_its_effects_at_each_call() {
    let runs = Runs::default();
    let outer: Memo<str, u64> =
        Memo::builder("outer").effects(|_: &Shown| write("?".into())).open(&REFUSING).unwrap();
    for _ in 0..2 {
        assert_eq!(unreadable("me", &runs)["to"], "me");
        shows(&["# me"]);
        assert_eq!(undrawable("me", &runs), 2);
        shows(&["# me", "json"]);
        outer.get_or_insert_with("k", || {
            unreadable("you", &runs)["to"].as_str().map_or(0, |to| to.len() as u64)
        });
        let shown = SCREEN.take();
        assert!(shown == ["# you"] || shown == ["?"], "{shown:?}");
    }
    assert_eq!(runs.take(), 5, "the outer memo is a hit");
    let [first, second] =
        [unreadable_memo().last_failure(), undrawable_memo().last_failure()].map(Option::unwrap);
    assert!(first.error.is_unsupported_type(), "{first}");
    assert!(second.to_string().contains("undrawable"), "{second}");
}
