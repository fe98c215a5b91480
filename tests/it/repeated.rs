//! `effects::tracing`: the events of a computation are told again at each hit.

use std::{
    fmt::{self, Debug, Write as _},
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    task::{self, Poll, Waker},
    thread,
};

use memolith::{Context, Error, ErrorKind, Lookup, Memo, MemoBuilder, Store, effects, future, inputs};
use tracing::{
    Dispatch, Event, Level, Metadata, Span, Subscriber, debug, error, error_span,
    field::{Field, Visit},
    info,
    span::{Attributes, Id, Record},
    warn,
};

use crate::vocabulary::*;

/// A subscriber that writes its events and spans down, up to a level that may be changed.
#[derive(Clone)]
struct Told {
    lines: Arc<Mutex<Vec<String>>>,
    level: Arc<Mutex<Level>>,
    spans: Arc<AtomicU64>,
}

impl Told {
    fn up_to(level: Level) -> Self {
        Self { lines: Arc::default(), level: Arc::new(Mutex::new(level)), spans: Arc::default() }
    }

    fn line(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    /// What was told since the last look.
    #[track_caller]
    fn tells(&self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut *self.lines.lock().unwrap()), expected);
    }

    /// With this as the subscriber of the thread. While a process has one subscriber, tracing decides about a new place by that
    /// of the present thread alone; so there is a second one.
    fn hears<T>(&self, call: impl FnOnce() -> T) -> T {
        static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Told::up_to(Level::ERROR)));
        LazyLock::force(&SECOND);
        tracing::subscriber::with_default(self.clone(), call)
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.0, " {value:?}").unwrap(),
            name => write!(self.0, " {name}={value:?}").unwrap(),
        }
    }
}

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() != "memolith::observe" && *metadata.level() <= *self.level.lock().unwrap()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.spans.fetch_add(1, SeqCst) + 1;
        self.line(format!("span {id} {}", span.metadata().name()));
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut fields = Fields(String::new());
        values.record(&mut fields);
        self.line(format!("span {} has{}", id.into_u64(), fields.0));
    }

    fn record_follows_from(&self, id: &Id, other: &Id) {
        self.line(format!("span {} follows {}", id.into_u64(), other.into_u64()));
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        let target = match event.metadata().target() {
            module_path!() => String::new(),
            other => format!(" {other}"),
        };
        self.line(format!("{}{target}{}", event.metadata().level(), fields.0));
    }

    fn enter(&self, id: &Id) {
        self.line(format!("enter {}", id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        self.line(format!("exit {}", id.into_u64()));
    }

    fn try_close(&self, id: Id) -> bool {
        self.line(format!("close {}", id.into_u64()));
        true
    }
}

fn builder(name: &str, level: Level) -> MemoBuilder<str, u64> {
    Memo::builder(name).effects(effects::tracing(level))
}

fn memo(store: &Store, name: &str) -> Memo<str, u64> {
    builder(name, Level::INFO).open(store).unwrap()
}

fn repeated(level: Level, message: &str) -> String {
    format!("{level} memolith::effects {message} repeated=true target={:?}", module_path!())
}

fn repeated_with(level: Level, message: &str, fields: &str) -> String {
    format!("{} fields={fields:?}", repeated(level, message))
}

#[test]
fn they_are_told_at_once_and_again_at_each_hit_also_after_a_restart() {
    let (bench, told) = (Bench::new(), Told::up_to(Level::TRACE));
    told.hears(|| {
        let compute = || {
            info!(rows = 3, path = "a b.csv", "read");
            told.tells(&["INFO read rows=3 path=\"a b.csv\""]);
            debug!("not recorded");
            error!(code = ?Some(7));
            warn!("{} left", 2);
            5
        };
        let all = [
            repeated_with(Level::INFO, "read", "rows=3 path=\"a b.csv\""),
            format!(
                "ERROR memolith::effects repeated=true target={:?} fields=\"code=Some(7)\"",
                module_path!()
            ),
            repeated(Level::WARN, "2 left"),
        ];
        let all = all.each_ref().map(String::as_str);
        {
            let memo = memo(&bench.store(), "a");
            assert_eq!(memo.get_or_insert_with("k", compute), 5);
            told.tells(&["DEBUG not recorded", "ERROR code=Some(7)", "WARN 2 left"]);
            hit!(memo, "k" => 5);
            told.tells(&all);
            assert!(memo.last_failure().is_none());
        }
        let memo = memo(&bench.diskful(), "a");
        for _ in 0..2 {
            hit!(memo, "k" => 5);
            told.tells(&all);
        }
    });
}

#[test]
fn one_that_the_subscriber_filters_out_is_told_once_it_lets_it_through() {
    let (bench, told) = (Bench::new(), Told::up_to(Level::ERROR));
    let memo = memo(&bench.store(), "a");
    let log = || info!("read");
    told.hears(|| {
        log();
        memo.get_or_insert_with("k", || {
            log();
            1
        });
        hit!(memo, "k" => 1);
        told.tells(&[]);
        *told.level.lock().unwrap() = Level::INFO;
        tracing::callsite::rebuild_interest_cache();
        hit!(memo, "k" => 1);
        told.tells(&[&repeated(Level::INFO, "read")]);
        log();
        told.tells(&["INFO read"]);
    });
}

#[test]
fn each_memo_records_up_to_its_own_level_and_repeats_reach_those_around_it() {
    let (bench, told) = (Bench::new(), Told::up_to(Level::WARN));
    let store = bench.store();
    let (outer, plain, inner) =
        (memo(&store, "outer"), plain(&store, "plain"), builder("inner", Level::DEBUG).open(&store).unwrap());
    let part = || {
        inner.get_or_insert_with("part", || {
            debug!("detail");
            info!("part");
            warn!("doubtful");
            1
        })
    };
    let report = || {
        info!("report");
        debug!("of no interest");
        plain.get_or_insert_with("between", || part() + part())
    };
    told.hears(|| {
        assert_eq!(outer.get_or_insert_with("all", report), 2);
        told.tells(&["WARN doubtful", &repeated(Level::WARN, "doubtful")]);
        *told.level.lock().unwrap() = Level::TRACE;
        tracing::callsite::rebuild_interest_cache();
        let [detail, part, doubtful, report] = [
            repeated(Level::DEBUG, "detail"),
            repeated(Level::INFO, "part"),
            repeated(Level::WARN, "doubtful"),
            repeated(Level::INFO, "report"),
        ];
        hit!(outer, "all" => 2);
        told.tells(&[&report, &part, &doubtful, &part, &doubtful]);
        hit!(inner, "part" => 1);
        told.tells(&[&detail, &part, &doubtful]);
        hit!(plain, "between" => 2);
        told.tells(&[]);
    });
    for memo in [outer, plain, inner] {
        assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    }
}

#[test]
fn spans_within_a_computation_are_those_of_the_subscriber_on_each_thread() {
    let (bench, told) = (Bench::new(), Told::up_to(Level::INFO));
    let memo = memo(&bench.store(), "a");
    told.hears(|| {
        let around = error_span!("around");
        let spans = memo.get_or_insert_with("k", || {
            let span = error_span!("within", rows = tracing::field::Empty);
            span.follows_from(&around);
            span.record("rows", 3);
            let other = span.clone();
            thread::scope(|scope| scope.spawn(move || other.in_scope(|| ())).join().unwrap());
            drop(span);
            2
        });
        assert_eq!(spans, 2);
        drop(around);
        told.tells(&[
            "span 1 around",
            "span 2 within",
            "span 2 follows 1",
            "span 2 has rows=3",
            "enter 2",
            "exit 2",
            "close 2",
            "close 2",
            "close 1",
        ]);
        // The default one of the thread is that of before.
        info!("after");
        told.tells(&["INFO after"]);
        assert!(Span::current().is_none());
    });
}

#[test]
fn a_span_outlives_the_computation_and_is_closed_by_its_subscriber() {
    let (bench, told) = (Bench::new(), Told::up_to(Level::INFO));
    let (memo, kept) = (memo(&bench.store(), "a"), Mutex::new(None));
    told.hears(|| {
        memo.get_or_insert_with("k", || {
            *kept.lock().unwrap() = Some(error_span!("kept"));
            1
        });
    });
    told.tells(&["span 1 kept"]);
    drop(kept.into_inner().unwrap());
    told.tells(&["close 1"]);
}

#[test]
fn a_thread_within_the_context_records_and_another_one_does_not() {
    let (bench, told) = (Bench::new(), Told::up_to(Level::INFO));
    let memo = memo(&bench.store(), "a");
    told.hears(|| {
        memo.get_or_insert_with("k", || {
            let context = Context::current();
            thread::scope(|scope| {
                scope.spawn(|| info!("lost"));
                scope.spawn(move || context.run(|| info!("kept")));
            });
            1
        });
        told.tells(&["INFO kept"]);
        hit!(memo, "k" => 1);
        told.tells(&[&repeated(Level::INFO, "kept")]);
    });
}

#[test]
fn two_tasks_on_one_thread_record_their_own() {
    let (bench, told) = (Bench::new(), Told::up_to(Level::INFO));
    let memo: future::Memo<str, u64> = memo(&bench.store(), "a").into();
    told.hears(|| {
        let is_open = AtomicBool::new(false);
        let compute = async |name: &'static str| {
            info!(name, "begins");
            poll_fn(|_| if is_open.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }).await;
            info!(name, "ends");
            1
        };
        let mut one = pin!(memo.get_or_insert_with("one", || compute("one")));
        let mut two = pin!(memo.get_or_insert_with("two", || compute("two")));
        let cx = &mut task::Context::from_waker(Waker::noop());
        assert!(one.as_mut().poll(cx).is_pending() && two.as_mut().poll(cx).is_pending());
        info!("between");
        is_open.store(true, SeqCst);
        assert_eq!((smol::block_on(two), smol::block_on(one)), (1, 1));
        told.tells(&[
            "INFO begins name=\"one\"",
            "INFO begins name=\"two\"",
            "INFO between",
            "INFO ends name=\"two\"",
            "INFO ends name=\"one\"",
        ]);
        assert_eq!(smol::block_on(memo.get("one")).unwrap(), Some(1));
        let [begins, ends] =
            ["begins", "ends"].map(|message| repeated_with(Level::INFO, message, "name=\"one\""));
        told.tells(&[&begins, &ends]);
    });
}

