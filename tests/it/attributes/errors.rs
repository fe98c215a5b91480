//! An error is never remembered, under any name of the return type.

use std::{cell::Cell, fmt, io, sync::LazyLock};

use memolith::{Store, memo, resource};
use serde::{Serialize, de::DeserializeOwned};

use super::{Runs, store};

/// A refused function shows in the failures of the store, and so of every memo in it.
static REFUSING: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());

trait Fetch {
    type Out: fmt::Debug + Clone + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static;
    type Result: fmt::Debug + Clone + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static;
    fn fetch(number: u32) -> Self::Out;
    fn result(number: u32) -> Self::Result;
}

#[derive(Debug, PartialEq)]
struct Sure;

impl Fetch for Sure {
    type Out = u32;
    type Result = String;
    fn fetch(number: u32) -> u32 {
        number
    }
    fn result(number: u32) -> String {
        number.to_string()
    }
}

#[derive(Debug, PartialEq)]
struct Doubtful;

impl Fetch for Doubtful {
    type Out = Result<u32, String>;
    type Result = Vec<Result<u32, String>>;
    fn fetch(_: u32) -> Self::Out {
        Err("no answer".into())
    }
    fn result(_: u32) -> Self::Result {
        vec![Err("no answer".into())]
    }
}

#[memo(store = &*REFUSING)]
fn fetched<T: Fetch>(number: u32, _runs: &Runs) -> T::Out {
    _runs.count();
    T::fetch(number)
}

/// Its `cache_if` chooses among values. The values turn out to be results.
#[memo(store = &*REFUSING, cache_if = |_| true)]
fn chosen<T: Fetch>(number: u32, _runs: &Runs) -> T::Out {
    _runs.count();
    T::fetch(number)
}

#[memo(store = &*REFUSING)]
fn called_result<T: Fetch>(number: u32, _runs: &Runs) -> T::Result {
    _runs.count();
    T::result(number)
}

#[test]
fn a_generic_type_that_turns_out_to_be_a_result_is_computed_and_told() {
    let runs = Runs::default();
    for _ in 0..2 {
        assert_eq!((fetched::<Sure>(1, &runs), chosen::<Sure>(1, &runs)), (1, 1));
        assert_eq!(called_result::<Sure>(1, &runs), "1");
    }
    assert_eq!(runs.take(), 3);
    assert!(REFUSING.last_failure().is_none());
    for _ in 0..2 {
        assert!(fetched::<Doubtful>(1, &runs).is_err() && chosen::<Doubtful>(1, &runs).is_err());
        assert!(called_result::<Doubtful>(1, &runs)[0].is_err());
    }
    assert_eq!(runs.take(), 6);
    for failure in
        [fetched_memo::<Doubtful>().last_failure(), called_result_memo::<Doubtful>().last_failure()]
    {
        let failure = failure.unwrap();
        assert!(failure.error.is_config() && failure.to_string().contains("cache_if"), "{failure}");
    }
    assert_eq!((fetched_memo::<Doubtful>().len().unwrap(), fetched_memo::<Sure>().len().unwrap()), (0, 1));
}

/// The attribute sees the parts as they are written. A result behind an alias is noticed when the function is called.
type Rows = Vec<Result<u32, String>>;

/// Another store: the other test looks at the failures of its own.
static OF_ROWS: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());

#[memo(store = &*OF_ROWS)]
fn rows(text: &str, _runs: &Runs) -> Rows {
    _runs.count();
    text.split(' ').map(|part| part.parse().map_err(|_| part.to_owned())).collect()
}

#[memo(store = store(), cache_if = |rows| rows.iter().all(Result::is_ok))]
fn whole_rows(text: &str, _runs: &Runs) -> Vec<Result<u32, String>> {
    _runs.count();
    text.split(' ').map(|part| part.parse().map_err(|_| part.to_owned())).collect()
}

#[test]
fn a_result_within_another_type_is_stored_only_if_the_user_says_when() {
    let runs = Runs::default();
    for _ in 0..2 {
        assert_eq!(rows("1 2", &runs), [Ok(1), Ok(2)]);
    }
    assert_eq!(runs.take(), 2);
    assert!(rows_memo().last_failure().unwrap().to_string().contains("an error would be remembered"));
    for _ in 0..2 {
        assert_eq!(whole_rows("1 2", &runs), [Ok(1), Ok(2)]);
    }
    assert_eq!(runs.take(), 1);
    for _ in 0..2 {
        assert!(whole_rows("1 x", &runs)[1].is_err());
    }
    assert_eq!((runs.take(), whole_rows_memo().len().unwrap()), (2, 1));
}

#[memo(store = store())]
fn read(number: u32, _runs: &Runs) -> io::Result<u32> {
    _runs.count();
    if number == 0 { Err(io::Error::other("zero")) } else { Ok(number) }
}

#[test]
fn an_alias_that_is_called_result_is_one_wherever_it_is_from() {
    let runs = Runs::default();
    assert!(read(0, &runs).is_err() && read(0, &runs).is_err() && runs.take() == 2);
    assert_eq!((read(1, &runs).unwrap(), read(1, &runs).unwrap(), runs.take()), (1, 1, 1));
}

thread_local! {
    static BUILT: Cell<u32> = const { Cell::new(0) };
}

#[resource]
fn connection<T: Fetch>(number: u32) -> T::Out {
    BUILT.set(BUILT.get() + 1);
    T::fetch(number)
}

#[test]
fn a_generic_resource_that_turns_out_to_be_a_result_is_not_kept() {
    assert!(connection::<Doubtful>(1).is_err() && connection::<Doubtful>(1).is_err());
    assert_eq!(BUILT.take(), 2);
    assert_eq!((*connection::<Sure>(1), *connection::<Sure>(1), BUILT.take()), (1, 1, 1));
}
