//! Who draws, and when: one lock, one thread, one line.
//!
//! The thread is started at the first computation. It waits until the first of those that run now has lasted long
//! enough, then for the next frame, and for ever when nothing has begun for a while. A computation that begins wakes it only
//! from that last wait: in all others it looks in time by itself. So a burst of short computations wakes it five times a
//! second, not each time.
//!
//! The line is out of the state while it is drawn: a terminal can keep whoever writes to it waiting, with its output
//! stopped or behind the lock of `stderr`, which a thread that computes may hold. Nobody who begins or ends a computation
//! waits for that. Whoever finds the line gone leaves it to the one who has it, and who looks again when he puts it back.

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
    sync::{Condvar, Mutex, MutexGuard, PoisonError, lock, thread},
};

/// How long a frame stays.
const FRAME: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Stage {
    state: Mutex<State>,
    /// There is something for the thread to look at.
    changed: Condvar,
    /// The line is back.
    drawn: Condvar,
}

#[derive(Debug)]
struct State {
    scene: Scene<ThreadId>,
    /// None while somebody draws it.
    line: Option<Line>,
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

type Guard<'a> = MutexGuard<'a, State>;

impl Stage {
    pub(super) fn on_stderr() -> Self {
        Self::with(Line::on_stderr())
    }

    fn with(line: Line) -> Self {
        let state = State { scene: Scene::new(), line: Some(line), suspended: 0, thread: Thread::NotStarted };
        Self { state: Mutex::new(state), changed: Condvar::new(), drawn: Condvar::new() }
    }

    /// A computation of this thread begins.
    pub(super) fn begun(&'static self, text: &Arc<str>) {
        let mut state = lock(&self.state);
        state.scene.begun(thread::current().id(), text, clock::moment());
        self.watch(&mut state);
    }

    /// A computation of this thread is over. Its line is taken away here, unless another thread is drawing it: then by
    /// that one.
    pub(super) fn ended(&self) {
        let mut state = lock(&self.state);
        state.scene.ended(&thread::current().id());
        let now = clock::moment();
        // What others still compute is for the thread to show.
        if state.line.as_ref().is_some_and(Line::is_drawn) && state.scene.shown(now).is_none() {
            drop(self.look(state, now));
        }
    }