#[test]
fn a_part_under_a_subscriber_of_its_own_is_told_to_that_alone() {
    let (bench, told, own) = (Bench::new(), Told::up_to(Level::INFO), Told::up_to(Level::INFO));
    let store = bench.store();
    let (outer, inner) = (memo(&store, "outer"), memo(&store, "inner"));
    told.hears(|| {
        outer.get_or_insert_with("k", || {
            own.hears(|| {
                info!("apart");
                inner.get_or_insert_with("k", || {
                    info!("of the inner one");
                    1
                })
            })
        });
        told.tells(&[]);
        own.tells(&["INFO apart", "INFO of the inner one"]);
        hit!(outer, "k" => 1);
        told.tells(&[&repeated(Level::INFO, "of the inner one")]);
    });
}

#[test]
fn it_keeps_its_order_among_other_effects() -> Result<(), Error> {
    let (bench, told) = (Bench::new(), Told::up_to(Level::INFO));
    let drawing = told.clone();
    let memo = builder("a", Level::INFO)
        .effects(move |line: &String| drawing.line(line.clone()))
        .open(&bench.store())?;
    told.hears(|| {
        memo.get_or_insert_with("k", || {
            info!("one");
            effects::emit("two".to_owned());
            info!("three");
            1
        });
        told.tells(&["INFO one", "two", "INFO three"]);
        hit!(memo, "k" => 1);
        told.tells(&[&repeated(Level::INFO, "one"), "two", &repeated(Level::INFO, "three")]);
    });
    Ok(())
}

