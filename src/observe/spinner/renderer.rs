//! Draws the line: one lock, one thread.
//!
//! The thread starts at the first computation. It waits until the oldest computation has lasted long enough, then for
//! the next frame; if nothing began for a while, it waits until it is woken. A new computation wakes the thread from
//! that last wait only, because in the other waits the thread redraws in time anyway. So a burst of short computations
//! wakes it five times a second.
//!
//! The line is taken out of the state while it is drawn. A write to the terminal may block, because the output is stopped
//! or because a thread that computes holds the lock of `stderr`. No thread that begins or ends a computation waits for
//! that: it finds the line missing, and the thread that has the line redraws when it puts the line back.

use std::{
    mem,
    sync::Arc,
    thread::ThreadId,
    time::{Duration, Instant},
};

use super::{
    active::{ActiveComputations, DELAY},
    line::Line,
};
use crate::{
    clock,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, lock, thread},
};

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Renderer {
    state: Mutex<RenderState>,
    /// Wakes the thread.
    changed: Condvar,
    /// The line is in the state again.
    drawn: Condvar,
}

#[derive(Debug)]
struct RenderState {
    active: ActiveComputations<ThreadId>,
    /// `None` while a thread draws it.
    line: Option<Line>,
    /// Number of threads inside [`Renderer::suspend`].
    suspended: usize,
    thread: ThreadState,
}

/// The state of the thread that draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ThreadState {
    NotStarted,
    /// It waits until it is woken.
    Resting,
    /// It will redraw in time by itself. A computation began since it redrew last.
    Polling,
    /// It will redraw in time by itself. No computation began since it redrew last.
    Lingering,
}

type StateGuard<'a> = MutexGuard<'a, RenderState>;

impl Renderer {
    pub(super) fn on_stderr() -> Self {
        Self::with(Line::on_stderr())
    }

    fn with(line: Line) -> Self {
        let state = RenderState {
            active: ActiveComputations::new(),
            line: Some(line),
            suspended: 0,
            thread: ThreadState::NotStarted,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), drawn: Condvar::new() }
    }

    /// Records that a computation of this thread began.
    pub(super) fn begin(&'static self, text: &Arc<str>) {
        let mut state = lock(&self.state);
        state.active.begin(thread::current().id(), text, clock::moment());
        self.ensure_awake(&mut state);
    }

    /// Records that a computation of this thread ended. This thread clears the line, unless another thread is drawing it:
    /// then that thread clears it.
    pub(super) fn end(&self) {
        let mut state = lock(&self.state);
        state.active.end(&thread::current().id());
        let now = clock::moment();
        // If others still compute, the drawing thread shows them.
        if state.line.as_ref().is_some_and(Line::is_drawn) && state.active.shown(now).is_none() {
            drop(self.redraw(state, now));
        }
    }

    pub(super) fn suspend<T>(&'static self, write: impl FnOnce() -> T) -> T {
        let mut state = lock(&self.state);
        state.suspended += 1;
        let (state, _) = self.redraw(state, clock::moment());
        // One frame at most: the thread that draws may wait for `stderr`, which this thread may have locked.
        let waited = self.drawn.wait_timeout_while(state, FRAME, |state| state.line.is_none());
        drop(waited);
        let _suspended = Suspension(self);
        write()
    }

    /// Starts or wakes the thread, unless it will redraw in time by itself.
    fn ensure_awake(&'static self, state: &mut RenderState) {
        match mem::replace(&mut state.thread, ThreadState::Polling) {
            ThreadState::Polling | ThreadState::Lingering => {}
            ThreadState::Resting => self.changed.notify_one(),
            ThreadState::NotStarted => {
                let named = thread::Builder::new().name("memolith spinner".into());
                if named.spawn(|| self.run()).is_err() {
                    state.thread = ThreadState::NotStarted;
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

    /// Redraws, and returns when to redraw next. `None` if no computation began for a while: then the thread rests.
    fn next<'a>(&'a self, state: StateGuard<'a>, now: Instant) -> (StateGuard<'a>, Option<Instant>) {
        let (mut state, next) = self.redraw(state, now);
        if next.is_some() {
            return (state, next);
        }
        let lingers = state.thread == ThreadState::Polling;
        state.thread = if lingers { ThreadState::Lingering } else { ThreadState::Resting };
        (state, lingers.then(|| now + DELAY))
    }

    /// Draws or clears the line. Returns when to redraw, if ever.
    fn redraw<'a>(&'a self, mut state: StateGuard<'a>, now: Instant) -> (StateGuard<'a>, Option<Instant>) {
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
            // A computation that ended in the meantime found the line missing.
            let (shown, next) = state.shown(now);
            if shown.is_some() == is_shown {
                return (state, next);
            }
        }
    }
}

