//! A scope is part of a memo's identity, beside its name.

use memolith::{Error, Memo, Store};

use crate::vocabulary::*;

fn of(store: &Store, scope: &str) -> Memo<str, u64> {
    Memo::builder("prices").scope(scope).max_entries(2).open(store).unwrap()
}

#[test]
fn memos_of_one_name_and_two_scopes_have_their_own_entries_bounds_and_counters() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        let (one, other, none) = (of(&store, "one"), of(&store, "other"), plain(&store, "prices"));
        for (memo, value) in [(&one, 1), (&other, 2), (&none, 3)] {
            miss!(memo, "a" => value);
        }
        for letter in ["b", "c"] {
            miss!(one, letter => 1);
        }
        one.flush()?;
        assert_eq!((one.len()?, other.len()?, none.len()?), (2, 1, 1));
        assert_eq!((one.stats().evictions, other.stats().evictions), (1, 0));
        assert_eq!(one.name(), "prices");
        assert_eq!(store.memos()?, ["prices"]);
        let again = of(&store, "one");
        hit!(again, "c" => 1);
    }
    let store = bench.store();
    hit!(of(&store, "other"), "a" => 2);
    hit!(of(&store, "one"), "c" => 1);
    hit!(plain(&store, "prices"), "a" => 3);
    assert!(store.remove_memo("prices")?);
    assert!(store.memos()?.is_empty() || store.usage()?.entries == 0);
    miss!(of(&store, "other"), "a" => 4);
    Ok(())
}

/// A scope is of any size and shape, and compared by its value as a key is.
#[test]
fn scopes_that_serialize_equally_are_one() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let parameters: Vec<(String, f64)> =
        (0..10_000).map(|n| (format!("parameter {n}"), f64::from(n))).collect();
    let mut others = parameters.clone();
    others[9_999].1 += 1.0;
    let open = |scope: &[(String, f64)]| Memo::<str, u64>::builder("models").scope(scope).open(&store);
    miss!(open(&parameters)?, "a" => 1);
    hit!(open(&parameters.clone())?, "a" => 1);
    miss!(open(&others)?, "a" => 2);
    Ok(())
}

/// Generations of another scope are no older versions, which leave after a day.
#[test]
fn a_scope_does_not_retire_another() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let store = bench.store();
        miss!(of(&store, "one"), "a" => 1);
        miss!(of(&store, "other"), "a" => 2);
    }
    bench.clock.advance(10 * DAY);
    {
        let store = bench.store();
        hit!(of(&store, "one"), "a" => 1);
        assert_eq!(store.sweep()?.retired, 0);
    }
    let store = bench.store();
    hit!(of(&store, "other"), "a" => 2);
    Ok(())
}

#[test]
fn a_scope_that_cannot_be_serialized_is_refused_at_open() {
    struct Broken(bool);
    impl serde::Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            assert!(self.0, "no text");
            Err(serde::ser::Error::custom("no scope"))
        }
    }
    let store = Bench::new().store();
    let error = Memo::<str, u64>::builder("prices").scope(&Broken(true)).open(&store).unwrap_err();
    assert!(error.kind() == memolith::ErrorKind::Key && error.to_string().contains("no scope"), "{error}");
    let error = Memo::<str, u64>::builder("prices").scope(&Broken(false)).open(&store).unwrap_err();
    assert!(error.kind() == memolith::ErrorKind::Panic && error.to_string().contains("scope"), "{error}");
}

/// Events name the memo as its user does.
#[test]
fn events_of_a_scoped_memo_bear_its_name() -> Result<(), Error> {
    let bench = Bench::new();
    let names = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = std::sync::Arc::clone(&names);
    let store = bench
        .options()
        .observer(move |event| {
            if let memolith::observe::Event::Evicted { memo, .. } = event {
                log.lock().unwrap().push((*memo).to_owned());
            }
        })
        .open(bench.path())?;
    let memo = of(&store, "one");
    for letter in ["a", "b", "c"] {
        memo.insert(letter, &1)?;
    }
    assert_eq!(*names.lock().unwrap(), ["prices"]);
    Ok(())
}
