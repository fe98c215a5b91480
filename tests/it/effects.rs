//! Effects are handled while a function runs, and again at each hit, wherever the value comes from.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, mpsc},
    thread,
};

use memolith::{
    Context, Error, ErrorKind, Lookup, Memo, MemoBuilder, Store, effects,
    testing::{Fault, Operation},
};
use serde::{Deserialize, Serialize, Serializer};

use crate::vocabulary::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shown {
    Header(String),
    Bar { value: u8, of: u64 },
}

fn header(text: &str) -> Shown {
    Shown::Header(text.into())
}

/// The lines that the handlers of a test wrote.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<String>>>);

impl Screen {
    fn draw(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    /// What was drawn since the last look.
    #[track_caller]
    fn shows(&self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut *self.0.lock().unwrap()), expected);
    }

    /// A memo that draws headers and bars here, with its name before them.
    fn builder(&self, name: &'static str) -> MemoBuilder<str, u64> {
        let screen = self.clone();
        Memo::builder(name).effects(move |shown: &Shown| {
            screen.draw(match shown {
                Shown::Header(text) => format!("{name}: {text}"),
                Shown::Bar { value, of } => format!("{name}: {value}/{of}"),
            });
        })
    }

    fn memo(&self, store: &Store, name: &'static str) -> Memo<str, u64> {
        self.builder(name).open(store).unwrap()
    }
}

#[track_caller]
fn nothing_failed(memo: &Memo<str, u64>) {
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
}

#[test]
fn they_are_handled_at_once_and_again_in_order_at_each_hit() {
    let bench = Bench::new();
    let screen = Screen::default();
    let compute = || {
        assert!(effects::emit(header("first")));
        screen.shows(&["a: first"]);
        effects::emit(Shown::Bar { value: 1, of: 2 });
        7
    };
    let all = ["a: first", "a: 1/2"];
    {
        let memo = screen.memo(&bench.store(), "a");
        assert_eq!(memo.get_or_insert_with("k", compute), 7);
        screen.shows(&["a: 1/2"]);
        for _ in 0..3 {
            hit!(memo, "k" => 7);
            screen.shows(&all);
        }
        assert!(memo.stats().hits.memory > 0);
        assert_eq!(memo.get("k").unwrap(), Some(7));
        screen.shows(&all);
        assert!(memo.contains_key("k").unwrap());
        assert_eq!(memo.entry("k").or_insert_with(|| panic!("computed")), 7);
        screen.shows(&all);
        let Lookup::Hit(found) = memo.entry("k").lookup() else { panic!("a miss") };
        assert_eq!(found.value, 7);
        screen.shows(&all);
        nothing_failed(&memo);
    }
    for is_in_memory in [true, false] {
        let store = if is_in_memory { bench.store() } else { bench.diskful() };
        let memo = screen.memo(&store, "a");
        hit!(memo, "k" => 7);
        screen.shows(&all);
        hit!(memo, "k" => 7);
        screen.shows(&all);
    }
}

#[test]
fn a_large_value_keeps_its_effects_in_its_file() -> Result<(), Error> {
    let bench = Bench::new();
    let screen = Screen::default();
    let open = |store: &Store| {
        let drawing = screen.clone();
        Memo::<u8, Vec<u8>>::builder("large")
            .effects(move |line: &String| drawing.draw(line.clone()))
            .open(store)
    };
    {
        let memo = open(&bench.store())?;
        memo.get_or_insert_with(&1, || {
            effects::emit("drawn".to_owned());
            large(1)
        });
        screen.shows(&["drawn"]);
    }
    let memo = open(&bench.diskful())?;
    for _ in 0..2 {
        hit!(memo, &1 => large(1));
        screen.shows(&["drawn"]);
    }
    assert!(memo.last_failure().is_none());
    Ok(())
}

