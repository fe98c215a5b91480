//! Events of `tracing` as effects.
//!
//! While code of a computation runs on a thread, the subscriber of that thread is a [`Recorder`]: it hands everything to the
//! subscriber that was there before, and emits each event of the level as an effect. A computation makes one recorder. Those
//! that are nested in it on its thread use that one too, because an effect reaches all memos around the code.
//!
//! A new recorder has `tracing` ask for the interest in all its places again, so one is made only for a memo that declares
//! these effects. A place that was off before is on then: that is why an event is recorded that the subscriber filters out.

use std::{
    any::Any,
    fmt::{Debug, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};
use tracing::{
    Event, Level, Metadata, Subscriber,
    dispatcher::{self, Dispatch},
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_core::span::Current;

use super::{Handler, handler::sealed::Sealed};
use crate::{
    context,
    effect_log::{Listener, Undeclared},
};

/// The target of repeated events.
const TARGET: &str = "memolith::effects";

/// Records the events of [`tracing`](https://docs.rs/tracing) that a function emits, up to `level`, and emits them again at
/// each hit. Needs the feature `tracing`.
///
/// It is a handler for [`MemoBuilder::effects`](crate::MemoBuilder::effects) and for `#[memo(effects = ..)]`. While the function
/// runs, its events reach the subscriber as always. At a hit each of them is emitted as an event of its level with the target
/// `memolith::effects`, so that it is known as a repeated one, as cargo marks the warnings of a fresh crate. Its fields are
/// `repeated = true`, the first `target`, the `message`, and the other `fields` as one text.
///
/// ```
/// use memolith::{Memo, Store, effects};
/// use tracing::{Level, warn};
///
/// let store = Store::temporary()?;
/// let rows: Memo<str, usize> =
///     Memo::builder("rows").effects(effects::tracing(Level::WARN)).open(&store)?;
/// for _ in 0..2 {
///     // Each time the subscriber is told that a row was left out.
///     let rows = rows.get_or_insert_with("a,b,,c", || {
///         let whole = "a,b,,c".split(',').filter(|row| !row.is_empty()).count();
///         warn!(whole, "a row is empty, and was left out");
///         whole
///     });
///     assert_eq!(rows, 3);
/// }
/// assert_eq!(rows.stats().hits.total(), 1);
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// # What is recorded
///
/// * Every event of the level or a more severe one, by whatever code the function calls, on its thread, in the polls of its task,
///   and on other threads and in tasks within its [`Context`](crate::Context). Events that the subscriber filters out are
///   recorded too: a later hit may be under another filter. Spans, and events of this crate, are not recorded.
/// * The [rules](super#what-is-stored) of effects hold. So the value of a computation with more than 10,000 such events is not
///   stored: choose the level by that. Stored values keep the events of the level at which they were computed.
/// * A memo around the code without this handler is not told that its hits will lack the events. A memo around it with this
///   handler records them, repeated ones too.
/// * A [refresh behind a call](crate::LoadingMemo) tells its events to the subscriber as any code does.
///
/// # Surprises
///
/// * All parts of a computation use the subscriber that its first part found, with one exception: a subscriber that the function
///   itself sets for a part of its code, as by `with_default`, has the events of that part alone, and they are not recorded.
/// * Code that asks for the subscriber by its type, as `SpanTrace` of `tracing-error` and the span extensions of
///   `tracing-opentelemetry` do, does not find it within the function.
/// * Each computation makes a subscriber, and `tracing` asks all subscribers about all places of the program then: some ten
///   microseconds for one computation, and more while thousands of them are under way. The most detailed level that a subscriber
///   asked for stays the level of the program until another one is made, so events that are off cost a little more.
/// * A subscriber that itself calls a memo with this handler, and whose events reach it, calls itself without an end.
/// * In a program without any subscriber, the feature `log` of `tracing` hands events to the crate `log`. It ends with the first
///   computation under this handler.
#[must_use = "it is given to `effects`"]
pub const fn tracing(level: Level) -> Tracing {
    Tracing { level }
}

/// The handler that [`tracing`](tracing()) returns.
///
/// ```
/// use memolith::effects::{self, Tracing};
///
/// const INFO: Tracing = effects::tracing(tracing::Level::INFO);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tracing {
    level: Level,
}

/// An event of [`tracing`](https://docs.rs/tracing), as an effect: see [`tracing`](tracing()).
///
/// Only that handler makes it, so this type is needed to name it alone.
///
/// ```
/// use memolith::effects::{Handler, TracedEvent, tracing};
///
/// fn is_for_events(_: impl Handler<TracedEvent>) {}
///
/// is_for_events(tracing(::tracing::Level::WARN));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedEvent {
    severity: Severity,
    target: String,
    message: Option<String>,
    /// The other fields: `rows=3 path="a.csv"`.
    fields: Option<String>,
}

/// By their details.
const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

/// A level, from the most severe one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Severity {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warn,
            Level::INFO => Self::Info,
            Level::DEBUG => Self::Debug,
            Level::TRACE => Self::Trace,
        }
    }
}

impl Sealed<TracedEvent> for Tracing {}

impl Handler<TracedEvent> for Tracing {
    const IS_OF_SURROUNDINGS: bool = true;

