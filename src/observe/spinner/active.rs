//! Decides what the line shows, from the computations in progress and a given time. No clock, no lock, no terminal.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

/// A computation that takes less time is not shown.
pub(super) const DELAY: Duration = Duration::from_millis(200);

/// The computations in progress. `Id` identifies a thread.
#[derive(Debug)]
pub(super) struct ActiveComputations<Id> {
    /// The outermost computation of each thread that computes.
    outermost: HashMap<Id, Computing>,
}

#[derive(Debug)]
struct Computing {
    text: Arc<str>,
    since: Instant,
    /// Number of nested computations on the thread, this one included. Never 0.
    depth: usize,
}

/// The contents of the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    text: Arc<str>,
    lasted: Duration,
    /// Number of other threads whose computations have lasted for [`DELAY`].
    others: usize,
}

impl<Id: Eq + Hash> ActiveComputations<Id> {
    pub(super) fn new() -> Self {
        Self { outermost: HashMap::new() }
    }

    pub(super) fn begin(&mut self, id: Id, text: &Arc<str>, now: Instant) {
        let outermost = || Computing { text: Arc::clone(text), since: now, depth: 0 };
        self.outermost.entry(id).or_insert_with(outermost).depth += 1;
    }

    pub(super) fn end(&mut self, id: &Id) {
        let Some(computing) = self.outermost.get_mut(id) else { return };
        computing.depth -= 1;
        if computing.depth == 0 {
            self.outermost.remove(id);
        }
    }

    /// The computation that began first, if it has lasted for [`DELAY`].
    pub(super) fn shown(&self, now: Instant) -> Option<Shown> {
        let shown = self.outermost.values().filter(|computing| now >= computing.due());
        let first = shown.clone().min_by_key(|computing| computing.since)?;
        Some(Shown {
            text: Arc::clone(&first.text),
            lasted: now.duration_since(first.since),
            others: shown.count() - 1,
        })
    }

    /// When the first computation will have lasted for [`DELAY`].
    pub(super) fn due(&self) -> Option<Instant> {
        self.outermost.values().map(Computing::due).min()
    }
}

impl Computing {
    fn due(&self) -> Instant {
        self.since + DELAY
    }
}

/// The text, the whole seconds if there are any, and the number of the others if there are any.
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match self.lasted.as_secs() {
            0 => {}
            seconds => write!(f, " {seconds} s")?,
        }
        match self.others {
            0 => Ok(()),
            others => write!(f, " (and {others} more)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computations and their clock, which is moved by hand.
    struct Driver {
        active: ActiveComputations<&'static str>,
        start: Instant,
    }

    impl Driver {
        fn new() -> Self {
            Self { active: ActiveComputations::new(), start: Instant::now() }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn begin(&mut self, id: &'static str, text: &str, millis: u64) {
            let at = self.at(millis);
            self.active.begin(id, &text.into(), at);
        }

        #[track_caller]
        fn shows(&self, millis: u64, line: &str) {
            let shown = self.active.shown(self.at(millis)).map(|shown| shown.to_string());
            assert_eq!(shown.unwrap_or_default(), line);
        }
    }

    #[test]
    fn what_has_not_lasted_200_ms_is_not_shown() {
        let mut driver = Driver::new();
        assert_eq!(driver.active.due(), None);
        driver.begin("main", "Fetching...", 0);
        driver.shows(199, "");
        assert_eq!(driver.active.due(), Some(driver.at(200)));
        driver.shows(200, "Fetching...");
        driver.active.end(&"main");
        driver.shows(201, "");
    }

    #[test]
    fn seconds_are_told_from_the_first_on() {
        let mut driver = Driver::new();
        driver.begin("main", "Fetching...", 0);
        driver.shows(999, "Fetching...");
        driver.shows(1000, "Fetching... 1 s");
        driver.shows(61_999, "Fetching... 61 s");
    }

    #[test]
    fn of_computations_within_one_another_the_outermost_is_shown() {
        let mut driver = Driver::new();
        driver.begin("main", "outer", 0);
        driver.begin("main", "inner", 100);
        driver.begin("main", "innermost", 150);
        driver.shows(400, "outer");
        driver.active.end(&"main");
        driver.active.end(&"main");
        driver.shows(500, "outer");
        driver.begin("main", "inner again", 600);
        driver.active.end(&"main");
        driver.shows(700, "outer");
        driver.active.end(&"main");
        driver.shows(800, "");
        driver.begin("main", "next", 900);
        driver.shows(1000, "");
        driver.shows(1100, "next");
    }

    #[test]
    fn of_several_threads_the_first_to_begin_is_shown_and_the_others_are_counted() {
        let mut driver = Driver::new();
        driver.begin("one", "first", 0);
        driver.begin("two", "second", 100);
        driver.begin("three", "third", 250);
        driver.shows(299, "first");
        driver.shows(300, "first (and 1 more)");
        driver.shows(1000, "first 1 s (and 2 more)");
        driver.active.end(&"one");
        driver.shows(1099, "second (and 1 more)");
        assert_eq!(driver.active.due(), Some(driver.at(300)));
        driver.active.end(&"three");
        driver.shows(1100, "second 1 s");
    }
}