    pub(super) fn suspend<T>(&'static self, write: impl FnOnce() -> T) -> T {
        let mut state = lock(&self.state);
        state.suspended += 1;
        let (state, _) = self.look(state, clock::moment());
        // Not for longer: who draws may wait for this thread to let go of `stderr`.
        let waited = self.drawn.wait_timeout_while(state, FRAME, |state| state.line.is_none());
        drop(waited);
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
            let (looked, next) = self.next(state, now);
            state = match next {
                None => self.changed.wait(looked).unwrap_or_else(PoisonError::into_inner),
                Some(next) => {
                    let wait = next.saturating_duration_since(clock::moment());
                    self.changed.wait_timeout(looked, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Looks. When the thread looks next, or nothing if it rests until it is woken: then nothing has begun for a while.
    fn next<'a>(&'a self, state: Guard<'a>, now: Instant) -> (Guard<'a>, Option<Instant>) {
        let (mut state, next) = self.look(state, now);
        if next.is_some() {
            return (state, next);
        }
        let lingers = state.thread == Thread::Watching;
        state.thread = if lingers { Thread::Lingering } else { Thread::Resting };
        (state, lingers.then(|| now + DELAY))
    }

    /// Draws what is to be seen now, or takes it away. When to look again, if there is a reason to.
    fn look<'a>(&'a self, mut state: Guard<'a>, now: Instant) -> (Guard<'a>, Option<Instant>) {
        loop {
            let (shown, next) = state.shown(now);
            let Some(mut line) = state.line.take_if(|line| shown.is_some() || line.is_drawn()) else {
                return (state, next);
            };
            if thread::panicking() {
                // indicatif draws nothing on a thread that unwinds.
                state.line = Some(line);
                self.changed.notify_one();
                return (state, next);
            }
            drop(state);
            let is_shown = shown.is_some();
            match shown {
                Some(text) => line.draw(text),
                None => line.clear(),
            }
            state = lock(&self.state);
            state.line = Some(line);
            self.drawn.notify_all();
            // Who ended meanwhile found the line gone.
            let (shown, next) = state.shown(now);
            if shown.is_some() == is_shown {
                return (state, next);
            }
        }
    }
}

impl State {
    /// What the line says, and when that may be another thing.
    fn shown(&self, now: Instant) -> (Option<String>, Option<Instant>) {
        if self.suspended > 0 {
            return (None, None);
        }
        match self.scene.shown(now) {
            Some(shown) => (Some(shown.to_string()), Some(now + FRAME)),
            None => (None, self.scene.due()),
        }
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

    fn look(stage: &'static Stage, now: Instant) -> Option<Instant> {
        stage.look(lock(&stage.state), now).1
    }

    /// This thread has been computing for a second, and that is on the screen.
    fn shown(text: &str) -> (&'static Stage, InMemoryTerm, Instant) {
        let (stage, terminal) = stage();
        let now = clock::moment();
        lock(&stage.state).scene.begun(thread::current().id(), &text.into(), now);
        assert_eq!(look(stage, now), Some(now + Duration::from_millis(200)), "nothing to see yet");
        assert_eq!(terminal.contents(), "");
        let now = now + Duration::from_secs(1);
        assert_eq!(look(stage, now), Some(now + FRAME));
        (stage, terminal, now)
    }

    #[test]
    fn a_line_is_there_while_it_is_computed_and_nothing_is_left_of_it() {
        let (stage, terminal, now) = shown("Fetching...");
        assert_eq!(terminal.contents(), "⠙ Fetching... 1 s");
        look(stage, now + Duration::from_secs(1));
        assert_eq!(terminal.contents(), "⠹ Fetching... 2 s");
        stage.ended();
        assert_eq!(terminal.contents(), "");
        assert_eq!(look(stage, now), None);
    }

    #[test]
    fn what_the_function_prints_is_whole_and_on_a_line_of_its_own() {
        let (stage, terminal, now) = shown("Fetching...");
        terminal.write_line("row 1000").unwrap();
        terminal.write_line("row 2000").unwrap();
        look(stage, now + FRAME);
        assert_eq!(terminal.contents(), "⠙ Fetching... 1 s\nrow 1000\nrow 2000\n⠹ Fetching... 1 s");
        stage.ended();
        assert_eq!(terminal.contents(), "⠙ Fetching... 1 s\nrow 1000\nrow 2000");
    }

    #[test]
    fn what_is_printed_while_it_is_suspended_stands_alone() {
        let (stage, terminal, now) = shown("Fetching...");
        stage.suspend(|| {
            terminal.write_line("row 1000").unwrap();
            assert_eq!(look(stage, now + FRAME), None, "not while it is suspended");
            terminal.write_line("row 2000").unwrap();
        });
        assert_eq!(terminal.contents(), "row 1000\nrow 2000");
        look(stage, now + FRAME);
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
            assert_eq!(stage.next(lock(&stage.state), after(round)).1, Some(after(round + 1)));
            assert_eq!(lock(&stage.state).thread, Thread::Lingering);
        }
        assert_eq!(stage.next(lock(&stage.state), after(3)).1, None);
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
        assert_eq!(look(stage, now), None);
        assert_eq!(terminal.contents(), "");
    }

    #[test]
    fn the_end_of_one_thread_leaves_the_line_to_another() {
        let (stage, terminal, now) = shown("Fetching...");
        let other = thread::spawn(|| thread::current().id()).join().unwrap();
        lock(&stage.state).scene.begun(other, &"Training...".into(), now);
        look(stage, now + FRAME * 2);
        assert_eq!(terminal.contents(), "⠹ Fetching... 1 s (and 1 more)");
        lock(&stage.state).scene.ended(&thread::current().id());
        look(stage, now + FRAME * 3);
        assert_eq!(terminal.contents(), "⠸ Training...");
    }

    /// As when its output is stopped, or the lock of `stderr` is held by a thread that computes.
    #[test]
    fn a_terminal_that_keeps_its_writer_waiting_keeps_nobody_else() {
        let (stage, terminal, now) = shown("Fetching...");
        let drawn_by_another = lock(&stage.state).line.take();
        stage.begun(&"Training...".into());
        stage.ended();
        stage.ended();
        assert_eq!(
            stage.suspend(|| terminal.contents()),
            "⠙ Fetching... 1 s",
            "after a moment, all the same"
        );
        lock(&stage.state).line = drawn_by_another;
        assert_eq!(look(stage, now), None);
        assert_eq!(terminal.contents(), "");
    }

    #[test]
    fn what_ended_while_the_line_was_drawn_is_taken_away_by_who_drew_it() {
        static STAGE: Mutex<Option<&'static Stage>> = Mutex::new(None);
        let terminal = InMemoryTerm::new(10, 30);
        let target = terminal.clone();
        let line = Line::on(move || {
            // The target is asked for when the line is first drawn.
            if let Some(stage) = lock(&STAGE).take() {
                stage.ended();
            }
            ProgressDrawTarget::term_like(Box::new(target.clone()))
        });
        let stage = Box::leak(Box::new(Stage::with(line)));
        let now = clock::moment();
        lock(&stage.state).scene.begun(thread::current().id(), &"Fetching...".into(), now);
        *lock(&STAGE) = Some(stage);
        assert_eq!(look(stage, now + Duration::from_secs(1)), None);
        assert_eq!((lock(&STAGE).is_none(), terminal.contents()), (true, String::new()));
    }
}