impl RenderState {
    /// The text of the line, and when it may change.
    fn shown(&self, now: Instant) -> (Option<String>, Option<Instant>) {
        if self.suspended > 0 {
            return (None, None);
        }
        match self.active.shown(now) {
            Some(shown) => (Some(shown.to_string()), Some(now + FRAME)),
            None => (None, self.active.due()),
        }
    }
}

/// A guard: nothing is drawn while it lives.
struct Suspension(&'static Renderer);

impl Drop for Suspension {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.suspended -= 1;
        if state.active.due().is_some() {
            self.0.ensure_awake(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use indicatif::{InMemoryTerm, ProgressDrawTarget, TermLike};

    use super::*;

    /// A renderer on a terminal of 30 columns. Its thread is never started, and tests redraw by hand.
    fn renderer() -> (&'static Renderer, InMemoryTerm) {
        let terminal = InMemoryTerm::new(10, 30);
        let target = terminal.clone();
        let line = Line::on(move || ProgressDrawTarget::term_like(Box::new(target.clone())));
        let renderer = Box::leak(Box::new(Renderer::with(line)));
        lock(&renderer.state).thread = ThreadState::Polling;
        (renderer, terminal)
    }

    fn redraw(renderer: &'static Renderer, now: Instant) -> Option<Instant> {
        renderer.redraw(lock(&renderer.state), now).1
    }

    /// This thread has been computing for a second, and that is on the screen.
    fn shown(text: &str) -> (&'static Renderer, InMemoryTerm, Instant) {
        let (renderer, terminal) = renderer();
        let now = clock::moment();
        lock(&renderer.state).active.begin(thread::current().id(), &text.into(), now);
        assert_eq!(redraw(renderer, now), Some(now + Duration::from_millis(200)), "nothing to see yet");
        assert_eq!(terminal.contents(), "");
        let now = now + Duration::from_secs(1);
        assert_eq!(redraw(renderer, now), Some(now + FRAME));
        (renderer, terminal, now)
    }

    #[test]
    fn a_line_is_there_while_it_is_computed_and_nothing_is_left_of_it() {
        let (renderer, terminal, now) = shown("Fetching...");
        assert_eq!(terminal.contents(), "⠙ Fetching... 1 s");
        redraw(renderer, now + Duration::from_secs(1));
        assert_eq!(terminal.contents(), "⠹ Fetching... 2 s");
        renderer.end();
        assert_eq!(terminal.contents(), "");
        assert_eq!(redraw(renderer, now), None);
    }

    #[test]
    fn what_the_function_prints_is_whole_and_on_a_line_of_its_own() {
        let (renderer, terminal, now) = shown("Fetching...");
        terminal.write_line("row 1000").unwrap();
        terminal.write_line("row 2000").unwrap();
        redraw(renderer, now + FRAME);
        assert_eq!(terminal.contents(), "⠙ Fetching... 1 s\nrow 1000\nrow 2000\n⠹ Fetching... 1 s");
        renderer.end();
        assert_eq!(terminal.contents(), "⠙ Fetching... 1 s\nrow 1000\nrow 2000");
    }

    #[test]
    fn what_is_printed_while_it_is_suspended_stands_alone() {
        let (renderer, terminal, now) = shown("Fetching...");
        renderer.suspend(|| {
            terminal.write_line("row 1000").unwrap();
            assert_eq!(redraw(renderer, now + FRAME), None, "not while it is suspended");
            terminal.write_line("row 2000").unwrap();
        });
        assert_eq!(terminal.contents(), "row 1000\nrow 2000");
        redraw(renderer, now + FRAME);
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
        let (renderer, terminal) = renderer();
        let short = || {
            renderer.begin(&"Fetching...".into());
            renderer.end();
        };
        let now = clock::moment();
        let after = |delays: u32| now + DELAY * delays;
        for round in 0..3 {
            short();
            short();
            assert_eq!(renderer.next(lock(&renderer.state), after(round)).1, Some(after(round + 1)));
            assert_eq!(lock(&renderer.state).thread, ThreadState::Lingering);
        }
        assert_eq!(renderer.next(lock(&renderer.state), after(3)).1, None);
        assert_eq!(
            (lock(&renderer.state).thread, terminal.contents()),
            (ThreadState::Resting, String::new())
        );
    }

    #[test]
    fn a_panic_ends_it_too() {
        struct Ends(&'static Renderer);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.end();
            }
        }
        let (renderer, terminal, now) = shown("Fetching...");
        let panicking = AssertUnwindSafe(|| {
            let _ends = Ends(renderer);
            std::panic::resume_unwind(Box::new("in the closure"));
        });
        catch_unwind(panicking).unwrap_err();
        assert_eq!(redraw(renderer, now), None);
        assert_eq!(terminal.contents(), "");
    }

    #[test]
    fn the_end_of_one_thread_leaves_the_line_to_another() {
        let (renderer, terminal, now) = shown("Fetching...");
        let other = thread::spawn(|| thread::current().id()).join().unwrap();
        lock(&renderer.state).active.begin(other, &"Training...".into(), now);
        redraw(renderer, now + FRAME * 2);
        assert_eq!(terminal.contents(), "⠹ Fetching... 1 s (and 1 more)");
        lock(&renderer.state).active.end(&thread::current().id());
        redraw(renderer, now + FRAME * 3);
        assert_eq!(terminal.contents(), "⠸ Training...");
    }

    /// As when its output is stopped, or the lock of `stderr` is held by a thread that computes.
    #[test]
    fn a_terminal_that_blocks_its_writer_blocks_no_other_thread() {
        let (renderer, terminal, now) = shown("Fetching...");
        let drawn_by_another = lock(&renderer.state).line.take();
        renderer.begin(&"Training...".into());
        renderer.end();
        renderer.end();
        assert_eq!(
            renderer.suspend(|| terminal.contents()),
            "⠙ Fetching... 1 s",
            "after a moment, all the same"
        );
        lock(&renderer.state).line = drawn_by_another;
        assert_eq!(redraw(renderer, now), None);
        assert_eq!(terminal.contents(), "");
    }

    #[test]
    fn the_drawing_thread_clears_a_line_that_ended_meanwhile() {
        static RENDERER: Mutex<Option<&'static Renderer>> = Mutex::new(None);
        let terminal = InMemoryTerm::new(10, 30);
        let target = terminal.clone();
        let line = Line::on(move || {
            // Called when the line is first drawn.
            if let Some(renderer) = lock(&RENDERER).take() {
                renderer.end();
            }
            ProgressDrawTarget::term_like(Box::new(target.clone()))
        });
        let renderer = Box::leak(Box::new(Renderer::with(line)));
        let now = clock::moment();
        lock(&renderer.state).active.begin(thread::current().id(), &"Fetching...".into(), now);
        *lock(&RENDERER) = Some(renderer);
        assert_eq!(redraw(renderer, now + Duration::from_secs(1)), None);
        assert_eq!((lock(&RENDERER).is_none(), terminal.contents()), (true, String::new()));
    }
}