#[test]
fn without_a_subscriber_they_are_recorded_too() {
    let (bench, told) = (Bench::new(), Told::up_to(Level::INFO));
    let memo = memo(&bench.store(), "a");
    thread::scope(|scope| {
        scope.spawn(|| {
            memo.get_or_insert_with("k", || {
                info!("to no subscriber");
                1
            })
        });
    });
    told.hears(|| hit!(memo, "k" => 1));
    told.tells(&[&repeated(Level::INFO, "to no subscriber")]);
}

#[test]
fn a_refresh_behind_a_call_records_for_the_next_hit() -> Result<(), Error> {
    let (bench, told) = (Bench::new(), Told::up_to(Level::INFO));
    let memo = builder("a", Level::INFO).ttl(MINUTE).stale_for(HOUR).open(&bench.store())?;
    let (done, refreshed) = mpsc::channel();
    let round = AtomicU64::new(0);
    let loading = memo.with_loader(move |_: &str| {
        let round = round.fetch_add(1, SeqCst);
        info!(round, "loads");
        let _ = done.send(());
        round
    });
    told.hears(|| {
        assert_eq!(loading.load("k"), 0);
        told.tells(&["INFO loads round=0"]);
        bench.clock.advance(2 * MINUTE);
        assert_eq!(loading.load("k"), 0);
        refreshed.recv().unwrap();
        refreshed.recv().unwrap();
        while memo.stats().refreshes.succeeded == 0 {
            thread::yield_now();
        }
        // The thread behind has another subscriber.
        told.tells(&[&repeated_with(Level::INFO, "loads", "round=0")]);
        assert_eq!(loading.load("k"), 1);
        told.tells(&[&repeated_with(Level::INFO, "loads", "round=1")]);
    });
    Ok(())
}

/// Its text panics.
struct Unprintable;

impl Debug for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no text")
    }
}

#[test]
fn a_field_that_panics_fails_no_call_that_filters_it_out() {
    let (bench, told) = (Bench::new(), Told::up_to(Level::ERROR));
    let memo = memo(&bench.store(), "a");
    told.hears(|| {
        miss!(memo, "k" => {
            info!(value = ?Unprintable, "read");
            1
        });
        *told.level.lock().unwrap() = Level::INFO;
        tracing::callsite::rebuild_interest_cache();
        hit!(memo, "k" => 1);
        told.tells(&[&repeated_with(Level::INFO, "read", "value=<its Debug panicked>")]);
    });
}

