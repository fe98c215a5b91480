//! Code of the user that fails or panics beside the closure: a value's `Serialize`, `Deserialize`, `Clone` or `Drop`,
//! a key's `Serialize`, `cache_if`. No caller sees it, and no lock stays held. Observers have claims of their own in
//! `observers`.

use std::{
    cell::Cell,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use memolith::{Memo, Store, observe::Event};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    threads::{Caller, Observed, watched},
    vocabulary::*,
};

/// The operation that fails or panics for a [`Touchy`] value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Touch {
    Encode = 10,
    EncodeFails,
    Decode,
    DecodeFails,
    Clone,
    Drop,
}

#[derive(Debug, PartialEq)]
pub struct Touchy(pub u32);

impl Touchy {
    fn new(touch: Touch) -> Self {
        Self(touch as u32)
    }

    fn touched(&self, touch: Touch) -> bool {
        self.0 == touch as u32
    }

    #[track_caller]
    fn touch(&self, touch: Touch) {
        assert!(!self.touched(touch), "do not touch: {touch:?}");
    }
}

impl Serialize for Touchy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.touch(Touch::Encode);
        if self.touched(Touch::EncodeFails) {
            return Err(serde::ser::Error::custom("not to be written"));
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        assert!(number != Touch::Decode as u32, "do not touch: Decode");
        if number == Touch::DecodeFails as u32 {
            return Err(D::Error::custom("not to be read"));
        }
        Ok(Self(number))
    }
}

impl Clone for Touchy {
    fn clone(&self) -> Self {
        self.touch(Touch::Clone);
        Self(self.0)
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        self.touch(Touch::Drop);
    }
}

pub fn touchy(store: &Store) -> Memo<str, Touchy> {
    Memo::builder("touchy").max_entries(2).open(store).unwrap()
}

/// Calls, and forgets the value without its `Drop`.
#[track_caller]
pub fn call(memo: &Memo<str, Touchy>, key: &str, touch: Touch) -> bool {
    let mut computed = false;
    let value = memo.get_or_insert_with(key, || {
        computed = true;
        Touchy::new(touch)
    });
    assert_eq!(value.0, touch as u32);
    mem::forget(value);
    computed
}

/// No lock is held any more, for this thread and for others.
#[track_caller]
pub fn all_is_free(store: &Store, memo: &Memo<str, Touchy>) {
    let other = Caller::start({
        let (store, memo) = (store.clone(), memo.clone());
        move || use_all(&store, &memo)
    });
    other.join();
    use_all(store, memo);
}

#[track_caller]
fn use_all(store: &Store, memo: &Memo<str, Touchy>) {
    memo.clear().unwrap();
    for key in ["first", "second", "third", "fourth"] {
        miss!(memo, key => Touchy(1));
        hit!(memo, key => Touchy(1));
    }
    memo.insert("first", &Touchy(2)).unwrap();
    assert!(memo.remove("first").unwrap());
    assert!(memo.len().unwrap() <= 2 && store.usage().unwrap().entries <= 2);
    store.sweep().unwrap();
    store.flush().unwrap();
    hit!(touchy(store), "fourth" => Touchy(1));
}

#[test]
fn a_value_that_cannot_be_encoded_is_computed_each_time_and_told() {
    for (touch, memory) in [(Touch::Encode, 0), (Touch::EncodeFails, 0), (Touch::Encode, 1 << 20)] {
        watched(move || {
            let bench = Bench::new();
            let told = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&told);
            let options = bench.options().memory(memory).observer(move |event| {
                count.fetch_add(
                    usize::from(matches!(event, Event::Failed { memo: Some("touchy"), .. })),
                    SeqCst,
                );
            });
            let store = options.open(bench.path()).unwrap();
            let memo = touchy(&store);
            assert!((0..3).all(|_| call(&memo, "one", touch)));
            let failures = memo.stats().failures;
            let counted = if touch == Touch::Encode { failures.panic } else { failures.encode };
            assert_eq!((counted, failures.total(), told.load(SeqCst)), (3, 3, 3));
            let words = memo.last_failure().unwrap().to_string();
            assert!(
                words.contains("touchy") && words.contains("str -> ") && words.contains("Touchy"),
                "{words}"
            );
            assert!(memo.insert("one", &Touchy::new(touch)).is_err());
            all_is_free(&store, &memo);
        });
    }
}

/// B51
#[test]
fn a_value_that_serde_cannot_write_names_the_type() {
    watched(|| {
        let store = Store::temporary().unwrap();
        let memo: Memo<str, SystemTime> = Memo::builder("times").open(&store).unwrap();
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        miss!(memo, "one" => before);
        miss!(memo, "one" => before);
        assert_eq!(memo.stats().failures.encode, 2);
        assert!(memo.last_failure().unwrap().to_string().contains("SystemTime"));
    });
}

#[test]
fn a_value_that_cannot_be_decoded_is_computed_each_time_and_told() {
    for touch in [Touch::Decode, Touch::DecodeFails] {
        watched(move || {
            let bench = Bench::new();
            let store = bench.store();
            let memo = touchy(&store);
            assert!((0..3).all(|_| call(&memo, "one", touch)));
            let stats = memo.stats();
            let counted = if touch == Touch::Decode { stats.failures.panic } else { stats.failures.encode };
            assert_eq!((counted, stats.failures.total()), (3, 3));
            assert_eq!((stats.misses.absent, stats.inserts), (3, 0));
            assert_eq!(memo.get("one").unwrap(), None);
            assert!(memo.insert("one", &Touchy::new(touch)).is_err());
            all_is_free(&store, &memo);
        });
    }
}

