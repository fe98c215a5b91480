//! `Memo::entries` names everything that is remembered, in the order of insertion, and keeps nothing waiting.

use std::{
    fmt::Write,
    time::{Duration, UNIX_EPOCH},
};

use memolith::{EntryInfo, Error, Memo, Store};

use crate::vocabulary::*;

fn walked<K: ?Sized + serde::Serialize, V: Clone + Send + Sync + 'static>(
    memo: &Memo<K, V>,
) -> Vec<EntryInfo> {
    memo.entries().unwrap().collect::<Result<_, Error>>().unwrap()
}

fn keys<K: ?Sized + serde::Serialize, V: Clone + Send + Sync + 'static>(memo: &Memo<K, V>) -> Vec<String> {
    walked(memo).into_iter().map(|entry| entry.key).collect()
}

#[test]
fn entries_have_readable_keys_times_and_sizes() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<(str_key::Key, u8), Vec<u8>> = Memo::builder("values").ttl(HOUR).open(&store)?;
    let key = |name: &str| str_key::Key(name.into());
    memo.get_or_insert_with(&(key("a"), 1), || {
        bench.clock.advance(3 * SECOND);
        vec![1]
    });
    bench.clock.advance(MINUTE);
    memo.insert(&(key("b"), 2), &large(2))?;
    let all = walked(&memo);
    let texts: Vec<&str> = all.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(texts, ["(Key(\"a\"), 1)", "(Key(\"b\"), 2)"]);
    let [first, second] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(first.compute_time, 3 * SECOND);
    assert_eq!(second.created, first.created + MINUTE);
    assert_eq!((second.expires, second.compute_time), (Some(second.created + HOUR), Duration::ZERO));
    assert_eq!(first.bytes + second.bytes, memo.usage()?.bytes);
    assert!(first.created > UNIX_EPOCH && second.bytes > large(2).len() as u64);
    Ok(())
}

mod str_key {
    #[derive(serde::Serialize)]
    pub struct Key(pub String);
}

/// More than one stretch of the walk.
#[test]
fn every_fresh_entry_is_walked_over_once_and_in_its_order_also_after_a_restart() -> Result<(), Error> {
    let bench = Bench::new();
    let open = |store: &Store| Memo::<u32, u32>::builder("numbers").ttl(HOUR).open(store);
    let expected: Vec<String> = (1..1_000).chain([0]).map(|number| number.to_string()).collect();
    {
        let store = bench.store();
        let memo = open(&store)?;
        (0..1_000).for_each(|key| miss!(memo, &key => key));
        memo.insert(&0, &0)?;
        assert_eq!(keys(&memo), expected);
    }
    let store = bench.store();
    let memo = open(&store)?;
    assert_eq!(keys(&memo), expected);
    memo.remove(&7)?;
    bench.clock.advance(HOUR);
    memo.insert(&8, &8)?;
    assert_eq!(keys(&memo), ["8"], "the others have expired");
    memo.clear()?;
    assert!(keys(&memo).is_empty());
    Ok(())
}

#[test]
fn entries_may_come_and_leave_during_a_walk() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain_numbers(&store);
    (0..200).for_each(|key| memo.insert(&key, &key).unwrap());
    let mut walk = memo.entries()?;
    assert_eq!(walk.next().unwrap()?.key, "0");
    (64..200).for_each(|key| assert!(memo.remove(&key).unwrap()));
    memo.insert(&500, &500)?;
    assert_eq!(walk.last().unwrap()?.key, "500");
    Ok(())
}

/// The walk holds no engine between two items: the close would wait for it.
#[test]
fn a_store_that_is_closed_during_a_walk_ends_it_with_an_error() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain_numbers(&store);
    (0..100).for_each(|key| memo.insert(&key, &key).unwrap());
    let mut walk = memo.entries()?;
    assert_eq!(walk.next().unwrap()?.key, "0");
    store.close()?;
    let rest: Vec<_> = walk.by_ref().collect();
    let (last, found) = rest.split_last().unwrap();
    assert!(last.as_ref().unwrap_err().is_closed() && found.iter().all(Result::is_ok));
    assert!(walk.next().is_none());
    assert!(memo.entries().unwrap_err().is_closed());
    Ok(())
}

#[test]
fn an_index_that_cannot_be_read_ends_a_walk_with_its_error() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain_numbers(&store);
    memo.insert(&1, &1)?;
    bench.faults.plant(memolith::testing::Operation::Scan, memolith::testing::Fault::NoSpace);
    let items: Vec<_> = memo.entries()?.collect();
    assert!(matches!(items.as_slice(), [Err(_)]), "{items:?}");
    Ok(())
}

#[test]
fn private_keys_are_in_no_entry_event_or_file() -> Result<(), Error> {
    let bench = Bench::new();
    let told = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    {
        let log = std::sync::Arc::clone(&told);
        let store = bench
            .options()
            .observer(move |event| write!(log.lock().unwrap(), "{event:?}").unwrap())
            .open(bench.path())?;
        let memo: Memo<str, Vec<u8>> = Memo::builder("answers").private_keys().open(&store)?;
        memo.get_or_insert_with("a secret word", || vec![1]);
        memo.insert("a secret picture", &large(1))?;
        hit!(memo, "a secret word" => vec![1]);
        assert_eq!(keys(&memo), ["", ""]);
        let refused = Memo::<str, Vec<u8>>::builder("answers").open(&store);
        assert!(refused.is_ok(), "an option that is left out is that of the open memo");
    }
    assert!(!told.lock().unwrap().contains("secret"));
    for file in files_below(&bench.path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"), "{}", file.display());
    }
    Ok(())
}

fn plain_numbers(store: &Store) -> Memo<u32, u32> {
    Memo::builder("numbers").open(store).unwrap()
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
