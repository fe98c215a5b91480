//! A line on the terminal while something computes that takes a while.

mod line;
mod scene;
mod stage;

use std::{
    env,
    io::{self, IsTerminal},
    sync::{Arc, LazyLock},
};

use self::stage::Stage;
use super::Event;

/// There is one terminal, so there is one line for the whole process.
static STAGE: LazyLock<Stage> = LazyLock::new(Stage::on_stderr);

/// A line on the terminal while a slow computation runs: feature `spinner`.
///
/// [`Spinner::new`] makes an observer like any other, for a memo or for a store:
///
/// ```
/// use memolith::{Memo, Store, observe::Spinner};
///
/// let store = Store::temporary()?;
/// let pages: Memo<str, String> =
///     Memo::builder("pages").observer(Spinner::new("Fetching data...")).open(&store)?;
/// pages.get_or_insert_with("rides", || "<table>".to_owned()); // quick: nothing is shown
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// # What is shown, and when
///
/// On stderr, and only if that is a terminal that can move its cursor. Only once a computation has lasted 200 ms: then a line like
/// `⠙ Fetching data... 3 s` moves ten times a second, and is taken away when the call returns. A hit shows nothing. Of computations within
/// one another on one thread the outermost is shown. When several threads compute, the line is that of the one that
/// began first, with how many others have lasted as long: `⠙ Fetching data... 3 s (and 2 more)`. There is one line for
/// the process, whatever the number of spinners.
///
/// It costs a lock at the beginning and at the end of each computation, and one thread for the process, which is started at
/// the first computation and sleeps while there is none. A terminal that is slow, or whose output is stopped, is waited for
/// by that thread alone.
///
/// # Output of the function itself
///
/// Whole lines that a function prints while the line is there begin on a line of their own and stay; the spinner goes on
/// below them, and leaves behind what it had drawn above. A line without its end, such as a prompt, is drawn over: that
/// belongs in [`Spinner::suspend`], in which nothing is drawn and nothing left behind. A function that draws progress bars
/// itself had better have no spinner. A program that ends during a computation, by `exit`, a signal or a panic, leaves the
/// line.
#[derive(Debug)]
pub enum Spinner {}

impl Spinner {
    /// An observer that shows `text`. Characters that control a terminal are shown as blanks.
    ///
    /// It is a closure, not a value of this type, so that builders take it as they take every closure.
    #[expect(clippy::new_ret_no_self, reason = "only closures can be called as functions")]
    pub fn new(text: &str) -> impl Fn(&Event<'_>) + Clone + Send + Sync + 'static + use<> {
        let text: Arc<str> = text.replace(char::is_control, " ").into();
        let is_shown = can_be_drawn();
        move |event| match event {
            Event::ComputingBegan { .. } if is_shown => STAGE.begun(&text),
            Event::ComputingEnded { .. } if is_shown => STAGE.ended(),
            _ => {}
        }
    }

    /// Takes the line away while `write` writes to the terminal. Without a line, or a terminal, it just runs `write`.
    ///
    /// ```
    /// use memolith::observe::Spinner;
    ///
    /// Spinner::suspend(|| println!("row 1000 of 5000"));
    /// ```
    pub fn suspend<T>(write: impl FnOnce() -> T) -> T {
        STAGE.suspend(write)
    }
}

fn can_be_drawn() -> bool {
    io::stderr().is_terminal() && env::var_os("TERM").is_some_and(|kind| kind != "dumb")
}
