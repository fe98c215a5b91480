//! The promises of `#[memo]` and `#[code]` above an `async fn`.

use std::{
    borrow::Cow,
    cell::Cell,
    fmt::Debug,
    future::{Future, poll_fn},
    num::ParseIntError,
    path::Path,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::Poll,
};

use futures::future::{join, join_all};
use memolith::{ErrorKind, Store, code, effects, future, memo};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    is_send, under_each_executor,
    vocabulary::{Bench, SECOND},
};

mod resource;

fn store() -> &'static Store {
    static STORE: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());
    &STORE
}

/// The number of runs of a body since it was last asked for.
#[derive(Default)]
struct Runs(AtomicU32);

impl Runs {
    fn count(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn take(&self) -> u32 {
        self.0.swap(0, Relaxed)
    }
}

/// Lets the other tasks run.
async fn pause() {
    smol::future::yield_now().await;
}

#[memo(store = store())]
async fn length(text: &str, _runs: &Runs) -> usize {
    _runs.count();
    pause().await;
    text.len()
}

#[test]
fn a_hundred_tasks_run_the_body_once_and_the_next_call_is_a_hit() {
    under_each_executor(async || {
        length_memo().clear().unwrap();
        let runs = Runs::default();
        let all = join_all((0..100).map(|_| length("abc", &runs))).await;
        assert_eq!((all, runs.take()), (vec![3; 100], 1));
        assert_eq!((length("abc", &runs).await, length("", &runs).await, runs.take()), (3, 0, 1));
    });
}

#[memo(store = store())]
async fn counted(number: u32) -> u32 {
    pause().await;
    number + COUNTED.fetch_add(1, Relaxed)
}

/// Runs of `counted`.
static COUNTED: AtomicU32 = AtomicU32::new(0);

#[test]
fn tasks_on_several_threads_and_a_thread_share_one_computation() {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (0..100).map(|_| threads.spawn(counted(7))).collect();
    assert_eq!(counted_memo().get_or_insert_with(&7, || 7 + COUNTED.fetch_add(1, Relaxed)), 7);
    for task in tasks {
        assert_eq!(threads.block_on(task).unwrap(), 7);
    }
}

#[memo(store = store())]
async fn parsed(text: &str, _runs: &Runs) -> Result<i32, ParseIntError> {
    _runs.count();
    pause().await;
    if text.is_empty() {
        return Ok(0);
    }
    let number: i32 = text.parse()?;
    Ok(number + 1)
}

#[test]
fn return_and_the_question_mark_leave_the_body_and_an_error_is_not_stored() {
    smol::block_on(async {
        let runs = Runs::default();
        for _ in 0..2 {
            assert_eq!((parsed("", &runs).await, parsed("7", &runs).await), (Ok(0), Ok(8)));
            assert!(parsed("x", &runs).await.is_err());
        }
        assert_eq!((runs.take(), parsed_memo().len().unwrap()), (4, 2));
    });
}

#[memo(store = store(), skip(log))]
async fn joined<'a, 'b: 'a>(
    parts: &[Cow<'a, str>],
    log: &mut Vec<usize>,
    own: &'b str,
) -> Result<String, &'b str> {
    log.push(parts.len());
    pause().await;
    if parts.is_empty() { Err(own) } else { Ok(parts.join(own)) }
}

#[test]
fn arguments_and_errors_may_borrow() {
    smol::block_on(async {
        let own = String::from("-");
        let mut log = Vec::new();
        let parts = [Cow::Borrowed("a"), Cow::Owned("b".to_owned())];
        assert_eq!(joined(&parts, &mut log, &own).await, Ok("a-b".into()));
        assert_eq!(joined(&parts, &mut log, &own).await, Ok("a-b".into()));
        assert_eq!(joined(&[], &mut log, &own).await, Err("-"));
        assert_eq!(log, [2, 0]);
    });
}

#[memo(store = store())]
async fn of_a_cell(number: Cell<u32>, text: String) -> u32 {
    number.set(number.get() + 1);
    pause().await;
    number.get() + u32::from(text.is_empty())
}

#[memo(store = store())]
async fn local(number: u32) -> u32 {
    let own = Rc::new(number);
    pause().await;
    *own
}

#[test]
fn the_future_is_send_if_that_of_the_body_is() {
    let runs = Runs::default();
    let text = String::from("spawned");
    drop((
        is_send(length(&text, &runs)),
        is_send(parsed("1", &runs)),
        is_send(of_a_cell(Cell::new(1), text.clone())),
    ));
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let task = threads
        .spawn(async move { length(&text, &Runs::default()).await + length("own", &Runs::default()).await });
    assert_eq!(threads.block_on(task).unwrap(), 10);
    assert_eq!(smol::block_on(join(of_a_cell(Cell::new(1), "a".into()), local(7))), (2, 7));
}