#[test]
fn each_is_drawn_once_with_nested_memos() {
    let bench = Bench::new();
    let (store, screen) = (bench.store(), Screen::default());
    let (outer, inner) = (screen.memo(&store, "outer"), screen.memo(&store, "inner"));
    let report = || {
        effects::emit(header("report"));
        inner.get_or_insert_with("part", || {
            effects::emit(header("part"));
            1
        })
    };
    outer.get_or_insert_with("all", report);
    screen.shows(&["outer: report", "inner: part"]);
    hit!(outer, "all" => 1);
    screen.shows(&["outer: report", "outer: part"]);
    hit!(inner, "part" => 1);
    screen.shows(&["inner: part"]);
    // A hit of the inner one is recorded by the outer one, as its computation was.
    outer.get_or_insert_with("again", report);
    screen.shows(&["outer: report", "inner: part"]);
    hit!(outer, "again" => 1);
    screen.shows(&["outer: report", "outer: part"]);
    nothing_failed(&outer);
    nothing_failed(&inner);
}

#[test]
fn one_that_a_memo_does_not_declare_is_told_and_handled_further_out() {
    let bench = Bench::new();
    let (store, screen) = (bench.store(), Screen::default());
    let (outer, inner) = (screen.memo(&store, "outer"), plain(&store, "inner"));
    outer.get_or_insert_with("all", || {
        inner.get_or_insert_with("part", || {
            assert!(effects::emit(header("part")));
            1
        })
    });
    screen.shows(&["outer: part"]);
    hit!(outer, "all" => 1);
    screen.shows(&["outer: part"]);
    nothing_failed(&outer);
    let failure = inner.take_last_failure().unwrap().error;
    assert!(failure.kind() == ErrorKind::Effect && failure.to_string().contains("Shown"), "{failure}");
    assert_eq!(inner.stats().failures.effect, 1);

    miss!(inner, "alone" => {
        assert!(!effects::emit(header("nobody draws it")));
        2
    });
    assert!(inner.take_last_failure().is_some());
    hit!(inner, "alone" => 2);
    assert!(!effects::emit(header("outside of every memo")));
    screen.shows(&[]);
}

#[test]
fn several_types_keep_their_common_order() -> Result<(), Error> {
    let bench = Bench::new();
    let screen = Screen::default();
    let open = |store: &Store| {
        let words = screen.clone();
        screen.builder("both").effects(move |word: &String| words.draw(word.clone())).open(store)
    };
    let memo = open(&bench.store())?;
    let all = ["one", "both: two", "three"];
    memo.get_or_insert_with("k", || {
        effects::emit("one".to_owned());
        effects::emit(header("two"));
        effects::emit("three".to_owned());
        1
    });
    screen.shows(&all);
    drop(memo);
    let memo = open(&bench.store())?;
    hit!(memo, "k" => 1);
    screen.shows(&all);
    Ok(())
}

#[test]
fn two_handlers_for_one_type_are_refused() {
    let bench = Bench::new();
    let builder = Memo::<str, u64>::builder("twice").effects(|_: &Shown| ()).effects(|_: &Shown| ());
    let error = builder.open(&bench.store()).unwrap_err();
    assert!(error.is_config() && error.to_string().contains("Shown"), "{error}");
}

#[test]
fn a_type_that_cannot_be_read_back_is_refused() {
    let bench = Bench::new();
    let builder = Memo::<str, u64>::builder("json").effects(|_: &serde_json::Value| ());
    assert!(builder.open(&bench.store()).unwrap_err().is_unsupported_type());
}

/// One name, opened a second time while it is open.
#[test]
fn another_open_has_the_same_handlers_or_none() {
    let bench = Bench::new();
    let (store, screen) = (bench.store(), Screen::default());
    let memo = screen.memo(&store, "a");
    screen.memo(&store, "a").get_or_insert_with("k", || {
        effects::emit(header("x"));
        1
    });
    screen.shows(&["a: x"]);
    let same: Memo<str, u64> = Memo::builder("a").open(&store).unwrap();
    hit!(same, "k" => 1);
    screen.shows(&["a: x"]);
    let other = Memo::<str, u64>::builder("a").effects(|_: &Shown| ()).open(&store);
    assert!(other.unwrap_err().is_config());
    nothing_failed(&memo);
}

mod before {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Line(pub u32);
}

mod after {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Line(pub u64);
}

