//! The observers of a store and of its memos.

use std::{
    cell::Cell,
    collections::HashMap,
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{Arc, Mutex, Weak},
};

use super::{contained::contained, event::Event, trace};
use crate::{error::Error, sync::lock};

/// The closure of an observer.
pub(crate) type Observe = dyn Fn(&Event<'_>) + Send + Sync;

thread_local! {
    /// Whether an observer runs on this thread.
    static IN_OBSERVER: Cell<bool> = const { Cell::new(false) };
}

/// The observers of one builder, in order of registration. A panic of a `Drop` that they captured is contained.
#[derive(Clone, Default)]
pub(crate) struct Observers(Vec<Arc<Observe>>);

/// A panic of an observer is contained, so none leaves it half done for a caller that catches panics.
impl UnwindSafe for Observers {}

impl RefUnwindSafe for Observers {}

impl Drop for Observers {
    fn drop(&mut self) {
        for observe in self.0.drain(..) {
            drop(contained(|| drop(observe)));
        }
    }
}

impl Observers {
    pub(crate) fn push(&mut self, observe: Arc<Observe>) {
        self.0.push(observe);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Arc<Observe>> for Observers {
    fn from_iter<I: IntoIterator<Item = Arc<Observe>>>(observers: I) -> Self {
        Self(observers.into_iter().collect())
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").field("count", &self.0.len()).finish()
    }
}

/// All observers of one store and of its open memos.
#[derive(Debug, Default)]
pub(crate) struct ObserverRegistry {
    of_store: Observers,
    /// Observers of the open memos that have any, by name: for events that no call on the memo causes. They live as long
    /// as their memo.
    of_memos: Mutex<HashMap<Arc<str>, Weak<Observers>>>,
}

impl ObserverRegistry {
    pub(crate) fn new(of_store: Observers) -> Self {
        Self { of_store, of_memos: Mutex::default() }
    }

    /// Registers the observers of a memo that is opened. They replace those of an earlier memo of this name.
    pub(crate) fn register(&self, memo: &Arc<str>, observers: Observers) -> Arc<Observers> {
        let observers = Arc::new(observers);
        let mut of_memos = lock(&self.of_memos);
        of_memos.remove(memo);
        if !observers.is_empty() {
            of_memos.insert(Arc::clone(memo), Arc::downgrade(&observers));
        }
        observers
    }

    /// Whether an event that concerns no memo of a store reaches no observer and no `tracing`.
    #[inline]
    pub(crate) fn is_silent(&self) -> bool {
        !trace::IS_ON && self.of_store.is_empty()
    }

    /// Whether any observer, or a subscriber of `tracing`, would be told of a hit of a memo.
    #[inline]
    pub(crate) fn hears_hits(&self, of_memo: &Observers) -> bool {
        !self.of_store.is_empty() || !of_memo.0.is_empty() || trace::may_hear_hits()
    }

    /// Whether an observer runs on this thread.
    pub(crate) fn is_in_observer() -> bool {
        IN_OBSERVER.get()
    }

    /// The observers of a memo, if it is open and has any.
    pub(crate) fn of_memo(&self, name: &str) -> Option<Arc<Observers>> {
        lock(&self.of_memos).get(name).and_then(Weak::upgrade)
    }

    /// Calls the observers of the memo, if the event concerns one, and then those of the store. A panic of an observer
    /// stops neither the other observers nor the call. The caller counts the returned panics.
    ///
    /// No observer is notified of an event that an observer causes: one that reads a memo at each hit would never end.
    pub(crate) fn notify(&self, of_memo: Option<&Observers>, event: &Event<'_>) -> Vec<Error> {
        let mut panics = Vec::new();
        if IN_OBSERVER.replace(true) {
            return panics;
        }
        if trace::IS_ON {
            panics.extend(contained(|| trace::event(event)));
        }
        let of_memo = of_memo.map(|observers| observers.0.as_slice()).unwrap_or_default();
        for observe in of_memo.iter().chain(&self.of_store.0) {
            panics.extend(contained(|| observe(event)));
        }
        IN_OBSERVER.set(false);
        panics
    }
}

#[cfg(test)]
#[expect(clippy::panic, reason = "some of these observers are bad ones")]
mod tests {
    use super::*;

    const EVENT: Event<'_> = Event::ComputeStarted { memo: "frames", key: None };

    /// Writes its name down.
    fn writes(name: &'static str, log: &Arc<Mutex<Vec<&'static str>>>) -> Arc<Observe> {
        let log = Arc::clone(log);
        Arc::new(move |_: &Event<'_>| lock(&log).push(name))
    }

    fn panics() -> Arc<Observe> {
        Arc::new(|_: &Event<'_>| panic!("in the observer"))
    }

    #[test]
    fn an_observer_that_panics_is_contained_and_those_behind_it_are_told() {
        let log = Arc::default();
        let registry = ObserverRegistry::new([panics(), writes("store", &log)].into_iter().collect());
        let of_memo = [writes("memo", &log), panics()].into_iter().collect();
        let told: Vec<String> =
            registry.notify(Some(&of_memo), &EVENT).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["the observer panicked: in the observer", "the observer panicked: in the observer"]
        );
        assert_eq!(*lock(&log), ["memo", "store"]);
    }

    #[test]
    fn the_observers_of_a_memo_are_known_by_its_name_as_long_as_it_is_open() {
        let log = Arc::default();
        let registry = ObserverRegistry::default();
        let first = registry.register(&"frames".into(), [writes("first", &log)].into_iter().collect());
        assert!(registry.of_memo("frames").is_some() && registry.of_memo("models").is_none());
        let second = registry.register(&"frames".into(), Observers::default());
        assert!(registry.of_memo("frames").is_none(), "opened again, without any");
        drop((first, second));
        assert!(registry.of_memo("frames").is_none());
    }
}