#[derive(Serialize)]
struct Table<'a> {
    name: &'a str,
    rows: u32,
}

impl Table<'_> {
    #[memo(store = store())]
    async fn scaled(&self, by: u32, _runs: &Runs) -> u32 {
        _runs.count();
        pause().await;
        self.rows * by
    }

    #[memo(store = store(), key: u32 = self.rows, handle = halves)]
    async fn halved(self, _runs: &Runs) -> Option<u32> {
        _runs.count();
        if self.rows % 2 == 1 {
            return None;
        }
        Some(self.rows / 2)
    }
}

#[test]
fn a_method_has_its_object_in_the_key() {
    smol::block_on(async {
        let runs = Runs::default();
        let (rides, flights) = (Table { name: "rides", rows: 3 }, Table { name: "flights", rows: 3 });
        for _ in 0..2 {
            assert_eq!((rides.scaled(2, &runs).await, flights.scaled(2, &runs).await), (6, 6));
        }
        assert_eq!(runs.take(), 2);
        assert_eq!((rides.halved(&runs).await, flights.halved(&runs).await, runs.take()), (None, None, 1));
        assert!(Table::halves().contains_key(&3).unwrap());
    });
}

trait Load {
    async fn load(&self, number: u32) -> u32;
}

impl Load for Runs {
    #[memo(store = store(), skip(self), handle = none)]
    async fn load(&self, number: u32) -> u32 {
        self.count();
        number
    }
}

#[test]
fn a_method_of_a_trait_is_remembered_without_a_companion() {
    let runs = Runs::default();
    assert_eq!(smol::block_on(join(runs.load(1), runs.load(1))), (1, 1));
    assert_eq!(runs.take(), 1);
}

/// What a generic function may remember.
trait Value: Default + Debug + Clone + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static {}

impl<T: Default + Debug + Clone + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static> Value
    for T
{
}

#[memo(store = store())]
async fn defaults<T: Value, const N: usize>(key: u8, _runs: &Runs) -> Vec<T> {
    _runs.count();
    pause().await;
    vec![T::default(); N + usize::from(key)]
}

#[test]
fn instances_of_a_generic_function_do_not_share() {
    smol::block_on(async {
        let runs = Runs::default();
        for _ in 0..2 {
            assert_eq!(defaults::<u8, 1>(0, &runs).await, [0]);
            assert_eq!(defaults::<u8, 2>(0, &runs).await, [0, 0]);
            assert_eq!(defaults::<String, 1>(0, &runs).await, [""]);
        }
        assert_eq!((runs.take(), defaults_memo::<u8, 1>().len().unwrap()), (3, 1));
        assert!(defaults_memo::<u8, 2>().name().ends_with("attributes::defaults<u8, 2>"));
    });
}

fn of_rides() -> (u32, &'static str) {
    #[memo(store = store())]
    async fn load(key: u32) -> u32 {
        key + 1
    }
    (smol::block_on(load(1)), load_memo().name())
}

fn of_flights() -> (u32, &'static str) {
    let flights = async || {
        #[memo(store = store())]
        async fn load(key: u32) -> u32 {
            key + 2
        }
        (load(1).await, load_memo().name())
    };
    smol::block_on(flights())
}

#[test]
fn functions_of_one_name_within_two_others_are_two() {
    let ((rides, one), (flights, two)) = (of_rides(), of_flights());
    assert_eq!((rides, flights), (2, 3));
    assert!(
        one.ends_with("of_rides::load") && two.contains("of_flights") && two.ends_with("::load"),
        "{one}, {two}"
    );
}

#[memo(store = store())]
async fn fibonacci(number: u64, _runs: &Runs) -> u64 {
    _runs.count();
    if number < 2 {
        return number;
    }
    Box::pin(fibonacci(number - 1, _runs)).await + Box::pin(fibonacci(number - 2, _runs)).await
}

#[test]
fn a_recursive_function_computes_each_number_once() {
    let runs = Runs::default();
    assert_eq!((smol::block_on(fibonacci(60, &runs)), runs.take()), (1_548_008_755_920, 61));
}

/// Each key of the ring waits for the next one.
#[memo(store = store())]
async fn ring(key: u32, _steps: u32) -> u32 {
    pause().await;
    if _steps == 0 { 0 } else { Box::pin(ring((key + 1) % 3, _steps - 1)).await }
}

#[test]
fn a_cycle_of_calls_ends() {
    under_each_executor(async || {
        ring_memo().clear().unwrap();
        assert_eq!(join_all((0..30).map(|task| ring(task % 3, 10))).await, [0; 30]);
    });
}