/// It could be decoded when it was stored.
#[test]
fn a_value_that_can_no_longer_be_decoded_is_computed_each_time_and_told() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.diskful();
        let is_broken = Arc::new(AtomicBool::new(false));
        let codec = {
            let is_broken = Arc::clone(&is_broken);
            Observed(move || assert!(!is_broken.load(SeqCst), "not to be read"))
        };
        let memo: Memo<str, u8> = Memo::builder("numbers").codec(codec).open(&store).unwrap();
        miss!(memo, "one" => 1);
        is_broken.store(true, SeqCst);
        for calls in 1..=2 {
            miss!(memo, "one" => 1);
            let stats = memo.stats();
            // It is decoded by the lookup, and again before it is stored.
            assert_eq!((stats.misses.damaged, stats.failures.panic), (calls, 2 * calls));
        }
        assert!(memo.last_failure().unwrap().to_string().contains("not to be read"));
        is_broken.store(false, SeqCst);
        hit!(memo, "one" => 1);
    });
}

#[test]
fn a_value_that_cannot_be_cloned_is_read_from_disk() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo = touchy(&store);
        assert!(call(&memo, "one", Touch::Clone));
        assert!((0..3).all(|_| !call(&memo, "one", Touch::Clone)));
        assert!(memo.stats().failures.panic >= 3);
        assert_eq!(memo.stats().hits.disk, 3);
        all_is_free(&store, &memo);
    });
}

/// Puts entries into disk and memory. Their values panic when they are dropped.
fn held(store: &Store) -> Memo<str, Touchy> {
    let memo = touchy(store);
    for key in ["one", "two"] {
        assert!(call(&memo, key, Touch::Drop));
        assert!(!call(&memo, key, Touch::Drop));
        assert!(!call(&memo, key, Touch::Drop));
    }
    assert_eq!(memo.stats().hits.memory, 2);
    memo
}

type Way = fn(&Store, &Memo<str, Touchy>);

/// Two at a time: a second panic while the first unwinds would end the process.
#[test]
fn values_that_panic_when_they_are_dropped_leave_the_memory_all_the_same() {
    let ways: [Way; 7] = [
        |_, memo| memo.clear().unwrap(),
        |store, _| store.clear().unwrap(),
        |store, _| assert!(store.remove_memo("touchy").unwrap()),
        |_, memo| assert!(memo.remove("one").unwrap()),
        |_, memo| memo.insert("one", &Touchy(1)).unwrap(),
        |_, memo| ["three", "four"].into_iter().for_each(|key| miss!(memo, key => Touchy(1))),
        |store, _| assert_eq!(store.sweep().unwrap().expired, 0),
    ];
    for leave in ways {
        watched(move || {
            let bench = Bench::new();
            let store = bench.store();
            let memo = held(&store);
            leave(&store, &memo);
            all_is_free(&store, &memo);
            assert_eq!(store.stats().failures.panic, 2, "each is counted");
        });
    }
}

#[test]
fn values_that_panic_when_they_are_dropped_do_not_keep_a_store_from_closing() {
    for by_name in [true, false] {
        watched(move || {
            let bench = Bench::new();
            let store = bench.store();
            let memo = held(&store);
            if by_name {
                store.close().unwrap();
            }
            drop((memo, store));
            let store = bench.store();
            assert!(!call(&touchy(&store), "one", Touch::Drop));
        });
    }
}

/// The memory tier makes room. The victims are values of other calls.
#[test]
fn a_value_that_panics_when_the_memory_makes_room_does_not_fail_another_call() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.options().memory(500).open(bench.path()).unwrap();
        let memo = touchy(&store);
        for key in ["one", "two"] {
            assert!(call(&memo, key, Touch::Drop));
        }
        for key in ["one", "two", "one", "two"] {
            assert!(!call(&memo, key, Touch::Drop));
        }
        assert_eq!(memo.stats().hits.disk, 4, "there is room for one of them at a time");
        all_is_free(&store, &memo);
    });
}

/// A key that can be serialized a number of times, and panics after that.
struct Fragile(Cell<u32>);

impl Serialize for Fragile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(left) = self.0.get().checked_sub(1) else { panic!("written too often") };
        self.0.set(left);
        serializer.serialize_str("fragile")
    }
}

/// B51, B55
#[test]
fn a_key_that_panics_the_first_or_the_second_time_it_is_written_does_not_fail_the_call() {
    watched(|| {
        let bench = Bench::new();
        let store = bench.store();
        let memo: Memo<Fragile, u64> = Memo::builder("fragile").open(&store).unwrap();
        let key = |times| Fragile(Cell::new(times));
        miss!(memo, &key(0) => 1);
        miss!(memo, &key(0) => 2);
        assert_eq!((memo.stats().failures.panic, memo.usage().unwrap().entries), (2, 0));
        miss!(memo, &key(1) => 3);
        hit!(memo, &key(1) => 3);
        assert!(memo.get(&key(0)).is_err() && memo.remove(&key(0)).is_err());
        assert!(memo.insert(&key(0), &1).is_err());
        memo.insert(&key(1), &4).unwrap();
        hit!(memo, &key(1) => 4);
    });
}

#[test]
fn a_cache_if_that_panics_keeps_nothing_and_hands_the_value_over() {
    watched(|| {
        let store = Store::temporary().unwrap();
        let wanted = |value: &Touchy| {
            assert!(value.0 != 3, "in cache_if");
            true
        };
        let memo: Memo<str, Touchy> =
            Memo::builder("touchy").max_entries(2).cache_if(wanted).open(&store).unwrap();
        miss!(memo, "one" => Touchy(3));
        miss!(memo, "one" => Touchy(3));
        assert_eq!((memo.stats().failures.panic, memo.stats().inserts), (2, 0));
        all_is_free(&store, &memo);
    });
}
