use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use memolith::{FunctionPool, ResourcePool, observe::Event, resource};

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
    #[resource(key: u8 = self.0)]
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

#[resource(max_entries = 2)]
fn bounded(number: u8) -> u8 {
    number
}

#[resource]
fn beside(number: u8) -> u8 {
    number
}

#[test]
fn a_bound_counts_the_resources_of_its_function_alone() {
    let beside: Vec<Arc<u8>> = (0..5).map(beside).collect();
    let bounded: Vec<Weak<u8>> = (0..5).map(|number| Arc::downgrade(&bounded(number))).collect();
    assert_eq!((beside_pool().len(), bounded_pool().len(), beside.len()), (5, 2, 5));
    let alive: Vec<bool> = bounded.iter().map(|resource| resource.upgrade().is_some()).collect();
    assert_eq!(alive, [false, false, false, true, true], "the oldest insertion leaves first");
    assert_eq!((bounded_pool().stats().evictions, beside_pool().stats().evictions), (3, 0));
}

const NONE: u64 = 0;

#[resource(max_entries = NONE)]
fn unbounded(number: u8) -> u8 {
    number
}

#[test]
fn a_bound_of_zero_has_each_call_build_and_is_told() {
    assert!(!Arc::ptr_eq(&unbounded(1), &unbounded(1)));
    assert!(unbounded_pool().is_empty());
    assert!(unbounded_pool().take_last_failure().unwrap().error.is_config());
}

mod inner {
    use super::resource;

    #[resource]
    pub(super) fn pair(first: &str, second: u8) -> (String, u8) {
        (first.to_owned(), second)
    }

    #[resource(handle = texts)]
    pub(super) fn text(of: &str) -> String {
        of.to_owned()
    }
}

#[test]
fn a_companion_finds_removes_and_counts_the_resources_of_its_function() {
    let one = inner::pair("a", 1);
    let owned = String::from("a");
    let pool: &FunctionPool<(&str, u8), (String, u8)> = inner::pair_pool();
    assert!(Arc::ptr_eq(&pool.get(&(&owned, 1)).unwrap(), &one));
    assert!(pool.get(&("a", 2)).is_none() && pool.len() == 1);
    assert!(pool.remove(&(&owned, 1)) && !pool.remove(&(&owned, 1)));
    assert!(!Arc::ptr_eq(&one, &inner::pair("a", 1)));
    let stats = pool.stats();
    assert_eq!((stats.hits, stats.misses.absent, stats.inserts), (1, 3, 2));
    pool.clear();
    assert!(pool.is_empty() && pool.last_failure().is_none());
}

#[test]
fn a_companion_may_have_another_name_and_may_come_first() {
    assert!(inner::texts().get("a").is_none());
    inner::text("a");
    assert!(inner::texts().get("a").is_some());
}

#[resource(observer = observed)]
fn watched(number: u8) -> u8 {
    number
}

static OBSERVED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn observed(event: &Event<'_>) {
    if let Event::Miss { memo, .. } | Event::Hit { memo, .. } = event {
        OBSERVED.lock().unwrap().push((*memo).to_owned());
    }
}

#[test]
fn an_observer_is_told_the_name_of_the_function_once_for_each_event() {
    assert!(watched_pool().is_empty());
    assert!(Arc::ptr_eq(&watched(1), &watched(1)));
    let name = format!("{}::watched", module_path!());
    assert_eq!(*OBSERVED.lock().unwrap(), [name.as_str(), name.as_str()]);
}

#[resource]
fn made<'a, T>(first: &'a [T], second: Cow<'_, str>) -> Result<Vec<T>, Refused<'a>>
where
    T: Clone + serde::Serialize + Send + Sync + 'static,
{
    if second.is_empty() { Err(Refused("empty")) } else { Ok(first.to_vec()) }
}

#[test]
fn the_companion_of_a_generic_function_is_generic() {
    let (numbers, text) = (vec![1_u8, 2], String::from("x"));
    made(&numbers, Cow::Borrowed(&text)).unwrap();
    made(&["a"], "".into()).unwrap_err();
    assert_eq!(
        made_pool::<u8>().get(&(&numbers[..], Cow::Borrowed(text.as_str()))).as_deref(),
        Some(&numbers)
    );
    assert_eq!((made_pool::<u8>().len(), made_pool::<&str>().len()), (1, 0));
}

#[resource]
fn applied<F: Fn() -> u8 + Send + Sync + 'static>(_by: F) -> u8 {
    _by()
}

fn same<F: Fn() -> u8 + Copy + Send + Sync + 'static>(by: F) -> (usize, u64) {
    assert!(Arc::ptr_eq(&applied(by), &applied(by)));
    (applied_pool::<F>().len(), applied_pool::<F>().stats().hits)
}

#[test]
fn instances_for_two_closures_have_a_pool_each() {
    assert_eq!((same(|| 1), same(|| 2), *applied(|| 3)), ((1, 1), (1, 1), 3));
}

#[test]
fn functions_of_one_name_in_two_blocks_have_a_pool_each() {
    let first = {
        #[resource]
        fn twin(number: u8) -> u8 {
            number
        }
        assert_ne!(twin(1), twin(2));
        twin_pool().len()
    };
    let second = {
        #[resource]
        fn twin(number: u8) -> u8 {
            number
        }
        twin(1);
        twin_pool().len()
    };
    let third = {
        #[resource]
        fn twin(number: u8) -> u8 {
            number + 1
        }
        assert!(twin_pool().is_empty());
        *twin(1)
    };
    assert_eq!((first, second, third), (2, 1, 2));
}

trait Named {
    fn named(&self) -> Arc<String>;
}

impl Named for Server {
    #[resource(skip(self), handle = none)]
    fn named(&self) -> String {
        self.0.to_string()
    }
}

#[test]
fn a_method_of_a_trait_needs_no_companion() {
    assert!(Arc::ptr_eq(&Server(1).named(), &Server(2).named()));
    assert_eq!((*Server(7).number(&Runs::default()), Server::number_pool().get(&7).is_some()), (7, true));
}
