//! Where a sample is at: one place of the value, and what is known about it.

use serde::de::{Error as _, Visitor};

use super::{
    node::{Extent, Head, Node},
    session::{Failure, Refusal, Session},
};

/// Stands at one place of a sample.
pub(super) struct Tracer<'t> {
    /// What was ever seen here.
    pub(super) node: &'t mut Node,
    pub(super) session: &'t mut Session,
    /// The type that is read here, as far as it is known.
    pub(super) inside: &'static str,
    /// Only a value is wanted: the type is described elsewhere.
    pub(super) brief: bool,
    /// The node is shared with the element before: its choices are made.
    pub(super) repeated: bool,
    /// How many places this one is in.
    depth: usize,
}

impl<'t> Tracer<'t> {
    pub(super) fn new(node: &'t mut Node, session: &'t mut Session, inside: &'static str) -> Self {
        session.latest = inside;
        Self { node, session, inside, brief: false, repeated: false, depth: 0 }
    }

    /// Steps into one part.
    pub(super) fn part(&mut self, index: usize, inside: &'static str) -> Result<Tracer<'_>, Refusal> {
        self.node.extend(index + 1);
        let node = self.node.parts.get_mut(index).ok_or_else(|| Refusal::custom("there is no such part"))?;
        Ok(Tracer {
            node,
            session: &mut *self.session,
            inside,
            brief: self.brief,
            repeated: self.repeated,
            depth: self.depth + 1,
        })
    }

    /// Records what is asked for here.
    pub(super) fn reach(&mut self, head: Head) -> Result<(), Refusal> {
        self.session.charge(self.depth, self.repeated)?;
        let known = *self.node.head.get_or_insert_with(|| self.session.discover(head));
        if known == head { Ok(()) } else { Err(self.session.fail(Failure::Fickle(self.inside))) }
    }

    /// Reaches a place that has parts. Whatever follows ends with `leave`.
    pub(super) fn enter<'de, V: Visitor<'de>>(mut self, head: Head) -> Result<Self, Refusal> {
        self.reach(head)?;
        let kind = match self.node.kind {
            Some(kind) => kind,
            None => self.introduce::<V>(head),
        };
        self.brief |= self.node.reference;
        self.session.enter(kind)?;
        Ok(self)
    }

    /// Decides whether this place describes its type or refers to the one that does. Types without a name are
    /// described in full wherever they stand, except in themselves.
    fn introduce<'de, V: Visitor<'de>>(&mut self, head: Head) -> usize {
        let kind = self.session.kind_of::<V>(head);
        self.node.kind = Some(kind);
        if !self.brief {
            let named = head.is_named();
            self.node.reference =
                if named { self.session.describe(kind) } else { self.session.is_open(kind) };
        }
        kind
    }

    pub(super) fn leave(&mut self, own: Extent) {
        self.session.leave();
        self.close(own);
    }

    pub(super) fn close(&mut self, own: Extent) {
        self.session.learned |= self.node.close(own);
    }

    pub(super) fn choose(&mut self, preferred: usize, alternatives: usize, leaf: bool) -> usize {
        let pick = if self.repeated { preferred } else { self.session.choose(preferred, alternatives, leaf) };
        self.node.pick = Some(pick);
        pick
    }
}
