//! A place in the stream of changes.

use serde::{Deserialize, Serialize};

/// How far a reader has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The random name that the stream got when it began; empty before the first message.
    pub(super) life: String,
    pub(super) number: u64,
    /// The id on the server.
    pub(super) id: String,
}

impl Position {
    /// Before the first message.
    pub(super) fn start() -> Self {
        Self { life: String::new(), number: 0, id: "0-0".into() }
    }

    /// Whether a message of the same stream was added before another one.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<u64>().ok()).unwrap_or_default();
        let id = |position: &Self| {
            let mut parts = position.id.split('-');
            (number(parts.next()), number(parts.next()))
        };
        id(self) < id(other)
    }

    /// Whether a message is the next one behind it.
    pub(super) fn is_followed_by(&self, next: &Self) -> bool {
        if self.life == next.life { next.number == self.number + 1 } else { next.number == 1 }
    }
}
