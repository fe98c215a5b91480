//! Who draws, and when: one lock, one thread.
//!
//! The thread is started at the first computation. It waits until the first of those that run now has lasted long
//! enough, then for the next frame, and for ever when nothing has begun for a while. A computation that begins wakes it only
//! from that last wait: in all others it looks in time by itself. So a burst of short computations wakes it five times a
//! second, not each time.
//!
//! Whoever ends a computation takes its line away itself, before the call returns.

use std::{
    mem,
    sync::Arc,
    thread::ThreadId,
    time::{Duration, Instant},
};

use super::{
    line::Line,
    scene::{DELAY, Scene},
};
use crate::{
    clock,
    sync::{Condvar, Mutex, PoisonError, lock, thread},
};

/// How long a frame stays.
const FRAME: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Stage {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    scene: Scene<ThreadId>,
    line: Line,
    /// How many are writing to the terminal themselves.
    suspended: usize,
    thread: Thread,
}

/// What the thread that draws is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thread {
    NotStarted,
    /// It waits to be woken.
    Resting,
    /// It will look by itself, in time for whatever begins now. Something has begun since it looked last.
    Watching,
    /// The same, and nothing has.
    Lingering,
}

impl Stage {
    pub(super) fn on_stderr() -> Self {
        Self::with(Line::on_stderr())
    }

