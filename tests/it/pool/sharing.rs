//! One object for all callers, found by its type and its key.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard},
};

use memolith::{ResourceEntry, ResourcePool, ResourcePoolBuilder};
use serde::{Serialize, Serializer, ser::Error as _};

use super::{Log, Logged, put};

/// It has no `Serialize`.
struct Connection {
    sent: Mutex<Vec<String>>,
}

fn connect() -> Connection {
    Connection { sent: Mutex::default() }
}

#[test]
fn all_callers_get_the_same_object_and_see_each_others_changes() {
    // B16, B17, B18
    let pool = ResourcePool::new();
    let first: Arc<Connection> = pool.get_or_insert_with("main", connect);
    first.sent.lock().unwrap().push("hello".to_owned());
    let second: Arc<Connection> = pool.get_or_insert_with("main", || unreachable!("it is there"));
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(*second.sent.lock().unwrap(), ["hello"]);
    assert_eq!(pool.len(), 1);
}

#[test]
fn the_type_is_inferred_from_where_the_resource_goes() {
    let pool = ResourcePool::new();
    let db: Arc<Mutex<Connection>> = pool.get_or_insert_with("main", || Mutex::new(connect()));
    let found = pool.get::<Mutex<Connection>>("main").unwrap();
    let asked = pool.entry::<Mutex<Connection>>("main").or_insert_with(|| unreachable!("it is there"));
    assert!(Arc::ptr_eq(&db, &found) && Arc::ptr_eq(&db, &asked));
}

#[test]
fn two_types_under_one_key_are_two_resources() {
    let pool = ResourcePool::new();
    let text = pool.get_or_insert_with("x", || String::from("text"));
    let number = pool.get_or_insert_with("x", || 7_u32);
    assert_eq!((text.as_str(), *number, pool.len()), ("text", 7, 2));
    assert!(pool.remove::<u32>("x"));
    assert!(Arc::ptr_eq(&text, &pool.get::<String>("x").unwrap()));
}

#[test]
fn two_keys_are_two_resources() {
    let pool = ResourcePool::new();
    let numbers: Vec<Arc<Mutex<u8>>> =
        (0..50_u8).map(|key| pool.get_or_insert_with(&key, || Mutex::new(key))).collect();
    assert_eq!(pool.len(), 50);
    for (key, number) in (0..50_u8).zip(&numbers) {
        assert!(Arc::ptr_eq(number, &pool.get::<Mutex<u8>>(&key).unwrap()));
        assert_eq!(*number.lock().unwrap(), key);
    }
}

#[test]
fn a_key_is_compared_by_value_whatever_holds_it() {
    let pool = ResourcePool::new();
    let connection = pool.get_or_insert_with("x", connect);
    let owned = pool.get::<Connection>(&String::from("x")).unwrap();
    let boxed = pool.get::<Connection>(&Rc::<str>::from("x")).unwrap();
    assert!(Arc::ptr_eq(&connection, &owned) && Arc::ptr_eq(&connection, &boxed));
    let sorted = pool.get_or_insert_with(&BTreeMap::from([("host", "a"), ("port", "1")]), connect);
    let hashed = pool.get::<Connection>(&HashMap::from([("port", "1"), ("host", "a")])).unwrap();
    assert!(Arc::ptr_eq(&sorted, &hashed));
    assert!(pool.get::<Connection>(&'x').is_none());
    assert_eq!(pool.len(), 2);
}

#[test]
fn long_keys_that_differ_in_one_place_are_two_keys() {
    let pool = ResourcePool::new();
    for length in 0..200 {
        let (key, other) = ("a".repeat(length), "a".repeat(length) + "b");
        pool.get_or_insert_with(&key, || length);
        assert!(pool.get::<usize>(&other).is_none(), "{length}");
        assert_eq!(*pool.get::<usize>(&key).unwrap(), length);
    }
}

/// A key that fails halfway, or panics.
struct Unfit {
    panics: bool,
}

impl Serialize for Unfit {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        assert!(!self.panics, "no words for it");
        Err(S::Error::custom("no bytes for it"))
    }
}