/// Panics at every event of one target, and at its end.
struct Panicking(&'static str);

impl Subscriber for Panicking {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        assert_ne!(event.metadata().target(), self.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Drop for Panicking {
    fn drop(&mut self) {
        panic!("at its end");
    }
}

#[test]
fn a_subscriber_that_panics_at_a_hit_or_at_its_end_fails_no_call() {
    let bench = Bench::new();
    let (memo, kept) = (memo(&bench.store(), "a"), Mutex::new(Context::default()));
    let compute = || {
        memo.get_or_insert_with("k", || {
            *kept.lock().unwrap() = Context::current();
            info!("read");
            1
        })
    };
    let under = |target| {
        let dispatch = Dispatch::new(Panicking(target));
        let called = tracing::dispatcher::with_default(&dispatch, || catch_unwind(AssertUnwindSafe(compute)));
        (called, dispatch)
    };
    let (called, dispatch) = under(module_path!());
    assert!(called.is_err(), "the function itself called it");
    drop(dispatch);
    // The computation has the last handle.
    drop(kept.lock().unwrap().clone());
    *kept.lock().unwrap() = Context::default();
    let (called, dispatch) = under("memolith::effects");
    assert_eq!(called.unwrap(), 1);
    assert!(memo.take_last_failure().is_none());
    let (called, other) = under("memolith::effects");
    assert_eq!(called.unwrap(), 1);
    assert_eq!(memo.take_last_failure().unwrap().error.kind(), ErrorKind::Panic);
    std::mem::forget((dispatch, other));
}

/// A panic within the subscriber is contained, and is a message on stderr all the same.
#[test]
fn nothing_panics_on_the_way() {
    let (bench, told) = (Bench::new(), Told::up_to(Level::INFO));
    let memo = memo(&bench.store(), "a");
    let panics = Arc::new(AtomicU64::new(0));
    let (counted, own) = (Arc::clone(&panics), thread::current().id());
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if thread::current().id() == own {
            counted.fetch_add(1, SeqCst);
        } else {
            before(panic);
        }
    }));
    told.hears(|| {
        for _ in 0..2 {
            memo.get_or_insert_with("k", || {
                info!("read");
                inputs::scope(|_| info!("in a scope"));
                1
            });
        }
    });
    assert_eq!(panics.load(SeqCst), 0);
    told.tells(&[
        "INFO read",
        "INFO in a scope",
        &repeated(Level::INFO, "read"),
        &repeated(Level::INFO, "in a scope"),
    ]);
}

#[test]
fn a_subscriber_for_a_part_keeps_its_events_in_scopes_and_within_the_context() {
    let (bench, told, own) = (Bench::new(), Told::up_to(Level::INFO), Told::up_to(Level::INFO));
    let store = bench.store();
    let (memo, plain) = (memo(&store, "a"), plain(&store, "plain"));
    told.hears(|| {
        memo.get_or_insert_with("k", || {
            own.hears(|| {
                inputs::scope(|_| info!("one"));
                Context::current().run(|| info!("two"));
                plain.get_or_insert_with("k", || {
                    info!("three");
                    1
                })
            })
        });
    });
    told.tells(&[]);
    own.tells(&["INFO one", "INFO two", "INFO three"]);
}

/// The first part of the inner computation runs on another thread.
#[test]
fn a_memo_of_a_lower_level_hides_nothing_from_the_one_around_it() {
    let (bench, told) = (Bench::new(), Told::up_to(Level::DEBUG));
    let store = bench.store();
    let (outer, inner) = (builder("outer", Level::DEBUG).open(&store).unwrap(), memo(&store, "inner"));
    told.hears(|| {
        outer.get_or_insert_with("k", || {
            let Lookup::Miss(claim) = inner.entry("k").lookup() else { panic!("a hit") };
            let hears = Dispatch::new(told.clone());
            let run = || {
                claim.run(|| {
                    debug!("detail");
                    info!("read");
                });
            };
            thread::scope(|scope| {
                scope.spawn(|| tracing::dispatcher::with_default(&hears, run)).join().unwrap();
            });
            claim.insert(&1);
            1
        });
        told.tells(&["DEBUG detail", "INFO read"]);
        hit!(outer, "k" => 1);
        told.tells(&[&repeated(Level::DEBUG, "detail"), &repeated(Level::INFO, "read")]);
        hit!(inner, "k" => 1);
        told.tells(&[&repeated(Level::INFO, "read")]);
    });
}

#[test]
fn another_level_is_another_handler() {
    let bench = Bench::new();
    let store = bench.store();
    let _open = memo(&store, "a");
    assert!(builder("a", Level::TRACE).open(&store).unwrap_err().is_config());
}
