//! The promises of `#[resource]` above an `async fn`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::join_all;
use memolith::{FunctionPool, resource};

use super::{Runs, pause};
use crate::{is_send, under_each_executor};

/// Neither serializable nor cloneable.
#[derive(Debug)]
struct Connection {
    host: String,
    is_broken: AtomicBool,
}

impl Connection {
    fn new(host: &str) -> Self {
        Self { host: host.to_owned(), is_broken: AtomicBool::new(false) }
    }

    fn works(&self) -> bool {
        !self.is_broken.load(Relaxed)
    }

    async fn answers(&self) -> bool {
        pause().await;
        self.works()
    }
}

#[resource]
async fn connection(host: &str, _runs: &Runs) -> Connection {
    _runs.count();
    pause().await;
    Connection::new(host)
}

#[test]
fn a_hundred_tasks_of_one_key_get_one_object() {
    under_each_executor(async || {
        let runs = Runs::default();
        connection_pool().clear();
        let all = join_all((0..100).map(|_| connection("a", &runs))).await;
        assert!(all.iter().all(|one| Arc::ptr_eq(one, &all[0])));
        let other = connection("b", &runs).await;
        assert_eq!((runs.take(), other.host.as_str()), (2, "b"));
        let pool: &FunctionPool<str, Connection> = connection_pool();
        assert!(pool.get("b").is_some_and(|found| Arc::ptr_eq(&found, &other)) && pool.len() == 2);
    });
}

#[resource(validate = Connection::works)]
async fn checked_by_a_function(_runs: &Runs) -> Connection {
    _runs.count();
    Connection::new("")
}

#[resource(validate = Connection::answers)]
async fn checked_by_an_async_function(_runs: &Runs) -> Result<Connection, String> {
    _runs.count();
    pause().await;
    Ok(Connection::new(""))
}

#[resource(validate = |connection| connection.host.is_empty() && connection.works())]
async fn checked_by_a_closure(_runs: &Runs) -> Connection {
    _runs.count();
    Connection::new("")
}

#[resource(validate = async |connection| connection.answers().await)]
async fn checked_by_an_async_closure(_runs: &Runs) -> Connection {
    _runs.count();
    Connection::new("")
}

#[test]
fn a_resource_that_is_refused_is_built_anew() {
    async fn holds<T: Send + Future<Output = Arc<Connection>>>(runs: &Runs, call: impl Fn() -> T) {
        let (first, same) = (call().await, call().await);
        assert!(Arc::ptr_eq(&first, &same) && runs.take() == 1);
        first.is_broken.store(true, Relaxed);
        assert!(call().await.works() && call().await.works() && runs.take() == 1);
    }
    let runs = &Runs::default();
    smol::block_on(async {
        holds(runs, || checked_by_a_function(runs)).await;
        holds(runs, || is_send(async { checked_by_an_async_function(runs).await.unwrap() })).await;
        holds(runs, || checked_by_a_closure(runs)).await;
        holds(runs, || checked_by_an_async_closure(runs)).await;
    });
}

#[resource(skip(attempt), ttl = Duration::ZERO)]
async fn fresh(attempt: u32) -> u32 {
    attempt
}

#[resource(skip(attempt), max_entries = 1)]
async fn bounded(key: u32, attempt: u32) -> u32 {
    key + attempt
}

#[test]
fn a_ttl_and_a_bound_hold() {
    smol::block_on(async {
        assert_eq!((*fresh(1).await, *fresh(2).await), (1, 2));
        assert_eq!((*bounded(0, 1).await, *bounded(0, 2).await), (1, 1));
        assert_eq!((*bounded(10, 1).await, *bounded(0, 3).await), (11, 3));
        assert_eq!((bounded_pool().len(), bounded_pool().stats().evictions), (1, 2));
    });
}

#[derive(Debug, PartialEq)]
struct Refused<'a>(&'a str);

#[resource]
async fn opened<'a>(name: &'a str, _runs: &Runs) -> Result<String, Refused<'a>> {
    _runs.count();
    pause().await;
    if name.is_empty() {
        return Err(Refused(name));
    }
    Ok(name.to_owned())
}

#[test]
fn an_error_is_passed_on_and_nothing_is_kept() {
    smol::block_on(async {
        let runs = Runs::default();
        for _ in 0..2 {
            assert_eq!(opened("", &runs).await, Err(Refused("")));
            assert_eq!(opened("a", &runs).await.as_deref().map(String::as_str), Ok("a"));
        }
        assert_eq!((runs.take(), opened_pool().len()), (3, 1));
    });
}

#[resource]
async fn made<T: Default + Send + Sync + 'static>(_runs: &Runs) -> T {
    _runs.count();
    T::default()
}

#[test]
fn instances_have_a_pool_each() {
    smol::block_on(async {
        let runs = Runs::default();
        for _ in 0..2 {
            assert_eq!((*made::<u8>(&runs).await, *made::<bool>(&runs).await), (0, false));
        }
        assert_eq!((runs.take(), made_pool::<u8>().len(), made_pool::<String>().len()), (2, 1, 0));
    });
}

#[resource]
async fn built<T: Build>(_runs: &Runs) -> T::Out {
    _runs.count();
    T::build()
}

trait Build {
    type Out: Send + Sync + 'static;
    fn build() -> Self::Out;
}

impl Build for Connection {
    type Out = Result<Self, String>;
    fn build() -> Self::Out {
        Err("no answer".into())
    }
}

#[test]
fn a_generic_type_that_turns_out_to_be_a_result_is_built_by_each_call() {
    smol::block_on(async {
        let runs = Runs::default();
        assert!(built::<Connection>(&runs).await.is_err() && built::<Connection>(&runs).await.is_err());
        assert_eq!(runs.take(), 2);
    });
}
