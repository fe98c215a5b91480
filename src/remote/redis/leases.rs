//! The leases that this process has, so that they are renewed.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use super::super::operation::Token;
use crate::{clock::Stopwatch, sync::lock};

#[derive(Default)]
pub(super) struct Leases(Mutex<HashMap<Token, Held>>);

struct Held {
    /// The name of the entry.
    entry: String,
    renewed: Stopwatch,
}

impl Leases {
    pub(super) fn note(&self, token: Token, entry: &str) {
        lock(&self.0).insert(token, Held { entry: entry.to_owned(), renewed: Stopwatch::monotonic() });
    }

    pub(super) fn end(&self, token: &Token) {
        lock(&self.0).remove(token);
    }

    /// Those that were not renewed for that long. They count as renewed from here on.
    pub(super) fn due(&self, after: Duration) -> Vec<(Token, String)> {
        let mut held = lock(&self.0);
        let due = held.iter_mut().filter(|(_, held)| held.renewed.elapsed() >= after);
        due.map(|(token, held)| {
            held.renewed = Stopwatch::monotonic();
            (*token, held.entry.clone())
        })
        .collect()
    }

    pub(super) fn take_all(&self) -> Vec<(Token, String)> {
        lock(&self.0).drain().map(|(token, held)| (token, held.entry)).collect()
    }
}
