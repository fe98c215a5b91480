//! A line on the terminal during a slow computation.

mod active;
mod line;
mod renderer;

use std::{
    env,
    io::{self, IsTerminal},
    sync::{Arc, LazyLock},
};

use self::renderer::Renderer;
use super::event::Event;

/// A process has one terminal, and so one line.
static RENDERER: LazyLock<Renderer> = LazyLock::new(Renderer::on_stderr);

/// An observer that shows `text` on a line of the terminal while a slow computation runs: feature `spinner`.
///
/// It is an observer like any other, for a memo or for a store. Control characters in `text` are shown as blanks.
///
/// ```
/// use memolith::{Memo, Store, observe::spinner};
///
/// let store = Store::temporary()?;
/// let pages: Memo<str, String> =
///     Memo::builder("pages").observer(spinner("Fetching data...")).open(&store)?;
/// pages.get_or_insert_with("rides", || "<table>".to_owned()); // quick: nothing is shown
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// # The line
///
/// The line is drawn on stderr, if stderr is a terminal that can move its cursor. It appears once a computation has
/// lasted 200 ms. A line such as `⠙ Fetching data... 3 s` is then redrawn ten times a second, and removed when the call
/// returns. A hit shows nothing. Of nested computations on one thread, the outermost is shown. If several threads
/// compute, the line shows the computation that began first and the number of others that have lasted 200 ms:
/// `⠙ Fetching data... 3 s (and 2 more)`. A process has one line, whatever the number of spinners.
///
/// A spinner takes a lock at the beginning and at the end of each computation. The process has one thread for all
/// spinners. It starts at the first computation, and sleeps while there is none. Only this thread waits for a terminal
/// that is slow or stopped.
///
/// # Output of the function itself
///
/// If the function prints whole lines, they begin on a line of their own and stay. The spinner goes on below them, and
/// its last frame stays above them. A line without an end, such as a prompt, is overwritten: print it in
/// [`suspend_spinner`], during which nothing is drawn. A function that draws progress bars should have no spinner. If
/// the program ends during a computation, by `exit`, a signal or a panic, the line stays.
pub fn spinner(text: &str) -> impl Fn(&Event<'_>) + Clone + Send + Sync + 'static + use<> {
    let text: Arc<str> = text.replace(char::is_control, " ").into();
    let is_shown = can_be_drawn();
    move |event| match event {
        Event::ComputeStarted { .. } if is_shown => RENDERER.begin(&text),
        Event::ComputeFinished { .. } if is_shown => RENDERER.end(),
        _ => {}
    }
}

/// Removes the line of each [`spinner`] while `write` writes to the terminal. Without a line or a terminal it only runs
/// `write`.
///
/// ```
/// use memolith::observe::suspend_spinner;
///
/// suspend_spinner(|| println!("row 1000 of 5000"));
/// ```
pub fn suspend_spinner<T>(write: impl FnOnce() -> T) -> T {
    RENDERER.suspend(write)
}

fn can_be_drawn() -> bool {
    io::stderr().is_terminal() && env::var_os("TERM").is_some_and(|kind| kind != "dumb")
}