    fn with(line: Line) -> Self {
        let state = State { scene: Scene::new(), line, suspended: 0, thread: Thread::NotStarted };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Stage {
    /// A computation of this thread begins.
    pub(super) fn begun(&'static self, text: &Arc<str>) {
        let mut state = lock(&self.state);
        state.scene.begun(thread::current().id(), text, clock::moment());
        self.watch(&mut state);
    }

    /// A computation of this thread is over.
    pub(super) fn ended(&self) {
        let mut state = lock(&self.state);
        state.scene.ended(&thread::current().id());
        if !state.line.is_drawn() {
            return;
        }
        if thread::panicking() {
            // indicatif draws nothing on a thread that unwinds.
            self.changed.notify_one();
        } else {
            state.look(clock::moment());
        }
    }

    pub(super) fn suspend<T>(&'static self, write: impl FnOnce() -> T) -> T {
        let mut state = lock(&self.state);
        state.suspended += 1;
        state.look(clock::moment());
        drop(state);
        let _suspended = Suspended(self);
        write()
    }

    /// Has the thread look in time.
    fn watch(&'static self, state: &mut State) {
        match mem::replace(&mut state.thread, Thread::Watching) {
            Thread::Watching | Thread::Lingering => {}
            Thread::Resting => self.changed.notify_one(),
            Thread::NotStarted => {
                let named = thread::Builder::new().name("memolith spinner".into());
                if named.spawn(|| self.run()).is_err() {
                    state.thread = Thread::NotStarted;
                }
            }
        }
    }

    fn run(&self) {
        let mut state = lock(&self.state);
        loop {
            let now = clock::moment();
            state = match state.next(now) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(next) => {
                    let wait = next.saturating_duration_since(now);
                    self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl State {
    /// Looks. When the thread looks next, or nothing if it rests until it is woken: then nothing has begun for a while.
    fn next(&mut self, now: Instant) -> Option<Instant> {
        let next = self.look(now);
        if next.is_some() {
            return next;
        }
        let lingers = self.thread == Thread::Watching;
        self.thread = if lingers { Thread::Lingering } else { Thread::Resting };
        lingers.then(|| now + DELAY)
    }

    /// Draws what is to be seen now, or takes it away. When to look again, if there is a reason to.
    fn look(&mut self, now: Instant) -> Option<Instant> {
        if self.suspended > 0 {
            self.line.clear();
            return None;
        }
        let Some(shown) = self.scene.shown(now) else {
            self.line.clear();
            return self.scene.due();
        };
        self.line.draw(shown.to_string());
        Some(now + FRAME)
    }
}

/// Somebody is writing to the terminal.
struct Suspended(&'static Stage);

impl Drop for Suspended {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.suspended -= 1;
        if state.scene.due().is_some() {
            self.0.watch(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use indicatif::{InMemoryTerm, ProgressDrawTarget, TermLike};

    use super::*;

    /// A stage on a terminal of 30 columns, whose thread is never started: it is looked at by hand.
    fn stage() -> (&'static Stage, InMemoryTerm) {
        let terminal = InMemoryTerm::new(10, 30);
        let target = terminal.clone();
        let line = Line::on(move || ProgressDrawTarget::term_like(Box::new(target.clone())));
        let stage = Box::leak(Box::new(Stage::with(line)));
        lock(&stage.state).thread = Thread::Watching;
        (stage, terminal)
    }

    /// This thread has been computing for a second, and that is on the screen.
    fn shown(text: &str) -> (&'static Stage, InMemoryTerm, Instant) {
        let (stage, terminal) = stage();
        let now = clock::moment();
        let mut inside = lock(&stage.state);
        inside.scene.begun(thread::current().id(), &text.into(), now);
        assert_eq!(inside.look(now), Some(now + Duration::from_millis(200)), "nothing to see yet");
        assert_eq!(terminal.contents(), "");
        let now = now + Duration::from_secs(1);
        assert_eq!(inside.look(now), Some(now + FRAME));
        drop(inside);
        (stage, terminal, now)
    }

    #[test]
    fn a_line_is_there_while_it_is_computed_and_nothing_is_left_of_it() {
        let (stage, terminal, now) = shown("Fetching...");
        assert_eq!(terminal.contents(), "⠙ Fetching... 1 s");
        lock(&stage.state).look(now + Duration::from_secs(1));
        assert_eq!(terminal.contents(), "⠹ Fetching... 2 s");
        stage.ended();
        assert_eq!(terminal.contents(), "");
        assert_eq!(lock(&stage.state).look(now), None);
    }

    #[test]
    fn what_the_function_prints_is_whole_and_on_a_line_of_its_own() {
        let (stage, terminal, now) = shown("Fetching...");
        terminal.write_line("row 1000").unwrap();
        terminal.write_line("row 2000").unwrap();
        lock(&stage.state).look(now + FRAME);
        assert_eq!(terminal.contents(), "⠙ Fetching... 1 s\nrow 1000\nrow 2000\n⠹ Fetching... 1 s");
        stage.ended();
        assert_eq!(terminal.contents(), "⠙ Fetching... 1 s\nrow 1000\nrow 2000");
    }

    #[test]
    fn what_is_printed_while_it_is_suspended_stands_alone() {
        let (stage, terminal, now) = shown("Fetching...");
        stage.suspend(|| {
            terminal.write_line("row 1000").unwrap();
            assert_eq!(lock(&stage.state).look(now + FRAME), None, "not while it is suspended");
            terminal.write_line("row 2000").unwrap();
        });
        assert_eq!(terminal.contents(), "row 1000\nrow 2000");
        lock(&stage.state).look(now + FRAME);
        assert_eq!(terminal.contents(), "row 1000\nrow 2000\n⠙ Fetching... 1 s");
    }

    #[test]
    fn a_text_that_is_too_long_is_cut() {
        let (_, terminal, _) = shown("Fetching all the data that there is...");
        assert_eq!(terminal.contents(), "⠙ Fetching all the data that t");
        let (_, terminal, _) = shown("データを取得しています、少々お待ちください");
        assert_eq!(terminal.contents(), "⠙ データを取得しています、少々");
    }

    #[test]
    fn a_burst_of_short_computations_lets_the_thread_rest_only_after_it() {
        let (stage, terminal) = stage();
        let short = || {
            stage.begun(&"Fetching...".into());
            stage.ended();
        };
        let now = clock::moment();
        let after = |delays: u32| now + DELAY * delays;
        for round in 0..3 {
            short();
            short();
            assert_eq!(lock(&stage.state).next(after(round)), Some(after(round + 1)));
            assert_eq!(lock(&stage.state).thread, Thread::Lingering);
        }
        assert_eq!(lock(&stage.state).next(after(3)), None);
        assert_eq!((lock(&stage.state).thread, terminal.contents()), (Thread::Resting, String::new()));
    }

    #[test]
    fn a_panic_ends_it_too() {
        struct Ends(&'static Stage);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.ended();
            }
        }
        let (stage, terminal, now) = shown("Fetching...");
        let panicking = AssertUnwindSafe(|| {
            let _ends = Ends(stage);
            std::panic::resume_unwind(Box::new("in the closure"));
        });
        catch_unwind(panicking).unwrap_err();
        assert_eq!(lock(&stage.state).look(now), None);
        assert_eq!(terminal.contents(), "");
    }

    #[test]
    fn the_end_of_one_thread_leaves_the_line_to_another() {
        let (stage, terminal, now) = shown("Fetching...");
        let other = thread::spawn(|| thread::current().id()).join().unwrap();
        let mut inside = lock(&stage.state);
        inside.scene.begun(other, &"Training...".into(), now);
        inside.look(now + FRAME * 2);
        assert_eq!(terminal.contents(), "⠹ Fetching... 1 s (and 1 more)");
        inside.scene.ended(&thread::current().id());
        inside.look(now + FRAME * 3);
        assert_eq!(terminal.contents(), "⠸ Training...");
    }
}
