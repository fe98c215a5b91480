use std::borrow::Cow;

use memolith::memo;
use serde::{Serialize, de::DeserializeOwned};

use super::{Runs, store};

mod inner {
    use super::{Runs, memo, store};

    #[memo(store = store())]
    pub(super) fn length(text: &str, _runs: &Runs) -> usize {
        _runs.count();
        text.len()
    }

    #[memo(store = store(), handle = lengths)]
    pub(super) fn other(text: &str) -> usize {
        text.len()
    }
}

#[test]
fn a_handle_is_visible_as_the_function_is_and_takes_short_borrows() {
    let runs = Runs::default();
    inner::length("abc", &runs);
    let owned = String::from("abc");
    assert_eq!(inner::length_memo().get(&owned).unwrap(), Some(3));
    assert!(inner::length_memo().remove(&owned).unwrap());
    inner::length("abc", &runs);
    assert_eq!((runs.take(), inner::length_memo().stats().inserts), (2, 2));
    inner::length_memo().clear().unwrap();
    assert!(inner::length_memo().is_empty().unwrap());
}

#[test]
fn a_handle_may_have_another_name() {
    inner::other("abc");
    assert_eq!(inner::lengths().len().unwrap(), 1);
}

#[memo(store = store(), max_entries = 1, cache_if = |_| true)]
fn asked_first_by_handle(key: u8) -> u8 {
    key
}

#[test]
fn whoever_comes_first_opens_the_memo_with_all_options() {
    asked_first_by_handle_memo().insert(&1, &11).unwrap();
    assert_eq!((asked_first_by_handle(1), asked_first_by_handle(2)), (11, 2));
    assert_eq!(asked_first_by_handle_memo().len().unwrap(), 1);
    assert!(asked_first_by_handle_memo().last_failure().is_none());
}

#[memo(store = store())]
fn joined<'a, T>(first: &'a [T], second: Option<&'a str>, third: Cow<'_, str>, _runs: &Runs) -> Vec<T>
where
    T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    _runs.count();
    let times = second.map_or(1, str::len) + third.len();
    (0..times).flat_map(|_| first.to_vec()).collect()
}

#[test]
fn the_handle_of_a_generic_function_is_generic_and_static_stands_for_each_lifetime() {
    let runs = Runs::default();
    let (numbers, text) = (vec![1_u8, 2], String::from("x"));
    assert_eq!(joined(&numbers, Some(&text), Cow::Borrowed(&text), &runs), [1, 2, 1, 2]);
    let memo = joined_memo::<u8>();
    assert_eq!(
        memo.get(&(&numbers[..], Some(text.as_str()), Cow::Borrowed(text.as_str()))).unwrap(),
        Some(vec![1, 2, 1, 2])
    );
    assert_eq!(joined(&["a".to_owned()], None, "".into(), &runs), ["a"]);
    assert_eq!((runs.take(), joined_memo::<String>().len().unwrap(), memo.len().unwrap()), (2, 1, 1));
}

struct Parser<'a>(&'a str);

impl Parser<'_> {
    #[memo(store = store(), key = (self.0, base))]
    fn parse(&self, base: u8, _runs: &Runs) -> u32 {
        _runs.count();
        u32::from_str_radix(self.0, u32::from(base)).unwrap_or_default()
    }
}

#[test]
fn a_type_that_borrows_has_methods_with_handles_too() {
    let runs = Runs::default();
    let text = String::from("11");
    assert_eq!(
        (Parser(&text).parse(2, &runs), Parser("11").parse(2, &runs), Parser("11").parse(10, &runs)),
        (3, 3, 11)
    );
    assert_eq!((runs.take(), Parser::parse_memo().len().unwrap()), (2, 2));
}