#[test]
fn another_shape_of_an_effect_is_a_miss() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let memo: Memo<str, u64> = Memo::builder("a").effects(|_: &before::Line| ()).open(&bench.store())?;
        miss!(memo, "k" => 1);
        hit!(memo, "k" => 1);
    }
    {
        let memo: Memo<str, u64> = Memo::builder("a").effects(|_: &after::Line| ()).open(&bench.store())?;
        miss!(memo, "k" => 2);
        assert_eq!(memo.stats().misses.outdated, 1);
    }
    let memo = plain(&bench.store(), "a");
    miss!(memo, "k" => 3);
    Ok(())
}

#[test]
fn what_is_not_stored_leaves_no_effects() -> Result<(), Error> {
    let bench = Bench::new();
    let (store, screen) = (bench.store(), Screen::default());
    let memo = screen.builder("a").cache_if(|value| *value > 1).open(&store)?;
    let run = |value: Result<u64, &'static str>| {
        memo.get_or_try_insert_with("k", || {
            effects::emit(header("tried"));
            value
        })
    };
    assert_eq!((run(Err("down")), run(Ok(1))), (Err("down"), Ok(1)));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        memo.get_or_insert_with("k", || {
            effects::emit(header("tried"));
            panic!("down")
        })
    }));
    assert!(panicked.is_err());
    let removed = memo.get_or_insert_with("k", || {
        effects::emit(header("tried"));
        memo.remove("k").unwrap();
        5
    });
    assert_eq!(removed, 5);
    screen.shows(&["a: tried"; 4]);
    assert_eq!(memo.get("k")?, None);
    memo.insert("k", &9)?;
    hit!(memo, "k" => 9);
    screen.shows(&[]);
    Ok(())
}

#[test]
fn a_handler_that_panics_is_contained_and_told() -> Result<(), Error> {
    let bench = Bench::new();
    let (store, screen) = (bench.store(), Screen::default());
    let drawing = screen.clone();
    let memo: Memo<str, u64> = Memo::builder("a")
        .effects(move |word: &String| {
            assert_ne!(word, "broken");
            drawing.draw(word.clone());
        })
        .open(&store)?;
    miss!(memo, "k" => {
        for word in ["one", "broken", "two"] {
            effects::emit(word.to_owned());
        }
        1
    });
    screen.shows(&["one", "two"]);
    assert_eq!(memo.take_last_failure().unwrap().error.kind(), ErrorKind::Panic);
    hit!(memo, "k" => 1);
    screen.shows(&["one", "two"]);
    assert_eq!(memo.stats().failures.panic, 2);
    Ok(())
}

#[test]
fn too_many_effects_are_handled_and_their_value_is_not_stored() -> Result<(), Error> {
    let bench = Bench::new();
    let counted = Arc::new(Mutex::new(0_u32));
    let counting = Arc::clone(&counted);
    let memo: Memo<str, u64> =
        Memo::builder("a").effects(move |_: &u32| *counting.lock().unwrap() += 1).open(&bench.store())?;
    for _ in 0..2 {
        let ran = Cell::new(false);
        memo.get_or_insert_with("k", || {
            ran.set(true);
            (0..10_001).for_each(|number: u32| assert!(effects::emit(number)));
            1
        });
        assert!(ran.get());
    }
    assert_eq!(*counted.lock().unwrap(), 20_002);
    let failure = memo.last_failure().unwrap().error;
    assert!(failure.kind() == ErrorKind::Effect && failure.to_string().contains("10000"), "{failure}");
    memo.get_or_insert_with("most", || {
        (0..10_000).for_each(|number: u32| assert!(effects::emit(number)));
        1
    });
    hit!(memo, "most" => 1);
    assert_eq!(*counted.lock().unwrap(), 40_002);
    Ok(())
}

/// Its `Serialize` leaves the value out that its `Deserialize` expects.
#[derive(Deserialize)]
struct Lossy(u8);

impl Serialize for Lossy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct("Lossy", &(if self.0 > 100 { 100 } else { self.0 }))
    }
}