#[test]
fn the_companion_is_the_memo_of_the_function_for_both_kinds_of_code() {
    #[memo(store = store())]
    async fn square(number: u64) -> u64 {
        pause().await;
        number * number
    }
    smol::block_on(async {
        assert_eq!(square(12).await, 144);
        let blocking: &memolith::Memo<u64, u64> = square_memo();
        assert_eq!((blocking.get(&12).unwrap(), blocking.stats().inserts), (Some(144), 1));
        let memo: future::Memo<u64, u64> = blocking.clone().into();
        assert_eq!(memo.get_or_insert_with(&12, || async { unreachable!("it is remembered") }).await, 144);
        assert!(memo.remove(&12).await.unwrap());
        blocking.insert(&12, &1).unwrap();
        assert_eq!(square(12).await, 1);
    });
}

/// A store with a manual clock.
static TIMED: LazyLock<(Bench, Store)> = LazyLock::new(|| {
    let bench = Bench::new();
    let store = bench.store();
    (bench, store)
});

#[memo(store = &TIMED.1, ttl = "1m")]
async fn for_a_minute(_runs: &Runs) {
    _runs.count();
}

/// The body waits until `_is_open`.
#[memo(store = &TIMED.1, ttl = "1m", stale_for = "1h")]
async fn stale_at_times(key: u8, _is_open: &AtomicBool, _runs: &Runs) -> u32 {
    _runs.count();
    poll_fn(|_| if _is_open.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
    u32::from(key)
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[test]
fn a_value_expires_and_a_stale_one_serves_all_but_the_first_caller() {
    smol::block_on(async {
        let (runs, timed) = (Runs::default(), Runs::default());
        let (open, closed) = (AtomicBool::new(true), AtomicBool::new(false));
        for_a_minute(&timed).await;
        stale_at_times(1, &open, &runs).await;
        TIMED.0.clock.advance(59 * SECOND);
        for_a_minute(&timed).await;
        assert_eq!((timed.take(), runs.take()), (1, 1));
        TIMED.0.clock.advance(SECOND);
        for_a_minute(&timed).await;
        assert_eq!(timed.take(), 1);
        let mut first = pin!(stale_at_times(1, &closed, &runs));
        assert!(poll(first.as_mut()).is_pending());
        assert_eq!((stale_at_times(1, &closed, &runs).await, runs.take()), (1, 1));
        closed.store(true, Relaxed);
        assert_eq!((first.await, stale_at_times_memo().stats().inserts), (1, 2));
    });
}

#[memo(store = store(), cache_if = |price| *price > 0, max_entries = 2)]
async fn price(of: &str, _runs: &Runs) -> i64 {
    _runs.count();
    if of == "air" { 0 } else { 9 }
}

#[test]
fn a_value_that_is_not_wanted_is_handed_over_and_not_stored() {
    smol::block_on(async {
        let runs = Runs::default();
        for of in ["air", "tea", "air", "tea", "rice", "salt"] {
            assert_eq!(price(of, &runs).await, if of == "air" { 0 } else { 9 });
        }
        assert_eq!((runs.take(), price_memo().len().unwrap()), (5, 2));
        assert!(price_memo().last_failure().is_none());
    });
}

#[memo(store = store(), files(path))]
async fn first_byte(path: &Path, _runs: &Runs) -> std::io::Result<Option<u8>> {
    _runs.count();
    pause().await;
    Ok(std::fs::read(path)?.first().copied())
}

#[test]
fn an_edited_file_is_a_miss() {
    let bench = Bench::new();
    let path = bench.directory.path().join("file");
    smol::block_on(async {
        let runs = Runs::default();
        for text in ["a", "bc"] {
            std::fs::write(&path, text).unwrap();
            for _ in 0..2 {
                assert_eq!(first_byte(&path, &runs).await.unwrap(), Some(text.as_bytes()[0]));
            }
        }
        assert_eq!(runs.take(), 2);
        assert!(first_byte(Path::new("none"), &runs).await.is_err());
    });
}

#[code]
async fn helper(number: u32) -> u32 {
    pause().await;
    number + 1
}

#[memo(store = store(), depends(helper, length))]
async fn helped(mut number: u32) -> u32 {
    number += 1;
    helper(number).await
}

#[test]
fn an_async_helper_counts_with_its_code() {
    assert_eq!((smol::block_on(helped(1)), helped_memo().len().unwrap()), (3, 1));
}

static REFUSING: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());

#[memo(store = &*REFUSING)]
async fn refused<T: Value>(number: u32, _runs: &Runs) -> Option<T> {
    _runs.count();
    pause().await;
    (number > 7).then(T::default)
}

#[test]
fn a_function_that_cannot_be_cached_computes_and_tells_it() {
    smol::block_on(async {
        let runs = Runs::default();
        for _ in 0..2 {
            assert_eq!(refused::<u8>(1, &runs).await, None);
        }
        assert_eq!(runs.take(), 1);
        assert!(REFUSING.last_failure().is_none());
        for _ in 0..2 {
            assert_eq!(refused::<Wrapped>(1, &runs).await, None);
        }
        assert_eq!(runs.take(), 2);
        let failure = REFUSING.last_failure().unwrap();
        assert_eq!(failure.error.kind(), ErrorKind::Config);
        assert!(failure.error.to_string().contains("`cache_if`"), "{failure:?}");
        let memo = refused_memo::<Wrapped>();
        assert!(memo.last_failure().is_some() && memo.is_empty().unwrap());
    });
}

/// A `Result` that only the type arguments of the function tell.
type Wrapped = Vec<Result<u8, ()>>;

macro_rules! written {
    ($name:ident($argument:ident), $ttl:literal, $body:block) => {
        #[memo(store = store(), ttl = $ttl)]
        async fn $name($argument: u8) -> u8 $body
    };
}

written!(by_a_macro(number), "1h", {
    pause().await;
    if number == 0 {
        return 0;
    }
    7
});

#[memo(store = store())]
async unsafe fn r#unsafe(number: u8) -> u8 {
    number
}

