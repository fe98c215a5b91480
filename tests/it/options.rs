//! An option that cannot work is refused by `open`, with its name and the remedy.

use std::time::Duration;

use crate::vocabulary::*;
use memolith::{Error, Memo, MemoBuilder, Store};

fn numbers(name: &str) -> MemoBuilder<str, u64> {
    Memo::builder(name)
}

#[track_caller]
fn assert_refused(options: MemoBuilder<str, u64>, words: &[&str]) {
    let store = Store::temporary().unwrap();
    let error = options.open(&store).unwrap_err();
    assert_told(&error, words);
    assert_told(&error, &["memo `", "str", "u64"]);
    assert!(store.memos().unwrap().is_empty(), "it left something behind");
}

#[track_caller]
fn assert_told(error: &Error, words: &[&str]) {
    assert!(error.is_config(), "{error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

#[test]
fn a_name_that_cannot_be_is_refused() {
    assert_refused(numbers(""), &["the name is empty", "give the memoized function one"]);
    assert_refused(numbers(&"n".repeat(513)), &["longer than 512 bytes", "into the key"]);
    assert_refused(numbers("num\0bers"), &["NUL", "use printable characters"]);
}

#[test]
fn any_other_name_is_fine_and_a_name_is_never_a_path() {
    let bench = Bench::new();
    let longest = "n".repeat(512);
    let names = [longest.as_str(), "../../etc/passwd", "/", ".", "a b", "Füße", "MANIFEST", "line\nbreak"];
    let store = bench.store();
    for (value, name) in names.into_iter().enumerate() {
        miss!(plain(&store, name), "one" => value as u64);
    }
    drop(store);
    let store = bench.store();
    let mut expected = names.map(str::to_owned);
    expected.sort();
    assert_eq!(store.memos().unwrap(), expected);
    for (value, name) in names.into_iter().enumerate() {
        hit!(plain(&store, name), "one" => value as u64);
    }
}

/// B74, B75
#[test]
fn a_ttl_of_nothing_is_refused() {
    for ttl in [Duration::ZERO, Duration::from_micros(999)] {
        assert_refused(numbers("numbers").ttl(ttl), &["`ttl`", "leave it out"]);
    }
}

/// B89
#[test]
fn a_bound_of_nothing_is_refused_before_anything_is_computed() {
    assert_refused(numbers("numbers").max_entries(0), &["`max_entries` is 0", "leave it out"]);
    assert_refused(numbers("numbers").max_bytes(0), &["`max_bytes` is 0", "leave it out"]);
    let bench = Bench::new();
    let error = bench.options().max_bytes(0).open(bench.path()).unwrap_err();
    assert_told(&error, &["`max_bytes` of a store is 0", "leave it out"]);
    assert!(!bench.path().exists(), "it left something behind");
}

#[test]
fn a_longest_ttl_is_for_ever() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = numbers("numbers").ttl(Duration::MAX).open(&store).unwrap();
    miss!(memo, "one" => 1);
    bench.clock.advance(DAY * 365 * 100);
    hit!(memo, "one" => 1);
}