#[test]
fn effects_that_disagree_with_their_bytes_never_come_back_as_others() -> Result<(), Error> {
    let bench = Bench::new();
    let screen = Screen::default();
    let drawing = screen.clone();
    let memo: Memo<str, u64> = Memo::builder("a")
        .effects(move |lossy: &Lossy| drawing.draw(lossy.0.to_string()))
        .open(&bench.store())?;
    miss!(memo, "k" => {
        effects::emit(Lossy(7));
        1
    });
    hit!(memo, "k" => 1);
    screen.shows(&["7", "7"]);
    Ok(())
}

#[test]
fn a_handler_that_emits_its_own_type_draws_around_its_memo() {
    let bench = Bench::new();
    let (store, screen) = (bench.store(), Screen::default());
    let outer = screen.memo(&store, "outer");
    let inner: Memo<str, u64> = Memo::builder("inner")
        .effects(|shown: &Shown| {
            let Shown::Header(text) = shown else { return };
            effects::emit(header(&format!("[{text}]")));
        })
        .open(&store)
        .unwrap();
    let part = || {
        inner.get_or_insert_with("part", || {
            effects::emit(header("x"));
            1
        })
    };
    outer.get_or_insert_with("all", part);
    screen.shows(&["outer: [x]"]);
    hit!(outer, "all" => 1);
    // The outer one has recorded both: what the inner one showed, and what its handler made of it.
    screen.shows(&["outer: [x]", "outer: x"]);
    part();
    screen.shows(&[]);
}

#[test]
fn a_handler_may_call_the_memo_that_it_belongs_to() {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Arc<Mutex<Option<Memo<str, u64>>>> = Arc::default();
    let (calling, calls) = (Arc::clone(&memo), Screen::default());
    let noted = calls.clone();
    let own: Memo<str, u64> = Memo::builder("a")
        .effects(move |word: &String| {
            let own = calling.lock().unwrap().clone().unwrap();
            noted.draw(format!("{word} {}", own.get_or_insert_with("k", || 5)));
        })
        .open(&store)
        .unwrap();
    *memo.lock().unwrap() = Some(own.clone());
    own.get_or_insert_with("k", || {
        effects::emit("asked".to_owned());
        1
    });
    calls.shows(&["asked 5"]);
    memo.lock().unwrap().take();
}

#[test]
fn a_waiter_sees_them_and_so_does_another_thread_within_the_context() {
    let bench = Bench::new();
    let (store, screen) = (bench.store(), Screen::default());
    let memo = screen.memo(&store, "a");
    let ((begin, started), (go, gone)) = (mpsc::channel(), mpsc::channel::<()>());
    thread::scope(|scope| {
        let memo = &memo;
        let leader = scope.spawn(move || {
            memo.get_or_insert_with("k", || {
                let context = Context::current();
                thread::scope(|scope| {
                    scope.spawn(|| effects::emit(header("lost")));
                    scope.spawn(move || context.run(|| effects::emit(header("kept"))));
                });
                begin.send(()).unwrap();
                gone.recv().unwrap();
                1
            })
        });
        started.recv().unwrap();
        screen.shows(&["a: kept"]);
        let waiter = scope.spawn(|| memo.get_or_insert_with("k", || panic!("computed twice")));
        go.send(()).unwrap();
        assert_eq!((leader.join().unwrap(), waiter.join().unwrap()), (1, 1));
    });
    screen.shows(&["a: kept"]);
}

#[test]
fn stale_values_show_theirs_and_a_refresh_behind_only_records() -> Result<(), Error> {
    let bench = Bench::new();
    let (store, screen) = (bench.store(), Screen::default());
    let memo = screen.builder("a").ttl(MINUTE).stale_for(HOUR).open(&store)?;
    let round = Arc::new(Mutex::new(0));
    let (done, refreshed) = mpsc::channel();
    let loading = memo.with_loader(move |_: &str| {
        let mut round = round.lock().unwrap();
        *round += 1;
        effects::emit(header(&format!("round {round}")));
        let _ = done.send(());
        *round
    });
    assert_eq!(loading.load("k"), 1);
    refreshed.recv().unwrap();
    screen.shows(&["a: round 1"]);
    bench.clock.advance(2 * MINUTE);
    assert_eq!(loading.load("k"), 1);
    refreshed.recv().unwrap();
    // The claim ends after the value is there.
    while memo.stats().refreshes.succeeded == 0 {
        thread::yield_now();
    }
    screen.shows(&["a: round 1"]);
    assert_eq!(loading.load("k"), 2);
    screen.shows(&["a: round 2"]);

    bench.clock.advance(2 * MINUTE);
    let failed = memo.get_or_try_insert_with("k", || {
        effects::emit(header("tried"));
        Err("down")
    });
    assert_eq!(failed, Ok(2));
    screen.shows(&["a: tried", "a: round 2"]);
    Ok(())
}

