use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use memolith::{ResourcePool, resource};

use super::Runs;

/// Neither serializable nor cloneable.
struct Connection {
    host: String,
    broken: AtomicBool,
}

impl Connection {
    fn new(host: &str) -> Self {
        Self { host: host.to_owned(), broken: AtomicBool::new(false) }
    }

    fn works(&self) -> bool {
        !self.broken.load(Relaxed)
    }
}

#[resource]
fn connection(host: &str, _runs: &Runs) -> Mutex<Connection> {
    _runs.count();
    Mutex::new(Connection::new(host))
}

#[resource]
fn another(host: &str, _runs: &Runs) -> Mutex<Connection> {
    _runs.count();
    Mutex::new(Connection::new(host))
}

#[test]
fn all_callers_of_one_key_get_one_object() {
    let runs = Runs::default();
    let (one, same, other) = (connection("a", &runs), connection("a", &runs), connection("b", &runs));
    assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
    assert_eq!((runs.take(), other.lock().unwrap().host.as_str()), (2, "b"));
}

#[test]
fn two_functions_of_one_type_never_share() {
    let runs = Runs::default();
    let (one, other) = (connection("x", &runs), another("x", &runs));
    assert!(!Arc::ptr_eq(&one, &other));
    assert!(
        ResourcePool::global().get::<Mutex<Connection>>("x").is_none(),
        "a key of the user finds neither"
    );
}

#[resource(validate = Connection::works)]
fn checked(host: &str, _runs: &Runs) -> Connection {
    _runs.count();
    Connection::new(host)
}

#[test]
fn a_resource_that_is_refused_is_built_anew() {
    let runs = Runs::default();
    let first = checked("a", &runs);
    assert!(Arc::ptr_eq(&first, &checked("a", &runs)));
    first.broken.store(true, Relaxed);
    assert!(checked("a", &runs).works());
    assert_eq!(runs.take(), 2);
}

#[resource(skip(attempt), ttl = Duration::ZERO)]
fn fresh(attempt: u32) -> u32 {
    attempt
}

#[resource(ttl = "1h", skip(attempt))]
fn kept(attempt: u32) -> u32 {
    attempt
}

#[test]
fn a_ttl_says_how_old_a_resource_may_be() {
    assert_eq!((*fresh(1), *fresh(2)), (1, 2));
    assert_eq!((*kept(1), *kept(2)), (1, 1));
}

#[derive(Debug, PartialEq)]
struct Refused<'a>(&'a str);

#[resource]
fn opened<'a>(name: &'a str, _runs: &Runs) -> Result<String, Refused<'a>> {
    _runs.count();
    if name.is_empty() {
        return Err(Refused(name));
    }
    Ok(name.to_owned())
}

#[test]
fn an_error_is_passed_on_and_nothing_is_kept() {
    let runs = Runs::default();
    assert_eq!((opened("", &runs), opened("", &runs), runs.take()), (Err(Refused("")), Err(Refused("")), 2));
    let (one, two) = (opened("a", &runs).unwrap(), opened("a", &runs).unwrap());
    assert!(Arc::ptr_eq(&one, &two) && runs.take() == 1);
}

#[resource]
fn default_of<T: Default + Send + Sync + 'static, const N: usize>() -> Vec<T> {
    (0..N).map(|_| T::default()).collect()
}

struct Server(u8);

impl Server {
    #[resource(key = self.0)]
    fn number(&self, _runs: &Runs) -> u8 {
        _runs.count();
        self.0
    }

    #[resource(skip(self))]
    fn any(&self) -> u8 {
        self.0
    }
}

#[test]
fn instances_of_a_generic_function_do_not_share() {
    assert_eq!(
        (default_of::<u8, 1>().len(), default_of::<u8, 2>().len(), default_of::<u16, 1>().len()),
        (1, 2, 1)
    );
}

#[test]
fn methods_say_what_of_their_object_counts() {
    let runs = Runs::default();
    assert_eq!((*Server(1).number(&runs), *Server(2).number(&runs), *Server(1).number(&runs)), (1, 2, 1));
    assert_eq!((runs.take(), *Server(1).any(), *Server(2).any()), (2, 1, 1));
}
