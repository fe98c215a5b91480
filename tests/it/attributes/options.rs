use std::{
    collections::BTreeMap,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use memolith::{Store, codec::Json, memo, observe::Event};
use serde::{Deserialize, Serialize};

use super::{Runs, store};
use crate::vocabulary::{Bench, SECOND};

/// A store with a manual clock. Only one test moves the clock.
static TIMED: LazyLock<(Bench, Store)> = LazyLock::new(|| {
    let bench = Bench::new();
    let store = bench.store();
    (bench, store)
});

#[memo(store = &TIMED.1, ttl = "1m30s")]
fn for_a_while(key: u8, _runs: &Runs) -> u8 {
    _runs.count();
    key
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[memo(store = &TIMED.1, ttl = DAY / 2)]
fn for_half_a_day(key: u8, _runs: &Runs) -> u8 {
    _runs.count();
    key
}

#[test]
fn a_ttl_is_a_text_or_an_expression() {
    let (short, long) = (Runs::default(), Runs::default());
    let call = || (for_a_while(1, &short), for_half_a_day(1, &long));
    let clock = &TIMED.0.clock;
    call();
    clock.advance(89 * SECOND);
    call();
    assert_eq!((short.take(), long.take()), (1, 1));
    clock.advance(SECOND);
    call();
    assert_eq!((short.take(), long.take()), (1, 0), "90 seconds are over");
    clock.advance(Duration::from_secs(12 * 3600 - 91));
    call();
    assert_eq!((short.take(), long.take()), (1, 0));
    clock.advance(SECOND);
    call();
    assert_eq!((short.take(), long.take()), (0, 1), "half a day is over");
}

#[memo(store = store(), max_entries = 2, memory = 0)]
fn few(key: u8, _runs: &Runs) -> u8 {
    _runs.count();
    key
}

#[test]
fn a_bound_holds_and_memory_can_be_turned_off() {
    let runs = Runs::default();
    for key in [1, 2, 3, 3, 2] {
        few(key, &runs);
    }
    assert_eq!((runs.take(), few_memo().len().unwrap()), (3, 2));
    few(1, &runs);
    assert_eq!((runs.take(), few_memo().stats().hits.memory, few_memo().stats().hits.disk), (1, 0, 2));
}

#[memo(store = store(), max_bytes = 1000)]
fn large(size: usize) -> Vec<u8> {
    vec![0; size]
}

#[test]
fn a_value_over_the_bound_is_handed_over_and_told() {
    assert_eq!((large(100).len(), large(5000).len()), (100, 5000));
    assert_eq!((large_memo().len().unwrap(), large_memo().stats().failures.oversize), (1, 1));
}

#[memo(store = store(), cache_if = |price| *price > 0)]
fn price(of: &str, _runs: &Runs) -> i64 {
    _runs.count();
    if of == "air" { 0 } else { 9 }
}

#[test]
fn a_value_that_is_not_wanted_is_handed_over_and_not_stored() {
    let runs = Runs::default();
    for _ in 0..2 {
        assert_eq!((price("air", &runs), price("tea", &runs)), (0, 9));
    }
    assert_eq!((runs.take(), price_memo().len().unwrap()), (3, 1));
    assert!(price_memo().last_failure().is_none(), "the function and its handle have the same closure");
}

static HITS: AtomicU32 = AtomicU32::new(0);

#[memo(
    store = store(),
    observer = |event| { HITS.fetch_add(u32::from(matches!(event, Event::Hit { .. })), SeqCst); },
    spinner = "Watching...",
)]
fn watched(key: u8) -> u8 {
    key
}

#[test]
fn an_observer_and_a_spinner_serve_the_function_and_its_handle() {
    assert_eq!((watched(1), watched(1), watched_memo().get(&1).unwrap()), (1, 1, Some(1)));
    assert_eq!(HITS.load(SeqCst), 2);
    assert!(watched_memo().last_failure().is_none(), "the function and its handle have the same observers");
}

#[memo(store = store(), codec = Json)]
fn answer(to: &str, _runs: &Runs) -> serde_json::Value {
    _runs.count();
    serde_json::json!({ "to": to })
}

/// A refused function shows in the failures of its store.
static REFUSING: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());

#[memo(store = &*REFUSING)]
fn unreadable(to: &str, _runs: &Runs) -> serde_json::Value {
    _runs.count();
    serde_json::json!({ "to": to })
}

#[test]
fn a_codec_stores_what_the_usual_one_refuses() {
    let runs = Runs::default();
    assert_eq!(
        (answer("me", &runs), answer("me", &runs), runs.take()),
        (answer("me", &runs), answer("me", &runs), 1)
    );
}

/// Postcard can write it, but cannot read a page without an author.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Page {
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[memo(store = store(), codec = auto, memory = 0)]
fn chosen_page(title: &str, _runs: &Runs) -> Result<Page, String> {
    _runs.count();
    let author = (title != "anonymous").then(|| title.to_owned());
    Ok(Page { title: title.to_owned(), author, rest: BTreeMap::from([("size".into(), 1.into())]) })
}

#[memo(store = store(), codec = auto, memory = 0)]
fn chosen_numbers(count: u8, _runs: &Runs) -> Vec<f64> {
    _runs.count();
    vec![0.1; count.into()]
}

#[test]
fn the_codec_auto_stores_each_type_so_that_it_is_read_back_from_disk() {
    let runs = Runs::default();
    let call = || (chosen_page("a", &runs), chosen_page("anonymous", &runs), chosen_numbers(3, &runs));
    let computed = call();
    assert_eq!((call(), runs.take()), (computed, 3));
    assert_eq!((chosen_page_memo().stats().hits.disk, chosen_numbers_memo().stats().hits.disk), (2, 1));
    assert!(chosen_page_memo().last_failure().is_none() && chosen_numbers_memo().last_failure().is_none());
}

#[test]
fn a_type_that_could_not_be_read_back_is_computed_and_told() {
    let runs = Runs::default();
    for _ in 0..2 {
        assert_eq!(unreadable("me", &runs)["to"], "me");
    }
    assert_eq!(runs.take(), 2);
    let failure = unreadable_memo().last_failure().unwrap();
    assert!(failure.error.is_unsupported_type() && failure.to_string().contains("unreadable"), "{failure}");
    assert!(unreadable_memo().insert("me", &serde_json::Value::Null).is_err());
    assert_eq!(unreadable_memo().len().unwrap(), 0);
}

#[memo(store = Store::temporary().unwrap())]
fn elsewhere(key: u8) -> u8 {
    key
}

#[test]
fn a_store_that_the_option_opens_is_one_for_the_function_and_its_handle() {
    elsewhere(1);
    assert_eq!(elsewhere_memo().len().unwrap(), 1);
    assert!(!store().memos().unwrap().iter().any(|name| name.contains("elsewhere")));
}

#[memo(store = &*REFUSING, ttl = Duration::ZERO)]
fn misconfigured(key: u8, _runs: &Runs) -> u8 {
    _runs.count();
    key
}

#[test]
fn an_option_that_cannot_be_leaves_the_plain_function() {
    let runs = Runs::default();
    assert_eq!((misconfigured(1, &runs), misconfigured(1, &runs), runs.take()), (1, 1, 2));
    assert!(misconfigured_memo().last_failure().unwrap().error.is_config());
}