    fn detail(&self) -> u8 {
        Severity::from(self.level) as u8
    }

    /// The subscriber has it already.
    fn handle(&self, _: &TracedEvent) {}

    fn repeat(&self, event: &TracedEvent) {
        let TracedEvent { severity, target, message, fields } = event;
        let (target, fields) = (target.as_str(), fields.as_deref());
        macro_rules! repeat {
            ($level:expr) => {
                match message {
                    Some(message) => {
                        tracing::event!(target: TARGET, $level, repeated = true, target, fields, "{message}");
                    }
                    None => tracing::event!(target: TARGET, $level, repeated = true, target, fields),
                }
            };
        }
        match severity {
            Severity::Error => repeat!(Level::ERROR),
            Severity::Warn => repeat!(Level::WARN),
            Severity::Info => repeat!(Level::INFO),
            Severity::Debug => repeat!(Level::DEBUG),
            Severity::Trace => repeat!(Level::TRACE),
        }
    }

    fn takes(&self, event: &TracedEvent) -> bool {
        event.severity <= self.level.into()
    }

    #[allow(private_interfaces, reason = "no other crate calls it")]
    fn listener(&self, least: u8) -> Option<Arc<dyn Listener>> {
        // The memos around the code each take their own of its events.
        let level =
            if self.detail() >= least { self.level } else { LEVELS.get(usize::from(least)).copied()? };
        Some(Arc::new(Recording { level, recorder: OnceLock::new() }))
    }
}

/// That of one computation.
struct Recording {
    level: Level,
    /// The recorder, from the first part of the computation on.
    recorder: OnceLock<Dispatch>,
}

impl Listener for Recording {
    fn detail(&self) -> u8 {
        Severity::from(self.level) as u8
    }

    fn listen(&self) -> Option<Box<dyn Any>> {
        let mut listening: Option<Box<dyn Any>> = None;
        contained(|| {
            let current = dispatcher::get_default(Clone::clone);
            let records = current.downcast_ref::<Recorder>().is_some_and(|there| there.level >= self.level);
            let recorder = self.recorder.get_or_init(|| {
                if records { current.clone() } else { Dispatch::new(Recorder::around(&current, self.level)) }
            });
            if !records {
                listening = Some(Box::new(dispatcher::set_default(recorder)));
            }
        });
        listening
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let recorder = self.recorder.take();
        contained(|| drop(recorder));
    }
}

/// A subscriber is foreign code, and may panic when it is asked about the places of the program, and when it is dropped.
fn contained(run: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(run)));
}

/// A subscriber that records the events, and hands everything to another one. Spans have the ids of that.
struct Recorder {
    level: Level,
    /// Never a recorder: an event would be emitted twice.
    subscriber: Dispatch,
}

impl Recorder {
    fn around(current: &Dispatch, level: Level) -> Self {
        let within = current.downcast_ref::<Self>().map(|recorder| &recorder.subscriber);
        Self { level, subscriber: within.unwrap_or(current).clone() }
    }

    fn records(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let is_own =
            target.strip_prefix("memolith").is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        metadata.is_event() && *metadata.level() <= self.level && !is_own
    }
}

impl Subscriber for Recorder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let mut interest = Interest::sometimes();
        // A panic here would poison a lock of `tracing`.
        contained(|| interest = self.subscriber.register_callsite(metadata));
        if interest.is_never() && self.records(metadata) { Interest::sometimes() } else { interest }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.records(metadata) || self.subscriber.enabled(metadata)
    }

    /// The subscriber has told its own when it was made.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level))
    }

    fn event(&self, event: &Event<'_>) {
        if !self.records(event.metadata()) {
            return self.subscriber.event(event);
        }
        if self.subscriber.enabled(event.metadata()) {
            self.subscriber.event(event);
        }
        context::emit(&TracedEvent::of(event), Undeclared::IsIgnored);
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.subscriber.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.subscriber.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.subscriber.record_follows_from(span, follows);
    }

    fn enter(&self, span: &Id) {
        self.subscriber.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.subscriber.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.subscriber.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.subscriber.try_close(id)
    }

    fn current_span(&self) -> Current {
        self.subscriber.current_span()
    }
}

impl TracedEvent {
    fn of(event: &Event<'_>) -> Self {
        let (metadata, mut texts) = (event.metadata(), Texts::default());
        event.record(&mut texts);
        let Texts { message, fields } = texts;
        let fields = (!fields.is_empty()).then_some(fields);
        Self { severity: (*metadata.level()).into(), target: metadata.target().to_owned(), message, fields }
    }
}

/// The fields of an event as text.
#[derive(Default)]
struct Texts {
    message: Option<String>,
    fields: String,
}

impl Visit for Texts {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = Some(value.to_owned());
        } else {
            self.record_debug(field, &value);
        }
    }

    /// The subscriber may have filtered the event out. Then no code has printed the value before, and a panic of its `Debug`
    /// must not be one of the function.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::from("<its Debug panicked>");
        contained(|| text = format!("{value:?}"));
        if field.name() == "message" {
            self.message = Some(text);
        } else {
            let blank = if self.fields.is_empty() { "" } else { " " };
            let _ = write!(self.fields, "{blank}{}={text}", field.name());
        }
    }
}
