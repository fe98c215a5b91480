//! The promises of the types. Most of these claims are proven when they compile.

use std::{
    collections::HashMap,
    error::Error as StdError,
    fmt::Debug,
    rc::Rc,
    sync::{Arc, LazyLock},
    thread,
};

use memolith::{
    Error, FileStamp, Memo, MemoBuilder, Stats, Store, StoreBuilder, Swept, codec, observe, stats,
};

fn is_shared<T: Send + Sync + 'static>() {}
fn is_cloned<T: Clone>() {}
fn is_sent<T: Send + 'static>() {}
fn is_shown<T: Debug>() {}

static STORE: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());

/// Its key type holds a `'static` reference.
static LENGTHS: LazyLock<Memo<(&'static str, u32), u64>> =
    LazyLock::new(|| Memo::builder("lengths").open(&STORE).unwrap());

fn length(word: &str, times: u32) -> u64 {
    // `word` lives shorter than the static: this compiles because a memo is covariant in its key.
    LENGTHS.get_or_insert_with(&(word, times), || word.len() as u64 * u64::from(times))
}

#[test]
fn a_memo_in_a_static_is_called_with_short_borrows() {
    let words: Vec<String> = ["one", "three"].map(String::from).into();
    assert_eq!(words.iter().map(|word| length(word, 2)).collect::<Vec<_>>(), [6, 10]);
    drop(words);
    assert_eq!(LENGTHS.get_or_insert_with(&("three", 2), || panic!("computed, though it is remembered")), 10);
}

/// Covariance, as the compiler sees it.
fn shorten<'a>(memo: Memo<&'static str, u8>) -> Memo<&'a str, u8> {
    memo
}

#[test]
fn a_memo_of_static_keys_is_a_memo_of_any_keys() {
    let key = String::from("key");
    let memo = shorten(Memo::builder("shortened").open(&STORE).unwrap());
    memo.insert(&key.as_str(), &1).unwrap();
    assert_eq!(memo.get(&"key").unwrap(), Some(1));
}

#[test]
fn handles_are_shared_between_threads_and_cloned() {
    is_shared::<Memo<str, Vec<u8>>>();
    is_cloned::<Memo<str, Vec<u8>>>();
    is_shared::<Store>();
    is_cloned::<Store>();
    is_shared::<FileStamp>();
    is_cloned::<FileStamp>();
    is_shared::<Error>();
    is_cloned::<Error>();
    is_shared::<Stats>();
    is_cloned::<Stats>();
}

#[test]
fn builders_are_sent_to_the_thread_that_opens() {
    is_sent::<MemoBuilder<str, Vec<u8>>>();
    is_sent::<MemoBuilder<Rc<str>, Arc<[u8]>>>();
    is_sent::<StoreBuilder>();
    let options: MemoBuilder<str, u8> = Memo::builder("sent").cache_if(|value| *value > 0);
    let memo = thread::spawn(move || options.open(&STORE).unwrap()).join().unwrap();
    assert_eq!(memo.get_or_insert_with("one", || 1), 1);
}

/// Serializes as its number, and must stay on its thread.
#[derive(serde::Serialize)]
struct Tied {
    number: u32,
    #[serde(skip)]
    _tie: std::marker::PhantomData<*const u8>,
}

#[test]
fn a_memo_is_shared_though_its_keys_are_not() {
    is_shared::<Memo<Tied, u64>>();
    is_shared::<Memo<Rc<str>, u64>>();
    let memo: Memo<Rc<str>, u64> = Memo::builder("rc").open(&STORE).unwrap();
    memo.insert(&Rc::from("key"), &7).unwrap();
    let there = memo.clone();
    let found = thread::spawn(move || there.get(&Rc::from("key")).unwrap()).join().unwrap();
    assert_eq!(found, Some(7));
    let tied: Memo<Tied, u64> = Memo::builder("tied").open(&STORE).unwrap();
    let key = || Tied { number: 3, _tie: std::marker::PhantomData };
    assert_eq!(tied.get_or_insert_with(&key(), || 9), 9);
    assert_eq!(tied.get(&key()).unwrap(), Some(9));
}

#[test]
fn keys_need_no_size() {
    let words: Memo<str, u8> = Memo::builder("words").open(&STORE).unwrap();
    words.insert("one", &1).unwrap();
    assert_eq!(words.get(&String::from("one")).unwrap(), Some(1));
    let bytes: Memo<[u8], u8> = Memo::builder("bytes").open(&STORE).unwrap();
    bytes.insert(&[1, 2], &3).unwrap();
    let owned: Vec<u8> = (1..3).collect();
    assert_eq!(bytes.get(&owned).unwrap(), Some(3));
    let paths: Memo<std::path::Path, u8> = Memo::builder("paths").open(&STORE).unwrap();
    paths.insert("a/b".as_ref(), &4).unwrap();
    assert_eq!(paths.get(&std::path::PathBuf::from("a/b")).unwrap(), Some(4));
}

#[test]
fn values_are_shared_by_arc_or_owned() {
    let shared: Memo<u8, Arc<Vec<u64>>> = Memo::builder("shared").open(&STORE).unwrap();
    shared.insert(&1, &Arc::new(vec![1, 2])).unwrap();
    let [first, second] = [shared.get(&1), shared.get(&1)].map(|found| found.unwrap().unwrap());
    assert!(Arc::ptr_eq(&first, &second) && *first == [1, 2]);
    let owned: Memo<u8, HashMap<String, Option<f32>>> = Memo::builder("owned").open(&STORE).unwrap();
    let mut value = owned.get_or_insert_with(&1, HashMap::new);
    value.insert("mine".into(), None);
    assert_eq!(owned.get(&1).unwrap(), Some(HashMap::new()));
}

#[test]
fn everything_public_is_shown_for_debugging() {
    is_shown::<Memo<Tied, u64>>();
    is_shown::<MemoBuilder<Tied, u64>>();
    is_shown::<Store>();
    is_shown::<StoreBuilder>();
    is_shown::<Swept>();
    is_shown::<Stats>();
    is_shown::<stats::Hits>();
    is_shown::<stats::Misses>();
    is_shown::<stats::Failures>();
    is_shown::<observe::Event<'_>>();
    is_shown::<observe::Tier>();
    is_shown::<observe::Reason>();
    is_shown::<FileStamp>();
    is_shown::<Error>();
    is_shown::<codec::Postcard>();
    is_shown::<codec::Shape>();
    is_shown::<codec::Payload>();
}

#[test]
fn an_error_is_an_error_like_any_other() {
    fn is_error<T: StdError + Send + Sync + 'static>() {}
    is_error::<Error>();
    let refused: Box<dyn StdError + Send + Sync> =
        Memo::<str, u8>::builder("").open(&STORE).map(drop).unwrap_err().into();
    assert!(refused.downcast_ref::<Error>().is_some_and(Error::is_config));
}