#[test]
fn a_resource_whose_key_cannot_be_serialized_is_built_and_not_kept() {
    for (panics, words) in [(false, "no bytes for it"), (true, "no words for it")] {
        let (pool, log, key) = (ResourcePool::new(), Log::default(), Unfit { panics });
        let first = pool.get_or_insert_with(&key, || log.resource("first"));
        let second = pool
            .entry(&key)
            .validate(|_| unreachable!("it is new"))
            .or_insert_with(|| log.resource("second"));
        assert!(!Arc::ptr_eq(&first, &second) && pool.is_empty());
        assert!(pool.get::<Connection>(&key).is_none() && !pool.remove::<Connection>(&key));
        drop((first, second));
        assert_eq!(log.released(), ["first", "second"]);
        let failure = pool.last_failure().unwrap().to_string();
        assert!(failure.contains(words) && failure.contains("pool"), "{failure}");
    }
}

#[test]
fn the_error_of_a_builder_is_its_own_and_nothing_is_kept() {
    let pool = ResourcePool::new();
    let failed = pool.get_or_try_insert_with("x", || Err::<String, u8>(7));
    assert_eq!(failed, Err(7));
    assert!(pool.is_empty());
    let built = pool.entry::<String>("x").or_try_insert_with(|| Ok::<_, u8>("built".to_owned())).unwrap();
    let found = pool.get_or_try_insert_with("x", || Err::<String, u8>(8)).unwrap();
    assert!(Arc::ptr_eq(&built, &found));
    assert!(pool.last_failure().is_none());
}

#[test]
fn clones_are_one_pool_and_another_pool_is_another() {
    let (pool, other) = (ResourcePool::new(), ResourcePool::default());
    let connection = pool.get_or_insert_with("main", connect);
    assert!(Arc::ptr_eq(&connection, &pool.clone().get::<Connection>("main").unwrap()));
    assert!(other.get::<Connection>("main").is_none());
}

#[test]
fn the_pool_of_the_process_is_one() {
    struct Mine;
    let mine = ResourcePool::global().get_or_insert_with("main", || Mine);
    assert!(Arc::ptr_eq(&mine, &ResourcePool::global().get::<Mine>("main").unwrap()));
    assert!(ResourcePool::global().remove::<Mine>("main"));
}

#[test]
fn to_look_at_a_pool_releases_nothing_and_builds_nothing() {
    // B140
    let (pool, log) = (ResourcePool::new(), Log::default());
    put(&pool, &log, "a");
    assert!(pool.get::<Logged>("b").is_none());
    assert_eq!((pool.len(), pool.is_empty()), (1, false));
    assert_eq!(format!("{pool:?}"), "ResourcePool { len: 1, ttl: None, max_entries: None, .. }");
    let _unused = pool.entry::<Logged>("b");
    assert_eq!((pool.len(), log.released().len()), (1, 0));
}

#[test]
fn a_pool_and_its_parts_cross_threads() {
    fn crosses<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    fn is_a_value<T: Clone + std::fmt::Debug + Default + Send + Sync + 'static>() {}
    // A resource may be of a type without `Clone` and `Debug`.
    fn holds<T: Send + Sync + 'static>(pool: &ResourcePool, build: impl FnOnce() -> T) -> Arc<T> {
        pool.get_or_insert_with("x", build)
    }
    crosses::<ResourcePool>();
    is_a_value::<ResourcePool>();
    is_a_value::<ResourcePoolBuilder>();
    holds(&ResourcePool::new(), || Mutex::new(std::cell::Cell::new(1)));
    let _: fn(&ResourcePool) -> ResourceEntry<'_, u8> = |pool| pool.entry("x");
}

#[test]
fn a_guard_of_a_shared_resource_may_be_held_over_other_calls() {
    let pool = ResourcePool::new();
    let list = pool.get_or_insert_with("list", || Mutex::new(vec![1]));
    let mut held: MutexGuard<'_, Vec<u8>> = list.lock().unwrap();
    let same: Arc<Mutex<Vec<u8>>> = pool.get_or_insert_with("list", || unreachable!("it is there"));
    held.push(2);
    drop(held);
    assert_eq!(*same.lock().unwrap(), [1, 2]);
}
