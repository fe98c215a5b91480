//! Reading the stream of changes: what other machines changed is changed here too.
//!
//! The position moves behind messages that were applied. A gap, in the numbers or by another life of the stream, means that changes
//! may be missing: then everything is forgotten here that the server may know.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use redis::{Pipeline, Value};

use super::{
    journal::Told,
    position::Position,
    server::{RedisServer, is_of_another_type},
    stream::{Content, LocalChange, Message, ToApply, messages, rows_of},
};
use crate::{clock::moment, error::Result, sync::lock};

/// For how long a machine that had read the stream up to its end trusts that it has missed nothing, until the server is started anew.
const RECENT: Duration = Duration::from_secs(60);

/// Messages that are read at once.
const STRETCH: usize = 512;

impl RedisServer {
    /// Reads the stream from the position on, and applies it.
    pub(super) fn read_stream(&self) -> Result<()> {
        loop {
            let position = lock(&self.journal).position.clone();
            let Some(position) = position else {
                let last = self.last_message()?;
                *lock(&self.read_at) = Some(moment());
                self.go_on_at(last.map_or_else(Position::start, |last| last.position));
                return Ok(());
            };
            let mut read = redis::pipe();
            let (stream, id) = (self.keys.stream(), &position.id);
            read.cmd("XREAD").arg("COUNT").arg(STRETCH).arg("STREAMS").arg(stream).arg(id);
            let found = self.stream(&read, messages)?;
            if !found.is_empty() {
                self.take(position, found)?;
            } else if self.is_at_end(&position)? {
                return Ok(());
            }
        }
    }

    /// Whether the stream ends at the position. If it does not, it is read on: messages came in between, or the server has lost some.
    fn is_at_end(&self, position: &Position) -> Result<bool> {
        // One that is told from here on may not be in the reply.
        let serial = self.serial.load(Ordering::Acquire);
        let end = self.last_message()?.map_or_else(Position::start, |last| last.position);
        let is_same_life = end.life == position.life;
        let lost = self.take_lost(|told| {
            let is_there = told.position.life == end.life && told.position.number <= end.number;
            told.serial <= serial && !is_there
        });
        if lost.is_empty() && end == *position {
            *lock(&self.read_at) = Some(moment());
            return Ok(true);
        }
        let goes_on = is_same_life && position.is_before(&end) && position.number < end.number;
        if !goes_on || !lost.is_empty() {
            self.begin_anew(!lost.is_empty())?;
        }
        if !goes_on {
            // An older state of the same stream ends there. A new one is read from its begin.
            self.go_on_at(if is_same_life || end.life.is_empty() { end } else { Position::start() });
        }
        self.tell_again(lost);
        Ok(false)
    }

    /// The server has lost messages, or the whole stream. A process that had read the stream up to its end, directly before the server
    /// was started anew, has missed nothing but what its senders tell once more. Any other one may have.
    fn begin_anew(&self, has_told: bool) -> Result<()> {
        let has_read =
            lock(&self.journal).position.as_ref().is_some_and(|position| !position.life.is_empty());
        let read_at = *lock(&self.read_at);
        let is_recent = |read_at: Instant| {
            self.link.started().is_some_and(|started| started.saturating_duration_since(read_at) < RECENT)
        };
        if (has_read || has_told) && !read_at.is_some_and(is_recent) {
            self.apply(self.everything_known())?;
        }
        Ok(())
    }

    fn last_message(&self) -> Result<Option<Message>> {
        let mut read = redis::pipe();
        read.cmd("XREVRANGE").arg(self.keys.stream()).arg("+").arg("-").arg("COUNT").arg(1);
        Ok(self.stream(&read, rows_of)?.pop())
    }

    /// The messages of a reply. Something else that lies in the place of the stream is removed.
    fn stream(
        &self,
        read: &Pipeline,
        messages: impl FnOnce(&Value) -> Option<Vec<Message>>,
    ) -> Result<Vec<Message>> {
        let mut replies = self.ask(read)?;
        if replies.iter().any(is_of_another_type) {
            self.repair(&[self.keys.stream()])?;
            replies = self.ask(read)?;
        }
        let reply = replies.pop().ok_or_else(|| self.unexpected())?;
        messages(self.checked(&reply)?).ok_or_else(|| self.unexpected())
    }

    fn go_on_at(&self, position: Position) {
        lock(&self.journal).position = Some(position);
        self.is_dirty.store(true, Ordering::Release);
    }

    /// Applies messages, and moves the position behind them.
    fn take(&self, mut position: Position, found: Vec<Message>) -> Result<()> {
        let mut changes = Vec::new();
        for Message { position: next, content } in found {
            let is_same_life = next.life == position.life;
            let goes_back = is_same_life && next.number <= position.number;
            if content.is_some() && (!is_same_life || goes_back) {
                // An older state of the stream gives numbers once more.
                let is_lost = |told: &Told| {
                    let is_later = told.position.number >= next.number && told.position.is_before(&next);
                    told.position.life != next.life || is_later
                };
                let lost = self.take_lost(is_lost);
                self.begin_anew(!lost.is_empty())?;
                self.tell_again(lost);
            }
            if goes_back {
                position.number = next.number.saturating_sub(1);
            }
            if !position.is_followed_by(&next) || content.is_none() {
                changes.extend(self.everything_known());
            }
            changes.extend(content.into_iter().flat_map(|content| self.to_apply(content)));
            position = next;
        }
        self.apply(changes)?;
        self.go_on_at(position);
        Ok(())
    }

    /// What a message changes here.
    fn to_apply(&self, content: Content) -> Vec<ToApply> {
        let Content { sender, at, ago, change } = content;
        if sender.directory == lock(&self.journal).directory {
            // Made by this store, maybe by another process of it, or one that ended before it was made here too.
            let is_open = sender.run != self.run;
            return is_open.then_some(ToApply { change, unless_since: Some(at) }).into_iter().collect();
        }
        match change {
            // Only what is shared.
            LocalChange::Forget { memo: None } => self.everything_known(),
            change => {
                let unless_since = (ago > 0).then(|| self.now().saturating_sub(ago));
                vec![ToApply { change, unless_since }]
            }
        }
    }

    /// Everything that the server may know. Messages are missing, so each of these entries may have been removed.
    fn everything_known(&self) -> Vec<ToApply> {
        let known = lock(&self.journal).memos.clone();
        known.into_iter().map(|memo| LocalChange::Forget { memo: Some(memo) }.into()).collect()
    }

    pub(super) fn apply(&self, changes: Vec<ToApply>) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut applied = lock(&self.applied);
        for to_apply in &changes {
            applied.note(&to_apply.change);
        }
        drop(applied);
        self.local.get().map_or(Ok(()), |local| local.apply(changes))
    }
}