#[test]
fn a_function_may_be_written_by_a_macro_and_may_be_unsafe() {
    // SAFETY: it needs nothing.
    #[allow(unsafe_code, reason = "that is the claim")]
    let one = unsafe { r#unsafe(1) };
    assert_eq!(smol::block_on(join(by_a_macro(1), one)), (7, 1));
    assert_eq!((by_a_macro_memo().len().unwrap(), unsafe_memo().len().unwrap()), (1, 1));
}

#[test]
fn a_call_that_is_dropped_hands_over_and_a_panic_stays_with_its_caller() {
    #[memo(store = store())]
    async fn gated(key: u8, _is_open: &AtomicBool, _panics: bool) -> u8 {
        poll_fn(|_| if _is_open.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
        assert!(!_panics);
        key
    }
    let is_open = AtomicBool::new(false);
    {
        let mut dropped = pin!(gated(1, &is_open, true));
        let mut waiter = Box::pin(gated(1, &is_open, false));
        assert!(poll(dropped.as_mut()).is_pending() && poll(waiter.as_mut()).is_pending());
        is_open.store(true, Relaxed);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(dropped)));
        assert!(panicked.is_err());
        assert_eq!(smol::block_on(waiter), 1);
    }
    is_open.store(false, Relaxed);
    let mut dropped = Box::pin(gated(2, &is_open, false));
    let mut waiter = Box::pin(gated(2, &is_open, false));
    assert!(poll(dropped.as_mut()).is_pending() && poll(waiter.as_mut()).is_pending());
    drop(dropped);
    is_open.store(true, Relaxed);
    assert_eq!(smol::block_on(waiter), 2);
}

/// Shown by the functions below, as their handlers wrote it.
static SCREEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[track_caller]
fn shows(expected: &[&str]) {
    assert_eq!(std::mem::take(&mut *SCREEN.lock().unwrap()), expected);
}

fn draw(line: &String) {
    SCREEN.lock().unwrap().push(format!("- {line}"));
}

#[memo(store = store(), effects(draw, |bar: &u8| SCREEN.lock().unwrap().push("|".repeat((*bar).into()))))]
async fn drawn(day: &str, _runs: &Runs) -> Result<usize, String> {
    _runs.count();
    effects::emit(day.to_owned());
    pause().await;
    effects::emit(3_u8);
    if day.is_empty() { Err("no day".into()) } else { Ok(day.len()) }
}

/// Another store: the other test looks at the failures of its own.
static OF_DRAWN: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());

#[memo(store = &*OF_DRAWN, effects = draw)]
async fn drawn_at_each_call(day: &str) -> serde_json::Value {
    pause().await;
    effects::emit(day.to_owned());
    serde_json::json!({ "day": day })
}

#[test]
fn a_call_shows_the_same_whether_its_body_runs_or_not() {
    under_each_executor(async || {
        drawn_memo().clear().unwrap();
        let runs = Runs::default();
        for _ in 0..2 {
            assert_eq!(drawn("Monday", &runs).await, Ok(6));
            shows(&["- Monday", "|||"]);
            assert!(drawn("", &runs).await.is_err());
            shows(&["- ", "|||"]);
            assert_eq!(drawn_at_each_call("Friday").await["day"], "Friday");
            shows(&["- Friday"]);
        }
        assert_eq!(runs.take(), 3);
        assert!(drawn_memo().last_failure().is_none());
        assert!(drawn_at_each_call_memo().last_failure().is_some());
    });
}
