//! The leases that this process has, so that they are renewed.

use std::{collections::HashMap, mem, sync::Mutex, time::Duration};

use super::super::operation::Token;
use crate::{clock::Stopwatch, sync::lock};

#[derive(Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<Token, Held>>,
    /// Not held any more, and maybe there on the server: it did not answer.
    doubted: Mutex<Vec<(Token, String)>>,
}

/// More of them run out by themselves.
const MAX_DOUBTED: usize = 1_024;

struct Held {
    /// The name of the entry.
    entry: String,
    renewed: Stopwatch,
}

impl Leases {
    pub(super) fn note(&self, token: Token, entry: &str) {
        lock(&self.held).insert(token, Held { entry: entry.to_owned(), renewed: Stopwatch::monotonic() });
    }

    /// It is to be ended when the server answers again: other machines would wait until it runs out.
    pub(super) fn doubt(&self, token: Token, entry: String) {
        self.end(&token);
        let mut doubted = lock(&self.doubted);
        if doubted.len() < MAX_DOUBTED {
            doubted.push((token, entry));
        }
    }

    pub(super) fn take_doubted(&self) -> Vec<(Token, String)> {
        mem::take(&mut *lock(&self.doubted))
    }

    pub(super) fn end(&self, token: &Token) {
        lock(&self.held).remove(token);
    }

    /// Those that were not renewed for that long. They count as renewed from here on.
    pub(super) fn due(&self, after: Duration) -> Vec<(Token, String)> {
        let mut held = lock(&self.held);
        let due = held.iter_mut().filter(|(_, held)| held.renewed.elapsed() >= after);
        due.map(|(token, held)| {
            held.renewed = Stopwatch::monotonic();
            (*token, held.entry.clone())
        })
        .collect()
    }

    pub(super) fn take_all(&self) -> Vec<(Token, String)> {
        lock(&self.held).drain().map(|(token, held)| (token, held.entry)).collect()
    }
}
