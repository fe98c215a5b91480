//! Who is told: the observers of a store, and those of its memos.

use std::{
    cell::Cell,
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, Weak},
};

use super::{Event, contained::contained, trace};
use crate::{error::Error, sync::lock};

/// What a user gave to be told.
pub(crate) type Observe = dyn Fn(&Event<'_>) + Send + Sync;

thread_local! {
    /// Whether an observer is being told something on this thread.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// All that were given at one place, in their order. What they captured goes with them, whatever its `Drop` does.
#[derive(Clone, Default)]
pub(crate) struct Observers(Vec<Arc<Observe>>);

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

/// Everybody who is told what happens in one store.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    of_store: Observers,
    /// Of the memos that are open and have any, by name: for what happens to a memo without a call on it. They live as
    /// long as the memo.
    of_memos: Mutex<HashMap<Arc<str>, Weak<Observers>>>,
}

impl Audience {
    pub(crate) fn new(of_store: Observers) -> Self {
        Self { of_store, of_memos: Mutex::default() }
    }

    /// A memo is opened: whoever was told of one of that name before is told no more.
    pub(crate) fn welcome(&self, memo: &Arc<str>, observers: Observers) -> Arc<Observers> {
        let observers = Arc::new(observers);
        let mut of_memos = lock(&self.of_memos);
        of_memos.remove(memo);
        if !observers.is_empty() {
            of_memos.insert(Arc::clone(memo), Arc::downgrade(&observers));
        }
        observers
    }

    /// Whether this thread runs an observer at this moment.
    pub(crate) fn is_telling() -> bool {
        TELLING.get()
    }

    /// Those of a memo that may be open.
    pub(crate) fn of_memo(&self, name: &str) -> Option<Arc<Observers>> {
        lock(&self.of_memos).get(name).and_then(Weak::upgrade)
    }

    /// Tells those of the memo, if it is one memo's event, then those of the store. An observer that panics keeps nobody
    /// from being told, and no call from going on; what the panics were is for the caller to count.
    ///
    /// What an observer causes itself is told to nobody: one that reads a memo at each hit would never come to an end.
    pub(crate) fn tell(&self, of_memo: Option<&Observers>, event: &Event<'_>) -> Vec<Error> {
        let mut panics = Vec::new();
        if TELLING.replace(true) {
            return panics;
        }
        if trace::IS_ON {
            panics.extend(contained(|| trace::event(event)));
        }
        let of_memo = of_memo.map(|observers| observers.0.as_slice()).unwrap_or_default();
        for observe in of_memo.iter().chain(&self.of_store.0) {
            panics.extend(contained(|| observe(event)));
        }
        TELLING.set(false);
        panics
    }
}

#[cfg(test)]
#[expect(clippy::panic, reason = "some of these observers are bad ones")]
mod tests {
    use super::*;

    const EVENT: Event<'_> = Event::ComputingBegan { memo: "frames" };

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
        let audience = Audience::new([panics(), writes("store", &log)].into_iter().collect());
        let of_memo = [writes("memo", &log), panics()].into_iter().collect();
        let told: Vec<String> =
            audience.tell(Some(&of_memo), &EVENT).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["the observer panicked: in the observer", "the observer panicked: in the observer"]
        );
        assert_eq!(*lock(&log), ["memo", "store"]);
    }

    #[test]
    fn the_observers_of_a_memo_are_known_by_its_name_as_long_as_it_is_open() {
        let log = Arc::default();
        let audience = Audience::default();
        let first = audience.welcome(&"frames".into(), [writes("first", &log)].into_iter().collect());
        assert!(audience.of_memo("frames").is_some() && audience.of_memo("models").is_none());
        let second = audience.welcome(&"frames".into(), Observers::default());
        assert!(audience.of_memo("frames").is_none(), "opened again, without any");
        drop((first, second));
        assert!(audience.of_memo("frames").is_none());
    }
}
