//! What is to be shown: decided from who computes since when, and what time it is. No clock, no lock, no terminal.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

/// What is over sooner is not shown.
pub(super) const DELAY: Duration = Duration::from_millis(200);

/// Who computes now. `Who` is a thread.
#[derive(Debug)]
pub(super) struct Scene<Who> {
    /// The outermost computation of each thread that has any.
    outermost: HashMap<Who, Computing>,
}

#[derive(Debug)]
struct Computing {
    text: Arc<str>,
    since: Instant,
    /// Itself, and those within it.
    depth: usize,
}

/// What the line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    text: Arc<str>,
    lasted: Duration,
    /// How many more have lasted long enough.
    others: usize,
}

impl<Who: Eq + Hash> Scene<Who> {
    pub(super) fn new() -> Self {
        Self { outermost: HashMap::new() }
    }

    pub(super) fn begun(&mut self, who: Who, text: &Arc<str>, now: Instant) {
        let outermost = || Computing { text: Arc::clone(text), since: now, depth: 0 };
        self.outermost.entry(who).or_insert_with(outermost).depth += 1;
    }

    pub(super) fn ended(&mut self, who: &Who) {
        let Some(computing) = self.outermost.get_mut(who) else { return };
        computing.depth -= 1;
        if computing.depth == 0 {
            self.outermost.remove(who);
        }
    }

    /// The one that began first, if it has lasted long enough.
    pub(super) fn shown(&self, now: Instant) -> Option<Shown> {
        let shown = self.outermost.values().filter(|computing| now >= computing.due());
        let first = shown.clone().min_by_key(|computing| computing.since)?;
        Some(Shown {
            text: Arc::clone(&first.text),
            lasted: now.duration_since(first.since),
            others: shown.count() - 1,
        })
    }

    /// When the first of them will have lasted long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.outermost.values().map(Computing::due).min()
    }
}

impl Computing {
    fn due(&self) -> Instant {
        self.since + DELAY
    }
}

/// Seconds from the first on, and how many others there are.
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

    /// A scene and its clock, which is moved by hand.
    struct Play {
        scene: Scene<&'static str>,
        start: Instant,
    }

    impl Play {
        fn new() -> Self {
            Self { scene: Scene::new(), start: Instant::now() }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn begun(&mut self, who: &'static str, text: &str, millis: u64) {
            let at = self.at(millis);
            self.scene.begun(who, &text.into(), at);
        }

        #[track_caller]
        fn shows(&self, millis: u64, line: &str) {
            let shown = self.scene.shown(self.at(millis)).map(|shown| shown.to_string());
            assert_eq!(shown.unwrap_or_default(), line);
        }
    }

    #[test]
    fn what_has_not_lasted_200_ms_is_not_shown() {
        let mut play = Play::new();
        assert_eq!(play.scene.due(), None);
        play.begun("main", "Fetching...", 0);
        play.shows(199, "");
        assert_eq!(play.scene.due(), Some(play.at(200)));
        play.shows(200, "Fetching...");
        play.scene.ended(&"main");
        play.shows(201, "");
    }

    #[test]
    fn seconds_are_told_from_the_first_on() {
        let mut play = Play::new();
        play.begun("main", "Fetching...", 0);
        play.shows(999, "Fetching...");
        play.shows(1000, "Fetching... 1 s");
        play.shows(61_999, "Fetching... 61 s");
    }

    #[test]
    fn of_computations_within_one_another_the_outermost_is_shown() {
        let mut play = Play::new();
        play.begun("main", "outer", 0);
        play.begun("main", "inner", 100);
        play.begun("main", "innermost", 150);
        play.shows(400, "outer");
        play.scene.ended(&"main");
        play.scene.ended(&"main");
        play.shows(500, "outer");
        play.begun("main", "inner again", 600);
        play.scene.ended(&"main");
        play.shows(700, "outer");
        play.scene.ended(&"main");
        play.shows(800, "");
        play.begun("main", "next", 900);
        play.shows(1000, "");
        play.shows(1100, "next");
    }

    #[test]
    fn of_several_threads_the_first_to_begin_is_shown_and_the_others_are_counted() {
        let mut play = Play::new();
        play.begun("one", "first", 0);
        play.begun("two", "second", 100);
        play.begun("three", "third", 250);
        play.shows(299, "first");
        play.shows(300, "first (and 1 more)");
        play.shows(1000, "first 1 s (and 2 more)");
        play.scene.ended(&"one");
        play.shows(1099, "second (and 1 more)");
        assert_eq!(play.scene.due(), Some(play.at(300)));
        play.scene.ended(&"three");
        play.shows(1100, "second 1 s");
    }
}
