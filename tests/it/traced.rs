//! The records of `tracing`: the same events, and a span around each computation.

use std::{
    fmt::{Debug, Write as _},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use tracing::{
    Dispatch, Event, Metadata, Subscriber, debug,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::vocabulary::*;

/// A subscriber that writes down its records, indented by the depth of spans.
#[derive(Clone, Default)]
pub struct Log {
    text: Arc<Mutex<String>>,
    depth: Arc<AtomicU64>,
}

impl Log {
    fn line(&self, what: &str, fields: impl FnOnce(&mut Fields)) {
        let mut text = Fields(String::new());
        fields(&mut text);
        let indent = "  ".repeat(usize::try_from(self.depth.load(SeqCst)).unwrap());
        writeln!(self.text.lock().unwrap(), "{indent}{what}{}", text.0).unwrap();
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.text.lock().unwrap())
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "memolith::observe" || metadata.target() == module_path!()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.line(span.metadata().name(), |fields| span.record(fields));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.line("recorded", |fields| values.record(fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.line("event", |fields| event.record(fields));
    }

    fn enter(&self, _: &Id) {
        self.depth.fetch_add(1, SeqCst);
    }

    fn exit(&self, _: &Id) {
        self.depth.fetch_sub(1, SeqCst);
    }
}

/// Calls with `subscriber` for this thread.
///
/// While a process has one subscriber, tracing decides about a new place by the subscriber of the present thread
/// alone. A thread without a subscriber, in another test, would switch the place off for all. So there is always a
/// second one.
fn subscribed<T>(subscriber: impl Subscriber + Send + Sync, call: impl FnOnce() -> T) -> T {
    static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Log::default()));
    LazyLock::force(&SECOND);
    tracing::subscriber::with_default(subscriber, call)
}

#[test]
fn what_a_computation_logs_is_inside_its_span() {
    let (bench, log) = (Bench::new(), Log::default());
    let memo = plain(&bench.store(), "numbers");
    subscribed(log.clone(), || {
        memo.get_or_insert_with("one", || {
            debug!("reading");
            bench.clock.advance(SECOND);
            1
        });
        hit!(memo, "one" => 1);
    });
    assert_eq!(
        log.take(),
        "event message=miss memo=\"numbers\" reason=Absent\n\
         event message=compute started memo=\"numbers\"\n\
         compute memo=\"numbers\"\n\
        \x20 event message=reading\n\
         recorded took=1s\n\
         recorded succeeded=true\n\
         event message=compute finished memo=\"numbers\" took=1s succeeded=true\n\
         event message=hit memo=\"numbers\" tier=Disk saved=1s\n"
    );
}

#[test]
fn a_pool_logs_in_the_same_words() {
    let log = Log::default();
    let pool =
        memolith::ResourcePool::builder().clock(&memolith::testing::ManualClock::new()).build().unwrap();
    subscribed(log.clone(), || {
        for _ in 0..2 {
            pool.get_or_insert_with("one", || {
                debug!("connecting");
                1_u8
            });
        }
        pool.entry::<u8>("one").validate(|_| false).or_insert_with(|| 2);
    });
    let built = "event message=compute started memo=\"u8\"\n\
                 compute memo=\"u8\"\n\
                 CONNECTING\
                 recorded took=0ns\n\
                 recorded succeeded=true\n\
                 event message=compute finished memo=\"u8\" took=0ns succeeded=true\n";
    assert_eq!(
        log.take(),
        [
            "event message=miss memo=\"u8\" reason=Absent\n",
            &built.replace("CONNECTING", "  event message=connecting\n"),
            "event message=hit memo=\"u8\" tier=Memory saved=0ns\n",
            "event message=miss memo=\"u8\" reason=Invalid\n",
            &built.replace("CONNECTING", ""),
        ]
        .concat()
    );
}

#[test]
fn a_closure_that_panics_leaves_its_span() {
    let (bench, log) = (Bench::new(), Log::default());
    let memo = plain(&bench.store(), "numbers");
    subscribed(log.clone(), || {
        let call = || memo.get_or_insert_with("one", || panic!("in the closure"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_err();
    });
    assert_eq!(log.depth.load(SeqCst), 0);
    assert!(log.take().contains("recorded succeeded=false"));
}

/// Panics at every record.
struct Panicking;

impl Subscriber for Panicking {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        panic!("at the record")
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        panic!("at the event")
    }

    fn enter(&self, _: &Id) {
        panic!("at the entry")
    }

    fn exit(&self, _: &Id) {
        panic!("at the exit")
    }

    fn try_close(&self, _: Id) -> bool {
        panic!("at the close")
    }
}

#[test]
fn a_subscriber_that_panics_fails_no_call() {
    let bench = Bench::new();
    let memo = plain(&bench.store(), "numbers");
    subscribed(Panicking, || {
        miss!(memo, "one" => 1);
        hit!(memo, "one" => 1);
    });
    assert_eq!(memo.stats().inserts, 1);
}
