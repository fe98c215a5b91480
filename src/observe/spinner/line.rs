//! The line on the terminal. Only this file names indicatif.

use std::fmt;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One line of a terminal, drawn where its cursor is.
pub(super) struct Line {
    target: Box<dyn Fn() -> ProgressDrawTarget + Send>,
    /// `Some` while the line is drawn.
    bar: Option<ProgressBar>,
}

impl Line {
    pub(super) fn on_stderr() -> Self {
        Self::on(ProgressDrawTarget::stderr)
    }

    pub(super) fn on(target: impl Fn() -> ProgressDrawTarget + Send + 'static) -> Self {
        Self { target: Box::new(target), bar: None }
    }

    pub(super) fn is_drawn(&self) -> bool {
        self.bar.is_some()
    }

    /// Draws the next frame.
    pub(super) fn draw(&mut self, text: String) {
        let bar = self.bar.get_or_insert_with(|| {
            let spinner = ProgressStyle::default_spinner().tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ");
            let style = spinner.template("{spinner} {wide_msg}");
            let bar = ProgressBar::with_draw_target(None, (self.target)());
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        if bar.message() != text {
            bar.set_message(text);
        }
        bar.tick();
    }

    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("is_drawn", &self.is_drawn()).finish_non_exhaustive()
    }
}