#[test]
fn a_claim_stores_what_was_emitted_in_its_run() {
    let bench = Bench::new();
    let screen = Screen::default();
    let memo = screen.memo(&bench.store(), "a");
    let Lookup::Miss(claim) = memo.entry("k").lookup() else { panic!("a hit") };
    claim.run(|| effects::emit(header("one")));
    effects::emit(header("lost"));
    claim.run(|| effects::emit(header("two")));
    claim.insert(&1);
    screen.shows(&["a: one", "a: two"]);
    hit!(memo, "k" => 1);
    screen.shows(&["a: one", "a: two"]);
}

#[test]
fn a_full_disk_keeps_them_in_memory() {
    let bench = Bench::new();
    let (store, screen) = (bench.store(), Screen::default());
    let memo = screen.memo(&store, "a");
    bench.faults.plant(Operation::Write, Fault::NoSpace);
    let ran = Cell::new(0);
    for _ in 0..3 {
        let value = memo.get_or_insert_with("k", || {
            ran.set(ran.get() + 1);
            effects::emit(header("drawn"));
            1
        });
        assert_eq!(value, 1);
        screen.shows(&["a: drawn"]);
    }
    assert_eq!(ran.get(), 1);
}

/// The check of a value and a handler that shows a stale one run when the function has returned.
#[test]
fn code_that_runs_after_the_function_is_no_part_of_it() -> Result<(), Error> {
    let bench = Bench::new();
    let (store, screen) = (bench.store(), Screen::default());
    let outer = screen.memo(&store, "outer");
    let drawing = screen.clone();
    let inner: Memo<str, u64> = Memo::builder("inner")
        .ttl(MINUTE)
        .stale_for(HOUR)
        .cache_if(|_| !effects::emit(header("checked")))
        .effects(move |shown: &Shown| {
            let Shown::Header(text) = shown else { return };
            drawing.draw(format!("inner: {text}"));
            if !text.starts_with('[') {
                effects::emit(header(&format!("[{text}]")));
            }
        })
        .open(&store)?;
    // No memo is around: the check and the handler emit to none.
    miss!(inner, "k" => {
        effects::emit(header("x"));
        1
    });
    screen.shows(&["inner: x"]);
    hit!(inner, "k" => 1);
    screen.shows(&["inner: x"]);
    bench.clock.advance(2 * MINUTE);
    assert_eq!(inner.get_or_try_insert_with("k", || Err("down")), Ok(1));
    screen.shows(&["inner: x"]);
    // They belong to the memo around.
    outer.get_or_insert_with("k", || inner.get_or_try_insert_with("k", || Err("down")).unwrap());
    screen.shows(&["inner: x", "outer: [x]"]);
    Ok(())
}

#[test]
fn a_context_that_outlives_its_computation_emits_to_none() {
    let bench = Bench::new();
    let screen = Screen::default();
    let memo = screen.memo(&bench.store(), "a");
    let mut kept = Context::default();
    memo.get_or_insert_with("k", || {
        kept = Context::current();
        1
    });
    assert!(!kept.run(|| effects::emit(header("late"))));
    screen.shows(&[]);
    nothing_failed(&memo);
}

#[test]
fn the_failures_of_a_handler_are_bounded() -> Result<(), Error> {
    let bench = Bench::new();
    let memo: Memo<str, u64> = Memo::builder("a").effects(|_: &u32| panic!("no")).open(&bench.store())?;
    miss!(memo, "k" => {
        for number in 0..100_u32 {
            effects::emit(number);
        }
        1
    });
    hit!(memo, "k" => 1);
    assert_eq!(memo.stats().failures.panic, 16);
    Ok(())
}
